"""What lies in the folders: every file and why it is or is not taken, with its labels. Opens no sound."""

from __future__ import annotations

import contextlib
import json
import os
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from wavevae.audio import is_made
from wavevae.errors import UserError
from wavevae.files import printable
from wavevae.headers import CONVERT, UNREADABLE_SUFFIXES

_RIFF_LIKE = {".wav", ".wave", ".bwf", ".rf64", ".w64", ".aif", ".aiff", ".aifc", ".caf", ".au", ".snd"}
_COMPRESSED = {".flac", ".ogg", ".oga", ".opus", ".mp3", ".mp2"}
SOUND_SUFFIXES = frozenset(_RIFF_LIKE | _COMPRESSED | {".sph", ".nist", ".voc"})
SPLITS = ("train", "valid", "test")
LABEL_FILE = "examples.json"
OWN = "written by wavevae"
"""Begins the reason of a folder that is left out because it holds what a model made, or copies of other sounds."""
RUN_HEAD = b"# Everything resolved. Give this file to `wavevae train"
"""Begins a run's config.yaml (train/run_folder.py)."""
OWN_PARTS = frozenset(
    ("validation", "pairs", "generated", "samples", "moved", "scaled", "between", "drawn", "transfer")
)
"""Folders of sounds in a run, a report or an exploration."""


@dataclass(frozen=True, slots=True)
class FoundFile:
    """One file (or a folder that is not entered). `reason` is empty for a candidate, else why it is none."""

    path: Path
    labels: dict[str, Any] = field(default_factory=dict)
    """NSynth's fields; `class` (the first-level sub-folder) elsewhere."""
    split: str = ""
    """train, valid or test in NSynth's layout."""
    reason: str = ""


def _path_reason(path: Path) -> str:
    """Why this path cannot be a sound, from its name and kind alone; '' when it may be one."""
    if path.name.startswith("."):
        return "hidden"
    suffix = path.suffix.lower()
    if suffix in UNREADABLE_SUFFIXES:
        return f"{UNREADABLE_SUFFIXES[suffix]} {CONVERT}"
    if suffix not in SOUND_SUFFIXES:
        return f"not a sound file ('{suffix}')" if suffix else "not a sound file (no extension)"
    return ""


def _kind_reason(path: Path) -> str:
    """Why it cannot be opened; checked before opening, as a fifo would block for ever."""
    try:
        mode = os.stat(path).st_mode
    except FileNotFoundError:
        return "broken link"
    except OSError as error:
        return str(error.strerror)
    return "" if stat.S_ISREG(mode) else "not a regular file"


def _nsynth_labels(folder: Path) -> tuple[dict[str, dict[str, Any]], str]:
    """The fields by note name, and what is wrong with the label file ('' when nothing)."""
    try:
        tree = json.loads((folder / LABEL_FILE).read_bytes())
    except (OSError, ValueError) as error:
        return {}, f"labels cannot be read: {error}"
    if not isinstance(tree, dict) or not all(isinstance(fields, dict) for fields in tree.values()):
        return {}, "labels cannot be read: not a mapping of notes to fields"
    return tree, ""


def _is_nsynth(folder: Path) -> bool:
    return os.path.isfile(folder / LABEL_FILE) and os.path.isdir(folder / "audio")


def _has_key(path: Path, key: str) -> bool:
    """Whether a small JSON file holds a mapping with this key."""
    try:
        return key in json.loads(path.read_bytes())
    except (OSError, ValueError, TypeError):
        return False


def _own_kind(folder: Path) -> str:
    """'a run', 'a report' or 'an exploration' where wavevae wrote this folder, else ''."""
    if os.path.isdir(folder / "checkpoints") and os.path.isfile(folder / "config.yaml"):
        return "a run"
    with contextlib.suppress(OSError), open(folder / "config.yaml", "rb") as file:
        if file.read(len(RUN_HEAD)) == RUN_HEAD:  # one that was stopped before its first checkpoint
            return "a run"
    if _has_key(folder / "report.json", "chunks_used"):
        return "a report"
    return "an exploration" if _has_key(folder / "explore.json", "notes") else ""


