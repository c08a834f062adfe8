"""Notes found in recordings: onsets, pitch plateaus, releases and levels, from the control sequence of an instrument.

    loudness     ___/~~~~~\\__/~~~\\_/~~~~~~~~\\____
    pitch           60 60 60   60 60  62 62 62
    notes           |-------|  |----||--------|

A note begins where a voiced stretch begins, where the pitch leaves its plateau and stays away, or where the loudness
rises again after a dip. Without a pitch it begins where the loudness rises.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wavevae.corpus_profile import CorpusProfile, loud_limit

Array = NDArray[np.float64]

VOICED = 0.5
"""Periodicity of a voiced frame."""
PLATEAU_SEMITONES, LEFT_S = 0.6, 0.058
"""A plateau ends where the pitch is farther from its median for so long."""
DIP_DB, DEEP_DIP_DB, RISE_S, BROKEN_OFF = 6.0, 12.0, 0.05, 0.7
"""A note is struck again where the loudness dips so far and rises so far within so long; the deep dip where the
periodicity stays above BROKEN_OFF."""
STRAY_S, ECHO_DB, ECHO_S = 0.1, 25.0, 0.3
"""A harmonic-related plateau so short within a note is a tracker's stray; what follows a note within ECHO_S, and is so
far below it, is its reverberation."""
NO_STEP_SEMITONES, VIBRATO_SEMITONES, VIBRATO_S = 0.7, 0.95, 0.12
"""Neighbouring plateaus nearer than a step of the scale are one; short ones may be the turns of a vibrato."""
ARRIVED_SEMITONES = 0.4
"""The next plateau has begun where the pitch stays within this range for as long."""
UNSETTLED_S, LEAP_SEMITONES = 0.1, 7.0
"""A first plateau so short is part of the next; twice as long if it is a leap away."""
STRUCK_AGAIN_S = 0.08
"""The least time between two onsets."""
BRIDGED_S = 0.035
"""A loud stretch without a pitch that is no longer is part of the note around it."""
ATTACK_S, ATTACK_DB = 0.1, 20.0
"""An attack before the first voiced frame: at most so long, from so far below the note's level."""
ENDED_DB = 30.0
"""Below its level a note is over."""
SHORTEST_S = 0.05
LET_GO_DB, LET_GO_S = 6.0, 0.5
"""A fall of the loudness from so far below its level to its end, that takes at most so long, follows the release."""
SOFTEST_DB = -40.0
"""Level of the softest velocity, below the loudest."""


@dataclass(frozen=True)
class FoundNote:
    """One note of a sequence of frames."""

    onset: int
    """Its first frame."""
    release: int
    """The first frame after it."""
    pitch: float
    """MIDI, the median of its plateau; NaN in a corpus without a pitch."""
    level: float
    """dB: the 90th percentile of its frames' loudness."""


def velocity_of(level: float, loudest: float) -> float:
    """0 to 1: amplitude goes with the square of the velocity (General MIDI 2)."""
    return float(10 ** (min(0.0, max(SOFTEST_DB, level - loudest)) / 40))


def find_notes(z: NDArray[Any], profile: CorpusProfile) -> list[FoundNote]:
    """Notes of one recording: z (frames, n_latents) in the model's units, in time order, never overlapping."""
    z = np.asarray(z, np.float64)
    if not len(z) or not profile.frames:
        return []
    loudness = z[:, profile.axis_names.index("loudness")]
    rate = profile.frame_rate
    limit = min(profile.loudness[0] - 10, loud_limit(loudness)) if profile.loudness else loud_limit(loudness)
    if not profile.has_pitch:
        return _struck(loudness, limit, rate)
    notes: list[FoundNote] = []
    for first, last in _voiced_runs(z[:, 0], z[:, 2], loudness, limit, rate):
        for begin, end in _plateaus(z[first:last, 0], rate):
            for onset, release in _strikes(loudness, first + begin, first + end, rate, z[:, 2]):
                note = _note(
                    z[:, 0], loudness, onset, release, notes[-1].release if notes else 0, limit, rate
                )
                if note is not None and not (notes and _is_echo(notes[-1], note, rate)):
                    notes.append(note)
    return notes


