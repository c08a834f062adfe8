"""What is cut from the stream of pieces of a model: the seconds that are measured, and moments to hear and see.

    file   |----1----|----2----|----3----|--5.--|      whole seconds from the start; a rest of half a second or more
                                      |----4----|      is covered by a last chunk that ends with the file
    short  |--1--000|                                  a file under a second is filled up with zeros

Models get whole files, so every chunk but the first is judged with the model's past in place.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from wavevae.corpus.labels import class_of
from wavevae.errors import UserError
from wavevae.evaluation.metrics import FLOOR_DBFS, level_dbfs
from wavevae.evaluation.model_under_test import ModelUnderTest, Piece
from wavevae.evaluation.selection import Source, between, evenly, sound
from wavevae.units import samples_to_frames, seconds_to_samples


class Chunk(NamedTuple):
    """One second of a sound and of its reconstruction."""

    start: int
    """Where it lies in the file, samples."""
    reference: Tensor
    """(sample_rate,)"""
    estimate: Tensor
    """(sample_rate,)"""
    latents: Tensor | None = None
    """(latent_dim, frames that begin in it and in no chunk before)"""
    kl: Tensor | None = None
    """(the same frames,)"""
    codes: Tensor | None = None
    """(n_codebooks, the same frames)"""


class _Tape:
    """What has come in and is still wanted: sound from `sound_at` on, frames from `frame_at` on."""

    def __init__(self, hop_length: int) -> None:
        self.hop_length = hop_length
        self.reference, self.estimate = torch.zeros(0), torch.zeros(0)
        self.frames: list[Tensor | None] = [None, None, None]
        """latents, kl, codes"""
        self.sound_at = self.frame_at = 0

    @property
    def end(self) -> int:
        return self.sound_at + len(self.reference)

    def add(self, piece: Piece) -> None:
        self.reference = torch.cat([self.reference, piece.reference])
        self.estimate = torch.cat([self.estimate, piece.estimate])
        self.frames = [_joined(old, new) for old, new in zip(self.frames, piece[2:], strict=True)]

    def cut(self, start: int, length: int) -> Chunk:
        """The chunk at `start` (zeros beyond the end), with the frames up to its end that are not yet given."""
        a = start - self.sound_at
        sounds = [s[a : a + length] for s in (self.reference, self.estimate)]
        sounds = [torch.nn.functional.pad(s, (0, length - len(s))) for s in sounds]
        count = samples_to_frames(start + length, self.hop_length) - self.frame_at
        given = [None if part is None else part[..., :count] for part in self.frames]
        self.frames = [None if part is None else part[..., count:] for part in self.frames]
        self.frame_at += max((part.shape[-1] for part in given if part is not None), default=0)
        return Chunk(start, sounds[0], sounds[1], *given)

    def forget(self, before: int) -> None:
        drop = before - self.sound_at
        if drop > 0:
            self.reference, self.estimate = self.reference[drop:], self.estimate[drop:]
            self.sound_at = before


def _joined(old: Tensor | None, new: Tensor | None) -> Tensor | None:
    return new if old is None else old if new is None else torch.cat([old, new], -1)


def cut_chunks(pieces: Iterable[Piece], chunk_samples: int, hop_length: int) -> Iterator[Chunk]:
    """The chunks of one file, in order, in bounded memory."""
    tape = _Tape(hop_length)
    at = 0
    for piece in pieces:
        tape.add(piece)
        while tape.end - at >= chunk_samples:
            yield tape.cut(at, chunk_samples)
            at += chunk_samples
        tape.forget(at - chunk_samples)  # a last chunk may reach back so far
    rest = tape.end - at
    if at == 0 and rest > 0:
        yield tape.cut(0, chunk_samples)
    elif 2 * rest >= chunk_samples:
        yield tape.cut(tape.end - chunk_samples, chunk_samples)


WHOLE_S = 8.0
"""A file up to this long is kept whole."""
EXCERPT_S = 5.0


@dataclass
class Excerpt:
    """A moment of a file, filled while the file goes by."""

    source: Source
    start: int
    """samples"""
    stop: int
    originals: list[np.ndarray] = field(default_factory=list)
    estimates: list[np.ndarray] = field(default_factory=list)
    frames: list[np.ndarray] = field(default_factory=list)

    def take(self, piece: Piece, at: int, hop_length: int = 1) -> None:
        """Keep what lies within the excerpt of a piece that begins at sample `at`, a whole number of hops."""
        a, b = max(0, self.start - at), max(0, self.stop - at)
        if b > a:
            self.originals.append(piece.reference[a:b].numpy().copy())
            self.estimates.append(piece.estimate[a:b].numpy().copy())
            if piece.latents is not None:
                frames = slice(a // hop_length, samples_to_frames(b, hop_length))
                self.frames.append(piece.latents[:, frames].float().numpy().copy())

    @property
    def reference(self) -> np.ndarray:
        return np.concatenate(self.originals) if self.originals else np.zeros(0, np.float32)

    @property
    def estimate(self) -> np.ndarray:
        return np.concatenate(self.estimates) if self.estimates else np.zeros(0, np.float32)

    @property
    def latents(self) -> np.ndarray | None:
        """(latent_dim, frames), where they can be seen."""
        return np.concatenate(self.frames, axis=1) if self.frames else None

    def audible(self) -> bool:
        sound = self.reference
        return len(sound) > 0 and bool(level_dbfs(torch.from_numpy(sound)) > FLOOR_DBFS)


def plan_excerpts(sources: Sequence[Source], count: int, sample_rate: int) -> dict[int, list[Excerpt]]:
    """{index of a source: its excerpts}: `count` moments spaced evenly over the time of all sources."""
    ends_s = np.cumsum([source.seconds for source in sources])
    chosen: dict[int, list[Excerpt]] = {}
    for moment_s in (np.arange(count) + 0.5) / max(1, count) * ends_s[-1]:
        index = int(min(np.searchsorted(ends_s, moment_s, side="right"), len(sources) - 1))
        source = sources[index]
        into_s = moment_s - (ends_s[index] - source.seconds)
        whole = source.seconds <= WHOLE_S
        start_s = 0.0 if whole else min(into_s, source.seconds - EXCERPT_S)
        length_s = source.seconds + 1 if whole else EXCERPT_S
        start = round(start_s * sample_rate)
        others = chosen.setdefault(index, [])
        if all(start >= other.stop or other.start >= start + length_s * sample_rate for other in others):
            others.append(Excerpt(source, start, start + round(length_s * sample_rate)))
    return chosen


def keep_excerpts(
    pieces: Iterable[Piece], excerpts: Sequence[Excerpt], passed: list[int], hop_length: int = 1
) -> Iterator[Piece]:
    """Pass the pieces on, keeping the excerpts and noting every piece's samples in `passed`."""
    at = 0
    for piece in pieces:
        for excerpt in excerpts:
            excerpt.take(piece, at, hop_length)
        at += len(piece.reference)
        passed.append(len(piece.reference))
        yield piece


