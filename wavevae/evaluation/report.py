"""What is left behind: report.json, report.html, chunks.csv, sound pairs, pictures; whole or not at all."""

from __future__ import annotations

import csv
import json
import math
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from wavevae import audio, plots
from wavevae.errors import UserError
from wavevae.evaluation import judged_latents, report_page
from wavevae.evaluation.excerpts import Excerpt, Sample
from wavevae.evaluation.glossary import ABOUT, ABOUT_PLAYING, MEANS
from wavevae.evaluation.measure import Figures, Intervals, Measure, Measurement
from wavevae.evaluation.metrics import FLOOR_DBFS
from wavevae.evaluation.model_under_test import Facts
from wavevae.evaluation.playing import Demonstration, Playing
from wavevae.evaluation.playing.draws import Generated
from wavevae.evaluation.selection import Selection
from wavevae.files import part_folder, put_in_place, write_errors

PARTS = (
    *("pairs", "generated", "samples", "playing", "spectrograms", "latents"),
    *("overview.png", "chunks.csv", "report.html", "report.json"),
)
"""Everything an evaluation writes; report.json comes last, so that it stands only beside the rest."""
GENERATED_KEPT = 4
"""Draws from the prior that are kept to be heard."""


@dataclass(frozen=True)
class Findings:
    """All that an evaluation found out, ready to be written."""

    facts: Facts
    selection: Selection
    measurement: Measurement
    figures: Figures
    intervals: Intervals
    generated: Generated | None = None
    more: Mapping[str, Any] = field(default_factory=dict)
    """Anchors, probes, swaps."""
    remarks: tuple[str, ...] = ()
    """What was asked for and could not be had."""
    bounds: tuple[Excerpt, ...] = ()
    """A spectrogram model's: the measurement's moments as their own features sound, inverted."""
    samples: Sequence[Sample] = ()
    """Files as they are, resynthesised and drawn anew."""
    playing: Playing | None = None
    """None with --no-playing."""
    notes: Sequence[plots.Notes] = ()
    """Of the measurement's moments, where the model finds any."""


def compose(found: Findings) -> dict[str, Any]:
    facts, measure = found.facts, found.measurement.measure
    skipped = (*found.selection.skipped, *found.measurement.damaged)
    report = {
        **found.figures,
        "fad_embedding": f"{measure.embedding.name} ({measure.embedding.dims} dims)",
        "equals_opus_kbps": None,
        **found.more,
        "confidence": {name: list(ends) if ends else None for name, ends in found.intervals.items()},
        "chunks_used": len(measure.rows),
        "chunks_left_out": measure.left_out,
        "subject": str(facts.path),
        "subject_kind": facts.kind,
        "sample_rate": facts.sample_rate,
        "hop_length": facts.hop_length,
        "latent_dim": facts.latent_dim,
        "bottleneck": facts.bottleneck,
        "details": facts.details,
        "data": found.selection.how,
        "files": len(found.selection.sources),
        "files_skipped": [{"path": path, "reason": reason} for path, reason in skipped],
        "seconds": round(found.measurement.seconds, 3),
        "silence_dbfs": FLOOR_DBFS,
        "remarks": list(found.remarks),
        "wavevae": version("wavevae"),
        "means": MEANS,
    }
    report["about"] = {name: text for name, text in ABOUT.items() if name in report}
    if found.playing is not None:
        report["playing"] = found.playing.figures
        report["about"]["playing"] = ABOUT_PLAYING
    return report


def check_folder(folder: Path, parts: Sequence[str] = PARTS, key: str = "chunks_used") -> None:
    """Raises: UserError where `parts` would replace something else than what the same command wrote, whose last part
    is a JSON file with this key."""
    if folder.exists() and not folder.is_dir():
        raise UserError(f"-o {folder} is a file; name a folder")
    found = [name for name in parts if (folder / name).exists()]
    if found and not _has_key(folder / parts[-1], key):
        raise UserError(f"-o {folder} holds '{found[0]}' from elsewhere; name another folder")


def _has_key(path: Path, key: str) -> bool:
    try:
        return key in json.loads(path.read_text())
    except (OSError, ValueError, TypeError):
        return False


@contextmanager
def prepared(folder: Path, parts: Sequence[str] = PARTS) -> Iterator[Path]:
    """A hidden folder to write into; at the end its parts are put into place, the last of them last, so that it stands
    only beside the rest; an older report is replaced."""
    last = folder / parts[-1]
    with write_errors(last), part_folder(folder, last.stem) as part:
        yield part
        last.unlink(missing_ok=True)
        for name in parts:
            put_in_place(part / name, folder / name)


def write(folder: Path, report: Mapping[str, Any], found: Findings) -> None:
    """Everything, whole or not at all."""
    rate = found.facts.sample_rate
    labels = {source.name: source.labels for source in found.selection.sources}
    with prepared(folder) as part:
        _write_chunks(part / "chunks.csv", found.measurement.measure)
        moments = _write_excerpts(part, found, rate)
        _write_samples(part / "samples", found.samples, rate)
        drawn = _write_generated(part / "generated", found.generated, rate)
        pictures = judged_latents.write_pictures(
            part / "latents", found.measurement.collected, found.measurement.excerpts, labels, rate
        )
        played = _write_playing(part / "playing", found.playing.demonstrations if found.playing else (), rate)
        report_page.write(
            part / "report.html", report, report_page.Material(part, moments, drawn, pictures, played)
        )
        (part / "report.json").write_text(json.dumps(report, indent=1, allow_nan=False) + "\n")


