"""Pitch invariance and timbre separation: what a linear reader finds in the latents of a file.

A file is the mean and the log standard deviation of each latent axis over the seconds that are heard. The reader is
trained on other labelled files of DATA where there are enough, else on the judged files in turns (five folds).
Chance is what the best single answer, given for every judged file, would score.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from wavevae.corpus import find_files
from wavevae.corpus.labels import class_of, pitch_of
from wavevae.errors import UserError
from wavevae.evaluation import disentanglement, linear, metrics
from wavevae.evaluation.excerpts import cut_chunks
from wavevae.evaluation.judged_latents import LatentCollector
from wavevae.evaluation.model_under_test import Labels, ModelUnderTest, Run
from wavevae.evaluation.selection import Selection, Source, absolute, inputs_of, look, sound, with_pitches

FOLDS = 5
FEWEST = 20
"""Labelled files that a probe needs to be worth a figure."""
LONGEST_S = 30.0
"""Heard of a file that only trains probes."""


@dataclass(frozen=True)
class Wanted:
    """What the user asks for."""

    data: Sequence[Path]
    files: int
    """Most files to train on."""
    class_field: str = ""


@dataclass(frozen=True)
class Labelled:
    """Files as vectors with names."""

    files: list[str]
    vectors: np.ndarray
    names: list[str]


def others(subject: ModelUnderTest, selection: Selection, wanted: Wanted, most: int) -> list[Source]:
    """Labelled files of DATA (or of the run's own data) that are not judged, in a fixed random order; those of an
    unconditional model train probes only."""
    most = most if subject.facts.condition != "none" else wanted.files
    judged = {absolute(source.path) for source in selection.sources}
    data = list(wanted.data)
    if not data and isinstance(subject, Run):
        path = subject.facts.path
        data = inputs_of(next(p for p in (path, *path.parents) if p.is_dir()))
    files = find_files(data) if data else []
    found = [f for f in files if not f.reason and f.labels and absolute(f.path) not in judged]
    random.Random(0).shuffle(found)
    sources: list[Source] = []
    for entry in found:
        if len(sources) >= most:
            break
        source = look(entry.path)
        if isinstance(source, Source):
            seconds, cut = min(source.seconds, LONGEST_S), source.seconds > LONGEST_S
            sources.append(Source(source.path, str(entry.path), seconds, cut=cut, labels=entry.labels))
    if "pitch" in subject.facts.condition and sources:
        bare = replace(selection, sources=tuple(sources))
        return list(with_pitches(bare, subject.facts.sample_rate, subject.facts.name_shift)[0].sources)
    return sources


def encoded(subject: ModelUnderTest, sources: Sequence[Source]) -> dict[str, np.ndarray]:
    """{file: summary of its latents}, as the judged files have theirs; damaged files as far as they go."""
    facts = subject.facts
    collected = LatentCollector(facts.latent_dim)
    for source in sources:
        try:
            pieces = subject.encode(sound(source, facts.sample_rate, subject.block_samples), source.labels)
            for chunk in cut_chunks(pieces, facts.sample_rate, facts.hop_length):
                if bool(metrics.audible(chunk.reference[None])[0]) and chunk.latents is not None:
                    collected.add(source.name, chunk.latents)
        except UserError:
            continue
    return collected.summaries()


def labelled(
    summaries: Mapping[str, np.ndarray], sources: Sequence[Source], name_of: Callable[[Labels], str | None]
) -> Labelled:
    """The files that have both a summary and a name."""
    chosen = [(s.name, name_of(s.labels)) for s in sources if s.name in summaries]
    there = [(file, name) for file, name in chosen if name is not None]
    vectors = np.array([summaries[file] for file, _ in there])
    return Labelled([file for file, _ in there], vectors, [name for _, name in there])


def folds(count: int) -> list[np.ndarray]:
    """Which of `count` files are left out in each turn."""
    order = np.random.default_rng(0).permutation(count)
    return [np.isin(np.arange(count), order[start::FOLDS]) for start in range(FOLDS)]


def read(judged: Labelled, training: Labelled) -> dict[str, Any] | None:
    """What a probe scores; none where there are too few labelled files or only one name."""
    if len(set(training.names)) >= 2 and len(training.names) >= FEWEST and len(judged.names) >= 2:
        said = linear.fit(training.vectors, training.names)(judged.vectors)
        return _score(judged, said, f"{len(training.names)} other files")
    if len(set(judged.names)) < 2 or len(judged.names) < FEWEST:
        return None
    said = [""] * len(judged.names)
    for held in folds(len(judged.names)):
        names = [name for name, out in zip(judged.names, held, strict=True) if not out]
        if len(set(names)) < 2:
            return None
        answers = linear.fit(judged.vectors[~held], names)(judged.vectors[held])
        for place, answer in zip(np.flatnonzero(held), answers, strict=True):
            said[place] = answer
    return _score(judged, said, f"the judged files in {FOLDS} turns")


def _score(judged: Labelled, said: Sequence[str], trained_on: str) -> dict[str, Any]:
    return {
        **linear.scored(judged.files, said, judged.names),
        "chance": Counter(judged.names).most_common(1)[0][1] / len(judged.names),
        "files": len(judged.names),
        "labels": len(set(judged.names)),
        "trained_on": trained_on,
    }


def readers(field: str) -> dict[str, Callable[[Labels], str | None]]:
    """What is looked for: {name: label of a file}."""

    def pitch(labels: Labels) -> str | None:
        found = pitch_of(labels)
        return None if found is None else str(round(found))  # the nearest note

    return {"pitch": pitch, "class": lambda labels: class_of(labels, field)}


def run(
    subject: ModelUnderTest, selection: Selection, collected: LatentCollector, wanted: Wanted
) -> tuple[dict[str, Any], list[str]]:
    """{probes: ..., swaps: ...} for report.json, and what could not be had."""
    field = wanted.class_field or subject.facts.class_field
    looked_for = readers(field)
    known = [name for name, of in looked_for.items() if any(of(s.labels) for s in selection.sources)]
    found: dict[str, Any] = {}
    remarks: list[str] = []
    rest = others(subject, selection, wanted, disentanglement.TRAINING_FILES) if known else []
    training = rest[: wanted.files]
    if known and collected.pools:
        summaries = encoded(subject, training)
        probes = {
            name: read(
                labelled(collected.summaries(), selection.sources, looked_for[name]),
                labelled(summaries, training, looked_for[name]),
            )
            for name in known
        }
        found["probes"] = {name: probe for name, probe in probes.items() if probe is not None}
        missing = [name for name, probe in probes.items() if probe is None]
        if missing:
            remarks.append(
                f"no probe of {' and '.join(missing)}: fewer than {FEWEST} labelled files, or one label only"
            )
    moved = disentanglement.run(subject, selection, rest, field)
    if moved:
        found["swaps"] = moved
    return found, remarks
