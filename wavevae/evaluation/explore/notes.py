"""The sounds of a set as notes: stretches of a few seconds with their latents and labels; and which notes are shown."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from wavevae.console import Progress
from wavevae.corpus.labels import class_of, pitch_of
from wavevae.errors import UserError
from wavevae.evaluation.metrics import FLOOR_DBFS
from wavevae.evaluation.selection import Selection, Source, sound
from wavevae.units import db_to_amplitude, seconds_to_samples

from .explored_model import ExploredModel, Labels

NOTE_S = 4.0
"""A longer file is several notes: NSynth's length."""
SHORTEST_SHARE = 0.25
"""Of NOTE_S: a last stretch that is shorter belongs to nothing, unless it is the whole file."""


@dataclass(frozen=True)
class Note:
    """A stretch of a file."""

    key: str
    """NSynth's name of the note, or the file's; '@ 4 s' where it begins later."""
    path: Path
    start_s: float
    labels: Labels
    family: str
    """Its class; empty where it is not known."""
    pitch: float
    """MIDI; NaN where it is not known."""
    sound: np.ndarray
    """(samples,) float32"""
    means: np.ndarray
    """(frames, latent_dim) raw latents"""
    log_variances: np.ndarray | None
    """Of the posterior, where there is one."""
    sounding: np.ndarray
    """(frames,) bool: those above -60 dBFS, or all where none is."""
    level_db: float

    @property
    def sounding_means(self) -> np.ndarray:
        """The latents of what sounds."""
        found: np.ndarray = self.means[self.sounding]
        return found

    @property
    def title(self) -> str:
        return self.key if np.isnan(self.pitch) else f"{self.key} (pitch {self.pitch:g})"


def read_notes(
    instrument: ExploredModel, selection: Selection, class_field: str, progress: Progress
) -> tuple[list[Note], list[tuple[str, str]]]:
    """Every note of the files, and why some files end early. Raises: UserError where there is none."""
    notes: list[Note] = []
    damaged: list[tuple[str, str]] = []
    total = max(1e-9, selection.seconds)
    done = 0.0
    for source in selection.sources:
        try:
            notes.extend(notes_of(instrument, source, class_field))
        except UserError as error:
            damaged.append((source.name, str(error)))
        done += source.seconds
        progress("encoding", min(0.99, done / total), f"{len(notes)} notes")
    if not notes:
        raise UserError(
            f"no sound in {len(selection.sources)} files; the first: {damaged[0][1] if damaged else 'empty'}"
        )
    progress("encoding", 1.0, f"{len(notes)} notes, {done:.0f} s")
    return notes, damaged


def notes_of(instrument: ExploredModel, source: Source, class_field: str) -> Iterator[Note]:
    """The stretches of one file, each encoded with the sound that leads up to it. Raises: UserError."""
    rate, hop = instrument.sample_rate, instrument.hop_length
    size = hop * max(1, round(seconds_to_samples(NOTE_S, rate) / hop))
    lead, at = np.zeros(0, np.float32), 0
    for block in sound(source, rate, size):
        if len(block) and (at == 0 or len(block) >= SHORTEST_SHARE * size):
            both = np.concatenate([lead, block])
            means, log_variances = instrument.look(both, source.labels)
            first = len(lead) // hop
            variances = None if log_variances is None else log_variances[first:]
            yield make_note(
                source, class_field, source.start_s + at / rate, block, (means[first:], variances), hop
            )
        lead = np.concatenate([lead, block])[-instrument.lead_samples :]
        at += len(block)


def make_note(
    source: Source,
    class_field: str,
    start_s: float,
    block: np.ndarray,
    latents: tuple[np.ndarray, np.ndarray | None],
    hop: int,
) -> Note:
    means, log_variances = latents
    pitch = pitch_of(source.labels)
    name = str(source.labels.get("note_str") or source.name)
    return Note(
        key=name if start_s == 0 else f"{name} @ {start_s:g} s",
        path=source.path,
        start_s=start_s,
        labels=source.labels,
        family=class_of(source.labels, class_field) or "",
        pitch=np.nan if pitch is None else pitch,
        sound=block,
        means=means,
        log_variances=log_variances,
        sounding=sounding(block, hop, len(means)),
        level_db=10 * float(np.log10(np.mean(np.square(block, dtype=np.float64)) + 1e-12)),
    )


