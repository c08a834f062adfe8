"""From a decoder network's output to sound: shares of power, oscillators and noise, the drift of a held tone.

Everything that lasts from frame to frame is passed in and given back, so that training, an offline render and a stream
of blocks are the same code.

No `from __future__ import annotations` here: TorchScript reads the annotations.
"""

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from wavevae.model_config import ModelConfig
from wavevae.nn.noise import BandNoise, random_turns
from wavevae.nn.oscillators import TABLE_LENGTH, Carriers, Wavetable

CARRIERS_LOWEST_HZ, CARRIERS_HIGHEST = 50.0, 0.47
"""Range of the dense carriers: Hz, and a share of the sample rate."""
CURVE_POINTS = 7
"""Of the gain within a hop, between its ends."""
CURVE_DB = 24.0
"""The most by which it may raise or lower."""
CURVE_MOVE_DB = 6.0
"""A loudness that moves by so much a frame opens most of it; where loudness rests there is none."""
LIFE_FRAMES = (18.0, 5.0)
"""Between the knots of the drift of a held tone, frames of 86 a second: slow, and a bit faster."""
LIFE_WAIT_FRAMES, LIFE_RAMP_FRAMES = 3.0, 12.0
"""After which a control counts as come to rest, and in which the drift then comes in."""
LIFE_STILL = 1e-4
"""What moves less in a frame is held: the last digits differ from one cut of a stream to another."""


def mel_points(count: int, lowest_hz: float, highest_hz: float) -> Tensor:
    """(count,) frequencies evenly spaced on the mel scale (O'Shaughnessy 1987), Hz."""
    mels = [2595 * math.log10(1 + hz / 700) for hz in (lowest_hz, highest_hz)]
    return 700 * (10 ** (torch.linspace(mels[0], mels[1], count, dtype=torch.float64) / 2595) - 1)


def noise_points(count: int, hop_length: int, sample_rate: int) -> Tensor:
    """(count,) centres of the noise bands, Hz: mel-spaced, but a bin of a frame's spectrum apart at the bottom, since a
    band between two bins would have no power to give."""
    bin_hz = sample_rate / (2 * hop_length)
    for linear in range(count - 1):
        upper = mel_points(count - linear, (1 + linear) * bin_hz, sample_rate / 2)
        if float(upper[1] - upper[0]) >= bin_hz:
            break
    return torch.cat([bin_hz * torch.arange(1, 1 + linear, dtype=torch.float64), upper])


def triangles(centres_hz: Tensor, bins: int, sample_rate: int) -> Tensor:
    """(bands, bins): each bin's share in its two neighbouring bands; every column sums to 1."""
    frequency = torch.linspace(0, sample_rate / 2, bins, dtype=torch.float64)
    above = torch.searchsorted(centres_hz, frequency).clamp(1, len(centres_hz) - 1)
    low, high = centres_hz[above - 1], centres_hz[above]
    share = ((frequency - low) / (high - low)).clamp(0, 1)
    weights = torch.zeros(len(centres_hz), bins, dtype=torch.float64)
    weights.scatter_(0, (above - 1)[None], (1 - share)[None])
    weights.scatter_(0, above[None], share[None])
    return weights


class Shares(NamedTuple):
    """How the power of a frame is made up: log shares, each (B, n, F); together they sum to 1 in power."""

    partials: Tensor
    noise: Tensor
    carriers: Tensor
    curve: Tensor
    """(B, CURVE_POINTS, F), -1 to 1: shape of the gain within the hop, for attacks."""


class PowerShares(nn.Module):
    """The decoder network's output -> Shares.

    A partial's log power is that of its number (what makes a clarinet) plus that of an envelope over frequency (what
    makes a vowel), so that a timbre stays one at another pitch. Partials near half the sample rate fade out; the last
    to go is the first, whose fade is not made up for by the others.
    """

    points: Tensor

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        harmonic = config.has_oscillator_pitch
        self.partials = config.partials if harmonic else 0
        self.envelope = config.envelope_bands if harmonic else 0
        self.noise = config.noise_bands
        self.carriers = config.carriers if config.oscillators in ("dense", "both") else 0
        self.curve = CURVE_POINTS
        self.channels = self.partials + self.envelope + self.noise + self.carriers + self.curve
        self.half_rate = config.sample_rate / 2.0
        points = mel_points(max(2, self.envelope), 40.0, self.half_rate)
        self.register_buffer("points", points.float(), persistent=False)

    def forward(self, out: Tensor, hz: Tensor) -> Shares:
        """(B, channels, F) and the pitch (B, 1, F) in Hz."""
        first = self.partials + self.envelope
        noise = out[:, first : first + self.noise]
        carriers = out[:, first + self.noise : self.channels - self.curve]
        curve = torch.tanh(out[:, self.channels - self.curve :])
        if self.partials == 0:
            log = torch.log_softmax(torch.cat([noise, carriers], 1), 1)
            return Shares(log[:, :0], log[:, : self.noise], log[:, self.noise :], curve)
        number = torch.arange(1, self.partials + 1, device=out.device, dtype=hz.dtype)
        frequency = hz * number[:, None]  # (B, partials, F)
        at = torch.searchsorted(self.points, frequency.contiguous()).clamp(1, self.envelope - 1)
        low, high = self.points[at - 1], self.points[at]
        share = ((frequency - low) / (high - low)).clamp(0.0, 1.0)
        envelope = out[:, self.partials : self.partials + self.envelope]
        heights = torch.lerp(envelope.gather(1, at - 1), envelope.gather(1, at), share)
        fade = F.logsigmoid((0.96 * self.half_rate - frequency) * (90.0 / self.half_rate))
        power = out[:, : self.partials] + heights
        power = torch.cat([power[:, :1], power[:, 1:] + fade[:, 1:]], 1)
        log = torch.log_softmax(torch.cat([power, noise, carriers], 1), 1)
        partials = torch.cat([log[:, :1] + fade[:, :1], log[:, 1 : self.partials]], 1)
        silent = frequency >= self.half_rate
        partials = partials.masked_fill(silent, -100.0)
        noise, carriers = log[:, self.partials :].split([self.noise, self.carriers], 1)
        return Shares(partials, noise, carriers, curve)


