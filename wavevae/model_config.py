"""The shape of a model, as plain values. `wavevae.config` has the rest of a run's settings."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal

from wavevae.cli import parse_sample_rate
from wavevae.errors import UserError
from wavevae.settings import Count, Fraction, PowerOfTwo, Section, number

LOOK_BACK_S = 0.035
"""Of an instrument's encoder: how far behind the newest sample the moment lies that a frame describes, about."""
BOTTLENECKS = {
    "ae": "base.Identity",
    "vae": "base.Gaussian",
    "vq": "residual_vq.VQ",
    "rvq": "residual_vq.ResidualVQ",
    "hvae": "hierarchical.Hierarchical",
}
"""The registry: the name in a configuration -> module and class in `wavevae.nn.bottlenecks`, which needs torch."""
LOWEST_PITCH, HIGHEST_PITCH = -24.0, 148.0
"""MIDI; what is asked beyond is played at the limit. 148 is above half of any usual sample rate: silence."""
LOWEST_LOUDNESS, HIGHEST_LOUDNESS = -100.0, 12.0
"""dB RMS; the lowest is silence."""
LATENT_LIMIT = 20.0
"""Of learned latents, standard deviations of the prior."""

if TYPE_CHECKING:
    Bottleneck = str
else:
    Bottleneck = Literal[*BOTTLENECKS]
Wide = Annotated[int, number(ge=8, le=4096)]
Decay = Annotated[float, number(ge=0, lt=1)]


