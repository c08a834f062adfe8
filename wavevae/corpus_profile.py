"""What the latents of an instrument's corpus are like: ranges, quantiles, and how a held tone lives.

Foreign sound is fitted to it, see wavevae.transfer.
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
from wavevae.errors import UserError

Array = NDArray[np.float64]

VOICED_PERIODICITY = 0.5
"""A frame of at least this periodicity counts as voiced."""
LOUD_RANGE_DB, LOUDEST_PERCENTILE = 40.0, 99.0
"""A frame is loud when it lies within this range of this percentile of the loudness of all frames."""
QUANTILES = 33
"""Knots of a distribution, at (k + 0.5) / QUANTILES."""
SILENCE_DB = -80.0
"""Frames below are not counted: they are silence with a little noise."""
MOST_FRAMES = 500_000
"""Of a long corpus' track every n-th frame is looked at."""
PITCH_RANGE, PITCH_BODY = (0.02, 0.5, 0.98), (0.1, 0.9)

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
    """MIDI, of loud voiced frames: the quantiles PITCH_RANGE; empty where there are none."""
    pitch_body: tuple[float, ...] = ()
    """MIDI, the quantiles PITCH_BODY: where most of it lies, without a tracker's strays."""
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


def corpus_profile(
    sequences: Sequence[NDArray[Any]], config: ModelConfig, track: NDArray[Any] | None = None
) -> CorpusProfile:
    """Of the encodings of training sounds, each (frames, n_latents) in the model's own units.

    `track`: `PitchTrack.values` of the whole corpus, (3, frames). The outermost notes may be missing from a choice of
    its sounds; with it the ranges of the controls are the corpus'.
    """
    empty = CorpusProfile(config.axis_names, config.sample_rate, config.frame_rate, 0)
    profile = _measured(sequences, empty)
    life = life_spread(sequences, profile)
    if track is not None and profile.frames:
        profile = _with_track(profile, track)
    return dataclasses.replace(profile, life_spread=_plain(life))


def _with_track(profile: CorpusProfile, track: NDArray[Any]) -> CorpusProfile:
    """The controls' figures from pitch, periodicity and loudness of the whole corpus."""
    pitch, periodicity, loudness = np.asarray(track[:, :: 1 + track.shape[1] // MOST_FRAMES], np.float64)
    named = {"pitch": pitch, "loudness": loudness, "periodicity": periodicity}
    controls = profile.axis_names[: profile.controls]
    z = np.stack([named[name] for name in controls], 1)
    whole = _measured([z], dataclasses.replace(profile, axis_names=controls))
    if not whole.frames:
        return profile
    known: dict[str, Any] = {n: getattr(whole, n) for n in ("pitch", "pitch_body", "loudness", "periodicity")}
    for name in ("mean", "std", "low", "high"):
        known[name] = getattr(whole, name) + getattr(profile, name)[profile.controls :]
    return dataclasses.replace(profile, **known)


def _plain(values: NDArray[Any]) -> tuple[float, ...]:
    return tuple(round(float(v), 6) for v in values)


# -- measuring ------------------------------------------------------------------------------------------------


def loud_limit(loudness: NDArray[Any]) -> float:
    """What a frame's loudness must reach to be loud, dB; above any where all is silence."""
    audible = loudness[loudness > SILENCE_DB]
    if not len(audible):
        return math.inf
    return max(SILENCE_DB, float(np.percentile(audible, LOUDEST_PERCENTILE)) - LOUD_RANGE_DB)


def known_pitch(z: NDArray[Any]) -> Array | None:
    """(frames,) MIDI of latents (frames, n_latents) with a pitch, on lines from voiced frame to voiced frame; none
    where no frame is voiced and loud."""
    loud = z[:, 1] >= loud_limit(z[:, 1])
    there = np.flatnonzero(loud & (z[:, 2] >= VOICED_PERIODICITY))
    return np.interp(np.arange(len(z)), there, z[there, 0]) if len(there) else None


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
        pitch=_pitches(loud, PITCH_RANGE) if like.has_pitch else (),
        pitch_body=_pitches(loud, PITCH_BODY) if like.has_pitch else (),
        loudness=_knots(loud[:, like.axis_names.index("loudness")]),
        periodicity=_knots(loud[:, 2]) if like.has_pitch else (),
        mean=_plain(loud.mean(0)),
        std=_plain(loud.std(0)),
        low=_plain(low),
        high=_plain(high),
    )


def _knots(values: Array) -> tuple[float, ...]:
    return _plain(np.quantile(values, (np.arange(QUANTILES) + 0.5) / QUANTILES))


def _pitches(loud: Array, shares: tuple[float, ...]) -> tuple[float, ...]:
    voiced = loud[loud[:, 2] >= VOICED_PERIODICITY, 0]
    return _plain(np.quantile(voiced, shares)) if len(voiced) else ()


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
