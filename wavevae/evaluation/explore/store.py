"""latents.npz and frames.npz: what was encoded, for whoever wants to look further."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from .notes import Note, pitches


def write(folder: Path, notes: Sequence[Note], vectors: np.ndarray) -> None:
    """latents.npz: a row a note. frames.npz: a row a frame, in half precision, `note` saying whose.

    latents.npz: mu, std (notes, latent_dim): mean and standard deviation over the frames that sound; logvar, mean of
    the posterior's log-variance, where there is one; vector, what maps and neighbours are made of; pitch (NaN:
    unknown), family ('' : unknown), keys, paths, start_s, frames, level_db.
    """
    rows = {
        "mu": np.array([n.heard.mean(0) for n in notes], np.float32),
        "std": np.array([n.heard.std(0) for n in notes], np.float32),
        "vector": vectors.astype(np.float32),
        "pitch": pitches(notes).astype(np.float32),
        "family": np.array([n.family for n in notes]),
        "keys": np.array([n.key for n in notes]),
        "paths": np.array([str(n.path) for n in notes]),
        "start_s": np.array([n.start_s for n in notes]),
        "frames": np.array([len(n.means) for n in notes]),
        "level_db": np.array([n.level_db for n in notes], np.float32),
    }
    variances = [n.log_variances[n.sounding].mean(0) for n in notes if n.log_variances is not None]
    if variances:
        rows["logvar"] = np.array(variances, np.float32)
    np.savez(folder / "latents.npz", **rows)  # type: ignore[arg-type]
    frames = {
        "mu": np.concatenate([n.means for n in notes]).astype(np.float16),
        "note": np.repeat(np.arange(len(notes), dtype=np.int32), rows["frames"]),
        "sounding": np.concatenate([n.sounding for n in notes]),
    }
    if variances:
        every = [n.log_variances for n in notes if n.log_variances is not None]
        frames["logvar"] = np.concatenate(every).astype(np.float16)
    np.savez(folder / "frames.npz", **frames)  # type: ignore[arg-type]
