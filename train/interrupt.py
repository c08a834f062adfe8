"""Ctrl-C, SIGTERM or the end of the terminal: a run stops after the step it is in, with everything saved."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

import pytorch_lightning as pl

from wavevae.cli import ending_signals

from .module import TrainingModule
from .progress import say

Handler = Callable[[int, FrameType | None], None]


class Interrupted(Exception):
    """The run was asked to stop and did, saved; carries the exit status of the signal."""

    def __init__(self, signal_number: int) -> None:
        super().__init__(signal_number)
        self.status = 128 + signal_number


class OwnHandlers(pl.Callback):
    """Puts Lightning's answer to SIGTERM aside: it speaks to the other processes from inside the handler, in the
    middle of whatever they are saying to each other."""

    def __init__(self, handler: Handler) -> None:
        self.handler = handler

    def on_train_start(self, trainer: pl.Trainer, module: Any) -> None:
        for number in ending_signals():
            signal.signal(number, self.handler)


@contextmanager
def stop_gently(module: TrainingModule) -> Iterator[OwnHandlers]:
    """Within it `ending_signals()` ask the module to stop; a second one does not wait for the step. Gives the
    callback that keeps it so.

    Raises: Interrupted at the end where any process of the run was asked to.
    """
    asked: list[int] = []

    def ask(number: int, frame: FrameType | None) -> None:
        if asked:
            raise KeyboardInterrupt
        asked.append(number)
        module.stop_asked = True
        say("stopping after this step")

    before = {number: signal.signal(number, ask) for number in ending_signals()}
    try:
        yield OwnHandlers(ask)
    except SystemExit as stop:  # what Lightning makes of a KeyboardInterrupt
        if not asked:
            raise
        raise Interrupted(asked[0]) from stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if (asked or module.stopping) and module.share < 1.0:
        raise Interrupted(asked[0] if asked else signal.SIGTERM)
