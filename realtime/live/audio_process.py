"""The audio process: finds the devices, opens them and runs the callback, which copies blocks from the ring to the
sound card. Imports no torch.

It is a separate process so that the supervisor can end it when a device hangs and start another, while the engine waits
with its ring full.
"""

from __future__ import annotations

import os
import time
from multiprocessing.connection import Connection
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wavevae.errors import UserError

from .devices import NO_DEVICE, CardStream, ClockStream, Stream, choose, find_devices, find_period
from .engine_process import make_player
from .processes import (
    DeviceChoice,
    Failed,
    Found,
    Load,
    Open,
    Opened,
    Ready,
    ask_for_real_time,
    quiet,
    settle,
)
from .shared_memory import TAPE_SAMPLES, Count, Deck, Shared

TIMES_KEPT = 8192
FADE_SAMPLES = 64
"""Around a gap: the last sample sinks to zero, the next block rises from it."""
CROSS_FADE_MS = 80.0
"""From one model to the next."""
WINDOW_S = 1.0

Samples = NDArray[np.float32]


class Reader:
    """Takes blocks of one deck's ring into `out` (block_size,); neither end of a gap clicks."""

    def __init__(self, deck: Deck, after_gap: bool = False) -> None:
        self._ring = deck.ring
        size = deck.ring.block_size
        self.out = np.zeros(size, np.float32)
        self._rise = np.minimum(np.arange(1, size + 1) / FADE_SAMPLES, 1.0).astype(np.float32)
        self._fall = 1.0 - self._rise
        self._last, self._gap = np.float32(0.0), after_gap

    def take(self) -> bool:
        """The next block; False where there was none and `out` sinks to silence."""
        if not self._ring.filled:
            np.multiply(self._fall, self._last, out=self.out)
            self._last, self._gap = np.float32(0.0), True
            return False
        if self._gap:
            np.multiply(self._ring.front(), self._rise, out=self.out)
            self._gap = False
        else:
            self.out[:] = self._ring.front()
        self._last = self.out[-1]
        self._ring.drop()
        return True


class Callback:
    """What the device calls for every block: take one from the ring, count. No lock, file, print or allocation
    of audio; the engine is never waited for. When another deck is wanted it fades over to that, with equal power.
    """

    input_first = False
    """An input block goes into the output block of the same callback."""

    def __init__(self, shared: Shared, sample_rate: int) -> None:
        self._shared, self._counts = shared, shared.counts
        self.times: NDArray[np.float64] = np.zeros(TIMES_KEPT)
        """When each of the last callbacks came: callback n at n % TIMES_KEPT, s."""
        self.spent: NDArray[np.float64] = np.zeros(TIMES_KEPT)
        """How long each took, s."""
        size = int(self._counts[Count.BLOCK])
        blocks = max(1, round(CROSS_FADE_MS / 1000 * sample_rate / size))
        angle = np.linspace(0, np.pi / 2, blocks * size)
        self._up = np.sin(angle).astype(np.float32).reshape(blocks, size)
        self._down = np.cos(angle).astype(np.float32).reshape(blocks, size)
        self._reader = Reader(shared.deck, after_gap=bool(self._counts[Count.CALLBACKS]))
        self._next: Reader | None = None
        self._faded = 0

    def __call__(
        self, outdata: Samples, frames: int, _time: Any, status: Any, input_block: Samples | None = None
    ) -> None:
        start = time.perf_counter()
        counts = self._counts
        number = int(counts[Count.CALLBACKS])
        self.times[number % TIMES_KEPT] = start
        if status and status.output_underflow:
            counts[Count.DEVICE_UNDERFLOWS] += 1
        if input_block is not None and self.input_first:
            self._keep_input(input_block)
        taken = self._mix()
        outdata[:] = self._reader.out[:, None]
        self._tape(self._reader.out)
        if (
            input_block is not None and taken and not self.input_first
        ):  # one in for one out: a gap does not make the input late
            self._keep_input(input_block)
        counts[Count.CALLBACKS] = number + 1
        self.spent[number % TIMES_KEPT] = time.perf_counter() - start

    def _mix(self) -> bool:
        """The next block into the reader's `out`; False if the deck that sounds had none."""
        taken = self._reader.take()
        if not taken:
            self._counts[Count.EMPTY] += 1
        wanted = int(self._counts[Count.WANTED])
        if self._next is None and wanted != self._counts[Count.DECK]:
            self._next, self._faded = Reader(self._shared.decks[wanted]), 0
        if self._next is not None:
            self._cross_fade(self._next)
        return taken

    def _cross_fade(self, coming: Reader) -> None:
        if not coming.take():
            self._counts[Count.EMPTY] += 1
        out = self._reader.out
        np.multiply(out, self._down[self._faded], out=out)
        np.multiply(coming.out, self._up[self._faded], out=coming.out)
        np.add(out, coming.out, out=coming.out)
        out[:] = coming.out
        self._faded += 1
        if self._faded == len(self._up):
            self._reader, self._next = coming, None
            self._counts[Count.DECK] = self._counts[Count.WANTED]

    def _tape(self, block: Samples) -> None:
        place = int(self._counts[Count.TAPED])
        start = place % TAPE_SAMPLES
        first = min(len(block), TAPE_SAMPLES - start)
        self._shared.tape[start : start + first] = block[:first]
        self._shared.tape[: len(block) - first] = block[first:]
        self._counts[Count.TAPED] = place + len(block)

    def _keep_input(self, input_block: Samples) -> None:
        """Several channels are mixed to one."""
        number = int(self._counts[Count.INPUT_BLOCKS])
        np.mean(input_block, axis=1, out=self._shared.input_block(number))
        self._counts[Count.INPUT_BLOCKS] = number + 1


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
    """Reads the callback's notes from outside it: lost sound, how long callbacks took."""

    def __init__(self, callback: Callback, shared: Shared, period_s: float) -> None:
        self._callback, self._counts = callback, shared.counts
        self._missing = MissingCallbacks(period_s)
        self._seen = int(self._counts[Count.CALLBACKS])
        self._before = int(self._counts[Count.MISSING])
        """Of streams that went before this one."""

    def look(self) -> None:
        """Call a few times a second."""
        now = int(self._counts[Count.CALLBACKS])
        for number in range(max(self._seen, now - TIMES_KEPT), now):
            self._missing.feed(number, float(self._callback.times[number % TIMES_KEPT]))
        self._seen = now
        self._counts[Count.MISSING] = self._before + self._missing.count

    def finish(self) -> None:
        """After the last callback."""
        self.look()
        self._missing.end_window()
        self._counts[Count.MISSING] = self._before + self._missing.count
        kept = self._callback.spent[: min(self._seen, TIMES_KEPT)]
        if len(kept):
            self._counts[Count.CALLBACK_US] = round(1e6 * float(np.percentile(kept, 99)))