@dataclass(frozen=True)
class Sample:
    """The beginning of a file, what the model makes of it, and a draw under its labels, (samples,) each."""

    name: str
    label: str
    original: np.ndarray
    reconstruction: np.ndarray
    generated: np.ndarray | None
    """None where the model has no density to draw from."""


def take_samples(subject: ModelUnderTest, sources: Sequence[Source], count: int) -> list[Sample]:
    """At most `count` files, spread evenly over all; files that cannot be read, or are empty, are left out."""
    made = [_sample(subject, source, number) for number, source in enumerate(evenly(sources, count))]
    return [one for one in made if one is not None]


def _sample(subject: ModelUnderTest, source: Source, seed: int) -> Sample | None:
    """The first WHOLE_S of a file."""
    facts = subject.facts
    most = seconds_to_samples(WHOLE_S, facts.sample_rate)
    blocks = sound(source, facts.sample_rate, subject.block_samples)
    try:
        pieces = list(subject.reconstruct(between(blocks, 0, most), source.labels))
    except UserError:
        return None
    if not pieces:
        return None
    original = np.concatenate([piece.reference.numpy() for piece in pieces])
    made = np.concatenate([piece.estimate.numpy() for piece in pieces])
    drawn = subject.sample(1, samples_to_frames(len(original), facts.hop_length), seed, [source.labels])
    generated = None if drawn is None else drawn[0, : len(original)].numpy()
    label = class_of(source.labels, facts.class_field) or "none"
    return Sample(source.name, label, original, made, generated)
