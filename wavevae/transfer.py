"""Foreign sound is fitted to an instrument's corpus: transposed by octaves, its dynamics and timbre made the corpus'.

A `CorpusProfile` says what the latents of a corpus are like. The same figures are taken of an input, and a map from
one to the other is applied to every frame (pitch p, loudness l in dB, learned latent z, `fit` f from 0 to 1):

    p' = p + transposition        and, where it is automatic, strays by octaves into the corpus' range, see `folded`
    l' = l + f (g(l) - l)         g maps the input's loudness quantiles to the corpus', see LoudnessMap
    z' = z + f (clip(M + r (z - m)) - z)   r = S / s, at most MOST_WIDENING; clipped to the corpus' 1 and 99 %

with m, s the mean and standard deviation of the input's loud frames, M, S those of the corpus. The periodicity is
clipped to the corpus' range in the same measure f. At fit 0 only the transposition is left.

In a stream the same figures can be had frame by frame. Per frame with l above -80 dB, a = max(1 / n, 1 / N), n the
number of such frames so far, N the frames of a memory of 10 s, say:

    h <- (1 - a) h + a e(l)       histogram of loudness in bins of 1 dB; its running sum gives the 33 knots, its 99th
                                  percentile less 40 dB the limit of what is loud
    m <- m + a (z - m)            loud frames only, with an n of their own
    v <- v + a ((z - m)^2 - v)    s = sqrt(v)
    q <- (1 - a) q + a e(p)       histogram of pitch in semitones, loud voiced frames, for its quantiles

`folded` needs the frame before; the transposition changes between tones only. Started at the corpus' own figures, as if
some N / 4 frames had passed, a stream begins with no change at all.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wavevae.corpus_profile import (
    LOUD_RANGE_DB,
    QUANTILES,
    SILENCE_DB,
    VOICED_PERIODICITY,
    Array,
    CorpusProfile,
    corpus_profile,
    known_pitch,
)
from wavevae.errors import UserError
from wavevae.model_config import LOWEST_LOUDNESS, LOWEST_PITCH

__all__ = [
    "CorpusProfile",
    "LoudnessMap",
    "corpus_profile",
    "fit_latents",
    "folded",
    "transposition",
    "whole_octaves",
]

MOST_WIDENING = 1.5
"""A learned latent that hardly moves is not blown up to the corpus' whole range."""
SLOPES = (0.25, 1.5)
"""Least and most change of loudness for 1 dB at the input."""
OCTAVE_WORTH = 0.5
"""Semitones: see whole_octaves."""
FOREIGN_DB = 3.0
"""Beyond the corpus' loudness, at which an input counts as foreign."""
MARGIN_SEMITONES = 3.0
"""What a move by an octave costs: frames within so much of the corpus' range are not folded, for a corpus has some of
its own there."""
CROSSING_SEMITONES, CROSSING_WITHIN_TONE = 1.5, 6.0
"""By which other octaves must be better before a new tone leaves those of the one before, and before a tone that glides
does: a vibrato, or a glide that turns back, does not jump."""
TONE_JUMP = 0.7
"""Semitones from one frame to the next (60 a second) that begin a new tone."""


class LoudnessMap:
    """g: dB -> dB, rising. Input and corpus: QUANTILES knots each.

    From the middle knot outward it follows the quantiles, no steeper than SLOPES allow; beyond the knots its slope
    is 1. What lies LOUD_RANGE_DB or more below the input's loudest stays at least as far below, and silence is silence.

        out |              ,--- corpus' loudest
            |         ,--''
            |       /            a steep way down from the quiet end of the corpus...
            |      /
            |    /'              ...to the line of slope 1 through the loudest
            +---------------- in
    """

    def __init__(self, source: Sequence[float], corpus: Sequence[float]) -> None:
        self.x, wanted = np.asarray(source), np.asarray(corpus)
        step = np.diff(self.x)
        rise = np.clip(np.diff(wanted), SLOPES[0] * step, SLOPES[1] * step)
        way = np.concatenate([[0.0], np.cumsum(rise)])
        middle = QUANTILES // 2
        self.y = way - way[middle] + wanted[middle]

    def __call__(self, loudness: Array) -> Array:
        beyond = np.minimum(loudness - self.x[0], 0.0) + np.maximum(loudness - self.x[-1], 0.0)
        mapped = np.interp(loudness, self.x, self.y) + beyond
        below = self.x[-1] - loudness
        floor = self.y[-1] - below + np.maximum(0.0, LOUD_RANGE_DB - below)
        quiet = loudness + np.maximum(0.0, 5.0 * (loudness - SILENCE_DB + 10.0))
        lowest = np.minimum(loudness, LOWEST_LOUDNESS)
        return np.maximum(np.minimum(np.minimum(mapped, floor), quiet), lowest)


