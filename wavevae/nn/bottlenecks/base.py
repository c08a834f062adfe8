"""Between encoder and decoder: the interface of all bottlenecks, and the two that are continuous.

No `from __future__ import annotations` here: TorchScript reads the annotations of quantizers.
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from wavevae.nn.sync import mean_over_ranks

LOG_VARIANCE_RANGE = (-12.0, 4.0)
"""Keeps exp() and the KL finite whatever the encoder says."""
LOG_VARIANCE_START = -9.0
"""Of a posterior that a linear start begins with, relative to the prior: draws 39 dB below their mean."""
SMALLEST_STD, SMALLEST_SHARE = 1e-6, 1e-3
"""Of the prior, and relative to its largest: an axis that the corpus hardly moves may be moved by other sounds, and the
KL counts that in standard deviations, squared."""


def floored(std: Tensor) -> Tensor:
    """Standard deviations (n,) of a prior, none so small that a sound unlike the corpus costs without bound."""
    return std.clamp_min(max(SMALLEST_STD, SMALLEST_SHARE * float(std.max())))


class Latents(NamedTuple):
    """What a bottleneck makes of the encoder's output."""

    z: Tensor
    """(B, latent_dim, frames): what the decoder gets."""
    codes: Tensor | None
    """(B, n_codebooks, frames) of a quantizer, else none."""
    losses: dict[str, Tensor]
    """Raw, unweighted terms: a KL is (latent_dim,) nats a frame, one number a dimension."""
    metrics: dict[str, Tensor]
    """Scalars worth watching."""


class Bottleneck(nn.Module):
    """Interface. `in_channels` is what the encoder must give for `latent_dim` numbers a frame."""

    in_channels: int
    controls: int = 0
    """How many of the first latents are measured and pass as they are."""

    def learned_part(self) -> "Bottleneck":
        """The bottleneck of the learned latents: this one, where there are no others."""
        return self

    def look_back_frames(self) -> int:
        """Frames before its own on which a latent depends."""
        return 0

    def forward(self, h: Tensor) -> Latents:
        """(B, in_channels, frames) -> Latents; draws at random where the method does, in training mode."""
        raise AssertionError("a bottleneck says what it does")

    def mean(self, h: Tensor) -> Tensor:
        """The deterministic latents (B, latent_dim, frames) that `encode` gives."""
        raise AssertionError("a bottleneck says what it does")

    def direct_axes(self) -> int:
        """How many latents are the encoder's first numbers, one to one, where nothing else is learned yet."""
        return self.in_channels

    def begin(self, outlet: nn.Conv1d, std: Tensor) -> None:
        """Told by the linear start: the encoder's last layer, and the standard deviation of each direct axis."""

    def start(self, h: Tensor, importance: Tensor | None = None) -> None:
        """Begin from frames (N, in_channels) of the encoder; where a method has nothing to set, nothing happens.

        `importance` (in_channels,): how much the decoder makes of each number.
        """


class Identity(Bottleneck):
    """A plain autoencoder: nothing in between."""

    def __init__(self, latent_dim: int) -> None:
        super().__init__()
        self.in_channels = latent_dim

    def forward(self, h: Tensor) -> Latents:
        return Latents(h, None, {}, {})

    def mean(self, h: Tensor) -> Tensor:
        return h


class Gaussian(Bottleneck):
    """Diagonal Gaussian posterior and prior (Kingma & Welling 2014, eq. 10 and appendix B).

    The prior's mean is 0, its standard deviations are `prior_std`: 1, or what the linear start found in the corpus,
    so that latents may keep the units of sound and weights their common size. The log-variance is relative to it.

    In training every second item of a batch is decoded from its mean, which is what `encode` gives later. Drawn
    latents alone teach the decoder to use the draw as its source of noise, and it then falls silent without.
    """

    prior_std: Tensor

    def __init__(self, latent_dim: int) -> None:
        super().__init__()
        self.in_channels = 2 * latent_dim
        self.register_buffer("prior_std", torch.ones(latent_dim, 1))

    def split(self, h: Tensor) -> tuple[Tensor, Tensor]:
        """-> mean, and log-variance relative to the prior, each (B, latent_dim, frames)."""
        mean, log_variance = h.chunk(2, dim=1)
        return mean, log_variance.clamp(*LOG_VARIANCE_RANGE)

    def forward(self, h: Tensor) -> Latents:
        mean, log_variance = self.split(h)
        noise = torch.randn_like(mean)
        if self.training:
            noise[1::2] = 0.0
        z = mean + self.prior_std * torch.exp(0.5 * log_variance) * noise
        mean, log_variance = mean.float() / self.prior_std, log_variance.float()
        kl = 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance)  # (B, latent_dim, frames)
        kl = mean_over_ranks(kl.mean(dim=(0, 2)))  # nats a frame, by dimension
        active = (mean.var(dim=(0, 2)) > 0.01).sum()  # Burda et al. 2016, sec. 5.2
        return Latents(z, None, {"kl": kl}, {"kl_nats": kl.sum().detach(), "active_dims": active.detach()})

    def mean(self, h: Tensor) -> Tensor:
        return self.split(h)[0]

    def direct_axes(self) -> int:
        return len(self.prior_std)

    def begin(self, outlet: nn.Conv1d, std: Tensor) -> None:
        dim = len(self.prior_std)
        self.prior_std[: len(std)] = floored(std)[:, None]
        with torch.no_grad():
            assert outlet.bias is not None
            outlet.bias[dim:] = LOG_VARIANCE_START
