"""Nearest neighbours in the space of note vectors: who is near whom, and whether they are alike."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from .notes import Note, pitches

COUNT = 5
AT_ONCE = 256


class Neighbours(NamedTuple):
    """Of every note, of other files only."""

    near: np.ndarray
    """(notes, k)"""
    distance: np.ndarray
    """(notes, k), ascending; 1 is one standard deviation along one number of the vector."""


def find(notes: Sequence[Note], vectors: np.ndarray, count: int = COUNT) -> Neighbours:
    """The k nearest of each; fewer columns where there are not so many other files."""
    files = np.unique([str(note.path) for note in notes], return_inverse=True)[1]
    others = len(notes) - int(np.bincount(files).max())
    k = min(count, others)
    squares = np.square(vectors).sum(1)
    index, distance = np.zeros((len(notes), k), int), np.zeros((len(notes), k))
    for first in range(0, len(notes) if k else 0, AT_ONCE):
        part = slice(first, first + AT_ONCE)
        apart = squares[part, None] + squares[None] - 2 * vectors[part] @ vectors.T
        apart[files[part, None] == files[None]] = np.inf
        index[part] = np.argsort(apart, 1, kind="stable")[:, :k]
        distance[part] = np.sqrt(np.maximum(np.take_along_axis(apart, index[part], 1), 0))
    return Neighbours(index, distance)


def write(path: Path, notes: Sequence[Note], found: Neighbours) -> None:
    """neighbours.csv: a row a pair."""
    with open(path, "w", newline="", encoding="utf-8", errors="backslashreplace") as file:
        table = csv.writer(file)
        table.writerow(
            ["note", "family", "pitch", "rank", "neighbour", "its_family", "its_pitch", "distance"]
        )
        for note, row, distances in zip(notes, found.near, found.distance, strict=True):
            for rank, (other, distance) in enumerate(zip(row, distances, strict=True), 1):
                its = notes[int(other)]
                pair = [note.key, note.family, _pitch(note), rank, its.key, its.family, _pitch(its)]
                table.writerow([*pair, f"{distance:.4f}"])


def _pitch(note: Note) -> str:
    return "" if np.isnan(note.pitch) else f"{note.pitch:g}"


def alike(notes: Sequence[Note], found: Neighbours) -> dict[str, Any]:
    """How often neighbours share the class, and how far apart their pitches are; each beside what luck would give."""
    out: dict[str, Any] = {}
    names = [note.family for note in notes]
    known = [i for i, name in enumerate(names) if name]
    if not found.near.shape[1]:
        return out
    if len({names[i] for i in known}) > 1:
        same = [names[j] == names[i] for i in known for j in found.near[i] if names[j]]
        counts = Counter(names[i] for i in known)
        chance = sum(c * (c - 1) for c in counts.values()) / (len(known) * (len(known) - 1))
        out["same_family"] = float(np.mean(same)) if same else None
        out["same_family_by_chance"] = chance
    heights = pitches(notes)
    gaps = np.abs(heights[found.near] - heights[:, None])
    if np.isfinite(gaps).any() and np.isfinite(heights).sum() > 1:
        there = heights[np.isfinite(heights)]
        out["pitch_apart_semitones"] = float(np.nanmean(gaps))
        out["pitch_apart_by_chance"] = float(
            np.abs(there[:, None] - there[None]).sum() / (len(there) * (len(there) - 1))
        )
    return out


def show(notes: Sequence[Note], found: Neighbours, shown: Sequence[int], samples: int) -> Any:
    """A grid: a row a note, then its neighbours with their distances; none where nothing has any."""
    from .contact_sheet import Cell, Grid

    if not found.near.shape[1]:
        return None
    rows = []
    for number, i in enumerate(shown, 1):
        row = [Cell(f"{number}-note", notes[i].title, notes[i].sound[:samples])]
        for rank, (j, distance) in enumerate(zip(found.near[i], found.distance[i], strict=True), 1):
            its = notes[int(j)]
            row.append(Cell(f"{number}-near-{rank}", f"{its.title}, {distance:.1f}", its.sound[:samples]))
        rows.append(row)
    columns = ["note", *(f"nearest {k}" for k in range(1, found.near.shape[1] + 1))]
    about = "The recordings themselves; the number after a name is its distance."
    return Grid(
        "Nearest neighbours",
        about,
        rows,
        [notes[i].family or str(n) for n, i in enumerate(shown, 1)],
        columns,
    )