LOOK_EVERY_S = 0.05


def sound(choice: DeviceChoice, shared: Shared, pipe: Connection) -> None:
    """Entry point of the process: Found, (Open) Opened, (go) sound until QUIT; or Failed and the end."""
    settle()
    try:
        found = find(choice)
        pipe.send(found)
        order = pipe.recv()
        perform(found, order, shared, pipe)
    except EOFError:
        pass
    except UserError as error:
        pipe.send(Failed(str(error), 2))
    except Exception as error:
        pipe.send(Failed(f"the device cannot be used: {type(error).__name__}: {error}", 1))
    os._exit(0)  # PortAudio may hang at the end of a process


def find(choice: DeviceChoice) -> Found:
    """Raises: UserError where a device is not there."""
    if choice.output == NO_DEVICE:
        return Found(None, None)
    devices = find_devices()
    output = choose(devices, choice.output)
    return Found(
        output, choose(devices, choice.input, "input") if choice.listens else None, find_period(output)
    )


def perform(found: Found, order: Open, shared: Shared, pipe: Connection) -> None:
    """Raises: UserError where the device does not open."""
    if order.load is None:
        callback: Any = Callback(shared, order.sample_rate)
        engine = None
    else:
        callback, engine = _direct(order.load, shared)
    block = int(shared.counts[Count.BLOCK])
    rate = engine.model.sample_rate if engine else order.sample_rate
    stream: Stream
    if found.device is None:
        stream = ClockStream(rate, block, callback)
    else:
        stream = CardStream(found.device, found.listens, rate, block, callback, found.period)
    pipe.send(Opened(stream.latency_s, engine, stream.input_latency_s, stream.rebuffered_s))
    pipe.recv()
    shared.touch()
    ask_for_real_time()  # the callback waits for this thread whenever it holds the interpreter's lock
    quiet()
    watch = Watch(callback, shared, block / rate)
    stream.start()
    while not shared.counts[Count.QUIT]:
        watch.look()
        time.sleep(LOOK_EVERY_S)
        if stream.changed:
            break  # the supervisor starts another, which asks anew
    stream.close()
    watch.finish()


def _direct(load: Load, shared: Shared) -> tuple[DirectCallback, Ready]:
    """The engine within the callback."""
    player, answer = make_player(load, 0, shared)
    if isinstance(answer, Failed) or player is None:
        raise UserError(answer.message if isinstance(answer, Failed) else "")
    return DirectCallback(shared, answer.model.sample_rate, player), answer


class DirectCallback(Callback):
    """Computes its block itself: simple, no ring, no delay by one; for large blocks."""

    input_first = True

    def __init__(self, shared: Shared, sample_rate: int, player: Any) -> None:
        super().__init__(shared, sample_rate)
        self._player = player
        self._begun = False

    def _mix(self) -> bool:
        deck = self._shared.deck
        if not self._begun:
            self._player.begin()
            self._begun = True
        if not deck.ring.filled:
            deck.ring.put(self._player.next_block())
        return super()._mix()
