"""The part of a file that is judged, as a stream of blocks."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator

import numpy as np

from wavevae.audio import stream_mono
from wavevae.evaluation.selection import Source
from wavevae.units import seconds_to_samples


def sound(source: Source, sample_rate: int, block_samples: int) -> Iterator[np.ndarray]:
    """The part of a file that is judged, in blocks of `block_samples`. Raises: UserError where it is damaged."""
    blocks = stream_mono(source.path, sample_rate, block_samples)
    if not source.start_s and not source.cut:
        return blocks
    start = seconds_to_samples(source.start_s, sample_rate)
    stop = start + seconds_to_samples(source.seconds, sample_rate) if source.cut else sys.maxsize
    return reblocked(between(blocks, start, stop), block_samples)


def between(blocks: Iterable[np.ndarray], start: int, stop: int) -> Iterator[np.ndarray]:
    """Samples start..stop of a stream; it is not read further."""
    at = 0
    for block in blocks:
        yield block[max(0, start - at) : max(0, stop - at)]
        at += len(block)
        if at >= stop:
            return


def reblocked(blocks: Iterable[np.ndarray], size: int) -> Iterator[np.ndarray]:
    """The same samples in blocks of `size`, the last one shorter."""
    held = np.zeros(0, np.float32)
    for block in blocks:
        held = np.concatenate([held, block])
        while len(held) >= size:
            yield held[:size]
            held = held[size:]
    if len(held):
        yield held
