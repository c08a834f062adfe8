"""The sounds of a run: found, decoded once, split, cut into chunks; training batches made ahead, validation chunks."""

from __future__ import annotations

import copy
import queue
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from torch.utils.data import DataLoader, Dataset, IterableDataset

from wavevae import console, corpus
from wavevae.augment import Augmenter
from wavevae.config import RunConfig
from wavevae.corpus import Chunks, Item, Store
from wavevae.corpus.labels import NO_LABEL, Label, Labels, find_labels, with_pitches
from wavevae.corpus.pitch_track import PitchTrack, pitch_track
from wavevae.errors import UserError
from wavevae.synthesis import demo_corpus
from wavevae.units import db_to_amplitude, format_seconds, seconds_to_samples

from .arguments import Plan
from .batches import Batch, Batches, InstrumentBatch, InstrumentBatches
from .device_batches import Recipe, Recipes, ResidentSounds, fits
from .processes import is_first, say

PREFETCH = 4
"""Batches made ahead."""
VALIDATION_CHUNKS = 32
SILENCE_DB = -60.0
"""RMS below which a chunk is silent, dBFS; the same as in evaluation."""
EXAMPLES, EXAMPLE_S = 3, 6.0
"""Held-out excerpts that are reconstructed into RUN/validation."""

AnyBatch = Batch | Recipe | InstrumentBatch


class BatchStream(IterableDataset[AnyBatch]):
    """Batches from `start_step` on, without end, a few made ahead by a thread.

    Iterated again, it goes on after the last batch it handed out.
    """

    def __init__(self, batches: Batches | Recipes, start_step: int = 0, prefetch: int = PREFETCH) -> None:
        self.batches, self.next_step, self.prefetch = batches, start_step, prefetch
        self.waited_s = 0.0
        self.began: float | None = None

    @property
    def waiting(self) -> float:
        """Share of the time since the first batch that was spent waiting for others."""
        return 0.0 if self.began is None else self.waited_s / max(1e-9, time.monotonic() - self.began)

    def __iter__(self) -> Iterator[AnyBatch]:
        made: queue.Queue[AnyBatch | Exception] = queue.Queue(maxsize=self.prefetch)
        stopping = threading.Event()
        thread = threading.Thread(target=self._make, args=(self.next_step, made, stopping), daemon=True)
        thread.start()
        try:
            while True:
                asked = time.monotonic()
                batch = made.get()
                if self.began is None:
                    self.began = time.monotonic()
                else:
                    self.waited_s += time.monotonic() - asked
                if isinstance(batch, Exception):
                    raise batch
                self.next_step += 1
                yield batch
        finally:
            stopping.set()
            while thread.is_alive():
                while not made.empty():
                    made.get_nowait()  # room for the thread to notice
                thread.join(0.01)

    def _make(self, step: int, made: queue.Queue[Any], stopping: threading.Event) -> None:
        while not stopping.is_set():
            try:
                made.put(self.batches.batch(step))
            except Exception as error:  # raised again where the batch is taken
                made.put(error)
                return
            step += 1


def spread(length: int, count: int) -> list[int]:
    """At most `count` indices spread evenly over `length`, the first and the last among them."""
    return [int(i) for i in np.linspace(0, length - 1, min(count, length)).round()]


def audible(chunks: Chunks, count: int) -> list[int]:
    """At most `count` chunks that are not silent, spread evenly: near silence a spectral distance says nothing."""
    some = spread(len(chunks), 8 * count)
    loud = [i for i in some if np.sqrt(np.mean(chunks.read(i) ** 2)) > db_to_amplitude(SILENCE_DB)] or some
    return [loud[i] for i in spread(len(loud), count)]


class FixedChunks(Dataset[Batch]):
    """The chosen chunks as they are."""

    def __init__(self, chunks: Chunks, chosen: Sequence[int], labels: Labels | None = None) -> None:
        self.chunks, self.chosen, self.labels = chunks, chosen, labels

    def __len__(self) -> int:
        return len(self.chosen)

    def __getitem__(self, number: int) -> Batch:
        """One row of a batch: float32 (1, chunk_samples) and its label."""
        index = self.chosen[number]
        audio = torch.from_numpy(self.chunks.read(index)[None])
        label = NO_LABEL if self.labels is None else self.labels.of(self.chunks.item(index))
        pitch = torch.tensor(label.pitch, dtype=torch.float32)
        return Batch(audio, audio, torch.tensor(label.class_number), pitch, pitch)


