"""The scripted module inside MODEL.ts: what every family has of the contract of nn~ (shared by nn.ar and `serve`).

For each method M: `M(x (B, channels, time))`, `M_params = [in_channels, in_ratio, out_channels, out_ratio]`,
labels; for each attribute A: `A_params` (type ids), `set_A`, `get_A`. Hosts repeat the last good block for ever
after an exception, so nothing here raises: what does not fit is cut or filled, what is not finite is silence.

encode and forward share the encoder's state, decode and forward the decoder's: use one method an object (hosts
load a copy for each), or `reset()` in between.

A family derives from `HostModule`. Methods and attributes that only some models have are mix-ins, put before it in the
bases: `ClassAttributes`, `CodeMethods`. A new one registers what it adds by `add_method` and `add_attribute`.

No `from __future__ import annotations` here: TorchScript reads the annotations.
"""

# mypy: disable-error-code="operator, union-attr, arg-type, misc, attr-defined, call-overload, index, has-type"
# (what a host module has is not known to what is mixed into it)

import math
from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from wavevae.controls import GAIN, TEMPERATURE
from wavevae.nn.bottlenecks.codebook import Codebook

from .latent_pca import AxisMap

INT, FLOAT = 1, 2
"""nn~'s ids of attribute types."""
AUDIO_LIMIT = 16.0
"""Full scales (24 dB over the loudest sane input); beyond it audio is cut."""
LATENT_LIMIT = 1e6
"""Standard deviations; beyond it latents are cut, only so that sums stay finite: a sound unlike the training data
moves an axis that hardly moved there by hundreds of its standard deviations."""
CODE_LIMIT = 1e6
"""What a signal of codes is cut to before it is cut to the codebook."""
GAIN_GLIDE_S = 0.02
"""In which a new gain is reached: hosts set it at a buffer's edge, where a step would click."""
NONE, SAME = -1, -2
"""Of an attribute: no class or pitch; for what comes in, the same as is played."""


def conform(x: Tensor, channels: int, multiple: int, limit: float) -> Tensor:
    """Anything -> finite float32 (B, channels, a multiple of `multiple`); what fits passes unchanged."""
    while x.dim() < 3:
        x = x.unsqueeze(0)
    missing = (multiple - x.size(-1) % multiple) % multiple
    if x.dim() > 3 or missing != 0 or x.size(1) != channels:
        x = F.pad(x.flatten(2), [0, missing, 0, channels - x.size(1)])
    return torch.nan_to_num(x.to(torch.float32), 0.0, 0.0, 0.0).clamp(-limit, limit)


