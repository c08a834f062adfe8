"""The instrument's encoder: measures pitch, loudness and periodicity; mel bands feed what is learned.

No `from __future__ import annotations` here: TorchScript reads the annotations of what the streaming twin shares.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from wavevae.model_config import ModelConfig
from wavevae.nn.conditioning import Condition, with_rest
from wavevae.nn.conv import CausalConv1d, activation, init_network, residual_stack
from wavevae.nn.pitch import Loudness, PitchTracker, finite
from wavevae.nn.synthesizer import mel_points, triangles

SPECTRUM_S = 0.046
"""Length of the encoder's analysis window, about."""


class SpectrumBands(nn.Module):
    """Sound -> mel bands in dB re full scale (B, bands, F), windows centred on the moments of the pitch tracker.

    A strided convolution with Fourier kernels, then power, mel triangles, logarithm; computed by FFT.
    """

    window: Tensor
    bands: Tensor

    def __init__(self, sample_rate: int, hop_length: int, latency_samples: int, count: int) -> None:
        super().__init__()
        self.hop_length = hop_length
        length = 1 << round(math.log2(SPECTRUM_S * sample_rate))
        while length > 2 * latency_samples:
            length //= 2
        self.length = length
        self.past_samples = latency_samples + length // 2 - hop_length
        window = torch.hann_window(length, dtype=torch.float64)
        self.register_buffer("window", (window / window.sum()).float(), persistent=False)
        bands = triangles(mel_points(count, 20.0, sample_rate / 2), length // 2 + 1, sample_rate)
        self.register_buffer("bands", bands.t().contiguous().float(), persistent=False)

    def forward(self, padded: Tensor) -> Tensor:
        """(B, past_samples + T), finite -> (B, bands, T / hop_length)."""
        windows = padded.unfold(1, self.length, self.hop_length) * self.window  # (B, F or more, length)
        spectrum = torch.view_as_real(torch.fft.rfft(windows, dim=2))
        power = spectrum.square().sum(3)
        return (10.0 * torch.log10(torch.matmul(power, self.bands) + 1e-10)).transpose(1, 2)


class InstrumentEncoder(nn.Module):
    """Sound (B, 1, T) -> controls in natural units and the bottleneck's input (B, controls + out_channels, F)."""

    def __init__(self, config: ModelConfig, out_channels: int) -> None:
        super().__init__()
        rate, hop, self.latency = config.sample_rate, config.hop_length, config.algorithmic_latency
        self.hop_length = hop
        self.tracker = PitchTracker(rate, hop) if config.has_oscillator_pitch else None
        self.loudness = Loudness(hop, self.latency)
        self.spectrum = SpectrumBands(rate, hop, self.latency, config.mel_bands)
        width = config.encoder_width
        seen = config.mel_bands + len(config.controls)
        self.inlet = CausalConv1d(seen, width, 3)
        self.class_bias = ClassBias(config, width) if config.has_class else None
        self.core = residual_stack(width, (1, 3))
        self.outlet = CausalConv1d(width + seen, out_channels, 1)
        self.scale_of_controls = control_scales(config)
        init_network(self)
        zero_shortcut(self.outlet, width)

    def controls_of(self, x: Tensor, condition: Condition | None, track: Tensor | None) -> Tensor:
        """(B, 1, T) -> measured latents (B, controls, F); `track` (B, 2, F): pitch and periodicity found before.

        A pitch label takes the place of the tracked pitch.
        """
        loudness = self.loudness(x)
        if self.tracker is None:
            return loudness
        tracked = self.tracker(x) if track is None else track
        pitch = tracked[:, :1]
        if condition is not None:
            label = condition.pitch[:, None, None].to(pitch)
            pitch = torch.where(label.isnan(), pitch, label)
        return torch.cat([pitch, loudness, tracked[:, 1:2]], 1)

    def forward(self, x: Tensor, condition: Condition | None = None, track: Tensor | None = None) -> Tensor:
        """T a multiple of hop_length."""
        with torch.no_grad(), torch.autocast(x.device.type, enabled=False):
            sound = x.float()
            controls = self.controls_of(sound, condition, track)
            padded = F.pad(finite(sound[:, 0]), (self.spectrum.past_samples, 0))
            seen = self.seen(self.spectrum(padded)[..., : controls.shape[2]], controls)
        h = self.inlet(seen)
        if self.class_bias is not None:
            h = self.class_bias(h, condition)
        out = self.outlet(torch.cat([activation(self.core(h)), seen], 1))
        return torch.cat([controls, out.float()], 1)

    def seen(self, bands: Tensor, controls: Tensor) -> Tensor:
        """The input of the convolutions: bands relative to the loudness, and the controls, all of about unit size."""
        loudness = controls[:, self.loudness_at : self.loudness_at + 1]
        relative = (bands - loudness).clamp(-80.0, 20.0) / 20.0 + 1.5
        return torch.cat([relative, scaled_controls(controls, self.scale_of_controls)], 1)

    @property
    def loudness_at(self) -> int:
        """Place of the loudness among the controls."""
        return 0 if self.tracker is None else 1


def zero_shortcut(outlet: CausalConv1d, width: int) -> None:
    """Zeroes the outlet's weights for its direct inputs, beside `width` channels of the network; init_from_spectra sets
    them."""
    with torch.no_grad():
        outlet.conv.weight[:, width:] = 0.0


def control_scales(config: ModelConfig) -> list[tuple[float, float]]:
    """(middle, size) of each control, by which networks see it: MIDI, dB, 0 to 1."""
    scales = {"pitch": (60.0, 12.0), "loudness": (-40.0, 20.0), "periodicity": (0.5, 0.5)}
    return [scales[name] for name in config.controls]


def scaled_controls(controls: Tensor, scales: list[tuple[float, float]]) -> Tensor:
    """(B, controls, F) in natural units -> about unit size."""
    parts = [(controls[:, i : i + 1] - middle) / size for i, (middle, size) in enumerate(scales)]
    return torch.cat(parts, 1)


class ClassBias(nn.Linear):
    """Adds to features (B, C, F) the bias of their class, 0 at first; no class is a class."""

    def __init__(self, config: ModelConfig, width: int) -> None:
        super().__init__(len(config.classes) + 1, width, bias=False)
        nn.init.zeros_(self.weight)

    def forward(self, h: Tensor, condition: Condition | None) -> Tensor:  # type: ignore[override]
        none = torch.zeros(len(h), self.in_features - 1, device=h.device)
        classes = none if condition is None else condition.classes.to(h.device)
        return h + super().forward(with_rest(classes).to(h.dtype))[..., None]
