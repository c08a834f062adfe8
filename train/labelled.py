"""A chunk with its labels, some dropped, and the version of it that the encoder hears."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch

from wavevae.augment import Augmenter, Draw, Reader, gain
from wavevae.coherent import shifted_reader
from wavevae.config import DataConfig
from wavevae.corpus import Item
from wavevae.corpus.labels import NO_LABEL, Label, Labels

from .batch import Batch


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

    The encoder's version of a chunk of known pitch is moved by up to `tied_semitones`, its time kept, and its label
    with it: what latents then know of the pitch is wrong for the decoder, so they had better know nothing.
    """

    def __init__(self, labels: Labels | None, config: DataConfig, sample_rate: int) -> None:
        self.labels, self.config, self.sample_rate = labels, config, sample_rate

    def draws(self, item: Item, rng: np.random.Generator) -> Told:
        """What is told of a chunk of this item, and how the encoder's version differs."""
        label = self.told(item, rng)
        shift = rng.uniform(-1, 1) * self.config.tied_semitones
        return Told(label, shift, rng.uniform(-1, 1) * self.config.tied_gain_db)

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
