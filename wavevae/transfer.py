"""Foreign sound is fitted to an instrument's corpus: transposed by octaves, its dynamics and timbre made the corpus'.

A `CorpusProfile` says what the latents of a corpus are like. The same figures are taken of an input, and a map from
one to the other is applied to every frame (pitch p, loudness l in dB, learned latent z, `fit` f from 0 to 1):

    p' = p + transposition
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
    q <- (1 - a) q + a e(p)       histogram of pitch in semitones, loud voiced frames; its middle is the median

Started at the corpus' own figures, as if some N / 4 frames had been heard, a stream begins with no change at all.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from wavevae.config import ModelConfig
from wavevae.corpus.pitch_track import LOUD_RANGE_DB, LOUDEST_PERCENTILE, VOICED_PERIODICITY
from wavevae.errors import UserError
from wavevae.nn.instrument import LOWEST_LOUDNESS, LOWEST_PITCH

Array = NDArray[np.float64]

QUANTILES = 33
"""Knots of a distribution, at (k + 0.5) / QUANTILES."""
SILENCE_DB = -80.0
"""Frames below are not counted: they are silence with a little noise."""
MOST_WIDENING = 1.5
"""A learned latent that hardly moves is not blown up to the corpus' whole range."""
SLOPES = (0.25, 1.5)
"""Least and most change of loudness for 1 dB at the input."""

MARGIN_SEMITONES = 3.0
"""An instrument plays so far beyond what it has heard: its own lowest note must not be taken for a foreign one."""
OCTAVE_WORTH = 2.0

HELD_S = 0.25
"""A stretch that is held for at least so long is a steady tone."""
HELD_SEMITONES, HELD_DB = 1.0, 6.0
"""Range within which pitch lies in it (50 cents about its middle); without a pitch, loudness."""
SLOW_S = 2.0
"""Movement slower than its half period is no part of the life of a tone..."""
FAST_HZ = 8.0
"""...nor is faster movement."""
USUAL_SPREAD = {"pitch": 0.05, "loudness": 0.5, "periodicity": 0.01}
"""Life where no steady tone was found; a learned latent has a tenth of its standard deviation."""


@dataclass(frozen=True)
class CorpusProfile:
    """What the latents of a corpus are like, in the latents' units. `mean` and so on have a number a latent, and speak
    of loud frames."""

    axis_names: tuple[str, ...]
    sample_rate: int
    frame_rate: float
    frames: int
    """Loud ones; 0: nothing is known, and nothing is fitted."""
    pitch: tuple[float, ...] = ()
    """MIDI: 2nd percentile, median and 98th percentile of loud voiced frames; empty where there are none."""
    loudness: tuple[float, ...] = ()
    """dB: QUANTILES knots."""
    periodicity: tuple[float, ...] = ()
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    low: tuple[float, ...] = ()
    """1st percentile."""
    high: tuple[float, ...] = ()
    """99th percentile."""
    life_spread: tuple[float, ...] = ()
    """Standard deviation of the slow movement within steady tones."""

    @property
    def controls(self) -> int:
        """How many latents come before the learned ones."""
        return self.axis_names.index("brightness")

    @property
    def has_pitch(self) -> bool:
        """Whether pitch is one of the latents."""
        return "pitch" in self.axis_names

    def louder_than(self, other: CorpusProfile) -> float:
        """dB between the middles of both loudnesses; 0 where one is silence."""
        middle = QUANTILES // 2
        return self.loudness[middle] - other.loudness[middle] if self.frames and other.frames else 0.0

    def measure(self, z: NDArray[Any]) -> CorpusProfile:
        """The same figures of another sound's latents (frames, n_latents), without the life."""
        return _measured([z], self)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for a checkpoint or JSON."""
        values = dataclasses.asdict(self)
        return {name: list(v) if isinstance(v, tuple) else v for name, v in values.items()}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> CorpusProfile:
        """Raises: UserError for what is no profile."""
        names = {f.name for f in dataclasses.fields(cls)}
        try:
            known: dict[str, Any] = {
                n: tuple(v) if isinstance(v, list) else v for n, v in values.items() if n in names
            }
            return cls(**known)
        except (TypeError, AttributeError):
            raise UserError(
                "the description of the corpus (profile) is incomplete; export the model again"
            ) from None

    def in_units(self, offset: ArrayLike, scale: ArrayLike) -> CorpusProfile:
        """Of latents (z - offset) / scale, a number a latent: an exported file has learned latents in standard
        deviations. Given fewer numbers, the last latents are left out.

        Raises: ValueError where the controls, which have natural units, would change.
        """
        o, s = np.asarray(offset, np.float64), np.asarray(scale, np.float64)
        if np.any(o[: self.controls] != 0) or np.any(s[: self.controls] != 1):
            raise ValueError("controls keep their natural units: offset 0 and scale 1")
        known: dict[str, Any] = {"axis_names": self.axis_names[: len(o)]}
        for name in ("mean", "low", "high", "std", "life_spread"):
            values = np.array(getattr(self, name)[: len(o)])
            shift = 0.0 if name in ("std", "life_spread") else o
            known[name] = _plain((values - shift) / s) if len(values) else ()
        return dataclasses.replace(self, **known)


def corpus_profile(sequences: Sequence[NDArray[Any]], config: ModelConfig) -> CorpusProfile:
    """Of the encodings of training sounds, each (frames, n_latents) in the model's own units."""
    empty = CorpusProfile(config.axis_names, config.sample_rate, config.frame_rate, 0)
    profile = _measured(sequences, empty)
    return dataclasses.replace(profile, life_spread=_plain(life_spread(sequences, profile)))