class HostModule(nn.Module):
    """The contract of nn~ around the streaming twin of a model: what every family has."""

    def __init__(self, model: Any, axes: AxisMap, labels: Sequence[str]) -> None:
        """`labels` of the axes, for hosts."""
        super().__init__()
        self.hop_length = model.hop_length
        self.latent_dim = axes.kept
        self.encoder_voices = 1
        self.decoder_voices = 1
        self.gain = 0.0
        """dB"""
        self.amplitude = 1.0
        self.last_amplitude = -1.0
        """Of the last sample; below 0 before the first."""
        self.gliding, self.glide_samples = 0, round(GAIN_GLIDE_S * model.sample_rate)
        """Samples until the amplitude is reached, and from a change on."""
        self.temperature = 0.0
        """Standard deviation of the noise on the latents of decode and forward."""
        self.audio_limit, self.latent_limit = AUDIO_LIMIT, LATENT_LIMIT
        self.gain_range = (float(GAIN.low), float(GAIN.high))
        self.temperature_range = (float(TEMPERATURE.low), float(TEMPERATURE.high))
        self.methods: list[str] = []
        self.attributes: list[str] = []
        dim, hop = self.latent_dim, self.hop_length
        audio = [f"audio, {model.sample_rate} Hz"]
        self.register_buffer("sampling_rate", torch.tensor(model.sample_rate))  # named as in RAVE's exports
        self.add_method("encode", [1, 1, dim, hop], audio, labels)
        self.add_method("decode", [dim, hop, 1, 1], labels, audio)
        self.add_method("forward", [1, 1, 1, 1], audio, audio)
        for name, kind in {"gain": FLOAT, "temperature": FLOAT, "reset": INT}.items():
            self.add_attribute(name, kind)

    def add_method(self, name: str, params: list[int], inputs: Sequence[str], outputs: Sequence[str]) -> None:
        """`params` as the head of this file has them; labels of the channels."""
        self.methods.append(name)
        self.register_buffer(f"{name}_params", torch.tensor(params))
        setattr(self, f"{name}_input_labels", list(inputs))
        setattr(self, f"{name}_output_labels", list(outputs))

    def add_attribute(self, name: str, kind: int) -> None:
        self.attributes.append(name)
        self.register_buffer(f"{name}_params", torch.tensor([kind]))

    def to_latents(self, x: Tensor) -> Tensor:
        """Audio (B, 1, T) -> axes as `to_sound` takes them."""
        raise AssertionError("a family encodes")

    def to_sound(self, z: Tensor, voices: int) -> Tensor:
        """Axes -> audio (B, 1, T)."""
        raise AssertionError("a family decodes")

    def to_host(self, z: Tensor, voices: int) -> Tensor:
        """Axes as `to_latents` gives them -> (B, latent_dim, F)."""
        return z

    def from_host(self, z: Tensor) -> Tensor:
        """The reverse."""
        return z

    def start_encoder(self, voices: int) -> None:
        """Forget the past; from now on so many voices."""
        raise AssertionError("a family has an encoder")

    def start_decoder(self, voices: int) -> None:
        """The same."""
        raise AssertionError("a family has a decoder")

    @torch.jit.export
    def get_methods(self) -> list[str]:
        return self.methods

    @torch.jit.export
    def get_attributes(self) -> list[str]:
        return self.attributes

    @torch.jit.export
    def encode(self, x: Tensor) -> Tensor:
        """Audio (B, 1, T) -> axes (B, latent_dim, ceil(T / hop_length))."""
        x = conform(x, 1, self.hop_length, self.audio_limit)
        if x.numel() == 0:
            return x.new_zeros([x.size(0), self.latent_dim, 0])
        return self.to_host(self._encode(x), x.size(0))

    @torch.jit.export
    def decode(self, z: Tensor) -> Tensor:
        """Axes (B, latent_dim, F) -> audio (B, 1, F * hop_length)."""
        z = conform(z, self.latent_dim, 1, self.latent_limit)
        if z.numel() == 0:
            return z.new_zeros([z.size(0), 1, 0])
        return self._decode(self.from_host(z), z.size(0))

    def forward(self, x: Tensor) -> Tensor:
        """Audio (B, 1, T) -> its resynthesis (B, 1, T)."""
        samples = x.size(-1)
        x = conform(x, 1, self.hop_length, self.audio_limit)
        if x.numel() == 0:
            return x
        return self._decode(self._encode(x), x.size(0))[:, :, :samples]

    def follow_encoder(self, voices: int) -> None:
        """Start again where the number of voices is another."""
        if voices != self.encoder_voices:
            self.encoder_voices = voices
            self.start_encoder(voices)

    def _encode(self, x: Tensor) -> Tensor:
        self.follow_encoder(x.size(0))
        return self.to_latents(x)

    def _decode(self, z: Tensor, voices: int) -> Tensor:
        if voices != self.decoder_voices:
            self.decoder_voices = voices
            self.start_decoder(voices)
        y = self.to_sound(z, voices)
        if self.last_amplitude < 0.0:  # nothing has sounded that a step could click in
            self.last_amplitude, self.gliding = self.amplitude, 0
        if self.gliding > 0:
            y = self._ramped(y)
        elif self.amplitude != 1.0:
            y = y * self.amplitude
        return y

    def _ramped(self, y: Tensor) -> Tensor:
        """On a straight line to the amplitude."""
        samples = min(self.gliding, y.size(-1))
        slope = (self.amplitude - self.last_amplitude) / float(self.gliding)
        curve = self.last_amplitude + slope * torch.arange(1, samples + 1, dtype=torch.float32)
        self.last_amplitude += slope * samples
        self.gliding -= samples
        if self.gliding == 0:
            self.last_amplitude = self.amplitude
        return torch.cat([y[:, :, :samples] * curve, y[:, :, samples:] * self.amplitude], 2)

    @torch.jit.export
    def reset(self) -> None:
        """Forget the past: what comes next sounds as after loading."""
        self.start_encoder(self.encoder_voices)
        self.start_decoder(self.decoder_voices)
        self.last_amplitude = -1.0

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


class ClassWeights(nn.Module):
    """Which classes a model is given; of one without classes there are none. A mix-in, as those below."""

    weights: Tensor
    """(n_classes,) of the classes that are played."""

    def register_classes(self, count: int) -> None:
        """Of so many; to be called before scripting."""
        self.none, self.same = NONE, SAME
        self.class_count = count
        self.class_number, self.input_class = NONE, SAME
        self.register_buffer("weights", torch.zeros(count))

    def update_labels(self) -> None:
        """Hand the labels to both networks, from the next call on."""
        raise AssertionError("a family has labelled networks")

    def input_weights(self) -> Tensor:
        """(n_classes,) of what comes in."""
        return self.weights if self.input_class == self.same else self.one(self.input_class)

    def one(self, number: int) -> Tensor:
        """(n_classes,) one 1, or none."""
        weights = torch.zeros_like(self.weights)
        if number >= 0:
            weights[number] = 1.0
        return weights