def _is_echo(before: FoundNote, note: FoundNote, rate: float) -> bool:
    near = note.onset - before.release <= _frames(ECHO_S, rate)
    related = min(abs(abs(note.pitch - before.pitch) - h) for h in (0, 12, 19, 24)) < 1
    return near and related and before.level - note.level >= ECHO_DB


def _frames(seconds: float, rate: float) -> int:
    return max(1, round(seconds * rate))


def _runs(mask: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """Stretches of True as (first, after the last)."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], mask.astype(np.int8), [0]])))
    return [(int(a), int(b)) for a, b in zip(edges[::2], edges[1::2], strict=True)]


def _voiced_runs(
    pitch: Array, periodicity: Array, loudness: Array, limit: float, rate: float
) -> list[tuple[int, int]]:
    """Loud voiced stretches; short breaks between equal pitches are bridged."""
    voiced = (periodicity >= VOICED) & (loudness >= limit)
    runs = _runs(voiced)
    joined: list[tuple[int, int]] = []
    for first, last in runs:
        if joined:
            before = joined[-1][1]
            near = abs(pitch[first] - pitch[before - 1]) < PLATEAU_SEMITONES
            if (
                near
                and first - before <= _frames(BRIDGED_S, rate)
                and (loudness[before:first] >= limit).all()
            ):
                joined[-1] = (joined[-1][0], last)
                continue
        joined.append((first, last))
    return [(a, b) for a, b in joined if b - a >= 2]


def _plateaus(pitch: Array, rate: float) -> list[tuple[int, int]]:
    """Stretches of a voiced run around one pitch each. A glide belongs to the plateau that it leaves."""
    left_for = _frames(LEFT_S, rate)
    found, start, away = [], 0, 0
    for n in range(len(pitch)):
        settled = pitch[max(start, n - away - 4 * left_for) : max(start + 1, n - away)]
        away = away + 1 if abs(pitch[n] - np.median(settled)) > PLATEAU_SEMITONES else 0
        arrived = pitch[n - left_for + 1 : n + 1]
        if away >= left_for and np.ptp(arrived) <= ARRIVED_SEMITONES:
            found.append((start, n - left_for + 1))
            start, away = n - left_for + 1, 0
    found = _without_strays(pitch, [*found, (start, len(pitch))], rate)
    if len(found) > 1:  # a tracker that has not settled at the onset
        leap = abs(float(np.median(pitch[slice(*found[0])])) - float(np.median(pitch[slice(*found[1])])))
        unsure = UNSETTLED_S * (1 if leap < LEAP_SEMITONES else 2)
        if found[0][1] <= _frames(unsure, rate):
            found[:2] = [(0, found[1][1])]
    return found


def _without_strays(pitch: Array, plateaus: list[tuple[int, int]], rate: float) -> list[tuple[int, int]]:
    """Joins plateaus of one pitch that a short one an octave or a twelfth away stands between, and the halves of a
    wide vibrato."""
    kept: list[tuple[int, int]] = []
    middles: list[float] = []
    for first, last in plateaus:
        middle = float(np.median(pitch[first:last]))
        if kept:
            shorter = min(last - first, kept[-1][1] - kept[-1][0])
            width = VIBRATO_SEMITONES if shorter <= _frames(VIBRATO_S, rate) else NO_STEP_SEMITONES
            if abs(middle - middles[-1]) < width:
                kept[-1] = (kept[-1][0], last)
                middles[-1] = float(np.median(pitch[slice(*kept[-1])]))
                continue
        if len(kept) >= 2 and abs(middle - middles[-2]) < PLATEAU_SEMITONES:
            between = kept[-1][1] - kept[-1][0]
            leap = abs(middles[-1] - middle)
            if between <= _frames(STRAY_S, rate) and min(abs(leap - h) for h in (12, 19, 24)) < 1:
                kept[-2:] = [(kept[-2][0], last)]
                middles.pop()
                continue
        kept.append((first, last))
        middles.append(middle)
    return kept


def _strikes(
    loudness: Array, first: int, last: int, rate: float, periodicity: Array | None
) -> list[tuple[int, int]]:
    """Cuts a plateau where the note is struck again: after a deep dip of the loudness, or a shallow one in which the
    tone broke off too. A tremolo has shallow dips through which the tone goes on."""
    rise, apart = _frames(RISE_S, rate), _frames(STRUCK_AGAIN_S, rate)
    begins = [first]
    n = first + apart
    while n < last - 1:
        low = max(begins[-1], n - rise)
        lowest = low + int(np.argmin(loudness[low : n + 1]))
        dip = min(loudness[n], loudness[begins[-1] : lowest + 1].max()) - loudness[lowest]
        if periodicity is None:
            enough = DIP_DB
        else:
            enough = DIP_DB if periodicity[lowest : n + 1].min() < BROKEN_OFF else DEEP_DIP_DB
        if dip >= enough and lowest - begins[-1] >= apart // 2:
            begins.append(lowest + 1)
            n = lowest + 1 + apart
        else:
            n += 1
    return list(zip(begins, [*begins[1:], last], strict=True))


def _note(
    pitch: Array, loudness: Array, onset: int, release: int, free: int, limit: float, rate: float
) -> FoundNote | None:
    """The note with its attack and without a faded end; None if it is too short. `free`: the first frame that no
    earlier note has."""
    level = float(np.percentile(loudness[onset:release], 90))
    earliest = max(free, onset - _frames(ATTACK_S, rate))
    while onset > earliest and loudness[onset - 1] >= max(limit, level - ATTACK_DB):
        onset -= 1
    loud = np.flatnonzero(loudness[onset:release] >= level - ENDED_DB)
    release = onset + int(loud[-1]) + 1
    if release - onset < _frames(SHORTEST_S, rate):
        return None
    release = _let_go(loudness[onset:release], level, rate) + onset
    body = pitch[onset:release]
    quarter = len(body) // 4
    middle = body[quarter : len(body) - quarter] if len(body) >= 8 else body
    return FoundNote(onset, release, float(np.median(middle)), level)


def _let_go(loudness: Array, level: float, rate: float) -> int:
    """Where a sustained note is let go: before its last fall, if that is quick and shorter than what came before."""
    sustained = int(np.flatnonzero(loudness >= level - LET_GO_DB)[-1]) + 1
    fall = len(loudness) - sustained
    return sustained if fall <= min(_frames(LET_GO_S, rate), sustained) else len(loudness)


def _struck(loudness: Array, limit: float, rate: float) -> list[FoundNote]:
    """Hits and gestures of a corpus without a pitch."""
    notes = []
    for first, last in _runs(loudness >= limit):
        for onset, end in _strikes(loudness, first, last, rate, None):
            peak = float(loudness[onset:end].max())
            loud = np.flatnonzero(loudness[onset:end] >= peak - ENDED_DB)
            release = onset + int(loud[-1]) + 1
            if release - onset >= 2:
                level = float(np.percentile(loudness[onset:release], 90))
                notes.append(FoundNote(onset, release, math.nan, level))
    return notes


def note_frames(notes: Sequence[FoundNote], frames: int) -> NDArray[np.float32]:
    """(frames, 3): key, level, held. Before and between notes key and level are those of the last."""
    rows = np.zeros((frames, 3), np.float32)
    for note in notes:
        pitch = 0.0 if math.isnan(note.pitch) else note.pitch
        rows[note.onset :, :2] = pitch, note.level
        rows[note.onset : note.release, 2] = 1.0
    return rows


def deviations(z: NDArray[Any], rows: NDArray[np.float32], profile: CorpusProfile) -> tuple[Any, Any]:
    """Frames as the performer says them, and which values mean something, both (frames, D)."""
    made = np.array(z, np.float32)
    known = np.ones_like(made)
    loudness = 1 if profile.has_pitch else 0
    quietest = rows[:, 1] - 60.0
    made[:, loudness] = np.maximum(made[:, loudness], quietest) - rows[:, 1]
    if profile.has_pitch:
        off = made[:, 0] - rows[:, 0]
        sure = (made[:, 2] >= VOICED) & (np.abs(off) < 3.0)
        made[:, 0] = np.where(sure, off, 0.0)
        known[:, 0] = sure
    return made, known
