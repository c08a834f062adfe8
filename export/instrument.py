"""What export knows of the instrument family: its streaming twin behind the contract of nn~.

Latents go in and out as (B, latents, frames), the controls in natural units, the learned ones in standard deviations.
What is random, what runs (phase, frame number) and what is remembered follow the batch: one of each a voice.

No `from __future__ import annotations` here: TorchScript reads the annotations.
"""

# mypy: disable-error-code="operator, union-attr, arg-type, misc, attr-defined, call-overload, index, has-type"
# (what a host module has is not known to what is mixed into it)

import math
from typing import Any

import torch
from torch import Tensor

from wavevae.corpus_profile import CorpusProfile
from wavevae.errors import UserError
from wavevae.latents import LatentStatistics
from wavevae.nn.bottlenecks.base import bottleneck_class, codebook_sizes
from wavevae.nn.instrument import Instrument

from .bottlenecks import twin_of_bottleneck
from .fitting import StreamingFit
from .latent_pca import AxisMap, control_map
from .layers import SMALLEST_STORED, from_rows, pointwise, round_, round_weights, to_rows, twin_of
from .model_file import Choices, FamilyExporter
from .prior import PriorMethods
from .streaming import StreamingInstrumentDecoder, StreamingInstrumentEncoder
from .torchscript import FLOAT, INT, ClassAttributes, ClassWeights, CodeMethods, HostModule, with_mixins

UNITS = {"pitch": "MIDI", "loudness": "dB", "periodicity": "0..1"}
"""Of the controls, as hosts show them."""
LIFE_RANGE, TRANSPOSE_RANGE = (0.0, 2.0), (-48.0, 48.0)


