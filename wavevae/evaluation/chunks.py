"""A stream of pieces -> the one-second chunks that the figures are means over.

    file   |----1----|----2----|----3----|--5.--|      whole seconds from the start; a rest of half a second or more
                                      |----4----|      is covered by a last chunk that ends with the file
    short  |--1--000|                                  a file under a second is filled up with zeros

Models hear whole files, so every chunk but the first is judged with the model's past in place.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from wavevae.evaluation.model_under_test import Piece
from wavevae.units import samples_to_frames


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
    """Along time."""
    return new if old is None else old if new is None else torch.cat([old, new], -1)


def cut(pieces: Iterable[Piece], chunk_samples: int, hop_length: int) -> Iterator[Chunk]:
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
