"""Notes as they sound: when they are heard, how they swell and shake, and how far such figures of two sets of notes are
from each other."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from wavevae.evaluation.tracks import level_track, pitch_track
from wavevae.prior.notes import FoundNote

Array = NDArray[np.float64]

FEWEST = 8
"""Notes, or stretches of notes, that a figure needs."""
LEVEL_HOP_S, LEVEL_WINDOW_S = 0.01, 0.02
GONE_DB = 20.0
"""From so far below its level a note has begun, and so far below it has ended."""
SETTLED_S, FEWEST_PITCHES = 0.05, 5
"""The pitch of a note is looked at from so long after its onset, and needs so many frames of 20 ms."""
AFTER_ONSET_S = (0.0, 0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64)
BEFORE_RELEASE_S = (0.64, 0.32, 0.16, 0.08, 0.0)
"""Where the loudness curves of notes are compared."""
DEEPEST_DB = -60.0
VIBRATO_HZ, VIBRATO_S, AUDIBLE_CENTS = (3.0, 9.0), 0.64, 8.0
"""Rates looked for, in stretches so long; the rate of a shallower movement says nothing."""
FINE_S, FINE_WINDOWS = 0.001, 5
"""Step and, in steps, window in which onsets and releases are looked for."""
BEFORE = (40, 20)
"""Between so many steps before its onset and so many it is silent, if its onset is looked for: an attack may begin a
little before the frame of the onset."""


class Sounding(NamedTuple):
    """A note in one sound of a performance."""

    levels: Array
    """(n,) dB every LEVEL_HOP_S, from its onset to its release, relative to its level; not below DEEPEST_DB."""
    midi: Array
    """(m,) pitch every 20 ms after the onset has settled, NaN where there is none."""
    key: float
    """NaN without a pitch."""
    edges: Edges


class Edges(NamedTuple):
    """When a note is heard, ms; none where it cannot be told."""

    onset_ms: float | None
    """From its key until it is GONE_DB below its level, of a note out of silence."""
    release_ms: float | None
    """From its release until it is so far below, where no other note comes before."""


def edges(levels: Array, begin: int, release: int, end: int) -> Edges:
    """Of a note that is held from `begin` to `release`; the next begins at `end`; all in steps of FINE_S."""
    limit = float(np.percentile(levels[begin:release], 90)) - GONE_DB
    middle = 0.5 * FINE_WINDOWS
    loud = np.flatnonzero(levels[begin:release] > limit)
    gone = np.flatnonzero(levels[release:end] < limit)
    before = levels[max(0, begin - BEFORE[0]) : max(0, begin - BEFORE[1])]
    silent = begin == 0 or (len(before) > 0 and bool((before < limit).all()))
    heard = len(loud) and silent and limit > -80.0
    return Edges(
        1000 * FINE_S * (float(loud[0]) + middle) if heard else None,
        1000 * FINE_S * (float(gone[0]) + middle) if len(gone) and limit > -80.0 else None,
    )


def fine_levels(sound: Tensor, rate: int) -> Array:
    step = max(1, round(FINE_S * rate))
    found: Array = level_track(sound, step, FINE_WINDOWS * step).double().numpy()
    return found


def soundings(
    sound: Tensor, notes: Sequence[FoundNote], rate: int, hop: int, pitched: bool
) -> list[Sounding]:
    """Notes of a sound, in frames of `hop` samples, in time order."""
    step, fine = round(LEVEL_HOP_S * rate), max(1, round(FINE_S * rate))
    levels = level_track(sound, step, round(LEVEL_WINDOW_S * rate)).double().numpy()
    finer = fine_levels(sound, rate)
    track = pitch_track(sound, rate) if pitched else None
    found = []
    for note, after in zip(notes, [*notes[1:], None], strict=True):
        end = len(sound) if after is None else after.onset * hop
        begin, release = note.onset * hop, note.release * hop
        held = levels[begin // step : release // step]
        if len(held) >= 2 and len(finer[begin // fine : release // fine]):
            found.append(
                Sounding(
                    np.maximum(held - float(np.percentile(held, 90)), DEEPEST_DB),
                    np.zeros(0) if track is None else settled(track, begin, release, rate),
                    round(note.pitch) if pitched else math.nan,
                    edges(finer, *(n // fine for n in (begin, release, end))),
                )
            )
    return found


def settled(track: tuple[Tensor, Tensor], begin: int, end: int, rate: int) -> Array:
    """Of a pitch track, what lies between two samples once the pitch has settled."""
    midi, centres = (x.double().numpy() for x in track)
    found: Array = midi[(centres >= begin + SETTLED_S * rate) & (centres < end)]
    return found


def wasserstein(a: Sequence[float] | Array, b: Sequence[float] | Array) -> float:
    """Distance between two distributions on a line, in their own unit: the mean difference of their quantiles
    (Vallender 1974)."""
    at = (np.arange(200) + 0.5) / 200
    return float(np.abs(np.quantile(a, at) - np.quantile(b, at)).mean())


def curve_distance_db(a: Sequence[Sounding], b: Sequence[Sounding]) -> float | None:
    """Between the levels of two sets of notes, mean over moments after the onset and before the release."""
    places = [round(s / LEVEL_HOP_S) for s in AFTER_ONSET_S]
    places += [-1 - round(s / LEVEL_HOP_S) for s in BEFORE_RELEASE_S]
    distances = []
    for place in places:
        longer = place + 1 if place >= 0 else -place
        here, there = ([n.levels[place] for n in notes if len(n.levels) >= longer] for notes in (a, b))
        if min(len(here), len(there)) >= FEWEST:
            distances.append(wasserstein(here, there))
    return float(np.mean(distances)) if distances else None


def vibratos(notes: Iterable[Sounding]) -> Array:
    """(n, 2): rate in Hz and depth in cents of every stretch of VIBRATO_S with a pitch, at the strongest movement
    within VIBRATO_HZ about a straight line."""
    size, found = round(VIBRATO_S / 0.02), []
    time, window = np.arange(size), np.hanning(size + 2)[1:-1]
    hertz = np.fft.rfftfreq(512, 0.02)
    looked_at = (hertz >= VIBRATO_HZ[0]) & (hertz <= VIBRATO_HZ[1])
    for note in notes:
        for start in range(0, len(note.midi) - size + 1, size // 2):
            pitch = note.midi[start : start + size]
            if np.isfinite(pitch).mean() < 0.9 or np.ptp(pitch[np.isfinite(pitch)]) > 2.0:
                continue
            pitch = np.interp(time, time[np.isfinite(pitch)], pitch[np.isfinite(pitch)])
            moving = (pitch - np.polyval(np.polyfit(time, pitch, 1), time)) * window
            swing = 200 * np.abs(np.fft.rfft(moving, 512)) / window.sum()
            best = int(np.argmax(np.where(looked_at, swing, -1.0)))
            found.append((hertz[best], swing[best]))
    return np.array(found).reshape(-1, 2)


def vibrato_distances(a: Array, b: Array) -> tuple[float | None, float | None]:
    """Of rates in Hz (of what is deep enough to be heard) and of depths in cents."""
    if min(len(a), len(b)) < FEWEST:
        return None, None
    rates = [x[x[:, 1] >= AUDIBLE_CENTS, 0] for x in (a, b)]
    rate = wasserstein(*rates) if min(map(len, rates)) >= FEWEST else None
    return rate, wasserstein(a[:, 1], b[:, 1])


def pitch_errors(notes: Iterable[tuple[float, Array]]) -> list[float]:
    """Cents between the key of each note and the median of its pitch track; notes with hardly a pitch are left out."""
    pitches = [(key, midi[np.isfinite(midi)]) for key, midi in notes]
    return [100 * abs(float(np.median(x)) - key) for key, x in pitches if len(x) >= FEWEST_PITCHES]
