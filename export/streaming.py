"""The streaming twins of wavevae.nn.model, line by line.

Without labels they hold for any kind of layer twins whose dimension 1 is channels: `twins` makes them.
"""

import math
from collections.abc import Callable

from torch import Tensor, nn

from wavevae.nn.conv import Downsample, Upsample
from wavevae.nn.model import Decoder, Encoder

from .labels import twin_of_conditioning
from .layers import StreamingLayer, StreamingSequence, twin_of
from .partials import StreamingPartialAnalysis, StreamingPartialSynthesis

Twins = Callable[[nn.Module], StreamingLayer]


class StreamingEncoder(nn.Module):
    """Twin of Encoder: folded samples -> latent frames, a whole number of hops."""

    def __init__(self, offline: Encoder, twins: Twins = twin_of) -> None:
        super().__init__()
        self.fold = offline.fold
        self.inlet = twins(offline.inlet)
        self.stages = StreamingSequence(offline.stages, twins)
        self.core = twins(offline.core)
        self.outlet = twins(offline.outlet)
        self.conditioning = twin_of_conditioning(offline.conditioning, rows_of_places(offline))
        heard = offline.partials
        self.partials = None if heard is None else StreamingPartialAnalysis(heard, self.fold)
        self.last = len(offline.stages)
        refuse_unknown_parts(self, offline)

    def forward(self, x: Tensor) -> Tensor:
        h = self.inlet(x)
        for place, stage in enumerate(self.stages.layers):
            h = stage(self.conditioning(place, h))
        if self.partials is not None:
            h = self.partials(h, x)
        h = self.conditioning(self.last, h)
        self.conditioning.go_on(h.size(0))  # type: ignore[operator]
        return self.outlet(self.core(h))

    def start(self, voices: int) -> None:
        self.conditioning.start(voices)  # type: ignore[operator]
        self.inlet.start(voices)
        self.stages.start(voices)
        self.core.start(voices)
        self.outlet.start(voices)
        if self.partials is not None:
            self.partials.start(voices)

    def tell(self, weights: Tensor, pitch: float) -> None:
        """Class weights (n,) and MIDI pitch, below 0 for none, hold from now on; of a conditional model."""
        self.conditioning.tell(weights, pitch)  # type: ignore[operator]
        if self.partials is not None:
            self.partials.tune(pitch)


class StreamingDecoder(nn.Module):
    """Twin of Decoder: latent frames -> folded samples."""

    def __init__(self, offline: Decoder, twins: Twins = twin_of) -> None:
        super().__init__()
        self.inlet = twins(offline.inlet)
        self.core = twins(offline.core)
        self.stages = StreamingSequence(offline.stages, twins)
        self.noise = None if offline.noise is None else twins(offline.noise)
        self.outlet = twins(offline.outlet)
        self.conditioning = twin_of_conditioning(offline.conditioning, [1, *rows_of_places(offline)[:0:-1]])
        played = offline.partials
        self.partials = None if played is None else StreamingPartialSynthesis(played, offline.fold)
        refuse_unknown_parts(self, offline)

    def forward(self, z: Tensor) -> Tensor:
        h = deep = self.core(self.conditioning(0, self.inlet(z)))
        for place, stage in enumerate(self.stages.layers):
            h = stage(self.conditioning(place + 1, h))
        self.conditioning.go_on(z.size(0))  # type: ignore[operator]
        if self.noise is not None:
            h = h + self.noise(h)
        y = self.outlet(h)  # (T / fold * B, fold)
        if self.partials is not None:
            y = self.partials(y, deep)
        return y.clamp(-1.0, 1.0)

    def start(self, voices: int) -> None:
        self.conditioning.start(voices)  # type: ignore[operator]
        self.inlet.start(voices)
        self.core.start(voices)
        self.stages.start(voices)
        if self.noise is not None:
            self.noise.start(voices)
        self.outlet.start(voices)
        if self.partials is not None:
            self.partials.start(voices)

    def tell(self, weights: Tensor, pitch: float) -> None:
        """As the encoder's."""
        self.conditioning.tell(weights, pitch)  # type: ignore[operator]
        if self.partials is not None:
            self.partials.tune(pitch)


def rows_of_places(offline: Encoder | Decoder) -> list[int]:
    """Rows a hop before each stage of an encoder and after the last; of a decoder the other way round."""
    ratios = [layer.ratio for layer in offline.stages.modules() if isinstance(layer, (Downsample, Upsample))]
    ratios = ratios[::-1] if isinstance(offline, Decoder) else ratios
    return [math.prod(ratios[place:]) for place in range(len(ratios) + 1)]


def refuse_unknown_parts(twin: nn.Module, offline: nn.Module) -> None:
    """Raises: TypeError when the offline network has a part that its twin does not mirror."""
    missing = {name for name, _ in offline.named_children()} - {name for name, _ in twin.named_children()}
    own = {
        name for name, _ in (*offline.named_parameters(recurse=False), *offline.named_buffers(recurse=False))
    }
    if missing | own:
        raise TypeError(
            f"{type(twin).__name__} does not mirror {sorted(missing | own)}; add it to export/streaming.py"
        )
