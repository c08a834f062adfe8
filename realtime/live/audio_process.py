"""The audio process: finds the devices, opens them and runs the callback. Imports no torch.

It is a separate process so that the supervisor can end it when a device hangs and start another, while the engine waits
with its ring full.
"""

from __future__ import annotations

import os
import time
from multiprocessing.connection import Connection
from typing import Any

from wavevae.errors import UserError

from .audio_callback import Callback, Watch
from .devices import NO_DEVICE, choose, find_devices
from .engine_process import make_player
from .messages import DeviceChoice, Failed, Found, Load, Open, Opened, Ready
from .processes import ask_for_real_time, quiet, settle
from .shared_memory import Count, Shared
from .streams import CardStream, ClockStream, Stream, find_period

LOOK_EVERY_S = 0.05


def sound(wish: DeviceChoice, shared: Shared, pipe: Connection) -> None:
    """Entry point of the process: Found, (Open) Opened, (go) sound until QUIT; or Failed and the end."""
    settle()
    try:
        found = find(wish)
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


def find(wish: DeviceChoice) -> Found:
    """Raises: UserError where a device is not there."""
    if wish.output == NO_DEVICE:
        return Found(None, None)
    devices = find_devices()
    output = choose(devices, wish.output)
    return Found(output, choose(devices, wish.input, "input") if wish.listens else None, find_period(output))


def perform(found: Found, order: Open, shared: Shared, pipe: Connection) -> None:
    """Raises: UserError where the device does not open."""
    if order.load is None:
        callback: Any = Callback(shared, order.sample_rate)
        engine = None
    else:
        callback, engine = _direct(order.load, shared)
    block = int(shared.counts[Count.BLOCK])
    rate = engine.about.sample_rate if engine else order.sample_rate
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
    return DirectCallback(shared, answer.about.sample_rate, player), answer


class DirectCallback(Callback):
    """Computes its block itself: simple, no ring, no delay by one; for large blocks."""

    listens_first = True

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
