"""Oscillators with a running phase: what lets a decoder hold a tone.

All keep their state outside: a call takes what the call before left, so that training, an offline render and a stream
of blocks are the same sums. Amplitudes move in straight lines from the frame before to this one, over one hop:

    frame       n-1            n              n+1
                 |---- hop n --|---- hop n+1 --|        frame n is reached at the end of hop n

No `from __future__ import annotations` here: TorchScript reads the annotations.
"""

import math
from typing import Tuple  # noqa: UP035 - read by TorchScript

import torch
from torch import Tensor, nn

TABLE_LENGTH = 2048
"""Points of one period. Linear reading leaves images of partial k at (k / TABLE_LENGTH)^2 of it: -56 dB for k = 80."""
TABLE_SEED = 3


def running_sum(x: Tensor) -> Tensor:
    """(B, F) float64 -> sums up to and with each frame. On a GPU `cumsum` may differ in its last bit from run to run,
    which a deterministic run must not."""
    if not torch.jit.is_scripting():  # noqa: SIM102  (a script skips what is behind this, and nothing longer)
        if torch.are_deterministic_algorithms_enabled():
            return x @ torch.ones(x.size(1), x.size(1), dtype=x.dtype, device=x.device).triu()
    return torch.cumsum(x, 1)


class Wavetable(nn.Module):
    """A harmonic tone: magnitudes of partials become one period a frame, which is read at the running phase.

    The cost is that of a matrix product and of two reads, for 10 or 100 partials alike. Phases of the partials are
    fixed and drawn once, so that no period has a peak at one place.
    """

    sines: Tensor
    rise: Tensor
    bent: Tensor
    straight: Tensor

    def __init__(self, partials: int, hop_length: int) -> None:
        super().__init__()
        self.hop_length, self.length = hop_length, TABLE_LENGTH
        generator = torch.Generator().manual_seed(TABLE_SEED)
        number = torch.arange(1, partials + 1, dtype=torch.float64)[:, None]
        turns = number * torch.arange(TABLE_LENGTH) / TABLE_LENGTH
        turns = turns + torch.rand(partials, 1, generator=generator, dtype=torch.float64)
        self.register_buffer("sines", torch.sin(2 * math.pi * turns).float(), persistent=False)
        step = torch.arange(1, hop_length + 1, dtype=torch.float64)
        bent = (
            step * (step + 1) / (2 * hop_length)
        )  # share of the new frequency in the phase gained by each sample
        self.register_buffer("rise", (step / hop_length).float(), persistent=False)
        self.register_buffer("bent", bent, persistent=False)
        self.register_buffer("straight", step - bent, persistent=False)

    def forward(
        self, amplitudes: Tensor, frequency: Tensor, table: Tensor, before: Tensor, phase: Tensor
    ) -> Tuple[Tensor, Tensor, Tensor, Tensor]:  # noqa: UP006
        """One hop a frame.

        amplitudes (B, F, partials); frequency (B, F) float64, cycles a sample; `table` (B, TABLE_LENGTH), `before` (B,)
        and `phase` (B,) float64, whole turns: the last frame's period and frequency and where it has come to.
        Returns sound (B, F x hop_length) and the three as the next call needs them.
        """
        batch, frames = frequency.size(0), frequency.size(1)
        tables = torch.cat(
            [table.unsqueeze(1), torch.matmul(amplitudes, self.sines)], 1
        )  # (B, F + 1, length)
        earlier = torch.cat([before.unsqueeze(1), frequency[:, : frames - 1]], 1)
        hop = float(self.hop_length)
        gained = running_sum(earlier * (0.5 * (hop - 1.0)) + frequency * (0.5 * (hop + 1.0)))
        starts = torch.cat([phase.unsqueeze(1), phase.unsqueeze(1) + gained], 1)
        turns = starts[:, :frames].unsqueeze(2) + earlier.unsqueeze(2) * self.straight
        turns = turns + frequency.unsqueeze(2) * self.bent  # (B, F, hop)
        place = (turns - torch.floor(turns)) * self.length
        whole = torch.floor(place)
        part = (place - whole).to(amplitudes.dtype)
        first = whole.long() % self.length
        second = (first + 1) % self.length
        old, new = tables[:, :frames], tables[:, 1:]
        read_old = torch.lerp(old.gather(2, first), old.gather(2, second), part)
        read_new = torch.lerp(new.gather(2, first), new.gather(2, second), part)
        sound = torch.lerp(read_old, read_new, self.rise).reshape(batch, -1)
        end = starts[:, frames]
        return sound, tables[:, frames], frequency[:, frames - 1], end - torch.floor(end)


class Carriers(nn.Module):
    """Log-spaced oscillators of fixed frequency, for sounds without one pitch: their magnitudes are a spectrum.

    Phases follow from the frame number alone, so there is no other state. The phase at a frame times fixed cosines and
    sines of one hop makes the whole a matrix product.
    """

    frequency: Tensor
    offset: Tensor
    cosine: Tensor
    sine: Tensor
    rise: Tensor

    def __init__(
        self, count: int, hop_length: int, sample_rate: int, lowest_hz: float, highest_hz: float
    ) -> None:
        super().__init__()
        self.hop_length = hop_length
        octaves = math.log2(highest_hz / lowest_hz)
        hz = lowest_hz * torch.exp2(torch.linspace(0, octaves, count, dtype=torch.float64))
        generator = torch.Generator().manual_seed(TABLE_SEED)
        self.register_buffer("frequency", hz / sample_rate, persistent=False)
        self.register_buffer(
            "offset", torch.rand(count, generator=generator, dtype=torch.float64), persistent=False
        )
        step = torch.arange(1, hop_length + 1, dtype=torch.float64)
        angle = 2 * math.pi * (self.frequency[:, None] * step).remainder(1.0)  # (carriers, hop)
        self.register_buffer("cosine", angle.cos().float(), persistent=False)
        self.register_buffer("sine", angle.sin().float(), persistent=False)
        self.register_buffer("rise", (step / hop_length).float(), persistent=False)

    def forward(self, amplitudes: Tensor, before: Tensor, first_frame: Tensor) -> Tuple[Tensor, Tensor]:  # noqa: UP006
        """amplitudes (B, F, carriers), the last frame's `before` (B, carriers), number of the first frame (B,) float64
        -> sound (B, F x hop_length), the last amplitudes."""
        batch, frames = amplitudes.size(0), amplitudes.size(1)
        number = first_frame.unsqueeze(1) + torch.arange(frames, device=amplitudes.device)
        turns = (
            number.unsqueeze(2) * (self.hop_length * self.frequency) + self.offset
        )  # (B, F, carriers) float64
        angle = (2 * math.pi * (turns - torch.floor(turns))).to(amplitudes.dtype)
        cosine, sine = torch.cos(angle), torch.sin(angle)
        earlier = torch.cat([before.unsqueeze(1), amplitudes[:, : frames - 1]], 1)
        old = torch.matmul(earlier * cosine, self.sine) + torch.matmul(earlier * sine, self.cosine)
        new = torch.matmul(amplitudes * cosine, self.sine) + torch.matmul(amplitudes * sine, self.cosine)
        return torch.lerp(old, new, self.rise).reshape(batch, -1), amplitudes[:, frames - 1]
