"""Prints messages and progress to standard error."""

from __future__ import annotations

import sys
import time

from wavevae.units import format_seconds

LINE_EVERY_S, TERMINAL_EVERY_S = 10.0, 0.2


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


class Progress:
    """How far it is: a line that is overwritten on a terminal, a line now and then elsewhere."""

    def __init__(self, word: str, total_samples: int, sample_rate: int) -> None:
        self._word, self._total, self._rate = word, max(total_samples, 1), sample_rate
        self._done, self._start = 0, time.monotonic()
        self._terminal = sys.stderr.isatty()
        self._said = self._start

    def add(self, samples: int) -> None:
        """So many more samples are done."""
        self._done += samples
        now = time.monotonic()
        if now - self._said < (TERMINAL_EVERY_S if self._terminal else LINE_EVERY_S):
            return
        self._said = now
        share = 100 * self._done / self._total
        text = (
            f"{self._word} {format_seconds(self._done / self._rate)} of "
            f"{format_seconds(self._total / self._rate)} ({share:.0f} %), {self.speed:.0f}x real time"
        )
        print(
            f"\r{text:<70}" if self._terminal else text, end="" if self._terminal else "\n", file=sys.stderr
        )

    @property
    def speed(self) -> float:
        """Seconds of audio a second."""
        return self._done / self._rate / max(time.monotonic() - self._start, 1e-9)

    def end(self, text: str) -> None:
        """The last word."""
        say(("\r" + " " * 70 + "\r" if self._terminal else "") + text)
