"""Between encoder and decoder: the interface of all bottlenecks, and the two that are continuous."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from wavevae.config import ModelConfig

LOG_VARIANCE_RANGE = (-12.0, 4.0)
"""Keeps exp() and the KL finite whatever the encoder says."""


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

    def forward(self, h: Tensor) -> Latents:
        """(B, in_channels, frames) -> Latents; draws at random where the method does, in training mode."""
        raise AssertionError("a bottleneck says what it does")

    def mean(self, h: Tensor) -> Tensor:
        """The deterministic latents (B, latent_dim, frames) that `encode` gives."""
        raise AssertionError("a bottleneck says what it does")


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
    """Diagonal Gaussian posterior, standard normal prior (Kingma & Welling 2014, eq. 10 and appendix B).

    In training every second item of a batch is decoded from its mean, which is what `encode` gives later. Drawn
    latents alone teach the decoder to use the draw as its source of noise, and it then falls silent without.
    """

    def __init__(self, latent_dim: int) -> None:
        super().__init__()
        self.in_channels = 2 * latent_dim

    def split(self, h: Tensor) -> tuple[Tensor, Tensor]:
        """-> mean and log-variance, each (B, latent_dim, frames)."""
        mean, log_variance = h.chunk(2, dim=1)
        return mean, log_variance.clamp(*LOG_VARIANCE_RANGE)

    def forward(self, h: Tensor) -> Latents:
        mean, log_variance = self.split(h)
        noise = torch.randn_like(mean)
        if self.training:
            noise[1::2] = 0.0
        z = mean + torch.exp(0.5 * log_variance) * noise
        mean, log_variance = mean.float(), log_variance.float()
        kl = 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance)  # (B, latent_dim, frames)
        kl = kl.mean(dim=(0, 2))  # nats a frame, by dimension
        active = (mean.var(dim=(0, 2)) > 0.01).sum()  # Burda et al. 2016, sec. 5.2
        return Latents(z, None, {"kl": kl}, {"kl_nats": kl.sum().detach(), "active_dims": active.detach()})

    def mean(self, h: Tensor) -> Tensor:
        return self.split(h)[0]


def make_bottleneck(config: ModelConfig) -> Bottleneck:
    """The bottleneck that the configuration names."""
    return {"ae": Identity, "vae": Gaussian}[config.bottleneck](config.latent_dim)
