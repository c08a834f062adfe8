"""The scripted module inside MODEL.ts: streaming twins behind the contract of nn~ (shared by nn.ar and `serve`).

For each method M: `M(x (B, channels, time))`, `M_params = [in_channels, in_ratio, out_channels, out_ratio]`,
labels; for each attribute A: `A_params` (type ids), `set_A`, `get_A`. Hosts repeat the last good block for ever
after an exception, so nothing here raises: what does not fit is cut or filled, what is not finite is silence.

encode and forward share the encoder's state, decode and forward the decoder's: use one method an object (hosts
load a copy for each), or `reset()` in between.
"""

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from wavevae.controls import GAIN, TEMPERATURE
from wavevae.nn.conv import CausalConv1d
from wavevae.nn.model import Autoencoder

from .axes import AxisMap
from .bottlenecks import twin_of_bottleneck
from .layers import Rows, twin_of
from .streaming import StreamingDecoder, StreamingEncoder, Twins

INT, FLOAT = 1, 2
"""nn~'s ids of attribute types."""
AUDIO_LIMIT = 16.0
"""Full scales (24 dB over the loudest sane input); beyond it audio is cut."""
LATENT_LIMIT = 1e6
"""Standard deviations; beyond it latents are cut, only so that sums stay finite: a sound unlike the training data
moves an axis that hardly moved there by hundreds of its standard deviations."""


def conform(x: Tensor, channels: int, multiple: int, limit: float) -> Tensor:
    """Anything -> finite float32 (B, channels, a multiple of `multiple`); what fits passes unchanged."""
    while x.dim() < 3:
        x = x.unsqueeze(0)
    missing = (multiple - x.size(-1) % multiple) % multiple
    if x.dim() > 3 or missing != 0 or x.size(1) != channels:
        x = F.pad(x.flatten(2), [0, missing, 0, channels - x.size(1)])
    return torch.nan_to_num(x.to(torch.float32), 0.0, 0.0, 0.0).clamp(-limit, limit)


