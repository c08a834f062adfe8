"""One pass over the files: reconstructed, cut into chunks, measured, moments kept; in bounded memory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from wavevae.audio import printable
from wavevae.corpus import ConsoleProgress
from wavevae.errors import UserError
from wavevae.evaluation import chunks
from wavevae.evaluation.embeddings import Embedding
from wavevae.evaluation.excerpts import Excerpt, overhear, plan
from wavevae.evaluation.latent_collector import LatentCollector
from wavevae.evaluation.measure import Measure
from wavevae.evaluation.model_under_test import ModelUnderTest
from wavevae.evaluation.selection import Selection, Source
from wavevae.evaluation.sounds import sound


@dataclass(frozen=True)
class Verdict:
    """What the pass found."""

    measure: Measure
    gathered: LatentCollector
    excerpts: tuple[Excerpt, ...]
    """Moments that can be heard."""
    damaged: tuple[tuple[str, str], ...]
    """(path, reason) of files that broke off; what came before is judged."""
    seconds: float
    """Of sound gone by."""


def judge_file(
    subject: ModelUnderTest,
    source: Source,
    excerpts: Sequence[Excerpt],
    measure: Measure,
    gathered: LatentCollector,
) -> Iterator[int]:
    """Reconstruct and measure one file; gives the samples of each piece as it goes by. Raises: UserError."""
    facts = subject.facts
    passed: list[int] = []
    blocks = sound(source, facts.sample_rate, subject.block_samples)
    pieces = overhear(subject.reconstruct(blocks, source.labels), excerpts, passed, facts.hop_length)
    for chunk in chunks.cut(pieces, facts.sample_rate, facts.hop_length):
        if measure.add(source.name, chunk) and chunk.latents is not None:
            gathered.add(source.name, chunk.latents)
        yield sum(passed)
        passed.clear()
    yield sum(passed)


def judge(subject: ModelUnderTest, selection: Selection, pairs: int, embedding: Embedding) -> Verdict:
    """Judge every file; keep `pairs` moments to hear and see. Raises: RuntimeError where the model gives NaN."""
    facts = subject.facts
    measure = Measure(
        facts.sample_rate,
        facts.frame_hop or facts.hop_length,
        facts.latent_dim,
        facts.codebook_size,
        embedding=embedding,
    )
    gathered = LatentCollector(facts.latent_dim)
    planned = plan(selection.sources, pairs, facts.sample_rate)
    progress = ConsoleProgress()
    damaged = []
    heard = 0
    for index, source in enumerate(selection.sources):
        try:
            for samples in judge_file(subject, source, planned.get(index, []), measure, gathered):
                heard += samples
                share = min(0.999, heard / facts.sample_rate / selection.seconds)
                progress("evaluate", share, f"{index + 1} of {len(selection.sources)} files")
        except UserError as error:
            damaged.append((printable(source.path), f"{error}; judged up to there"))
    measure.flush()
    progress("evaluate", 1.0, f"{heard / facts.sample_rate:.0f} s judged")
    audible = tuple(e for group in planned.values() for e in group if e.audible())
    return Verdict(measure, gathered, audible, tuple(damaged), heard / facts.sample_rate)
