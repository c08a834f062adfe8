"""Names as people mean them: the same letters may be written in several ways.

macOS gives file names in Unicode's decomposed form (o and a combining diaeresis), keyboards the composed one (ö).
"""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Iterable, Sequence
from pathlib import Path


def composed(text: str) -> str:
    """Unicode's composed form (NFC)."""
    return unicodedata.normalize("NFC", text)


def matching(name: str, known: Iterable[str]) -> str | None:
    """The one of `known` that is meant: the same, else one that differs by its Unicode form only."""
    known = list(known)
    if name in known:
        return name
    return next((other for other in known if composed(other) == composed(name)), None)


def class_number(value: str | int, classes: Sequence[str]) -> int | None:
    """The place of a class, by its name, else by its number; None where there is none.

    Where classes are named by numbers (folders 1, 2, 3) a number is a name, whether it comes as text or as an int.
    """
    text = str(value)
    name = matching(text, classes)
    if name is not None:
        return classes.index(name)
    if not text.isdecimal():
        return None
    number = int(text)
    named = [place for place, other in enumerate(classes) if other.isdecimal() and int(other) == number]
    if named:
        return named[0]
    all_numbers = all(other.isdecimal() for other in classes)
    return number if number < len(classes) and not all_numbers else None


def existing(path: Path) -> Path:
    """A path that is there under another Unicode form of its names, as it is there; any other stays as it is."""
    if str(path).isascii() or os.path.lexists(path):
        return path
    found = Path(path.anchor)
    for part in path.parts[1:] if path.anchor else path.parts:
        try:
            known = [] if os.path.lexists(found / part) else os.listdir(found)
        except OSError:
            known = []
        found /= matching(part, known) or part
    return found


def run_name(run: Path) -> str:
    """'runs/mine' or 'runs/mine/checkpoints/best.ckpt' -> 'mine'."""
    run = run.resolve()
    if run.parent.name == "checkpoints":
        return run.parent.parent.name
    return run.stem if run.suffix in (".ckpt", ".ts") else run.name