class Instrument(nn.Module):
    """Streaming encode, decode and forward of one model, with its latent axes."""

    def __init__(self, model: Autoencoder, axes: AxisMap, twins: Twins = twin_of, layout: Any = None) -> None:
        """`twins` makes a layer's streaming twin, `layout` brings frames into the twins' form and back."""
        super().__init__()
        config = model.config
        self.hop_length = config.hop_length
        self.latent_dim = axes.kept
        self.fold = config.fold
        self.layout: Any = Rows() if layout is None else layout
        self.encoder = StreamingEncoder(model.encoder, twins)
        self.bottleneck = twin_of_bottleneck(model.bottleneck)
        self.to_axes: Any = None
        if self.bottleneck is None:
            self.encoder.outlet = twins(outlet_to_axes(model.encoder.outlet, axes))
        else:
            self.to_axes = twins(pointwise(axes.to_matrix, axes.to_offset))
        self.decoder = StreamingDecoder(model.decoder, twins)
        self.from_axes = twins(pointwise(axes.from_matrix, axes.from_offset))
        self.encoder_voices = 1
        self.decoder_voices = 1
        self.gain = 0.0
        """dB"""
        self.amplitude = 1.0
        self.temperature = 0.0
        """Standard deviation of the noise on the latents of decode and forward."""
        self.audio_limit, self.latent_limit = AUDIO_LIMIT, LATENT_LIMIT
        self.gain_range = (float(GAIN.low), float(GAIN.high))
        self.temperature_range = (float(TEMPERATURE.low), float(TEMPERATURE.high))
        self.attributes = ["gain", "temperature", "reset"]
        self._describe(config.sample_rate, axes)

    def _describe(self, sample_rate: int, axes: AxisMap) -> None:
        """What hosts read: rate, ratios, labels, types."""
        hop, dim = self.hop_length, self.latent_dim
        audio = [f"audio, {sample_rate} Hz"]
        names = [f"{axis.name} ({axis.share:.0%} of variance)" for axis in axes.axes]
        self.register_buffer("sampling_rate", torch.tensor(sample_rate))  # by the name RAVE's exports have it
        self.register_buffer("encode_params", torch.tensor([1, 1, dim, hop]))
        self.register_buffer("decode_params", torch.tensor([dim, hop, 1, 1]))
        self.register_buffer("forward_params", torch.tensor([1, 1, 1, 1]))
        self.register_buffer("gain_params", torch.tensor([FLOAT]))
        self.register_buffer("temperature_params", torch.tensor([FLOAT]))
        self.register_buffer("reset_params", torch.tensor([INT]))
        self.encode_input_labels, self.encode_output_labels = audio, names
        self.decode_input_labels, self.decode_output_labels = names, audio
        self.forward_input_labels, self.forward_output_labels = audio, audio

    @torch.jit.export
    def get_methods(self) -> list[str]:
        return ["encode", "decode", "forward"]

    @torch.jit.export
    def get_attributes(self) -> list[str]:
        return self.attributes

    @torch.jit.export
    def encode(self, x: Tensor) -> Tensor:
        """Audio (B, 1, T) -> axes (B, latent_dim, ceil(T / hop_length))."""
        x = conform(x, 1, self.hop_length, self.audio_limit)
        if x.numel() == 0:
            return x.new_zeros([x.size(0), self.latent_dim, 0])
        return self.layout.back(self._listen(x), x.size(0)).transpose(1, 2).contiguous()

    @torch.jit.export
    def decode(self, z: Tensor) -> Tensor:
        """Axes (B, latent_dim, F) -> audio (B, 1, F * hop_length)."""
        z = conform(z, self.latent_dim, 1, self.latent_limit)
        if z.numel() == 0:
            return z.new_zeros([z.size(0), 1, 0])
        return self._speak(self.layout(z.transpose(1, 2)), z.size(0))

    def forward(self, x: Tensor) -> Tensor:
        """Audio (B, 1, T) -> its resynthesis (B, 1, T)."""
        samples = x.size(-1)
        x = conform(x, 1, self.hop_length, self.audio_limit)
        if x.numel() == 0:
            return x
        return self._speak(self._listen(x), x.size(0))[:, :, :samples]

    @torch.jit.export
    def reset(self) -> None:
        """Forget the past: what comes next sounds as after loading."""
        self._start_encoder(self.encoder_voices)
        self.decoder.start(self.decoder_voices)

    def _start_encoder(self, voices: int) -> None:
        self.encoder.start(voices)
        if self.bottleneck is not None:
            self.bottleneck.start(voices)

    def _listen(self, x: Tensor) -> Tensor:
        """Audio (B, 1, T) -> axes in the twins' layout."""
        voices = x.size(0)
        if voices != self.encoder_voices:
            self.encoder_voices = voices
            self._start_encoder(voices)
        h = self.encoder(self.layout(x.reshape(voices, -1, self.fold)))
        if self.bottleneck is not None:
            h = self.to_axes(self.bottleneck(h))
        return h

    def _speak(self, z: Tensor, voices: int) -> Tensor:
        """Axes in the twins' layout -> audio (B, 1, T)."""
        if voices != self.decoder_voices:
            self.decoder_voices = voices
            self.decoder.start(voices)
        if self.temperature > 0.0:
            z = z + self.temperature * torch.randn_like(z)
        y = self.layout.back(self.decoder(self.from_axes(z)), voices).reshape(voices, 1, -1)
        if self.amplitude != 1.0:
            y = y * self.amplitude
        return y

    @torch.jit.export
    def set_gain(self, value: float) -> int:
        if not math.isfinite(value):
            return -1
        self.gain = min(max(value, self.gain_range[0]), self.gain_range[1])
        self.amplitude = math.pow(10.0, self.gain / 20.0)
        return 0

    @torch.jit.export
    def get_gain(self) -> tuple[float]:
        return (self.gain,)

    @torch.jit.export
    def set_temperature(self, value: float) -> int:
        if not math.isfinite(value):
            return -1
        self.temperature = min(max(value, self.temperature_range[0]), self.temperature_range[1])
        return 0

    @torch.jit.export
    def get_temperature(self) -> tuple[float]:
        return (self.temperature,)

    @torch.jit.export
    def set_reset(self, value: int) -> int:
        """Any number but 0 clears the state."""
        if value != 0:
            self.reset()
        return 0

    @torch.jit.export
    def get_reset(self) -> tuple[int]:
        return (0,)


def pointwise(weight: Tensor, bias: Tensor) -> CausalConv1d:
    """A convolution of kernel 1 with these weights (C_out, C_in), which any kind of twin can be made of."""
    layer = CausalConv1d(weight.shape[1], weight.shape[0], 1)
    layer.conv.weight.data = weight.float()[:, :, None]
    layer.conv.bias = nn.Parameter(bias.float())
    return layer


def outlet_to_axes(outlet: CausalConv1d, axes: AxisMap) -> CausalConv1d:
    """The encoder's last layer that gives axes: the mean's rows times the axes' matrix; the variance is dropped."""
    dim = axes.to_matrix.shape[1]
    assert outlet.conv.bias is not None
    weight, bias = outlet.conv.weight.detach()[:dim, :, 0].double(), outlet.conv.bias.detach()[:dim].double()
    return pointwise(axes.to_matrix @ weight, axes.to_matrix @ bias + axes.to_offset)


def script(instrument: Instrument) -> torch.jit.ScriptModule:
    """Scripted, in eval mode, state zeroed: ready to be saved."""
    scripted = torch.jit.script(instrument.eval())
    scripted.reset()
    return scripted
