"""Which latent axes an exported file has, how they map to the model's own latents, and their density."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from wavevae.bundle import LatentAxis
from wavevae.errors import UserError
from wavevae.latents import Array, LatentStatistics
from wavevae.model_config import ModelConfig
from wavevae.nn.conv import CausalConv1d
from wavevae.nn.instrument_encoder import control_scales

from .layers import pointwise


@dataclass(frozen=True)
class AxisMap:
    """The first `kept` axes: of a codec principal ones of unit variance; of an instrument its latents in their order,
    controls in natural units, learned ones in standard deviations. Decoding holds the others at their mean."""

    to_matrix: Tensor
    """(kept, latent_dim) float64: axes = to_matrix @ raw + to_offset."""
    to_offset: Tensor
    """(kept,)"""
    from_matrix: Tensor
    """(latent_dim, kept): raw = from_matrix @ axes + from_offset."""
    from_offset: Tensor
    """(latent_dim,)"""
    weight: Tensor
    """(kept,) by which differences of latents are weighed: as much as they sound."""
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

    def learned(self, controls: int) -> AxisMap:
        """Without an instrument's controls: of what its bottleneck gives."""
        return replace(
            self,
            to_matrix=self.to_matrix[controls:, controls:],
            to_offset=self.to_offset[controls:],
            from_matrix=self.from_matrix[controls:, controls:],
            from_offset=self.from_offset[controls:],
            weight=self.weight[controls:],
            axes=self.axes[controls:],
        )

    def encode(self, raw: Tensor) -> Tensor:
        """(B, latent_dim, F) -> (B, kept, F), computed in float64."""
        return (self.to_matrix @ raw.double() + self.to_offset[:, None]).float()

    def applied_to(self, outlet: CausalConv1d) -> CausalConv1d:
        """An encoder's last layer that gives axes: the mean's rows times the matrix; the variance is dropped."""
        dim = self.to_matrix.shape[1]
        assert outlet.conv.bias is not None
        weight, bias = (
            outlet.conv.weight.detach()[:dim, :, 0].double(),
            outlet.conv.bias.detach()[:dim].double(),
        )
        return pointwise(self.to_matrix @ weight, self.to_matrix @ bias + self.to_offset)

    def decode(self, axes: Tensor) -> Tensor:
        """(B, kept, F) -> (B, latent_dim, F), computed in float64."""
        return (self.from_matrix @ axes.double() + self.from_offset[:, None]).float()


def how_many(keep: int | None, least: int, available: int) -> int:
    """Axes to keep (none: all). Raises: UserError for a number of axes that the model does not have."""
    keep = available if keep is None else keep
    if not least <= keep <= available:
        raise UserError(
            f"--latents is {keep}; this model has {available} latent axes: use {least} to {available}"
        )
    return keep


def control_map(statistics: LatentStatistics, config: ModelConfig, keep: int | None = None) -> AxisMap:
    """Of an instrument: every latent is an axis. Raises: UserError as `how_many`."""
    controls = len(config.controls)
    keep = how_many(keep, controls + 1, config.n_latents)
    natural = np.arange(config.n_latents) < controls
    unit, zero = np.where(natural, 1.0, statistics.std), np.where(natural, 0.0, statistics.mean)
    mean, std = np.where(natural, statistics.mean, 0.0), np.where(natural, statistics.std, 1.0)
    low, high = mean + std * statistics.low, mean + std * statistics.high
    share = statistics.std**2 / np.sum(statistics.std[controls:] ** 2) * ~natural
    sizes = torch.tensor([size for _, size in control_scales(config)])
    learned = torch.tensor(statistics.std[controls:keep])
    return AxisMap(
        to_matrix=torch.tensor(np.diag(1 / unit)[:keep]),
        to_offset=torch.tensor((-zero / unit)[:keep]),
        from_matrix=torch.tensor(np.diag(unit)[:, :keep]),
        from_offset=torch.tensor(zero),
        weight=torch.cat([1 / sizes, (learned / learned.max()).float()]),
        axes=tuple(
            LatentAxis(
                name, float(low[i]), float(high[i]), float(mean[i]), float(std[i]), share=float(share[i])
            )
            for i, name in enumerate(config.axis_names[:keep])
        ),
        density=marginal_density(statistics.density, keep),
    )


def axis_map(statistics: LatentStatistics, keep: int | None = None) -> AxisMap:
    """The first `keep` principal axes (none: all). Raises: UserError as `how_many`."""
    keep = how_many(keep, 1, len(statistics.mean))
    to_matrix, to_offset = statistics.to_axes()
    from_matrix, from_offset = statistics.from_axes()
    share = statistics.std**2 / np.sum(statistics.std**2)
    ranges = zip(statistics.low[:keep], statistics.high[:keep], share[:keep], strict=True)
    return AxisMap(
        to_matrix=torch.tensor(to_matrix[:keep]),
        to_offset=torch.tensor(to_offset[:keep]),
        from_matrix=torch.tensor(from_matrix[:, :keep]),
        from_offset=torch.tensor(from_offset),
        weight=torch.tensor(statistics.std[:keep] / statistics.std[0]).float(),
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
