"""Streaming twins of the bottlenecks: what the encoder gives -> latents as `encode` gives them, nothing random.

    forward(h rows (T * B, in_channels)) -> rows (T * B, latent_dim)        start(voices)

A Gaussian's mean and a plain autoencoder's code are rows of the encoder's last layer: they need no twin.
"""

import copy

import torch
from torch import Tensor

from wavevae.nn.bottlenecks.base import LOG_VARIANCE_RANGE, Bottleneck
from wavevae.nn.bottlenecks.hierarchical import (
    PRIOR_LOG_VARIANCE_RANGE,
    Hierarchical,
    bounded_prior,
    with_loudness,
)
from wavevae.nn.bottlenecks.residual_vq import ResidualVQ

from .layers import StreamingLayer, activation, twin_of


class StreamingQuantizer(StreamingLayer):
    """Twin of VQ and ResidualVQ, which have no past: theirs is the scripted form of training."""

    def __init__(self, offline: ResidualVQ) -> None:
        super().__init__()
        self.quantizer = copy.deepcopy(offline).eval().requires_grad_(False)

    def forward(self, h: Tensor) -> Tensor:
        return self.quantizer.mean(h.t().unsqueeze(0))[0].t()

    def codes(self, h: Tensor) -> Tensor:
        """(T * B, latent_dim) -> (T * B, codebooks), whole numbers."""
        return self.quantizer.encode(h.t().unsqueeze(0))[1][0].t()

    def from_codes(self, codes: Tensor) -> Tensor:
        """The reverse: what `forward` gives for these codes."""
        return self.quantizer.decode_codes(codes.t().unsqueeze(0).to(torch.int64))[0].t()

    def start(self, voices: int) -> None:
        pass


class StreamingHierarchy(StreamingLayer):
    """Twin of Hierarchical: frames of an unfinished group wait, the last whole one says what to expect."""

    waiting: Tensor
    top: Tensor

    def __init__(self, offline: Hierarchical) -> None:
        super().__init__()
        self.every, self.voices = offline.every, 1
        self.lowest, self.highest = LOG_VARIANCE_RANGE
        self.prior_lowest, self.prior_highest = PRIOR_LOG_VARIANCE_RANGE
        self.register_buffer("prior_std", offline.prior_std.detach().t().clone())  # (1, bottom_dim)
        self.gather, self.unit = twin_of(offline.top_encoder.downsample), twin_of(offline.top_encoder.unit)
        self.outlet = twin_of(offline.top_encoder.outlet)
        self.expected_inlet = twin_of(offline.top_prior.inlet)
        self.expected_outlet = twin_of(offline.top_prior.outlet)
        self.hidden = offline.top_encoder.outlet.conv.in_channels
        self.register_buffer("waiting", torch.zeros(0, offline.bottom_dim))
        self.register_buffer("top", torch.zeros(1, offline.top_dim))

    def forward(self, h: Tensor) -> Tensor:
        mean, log_variance = h.chunk(2, 1)
        mean = mean / self.prior_std
        top = self._held(mean)
        prior, prior_log_variance = self.expected_outlet(activation(self.expected_inlet(top))).chunk(2, 1)
        expected = bounded_prior(prior_log_variance, self.prior_lowest, self.prior_highest)
        surer = expected - log_variance.clamp(self.lowest, self.highest)
        fast = torch.lerp(
            prior, mean, torch.sigmoid(surer)
        )  # `product_of_gaussians`, of which only the mean is wanted
        return torch.cat([self.prior_std * fast, top], 1)

    def _held(self, mean: Tensor) -> Tensor:
        """(F * B, bottom_dim) -> what the groups before say, (F * B, top_dim)."""
        joined = torch.cat([self.waiting, mean])
        first, frames = self.waiting.size(0) // self.voices, joined.size(0) // self.voices
        groups = frames // self.every
        whole = groups * self.every * self.voices
        tops = self.top
        if groups > 0:
            tops = torch.cat([tops, self._slow(self.gather(with_loudness(joined.narrow(0, 0, whole))))])
        of_frame = torch.arange(first, frames) // self.every
        held = tops.view(groups + 1, self.voices, tops.size(1)).index_select(0, of_frame)
        self.waiting = joined.narrow(0, whole, joined.size(0) - whole)
        self.top = tops.narrow(0, groups * self.voices, self.voices)
        return held.reshape(-1, tops.size(1))

    def _slow(self, groups: Tensor) -> Tensor:
        """(groups * B, hidden), its memory is used -> the slow latents' means."""
        return self.outlet(activation(self.unit(groups))).chunk(2, 1)[0]

    def start(self, voices: int) -> None:
        self.voices = voices
        self.gather.start(voices)
        self.unit.start(voices)
        self.waiting = self.waiting.new_zeros([0, self.waiting.size(1)])
        self.top = self._slow(self.prior_std.new_zeros([voices, self.hidden]))


def twin_of_bottleneck(offline: Bottleneck) -> StreamingLayer | None:
    """The class of this module that the bottleneck names; none: the latents are the encoder's first numbers."""
    twin: StreamingLayer | None = (
        globals()[offline.streaming_twin](offline) if offline.streaming_twin else None
    )
    return twin
