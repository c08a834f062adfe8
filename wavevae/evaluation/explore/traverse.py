"""One axis at a time: what happens to a sound when one principal axis is moved, or has more or less of itself."""

from __future__ import annotations

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
