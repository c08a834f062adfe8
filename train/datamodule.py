"""The sounds of a run for Lightning: endless training batches made ahead, fixed validation chunks."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from torch.utils.data import DataLoader, Dataset, IterableDataset

from wavevae.augment import Augmenter
from wavevae.config import RunConfig
from wavevae.corpus import Chunks, Item, Store, split
from wavevae.corpus.labels import Labels, find_labels
from wavevae.corpus.pitch_track import PitchTrack
from wavevae.errors import UserError
from wavevae.units import seconds_to_samples

from .batches import Batch, Batches, Labeller, Sounds
from .device_batches import Recipe, Recipes, ResidentSounds, can_be_resident, fits
from .instrument_data import InstrumentBatches

VALIDATION_CHUNKS = 64
PREFETCH = 4
"""Batches made ahead."""


class BatchStream(IterableDataset[Sounds | Recipe]):
    """Batches from `start_step` on, without end, a few made ahead by a thread.

    Iterated again, it goes on after the last batch it handed out.
    """

    def __init__(self, batches: Batches | Recipes, start_step: int = 0, prefetch: int = PREFETCH) -> None:
        self.batches, self.next_step, self.prefetch = batches, start_step, prefetch
        self.waited_s = 0.0
        self.began: float | None = None

    @property
    def waiting(self) -> float:
        """Share of the time since the first batch was there that was spent waiting for others."""
        return 0.0 if self.began is None else self.waited_s / max(1e-9, time.monotonic() - self.began)

    def __iter__(self) -> Iterator[Sounds | Recipe]:
        made: queue.Queue[Sounds | Recipe | Exception] = queue.Queue(maxsize=self.prefetch)
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
            except Exception as error:  # handed to the one who waits
                made.put(error)
                return
            step += 1


class FixedChunks(Dataset[Sounds]):
    """At most `count` chunks as they are, spread evenly over the items: the same ones every time."""

    def __init__(self, chunks: Chunks, count: int = VALIDATION_CHUNKS, labels: Labels | None = None) -> None:
        self.chunks, self.labels = chunks, labels
        picked = np.linspace(0, max(0, len(chunks) - 1), min(count, len(chunks))).round().astype(int)
        self.picked = [int(i) for i in picked]

    def __len__(self) -> int:
        return len(self.picked)

    def __getitem__(self, number: int) -> Sounds:
        """float32 (1, chunk_samples), with its label where there are labels."""
        index = self.picked[number]
        audio = torch.from_numpy(self.chunks.read(index)[None])
        if self.labels is None:
            return audio
        label = self.labels.of(self.chunks.item(index))
        pitch = torch.tensor(label.pitch, dtype=torch.float32)
        return Batch(audio, audio, torch.tensor(label.class_number), pitch, pitch)


class AudioDataModule(pl.LightningDataModule):
    """The sounds of a run for Lightning's Trainer: endless training batches, fixed validation chunks.

    With a trainer at hand, rank and world size are the trainer's. Without held-out files there is no validation.
    """

    def __init__(
        self,
        store: Store,
        config: RunConfig,
        rank: int = 0,
        world_size: int = 1,
        start_step: int = 0,
        validation_chunks: int = VALIDATION_CHUNKS,
    ) -> None:
        super().__init__()
        self.config, self.rank, self.world_size, self.start_step = config, rank, world_size, start_step
        share, seed = config.data.validation_share, config.train.seed
        self.train_items: list[Item]
        self.validation_items: list[Item]
        self.train_items, self.validation_items = split(store, share, seed, config.data.split)
        self.labels = find_labels(self.train_items, config.model, config.data.class_field)
        self.store = store
        self.track: PitchTrack | None = None
        """Of an instrument: pitches of the whole store."""
        self.resident: ResidentSounds | None = None
        self.stream: BatchStream | None = None
        if config.data.cache_on_device == "always" and not self.movable:
            raise UserError(
                "cache_on_device is always, but pitch_semitones is done on the CPU, and so is all that an instrument "
                "is given; set it to 0, or --set cache_on_device=auto"
            )
        length = max(1, seconds_to_samples(config.data.chunk_seconds, store.sample_rate))
        self.augmenter = Augmenter(config.data, store.sample_rate)
        self.train_chunks = Chunks(store, self.train_items, length, config.data.overlap)
        self.validation_chunks = FixedChunks(
            Chunks(store, self.validation_items, length, 0.0), validation_chunks, self.labels
        )

    def batches(self) -> Batches:
        """This rank's training batches by step."""
        rank, world_size = self.rank, self.world_size
        if self.trainer is not None:
            rank, world_size = self.trainer.global_rank, self.trainer.world_size
        train = self.config.train
        tied = self.labels is not None or self.config.data.encoder_gain_db > 0
        labeller = Labeller(self.labels, self.config.data, self.augmenter.sample_rate) if tied else None
        if self.config.model.controls:
            drawn = (self.train_chunks, self.augmenter, train.batch_size, train.seed, rank, world_size)
            return InstrumentBatches(*drawn, labeller, self.config.model, self.track, self.store)
        return Batches(
            self.train_chunks, self.augmenter, train.batch_size, train.seed, rank, world_size, labeller
        )

    def train_dataloader(self) -> DataLoader[Sounds | Recipe]:
        batches = self.batches()
        self.resident = self.settle(batches)
        self.stream = BatchStream(Recipes(batches) if self.resident else batches, self.start_step)
        return DataLoader(self.stream, batch_size=None, pin_memory=torch.cuda.is_available())

    def settle(self, batches: Batches) -> ResidentSounds | None:
        """The learned sounds on the device, where they are to be there and fit."""
        device = torch.device("cpu") if self.trainer is None else self.trainer.strategy.root_device
        samples = int((batches.chunks.item_ends - batches.chunks.item_starts).sum())
        wish = self.config.data.cache_on_device
        if wish == "always" or (wish == "auto" and self.movable and fits(samples, device)):
            return ResidentSounds(batches.chunks, device)
        return None

    @property
    def movable(self) -> bool:
        """Whether the device can do all that is done to a chunk."""
        return not self.config.model.controls and can_be_resident(self.config)

    def on_after_batch_transfer(self, batch: Any, dataloader_idx: int) -> Any:
        """A recipe becomes sound where it is."""
        if isinstance(batch, Recipe) and self.resident is not None:
            return self.resident.cut(batch)
        return batch

    def val_dataloader(self) -> DataLoader[Sounds] | list[Any]:
        if len(self.validation_chunks) == 0:
            return []
        return DataLoader(self.validation_chunks, batch_size=self.config.train.batch_size)
