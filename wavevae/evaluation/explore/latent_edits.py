"""Grids of sounds decoded from changed latents: one principal axis moved or scaled, four notes mixed, one sound as
another (timbre transfer)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from wavevae.corpus.labels import FOLDER_FIELD
from wavevae.units import samples_to_frames

from .contact_sheet import Cell, Grid
from .explored_model import ExploredModel
from .notes import Note

OFFSETS = (-2.0, -1.0, 0.0, 1.0, 2.0)
"""Standard deviations of the training latents."""
SCALES = (0.0, 0.5, 1.0, 2.0, 4.0)
"""Times what the note has of the axis."""
AXES = 6


def traversals(instrument: ExploredModel, note: Note, samples: int, axes: int = AXES) -> list[Grid]:
    """A grid of offsets and a grid of scales, a row an axis, largest axes first: live, `bias` and `scale`."""
    latents = instrument.axes(note.means)[: samples_to_frames(samples, instrument.hop_length)]
    count = min(axes, latents.shape[1])
    condition = instrument.condition(note.labels)

    def cell(axis: int, shown: str, name: str, offset: float = 0.0, scale: float = 1.0) -> Cell:
        """The note with one axis changed."""
        changed = latents.copy()
        changed[:, axis] = scale * changed[:, axis] + offset
        sound = instrument.decode(instrument.raw(changed), condition)
        return Cell(f"{name.format(axis + 1)}", f"axis {axis + 1} {shown}", sound[:samples])

    rows = [f"axis {i + 1}" for i in range(count)]
    moved = [[cell(i, f"{k:+g}", f"bias-{{:02d}}-{k:+g}", k) for k in OFFSETS] for i in range(count)]
    scaled = [[cell(i, f"x {k:g}", f"scale-{{:02d}}-x{k:g}", scale=k) for k in SCALES] for i in range(count)]
    of_moved = "all frames moved along one principal axis, standard deviations of the training latents"
    of_scaled = "one principal axis times a factor; x 0 takes it away, x 1 is the resynthesis"
    return [
        Grid("One axis moved", f"{note.title}: {of_moved}", moved, rows, [f"{k:+g} sd" for k in OFFSETS]),
        Grid("One axis scaled", f"{note.title}: {of_scaled}", scaled, rows, [f"x {k:g}" for k in SCALES]),
    ]


STEPS = 5


def interpolation(
    instrument: ExploredModel, corners: Sequence[Note], samples: int, steps: int = STEPS
) -> Grid:
    """Four notes as the corners of a grid, row by row (of two or three: one row between the first two); bilinear in
    between."""
    corners = corners if len(corners) >= 4 else corners[:2]
    frames = samples_to_frames(samples, instrument.hop_length)
    latents = np.stack(
        [_filled(instrument, note, frames) for note in corners]
    )  # (corners, frames, latent_dim)
    shares = np.linspace(0, 1, steps)
    rows = []
    for r, v in enumerate(shares if len(corners) >= 4 else shares[:1]):
        row = []
        for c, u in enumerate(shares):
            weights = np.outer([1 - v, v], [1 - u, u]).ravel()[: len(corners)]
            condition = instrument.mixed([n.labels for n in corners], weights.tolist())
            sound = instrument.decode(np.tensordot(weights, latents, 1), condition)[:samples]
            row.append(Cell(f"{r + 1}-{c + 1}", " / ".join(f"{w:.0%}" for w in weights), sound))
        rows.append(row)
    places = ("top left", "top right", "bottom left", "bottom right")
    about = "; ".join(f"{where}: {note.title}" for where, note in zip(places, corners, strict=False))
    names = [f"{v:.0%}" for v in shares]
    return Grid("Between notes", f"Latents mixed frame by frame. {about}", rows, names[: len(rows)], names)


def _filled(instrument: ExploredModel, note: Note, frames: int) -> np.ndarray:
    """(frames, latent_dim): the note's beginning; a shorter one followed by the latents of silence."""
    have = note.means[:frames]
    if len(have) < frames:
        silent = np.zeros((frames - len(have)) * instrument.hop_length, np.float32)
        have = np.concatenate([have, instrument.encode(silent, note.labels)[: frames - len(have)]])
    return have


MOST_GAIN = 4.0
"""12 dB: what a note has next to nothing of is not blown up further."""


class Target:
    """What to sound like: one class, or one note where there are no classes."""

    def __init__(self, instrument: ExploredModel, example: Note, members: Sequence[Note]) -> None:
        self.example = example
        self.name = example.family or example.key
        axes = [instrument.axes(note.sounding_means) for note in members]
        self.mean = np.mean([a.mean(0) for a in axes], 0)
        self.spread = np.mean([a.std(0) for a in axes], 0)

    def statistics_onto(self, axes: np.ndarray, sounding: np.ndarray) -> np.ndarray:
        """(frames, latent_dim) with this target's mean and spread over the frames that sound."""
        there = axes[sounding]
        gain = self.spread / np.maximum(there.std(0), 1e-6)
        return (axes - there.mean(0)) * np.minimum(gain, MOST_GAIN) + self.mean


def by_class(instrument: ExploredModel, target: Target) -> bool:
    """Whether the model knows the target's class."""
    return instrument.model.config.has_class and target.name in instrument.facts.classes


def transferred(instrument: ExploredModel, note: Note, target: Target, samples: int) -> np.ndarray:
    """(samples,)"""
    frames = samples_to_frames(samples, instrument.hop_length)
    if by_class(instrument, target):
        pitch = {"pitch": note.labels["pitch"]} if "pitch" in note.labels else {}
        field = instrument.facts.class_field or FOLDER_FIELD
        condition = instrument.condition({field: target.name, **pitch})
        return instrument.decode(note.means[:frames], condition)[:samples]
    axes = target.statistics_onto(instrument.axes(note.means), note.sounding)[:frames]
    return instrument.decode(instrument.raw(axes), instrument.condition(note.labels))[:samples]


def transfers(
    instrument: ExploredModel, sources: Sequence[Note], targets: Sequence[Target], samples: int
) -> Grid | None:
    """A row a source: as it is, resynthesised, as each target; above them, what the targets are. None without."""
    if not sources or not targets:
        return None
    frames = samples_to_frames(samples, instrument.hop_length)
    head: list[Cell | None] = [None, None]
    head += [Cell(f"target-{n}", f"a {t.name}", t.example.sound[:samples]) for n, t in enumerate(targets, 1)]
    rows = [head]
    for number, note in enumerate(sources, 1):
        again = instrument.decode(note.means[:frames], instrument.condition(note.labels))[:samples]
        row: list[Cell | None] = [
            Cell(f"{number}-original", note.title, note.sound[:samples]),
            Cell(f"{number}-resynthesis", "resynthesis", again),
        ]
        for place, target in enumerate(targets, 1):
            sound = transferred(instrument, note, target, samples)
            row.append(Cell(f"{number}-as-{place}", f"as {target.name}", sound))
        rows.append(row)
    classes = all(by_class(instrument, target) for target in targets)
    how = "Decoded under the class" if classes else "Statistics of each latent axis taken from the class"
    names = ["targets", *(note.family or note.key for note in sources)]
    columns = ["original", "resynthesis", *(f"as {t.name}" for t in targets)]
    return Grid("Timbre transfer", f"{how} above.", rows, names, columns)