class TrainingData(pl.LightningDataModule):
    """The sounds of a run for Lightning's Trainer, and excerpts of them for whatever looks at the model.

    With a trainer, rank and world size are the trainer's. Without held-out files it validates on learned ones.
    """

    def __init__(
        self,
        store: Store,
        config: RunConfig,
        rank: int = 0,
        world_size: int = 1,
        start_step: int = 0,
        inputs: Sequence[Path] = (),
    ) -> None:
        super().__init__()
        self.store, self.config, self.start_step, self.inputs = store, config, start_step, inputs
        self.rank, self.world_size = rank, world_size
        self.train_items: list[Item]
        self.validation_items: list[Item]
        self.train_items, self.validation_items = corpus.split(
            store, config.data.validation_share, config.train.seed, config.data.split
        )
        self.labels = find_labels(self.train_items, config.model, config.data.class_field)
        self.track: PitchTrack | None = None
        """Pitches of the whole store; of an instrument only."""
        self.resident: ResidentSounds | None = None
        self.stream: BatchStream | None = None
        if config.data.cache_on_device == "always" and not self.can_be_resident:
            raise UserError(
                "cache_on_device is always, but pitch_semitones is done on the CPU, and so is all that an instrument "
                "is given; set it to 0, or --set cache_on_device=auto"
            )
        length = max(1, seconds_to_samples(config.data.chunk_seconds, store.sample_rate))
        self.train_chunks = Chunks(store, self.train_items, length, config.data.overlap)
        self.validation_chunks = self.fixed_chunks(
            self.validation_items or self.train_items, VALIDATION_CHUNKS
        )

    # -- batches -------------------------------------------------------------------------------------------

    def batches(self) -> Batches:
        """This rank's training batches by step."""
        rank, world_size = self.rank, self.world_size
        if self.trainer is not None:
            rank, world_size = self.trainer.global_rank, self.trainer.world_size
        config = self.config
        augmenter, train = Augmenter(config.data, self.store.sample_rate), config.train
        drawn = (self.train_chunks, augmenter, train.batch_size, train.seed, rank, world_size, self.labels)
        if config.model.controls:
            return InstrumentBatches(config.model, self.track, self.store, *drawn)
        return Batches(*drawn)

    def train_dataloader(self) -> DataLoader[AnyBatch]:
        batches = self.batches()
        device = torch.device("cpu") if self.trainer is None else self.trainer.strategy.root_device
        samples = sum(item.length for item in self.train_items)
        asked = self.config.data.cache_on_device
        if asked == "always" or (asked == "auto" and self.can_be_resident and fits(samples, device)):
            self.resident = ResidentSounds(batches.chunks, device)
        self.stream = BatchStream(Recipes(batches) if self.resident else batches, self.start_step)
        return DataLoader(self.stream, batch_size=None, pin_memory=torch.cuda.is_available())

    @property
    def can_be_resident(self) -> bool:
        """Whether the device can do everything that is done to a chunk."""
        return not self.config.model.controls and not self.config.data.pitch_semitones

    def on_after_batch_transfer(self, batch: Any, dataloader_idx: int) -> Any:
        return self.resident.cut(batch) if isinstance(batch, Recipe) and self.resident else batch

    def val_dataloader(self) -> DataLoader[Batch]:
        return DataLoader(self.validation_chunks, batch_size=self.config.train.batch_size)

    def fixed_chunks(self, items: Sequence[Item], count: int) -> FixedChunks:
        """At most `count` chunks of these files."""
        chunks = Chunks(self.store, items, self.train_chunks.chunk_samples, 0.0)
        return FixedChunks(chunks, audible(chunks, count), self.labels)

    def restrict(self, chosen: Sequence[int]) -> None:
        """Learn from these training chunks, read where they begin, and validate on the same; nothing is held out."""
        few = copy.copy(self.train_chunks)
        few.item_of, few.starts, few.step = few.item_of[list(chosen)], few.starts[list(chosen)], 1
        self.train_chunks = few
        self.train_items = [few.items[i] for i in np.unique(few.item_of)]
        self.validation_items = []
        self.validation_chunks = FixedChunks(few, range(len(chosen)), self.labels)

    # -- excerpts ------------------------------------------------------------------------------------------

    def spread(self, count: int) -> list[int]:
        """At most `count` training chunks spread evenly."""
        return spread(len(self.train_chunks), count)

    def read(self, chosen: Sequence[int]) -> np.ndarray:
        """Training chunks, float32 (chunks, chunk_samples)."""
        return np.stack([self.train_chunks.read(n) for n in chosen])

    def labels_of(self, items: Sequence[Item]) -> list[Label]:
        return [NO_LABEL if self.labels is None else self.labels.of(item) for item in items]

    def chunk_labels(self, chosen: Sequence[int]) -> list[Label]:
        """Labels of training chunks."""
        return self.labels_of([self.train_chunks.item(n) for n in chosen])

    def excerpts(self, count: int = EXAMPLES, seconds: float = EXAMPLE_S) -> list[tuple[np.ndarray, Label]]:
        """Beginnings of at most `count` held-out files (learned ones where none are), float32 (samples,)."""
        items = self.validation_items or self.train_items
        items = [items[i] for i in spread(len(items), count)]
        limit = seconds_to_samples(seconds, self.store.sample_rate)
        ends = [item.start + min(limit, item.length) for item in items]
        sounds = [self.store.samples[i.start : end] for i, end in zip(items, ends, strict=True)]
        sounds = [sound.astype(np.float32) / 32768 for sound in sounds]
        return list(zip(sounds, self.labels_of(items), strict=True))

    def describe(self) -> str:
        """'41 files, 22.7 min at 22050 Hz; ...' for the first line of a run."""
        store, held_out = self.store, len(self.validation_items)
        own = sum(row.reason.startswith(corpus.OWN) for row in store.report)
        skipped = sum(row.status == "skipped" for row in store.report)
        seconds = self.config.data.chunk_seconds
        parts = [
            f"{len(store.items)} files, {format_seconds(store.seconds)} at {store.sample_rate} Hz",
            f"{len(self.train_chunks)} chunks of {seconds:g} s from {len(self.train_items)} files",
            f"{held_out} held out" if held_out else "none held out: validated on what is learned",
        ]
        if own:
            parts.append(f"{own} left out that wavevae wrote (run and report folders, rendered sounds)")
        if skipped:
            parts.append(f"{skipped} skipped (data_report.csv says why)")
        return "; ".join(parts)

    def write_report(self, path: Path) -> None:
        """data_report.csv: every file found, every second used."""
        corpus.write_report(path, corpus.training_report(self.store, self.train_items, self.validation_items))