def _plain(values: NDArray[Any]) -> tuple[float, ...]:
    return tuple(round(float(v), 6) for v in values)


# -- measuring ------------------------------------------------------------------------------------------------


def loud_limit(loudness: NDArray[Any]) -> float:
    """What a frame's loudness must reach to be loud, dB; above any where all is silence."""
    audible = loudness[loudness > SILENCE_DB]
    if not len(audible):
        return math.inf
    return max(SILENCE_DB, float(np.percentile(audible, LOUDEST_PERCENTILE)) - LOUD_RANGE_DB)


def _measured(sequences: Sequence[NDArray[Any]], like: CorpusProfile) -> CorpusProfile:
    """The figures of `sequences`, without the life, for the latents and rates of `like`."""
    empty = CorpusProfile(like.axis_names, like.sample_rate, like.frame_rate, 0)
    parts = [np.asarray(s, np.float64) for s in sequences if len(s)]
    z = np.concatenate(parts) if parts else np.zeros((0, len(like.axis_names)))
    z = z[np.isfinite(z).all(1)]
    loudness = z[:, like.axis_names.index("loudness")]
    loud = z[loudness >= loud_limit(loudness)]
    if not len(loud):
        return empty
    low, high = np.quantile(loud, (0.01, 0.99), axis=0)
    return dataclasses.replace(
        empty,
        frames=len(loud),
        pitch=_pitch_range(loud) if like.has_pitch else (),
        loudness=_knots(loud[:, like.axis_names.index("loudness")]),
        periodicity=_knots(loud[:, 2]) if like.has_pitch else (),
        mean=_plain(loud.mean(0)),
        std=_plain(loud.std(0)),
        low=_plain(low),
        high=_plain(high),
    )


def _knots(values: Array) -> tuple[float, ...]:
    return _plain(np.quantile(values, (np.arange(QUANTILES) + 0.5) / QUANTILES))


def _pitch_range(loud: Array) -> tuple[float, ...]:
    voiced = loud[loud[:, 2] >= VOICED_PERIODICITY, 0]
    return _plain(np.quantile(voiced, (0.02, 0.5, 0.98))) if len(voiced) else ()


def held_stretches(z: Array, profile: CorpusProfile) -> list[slice]:
    """Steady tones of one sequence (frames, n_latents): loud, voiced, pitch within HELD_SEMITONES; without a pitch,
    loudness within HELD_DB."""
    loudness = z[:, profile.axis_names.index("loudness")]
    steady = loudness >= (profile.loudness[0] if profile.loudness else math.inf)
    value, width = loudness, HELD_DB
    if profile.has_pitch:
        steady = steady & (z[:, 2] >= VOICED_PERIODICITY)
        value, width = z[:, 0], HELD_SEMITONES
    fewest, most = (math.ceil(s * profile.frame_rate) for s in (HELD_S, SLOW_S))
    found, start = [], 0
    lowest = highest = math.nan
    for n in range(len(z) + 1):
        here = value[n] if n < len(z) and steady[n] else math.nan
        lower, higher = min(here, lowest), max(here, highest)  # of NaN and a number: whichever comes first
        begun = not math.isnan(lowest)
        if begun and (math.isnan(here) or higher - lower > width or n - start >= most):
            if n - start >= fewest:
                found.append(slice(start, n))
            lowest = highest = math.nan
            begun = False
        if not begun:
            start, lowest, highest = n, here, here
        else:
            lowest, highest = lower, higher
    return found


def life_spread(sequences: Sequence[NDArray[Any]], profile: CorpusProfile) -> Array:
    """(n_latents,) standard deviation of the movement between about 0.5 and 8 Hz within steady tones.

    Slower movement is taken away as a straight line through each stretch of at most SLOW_S, faster by averaging.
    """
    squares, weight = np.zeros(len(profile.axis_names)), 0
    window = np.hanning(max(1, round(1.44 * profile.frame_rate / FAST_HZ / 2)) + 2)[1:-1]
    window = window / window.sum()
    for sequence in sequences:
        z = np.asarray(sequence, np.float64)
        for stretch in held_stretches(z, profile):
            smooth = np.apply_along_axis(np.convolve, 0, z[stretch], window, "valid")
            line = np.stack([np.ones(len(smooth)), np.linspace(-1, 1, len(smooth))], 1)
            rest = smooth - line @ np.linalg.lstsq(line, smooth, rcond=None)[0]
            squares, weight = squares + np.square(rest).sum(0), weight + max(0, len(smooth) - 2)
    if weight:
        return np.sqrt(squares / weight)
    std = profile.std or (0.0,) * len(squares)
    return np.array([USUAL_SPREAD.get(n, 0.1 * s) for n, s in zip(profile.axis_names, std, strict=True)])