class SynthesisState(NamedTuple):
    """State of a stream of frames from one call to the next."""

    table: Tensor
    """(B, TABLE_LENGTH) period of the last frame."""
    frequency: Tensor
    """(B,) float64, cycles a sample; below 0 before the first frame."""
    phase: Tensor
    """(B,) float64, whole turns."""
    tail: Tensor
    """(B, hop_length) end of the last frame's noise."""
    carriers: Tensor
    """(B, carriers) amplitudes of the last frame."""
    loudness: Tensor
    """(B,) dB of the last frame."""
    frame: Tensor
    """(B,) float64, number of the next frame."""


def tents(points: int, hop_length: int) -> Tensor:
    """(points, hop_length) of straight lines through points evenly spaced within a hop, zero at its ends."""
    place = torch.arange(1, hop_length + 1, dtype=torch.float64) / hop_length * (points + 1)
    return (1.0 - (place - torch.arange(1, points + 1)[:, None]).abs()).clamp_min(0.0).float()


class Synthesis(nn.Module):
    """Shares, pitch and loudness of frames -> sound, and the state for the next call."""

    tents: Tensor

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        rate, hop = config.sample_rate, config.hop_length
        self.hop_length, self.sample_rate = hop, float(rate)
        self.table_length, self.quietest = TABLE_LENGTH, -100.0
        self.curve_db, self.curve_move_db = CURVE_DB, CURVE_MOVE_DB
        self.register_buffer("tents", tents(CURVE_POINTS, hop), persistent=False)
        self.wavetable = Wavetable(config.partials, hop) if config.has_oscillator_pitch else None
        bands = triangles(noise_points(config.noise_bands, hop, rate), hop + 1, rate)
        bands[:, 0] = bands[:, -1] = 0.0  # a real spectrum has no phase there
        self.noise = BandNoise(bands / bands.sum(1, keepdim=True).clamp_min(1e-9), hop)
        dense = config.oscillators in ("dense", "both")
        self.n_carriers = config.carriers if dense else 0
        span = (CARRIERS_LOWEST_HZ, config.carriers_highest_hz or CARRIERS_HIGHEST * rate)
        self.carriers = Carriers(config.carriers, hop, rate, *span) if dense else None

    @torch.jit.export
    def initial(self, voices: int, like: Tensor) -> SynthesisState:
        """Before the first frame: silence."""
        double = torch.zeros(voices, dtype=torch.float64, device=like.device)
        length = self.table_length if self.wavetable is not None else 0
        return SynthesisState(
            torch.zeros(voices, length, device=like.device),
            double - 1.0,
            double,
            torch.zeros(voices, self.hop_length, device=like.device),
            torch.zeros(voices, self.n_carriers, device=like.device),
            torch.full((voices,), self.quietest, device=like.device),
            double,
        )

    def forward(
        self, shares: Shares, hz: Tensor, loudness: Tensor, state: SynthesisState
    ) -> tuple[Tensor, SynthesisState]:
        """hz (float64) and loudness (B, 1, F) -> (B, 1, F x hop_length)."""
        frames = loudness.size(2)
        level = (torch.pow(10.0, loudness * 0.05) - 1e-5).clamp_min(
            0.0
        )  # RMS; the lowest loudness is silence
        size = (level * math.sqrt(2.0)).transpose(1, 2)  # amplitude of a sine of that RMS
        power = level.square().transpose(1, 2)
        sound, tail = self.noise(torch.exp(shares.noise).transpose(1, 2) * power, state.tail, state.frame)
        table, frequency, phase, carriers = state.table, state.frequency, state.phase, state.carriers
        if self.wavetable is not None:
            cycles = hz[:, 0].to(torch.float64) / self.sample_rate
            before = torch.where(frequency < 0.0, cycles[:, 0], frequency)
            amplitudes = torch.exp(0.5 * shares.partials).transpose(1, 2) * size
            tone, table, frequency, phase = self.wavetable(amplitudes, cycles, table, before, phase)
            sound = sound + tone
        if self.carriers is not None:
            amplitudes = torch.exp(0.5 * shares.carriers).transpose(1, 2) * size
            dense, carriers = self.carriers(amplitudes, carriers, state.frame)
            sound = sound + dense
        sound = sound * self.gain(shares.curve, loudness[:, 0], state.loudness)
        after = SynthesisState(
            table, frequency, phase, tail, carriers, loudness[:, 0, frames - 1], state.frame + frames
        )
        return sound.unsqueeze(1), after

    def gain(self, curve: Tensor, loudness: Tensor, before: Tensor) -> Tensor:
        """The gain within hops (B, F x hop_length), 1 at their ends; 1 throughout where the loudness (B, F) rests, so
        that a held tone has no rhythm of hops."""
        earlier = torch.cat([before.unsqueeze(1), loudness[:, : loudness.size(1) - 1]], 1)
        moved = 1.0 - torch.exp(-(loudness - earlier).abs() / self.curve_move_db)
        decibels = torch.matmul(curve.transpose(1, 2) * (self.curve_db * moved.unsqueeze(2)), self.tents)
        return torch.exp(decibels * (math.log(10.0) / 20.0)).flatten(1)


