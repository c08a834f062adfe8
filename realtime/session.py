"""One performance: three processes started, watched and ended.

This process is the audio shell; the engine and the control process are its children.
"""

from __future__ import annotations

import multiprocessing
import signal
import socket
import time
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from pathlib import Path

from wavevae.errors import UserError

from .control import About, control
from .player import Failed, Ready, play
from .processes import StopSignals, children_ignore_interrupts
from .shared import Count, Shared
from .shell import Watch

GO = "go"
LOOK_EVERY_S = 0.05
FILL_AT_MOST_S = 5.0
END_AT_MOST_S = 2.0


class Interrupted(Exception):
    """Asked to stop before it sounded."""


class EngineDied(RuntimeError):
    """A child ended on its own."""


@dataclass
class Summary:
    """How a performance went."""

    seconds: float = 0.0
    blocks: int = 0
    empty: int = 0
    device_underflows: int = 0
    missing: int = 0
    accepted: int = 0
    rejected: int = 0
    clipped: int = 0
    broken: int = 0

    def __str__(self) -> str:
        lost = self.empty + self.device_underflows + self.missing
        text = (
            f"played {self.seconds:.1f} s in {self.blocks} blocks; {lost} underflows ({self.empty} ring empty, "
            f"{self.device_underflows} reported by the device, {self.missing} callbacks missing); "
            f"{self.accepted} messages taken, {self.rejected} refused"
        )
        if self.clipped:
            text += f"; {self.clipped} samples clipped: lower /wavevae/gain"
        return text + (f"; {self.broken} samples not finite, silenced" if self.broken else "")


class Session:
    """Owns the children and the shared memory. Use as a context: on leaving, every process is gone."""

    def __init__(self, ring_depth: int, block_size: int, stop: StopSignals) -> None:
        self._context = multiprocessing.get_context("spawn")
        self.shared = Shared(self._context, ring_depth, block_size)
        self.stop = stop
        self._children: dict[str, SpawnProcess] = {}
        self._pipe: Connection | None = None

    def __enter__(self) -> Session:
        return self

    def __exit__(self, *_: object) -> None:
        self.shared.counts[Count.QUIT] = 1
        if self._pipe is not None:
            self._pipe.close()
        deadline = time.monotonic() + END_AT_MOST_S
        for child in self._children.values():
            child.join(max(0.0, deadline - time.monotonic()))
            if child.is_alive():
                child.kill()
                child.join()

    def load(self, model: Path, seed: int) -> Ready:
        """Start the engine's process and wait until it is warm.

        Raises: UserError for a file that is no model; EngineDied; Interrupted.
        """
        self._pipe, theirs = self._context.Pipe()
        self._start("engine", play, (str(model), seed, self.shared, theirs))
        theirs.close()
        while not self._pipe.poll(LOOK_EVERY_S):  # true at the end of an engine that said nothing, too
            if self.stop.asked:
                raise Interrupted
        try:
            answer = self._pipe.recv()
        except EOFError:
            raise EngineDied("the engine ended while it loaded the model") from None
        if isinstance(answer, Failed):
            raise UserError(answer.message) if answer.status == 2 else EngineDied(answer.message)
        return answer

    def listen(self, about: About, udp: socket.socket) -> None:
        """Start the control process on a bound socket."""
        self._start("control", control, (about, self.shared, udp))
        udp.close()

    def fill(self) -> None:
        """Let the engine start, and wait for a full ring. Raises: EngineDied, Interrupted."""
        assert self._pipe is not None
        self._pipe.send(GO)
        deadline = time.monotonic() + FILL_AT_MOST_S
        while not self.shared.ring.full and time.monotonic() < deadline:
            self.check()
            time.sleep(0.005)

    def fade_out(self, latency_s: float) -> None:
        """Silence without a click: what is in the ring is played, then the fade, then it may stop."""
        self.shared.counts[Count.STOP] = 1
        deadline = time.monotonic() + END_AT_MOST_S
        while not self.shared.counts[Count.SILENT] and time.monotonic() < deadline:
            time.sleep(0.005)
        last = int(self.shared.counts[Count.WRITTEN])
        while self.shared.counts[Count.TAKEN] < last and time.monotonic() < deadline:
            time.sleep(0.005)
        time.sleep(min(latency_s, 0.5))

    def check(self) -> None:
        """Raises: Interrupted when asked to stop, EngineDied when a child is gone."""
        for name, child in self._children.items():
            if not child.is_alive():
                raise EngineDied(f"the {name} process ended ({_how(child.exitcode)})")
        if self.stop.asked:
            raise Interrupted

    def summary(self, watch: Watch, seconds: float) -> Summary:
        """Once the stream is closed."""
        watch.finish()
        counts = [int(n) for n in self.shared.counts]
        names = (Count.EMPTY, Count.DEVICE_UNDERFLOWS, Count.MISSING, Count.ACCEPTED, Count.REJECTED)
        more = (Count.CLIPPED, Count.BROKEN)
        return Summary(seconds, counts[Count.CALLBACKS], *(counts[n] for n in (*names, *more)))

    def _start(self, name: str, work: object, arguments: tuple) -> None:
        child = self._context.Process(target=work, args=arguments, daemon=True, name=f"wavevae {name}")  # type: ignore[arg-type]
        with children_ignore_interrupts():
            child.start()
        self._children[name] = child


def _how(code: int | None) -> str:
    if code is not None and code < 0:
        return f"signal {signal.Signals(-code).name}"
    return f"status {code}"
