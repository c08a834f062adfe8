"""The rooms: train, export and realtime import wavevae, never each other; wavevae never imports them.

Inside wavevae, `evaluation` stands above the core, and `studies`, a plug-in, above both.
"""

import ast
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
OF_ONE_FAMILY = ("wavevae/studies", "wavevae/nn/instrument", "wavevae/evaluation/instrument_run.py")
FORBIDDEN_IN_PLAYING = ("torchaudio", "pytorch_lightning", "auraloss", "matplotlib")


def imported(path: Path) -> set[str]:
    """Every module name a file imports, absolute; relative imports within a room are its own business."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            names.update({node.module or "", *(f"{node.module}.{alias.name}" for alias in node.names)})
        elif isinstance(node, ast.ImportFrom) and node.level > 1 and path.parent.name in WORKSHOPS:
            names.add("wavevae.beyond_the_room")
    return names


@pytest.mark.parametrize("room", ["wavevae", *WORKSHOPS])
def test_nobody_imports_sideways_or_upward(room: str) -> None:
    files = sorted((ROOT / room).rglob("*.py"))
    assert files
    refused = [f"wavevae.{w}" for w in WORKSHOPS] + list(WORKSHOPS) + ["wavevae.beyond_the_room"]
    for path in files:
        for name in imported(path):
            assert not any(name == r or name.startswith(r + ".") for r in refused), f"{path}: {name}"


def test_playing_needs_neither_lightning_nor_torchaudio() -> None:
    playing = [*(ROOT / "realtime").rglob("*.py"), ROOT / "wavevae/bundle.py", ROOT / "wavevae/audio.py"]
    for path in playing:
        assert not {n.split(".")[0] for n in imported(path)} & set(FORBIDDEN_IN_PLAYING), path


def within(path: Path, places: tuple[str, ...]) -> bool:
    return any(str(path.relative_to(ROOT)).startswith(place) for place in places)


def sources(*rooms: str) -> list[Path]:
    found = [path for room in rooms for path in sorted((ROOT / room).rglob("*.py"))]
    assert found
    return found


def in_packages(name: str, packages: tuple[str, ...]) -> bool:
    return any(name == package or name.startswith(package + ".") for package in packages)


def test_the_core_imports_no_upper_floor() -> None:
    upper = tuple(name.replace(".", "/") for name in UPPER_FLOORS)
    for path in sources("wavevae"):
        if not within(path, upper):
            assert not [name for name in imported(path) if in_packages(name, UPPER_FLOORS)], path


def test_the_studies_are_a_plug_in() -> None:
    for path in sources("wavevae", *WORKSHOPS):
        if not within(path, OF_THE_STUDIES):
            assert not [name for name in imported(path) if in_packages(name, ("wavevae.studies",))], path


@pytest.mark.parametrize("family", families(), ids=lambda family: family.name)
def test_what_a_family_names_is_there(family) -> None:  # type: ignore[no-untyped-def]
    for place in (family.model, family.training, family.evaluation):
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


def absolute(path: Path) -> set[str]:
    """What a file imports, relative imports resolved."""
    package = path.relative_to(ROOT).parent.parts
    names = imported(path) - {"wavevae.beyond_the_room"}
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.level:
            base = ".".join([*package[: len(package) - node.level + 1], *filter(None, [node.module])])
            names |= {base, *(f"{base}.{alias.name}" for alias in node.names)}
    return names


@pytest.mark.parametrize("room", ROOMS_WITHOUT_CIRCLES)
def test_a_room_has_no_import_circles(room: str) -> None:
    """Imports inside functions and for types count too."""
    modules = {}
    for path in sources(room):
        name = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        modules[name] = absolute(path)
    left = {}
    for name, names in modules.items():
        known = (names & modules.keys()) - {name}
        left[name] = {n for n in known if not any(other.startswith(n + ".") for other in known)}
    while done := [name for name, names in left.items() if not names & left.keys()]:
        for name in done:
            del left[name]
    assert not left, f"in a circle, or above one: {sorted(left)}"
