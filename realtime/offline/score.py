"""A score: timed OSC messages in a file, one JSON object a line, in order of time.

    {"time": 0.0, "address": "/wavevae/latents", "args": [0, 1.5, 0, 0]}
    {"time": 2.5, "address": "/wavevae/preset/recall", "args": ["dark", 4]}
    {"time": 9.0, "end": true}

A score of `serve --record` begins with a line {"session": ...}: block size, seed and presets, which a rendering needs
to equal the performance sample by sample.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wavevae.audio import MADE, Writer, require_regular, stream_mono
from wavevae.console import SoundProgress, say
from wavevae.controls import MODES, TRANSFORM, Refused
from wavevae.errors import UserError
from wavevae.files import printable
from wavevae.instruments import model_file
from wavevae.units import db_to_amplitude, seconds_to_samples

from ..control.addresses import ROOT, Arguments
from ..control.dispatcher import Dispatcher
from ..control.presets import Presets, presets_of
from ..engine.engine import Engine, PlayableModel
from ..engine.latent_sources import RecordingSource
from ..model_info import ModelInfo
from .latent_files import latent_writer
from .render_sources import report

BLOCK_SIZE = 512
TAIL_S = 1.0
"""After the last message, where nothing says when it ends."""
MOST_EVENTS = 2_000_000
LATEST_S = 1e6
ONE_MODEL = "a score is rendered with one model; cut it there"


@dataclass(frozen=True)
class Event:
    """One message."""

    line: int
    time: float
    """Seconds from the start."""
    address: str
    arguments: Arguments


@dataclass(frozen=True)
class Score:
    """The content of a score file."""

    path: Path
    events: list[Event]
    end: float | None = None
    """When it fades out, s."""
    block_size: int = BLOCK_SIZE
    seed: int | None = None
    voices: int | None = None
    """None: as many as are usual."""
    live_input: bool = False
    presets: dict[str, Any] = field(default_factory=dict)

    @property
    def seconds(self) -> float:
        """How long it is."""
        last = self.events[-1].time if self.events else 0.0
        return self.end if self.end is not None else last + TAIL_S


def read_score(path: Path) -> Score:
    """Raises: UserError with file, line and what is wrong."""
    require_regular(path)
    head: dict[str, Any] = {}
    events: list[Event] = []
    end: float | None = None
    for number, values in _lines(path):
        try:
            if "session" in values:
                head = _session(values["session"])
            elif "end" in values:
                end = _time(values, events)
            elif end is not None:
                raise ValueError("it ended above")
            else:
                events.append(_event(number, values, events))
        except (ValueError, TypeError, KeyError) as error:
            raise _wrong(path, number, str(error)) from None
        if len(events) > MOST_EVENTS:
            raise _wrong(path, number, f"more than {MOST_EVENTS} messages; cut it")
    if not events and end is None:
        raise UserError(f"{printable(path)}: no message in it; one a line, such as {_EXAMPLE}")
    return Score(path, events, end, **head)


_EXAMPLE = '{"time": 0.5, "address": "/wavevae/latent/0", "args": [1.0]}'


def _wrong(path: Path, line: int, why: str) -> UserError:
    return UserError(f"{printable(path)}, line {line}: {why}")


def _lines(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Number and object of each line that is not empty. Raises: UserError."""
    try:
        with path.open(encoding="utf-8-sig") as file:
            for number, text in enumerate(file, 1):
                if not text.strip():
                    continue
                try:
                    values = json.loads(text)
                except (ValueError, RecursionError) as error:
                    raise _wrong(path, number, f"not JSON ({error})") from None
                if not isinstance(values, dict):
                    raise _wrong(path, number, f"not an object; write {_EXAMPLE}")
                yield number, values
    except UnicodeDecodeError:
        raise UserError(f"{printable(path)}: not a text in UTF-8") from None
    except OSError as error:
        raise UserError(f"{printable(path)}: cannot be read ({error.strerror})") from None


def _time(values: dict[str, Any], events: list[Event]) -> float:
    time = values.get("time")
    if isinstance(time, bool) or not isinstance(time, (int, float)) or not math.isfinite(time):
        raise ValueError(f"time is {time!r}; use seconds from the start")
    if not 0 <= time <= LATEST_S:
        raise ValueError(f"time is {time:g}; use 0 to {LATEST_S:g} s")
    if events and time < events[-1].time:
        raise ValueError(
            f"time is {time:g}, before {events[-1].time:g} of line {events[-1].line}; sort the lines"
        )
    return float(time)


def _event(line: int, values: dict[str, Any], events: list[Event]) -> Event:
    unknown = set(values) - {"time", "address", "args"}
    if unknown:
        raise ValueError(f"unknown key '{min(unknown)}'; a line has time, address and args")
    address, arguments = values.get("address"), values.get("args", [])
    if not isinstance(address, str) or not isinstance(arguments, list):
        raise ValueError(f"address is a string and args a list; write {_EXAMPLE}")
    return Event(line, _time(values, events), address, tuple(arguments))


