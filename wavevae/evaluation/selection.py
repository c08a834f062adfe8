"""Which files are judged (all, those a run held out, one split of an NSynth set), and their sound as blocks."""

from __future__ import annotations

import csv
import os
import random
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
import yaml
from torch import Tensor

from wavevae.audio import probe, stream_mono
from wavevae.config import RunConfig, from_tree
from wavevae.corpus import find_files
from wavevae.corpus.labels import LISTENED_S, find_pitches, labels_with_pitch, tracked_pitch
from wavevae.errors import UserError
from wavevae.evaluation.metrics import audible
from wavevae.files import printable
from wavevae.units import seconds_to_samples

T = TypeVar("T")


@dataclass(frozen=True)
class Source:
    """A file to be judged."""

    path: Path
    name: str
    """Shown in the report, unique in it: the last two parts of its path, more where two files share them."""
    seconds: float
    """What is judged of it."""
    start_s: float = 0.0
    """Where in it to begin."""
    cut: bool = False
    """Whether `seconds` is less than what follows `start_s`."""
    labels: Mapping[str, Any] = field(default_factory=dict)
    """What is known of it: NSynth's fields, or `class`, the folder."""


@dataclass(frozen=True)
class Selection:
    """The files, how they were chosen, and those that cannot be read."""

    how: str
    sources: tuple[Source, ...]
    skipped: tuple[tuple[str, str], ...]
    """(path, reason)"""

    @property
    def seconds(self) -> float:
        return sum(source.seconds for source in self.sources)


def evenly(items: Sequence[T], count: int) -> list[T]:
    """At most `count` of them, in order, spread evenly over all."""
    places = np.linspace(0, len(items) - 1, min(count, len(items))).round().astype(int)
    return [items[int(place)] for place in places]


def absolute(path: Path) -> Path:
    """Links not followed."""
    return Path(os.path.abspath(path))


def shown(path: Path, parts: int = 2) -> str:
    """FAMILY/name.flac"""
    return printable(Path(*path.parts[-parts:]))


def distinct(sources: Sequence[Source]) -> tuple[Source, ...]:
    """Names that two files share grow to the left until they differ."""
    named, parts = list(sources), 2
    while True:
        counts = Counter(source.name for source in named)
        shared = {
            index
            for index, source in enumerate(named)
            if counts[source.name] > 1 and parts < len(source.path.parts)
        }
        if not shared:
            return tuple(named)
        parts += 1
        named = [replace(s, name=shown(s.path, parts)) if i in shared else s for i, s in enumerate(named)]


def look(path: Path) -> Source | str:
    """A file as a source, or why not."""
    try:
        info = probe(path)
    except UserError as error:
        return str(error).removeprefix(f"{printable(path)}: ")
    return Source(path, shown(path), info.frames / info.sample_rate)


def select(
    paths: Sequence[Path],
    how: str,
    skipped: Sequence[tuple[str, str]] = (),
    labels: Mapping[Path, Mapping[str, Any]] | None = None,
) -> Selection:
    """Probe the files. Raises: UserError where none can be read."""
    sources, unread = [], list(skipped)
    for path in paths:
        found = look(path)
        if isinstance(found, Source):
            sources.append(replace(found, labels=(labels or {}).get(absolute(path), {})))
        else:
            unread.append((printable(path), found))
    if not sources:
        why = f"; the first: {unread[0][0]}: {unread[0][1]}" if unread else ""
        raise UserError(f"no sound file to evaluate ({how}){why}; give a folder of sounds")
    return Selection(how, distinct(sources), tuple(unread))


def everything(inputs: Sequence[Path], split: str | None) -> Selection:
    """All files of the inputs, or one split of an NSynth set. Raises: UserError."""
    found = find_files(inputs)
    skipped = [(printable(f.path), f.reason) for f in found if f.reason]
    labels = {absolute(f.path): f.labels for f in found}
    if split is None:
        return select([f.path for f in found if not f.reason], "all files", skipped, labels)
    chosen = [f.path for f in found if not f.reason and f.split == split]
    if not chosen:
        places = " ".join(str(p) for p in inputs)
        raise UserError(f"--split {split}: {places} has no {split}/ with examples.json; leave --split out")
    return select(chosen, f"the {split} split", skipped, labels)


def run_of(subject: Path) -> Path:
    """The run folder of a RUN or of RUN/checkpoints/x.ckpt. Raises: UserError for anything else."""
    for folder in (subject, subject.parent.parent):
        if (folder / "config.yaml").is_file():
            return folder
    raise UserError(f"--held-out needs a run folder with its config.yaml; {subject} is none")