class InstrumentModule(ClassWeights, HostModule):
    """Streaming encode, decode and forward of an instrument.

    Attributes beside gain and temperature: `life` (how much a held tone drifts, 0 to 2); of encode and forward, with a
    pitch, `transpose` (semitones); where the profile of the corpus is known, `fit` (0 as the input is, 1 as the corpus
    is) and `transpose_auto` (1: by whole octaves into the range of the corpus).
    """

    factor: Tensor
    offset: Tensor
    learned: Tensor
    heard: Tensor

    def __init__(self, model: Instrument, axes: AxisMap) -> None:
        names = [axis.name for axis in axes.axes]
        super().__init__(
            model, axes, [f"{name} ({UNITS[name]})" if name in UNITS else name for name in names]
        )
        config = model.config
        self.controls, self.pitched = len(config.controls), config.has_oscillator_pitch
        self.register_buffer("heard", torch.zeros(1, self.controls))  # the last frame's, before it is moved
        learned, outlet = axes.learned(self.controls), model.encoder.outlet
        self.bottleneck = twin_of_bottleneck(model.bottleneck.learned)
        self.to_axes = None
        if self.bottleneck is None:
            outlet = learned.applied_to(outlet)
        else:
            self.to_axes = twin_of(pointwise(learned.to_matrix, learned.to_offset))
        self.encoder = StreamingInstrumentEncoder(model.encoder, outlet)
        self.decoder = StreamingInstrumentDecoder(model.decoder)
        self.missing = model.latent_dim - axes.kept
        factor = torch.zeros(model.latent_dim)
        factor[: axes.kept] = axes.from_matrix.diagonal().float()
        self.register_buffer("factor", factor[:, None])
        self.register_buffer("offset", axes.from_offset.float()[:, None].clone())
        self.register_buffer("learned", (torch.arange(axes.kept) >= self.controls).float()[:, None])
        profile = corpus_profile(model, axes)
        self.fitting = None if profile is None or not profile.frames else StreamingFit(profile)
        self.fit, self.transpose_auto = 0.0, 0
        self.life, self.life_range = 1.0, LIFE_RANGE
        self.transpose, self.transpose_range = 0.0, TRANSPOSE_RANGE
        self.register_classes(len(config.classes) if config.has_class else 0)
        attributes = {
            "life": (True, FLOAT),
            "transpose": (self.pitched, FLOAT),
            "fit": (self.fitting is not None, FLOAT),
            "transpose_auto": (self.fitting is not None and self.pitched, INT),
            "class": (config.has_class, INT),
            "input_class": (config.has_class, INT),
        }
        for name, (available, kind) in attributes.items():
            if available:
                self.add_attribute(name, kind)

    def to_latents(self, x: Tensor) -> Tensor:
        controls, h = self.encoder(x[:, 0])
        if controls.size(2) > 0:
            self.heard = controls[:, :, controls.size(2) - 1].clone()
        if self.bottleneck is not None and self.to_axes is not None:
            h = self.to_axes(self.bottleneck(h))
        z = torch.cat([controls, from_rows(h, x.size(0)).transpose(1, 2)], 1)
        if self.fitting is not None and (self.fit > 0.0 or self.transpose_auto != 0):
            z = self.fitting(z, self.transpose_auto != 0, self.fit)
        if self.pitched and self.transpose != 0.0:
            z = torch.cat([z[:, :1] + self.transpose, z[:, 1:]], 1)
        return z

    def to_sound(self, z: Tensor, voices: int) -> Tensor:
        if self.temperature > 0.0:
            z = z + self.temperature * self.learned * torch.randn_like(z)
        if self.missing > 0:
            z = torch.cat([z, z.new_zeros([z.size(0), self.missing, z.size(2)])], 1)
        return self.decoder(torch.addcmul(self.offset, z, self.factor), self.life)

    def start_encoder(self, voices: int) -> None:
        self.heard = self.heard.new_zeros([voices, self.heard.size(1)])
        self.encoder.start(voices)
        if self.bottleneck is not None:
            self.bottleneck.start(voices)
        if self.fitting is not None:
            self.fitting.start(voices)

    def start_decoder(self, voices: int) -> None:
        self.decoder.start(voices)

    @torch.jit.export
    def restart(self, voice: int) -> None:
        """Of a batch that is decoded, one voice begins anew: what comes next sounds as a first tone does."""
        if 0 <= voice < self.decoder_voices:
            self.decoder.restart(voice)
        self.restart_performer(voice)

    def restart_performer(self, voice: int) -> None:
        """Of an instrument with a prior, see PriorMethods."""

    def start_performer(self, voices: int) -> None:
        """The same."""

    @torch.jit.export
    def reset(self) -> None:
        """Forget the past: what comes next sounds as after loading."""
        self.start_encoder(self.encoder_voices)
        self.start_decoder(self.decoder_voices)
        self.start_performer(1)
        self.restart_prior()
        self.last_amplitude = -1.0

    @torch.jit.export
    def restart_prior(self) -> None:
        """Of an instrument with a prior, see PriorMethods."""

    def update_labels(self) -> None:
        if self.decoder.class_bias is not None and self.encoder.class_bias is not None:
            self.decoder.class_bias.set_classes(self.weights)
            self.encoder.class_bias.set_classes(self.input_weights())

    @torch.jit.export
    def set_life(self, value: float) -> int:
        if not math.isfinite(value):
            return -1
        self.life = min(max(value, self.life_range[0]), self.life_range[1])
        return 0

    @torch.jit.export
    def get_life(self) -> tuple[float]:
        return (self.life,)

    @torch.jit.export
    def set_transpose(self, value: float) -> int:
        if not math.isfinite(value):
            return -1
        self.transpose = min(max(value, self.transpose_range[0]), self.transpose_range[1])
        return 0

    @torch.jit.export
    def get_transpose(self) -> tuple[float]:
        return (self.transpose,)

    @torch.jit.export
    def set_transpose_auto(self, value: int) -> int:
        """Any number but 0: by whole octaves into the corpus' range."""
        self.transpose_auto = int(value != 0)
        return 0

    @torch.jit.export
    def get_transpose_auto(self) -> tuple[int]:
        return (self.transpose_auto,)

    @torch.jit.export
    def set_fit(self, value: float) -> int:
        if not math.isfinite(value):
            return -1
        self.fit = min(max(value, 0.0), 1.0)
        return 0

    @torch.jit.export
    def get_fit(self) -> tuple[float]:
        return (self.fit,)


