"""The sounds of a run: found, decoded once, split, cut into chunks, and what the user should know of them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from wavevae import corpus
from wavevae.config import DataConfig
from wavevae.corpus import Chunks, Item, Store
from wavevae.errors import UserError
from wavevae.synthesis import demo_corpus
from wavevae.units import format_seconds, seconds_to_samples

from .launch import is_first
from .plan import Plan
from .progress import say

EXAMPLES = 3
EXAMPLE_S = 6.0
"""Held-out excerpts that are reconstructed into RUN/validation."""


@dataclass(frozen=True)
class Material:
    """Everything a run hears."""

    store: Store
    learned: list[Item]
    held: list[Item]
    chunks: Chunks
    """To learn from."""
    held_chunks: Chunks
    """To validate on; of the learned sounds where nothing is held out."""

    @property
    def examples(self) -> list[np.ndarray]:
        """A few held-out excerpts, float32 (samples,), from different files where there are several."""
        items = self.held or self.learned
        picked = np.unique(np.linspace(0, len(items) - 1, EXAMPLES).round().astype(int))
        limit = seconds_to_samples(EXAMPLE_S, self.store.sample_rate)
        spans = [(items[i].start, min(limit, items[i].length)) for i in picked]
        return [
            self.store.samples[start : start + length].astype(np.float32) / 32768 for start, length in spans
        ]

    def describe(self, data: DataConfig) -> str:
        """'41 files, 22.7 min at 22050 Hz; ...' for the first line of a run."""
        store = self.store
        skipped = sum(row.status == "skipped" for row in store.report)
        parts = [
            f"{len(store.items)} files, {format_seconds(store.seconds)} at {store.sample_rate} Hz",
            f"{len(self.chunks)} chunks of {data.chunk_seconds:g} s from {len(self.learned)} files",
            f"{len(self.held)} held out" if self.held else "none held out: validated on what is learned",
        ]
        if skipped:
            parts.append(f"{skipped} skipped (data_report.csv says why)")
        return "; ".join(parts)

    def write_report(self, path: Path) -> None:
        """data_report.csv: every file found, every second used."""
        corpus.write_report(path, corpus.training_report(self.store, self.learned, self.held))


def gather(plan: Plan) -> Material:
    """Find, decode, split, cut. Raises: UserError where there is nothing to learn from."""
    config, rate = plan.config, plan.config.model.sample_rate
    progress = None if is_first() else corpus.silent
    inputs = list(plan.inputs) or [demo(rate)]
    store = corpus.build_store(inputs, rate, config.data.loudness, progress=progress)
    learned, held = corpus.split(store, config.data.validation_share, config.train.seed)
    if not learned:
        raise UserError("no file is left to learn from; give more files or --set validation_share=0")
    samples = seconds_to_samples(config.data.chunk_seconds, rate)
    warn_of_change(plan, store)
    return Material(
        store,
        learned,
        held,
        Chunks(store, learned, samples, config.data.overlap),
        Chunks(store, held or learned, samples, 0.0),
    )


def demo(sample_rate: int) -> Path:
    """The built-in corpus, made where it is not there yet."""
    say("no DATA given: learning from the built-in demo corpus (bowed, plucked, reed and struck notes)")
    return demo_corpus(sample_rate)


def warn_of_change(plan: Plan, store: Store) -> None:
    """A resumed run equals an uninterrupted one only on the same sounds."""
    if plan.resumed is not None and plan.resumed.origin.get("data") != store.content_hash:
        say("the sounds have changed since this run was started: it goes on with what is there now")
