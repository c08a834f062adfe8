"""Which files are judged: all of them, those a run held out, or one split of an NSynth set."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml

from wavevae.audio import printable, probe
from wavevae.config import RunConfig, from_tree
from wavevae.corpus import find_files
from wavevae.errors import UserError


@dataclass(frozen=True)
class Source:
    """A file to be judged."""

    path: Path
    name: str
    """Shown in the report: the last two parts of its path."""
    seconds: float
    """What is judged of it."""
    limit_s: float | None = None
    """Judge only so much, from its start; none: all of it."""


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


def shown(path: Path) -> str:
    """FAMILY/name.flac"""
    return printable(Path(*path.parts[-2:]))


def look(path: Path) -> Source | str:
    """A file as a source, or why not."""
    try:
        info = probe(path)
    except UserError as error:
        return str(error).removeprefix(f"{printable(path)}: ")
    return Source(path, shown(path), info.frames / info.sample_rate)


def select(paths: Sequence[Path], how: str, skipped: Sequence[tuple[str, str]] = ()) -> Selection:
    """Probe the files. Raises: UserError where none can be read."""
    sources, unread = [], list(skipped)
    for path in paths:
        found = look(path)
        if isinstance(found, Source):
            sources.append(found)
        else:
            unread.append((printable(path), found))
    if not sources:
        why = f"; the first: {unread[0][0]}: {unread[0][1]}" if unread else ""
        raise UserError(f"no sound file to evaluate ({how}){why}; give a folder of sounds")
    return Selection(how, tuple(sources), tuple(unread))


def everything(inputs: Sequence[Path], split: str | None) -> Selection:
    """All files of the inputs, or one split of an NSynth set. Raises: UserError."""
    found = find_files(inputs)
    skipped = [(printable(f.path), f.reason) for f in found if f.reason]
    if split is None:
        return select([f.path for f in found if not f.reason], "all files", skipped)
    chosen = [f.path for f in found if not f.reason and f.split == split]
    if not chosen:
        places = " ".join(str(p) for p in inputs)
        raise UserError(f"--split {split}: {places} has no {split}/ with examples.json; leave --split out")
    return select(chosen, f"the {split} split", skipped)


def run_of(subject: Path) -> Path:
    """The run folder of a RUN or of RUN/checkpoints/x.ckpt. Raises: UserError for anything else."""
    for folder in (subject, subject.parent.parent):
        if (folder / "config.yaml").is_file():
            return folder
    raise UserError(f"--held-out needs a run folder with its config.yaml; {subject} is none")


def read_run(run: Path) -> tuple[RunConfig, list[Path]]:
    """RUN/config.yaml: the configuration and the data it was trained on. Raises: UserError."""
    try:
        tree = yaml.safe_load((run / "config.yaml").read_text(encoding="utf-8"))
        notes: dict[str, Any] = tree.get("run") or {}
        return from_tree(tree), [Path(p) for p in notes.get("inputs", [])]
    except UserError:
        raise
    except (OSError, ValueError, TypeError, AttributeError, yaml.YAMLError) as error:
        raise UserError(f"{run / 'config.yaml'} cannot be read ({type(error).__name__})") from error


def held_out(subject: Path, inputs: Sequence[Path]) -> Selection:
    """The files that a run held out for validation: its split, drawn again. Without inputs: from its own data.

    Raises: UserError where the subject is no run, its data is gone, or nothing was held out.
    """
    from wavevae.corpus import build_store, split

    run = run_of(subject)
    config, own = read_run(run)
    if not inputs and not own:
        from wavevae.synthesis import demo_corpus

        own = [demo_corpus(config.model.sample_rate)]
    places = list(inputs) or own
    store = build_store(places, config.model.sample_rate, config.data.loudness)
    _, validation = split(store, config.data.validation_share, config.train.seed)
    if not validation:
        raise UserError(
            f"{run} held no file out (validation_share {config.data.validation_share}); see data_report"
        )
    return select([Path(item.path) for item in validation], f"files held out by {run}")


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
        taken.append(source if source.seconds <= rest else replace(source, seconds=rest, limit_s=rest))
        total += source.seconds
    return Selection(f"{selection.how}, {seconds:g} s of them", tuple(taken), selection.skipped)