class InstrumentCodes(CodeMethods):
    """Codes of an instrument, its controls before them. A mix-in."""

    def to_codes(self, x: Tensor) -> Tensor:
        controls, rows = self.encoder(x[:, 0])
        codes = from_rows(self.bottleneck.codes(rows), x.size(0)).transpose(1, 2)
        if self.pitched and self.transpose != 0.0:
            controls = torch.cat([controls[:, :1] + self.transpose, controls[:, 1:]], 1)
        return torch.cat([controls, codes.to(controls.dtype)], 1)

    def axes_of_codes(self, codes: Tensor) -> Tensor:
        rows = self.bottleneck.from_codes(to_rows(codes[:, self.uncoded :].transpose(1, 2)))
        learned = from_rows(self.to_axes(rows), codes.size(0)).transpose(1, 2)
        return torch.cat([codes[:, : self.uncoded], learned], 1)


def corpus_profile(model: Instrument, axes: AxisMap) -> CorpusProfile | None:
    """What its corpus is like, in the file's units; none where it was not kept."""
    if model.profile is None:
        return None
    return model.profile.in_units(axes.from_offset[: axes.kept], axes.from_matrix.diagonal())


def instrument_module(model: Instrument, axes: AxisMap) -> InstrumentModule:
    """The kind of module that an instrument needs."""
    codes, classes = bool(codebook_sizes(model.config)), model.config.has_class
    kind: Any = with_mixins(
        InstrumentModule,
        InstrumentCodes if codes else None,
        ClassAttributes if classes else None,
        PriorMethods if model.prior is not None else None,
    )
    return kind(model, axes)  # type: ignore[no-any-return]


def only_of_codecs(option: str) -> UserError:
    return UserError(f"{option} is for models of the family codec, this is an instrument: leave it out")


class InstrumentExporter(FamilyExporter):
    """An instrument, which has only one form."""

    labels_are_plain = True

    def axes(self, model: Any, statistics: LatentStatistics, keep: int | None) -> AxisMap:
        return control_map(statistics, model.config, keep)

    def rounded(self, model: Any, weights: str) -> Any:
        if weights == "float16":
            raise only_of_codecs("--weights float16")
        rounded = round_weights(model, torch.bfloat16, SMALLEST_STORED)
        for weight in () if rounded.prior is None else rounded.prior.performer.parameters():
            if weight.numel() >= SMALLEST_STORED:
                round_(weight, torch.bfloat16)
        return rounded

    def module(self, model: Any, axes: AxisMap, choices: Choices) -> HostModule:
        if choices.streaming != "rows":
            raise only_of_codecs(f"--streaming {choices.streaming}")
        return instrument_module(model, axes)

    def description(self, model: Any, axes: AxisMap) -> dict[str, Any]:
        profile = corpus_profile(model, axes)
        return {
            "oscillators": model.config.oscillators,
            "profile": {} if profile is None else profile.to_dict(),
            "prior": {} if model.prior is None else model.prior.description(),
        }

    def graphs(self, model: Any) -> Any:
        from . import archive_graphs

        plain = not bottleneck_class(model.config.bottleneck).streaming_twin
        return archive_graphs if plain and archive_graphs.packages_are_here() else None

    def settings(self, module: Any, method: str) -> dict[str, Tensor]:
        classes = {"classes": torch.zeros(1, module.class_count)} if module.class_count else {}
        return classes if method == "encode" else {"life": torch.ones(1), **classes}

    def apply(self, module: Any, method: str, settings: dict[str, Tensor], rows: tuple[Any, Any]) -> None:
        module.life = settings.get("life", module.life)
        if "classes" in settings:
            bias = (module.encoder if method == "encode" else module.decoder).class_bias
            voices, frames = rows
            bias.row = bias.row_of(settings["classes"]).expand(voices, -1).repeat(frames, 1)
