"""Streaming twins of wavevae.nn.synthesizer: the same sums in fewer calls, since for one frame calls are what costs.

Rows are the frames of all voices, time first: (F * B, n). All voices start together, so that the frame number is one
number for all; phases and frequencies are a voice's own.

No `from __future__ import annotations` here: TorchScript reads the annotations.
"""

import copy
import math

import torch
import torch.nn.functional as F
from torch import Tensor

from wavevae.nn.noise import BandNoise, random_turns
from wavevae.nn.oscillators import Carriers, Wavetable
from wavevae.nn.synthesizer import Life, LifeState, PowerShares, Synthesis

from .layers import StreamingLayer, from_rows, keep


def with_row(rows: Tensor, row: int, value: float) -> Tensor:
    """A copy in which one row has this value."""
    changed = rows.clone()
    changed[row].fill_(value)
    return changed


class StreamingLife(StreamingLayer):
    """Twin of Life: rows (F * B, latents) -> the same, moved."""

    held: Tensor
    rested: Tensor

    def __init__(self, offline: Life) -> None:
        super().__init__()
        self.offline = copy.deepcopy(offline)
        self.slow, self.fast = offline.slow, offline.fast
        keep(self, still=torch.tensor([offline.still]), one=torch.ones(1))
        keep(
            self,
            per_ramp=torch.tensor([1.0 / offline.ramp]),
            lead=torch.tensor([-offline.wait / offline.ramp]),
        )
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
        self.rested = (self.rested + self.one).mul_(resting)
        if life == 0.0:
            return z
        gate = torch.addcmul(self.lead, self.rested, self.per_ramp).clamp_(0.0, 1.0)
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
        frame = torch.zeros([voices], dtype=torch.float64) + number
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

    def restart(self, voice: int) -> None:
        self.held, self.rested = with_row(self.held, voice, math.nan), with_row(self.rested, voice, 0.0)


