"""Files by what is in them: the content's hash, read only where path, size or time have changed."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from wavevae.console import Progress
from wavevae.corpus.cache import Cache, content_key
from wavevae.corpus.files import Found
from wavevae.corpus.pool import usable_cores

TELL_AFTER_S = 2.0
"""A wait shorter than this needs no progress."""
REMEMBER_EVERY = 500
"""Files between two entries into the index: so much hashing is lost if it is killed."""


@dataclass(frozen=True)
class Source:
    """A candidate with what the file system says of it."""

    found: Found
    size: int
    mtime_ns: int

    @property
    def stat(self) -> tuple[Path, int, int]:
        return self.found.path, self.size, self.mtime_ns


def keys_of(cache: Cache, sources: Sequence[Source], progress: Progress) -> dict[Path, str | OSError]:
    """The content key of each file: from the index where path, size and time are unchanged, else by reading."""
    known = cache.known_keys([source.stat for source in sources])
    keys: dict[Path, str | OSError] = {
        s.found.path: key for s, key in zip(sources, known, strict=True) if key is not None
    }
    unknown = [s for s, key in zip(sources, known, strict=True) if key is None]
    fresh: list[tuple[Source, str]] = []
    for source, key in zip(unknown, _hashed(unknown, progress), strict=True):
        keys[source.found.path] = key
        if isinstance(key, str):
            fresh.append((source, key))
        if len(fresh) == REMEMBER_EVERY:
            _remember(cache, fresh)
    _remember(cache, fresh)
    return keys


def _remember(cache: Cache, fresh: list[tuple[Source, str]]) -> None:
    if fresh:
        cache.remember_keys([source.stat for source, _ in fresh], [key for _, key in fresh])
    fresh.clear()


def _hashed(sources: Sequence[Source], progress: Progress) -> Iterator[str | OSError]:
    """Content keys in order, read in threads; says how far it is when it takes a while."""

    def read(source: Source) -> str | OSError:
        try:
            return content_key(source.found.path)
        except OSError as error:
            return error

    begun, told, done = time.monotonic(), False, 0
    total = sum(source.size for source in sources)
    threads = ThreadPoolExecutor(usable_cores())
    try:
        for number, (source, key) in enumerate(zip(sources, threads.map(read, sources), strict=True), 1):
            yield key
            done += source.size
            last = number == len(sources)
            if told or time.monotonic() - begun > TELL_AFTER_S:
                told = True
                share = 1.0 if last else min(0.99, done / max(1, total))
                progress("looking", share, f"{number} of {len(sources)} files")
    finally:
        threads.shutdown(cancel_futures=True)


def sources_of(found: Sequence[Found]) -> tuple[list[Source], dict[Path, str]]:
    """Candidates with size and time; and why some vanished meanwhile."""
    sources, reasons = [], {}
    for entry in found:
        if entry.reason:
            continue
        try:
            status = os.stat(entry.path)
            sources.append(Source(entry, status.st_size, status.st_mtime_ns))
        except OSError as error:
            reasons[entry.path] = str(error.strerror)
    return sources, reasons
