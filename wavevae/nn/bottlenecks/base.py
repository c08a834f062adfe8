"""Between encoder and decoder: the interface of all bottlenecks, their registry, and the two that are a few lines.

A bottleneck's class holds all of its facts: losses and their weights, initialisation, statistics for evaluation,
look-back and the name of its exported form. To add one: a class in this package that answers what `Bottleneck` asks;
its name and settings in `wavevae.model_config`; its streaming form in export/bottlenecks.py, unless the latents are the
encoder's first numbers.

No `from __future__ import annotations` here: TorchScript reads the annotations of quantizers.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import NamedTuple

import torch
from torch import Tensor, nn

from wavevae.config import ObjectiveConfig
from wavevae.model_config import BOTTLENECKS, ModelConfig
from wavevae.nn.bottlenecks.codebook import Codebook
from wavevae.nn.distributed import mean_over_ranks
from wavevae.objectives.schedules import kl_weight

LOG_VARIANCE_RANGE = (-12.0, 4.0)
"""Keeps exp() and the KL finite for any output of the encoder."""
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


class Statistics(NamedTuple):
    """What evaluation reads of one sound; nothing random."""

    z: Tensor
    """(1, latent_dim, frames): what the decoder gets."""
    latents: Tensor
    """(latent_dim, frames): the same in standard deviations of the prior, where there is one."""
    log_variance: Tensor | None = None
    """(latent_dim, frames) of a posterior whose prior is N(0, 1) in these units."""
    prior_std: Tensor | None = None
    """(latent_dim, 1) of that prior, in the units of z."""
    kl: Tensor | None = None
    """(frames,) nats, where the prior is another one."""
    codes: Tensor | None = None
    """(n_codebooks, frames)"""


class LossTerm(NamedTuple):
    """One loss of a bottleneck, from the raw numbers in `Latents.losses` to its weight."""

    name: str
    scalar: Callable[[Mapping[str, Tensor], ObjectiveConfig], Tensor | None]
    """Raw numbers -> unweighted scalar; none where the configuration does not ask for it."""
    weight: Callable[[float, ObjectiveConfig], float]
    """Share of the budget used, 0 to 1 -> weight."""


def beyond_free_bits(kl: Tensor, free_bits: float) -> Tensor:
    """Nats a frame beyond the free bits of each dimension (Kingma et al. 2016, eq. 15): (D,) -> scalar."""
    return kl.clamp_min(free_bits).sum()


KL = LossTerm("kl", lambda raw, config: beyond_free_bits(raw["kl"], config.free_bits), kl_weight)


class Bottleneck(nn.Module, ABC):
    """Interface. A method that uses nothing random, codes or levels leaves the defaults as they are."""

    in_channels: int
    """What the encoder must give for `latent_dim` numbers a frame."""
    controls: int = 0
    """How many of the first latents are measured and pass as they are."""
    every: int = 1
    """Frames over which the slowest latents are held."""
    has_top_level: bool = False
    """Whether some latents are slower than the others and set their prior."""
    loss_terms: tuple[LossTerm, ...] = ()
    streaming_twin: str = ""
    """Class in export/bottlenecks.py; empty where the latents are the encoder's first numbers."""

    @classmethod
    def from_config(cls, config: ModelConfig) -> "Bottleneck":
        """Untrained, of the sizes that the configuration gives. Raises: TypeError for one that wraps another."""
        raise TypeError(f"{cls.__name__} is built around another bottleneck, not from a configuration")

    @classmethod
    def codebook_sizes(cls, config: ModelConfig) -> tuple[int, ...]:
        """Of each codebook; empty without codes."""
        return ()

    def learned_part(self) -> "Bottleneck":
        """The bottleneck of the learned latents: this one, where there are no others."""
        return self

    # -- sound to latents ----------------------------------------------------------------------------------

    @abstractmethod
    def forward(self, h: Tensor) -> Latents:
        """(B, in_channels, frames) -> Latents; draws at random where the method does, in training mode."""

    @abstractmethod
    def mean(self, h: Tensor) -> Tensor:
        """The deterministic latents (B, latent_dim, frames) that `encode` gives."""

    def first_input(self, frame: int) -> int:
        """The first frame of the encoder's output on which latent frame `frame` depends."""
        return frame

    def look_back_frames(self) -> int:
        """Frames before its own on which a latent depends."""
        return 0

    def statistics(self, h: Tensor) -> Statistics:
        """(1, in_channels, frames) -> what evaluation reads."""
        z = self.mean(h)
        return Statistics(z, z[0])

    def with_top_latents_of(self, h: Tensor, other: Tensor) -> Tensor:
        """z of `h` as it is when the slow latents are those of `other`, of the same shape.

        Raises: TypeError where there is no top level.
        """
        raise TypeError(f"{type(self).__name__} has no slow latents")

    # -- before and during training --------------------------------------------------------------------------

    def direct_axes(self) -> int:
        """How many latents are the encoder's first numbers, one to one, where nothing else is learned yet."""
        return self.in_channels

    def init_from_linear(self, outlet: nn.Conv1d, std: Tensor) -> None:
        """Called by the linear start with the encoder's last layer and the standard deviation of each direct axis."""

    def init_frames(self) -> int:
        """Frames of the corpus that `init_from_data` wants; 0 where there is nothing to set."""
        return 0

    def init_from_data(self, h: Tensor, importance: Tensor | None = None) -> None:
        """Begin from frames (N, in_channels) of the encoder; `importance` (in_channels,): the decoder's gain of each.

        Raises: UserError for too few frames.
        """

    def data_parameters(self) -> list[nn.Parameter]:
        """What `init_from_data` sets; it learns at the rate of all that a start in closed form sets."""
        return []

    def code_parameters(self) -> list[nn.Parameter]:
        """What decides, with the encoder, which codes a sound gets; empty without codes."""
        return []

    # -- codes -----------------------------------------------------------------------------------------------

    def codebooks(self) -> list[Codebook]:
        """In order; empty without codes."""
        return []

    def encode(self, h: Tensor) -> tuple[Tensor, Tensor | None]:
        """(B, in_channels, F) -> z (B, latent_dim, F), codes (B, n_codebooks, F) or none."""
        return self.mean(h), None

    def decode_codes(self, codes: Tensor) -> Tensor:
        """Codes (B, n, F), n up to n_codebooks -> z (B, latent_dim, F). Raises: TypeError without codes."""
        raise TypeError(f"{type(self).__name__} has no codes")

    def margin(self, h: Tensor) -> Tensor:
        """(B, in_channels, F) -> (B, F) how much nearer the chosen codes are than the next; inf without codes."""
        return h.new_full((len(h), h.shape[2]), torch.inf)


