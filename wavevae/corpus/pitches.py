"""One MIDI pitch a file: from its name, checked by ear where there is something to hear, else from the pitch tracker.

What a name says is written pitch in the maker's own counting of octaves (middle C is C4, C3 or C5), and a name that
looks like a note may be none (`take_b2`). So names are compared with what the tracker hears in some of the files: a
shift that they share is taken out, and names that disagree are not believed.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from wavevae.console import Progress
from wavevae.corpus.pitch_track import VOICED_PERIODICITY, pitch_track
from wavevae.corpus.store import Store
from wavevae.errors import UserError
from wavevae.nn.pitch import PitchTracker

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


def pitch_of_name(name: str) -> float | None:
    """MIDI pitch that a file's name without its extension tells (C4 = 60); none where it tells none, or two."""
    name = unicodedata.normalize("NFC", name)
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


def heard_pitch(sound: np.ndarray, sample_rate: int) -> float | None:
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
    """What the user should know of them."""
    shift: float | None = None
    """Semitones by which the sounds are higher than their names say; none where no name was believed."""


NAME, TRACKER = "name", "tracker"


def find_pitches(
    names: Sequence[str], listen: Callable[[int], float | None], known_shift: float | None = None
) -> Pitches:
    """Pitches of files by their names; `listen(i)` is what the tracker hears in file i. `known_shift`: by how many
    semitones the sounds of training were higher than their names, where that was found then."""
    named = [pitch_of_name(name) for name in names]
    told = [i for i, pitch in enumerate(named) if pitch is not None]
    shift, remarks = (known_shift, []) if known_shift is not None else _checked(named, told, listen)
    values: list[float | None] = []
    sources = []
    for i, pitch in enumerate(named):
        by_name = None if pitch is None or shift is None else pitch + shift
        if by_name is not None and 0 <= by_name <= HIGHEST_PITCH:
            values.append(by_name)
            sources.append(NAME)
        else:
            values.append(listen(i))
            sources.append("" if values[-1] is None else TRACKER)
    return Pitches(values, sources, remarks, shift if NAME in sources else None)


def _checked(
    named: Sequence[float | None], told: Sequence[int], listen: Callable[[int], float | None]
) -> tuple[float | None, list[str]]:
    """Whole semitones by which the files sound higher than their names say; none where names are not believed."""
    if not told:
        return None, []
    spread = np.unique(np.linspace(0, len(told) - 1, min(CHECKED_FILES, len(told))).round().astype(int))
    gaps = []
    for i in (told[int(place)] for place in spread):
        heard, says = listen(i), named[i]
        if heard is not None and says is not None:
            gaps.append(heard - says)
    if len(gaps) < FEWEST_CHECKED:
        return 0.0, []
    shift = float(np.round(np.median(gaps)))
    agreeing = int((np.abs(np.array(gaps) - shift) <= AGREE_SEMITONES).sum())
    if agreeing < AGREE_SHARE * len(gaps):
        return None, [
            f"{len(told)} file names look like notes, but only {agreeing} of {len(gaps)} sound so: they are not taken "
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
    """A store whose files have a pitch where they can; what a label file says stays. Also words for the user.

    `hop_length`: of the track to look into, or to make; an instrument's run keeps one at its own.
    """
    bare = [i for i, item in enumerate(store.items) if "pitch" not in item.labels]
    if not bare:
        return store, []
    tracks: list[Any] = []

    def listen(number: int) -> float | None:
        if store.sample_rate < 8000:
            return None
        if not tracks:
            tracks.append(pitch_track(store, hop_length, progress=progress))
        return steady_pitch(tracks[0].item(bare[number]))

    names = [Path(store.items[i].path).stem for i in bare]
    found = find_pitches(names, listen)
    items = list(store.items)
    for i, value, source in zip(bare, found.values, found.sources, strict=True):
        items[i] = replace(items[i], labels=labels_with_pitch(items[i].labels, value, source))
    return replace(store, items=items), found.remarks
