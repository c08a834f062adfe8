"""Fréchet distance between two clouds of embeddings, each taken as a Gaussian.

    d^2 = |m1 - m2|^2 + tr(S1 + S2 - 2 (S1 S2)^(1/2))

Dowson & Landau 1982, eq. 16; as a judge of audio: Kilgour, Zuluaga, Roblek & Sharifi 2019 ("Fréchet Audio
Distance"). It compares sets, not pairs: a reconstruction that is fine but late costs nothing, a haze over every
sound costs much.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

FEWEST = 2
"""Embeddings a cloud needs to have a covariance."""


def _root(matrix: Array) -> Array:
    """Symmetric square root of a symmetric positive semidefinite matrix."""
    values, vectors = np.linalg.eigh(matrix)
    root: Array = (vectors * np.sqrt(np.maximum(values, 0))) @ vectors.T
    return root


def frechet_distance(mean_1: Array, cov_1: Array, mean_2: Array, cov_2: Array) -> float:
    """Squared Fréchet distance of two Gaussians: means (D,), covariances (D, D).

    tr (S1 S2)^(1/2) is the sum of the square roots of the eigenvalues of S1^(1/2) S2 S1^(1/2), which is symmetric.
    """
    root = _root(cov_1)
    values = np.linalg.eigvalsh(root @ cov_2 @ root)
    cross = np.sqrt(np.maximum(values, 0)).sum()
    distance = np.square(mean_1 - mean_2).sum() + np.trace(cov_1) + np.trace(cov_2) - 2 * cross
    return float(max(0.0, distance))


def gaussian(embeddings: Array, weights: Array | None = None) -> tuple[Array, Array]:
    """(N, D) and how often each row counts (N,) -> mean (D,), unbiased covariance (D, D)."""
    x = np.asarray(embeddings, np.float64)
    w = np.ones(len(x)) if weights is None else np.asarray(weights, np.float64)
    total = w.sum()
    mean = w @ x / total
    centred = x - mean
    return mean, (centred * w[:, None]).T @ centred / max(1.0, total - 1)


def fad(real: Array, made: Array, weights: Array | None = None) -> float | None:
    """Fréchet audio distance of two clouds (N, D), (M, D); none where one has fewer than two members.

    `weights` (N,) count the rows of both (N = M then): how a bootstrap draws pairs.
    """
    if min(len(real), len(made)) < FEWEST:
        return None
    return frechet_distance(*gaussian(real, weights), *gaussian(made, weights))


def diversity(embeddings: Array, most: int = 1500) -> float | None:
    """Mean Euclidean distance between two different members of a cloud (N, D); none below two.

    Of a cloud larger than `most` a fixed random part speaks for the whole.
    """
    x = np.asarray(embeddings, np.float64)
    if len(x) < FEWEST:
        return None
    if len(x) > most:
        x = x[np.random.default_rng(0).choice(len(x), most, replace=False)]
    squares = np.square(x).sum(1)
    distances = np.sqrt(np.maximum(squares[:, None] + squares - 2 * x @ x.T, 0))
    np.fill_diagonal(distances, 0.0)
    return float(distances.sum() / (len(x) * (len(x) - 1)))