class LifeState(NamedTuple):
    """State of the drift."""

    latents: Tensor
    """(B, latents) of the last frame; NaN before the first."""
    rested: Tensor
    """(B, latents) frames since each moved."""
    frame: Tensor
    """(B,) float64, number of the next frame."""


class Life(nn.Module):
    """Slow random drift of latents that are held still, as wide as real sustains drift; what moves is left alone.

    The drift is a smooth curve through random knots that follow from the frame number, so that it is the same offline
    and in a stream. It comes in over LIFE_RAMP_FRAMES after a control has come to rest.
    """

    spread: Tensor

    def __init__(self, latents: int, frame_rate: float) -> None:
        super().__init__()
        self.register_buffer("spread", torch.zeros(latents))
        """(latents,) standard deviation of the drift at life 1, in the latents' units."""
        self.slow, self.fast = (frames * frame_rate / 86.0 for frames in LIFE_FRAMES)
        self.wait, self.ramp = (frames * frame_rate / 86.0 for frames in (LIFE_WAIT_FRAMES, LIFE_RAMP_FRAMES))
        self.still = LIFE_STILL

    @torch.jit.export
    def initial(self, voices: int, like: Tensor) -> LifeState:
        """Nothing has been held yet."""
        none = torch.full((voices, self.spread.size(0)), float("nan"), device=like.device)
        return LifeState(
            none, torch.zeros_like(none), torch.zeros(voices, dtype=torch.float64, device=like.device)
        )

    def forward(self, z: Tensor, life: float, state: LifeState) -> tuple[Tensor, LifeState]:
        """(B, latents, F) -> the same, moved; the new state."""
        frames = z.size(2)
        joined = torch.cat([state.latents.unsqueeze(2).to(z.dtype), z], 2)
        moved = ((joined[..., 1:] - joined[..., :-1]).abs() <= self.still).logical_not()  # NaN: moved
        count = torch.arange(1, frames + 1, device=z.device, dtype=z.dtype)
        marks = torch.where(moved, count, -state.rested.unsqueeze(2).to(z.dtype))
        rested = count - torch.cummax(marks, 2)[0]  # (B, latents, F) frames since the last move
        number = state.frame.unsqueeze(1) + torch.arange(frames, device=z.device)
        after = LifeState(z[..., -1], rested[..., -1], state.frame + frames)
        if life == 0.0:
            return z, after
        gate = ((rested - self.wait) / self.ramp).clamp(0.0, 1.0)
        drift = 0.8 * self._curve(number, self.slow, 1.0) + 0.6 * self._curve(number, self.fast, 2.0)
        return z + life * gate * self.spread[:, None] * drift.to(z.dtype), after

    def _curve(self, number: Tensor, every: float, kind: float) -> Tensor:
        """Smooth random curve of unit variance, (B, latents, F) at frame numbers (B, F)."""
        place = (number / every).unsqueeze(1)
        knot = torch.floor(place)
        share = place - knot
        share = share * share * (3.0 - 2.0 * share)
        row = torch.arange(self.spread.size(0), dtype=torch.float32, device=number.device)[None, :, None]
        row = row + 100.0 * kind
        voice = torch.arange(number.size(0), dtype=torch.float32, device=number.device)[:, None, None]
        first = random_turns(knot, voice, row)
        second = random_turns(knot + 1.0, voice, row)
        return (torch.lerp(first, second, share) - 0.5) * 4.0
