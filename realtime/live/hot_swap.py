"""Changes the model without a gap: a spare engine loads it while the other plays, then the audio callback cross-fades.

    load ──> ready ──> controls follow ──> go ──> ring full ──> fade ──> the old engine leaves, a new spare comes

The spare process has imported torch already. It also replaces an engine whose process died.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import replace
from multiprocessing.context import SpawnContext

from ..model_info import ModelInfo
from .engine_process import play
from .processes import FADE_OUT, GO, LEAVE, Child, Failed, Load, Ready
from .shared_memory import DECKS, Count, DeckCount, Shared

MOST_DEATHS, DEATHS_WITHIN_S = 3, 60.0
FADE_AT_MOST_S = 5.0
SPARE_AFTER_S = 1.0


class EngineDied(RuntimeError):
    """It ended on its own, and again."""


class HotSwap:
    """The engine that plays, its spare, and what is under way between them.

    `switch` is called with the new model and its deck before that engine begins: the control side follows.
    `refuse` gets the reason why a model that was asked for does not come.
    """

    def __init__(
        self,
        spawn: SpawnContext,
        shared: Shared,
        switch: Callable[[ModelInfo, int], None],
        refuse: Callable[[str], None],
        say: Callable[[str], None],
    ) -> None:
        self._spawn, self._shared = spawn, shared
        self._switch, self._refuse, self._say = switch, refuse, say
        self._engines: list[Child | None] = [None] * DECKS
        self._load: Load | None = None
        self._coming: Ready | None = None
        self._loading: Load | None = None
        self._wanted: Load | None = None
        """To be loaded as soon as there is a spare."""
        self._switched_at, self._version = 0.0, 0
        self._spare_due = math.inf
        self._stage: Callable[[], None] = self._rest
        self._deaths: list[float] = []
        self._engines[0] = self._start(0)

    # the first engine

    @property
    def playing(self) -> Child:
        engine = self._engines[self._deck]
        assert engine is not None
        return engine

    @property
    def _deck(self) -> int:
        return int(self._shared.counts[Count.WANTED])

    @property
    def _other(self) -> int:
        return 1 - self._deck

    def load(self, load: Load) -> None:
        """Ask the first engine; its answer comes from `playing`."""
        self._load = load
        self.playing.send(load)

    def loaded(self, ready: Ready) -> None:
        """From now on the rate is fixed: every other model must have it."""
        assert self._load is not None
        self._load = replace(self._load, sample_rate=ready.model.sample_rate)

    def go(self) -> None:
        self.playing.send(GO)

    # while it plays

    def start_spare(self) -> None:
        """Once it sounds, and the first moments are over."""
        self._spare_due = time.monotonic() + SPARE_AFTER_S

    def change(self, path: str) -> None:
        """Another model, as soon as it is ready; the present one plays on until then."""
        if self._load is None or self._wanted is not None or self._stage != self._rest:
            self._refuse(f"{path}: another model is being loaded; ask again when it plays")
            return
        self._wanted = replace(self._load, path=path, while_playing=True)

    def look(self) -> None:
        """A few times a second. Raises: EngineDied when restarting does not help."""
        if not self.playing.alive and self._stage == self._rest and self._wanted is None:
            self._replace()
        spare = self._engines[self._other]
        if spare is None and time.monotonic() > self._spare_due:
            spare = self._engines[self._other] = self._start(self._other)
        if spare is not None and not spare.alive and self._stage != self._fading:
            self._lose_spare()
        self._stage()

    def fade_out(self) -> None:
        """Both: whichever sounds, falls silent."""
        for deck in self._shared.decks:
            if deck.counts[DeckCount.STOP] == 0:
                deck.counts[DeckCount.STOP] = FADE_OUT

    def stop(self, deadline: float) -> None:
        for engine in self._engines:
            if engine is not None:
                engine.stop(deadline)

    # stages

    def _rest(self) -> None:
        spare = self._engines[self._other]
        if self._wanted is not None and spare is not None:
            self._loading, self._wanted = self._wanted, None
            spare.send(self._loading)
            self._stage = self._await_ready

    def _await_ready(self) -> None:
        spare = self._engines[self._other]
        answer = spare.receive() if spare is not None else None
        if isinstance(answer, Failed):
            self._stage = self._rest
            self._refuse(answer.message)
        elif isinstance(answer, Ready):
            assert spare is not None
            self._coming = answer
            self._switched_at = time.monotonic()
            self._version = self._shared.decks[self._other].controls.version
            self._switch(answer.model, self._other)
            self._stage = self._await_controls

    def _await_controls(self) -> None:
        """It begins from the controls as they are, once they are there."""
        late = time.monotonic() - self._switched_at > FADE_AT_MOST_S
        spare = self._engines[self._other]
        if spare is not None and (late or self._shared.decks[self._other].controls.version > self._version):
            spare.send(GO)
            self._stage = self._await_full

    def _await_full(self) -> None:
        if self._shared.decks[self._other].ring.full:
            self._load, self._switched_at = self._loading, time.monotonic()
            self._shared.counts[Count.WANTED] = self._other
            self._stage = self._fading

    def _fading(self) -> None:
        """The old engine leaves when the audio process has gone over (or no audio process is there to do so)."""
        counts = self._shared.counts
        late = time.monotonic() - self._switched_at > FADE_AT_MOST_S
        if counts[Count.DECK] != counts[Count.WANTED] and not late:
            return
        counts[Count.DECK] = counts[Count.WANTED]
        self._renew(self._other)
        self._stage = self._rest
        if self._coming is not None:
            self._say(f"{self._coming.model.name} plays")

    # loss

    def _replace(self) -> None:
        """The engine that plays is gone: the same model again, on the spare."""
        engine, now = self.playing, time.monotonic()
        self._deaths = [t for t in self._deaths if now - t < DEATHS_WITHIN_S] + [now]
        words = f"the engine process ended ({engine.end})"
        if len(self._deaths) >= MOST_DEATHS or self._load is None:
            raise EngineDied(words)
        self._say(f"{words}; the spare takes over")
        self._wanted = replace(self._load, while_playing=True)

    def _lose_spare(self) -> None:
        """A file that breaks the process while it loads must not break what plays."""
        if self._stage != self._rest:
            spare = self._engines[self._other]
            assert spare is not None
            self._refuse(f"the engine ended while it loaded the model ({spare.end})")
            self._stage = self._rest
        self._renew(self._other)

    def _renew(self, number: int) -> None:
        """A fresh spare on a deck that is not playing."""
        engine, deck = self._engines[number], self._shared.decks[number]
        deck.counts[DeckCount.STOP] = LEAVE
        if engine is not None:
            engine.stop(time.monotonic() + 0.5)
        deck.ring.clear()
        self._engines[number] = self._start(number)

    def _start(self, number: int) -> Child:
        return Child(self._spawn, "engine", play, number, self._shared)