def _write_chunks(path: Path, measure: Measure) -> None:
    """One row a chunk that was heard; a figure that does not apply is left empty."""
    names = list(measure.rows[0].figures)
    with open(path, "w", newline="", encoding="utf-8", errors="backslashreplace") as file:
        table = csv.writer(file)
        table.writerow(["file", "start_s", "level_dbfs", *names])
        for row in measure.rows:
            values = [row.figures[name] for name in names]
            figures = [f"{value:.6g}" if math.isfinite(value) else "" for value in values]
            table.writerow([row.file, f"{row.start_s:.3f}", f"{row.level_dbfs:.2f}", *figures])


def _write_excerpts(folder: Path, found: Findings, sample_rate: int) -> list[report_page.Moment]:
    """pairs/NN-name-{reference,reconstruction}.wav, and -upper-bound.wav of a spectrogram model;
    spectrograms/NN-name.png, overview.png."""
    pairs, moments = [], []
    for number, excerpt in enumerate(found.measurement.excerpts, 1):
        stem = f"{number:02d}-{_file_name(excerpt.source.name.rsplit('.', 1)[0]).strip('-')}"
        start_s = excerpt.start / sample_rate
        title = excerpt.source.name + (f", from {start_s:.1f} s" if excerpt.start else "")
        sounds = {"reference": excerpt.reference, "reconstruction": excerpt.estimate}
        pairs.append(plots.Pair(title, *sounds.values()))
        paths = {kind: folder / "pairs" / f"{stem}-{kind}.wav" for kind in (*sounds, "upper-bound")}
        picture = folder / "spectrograms" / f"{stem}.png"
        told = {kind: paths[kind] for kind in sounds}
        notes = found.notes[number - 1] if found.notes else None
        moment = _write_moment(title, sounds, told, picture, sample_rate, notes)
        if found.bounds:
            audio.write(paths["upper-bound"], found.bounds[number - 1].estimate, sample_rate)
            moment = replace(moment, sounds=paths)
        moments.append(moment)
    if pairs:
        plots.overview(pairs, sample_rate, folder / "overview.png")
    return moments


def _file_name(text: str) -> str:
    """What is no letter, digit, dot, dash or underscore becomes a dash."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", text)


def _write_moment(
    title: str,
    sounds: Mapping[str, np.ndarray],
    paths: Mapping[str, Path],
    picture: Path,
    sample_rate: int,
    notes: plots.Notes | None = None,
    by_pitch: bool = False,
) -> report_page.Moment:
    """A WAV each, and one picture of their spectrograms."""
    for caption, sound in sounds.items():
        audio.write(paths[caption], sound, sample_rate)
    plots.spectrogram_stack(sounds, sample_rate, picture, title, notes, by_pitch)
    return report_page.Moment(title, paths, picture)


def _write_generated(folder: Path, generated: Generated | None, sample_rate: int) -> list[report_page.Moment]:
    """generated/N.wav and generated/N.png: some draws from the prior."""
    moments = []
    for number, sound in enumerate([] if generated is None else generated.sounds[:GENERATED_KEPT], 1):
        title, path = f"draw {number}", folder / f"{number}.wav"
        moment = _write_moment("", {title: sound}, {title: path}, path.with_suffix(".png"), sample_rate)
        moments.append(replace(moment, title=title))
    return moments


def _write_samples(folder: Path, samples: Sequence[Sample], sample_rate: int) -> None:
    """As study A left them: sample_{id}_class_{label}/{gt.wav, recon.wav, gen.wav, spectrograms.png}."""
    for number, sample in enumerate(samples):
        place = folder / f"sample_{number}_class_{_file_name(sample.label)}"
        sounds = {"gt": sample.original, "recon": sample.reconstruction}
        if sample.generated is not None:
            sounds["gen"] = sample.generated
        paths = {name: place / f"{name}.wav" for name in sounds}
        _write_moment(sample.name, sounds, paths, place / "spectrograms.png", sample_rate)


def _write_playing(
    folder: Path, shown: Sequence[Demonstration], sample_rate: int
) -> list[report_page.Played]:
    """playing/KIND-N-CAPTION.wav and KIND-N.png: held tones, sweeps, transfers and performances, numbered by kind."""
    counts: Counter[str] = Counter()
    played = []
    for one in shown:
        counts[one.kind] += 1
        stem = f"{one.kind}-{counts[one.kind]}"
        paths = {caption: folder / f"{stem}-{caption}.wav" for caption in one.sounds}
        picture, by_pitch = folder / f"{stem}.png", one.notes is not None and one.notes.profile.has_pitch
        moment = _write_moment(one.title, one.sounds, paths, picture, sample_rate, one.notes, by_pitch)
        played.append(report_page.Played(one.kind, moment))
    return played
