"""wavevae.transfer in a stream: an input's latents are moved towards the corpus by the statistics of its past.

They are those of wavevae/transfer.py, over a memory of MEMORY_S, and begin as the corpus' own. Frames count one by one,
so that blocks of any size give the same.

No `from __future__ import annotations` here: TorchScript reads the annotations.
"""

import numpy as np
import torch
from torch import Tensor

from wavevae.corpus_profile import (
    LOUD_RANGE_DB,
    LOUDEST_PERCENTILE,
    PITCH_BODY,
    PITCH_RANGE,
    QUANTILES,
    SILENCE_DB,
    VOICED_PERIODICITY,
    CorpusProfile,
)
from wavevae.model_config import LOWEST_LOUDNESS
from wavevae.transfer import (
    CROSSING_SEMITONES,
    CROSSING_WITHIN_TONE,
    MARGIN_SEMITONES,
    MOST_WIDENING,
    OCTAVE_WORTH,
    SLOPES,
    TONE_JUMP,
)

from .layers import StreamingLayer, keep

MEMORY_S = 10.0
LOUDNESS_BINS, PITCH_BINS = (-100.0, 112), (-24.0, 172)
"""Lowest edge, and how many bins: of 1 dB, of a semitone."""
LEARN_FRAMES = 8
"""After so many the map is made anew."""
HYSTERESIS_SEMITONES = 2.0
"""By which other octaves must be better before they are chosen."""
PERIODIC = 0.5
"""From this periodicity on a loud frame belongs to a tone."""
PRIOR_S = 1.0
"""Weight of the corpus' own statistics before the first frame."""


def histogram(knots: tuple[float, ...], shares: np.ndarray, lowest: float, count: int) -> Tensor:
    """(count,) of a distribution that reaches `shares` at `knots`."""
    edges = lowest + np.arange(count + 1)
    below = np.interp(edges, knots, shares, left=0.0, right=1.0)
    return torch.tensor(np.maximum(np.diff(below), 0.0) / max(below[-1] - below[0], 1e-9)).float()


