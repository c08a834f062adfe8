"""Between four notes: latents mixed frame by frame, and labels with them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .contact_sheet import Cell, Grid
from .explored_model import ExploredModel
from .notes import Note

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