def sounding(block: np.ndarray, hop: int, frames: int) -> np.ndarray:
    """(samples,) -> (frames,) bool: the hops above -60 dBFS; all of them where none is."""
    padded = np.pad(block, (0, max(0, frames * hop - len(block))))[: frames * hop]
    power = np.square(padded.reshape(frames, hop), dtype=np.float64).mean(1)
    loud: np.ndarray = power > db_to_amplitude(FLOOR_DBFS) ** 2
    return loud if loud.any() else np.ones(frames, bool)


def families(notes: Sequence[Note]) -> list[str]:
    """The classes that there are."""
    return sorted({note.family for note in notes if note.family})


def pitches(notes: Sequence[Note]) -> np.ndarray:
    """(notes,) MIDI, NaN for unknown."""
    return np.array([note.pitch for note in notes])


NEAR_SEMITONES = 4.0
"""Notes of two classes that are to be of one pitch may differ so much."""


def loud(notes: Sequence[Note]) -> list[int]:
    """The louder half."""
    levels = np.array([note.level_db for note in notes])
    return np.flatnonzero(levels >= np.median(levels)).tolist()


def middle_note(notes: Sequence[Note], vectors: np.ndarray) -> int:
    """The loud note nearest to the middle of all."""
    among = loud(notes)
    return among[int(np.square(vectors[among]).sum(1).argmin())]


def spread(vectors: np.ndarray, among: Sequence[int], count: int) -> list[int]:
    """Some that lie far from each other: the first nearest the middle, each next furthest from those before
    (Gonzalez 1985)."""
    places = vectors[list(among)]
    chosen = [int(np.square(places - places.mean(0)).sum(1).argmin())]
    distance = np.square(places - places[chosen[0]]).sum(1)
    while len(chosen) < min(count, len(among)):
        chosen.append(int(distance.argmax()))
        distance = np.minimum(distance, np.square(places - places[chosen[-1]]).sum(1))
    return [among[i] for i in chosen]


def notes_of_classes(notes: Sequence[Note], vectors: np.ndarray, count: int) -> list[int]:
    """One loud note of each of some classes that lie far apart; without classes, notes far apart."""
    names = families(notes)
    if len(names) < 2:
        return spread(vectors, loud(notes), count)
    members = {name: [i for i, note in enumerate(notes) if note.family == name] for name in names}
    centres = np.array([vectors[members[name]].mean(0) for name in names])
    picked = spread(centres, range(len(names)), count)
    return [_example(notes, vectors, members[names[i]]) for i in picked]


def _example(notes: Sequence[Note], vectors: np.ndarray, members: Sequence[int]) -> int:
    """The loud one nearest to the middle of its class."""
    levels = np.array([notes[i].level_db for i in members])
    louder = [i for i, level in zip(members, levels, strict=True) if level >= np.median(levels)]
    centre = vectors[list(members)].mean(0)
    return louder[int(np.square(vectors[louder] - centre).sum(1).argmin())]


def corner_notes(notes: Sequence[Note], vectors: np.ndarray) -> list[int]:
    """Four notes for a grid, row by row: two classes at two pitches where there are such; else one class' lowest and
    highest, or notes far apart. Fewer where there are no four."""
    heights = pitches(notes)
    known = np.isfinite(heights)
    names = families([n for n, there in zip(notes, known, strict=True) if there])
    if known.sum() >= 4 and len(names) >= 2:
        low, high = np.quantile(heights[known], (0.25, 0.75))
        found = {name: _at(notes, heights, name, (low, high)) for name in names}
        apart = [
            (_mean(notes, vectors, a), _mean(notes, vectors, b), a, b)
            for a, b in itertools.combinations(names, 2)
        ]
        pairs = [(np.square(x - y).sum(), a, b) for x, y, a, b in apart if found[a] and found[b]]
        if pairs and high - low >= 1:
            _, one, other = max(pairs)
            return [*found[one], *found[other]]
    return spread(vectors, loud(notes), 4)


def _mean(notes: Sequence[Note], vectors: np.ndarray, name: str) -> np.ndarray:
    middle: np.ndarray = vectors[[i for i, note in enumerate(notes) if note.family == name]].mean(0)
    return middle


def _at(notes: Sequence[Note], heights: np.ndarray, name: str, targets: tuple[float, float]) -> list[int]:
    """The class' loudest notes near each of two pitches; nothing where it has not both."""
    found = []
    for target in targets:
        near = [
            i for i, n in enumerate(notes) if n.family == name and abs(heights[i] - target) <= NEAR_SEMITONES
        ]
        if near:
            found.append(max(near, key=lambda i: notes[i].level_db - 3 * abs(heights[i] - target)))
    return found if len(set(found)) == 2 else []
