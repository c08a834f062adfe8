"""Chunks -> training batches, of codecs and of instruments.

What a step gets is a pure function of (seed, step, rank): a resumed run equals an uninterrupted one.

epoch 0: a permutation of all chunks          epoch 1: another one
|step 0      |step 1      |step 2      | ...  |
 rank0 rank1  rank0 rank1  rank0 rank1         positions 0, 1, 2, ... are dealt out in this order
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from wavevae.augment import Augmenter, Draw, gain, shifted_reader
from wavevae.config import ModelConfig
from wavevae.corpus import Chunks, Item, Store
from wavevae.corpus.labels import NO_LABEL, Label, Labels
from wavevae.corpus.pitch_track import PitchTrack
from wavevae.nn.conditioning import Condition, one_hot
from wavevae.units import frames_to_samples

ORDER, DRAWS = 1, 2
"""Streams of random numbers that share a seed."""
LEAD_FRAMES = 8
"""Frames of an instrument's excerpt before those that are compared: the decoder's convolutions have a past by then."""


class Batch(NamedTuple):
    """Sounds with their labels. The encoder may get another version of a sound than the decoder is to make."""

    audio: Tensor
    """(B, 1, T) target of the decoder."""
    encoder_audio: Tensor
    """(B, 1, T) input of the encoder: `audio`, or the same at another pitch or gain."""
    class_number: Tensor
    """(B,) int64, -1 for none."""
    pitch: Tensor
    """(B,) float32 MIDI of `audio`, NaN for none."""
    encoder_pitch: Tensor
    """(B,) the same of `encoder_audio`."""

    def to(self, device: torch.device) -> Batch:
        return Batch(*(part.to(device) for part in self))


def unlabelled_batch(audio: Tensor) -> Batch:
    """(B, 1, T) as a batch."""
    pitch = torch.full((len(audio),), torch.nan, device=audio.device)
    number = torch.full((len(audio),), -1, dtype=torch.int64, device=audio.device)
    return Batch(audio, audio, number, pitch, pitch)


def conditions(batch: Batch, config: ModelConfig) -> tuple[Condition | None, Condition | None]:
    """Labels for the encoder and for the decoder; none for an unconditional model."""
    if config.condition == "none":
        return None, None
    classes = one_hot(batch.class_number, len(config.classes))
    return Condition(classes, batch.encoder_pitch), Condition(classes, batch.pitch)


def label_condition(config: ModelConfig, labels: Sequence[Label], device: torch.device) -> Condition | None:
    """Labels of files as the model's condition; none for an unconditional model."""
    if config.condition == "none":
        return None
    numbers = torch.tensor([label.class_number for label in labels])
    pitches = as_pitches(label.pitch for label in labels)
    return Condition(one_hot(numbers, len(config.classes)), pitches).to(device)


def as_pitches(values: Iterable[float]) -> Tensor:
    """float32, MIDI."""
    return torch.tensor(list(values), dtype=torch.float32)


class ChunkDraw(NamedTuple):
    """What is random of one chunk."""

    jitter: int
    """Samples by which its start is moved."""
    label: Label
    """The item's, each kind left out with the probability `label_dropout`."""
    encoder_semitones: float
    encoder_db: float
    """How the encoder's version differs."""
    augment: Draw


