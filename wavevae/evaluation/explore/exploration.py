"""One exploration, from the sounds chosen to the page; the output folder is written whole or not at all."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from wavevae.console import ConsoleProgress, say
from wavevae.evaluation.judged_latents import draw_map, pca_plane
from wavevae.evaluation.report import prepared
from wavevae.evaluation.selection import Selection
from wavevae.units import samples_to_frames, seconds_to_samples

from . import note_vectors
from .contact_sheet import Cell, Grid, write_grid, write_page
from .explored_model import ExploredModel
from .latent_edits import Target, interpolation, transfers, traversals
from .notes import Note, corner_notes, families, middle_note, notes_of_classes, pitches, read_notes

HEARD_S = 1.5
"""Of each note in a grid."""
DRAWN_S = 4.0
DRAWS, ROWS, TARGETS = 6, 4, 3
SEED = 0
FEWEST_FOR_A_MAP = 3


@dataclass
class Exploration:
    """What is at hand while it is put together."""

    instrument: ExploredModel
    notes: list[Note]
    found: np.ndarray
    """(notes, dims): the note vectors."""
    folder: Path
    remarks: list[str] = field(default_factory=list)
    pictures: dict[str, Path] = field(default_factory=dict)
    grids: list[tuple[Path, Grid]] = field(default_factory=list)

    @property
    def samples(self) -> int:
        return seconds_to_samples(HEARD_S, self.instrument.sample_rate)

    def add(self, name: str, grid: Grid | None) -> None:
        """Write a grid; nothing where there is none."""
        if grid is not None:
            write_grid(self.folder / name, grid, self.instrument.sample_rate)
            self.grids.append((self.folder / name, grid))

    def draw_maps(self, with_umap: bool) -> None:
        """PCA, UMAP, and the frames in the plane of the XY pad."""
        if len(self.notes) < FEWEST_FOR_A_MAP:
            self.remarks.append(f"no maps of {len(self.notes)} notes: they need {FEWEST_FOR_A_MAP}")
            return
        colours = ([n.family or None for n in self.notes], pitches(self.notes))
        dots, names = pca_plane(self.found)
        draw_map(self.folder / "maps" / "pca.png", dots, *colours, names)
        self.pictures["notes, by PCA of their vectors"] = self.folder / "maps" / "pca.png"
        if with_umap:
            places, why = note_vectors.umap_plane(self.found)
            if places is None:
                self.remarks.append(why)
            else:
                draw_map(self.folder / "maps" / "umap.png", places, *colours, ("UMAP 1", "UMAP 2"))
                self.pictures["notes, by UMAP"] = self.folder / "maps" / "umap.png"
        note_vectors.draw_frames(self.folder / "maps" / "frames.png", self.instrument, self.notes)
        caption = "frames, in the plane of the XY pad that `wavevae serve` shows"
        self.pictures[caption] = self.folder / "maps" / "frames.png"

    def add_grids(self) -> None:
        """Traversals, interpolation, draws, transfer."""
        notes, instrument = self.notes, self.instrument
        moved, scaled = traversals(instrument, notes[middle_note(notes, self.found)], self.samples)
        self.add("moved", moved)
        self.add("scaled", scaled)
        corners = [notes[i] for i in corner_notes(notes, self.found)]
        if len(corners) > 1:
            self.add("between", interpolation(instrument, corners, self.samples))
        self.add("drawn", self.draws())
        self.transfer()

    def of_classes(self, count: int) -> list[Note]:
        return [self.notes[i] for i in notes_of_classes(self.notes, self.found, count)]

    def draws(self) -> Grid | None:
        """From the density of the training latents, under the labels of some notes where it is told any."""
        instrument = self.instrument
        samples = seconds_to_samples(DRAWN_S, instrument.sample_rate)
        conditional = instrument.facts.condition != "none"
        picked = self.of_classes(DRAWS) if conditional else []
        frames = samples_to_frames(samples, instrument.hop_length)
        drawn = instrument.run.sample(DRAWS, frames, SEED, [n.labels for n in picked])
        if drawn is None:
            return None
        sounds = drawn[:, :samples].numpy()
        captions = [n.family or n.title for n in picked] or [f"draw {n + 1}" for n in range(DRAWS)]
        row = [Cell(f"{n + 1}", captions[n % len(captions)], sounds[n]) for n in range(DRAWS)]
        about = f"{DRAWN_S:g} s each from the density of the training latents: it knows how they move, not phrases."
        return Grid("Draws", about, [row[:3], row[3:]])

    def transfer(self) -> None:
        notes = self.of_classes(ROWS)
        if len(notes) < 2:
            return
        of_family = {name: [n for n in self.notes if n.family == name] for name in families(self.notes)}
        targets = [Target(self.instrument, n, of_family.get(n.family, [n])) for n in notes[:TARGETS]]
        self.add("transfer", transfers(self.instrument, notes[1:], targets, self.samples))

    def find_neighbours(self) -> dict[str, Any]:
        """neighbours.csv, some of them to hear, and how alike they are."""
        near = note_vectors.nearest(self.notes, self.found)
        note_vectors.write_neighbours(self.folder / "neighbours.csv", self.notes, near)
        shown = notes_of_classes(self.notes, self.found, ROWS)
        self.add("neighbours", note_vectors.neighbours_grid(self.notes, near, shown, self.samples))
        return note_vectors.likeness(self.notes, near)


def label_remarks(notes: Sequence[Note]) -> list[str]:
    """What the colours cannot say."""
    names, said = families(notes), []
    if not names:
        said.append(
            "no file has a class (a folder of its own, or NSynth's instrument_family): maps are uncoloured"
        )
    elif len(names) == 1:
        said.append(f"one class only ({names[0]}): nothing to tell apart by colour")
    if not np.isfinite(pitches(notes)).any():
        said.append("no file has a pitch: no map by pitch, grids between notes that lie far apart")
    if max(len(note.means) for note in notes) == 1:
        said.append(
            "every sound is one latent frame: its spread is 0, so notes are told apart by their place alone"
        )
    return said


def skipped_remark(skipped: Sequence[tuple[str, str]]) -> list[str]:
    """How many files were left out, and why the first; label files are no loss."""
    lost = [(name, reason) for name, reason in skipped if not reason.startswith(("labels", "not a sound"))]
    return [f"{len(lost)} files left out or cut short; the first: {lost[0][0]}: {lost[0][1]}"] if lost else []


def explore(
    instrument: ExploredModel, selection: Selection, folder: Path, class_field: str, with_umap: bool
) -> dict[str, Any]:
    """Everything. Returns explore.json. Raises: UserError."""
    begun = time.monotonic()
    progress = ConsoleProgress()
    notes, damaged = read_notes(instrument, selection, class_field, progress)
    with prepared(folder, PARTS) as part:
        found = note_vectors.note_vectors(instrument, notes)
        work = Exploration(instrument, notes, found, part, label_remarks(notes))
        work.remarks += skipped_remark([*selection.skipped, *damaged])
        write_latents(part, notes, found)
        progress("exploring", 0.0, "maps")
        work.draw_maps(with_umap)
        progress("exploring", 0.4, "traversals, interpolations, draws, transfer")
        work.add_grids()
        progress("exploring", 0.8, "neighbours, page")
        alike = work.find_neighbours()
        result = summary(work, selection, alike, time.monotonic() - begun)
        shown = facts_of(result, instrument)
        write_page(
            part / "explore.html", folder.name or "explore", shown, work.remarks, work.pictures, work.grids
        )
        (part / "explore.json").write_text(json.dumps(result, indent=1, allow_nan=False) + "\n")
        progress("exploring", 1.0, f"{len(notes)} notes in {time.monotonic() - begun:.0f} s")
    for remark in work.remarks:
        say(remark)
    return result


def summary(work: Exploration, selection: Selection, alike: dict[str, Any], seconds: float) -> dict[str, Any]:
    """explore.json: plain values."""
    facts = work.instrument.facts
    return {
        "run": str(facts.path),
        "data": selection.how,
        "files": len(selection.sources),
        "notes": len(work.notes),
        "frames": int(sum(len(n.means) for n in work.notes)),
        "audio_seconds": round(sum(len(n.sound) for n in work.notes) / facts.sample_rate, 2),
        "families": {name: sum(n.family == name for n in work.notes) for name in families(work.notes)},
        "with_pitch": int(np.isfinite(pitches(work.notes)).sum()),
        "neighbours": alike,
        "grids": [folder.name for folder, _ in work.grids],
        "maps": [picture.name for picture in work.pictures.values()],
        "remarks": work.remarks,
        "seconds": round(seconds, 2),
    }


def facts_of(result: dict[str, Any], instrument: ExploredModel) -> dict[str, str]:
    facts, near = instrument.facts, result["neighbours"]
    classes = ", ".join(f"{name} {count}" for name, count in result["families"].items()) or "none known"
    shown = {
        "run": f"{result['run']} ({facts.bottleneck}, {facts.sample_rate} Hz, {facts.latent_dim} latents)",
        "data": "{data}: {notes} notes of {files} files, {audio_seconds:.0f} s".format(**result),
        "classes": classes,
    }
    if near.get("same_family") is not None:
        luck = near["same_family_by_chance"]
        shown["neighbours of the same class"] = f"{near['same_family']:.0%} (by chance {luck:.0%})"
    if "pitch_apart_semitones" in near:
        apart, luck = near["pitch_apart_semitones"], near["pitch_apart_by_chance"]
        shown["neighbours' pitches apart"] = f"{apart:.1f} semitones (by chance {luck:.1f})"
    return shown


PARTS = (
    *("latents.npz", "frames.npz", "maps", "moved", "scaled", "between", "drawn", "transfer", "neighbours"),
    *("neighbours.csv", "explore.html", "explore.json"),
)
"""Everything that is written; explore.json comes last."""


def write_latents(folder: Path, notes: Sequence[Note], vectors: np.ndarray) -> None:
    """latents.npz: a row a note. frames.npz: a row a frame, in half precision, `note` saying whose.

    latents.npz: mu, std (notes, latent_dim): mean and standard deviation over the frames that sound; logvar, mean of
    the posterior's log-variance, where there is one; vector, what maps and neighbours are made of; pitch (NaN:
    unknown), family ('' : unknown), keys, paths, start_s, frames, level_db.
    """
    rows = {
        "mu": np.array([n.sounding_means.mean(0) for n in notes], np.float32),
        "std": np.array([n.sounding_means.std(0) for n in notes], np.float32),
        "vector": vectors.astype(np.float32),
        "pitch": pitches(notes).astype(np.float32),
        "family": np.array([n.family for n in notes]),
        "keys": np.array([n.key for n in notes]),
        "paths": np.array([str(n.path) for n in notes]),
        "start_s": np.array([n.start_s for n in notes]),
        "frames": np.array([len(n.means) for n in notes]),
        "level_db": np.array([n.level_db for n in notes], np.float32),
    }
    variances = [n.log_variances[n.sounding].mean(0) for n in notes if n.log_variances is not None]
    if variances:
        rows["logvar"] = np.array(variances, np.float32)
    np.savez(folder / "latents.npz", **rows)  # type: ignore[arg-type]
    frames = {
        "mu": np.concatenate([n.means for n in notes]).astype(np.float16),
        "note": np.repeat(np.arange(len(notes), dtype=np.int32), rows["frames"]),
        "sounding": np.concatenate([n.sounding for n in notes]),
    }
    if variances:
        every = [n.log_variances for n in notes if n.log_variances is not None]
        frames["logvar"] = np.concatenate(every).astype(np.float16)
    np.savez(folder / "frames.npz", **frames)  # type: ignore[arg-type]
