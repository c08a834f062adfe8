"""Child processes and their pipes, real-time priority, signals. A child ends with its parent and collects no garbage
while it plays."""

from __future__ import annotations

import contextlib
import ctypes
import gc
import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.connection import wait
from multiprocessing.context import SpawnContext, SpawnProcess
from typing import Any

from wavevae import console
from wavevae.cli import ending_signals

SWITCH_INTERVAL_S = 0.0005
PRIORITY = 10
ONE_REQUEST_S = 1.0
"""Signals so close together are one wish: a terminal and `timeout` may both send it."""


def settle() -> None:
    """At the start of a child: Ctrl-C is the parent's business, and when the parent is gone, so is the child."""
    console.guard()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if hasattr(signal, "SIGHUP"):  # of a terminal that closes: the parent ends its children
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
    with contextlib.suppress(OSError), open("/proc/self/comm", "w") as name:
        name.write(multiprocessing.current_process().name)  # what top and ps show, on Linux
    parent = multiprocessing.parent_process()
    if parent is None:
        return

    def watch() -> None:
        wait([parent.sentinel])
        os._exit(1)

    threading.Thread(target=watch, daemon=True, name="parent watch").start()


def quiet() -> None:
    """Before sounding: a collection after `import torch` holds everything for 70 to 180 ms, so there is none."""
    gc.freeze()
    gc.disable()
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    stay_in_memory()


CURRENT, FUTURE, ON_FAULT = 1, 2, 4
"""Linux's flags of mlockall."""
TRIM_THRESHOLD, MMAP_MAX = -1, -4
"""Settings of glibc's mallopt."""


def stay_in_memory() -> bool:
    """Memory in use stays, and what is freed is kept: to fetch a page from a disk takes longer than a block, and to
    ask the system for memory may wait for whoever looks at this process meanwhile.

    Whether the first was allowed (`memlock unlimited` in /etc/security/limits.d allows it). Pages that were never
    touched, most of torch's, are not brought in for it.
    """
    if not sys.platform.startswith("linux"):
        return False
    system = ctypes.CDLL(None)
    if hasattr(system, "mallopt"):
        system.mallopt(TRIM_THRESHOLD, -1)
        system.mallopt(MMAP_MAX, 0)
    return hasattr(system, "mlockall") and system.mlockall(CURRENT | FUTURE | ON_FAULT) == 0


def ask_for_real_time() -> str:
    """Try SCHED_FIFO for this thread. Returns what came of it, in words. Never for an offline loop: a FIFO
    thread that is always busy is stopped 50 ms each second."""
    if not hasattr(os, "sched_setscheduler"):
        return "this system has no SCHED_FIFO; the engine runs at normal priority"
    try:
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(PRIORITY))
    except OSError as error:
        return (
            f"SCHED_FIFO refused ({error.strerror}); the engine runs at normal priority: allow rtprio {PRIORITY} "
            "in /etc/security/limits.d if it underflows"
        )
    return f"SCHED_FIFO {PRIORITY}"


HASTE = -10


def ask_to_be_preferred() -> None:
    """For hands: among ordinary processes first, where that is allowed. Not SCHED_FIFO: a flood of messages would
    take a core for itself, and Linux then stops whoever sounds there as well."""
    if hasattr(os, "setpriority"):
        with contextlib.suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, 0, min(HASTE, os.getpriority(os.PRIO_PROCESS, 0)))


def give_up_real_time() -> None:
    """At the end of a thread that had it: to give a model's memory back takes tens of milliseconds, and another may
    sound by now."""
    if hasattr(os, "sched_setscheduler"):
        with contextlib.suppress(OSError):
            os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))


@contextmanager
def children_ignore_interrupts() -> Iterator[None]:
    """Around Process.start(): Ctrl-C between its birth and `settle` would end a child with a traceback."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


class StopSignals:
    """The signals that ask for the end become a flag while this is entered; a second one interrupts at once."""

    def __init__(self) -> None:
        self.asked = False
        self._asked_at = 0.0

    def _handle(self, number: int, frame: object) -> None:
        now = time.monotonic()
        if self.asked and now - self._asked_at > ONE_REQUEST_S:
            raise KeyboardInterrupt
        if not self.asked:
            self.asked, self._asked_at = True, now

    def __enter__(self) -> StopSignals:
        self._before = {number: signal.signal(number, self._handle) for number in ending_signals()}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)


END_AT_MOST_S = 2.0


def context() -> SpawnContext:
    """Fresh processes: nothing of the parent's threads or locks comes along."""
    return multiprocessing.get_context("spawn")


class Child:
    """A process and this end of a pipe to it."""

    def __init__(self, spawn: SpawnContext, name: str, work: Callable[..., None], *arguments: Any) -> None:
        """`work` is called with the arguments and its end of the pipe."""
        self.name = name
        self._pipe, theirs = spawn.Pipe()
        self.process: SpawnProcess = spawn.Process(
            target=work, args=(*arguments, theirs), daemon=True, name=f"wavevae {name}"
        )
        with children_ignore_interrupts():
            self.process.start()
        theirs.close()

    @property
    def alive(self) -> bool:
        return self.process.is_alive()

    @property
    def end(self) -> str:
        """How it ended, in words."""
        code = self.process.exitcode
        if code is not None and code < 0:
            return f"signal {signal.Signals(-code).name}"
        return f"status {code}"

    def tell(self, message: Any) -> None:
        """A child that is gone hears nothing; `alive` tells."""
        with contextlib.suppress(OSError):
            self._pipe.send(message)

    def hear(self, patience_s: float = 0.0) -> Any:
        """The next message, or None: nothing yet, or nobody there any more."""
        try:
            return self._pipe.recv() if self._pipe.poll(patience_s) else None
        except (EOFError, OSError):
            return None

    def stop(self, deadline: float | None = None) -> None:
        """Wait for its end until the deadline (time.monotonic); then kill it."""
        self._pipe.close()
        if deadline is not None:
            self.process.join(max(0.0, deadline - time.monotonic()))
        if self.process.is_alive():
            self.process.kill()
        self.process.join()
