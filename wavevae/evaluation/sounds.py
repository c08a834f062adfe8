"""The part of a file that is judged, as a stream of blocks."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from dataclasses import replace

import numpy as np

from wavevae.audio import stream_mono
from wavevae.corpus.labels import LISTENED_S, find_pitches, labels_with_pitch, tracked_pitch
from wavevae.errors import UserError
from wavevae.evaluation.selection import Selection, Source
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


def with_pitches(
    selection: Selection, sample_rate: int, known_shift: float | None = None
) -> tuple[Selection, list[str]]:
    """Files with the pitch that training would label them with (`wavevae.corpus.labels`), and words for the user.
    `known_shift`: what training found of names and sounds, which a few files would not tell."""
    bare = [number for number, source in enumerate(selection.sources) if "pitch" not in source.labels]

    def listen(number: int) -> float | None:
        source = selection.sources[bare[number]]
        try:
            return tracked_pitch(
                next(sound(source, sample_rate, round(LISTENED_S * sample_rate)), np.zeros(0, np.float32)),
                sample_rate,
            )
        except UserError:  # a damaged file is told of when it is judged
            return None

    names = [selection.sources[number].path.stem for number in bare]
    found = find_pitches(names, listen, known_shift)
    sources = list(selection.sources)
    for number, value, origin in zip(bare, found.values, found.sources, strict=True):
        labels = labels_with_pitch(dict(sources[number].labels), value, origin)
        sources[number] = replace(sources[number], labels=labels)
    return replace(selection, sources=tuple(sources)), found.remarks
