"""Chunks -> batches, with labels where the model takes any.

What a step sees is a pure function of (seed, step, rank): a resumed run equals an uninterrupted one.

epoch 0: a permutation of all chunks          epoch 1: another one
|step 0      |step 1      |step 2      | ...  |
 rank0 rank1  rank0 rank1  rank0 rank1         positions 0, 1, 2, ... are dealt out in this order
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from wavevae.augment import Augmenter, Draw, Reader, gain
from wavevae.coherent import shifted_reader
from wavevae.config import DataConfig, ModelConfig
from wavevae.corpus import Chunks, Item
from wavevae.corpus.labels import NO_LABEL, Label, Labels
from wavevae.nn.conditioning import Condition, one_hot

ORDER, DRAWS = 1, 2
"""Streams of random numbers that share a seed."""


class Batch(NamedTuple):
    """Sounds with labels. What the encoder hears may be another version of what the decoder is to give."""

    audio: Tensor
    """(B, 1, T) what the decoder gives."""
    heard: Tensor
    """(B, 1, T) what the encoder hears: `audio`, or it at another pitch or gain."""
    class_number: Tensor
    """(B,) int64, -1 for none."""
    pitch: Tensor
    """(B,) float32 MIDI of `audio`, NaN for none."""
    heard_pitch: Tensor
    """(B,) the same of `heard`."""


def plain(audio: Tensor) -> Batch:
    """(B, 1, T) without labels."""
    none = torch.full((len(audio),), torch.nan, device=audio.device)
    number = torch.full((len(audio),), -1, dtype=torch.int64, device=audio.device)
    return Batch(audio, audio, number, none, none)


def conditions(batch: Batch, config: ModelConfig) -> tuple[Condition | None, Condition | None]:
    """What the encoder is told, what the decoder is told; none for an unconditional model."""
    if config.condition == "none":
        return None, None
    classes = one_hot(batch.class_number, len(config.classes))
    return Condition(classes, batch.heard_pitch), Condition(classes, batch.pitch)


def labelled(config: ModelConfig, labels: Sequence[Label], device: torch.device) -> Condition | None:
    """Labels of files as a model is told them; none for an unconditional model."""
    if config.condition == "none":
        return None
    numbers = torch.tensor([label.class_number for label in labels])
    pitches = torch.tensor([label.pitch for label in labels], dtype=torch.float32)
    return Condition(one_hot(numbers, len(config.classes)), pitches).to(device)


Sounds = torch.Tensor | Batch
"""(B, 1, T), with labels where there is something to tell."""


class Example(NamedTuple):
    """One chunk for one step."""

    audio: np.ndarray
    """float32 (samples,)"""
    heard: np.ndarray | None = None
    """What the encoder hears; none: `audio`."""
    label: Label = NO_LABEL
    heard_pitch: float = math.nan


class Told(NamedTuple):
    """What is drawn for a chunk beside its augmentation."""

    label: Label = NO_LABEL
    shift: float = 0.0
    """Of the encoder's version, semitones."""
    db: float = 0.0
    """Of the encoder's version."""


class Labeller:
    """Draws which labels are told, and how the encoder's version differs; the same draws whatever is switched on.

    The encoder's version of a chunk of known pitch is moved by up to encoder_pitch_shift, its time kept, and its label
    with it: what latents then know of the pitch is wrong for the decoder, so they had better know nothing.
    """

    def __init__(self, labels: Labels | None, config: DataConfig, sample_rate: int) -> None:
        self.labels, self.config, self.sample_rate = labels, config, sample_rate

    def draws(self, item: Item, rng: np.random.Generator) -> Told:
        """What is told of a chunk of this item, and how the encoder's version differs."""
        label = self.told(item, rng)
        shift = rng.uniform(-1, 1) * self.config.encoder_pitch_shift
        return Told(label, shift, rng.uniform(-1, 1) * self.config.encoder_gain_db)

    def __call__(
        self, item: Item, read: Reader, augmenter: Augmenter, rng: np.random.Generator, samples: int
    ) -> Example:
        """Draw, and do what was drawn."""
        told = self.draws(item, rng)
        return self.make(told, augmenter.draw(rng), read, augmenter, samples)

    def make(self, told: Told, draw: Draw, read: Reader, augmenter: Augmenter, samples: int) -> Example:
        """One chunk, as drawn."""
        audio = augmenter.apply(draw, read, samples)
        pitch = told.label.pitch + draw.semitones  # NaN stays NaN
        heard, heard_pitch = audio, pitch
        if told.shift and not math.isnan(pitch):
            moved = shifted_reader(read, told.shift, pitch - draw.semitones, self.sample_rate)
            heard, heard_pitch = augmenter.apply(draw, moved, samples), pitch + told.shift
        if told.db:
            heard = gain(heard, told.db)
        label = told.label._replace(pitch=pitch)
        return Example(audio, None if heard is audio else heard, label, heard_pitch)

    def told(self, item: Item, rng: np.random.Generator) -> Label:
        """The item's label, each kind left out with the probability `label_dropout`."""
        keep_class, keep_pitch = rng.random(2) >= self.config.label_dropout
        label = NO_LABEL if self.labels is None else self.labels.of(item)
        return Label(
            label.class_number if keep_class else NO_LABEL.class_number,
            label.pitch if keep_pitch else NO_LABEL.pitch,
        )


