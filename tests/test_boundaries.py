"""The rooms: train, export and realtime import wavevae, never each other; wavevae never imports them. Inside realtime,
the engine knows no other room, control imports no torch, and the processes of `serve` stand above both."""

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
WORKSHOPS = ("train", "export", "realtime")
FORBIDDEN_IN_PLAYING = ("torchaudio", "pytorch_lightning", "auraloss", "matplotlib")
PLAYING = "wavevae.realtime"
FLOORS = {
    "engine": (),
    "control": (),
    "live": ("engine", "control"),
    "offline": ("engine", "control"),
}
"""The rooms of realtime/, and which others each may import."""
TORCHLESS = ("control", "live", "serve.py", "midi.py", "options.py", "console.py", "model_info.py")
"""Of realtime/: what runs in the control process or before a model is loaded."""
OPTIONAL = ("aiohttp", "mido", "rtmidi", "sounddevice")


def package_of(path: Path) -> list[str]:
    """The package that holds a file: realtime/live/x.py is in wavevae.realtime.live."""
    parts = list(path.relative_to(ROOT).parent.parts)
    return parts if parts[0] == "wavevae" else ["wavevae", *parts]


def imported(path: Path) -> set[str]:
    """The absolute name of every module that a file imports."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            package = package_of(path)
            above = package[: len(package) - node.level + 1] if node.level else []
            base = ".".join([*above, *([node.module] if node.module else [])])
            names.update({base, *(f"{base}.{alias.name}" for alias in node.names)})
    return names


def is_in(name: str, room: str) -> bool:
    return name == room or name.startswith(room + ".")


@pytest.mark.parametrize("room", ["wavevae", *WORKSHOPS])
def test_nobody_imports_sideways_or_upward(room: str) -> None:
    files = sorted((ROOT / room).rglob("*.py"))
    assert files
    others = [w for w in WORKSHOPS if w != room]
    refused = [f"wavevae.{w}" for w in others] + list(WORKSHOPS)
    for path in files:
        for name in imported(path):
            assert not any(is_in(name, r) for r in refused), f"{path}: {name}"


def test_playing_needs_neither_lightning_nor_torchaudio() -> None:
    playing = [*(ROOT / "realtime").rglob("*.py"), ROOT / "wavevae/bundle.py", ROOT / "wavevae/audio.py"]
    for path in playing:
        assert not {n.split(".")[0] for n in imported(path)} & set(FORBIDDEN_IN_PLAYING), path


@pytest.mark.parametrize("room", FLOORS)
def test_rooms_of_realtime_import_only_the_floors_below(room: str) -> None:
    files = sorted((ROOT / "realtime" / room).rglob("*.py"))
    assert files
    refused = [f"{PLAYING}.{other}" for other in FLOORS if other != room and other not in FLOORS[room]]
    refused += [f"{PLAYING}.{command}" for command in ("serve", "midi", "options", "bench")]
    for path in files:
        for name in imported(path):
            assert not any(is_in(name, r) for r in refused), f"{path}: {name}"


def test_what_runs_beside_the_engine_loads_no_torch() -> None:
    names = []
    for part in TORCHLESS:
        place = ROOT / "realtime" / part
        for path in sorted(place.rglob("*.py")) if place.is_dir() else [place]:
            names.append(".".join([*package_of(path), path.stem]).removesuffix(".__init__"))
    code = (
        "import importlib, sys\n"
        "for name in sys.argv[1:]:\n"
        "    try:\n"
        "        importlib.import_module(name)\n"
        "    except ModuleNotFoundError as error:\n"
        f"        assert error.name.split('.')[0] in {OPTIONAL}, error\n"
        "    assert 'torch' not in sys.modules, name\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *names], cwd=ROOT, env=dict(os.environ), capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
