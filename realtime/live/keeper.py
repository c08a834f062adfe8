"""Keeps sound coming: starts the audio shell, and starts it again when the device or its server is lost."""

from __future__ import annotations

import time
from collections.abc import Callable
from multiprocessing.context import SpawnContext
from typing import Any

from wavevae.errors import UserError

from .audio_process import Found, Open, Opened, Wish, sound
from .children import Child
from .engine_process import GO, Failed
from .shared_memory import Count, Shared

SILENT_AT_MOST_S = 2.0
"""Without a callback: then the device counts as lost."""
OPEN_AT_MOST_S = 10.0
TRY_EVERY_S = 1.0


class Keeper:
    """The shell's process, whichever it is at the moment."""

    def __init__(self, spawn: SpawnContext, wish: Wish, shared: Shared, say: Callable[[str], None]) -> None:
        self._spawn, self._wish, self._shared, self._say = spawn, wish, shared, say
        self._order: Open | None = None
        self._callbacks, self._moved = 0, time.monotonic()
        self._lost_at: float | None = None
        self._told = ""
        self.child = self._start()

    def _start(self) -> Child:
        self._begun = time.monotonic()
        return Child(self._spawn, "sound", sound, self._wish, self._shared)

    def answer(self) -> Any:
        """What the first shell said: Found, then Opened; None so far. Raises: UserError when it cannot."""
        said = self.child.hear()
        if isinstance(said, Failed):
            raise UserError(said.message)
        if said is None and not self.child.alive:
            raise RuntimeError(f"the sound process ended ({self.child.end})")
        return said

    def open(self, order: Open) -> None:
        self._order = order
        self.child.tell(order)

    def go(self) -> None:
        self._moved = time.monotonic()
        self.child.tell(GO)

    @property
    def lost(self) -> bool:
        return self._lost_at is not None

    def look(self) -> None:
        """A few times a second, once it plays."""
        now, callbacks = time.monotonic(), int(self._shared.counts[Count.CALLBACKS])
        if callbacks != self._callbacks:
            self._callbacks, self._moved = callbacks, now
            if self._lost_at is not None:
                self._say(f"the device is back after {now - self._lost_at:.1f} s")
                self._lost_at, self._told = None, ""
        if self._lost_at is not None:
            self._try_again(now)
        elif not self.child.alive or now - self._moved > SILENT_AT_MOST_S:
            self._lose(now)

    def _lose(self, now: float) -> None:
        how = (
            "no longer asks for sound"
            if self.child.alive
            else f"is gone: its process ended ({self.child.end})"
        )
        self._say(f"the device {how}; is it unplugged, or its server gone? trying again until it is back")
        self._lost_at = now
        self._restart()

    def _try_again(self, now: float) -> None:
        """Lead a new shell from Found to sound; when it fails or hangs, another."""
        said = self.child.hear()
        if isinstance(said, Found) and self._order is not None:
            self.child.tell(self._order)
        elif isinstance(said, Opened):
            self.child.tell(GO)
        elif isinstance(said, Failed) and said.message != self._told:
            self._told = said.message
            self._say(f"not yet: {said.message}")
        ended = not self.child.alive and now - self._begun > TRY_EVERY_S
        if ended or now - self._begun > OPEN_AT_MOST_S:
            self._restart()

    def _restart(self) -> None:
        self.child.stop()
        self.child = self._start()

    def stop(self, deadline: float) -> None:
        self.child.stop(deadline)
