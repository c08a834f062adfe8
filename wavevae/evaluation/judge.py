"""One pass over the files: reconstructed, cut into chunks, measured, moments kept; in bounded memory."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from wavevae.audio import printable, stream_mono
from wavevae.corpus import ConsoleProgress
from wavevae.errors import UserError
from wavevae.evaluation import chunks, listen
from wavevae.evaluation.listen import Excerpt
from wavevae.evaluation.measure import Measure
from wavevae.evaluation.selection import Selection, Source
from wavevae.evaluation.subject import Subject
from wavevae.units import seconds_to_samples


@dataclass(frozen=True)
class Verdict:
    """What the pass found."""

    measure: Measure
    excerpts: tuple[Excerpt, ...]
    """Moments that can be heard."""
    damaged: tuple[tuple[str, str], ...]
    """(path, reason) of files that broke off; what came before is judged."""
    seconds: float
    """Of sound gone by."""


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


def judge_file(
    subject: Subject, source: Source, excerpts: Sequence[Excerpt], measure: Measure
) -> Iterator[int]:
    """Reconstruct and measure one file; gives the samples of each piece as it goes by. Raises: UserError."""
    facts = subject.facts
    passed: list[int] = []
    blocks = sound(source, facts.sample_rate, subject.block_samples)
    pieces = listen.overhear(subject.reconstruct(blocks), excerpts, passed)
    for chunk in chunks.cut(pieces, facts.sample_rate, facts.hop_length):
        measure.add(source.name, chunk)
        yield sum(passed)
        passed.clear()
    yield sum(passed)


def judge(subject: Subject, selection: Selection, pairs: int) -> Verdict:
    """Judge every file; keep `pairs` moments to hear and see. Raises: RuntimeError where the model gives NaN."""
    facts = subject.facts
    measure = Measure(facts.sample_rate, facts.hop_length, facts.latent_dim)
    planned = listen.plan(selection.sources, pairs, facts.sample_rate)
    progress = ConsoleProgress()
    damaged = []
    heard = 0
    for index, source in enumerate(selection.sources):
        try:
            for samples in judge_file(subject, source, planned.get(index, []), measure):
                heard += samples
                share = min(0.999, heard / facts.sample_rate / selection.seconds)
                progress("evaluate", share, f"{index + 1} of {len(selection.sources)} files")
        except UserError as error:
            damaged.append((printable(source.path), f"{error}; judged up to there"))
    progress("evaluate", 1.0, f"{heard / facts.sample_rate:.0f} s judged")
    audible = tuple(e for group in planned.values() for e in group if e.audible())
    return Verdict(measure, audible, tuple(damaged), heard / facts.sample_rate)
