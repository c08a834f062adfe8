"""A spectrogram model with the interface of an Autoencoder: audio (B, 1, T) <-> latents (B, latent_dim, windows).

A latent frame is a window of spectrogram frames; windows follow each other by half. Any T goes in, the same comes out.
A stage of the networks halves bins and frames, so both are filled up to a multiple of 2 ** stages on the way in and
cropped on the way out: whatever a study's transform gives fits.
"""

from __future__ import annotations

import math
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from wavevae.config import ModelConfig, RunConfig
from wavevae.nn.bottlenecks.base import Bottleneck, Gaussian, Identity, Latents
from wavevae.nn.conditioning import PITCHES, Condition
from wavevae.nn.model import AudioModel, check_audio
from wavevae.studies.features import make_features
from wavevae.studies.study_config import StudyConfig

AT_ONCE = 32
"""Windows that go through a network together, where nothing is learned from them."""


def normalised(channels: int, config: StudyConfig) -> list[nn.Module]:
    return [nn.BatchNorm2d(channels)] if config.normalisation == "batch" else []


class Labels(nn.Module):
    """Learned embeddings of class and pitch, label_dim numbers each; no label is all zeros."""

    def __init__(self, model: ModelConfig, label_dim: int) -> None:
        super().__init__()
        self.classes = nn.Embedding(len(model.classes), label_dim) if model.has_class else None
        self.pitches = nn.Embedding(PITCHES, label_dim) if model.has_pitch else None
        self.dim = label_dim * ((self.classes is not None) + (self.pitches is not None))

    def forward(self, condition: Condition | None, count: int, device: torch.device) -> Tensor:
        """-> (count, dim); a pitch between two notes is a mix of them."""
        parts = [torch.zeros(count, 0, device=device)]
        if condition is None:
            return torch.zeros(count, self.dim, device=device)
        if self.classes is not None:
            parts.append(condition.classes @ self.classes.weight)
        if self.pitches is not None:
            known, at = ~condition.pitch.isnan(), condition.pitch.nan_to_num(0.0).clamp(0, PITCHES - 1)
            low = at.floor().clamp_max(PITCHES - 2).long()
            rows = torch.lerp(self.pitches(low), self.pitches(low + 1), (at - low)[:, None])
            parts.append(rows * known[:, None])
        return torch.cat(parts, 1)


class Residual(nn.Module):
    """Two 3 x 3 convolutions and a bypass (He et al. 2016, fig. 5), at the resolution of what comes in."""

    def __init__(self, channels: int, wider: int, config: StudyConfig, stride: int = 1) -> None:
        super().__init__()
        self.body = nn.Sequential(
            *(nn.Conv2d(channels, wider, 3, stride, 1), *normalised(wider, config), nn.ReLU()),
            *(nn.Conv2d(wider, wider, 3, 1, 1), *normalised(wider, config)),
        )
        self.bypass = nn.Conv2d(channels, wider, 1, stride)

    def forward(self, h: Tensor) -> Tensor:
        return F.relu(self.bypass(h) + self.body(h))


def downward(channels: int, wider: int, config: StudyConfig) -> nn.Module:
    """A stage that halves."""
    if config.network == "residual":
        return Residual(channels, wider, config, stride=2)
    return nn.Sequential(nn.Conv2d(channels, wider, 3, 2, 1), *normalised(wider, config), nn.ReLU())


def upward(channels: int, narrower: int, config: StudyConfig) -> nn.Module:
    """A stage that doubles."""
    if config.network == "residual":
        return nn.Sequential(nn.Upsample(scale_factor=2), Residual(channels, narrower, config))
    convolution = nn.ConvTranspose2d(channels, narrower, 4, 2, 1)
    return nn.Sequential(convolution, *normalised(narrower, config), nn.ReLU())


