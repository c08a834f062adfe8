"""The streaming twins of wavevae.nn.networks, line by line.

They hold for any kind of layer twins whose dimension 1 is channels: `twins` makes them.
"""

from collections.abc import Callable

from torch import Tensor, nn

from wavevae.nn.networks import Decoder, Encoder

from .layers import StreamingLayer, StreamingSequence, twin_of

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
        refuse_unknown_parts(self, offline)

    def forward(self, x: Tensor) -> Tensor:
        h = self.stages(self.inlet(x))
        return self.outlet(self.core(h))

    def start(self, voices: int) -> None:
        self.inlet.start(voices)
        self.stages.start(voices)
        self.core.start(voices)
        self.outlet.start(voices)


class StreamingDecoder(nn.Module):
    """Twin of Decoder: latent frames -> folded samples."""

    def __init__(self, offline: Decoder, twins: Twins = twin_of) -> None:
        super().__init__()
        self.inlet = twins(offline.inlet)
        self.core = twins(offline.core)
        self.stages = StreamingSequence(offline.stages, twins)
        self.noise = None if offline.noise is None else twins(offline.noise)
        self.outlet = twins(offline.outlet)
        refuse_unknown_parts(self, offline)

    def forward(self, z: Tensor) -> Tensor:
        h = self.stages(self.core(self.inlet(z)))
        if self.noise is not None:
            h = h + self.noise(h)
        return self.outlet(h).clamp(-1.0, 1.0)  # (T / fold * B, fold)

    def start(self, voices: int) -> None:
        self.inlet.start(voices)
        self.core.start(voices)
        self.stages.start(voices)
        if self.noise is not None:
            self.noise.start(voices)
        self.outlet.start(voices)


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
