"""Starts, watches and ends the processes of a performance.

The audio process, the engines and the control process are children of this one. It computes nothing and opens no
device, so that it can replace a child that hangs or dies.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from multiprocessing.context import SpawnContext
from typing import Any

from wavevae.console import say
from wavevae.errors import Failure, UserError

from ..model_info import ModelInfo
from .audio_process import sound
from .control_process import control
from .hot_swap import HotSwap
from .processes import (
    FADE_OUT,
    GO,
    Begin,
    Child,
    ControlSetup,
    DeviceChoice,
    Failed,
    Found,
    Listening,
    Load,
    Open,
    Opened,
    Problem,
    Ready,
    RecordingLost,
    StopSignals,
    WantModel,
    context,
)
from .shared_memory import Count, DeckCount, Shared

SILENT_AT_MOST_S = 2.0
"""Without a callback: then the device counts as lost."""
OPEN_AT_MOST_S = 10.0
TRY_EVERY_S = 1.0


class AudioKeeper:
    """Starts the audio process, and starts another when the device or its server is lost."""

    def __init__(
        self, spawn: SpawnContext, choice: DeviceChoice, shared: Shared, say: Callable[[str], None]
    ) -> None:
        self._spawn, self._choice, self._shared, self._say = spawn, choice, shared, say
        self._order: Open | None = None
        self._callbacks, self._moved = 0, time.monotonic()
        self._lost_at: float | None = None
        self._last_failure = ""
        self.child = self._start()

    def _start(self) -> Child:
        self._begun = time.monotonic()
        return Child(self._spawn, "sound", sound, self._choice, self._shared)

    def answer(self) -> Any:
        """What the first audio process said: Found, then Opened; None so far. Raises: UserError when it cannot."""
        said = self.child.receive()
        if isinstance(said, Failed):
            raise UserError(said.message)
        if said is None and not self.child.alive:
            raise RuntimeError(f"the sound process ended ({self.child.end})")
        return said

    def open(self, order: Open) -> None:
        self._order = order
        self.child.send(order)

    def go(self) -> None:
        self._moved = time.monotonic()
        self.child.send(GO)

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
                self._lost_at, self._last_failure = None, ""
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
        """Lead a new audio process from Found to sound; when it fails or hangs, another."""
        said = self.child.receive()
        if isinstance(said, Found) and self._order is not None:
            self.child.send(self._order)
        elif isinstance(said, Opened):
            self.child.send(GO)
        elif isinstance(said, Failed) and said.message != self._last_failure:
            self._last_failure = said.message
            self._say(f"not yet: {said.message}")
        ended = not self.child.alive and now - self._begun > TRY_EVERY_S
        if ended or now - self._begun > OPEN_AT_MOST_S:
            self._restart()

    def _restart(self) -> None:
        self.child.stop()
        self.child = self._start()

    def stop(self, deadline: float) -> None:
        self.child.stop(deadline)


LOOK_EVERY_S = 0.02
FILL_AT_MOST_S = 5.0
END_AT_MOST_S = 3.0


class Interrupted(Exception):
    """Asked to stop before it sounded."""


class Supervisor:
    """Owns the children and the shared memory. Leaving its context ends every process."""

    def __init__(self, choice: DeviceChoice, stop: StopSignals, in_callback: bool = False) -> None:
        self._spawn, self.stop, self.in_callback = context(), stop, in_callback
        self.shared = Shared(self._spawn)
        self.keeper = AudioKeeper(self._spawn, choice, self.shared, say)
        self.decks = (
            None if in_callback else HotSwap(self._spawn, self.shared, self._switch, self._refuse, say)
        )
        self._control: Child | None = None
        self._setup: ControlSetup | None = None
        self._model: ModelInfo | None = None
        self.lost_recordings = 0
        """Recordings that ended before the performance."""

    def __enter__(self) -> Supervisor:
        return self

    def __exit__(self, *_: object) -> None:
        self.shared.counts[Count.QUIT] = 1
        deadline = time.monotonic() + END_AT_MOST_S
        if self._control is not None:
            if self._model is not None:  # before, it waits for the model and ends with the pipe
                self._drain(self._control, deadline)
            self._control.stop(deadline)
        if self.decks is not None:
            self.decks.stop(deadline)
        self.keeper.stop(deadline)

    # to the first sound

    def find(self) -> Found:
        """The devices. Raises: UserError, Interrupted."""
        return self._until(self.keeper.answer)

    def load(self, load: Load) -> Ready:
        """The model, warm. Raises: UserError for a file that is no model; Interrupted."""
        assert self.decks is not None
        self.decks.load(load)
        answer = self._until(self._engine_answer)
        if isinstance(answer, Failed):
            raise UserError(answer.message) if answer.status == 2 else RuntimeError(answer.message)
        self.decks.loaded(answer)
        return answer

    def _engine_answer(self) -> Ready | Failed | None:
        assert self.decks is not None
        engine = self.decks.playing
        answer = engine.receive()
        if answer is None and not engine.alive:
            raise RuntimeError(f"the engine ended while it loaded the model ({engine.end})")
        return answer

    def open(self, order: Open) -> Opened:
        """The device. Raises: UserError where it refuses; Interrupted."""
        self.keeper.open(order)
        return self._until(self.keeper.answer)

    def prepare_control(self, setup: ControlSetup) -> None:
        """Start the control process; it waits for the model."""
        self._setup = setup
        self._control = Child(self._spawn, "control", control, setup, self.shared)

    def listen(self, model: ModelInfo, first: tuple[tuple[str, tuple[object, ...]], ...] = ()) -> Listening:
        """Let the control process take messages; those of `first` count as sent before.

        Raises: UserError for a map or a file it cannot use.
        """
        self._model = model
        assert self._control is not None
        self._control.send(Begin(model, int(self.shared.counts[Count.WANTED]), False, first))
        return self._until(self._control_answer)

    def _control_answer(self) -> Listening | None:
        assert self._control is not None
        answer = self._control.receive()
        if isinstance(answer, RecordingLost):
            raise Failure(answer.message)
        if isinstance(answer, Problem):
            raise UserError(answer.message)
        if answer is None and not self._control.alive:
            raise RuntimeError(f"the control process ended ({self._control.end})")
        return answer

    def start(self) -> None:
        """A full ring, then sound; then the spare. Raises: Interrupted."""
        if self.decks is not None:
            self.decks.go()
            deadline = time.monotonic() + FILL_AT_MOST_S
            self._until(lambda: self.shared.deck.ring.full or time.monotonic() > deadline or None)
        self.keeper.go()
        if self.decks is not None:
            self.decks.start_spare()

    def _until(self, ask):  # type: ignore[no-untyped-def]
        """What `ask` returns, as soon as that is not None. Raises: Interrupted."""
        while (answer := ask()) is None:
            if self.stop.asked:
                raise Interrupted
            time.sleep(0.005)
        return answer

    # while it sounds

    def look(self) -> None:
        """A few times a second. Raises: Interrupted when asked to stop, EngineDied."""
        if self.stop.asked:
            raise Interrupted
        self.keeper.look()
        if self.decks is not None:
            self.decks.look()
        self._look_at_control()

    def _look_at_control(self) -> None:
        assert self._control is not None
        assert self._setup is not None
        assert self._model is not None
        if not self._control.alive:
            say(
                f"the control process ended ({self._control.end}); another takes its place, the sound goes on"
            )
            self._control.stop()
            self._control = Child(self._spawn, "control", control, self._setup, self.shared)
            self._control.send(Begin(self._model, int(self.shared.counts[Count.WANTED]), resumed=True))
        message = self._control.receive()
        if isinstance(message, WantModel) and self.decks is not None:
            self.decks.change(message.path)
        elif isinstance(message, WantModel):
            self._refuse("models cannot be changed with --in-callback; end serve and start it without")
        else:
            self._report(message)

    def _report(self, message: object) -> None:
        """Print what the control process reports."""
        if isinstance(message, Problem):
            say(message.message)
            self.lost_recordings += isinstance(message, RecordingLost)

    def _drain(self, child: Child, deadline: float) -> None:
        """The last messages of the control process, until it ends: what became of the recordings."""
        while time.monotonic() < deadline:
            alive = child.alive
            message = child.receive(0.02)
            self._report(message)
            if message is None and not alive:
                break

    def _switch(self, model: ModelInfo, deck: int) -> None:
        self._model = model
        if self._control is not None:
            self._control.send(Begin(model, deck, resumed=False))

    def _refuse(self, why: str) -> None:
        say(f"the model was not changed: {why}")
        if self._control is not None:
            self._control.send(Problem(why))

    # the end

    def fade_out(self, latency_s: float) -> None:
        """Silence without a click: what is in the ring is played, then the fade, then it may stop."""
        if self.decks is not None:
            self.decks.fade_out()
        else:
            self.shared.deck.counts[DeckCount.STOP] = FADE_OUT
        deadline = time.monotonic() + END_AT_MOST_S
        deck = self.shared.deck
        while not deck.counts[DeckCount.SILENT] and time.monotonic() < deadline and not self.keeper.lost:
            time.sleep(0.005)
        last = int(deck.counts[DeckCount.WRITTEN])
        while deck.counts[DeckCount.TAKEN] < last and time.monotonic() < deadline and not self.keeper.lost:
            time.sleep(0.005)
        time.sleep(min(latency_s, 0.5))
        self.shared.counts[Count.QUIT] = 1
        self.keeper.stop(deadline)

    def summary(self, seconds: float) -> str:
        """How the performance went, once the stream is closed."""
        counts, deck = self.shared.counts, self.shared.deck.counts
        text = (
            f"played {seconds:.1f} s in {counts[Count.CALLBACKS]} blocks; {self.shared.lost} underflows "
            f"({counts[Count.EMPTY]} ring empty, {counts[Count.DEVICE_UNDERFLOWS]} reported by the device, "
            f"{counts[Count.MISSING]} callbacks missing), a callback takes {counts[Count.CALLBACK_US] / 1000:.3f} ms "
            f"(p99); {counts[Count.ACCEPTED]} messages taken, {counts[Count.REJECTED]} refused"
        )
        if deck[DeckCount.LIMITED]:
            text += f"; {deck[DeckCount.LIMITED]} samples limited: lower /wavevae/gain"
        if deck[DeckCount.BROKEN]:
            text += f"; {deck[DeckCount.BROKEN]} samples not finite, silenced"
        return text
