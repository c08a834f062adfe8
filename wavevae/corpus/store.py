"""Folders of sounds -> one int16 memory map and an index. Each content is decoded once, ever."""

from __future__ import annotations

import csv
import hashlib
import os
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from wavevae.console import ConsoleProgress, Progress
from wavevae.corpus.cache import Cache, Decoded, FileStat, Finished, default_cache, usable_cores
from wavevae.corpus.files import FoundFile, find_files
from wavevae.corpus.worker import Result, Task, run_tasks
from wavevae.errors import Failure, UserError
from wavevae.files import printable, replacing
from wavevae.units import format_seconds

HASH_VERSION = 1
REPORT_HEADER = ("path", "status", "seconds", "reason")
COMMIT_EVERY_S = 1.0
COMMIT_BYTES = 32 << 20
WORTH_A_WORKER_BYTES = 1 << 20
"""Starting another process takes as long as decoding so much."""


@dataclass(frozen=True, slots=True)
class Item:
    """One sound: `store.samples[start : start + length]`."""

    path: Path
    start: int
    length: int
    labels: dict[str, Any] = field(default_factory=dict)
    key: str = ""
    """Hash of the file's bytes."""
    split: str = ""
    """train, valid or test in NSynth's layout, else empty."""


class ReportRow(NamedTuple):
    """What became of one file."""

    path: str
    """Bytes that are no UTF-8 are written as \\xNN."""
    status: str
    """used or skipped."""
    seconds: float
    """Used, at the store's rate."""
    reason: str
    """Why it was skipped, or what to know about what was used; empty for a plain used file."""


@dataclass(frozen=True)
class Store:
    """Every usable sound as int16 (full scale 32768), mono, at one rate.

    `samples` maps all that the cache holds at this rate, other corpora's sounds too: go through `items`.
    """

    samples: np.ndarray
    items: list[Item]
    sample_rate: int
    content_hash: str
    """Of the sounds: the same whatever their names."""
    report: list[ReportRow]
    loudness: str = "keep"

    @property
    def seconds(self) -> float:
        """Sound in all, s."""
        return sum(item.length for item in self.items) / self.sample_rate


