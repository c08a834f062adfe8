"""What is played: single notes over each instrument's range, and short phrases in D dorian."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

DORIAN = (0, 2, 3, 5, 7, 9, 10)
NAMES = ("C", "Cs", "D", "Ds", "E", "F", "Fs", "G", "Gs", "A", "As", "B")
DYNAMICS = {"p": 0.3, "mf": 0.6, "f": 0.95}

# Two bars each: (degree of the scale, beats).
MOTIFS: tuple[tuple[tuple[int, float], ...], ...] = (
    ((0, 1), (2, 0.5), (3, 0.5), (4, 1.5), (3, 0.5), (2, 1), (1, 0.5), (2, 0.5), (0, 2)),
    ((4, 0.75), (5, 0.25), (4, 0.5), (3, 0.5), (2, 1), (0, 0.5), (1, 0.5), (2, 1.5), (1, 0.5), (0, 2)),
    ((7, 1), (6, 0.5), (4, 0.5), (5, 1), (4, 1), (3, 0.5), (2, 0.5), (1, 0.5), (2, 0.5), (0, 2)),
    ((0, 0.5), (4, 0.5), (7, 1), (6, 0.5), (7, 0.5), (4, 1), (5, 0.5), (4, 0.5), (2, 1), (0, 2)),
    ((2, 1.5), (3, 0.5), (4, 1), (7, 1), (6, 0.5), (5, 0.5), (4, 0.5), (3, 0.5), (4, 2)),
    ((4, 0.5), (2, 0.5), (0, 1), (4, 0.5), (2, 0.5), (-1, 1), (0, 0.5), (1, 0.5), (2, 0.5), (4, 0.5), (0, 2)),
)


@dataclass(frozen=True)
class Note:
    """One note: MIDI pitch, when and how long in seconds, how hard (0..1)."""

    pitch: int
    start_s: float
    seconds: float
    velocity: float

    @property
    def hz(self) -> float:
        """Equal temperament, A4 = 440 Hz."""
        return 440.0 * 2 ** ((self.pitch - 69) / 12)


@dataclass(frozen=True)
class Piece:
    """One file: its name and its notes."""

    name: str
    notes: tuple[Note, ...]


def pitch_name(pitch: int) -> str:
    """60 -> 'C4'."""
    return f"{NAMES[pitch % 12]}{pitch // 12 - 1}"


def degree(tonic: int, step: int) -> int:
    """MIDI pitch of a degree of the dorian scale on `tonic`."""
    octave, place = divmod(step, 7)
    return tonic + 12 * octave + DORIAN[place]


def single(tonic: int, index: int, rng: np.random.Generator) -> Piece:
    """The index-th single note: pitches of an octave and a half and three dynamics, in an order that spreads both."""
    pitch = degree(tonic, (5 * index) % 11)
    dynamic = list(DYNAMICS)[index % 3]
    velocity = DYNAMICS[dynamic] + rng.uniform(-0.05, 0.05)
    take = "" if index < 33 else f"-{index // 33 + 1}"
    return Piece(
        f"{pitch_name(pitch)}-{dynamic}{take}", (Note(pitch, 0.03, rng.uniform(1.5, 2.1), velocity),)
    )


def phrase(tonic: int, index: int, rng: np.random.Generator) -> Piece:
    """The index-th phrase: a motif with its own tempo, swell, accents and a player's small unevenness."""
    motif = MOTIFS[index % len(MOTIFS)]
    beat_s = 60 / rng.uniform(92, 126)
    total = sum(beats for _, beats in motif)
    loud = rng.uniform(0.5, 0.75)
    notes, at = [], 0.0
    for step, beats in motif:
        swell = 0.35 * np.sin(np.pi * min(1.0, (at + 0.5) / total)) - 0.2
        accent = 0.06 if at % 2 == 0 else 0.0
        velocity = float(np.clip(loud + swell + accent + rng.normal(0, 0.04), 0.15, 1.0))
        start = max(0.03, at * beat_s + rng.normal(0, 0.008) + 0.05)
        notes.append(Note(degree(tonic, step), start, 0.96 * beats * beat_s, velocity))
        at += beats
    return Piece(f"phrase-{index + 1:02d}", tuple(notes))
