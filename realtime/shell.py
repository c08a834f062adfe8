"""The audio shell: what the sound card calls, and what counts the sound that was lost. No torch, no model."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .shared import Count, Shared

TIMES_KEPT = 8192
FADE_SAMPLES = 64
"""Around a gap: the last sample sinks to zero, the next block rises from it."""
WINDOW_S = 1.0


class Callback:
    """What the device calls for every block: take one from the ring, count. No lock, file, print or allocation
    of audio; the engine is never waited for."""

    def __init__(self, shared: Shared, channels: int) -> None:
        self._ring, self._counts = shared.ring, shared.counts
        self.times: NDArray[np.float64] = np.zeros(TIMES_KEPT)
        """When each of the last callbacks came: callback n at n % TIMES_KEPT, s."""
        size = shared.ring.block_size
        rise = np.minimum(np.arange(1, size + 1) / FADE_SAMPLES, 1.0).astype(np.float32)
        self._rise = np.repeat(rise[:, None], channels, axis=1)
        self._fall = 1.0 - self._rise
        self._last = np.float32(0.0)
        self._gap = False

    def __call__(self, outdata: NDArray[np.float32], frames: int, _time: Any, status: Any) -> None:
        counts = self._counts
        self.times[counts[Count.CALLBACKS] % TIMES_KEPT] = time.perf_counter()
        counts[Count.CALLBACKS] += 1
        if status and status.output_underflow:
            counts[Count.DEVICE_UNDERFLOWS] += 1
        if not self._ring.filled:
            np.multiply(self._fall, self._last, out=outdata)
            self._last = np.float32(0.0)
            self._gap = True
            counts[Count.EMPTY] += 1
            return
        block = self._ring.front()
        outdata[:] = block[:, None]
        self._last = block[-1]
        self._ring.drop()
        if self._gap:
            self._gap = False
            np.multiply(outdata, self._rise, out=outdata)


class MissingCallbacks:
    """Counts the callbacks that never came: PortAudio reports a stall of any length as one event.

    A callback's lag is how late it comes against a steady beat. A late one that is made up for raises the lag
    for a moment; lost time raises it for good. So the smallest lag of each window of a second is compared with
    that of the window before; starting afresh with each window lets the two clocks drift apart.
    """

    def __init__(self, period_s: float) -> None:
        self._period = period_s
        self._anchor: tuple[int, float] | None = None
        """Number and time of the callback from which lags are counted."""
        self._smallest: tuple[float, int, float] | None = None
        """Lag, number and time of the least late callback of this window."""
        self._window_start = 0.0
        self.count = 0

    def feed(self, number: int, moment: float) -> None:
        """Callback `number` came at `moment` (s); call in order."""
        if self._anchor is None:
            self._anchor = (number, moment)
            self._window_start = moment
            return
        if moment - self._window_start > WINDOW_S:
            self.end_window()
            self._window_start = moment
        lag = (moment - self._anchor[1]) / self._period - (number - self._anchor[0])
        if self._smallest is None or lag < self._smallest[0]:
            self._smallest = (lag, number, moment)

    def end_window(self) -> None:
        """Count what this window lost."""
        if self._smallest is not None:
            lag, number, moment = self._smallest
            self.count += max(0, round(lag))
            self._anchor = (number, moment)
            self._smallest = None


class Watch:
    """Reads the callback's notes from outside it: lost sound, and whether the device still calls."""

    def __init__(self, callback: Callback, shared: Shared, period_s: float) -> None:
        self._callback, self._counts = callback, shared.counts
        self._missing = MissingCallbacks(period_s)
        self._seen = 0
        self._last_call = time.perf_counter()

    def look(self) -> None:
        """Call a few times a second."""
        now = int(self._counts[Count.CALLBACKS])
        if now > self._seen:
            self._last_call = time.perf_counter()
        for number in range(max(self._seen, now - TIMES_KEPT), now):
            self._missing.feed(number, float(self._callback.times[number % TIMES_KEPT]))
        self._seen = now
        self._counts[Count.MISSING] = self._missing.count

    def finish(self) -> None:
        """After the last callback."""
        self.look()
        self._missing.end_window()
        self._counts[Count.MISSING] = self._missing.count

    @property
    def silent_for_s(self) -> float:
        """Since the device last asked for sound."""
        return time.perf_counter() - self._last_call

    @property
    def lost(self) -> int:
        """Blocks that were not heard as they should have been."""
        events = self._counts[[Count.EMPTY, Count.DEVICE_UNDERFLOWS, Count.MISSING]]
        return int(events.sum())
