"""What has been decoded before, kept by content: one growing file of int16 samples, one SQLite index.

    CACHE/index.sqlite                files: (path, size, mtime) -> content; decoded: content -> place or error
    CACHE/22050-keep.i16              samples of everything decoded at 22 050 Hz with loudness `keep`
    CACHE/parts/HOST-PID/...          files being decoded right now
    CACHE/turns/...                   held by whoever decodes a set of files, so that no one else does the same

    arena   | file A | file C | file B |.......   <- appended at the end that the index knows of
                                       ^ index.end: what lies beyond was never finished and is written over

A sound is appended first, flushed to the disk, then entered in the index in one transaction; so whatever kills
the process, the index names whole sounds only. Processes take turns by SQLite's write lock.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import platform
import shutil
import sqlite3
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np

from wavevae.cli import expanded
from wavevae.console import Progress
from wavevae.errors import Failure, UserError
from wavevae.files import DISK_ERRORS, is_dead

FORMAT_VERSION = 2
"""Raised when what is kept of a file changes: everything is decoded again."""
SAMPLE_BYTES = 2
LOCK_TIMEOUT_S = 600.0
TURN_POLL_S = 0.1
SHOWN_AFTER_S = 2.0
"""A wait shorter than this needs no progress."""
REMEMBER_EVERY = 500
"""Files between two entries into the index: so much hashing is lost if it is killed."""
SCHEMA = """
CREATE TABLE IF NOT EXISTS files (
    path BLOB PRIMARY KEY, size INTEGER NOT NULL, mtime_ns INTEGER NOT NULL, key TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS decoded (
    arena TEXT NOT NULL, key TEXT NOT NULL, start INTEGER NOT NULL, length INTEGER NOT NULL,
    note TEXT NOT NULL, error TEXT NOT NULL, PRIMARY KEY (arena, key)) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS ends ON decoded (arena, start + length);
"""


class FileStat(NamedTuple):
    """A file with what the file system says of it."""

    path: Path
    size: int
    mtime_ns: int


class Decoded(NamedTuple):
    """Where a content lies in the arena (samples), or why it cannot be used."""

    key: str
    start: int
    length: int
    note: str
    error: str


class Finished(NamedTuple):
    """A content just decoded: its samples at hand or in `part`, or an error."""

    key: str
    samples: bytes
    part: Path
    note: str
    error: str

    def copy_to(self, arena: BinaryIO) -> None:
        if self.samples:
            arena.write(self.samples)
        elif not self.error:
            with open(self.part, "rb") as source:
                shutil.copyfileobj(source, arena, 1 << 20)


def default_cache() -> Path:
    """`WAVEVAE_CACHE`, or ~/.cache/wavevae."""
    return expanded(os.environ.get("WAVEVAE_CACHE") or Path.home() / ".cache" / "wavevae")


def content_key(path: Path) -> str:
    """Hash of the file's bytes. Raises: OSError."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=20)).hexdigest()


def usable_cores() -> int:
    """Cores this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@contextlib.contextmanager
def _explained(folder: Path) -> Iterator[None]:
    """A full disk, a read-only folder, a broken index: one line that says what to do."""
    try:
        yield
    except (OSError, sqlite3.Error) as error:
        what = getattr(error, "strerror", None) or str(error)
        advice = "free some space, remove it, or set WAVEVAE_CACHE to a folder elsewhere"
        full = getattr(error, "errno", None) in DISK_ERRORS or "full" in what
        raise (Failure if full else UserError)(
            f"the cache of decoded sounds in {folder} cannot be used ({what}); {advice}"
        ) from error


class Cache:
    """The decoded sounds of one sample rate and loudness. Close it after use (a context manager)."""

    def __init__(self, folder: Path, sample_rate: int, loudness: str) -> None:
        self.folder = folder / f"v{FORMAT_VERSION}"
        self.name = f"{sample_rate}-{loudness}"
        self.arena = self.folder / f"{self.name}.i16"
        self.parts = self.folder / "parts" / f"{platform.node()}-{os.getpid()}"
        with _explained(self.folder):
            self.parts.mkdir(parents=True, exist_ok=True)
            self.index = sqlite3.connect(
                self.folder / "index.sqlite", timeout=LOCK_TIMEOUT_S, isolation_level=None
            )
            self.index.executescript(SCHEMA)
            self._sweep()
            (self.folder / "turns").mkdir(exist_ok=True)
        self._forget_lost()

    def __enter__(self) -> Cache:
        return self

    def __exit__(self, *_: object) -> None:
        self.index.close()
        shutil.rmtree(self.parts, ignore_errors=True)

    def _sweep(self) -> None:
        """Remove the parts of processes of this machine that were killed (POSIX only)."""
        for folder in self.parts.parent.iterdir():
            host, _, pid = folder.name.rpartition("-")
            if host == platform.node() and is_dead(pid):
                shutil.rmtree(folder, ignore_errors=True)

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[None]:
        """All or nothing, and one process at a time."""
        with _explained(self.folder):
            self.index.execute("BEGIN IMMEDIATE")
            try:
                yield
            except BaseException:
                self.index.execute("ROLLBACK")
                raise
            self.index.execute("COMMIT")

    def _forget_lost(self) -> None:
        """Drop entries that reach beyond the arena's end (someone removed or cut it): decode them again."""
        with self._transaction():
            size = self.arena.stat().st_size // SAMPLE_BYTES if self.arena.exists() else 0
            drop = "DELETE FROM decoded WHERE arena = ? AND start + length > ?"
            self.index.execute(drop, (self.name, size))

    @contextlib.contextmanager
    def turn(self, keys: Iterable[str], waiting: Callable[[], None]) -> Iterator[None]:
        """One process at a time for the same set of contents (the ranks of a training, a second start); the
        others wait, calling `waiting` once. Ends with the process, however that ends.
        """
        job = hashlib.blake2b("\n".join([self.name, *sorted(keys)]).encode(), digest_size=1).hexdigest()
        path = (
            self.folder / "turns" / job
        )  # one of 256 files that stay: removing one could split a turn in two
        with _explained(self.folder), contextlib.closing(sqlite3.connect(path, timeout=0.0)) as lock:
            if not _locked(lock):
                waiting()
                while not _locked(lock):
                    time.sleep(TURN_POLL_S)
            yield

    def keys_of(self, sources: Sequence[FileStat], progress: Progress) -> dict[Path, str | OSError]:
        """The content key of each file: from the index where path, size and time are unchanged, else by reading."""
        query = "SELECT key FROM files WHERE path = ? AND size = ? AND mtime_ns = ?"
        keys: dict[Path, str | OSError] = {}
        with _explained(self.folder):
            for path, size, mtime_ns in sources:
                row = self.index.execute(query, (_blob(path), size, mtime_ns)).fetchone()
                if row:
                    keys[path] = row[0]
        unknown = [source for source in sources if source.path not in keys]
        fresh: list[tuple[bytes, int, int, str]] = []
        for (path, size, mtime_ns), key in zip(unknown, _hashed(unknown, progress), strict=True):
            keys[path] = key
            if isinstance(key, str):
                fresh.append((_blob(path), size, mtime_ns, key))
            if len(fresh) == REMEMBER_EVERY:
                self._remember(fresh)
        self._remember(fresh)
        return keys

    def _remember(self, rows: list[tuple[bytes, int, int, str]]) -> None:
        if rows:
            with self._transaction():
                self.index.executemany("INSERT OR REPLACE INTO files VALUES (?, ?, ?, ?)", rows)
        rows.clear()

    def lookup(self, key: str) -> Decoded | None:
        """What is known of a content; None when it has to be decoded."""
        query = "SELECT key, start, length, note, error FROM decoded WHERE arena = ? AND key = ?"
        with _explained(self.folder):
            row = self.index.execute(query, (self.name, key)).fetchone()
        return Decoded(*row) if row else None

    def append(self, finished: Sequence[Finished]) -> None:
        """Add contents for good; removes their parts. What another process has added meanwhile is left out."""
        with self._transaction(), self._open_arena() as arena:
            rows = []
            for entry in finished:
                if self.lookup(entry.key) is not None:
                    continue
                start = arena.tell() // SAMPLE_BYTES
                entry.copy_to(arena)
                length = arena.tell() // SAMPLE_BYTES - start
                rows.append((self.name, entry.key, start, length, entry.note, entry.error))
            arena.flush()
            os.fsync(arena.fileno())
            self.index.executemany("INSERT OR REPLACE INTO decoded VALUES (?, ?, ?, ?, ?, ?)", rows)
        for entry in finished:
            if not entry.samples:
                entry.part.unlink(missing_ok=True)

    def _open_arena(self) -> BinaryIO:
        """At the end of the last whole sound. A new index never writes over an old arena: it may be mapped."""
        query = "SELECT MAX(start + length) FROM decoded WHERE arena = ?"
        end = self.index.execute(query, (self.name,)).fetchone()[0] or 0
        if end == 0:
            self.arena.unlink(missing_ok=True)
            return open(self.arena, "xb")
        arena = open(self.arena, "r+b")  # noqa: SIM115 - closed by the caller
        arena.seek(end * SAMPLE_BYTES)
        return arena

    def samples(self) -> np.ndarray:
        """Everything decoded, int16 (N,), mapped: nothing is read before it is used."""
        return np.memmap(self.arena, np.int16, mode="r", shape=(self.arena.stat().st_size // SAMPLE_BYTES,))


def _locked(lock: sqlite3.Connection) -> bool:
    """Take it, or say that another process has it. Raises: sqlite3.Error for anything else."""
    try:
        lock.execute("BEGIN EXCLUSIVE")
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode not in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
            raise
        return False
    return True


def _blob(path: Path) -> bytes:
    return os.fsencode(os.path.abspath(path))


def _hashed(sources: Sequence[FileStat], progress: Progress) -> Iterator[str | OSError]:
    """Content keys in order, read in threads; shows progress when it takes a while."""

    def read(source: FileStat) -> str | OSError:
        try:
            return content_key(source.path)
        except OSError as error:
            return error

    begun, shown, done = time.monotonic(), False, 0
    total = sum(source.size for source in sources)
    threads = ThreadPoolExecutor(usable_cores())
    try:
        for number, (source, key) in enumerate(zip(sources, threads.map(read, sources), strict=True), 1):
            yield key
            done += source.size
            shown = shown or time.monotonic() - begun > SHOWN_AFTER_S
            if shown:
                share = 1.0 if number == len(sources) else min(0.99, done / max(1, total))
                progress("looking", share, f"{number} of {len(sources)} files")
    finally:
        threads.shutdown(cancel_futures=True)
