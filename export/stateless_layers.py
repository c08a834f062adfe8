"""Twins whose past is handed in and out, for formats that have no memory of their own (ONNX).

    (x, state) -> (y, next state)      state: (B, numbers), zeros at first; one row a voice

It is float32, or float64 where a layer keeps what needs more digits (explicit_instrument.py).

Frames are (B, C, T). The networks are those of streaming.py: a `Step` deals its state out to the layers before
it runs them, and collects what they remember after.
"""

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from wavevae.nn.conv import CausalConv1d, Downsample, ResidualUnit, Upsample, activation, channels_to_samples
from wavevae.nn.noise import NoiseGate

from .layers import StreamingLayer, StreamingSequence


class Remembering(StreamingLayer):
    """A layer with a past of `numbers` a voice; `past` (B, numbers) is lent for one call."""

    past: Tensor | None = None
    numbers: int
    exact = False
    """Whether its past is float64."""


class ExplicitConv(Remembering):
    """A causal convolution, strided or not: the end of the last call, then the input."""

    def __init__(self, offline: CausalConv1d | Downsample | Upsample) -> None:
        super().__init__()
        self.conv, self.frames = offline.conv, offline.past
        self.numbers = offline.past * offline.conv.in_channels

    def forward(self, x: Tensor) -> Tensor:
        if self.frames == 0:
            return self.conv(x)
        assert self.past is not None
        joined = torch.cat([self.past.reshape(-1, x.shape[1], self.frames), x], 2)
        self.past = joined[..., -self.frames :].flatten(1)
        return self.conv(joined)


class ExplicitUpsample(ExplicitConv):
    """The same, then `ratio` frames side by side put in a row."""

    def __init__(self, offline: Upsample) -> None:
        super().__init__(offline)
        self.ratio = offline.ratio

    def forward(self, x: Tensor) -> Tensor:
        y = super().forward(x)  # (B, ratio * C_out, T)
        phases = y.unflatten(1, (self.ratio, -1)).permute(0, 2, 3, 1)  # (B, C_out, T, ratio)
        return phases.flatten(2)


class ExplicitResidualUnit(StreamingLayer):
    """ResidualUnit of such layers."""

    def __init__(self, offline: ResidualUnit) -> None:
        super().__init__()
        self.dilated, self.pointwise = ExplicitConv(offline.dilated), ExplicitConv(offline.pointwise)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.pointwise(activation(self.dilated(activation(x))))


class ExplicitNoiseGate(Remembering):
    """NoiseGate whose place in its table is the state (exact in float32)."""

    table: Tensor
    numbers = 1

    def __init__(self, offline: NoiseGate) -> None:
        super().__init__()
        self.gate, self.mix = ExplicitConv(offline.gate), ExplicitConv(offline.mix)
        self.register_buffer("table", offline.table.detach().clone())

    def forward(self, h: Tensor) -> Tensor:
        assert self.past is not None
        length = self.table.shape[1]
        places = (self.past + torch.arange(h.shape[2])) % length  # (B, T)
        noise = self.table.t()[places.long()].transpose(1, 2)  # (B, bands, T)
        self.past = (self.past + h.shape[2]) % length
        return self.mix(torch.sigmoid(self.gate(activation(h))) * noise)


TWINS = {
    CausalConv1d: ExplicitConv,
    Downsample: ExplicitConv,
    Upsample: ExplicitUpsample,
    ResidualUnit: ExplicitResidualUnit,
    NoiseGate: ExplicitNoiseGate,
    nn.Sequential: lambda layers: StreamingSequence(layers, explicit_twin_of),
}


def explicit_twin_of(offline: nn.Module) -> StreamingLayer:
    """The twin of an offline layer, with its own weights. Raises: TypeError for a layer that has no such twin."""
    for kind, make in TWINS.items():
        if type(offline) is kind:
            return make(offline)  # type: ignore[operator]
    raise TypeError(f"{type(offline).__name__} has no explicit twin; write one in export/stateless_layers.py")


class Step(nn.Module):
    """Layers called one after the other on x (B, C, T), with their state as argument and result."""

    def __init__(self, layers: Iterable[nn.Module], channels: int) -> None:
        """`channels` of x."""
        super().__init__()
        self.channels = channels
        self.layers = nn.ModuleList(layers)
        self.remembering = [m for m in self.modules() if isinstance(m, Remembering) and m.numbers]
        self.sizes = [m.numbers for m in self.remembering]
        self.exact = any(m.exact for m in self.remembering)
        self.settings: dict[str, Tensor] = {}
        """What `forward` takes beside x and state, and the usual value of each."""

    @property
    def numbers(self) -> int:
        """Of the state, a voice."""
        return sum(self.sizes)

    def first(self, voices: int) -> Tensor:
        """The state to begin with."""
        return torch.zeros(voices, self.numbers, dtype=torch.float64 if self.exact else torch.float32)

    def forward(self, x: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        for memory, past in zip(self.remembering, state.split(self.sizes, 1), strict=True):
            memory.past = past if memory.exact else past.float()
        for layer in self.layers:
            x = layer(x)
        parts = [memory.past for memory in self.remembering if memory.past is not None]
        after = torch.cat([part.double() if self.exact else part for part in parts], 1)
        for memory in self.remembering:
            memory.past = None
        return x, after


class Fold(nn.Module):
    """Audio (B, 1, T) -> (B, ratio, T / ratio)."""

    def __init__(self, ratio: int) -> None:
        super().__init__()
        self.ratio = ratio

    def forward(self, x: Tensor) -> Tensor:
        return x.reshape(x.shape[0], -1, self.ratio).transpose(1, 2)


class Unfold(nn.Module):
    """The reverse."""

    def forward(self, x: Tensor) -> Tensor:
        return channels_to_samples(x)
