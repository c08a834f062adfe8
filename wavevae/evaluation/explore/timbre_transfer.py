"""Timbre transfer: a note encoded as what it is and decoded as something else.

A model that is told classes decodes it under another class. One that is not has its latents' statistics exchanged:
each principal axis is moved and scaled so that its mean and spread are those of the other class, as adaptive
instance normalisation does with features (Huang & Belongie 2017, eq. 8).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .contact_sheet import Cell, Grid
from .explored_model import ExploredModel
from .notes import Note

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
