"""The bottleneck that a configuration names."""

from __future__ import annotations

from wavevae.config import ModelConfig
from wavevae.nn.bottlenecks.base import Bottleneck, Gaussian, Identity
from wavevae.nn.bottlenecks.codebook import Codebook
from wavevae.nn.bottlenecks.hierarchical import Hierarchical
from wavevae.nn.bottlenecks.residual_vq import VQ, ResidualVQ


def make_bottleneck(config: ModelConfig) -> Bottleneck:
    """Untrained, of the sizes that the configuration gives."""

    def codebook() -> Codebook:
        decay, dead = config.codebook_decay, config.codebook_dead
        return Codebook(config.codebook_size, config.code_dim, decay, dead)

    match config.bottleneck:
        case "ae":
            return Identity(config.latent_dim)
        case "vae":
            return Gaussian(config.latent_dim)
        case "vq":
            return VQ(config.latent_dim, codebook(), config.frame_rate)
        case "rvq":
            books = [codebook() for _ in range(config.n_codebooks)]
            return ResidualVQ(config.latent_dim, books, config.frame_rate, config.codebook_dropout)
        case "hvae":
            return Hierarchical(config.latent_dim, config.top_dim, config.top_every)
    raise AssertionError(f"the configuration lets {config.bottleneck} through")