# -- fitting --------------------------------------------------------------------------------------------------


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

    def __init__(self, heard: Sequence[float], corpus: Sequence[float]) -> None:
        self.x, wanted = np.asarray(heard), np.asarray(corpus)
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


def whole_octaves(heard: Sequence[float], corpus: Sequence[float]) -> float:
    """Semitones, a multiple of 12, for an input's low, median and high pitch: 0 where the median lies in the corpus'
    range, else the octaves after which least of the input's range lies beyond it. The range is the corpus' and
    MARGIN_SEMITONES on either side; an octave more must bring OCTAVE_WORTH semitones."""
    low, high = corpus[0] - MARGIN_SEMITONES, corpus[2] + MARGIN_SEMITONES
    if low <= heard[1] <= high:
        return 0.0

    def cost(octaves: int) -> float:
        lowest, highest = heard[0] + 12 * octaves, heard[2] + 12 * octaves
        return max(low - lowest, 0.0) + max(highest - high, 0.0) + OCTAVE_WORTH * abs(octaves)

    return 12.0 * min(range(-12, 13), key=cost)


def highest_pitch(sample_rate: int) -> float:
    """MIDI of half the rate."""
    return 69.0 + 12.0 * math.log2(sample_rate / 2 / 440.0)


def check_transpose(transpose: float | str) -> float | str:
    """As it was given. Raises: UserError unless it is "auto" or a finite number."""
    if transpose == "auto":
        return transpose
    try:
        value = float(transpose)
    except (TypeError, ValueError):
        value = math.nan
    if not math.isfinite(value):
        raise UserError(f"transpose is {transpose}; give semitones (12 is an octave up) or 'auto'")
    return value


def check_fit(fit: float | str) -> float:
    """As a number. Raises: UserError outside 0 to 1."""
    try:
        value = float(fit)
    except (TypeError, ValueError):
        value = math.nan
    if not 0.0 <= value <= 1.0:
        raise UserError(f"fit is {fit}; use 0 (the input as it is) to 1 (as the corpus is)")
    return value


def transposition(heard: CorpusProfile, profile: CorpusProfile, transpose: float | str) -> float:
    """Semitones for an input that is like `heard`. Raises: UserError for what the rate cannot play."""
    wanted = check_transpose(transpose)
    if not profile.has_pitch or not heard.pitch:
        return 0.0 if isinstance(wanted, str) else wanted
    low, _, high = heard.pitch
    if isinstance(wanted, str):
        return whole_octaves(heard.pitch, profile.pitch) if profile.pitch else 0.0
    most, least = highest_pitch(profile.sample_rate) - high, LOWEST_PITCH - low
    if not least <= wanted <= most:
        raise UserError(
            f"transpose is {wanted:g}: the input's pitch goes from MIDI {low:.0f} to {high:.0f}, and a model of "
            f"{profile.sample_rate} Hz plays MIDI {LOWEST_PITCH:.0f} to {highest_pitch(profile.sample_rate):.0f}; "
            f"use {math.ceil(least)} to {math.floor(most)} semitones"
        )
    return wanted


def fit_latents(
    z: NDArray[Any], profile: CorpusProfile, transpose: float | str = "auto", fit: float = 1.0
) -> NDArray[np.float32]:
    """A whole input (frames, n_latents), in the profile's units, moved towards the corpus; the same shape.

    `transpose`: semitones, or "auto" (whole octaves, see `whole_octaves`). `fit`: 0 as it is, 1 as the corpus is.
    Raises: UserError for a transposition that the rate cannot play, or a fit outside 0 to 1.
    """
    check_fit(fit)
    heard = profile.measure(z)
    out = np.array(z, np.float64)
    semitones = transposition(heard, profile, transpose)
    if profile.has_pitch:
        out[:, 0] += semitones
    if not (heard.frames and profile.frames and fit > 0):
        return out.astype(np.float32)
    at, first = profile.axis_names.index("loudness"), profile.controls
    mean, std, low, high = (np.array(getattr(profile, n)) for n in ("mean", "std", "low", "high"))
    own_mean, own_std = np.array(heard.mean), np.array(heard.std)
    ratio = np.minimum(std / np.maximum(own_std, 1e-9), MOST_WIDENING)
    moved = out.copy()
    moved[:, first:] = (mean + ratio * (out - own_mean))[:, first:]
    moved[:, at + 1 :] = np.clip(moved[:, at + 1 :], low[at + 1 :], high[at + 1 :])
    moved[:, at] = LoudnessMap(heard.loudness, profile.loudness)(out[:, at])
    return (out + fit * (moved - out)).astype(np.float32)
