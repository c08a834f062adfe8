"""Oscillators with a running phase: what lets a decoder hold a tone.

`Wavetable` and `Carriers` are the instrument's. They keep their state outside: a call takes what the call before left,
so that training, an offline render and a stream of blocks are the same sums. Amplitudes move in straight lines from
the frame before to this one, over one hop:

    frame       n-1            n              n+1
                 |---- hop n --|---- hop n+1 --|        frame n is reached at the end of hop n

`PartialAnalysis` and `PartialSynthesis` belong to a codec with pitch labels. From latents that stand still a decoder of
convolutions makes a sound that repeats with the hop, at no other pitch, so such a codec has a bank of oscillators tuned
to the label. The encoder measures each partial relative to its oscillator, as a slow complex amplitude (heterodyne
analysis; the phase vocoder of Flanagan & Golden 1966), the decoder turns latents into such amplitudes and plays them
(additive synthesis as in DDSP, Engel et al. 2020, sec. 3.2, with phases kept). Amplitudes are independent of the pitch:
under another one the same latents are the same timbre there.

    x * exp(-i k phi)  --Hann over two hops-->  c_k (frame)  --> latents -->  a_k (frame)  --> sum a_k exp(i k phi)

phi runs from 0 at the first sample, at 440 x 2^((pitch - 69) / 12) Hz, in encoder and decoder alike. Without a pitch
both are silent.

No `from __future__ import annotations` here: TorchScript reads the annotations.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

TABLE_LENGTH = 2048
"""Points of one period. Linear reading leaves images of partial k at (k / TABLE_LENGTH)^2 of it: -56 dB for k = 80."""
TABLE_SEED = 3
HIGHEST_PARTIAL = 0.45
"""Of a labelled pitch, as a share of the sample rate; those above are left out."""


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
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
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

    def forward(self, amplitudes: Tensor, before: Tensor, first_frame: Tensor) -> tuple[Tensor, Tensor]:
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


def cycles_per_sample(pitch: Tensor, sample_rate: int) -> Tensor:
    """(B,) MIDI -> (B,) cycles a sample, float64; 0 for NaN."""
    return (440.0 * torch.exp2((pitch.double() - 69.0) / 12.0) / sample_rate).nan_to_num(0.0)


def audible_partials(frequency: Tensor, count: int, highest: float = HIGHEST_PARTIAL) -> Tensor:
    """(B,) cycles a sample -> (B, count) 1 for partials in the audible range, 0 for others, float32."""
    partials = frequency[:, None] * torch.arange(1, count + 1, device=frequency.device)
    return ((partials > 0) & (partials < highest)).float()


def frame_phases(
    frequency: Tensor, count: int, hop_length: int, frames: int, turn: float = 0.0
) -> tuple[Tensor, Tensor]:
    """Cosine and sine of every partial's phase at the start of each frame, (B, frames, count), float32; the
    fundamental begins at `turn`.

    Phases are counted in whole turns in float64, so that an hour in they are as exact as at the start.
    """
    start = torch.arange(frames, device=frequency.device, dtype=torch.float64) * hop_length
    turns = (frequency[:, None] * start + turn).remainder(1.0)[..., None]  # (B, frames, 1)
    partial = torch.arange(1, count + 1, device=frequency.device, dtype=torch.float64)
    angle = 2 * math.pi * (turns * partial).remainder(1.0).float()
    return angle.cos(), angle.sin()


def hop_phases(frequency: Tensor, count: int, first: int, samples: int) -> tuple[Tensor, Tensor]:
    """Cosine and sine of every partial at samples `first`, ... of a frame, (B, samples, count), float32."""
    at = torch.arange(first, first + samples, device=frequency.device, dtype=torch.float64)
    partial = torch.arange(1, count + 1, device=frequency.device, dtype=torch.float64)
    angle = 2 * math.pi * (frequency[:, None, None] * at[:, None] * partial).remainder(1.0).float()
    return angle.cos(), angle.sin()


class PartialAnalysis(nn.Module):
    """Sound (B, 1, T) and its pitch (B,) -> features (B, channels, T / hop_length), from two hops, none ahead."""

    def __init__(self, count: int, channels: int, hop_length: int, sample_rate: int) -> None:
        super().__init__()
        self.count, self.hop_length, self.sample_rate = count, hop_length, sample_rate
        self.mix = nn.Conv1d(2 * count, channels, 1, bias=False)

    def amplitudes(self, x: Tensor, pitch: Tensor) -> Tensor:
        """(B, 2 count, frames): real parts, then imaginary parts, of c_k; a partial of amplitude 1 gives |c_k| = 1."""
        hop = self.hop_length
        frequency = cycles_per_sample(pitch, self.sample_rate)
        blocks = F.pad(x[:, 0].float(), (hop, 0)).unfold(1, 2 * hop, hop)  # (B, frames, 2 hop)
        hann = torch.hann_window(2 * hop, device=x.device)
        cosine, sine = hop_phases(frequency, self.count, -hop, 2 * hop)
        blocks = blocks * (2.0 / hop * hann)
        real, imaginary = blocks @ cosine, -(blocks @ sine)  # (B, frames, count)
        c, s = frame_phases(frequency, self.count, hop, blocks.shape[1])
        audible = audible_partials(frequency, self.count)[:, None]
        real, imaginary = (real * c + imaginary * s) * audible, (imaginary * c - real * s) * audible
        return torch.cat([real, imaginary], 2).transpose(1, 2)

    def forward(self, x: Tensor, pitch: Tensor) -> Tensor:
        with torch.autocast(x.device.type, enabled=False):
            amplitudes = self.amplitudes(x, pitch)
        return self.mix(amplitudes)


class PartialSynthesis(nn.Module):
    """Features (B, channels, frames) and a pitch (B,) -> sound (B, 1, frames x hop_length).

    Amplitudes move in a straight line over each hop, from the frame before to this one.
    """

    def __init__(self, count: int, channels: int, hop_length: int, sample_rate: int) -> None:
        super().__init__()
        self.count, self.hop_length, self.sample_rate = count, hop_length, sample_rate
        self.mix = nn.Conv1d(channels, 2 * count, 1, bias=False)

    def play(self, amplitudes: Tensor, pitch: Tensor) -> Tensor:
        """(B, 2 count, frames) -> (B, 1, frames x hop_length): sum of Re(a_k exp(i k phi))."""
        hop = self.hop_length
        frequency = cycles_per_sample(pitch, self.sample_rate)
        real, imaginary = amplitudes.float().transpose(1, 2).chunk(2, dim=2)  # (B, frames, count)
        audible = audible_partials(frequency, self.count)[:, None]
        before = [F.pad(part, (0, 0, 1, 0))[:, :-1] * audible for part in (real, imaginary)]
        after = [part * audible for part in (real, imaginary)]
        c, s = frame_phases(frequency, self.count, hop, real.shape[1])
        cosine, sine = (
            w.transpose(1, 2) for w in hop_phases(frequency, self.count, 0, hop)
        )  # (B, count, hop)
        rise = torch.arange(1, hop + 1, device=real.device) / hop

        def oscillate(re: Tensor, im: Tensor) -> Tensor:
            return (re * c - im * s) @ cosine - (re * s + im * c) @ sine  # (B, frames, hop)

        y = oscillate(*before) * (1 - rise) + oscillate(*after) * rise
        return y.flatten(1).unsqueeze(1)

    def forward(self, h: Tensor, pitch: Tensor) -> Tensor:
        amplitudes = self.mix(h)
        with torch.autocast(h.device.type, enabled=False):
            return self.play(amplitudes, pitch)
