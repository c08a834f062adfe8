"""Raw numbers from every objective, and the one line that weighs and adds them."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from wavevae.config import ObjectiveConfig
from wavevae.nn.bottlenecks.base import Latents
from wavevae.objectives.hops import hop_unevenness
from wavevae.objectives.schedules import kl_top_weight, kl_weight, over_budget
from wavevae.objectives.spectral import MultiResolutionSTFT, MultiScaleLogMel, SharedSpectra
from wavevae.objectives.waveform import relative_l1

SMALLEST_VARIANCE = 1e-4
"""Of encodings of length 1; keeps the ratio finite where all are the same."""
REGULARISERS = ("named_axes", "kl", "kl_top", "commitment", "unevenness")
"""Terms that say nothing of how alike two sounds are: they pick no best checkpoint."""


class Objectives(nn.Module):
    """The terms a configuration asks for; a term of weight 0 is not computed."""

    def __init__(self, config: ObjectiveConfig, sample_rate: int, hop_length: int = 256) -> None:
        super().__init__()
        self.config = config
        self.hop_length = hop_length
        stft, mel = config.mr_stft or config.mr_stft_end, config.log_mel or config.log_mel_end
        shared = bool(stft and mel) and config.n_ffts == config.mel_windows
        self.shared = SharedSpectra(config.n_ffts, sample_rate) if shared else None
        self.mr_stft = MultiResolutionSTFT(config.n_ffts) if stft and not shared else None
        self.log_mel = MultiScaleLogMel(config.mel_windows, sample_rate) if mel and not shared else None

    def weights(self, share: float) -> dict[str, float]:
        """The effective weight of every term at a share of the budget."""
        config = self.config
        return {
            "mr_stft": over_budget(share, config.mr_stft, config.mr_stft_end),
            "log_mel": over_budget(share, config.log_mel, config.log_mel_end),
            "waveform_l1": over_budget(share, config.waveform_l1, config.waveform_l1_end),
            "hop_evenness": config.hop_evenness,
            "named_axes": config.named_axes,
            "kl": kl_weight(share, config),
            "kl_top": kl_top_weight(share, config),
            "commitment": config.commitment,
            "unevenness": config.evenness,
        }

    def raw(self, estimate: Tensor, target: Tensor, latents: Latents) -> dict[str, Tensor]:
        """Unweighted scalars by name; audio (B, 1, T)."""
        terms: dict[str, Tensor] = {}
        if self.shared is not None:
            terms["mr_stft"], terms["log_mel"] = self.shared(estimate, target)
        if self.mr_stft is not None:
            terms["mr_stft"] = self.mr_stft(estimate, target)
        if self.log_mel is not None:
            terms["log_mel"] = self.log_mel(estimate, target)
        if self.config.waveform_l1 or self.config.waveform_l1_end:
            terms["waveform_l1"] = relative_l1(estimate, target)
        if self.config.hop_evenness:
            terms["hop_evenness"] = hop_unevenness(estimate, target, self.hop_length)
        return terms | self.regularisers(latents.losses)

    def regularisers(self, losses: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The bottleneck's own terms, unweighted scalars."""
        terms: dict[str, Tensor] = {}
        if "kl" in losses:
            terms["kl"] = self.charged_kl(losses["kl"])
        if "kl_top" in losses:
            terms["kl_top"] = losses["kl_top"].clamp_min(self.config.free_bits_top).sum()
        if "commitment" in losses:
            terms["commitment"] = self.commitment(losses)
        if self.config.evenness and "unevenness" in losses:
            terms["unevenness"] = losses["unevenness"]
        return terms

    def charged_kl(self, kl: Tensor) -> Tensor:
        """Nats a frame beyond the free bits of each dimension (Kingma et al. 2016, eq. 15): (D,) -> scalar."""
        return kl.clamp_min(self.config.free_bits).sum()

    def commitment(self, losses: Mapping[str, Tensor]) -> Tensor:
        """Mean square from encodings to codes; by the rule `variance` the share of their variance that is left over.

        The same weight then means the same for encodings that are spread wide and for those that hardly differ.
        """
        if self.config.commitment_rule == "fixed":
            return losses["commitment"]
        return losses["commitment"] / losses["encoding_variance"].clamp_min(SMALLEST_VARIANCE)


def weighted_sum(terms: Mapping[str, Tensor], weights: Mapping[str, float]) -> Tensor:
    """The loss: the only place where an objective meets its weight."""
    return torch.stack([weights[name] * term for name, term in terms.items()]).sum()
