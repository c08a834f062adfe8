"""Child processes of a performance, their pipes and every message that goes through them; priority and signals.

A child ends with its parent and collects no garbage while it plays. The supervisor sends a `Load` to an engine process,
`DeviceChoice` and `Open` to the audio process, `ControlSetup` and `Begin` to the control process; the others are their
answers.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import multiprocessing
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing.connection import wait
from multiprocessing.context import SpawnContext, SpawnProcess
from pathlib import Path
from typing import Any

from wavevae import console
from wavevae.cli import ending_signals

from ..control.network import WebSetup
from ..model_info import ModelInfo
from .devices import Device, channels_of

SWITCH_INTERVAL_S = 0.0005
PRIORITY = 10
ONE_REQUEST_S = 1.0
"""Signals so close together are one request: a terminal and `timeout` may both send it."""


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
    ask the system for memory may wait for a program that inspects this process meanwhile.

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
    """Raise this process above ordinary ones, where that is allowed. Not SCHED_FIFO: a flood of messages would take a
    core for itself, and Linux then stops an engine on that core as well."""
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

    def send(self, message: Any) -> None:
        """Does nothing for a child that is gone (see `alive`)."""
        with contextlib.suppress(OSError):
            self._pipe.send(message)

    def receive(self, patience_s: float = 0.0) -> Any:
        """The next message, or None: nothing yet, or the child is gone."""
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


DEFAULT_BLOCK, SMALLEST_DEFAULT, LARGEST_DEFAULT = 512, 128, 2048
GO = "go"
FADE_OUT, LEAVE = 1, 2
"""What DeckCount.STOP asks for: silence; or to end, since another deck plays."""


# engine process


@dataclass(frozen=True)
class Load:
    """What an engine is to play."""

    path: str
    seed: int = 0
    voices: int | None = None
    """None: as many as are usual."""
    live_input: bool = False
    sample_rate: int | None = None
    """What it must be, if that is known."""
    while_playing: bool = False
    """Another engine sounds: take nothing from it while this one is made ready."""


@dataclass(frozen=True)
class Failed:
    """It could not be loaded; `status` as the command's."""

    message: str
    status: int


@dataclass(frozen=True)
class Ready:
    """A warmed engine, with its measured speed."""

    model: ModelInfo
    block_ms: float
    """Median time a block takes."""
    worst_block_ms: float
    real_time_factor: float
    priority: str
    enough: int | None = None
    """The smallest block size that leaves headroom, where the present one does not (0: none does)."""


# audio process


@dataclass(frozen=True)
class DeviceChoice:
    """Which devices, in the user's words."""

    output: str | None = None
    input: str | None = None
    """Only with `listens`; None: the default one."""
    listens: bool = False


@dataclass(frozen=True)
class Found:
    """Before anything is opened."""

    device: Device | None
    """None: a clock, no sound."""
    listens: Device | None
    period: int = 0
    """Of a JACK server; 0: not known."""

    @property
    def good_block(self) -> int:
        """A block size that suits the device: its own latency, as a power of two."""
        if self.device is None:
            return DEFAULT_BLOCK
        wanted = self.period or self.device.low_latency_ms / 1000 * self.device.sample_rate
        size = SMALLEST_DEFAULT
        while size < min(wanted, LARGEST_DEFAULT) * 0.99:
            size *= 2
        return size

    def __str__(self) -> str:
        if self.device is None:
            return "none: a clock, no sound"
        text = f"{self.device}, {channels_of(self.device)} channels"
        return text + (f", input {self.listens}" if self.listens else "")


@dataclass(frozen=True)
class Open:
    """Open the devices; the layout of the shared memory is made."""

    sample_rate: int
    load: Load | None = None
    """Compute the sound within the callback: no engine process, no ring."""


@dataclass(frozen=True)
class Opened:
    """Ready to start."""

    latency_s: float
    engine: Ready | None = None
    input_latency_s: float = 0.0
    rebuffered_s: float = 0.0
    """As `Stream` has them."""


# control process


@dataclass(frozen=True)
class RecordSetup:
    """Where a session is kept, and what a rendering must know of it."""

    score: Path | None = None
    audio: Path | None = None
    seed: int = 0
    version: str = ""


@dataclass(frozen=True)
class MidiSetup:
    """A port by name, and where its map lies."""

    port: str
    map_file: Path
    mpe: bool = False
    """The controller sends a channel for every note."""


@dataclass(frozen=True)
class ControlSetup:
    """What the control process is to do."""

    udp: socket.socket
    osc_host: str
    osc_port: int
    web: WebSetup | None = None
    midi: MidiSetup | None = None
    midi_out: str | None = None
    """A port by name."""
    record: RecordSetup = field(default_factory=RecordSetup)
    announce: bool = False


@dataclass(frozen=True)
class Begin:
    """A model is about to play on a deck; `resumed`: the controls go on as they are in the shared memory."""

    model: ModelInfo
    deck: int
    resumed: bool
    first: tuple[tuple[str, tuple[object, ...]], ...] = ()
    """Messages that count as sent before the first sound."""


@dataclass(frozen=True)
class Listening:
    """The control process listens; `lines` for the terminal say to what."""

    lines: tuple[str, ...]


@dataclass(frozen=True)
class Problem:
    """A line for the terminal."""

    message: str


@dataclass(frozen=True)
class RecordingLost(Problem):
    """A recording ended before the performance did."""


@dataclass(frozen=True)
class WantModel:
    """Another model is asked for."""

    path: str
