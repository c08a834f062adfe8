"""What the training latents are like: their principal axes, their ranges, and a density to draw new ones from.

The density is a vector autoregression behind a Gaussian copula: each axis is mapped to a normal score by its
own quantiles, an autoregression of order 2 gives the dependence in time and between axes (multivariate
Yule-Walker, Luetkepohl 2005, sec. 3.3.4), and draws are mapped back, so that every axis keeps the distribution
it had in training. It models how latents move from frame to frame, not phrases.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

ORDER = 2
KNOTS = 65
"""Points at which each axis' distribution is kept."""
POINTS = 256
SMALLEST_STD = 1e-4
"""An axis that varies less than this is dead: it is not blown up to unit variance."""
BURN_IN_FRAMES = 256
SMALLEST_WIDTH = 1e-6


@dataclass(frozen=True)
class LatentStatistics:
    """Of raw latents (frames, latent_dim) and their axes of unit variance: principal, or the latents themselves."""

    mean: Array
    """(latent_dim,)"""
    components: Array
    """(latent_dim, latent_dim): row i is the direction of axis i, unit length."""
    std: Array
    """(latent_dim,) of each axis, in raw latent units."""
    low: Array
    """(latent_dim,) 1st percentile of each axis, in standard deviations."""
    high: Array
    """(latent_dim,) 99th percentile."""
    density: dict[str, Any]
    """Plain values for `DensitySampler`."""
    frames: int
    """How many frames were seen."""

    @classmethod
    def fit(
        cls, sequences: Sequence[NDArray[Any]], labels: Sequence[str] = (), principal: bool = True
    ) -> LatentStatistics:
        """Fit to encodings, each (frames, latent_dim), consecutive in time; `labels`: the class of each, where known.

        `principal`: whether axes are principal directions; else they are the latents themselves, in their order.
        Raises: ValueError without frames.
        """
        parts = [np.asarray(s, dtype=np.float64) for s in sequences if len(s)]
        names = [name for s, name in zip(sequences, labels, strict=True) if len(s)] if labels else []
        if not parts:
            raise ValueError("no latent frames to fit")
        every = np.concatenate(parts)
        mean = every.mean(0)
        components, variances = principal_axes(every) if principal else (np.eye(len(mean)), every.var(0))
        std = np.sqrt(np.maximum(variances, SMALLEST_STD**2))
        axes = [(part - mean) @ components.T / std for part in parts]
        low, high = np.quantile(np.concatenate(axes), (0.01, 0.99), axis=0)
        return cls(mean, components, std, low, high, fit_density(axes, names), len(every))

    def to_axes(self) -> tuple[Array, Array]:
        """Matrix and offset of raw -> axes: a = matrix @ z + offset."""
        matrix = self.components / self.std[:, None]
        return matrix, -matrix @ self.mean

    def from_axes(self) -> tuple[Array, Array]:
        """Matrix and offset of axes -> raw: z = matrix @ a + offset."""
        return self.components.T * self.std, self.mean

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for a checkpoint."""
        arrays = {n: getattr(self, n).tolist() for n in ("mean", "components", "std", "low", "high")}
        return {**arrays, "density": self.density, "frames": self.frames}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> LatentStatistics:
        arrays = {
            n: np.asarray(values[n], dtype=np.float64) for n in ("mean", "components", "std", "low", "high")
        }
        return cls(**arrays, density=values["density"], frames=int(values["frames"]))


def principal_axes(every: Array) -> tuple[Array, Array]:
    """Of frames (N, D): directions (D, D), a row each, and their variances (D,), largest first."""
    variances, vectors = np.linalg.eigh(np.atleast_2d(np.cov(every.T, bias=True)))
    components = vectors.T[::-1]
    signs = np.sign(components[np.arange(len(components)), np.abs(components).argmax(1)])
    return components * signs[:, None], variances[::-1]  # an eigenvector's sign is free: fix it


def _normal_scores() -> Array:
    """The knots of the copula on the normal side: (KNOTS,)."""
    normal = NormalDist()
    return np.array([normal.inv_cdf((k + 0.5) / KNOTS) for k in range(KNOTS)])


def _autocovariance(sequences: Sequence[Array], lag: int) -> Array:
    """Pooled, biased (so that Yule-Walker is stable): C[i, j] = mean of x_i(t + lag) x_j(t)."""
    total = sum(len(s) for s in sequences)
    products = [s[lag:].T @ s[: len(s) - lag] for s in sequences if len(s) > lag]
    return np.sum(products, axis=0) / total if products else np.zeros((sequences[0].shape[1],) * 2)


def fit_density(axes: Sequence[Array], labels: Sequence[str] = ()) -> dict[str, Any]:
    """Fit the copula autoregression to sequences (frames, latent_dim) -> plain values."""
    quantiles = np.quantile(np.concatenate(axes), (np.arange(KNOTS) + 0.5) / KNOTS, axis=0)  # (KNOTS, D)
    quantiles = np.maximum.accumulate(quantiles + np.arange(KNOTS)[:, None] * 1e-9, axis=0)
    scores = _normal_scores()
    dim = quantiles.shape[1]
    normal = [np.stack([np.interp(a[:, d], quantiles[:, d], scores) for d in range(dim)], 1) for a in axes]
    lags = [_autocovariance(normal, lag) for lag in range(ORDER + 1)]
    lags[0] = lags[0] + 1e-4 * np.eye(dim)  # a ridge: dead axes have no variance of their own
    toeplitz = np.block(
        [[lags[j - i] if j >= i else lags[i - j].T for j in range(ORDER)] for i in range(ORDER)]
    )
    coefficients = np.linalg.solve(toeplitz.T, np.hstack(lags[1:]).T).T  # (D, ORDER x D)
    residual = lags[0] - coefficients @ np.hstack(lags[1:]).T
    values, vectors = np.linalg.eigh((residual + residual.T) / 2)
    innovation = vectors * np.sqrt(np.maximum(values, 0))
    return {
        "kind": "copula-autoregression",
        "order": ORDER,
        "coefficients": np.round(coefficients, 6).tolist(),
        "innovation": np.round(innovation, 6).tolist(),
        "quantiles": np.round(quantiles.T, 5).tolist(),
        **some_points(axes, labels),
    }


def some_points(axes: Sequence[Array], labels: Sequence[str] = ()) -> dict[str, Any]:
    """The map of the instrument's XY pad: `points`, evenly chosen frames as they are, (at most POINTS, latent_dim),
    and `point_labels`, the class of each, where classes are known."""
    every = np.concatenate(axes)
    chosen = np.unique(np.linspace(0, len(every) - 1, min(POINTS, len(every))).round().astype(int))
    points = {"points": np.round(every[chosen], 3).tolist()}
    if not any(labels):
        return points
    owners = np.repeat(np.arange(len(axes)), [len(a) for a in axes])
    return {**points, "point_labels": [labels[owner] for owner in owners[chosen]]}


class DensitySampler:
    """Draws latents frame after frame; pieces of any length continue each other.

    temperature scales the normal scores: 0 stays at the median, 1 is the training density.
    """

    def __init__(self, density: dict[str, Any], rng: np.random.Generator, temperature: float = 1.0) -> None:
        if density.get("kind") != "copula-autoregression":
            raise ValueError(
                f"density is {density.get('kind')!r}; this version draws from copula-autoregression"
            )
        self.coefficients = np.asarray(density["coefficients"])
        self.innovation = np.asarray(density["innovation"])
        self.quantiles = np.asarray(density["quantiles"])
        self.rng, self.temperature, self.scores = rng, temperature, _normal_scores()
        self.past = np.zeros(self.coefficients.shape[1])
        self._advance(BURN_IN_FRAMES)

    def _advance(self, frames: int) -> Array:
        """The next normal scores, (frames, latent_dim)."""
        dim = len(self.innovation)
        noise = self.rng.standard_normal((frames, dim)) @ self.innovation.T
        out = np.empty((frames, dim))
        for t in range(frames):
            out[t] = self.coefficients @ self.past + noise[t]
            self.past = np.concatenate([out[t], self.past[:-dim]])
        return out

    def draw(self, frames: int) -> NDArray[np.float32]:
        """The next (frames, latent_dim), float32, in standard deviations of the training data."""
        normal = self._advance(frames) * self.temperature
        columns = [np.interp(normal[:, d], self.scores, q) for d, q in enumerate(self.quantiles)]
        return np.stack(columns, axis=1).astype(np.float32)


def sample_density(
    density: dict[str, Any], frames: int, rng: np.random.Generator, temperature: float = 1.0
) -> NDArray[np.float32]:
    """One draw of (frames, latent_dim) from a fitted density."""
    return DensitySampler(density, rng, temperature).draw(frames)


class Plane(NamedTuple):
    """The plane of `/wavevae/xy`: the first two axes, in which the training sounds differ most."""

    low: NDArray[np.float64]
    """(1 or 2,): one where there is one axis only."""
    high: NDArray[np.float64]

    @classmethod
    def of(cls, points: NDArray[Any]) -> Plane:
        """Around points (N, latent_dim), one at least."""
        low, high = points[:, :2].min(0), points[:, :2].max(0)
        return cls.between(low, high)

    @classmethod
    def between(cls, low: NDArray[Any], high: NDArray[Any]) -> Plane:
        return cls(np.asarray(low, np.float64), np.maximum(high, np.asarray(low) + SMALLEST_WIDTH))

    def places(self, axes: NDArray[Any]) -> NDArray[np.float64]:
        """(N, latent_dim) -> (N, 2), 0 to 1 within the points; a missing second axis is in the middle."""
        flat = (axes[:, : len(self.low)] - self.low) / (self.high - self.low)
        return np.pad(flat, ((0, 0), (0, 2 - len(self.low))), constant_values=0.5)