def load_training_data(plan: Plan) -> TrainingData:
    """Find, decode, split, cut. Raises: UserError where there is nothing to learn from."""
    config, model = plan.config, plan.config.model
    progress = None if is_first() else console.silent
    inputs = list(plan.inputs) or [demo(model.sample_rate, progress)]
    store = corpus.build_store(inputs, model.sample_rate, config.data.loudness, progress=progress)
    if model.has_pitch:
        tracked = (model.hop_length,) if model.controls else ()
        store, remarks = with_pitches(store, progress, *tracked)
        for remark in remarks:
            say(remark)
    data = TrainingData(store, config, start_step=plan.resumed.step if plan.resumed else 0, inputs=inputs)
    if not data.train_items:
        raise UserError("no file is left to learn from; give more files or --set validation_share=0")
    if config.data.overfit:
        chosen = audible(data.train_chunks, config.data.overfit)
        if len(chosen) < config.data.overfit:
            say(
                f"--overfit {config.data.overfit}: there are {len(chosen)} chunks only; all of them are learned"
            )
        data.restrict(chosen)
    if plan.resumed is not None and plan.resumed.origin.get("data") != store.content_hash:
        say("the sounds have changed since this run was started: it goes on with what is there now")
    if model.controls:
        data.track = pitch_track(store, model.hop_length, progress=progress)
    return data


def demo(sample_rate: int, progress: console.Progress | None) -> Path:
    """The built-in corpus, made where it is not there yet."""
    say("no DATA given: learning from the built-in demo corpus (bowed, plucked, reed and struck notes)")
    return demo_corpus(sample_rate, progress)
