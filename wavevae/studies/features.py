"""Sound <-> the features that the studies' networks see, (B, channels, bins, T // hop + 1), and the loss of features.

Levels are absolute: one number, found once in the training set, maps all of it, so that quiet sounds stay quiet.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchaudio.functional import griffinlim
from torchaudio.transforms import InverseMelScale, MelSpectrogram

from wavevae.config import RunConfig
from wavevae.nn.bottlenecks.base import Latents
from wavevae.objectives.schedules import kl_weight
from wavevae.studies.study_config import StudyConfig

RANGE_DB = 80.0
"""Below the loudest value of the training set; weaker ones count as silence."""
POWER_FLOOR = 1e-12
ROUND = 8
"""Sounds whose level is taken at once."""
SEED = 0
"""Of the phases that Griffin-Lim starts from."""


BANDS: dict[str, Any] = {"norm": None, "mel_scale": "htk"}
"""torchaudio's own: of the two in use the one that inverts better (docs/lab/studies.md)."""
MOMENTUM = 0.99


def window_of(config: StudyConfig) -> Callable[..., Tensor]:
    """What makes the window of the transform."""
    return torch.ones if config.stft_window == "rectangular" else torch.hann_window


def filled(x: Tensor, least: int) -> Tensor:
    """(B, 1, T) with silence behind it up to `least` samples: every frame that overlaps the sound is complete."""
    return F.pad(x.float(), (0, max(0, least - x.shape[-1])))


class Features(nn.Module):
    """Interface. A sound shorter than n_fft is filled up with silence."""

    channels: int
    bins: int
    silence: float | Tensor
    """What silence is, a number or (channels, 1, 1)."""

    def forward(self, x: Tensor) -> Tensor:
        """(B, 1, T) -> (B, channels, bins, T // hop + 1)."""
        raise AssertionError("features say what they are")

    def invert(self, features: Tensor, length: int) -> Tensor:
        """(B, channels, bins, frames) -> (B, 1, length). Nothing random from call to call."""
        raise AssertionError("features say what they are")

    def fit(self, sounds: Tensor) -> None:
        """Take the level from the training set, (n, 1, T)."""
        raise AssertionError("features say what they are")

    def additive(self, features: Tensor) -> Tensor:
        """As what may be averaged: what overlap-add adds up. (..., channels, bins, frames) -> same."""
        return features

    def from_additive(self, features: Tensor) -> Tensor:
        return features