def _session(head: Any) -> dict[str, Any]:
    """The head of a recorded session."""
    kinds = {"block_size": int, "seed": int, "voices": int, "hears": bool, "presets": dict}
    found = {name: head[name] for name in kinds}
    for name, kind in kinds.items():
        if not isinstance(found[name], kind):
            raise ValueError(f"session: {name} is {found[name]!r}")
    if not 1 <= found["block_size"] <= 65536:
        raise ValueError(f"session: block_size is {found['block_size']}")
    return {"live_input" if name == "hears" else name: value for name, value in found.items()}


class Conductor:
    """Gives the controls for each block. Raises: UserError for a message that would be refused."""

    def __init__(self, score: Score, model: ModelInfo) -> None:
        self._score, self._rate = score, model.sample_rate
        self.dispatcher = Dispatcher(
            model, presets=Presets({**presets_of(Path(model.path))[0].named, **score.presets})
        )
        self._next = 0
        if score.live_input and model.live_input:
            self.dispatcher.apply(f"{ROOT}/mode", (MODES[TRANSFORM],))

    def rehearse(self, model: ModelInfo) -> None:
        """Every message, without sound: what is wrong is said before anything is rendered."""
        Conductor(self._score, model).until(seconds_to_samples(LATEST_S, self._rate))

    def until(self, sample: int) -> None:
        """Apply what is due at this sample or before."""
        events = self._score.events
        while self._next < len(events) and seconds_to_samples(events[self._next].time, self._rate) <= sample:
            self._apply(events[self._next])
            self._next += 1

    def _apply(self, event: Event) -> None:
        try:
            self.dispatcher.apply(event.address, event.arguments)
            self.dispatcher.flush()
        except Refused as reason:
            why = ONE_MODEL if event.address == f"{ROOT}/model" else str(reason)
            raise _wrong(self._score.path, event.line, f"{event.address}: {why}") from None


def perform(
    score: Score,
    conductor: Conductor,
    engine: Engine,
    sound: Iterator[NDArray[np.float32]] | None = None,
) -> Iterator[NDArray[np.float32]]:
    """Block after block until it has faded out; `sound` gives input blocks."""
    rate, block = engine.sample_rate, score.block_size
    end = seconds_to_samples(score.seconds, rate)
    start = 0
    while not engine.silent:
        conductor.until(start)
        if start >= end:
            engine.fade_out()
        input_block = next(sound, np.zeros(block, np.float32)) if sound is not None else None
        yield engine.process(conductor.dispatcher.state, block, input_block)
        start += block


def render_score(arguments: argparse.Namespace, gain_db: float) -> int:
    """The whole command. Raises: UserError."""
    score = read_score(arguments.score)
    instrument = _instrument(arguments, score)
    model = instrument.model
    conductor = Conductor(score, model)
    conductor.rehearse(model)
    conductor.until(0)
    instrument.warm_up(score.block_size)
    instrument.begin(conductor.dispatcher.state)
    progress = SoundProgress(
        "rendering", seconds_to_samples(score.seconds, model.sample_rate), model.sample_rate
    )
    gain = np.float32(db_to_amplitude(gain_db))
    with contextlib.ExitStack() as files:
        out = files.enter_context(Writer(arguments.out, model.sample_rate, comment=MADE))
        if arguments.save_latents:
            kept = files.enter_context(latent_writer(arguments.save_latents, model.latent_dim))
            instrument.engine.source = RecordingSource(instrument.engine.source, kept.write)
        sound = _sound(arguments.score_input, model.sample_rate, score.block_size)
        for block in perform(score, conductor, instrument.engine, sound):
            out.write(block if gain_db == 0 else np.clip(block * gain, -1, 1))
            progress.add(len(block))
    progress.end(report(arguments, instrument.engine, out.samples, progress.speed))
    return 0


def _instrument(arguments: argparse.Namespace, score: Score) -> PlayableModel:
    """Raises: UserError for a model that cannot play the score."""
    model = model_file(arguments.model)
    if score.live_input and arguments.score_input is None:
        say("this session heard a live input: give its recording with --score-input, or it hears silence")
    seed = arguments.seed if arguments.seed is not None else score.seed or 0
    voices = arguments.voices or score.voices
    live_input = score.live_input or arguments.score_input is not None
    return PlayableModel(model, seed, voices, live_input, arguments.sr)


def _sound(path: Path | None, sample_rate: int, block_size: int) -> Iterator[NDArray[np.float32]] | None:
    """Input blocks, the last filled with silence."""
    if path is None:
        return None
    return (
        np.pad(block, (0, block_size - len(block))) for block in stream_mono(path, sample_rate, block_size)
    )
