"""Grids of sounds decoded from changed latents: one principal axis moved or scaled, four notes mixed, one sound as
another (timbre transfer)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

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
    latents = instrument.axes(note.means)[: -(-samples // instrument.hop_length)]
    count = min(axes, latents.shape[1])
    heard = _Heard(instrument, note, latents, samples)
    rows = [f"axis {i + 1}" for i in range(count)]
    moved = [
        [heard.cell(i, f"{k:+g}", k, 1.0, f"bias-{i + 1:02d}-{k:+g}") for k in OFFSETS] for i in range(count)
    ]
    scaled = [
        [heard.cell(i, f"x {k:g}", 0.0, k, f"scale-{i + 1:02d}-x{k:g}") for k in SCALES] for i in range(count)
    ]
    return [
        Grid(
            "One axis moved",
            f"{note.title}: all frames moved along one principal axis, standard deviations of the training latents",
            moved,
            rows,
            [f"{k:+g} sd" for k in OFFSETS],
        ),
        Grid(
            "One axis scaled",
            f"{note.title}: one principal axis times a factor; x 0 takes it away, x 1 is the resynthesis",
            scaled,
            rows,
            [f"x {k:g}" for k in SCALES],
        ),
    ]


class _Heard:
    """The note with one axis changed."""

    def __init__(self, instrument: ExploredModel, note: Note, latents: np.ndarray, samples: int) -> None:
        self.instrument, self.latents, self.samples = instrument, latents, samples
        self.condition = instrument.condition(note.labels)

    def cell(self, axis: int, shown: str, offset: float, scale: float, name: str) -> Cell:
        changed = self.latents.copy()
        changed[:, axis] = scale * changed[:, axis] + offset
        sound = self.instrument.decode(self.instrument.raw(changed), self.condition)
        return Cell(name, f"axis {axis + 1} {shown}", sound[: self.samples])


STEPS = 5


def interpolation(
    instrument: ExploredModel, corners: Sequence[Note], samples: int, steps: int = STEPS
) -> Grid:
    """Four notes as the corners of a grid, row by row (of two or three: one row between the first two); bilinear in
    between."""
    corners = corners if len(corners) >= 4 else corners[:2]
    frames = -(-samples // instrument.hop_length)
    latents = np.stack(
        [_filled(instrument, note, frames) for note in corners]
    )  # (corners, frames, latent_dim)
    down = np.linspace(0, 1, steps if len(corners) >= 4 else 1)
    rows = []
    for r, v in enumerate(down):
        row = []
        for c, u in enumerate(np.linspace(0, 1, steps)):
            weights = _weights(float(u), float(v), len(corners))
            mixed = np.tensordot(weights, latents, 1)
            condition = instrument.mixed([n.labels for n in corners], weights.tolist())
            sound = instrument.decode(mixed, condition)[:samples]
            row.append(Cell(f"{r + 1}-{c + 1}", _caption(weights), sound))
        rows.append(row)
    names = [note.title for note in corners]
    corner = ("top left", "top right", "bottom left", "bottom right")
    about = "; ".join(f"{where}: {name}" for where, name in zip(corner, names, strict=False))
    shares = [f"{v:.0%}" for v in np.linspace(0, 1, steps)]
    return Grid("Between notes", f"Latents mixed frame by frame. {about}", rows, shares[: len(rows)], shares)


def _weights(u: float, v: float, count: int) -> np.ndarray:
    """Bilinear shares of the corners; of two, linear; of one, whole."""
    if count >= 4:
        return np.array([(1 - u) * (1 - v), u * (1 - v), (1 - u) * v, u * v])
    return np.array([1 - u, u]) if count >= 2 else np.ones(1)


def _caption(weights: np.ndarray) -> str:
    return " / ".join(f"{w:.0%}" for w in weights)


def _filled(instrument: ExploredModel, note: Note, frames: int) -> np.ndarray:
    """(frames, latent_dim): the note's beginning; a shorter one followed by the latents of silence."""
    have = note.means[:frames]
    if len(have) < frames:
        silent = np.zeros((frames - len(have)) * instrument.hop_length, np.float32)
        have = np.concatenate([have, instrument.encode(silent, note.labels)[: frames - len(have)]])
    return have


MOST_GAIN = 4.0
"""12 dB: what a note has next to nothing of is not blown up further."""
FIELDS = ("class", "instrument_family_str", "instrument_family")


class Target:
    """What to sound like: one class, or one note where there are no classes."""

    def __init__(self, instrument: ExploredModel, example: Note, members: Sequence[Note]) -> None:
        self.example = example
        self.name = example.family or example.key
        axes = [instrument.axes(note.heard) for note in members]
        self.mean = np.mean([a.mean(0) for a in axes], 0)
        self.spread = np.mean([a.std(0) for a in axes], 0)

    def statistics_onto(self, axes: np.ndarray, sounding: np.ndarray) -> np.ndarray:
        """(frames, latent_dim) with this target's mean and spread over the frames that sound."""
        heard = axes[sounding]
        gain = self.spread / np.maximum(heard.std(0), 1e-6)
        return (axes - heard.mean(0)) * np.minimum(gain, MOST_GAIN) + self.mean


def by_class(instrument: ExploredModel, target: Target) -> bool:
    """Whether the model knows the target's class."""
    return instrument.model.config.has_class and target.name in instrument.facts.classes


def transferred(instrument: ExploredModel, note: Note, target: Target, samples: int) -> np.ndarray:
    """(samples,)"""
    frames = -(-samples // instrument.hop_length)
    if by_class(instrument, target):
        pitch = {"pitch": note.labels["pitch"]} if "pitch" in note.labels else {}
        field = instrument.facts.class_field or FIELDS[0]
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
    frames = -(-samples // instrument.hop_length)
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
    how = (
        "Decoded under the class above."
        if classes
        else "Statistics of each latent axis taken from the class above."
    )
    names = ["targets", *(note.family or note.key for note in sources)]
    return Grid(
        "Timbre transfer", how, rows, names, ["original", "resynthesis", *(f"as {t.name}" for t in targets)]
    )
