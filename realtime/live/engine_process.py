"""The engine process: loads and warms a model, reports its speed, then keeps the ring of its deck full."""

from __future__ import annotations

import gc
import math
import time
from importlib import import_module
from multiprocessing.connection import Connection

import numpy as np
from numpy.typing import NDArray

from wavevae.bundle import RUNTIMES, runtime
from wavevae.controls import ControlState
from wavevae.errors import UserError
from wavevae.units import amplitude_to_db

from .processes import (
    FADE_OUT,
    LEAVE,
    Failed,
    Load,
    Ready,
    ask_for_real_time,
    give_up_real_time,
    quiet,
    settle,
)
from .shared_memory import LOGGED_BLOCKS, Count, DeckCount, PriorNote, Shared

FLOOR_DB = -120.0
MEASURED_SECONDS = 0.15
"""Busy at real-time priority: well below the 0.95 s after which Linux would stop it."""
FORGET = 0.05
"""Share of the newest block in the running mean of the time a block takes."""
SHORTEST_PAUSE_S, LONGEST_PAUSE_S = 0.0002, 0.002
SAFE_SHARE = 0.7
"""Of a block's duration that its computation may take."""
LONGEST_MESSAGE = 300


def play(deck: int, shared: Shared, pipe: Connection) -> None:
    """Entry point of the process. Waits for a Load, answers Failed (and waits on) or Ready, plays from GO until
    its deck is stopped or everything ends."""
    settle()
    gc.disable()  # a tenth of the time that the import takes
    import_module(RUNTIMES[runtime()])  # the longest part of starting: done before the model is known

    while True:
        try:
            load = pipe.recv()
        except EOFError:
            return
        player, answer = make_player(load, deck, shared)
        pipe.send(answer)
        if player is not None:
            break
    try:
        pipe.recv()
    except EOFError:
        return
    player.begin()
    quiet()  # before it may hold up others of its priority
    player.ask_for_priority()
    player.run()
    give_up_real_time()


def make_player(load: Load, deck: int, shared: Shared) -> tuple[Player | None, Ready | Failed]:
    """A warmed player and its speed, or why there is none."""
    try:
        player = Player(load, deck, shared)
        return player, player.get_ready()
    except UserError as error:
        return None, Failed(str(error), 2)
    except Exception as error:
        what = " ".join(str(error).split())[-LONGEST_MESSAGE:]  # of a script's traceback the end says it
        return None, Failed(f"{load.path} cannot be played: {type(error).__name__}: {what}", 1)