@dataclass(frozen=True)
class ModelConfig(Section):
    """The shape of a model: everything needed to rebuild it before its weights are loaded."""

    family: Literal["codec", "instrument"] = "codec"
    """codec (any sound as it is) or instrument (played by pitch, loudness and timbre)."""
    sample_rate: Annotated[int, number("Hz", parse=parse_sample_rate, ge=1000, le=192000)] = 22050
    """Sample rate of what the model takes and gives."""
    fold: PowerOfTwo = 16
    """codec: samples folded into channels at both ends, a strided convolution of this ratio."""
    ratios: tuple[PowerOfTwo, ...] = (4, 4)
    """codec: strides after the fold; hop_length = fold x their product."""
    widths: tuple[Count, ...] = (48, 96, 128)
    """codec: channels at each rate, from the fold inward: one more than ratios."""
    dilations: tuple[Count, ...] = (1, 3, 9)
    """codec: dilations of the residual units at each rate, in frames of that rate."""
    latent_dim: Count = 64
    """Numbers a latent frame holds; of an instrument: those that are learned, beside pitch and loudness."""
    hop_overlap: Annotated[int, number("frames", ge=0)] = 0
    """codec: frames of the rate before the last stride over which hops are crossfaded, which delays the sound by as
    much; 0: no crossfade."""
    noise_bands: Annotated[int, number(ge=0)] = 16
    """Gated noise channels at the decoder's outer rate; 0 for none. instrument: bands of the noise, 4 to 256."""
    bottleneck: Bottleneck = "vae"
    """ae (no constraint), vae (Gaussian posterior), vq, rvq (codebooks) or hvae (Gaussians at two rates)."""
    codebook_size: Annotated[int, number(ge=2, le=65536)] = 512
    """vq, rvq: codes in a codebook."""
    n_codebooks: Annotated[int, number(ge=1, le=64)] = 4
    """rvq: codebooks, each for the residual of the ones before; vq has one."""
    code_dim: Annotated[int, number(ge=2, le=256)] = 32
    """vq, rvq: numbers a code holds."""
    codebook_decay: Decay = 0.99
    """vq, rvq: decay a step of the averages that the codes are."""
    codebook_dead: Decay = 0.4
    """vq, rvq: a code used less than this fraction of an even use starts again elsewhere; 0: never."""
    codebook_dropout: Fraction = 0.25
    """rvq: probability that a chunk is learned with the first few codebooks only."""
    top_dim: Count = 16
    """hvae: how many of latent_dim are the slow level's."""
    top_every: PowerOfTwo = 4
    """hvae: frames for which the slow level holds."""
    condition: Literal["none", "class", "pitch", "class+pitch"] = "none"
    """none, class, pitch or class+pitch: labels that encoder and decoder are given."""
    classes: tuple[str, ...] = ()
    """Names of the classes; filled in from the data."""
    partials: Annotated[int, number(ge=1, le=512)] = 64
    """Harmonics of the oscillator bank: of a codec with a pitch condition, and of an instrument."""
    frames_per_second: Annotated[float, number("Hz", ge=20, le=400)] = 86.0
    """instrument: latent frames a second, about; the hop is the power of two nearest to it."""
    oscillators: Literal["auto", "harmonic", "dense", "both", "none"] = "auto"
    """instrument: harmonic (one pitch), dense (log-spaced carriers), both, none (noise only), auto (by the sounds)."""
    carriers: Wide = 320
    """instrument: log-spaced oscillators of fixed frequency where oscillators is dense or both."""
    carriers_highest_hz: Annotated[float, number("Hz", ge=0)] = 0.0
    """instrument: the highest of them, from 100 Hz to half the sample rate; 0: nearly half the sample rate."""
    envelope_bands: Annotated[int, number(ge=4, le=4096)] = 64
    """instrument: points of the spectral envelope of the partials."""
    decoder_width: Wide = 192
    """instrument: channels of the decoder's convolutions at frame rate."""
    decoder_dilations: tuple[Count, ...] = (1, 2, 4)
    """instrument: their dilations, frames."""
    encoder_width: Wide = 128
    """instrument: channels of the encoder's convolutions at frame rate."""
    mel_bands: Annotated[int, number(ge=8, le=256)] = 64
    """instrument: bands of the spectrum that the encoder gets."""

    def check(self) -> None:
        for name, values in (("fold", [self.fold]), ("ratios", self.ratios), ("top_every", [self.top_every])):
            if wrong := [n for n in values if n & (n - 1)]:
                raise UserError(f"{name} is {wrong[0]}; use powers of two: hosts play no others")
        if len(self.widths) != len(self.ratios) + 1:
            raise UserError(f"widths is {list(self.widths)}; give one more than there are ratios")
        most = self.ratios[-1] if self.ratios else 0
        if self.hop_overlap > most:
            raise UserError(f"hop_overlap is {self.hop_overlap}; use 0 to {most}, the last ratio")
        if self.hop_overlap and self.has_pitch:
            raise UserError(
                f"hop_overlap is {self.hop_overlap}; use 0 with a pitch: partials are smooth by themselves"
            )
        if self.bottleneck == "hvae" and self.top_dim >= self.latent_dim:
            raise UserError(f"top_dim is {self.top_dim}; use 1 up to latent_dim - 1 ({self.latent_dim - 1})")
        if self.is_instrument:
            self._check_instrument()

    def _check_instrument(self) -> None:
        """Raises: UserError for what an instrument cannot be."""
        if self.latent_dim < 2:
            raise UserError(
                f"latent_dim is {self.latent_dim}; use 2 or more: brightness and noisiness are two"
            )
        top, half = self.carriers_highest_hz, self.sample_rate / 2
        if top and not 100 <= top <= half:
            raise UserError(f"carriers_highest_hz is {top:g}; use 0, or 100 to {half:g} Hz")
        if not 4 <= self.noise_bands <= 256:
            raise UserError(f"noise_bands is {self.noise_bands}; use 4 to 256")

    def check_run(self, run: Any) -> None:
        data = run.data
        if self.is_instrument and data.pitch_semitones:
            raise UserError(
                f"pitch_semitones is {data.pitch_semitones:g}; use 0 with an instrument: its pitches are found on the "
                "sounds as they are"
            )
        if self.is_instrument and data.cache_on_device == "always":
            raise UserError(
                "cache_on_device is always; use auto or never: an instrument's excerpts are cut on the CPU"
            )

    @property
    def is_instrument(self) -> bool:
        """Whether its latents are controls."""
        return self.family == "instrument"

    @property
    def decoder_labels(self) -> tuple[str, ...]:
        """The labels that the decoder is told; to an instrument's a pitch is a control."""
        told = tuple(kind for kind in ("class", "pitch") if kind in self.condition)
        return told if not self.is_instrument else told[: int(self.has_class)]

    @property
    def has_oscillator_pitch(self) -> bool:
        """Whether the pitch is one of an instrument's latents."""
        return self.is_instrument and self.oscillators not in ("dense", "none")

    @property
    def controls(self) -> tuple[str, ...]:
        """Names of the latents that are measured and not learned, in natural units: MIDI, dB, 0 to 1."""
        if not self.is_instrument:
            return ()
        return ("pitch", "loudness", "periodicity") if self.has_oscillator_pitch else ("loudness",)

    @property
    def axis_names(self) -> tuple[str, ...]:
        """Of all latents of an instrument; none of a codec's has a name."""
        if not self.is_instrument:
            return ()
        timbre = (f"timbre {i}" for i in range(1, self.latent_dim - 1))
        return (*self.controls, "brightness", "noisiness", *timbre)

    @property
    def n_latents(self) -> int:
        """Numbers a latent frame holds, controls and learned ones."""
        return len(self.controls) + self.latent_dim

    @property
    def has_class(self) -> bool:
        """Whether it is told classes."""
        return "class" in self.condition

    @property
    def has_pitch(self) -> bool:
        """Whether it is told pitches."""
        return "pitch" in self.condition

    @property
    def hop_length(self) -> int:
        """Samples a latent frame."""
        if self.is_instrument:
            return 1 << round(math.log2(self.sample_rate / self.frames_per_second))
        return self.fold * math.prod(self.ratios)

    @property
    def algorithmic_latency(self) -> int:
        """Samples by which the sound is late: over which hops fade into each other, or the pitch tracker's view."""
        if self.is_instrument:
            return self.hop_length * max(1, round(LOOK_BACK_S * self.sample_rate / self.hop_length))
        return self.hop_overlap * self.hop_length // self.ratios[-1] if self.ratios else 0

    @property
    def frame_rate(self) -> float:
        """Latent frames a second."""
        return self.sample_rate / self.hop_length
