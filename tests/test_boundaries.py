"""The rooms: train, export and realtime import wavevae, never each other; wavevae never imports them."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
WORKSHOPS = ("train", "export", "realtime")
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
