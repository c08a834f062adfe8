"""What a study minimised: a distance of features and the KL, behind the face of `wavevae.objectives.weighted_sum`."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn

from wavevae.config import RunConfig
from wavevae.nn.bottlenecks.base import Latents
from wavevae.objectives.schedules import kl_weight
from wavevae.studies.features import make_features


class FeatureObjectives(nn.Module):
    """Raw numbers of windows (B, n, C, bins, W), and their weights.

    The distance is a mean over all numbers of a window. A Gaussian decoder of fixed sigma over D numbers has the
    negative log-likelihood D / (2 sigma^2) MSE + constant (Kingma & Welling 2014, appendix C.2): that is its weight.
    """

    regulariser_names = ("kl",)

    def __init__(self, config: RunConfig, numbers: int) -> None:
        super().__init__()
        self.config, self.reference = config.objective, config.study
        self.name = f"feature_{self.reference.feature_distance}"
        sigma = self.reference.decoder_sigma
        self.scale = numbers / (2 * sigma**2) if sigma else 1.0
        """What the weights are a multiple of: validation gives the distance without it."""

    def weights(self, share: float) -> dict[str, float]:
        """The effective weight of every term at a share of the budget."""
        return {self.name: self.scale, "kl": kl_weight(share, self.config)}

    def raw(self, estimate: Tensor, target: Tensor, latents: Latents) -> dict[str, Tensor]:
        """Unweighted scalars by name."""
        apart = estimate.float() - target.float()
        distance = apart.abs().mean() if self.reference.feature_distance == "l1" else apart.square().mean()
        return {self.name: distance, **self.regularisers(latents.losses)}

    def regularisers(self, losses: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The KL beyond the free bits of each dimension, over the dimensions as the study took it."""
        if "kl" not in losses:
            return {}
        charged = losses["kl"].clamp_min(self.config.free_bits)
        return {"kl": charged.mean() if self.reference.kl_over == "mean" else charged.sum()}


def accuracy(estimate: Tensor, target: Tensor) -> Tensor:
    """Study D's metric over windows, percent: mean of 100 max(0, 1 - |x - x'|^2 / |x|^2)."""
    error = (estimate - target).flatten(2).square().sum(-1)
    energy = target.flatten(2).square().sum(-1)
    return 100 * (1 - error / (energy + 1e-8)).clamp_min(0).mean()


def make_objectives(config: RunConfig) -> FeatureObjectives:
    """The loss terms of a study's run."""
    features = make_features(config.study, config.model.sample_rate)
    return FeatureObjectives(config, features.channels * features.bins * config.study.window_frames)
