"""An instrument with its state in the open, as explicit.py has it for codecs: the offline modules with other layers.

The state is float64, since a phase and a frame number must not lose digits in an hour, and zeros at first: what begins
elsewhere (a loudness at -100 dB) is kept as its distance from there.
"""

import copy
import math
from typing import TypeVar

import torch
from torch import Tensor, nn

from wavevae.nn.conditioning import Condition
from wavevae.nn.conv import CausalConv1d, activation
from wavevae.nn.instrument import Instrument, InstrumentDecoder
from wavevae.nn.instrument_encoder import InstrumentEncoder
from wavevae.nn.pitch import finite, start_of_path
from wavevae.nn.synthesizer import LifeState, SynthesisState

from .latent_pca import AxisMap
from .onnx_operators import PlainLoudness, PlainNoise, PlainSpectrum, of_kind, plain_tracker
from .stateless_layers import Remembering, Step, explicit_twin_of
from .torchscript import outlet_to_axes

Network = TypeVar("Network", InstrumentEncoder, InstrumentDecoder)


def condition_of(settings: dict[str, Tensor]) -> Condition | None:
    """What the networks are told; an instrument is told no pitch."""
    classes = settings.get("classes")
    return None if classes is None else Condition(classes, classes.new_full((1,), math.nan))


def with_explicit_layers(offline: Network, outlet: CausalConv1d) -> Network:
    """A copy whose convolutions have their past in the open, with such an outlet."""
    network = copy.deepcopy(offline)
    for name, layer in {"inlet": offline.inlet, "core": offline.core, "outlet": outlet}.items():
        setattr(network, name, explicit_twin_of(layer))
    return network


class ExplicitInstrumentEncoder(Remembering):
    """The offline encoder, its last layer told beforehand; the sound that its windows reach back to, the low-passed
    sound and the path of the pitch."""

    exact = True
    settings: dict[str, Tensor]
    """What the graph is given beside sound and state, lent for one call."""
    path_start: Tensor

    def __init__(self, offline: InstrumentEncoder, outlet: CausalConv1d) -> None:
        super().__init__()
        self.encoder = with_explicit_layers(offline, outlet)
        self.loudness = of_kind(PlainLoudness, offline.loudness)
        self.spectrum = of_kind(PlainSpectrum, offline.spectrum)
        reach = max(self.loudness.past_samples, self.spectrum.past_samples)
        self.sizes, self.tracker = [reach], None
        self.register_buffer("path_start", start_of_path(1))
        if offline.tracker is not None:
            self.tracker = plain_tracker(offline.tracker)
            self.sizes += [self.tracker.frames.past, self.path_start.numel()]
        self.numbers = sum(self.sizes)

    def forward(self, x: Tensor) -> Tensor:
        """(B, 1, T) -> (B, controls + latents, T / hop_length)."""
        assert self.past is not None
        pasts = self.past.split(self.sizes, 1)
        fresh = finite(x[:, 0])
        sound, frames = torch.cat([pasts[0].float(), fresh], 1), fresh.size(1) // self.encoder.hop_length
        after = [sound[:, sound.size(1) - self.sizes[0] :].double()]
        loudness = self.loudness.of_padded(self._from(sound, self.loudness.past_samples))[:, None, :frames]
        bands = self.spectrum(self._from(sound, self.spectrum.past_samples))[..., :frames]
        controls = loudness
        if self.tracker is not None:
            raw = self._from(pasts[0], 2 * self.tracker.frames.half_kernel)
            path = pasts[2].view(-1, *self.path_start.shape[1:]) + self.path_start
            heard, _, low, path = self.tracker.step(fresh, raw, pasts[1], path)
            controls = torch.cat([heard[:, :1], loudness, heard[:, 1:]], 1)
            after += [low, (path - self.path_start).flatten(1)]
        self.past = torch.cat(after, 1)
        # what InstrumentEncoder.forward does from here on
        seen = self.encoder.seen(bands, controls)
        h, bias = self.encoder.inlet(seen), self.encoder.class_bias
        if bias is not None:
            h = bias(h, condition_of(self.settings))
        h = torch.cat([activation(self.encoder.core(h)), seen], 1)
        return torch.cat([controls, self.encoder.outlet(h)], 1)

    def _from(self, sound: Tensor, past: int) -> Tensor:
        """The sound from so many samples before the block on."""
        return sound[:, self.sizes[0] - past :]


