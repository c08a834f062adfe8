"""Keeps a performance: every message at the block it took effect, and the sound that was played.

The engine logs from which version of the controls it made each block; so a score rendered with the same blocks
meets the same controls at the same samples.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TextIO

import numpy as np

from wavevae.audio import Writer

from .about import About
from .address import ROOT
from .desk import Desk, Line
from .shared import LOGGED_BLOCKS, TAPE_SAMPLES, Count, Deck, DeckCount, Shared


@dataclass(frozen=True)
class RecordSetup:
    """Where a session is kept, and what a rendering must know of it."""

    score: Path | None = None
    audio: Path | None = None
    seed: int = 0
    version: str = ""


class Recorder:
    """Writes the score line by line, and the sound. Raises: UserError for a place that cannot be written.

    `later` runs a piece of work in a thread, in order.
    """

    def __init__(
        self,
        setup: RecordSetup,
        shared: Shared,
        deck: Deck,
        desk: Desk,
        later: Callable[[Callable[[], None], str], None],
    ) -> None:
        self._shared, self._deck, self._later, self._setup = shared, deck, later, setup
        self._rate, self._block_size = desk.about.sample_rate, deck.ring.block_size
        self._waiting: deque[tuple[int, list[Line]]] = deque()
        """Messages by the version of the controls that they led to."""
        self._block = 0
        """The next one to look at, and the sample at which block 0 of its deck began."""
        self._origin = 0
        self._ended = False
        self._heard = 0
        self._file: TextIO | None = setup.score.open("w", encoding="utf-8") if setup.score else None
        self._audio = Writer(setup.audio, self._rate) if setup.audio else None
        self._write({"session": self._head(desk)})

    def _head(self, desk: Desk) -> dict[str, Any]:
        about = desk.about
        return {
            "wavevae": self._setup.version,
            "model": about.name,
            "sample_rate": about.sample_rate,
            "block_size": self._block_size,
            "seed": self._setup.seed,
            "voices": about.voices,
            "hears": about.hears,
            "presets": desk.presets.named,
        }

    def note(self, version: int, lines: list[Line]) -> None:
        """These messages led to this version of the controls."""
        self._waiting.append((version, lines))

    def look(self) -> None:
        """A few times a second, and at the end."""
        self._keep_score()
        self._keep_audio()

    def _keep_score(self) -> None:
        written = int(self._deck.counts[DeckCount.WRITTEN])
        self._block = max(self._block, written - LOGGED_BLOCKS)
        while self._block < written and not self._ended:
            version = int(self._deck.log[self._block % LOGGED_BLOCKS])
            time = (self._origin + self._block * self._block_size) / self._rate
            if version < 0:
                self._write({"time": time, "end": True})
                self._ended = True
            while self._waiting and self._waiting[0][0] <= version:
                for address, arguments in self._waiting.popleft()[1]:
                    self._write({"time": time, "address": address, "args": list(arguments)})
            self._block += 1

    def _keep_audio(self) -> None:
        """What is on the tape since the last time; silence for what was overwritten before it could be read."""
        taped = int(self._shared.counts[Count.TAPED])
        lost = max(0, taped - self._heard - TAPE_SAMPLES)
        if self._audio is not None and taped > self._heard:
            places = np.arange(self._heard + lost, taped) % TAPE_SAMPLES
            sound = np.concatenate([np.zeros(lost, np.float32), self._shared.tape[places]])
            self._later(partial(self._audio.write, sound), str(self._setup.audio))
        self._shared.counts[Count.TAPE_LOST] += lost
        self._heard = taped

    def change(self, about: About, deck: Deck) -> None:
        """Another model begins on another deck: its blocks are counted from about now."""
        self.look()
        self._origin = int(self._shared.counts[Count.TAPED])
        self._deck, self._block = deck, 0
        self._waiting.clear()
        time = self._origin / self._rate
        self._write({"time": time, "address": f"{ROOT}/model", "args": [about.name]})

    def _write(self, line: dict[str, Any]) -> None:
        if self._file is not None:
            text = json.dumps(line, ensure_ascii=False) + "\n"
            self._later(partial(self._append, text), str(self._setup.score))

    def _append(self, text: str) -> None:
        assert self._file is not None
        self._file.write(text)
        self._file.flush()

    def finish(self) -> None:
        """After the last block."""
        self.look()
        if self._file is not None:
            self._later(self._file.close, str(self._setup.score))
        if self._audio is not None:
            self._later(self._audio.close, str(self._setup.audio))
