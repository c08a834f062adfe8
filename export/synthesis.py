"""Streaming twins of wavevae.nn.synthesizer: the same sums in fewer calls, since for one frame calls are what costs.

Rows are the frames of all voices, time first: (F * B, n). All voices start together, so that the frame number is one
number for all; phases and frequencies are a voice's own.

No `from __future__ import annotations` here: TorchScript reads the annotations.
"""

import copy
import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from wavevae.nn.noise import BandNoise, random_turns
from wavevae.nn.oscillators import Carriers, Wavetable
from wavevae.nn.synthesizer import Life, LifeState, PowerShares, Synthesis

from .layers import from_rows


def keep(module: nn.Module, **tensors: Tensor) -> None:
    """As buffers."""
    for name, values in tensors.items():
        module.register_buffer(name, values.detach().clone().contiguous())


class StreamingLife(nn.Module):
    """Twin of Life: rows (F * B, latents) -> the same, moved."""

    spread: Tensor
    held: Tensor
    rested: Tensor
    voice: Tensor
    row: Tensor
    middle: Tensor
    slow_rise: Tensor
    fast_rise: Tensor

    def __init__(self, offline: Life) -> None:
        super().__init__()
        self.offline = copy.deepcopy(offline)
        self.slow, self.fast = offline.slow, offline.fast
        self.still, self.wait, self.per_ramp = offline.still, offline.wait, 1.0 / offline.ramp
        self.idle = not bool(offline.spread.any())
        self.knot = (-1, -1)
        keep(self, spread=offline.spread, row=torch.arange(len(offline.spread))[None, :])
        for name in ("held", "rested", "voice", "middle", "slow_rise", "fast_rise"):
            self.register_buffer(name, torch.zeros(0))
        self.start(1)

    def forward(self, z: Tensor, life: float, number: int, voices: int) -> Tensor:
        if self.idle:
            return z
        if z.size(0) > voices:
            return self._many(z, life, number, voices)
        resting = (z - self.held).abs() <= self.still  # NaN: no
        self.held = z
        self.rested = (self.rested + 1.0) * resting
        if life == 0.0:
            return z
        gate = ((self.rested - self.wait) * self.per_ramp).clamp(0.0, 1.0)
        return torch.addcmul(z, gate, self._drift(number), value=life)

    def _drift(self, number: int) -> Tensor:
        """(B, latents) at a frame. Between two knots it is a line in the smoothed share: only that is computed."""
        slow, fast = number / self.slow, number / self.fast
        knot = (math.floor(slow), math.floor(fast))
        if knot != self.knot:
            self.knot = knot
            first, second = self._turns(knot[0], 1.0), self._turns(knot[0] + 1, 1.0)
            third, fourth = self._turns(knot[1], 2.0), self._turns(knot[1] + 1, 2.0)
            self.middle = (self.spread * (3.2 * (first - 0.5) + 2.4 * (third - 0.5))).to(torch.float32)
            self.slow_rise = (self.spread * 3.2 * (second - first)).to(torch.float32)
            self.fast_rise = (self.spread * 2.4 * (fourth - third)).to(torch.float32)
        drift = torch.add(self.middle, self.slow_rise, alpha=self._smooth(slow - knot[0]))
        return drift.add_(self.fast_rise, alpha=self._smooth(fast - knot[1]))

    def _turns(self, knot: int, kind: float) -> Tensor:
        at = torch.full([1, 1], float(knot), dtype=torch.float64)
        return random_turns(at, self.voice, self.row + 100.0 * kind)

    def _smooth(self, share: float) -> float:
        return share * share * (3.0 - 2.0 * share)

    def _many(self, z: Tensor, life: float, number: int, voices: int) -> Tensor:
        frame = torch.full([voices], float(number), dtype=torch.float64)
        moved, after = self.offline(
            from_rows(z, voices).transpose(1, 2), life, LifeState(self.held, self.rested, frame)
        )
        self.held, self.rested = after.latents, after.rested
        return moved.permute(2, 0, 1).reshape(z.size(0), z.size(1))

    def start(self, voices: int) -> None:
        self.held = torch.full([voices, self.spread.size(0)], math.nan)
        self.rested = torch.zeros_like(self.held)
        self.voice = torch.arange(voices)[:, None]
        self.knot = (-1, -1)