class StreamingShares(StreamingLayer):
    """Twin of PowerShares, times the level: the network's output rows, pitch (Hz) and level (RMS) -> amplitudes of the
    partials, powers of the noise bands, amplitudes of the carriers, shape of the gain.

    The outlet's rows are expected with the envelope first, see `outlet_order`.
    """

    def __init__(self, offline: PowerShares) -> None:
        super().__init__()
        self.partials, self.envelope, self.noise = offline.partials, offline.envelope, offline.noise
        self.carriers, self.curve = offline.carriers, offline.curve
        points, half_rate = offline.points, offline.half_rate
        self.range = (float(points[0]), float(points[-1]))
        keep(self, inner=points[1:-1], low=points[:-1], per_width=1.0 / (points[1:] - points[:-1]))
        keep(self, number=torch.arange(1, self.partials + 1, dtype=torch.float32))
        keep(self, first=(self.number == 1).float(), others=(self.number != 1).float())
        keep(self, highest=torch.tensor([half_rate]), root=torch.tensor([2.0]).sqrt())
        keep(self, steep=torch.tensor([-90.0 / half_rate]), middle=torch.tensor([0.96 * 90.0]))

    def outlet_order(self) -> Tensor:
        """Rows of the offline outlet in the order that this wants."""
        rows = torch.arange(self.partials + self.envelope + self.noise + self.carriers + self.curve)
        first = self.partials + self.envelope
        return torch.cat([rows[self.partials : first], rows[: self.partials], rows[first:]])

    def forward(self, out: Tensor, hz: Tensor, level: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """The memory of `out` is used."""
        partials, last, end = self.partials, self.partials + self.noise, out.size(1) - self.curve
        size, power, curve = level * self.root, level * level, out[:, end:]
        if partials == 0:
            shares = torch.softmax(out[:, :end], 1)
            return shares[:, :0], shares[:, :last] * power, torch.sqrt(shares[:, last:]) * size, curve
        frequency = hz * self.number  # (R, partials)
        fade = F.logsigmoid(torch.addcmul(self.middle, frequency, self.steep))
        first = self.envelope + partials
        logs = out[:, self.envelope : first] + torch.addcmul(self._heights(out, frequency), fade, self.others)
        shares = torch.softmax(torch.cat([logs, out[:, first:end]], 1), 1)
        audible = (shares[:, :partials] * torch.exp(fade * self.first)).masked_fill_(
            frequency >= self.highest, 0.0
        )
        amplitudes, noise = torch.sqrt(audible).mul_(size), shares[:, partials:last] * power
        carriers = shares[:, last:]
        if self.carriers > 0:
            carriers = torch.sqrt(carriers) * size
        return amplitudes, noise, carriers, curve

    def _heights(self, out: Tensor, frequency: Tensor) -> Tensor:
        """The envelope between its points, at each partial."""
        envelope = out[:, : self.envelope]
        slope = (envelope[:, 1:] - envelope[:, :-1]) * self.per_width
        within = frequency.clamp(self.range[0], self.range[1])
        at = torch.searchsorted(self.inner, within)
        beyond = within - self.low.index_select(0, at.flatten()).view_as(at)
        return torch.addcmul(envelope.gather(1, at), slope.gather(1, at), beyond)


class StreamingNoise(StreamingLayer):
    """Twin of BandNoise: powers (F * B, bands) -> (B, F, hop_length)."""

    tail: Tensor

    def __init__(self, offline: BandNoise) -> None:
        super().__init__()
        self.hop_length, self.voices = offline.hop_length, 1
        square = offline.scale**2
        keep(self, shares=offline.shares * square, least=torch.full([1], 1e-20 * square))
        keep(self, window=offline.window, bins=offline.bins)
        keep(self, many=torch.tensor([43758.5453], dtype=torch.float64))
        keep(self, turn=torch.tensor([2.0 * math.pi], dtype=torch.float64))
        self.register_buffer("base", torch.zeros(0))
        self.register_buffer("tail", torch.zeros(0))
        self.start(1)

    def forward(self, powers: Tensor, number: int) -> Tensor:
        frames = powers.size(0) // self.voices
        drawn = self.base + number * 12.9898
        if frames > 1:
            later = torch.arange(frames, dtype=torch.float64) * 12.9898
            drawn = (later[:, None, None] + drawn).flatten(0, 1)
        turns = torch.sin(drawn).mul_(self.many).frac_()  # the sign is nothing to a phase
        angle = turns.mul_(self.turn).to(torch.float32)
        gain = torch.sqrt(torch.addmm(self.least, powers, self.shares))
        pieces = self.pieces(gain, angle)
        if frames == 1:
            sound = (pieces[:, : self.hop_length] + self.tail).unsqueeze(1)
            self.tail = pieces[:, self.hop_length :]
            return sound
        pieces = pieces.view(frames, self.voices, -1)
        starts, ends = pieces[:, :, : self.hop_length], pieces[:, :, self.hop_length :]
        sound = starts + torch.cat([self.tail.unsqueeze(0), ends[:-1]])
        self.tail = ends[-1]
        return sound.transpose(0, 1)

    def pieces(self, gain: Tensor, angle: Tensor) -> Tensor:
        """Magnitudes and phases of the bins (R, hop_length + 1) -> windowed noise (R, 2 hop_length)."""
        return torch.fft.irfft(torch.polar(gain, angle), 2 * self.hop_length, 1) * self.window

    def start(self, voices: int) -> None:
        self.voices = voices
        voice = torch.arange(voices)[:, None]  # whole: the product is of float32, as offline
        self.base = voice * 37.719 + self.bins * 78.233 + 1.0
        self.tail = torch.zeros(voices, self.hop_length)

    def restart(self, voice: int) -> None:
        self.tail = with_row(self.tail, voice, 0.0)


class StreamingWavetable(StreamingLayer):
    """Twin of Wavetable: amplitudes (F * B, partials), frequency (F * B, 1) cycles a sample -> (B, F, hop_length)."""

    table: Tensor
    frequency: Tensor
    phase: Tensor

    def __init__(self, offline: Wavetable) -> None:
        super().__init__()
        self.hop_length, self.voices = offline.hop_length, 1
        length = offline.length  # a power of two
        keep(self, length=torch.tensor([length], dtype=torch.float64), rise=offline.rise)
        keep(self, next=torch.arange(1, length + 1) % length, sines=offline.sines)
        keep(self, bent=offline.bent, straight=offline.straight)
        self.fresh = True
        """Some frequency is NaN: that voice begins with its first frame's."""
        for name in ("table", "frequency", "phase"):
            self.register_buffer(name, torch.zeros(0))
        self.start(1)

    def forward(self, amplitudes: Tensor, frequency: Tensor) -> Tensor:
        voices, frames = self.voices, amplitudes.size(0) // self.voices
        tables = torch.mm(amplitudes, self.sines)  # (F * B, length)
        frequency = frequency.view(frames, voices).t()  # (B, F)
        if self.fresh:
            self.fresh = False
            self.frequency = torch.where(torch.isnan(self.frequency), frequency[:, :1], self.frequency)
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
        first, part = place.long(), torch.frac(place).to(torch.float32)
        if frames * voices == 1:
            at = first.flatten()
            both = torch.cat([olds, tables]).index_select(1, torch.cat([at, self.next.index_select(0, at)]))
            read = torch.lerp(both[:, : self.hop_length], both[:, self.hop_length :], part[0])
            return torch.lerp(read[0], read[1], self.rise)[None, None]
        both = torch.stack([olds, tables], 1).view(frames, voices, 2, -1).transpose(0, 1)
        second = self.next[first].unsqueeze(2).expand(-1, -1, 2, -1)
        first = first.unsqueeze(2).expand(-1, -1, 2, -1)
        read = torch.lerp(both.gather(3, first), both.gather(3, second), part.unsqueeze(2))
        return torch.lerp(read[:, :, 0], read[:, :, 1], self.rise)  # (B, F, hop_length)

    def start(self, voices: int) -> None:
        self.voices, self.fresh = voices, True
        self.table = torch.zeros(voices, self.sines.size(1))
        self.frequency = torch.full([voices, 1], math.nan, dtype=torch.float64)
        self.phase = torch.zeros(voices, 1, dtype=torch.float64)

    def restart(self, voice: int) -> None:
        self.fresh = True
        self.table, self.phase = with_row(self.table, voice, 0.0), with_row(self.phase, voice, 0.0)
        self.frequency = with_row(self.frequency, voice, math.nan)


class StreamingCarriers(StreamingLayer):
    """Twin of Carriers: amplitudes (F * B, carriers) -> (B, F, hop_length)."""

    before: Tensor

    def __init__(self, offline: Carriers) -> None:
        super().__init__()
        self.offline, self.voices = copy.deepcopy(offline), 1
        self.register_buffer("before", torch.zeros(1, len(offline.frequency)))

    def forward(self, amplitudes: Tensor, number: int) -> Tensor:
        rows = from_rows(amplitudes, self.voices)
        frame = torch.zeros([self.voices], dtype=torch.float64) + number
        sound, self.before = self.offline(rows, self.before, frame)
        return sound.view(rows.size(0), rows.size(1), -1)

    def start(self, voices: int) -> None:
        self.voices = voices
        self.before = torch.zeros(voices, self.before.size(1))

    def restart(self, voice: int) -> None:
        self.before = with_row(self.before, voice, 0.0)


class StreamingSynthesis(StreamingLayer):
    """Twin of PowerShares and Synthesis: the network's output rows, pitch (MIDI, float64) and loudness (dB), both
    (F * B, 1) -> sound (B, 1, F x hop_length)."""

    before: Tensor

    def __init__(self, shares: PowerShares, synthesis: Synthesis) -> None:
        super().__init__()
        self.shares = StreamingShares(shares)
        self.noise = StreamingNoise(synthesis.noise)
        table, dense = synthesis.wavetable, synthesis.carriers
        self.wavetable = None if table is None else StreamingWavetable(table)
        self.carriers = None if dense is None else StreamingCarriers(dense)
        self.voices, self.quietest = 1, synthesis.quietest
        rate = synthesis.sample_rate
        double = torch.float64
        keep(
            self,
            octave=torch.tensor([1.0 / 12.0], dtype=double),
            sample_rate=torch.tensor([rate], dtype=double),
        )
        keep(self, zero=torch.tensor([math.log2(440.0 / rate) - 69.0 / 12.0], dtype=double))
        keep(self, decibel=torch.tensor([math.log(10.0) / 20.0]), silence=torch.tensor([1e-5]))
        keep(self, per_move=torch.tensor([-1.0 / synthesis.curve_move_db]), one=torch.ones(1))
        keep(self, tents=synthesis.tents * (synthesis.curve_db * math.log(10.0) / 20.0))
        self.register_buffer("before", torch.full([1, 1], self.quietest))

    def forward(self, out: Tensor, pitch: Tensor, loudness: Tensor, number: int) -> Tensor:
        level = (torch.exp(loudness * self.decibel) - self.silence).clamp_min_(0.0)
        frequency = torch.exp2(torch.addcmul(self.zero, pitch, self.octave))  # cycles a sample
        hz = (frequency * self.sample_rate).to(torch.float32)
        amplitudes, powers, dense, curve = self.shares(out, hz, level)
        sound = self.noise(powers, number)
        if self.wavetable is not None:
            sound = sound + self.wavetable(amplitudes, frequency)
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
        moved = self.one - torch.exp(move.abs() * self.per_move)
        return torch.exp(torch.mm(torch.tanh(curve) * moved, self.tents))

    def start(self, voices: int) -> None:
        self.voices = voices
        self.before = torch.full([voices, 1], self.quietest)
        self.noise.start(voices)
        if self.wavetable is not None:
            self.wavetable.start(voices)
        if self.carriers is not None:
            self.carriers.start(voices)

    def restart(self, voice: int) -> None:
        self.before = with_row(self.before, voice, self.quietest)
        self.noise.restart(voice)
        if self.wavetable is not None:
            self.wavetable.restart(voice)
        if self.carriers is not None:
            self.carriers.restart(voice)
