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
from wavevae.nn.instrument import Instrument
from wavevae.nn.model import Autoencoder

from .bottlenecks import twin_of_bottleneck
from .latent_pca import AxisMap
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


GAIN_GLIDE_S = 0.02
"""In which a new gain is reached: hosts set it at a buffer's edge, where a step would click."""


class HostModule(nn.Module):
    """The contract of nn~ around the streaming twin of a model: what every family has."""

    def __init__(self, model: Autoencoder | Instrument, axes: AxisMap) -> None:
        super().__init__()
        self.hop_length = model.hop_length
        self.latent_dim = axes.kept
        self.encoder_voices = 1
        self.decoder_voices = 1
        self.gain = 0.0
        """dB"""
        self.amplitude = 1.0
        self.sounding = -1.0
        """Amplitude of the last sample; below 0 before the first."""
        self.gliding, self.glide_samples = 0, round(GAIN_GLIDE_S * model.sample_rate)
        """Samples until the amplitude is reached, and from a change on."""
        self.temperature = 0.0
        """Standard deviation of the noise on the latents of decode and forward."""
        self.audio_limit, self.latent_limit = AUDIO_LIMIT, LATENT_LIMIT
        self.gain_range = (float(GAIN.low), float(GAIN.high))
        self.temperature_range = (float(TEMPERATURE.low), float(TEMPERATURE.high))
        self.attributes = ["gain", "temperature", "reset"]

    def describe(self, sample_rate: int, names: list[str]) -> None:
        """What hosts read: rate, ratios, labels, types."""
        hop, dim = self.hop_length, self.latent_dim
        audio = [f"audio, {sample_rate} Hz"]
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

    def listen(self, x: Tensor) -> Tensor:
        """Audio (B, 1, T) -> axes as `speak` takes them."""
        raise AssertionError("a family says how it listens")

    def speak(self, z: Tensor, voices: int) -> Tensor:
        """Axes -> audio (B, 1, T)."""
        raise AssertionError("a family says how it speaks")

    def outward(self, z: Tensor, voices: int) -> Tensor:
        """Axes as `listen` gives them -> (B, latent_dim, F)."""
        return z

    def inward(self, z: Tensor) -> Tensor:
        """The reverse."""
        return z

    def start_encoder(self, voices: int) -> None:
        """Forget the past; from now on so many voices."""
        raise AssertionError("a family says what it remembers")

    def start_decoder(self, voices: int) -> None:
        """The same."""
        raise AssertionError("a family says what it remembers")

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
        return self.outward(self._listen(x), x.size(0))

    @torch.jit.export
    def decode(self, z: Tensor) -> Tensor:
        """Axes (B, latent_dim, F) -> audio (B, 1, F * hop_length)."""
        z = conform(z, self.latent_dim, 1, self.latent_limit)
        if z.numel() == 0:
            return z.new_zeros([z.size(0), 1, 0])
        return self._speak(self.inward(z), z.size(0))

    def forward(self, x: Tensor) -> Tensor:
        """Audio (B, 1, T) -> its resynthesis (B, 1, T)."""
        samples = x.size(-1)
        x = conform(x, 1, self.hop_length, self.audio_limit)
        if x.numel() == 0:
            return x
        return self._speak(self._listen(x), x.size(0))[:, :, :samples]

    def _listen(self, x: Tensor) -> Tensor:
        voices = x.size(0)
        if voices != self.encoder_voices:
            self.encoder_voices = voices
            self.start_encoder(voices)
        return self.listen(x)

    def _speak(self, z: Tensor, voices: int) -> Tensor:
        if voices != self.decoder_voices:
            self.decoder_voices = voices
            self.start_decoder(voices)
        y = self.speak(z, voices)
        if self.sounding < 0.0:  # nothing has sounded that a step could click in
            self.sounding, self.gliding = self.amplitude, 0
        if self.gliding > 0:
            y = self._glided(y)
        elif self.amplitude != 1.0:
            y = y * self.amplitude
        return y

    def _glided(self, y: Tensor) -> Tensor:
        """On a straight line to the amplitude."""
        samples = min(self.gliding, y.size(-1))
        slope = (self.amplitude - self.sounding) / float(self.gliding)
        curve = self.sounding + slope * torch.arange(1, samples + 1, dtype=torch.float32)
        self.sounding += slope * samples
        self.gliding -= samples
        if self.gliding == 0:
            self.sounding = self.amplitude
        return torch.cat([y[:, :, :samples] * curve, y[:, :, samples:] * self.amplitude], 2)

    @torch.jit.export
    def reset(self) -> None:
        """Forget the past: what comes next sounds as after loading."""
        self.start_encoder(self.encoder_voices)
        self.start_decoder(self.decoder_voices)
        self.sounding = -1.0

    @torch.jit.export
    def set_gain(self, value: float) -> int:
        if not math.isfinite(value):
            return -1
        self.gain = min(max(value, self.gain_range[0]), self.gain_range[1])
        self.amplitude = math.pow(10.0, self.gain / 20.0)
        self.gliding = self.glide_samples
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


class CodecModule(HostModule):
    """Streaming encode, decode and forward of a codec, with its latent axes."""

    def __init__(self, model: Autoencoder, axes: AxisMap, twins: Twins = twin_of, layout: Any = None) -> None:
        """`twins` makes a layer's streaming twin, `layout` brings frames into the twins' form and back."""
        super().__init__(model, axes)
        config = model.config
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
        names = [f"{axis.name} ({axis.share:.0%} of variance)" for axis in axes.axes]
        self.describe(config.sample_rate, names)

    def outward(self, z: Tensor, voices: int) -> Tensor:
        return self.layout.back(z, voices).transpose(1, 2).contiguous()

    def inward(self, z: Tensor) -> Tensor:
        return self.layout(z.transpose(1, 2))

    def start_encoder(self, voices: int) -> None:
        self.encoder.start(voices)
        if self.bottleneck is not None:
            self.bottleneck.start(voices)

    def start_decoder(self, voices: int) -> None:
        self.decoder.start(voices)

    def listen(self, x: Tensor) -> Tensor:
        h = self.encoder(self.layout(x.reshape(x.size(0), -1, self.fold)))
        if self.bottleneck is not None:
            h = self.to_axes(self.bottleneck(h))
        return h

    def speak(self, z: Tensor, voices: int) -> Tensor:
        if self.temperature > 0.0:
            z = z + self.temperature * torch.randn_like(z)
        return self.layout.back(self.decoder(self.from_axes(z)), voices).reshape(voices, 1, -1)


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


def script(module: HostModule) -> torch.jit.ScriptModule:
    """Scripted, in eval mode, state zeroed: ready to be saved."""
    scripted = torch.jit.script(module.eval())
    scripted.reset()
    return scripted