def whole_octaves(body: Sequence[float], corpus: Sequence[float]) -> float:
    """Semitones, a multiple of 12, after which least of an input's pitch range lies beyond the corpus'; an octave must
    gain OCTAVE_WORTH semitones, so that the outermost notes of the corpus itself stay. Ranges as
    `CorpusProfile.pitch_body` of the input and `CorpusProfile.pitch` of the corpus.
    """

    def cost(octaves: int) -> float:
        lowest, highest = body[0] + 12 * octaves, body[1] + 12 * octaves
        beyond = max(corpus[0] - lowest, 0.0) + max(highest - corpus[-1], 0.0)
        return beyond + OCTAVE_WORTH * abs(octaves)

    return 12.0 * min(range(-12, 13), key=cost)


def folded(pitch: Array, corpus: Sequence[float]) -> Array:
    """Pitches (frames,) of which those beyond the corpus' range and MARGIN_SEMITONES are moved by the fewest octaves
    that bring them into it, or nearest to it. They change with a new tone; within one only by CROSSING_WITHIN_TONE."""
    octaves = np.array(sorted(range(-12, 13), key=abs))
    there = pitch[:, None] + 12.0 * octaves
    beyond = np.maximum(corpus[0] - there, 0.0) + np.maximum(there - corpus[-1], 0.0)
    costs = beyond + MARGIN_SEMITONES * np.abs(octaves)
    least, best = costs.min(1), costs.argmin(1)  # of equals the first: the fewest octaves
    begins = np.abs(np.diff(pitch, prepend=np.inf)) > TONE_JUMP
    allowed = least + np.where(begins, CROSSING_SEMITONES, CROSSING_WITHIN_TONE)
    chosen, now = np.zeros(len(pitch), int), 0
    for n in range(len(pitch)):
        now = int(best[n]) if costs[n, now] > allowed[n] else now
        chosen[n] = now
    return pitch + 12.0 * octaves[chosen]


def _without_strays(z: Array, corpus: Sequence[float]) -> Array:
    """The pitches (frames,); those that a tracker finds in hiss, frames without a period half a semitone or more beyond
    the corpus' range, are their voiced neighbours'."""
    pitch, known = z[:, 0], known_pitch(z)
    stray = (z[:, 2] < VOICED_PERIODICITY) & ((pitch < corpus[0] - 0.5) | (pitch > corpus[-1] + 0.5))
    return pitch if known is None else np.where(stray, known, pitch)


def highest_pitch(sample_rate: int) -> float:
    """MIDI of half the rate."""
    return 69.0 + 12.0 * math.log2(sample_rate / 2 / 440.0)


def _number(value: float | str) -> float:
    """NaN for what is no number."""
    try:
        return float(value)
    except (TypeError, ValueError):
        return math.nan


def check_transpose(transpose: float | str) -> float | str:
    """As a number, or "auto" as it is. Raises: UserError for anything else that is not finite."""
    if transpose == "auto" or math.isfinite(_number(transpose)):
        return transpose if transpose == "auto" else _number(transpose)
    raise UserError(f"transpose is {transpose}; give semitones (12 is an octave up) or 'auto'")