def deepest(config: StudyConfig, bins: int) -> tuple[int, int, int]:
    """Channels, bins and frames after the last stage."""
    unit = 2 ** len(config.conv_channels)
    return config.conv_channels[-1], -(-bins // unit), -(-config.window_frames // unit)


class WindowEncoder(nn.Module):
    """(N, C, bins, frames) and labels (N, label_dim) -> (N, out)."""

    def __init__(self, config: StudyConfig, channels: int, bins: int, label_dim: int, out: int) -> None:
        super().__init__()
        widths = (channels, *config.conv_channels)
        stages = [downward(a, b, config) for a, b in pairwise(widths)]
        self.stages = nn.Sequential(*stages)
        c, rows, columns = deepest(config, bins)
        self.unit = 2 ** len(config.conv_channels)
        self.outlet = nn.Linear(c * rows * columns + label_dim, out)

    def forward(self, x: Tensor, label: Tensor, silence: float | Tensor) -> Tensor:
        right, top = -x.shape[-1] % self.unit, -x.shape[-2] % self.unit
        h = self.stages(F.pad(x - silence, (0, right, 0, top)) + silence)
        return self.outlet(torch.cat([h.flatten(1), label], 1))


class WindowDecoder(nn.Module):
    """(N, latent_dim) and labels (N, label_dim) -> (N, C, bins, frames)."""

    def __init__(
        self, config: StudyConfig, channels: int, bins: int, label_dim: int, latent_dim: int
    ) -> None:
        super().__init__()
        self.shape = deepest(config, bins)
        self.size = bins, config.window_frames
        c, rows, columns = self.shape
        self.inlet = nn.Linear(latent_dim + label_dim, c * rows * columns)
        widths = config.conv_channels[::-1]
        stages = [upward(a, b, config) for a, b in pairwise(widths)]
        if config.network == "residual":
            stages += [upward(widths[-1], widths[-1] // 2 or 1, config)]
            end: nn.Module = nn.Conv2d(widths[-1] // 2 or 1, channels, 3, 1, 1)
        else:
            end = nn.ConvTranspose2d(widths[-1], channels, 4, 2, 1)
        self.stages = nn.Sequential(*stages, end, nn.Tanh() if config.head == "tanh" else nn.Identity())

    def forward(self, z: Tensor, label: Tensor) -> Tensor:
        h = F.relu(self.inlet(torch.cat([z, label], 1))).unflatten(1, self.shape)  # (N, c, rows, columns)
        return self.stages(h)[..., : self.size[0], : self.size[1]]


class StudyGaussian(Gaussian):
    """A diagonal Gaussian with a standard normal prior, every item drawn (Kingma & Welling 2014)."""

    def forward(self, h: Tensor) -> Latents:
        mean, log_variance = self.split(h)
        mean, log_variance = mean.float(), log_variance.float()
        z = mean + torch.exp(0.5 * log_variance) * torch.randn_like(mean)
        kl = 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).mean(dim=(0, 2))  # (latent_dim,)
        active = (mean.var(dim=(0, 2)) > 0.01).sum()
        return Latents(z, None, {"kl": kl}, {"kl_nats": kl.sum().detach(), "active_dims": active.detach()})


class SpectrogramModel(AudioModel):
    """Features, networks and bottleneck of a study. `config` is the run's model section."""

    def __init__(self, run: RunConfig) -> None:
        super().__init__()
        self.config, self.reference = run.model, run.study
        config, reference = self.config, self.reference
        self.spectrum = make_features(reference, config.sample_rate)
        shape = (self.spectrum.channels, self.spectrum.bins)
        is_vae = config.bottleneck == "vae"
        self.bottleneck: Bottleneck = (
            StudyGaussian(config.latent_dim) if is_vae else Identity(config.latent_dim)
        )
        self.labels = Labels(config, reference.label_dim)
        encoder_labels = self.labels.dim if reference.labels_to == "both" else 0
        self.encoder = WindowEncoder(reference, *shape, encoder_labels, self.bottleneck.in_channels)
        self.decoder = WindowDecoder(reference, *shape, self.labels.dim, config.latent_dim)

    @property
    def hop_length(self) -> int:
        """Samples from one latent vector to the next."""
        return self.reference.hop_length

    @property
    def receptive_field(self) -> int:
        """Samples that a resynthesised one depends on: two windows that overlap, and the transform's own reach."""
        reference = self.reference
        return reference.window_samples + reference.hop_length + 2 * reference.n_fft

    # -- between sound and windows ----------------------------------------------------------------------------

    @torch.no_grad()
    def windows(self, x: Tensor) -> Tensor:
        """(B, 1, T) -> (B, n, C, bins, W), the encoder's input. Raises: ValueError for what is no sound."""
        check_audio(x)
        with torch.autocast(x.device.type, enabled=False):
            return cut_windows(self.spectrum(x), self.reference.window_frames, self.spectrum.silence)

    @torch.no_grad()
    def sound(self, features: Tensor, length: int | None = None) -> Tensor:
        """Windows (B, n, C, bins, W) -> (B, 1, length); length defaults to n x hop_length."""
        spectrum = self.spectrum
        added = overlap_add(spectrum.additive(features.float()))
        length = features.shape[1] * self.hop_length if length is None else length
        return spectrum.invert(spectrum.from_additive(added), length)

    def upper_bound(self, x: Tensor) -> Tensor:
        """(B, 1, T) -> (B, 1, T): the features of the sound itself, inverted: the most that the model can reach."""
        return self.sound(self.windows(x), x.shape[-1])

    # -- between windows and latents --------------------------------------------------------------------------

    def label_rows(self, condition: Condition | None, count: int, each: int, device: torch.device) -> Tensor:
        """Labels of `count` sounds, repeated for each of their windows: (count * each, label_dim)."""
        label: Tensor = self.labels(condition, count, device)
        return label.repeat_interleave(each, 0)

    def hidden(self, seen: Tensor, condition: Condition | None = None) -> Tensor:
        """(B, n, C, bins, W) -> the bottleneck's input (B, in_channels, n)."""
        batch, n = seen.shape[:2]
        labelled = self.reference.labels_to == "both"
        label = self.label_rows(condition if labelled else None, batch, n, seen.device)
        label = label if labelled else label[:, :0]
        rows = zip(seen.flatten(0, 1).split(self._at_once), label.split(self._at_once), strict=True)
        h = torch.cat([self.encoder(x, part, self.spectrum.silence) for x, part in rows])
        return h.unflatten(0, (batch, n)).transpose(1, 2)

    @property
    def _at_once(self) -> int:
        return 1_000_000 if self.training else AT_ONCE

    def decoded(self, z: Tensor, condition: Condition | None = None) -> Tensor:
        """(B, latent_dim, n) -> windows (B, n, C, bins, W)."""
        batch, _, n = z.shape
        label = self.label_rows(condition, batch, n, z.device)
        rows = zip(
            z.transpose(1, 2).flatten(0, 1).split(self._at_once), label.split(self._at_once), strict=True
        )
        return torch.cat([self.decoder(x, part) for x, part in rows]).unflatten(0, (batch, n))

    # -- the interface of an AudioModel ---------------------------------------------------------------------------

    def features(self, x: Tensor, condition: Condition | None = None) -> Tensor:
        return self.hidden(self.windows(x), condition)

    def decode(self, z: Tensor, length: int | None = None, condition: Condition | None = None) -> Tensor:
        """(B, latent_dim, windows) -> (B, 1, length); length defaults to windows x hop_length. Gives no gradient."""
        return self.sound(self.decoded(z, condition), length)

    def forward(self, x: Tensor, condition: Condition | None = None) -> Tensor:
        """(B, 1, T) -> (B, 1, T)."""
        return self.decode(self.encode(x, condition=condition), x.shape[-1], condition)


# Frames cut into windows that overlap by half, and added again under a Hann curve.
#
# frames   |-----------------------------------|00     zeros of the feature fill the last window
# windows  |---W---|
#              |---W---|                               stride W / 2
#                  |---W---|  ...
# curve     .-'-.
#              .-'-.      sin^2 and cos^2: two neighbours add to 1; at the ends a lone window is divided by its curve


def window_count(frames: int, window: int) -> int:
    """Windows that cover so many frames."""
    return 1 + max(0, math.ceil((frames - window) / (window // 2)))


def cut_windows(features: Tensor, window: int, silence: float | Tensor = 0.0) -> Tensor:
    """(B, C, bins, frames) -> (B, n, C, bins, window); what is missing at the end is `silence`."""
    n = window_count(features.shape[-1], window)
    whole = window + (n - 1) * (window // 2)
    padded = F.pad(features - silence, (0, whole - features.shape[-1])) + silence
    return padded.unfold(-1, window, window // 2).permute(
        0, 3, 1, 2, 4
    )  # (B, C, bins, n, W) -> (B, n, C, bins, W)


def window_curve(window: int) -> Tensor:
    """(window,) Hann, nowhere 0, so that its two halves add to 1 and a lone half can be divided out."""
    return torch.sin(math.pi * (torch.arange(window) + 0.5) / window).square()


def overlap_add(windows: Tensor) -> Tensor:
    """(B, n, C, bins, W) -> (B, C, bins, W + (n - 1) W / 2), the reverse of `cut_windows`."""
    _, n, _, _, window = windows.shape
    stride, hann = window // 2, window_curve(window).to(windows)
    whole = window + (n - 1) * stride
    out = windows.new_zeros(*windows.shape[:1], *windows.shape[2:4], whole)
    weight = windows.new_zeros(whole)
    for number in range(n):
        there = slice(number * stride, number * stride + window)
        out[..., there] += windows[:, number] * hann
        weight[there] += hann
    return out / weight
