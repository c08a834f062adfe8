"""Pitch, periodicity and loudness of every sound of a store, found once and kept beside the decoded sounds.

CACHE/v1/pitch/CONTENT-hop256-1.npy     float32 (3, frames of all items); CONTENT is the store's content hash

item     |========================|                length n
frames        |    |    |    |    |    |           ceil(n / hop): frame k describes sample (k + 1) * hop of the item
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from wavevae.console import ConsoleProgress, Progress
from wavevae.corpus.cache import FORMAT_VERSION, Cache, default_cache
from wavevae.corpus.store import Store
from wavevae.corpus.worker import to_float
from wavevae.corpus_profile import LOUDEST_PERCENTILE
from wavevae.files import CACHE_ELSEWHERE, replacing
from wavevae.nn.pitch import (
    TRACKER_VERSION,
    Loudness,
    PitchTracker,
    StreamingLoudness,
    StreamingPitchTracker,
)
from wavevae.units import format_seconds

PERIODIC = 0.8
"""A frame of at least this periodicity is made by one clear pitch; chords and drums reach it seldom."""
LOUDEST_RANGE_DB = 20.0
ITEMS_AT_ONCE = 32
WINDOWS_AT_ONCE = 32


@dataclass(frozen=True)
class PitchTrack:
    """What the tracker finds in a store. Item i has the frames `starts[i]` to `starts[i] + counts[i]`.

    `values`: float32 (3, frames of all items): pitch (MIDI), periodicity (0..1), loudness (dB RMS re full scale).
    """

    values: np.ndarray
    starts: np.ndarray
    counts: np.ndarray
    hop_length: int

    def item(self, index: int) -> np.ndarray:
        """Pitch and periodicity of item `index`: (2, ceil(length / hop))."""
        start = self.starts[index]
        return self.values[:2, start : start + self.counts[index]]

    @property
    def voiced_share(self) -> float:
        """Share of the loud frames that are voiced; 0 where all is silence."""
        return voiced_share(self.values[1], self.values[2])


def voiced_share(periodicity: np.ndarray, loudness_db: np.ndarray) -> float:
    """Share of the loud frames whose periodicity reaches PERIODIC; 0 without any loud frame.

    Found: solo instruments 0.98 and more, violin with double stops 0.7, speech 0.5, polyphonic piano 0.24, drums 0.2,
    choir 0.07, rain and wind 0.
    """
    audible = loudness_db > -100.0
    if not audible.any():
        return 0.0
    loudest = np.percentile(loudness_db[audible], LOUDEST_PERCENTILE)
    loud = audible & (loudness_db >= loudest - LOUDEST_RANGE_DB)
    return float((periodicity[loud] >= PERIODIC).mean())


def pitch_track(
    store: Store, hop_length: int, cache: str | Path | None = None, progress: Progress | None = None
) -> PitchTrack:
    """Find the pitches of `store`, or read what an earlier call has found.

    `cache`: as for `build_store`. `progress`: by default a bar or lines on standard error.
    Raises: UserError when the cache cannot be written.
    """
    progress = progress or ConsoleProgress()
    lengths = np.array([item.length for item in store.items], np.int64)
    counts = -(-lengths // hop_length)
    # The content hash knows no order and no names: the file is in the order of the content keys.
    order = np.argsort(np.array([item.key for item in store.items]), kind="stable")
    starts = np.empty_like(counts)
    starts[order] = np.cumsum(counts[order]) - counts[order]
    folder = Path(cache) if cache else default_cache()
    name = f"{store.content_hash}-hop{hop_length}-{TRACKER_VERSION}.npy"
    path = folder / f"v{FORMAT_VERSION}" / "pitch" / name
    values = _read(path, int(counts.sum()))
    if values is None:
        with (
            Cache(folder, store.sample_rate, store.loudness) as kept,
            kept.turn([name], lambda: progress("waiting", 0.0, "another process finds these pitches")),
        ):
            values = _read(path, int(counts.sum()))
            if values is None:
                values = _track(store, hop_length, starts, counts, progress)
                _write(path, values)
    return PitchTrack(values, starts, counts, hop_length)


def _read(path: Path, frames: int) -> np.ndarray | None:
    """What was found before, mapped; None when there is nothing, or nothing that can be used."""
    try:
        values: np.ndarray = np.load(path, mmap_mode="r")
    except (OSError, ValueError, EOFError):
        return None
    return values if values.shape == (3, frames) and values.dtype == np.float32 else None


def _write(path: Path, values: np.ndarray) -> None:
    """All of it or nothing. Raises: as `wavevae.files.replacing`."""
    with replacing(path, values.nbytes, CACHE_ELSEWHERE) as part, open(part, "wb") as file:
        np.save(file, values)


def _track(
    store: Store, hop_length: int, starts: np.ndarray, counts: np.ndarray, progress: Progress
) -> np.ndarray:
    """Tracks items of similar length together, block by block, so that memory does not grow with their length."""
    values = np.empty((3, int(counts.sum())), np.float32)
    tracker = PitchTracker(store.sample_rate, hop_length)
    pitch = StreamingPitchTracker(tracker)
    loudness = StreamingLoudness(Loudness(hop_length, tracker.latency_samples))
    late = tracker.latency_samples // hop_length
    done, total = 0, int(counts.sum())
    for items in _groups(counts):
        pitch.start(len(items))
        loudness.start(len(items))
        at_once = max(1, WINDOWS_AT_ONCE // len(items))
        for first in range(0, int(counts[items].max()) + late, at_once):
            block = _block(store, items, first * hop_length, at_once * hop_length)
            with torch.no_grad():
                found = torch.cat([pitch(block), loudness(block)], 1).numpy()  # (B, 3, at_once)
            for row, index in enumerate(items):
                # Frame n of the tracker describes sample (n + 1) * hop - latency.
                low, high = max(0, first - late), min(int(counts[index]), first + at_once - late)
                if low < high:
                    begin = starts[index]
                    values[:, begin + low : begin + high] = found[
                        row, :, low + late - first : high + late - first
                    ]
            tracked = done + int(np.minimum(counts[items], first + at_once).sum())
            seconds = format_seconds(tracked * hop_length / store.sample_rate)
            progress(
                "finding pitches", tracked / total * 0.999, f"{seconds} of {format_seconds(store.seconds)}"
            )
        done += int(counts[items].sum())
    progress("finding pitches", 1.0, f"{format_seconds(store.seconds)} of sound")
    return values


def _groups(counts: np.ndarray) -> Iterator[np.ndarray]:
    """Indices of items to be tracked together: up to ITEMS_AT_ONCE, none shorter than half the longest."""
    longest_first = np.argsort(-counts, kind="stable")
    while len(longest_first):
        alike = longest_first[:ITEMS_AT_ONCE]
        alike = alike[2 * counts[alike] >= counts[alike[0]]]
        yield alike
        longest_first = longest_first[len(alike) :]


def _block(store: Store, items: np.ndarray, first: int, samples: int) -> Tensor:
    """Samples `first` to `first + samples` of every item, zeros after its end: float32 (B, samples)."""
    block = torch.zeros(len(items), samples)
    for row, index in enumerate(items):
        item = store.items[index]
        length = min(samples, item.length - first)
        if length > 0:
            begin = item.start + first
            block[row, :length] = torch.from_numpy(to_float(store.samples[begin : begin + length]))
    return block