def _made_reason(path: Path) -> str:
    """Of a sound that `render` wrote; asked for by its name it is taken."""
    try:
        return f"{OWN}: what a model made; name the file itself to take it" if is_made(path) else ""
    except OSError:  # reported when it is decoded
        return ""


@dataclass(frozen=True)
class _Place:
    """What holds for every file below a folder."""

    split: str = ""
    notes: dict[str, dict[str, Any]] | None = None
    class_name: str = ""

    def labels(self, path: Path) -> dict[str, Any]:
        if self.notes is not None:
            return self.notes.get(path.stem, {})
        return {"class": self.class_name} if self.class_name else {}


class _Walk:
    """One pass over the inputs; a folder or file reached twice (links, nested inputs) is taken once."""

    def __init__(self) -> None:
        self.entered: set[tuple[int, int]] = set()
        self.seen: set[str] = set()

    def folder(self, path: Path, place: _Place, depth: int = 0) -> Iterator[FoundFile]:
        """Everything below `path`, in the order of names."""
        refused = self._enter(path)
        if refused:
            yield FoundFile(path, reason=refused)
            return
        if _is_nsynth(path):
            notes, wrong = _nsynth_labels(path)
            name = path.resolve().name.removeprefix("nsynth-")
            place = _Place(name if name in SPLITS else "", notes)
            yield from self.file(path / LABEL_FILE, place, wrong or "labels, no sound")
        own = _own_kind(path)  # asked for by name: entered, but not what it made of other sounds
        for entry in sorted(os.scandir(path), key=lambda entry: entry.name):
            child = path / entry.name
            if not os.path.isdir(child):  # Path.is_dir raises where a folder may be listed but not entered
                yield from self.file(child, place)
            elif entry.name.startswith("."):
                yield FoundFile(child, reason="hidden")
            elif kind := _own_kind(child) or (own if entry.name in OWN_PARTS else ""):
                yield FoundFile(child, reason=f"{OWN}: {kind}")
            else:
                below = (
                    _Place(class_name=printable(entry.name)) if depth == 0 and place.notes is None else place
                )
                yield from self.folder(child, below, depth + 1)

    def _enter(self, path: Path) -> str:
        """'' or why this folder is not read."""
        try:
            os.scandir(path).close()
            status = os.stat(path)
        except OSError as error:
            return f"folder cannot be read ({error.strerror})"
        if (status.st_dev, status.st_ino) in self.entered:
            return "a folder already read (link or loop)"
        self.entered.add((status.st_dev, status.st_ino))
        return ""

    def file(self, path: Path, place: _Place, reason: str = "", named: bool = False) -> Iterator[FoundFile]:
        if os.path.abspath(path) in self.seen:
            return
        self.seen.add(os.path.abspath(path))
        reason = reason or _path_reason(path) or _kind_reason(path) or ("" if named else _made_reason(path))
        yield FoundFile(path, {}, "", reason) if reason else FoundFile(path, place.labels(path), place.split)


def _require_there(path: Path) -> None:
    """Raises: UserError."""
    try:
        os.stat(path)
    except FileNotFoundError:
        raise UserError(f"{printable(path)}: no such file or folder; give a folder of sounds") from None
    except OSError as error:
        raise UserError(f"{printable(path)}: cannot be read ({error.strerror})") from None


def find_files(inputs: Sequence[str | Path]) -> list[FoundFile]:
    """Every file in the folders (recursively) and files given, sorted by path within each.

    With several folders, a file that lies directly in one of them has that folder's name as its `class`.
    A file given by name is tried whatever its extension. Raises: UserError for a missing or empty input.
    """
    if not inputs:
        raise UserError("no sounds given; name a folder of sounds")
    walk, found = _Walk(), list[FoundFile]()
    for path in map(Path, inputs):
        _require_there(path)
        if not os.path.isdir(path):
            suffix = path.suffix.lower()
            needs = f"{UNREADABLE_SUFFIXES[suffix]} {CONVERT}" if suffix in UNREADABLE_SUFFIXES else ""
            found += walk.file(path, _Place(), needs or _kind_reason(path), named=True)
            continue
        place = _Place(class_name=printable(path.resolve().name) if len(inputs) > 1 else "")
        below = list(walk.folder(path, place))
        if not below:
            raise UserError(f"{printable(path)}: an empty folder; give a folder of sounds")
        found += below
    return found
