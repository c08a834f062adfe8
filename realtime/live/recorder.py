"""Records a performance: every message with the block in which it took effect, and the output.

The engine logs the version of the controls that each block was made from. So a score rendered with the same block size
has the same controls at the same samples.
"""

from __future__ import annotations

import contextlib
import json
from collections import deque
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from numpy.typing import NDArray

from wavevae.files import printable
from wavevae.units import format_seconds

from ..control.addresses import ROOT
from ..control.dispatcher import Dispatcher, Line
from ..control.presets import preset_of
from ..model_info import ModelInfo
from .processes import RecordSetup
from .recording_files import Recording, open_recordings, why_it_ended
from .shared_memory import LOGGED_BLOCKS, TAPE_SAMPLES, Count, Deck, DeckCount, Shared

RESUMED = "(resumed)"
"""The preset with which a recording begins that goes on with another."""


class Recorder:
    """Writes the score line by line, and the sound. Raises: UserError or Failure for files that cannot be made.

    `later` runs a piece of work in a thread, in order. `lost` is called once for a recording that cannot go on.
    """

    def __init__(
        self,
        setup: RecordSetup,
        shared: Shared,
        deck: Deck,
        dispatcher: Dispatcher,
        later: Callable[[Callable[[], None], str], None],
        say: Callable[[str], None],
        lost: Callable[[str], None],
        resumed: bool = False,
    ) -> None:
        """`resumed`: after a control process that died; its recording goes on in new files, without a gap as far as
        the tape reaches back."""
        self._shared, self._deck, self._later, self._setup = shared, deck, later, setup
        self._say, self._lost = say, lost
        self._rate, self._block_size = dispatcher.model.sample_rate, deck.ring.block_size
        self._waiting: deque[tuple[int, list[Line]]] = deque()
        """Messages by the version of the controls that they led to."""
        self._block = 0
        """The next one to look at, and the sample at which block 0 of its deck began."""
        self._origin = 0
        self._ended = False
        self._kept = 0
        self._score, self._audio, self.remarks = open_recordings(setup.score, setup.audio, self._rate)
        self._stopped: set[Path] = set()
        """Recordings that cannot go on."""
        self._rf64_reported = False
        presets = dispatcher.presets.named
        if resumed:
            self._resume()
            presets = {**presets, RESUMED: preset_of(dispatcher.state, dispatcher.model)}
        self._session = self._head(dispatcher, presets)
        self._write({"session": self._session})
        if resumed:
            self._write({"time": 0.0, "address": f"{ROOT}/preset/recall", "args": [RESUMED, 0.0]})

    def _resume(self) -> None:
        """Begin where the recording before ended: its last sample is this one's first."""
        counts = self._shared.counts
        self._kept = int(counts[Count.RECORDED])
        self._block = int(self._deck.counts[DeckCount.WRITTEN])
        played = int(counts[Count.TAPED]) - self._block_size * int(self._deck.counts[DeckCount.TAKEN])
        self._origin = played - self._kept

    @property
    def names(self) -> str:
        """Of the files."""
        return ", ".join(printable(r.path) for r in (self._score, self._audio) if r is not None)

    def _head(self, dispatcher: Dispatcher, presets: dict[str, Any]) -> dict[str, Any]:
        model = dispatcher.model
        return {
            "wavevae": self._setup.version,
            "model": model.name,
            "sample_rate": model.sample_rate,
            "block_size": self._block_size,
            "seed": self._setup.seed,
            "voices": model.voices,
            "hears": model.live_input,
            "presets": presets,
        }

    def add_presets(self, named: dict[str, Any]) -> None:
        """Presets that another program stored meanwhile: a score is rendered with those of its last such line."""
        self._session = {**self._session, "presets": {**named, **self._session["presets"]}}
        self._write({"session": self._session})

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
            time = max(0, self._origin + self._block * self._block_size) / self._rate
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
        lost = max(0, taped - self._kept - TAPE_SAMPLES)
        if self._audio is not None and taped > self._kept:
            places = np.arange(self._kept + lost, taped) % TAPE_SAMPLES
            sound = np.concatenate([np.zeros(lost, np.float32), self._shared.tape[places]])
            self._later(partial(self._append_sound, sound, taped), str(self._audio.path))
        self._shared.counts[Count.TAPE_LOST] += lost
        self._kept = taped
        if self._audio is None:
            self._shared.counts[Count.RECORDED] = taped

    def change(self, model: ModelInfo, deck: Deck) -> None:
        """Another model begins on another deck: its blocks are counted from about now."""
        self.look()
        self._origin = int(self._shared.counts[Count.TAPED])
        self._deck, self._block = deck, 0
        self._waiting.clear()
        time = self._origin / self._rate
        self._write({"time": time, "address": f"{ROOT}/model", "args": [model.name]})

    def _write(self, line: dict[str, Any]) -> None:
        if self._score is not None:
            text = json.dumps(line) + "\n"
            self._later(partial(self._append_line, text), str(self._score.path))

    # in the thread

    def _append_line(self, text: str) -> None:
        assert self._score is not None
        if self._score.path not in self._stopped:
            try:
                self._score.write(text)
            except OSError as error:
                self._stop(self._score, error, "its last line is whole")

    def _append_sound(self, sound: NDArray[np.float32], taped: int) -> None:
        """`taped` samples of the performance are on the disk after it."""
        assert self._audio is not None
        if self._audio.path in self._stopped:
            return
        try:
            self._audio.write(sound)
        except (
            OSError,
            AssertionError,
            soundfile.LibsndfileError,
        ) as error:  # soundfile asserts that all was written
            self._stop(self._audio, error, self._length())
            return
        self._shared.counts[Count.RECORDED] = taped
        if self._audio.is_rf64 and not self._rf64_reported:
            self._rf64_reported = True
            self._say(f"{printable(self._audio.path)} is longer than a WAV can be: it goes on as RF64")

    def _length(self) -> str:
        assert self._audio is not None
        return f"{format_seconds(self._audio.samples / self._rate)} of it are kept"

    def _stop(self, recording: Recording, error: Exception, kept: str) -> None:
        """Once: nothing more is written to it, and what was written stays."""
        self._stopped.add(recording.path)
        with contextlib.suppress(OSError, soundfile.LibsndfileError):
            recording.close()
        self._lost(
            f"no longer recording {printable(recording.path)} ({why_it_ended(error)}); {kept}; the sound goes on"
        )

    # the end

    def finish(self) -> None:
        """After the last block."""
        self.look()
        for recording in (self._score, self._audio):
            if recording is not None:
                self._later(partial(self._close, recording), str(recording.path))

    def _close(self, recording: Recording) -> None:
        if recording.path in self._stopped:
            return
        recording.close()
        kept = f" ({format_seconds(self._audio.samples / self._rate)})" if recording is self._audio else ""
        lost = int(self._shared.counts[Count.TAPE_LOST]) if recording is self._audio else 0
        gaps = (
            f"; {format_seconds(lost / self._rate)} of it are silence: the machine was too busy"
            if lost
            else ""
        )
        self._say(f"recorded {printable(recording.path)}{kept}{gaps}")
