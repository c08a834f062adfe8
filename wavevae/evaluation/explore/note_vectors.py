"""A note as one point, where its latents are and how far they move: maps of such points, and nearest neighbours."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from wavevae.evaluation.judged_latents import draw_map
from wavevae.latents import Plane

from .contact_sheet import Cell, Grid
from .explored_model import ExploredModel
from .notes import Note, pitches

SMALLEST_SPREAD = 1e-3
"""Of a training standard deviation: an axis that moves less stands still."""
FURTHEST = 3.0
TO_STD = 1.4826
"""Of a normal distribution: median absolute deviation -> standard deviation."""
NEIGHBOURS, MIN_DIST = 30, 0.1
"""UMAP's, as in study C."""
FEWEST_FOR_UMAP = 5
HOW_TO_GET_UMAP = "no UMAP picture: umap-learn is not installed; pip install 'wavevae[explore]'"


def note_vectors(instrument: ExploredModel, notes: Sequence[Note]) -> np.ndarray:
    """(notes, 2 latent_dim): mean and log standard deviation of each principal axis over the frames that sound, each
    to median 0 and unit width over the notes. A latent of a waveform turns with its phase, so the mean alone says
    little; how far an axis moves says how much of it there is. Few notes with far outlying numbers decide nothing:
    the width is robust (median absolute deviation) and what is beyond FURTHEST widths counts as that."""
    rows = []
    for note in notes:
        axes = instrument.axes(note.sounding_means)
        rows.append(np.concatenate([axes.mean(0), np.log(axes.std(0) + SMALLEST_SPREAD)]))
    found = np.array(rows)
    apart = found - np.median(found, 0)
    width = TO_STD * np.median(np.abs(apart), 0)
    width = np.where(width > 1e-6, width, found.std(0))
    return np.clip(apart / np.where(width > 1e-6, width, np.inf), -FURTHEST, FURTHEST)


def umap_plane(vectors: np.ndarray) -> tuple[np.ndarray | None, str]:
    """(notes, 2) by UMAP (McInnes et al. 2018), the same each time; or none, and why."""
    if len(vectors) < FEWEST_FOR_UMAP:
        return None, f"no UMAP picture of {len(vectors)} notes: it needs {FEWEST_FOR_UMAP}"
    try:
        umap: Any = __import__("umap")
    except ImportError:
        return None, HOW_TO_GET_UMAP
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of its own threads and of sparse graphs
        fit = umap.UMAP(n_neighbors=min(NEIGHBOURS, len(vectors) - 1), min_dist=MIN_DIST, random_state=0)
        return np.asarray(fit.fit_transform(vectors), float), ""


MOST_FRAMES = 6000
PAD = (-0.05, 1.05)
"""What of the plane is shown: the pad and a little more."""


def draw_frames(path: Path, instrument: ExploredModel, notes: Sequence[Note]) -> None:
    """Frames in the plane of the XY pad of `wavevae serve`, 0 to 1 where the training latents lie; drawn evenly from
    those that sound."""
    owners = np.repeat(np.arange(len(notes)), [int(n.sounding.sum()) for n in notes])
    chosen = np.linspace(0, len(owners) - 1, min(MOST_FRAMES, len(owners))).round().astype(int)
    axes = instrument.axes(np.concatenate([n.sounding_means for n in notes])[chosen])
    points = np.asarray(instrument.statistics.density.get("points", ()), float)
    places = Plane.of(points if len(points) else axes).places(axes)
    chosen_notes = [notes[owner] for owner in owners[chosen]]
    pitches = np.array([note.pitch for note in chosen_notes])
    names = ("XY pad, x (principal axis 1)", "XY pad, y (principal axis 2)")
    draw_map(path, places, [note.family or None for note in chosen_notes], pitches, names, size=6, span=PAD)


COUNT = 5
AT_ONCE = 256


class Neighbours(NamedTuple):
    """Of every note, of other files only."""

    near: np.ndarray
    """(notes, k)"""
    distance: np.ndarray
    """(notes, k), ascending; 1 is one standard deviation along one number of the vector."""


def nearest(notes: Sequence[Note], vectors: np.ndarray, count: int = COUNT) -> Neighbours:
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


def write_neighbours(path: Path, notes: Sequence[Note], found: Neighbours) -> None:
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


def likeness(notes: Sequence[Note], found: Neighbours) -> dict[str, Any]:
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


def neighbours_grid(
    notes: Sequence[Note], found: Neighbours, shown: Sequence[int], samples: int
) -> Grid | None:
    """A grid: a row a note, then its neighbours with their distances; none where nothing has any."""
    if not found.near.shape[1]:
        return None
    rows = []
    for number, i in enumerate(shown, 1):
        row = [Cell(f"{number}-note", notes[i].title, notes[i].sound[:samples])]
        for rank, (j, distance) in enumerate(zip(found.near[i], found.distance[i], strict=True), 1):
            its = notes[int(j)]
            row.append(Cell(f"{number}-near-{rank}", f"{its.title}, {distance:.1f}", its.sound[:samples]))
        rows.append(row)
    names = [notes[i].family or str(n) for n, i in enumerate(shown, 1)]
    columns = ["note", *(f"nearest {k}" for k in range(1, found.near.shape[1] + 1))]
    about = "The recordings themselves; the number after a name is its distance."
    return Grid("Nearest neighbours", about, rows, names, columns)
