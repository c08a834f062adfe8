"""Ctrl-C ends a run after the step it is in, with everything saved."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from .module import TrainingModule
from .progress import say


class Interrupted(Exception):
    """The run was asked to stop and did, saved; carries the exit status of the signal."""

    def __init__(self, signal_number: int) -> None:
        super().__init__(signal_number)
        self.status = 128 + signal_number


@contextmanager
def stop_gently(module: TrainingModule) -> Iterator[None]:
    """Within it SIGINT and SIGTERM ask the module to stop; a second one does not wait for the step.

    Raises: Interrupted at the end where it was asked to.
    """
    asked: list[int] = []

    def ask(number: int, frame: FrameType | None) -> None:
        if asked:
            raise KeyboardInterrupt
        asked.append(number)
        module.stop_asked = True
        say("stopping after this step")

    before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    except SystemExit as stop:  # what Lightning makes of a KeyboardInterrupt
        if not asked:
            raise
        raise Interrupted(asked[0]) from stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if asked and module.share < 1.0:
        raise Interrupted(asked[0])
