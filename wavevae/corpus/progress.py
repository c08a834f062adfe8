"""How far it is: a bar on a terminal, a plain line now and then elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import TextIO

Progress = Callable[[str, float, str], None]
"""Called with what is being done, the share done (0..1; 0 and 1 are always shown) and a few words."""

BAR_CELLS = 24
LINE_EVERY_S = 10.0
REDRAW_EVERY_S = 0.1


class ConsoleProgress:
    """Writes to standard error. Work that ends at once leaves a single line."""

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
        print(
            f"\r\033[K{what} {bar} {share:4.0%}  {text}",
            end="\n" if share >= 1 else "",
            file=self.stream,
            flush=True,
        )


def silent(what: str, share: float, text: str) -> None:
    """Says nothing."""
