"""The demo corpus: single notes over each instrument's range and short phrases in D dorian, played in a light room.

FAMILY/name.flac, written whole or not at all.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import soxr

from wavevae.audio import write_failure
from wavevae.console import ConsoleProgress, Progress
from wavevae.corpus.cache import default_cache
from wavevae.errors import UserError
from wavevae.files import part_folder
from wavevae.synthesis import instruments
from wavevae.synthesis.instruments import RATE, convolve, low_pass, room
from wavevae.units import db_to_amplitude, midi_to_hz

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

FAMILIES: dict[str, tuple[Callable[..., np.ndarray], int]] = {
    "bowed": (instruments.bowed, 38),
    "plucked": (instruments.plucked, 50),
    "reed": (instruments.reed, 50),
    "struck": (instruments.struck, 62),
}
"""Class label -> how a note sounds and the MIDI pitch of its tonic (D2, D3, D3, D4)."""
VERSION = 2
AIR_DB = -68.0
"""Of the noise that, softened, stands for room and microphone, dBFS: no recording ends in digital zeros."""
TAIL_S = 0.45
SHORTEST_S = 0.25
"""A bow or a breath needs so long to speak."""
PEAK = 0.85
LOUD_DB = -13.0
"""RMS of the loudest moment of a note played as hard as can be, dBFS."""

Recipe = dict[str, Any]


@dataclass(frozen=True)
class ScoreNote:
    """One note: MIDI pitch, when and how long in seconds, how hard (0..1)."""

    pitch: int
    start_s: float
    seconds: float
    velocity: float

    @property
    def hz(self) -> float:
        return midi_to_hz(self.pitch)


@dataclass(frozen=True)
class Piece:
    """One file: its name and its notes."""

    name: str
    notes: tuple[ScoreNote, ...]


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
        f"{pitch_name(pitch)}-{dynamic}{take}", (ScoreNote(pitch, 0.03, rng.uniform(1.5, 2.1), velocity),)
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
        notes.append(ScoreNote(degree(tonic, step), start, 0.96 * beats * beat_s, velocity))
        at += beats
    return Piece(f"phrase-{index + 1:02d}", tuple(notes))


def perform(piece: Piece, family: str, seed: int) -> np.ndarray:
    """One piece as float64 samples at RATE, room and air included, peak at most PEAK."""
    play = FAMILIES[family][0]
    rng = np.random.default_rng([seed, 1, *piece.name.encode()])
    end = max(note.start_s + note.seconds for note in piece.notes) + TAIL_S
    dry = np.zeros(int(end * RATE))
    for note in piece.notes:
        sound = levelled(play(note.hz, max(note.seconds, SHORTEST_S), note.velocity, rng), note.velocity)
        start = int(note.start_s * RATE)
        stop = min(start + len(sound), len(dry))
        dry[start:stop] += sound[: stop - start]
    wet = convolve(dry, room(np.random.default_rng([seed, 2])))[: len(dry)]
    fade = int(0.25 * RATE)
    wet[-fade:] *= np.cos(np.linspace(0, np.pi / 2, fade)) ** 2
    air = low_pass(rng.standard_normal(len(wet)), 3000) * db_to_amplitude(AIR_DB)
    return (wet + air) * min(1.0, PEAK / np.abs(wet + air).max())


def levelled(sound: np.ndarray, velocity: float) -> np.ndarray:
    """The sound scaled so that its loudest 50 ms have the RMS of its dynamic: LOUD_DB down to 20 dB below it."""
    window = int(0.05 * RATE)
    energy = np.concatenate([[0.0], np.cumsum(sound**2)])
    loudest = np.sqrt(np.max(energy[window:] - energy[:-window]) / window)
    return sound / loudest * db_to_amplitude(LOUD_DB + 20 * (velocity - 1))


def programme(family: str, seconds: float, seed: int) -> Iterator[tuple[Piece, np.ndarray]]:
    """Pieces of a family until `seconds` are full: a phrase, then four notes, and again."""
    tonic = FAMILIES[family][1]
    rng = np.random.default_rng([seed, 3, *family.encode()])
    made, phrases, notes, order = 0.0, 0, 0, int(rng.integers(6))
    while made < seconds:
        if (phrases + notes) % 5 == 0:
            piece = phrase(tonic, order + phrases, rng)
            phrases += 1
        else:
            piece = single(tonic, notes, rng)
            notes += 1
        sound = perform(piece, family, seed)
        made += len(sound) / RATE
        yield piece, sound


def mark(folder: Path) -> Path:
    """The note beside a corpus that says by which recipe it was made; in the folder it would be one more file."""
    return folder.with_name(f".{folder.name}.wavevae-corpus.json")


def write_corpus(
    folder: Path,
    sample_rate: int = 22050,
    seconds: float = 180,
    seed: int = 0,
    progress: Progress | None = None,
) -> Path:
    """Write the demo corpus to `folder` and return it; one that is already there and whole is left as it is.

    About `seconds` of mono 16-bit FLAC, FAMILY/name.flac, the sub-folder being the class label; single notes are
    named by pitch and dynamic. The same seed gives the same bytes.
    Raises: UserError when `folder` holds something else.
    """
    folder = Path(os.path.abspath(folder))
    recipe: Recipe = {"version": VERSION, "sample_rate": sample_rate, "seconds": float(seconds), "seed": seed}
    if _is_whole(folder, recipe):
        return folder
    if folder.exists() and not folder.is_dir():
        raise UserError(f"{folder} is a file; name a new folder for the demo corpus")
    if folder.is_dir() and any(folder.iterdir()) and not mark(folder).is_file():
        raise UserError(f"{folder} holds other files; name a new folder for the demo corpus")
    with part_folder(folder.parent, folder.name) as part:
        part.chmod(0o755)
        files = _write_families(folder, part, sample_rate, seconds, seed, progress or ConsoleProgress())
        _put_in_place(part, folder, {**recipe, "files": files})
    return folder


def _write_families(
    folder: Path, part: Path, sample_rate: int, seconds: float, seed: int, progress: Progress
) -> dict[str, int]:
    """Every family's files, in `part`, which becomes `folder`; {relative path: bytes}."""
    files: dict[str, int] = {}
    done = 0.0
    for family in FAMILIES:
        (part / family).mkdir()
        for piece, sound in programme(family, seconds / len(FAMILIES), seed):
            path = part / family / f"{piece.name}.flac"
            resampled = soxr.resample(sound, RATE, sample_rate, quality="HQ")
            try:
                soundfile.write(path, resampled, sample_rate, subtype="PCM_16")
            except (OSError, AssertionError, soundfile.LibsndfileError) as error:
                raise write_failure(path, error, path=folder) from None
            files[f"{family}/{path.name}"] = path.stat().st_size
            done += len(sound) / RATE
            share = min(0.999, done / seconds)
            progress("synthesising", share, f"{len(files)} files, {done:.0f} s; once, then kept")
    progress("synthesising", 1.0, f"{len(files)} files, {done:.0f} s")
    return files


def _is_whole(folder: Path, recipe: Recipe) -> bool:
    """Whether the corpus of this recipe stands there with every file at its size."""
    try:
        found = json.loads(mark(folder).read_text())
        return {k: found[k] for k in recipe} == recipe and all(
            (folder / name).stat().st_size == size for name, size in found["files"].items()
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return False


def _put_in_place(part: Path, folder: Path, recipe: Recipe) -> None:
    """Note the recipe, then rename the finished corpus to its name; an older one of ours steps aside, an equal one
    from a race stays."""
    note = part.with_suffix(".json")
    note.write_text(json.dumps(recipe, indent=1))
    os.replace(note, mark(folder))
    try:
        os.replace(part, folder)
    except OSError:
        if _is_whole(folder, recipe):
            return
        old = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}.", suffix=".old"))
        os.replace(folder, old)
        os.replace(part, folder)
        shutil.rmtree(old, ignore_errors=True)


def demo_corpus(sample_rate: int, progress: Progress | None = None) -> Path:
    """The built-in corpus at a rate: made once in the cache folder, reused when it is whole."""
    folder = default_cache() / f"demo-corpus-{VERSION}-{sample_rate}"
    return write_corpus(folder, sample_rate, progress=progress)
