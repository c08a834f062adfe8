#!/bin/sh
# Install the Debian packages named, where that is possible; otherwise say what is missing and go on.
set -u
missing=""
for package in "$@"; do
    dpkg -s "$package" >/dev/null 2>&1 || missing="$missing $package"
done
[ -z "$missing" ] && exit 0
run=""
[ "$(id -u)" = 0 ] || run="sudo -n"
if command -v apt-get >/dev/null 2>&1 && { [ -z "$run" ] || $run true 2>/dev/null; }; then
    export DEBIAN_FRONTEND=noninteractive
    # shellcheck disable=SC2086
    if { $run apt-get update -qq && $run apt-get install -qq -y --no-install-recommends $missing; } >/dev/null 2>&1; then
        echo "installed:$missing"
        exit 0
    fi
fi
echo "not installed:$missing (the tests that play sound are skipped; install them by hand to run those)" >&2
