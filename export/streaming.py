"""The streaming twins of wavevae.nn.networks, line by line."""

import torch
from torch import Tensor, nn

from wavevae.nn.networks import Decoder, Encoder

from .layers import StreamingSequence, activation, twin_of


class StreamingEncoder(nn.Module):
    """Twin of Encoder: folded samples -> latent frames, both as rows (T * B, C), a whole number of hops."""

    def __init__(self, offline: Encoder) -> None:
        super().__init__()
        self.fold = offline.fold
        self.inlet = twin_of(offline.inlet)
        self.stages = StreamingSequence(offline.stages)
        self.core = twin_of(offline.core)
        self.outlet = twin_of(offline.outlet)
        refuse_unknown_parts(self, offline)

    def forward(self, x: Tensor) -> Tensor:
        h = self.stages(self.inlet(x))
        return self.outlet(activation(self.core(h)))

    def start(self, voices: int) -> None:
        self.inlet.start(voices)
        self.stages.start(voices)
        self.core.start(voices)
        self.outlet.start(voices)


class StreamingDecoder(nn.Module):
    """Twin of Decoder: latent frames -> folded samples, both as rows (T * B, C)."""

    def __init__(self, offline: Decoder) -> None:
        super().__init__()
        self.inlet = twin_of(offline.inlet)
        self.core = twin_of(offline.core)
        self.stages = StreamingSequence(offline.stages)
        self.noise = None if offline.noise is None else twin_of(offline.noise)
        self.outlet = twin_of(offline.outlet)
        refuse_unknown_parts(self, offline)

    def forward(self, z: Tensor) -> Tensor:
        h = self.stages(self.core(self.inlet(z)))
        if self.noise is not None:
            h = h + self.noise(h)
        wave, gate = self.outlet(activation(h)).chunk(2, dim=1)  # each (T / fold * B, fold)
        return torch.tanh(wave) * torch.sigmoid(gate)

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