class Player:
    """An engine that is driven by its deck's controls and fills its deck's ring."""

    def __init__(self, load: Load, deck: int, shared: Shared) -> None:
        from ..engine.engine import PlayableModel

        self.instrument = PlayableModel(
            load.path, load.seed, load.voices, load.live_input, load.sample_rate, load.while_playing
        )
        self.shared, self.deck, self._while_playing = shared, shared.decks[deck], load.while_playing
        self.block_size = self.deck.ring.block_size
        self.block_s = self.block_size / self.instrument.model.sample_rate
        self.controls = self.instrument.controls
        self._version = self.deck.controls.version if load.while_playing else 0
        """Of the controls it follows; what lies there while another engine sounds was an earlier model's."""
        self.mean_s = self.worst_s = 0.0
        self._live_input = load.live_input
        self._priority = ""
        self._made_up: NDArray[np.float32] | None = None
        """What was looked at last of what the prior makes up, and its last note: key and velocity."""
        self._note = (0.0, 0.0)

    def get_ready(self) -> Ready:
        """Warm up, ask for priority, measure with it."""
        self.instrument.warm_up(self.block_size)
        if not self._while_playing:
            self.ask_for_priority()
        spent = self._measure(self.block_size, MEASURED_SECONDS)
        self.mean_s = float(spent.mean())
        enough = None if np.median(spent) < SAFE_SHARE * self.block_s else self._find_enough()
        return Ready(
            self.instrument.model,
            float(np.median(spent)) * 1000,
            float(spent.max()) * 1000,
            self.block_s / max(self.mean_s, 1e-9),
            self._priority,
            enough,
        )

    def ask_for_priority(self) -> None:
        if not self._priority:
            self._priority = ask_for_real_time()

    def begin(self) -> None:
        """From the controls as they are now."""
        self._follow()
        self.instrument.begin(self.controls)
        if self._live_input:
            self.deck.counts[DeckCount.INPUT_USED] = self.shared.counts[Count.INPUT_BLOCKS]

    def _measure(self, block_size: int, seconds: float) -> NDArray[np.float64]:
        """Seconds each of many blocks takes, every voice sounding; the engine is as new afterwards."""
        spent: list[float] = []
        controls, written = self.instrument.busiest(), None
        if self._live_input:
            written = np.zeros(block_size, np.float32)
        until = time.perf_counter() + seconds
        while time.perf_counter() < until or len(spent) < 3:
            start = time.perf_counter()
            self.instrument.engine.process(controls, block_size, written)
            spent.append(time.perf_counter() - start)
        self.instrument.begin(self.controls)
        return np.array(spent)

    def _find_enough(self) -> int:
        size = self.block_size
        while size < 8192:
            size *= 2
            self.instrument.warm_up(size)
            spent = self._measure(size, 0.05)
            if np.median(spent) < SAFE_SHARE * size / self.instrument.model.sample_rate:
                return size
        return 0

    def run(self) -> None:
        """A block whenever the ring has room."""
        counts, ring = self.deck.counts, self.deck.ring
        pause = min(max(self.block_s / 10, SHORTEST_PAUSE_S), LONGEST_PAUSE_S)
        while not self.shared.counts[Count.QUIT] and counts[DeckCount.STOP] != LEAVE:
            if ring.full or not self._input_is_due():
                time.sleep(pause)
                continue
            ring.put(self.next_block())

    def _input_is_due(self) -> bool:
        """The input of the next block is there, or there is no time to wait for it."""
        if not self._live_input or self.deck.ring.filled == 0:
            return True
        waiting = self.shared.counts[Count.INPUT_BLOCKS] - self.deck.counts[DeckCount.INPUT_USED]
        return bool(waiting > 0) or self.deck.counts[DeckCount.WRITTEN] < self.deck.ring.depth

    def _next_input(self) -> NDArray[np.float32] | None:
        """The next input block. At most as many wait as the ring lacks: what is older is passed over, so that
        the input never becomes later than it was."""
        if not self._live_input:
            return None
        counts, ring = self.deck.counts, self.deck.ring
        written = int(
            self.shared.counts[Count.INPUT_BLOCKS]
        )  # read before the ring: it may only seem too empty
        next_one = max(int(counts[DeckCount.INPUT_USED]), written - (ring.depth - ring.filled))
        if next_one >= written:
            counts[DeckCount.INPUT_USED] = written
            return np.zeros(self.block_size, np.float32)
        counts[DeckCount.INPUT_USED] = next_one + 1
        return self.shared.input_block(next_one).copy()

    def _follow(self) -> None:
        """Take over the newest controls, if they are new."""
        if self.deck.controls.version == self._version:
            return
        self._version, packed = self.deck.controls.read()
        self.controls = ControlState.unpack(packed.tolist())

    def next_block(self) -> NDArray[np.float32]:
        """Compute a block from the newest controls, and update the meter."""
        start = time.perf_counter()
        counts, engine = self.deck.counts, self.instrument.engine
        if counts[DeckCount.WRITTEN]:
            self._follow()  # the first block is made from what it began with
        ending = counts[DeckCount.STOP] == FADE_OUT
        if ending:
            engine.fade_out()
        self.deck.log[counts[DeckCount.WRITTEN] % LOGGED_BLOCKS] = -1 if ending else self._version
        waiting = engine.waiting
        block = engine.process(self.controls, self.block_size, self._next_input())
        self._log_notes(waiting, ending or self.controls.muted)
        spent = time.perf_counter() - start
        self.mean_s += FORGET * (spent - self.mean_s)
        self.worst_s = max(self.worst_s, spent)
        level = amplitude_to_db(math.sqrt(float(np.mean(block**2))), FLOOR_DB)
        confidence = self.instrument.confidence(self.controls)
        self.deck.meter.write(
            level, self.block_s / self.mean_s, self.worst_s * 1000, engine.sounding, confidence
        )
        counts[DeckCount.SILENT] = engine.silent
        counts[DeckCount.LIMITED] = engine.limiter.limited
        counts[DeckCount.BROKEN] = engine.broken
        return block

    def _log_notes(self, waiting: int, silent: bool) -> None:
        """What the prior makes up, where it changes. Frames begin after the samples that were `waiting`."""
        engine = self.instrument.engine
        made_up = np.zeros((2, 1), np.float32) if silent else engine.decoder.played
        if made_up is None or made_up is self._made_up:
            return
        self._made_up = made_up
        block = int(self.deck.counts[DeckCount.WRITTEN])
        for frame, (key, velocity) in enumerate(made_up.T.tolist()):
            note = (key, velocity) if velocity > 0 else (self._note[0], 0.0)
            if note != self._note:
                self._note = note
                self.deck.notes.write(PriorNote(block, waiting + frame * engine.hop_length, *note))