def read_config(run: Path) -> RunConfig:
    """RUN/config.yaml. Raises: UserError."""
    try:
        return from_tree(yaml.safe_load((run / "config.yaml").read_text(encoding="utf-8")))
    except UserError:
        raise
    except (OSError, ValueError, TypeError, AttributeError, yaml.YAMLError) as error:
        raise UserError(f"{run / 'config.yaml'} cannot be read ({type(error).__name__})") from error


def held_out(subject: Path, inputs: Sequence[Path]) -> Selection:
    """The files that a run held out for validation: as its data_report.csv names them, or, where DATA is given (it
    may have moved), by drawing the run's split again. Of a run on a single file: the end of it.

    Raises: UserError where the subject is no run, its data is gone, or nothing was held out.
    """
    run = run_of(subject)
    config = read_config(run)
    kept = _drawn_again(config, inputs) if inputs else _reported(run, config)
    if not kept:
        share = config.data.validation_share
        raise UserError(f"{run} held out nothing of this (validation_share {share:g}); leave --held-out away")
    labels = labels_of(inputs or inputs_of(run))
    selection = select(list(kept), f"files held out by {printable(run)}", labels=labels)
    return replace(
        selection, sources=tuple(_end_of(source, kept[source.path]) for source in selection.sources)
    )


def inputs_of(run: Path) -> list[Path]:
    """The data that a run was given, where it is still there."""
    try:
        tree = yaml.safe_load((run / "config.yaml").read_text(encoding="utf-8"))
        return [path for path in map(Path, tree["run"]["inputs"]) if path.exists()]
    except (OSError, KeyError, TypeError, yaml.YAMLError):
        return []


def labels_of(inputs: Sequence[Path]) -> dict[Path, Mapping[str, Any]]:
    """{file: labels} of everything in the folders; nothing where there is none."""
    return {absolute(f.path): f.labels for f in find_files(inputs)} if inputs else {}


def _end_of(source: Source, share: float) -> Source:
    """The last `share` of a file."""
    length = source.seconds * share
    return source if share >= 1 else replace(source, seconds=length, start_s=source.seconds - length)


def _used_files(run: Path) -> dict[Path, str]:
    """{file that the run used: what for}, from RUN/data_report.csv. Raises: UserError."""
    try:
        with open(run / "data_report.csv", newline="", encoding="utf-8") as file:
            rows = [row for row in csv.DictReader(file) if row["status"] == "used"]
        return {Path(row["path"]): row["reason"] for row in rows}
    except (OSError, KeyError, ValueError, csv.Error):
        raise UserError(f"{run / 'data_report.csv'} cannot be read; give DATA beside --held-out") from None


def _reported(run: Path, config: RunConfig) -> dict[Path, float]:
    """{file held out: the share of it, counted from its end}, from RUN/data_report.csv."""
    used = _used_files(run)
    kept = {path: 1.0 for path, reason in used.items() if reason.split(";")[0] == "validation"}
    ends = [path for path, reason in used.items() if reason.startswith("its end held out")]
    kept |= dict.fromkeys(ends, config.data.validation_share)
    if kept and not any(path.exists() for path in kept):
        raise UserError(
            f"the run's data is no longer at {next(iter(kept)).parent}; give DATA beside --held-out"
        )
    return kept


def learned_files(subject: Path) -> set[Path]:
    """Files that a run learned from, as its data_report.csv names them; none where that is not to be had."""
    try:
        used = _used_files(run_of(subject))
    except UserError:
        return set()
    return {absolute(path) for path, reason in used.items() if reason.split(";")[0] != "validation"}


def _drawn_again(config: RunConfig, inputs: Sequence[Path]) -> dict[Path, float]:
    """{file held out: the share of it, counted from its end}: the split depends on content, share and seed alone."""
    from wavevae.corpus import build_store, split

    store = build_store(inputs, config.model.sample_rate, config.data.loudness)
    lengths = {item.path: item.length for item in store.items}
    _, validation = split(store, config.data.validation_share, config.train.seed, config.data.split)
    return {Path(item.path): item.length / lengths[item.path] for item in validation}


def limited(selection: Selection, seconds: float | None) -> Selection:
    """At most `seconds`, from files drawn in a fixed random order so that the part speaks for the whole."""
    if seconds is None or selection.seconds <= seconds:
        return selection
    order = list(selection.sources)
    random.Random(0).shuffle(order)
    taken, total = [], 0.0
    for source in order:
        if total >= seconds:
            break
        rest = seconds - total
        taken.append(source if source.seconds <= rest else replace(source, seconds=rest, cut=True))
        total += source.seconds
    return Selection(f"{selection.how}, {seconds:g} s of them", tuple(taken), selection.skipped)


