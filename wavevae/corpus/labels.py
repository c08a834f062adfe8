"""Labels of files: which class, which pitch; from the folder's name, NSynth's fields, or (pitch) the file's name."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from wavevae.config import ModelConfig
from wavevae.corpus.pitches import name_shift
from wavevae.corpus.store import Item
from wavevae.errors import UserError, nearest
from wavevae.names import composed, matching

FOLDER_FIELD, NSYNTH_FIELD = "class", "instrument_family"
HIGHEST_PITCH = 127


class Label(NamedTuple):
    """Of one file."""

    class_number: int
    """Place in the classes; -1 for none."""
    pitch: float
    """MIDI; NaN for none."""


NO_LABEL = Label(-1, math.nan)


@dataclass(frozen=True)
class Labels:
    """What a model is told of files. A kind that it is not told is no label."""

    condition: str
    field: str
    """Where the class stands."""
    classes: tuple[str, ...]

    def of(self, item: Item) -> Label:
        name = class_of(item.labels, self.field) if "class" in self.condition else None
        known = None if name is None else matching(name, self.classes)
        number = -1 if known is None else self.classes.index(known)
        pitch = pitch_of(item.labels) if "pitch" in self.condition else None
        return Label(number, math.nan if pitch is None else pitch)

    def describe(self, items: Sequence[Item]) -> list[str]:
        """Lines for the user: how many files of which label, and what is worth knowing of them."""
        labels = [self.of(item) for item in items]
        lines = []
        if "class" in self.condition:
            lines += self._describe_classes([label.class_number for label in labels])
        if "pitch" in self.condition:
            pitches = [label.pitch for label in labels if not math.isnan(label.pitch)]
            span = f"{min(pitches):g} to {max(pitches):g}" if pitches else "none"
            told = from_where(items)
            lines.append(f"pitches {span}{told}{missing(len(labels) - len(pitches), 'pitch')}")
        return lines

    def _describe_classes(self, numbers: Sequence[int]) -> list[str]:
        counts = Counter(numbers)
        listed = ", ".join(f"{name} {counts[n]}" for n, name in enumerate(self.classes))
        lines = [f"{len(self.classes)} classes of {self.field}: {listed}{missing(counts[-1], 'class')}"]
        single = [name for n, name in enumerate(self.classes) if counts[n] == 1]
        if single:
            lines.append(
                f"one file only of {', '.join(single)}: too little to tell the class from the file; give more of it"
            )
        return lines

    def summary(self, items: Sequence[Item]) -> dict[str, Any]:
        """Plain values for a checkpoint: files of each class, lowest and highest pitch."""
        labels = [self.of(item) for item in items]
        counts = Counter(label.class_number for label in labels)
        pitches = [label.pitch for label in labels if not math.isnan(label.pitch)]
        return {
            "field": self.field,
            "classes": {name: counts[n] for n, name in enumerate(self.classes)},
            "pitch_range": [min(pitches), max(pitches)] if pitches else [],
            "without_class": counts[-1] if "class" in self.condition else 0,
            "without_pitch": len(labels) - len(pitches) if "pitch" in self.condition else 0,
            "name_shift": name_shift([item.labels for item in items], [item.path.stem for item in items]),
        }


def from_where(items: Sequence[Item]) -> str:
    """' (12 from file names, 3 by the pitch tracker)', or nothing where a label file says all."""
    counts = Counter(item.labels.get("pitch_from") for item in items)
    said = {"name": "from file names", "tracker": "by the pitch tracker"}
    parts = [f"{counts[kind]} {words}" for kind, words in said.items() if counts[kind]]
    return f" ({', '.join(parts)})" if parts else ""


def missing(count: int, kind: str) -> str:
    """'; 3 files without a pitch, learned unlabelled', or nothing."""
    return f"; {count} files without a {kind}, learned unlabelled" if count else ""


def class_of(labels: Mapping[str, Any], field: str = "") -> str | None:
    """The class by name; none where it is not known. NSynth's numbered fields have their names in FIELD_str.

    Without a `field`: the folder's class, else NSynth's instrument family.
    """
    for name in (field,) if field else (FOLDER_FIELD, NSYNTH_FIELD):
        for value in (labels.get(f"{name}_str"), labels.get(name)):
            if isinstance(value, (str, int)) and str(value):
                return composed(str(value))
    return None


def pitch_of(labels: Mapping[str, Any]) -> float | None:
    """The pitch, MIDI with its fraction (60.5 stays 60.5); none where the file has none between 0 and 127."""
    value = labels.get("pitch")
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= HIGHEST_PITCH:
        return None
    return float(value)


def find_labels(items: Iterable[Item], model: ModelConfig, field: str = "") -> Labels | None:
    """What the files say of what the model is to be told; none for an unconditional model.

    Classes that the model has already (a resumed run, another run's config) stay as they are.
    Raises: UserError where no file has the label, or all have the same.
    """
    items = list(items)
    if model.condition == "none":
        return None
    field = class_field(items, field) if model.has_class else ""
    names = {class_of(item.labels, field) for item in items} - {None} if model.has_class else set()
    classes = model.classes or tuple(sorted(name for name in names if name))
    if model.has_class and len(classes) < 2:
        raise UserError(
            f"--condition {model.condition}: every file is of {field} '{''.join(classes)}'; give sounds of two classes "
            "or more, or leave class out"
        )
    if model.has_pitch and all(pitch_of(item.labels) is None for item in items):
        raise UserError(
            f"--condition {model.condition}: no file has a pitch: none in its name (A3-p.flac, sax_c4_f.wav), in an "
            "examples.json of NSynth's layout, or held for the length of the file; name them so, or leave pitch out"
        )
    return Labels(model.condition, field, classes)


def class_names(items: Sequence[Item], asked: str = "") -> list[str]:
    """The class of each, '' where it has none; nothing where there are no classes. Also of what no model is told."""
    try:
        field = class_field(items, asked)
    except UserError:
        return []
    return [class_of(item.labels, field) or "" for item in items]


def class_field(items: Sequence[Item], asked: str) -> str:
    """The label that names the class. Raises: UserError where no file has it."""
    known = {name.removesuffix("_str") for item in items for name in item.labels}
    if asked and asked not in known:
        advice = nearest(asked, known) if known else "no file has a label"
        raise UserError(f"--class-field {asked}: no file has it; {advice}")
    for field in (asked, FOLDER_FIELD, NSYNTH_FIELD):
        if field in known:
            return field
    raise UserError(
        "--condition class: no file has a class; put the sounds of each class into a folder of its own, or name the "
        "label with --class-field"
    )