def stacked(examples: Sequence[Example]) -> Batch:
    """Examples of one length -> a batch."""
    audio = torch.from_numpy(np.stack([e.audio for e in examples])[:, None])
    heard = audio
    if any(e.heard is not None for e in examples):
        versions = [e.audio if e.heard is None else e.heard for e in examples]
        heard = torch.from_numpy(np.stack(versions)[:, None])
    return Batch(
        audio,
        heard,
        torch.tensor([e.label.class_number for e in examples]),
        torch.tensor([e.label.pitch for e in examples], dtype=torch.float32),
        torch.tensor([e.heard_pitch for e in examples], dtype=torch.float32),
    )


class Drawn(NamedTuple):
    """What is random of a chunk."""

    jitter: int
    """Samples by which its start is moved."""
    told: Told
    augment: Draw


class Batches:
    """Training batches by step number.

    Every chunk of the grid comes once an epoch, on one rank only; its start is moved by up to half a grid step
    either way (inside its file), then it is augmented.
    """

    def __init__(
        self,
        chunks: Chunks,
        augmenter: Augmenter,
        batch_size: int,
        seed: int,
        rank: int = 0,
        world_size: int = 1,
        labeller: Labeller | None = None,
    ) -> None:
        if len(chunks) == 0:
            raise ValueError("no chunks to train on")
        self.chunks, self.augmenter, self.batch_size = chunks, augmenter, batch_size
        self.seed, self.rank, self.world_size = seed, rank, world_size
        self.labeller = labeller
        self._orders: dict[int, np.ndarray] = {}

    @property
    def steps_an_epoch(self) -> float:
        return len(self.chunks) / (self.batch_size * self.world_size)

    def order(self, epoch: int) -> np.ndarray:
        """The epoch's permutation of the chunks; the last two are kept at hand."""
        order = self._orders.get(epoch)
        if order is None:
            order = np.random.default_rng([self.seed, ORDER, epoch]).permutation(len(self.chunks))
            self._orders = {e: o for e, o in self._orders.items() if e == epoch - 1} | {epoch: order}
        return order

    def indices(self, step: int) -> list[int]:
        """The chunks of this rank's batch."""
        return [int(self.order(p // len(self.chunks))[p % len(self.chunks)]) for p in self._positions(step)]

    def places(self, step: int) -> list[tuple[int, int]]:
        """(chunk, position in the whole run) of this rank's batch."""
        return list(zip(self.indices(step), self._positions(step), strict=True))

    def _positions(self, step: int) -> range:
        first = (step * self.world_size + self.rank) * self.batch_size
        return range(first, first + self.batch_size)

    def batch(self, step: int) -> Sounds:
        """float32 (batch_size, 1, chunk_samples), with labels where there is a labeller."""
        examples = [self._example(index, position) for index, position in self.places(step)]
        if self.labeller is None:
            return torch.from_numpy(np.stack([e.audio for e in examples])[:, None, :])
        return stacked(examples)

    def draws(self, index: int, position: int) -> Drawn:
        """Everything random of one chunk, seeded by its place in the whole run."""
        rng = np.random.default_rng([self.seed, DRAWS, position])
        half = self.chunks.step // 2
        jitter = int(rng.integers(-half, half + 1))
        told = Told() if self.labeller is None else self.labeller.draws(self.chunks.item(index), rng)
        return Drawn(jitter, told, self.augmenter.draw(rng))

    def _example(self, index: int, position: int) -> Example:
        """One chunk."""
        drawn = self.draws(index, position)
        begun: list[
            tuple[int, int]
        ] = []  # item and start, decided by the first read: the encoder hears the same place

        def read(before: int, samples: int) -> np.ndarray:
            if not begun:
                begun.append(self.chunks.place(index, drawn.jitter, samples)[:2])
            item, start = begun[0]
            return self.chunks.span(item, start - before, before + samples)

        length = self.chunks.chunk_samples
        if self.labeller is None:
            return Example(self.augmenter.apply(drawn.augment, read, length))
        return self.labeller.make(drawn.told, drawn.augment, read, self.augmenter, length)
