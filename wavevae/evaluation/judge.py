"""One pass over the files: reconstructed, cut into chunks, measured, moments kept; in bounded memory."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from wavevae.audio import printable, stream_mono
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


class Progress:
    """Seconds judged: a line that is rewritten on a terminal, one every ten seconds elsewhere."""

    def __init__(self, total_s: float) -> None:
        self.total_s, self.live = total_s, sys.stderr.isatty()
        self.start = self.told = time.monotonic()

    def tell(self, done_s: float) -> None:
        now = time.monotonic()
        if now - self.told < (0.2 if self.live else 10.0):
            return
        self.told = now
        speed = done_s / max(1e-9, now - self.start)
        text = f"{done_s:.0f} of {self.total_s:.0f} s judged, {speed:.0f} x real time"
        print(f"\r{text} " if self.live else text, end="" if self.live else "\n", file=sys.stderr, flush=True)

    def end(self) -> None:
        if self.live:
            print("\r" + " " * 60 + "\r", end="", file=sys.stderr, flush=True)


def sound(source: Source, sample_rate: int, block_samples: int) -> Iterator[np.ndarray]:
    """The blocks of a file, up to its limit. Raises: UserError where it is damaged."""
    left = None if source.limit_s is None else seconds_to_samples(source.limit_s, sample_rate)
    for block in stream_mono(source.path, sample_rate, block_samples):
        if left is None:
            yield block
            continue
        yield block[:left]
        left -= len(block)
        if left <= 0:
            return


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
    progress = Progress(selection.seconds)
    damaged = []
    heard = 0
    for index, source in enumerate(selection.sources):
        try:
            for samples in judge_file(subject, source, planned.get(index, []), measure):
                heard += samples
                progress.tell(heard / facts.sample_rate)
        except UserError as error:
            damaged.append((printable(source.path), f"{error}; judged up to there"))
    progress.end()
    audible = tuple(e for group in planned.values() for e in group if e.audible())
    return Verdict(measure, audible, tuple(damaged), heard / facts.sample_rate)
