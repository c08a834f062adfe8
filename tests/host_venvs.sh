#!/bin/sh
# The libtorch that hosts ship, as torch of the same version in environments beside the checkout's own.
# Usage: sh tests/host_venvs.sh PYTHON VERSION...     What cannot be had is said, and its tests are skipped.
set -u
python=$1
shift
for version in "$@"; do
    folder=.venv-torch-$version
    "$folder/bin/python" -c "import torch" 2>/dev/null && continue
    echo "installing torch $version into $folder (some minutes, about 5 GB)"
    rm -rf "$folder"
    if "$python" -m venv "$folder" &&
        "$folder/bin/python" -m pip install --quiet --disable-pip-version-check "torch==$version" "numpy<2" &&
        "$folder/bin/python" -c "import torch"; then
        continue
    fi
    rm -rf "$folder"
    echo "torch $version cannot be installed for $("$python" --version 2>&1): its tests are skipped" >&2
done
