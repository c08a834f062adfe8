"""The rooms: train, export and realtime import wavevae, never each other; wavevae never imports them.

Inside wavevae, `evaluation` stands above the core, and `studies`, a plug-in, above both. Inside realtime, the engine
knows no other room, control imports no torch, and the processes of `serve` stand above both.
"""

import ast
import functools
import os
import subprocess
import sys
from pathlib import Path

import pytest

from wavevae.config import RunConfig
from wavevae.families import families, family_of, located

ROOT = Path(__file__).parent.parent
WORKSHOPS = ("train", "export", "realtime")
UPPER_FLOORS = ("wavevae.evaluation", "wavevae.studies")
OF_THE_STUDIES = ("wavevae/studies", "train/study_module.py")
ROOMS_WITHOUT_CIRCLES = ("wavevae/evaluation", "wavevae/studies")
FAMILY_CLASSES = {"Autoencoder", "Instrument", "SpectrogramModel", "InstrumentRun", "StudyRun"}
OF_ONE_FAMILY = ("wavevae/studies", "wavevae/nn/instrument")
FORBIDDEN_IN_PLAYING = ("torchaudio", "pytorch_lightning", "auraloss", "matplotlib")
PLAYING = "wavevae.realtime"
FLOORS = {
    "engine": (),
    "control": (),
    "live": ("engine", "control"),
    "offline": ("engine", "control"),
}
"""The rooms of realtime/, and which others each may import."""
TORCHLESS = ("control", "live", "serve.py", "midi.py", "options.py", "model_info.py", "doctor.py")
"""Of realtime/: what runs in the control process or before a model is loaded."""
OPTIONAL = ("aiohttp", "mido", "rtmidi", "sounddevice")


def package_of(path: Path) -> list[str]:
    """The package that holds a file: realtime/live/x.py is in wavevae.realtime.live."""
    parts = list(path.relative_to(ROOT).parent.parts)
    return parts if parts[0] == "wavevae" else ["wavevae", *parts]


@functools.cache
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


def within(path: Path, places: tuple[str, ...]) -> bool:
    return any(str(path.relative_to(ROOT)).startswith(place) for place in places)


def sources(*rooms: str) -> list[Path]:
    found = [path for room in rooms for path in sorted((ROOT / room).rglob("*.py"))]
    assert found
    return found


def test_the_core_imports_no_upper_floor() -> None:
    upper = tuple(name.replace(".", "/") for name in UPPER_FLOORS)
    for path in sources("wavevae"):
        if not within(path, upper):
            assert not [
                name for name in imported(path) if any(is_in(name, floor) for floor in UPPER_FLOORS)
            ], path


def test_the_studies_are_a_plug_in() -> None:
    for path in sources("wavevae", *WORKSHOPS):
        if not within(path, OF_THE_STUDIES):
            assert not [name for name in imported(path) if is_in(name, "wavevae.studies")], path


@pytest.mark.parametrize("family", families(), ids=lambda family: family.name)
def test_what_a_family_names_is_there(family) -> None:  # type: ignore[no-untyped-def]
    exporters = (family.exporter,) if family.streams else ()
    for place in (family.model, family.training, family.evaluation, *exporters):
        assert isinstance(located(place), type), place


def test_a_configuration_has_one_family() -> None:
    assert family_of(RunConfig()).name == "codec"
    assert len({family.name for family in families()}) == len(families())


def test_no_module_asks_which_family_a_model_is_of() -> None:
    """A family says what it can do; `isinstance` of its classes stays within its own room."""
    for path in sources("wavevae", "train", "realtime"):
        if within(path, OF_ONE_FAMILY):
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "isinstance":
                asked = {n.id for n in ast.walk(node.args[1]) if isinstance(n, ast.Name)}
                assert not asked & FAMILY_CLASSES, f"{path}:{node.lineno}"


@pytest.mark.parametrize("room", ROOMS_WITHOUT_CIRCLES)
def test_a_room_has_no_import_circles(room: str) -> None:
    """Imports inside functions and for types count too."""
    modules = {}
    for path in sources(room):
        name = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        modules[name] = imported(path)
    left = {}
    for name, names in modules.items():
        known = (names & modules.keys()) - {name}
        left[name] = {n for n in known if not any(other.startswith(n + ".") for other in known)}
    while done := [name for name, names in left.items() if not names & left.keys()]:
        for name in done:
            del left[name]
    assert not left, f"in a circle, or above one: {sorted(left)}"
