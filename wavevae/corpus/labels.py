"""Labels of files: which class, which pitch; from the folder's name, NSynth's fields, or (pitch) the file's name.

A pitch that no label file has is read from the file's name, checked with the pitch tracker, else from the tracker. A
name has a written pitch in its maker's own counting of octaves (middle C is C4, C3 or C5), and a name that looks like a
note may be none (`take_b2`). So names are compared with the pitches that the tracker finds in some of the files: a
shift that they share is taken out, and names that disagree are not believed.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from wavevae.config import ModelConfig
from wavevae.console import Progress
from wavevae.corpus.pitch_track import pitch_track
from wavevae.corpus.store import Item, Store
from wavevae.corpus_profile import VOICED_PERIODICITY
from wavevae.errors import UserError, nearest
from wavevae.names import composed, matching
from wavevae.nn.pitch import PitchTracker

NAME, TRACKER = "name", "tracker"
"""Where a pitch that no label file has is from."""
FOLDER_FIELD, NSYNTH_FIELD = "class", "instrument_family"
HIGHEST_PITCH = 127
STEPS = {"c": 0, "d": 2, "e": 4, "f": 5, "g": 7, "a": 9, "b": 11}
SHARPS, FLATS = ("#", "♯", "s", "sharp"), ("b", "♭", "flat")
NOTE = re.compile(r"(?<![A-Za-z0-9#♯♭])([A-Ga-g])(#|♯|♭|sharp|flat|s|b)?(\d{1,2})(?![A-Za-z0-9#♯♭])")
"""A letter, an accidental, an octave, and nothing else that a word or a number could be made of."""
GERMAN = re.compile(r"(?<![A-Za-z0-9])[EeAa]s\d(?![A-Za-z0-9])")
"""`Es4` is E flat, and `As3` may be A flat or A sharp."""
NUMBER = re.compile(r"(?<![A-Za-z0-9])(?:midi|note|pitch|key)[ _-]?(\d{1,3})(?![0-9])", re.IGNORECASE)
NSYNTH = re.compile(r"_(?:acoustic|electronic|synthetic)_\d{3}-(\d{3})-\d{3}$")
"""A bare number may count takes, velocities or beats; these are MIDI pitches."""

TRACK_HOP = 256
"""Of the track that instruments keep, samples."""
LISTENED_S = 10.0
STEADY_SEMITONES, STEADY_SHARE = 0.6, 0.7
"""A file has one pitch if so much of what is voiced lies so near its median."""
FEWEST_VOICED = 10
"""Frames."""
CHECKED_FILES = 24
AGREE_SEMITONES, AGREE_SHARE = 0.7, 0.6
"""Names are believed if so many of the files that have one pitch have it so near the name's, after a common shift."""
FEWEST_CHECKED = 3
"""Files with one pitch; fewer say nothing against names."""


class Label(NamedTuple):
    """Of one file."""

    class_number: int
    """Place in the classes; -1 for none."""
    pitch: float
    """MIDI; NaN for none."""


NO_LABEL = Label(-1, math.nan)


@dataclass(frozen=True)
class Labels:
    """The labels of files that a model takes: `condition` says which kinds."""

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

    def describe(self, items: Sequence[Item]) -> list[str]:
        """Lines for the user: how many files of which label, and which classes are too small."""
        found, lines = self.summary(items), []
        if "class" in self.condition:
            listed = ", ".join(f"{name} {count}" for name, count in found["classes"].items())
            without = missing(found["without_class"], "class")
            lines.append(f"{len(self.classes)} classes of {self.field}: {listed}{without}")
            single = [name for name, count in found["classes"].items() if count == 1]
            if single:
                lines.append(
                    f"one file only of {', '.join(single)}: too little to tell the class from the file; "
                    "give more of it"
                )
        if "pitch" in self.condition:
            span = "{:g} to {:g}".format(*found["pitch_range"]) if found["pitch_range"] else "none"
            lines.append(f"pitches {span}{pitch_sources(items)}{missing(found['without_pitch'], 'pitch')}")
        return lines


def pitch_sources(items: Sequence[Item]) -> str:
    """' (12 from file names, 3 by the pitch tracker)'; '' where label files name all pitches."""
    counts = Counter(item.labels.get("pitch_from") for item in items)
    kinds = {NAME: "from file names", TRACKER: "by the pitch tracker"}
    parts = [f"{counts[kind]} {words}" for kind, words in kinds.items() if counts[kind]]
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
    """The labels that the model takes, from the files; none for an unconditional model.

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
    """The class of each, '' where it has none; [] where there are no classes, whatever the model takes."""
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


# -- pitches that no label file has ------------------------------------------------------------------------


def pitch_of_name(name: str) -> float | None:
    """MIDI pitch written in a file's name without its extension (C4 = 60); none where there is none, or two."""
    name = composed(name)
    found = {float(match.group(1)) for pattern in (NUMBER, NSYNTH) for match in pattern.finditer(name)}
    if not found and GERMAN.search(name):
        return None
    if not found:
        found = {_midi(*match.groups()) for match in NOTE.finditer(name)}
    pitch = found.pop() if len(found) == 1 else -1.0
    return pitch if 0 <= pitch <= HIGHEST_PITCH else None


def _midi(letter: str, accidental: str | None, octave: str) -> float:
    """60 for C, none, 4."""
    sign = (accidental or "") in SHARPS
    return 12.0 * (int(octave) + 1) + STEPS[letter.lower()] + sign - ((accidental or "") in FLATS)