class ExplicitInstrumentDecoder(Remembering):
    """The offline decoder; its layers, which remember what they saw, and the rest of its state."""

    exact = True
    settings: dict[str, Tensor]
    """As the encoder's."""
    starts: Tensor

    def __init__(self, offline: InstrumentDecoder) -> None:
        super().__init__()
        self.decoder = with_explicit_layers(offline, offline.outlet)
        self.decoder.synthesis.noise = PlainNoise(offline.synthesis.noise)
        first = offline.initial(1, torch.zeros(1))
        parts = [*first.life, *first.synthesis]
        self.shapes = [part.shape[1:] for part in parts]
        self.types = [part.dtype for part in parts]
        self.sizes = [part[0].numel() for part in parts]
        self.numbers = sum(self.sizes)
        starts = torch.cat([part.reshape(-1).double() for part in parts]).nan_to_num(0.0)
        self.register_buffer("starts", starts)

    def forward(self, z: Tensor) -> Tensor:
        """(B, latents, F) -> (B, 1, F x hop_length)."""
        voices = z.size(0)
        life, synthesis = self.state(voices)
        z, life = self.decoder.life(self.decoder.cleaned(z), self.settings["life"], life)
        frame = self.decoder.frames(z, condition_of(self.settings))
        sound, synthesis = self.decoder.sound(frame, synthesis)
        parts = zip((*life, *synthesis), self.sizes, strict=True)
        after = torch.cat([part.double().reshape(voices, size) for part, size in parts if size], 1)
        self.past = after - self.starts
        return sound

    def state(self, voices: int) -> tuple[LifeState, SynthesisState]:
        assert self.past is not None
        rest, parts = self.past + self.starts, []
        for size, kind, shape in zip(self.sizes, self.types, self.shapes, strict=True):
            parts.append(rest[:, :size].to(kind).reshape(voices, *shape) if size else torch.zeros(voices, 0))
            rest = rest[:, size:]
        count = len(LifeState._fields)
        life = LifeState(*parts[:count])
        nothing = torch.full_like(life.latents, float("nan"))  # as offline: the first frame is a move
        latents = torch.where(life.frame[:, None] == 0.0, nothing, life.latents)
        return life._replace(latents=latents), SynthesisState(*parts[count:])


class ToRaw(nn.Module):
    """The file's axes (B, kept, F) -> the model's latents (B, latents, F), those left out at their mean."""

    factor: Tensor
    offset: Tensor

    def __init__(self, axes: AxisMap) -> None:
        super().__init__()
        self.missing = len(axes.from_offset) - axes.kept
        self.register_buffer("factor", axes.from_matrix.diagonal()[:, None].clone())
        self.register_buffer("offset", axes.from_offset[:, None].clone())

    def forward(self, z: Tensor) -> Tensor:
        scaled = self.factor * z.double()
        if self.missing:
            scaled = nn.functional.pad(scaled, (0, 0, 0, self.missing))
        return (scaled + self.offset).float()


class InstrumentStep(Step):
    """Of an instrument: `forward` takes values of its settings, too.

    life (1,)               how much a held tone drifts
    classes (1, classes)    shares of the classes, or one row a voice; all 0: no class
    """

    def __init__(
        self,
        before: list[nn.Module],
        network: ExplicitInstrumentEncoder | ExplicitInstrumentDecoder,
        channels: int,
        settings: dict[str, Tensor],
    ) -> None:
        super().__init__([*before, network], channels)
        self.network, self.settings = network, settings

    def forward(self, x: Tensor, state: Tensor, *given: Tensor) -> tuple[Tensor, Tensor]:
        self.network.settings = self.settings | dict(zip(self.settings, given, strict=False))
        return super().forward(x, state)


def instrument_steps(model: Instrument, axes: AxisMap) -> dict[str, Step]:
    """encode: audio (B, 1, T) -> axes (B, kept, F); decode: the reverse."""
    classes = {"classes": torch.zeros(1, len(model.config.classes))} if model.config.has_class else {}
    outlet = outlet_to_axes(model.encoder.outlet, axes.learned(len(model.config.controls)))
    encoder = ExplicitInstrumentEncoder(model.encoder, outlet)
    decoder = ExplicitInstrumentDecoder(model.decoder)
    return {
        "encode": InstrumentStep([], encoder, 1, classes),
        "decode": InstrumentStep([ToRaw(axes)], decoder, axes.kept, {"life": torch.ones(1), **classes}),
    }
