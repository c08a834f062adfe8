"""Overlapping excerpts of fixed length as index arithmetic over the store; nothing is copied ahead of use.

item     |==================================|            length n
chunks   |----L----|
              |----L----|        grid step = L - overlap
                   |----L----|
                        |----L----|
                          |----L----|                    the last one ends with the item
short    |====|00000|                                    n < L: zeros at the end
"""

from __future__ import annotations

import mmap
from collections.abc import Sequence

import numpy as np

from wavevae.corpus.store import Item, Store
from wavevae.corpus.worker import to_float

RELEASE_BYTES = 8 << 20


class _Pages:
    """Lets go of a memory map's pages now and then, so that what is resident does not grow with the corpus.

    They stay in the system's cache; the next use finds them there.
    """

    def __init__(self, samples: np.ndarray) -> None:
        self.map = samples.base if isinstance(samples.base, mmap.mmap) else None
        self.read_bytes = 0

    def count(self, read_bytes: int) -> None:
        self.read_bytes += read_bytes
        if self.map is not None and self.read_bytes > RELEASE_BYTES and hasattr(mmap, "MADV_DONTNEED"):
            self.map.madvise(mmap.MADV_DONTNEED)
            self.read_bytes = 0


class Chunks:
    """`chunk_samples` long excerpts of `items`, each overlapping the next by the share `overlap`.

    Together they cover every sample of every item. `.starts`: where each begins in `store.samples`.
    """

    def __init__(self, store: Store, items: Sequence[Item], chunk_samples: int, overlap: float) -> None:
        self.samples, self.items = store.samples, list(items)
        self.chunk_samples = chunk_samples
        self._pages = _Pages(store.samples)
        self.step = max(1, round(chunk_samples * (1 - overlap)))
        self.item_starts = np.array([item.start for item in self.items], np.int64)
        self.item_ends = self.item_starts + np.array([item.length for item in self.items], np.int64)
        spare = np.maximum(
            self.item_ends - self.item_starts - chunk_samples, 0
        )  # (items,) room beyond a chunk
        counts = -(-spare // self.step) + 1
        first = np.cumsum(counts) - counts
        self.item_of = np.repeat(np.arange(len(self.items), dtype=np.int32), counts)  # (chunks,)
        place = (np.arange(len(self.item_of)) - first[self.item_of]) * self.step
        self.starts = self.item_starts[self.item_of] + np.minimum(place, spare[self.item_of])

    def __len__(self) -> int:
        return len(self.starts)

    def item(self, index: int) -> Item:
        """The sound that chunk `index` is part of."""
        return self.items[self.item_of[index]]

    def place(self, index: int, jitter_samples: int, samples: int | None = None) -> tuple[int, int, int, int]:
        """Number of the item, start of `samples` (a chunk) moved as far as they stay inside it, the item's own span."""
        item = int(self.item_of[index])
        low, high = int(self.item_starts[item]), int(self.item_ends[item])
        latest = high - (self.chunk_samples if samples is None else samples)
        return item, max(low, min(int(self.starts[index]) + jitter_samples, latest)), low, high

    def stretch(self, index: int, jitter_samples: int, before: int, samples: int) -> np.ndarray:
        """float32 (before + samples,): `samples` from the chunk's start on, and what comes `before`.

        The start is moved by `jitter_samples`, as far as `samples` stay inside the item. What lies outside of
        the item is zero.
        """
        item, start, _, _ = self.place(index, jitter_samples, samples)
        return self.span(item, start - before, before + samples)

    def span(self, item: int, start: int, samples: int) -> np.ndarray:
        """float32 (samples,) from sample `start` of the store on, zero where it lies outside of item number `item`."""
        low, high = int(self.item_starts[item]), int(self.item_ends[item])
        begin, end = max(low, start), min(high, start + samples)
        out = np.zeros(samples, np.float32)
        if begin < end:
            out[begin - start : end - start] = to_float(self.samples[begin:end])
            self._pages.count(2 * (end - begin))
        return out

    def read(self, index: int, jitter_samples: int = 0) -> np.ndarray:
        """float32 (chunk_samples,); zero-padded at the end where the item is shorter."""
        return self.stretch(index, jitter_samples, 0, self.chunk_samples)
