"""The wheel holds what the commands need: installed apart, it works from another folder."""

import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from wavevae.instruments import NAMES, PRESETS

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    tree = folder / "tree"  # a copy: building leaves traces beside the sources
    names = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True)
    if names.returncode:
        pytest.skip("not a git checkout: no list of what belongs into the wheel")
    for name in filter(None, names.stdout.split("\0")):
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        if (ROOT / name).is_file():
            (tree / name).write_bytes((ROOT / name).read_bytes())
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "-q"]
    subprocess.run([*pip, "wheel", "--no-deps", "-w", str(folder), str(tree)], check=True)
    return next(folder.glob("*.whl"))


def test_only_one_name_and_all_package_data(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    assert {n.split("/")[0] for n in names if ".dist-info" not in n} == {"wavevae"}
    needed_files = ("py.typed", "train/presets/codec.yaml", "realtime/serve.py", "export/__main__.py")
    pages = ("evaluation/explore/page_assets/explore.js", "page/index.html", "export/page/kernel.js")
    for needed in (*needed_files, *pages):
        assert f"wavevae/{needed}" in names
    instruments = {f"{name}{kind}" for name in NAMES for kind in (".ts", ".json", PRESETS)}
    assert instruments <= {Path(n).name for n in names if n.startswith("wavevae/instruments/")}
    presets = {p.name for p in (ROOT / "train/presets").glob("*.yaml")}
    assert presets == {
        Path(n).name for n in names if n.startswith("wavevae/train/presets/") and n.endswith("yaml")
    }


def test_playing_on_a_stage_brings_no_torch(wheel: Path) -> None:
    """What a machine must have, and what it has with the extra for a stage."""
    with zipfile.ZipFile(wheel) as archive:
        name = next(n for n in archive.namelist() if n.endswith(".dist-info/METADATA"))
        lines = archive.read(name).decode().splitlines()
    needed = [line.removeprefix("Requires-Dist: ") for line in lines if line.startswith("Requires-Dist: ")]
    always = {Requirement(n).name for n in needed if "extra ==" not in n}
    stage = {Requirement(n).name for n in needed if re.search(r"extra == .stage.", n)}
    assert {"numpy", "soundfile", "mido", "sounddevice", "python-osc"} <= always
    assert stage == {"onnxruntime", "wavevae"}  # with its extra for playing live
    heavy = {"torch", "torchaudio", "pytorch-lightning", "matplotlib", "onnx", "scipy"}
    assert not (always | stage) & heavy


def test_it_runs_installed_from_another_folder(wheel: Path, tmp_path: Path) -> None:
    site = tmp_path / "site"
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "-q"]
    subprocess.run([*pip, "install", "--no-deps", "--target", str(site), str(wheel)], check=True)
    code = (
        "import wavevae, sys; assert wavevae.__file__.startswith(sys.argv.pop(1)), wavevae.__file__;"
        "from wavevae.cli import main; sys.exit(main())"
    )
    env = {**os.environ, "PYTHONPATH": str(site)}
    for words in (["--help"], ["train", "--help"], ["devices", "--help"], ["info", NAMES[0]]):
        command = [sys.executable, "-c", code, str(site), *words]
        done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        if words == ["train", "--help"]:
            assert "codec" in done.stdout  # the presets came along
