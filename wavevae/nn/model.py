"""What every model does (`AudioModel`), and the codec: encoder, bottleneck, decoder as one module (`Autoencoder`).

Encoder and Decoder are causal strided convolutions between samples folded into channels and latent frames. Both have a
trunk without activations (inlet, strided layers, outlet) and residual units along it that bend what the trunk carries:
with the residual branches at zero the network is linear, which `linear_init` makes use of.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from wavevae.config import ModelConfig
from wavevae.nn.bottlenecks.base import Bottleneck, Latents, make_bottleneck
from wavevae.nn.conditioning import Condition, conditioned, make_condition, make_conditioning
from wavevae.nn.conv import (
    CausalConv1d,
    Downsample,
    Upsample,
    channels_to_samples,
    first_input,
    init_network,
    pad_to_multiple,
    residual_stack,
    samples_to_channels,
    scale_weights,
)
from wavevae.nn.noise import NoiseGate
from wavevae.nn.oscillators import PartialAnalysis, PartialSynthesis


def check_audio(x: Tensor) -> None:
    """Raises: ValueError for what is no sound."""
    if x.ndim != 3 or x.shape[1] != 1 or x.shape[2] < 1:
        raise ValueError(f"audio has shape {tuple(x.shape)}; it must be (batch, 1, samples >= 1)")


class AudioModel(nn.Module):
    """Interface of all models: audio (B, 1, T) <-> latents (B, latent_dim, frames), and what follows from it.

    Any T >= 1 goes in and the same T comes out: zeros fill the last hop on the right and are cropped after.
    """

    config: ModelConfig
    bottleneck: Bottleneck
    encoder: nn.Module
    decoder: nn.Module

    @property
    def sample_rate(self) -> int:
        return self.config.sample_rate

    @property
    def hop_length(self) -> int:
        """Samples from one latent frame to the next."""
        return self.config.hop_length

    @property
    def latent_dim(self) -> int:
        return self.config.n_latents

    @property
    def algorithmic_latency(self) -> int:
        """Samples by which `decode` is behind what was encoded."""
        return self.config.algorithmic_latency

    def condition(
        self, class_name: str | None = None, pitch: float | None = None, batch: int = 1
    ) -> Condition | None:
        """Labels for `batch` items; none for an unconditional model. Raises: UserError as `make_condition`."""
        return make_condition(self.config, class_name, pitch, batch)

    def features(self, x: Tensor, condition: Condition | None = None) -> Tensor:
        """The bottleneck's input, (B, in_channels, frames). Raises: ValueError for what is no sound."""
        check_audio(x)
        features: Tensor = self.encoder(pad_to_multiple(x, self.hop_length), condition)
        return features

    def posterior(self, x: Tensor, condition: Condition | None = None) -> Latents:
        """Encode (B, 1, T) to all that the bottleneck gives; random where the method is."""
        latents: Latents = self.bottleneck(self.features(x, condition))
        return latents

    def encode(self, x: Tensor, sample: bool = False, condition: Condition | None = None) -> Tensor:
        """(B, 1, T) -> (B, latent_dim, ceil(T / hop_length)): the posterior's mean, or a draw from it."""
        if sample:
            return self.posterior(x, condition).z
        return self.bottleneck.mean(self.features(x, condition))

    def decode(self, z: Tensor, length: int | None = None, condition: Condition | None = None) -> Tensor:
        """(B, latent_dim, frames) -> (B, 1, length); length defaults to frames x hop_length."""
        y: Tensor = self.decoder(z, condition)
        return y if length is None else y[..., :length]

    def pad_for_latency(self, x: Tensor) -> Tensor:
        """Right-pads x by the model's latency, so that its latents cover all of it."""
        return F.pad(x, (0, self.algorithmic_latency))

    def compensate_latency(self, z: Tensor, length: int, condition: Condition | None = None) -> Tensor:
        """`decode`, (B, 1, length) aligned with the sound that was encoded after `pad_for_latency`."""
        late = self.algorithmic_latency
        return self.decode(z, condition=condition)[..., late : late + length]

    def forward(self, x: Tensor, condition: Condition | None = None) -> Tensor:
        """(B, 1, T) -> (B, 1, T): resynthesis from the posterior's mean, aligned with the original."""
        z = self.encode(self.pad_for_latency(x), condition=condition)
        return self.compensate_latency(z, x.shape[-1], condition)

    def reconstruct(self, x: Tensor, condition: Condition | None = None) -> tuple[Tensor, Latents]:
        """Resynthesis as training sees it: through a draw from the posterior."""
        latents = self.posterior(self.pad_for_latency(x), condition)
        return self.compensate_latency(latents.z, x.shape[-1], condition), latents