class LogMel(Features):
    """dB of mel power below the training set's loudest value, [-80, 0] -> [-1, 1]. Back: the least-squares inverse of
    the mel bands, then Griffin-Lim (Griffin & Lim 1984; momentum: Perraudin et al. 2013)."""

    top_db: Tensor

    def __init__(self, config: StudyConfig, sample_rate: int) -> None:
        super().__init__()
        self.channels, self.bins, self.silence = 1, config.n_mels, -1.0
        self.config = config
        n_fft, n_mels = config.n_fft, config.n_mels
        self.mel = MelSpectrogram(
            sample_rate,
            n_fft=n_fft,
            hop_length=config.frame_hop,
            n_mels=n_mels,
            window_fn=window_of(config),
            pad_mode="constant",
            **BANDS,
        )
        self.unmel = InverseMelScale(n_fft // 2 + 1, n_mels, sample_rate, driver="gelsd", **BANDS)
        self.register_buffer("top_db", torch.zeros(()))

    def decibels(self, x: Tensor) -> Tensor:
        """(B, 1, T) -> (B, 1, bins, frames), dB of power."""
        return 10 * self.mel(filled(x, self.config.n_fft)).clamp_min(POWER_FLOOR).log10()

    def forward(self, x: Tensor) -> Tensor:
        below = (self.decibels(x) - self.top_db).clamp(-RANGE_DB, 0.0)
        return 1.0 + below * (2.0 / RANGE_DB)

    def power(self, features: Tensor) -> Tensor:
        """(B, 1, bins, frames) -> power of the transform (B, n_fft / 2 + 1, frames); the floor is silence."""
        below = (features[:, 0].float().clamp(-1.0, 1.0) - 1.0) * (RANGE_DB / 2.0)
        mel = 10 ** ((below + self.top_db) / 10) * (below > -RANGE_DB)
        return self.unmel(mel)

    def invert(self, features: Tensor, length: int) -> Tensor:
        config, window = self.config, self.mel.spectrogram.window
        samples = max(length, config.n_fft)  # its own padding needs half a transform
        frames = samples // config.frame_hop + 1
        power = self.power(features)
        power = F.pad(power, (0, max(0, frames - power.shape[-1])))[..., :frames]
        shape = (config.n_fft, config.frame_hop, config.n_fft)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(SEED)
            sound = griffinlim(power, window, *shape, 2.0, config.griffin_lim_steps, MOMENTUM, samples, True)
        return sound[:, None, :length]

    def fit(self, sounds: Tensor) -> None:
        loudest = [self.decibels(part).max() for part in sounds.split(ROUND)]
        self.top_db.copy_(torch.stack(loudest).max())


class MagnitudePhase(Features):
    """Two channels: magnitude, 1 = its RMS in the training set; phase in half turns, -1 to 1. Back: inverse STFT."""

    rms: Tensor
    window: Tensor

    def __init__(self, config: StudyConfig) -> None:
        super().__init__()
        self.channels, self.bins, self.silence = 2, config.n_fft // 2 + 1, 0.0
        self.config = config
        self.register_buffer("window", window_of(config)(config.n_fft), persistent=False)
        self.register_buffer("rms", torch.ones(()))

    def spectrum(self, x: Tensor) -> Tensor:
        """(B, 1, T) -> complex (B, bins, frames)."""
        n_fft, hop = self.config.n_fft, self.config.frame_hop
        options: dict[str, Any] = {"window": self.window, "pad_mode": "constant", "return_complex": True}
        return torch.stft(filled(x, n_fft)[:, 0], n_fft, hop, **options)

    def forward(self, x: Tensor) -> Tensor:
        spectrum = self.spectrum(x)
        return torch.stack([spectrum.abs() / self.rms, spectrum.angle() / math.pi], 1)

    def invert(self, features: Tensor, length: int) -> Tensor:
        n_fft, hop = self.config.n_fft, self.config.frame_hop
        real, imaginary = self.additive(features.float()).unbind(1)
        spectrum = torch.complex(real, imaginary) * self.rms
        samples = max(length, n_fft)
        spectrum = F.pad(spectrum, (0, max(0, samples // hop + 1 - spectrum.shape[-1])))
        spectrum = spectrum[..., : samples // hop + 1]
        return torch.istft(spectrum, n_fft, hop, window=self.window, length=samples)[:, None, :length]

    def fit(self, sounds: Tensor) -> None:
        squares = [self.spectrum(part).abs().square().mean() for part in sounds.split(ROUND)]
        self.rms.copy_(torch.stack(squares).mean().sqrt().clamp_min(1e-6))

    def additive(self, features: Tensor) -> Tensor:
        """Real and imaginary part: the mean of two phases is no phase. A magnitude below 0 counts as 0."""
        magnitude, phase = features.unbind(-3)
        magnitude, phase = magnitude.clamp_min(0.0), phase * math.pi
        return torch.stack([magnitude * phase.cos(), magnitude * phase.sin()], -3)

    def from_additive(self, features: Tensor) -> Tensor:
        spectrum = torch.complex(*features.unbind(-3))
        return torch.stack([spectrum.abs(), spectrum.angle() / math.pi], -3)


def make_features(config: StudyConfig, sample_rate: int) -> Features:
    """What the configuration names."""
    return MagnitudePhase(config) if config.spectrogram == "stft" else LogMel(config, sample_rate)


class FeatureObjectives(nn.Module):
    """Raw numbers of windows (B, n, C, bins, W) and their weights; interface: `wavevae.objectives.losses.Objectives`.

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
