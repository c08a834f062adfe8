"""Standard output and standard error that never interrupt the work.

The reader of a pipe may quit, a disk may fill up, a terminal may close: printing then fails with an OSError in the
middle of a training or of a signal handler. `guard` puts `GuardedStream`s in place of both streams, for this program
and every library that prints.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TextIO

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
