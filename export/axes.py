"""Which latent axes an exported file has, how they map to the model's own latents, and their density."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from wavevae.bundle import LatentAxis
from wavevae.errors import UserError
from wavevae.latents import Array, LatentStatistics


@dataclass(frozen=True)
class AxisMap:
    """The first `kept` principal axes, unit variance; decoding holds the others at their mean (0)."""

    to_matrix: Tensor
    """(kept, latent_dim) float64: axes = to_matrix @ raw + to_offset."""
    to_offset: Tensor
    """(kept,)"""
    from_matrix: Tensor
    """(latent_dim, kept): raw = from_matrix @ axes + from_offset."""
    from_offset: Tensor
    """(latent_dim,)"""
    std: Tensor
    """(kept,) of each axis in raw latent units."""
    axes: tuple[LatentAxis, ...]
    density: dict[str, Any]
    """Of the kept axes, for `render --sample`."""

    @property
    def kept(self) -> int:
        return len(self.axes)

    @property
    def share(self) -> float:
        """Of the training latents' variance, what the kept axes carry."""
        return sum(axis.share for axis in self.axes)

    def encode(self, raw: Tensor) -> Tensor:
        """(B, latent_dim, F) -> (B, kept, F), computed in float64."""
        return (self.to_matrix @ raw.double() + self.to_offset[:, None]).float()

    def decode(self, axes: Tensor) -> Tensor:
        """(B, kept, F) -> (B, latent_dim, F), computed in float64."""
        return (self.from_matrix @ axes.double() + self.from_offset[:, None]).float()


def axis_map(statistics: LatentStatistics, keep: int | None = None) -> AxisMap:
    """Keep `keep` axes (none: all). Raises: UserError for a number of axes that the model does not have."""
    available = len(statistics.mean)
    keep = available if keep is None else keep
    if not 1 <= keep <= available:
        raise UserError(f"--latents is {keep}; this model has {available} latent axes: use 1 to {available}")
    to_matrix, to_offset = statistics.to_axes()
    from_matrix, from_offset = statistics.from_axes()
    share = statistics.std**2 / np.sum(statistics.std**2)
    ranges = zip(statistics.low[:keep], statistics.high[:keep], share[:keep], strict=True)
    return AxisMap(
        to_matrix=torch.tensor(to_matrix[:keep]),
        to_offset=torch.tensor(to_offset[:keep]),
        from_matrix=torch.tensor(from_matrix[:, :keep]),
        from_offset=torch.tensor(from_offset),
        std=torch.tensor(statistics.std[:keep]),
        axes=tuple(
            LatentAxis(f"axis {i + 1}", float(low), float(high), share=float(part))
            for i, (low, high, part) in enumerate(ranges)
        ),
        density=marginal_density(statistics.density, keep),
    )


def marginal_density(density: dict[str, Any], keep: int) -> dict[str, Any]:
    """The copula autoregression of the first `keep` axes alone, as a fit to them would give it.

    Yule-Walker equations need only autocovariances, and a fitted process implies those it was fitted to: they
    are computed back, cut, and solved for the kept axes.
    """
    coefficients, innovation = np.array(density["coefficients"]), np.array(density["innovation"])
    dim = len(innovation)
    if keep == dim:
        return density
    order = coefficients.shape[1] // dim
    lags = [lag[:keep, :keep] for lag in autocovariances(coefficients, innovation)]
    toeplitz = np.block(
        [[lags[j - i] if j >= i else lags[i - j].T for j in range(order)] for i in range(order)]
    )
    kept = np.linalg.solve(toeplitz.T, np.hstack(lags[1:]).T).T  # (keep, order * keep)
    residual = lags[0] - kept @ np.hstack(lags[1:]).T
    values, vectors = np.linalg.eigh((residual + residual.T) / 2)
    root = vectors * np.sqrt(np.maximum(values, 0))
    return {
        **density,
        "coefficients": np.round(kept, 6).tolist(),
        "innovation": np.round(root, 6).tolist(),
        "quantiles": density["quantiles"][:keep],
        "points": [point[:keep] for point in density.get("points", [])],
    }


def autocovariances(coefficients: Array, innovation: Array) -> list[Array]:
    """Lags 0 to the order of a stationary autoregression: C[i, j] = mean of x_i(t + lag) x_j(t).

    Lag 0 of the stacked process solves P = A P A' + Q, by doubling (Anderson 1978); each doubling sums twice
    as many terms of the series.
    """
    dim = len(innovation)
    order = coefficients.shape[1] // dim
    step = np.vstack([coefficients, np.eye(dim * (order - 1), dim * order)])  # (order * dim, order * dim)
    total = np.zeros_like(step)
    total[:dim, :dim] = innovation @ innovation.T
    for _ in range(40):
        total = total + step @ total @ step.T
        step = step @ step
    # block (0, j) of the stacked covariance is lag j; the last lag follows by one step of the process
    lags = [total[:dim, j * dim : (j + 1) * dim] for j in range(order)]
    return [*lags, coefficients @ total[:, (order - 1) * dim :]]
