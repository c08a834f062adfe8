"""Which notes are shown: loud ones, far apart, of several classes and pitches."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np

from .notes import Note, families, pitches

NEAR_SEMITONES = 4.0
"""Notes of two classes that are to be of one pitch may differ so much."""


def loud(notes: Sequence[Note]) -> list[int]:
    """The louder half."""
    levels = np.array([note.level_db for note in notes])
    return np.flatnonzero(levels >= np.median(levels)).tolist()


def middle(notes: Sequence[Note], vectors: np.ndarray) -> int:
    """The loud note nearest to the middle of all."""
    among = loud(notes)
    return among[int(np.square(vectors[among]).sum(1).argmin())]


def spread(vectors: np.ndarray, among: Sequence[int], count: int) -> list[int]:
    """Some that lie far from each other: the first nearest the middle, each next furthest from those before
    (Gonzalez 1985)."""
    places = vectors[list(among)]
    chosen = [int(np.square(places - places.mean(0)).sum(1).argmin())]
    distance = np.square(places - places[chosen[0]]).sum(1)
    while len(chosen) < min(count, len(among)):
        chosen.append(int(distance.argmax()))
        distance = np.minimum(distance, np.square(places - places[chosen[-1]]).sum(1))
    return [among[i] for i in chosen]


def of_classes(notes: Sequence[Note], vectors: np.ndarray, count: int) -> list[int]:
    """One loud note of each of some classes that lie far apart; without classes, notes far apart."""
    names = families(notes)
    if len(names) < 2:
        return spread(vectors, loud(notes), count)
    members = {name: [i for i, note in enumerate(notes) if note.family == name] for name in names}
    centres = np.array([vectors[members[name]].mean(0) for name in names])
    picked = spread(centres, range(len(names)), count)
    return [_example(notes, vectors, members[names[i]]) for i in picked]


def _example(notes: Sequence[Note], vectors: np.ndarray, members: Sequence[int]) -> int:
    """The loud one nearest to the middle of its class."""
    levels = np.array([notes[i].level_db for i in members])
    louder = [i for i, level in zip(members, levels, strict=True) if level >= np.median(levels)]
    centre = vectors[list(members)].mean(0)
    return louder[int(np.square(vectors[louder] - centre).sum(1).argmin())]


def corners(notes: Sequence[Note], vectors: np.ndarray) -> list[int]:
    """Four notes for a grid, row by row: two classes at two pitches where there are such; else one class' lowest and
    highest, or notes far apart. Fewer where there are no four."""
    heights = pitches(notes)
    known = np.isfinite(heights)
    names = families([n for n, there in zip(notes, known, strict=True) if there])
    if known.sum() >= 4 and len(names) >= 2:
        low, high = np.quantile(heights[known], (0.25, 0.75))
        found = {name: _at(notes, heights, name, (low, high)) for name in names}
        apart = [
            (_mean(notes, vectors, a), _mean(notes, vectors, b), a, b)
            for a, b in itertools.combinations(names, 2)
        ]
        pairs = [(np.square(x - y).sum(), a, b) for x, y, a, b in apart if found[a] and found[b]]
        if pairs and high - low >= 1:
            _, one, other = max(pairs)
            return [*found[one], *found[other]]
    return spread(vectors, loud(notes), 4)


def _mean(notes: Sequence[Note], vectors: np.ndarray, name: str) -> np.ndarray:
    middle: np.ndarray = vectors[[i for i, note in enumerate(notes) if note.family == name]].mean(0)
    return middle


def _at(notes: Sequence[Note], heights: np.ndarray, name: str, targets: tuple[float, float]) -> list[int]:
    """The class' loudest notes near each of two pitches; nothing where it has not both."""
    found = []
    for target in targets:
        near = [
            i for i, n in enumerate(notes) if n.family == name and abs(heights[i] - target) <= NEAR_SEMITONES
        ]
        if near:
            found.append(max(near, key=lambda i: notes[i].level_db - 3 * abs(heights[i] - target)))
    return found if len(set(found)) == 2 else []