def sound(source: Source, sample_rate: int, block_samples: int) -> Iterator[np.ndarray]:
    """The part of a file that is judged, in blocks of `block_samples`. Raises: UserError where it is damaged."""
    blocks = stream_mono(source.path, sample_rate, block_samples)
    if not source.start_s and not source.cut:
        return blocks
    start = seconds_to_samples(source.start_s, sample_rate)
    stop = start + seconds_to_samples(source.seconds, sample_rate) if source.cut else sys.maxsize
    return reblocked(between(blocks, start, stop), block_samples)


def between(blocks: Iterable[np.ndarray], start: int, stop: int) -> Iterator[np.ndarray]:
    """Samples start..stop of a stream; it is not read further."""
    at = 0
    for block in blocks:
        yield block[max(0, start - at) : max(0, stop - at)]
        at += len(block)
        if at >= stop:
            return


def reblocked(blocks: Iterable[np.ndarray], size: int) -> Iterator[np.ndarray]:
    """The same samples in blocks of `size`, the last one shorter."""
    held = np.zeros(0, np.float32)
    for block in blocks:
        held = np.concatenate([held, block])
        while len(held) >= size:
            yield held[:size]
            held = held[size:]
    if len(held):
        yield held


def with_pitches(
    selection: Selection, sample_rate: int, known_shift: float | None = None
) -> tuple[Selection, list[str]]:
    """Files with the pitch that training would label them with (`wavevae.corpus.labels`), and words for the user.
    `known_shift`: what training found of names and sounds, which a few files would not tell."""
    bare = [number for number, source in enumerate(selection.sources) if "pitch" not in source.labels]

    def listen(number: int) -> float | None:
        blocks = sound(selection.sources[bare[number]], sample_rate, round(LISTENED_S * sample_rate))
        try:
            return tracked_pitch(next(blocks, np.zeros(0, np.float32)), sample_rate)
        except UserError:  # why a file is damaged is said when it is judged
            return None

    names = [selection.sources[number].path.stem for number in bare]
    found = find_pitches(names, listen, known_shift)
    sources = list(selection.sources)
    for number, value, origin in zip(bare, found.values, found.sources, strict=True):
        labels = labels_with_pitch(dict(sources[number].labels), value, origin)
        sources[number] = replace(sources[number], labels=labels)
    return replace(selection, sources=tuple(sources)), found.remarks


MOST_CLIPS = 24
CLIP_S = 5.0


@dataclass(frozen=True)
class Clip:
    """A few seconds of a file."""

    file: str
    audio: Tensor
    """(T,)"""
    labels: Mapping[str, Any] = field(default_factory=dict)


def read_clips(
    sources: Sequence[Source], sample_rate: int, count: int = MOST_CLIPS, seconds: float = CLIP_S
) -> list[Clip]:
    """At most `count` audible clips, from as many files as there are: files evenly spread over all; several places
    of each where the files are few. Files that cannot be read are left out."""
    chosen = evenly(sources, count)
    found: list[Clip] = []
    for number, source in enumerate(chosen):
        wanted = count // len(chosen) + (number < count % len(chosen))
        places = min(wanted, max(1, int(source.seconds / seconds)))
        starts_s = [
            max(0.0, (k + 0.5) * source.seconds / places - 0.5 * seconds) if places > 1 else 0.0
            for k in range(places)
        ]
        found += read_places(source, sample_rate, starts_s, seconds)
    return found


def read_places(source: Source, sample_rate: int, starts_s: Sequence[float], seconds: float) -> list[Clip]:
    """The audible ones of so many seconds from each start; the file is read once."""
    spans = [
        (seconds_to_samples(s, sample_rate), seconds_to_samples(s + seconds, sample_rate)) for s in starts_s
    ]
    first, last = spans[0][0], spans[-1][1]
    try:
        blocks = list(between(sound(source, sample_rate, sample_rate), first, last))
    except UserError:
        return []
    whole = torch.from_numpy(np.concatenate([*blocks, np.zeros(0, np.float32)]))
    cuts = [whole[a - first : b - first] for a, b in spans]
    return [Clip(source.name, cut, source.labels) for cut in cuts if len(cut) and bool(audible(cut[None])[0])]
