"""A note as one point: where its latents are and how far they move; and such points in a plane."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from .explored_model import ExploredModel
from .notes import Note

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
        axes = instrument.axes(note.heard)
        rows.append(np.concatenate([axes.mean(0), np.log(axes.std(0) + SMALLEST_SPREAD)]))
    found = np.array(rows)
    apart = found - np.median(found, 0)
    width = TO_STD * np.median(np.abs(apart), 0)
    width = np.where(width > 1e-6, width, found.std(0))
    return np.clip(apart / np.where(width > 1e-6, width, np.inf), -FURTHEST, FURTHEST)


def plane(vectors: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """PCA: (notes, dims) -> (notes, 2), and the shares of the variance (2,)."""
    from wavevae.evaluation.latent_plots import principal

    mean, directions, shares = principal(vectors)
    return (vectors - mean) @ directions.T, shares


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
