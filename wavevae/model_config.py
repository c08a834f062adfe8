"""The shape of a model, as plain values that refuse nonsense. `wavevae.config` offers it beside the rest of a run's."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from wavevae.checks import is_power_of_two, require, require_known
from wavevae.errors import UserError

FAMILIES = ("codec", "instrument")
OSCILLATORS = ("auto", "harmonic", "dense", "both", "none")
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
CONDITIONS = ("none", "class", "pitch", "class+pitch")
LOWEST_PITCH, HIGHEST_PITCH = -24.0, 148.0
"""MIDI; what is asked beyond is played at the limit. 148 is above half of any usual sample rate: silence."""
LOWEST_LOUDNESS, HIGHEST_LOUDNESS = -100.0, 12.0
"""dB RMS; the lowest is silence."""
LATENT_LIMIT = 20.0
"""Of learned latents, standard deviations of the prior."""
OF_FAMILY = {
    "codec": (
        *("model.fold", "model.ratios", "model.widths", "model.dilations", "model.hop_overlap"),
        *("data.tied_semitones", "data.tied_gain_db"),
    ),
    "instrument": (
        *("model.frames_per_second", "model.oscillators", "model.carriers", "model.carriers_highest_hz"),
        *("model.decoder_width", "model.decoder_dilations", "model.encoder_width", "model.mel_bands"),
        *("model.envelope_bands", "objective.named_axes"),
    ),
}
"""Settings, 'section.field', that one family alone takes."""


@dataclass(frozen=True)
class ModelConfig:
    """The shape of a model: everything needed to rebuild it before its weights are loaded."""

    family: str = "codec"
    """codec (any sound as it is) or instrument (played by pitch, loudness and timbre)."""
    sample_rate: int = 22050
    """Rate the model hears and speaks, Hz."""
    fold: int = 16
    """Samples folded into channels at both ends: a strided convolution of this ratio."""
    ratios: tuple[int, ...] = (4, 4)
    """Strides after the fold; hop_length = fold x their product."""
    widths: tuple[int, ...] = (48, 96, 128)
    """Channels at each rate, from the fold inward: one more than ratios."""
    dilations: tuple[int, ...] = (1, 3, 9)
    """Dilations of the residual units at each rate, in frames of that rate."""
    latent_dim: int = 64
    """Numbers a latent frame holds; of an instrument: those that are learned, beside pitch and loudness."""
    hop_overlap: int = 0
    """Frames of the rate before the last stride over which hops fade into each other, so much later is the sound; 0:
    hops have edges."""
    noise_bands: int = 16
    """Gated noise channels at the decoder's outer rate; 0 for none."""
    bottleneck: str = "vae"
    """ae (no constraint), vae (Gaussian posterior), vq, rvq (codebooks) or hvae (Gaussians at two rates)."""
    codebook_size: int = 512
    """vq, rvq: codes in a codebook."""
    n_codebooks: int = 4
    """rvq: codebooks, each for what the ones before leave over; vq has one."""
    code_dim: int = 32
    """vq, rvq: numbers a code holds."""
    codebook_decay: float = 0.99
    """vq, rvq: decay a step of the averages that the codes are."""
    codebook_dead: float = 0.4
    """vq, rvq: a code used less than this share of an even use starts again elsewhere; 0: never."""
    codebook_dropout: float = 0.25
    """rvq: probability that a chunk is learned with the first few codebooks only."""
    top_dim: int = 16
    """hvae: how many of latent_dim are the slow level's."""
    top_every: int = 4
    """hvae: frames for which the slow level holds."""
    condition: str = "none"
    """none, class, pitch or class+pitch: labels that encoder and decoder are told."""
    classes: tuple[str, ...] = ()
    """Names of the classes; filled in from the data."""
    partials: int = 64
    """Harmonics of the oscillator bank: of a codec that is told pitches, and of an instrument."""
    frames_per_second: float = 86.0
    """instrument: latent frames a second, about; the hop is the power of two nearest to it (fold and ratios are a
    codec's)."""
    oscillators: str = "auto"
    """instrument: harmonic (one pitch), dense (log-spaced carriers), both, none (noise only), auto (by the sounds)."""
    carriers: int = 320
    """instrument: log-spaced oscillators of fixed frequency where oscillators is dense or both."""
    carriers_highest_hz: float = 0.0
    """instrument: the highest of them, Hz; 0: nearly half the sample rate."""
    envelope_bands: int = 64
    """instrument: points of the spectral envelope of the partials."""
    decoder_width: int = 192
    """instrument: channels of the decoder's convolutions at frame rate."""
    decoder_dilations: tuple[int, ...] = (1, 2, 4)
    """instrument: their dilations, frames."""
    encoder_width: int = 128
    """instrument: channels of the encoder's convolutions at frame rate."""
    mel_bands: int = 64
    """instrument: bands in which the encoder hears the spectrum."""

    def __post_init__(self) -> None:
        require(1000 <= self.sample_rate <= 192000, "sample_rate", self.sample_rate, "use 1000 to 192000 Hz")
        for name, values in (("fold", (self.fold,)), ("ratios", self.ratios)):
            for value in values:
                require(is_power_of_two(value), name, value, "use powers of two: hosts play no others")
        require(
            len(self.widths) == len(self.ratios) + 1,
            "widths",
            self.widths,
            "give one more than there are ratios",
        )
        require(all(w >= 1 for w in self.widths), "widths", self.widths, "use 1 or more channels")
        require(self.latent_dim >= 1, "latent_dim", self.latent_dim, "use 1 or more")
        most = self.ratios[-1] if self.ratios else 0
        require(
            0 <= self.hop_overlap <= most, "hop_overlap", self.hop_overlap, f"use 0 to {most}, the last ratio"
        )
        late = self.hop_overlap and self.has_pitch
        require(not late, "hop_overlap", self.hop_overlap, "use 0 with a pitch: partials fade by themselves")
        require(self.noise_bands >= 0, "noise_bands", self.noise_bands, "use 0 or more")
        require_known("family", self.family, FAMILIES)
        require_known("bottleneck", self.bottleneck, tuple(BOTTLENECKS))
        require_known("condition", self.condition, CONDITIONS)
        self._check_bottleneck()
        if self.family == "instrument":
            self._check_instrument()

    def _check_bottleneck(self) -> None:
        """Raises: UserError for settings of codebooks, levels and partials that cannot be."""
        require(2 <= self.codebook_size <= 65536, "codebook_size", self.codebook_size, "use 2 to 65536")
        require(1 <= self.n_codebooks <= 64, "n_codebooks", self.n_codebooks, "use 1 to 64")
        require(2 <= self.code_dim <= 256, "code_dim", self.code_dim, "use 2 to 256")
        require(0 <= self.codebook_decay < 1, "codebook_decay", self.codebook_decay, "use 0 up to 1")
        require(0 <= self.codebook_dead < 1, "codebook_dead", self.codebook_dead, "use 0 up to 1")
        require(0 <= self.codebook_dropout <= 1, "codebook_dropout", self.codebook_dropout, "use 0 to 1")
        require(is_power_of_two(self.top_every), "top_every", self.top_every, "use a power of two")
        require(1 <= self.partials <= 512, "partials", self.partials, "use 1 to 512")
        if self.bottleneck == "hvae":
            fits = 1 <= self.top_dim < self.latent_dim
            require(fits, "top_dim", self.top_dim, f"use 1 up to latent_dim - 1 ({self.latent_dim - 1})")

    def _check_instrument(self) -> None:
        """Raises: UserError for what an instrument cannot be."""
        require(
            self.latent_dim >= 2,
            "latent_dim",
            self.latent_dim,
            "use 2 or more: brightness and noisiness are two",
        )
        require(
            20 <= self.frames_per_second <= 400, "frames_per_second", self.frames_per_second, "use 20 to 400"
        )
        require_known("oscillators", self.oscillators, OSCILLATORS)
        top = self.carriers_highest_hz
        fits = top == 0 or 100 <= top <= self.sample_rate / 2
        require(fits, "carriers_highest_hz", top, f"use 0, or 100 to {self.sample_rate / 2:g} Hz")
        for name, low in (("carriers", 8), ("envelope_bands", 4), ("decoder_width", 8), ("encoder_width", 8)):
            require(low <= getattr(self, name) <= 4096, name, getattr(self, name), f"use {low} to 4096")
        require(4 <= self.noise_bands <= 256, "noise_bands", self.noise_bands, "use 4 to 256")
        require(8 <= self.mel_bands <= 256, "mel_bands", self.mel_bands, "use 8 to 256")

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


def check_family(model: ModelConfig, sections: Mapping[str, Any]) -> None:
    """Raises: UserError for what an instrument cannot be trained with."""
    if not model.is_instrument:
        return
    data = sections["data"]
    advice = "use 0 with an instrument: its pitches are found on the sounds as they are"
    require(data.pitch_semitones == 0, "pitch_semitones", data.pitch_semitones, advice)
    advice = "use auto or never: an instrument's excerpts are cut on the CPU"
    require(data.resident != "always", "resident", data.resident, advice)


def check_typed_family(model: ModelConfig, typed: Mapping[str, Any]) -> None:
    """Raises: UserError where a setting that was typed, 'section.field', would do nothing to this family."""
    others: Iterable[str] = OF_FAMILY["codec" if model.is_instrument else "instrument"]
    for key in others:
        if key in typed:
            name = key.split(".")[1]
            raise UserError(
                f"{name} says nothing to a model of the family {model.family}; leave it out, or choose "
                f"another --preset"
            )
