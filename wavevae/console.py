"""Text for people: messages, progress and tables, on standard streams that never interrupt the work.

The reader of a pipe may quit, a disk may fill up, a terminal may close: printing then fails with an OSError in the
middle of a training or of a signal handler. `guard` puts `GuardedStream`s in place of both streams, for this program
and every library that prints. No heavy imports.
"""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TextIO

from wavevae.units import format_seconds

Progress = Callable[[str, float, str], None]
"""Called with what is being done, the share done (0..1; 0 and 1 are always shown) and a few words."""
BAR_CELLS = 24
LINE_EVERY_S = 10.0
REDRAW_EVERY_S = 0.1
CANNOT_PRINT = (OSError, ValueError, RuntimeError)
"""What printing raises: a failed write, a closed stream, a signal handler that prints while its program prints."""


class GuardedStream:
    """A text stream whose `write` and `flush` never raise; `failure` is why text was lost, '' while none was."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self.failure = ""

    def write(self, text: str) -> int:
        """Write what can be written. Characters that the encoding lacks become \\xNN."""
        try:
            return self._stream.write(text)
        except UnicodeEncodeError:
            encoding = self._stream.encoding or "ascii"
            return self.write(text.encode(encoding, "backslashreplace").decode(encoding))
        except CANNOT_PRINT as error:
            self._lose(error)
            return len(text)

    def writelines(self, lines: Any) -> None:
        for line in lines:
            self.write(line)

    def flush(self) -> None:
        try:
            self._stream.flush()
        except CANNOT_PRINT as error:
            self._lose(error)

    def _lose(self, error: Exception) -> None:
        self.failure = self.failure or getattr(error, "strerror", None) or str(error)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def guard() -> None:
    """Once at the start of a process, before it opens any file."""
    closed = _reserve_descriptors()
    for number, name in ((1, "stdout"), (2, "stderr")):
        stream = getattr(sys, name)
        if isinstance(stream, GuardedStream):
            continue
        if stream is None:
            stream = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115 - open until the process ends
        guarded = GuardedStream(stream)
        if number in closed:
            guarded.failure = "it is closed"
        setattr(sys, name, guarded)


def _reserve_descriptors() -> set[int]:
    """Opens those of 0, 1, 2 that the caller closed (`2>&-`) on the null device, and returns them.

    The next file that the program opens would get the free number, and libraries print to 2 whatever it is.
    """
    closed = set()
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:
            closed.add(number)
            with contextlib.suppress(OSError):
                opened = os.open(os.devnull, os.O_RDWR)
                if opened != number:
                    os.dup2(opened, number)
                    os.close(opened)
    return closed


def stdout_failure() -> str:
    """Why standard output did not take all that was printed; '' where it did."""
    sys.stdout.flush()
    return sys.stdout.failure if isinstance(sys.stdout, GuardedStream) else ""


@contextmanager
def discarded_stderr() -> Iterator[None]:
    """Discards what C libraries print to standard error: those below PortAudio complain of every missing card."""
    sys.stderr.flush()
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


def say(text: str = "") -> None:
    """A message on standard error, at once: standard output is for results."""
    print(text, file=sys.stderr, flush=True)


class ConsoleProgress:
    """How far it is, on standard error: a bar on a terminal, a plain line every ten seconds elsewhere.

    Work that ends at once leaves a single line.
    """

    def __init__(self, stream: TextIO | None = None) -> None:
        self.stream = stream or sys.stderr
        self.last = time.monotonic()

    def __call__(self, what: str, share: float, text: str) -> None:
        terminal = self.stream.isatty()
        now = time.monotonic()
        if 0 < share < 1 and now - self.last < (REDRAW_EVERY_S if terminal else LINE_EVERY_S):
            return
        self.last = now
        if not terminal:
            print(f"{what}: {share:.0%}, {text}", file=self.stream, flush=True)
            return
        full = round(share * BAR_CELLS)
        bar = "█" * full + "░" * (BAR_CELLS - full)
        end = "\n" if share >= 1 else ""
        print(f"\r\033[K{what} {bar} {share:4.0%}  {text}", end=end, file=self.stream, flush=True)


def silent(what: str, share: float, text: str) -> None:
    """A progress that shows nothing."""


class SoundProgress:
    """Progress of a sound that is made or read sample by sample, with its speed."""

    def __init__(self, what: str, total_samples: int, sample_rate: int) -> None:
        self._what, self._total, self._rate = what, max(total_samples, 1), sample_rate
        self._done, self._start = 0, time.monotonic()
        self._show = ConsoleProgress()

    def add(self, samples: int) -> None:
        """So many more samples are done."""
        self._done += samples
        done, total = (format_seconds(n / self._rate) for n in (self._done, self._total))
        share = min(self._done / self._total, 0.999)  # `end` says that it is done
        self._show(self._what, share, f"{done} of {total}, {self.speed:.0f}x real time")

    @property
    def speed(self) -> float:
        """Seconds of audio a second."""
        return self._done / self._rate / max(time.monotonic() - self._start, 1e-9)

    def end(self, text: str) -> None:
        """Replaces the bar by what became of the work."""
        say(("\r\033[K" if self._show.stream.isatty() else "") + text)


def table(rows: Sequence[Sequence[str]]) -> list[str]:
    """A line a row; columns aligned to the left, two spaces apart."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)).rstrip() for row in rows]