class _Decoding:
    """Decodes what the cache lacks and hands it over to it about once a second."""

    def __init__(self, cache: Cache, sample_rate: int, loudness: str, progress: Progress) -> None:
        self.cache, self.sample_rate, self.loudness, self.progress = cache, sample_rate, loudness, progress
        self.errors: dict[str, str] = {}
        """By key: what went wrong this time but may not the next; not kept in the cache."""
        self.waiting: list[Finished] = []
        self.waiting_bytes = self.files = self.bytes = self.samples = 0
        self.begun = self.committed = time.monotonic()

    def run(self, missing: dict[str, FileStat]) -> None:
        """Raises: UserError when the cache cannot be written; KeyboardInterrupt saying what is kept."""
        largest_first = sorted(missing.items(), key=lambda entry: -entry[1].size)
        tasks = [self._task(number, key, source) for number, (key, source) in enumerate(largest_first)]
        self.all_files, self.all_bytes = len(tasks), sum(task["size"] for task in tasks)
        try:
            workers = min(usable_cores(), 1 + self.all_bytes // WORTH_A_WORKER_BYTES)
            for task, result in run_tasks(tasks, workers):
                self._take(task, result)
        except KeyboardInterrupt:
            self._commit()
            raise KeyboardInterrupt(
                f"interrupted; {self.files} of {self.all_files} files are decoded and kept: "
                "the same command goes on from there"
            ) from None
        self._commit()

    def _task(self, number: int, key: str, source: FileStat) -> Task:
        return {
            "path": str(source.path),
            "part": str(self.cache.parts / f"{number}.i16"),
            "sample_rate": self.sample_rate,
            "loudness": self.loudness,
            "key": key,
            "size": source.size,
            "mtime_ns": source.mtime_ns,
        }

    def _take(self, task: Task, result: Result) -> None:
        if "fatal" in result:
            raise Failure(
                f"{printable(task['path'])} cannot be decoded into {self.cache.folder} ({result['fatal']}); "
                "free some space or set WAVEVAE_CACHE to a folder elsewhere"
            )
        if "passing" in result:
            self.errors[task["key"]] = result["passing"]
        else:
            note, error = result.get("note", ""), result.get("error", "")
            samples = result.get("samples", b"")
            self.waiting.append(Finished(task["key"], samples, Path(task["part"]), note, error))
        self.samples += result.get("length", 0)
        self.waiting_bytes += 2 * result.get("length", 0)
        self.bytes += task["size"]
        self.files += 1
        if self.waiting_bytes > COMMIT_BYTES or time.monotonic() - self.committed > COMMIT_EVERY_S:
            self._commit()
        self._tell()

    def _tell(self) -> None:
        seconds = self.samples / self.sample_rate
        speed = seconds / max(1e-3, time.monotonic() - self.begun)
        share = 1.0 if self.files == self.all_files else min(0.99, self.bytes / max(1, self.all_bytes))
        words = f"{self.files} of {self.all_files} files, {format_seconds(seconds)}, {speed:.0f} x real time"
        self.progress("decoding", share, words)

    def _commit(self) -> None:
        if self.waiting:
            self.cache.append(self.waiting)
        self.waiting, self.waiting_bytes, self.committed = [], 0, time.monotonic()


def build_store(
    inputs: Sequence[str | Path],
    sample_rate: int,
    loudness: str = "keep",
    cache: str | Path | None = None,
    progress: Progress | None = None,
) -> Store:
    """Find, decode (what was never decoded before), index. A second call takes as long as looking at the files.

    `loudness`: keep, or peak (every file scaled to a peak of -1 dBFS). `cache`: where decoded sounds are kept,
    by default `WAVEVAE_CACHE` or ~/.cache/wavevae. `progress`: by default a bar or lines on standard error.
    Raises: UserError when an input is missing or empty, nothing can be used, or the cache cannot be written.
    """
    found = find_files(inputs)
    sources, reasons = _sources(found)
    progress = progress or ConsoleProgress()
    with Cache(Path(cache) if cache else default_cache(), sample_rate, loudness) as kept:
        keys = kept.keys_of(sources, progress)
        entries = {key: kept.lookup(key) for key in keys.values() if isinstance(key, str)}
        decoding = _Decoding(kept, sample_rate, loudness, progress)
        missing: dict[str, FileStat] = {}
        for source in sources:
            key = keys[source.path]
            if isinstance(key, str) and entries[key] is None:
                missing.setdefault(key, source)
        if missing:
            with kept.turn(missing, lambda: progress("waiting", 0.0, "another process decodes these files")):
                decoding.run({key: s for key, s in missing.items() if kept.lookup(key) is None})
            entries.update((key, kept.lookup(key)) for key in missing)
        table = _Table(sample_rate, keys, entries, reasons, decoding.errors)
        for entry in found:
            table.add(entry)
        if not table.items:
            raise UserError(f"{', '.join(map(printable, inputs))}: {why_nothing(table.rows)}")
        samples = kept.samples()
    content = _content_hash(table.items, sample_rate, loudness)
    return Store(samples, table.items, sample_rate, content, table.rows, loudness)


def _sources(found: Sequence[FoundFile]) -> tuple[list[FileStat], dict[Path, str]]:
    """Candidates with size and time; and why some vanished meanwhile."""
    sources, reasons = [], {}
    for entry in found:
        if entry.reason:
            continue
        try:
            status = os.stat(entry.path)
            sources.append(FileStat(entry.path, status.st_size, status.st_mtime_ns))
        except OSError as error:
            reasons[entry.path] = str(error.strerror)
    return sources, reasons


@dataclass
class _Table:
    """Files found -> items and report rows; a content that occurs twice is used once."""

    sample_rate: int
    keys: dict[Path, str | OSError]
    entries: dict[str, Decoded | None]
    reasons: dict[Path, str]
    errors: dict[str, str]
    items: list[Item] = field(default_factory=list)
    rows: list[ReportRow] = field(default_factory=list)
    first: dict[str, str] = field(default_factory=dict)

    def add(self, found: FoundFile) -> None:
        name, key = printable(found.path), self.keys.get(found.path)
        reason = found.reason or self.reasons.get(found.path, "")
        if isinstance(key, OSError):
            reason = f"cannot be read ({key.strerror})"
        entry = self.entries.get(key) if isinstance(key, str) else None
        if isinstance(key, str):
            fault = entry.error if entry else self.errors.get(key, "could not be decoded")
            twin = f"the same content as {self.first[key]}" if key in self.first else ""
            reason = fault or twin
        if reason or entry is None:
            self.rows.append(ReportRow(name, "skipped", 0.0, reason))
            return
        self.first[entry.key] = name
        self.items.append(Item(found.path, entry.start, entry.length, found.labels, entry.key, found.split))
        self.rows.append(ReportRow(name, "used", entry.length / self.sample_rate, entry.note))


def _content_hash(items: Sequence[Item], sample_rate: int, loudness: str) -> str:
    text = [f"{HASH_VERSION} {sample_rate} {loudness}", *sorted(item.key for item in items)]
    return hashlib.blake2b("\n".join(text).encode(), digest_size=16).hexdigest()


def write_report(path: Path, rows: Iterable[ReportRow]) -> None:
    """Write data_report.csv, a row for every file found, whole or not at all. Raises: as `wavevae.files.replacing`."""
    with (
        replacing(path) as part,
        open(part, "w", newline="", encoding="utf-8", errors="backslashreplace") as file,
    ):
        table = csv.writer(file)
        table.writerow(REPORT_HEADER)
        table.writerows((r.path, r.status, f"{r.seconds:.6f}", r.reason) for r in rows)


def why_nothing(rows: Sequence[ReportRow]) -> str:
    """One line for a corpus with nothing to use: how many files, the commonest reasons, one example."""
    reasons = Counter(row.reason for row in rows)
    listed = ", ".join(f"{count} x {reason}" for reason, count in reasons.most_common(3))
    more = ", ..." if len(reasons) > 3 else ""
    return f"no sound that can be used among {len(rows)} files ({listed}{more}); first: {rows[0].path}"
