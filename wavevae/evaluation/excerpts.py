"""Excerpts of the evaluated sounds, to hear and to see: spread evenly over their total time."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch

from wavevae.evaluation.metrics import FLOOR_DBFS, level_dbfs
from wavevae.evaluation.model_under_test import Piece
from wavevae.evaluation.selection import Source
from wavevae.units import samples_to_frames

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
    references: list[np.ndarray] = field(default_factory=list)
    estimates: list[np.ndarray] = field(default_factory=list)
    frames: list[np.ndarray] = field(default_factory=list)

    def take(self, piece: Piece, at: int, hop_length: int = 1) -> None:
        """Keep what lies within the excerpt of a piece that begins at sample `at`, a whole number of hops."""
        a, b = max(0, self.start - at), max(0, self.stop - at)
        if b > a:
            self.references.append(piece.reference[a:b].numpy().copy())
            self.estimates.append(piece.estimate[a:b].numpy().copy())
            if piece.latents is not None:
                frames = slice(a // hop_length, samples_to_frames(b, hop_length))
                self.frames.append(piece.latents[:, frames].float().numpy().copy())

    @property
    def reference(self) -> np.ndarray:
        return np.concatenate(self.references) if self.references else np.zeros(0, np.float32)

    @property
    def estimate(self) -> np.ndarray:
        return np.concatenate(self.estimates) if self.estimates else np.zeros(0, np.float32)

    @property
    def latents(self) -> np.ndarray | None:
        """(latent_dim, frames), where they can be seen."""
        return np.concatenate(self.frames, axis=1) if self.frames else None

    def audible(self) -> bool:
        heard = self.reference
        return len(heard) > 0 and bool(level_dbfs(torch.from_numpy(heard)) > FLOOR_DBFS)


def plan(sources: Sequence[Source], count: int, sample_rate: int) -> dict[int, list[Excerpt]]:
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


def overhear(
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