class Identity(Bottleneck):
    """A plain autoencoder: nothing in between."""

    def __init__(self, latent_dim: int) -> None:
        super().__init__()
        self.in_channels = latent_dim

    @classmethod
    def from_config(cls, config: ModelConfig) -> Bottleneck:
        return cls(config.latent_dim)

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
    loss_terms = (KL,)

    def __init__(self, latent_dim: int) -> None:
        super().__init__()
        self.in_channels = 2 * latent_dim
        self.register_buffer("prior_std", torch.ones(latent_dim, 1))

    @classmethod
    def from_config(cls, config: ModelConfig) -> Bottleneck:
        return cls(config.latent_dim)

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

    def statistics(self, h: Tensor) -> Statistics:
        mean, log_variance = self.split(h)
        return Statistics(mean, mean[0] / self.prior_std, log_variance[0], self.prior_std)

    def direct_axes(self) -> int:
        return len(self.prior_std)

    def init_from_linear(self, outlet: nn.Conv1d, std: Tensor) -> None:
        dim = len(self.prior_std)
        self.prior_std[: len(std)] = floored(std)[:, None]
        with torch.no_grad():
            assert outlet.bias is not None
            outlet.bias[dim:] = LOG_VARIANCE_START


def bottleneck_class(name: str) -> type[Bottleneck]:
    """Raises: KeyError for a name that no configuration lets through."""
    module, class_name = BOTTLENECKS[name].split(".")
    found: type[Bottleneck] = getattr(import_module(f"wavevae.nn.bottlenecks.{module}"), class_name)
    return found


def make_bottleneck(config: ModelConfig) -> Bottleneck:
    """Untrained, of the sizes that the configuration gives."""
    return bottleneck_class(config.bottleneck).from_config(config)


def codebook_sizes(config: ModelConfig) -> tuple[int, ...]:
    """Of each codebook; empty for a model without codes."""
    return bottleneck_class(config.bottleneck).codebook_sizes(config)
