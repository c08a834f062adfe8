"""Encoder and Decoder: causal strided convolutions between folded samples and latent frames.

Both have a trunk without activations (inlet, strided layers, outlet) and residual units along it that bend what
the trunk carries: with the units at nothing the whole is linear, which `linear_start` makes use of.
"""

from __future__ import annotations

from torch import Tensor, nn

from wavevae.config import ModelConfig
from wavevae.nn.blocks import ResidualUnit, residual_stack
from wavevae.nn.conditioning import Condition, make_conditioning, told
from wavevae.nn.conv import CausalConv1d, Downsample, Upsample, fold, init_conv, shrink, unfold
from wavevae.nn.noise import NoiseGate
from wavevae.nn.partials import PartialAnalysis, PartialSynthesis


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
        start(self)

    def forward(self, x: Tensor, condition: Condition | None = None) -> Tensor:
        """Labels default to none."""
        h = self.inlet(fold(x, self.fold))
        label = None if self.conditioning is None else self.conditioning.label(condition, h)
        for place, stage in enumerate(self.stages):
            h = stage(told(self.conditioning, place, h, label))
        if self.partials is not None and condition is not None:
            h = h + self.partials(x, condition.pitch)
        return self.outlet(self.core(told(self.conditioning, len(self.stages), h, label)))


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
        start(self)

    def forward(self, z: Tensor, condition: Condition | None = None) -> Tensor:
        """Labels default to none."""
        h = self.inlet(z)
        label = None if self.conditioning is None else self.conditioning.label(condition, h)
        h = deep = self.core(told(self.conditioning, 0, h, label))
        for place, stage in enumerate(self.stages, 1):
            h = stage(told(self.conditioning, place, h, label))
        if self.noise is not None:
            h = h + self.noise(h)
        y = unfold(self.outlet(h))
        if self.partials is not None and condition is not None:
            y = y + self.partials(deep, condition.pitch)
        return y.clamp(-1.0, 1.0)


def start(network: Encoder | Decoder) -> None:
    """Initialise: variance kept layer by layer, every residual branch and the outlet small (Fixup's idea)."""
    network.apply(init_conv)
    for module in network.modules():
        if isinstance(module, ResidualUnit):
            shrink(module.pointwise, 0.1)
        elif isinstance(module, NoiseGate):
            shrink(module.mix, 0.05)  # it comes in where it helps; at full strength it drowns the first steps
    shrink(network.outlet, 0.1)
