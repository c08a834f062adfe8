"""A spectrogram model with the face of an Autoencoder: audio (B, 1, T) <-> latents (B, latent_dim, windows).

A latent frame is a window of spectrogram frames; windows follow each other by half. Any T goes in, the same comes out.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from wavevae.config import RunConfig
from wavevae.nn.bottlenecks.base import Bottleneck, Gaussian, Identity, Latents
from wavevae.nn.conditioning import Condition, make_condition
from wavevae.studies.features import make_features
from wavevae.studies.window_networks import Labels, WindowDecoder, WindowEncoder

AT_ONCE = 32
"""Windows that go through a network together, where nothing is learned from them."""


class StudyGaussian(Gaussian):
    """A diagonal Gaussian with a standard normal prior, every item drawn (Kingma & Welling 2014)."""

    def forward(self, h: Tensor) -> Latents:
        mean, log_variance = self.split(h)
        mean, log_variance = mean.float(), log_variance.float()
        z = mean + torch.exp(0.5 * log_variance) * torch.randn_like(mean)
        kl = 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).mean(dim=(0, 2))  # (latent_dim,)
        active = (mean.var(dim=(0, 2)) > 0.01).sum()
        return Latents(z, None, {"kl": kl}, {"kl_nats": kl.sum().detach(), "active_dims": active.detach()})


class SpectrogramModel(nn.Module):
    """Features, network and bottleneck of a study. `config` is the run's model section."""

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
        heard = self.labels.dim if reference.labels_to == "both" else 0
        self.encoder = WindowEncoder(reference, *shape, heard, self.bottleneck.in_channels)
        self.decoder = WindowDecoder(reference, *shape, self.labels.dim, config.latent_dim)

    @property
    def sample_rate(self) -> int:
        return self.config.sample_rate

    @property
    def hop_length(self) -> int:
        """Samples from one latent vector to the next."""
        return self.reference.hop_length

    @property
    def latent_dim(self) -> int:
        return self.config.latent_dim

    @property
    def receptive_field(self) -> int:
        """Samples that a resynthesised one depends on: two windows that overlap, and the transform's own reach."""
        reference = self.reference
        return reference.window_samples + reference.hop_length + 2 * reference.n_fft

    def condition(
        self, class_name: str | None = None, pitch: float | None = None, batch: int = 1
    ) -> Condition | None:
        """As of an Autoencoder. Raises: UserError."""
        return make_condition(self.config, class_name, pitch, batch)

    # -- between sound and windows ----------------------------------------------------------------------------

    @torch.no_grad()
    def windows(self, x: Tensor) -> Tensor:
        """(B, 1, T) -> (B, n, C, bins, W): what the network sees. Raises: ValueError for what is no sound."""
        if x.ndim != 3 or x.shape[1] != 1 or x.shape[2] < 1:
            raise ValueError(f"audio has shape {tuple(x.shape)}; it must be (batch, 1, samples >= 1)")
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

    def told(self, condition: Condition | None, count: int, each: int, device: torch.device) -> Tensor:
        """Labels of `count` sounds, repeated for each of their windows: (count * each, label_dim)."""
        label: Tensor = self.labels(condition, count, device)
        return label.repeat_interleave(each, 0)

    def hidden(self, seen: Tensor, condition: Condition | None = None) -> Tensor:
        """(B, n, C, bins, W) -> what the bottleneck gets, (B, in_channels, n)."""
        batch, n = seen.shape[:2]
        label = self.told(condition if self.reference.labels_to == "both" else None, batch, n, seen.device)
        label = label if self.reference.labels_to == "both" else label[:, :0]
        rows = zip(seen.flatten(0, 1).split(self._at_once), label.split(self._at_once), strict=True)
        h = torch.cat([self.encoder(x, part, self.spectrum.silence) for x, part in rows])
        return h.unflatten(0, (batch, n)).transpose(1, 2)

    @property
    def _at_once(self) -> int:
        return 1_000_000 if self.training else AT_ONCE

    def decoded(self, z: Tensor, condition: Condition | None = None) -> Tensor:
        """(B, latent_dim, n) -> windows (B, n, C, bins, W)."""
        batch, _, n = z.shape
        label = self.told(condition, batch, n, z.device)
        rows = zip(
            z.transpose(1, 2).flatten(0, 1).split(self._at_once), label.split(self._at_once), strict=True
        )
        return torch.cat([self.decoder(x, part) for x, part in rows]).unflatten(0, (batch, n))

    # -- the face of an Autoencoder ---------------------------------------------------------------------------

    def features(self, x: Tensor, condition: Condition | None = None) -> Tensor:
        """What the bottleneck gets of a sound."""
        return self.hidden(self.windows(x), condition)

    def posterior(self, x: Tensor, condition: Condition | None = None) -> Latents:
        """Encode (B, 1, T), keeping what the bottleneck says of it."""
        latents: Latents = self.bottleneck(self.features(x, condition))
        return latents

    def encode(self, x: Tensor, sample: bool = False, condition: Condition | None = None) -> Tensor:
        """(B, 1, T) -> (B, latent_dim, windows): the posterior's mean, or a draw from it."""
        if sample:
            return self.posterior(x, condition).z
        return self.bottleneck.mean(self.features(x, condition))

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