class ClassAttributes(ClassWeights):
    """Attributes `class` and `input_class`."""

    @torch.jit.export
    def set_class(self, value: int) -> int:
        if value < self.none or value >= self.class_count:
            return -1
        self.class_number = value
        self.weights = self.one(value)
        self.update_labels()
        return 0

    @torch.jit.export
    def get_class(self) -> tuple[int]:
        """-1 for a mix as well."""
        return (self.class_number,)

    @torch.jit.export
    def mix_classes(self, weights: Tensor) -> int:
        """Shares (n_classes,), 0 or more, in all at most 1, in place of one class, until `set_class`."""
        fits = weights.dim() == 1 and weights.size(0) == self.class_count
        if not fits or not bool(torch.isfinite(weights).all()) or bool((weights < 0).any()):
            return -1
        weights = weights.to(torch.float32)
        self.class_number = self.none
        self.weights = weights / weights.sum().clamp_min(1.0)
        self.update_labels()
        return 0

    @torch.jit.export
    def set_input_class(self, value: int) -> int:
        if value < self.same or value >= self.class_count:
            return -1
        self.input_class = value
        self.update_labels()
        return 0

    @torch.jit.export
    def get_input_class(self) -> tuple[int]:
        return (self.input_class,)


class CodeMethods(nn.Module):
    """Methods of files with codebooks: sound to codes and back, for programs that model or store tokens.

        encode_codes   audio (B, 1, T) -> (B, codebooks, F), whole numbers as floats, as signals are
        decode_codes   the reverse; numbers are rounded and cut to the codebook

    They share the state of encode and decode, and decode_codes(encode_codes(x)) is forward(x) to the last bit. An
    instrument's controls (pitch, loudness, periodicity) are not coded: they go first, in natural units. Its `transpose`
    acts on them; `fit`, which moves learned latents, does not act on codes.
    """

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        host: Any = self
        books: list[Codebook] = host.bottleneck.quantizer.codebooks()
        self.codebook_size = books[0].size
        self.uncoded: int = getattr(host, "controls", 0)
        self.code_channels, self.code_limit = self.uncoded + len(books), CODE_LIMIT
        names = [f"code {n + 1} (0 to {self.codebook_size - 1})" for n in range(len(books))]
        labels, hop = [*host.decode_input_labels[: self.uncoded], *names], host.hop_length
        host.add_method("encode_codes", [1, 1, self.code_channels, hop], host.encode_input_labels, labels)
        host.add_method("decode_codes", [self.code_channels, hop, 1, 1], labels, host.decode_output_labels)

    def to_codes(self, x: Tensor) -> Tensor:
        """Audio (B, 1, T) -> (B, code_channels, F)."""
        raise AssertionError("a family has codes")

    def axes_of_codes(self, codes: Tensor) -> Tensor:
        """(B, code_channels, F), whole numbers within the codebook -> axes as `to_sound` takes them."""
        raise AssertionError("a family has codes")

    @torch.jit.export
    def encode_codes(self, x: Tensor) -> Tensor:
        """Audio (B, 1, T) -> codes (B, code_channels, ceil(T / hop_length))."""
        x = conform(x, 1, self.hop_length, self.audio_limit)
        if x.numel() == 0:
            return x.new_zeros([x.size(0), self.code_channels, 0])
        self.follow_encoder(x.size(0))
        return self.to_codes(x).to(torch.float32).contiguous()

    @torch.jit.export
    def decode_codes(self, codes: Tensor) -> Tensor:
        """Codes (B, code_channels, F) -> audio (B, 1, F * hop_length)."""
        codes = conform(codes, self.code_channels, 1, self.code_limit)
        if codes.numel() == 0:
            return codes.new_zeros([codes.size(0), 1, 0])
        coded = torch.round(codes[:, self.uncoded :]).clamp(0.0, float(self.codebook_size - 1))
        return self._decode(
            self.axes_of_codes(torch.cat([codes[:, : self.uncoded], coded], 1)), codes.size(0)
        )


def with_mixins(kind: type[HostModule], *mixins: type[nn.Module] | None) -> type[HostModule]:
    """A kind of module that has the methods of these (none: left out) as well."""
    used = tuple(mixin for mixin in mixins if mixin is not None)
    return type("".join(part.__name__ for part in (*used, kind)), (*used, kind), {}) if used else kind


def script(module: HostModule) -> torch.jit.ScriptModule:
    """Scripted, in eval mode, state zeroed: ready to be saved."""
    scripted = torch.jit.script(module.eval())
    scripted.reset()
    return scripted