class Batches:
    """Training batches by step number.

    Every chunk of the grid comes once an epoch, on one rank only; its start is moved by up to half a grid step either
    way (inside its file), then it is augmented. With
    `encoder_pitch_shift`, the encoder's version of a chunk of known pitch is shifted, its time kept, and its label with
    it: pitch that the latents carry is wrong for the decoder, so they learn to carry none.
    """

    def __init__(
        self,
        chunks: Chunks,
        augmenter: Augmenter,
        batch_size: int,
        seed: int,
        rank: int = 0,
        world_size: int = 1,
        labels: Labels | None = None,
    ) -> None:
        if len(chunks) == 0:
            raise ValueError("no chunks to train on")
        self.chunks, self.augmenter, self.batch_size = chunks, augmenter, batch_size
        self.seed, self.rank, self.world_size, self.labels = seed, rank, world_size, labels
        self._orders: dict[int, np.ndarray] = {}

    @property
    def steps_an_epoch(self) -> float:
        return len(self.chunks) / (self.batch_size * self.world_size)

    def order(self, epoch: int) -> np.ndarray:
        """The epoch's permutation of the chunks; the last two are kept."""
        order = self._orders.get(epoch)
        if order is None:
            order = np.random.default_rng([self.seed, ORDER, epoch]).permutation(len(self.chunks))
            self._orders = {e: o for e, o in self._orders.items() if e == epoch - 1} | {epoch: order}
        return order

    def places(self, step: int) -> list[tuple[int, int]]:
        """(chunk, position in the whole run) of this rank's batch."""
        first, count = (step * self.world_size + self.rank) * self.batch_size, len(self.chunks)
        return [(int(self.order(p // count)[p % count]), p) for p in range(first, first + self.batch_size)]

    def batch(self, step: int) -> Batch:
        """Sounds of float32 (batch_size, 1, chunk_samples)."""
        rows = [self._row(index, position) for index, position in self.places(step)]
        sounds, encoder_sounds, numbers, pitches, encoder_pitches = zip(*rows, strict=True)
        audio = encoder_audio = torch.from_numpy(np.stack(sounds)[:, None])
        if any(own is not sound for own, sound in zip(encoder_sounds, sounds, strict=True)):
            encoder_audio = torch.from_numpy(np.stack(encoder_sounds)[:, None])
        return Batch(
            audio, encoder_audio, torch.tensor(numbers), as_pitches(pitches), as_pitches(encoder_pitches)
        )

    def draws(self, index: int, position: int) -> ChunkDraw:
        """Everything random of one chunk, seeded by its position in the whole run."""
        config, rng = self.augmenter.config, np.random.default_rng([self.seed, DRAWS, position])
        half = self.chunks.step // 2
        jitter = int(rng.integers(-half, half + 1))
        label, semitones, db = NO_LABEL, 0.0, 0.0
        if self.labels is not None or config.encoder_gain_db > 0:
            label = self.drawn_label(self.chunks.item(index), rng)
            semitones = rng.uniform(-1, 1) * config.encoder_pitch_shift
            db = rng.uniform(-1, 1) * config.encoder_gain_db
        return ChunkDraw(jitter, label, semitones, db, self.augmenter.draw(rng))

    def drawn_label(self, item: Item, rng: np.random.Generator) -> Label:
        """The item's label, each kind left out with the probability `label_dropout`."""
        keep_class, keep_pitch = rng.random(2) >= self.augmenter.config.label_dropout
        label = NO_LABEL if self.labels is None else self.labels.of(item)
        return Label(
            label.class_number if keep_class else NO_LABEL.class_number,
            label.pitch if keep_pitch else NO_LABEL.pitch,
        )

    def _row(self, index: int, position: int) -> tuple[Any, ...]:
        """Of `Batch`: one chunk."""
        drawn = self.draws(index, position)
        place: list[tuple[int, int]] = []  # item and start, set by the first read: both versions begin there

        def read(before: int, samples: int) -> np.ndarray:
            if not place:
                place.append(self.chunks.place(index, drawn.jitter, samples)[:2])
            item, start = place[0]
            return self.chunks.span(item, start - before, before + samples)

        augmenter, length = self.augmenter, self.chunks.chunk_samples
        audio = augmenter.apply(drawn.augment, read, length)
        pitch = drawn.label.pitch + drawn.augment.semitones  # NaN stays NaN
        encoder_audio, encoder_pitch = audio, pitch
        if drawn.encoder_semitones and not math.isnan(pitch):
            shifted = shifted_reader(read, drawn.encoder_semitones, drawn.label.pitch, augmenter.sample_rate)
            encoder_audio = augmenter.apply(drawn.augment, shifted, length)
            encoder_pitch = pitch + drawn.encoder_semitones
        if drawn.encoder_db:
            encoder_audio = gain(encoder_audio, drawn.encoder_db)
        return audio, encoder_audio, drawn.label.class_number, pitch, encoder_pitch


class InstrumentBatch(NamedTuple):
    """Excerpts on the grid of the pitch track, with what lies before and after them.

           |<- lead ->|<------ chunk ------>|<- latency ->|
    sound  |----------|---------------------|-------------|      starts on a hop of its file
    frames  the decoder's run-up, then what is compared, then what only the encoder gets
    """

    sound: Tensor
    """(B, 1, (lead + chunk + latency) frames)"""
    track: Tensor
    """(B, 2, as many frames): pitch and periodicity, frame n of sample (n + 1) x hop - latency of `sound`."""
    class_number: Tensor
    """(B,) int64, -1 for none."""
    pitch: Tensor
    """(B,) float32 MIDI label, NaN for none."""


class InstrumentBatches(Batches):
    """The draws of `Batches`, moved to the grid of the pitch track."""

    def __init__(self, model: ModelConfig, track: PitchTrack | None, store: Store, *drawn: object) -> None:
        super().__init__(*drawn)  # type: ignore[arg-type]
        self.hop, self.late_frames = model.hop_length, model.algorithmic_latency // model.hop_length
        self.frames = LEAD_FRAMES + max(1, self.chunks.chunk_samples // self.hop) + self.late_frames
        self.track = track
        numbers = {(item.start, item.length): n for n, item in enumerate(store.items)}
        self.item_numbers = [numbers[item.start, item.length] for item in self.chunks.items]

    def batch(self, step: int) -> InstrumentBatch:  # type: ignore[override]
        rows = [self._row(index, position) for index, position in self.places(step)]
        sounds, tracks, numbers, pitches = zip(*rows, strict=True)
        return InstrumentBatch(
            torch.from_numpy(np.stack(sounds)[:, None]),
            torch.from_numpy(np.stack(tracks)),
            torch.tensor(numbers),
            as_pitches(pitches),
        )

    def _row(self, index: int, position: int) -> tuple[Any, ...]:
        """Of `InstrumentBatch`: one excerpt."""
        drawn = self.draws(index, position)
        item, start, low, _ = self.chunks.place(index, drawn.jitter)
        first_frame = (start - low) // self.hop - LEAD_FRAMES  # of the excerpt, counted in its file
        begin = low + frames_to_samples(first_frame, self.hop)

        def read(before: int, samples: int) -> np.ndarray:
            return self.chunks.span(item, begin - before, before + samples)

        sound = self.augmenter.apply(drawn.augment, read, frames_to_samples(self.frames, self.hop))
        track = self._track(self.item_numbers[item], first_frame - self.late_frames, self.frames)
        return sound, track, drawn.label.class_number, drawn.label.pitch

    def _track(self, item: int, first: int, frames: int) -> np.ndarray:
        """(2, frames) from frame `first` of a file on; beyond its ends the pitch holds and nothing is periodic."""
        if self.track is None:
            return np.zeros((2, frames), np.float32)
        known = self.track.item(item)
        at = np.arange(first, first + frames)
        inside = (at >= 0) & (at < known.shape[1])
        found = known[:, at.clip(0, known.shape[1] - 1)]
        return np.stack([found[0], found[1] * inside]).astype(np.float32)
