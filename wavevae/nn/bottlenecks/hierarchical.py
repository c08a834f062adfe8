"""Two levels at two rates: a slow latent per group of frames sets the prior of the fast latents.

    frames   | 0 1 2 3 | 4 5 6 7 | 8 9 ...      fast latents: one vector a frame
    groups        0         1         2         slow latents: one vector a group, held over it
    depend on        \\_______^ group 1 depends on frames 0..3 and earlier, none of its own: no look-ahead

z = (fast, slow held over its group), (B, latent_dim, frames): the decoder sees one rate, as with any bottleneck.

No `from __future__ import annotations` here: TorchScript reads the annotations of what the streaming twin shares.
"""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from wavevae.model_config import ModelConfig
from wavevae.nn.bottlenecks.base import (
    KL,
    LOG_VARIANCE_RANGE,
    Bottleneck,
    Latents,
    LossTerm,
    Statistics,
    beyond_free_bits,
    floored,
)
from wavevae.nn.conv import (
    SLOPE,
    CausalConv1d,
    Downsample,
    ResidualUnit,
    activation,
    init_conv,
    pad_to_multiple,
    scale_weights,
)
from wavevae.nn.distributed import mean_over_ranks
from wavevae.objectives.schedules import kl_top_weight

HIDDEN = 64
"""Channels between the levels."""
FAINT = 1e-4
"""Power, relative to the prior's, at which a fast latent is as good as silent to the slow level: 40 dB down."""
LOUDNESS_SCALE = 5.0
"""Nats of power that are one unit of the slow level's input."""
LOUDNESS_MEAN, LOUDNESS_STD = -0.8, 0.6
"""Roughly, of that loudness over a corpus."""
MEAN_LOG_SQUARE = 1.27
"""How far the mean of log x^2 lies below log E x^2 of a Gaussian, nats."""
FAST_LOG_VARIANCE_START = -11.5
"""As LOG_VARIANCE_START, where the prior may be 40 dB narrower: or it would pull quiet frames to its mean."""
PRIOR_LOG_VARIANCE_RANGE = (-6.0, 4.0)
"""Of the fast latents' prior: 26 dB narrower than the corpus at most. The KL weighs an error of the prior's mean by its
precision: without this bound one chunk that is not as expected costs a million nats."""
AT_BOUND = 0.5
"""Nats of log-variance from the lower end within which a prior counts as held by it."""
FIRST_LOG_VARIANCE = -2.0
"""Of the initial slow posterior: narrow, so that the decoder learns to use it."""


KL_TOP = LossTerm(
    "kl_top", lambda raw, config: beyond_free_bits(raw["kl_top"], config.free_bits_top), kl_top_weight
)


def hold(top: Tensor, every: int, frames: int) -> Tensor:
    """(B, C, groups) -> (B, C, frames), each for `every` frames."""
    return top.repeat_interleave(every, dim=2)[..., :frames]


class Normals(NamedTuple):
    """Independent Gaussians, number by number."""

    mean: Tensor
    log_variance: Tensor


def product_of_gaussians(one: Normals, other: Normals) -> Normals:
    """The normalised product: means weighed by their precision (Ladder VAE, eq. 7-8)."""
    weight = torch.sigmoid(other.log_variance - one.log_variance)  # of the first
    log_variance = -torch.logaddexp(-one.log_variance, -other.log_variance)
    return Normals(torch.lerp(other.mean, one.mean, weight), log_variance)


def divergence(posterior: Normals, prior: Normals) -> Tensor:
    """KL(posterior || prior), nats, number by number, in fp32."""
    log_ratio = posterior.log_variance.float() - prior.log_variance.float()
    apart = (posterior.mean.float() - prior.mean.float()).square() * torch.exp(-prior.log_variance.float())
    return 0.5 * (apart + log_ratio.exp() - 1 - log_ratio)


def bounded_prior(log_variance: Tensor, low: float, high: float) -> Tensor:
    """Within PRIOR_LOG_VARIANCE_RANGE, smoothly at the lower end: what is too narrow can still learn to widen."""
    return (low + F.softplus(log_variance - low)).clamp_max(high)


def with_loudness(h: Tensor, faint: float = FAINT, scale: float = LOUDNESS_SCALE) -> Tensor:
    """(B, C, F) -> (B, 2 C, F): the numbers, and how large each is, which fades through decades."""
    return torch.cat([h, torch.log(h.square() + faint) / scale], 1)


class TopEncoder(nn.Module):
    """The encoder's frames -> posterior of the slow latents, of each group from the groups before it."""

    def __init__(self, in_channels: int, top_dim: int, every: int) -> None:
        super().__init__()
        self.every = every
        self.downsample = Downsample(2 * in_channels, HIDDEN, every)
        self.unit = ResidualUnit(HIDDEN, 1)
        self.outlet = CausalConv1d(HIDDEN, 2 * top_dim, 1)

    def forward(self, h: Tensor) -> Tensor:
        """(B, C, F) -> (B, 2 top_dim, ceil(F / every))."""
        groups = self.downsample(pad_to_multiple(with_loudness(h), self.every))
        late = F.pad(groups, (1, 0))[..., :-1]  # group n gets the features of group n - 1
        return self.outlet(activation(self.unit(late)))