class StreamingShares(nn.Module):
    """Twin of PowerShares, times the level: the network's output rows, pitch (Hz) and level (RMS) -> amplitudes of the
    partials (0 first, the constant's), powers of the noise bands, amplitudes of the carriers, shape of the gain.

    The outlet's rows are expected with the envelope first, see `outlet_order`.
    """

    number: Tensor
    inner: Tensor
    low: Tensor
    per_width: Tensor
    others: Tensor

    def __init__(self, offline: PowerShares) -> None:
        super().__init__()
        self.partials, self.envelope, self.noise = offline.partials, offline.envelope, offline.noise
        self.carriers, self.curve = offline.carriers, offline.curve
        self.half_rate = offline.half_rate
        self.lowest, self.highest = float(offline.points[0]), float(offline.points[-1])
        self.steep = 90.0 / offline.half_rate
        points = offline.points
        keep(self, inner=points[1:-1], low=points[:-1], per_width=1.0 / (points[1:] - points[:-1]))
        keep(self, number=torch.arange(1, self.partials + 1, dtype=torch.float32))
        others = torch.ones(self.partials)
        others[:1] = 0.0
        keep(self, others=others)

    def outlet_order(self) -> Tensor:
        """Rows of the offline outlet in the order that this wants."""
        rows = torch.arange(self.partials + self.envelope + self.noise + self.carriers + self.curve)
        first = self.partials + self.envelope
        return torch.cat([rows[self.partials : first], rows[: self.partials], rows[first:]])

    def forward(self, out: Tensor, hz: Tensor, level: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """The memory of `out` is used."""
        curve = out[:, out.size(1) - self.curve :]
        out = out[:, : out.size(1) - self.curve]
        size = level * math.sqrt(2.0)
        if self.partials == 0:
            shares = torch.softmax(out, 1)
            carriers = torch.sqrt(shares[:, self.noise :]) * size
            return shares[:, :0], shares[:, : self.noise] * level.square(), carriers, curve
        frequency = hz * self.number  # (R, partials)
        fade = F.logsigmoid((0.96 * self.half_rate - frequency) * self.steep)
        logs = out[:, self.envelope :]
        logs[:, : self.partials] += self._heights(out, frequency) + fade * self.others
        shares = torch.softmax(logs, 1)
        sounding = torch.exp(0.5 * fade[:, :1]) * (hz < self.half_rate)
        amplitudes = torch.sqrt(shares[:, : self.partials]) * ((frequency < self.half_rate) * size)
        amplitudes = torch.cat(
            [amplitudes.new_zeros([out.size(0), 1]), amplitudes[:, :1] * sounding, amplitudes[:, 1:]], 1
        )
        noise = shares[:, self.partials : self.partials + self.noise] * level.square()
        carriers = shares[:, self.partials + self.noise :]
        if self.carriers > 0:
            carriers = torch.sqrt(carriers) * size
        return amplitudes, noise, carriers, curve

    def _heights(self, out: Tensor, frequency: Tensor) -> Tensor:
        """The envelope between its points, at each partial."""
        envelope = out[:, : self.envelope]
        slope = (envelope[:, 1:] - envelope[:, :-1]) * self.per_width
        within = frequency.clamp(self.lowest, self.highest)
        at = torch.searchsorted(self.inner, within)
        return torch.addcmul(envelope.gather(1, at), slope.gather(1, at), within - self.low[at])


class StreamingNoise(nn.Module):
    """Twin of BandNoise: powers (F * B, bands) -> (B, F, hop_length)."""

    shares: Tensor
    least: Tensor
    window: Tensor
    bins: Tensor
    base: Tensor
    tail: Tensor

    def __init__(self, offline: BandNoise) -> None:
        super().__init__()
        self.hop_length, self.voices = offline.hop_length, 1
        square = offline.scale**2
        keep(self, shares=offline.shares * square, least=torch.full([1], 1e-20 * square))
        keep(self, window=offline.window, bins=offline.bins)
        self.register_buffer("base", torch.zeros(0))
        self.register_buffer("tail", torch.zeros(0))
        self.start(1)

    def forward(self, powers: Tensor, number: int) -> Tensor:
        frames = powers.size(0) // self.voices
        drawn = self.base + number * 12.9898
        if frames > 1:
            later = torch.arange(frames, dtype=torch.float64) * 12.9898
            drawn = (later[:, None, None] + drawn).flatten(0, 1)
        turns = torch.frac(torch.sin(drawn) * 43758.5453)  # the sign is nothing to a phase
        angle = (turns * (2.0 * math.pi)).to(torch.float32)
        gain = torch.sqrt(torch.addmm(self.least, powers, self.shares))
        pieces = torch.fft.irfft(torch.polar(gain, angle), 2 * self.hop_length, 1) * self.window
        if frames == 1:
            sound = (pieces[:, : self.hop_length] + self.tail).unsqueeze(1)
            self.tail = pieces[:, self.hop_length :]
            return sound
        pieces = pieces.view(frames, self.voices, -1)
        starts, ends = pieces[:, :, : self.hop_length], pieces[:, :, self.hop_length :]
        sound = starts + torch.cat([self.tail.unsqueeze(0), ends[:-1]])
        self.tail = ends[-1]
        return sound.transpose(0, 1)

    def start(self, voices: int) -> None:
        self.voices = voices
        voice = torch.arange(voices)[:, None]  # whole: the product is of float32, as offline
        self.base = voice * 37.719 + self.bins * 78.233 + 1.0
        self.tail = torch.zeros(voices, self.hop_length)


class StreamingWavetable(nn.Module):
    """Twin of Wavetable: amplitudes (F * B, 1 + partials), frequency (F * B, 1) cycles a sample -> (B, F, hop_length).

    A period is the inverse transform of its partials, which costs less than the matrix of their sines.
    """

    spectrum: Tensor
    rise: Tensor
    bent: Tensor
    straight: Tensor
    table: Tensor
    frequency: Tensor
    phase: Tensor

    def __init__(self, offline: Wavetable) -> None:
        super().__init__()
        self.hop_length, self.length, self.voices = offline.hop_length, offline.length, 1
        count = len(offline.sines)
        spectra = torch.fft.rfft(offline.sines.double(), dim=1)  # partial k has only bin k
        own = spectra[torch.arange(count), torch.arange(1, count + 1)]
        spectrum = torch.cat([own.new_zeros(1), own])
        keep(self, spectrum=torch.view_as_real(spectrum).float(), rise=offline.rise)
        keep(self, bent=offline.bent, straight=offline.straight)
        self.begun = False
        for name in ("table", "frequency", "phase"):
            self.register_buffer(name, torch.zeros(0))
        self.start(1)

    def forward(self, amplitudes: Tensor, frequency: Tensor) -> Tensor:
        voices, frames = self.voices, amplitudes.size(0) // self.voices
        spectra = torch.view_as_complex(amplitudes.unsqueeze(2) * self.spectrum)
        tables = torch.fft.irfft(spectra, self.length, 1)  # (F * B, length)
        frequency = frequency.view(frames, voices).t()  # (B, F)
        if not self.begun:
            self.begun = True
            self.frequency = frequency[:, :1]
        earlier, starts, olds = self.frequency, self.phase, self.table
        if frames > 1:
            earlier = torch.cat([earlier, frequency[:, :-1]], 1)
            hop = float(self.hop_length)
            gained = torch.cumsum(earlier * (0.5 * (hop - 1.0)) + frequency * (0.5 * (hop + 1.0)), 1)
            starts = torch.cat([starts, starts + gained[:, :-1]], 1)
            olds = torch.cat([olds, tables[: tables.size(0) - voices]])
        turns = starts.unsqueeze(2) + earlier.unsqueeze(2) * self.straight
        turns = torch.addcmul(turns, frequency.unsqueeze(2), self.bent)  # (B, F, hop_length)
        self.phase, self.frequency = torch.frac(turns[:, -1:, -1]), frequency[:, -1:]
        self.table = tables[tables.size(0) - voices :]
        place = torch.frac(turns).mul_(self.length)
        first = place.long()
        part = torch.frac(place).to(torch.float32).unsqueeze(2)
        both = torch.stack([olds, tables], 1).view(frames, voices, 2, self.length).transpose(0, 1)
        first = first.unsqueeze(2).expand(-1, -1, 2, -1)
        second = torch.bitwise_and(first + 1, self.length - 1)
        read = torch.lerp(both.gather(3, first), both.gather(3, second), part)  # (B, F, 2, hop_length)
        return torch.lerp(read[:, :, 0], read[:, :, 1], self.rise)

    def start(self, voices: int) -> None:
        self.voices, self.begun = voices, False
        self.table = torch.zeros(voices, self.length)
        self.frequency = torch.zeros(voices, 1, dtype=torch.float64)
        self.phase = torch.zeros(voices, 1, dtype=torch.float64)


class StreamingCarriers(nn.Module):
    """Twin of Carriers: amplitudes (F * B, carriers) -> (B, F, hop_length)."""

    before: Tensor

    def __init__(self, offline: Carriers) -> None:
        super().__init__()
        self.offline, self.voices = copy.deepcopy(offline), 1
        self.register_buffer("before", torch.zeros(1, len(offline.frequency)))

    def forward(self, amplitudes: Tensor, number: int) -> Tensor:
        rows = from_rows(amplitudes, self.voices)
        frame = torch.full([self.voices], float(number), dtype=torch.float64)
        sound, self.before = self.offline(rows, self.before, frame)
        return sound.view(rows.size(0), rows.size(1), -1)

    def start(self, voices: int) -> None:
        self.voices = voices
        self.before = torch.zeros(voices, self.before.size(1))


class StreamingSynthesis(nn.Module):
    """Twin of PowerShares and Synthesis: the network's output rows, pitch (MIDI, float64) and loudness (dB), both
    (F * B, 1) -> sound (B, 1, F x hop_length)."""

    tents: Tensor
    before: Tensor

    def __init__(self, shares: PowerShares, synthesis: Synthesis) -> None:
        super().__init__()
        self.shares = StreamingShares(shares)
        self.noise = StreamingNoise(synthesis.noise)
        table, dense = synthesis.wavetable, synthesis.carriers
        self.wavetable = None if table is None else StreamingWavetable(table)
        self.carriers = None if dense is None else StreamingCarriers(dense)
        self.sample_rate, self.quietest = synthesis.sample_rate, synthesis.quietest
        self.per_move, self.curve_db = -1.0 / synthesis.curve_move_db, synthesis.curve_db
        self.voices = 1
        keep(self, tents=synthesis.tents * (math.log(10.0) / 20.0))
        self.register_buffer("before", torch.full([1, 1], self.quietest))

    def forward(self, out: Tensor, pitch: Tensor, loudness: Tensor, number: int) -> Tensor:
        level = (torch.exp(loudness * (math.log(10.0) / 20.0)) - 1e-5).clamp_min(0.0)
        hz = torch.exp2((pitch - 69.0) / 12.0) * 440.0
        amplitudes, powers, dense, curve = self.shares(out, hz.to(torch.float32), level)
        sound = self.noise(powers, number)
        if self.wavetable is not None:
            sound = sound + self.wavetable(amplitudes, hz / self.sample_rate)
        if self.carriers is not None:
            sound = sound + self.carriers(dense, number)
        earlier = self.before
        if loudness.size(0) > self.voices:
            earlier = torch.cat([earlier, loudness[: loudness.size(0) - self.voices]])
        self.before = loudness[loudness.size(0) - self.voices :]
        if not torch.equal(earlier, loudness):  # a loudness that rests leaves the gain at 1
            sound = sound * from_rows(self._gain(curve, loudness - earlier), self.voices)
        return sound.clamp(-1.0, 1.0).reshape(self.voices, 1, -1)

    def _gain(self, curve: Tensor, move: Tensor) -> Tensor:
        """Shape (R, points) and how far the loudness moved (R, 1) -> (R, hop_length)."""
        moved = 1.0 - torch.exp(move.abs() * self.per_move)
        return torch.exp(torch.tanh(curve) * (moved * self.curve_db) @ self.tents)

    def start(self, voices: int) -> None:
        self.voices = voices
        self.before = torch.full([voices, 1], self.quietest)
        self.noise.start(voices)
        if self.wavetable is not None:
            self.wavetable.start(voices)
        if self.carriers is not None:
            self.carriers.start(voices)