def check_fit(fit: float | str) -> float | str:
    """As a number, or "auto" as it is. Raises: UserError for anything else, and outside 0 to 1."""
    if fit == "auto" or 0.0 <= _number(fit) <= 1.0:
        return fit if fit == "auto" else _number(fit)
    raise UserError(f"fit is {fit}; use 0 (the input as it is) to 1 (as the corpus is), or auto")


def is_foreign(source: CorpusProfile, profile: CorpusProfile) -> bool:
    """Whether an input lies outside of its corpus: by its middle loudness, and FOREIGN_DB, or by the mean of a learned
    latent. A single note of the corpus itself lies within."""
    if not (source.frames and profile.frames):
        return False
    middle = source.loudness[QUANTILES // 2]
    if not profile.loudness[0] - FOREIGN_DB <= middle <= profile.loudness[-1] + FOREIGN_DB:
        return True
    learned = slice(profile.controls, None)
    low, high, mean = (np.array(part[learned]) for part in (profile.low, profile.high, source.mean))
    return bool(((mean < low) | (mean > high)).any())


def chosen_fit(fit: float | str, source: CorpusProfile, profile: CorpusProfile) -> float:
    """The number itself; for "auto" 1 for foreign sound and 0 for the corpus' own. Raises: UserError as `check_fit`."""
    checked = check_fit(fit)
    return float(is_foreign(source, profile)) if isinstance(checked, str) else checked


def transposition(source: CorpusProfile, profile: CorpusProfile, transpose: float | str) -> float:
    """Semitones for an input that is like `source`. Raises: UserError for what the rate cannot play."""
    wanted = check_transpose(transpose)
    if not profile.has_pitch or not source.pitch:
        return 0.0 if isinstance(wanted, str) else wanted
    low, high = source.pitch[0], source.pitch[-1]
    if isinstance(wanted, str):
        return whole_octaves(source.pitch_body, profile.pitch) if profile.pitch else 0.0
    most, least = highest_pitch(profile.sample_rate) - high, LOWEST_PITCH - low
    if not least <= wanted <= most:
        raise UserError(
            f"transpose is {wanted:g}: the input's pitch goes from MIDI {low:.0f} to {high:.0f}, and a model of "
            f"{profile.sample_rate} Hz plays MIDI {LOWEST_PITCH:.0f} to {highest_pitch(profile.sample_rate):.0f}; "
            f"use {math.ceil(least)} to {math.floor(most)} semitones"
        )
    return wanted


def fit_latents(
    z: NDArray[Any], profile: CorpusProfile, transpose: float | str = "auto", fit: float | str = 1.0
) -> NDArray[np.float32]:
    """A whole input (frames, n_latents), in the profile's units, moved towards the corpus; the same shape.

    `transpose`: semitones, or "auto" (see `whole_octaves` and `folded`). `fit`: 0 as it is, 1 as the corpus is, or
    "auto" (see `chosen_fit`). Raises: UserError for a transposition that the rate cannot play, or another fit.
    """
    source = profile.measure(z)
    fit = chosen_fit(fit, source, profile)
    out = np.array(z, np.float64)
    semitones = transposition(source, profile, transpose)
    if profile.has_pitch:
        out[:, 0] += semitones
        if transpose == "auto" and source.pitch and profile.pitch:
            out[:, 0] = folded(_without_strays(out, profile.pitch), profile.pitch)
    if not (source.frames and profile.frames and fit > 0):
        return out.astype(np.float32)
    at, first = profile.axis_names.index("loudness"), profile.controls
    mean, std, low, high = (np.array(getattr(profile, n)) for n in ("mean", "std", "low", "high"))
    own_mean, own_std = np.array(source.mean), np.array(source.std)
    ratio = np.minimum(std / np.maximum(own_std, 1e-9), MOST_WIDENING)
    moved = out.copy()
    moved[:, first:] = (mean + ratio * (out - own_mean))[:, first:]
    moved[:, at + 1 :] = np.clip(moved[:, at + 1 :], low[at + 1 :], high[at + 1 :])
    moved[:, at] = LoudnessMap(source.loudness, profile.loudness)(out[:, at])
    return (out + fit * (moved - out)).astype(np.float32)