class Autoencoder(AudioModel):
    """Causal raw-audio autoencoder. Audio is float32 (B, 1, T). With hops that overlap `decode` is late."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.bottleneck = make_bottleneck(config)
        self.encoder: Encoder = Encoder(config, self.bottleneck.in_channels)
        self.decoder: Decoder = Decoder(config)

    @property
    def receptive_field(self) -> int:
        """Samples that a resynthesised hop depends on, counted back from its own end: the most that any hop needs.

        The hop's first sample depends on the oldest ones. Where latents are held over a group, its last hop does.
        """
        chain, hop_length = (self.encoder, self.bottleneck, self.decoder), self.hop_length
        outer = hop_length // self.encoder.fold
        hops = range(self.bottleneck.every)
        return max((hop + 1) * hop_length - first_input(chain, hop * outer) for hop in hops)

    def compile_networks(self) -> None:
        """Encoder and decoder by torch.compile, in place, from the next call on; names and weights stay."""
        self.encoder.compile()
        self.decoder.compile()


class Encoder(nn.Module):
    """(B, 1, T) -> (B, out_channels, T / hop_length); T a multiple of hop_length."""

    def __init__(self, config: ModelConfig, out_channels: int) -> None:
        super().__init__()
        self.fold = config.fold
        widths = config.widths
        self.inlet = CausalConv1d(config.fold, widths[0], 3)
        self.stages = nn.ModuleList(
            nn.Sequential(residual_stack(wide, config.dilations), Downsample(wide, wider, ratio))
            for wide, wider, ratio in zip(widths, widths[1:], config.ratios, strict=False)
        )
        self.core = residual_stack(widths[-1], config.dilations)
        self.outlet = CausalConv1d(widths[-1], out_channels, 1)
        self.conditioning = make_conditioning(config, widths)
        pitched = (config.partials, widths[-1], config.hop_length, config.sample_rate)
        self.partials = PartialAnalysis(*pitched) if config.has_pitch else None
        init_codec_network(self)

    def forward(self, x: Tensor, condition: Condition | None = None) -> Tensor:
        """Labels default to none."""
        h = self.inlet(samples_to_channels(x, self.fold))
        label = None if self.conditioning is None else self.conditioning.label(condition, h)
        for place, stage in enumerate(self.stages):
            h = stage(conditioned(self.conditioning, place, h, label))
        if self.partials is not None and condition is not None:
            h = h + self.partials(x, condition.pitch)
        return self.outlet(self.core(conditioned(self.conditioning, len(self.stages), h, label)))

    def first_input(self, frame: int) -> int:
        """The first sample on which frame `frame` depends."""
        deep = first_input((self.core, self.outlet), frame)
        first = first_input((self.inlet, self.stages), deep) * self.fold
        return first if self.partials is None else min(first, (deep - 1) * self.partials.hop_length)


class Decoder(nn.Module):
    """(B, latent_dim, F) -> (B, 1, F x hop_length), within full scale."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        widths = config.widths[::-1]
        self.fold = config.fold
        self.inlet = CausalConv1d(config.latent_dim, widths[0], 3)
        self.core = residual_stack(widths[0], config.dilations)
        self.stages = nn.ModuleList(
            nn.Sequential(Upsample(wide, narrow, ratio), residual_stack(narrow, config.dilations))
            for wide, narrow, ratio in zip(widths, widths[1:], config.ratios[::-1], strict=False)
        )
        self.noise = NoiseGate(widths[-1], config.noise_bands) if config.noise_bands else None
        self.outlet = CausalConv1d(widths[-1], config.fold, 3)
        self.conditioning = make_conditioning(config, (widths[0], *widths[:-1]))
        pitched = (config.partials, widths[0], config.hop_length, config.sample_rate)
        self.partials = PartialSynthesis(*pitched) if config.has_pitch else None
        init_codec_network(self)
        if self.noise is not None:  # it comes in where it helps; at full strength it drowns the first steps
            scale_weights(self.noise.mix, 0.05)

    def forward(self, z: Tensor, condition: Condition | None = None) -> Tensor:
        """Labels default to none."""
        h = self.inlet(z)
        label = None if self.conditioning is None else self.conditioning.label(condition, h)
        h = deep = self.core(conditioned(self.conditioning, 0, h, label))
        for place, stage in enumerate(self.stages, 1):
            h = stage(conditioned(self.conditioning, place, h, label))
        if self.noise is not None:
            h = h + self.noise(h)
        y = channels_to_samples(self.outlet(h))
        if self.partials is not None and condition is not None:
            y = y + self.partials(deep, condition.pitch)
        return y.clamp(-1.0, 1.0)

    def first_input(self, frame: int) -> int:
        """The first latent frame on which frame `frame` of the outer rate (`fold` samples) depends."""
        gated = frame if self.noise is None else self.noise.first_input(frame)
        last = min(self.outlet.first_input(frame), self.outlet.first_input(gated))
        deep = first_input(self.stages, last)
        if self.partials is not None:  # amplitudes come from the hop before
            deep = min(deep, frame * self.fold // self.partials.hop_length - 1)
        return first_input((self.inlet, self.core), deep)


def init_codec_network(network: Encoder | Decoder) -> None:
    """As `init_network`, and the outlet small too."""
    init_network(network)
    scale_weights(network.outlet, 0.1)
