"""The sounds of a run: found, decoded once, split, cut into chunks, and what the user should know of them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from wavevae import console, corpus
from wavevae.corpus import Chunks, Item, Store
from wavevae.corpus.labels import NO_LABEL, Label, Labels
from wavevae.corpus.pitch_track import PitchTrack, pitch_track
from wavevae.corpus.pitches import with_pitches
from wavevae.errors import UserError
from wavevae.synthesis import demo_corpus
from wavevae.units import db_to_amplitude, format_seconds, seconds_to_samples

from .arguments import Plan
from .datamodule import AudioDataModule, FixedChunks
from .launch import is_first
from .overfit import narrow
from .progress import say

VALIDATION_CHUNKS = 32
SILENCE_DB = -60.0
"""RMS below which a chunk is silent, dBFS: the yardstick's own limit."""
DEMO_S = 180
"""Length of the demo corpus, about."""
START_CHUNKS = 512
"""Heard before the first step, for a linear start."""
EXAMPLES = 3
EXAMPLE_S = 6.0
"""Held-out excerpts that are reconstructed into RUN/validation."""


class AudibleChunks(FixedChunks):
    """At most `count` chunks that are not silent, spread evenly: near silence a spectral distance says nothing."""

    def __init__(self, chunks: Chunks, count: int = VALIDATION_CHUNKS, labels: Labels | None = None) -> None:
        super().__init__(chunks, 8 * count, labels)
        audible = [
            i for i in self.picked if np.sqrt(np.mean(chunks.read(i) ** 2)) > db_to_amplitude(SILENCE_DB)
        ]
        self.picked = audible or self.picked
        spread = np.linspace(0, len(self.picked) - 1, min(count, len(self.picked))).round().astype(int)
        self.picked = [self.picked[i] for i in spread]


@dataclass(frozen=True)
class Material:
    """Everything a run hears."""

    inputs: list[Path]
    store: Store
    data: AudioDataModule
    track: PitchTrack | None = None
    """Pitches of the whole store; of an instrument's run only."""

    @property
    def learned(self) -> list[Item]:
        return self.data.train_items

    @property
    def held(self) -> list[Item]:
        return self.data.validation_items

    @property
    def chunks(self) -> Chunks:
        """To learn from."""
        return self.data.train_chunks

    def spread(self, count: int = START_CHUNKS) -> np.ndarray:
        """Numbers of at most `count` chunks spread evenly over what is learned from."""
        return np.unique(np.linspace(0, len(self.chunks) - 1, count).round().astype(int))

    def hops(self, hop_length: int) -> np.ndarray:
        """(excerpts, frames, hop_length) of what is learned from: chunks spread evenly over it, cut into hops."""
        frames = self.chunks.chunk_samples // hop_length
        excerpts = [
            self.chunks.read(i)[: frames * hop_length].reshape(frames, hop_length) for i in self.spread()
        ]
        return np.stack(excerpts)

    @property
    def examples(self) -> list[np.ndarray]:
        """A few held-out excerpts, float32 (samples,), from different files where there are several."""
        return self.excerpts(EXAMPLES, EXAMPLE_S)

    def excerpts(self, count: int, seconds: float) -> list[np.ndarray]:
        """The beginnings of at most `count` held-out files (learned ones where none are), float32 (samples,)."""
        limit = seconds_to_samples(seconds, self.store.sample_rate)
        spans = [(item.start, min(limit, item.length)) for item in self._spread_items(count)]
        return [
            self.store.samples[start : start + length].astype(np.float32) / 32768 for start, length in spans
        ]

    @property
    def example_labels(self) -> list[Label]:
        """Of the examples."""
        return self.labels_of(EXAMPLES)

    def labels_of(self, count: int) -> list[Label]:
        """Of `excerpts(count, ...)`."""
        labels, items = self.data.labels, self._spread_items(count)
        return [NO_LABEL if labels is None else labels.of(item) for item in items]

    def _spread_items(self, count: int) -> list[Item]:
        items = self.held or self.learned
        return [items[i] for i in np.unique(np.linspace(0, len(items) - 1, count).round().astype(int))]

    def describe(self) -> str:
        """'41 files, 22.7 min at 22050 Hz; ...' for the first line of a run."""
        store = self.store
        skipped = sum(row.status == "skipped" for row in store.report)
        parts = [
            f"{len(store.items)} files, {format_seconds(store.seconds)} at {store.sample_rate} Hz",
            f"{len(self.chunks)} chunks of {self.data.config.data.chunk_seconds:g} s from {len(self.learned)} files",
            f"{len(self.held)} held out" if self.held else "none held out: validated on what is learned",
        ]
        own = [row for row in store.report if row.reason.startswith(corpus.OWN)]
        if own:
            parts.append(f"{len(own)} left out that wavevae wrote (run and report folders, rendered sounds)")
        if skipped:
            parts.append(f"{skipped} skipped (data_report.csv says why)")
        return "; ".join(parts)

    def write_report(self, path: Path) -> None:
        """data_report.csv: every file found, every second used."""
        corpus.write_report(path, corpus.training_report(self.store, self.learned, self.held))


def load_training_data(plan: Plan) -> Material:
    """Find, decode, split, cut. Raises: UserError where there is nothing to learn from."""
    config, rate = plan.config, plan.config.model.sample_rate
    progress = None if is_first() else console.silent
    inputs = list(plan.inputs) or [demo(rate)]
    store = corpus.build_store(inputs, rate, config.data.loudness, progress=progress)
    if config.model.has_pitch:
        tracked = (config.model.hop_length,) if config.model.controls else ()
        store, remarks = with_pitches(store, progress, *tracked)
        for remark in remarks:
            say(remark)
    start = plan.resumed.step if plan.resumed else 0
    data = AudioDataModule(store, config, start_step=start)
    if not data.train_items:
        raise UserError("no file is left to learn from; give more files or --set validation_share=0")
    length = data.train_chunks.chunk_samples
    data.validation_chunks = AudibleChunks(
        Chunks(store, data.validation_items or data.train_items, length, 0.0), labels=data.labels
    )
    if config.data.overfit:
        narrow(data, AudibleChunks(data.train_chunks, config.data.overfit).picked, config.data.overfit)
    warn_of_change(plan, store)
    if config.model.controls:
        data.track = pitch_track(store, config.model.hop_length, progress=progress)
    return Material(inputs, store, data, data.track)


def demo(sample_rate: int) -> Path:
    """The built-in corpus, made where it is not there yet."""
    say("no DATA given: learning from the built-in demo corpus (bowed, plucked, reed and struck notes)")
    show = console.ConsoleProgress() if is_first() else console.silent

    def progress(files: int, seconds: int) -> None:
        show("synthesising", min(0.99, seconds / DEMO_S), f"{files} files, {seconds} s; once, then kept")

    return demo_corpus(sample_rate, progress)


def warn_of_change(plan: Plan, store: Store) -> None:
    """A resumed run equals an uninterrupted one only on the same sounds."""
    if plan.resumed is not None and plan.resumed.origin.get("data") != store.content_hash:
        say("the sounds have changed since this run was started: it goes on with what is there now")