class TopDownPrior(nn.Module):
    """Held slow latents -> prior of the fast ones: (B, top_dim, F) -> mean and log-variance (B, bottom_dim, F) each."""

    def __init__(self, top_dim: int, bottom_dim: int) -> None:
        super().__init__()
        self.inlet = CausalConv1d(top_dim, HIDDEN, 1)
        self.outlet = CausalConv1d(HIDDEN, 2 * bottom_dim, 1)

    def forward(self, top: Tensor) -> Normals:
        mean, log_variance = self.outlet(activation(self.inlet(top))).float().chunk(2, dim=1)
        return Normals(mean, bounded_prior(log_variance, *PRIOR_LOG_VARIANCE_RANGE))


class Hierarchical(Bottleneck):
    """Two-level VAE with a top-down posterior (Sonderby et al. 2016, Ladder VAE, sec. 2.2).

        slow ~ q(s | x)     prior N(0, 1)              KL `kl_top`: nats a frame (a group's over its frames)
        fast ~ q(f | x, s)  prior N(m(s), v(s))        KL `kl`:     nats a frame

    The fast posterior is the product of what the encoder finds in x and the slow level's prior, weighed by precision
    (`product_of_gaussians`). m and v are in units of `prior_std`, as the VAE's prior is: 1, or that of the corpus by
    `init_from_linear`. As with the VAE every second chunk is learned from the means, which `encode` gives later.
    """

    prior_std: Tensor
    has_top_level = True
    loss_terms = (KL, KL_TOP)
    streaming_twin = "StreamingHierarchy"

    def __init__(self, latent_dim: int, top_dim: int, every: int) -> None:
        super().__init__()
        self.every, self.top_dim, self.bottom_dim = every, top_dim, latent_dim - top_dim
        self.in_channels = 2 * self.bottom_dim
        self.register_buffer("prior_std", torch.ones(self.bottom_dim, 1))
        self.top_encoder = TopEncoder(self.bottom_dim, top_dim, every)
        self.top_prior = TopDownPrior(top_dim, self.bottom_dim)
        self.apply(init_conv)
        scale_weights(self.top_prior.outlet, 0.1)
        with torch.no_grad():
            bias = self.top_encoder.outlet.conv.bias
            assert bias is not None
            bias[top_dim:] = FIRST_LOG_VARIANCE

    @classmethod
    def from_config(cls, config: ModelConfig) -> Bottleneck:
        return cls(config.latent_dim, config.top_dim, config.top_every)

    def levels(self, h: Tensor, noise: bool) -> tuple[Tensor, ...]:
        """(B, in_channels, F) -> z (B, latent_dim, F), KL of the fast level (B, bottom_dim, F), of the slow level
        (B, top_dim, groups) in nats a group, both means, in units of the prior, and the log-variance of the
        fast level's prior (B, bottom_dim, F). In fp32 whatever the precision of
        the networks: precisions span six decades."""
        mean, log_variance = h.float().chunk(2, dim=1)
        own = Normals(mean / self.prior_std, log_variance.clamp(*LOG_VARIANCE_RANGE))
        top_mean, top_log_variance = self.top_encoder(own.mean).float().chunk(2, dim=1)
        slow = Normals(top_mean, top_log_variance.clamp(*LOG_VARIANCE_RANGE))
        top = hold(self._draw(slow, noise), self.every, h.shape[-1])
        prior = self.top_prior(top)
        fast = product_of_gaussians(own, prior)
        bottom = self.prior_std * self._draw(fast, noise)
        standard = Normals(torch.zeros_like(slow.mean), torch.zeros_like(slow.mean))
        kl, kl_top = divergence(fast, prior), divergence(slow, standard)
        return torch.cat([bottom, top], 1), kl, kl_top, fast.mean, slow.mean, prior.log_variance

    def _draw(self, of: Normals, noise: bool) -> Tensor:
        if not noise:
            return of.mean
        drawn = torch.randn_like(of.mean)
        if self.training:
            drawn[1::2] = 0.0
        return of.mean + torch.exp(0.5 * of.log_variance) * drawn

    def forward(self, h: Tensor) -> Latents:
        z, kl, kl_top, mean, top_mean, prior_log_variance = self.levels(h, noise=True)
        fast, slow = mean_over_ranks(kl.mean(dim=(0, 2))), mean_over_ranks(kl_top.mean(dim=(0, 2)))
        losses = {"kl": fast, "kl_top": slow / self.every}
        metrics = {
            "kl_nats": losses["kl"].sum() + losses["kl_top"].sum(),
            "kl_nats_top": losses["kl_top"].sum(),
            "narrow_prior": (prior_log_variance < PRIOR_LOG_VARIANCE_RANGE[0] + AT_BOUND).float().mean(),
            "active_dims": (mean.float().var(dim=(0, 2)) > 0.01).sum(),
            "active_dims_top": (top_mean.float().var(dim=(0, 2)) > 0.01).sum(),
        }
        metrics["active_dims"] = metrics["active_dims"] + metrics["active_dims_top"]
        return Latents(z, None, losses, {name: value.detach() for name, value in metrics.items()})

    def mean(self, h: Tensor) -> Tensor:
        return self.levels(h, noise=False)[0]

    def with_top_latents(self, h: Tensor, top: Tensor) -> Tensor:
        """z of h with other slow latents: top (B, top_dim, F), held as in z. Nothing random.

        The fast latents keep their distance from their prior's mean, in its standard deviations: the draw that would
        have led to them in generation.
        """
        own = self.mean(h)
        fast, slow = own.split([self.bottom_dim, self.top_dim], 1)
        mine, other = self.top_prior(slow), self.top_prior(top)
        drawn = (fast / self.prior_std - mine.mean) * torch.exp(-0.5 * mine.log_variance)
        fast = other.mean + torch.exp(0.5 * other.log_variance) * drawn
        return torch.cat([self.prior_std * fast, top], 1)

    def with_top_latents_of(self, h: Tensor, other: Tensor) -> Tensor:
        return self.with_top_latents(h, self.mean(other)[:, self.bottom_dim :])

    def statistics(self, h: Tensor) -> Statistics:
        """The KL is that of both levels, a slow group's shared out over its frames."""
        z, kl, kl_top = self.levels(h, noise=False)[:3]
        held = (kl_top[0].sum(0) / self.every).repeat_interleave(self.every)
        total: Tensor = kl[0].sum(0) + held[: kl.shape[-1]]
        bottom, top = z[0, : self.bottom_dim], z[0, self.bottom_dim :]
        return Statistics(z, torch.cat([bottom / self.prior_std, top]), kl=total.double())

    def direct_axes(self) -> int:
        return self.bottom_dim

    def first_input(self, frame: int) -> int:
        """Of a group the fast latents depend on the group before, through the slow ones."""
        slow = self.top_encoder
        group = frame // self.every - 1 - slow.outlet.past - slow.unit.pointwise.past - slow.unit.dilated.past
        return min(frame, group * self.every - slow.downsample.past)

    def look_back_frames(self) -> int:
        slow = self.top_encoder
        groups = slow.unit.dilated.past + slow.unit.pointwise.past + slow.outlet.past + 1
        return (groups + 1) * self.every + slow.downsample.past

    def init_from_linear(self, outlet: nn.Conv1d, std: Tensor) -> None:
        self.prior_std[: len(std)] = floored(std)[:, None]
        with torch.no_grad():
            assert outlet.bias is not None
            outlet.bias[self.bottom_dim :] = FAST_LOG_VARIANCE_START
            self._init_prior_from_loudness()

    def _init_prior_from_loudness(self) -> None:
        """The first slow latent becomes the loudness of the group before, and the fast latents' prior as wide as that.

        x = (act(x) - act(-x)) / (1 + SLOPE) takes a number through the activations as it is.
        """
        top, prior = self.top_encoder, self.top_prior
        downsample, pointwise, top_outlet = top.downsample.conv, top.unit.pointwise.conv, top.outlet.conv
        inlet, outlet = prior.inlet.conv, prior.outlet.conv
        whole = 1.0 + SLOPE
        for layer, rows in ((downsample, 2), (pointwise, 2), (top_outlet, 1), (inlet, 2)):
            layer.weight[:rows] = 0.0
            assert layer.bias is not None
            layer.bias[:rows] = 0.0
        loud = downsample.weight[:2, self.bottom_dim :, -self.every :]  # of this group's frames, the sizes
        loud[0], loud[1] = 1 / loud[0].numel(), -1 / loud[0].numel()
        top_outlet.weight[0, :2, 0] = torch.tensor([1.0, -1.0]) / (whole * LOUDNESS_STD)
        assert top_outlet.bias is not None
        top_outlet.bias[0] = -LOUDNESS_MEAN / LOUDNESS_STD
        inlet.weight[:2, 0, 0] = torch.tensor([1.0, -1.0])
        assert outlet.bias is not None
        outlet.weight[self.bottom_dim :, :2, 0] = (
            LOUDNESS_SCALE * LOUDNESS_STD * torch.tensor([1.0, -1.0]) / whole
        )
        outlet.bias[self.bottom_dim :] = LOUDNESS_SCALE * LOUDNESS_MEAN + MEAN_LOG_SQUARE
