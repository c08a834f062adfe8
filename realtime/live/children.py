"""The processes of a performance, and the pipes to them."""

from __future__ import annotations

import contextlib
import multiprocessing
import signal
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnContext, SpawnProcess
from typing import Any

from .processes import children_ignore_interrupts

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


PipeEnd = Connection