def steady_pitch(track: np.ndarray) -> float | None:
    """(2, frames) pitch and periodicity -> the one MIDI pitch of the sound; none where it has several or none."""
    voiced = track[0][track[1] >= VOICED_PERIODICITY]
    if len(voiced) < FEWEST_VOICED:
        return None
    middle = float(np.median(voiced))
    near = np.abs(voiced - middle) <= STEADY_SEMITONES
    return round(middle, 2) if near.mean() >= STEADY_SHARE else None


def tracked_pitch(sound: np.ndarray, sample_rate: int) -> float | None:
    """The one pitch of the first LISTENED_S of a sound (samples,), by the pitch tracker."""
    try:
        tracker = PitchTracker(sample_rate, TRACK_HOP)
    except UserError:  # a rate below those that it takes
        return None
    start = torch.from_numpy(np.asarray(sound[: round(LISTENED_S * sample_rate)], np.float32))
    padded: Tensor = torch.nn.functional.pad(start, (0, -len(start) % TRACK_HOP + tracker.latency_samples))
    return steady_pitch(tracker(padded[None, None])[0].numpy())


@dataclass(frozen=True)
class Pitches:
    """Of some files, in their order."""

    values: list[float | None]
    """MIDI."""
    sources: list[str]
    """NAME or TRACKER, '' where there is none."""
    remarks: list[str]
    """For the user."""
    shift: float | None = None
    """Semitones by which the sounds are higher than their names; none where no name was used."""


def find_pitches(
    names: Sequence[str], track: Callable[[int], float | None], known_shift: float | None = None
) -> Pitches:
    """Pitches of files by their names; `track(i)` is what the tracker finds in file i. `known_shift`: by how many
    semitones the sounds of training were higher than their names, where that was found then."""
    named = [pitch_of_name(name) for name in names]
    shift, remarks = (known_shift, []) if known_shift is not None else _common_shift(named, track)
    values: list[float | None] = []
    sources = []
    for i, pitch in enumerate(named):
        if pitch is not None and shift is not None and 0 <= pitch + shift <= HIGHEST_PITCH:
            values.append(pitch + shift)
            sources.append(NAME)
        else:
            values.append(track(i))
            sources.append("" if values[-1] is None else TRACKER)
    return Pitches(values, sources, remarks, shift if NAME in sources else None)


def _common_shift(
    named: Sequence[float | None], track: Callable[[int], float | None]
) -> tuple[float | None, list[str]]:
    """Whole semitones by which the files sound higher than their names, none where names and sounds disagree; and
    remarks for the user."""
    known = [(i, pitch) for i, pitch in enumerate(named) if pitch is not None]
    if not known:
        return None, []
    spread = np.unique(np.linspace(0, len(known) - 1, min(CHECKED_FILES, len(known))).round().astype(int))
    pairs = [(track(i), pitch) for i, pitch in (known[n] for n in spread)]
    gaps = [tracked - pitch for tracked, pitch in pairs if tracked is not None]
    if len(gaps) < FEWEST_CHECKED:
        return 0.0, []
    shift = float(np.round(np.median(gaps)))
    agreeing = int((np.abs(np.array(gaps) - shift) <= AGREE_SEMITONES).sum())
    if agreeing < AGREE_SHARE * len(gaps):
        return None, [
            f"{len(known)} file names look like notes, but only {agreeing} of {len(gaps)} sound so: they are not taken "
            "for pitches"
        ]
    if not shift:
        return 0.0, []
    octaves = f" ({abs(shift) / 12:g} octave{'s' * (abs(shift) > 12)})" if shift % 12 == 0 else ""
    way = "higher" if shift > 0 else "lower"
    return shift, [
        f"the files sound {abs(shift):g} semitones{octaves} {way} than their names say: so they are labelled"
    ]


def labels_with_pitch(labels: dict[str, Any], value: float | None, source: str) -> dict[str, Any]:
    """A file's labels, and where its pitch is from."""
    return labels if value is None else {**labels, "pitch": value, "pitch_from": source}


def name_shift(labels: Sequence[Mapping[str, Any]], names: Sequence[str]) -> float | None:
    """By how many semitones files labelled by `with_pitches` sound higher than their names; none without names."""
    for known, name in zip(labels, names, strict=True):
        written = pitch_of_name(name)
        if known.get("pitch_from") == NAME and written is not None:
            return float(known["pitch"]) - written
    return None


def with_pitches(
    store: Store, progress: Progress | None = None, hop_length: int = TRACK_HOP
) -> tuple[Store, list[str]]:
    """A store whose files have a pitch where they can, label files first; and remarks for the user.

    `hop_length`: of the track to look into, or to make; an instrument's run keeps one at its own.
    """
    bare = [i for i, item in enumerate(store.items) if "pitch" not in item.labels]
    if not bare:
        return store, []
    tracks: list[Any] = []

    def track(number: int) -> float | None:
        if store.sample_rate < 8000:
            return None
        if not tracks:
            tracks.append(pitch_track(store, hop_length, progress=progress))
        return steady_pitch(tracks[0].item(bare[number]))

    names = [Path(store.items[i].path).stem for i in bare]
    found = find_pitches(names, track)
    items = list(store.items)
    for i, value, source in zip(bare, found.values, found.sources, strict=True):
        items[i] = replace(items[i], labels=labels_with_pitch(items[i].labels, value, source))
    return replace(store, items=items), found.remarks
