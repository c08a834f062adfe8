"""Encoder and Decoder: causal strided convolutions between folded samples and latent frames.

Both have a trunk without activations (inlet, strided layers, outlet) and residual units along it that bend what
the trunk carries: with the units at nothing the whole is linear, which `linear_start` makes use of.
"""

from __future__ import annotations

from torch import Tensor, nn

from wavevae.config import ModelConfig
from wavevae.nn.blocks import ResidualUnit, residual_stack
from wavevae.nn.conv import CausalConv1d, Downsample, Upsample, fold, init_conv, shrink, unfold
from wavevae.nn.noise import NoiseGate


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
        start(self)

    def forward(self, x: Tensor) -> Tensor:
        h = self.inlet(fold(x, self.fold))
        for stage in self.stages:
            h = stage(h)
        return self.outlet(self.core(h))


class Decoder(nn.Module):
    """(B, latent_dim, F) -> (B, 1, F x hop_length), within full scale."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        widths = config.widths[::-1]
        self.inlet = CausalConv1d(config.latent_dim, widths[0], 3)
        self.core = residual_stack(widths[0], config.dilations)
        self.stages = nn.ModuleList(
            nn.Sequential(Upsample(wide, narrow, ratio), residual_stack(narrow, config.dilations))
            for wide, narrow, ratio in zip(widths, widths[1:], config.ratios[::-1], strict=False)
        )
        self.noise = NoiseGate(widths[-1], config.noise_bands) if config.noise_bands else None
        self.outlet = CausalConv1d(widths[-1], config.fold, 3)
        start(self)

    def forward(self, z: Tensor) -> Tensor:
        h = self.core(self.inlet(z))
        for stage in self.stages:
            h = stage(h)
        if self.noise is not None:
            h = h + self.noise(h)
        return unfold(self.outlet(h)).clamp(-1.0, 1.0)


def start(network: Encoder | Decoder) -> None:
    """Initialise: variance kept layer by layer, every residual branch and the outlet small (Fixup's idea)."""
    network.apply(init_conv)
    for module in network.modules():
        if isinstance(module, ResidualUnit):
            shrink(module.pointwise, 0.1)
        elif isinstance(module, NoiseGate):
            shrink(module.mix, 0.05)  # it comes in where it helps; at full strength it drowns the first steps
    shrink(network.outlet, 0.1)