class StreamingFit(StreamingLayer):
    """Latents of an input (B, latents, F), in the profile's units -> the same, fitted."""

    def __init__(self, profile: CorpusProfile) -> None:
        super().__init__()
        self.number, self.every = 0, LEARN_FRAMES
        self.pitched, self.at, self.first = (
            profile.has_pitch and bool(profile.pitch),
            profile.axis_names.index("loudness"),
            profile.controls,
        )
        rate = profile.frame_rate
        self.memory, self.prior = MEMORY_S * rate, PRIOR_S * rate
        self.silence, self.loud_range, self.loudest = SILENCE_DB, LOUD_RANGE_DB, LOUDEST_PERCENTILE / 100.0
        self.voiced, self.hysteresis, self.widest = VOICED_PERIODICITY, HYSTERESIS_SEMITONES, MOST_WIDENING
        self.slopes, self.floor = SLOPES, LOWEST_LOUDNESS
        self.worth, self.margin = OCTAVE_WORTH, MARGIN_SEMITONES
        self.crossing, self.crossing_within, self.jump = CROSSING_SEMITONES, CROSSING_WITHIN_TONE, TONE_JUMP
        self.periodic = PERIODIC
        self.loudness_from, self.pitch_from = LOUDNESS_BINS[0], PITCH_BINS[0]
        shares = (np.arange(QUANTILES) + 0.5) / QUANTILES
        pitch = profile.pitch if self.pitched else (0.0, 60.0, 120.0)
        learned = slice(self.first, None)
        keep(
            self,
            first_loudness=histogram(profile.loudness, shares, *LOUDNESS_BINS),
            first_pitch=histogram(pitch, np.array(PITCH_RANGE), *PITCH_BINS),
            corpus_mean=torch.tensor(profile.mean[learned]),
            corpus_std=torch.tensor(profile.std[learned]),
            low=torch.tensor(profile.low[self.at + 1 :]),
            high=torch.tensor(profile.high[self.at + 1 :]),
            wanted=torch.tensor(profile.loudness),
            shares=torch.tensor(shares).float(),
            points=torch.tensor(PITCH_BODY),
            octaves=12.0 * torch.tensor(sorted(range(-12, 13), key=abs)),
            reach=torch.tensor([pitch[0], pitch[-1]]),
        )
        for name in (
            "loudness",
            "pitch",
            "mean",
            "variance",
            "n_audible",
            "n_loud",
            "n_voiced",
            "shift",
            "wanted_shift",
            "fold",
            "rested",
            "before",
            "limit",
            "x",
            "y",
        ):
            self.register_buffer(name, torch.zeros(0))
        self.start(1)

    def start(self, voices: int) -> None:
        self.loudness = self.first_loudness.repeat(voices, 1)
        self.pitch = self.first_pitch.repeat(voices, 1)
        self.mean = self.corpus_mean.repeat(voices, 1)
        self.variance = self.corpus_std.square().repeat(voices, 1)
        self.n_audible = torch.full([voices], self.prior)
        self.n_loud, self.n_voiced = self.n_audible.clone(), self.n_audible.clone()
        self.shift, self.wanted_shift = torch.zeros(voices), torch.zeros(voices)
        self.fold, self.before = torch.zeros(voices), torch.zeros(voices)
        self.rested = self.fold == 0.0
        self.number = 0

    def forward(self, z: Tensor, transposing: bool, fit: float) -> Tensor:
        frames: list[Tensor] = []
        for n in range(z.size(2)):
            one = z[:, :, n]
            if self.number % self.every == 0:
                self._update_map()
            self.number += 1
            self._count_frame(one)
            moved = one
            if fit > 0.0:
                moved = one + fit * (self._fitted(one) - one)
            if transposing and self.pitched:
                moved = torch.cat([self._transposed(one), moved[:, 1:]], 1)
            frames.append(moved)
        return torch.stack(frames, 2)

    def _count(self, count: Tensor, counted: Tensor) -> tuple[Tensor, Tensor]:
        """How many frames have counted, and the weight of this one among them (B, 1)."""
        count = count + counted
        return count, (counted / count.clamp_max(self.memory))[:, None]

    def _count_frame(self, z: Tensor) -> None:
        level = z[:, self.at]
        audible = level > self.silence
        self.n_audible, weight = self._count(self.n_audible, audible)
        self.loudness = self._binned(self.loudness, level - self.loudness_from, weight)
        loud = audible & (level >= self.limit[:, 0])
        self.n_loud, weight = self._count(self.n_loud, loud)
        learned = z[:, self.first :]
        self.mean = self.mean + weight * (learned - self.mean)
        self.variance = self.variance + weight * ((learned - self.mean).square() - self.variance)
        if self.pitched:
            self.n_voiced, weight = self._count(self.n_voiced, loud & (z[:, self.at + 1] >= self.voiced))
            self.pitch = self._binned(self.pitch, z[:, 0] - self.pitch_from, weight)

    def _update_map(self) -> None:
        """The limit of loud frames, the knots of the loudness map and the octaves, from the past."""
        loudest = self._quantiles(self.loudness, self.shares.new_full([1], self.loudest), self.loudness_from)
        self.limit = (loudest - self.loud_range).clamp_min(self.silence)
        edges = self.loudness_from + torch.arange(self.loudness.size(1))
        x = self._quantiles(self.loudness * (edges >= self.limit), self.shares, self.loudness_from)
        step = (x[:, 1:] - x[:, :-1]).clamp_min(1e-6)
        rise = self.wanted[1:] - self.wanted[:-1]
        rise = torch.minimum(torch.maximum(rise, self.slopes[0] * step), self.slopes[1] * step)
        way = torch.cat([torch.zeros_like(x[:, :1]), torch.cumsum(rise, 1)], 1)
        middle = x.size(1) // 2
        self.x, self.y = x.contiguous(), way - way[:, middle : middle + 1] + self.wanted[middle]
        if self.pitched:
            self.wanted_shift = self._transposition()

    def _binned(self, bins: Tensor, place: Tensor, weight: Tensor) -> Tensor:
        at = place.floor().clamp(0.0, bins.size(1) - 1.0).long()[:, None]
        return (bins * (1.0 - weight)).scatter_add(1, at, weight)

    def _quantiles(self, bins: Tensor, shares: Tensor, lowest: float) -> Tensor:
        """(B, shares) within the bins on lines."""
        below = torch.cumsum(bins, 1)
        wanted = (shares * below[:, -1:]).contiguous()
        at = torch.searchsorted(below, wanted).clamp_max(bins.size(1) - 1)
        here = bins.gather(1, at)
        part = 1.0 - (below.gather(1, at) - wanted) / here.clamp_min(1e-9)
        return lowest + at + part.clamp(0.0, 1.0)

    def _fitted(self, z: Tensor) -> Tensor:
        """What fit 1 gives."""
        ratio = (self.corpus_std / self.variance.sqrt().clamp_min(1e-9)).clamp_max(self.widest)
        learned = self.corpus_mean + ratio * (z[:, self.first :] - self.mean)
        others = torch.cat([z[:, self.at + 1 : self.first], learned], 1)
        others = torch.minimum(torch.maximum(others, self.low), self.high)
        return torch.cat([z[:, : self.at], self._map_loudness(z[:, self.at : self.at + 1]), others], 1)

    def _map_loudness(self, level: Tensor) -> Tensor:
        """LoudnessMap (B, 1) dB."""
        x, y = self.x, self.y
        at = torch.searchsorted(x, level.contiguous()).clamp(1, x.size(1) - 1) - 1
        first = x.gather(1, at)
        part = ((level - first) / (x.gather(1, at + 1) - first).clamp_min(1e-6)).clamp(0.0, 1.0)
        mapped = torch.lerp(y.gather(1, at), y.gather(1, at + 1), part)
        mapped = mapped + (level - x[:, :1]).clamp_max(0.0) + (level - x[:, -1:]).clamp_min(0.0)
        below = x[:, -1:] - level
        floor = y[:, -1:] - below + (self.loud_range - below).clamp_min(0.0)
        quiet = level + (5.0 * (level - self.silence + 10.0)).clamp_min(0.0)
        return torch.maximum(torch.minimum(torch.minimum(mapped, floor), quiet), level.clamp_max(self.floor))

    def _transposition(self) -> Tensor:
        """(B,) whole octaves, as `whole_octaves` has them; others must be better by HYSTERESIS_SEMITONES."""
        ends = self._quantiles(self.pitch, self.points, self.pitch_from)  # (B, 2)
        low, high = ends[:, :1], ends[:, 1:]
        costs = (
            self._semitones_beyond(low + self.octaves, high + self.octaves)
            + self.worth / 12.0 * self.octaves.abs()
        )
        shift = self.wanted_shift[:, None]
        now = self._semitones_beyond(low + shift, high + shift) + self.worth / 12.0 * shift.abs()
        least, index = torch.min(costs, 1)
        return torch.where(now[:, 0] > least + self.hysteresis, self.octaves[index], self.wanted_shift)

    def _semitones_beyond(self, low: Tensor, high: Tensor) -> Tensor:
        """Semitones that a range goes beyond the corpus'."""
        return (self.reach[0] - low).clamp_min(0.0) + (high - self.reach[1]).clamp_min(0.0)

    def _transposed(self, z: Tensor) -> Tensor:
        """The pitch (B, 1) by whole octaves into the corpus' range. They change between tones; within one only a
        pitch that is CROSSING_WITHIN_TONE better elsewhere makes them."""
        pitch = z[:, :1]
        rests = (z[:, self.at] < self.limit[:, 0]) | (z[:, self.at + 1] < self.periodic)
        begins = self.rested | rests | ((pitch[:, 0] - self.before).abs() > self.jump)
        self.rested, self.before = rests, pitch[:, 0]
        self.shift = torch.where(begins, self.wanted_shift, self.shift)
        shifted = pitch + self.shift[:, None]
        costs = self._transposition_cost(shifted, self.octaves)  # (B, octaves)
        least, index = torch.min(costs, 1)
        worse = self._transposition_cost(shifted, self.fold[:, None])[:, 0] - least
        leave = (worse > self.crossing_within) | (begins & (worse > self.crossing))
        self.fold = torch.where(leave, self.octaves[index], self.fold)
        return shifted + self.fold[:, None]

    def _transposition_cost(self, pitch: Tensor, semitones: Tensor) -> Tensor:
        """Semitones beyond the corpus' range after a move, and what the move itself costs."""
        after = pitch + semitones
        return self._semitones_beyond(after, after) + self.margin / 12.0 * semitones.abs()
