"""`render --midi`: the parts of a MIDI file, each played by an instance of an instrument, and their mix.

    part:  messages --map--> timed OSC messages --> controls --> engine --+
    part:  messages --map--> timed OSC messages --> controls --> engine --+--> sum --> limiter --> file

A message takes effect at a frame of the model, half a hop late or early at most. Of several parts each is lowered by
10 log10(number of parts) dB, so that parts that have nothing in common are together as loud as one; a limiter keeps
what is left below full scale.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import soxr
from numpy.typing import NDArray

from wavevae.audio import MADE, Writer
from wavevae.bundle import use_one_thread
from wavevae.console import SoundProgress, say
from wavevae.controls import BEND, GAIN, Refused
from wavevae.errors import UserError
from wavevae.files import printable
from wavevae.instruments import model_file
from wavevae.names import class_number
from wavevae.units import db_to_amplitude, seconds_to_samples

from ..control.addresses import ROOT
from ..control.dispatcher import Dispatcher
from ..control.general_midi import class_of_program
from ..control.midi_map import Row, read_map, usual_map
from ..control.midi_mapper import Sent, Translator
from ..engine.engine import Limiter, PlayableModel
from ..model_info import USUAL_VOICES, ModelInfo
from .midi_file import Part, Song, fitted_keys, parse_tracks, read_song
from .render_sources import load_offline, report

MIX_BLOCK = 4096
"""Samples of the mix at a time."""
MOST_FRAMES = 16
"""At a time, where no message is due."""
LEAD = 7 / 8
"""Of a frame: a message due before this place takes effect at the frame's start. A tone rises within its first frame:
with 1/2 onsets came 5 ms late in the median."""
FEWEST_VOICES = 2
"""Overlapping notes of a melody; and as loud as a part of several voices."""
BEYOND_SEMITONES = 3
"""An instrument without a prior plays so far beyond the pitches of its corpus."""
LONGEST_TAIL_S, QUIET_DB, QUIET_S = 15.0, -80.0, 0.25
"""After the last message it goes on until it has been quiet for so long."""
VOLUME, EXPRESSION, DATA, DATA_FINE, RPN_FINE, RPN = 7, 11, 6, 38, 100, 101
BEND_RANGE = (0, 0)
"""The registered parameter."""

Audio = NDArray[np.float32]


class PartPlayer:
    """Plays one part with an instrument of its own."""

    def __init__(
        self, part: Part, instrument: PlayableModel, keys: dict[int, int], map_file: Path | None
    ) -> None:
        """`keys`: what is played for each key of the file."""
        self.part, self.instrument, self._keys = part, instrument, keys
        model = instrument.model
        self.dispatcher = Dispatcher(model)
        self._usual = map_file is None
        self._translator = Translator(rows_of(model) if map_file is None else read_map(map_file))
        self._levels = {VOLUME: 1.0, EXPRESSION: 1.0}
        self._parameter = [127, 127]
        """The registered parameter that data is for; 127, 127: none."""
        self._range = [2, 0]
        """Of the bend: semitones, cents."""
        self._place = self._next = 0
        self._refused: set[str] = set()
        self._stream: Any = None
        """To the rate of the mix, where that is another, and what came out of it."""
        self._resampled = np.zeros(0, np.float32)
        label = class_number(part.track, model.classes) if model.has_class else None
        if label is not None:
            self.send("class", label)

    def send(self, name: str, *arguments: Any) -> None:
        """A message to /wavevae/<name>; what is refused is said once."""
        self._apply((f"{ROOT}/{name}", arguments))

    def begin(self) -> None:
        """As new: the messages due at the start count."""
        self._until(0)
        self.instrument.begin(self.dispatcher.state)

    def resample_to(self, rate: int) -> None:
        """The rate of the mix."""
        own = self.instrument.model.sample_rate
        if own != rate:
            self._stream = soxr.ResampleStream(own, rate, 1, dtype="float32", quality="HQ")
            say(f"part {self.part.number}: {self.instrument.model.name}, {own} Hz, is resampled to {rate} Hz")

    def render(self, samples: int) -> Audio:
        """The next (samples,) at the rate of the mix."""
        if self._stream is None:
            return self._play(samples)
        while len(self._resampled) < samples:
            more = self._stream.resample_chunk(self._play(MIX_BLOCK))
            self._resampled = np.concatenate([self._resampled, more])
        made, self._resampled = self._resampled[:samples], self._resampled[samples:]
        return made

    def _play(self, samples: int) -> Audio:
        """The next (samples,) at the instrument's own rate."""
        engine, made = self.instrument.engine, []
        hop = engine.hop_length
        end = self._place + samples
        while self._place < end:
            self._until(self._place + round(LEAD * hop))
            frames = max(1, min(MOST_FRAMES, (self._due() - self._place) // hop))
            count = min(frames * hop, end - self._place)
            made.append(engine.process(self.dispatcher.state, count))
            self._place += count
        return np.concatenate(made)

    def release(self) -> None:
        """Every key and pedal goes up, whatever the file left down."""
        for sent in self._translator.let_go():
            self._apply(sent)
        if f"{ROOT}/pedal" in self.dispatcher.table:
            self.send("pedal", 0)
        for note in self.dispatcher.state.notes:
            if note.held:
                self.send("note", note.pitch, 0.0)

    def _due(self) -> int:
        """Sample of the next message."""
        messages = self.part.messages
        if self._next >= len(messages):
            return self._place + MOST_FRAMES * self.instrument.engine.hop_length
        return seconds_to_samples(messages[self._next].time, self.instrument.engine.sample_rate)

    def _until(self, sample: int) -> None:
        messages = self.part.messages
        while self._next < len(messages) and self._due() <= sample:
            self._feed(messages[self._next].message)
            self._next += 1

    def _feed(self, message: Any) -> None:
        if hasattr(message, "note"):
            if message.note not in self._keys:
                return  # it was never struck
            message = message.copy(note=self._keys[message.note])
        elif message.type == "control_change" and self._takes(message.control, message.value):
            return
        elif message.type == "program_change":
            self._choose_class(message.program)
        for sent in self._translator.feed(message):
            self._apply(sent)

    def _takes(self, control: int, value: int) -> bool:
        """Volume and expression without a map, as General MIDI 2 has them; and the range of the bend."""
        if control in self._levels and self._usual:
            self._levels[control] = value / 127
            level = 40 * math.log10(max(math.prod(self._levels.values()), 1e-6))
            self.send("gain", max(GAIN.low, level))
        elif control in (RPN, RPN_FINE):
            self._parameter[control == RPN_FINE] = value
        elif control in (DATA, DATA_FINE) and tuple(self._parameter) == BEND_RANGE:
            self._range[control == DATA_FINE] = value
            reach = min(BEND.high, self._range[0] + self._range[1] / 100)
            self._translator.rows = tuple(
                replace(row, low=math.copysign(reach, row.low), high=math.copysign(reach, row.high))
                if row.source == "bend" and row.address == f"{ROOT}/bend"
                else row
                for row in self._translator.rows
            )
        else:
            return False
        return True

    def _choose_class(self, program: int) -> None:
        model = self.instrument.model
        label = class_of_program(program, model.classes) if model.has_class else None
        if label is not None:
            self.send("class", label)

    def _apply(self, sent: Sent) -> None:
        address, arguments = sent
        try:
            self.dispatcher.apply(address, arguments)
        except Refused as reason:
            if address not in self._refused and not address.startswith(f"{ROOT}/note/"):
                self._refused.add(address)
                say(f"part {self.part.number}: {address}: {reason}")
        self.dispatcher.flush()


def rows_of(model: ModelInfo) -> tuple[Row, ...]:
    """The map of live playing, without its volume: a file's volume and expression go together."""
    return tuple(
        row
        for row in usual_map(model.latent_dim, model.n_controls)
        if (row.source, row.number) != ("cc", VOLUME)
    )


# -- who plays what --------------------------------------------------------------------------------------------


def assigned(song: Song, model: ModelInfo, others: dict[int, Path]) -> list[Part]:
    """The parts that are played. Percussion is played by what has no pitch, and nothing else then, unless `--track`
    says who plays a part. Raises: UserError for a number that is no part's, or where none is left."""
    for number in others:
        if not 1 <= number <= len(song.parts):
            raise UserError(
                f"--track {number}={others[number]}: {printable(song.path)} has parts 1 to {len(song.parts)}"
            )
    pitched = model.plays_pitch or model.has_pitch
    if not pitched and not any(part.percussion for part in song.parts):
        return song.parts
    kept = [part for part in song.parts if part.number in others or part.percussion != pitched]
    left = [part for part in song.parts if part not in kept]
    if not kept:
        raise UserError(
            f"{printable(song.path)}: percussion only, and {model.name} plays pitches; use an instrument without pitch"
        )
    for part in left:
        kind = "percussion" if part.percussion else "pitched"
        say(
            f"part {part.number} ({part.track}) is {kind} and is left out; --track {part.number}=OTHER.ts plays it"
        )
    return kept


def range_of(instrument: PlayableModel) -> tuple[float, float]:
    """Lowest and highest MIDI key that it can play."""
    info, model = instrument.info, instrument.model
    if not model.plays_pitch:
        return 0, 127
    if info.prior:
        return math.floor(info.prior["lowest"]), math.ceil(info.prior["highest"])
    if not info.profile.get("pitch"):
        return 0, 127
    low, high = info.profile["pitch"][0], info.profile["pitch"][-1]
    return math.floor(low) - BEYOND_SEMITONES, math.ceil(high) + BEYOND_SEMITONES


def keys_of(part: Part, instrument: PlayableModel, strict: bool) -> dict[int, int]:
    """Key of the file -> key that is played. Raises: UserError for `strict`, where some are out of range."""
    lowest, highest = range_of(instrument)
    keys = part.keys
    outside = [key for key in keys if not lowest <= key <= highest]
    played = fitted_keys(keys, lowest, highest)
    moved = sum(played[key] != key for key in keys)
    name, span = instrument.model.name, f"{lowest:g} to {highest:g}"
    if outside and strict:
        raise UserError(
            f"--strict: part {part.number} has {len(outside)} notes beyond {name}'s range, {span} (the first is "
            f"{outside[0]}); transpose it, or leave --strict out"
        )
    if moved:
        say(
            f"part {part.number}: {moved} of {len(keys)} notes are moved by octaves into {name}'s range, {span}"
        )
    return played


def make_player(part: Part, path: Path, arguments: argparse.Namespace) -> PartPlayer:
    """Raises: UserError for a model that cannot play it."""
    voices = arguments.voices or min(USUAL_VOICES, max(FEWEST_VOICES, part.at_once()))
    seed = (arguments.seed or 0) + part.number - 1
    instrument = PlayableModel(model_file(path), seed, voices, False, arguments.sr)
    keys = keys_of(part, instrument, arguments.strict)
    player = PartPlayer(part, instrument, keys, arguments.map)
    label = getattr(arguments, "class")
    if label is not None:
        try:
            player.dispatcher.apply(f"{ROOT}/class", (label,))
        except Refused as reason:
            raise UserError(f"--class {label}: {reason}") from None
    _set_prior(player, arguments, seed)
    count = len(part.keys)
    say(
        f"part {part.number}: {part.track}, channel {part.channel + 1}, {count} note{'s' * (count != 1)}, "
        f"{instrument.model.name} with {voices} voices"
    )
    return player


def performs(instrument: PlayableModel) -> bool:
    """Whether its file has a prior."""
    return bool(instrument.info.prior)


def _set_prior(player: PartPlayer, arguments: argparse.Namespace, seed: int) -> None:
    """Seed, temperature, and whether it performs."""
    instrument = player.instrument
    name = instrument.model.name
    if performs(instrument) and not arguments.dry:
        player.send("prior/seed", seed)
        if arguments.temperature is not None:
            player.send("prior/temperature", arguments.temperature)
        return
    if performs(instrument):
        player.send("perform", 0)
    if not arguments.dry:
        say(
            f"{name} has no prior (it was exported or trained before there was one): the plain envelope plays"
        )
    if arguments.temperature is not None:
        player.send("temperature", arguments.temperature)


# -- the sound ---------------------------------------------------------------------------------------------------


def mixed(players: list[PartPlayer], seconds: float, rate: int) -> Iterator[Audio]:
    """Blocks of the sum, to the end of the song and on until it is quiet; then every engine fades out. Parts are
    computed side by side, a thread each: models let other threads run."""
    level = np.float32(1 / math.sqrt(len(players)))
    samples, place, quiet = seconds_to_samples(seconds, rate), 0, 0
    limit = samples + seconds_to_samples(LONGEST_TAIL_S, rate)
    with ThreadPoolExecutor(len(players), initializer=use_one_thread) as pool:

        def block(count: int) -> Audio:
            total: Audio = np.sum(list(pool.map(lambda p: p.render(count), players)), 0, dtype=np.float32)
            return total * level

        while place < samples:
            count = min(MIX_BLOCK, samples - place)
            yield block(count)
            place += count
        for player in players:
            player.release()
        while place < limit and quiet < seconds_to_samples(QUIET_S, rate):
            made = block(MIX_BLOCK)
            quiet = quiet + len(made) if np.abs(made).max() < db_to_amplitude(QUIET_DB) else 0
            place += len(made)
            yield made
        for player in players:
            player.instrument.engine.fade_out()
        yield block(MIX_BLOCK)


def render_midi(arguments: argparse.Namespace, gain_db: float) -> int:
    """The whole command. Raises: UserError."""
    song = read_song(arguments.midi)
    main = load_offline(arguments.model, arguments.sr)
    others = parse_tracks(arguments.track or [])
    players = _players(song, arguments, main, others)
    rate = players[0].instrument.model.sample_rate
    for player in players:
        player.instrument.warm_up(player.instrument.model.hop_length)
        player.begin()
    limiter, gain = Limiter(rate), np.float32(db_to_amplitude(gain_db))
    progress = SoundProgress("rendering", seconds_to_samples(song.seconds, rate), rate)
    with Writer(arguments.out, rate, comment=MADE) as out:
        for block in mixed(players, song.seconds, rate):
            out.write(limiter.process(block * gain))
            progress.add(len(block))
    for player in players:
        limiter.limited += player.instrument.engine.limiter.limited
        limiter.peak = max(limiter.peak, player.instrument.engine.limiter.peak)
    progress.end(report(arguments, players[0].instrument.engine, out.samples, progress.speed, limiter))
    return 0


def _players(
    song: Song, arguments: argparse.Namespace, main: Any, others: dict[int, Path]
) -> list[PartPlayer]:
    from ..model_info import describe

    model = describe(main)
    if not model.plays_notes:
        raise UserError(
            f"--midi {printable(song.path)}: {model.name} has no pitch to play: it is a codec that is told none; "
            "train an instrument"
        )
    parts = assigned(song, model, others)
    players = [make_player(part, others.get(part.number, arguments.model), arguments) for part in parts]
    for player in players:
        player.resample_to(players[0].instrument.model.sample_rate)
    return players
