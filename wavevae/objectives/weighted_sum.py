"""Raw numbers from every objective, and the one line that weighs and adds them."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from wavevae.config import ObjectiveConfig
from wavevae.nn.bottlenecks.base import Latents
from wavevae.nn.bottlenecks.registry import bottleneck_class
from wavevae.objectives.distances import (
    MultiResolutionSTFT,
    MultiScaleLogMel,
    SharedSpectra,
    hop_unevenness,
    relative_l1,
)
from wavevae.objectives.schedules import over_budget


class Objectives(nn.Module):
    """The terms a configuration asks for, the bottleneck's own among them; a distance of weight 0 is not computed."""

    def __init__(
        self, config: ObjectiveConfig, sample_rate: int, hop_length: int = 256, bottleneck: str = "vae"
    ) -> None:
        super().__init__()
        self.config = config
        self.bottleneck_terms = bottleneck_class(bottleneck).loss_terms
        self.regulariser_names = ("named_axes", *(term.name for term in self.bottleneck_terms))
        """Terms that say nothing of how alike two sounds are: they pick no best checkpoint."""
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
            "hop_evenness": config.hop_modulation_loss,
            "named_axes": config.named_axes,
            **{term.name: term.weight(share, config) for term in self.bottleneck_terms},
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
        if self.config.hop_modulation_loss:
            terms["hop_evenness"] = hop_unevenness(estimate, target, self.hop_length)
        for term in self.bottleneck_terms:
            scalar = term.scalar(latents.losses, self.config)
            if scalar is not None:
                terms[term.name] = scalar
        return terms


def weighted_sum(terms: Mapping[str, Tensor], weights: Mapping[str, float]) -> Tensor:
    """The loss: the only place where an objective meets its weight."""
    return torch.stack([weights[name] * term for name, term in terms.items()]).sum()
