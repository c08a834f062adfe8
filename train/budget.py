"""The budget of a run, in wall-clock, steps or both, and how much of it is used: progress from 0 to 1."""

from __future__ import annotations

import re
import time
from collections.abc import Callable

from wavevae.errors import UserError

UNITS_S = {"d": 86400.0, "h": 3600.0, "m": 60.0, "min": 60.0, "s": 1.0, "": 1.0}
PART = re.compile(r"\s*(\d+(?:\.\d+)?)\s*(d|h|min|m|s|)", re.IGNORECASE)


def parse_time(text: str, option: str = "--max-time") -> float:
    """'10m', '1h30m', '90s', '90' (seconds) -> seconds. Raises: UserError naming the option."""
    position, seconds = 0, 0.0
    clean = text.strip()
    while position < len(clean):
        part = PART.match(clean, position)
        if part is None:
            raise UserError(f"{option} is '{text}'; write a time like 10m, 90s or 1h30m")
        seconds += float(part[1]) * UNITS_S[part[2].lower()]
        position = part.end()
    if seconds <= 0:
        raise UserError(f"{option} is '{text}'; write a time above 0, like 10m, 90s or 1h30m")
    return seconds


def show_time(seconds: float) -> str:
    """600 -> '10m', 75 -> '1m15s', 5400 -> '1h30m', 12 -> '12s'."""
    whole = max(0, round(seconds))
    hours, minutes, rest = whole // 3600, whole % 3600 // 60, whole % 60
    if hours:
        return f"{hours}h{minutes:02d}m" if minutes else f"{hours}h"
    if minutes:
        return f"{minutes}m{rest:02d}s" if rest else f"{minutes}m"
    return f"{rest}s"


class Budget:
    """With both limits, whichever is nearer its end counts. The clock runs from `start` on, which takes over the time
    that earlier processes used."""

    def __init__(
        self, max_time_s: float | None, max_steps: int | None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.max_time_s, self.max_steps, self.clock = max_time_s, max_steps, clock
        self._used_s = 0.0
        self._started: float | None = None

    def start(self, used_s: float = 0.0) -> None:
        self._used_s, self._started = used_s, self.clock()

    @property
    def elapsed_s(self) -> float:
        """Wall-clock used, before a resume too."""
        return self._used_s + (0.0 if self._started is None else self.clock() - self._started)

    def progress(self, step: int) -> float:
        """Used share of the budget after `step` steps, 0 to 1."""
        by_time = self.elapsed_s / self.max_time_s if self.max_time_s else 0.0
        by_steps = step / self.max_steps if self.max_steps else 0.0
        return min(1.0, max(by_time, by_steps))

    def left_s(self, progress: float) -> float:
        """Estimate of the seconds left, from the pace so far."""
        return self.elapsed_s * (1.0 - progress) / progress if progress > 0 else float(self.max_time_s or 0.0)

    def __str__(self) -> str:
        """'10m', '2000 steps' or '10m or 2000 steps'."""
        parts = [show_time(self.max_time_s)] if self.max_time_s else []
        return " or ".join(parts + ([f"{self.max_steps} steps"] if self.max_steps else []))
