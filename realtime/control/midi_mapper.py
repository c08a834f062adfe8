"""Translates MIDI messages to OSC messages by a map, and learns new rows: the next control that moves is bound."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from wavevae.controls import ControlState, Refused

from .addresses import ROOT, Arguments, text
from .general_midi import class_of_program
from .midi_map import (
    BUTTONS,
    OF_ONE_NOTE,
    PRESSED,
    Argument,
    Row,
    name_of,
    read_map,
    usual_curve,
    usual_map,
    usual_range,
    write_learnt,
)
from .midi_ports import Listener, System
from .osc import OscServer

Sent = tuple[str, tuple[Argument, ...]]
"""An address and its arguments."""
SUSTAIN, SOUND_OFF, RESET_CONTROLLERS = 64, 120, 121
ALL_NOTES_OFF = frozenset((SOUND_OFF, 123, 124, 125, 126, 127))
"""Also the changes of mode: MIDI 1.0 has them end every note."""
LOWEST_LSB, HIGHEST_LSB = 32, 63
CC14_STEPS = 16383
BEND_UP, BEND_DOWN = 8191, 8192
"""Steps to the ends; at rest it is exactly in the middle."""
PRESSABLE, NUMBERED = ("cc", "note", "program"), ("cc", "note", "polytouch", "program")
NOTES, FREEZE = "/wavevae/note", "/wavevae/freeze"
NOTE_BEND, NOTE_PRESSURE, NOTE_SLIDE = f"{NOTES}/bend", f"{NOTES}/pressure", f"{NOTES}/slide"
EXPRESSIONS = {NOTE_BEND: 0.0, NOTE_PRESSURE: 0.0, NOTE_SLIDE: 0.5}
"""The dimensions of MPE, and where a note begins in each."""
MPE_MASTER, MPE_SLIDE_CC, MPE_BEND_SEMITONES = 0, 74, 48.0


class Translator:
    """Keeps what MIDI spreads over several messages: high halves of 14-bit controls, held keys, the pedal."""

    def __init__(self, rows: tuple[Row, ...]) -> None:
        self.rows = rows
        self.learning: str | None = None
        """The address that the next control moved is bound to."""
        self.learning_arguments: tuple[Argument, ...] | None = None
        """What it is to send when it is pressed, instead of where it stands."""
        self._high: dict[tuple[int, int], int] = {}
        self._down: set[Row] = set()
        """Buttons that are pressed: they send once."""
        self._held: dict[int, set[int]] = {}
        """Keys by channel that are down or held by the pedal."""
        self._let_go: dict[int, set[int]] = {}
        """Keys that the pedal holds."""
        self._pedal: set[int] = set()
        self._learnt: tuple[int, int] | None = None

    def learn(self, address: str | None, arguments: tuple[Argument, ...] | None = None) -> None:
        """Bind what is moved next to an address, or to sending arguments there; None: not after all."""
        pressed = address is not None and name_of(address) in BUTTONS
        self.learning = address
        self.learning_arguments = () if pressed and arguments is None else arguments

    def let_go(self) -> list[Sent]:
        """Lift every key and pedal: the controller is gone."""
        self._pedal.clear()
        return [sent for channel in list(self._held) for sent in self._end(channel, self._held[channel])]

    def feed(self, message: Any) -> list[Sent]:
        """What a `mido.Message` means."""
        channel = getattr(message, "channel", None)
        if channel is None:
            return []  # clocks, sysex: no controls
        if self.learning is not None:
            self._learn(message)
        else:
            self._widen(message)
        return [
            sent
            for source, number, share in self._readings(message)
            for sent in self._send(source, number, share, message)
        ]

    def _readings(self, message: Any) -> Iterator[tuple[str, int, float]]:
        """What the message says of controls: source, number, where it stands from 0 to 1."""
        kind, channel = message.type, message.channel
        if kind == "control_change":
            number, value = message.control, message.value
            yield "cc", number, value / 127
            if number < LOWEST_LSB:
                self._high[channel, number] = value
                yield "cc14", number, (value << 7) / CC14_STEPS
            elif number <= HIGHEST_LSB:
                high = self._high.get((channel, number - 32), 0)
                yield "cc14", number - 32, (high << 7 | value) / CC14_STEPS
        elif kind == "pitchwheel":
            yield "bend", 0, 0.5 + 0.5 * message.pitch / (BEND_UP if message.pitch > 0 else BEND_DOWN)
        elif kind == "aftertouch":
            yield "aftertouch", 0, message.value / 127
        elif kind == "polytouch":
            yield "polytouch", message.note, message.value / 127
        elif kind == "program_change":
            yield "program", message.program, 1.0
        elif kind in ("note_on", "note_off"):
            yield "note", message.note, message.velocity / 127 if kind == "note_on" else 0.0

    def _send(self, source: str, number: int, share: float, message: Any) -> Iterator[Sent]:
        channel = message.channel
        rows = [r for r in self.rows if _fits(r, source, number, channel)]
        if source == "note" and not (share == 0 and number in self._held.get(channel, ())):
            rows = [
                r for r in rows if r.number is not None
            ] or rows  # its own row takes a key from the keyboard
        for row in rows:
            if row.arguments is not None:
                yield from self._press(row, share, source == "program")
            elif source == "note" and row.number is None:
                yield from self._play(row.address, channel, number, share)
            elif row.address.startswith(OF_ONE_NOTE):
                if self._sounds(number, channel):
                    yield row.address, (number, row.value(share))
            else:
                yield row.address, (row.value(share),)
        if source == "cc" and not rows:
            yield from self._pedals(channel, number, share)

    def _sounds(self, number: int, channel: int) -> bool:
        """Whether a key is down, as far as keys come through here: some keyboards send pressure after that."""
        played = any(row.arguments is None and _fits(row, "note", -1, channel) for row in self.rows)
        return not played or number in self._held.get(channel, ())

    def _press(self, row: Row, share: float, always: bool) -> Iterator[Sent]:
        """Once each time it goes down."""
        assert row.arguments is not None
        pressed = share >= PRESSED or (row.source == "note" and share > 0)
        if pressed and (always or row not in self._down):
            yield row.address, row.arguments
        (self._down.add if pressed else self._down.discard)(row)

    def _play(self, address: str, channel: int, pitch: int, velocity: float) -> Iterator[Sent]:
        if velocity > 0:
            self._held.setdefault(channel, set()).add(pitch)
            self._let_go.get(channel, set()).discard(pitch)
        elif channel in self._pedal:
            self._let_go.setdefault(channel, set()).add(pitch)
            return
        else:
            self._held.get(channel, set()).discard(pitch)
        yield address, (pitch, velocity)

    def _pedals(self, channel: int, number: int, share: float) -> Iterator[Sent]:
        """Sustain, and the panic buttons of keyboards."""
        if number == SUSTAIN and share >= PRESSED:
            self._pedal.add(channel)
        elif number in (SUSTAIN, RESET_CONTROLLERS):
            self._pedal.discard(channel)
            yield from self._end(channel, self._let_go.get(channel, set()))
        elif number in ALL_NOTES_OFF:
            yield from self._end(channel, self._held.get(channel, set()))
        if number == RESET_CONTROLLERS:
            yield from self._rest(channel)

    def _end(self, channel: int, pitches: set[int]) -> Iterator[Sent]:
        """These keys go up."""
        ended = sorted(pitches)
        self._held.get(channel, set()).difference_update(ended)
        self._let_go.get(channel, set()).difference_update(ended)
        for row in self.rows:
            if row.arguments is None and _fits(row, "note", -1, channel):
                for pitch in ended:
                    yield row.address, (pitch, 0.0)

    def _rest(self, channel: int) -> Iterator[Sent]:
        """The wheel in its middle, no pressure."""
        for source, share in (("bend", PRESSED), ("aftertouch", 0.0)):
            for row in self.rows:
                if row.arguments is None and _fits(row, source, 0, channel):
                    yield row.address, (row.value(share),)

    def _learn(self, message: Any) -> None:
        """Bind a moved control, a wheel or a struck key; for a press, only what can be pressed."""
        presses = self.learning_arguments is not None
        for source, number, share in self._readings(message):
            if source == "cc14" or (source == "note" and share == 0):
                continue
            if (source == "program") > presses or (presses and (source not in PRESSABLE or share < PRESSED)):
                continue
            address, self.learning = self.learning, None
            assert address is not None
            self._bind(source, number if source in NUMBERED else None, message, address)
            self._learnt = (message.channel, number) if source == "cc" and number < LOWEST_LSB else None
            return

    def _bind(self, source: str, number: int | None, message: Any, address: str) -> None:
        arguments, self.learning_arguments = self.learning_arguments, None
        if source == "note" and address == NOTES:
            number = None  # the whole keyboard
        if source == "note" and address == FREEZE and arguments is None:
            arguments = ()  # a key comes up again at once: each press turns it round
        low, high = usual_range(address)
        row = Row(source, number, address, message.channel + 1, low, high, usual_curve(address), arguments)
        self.rows = (*(r for r in self.rows if not _same(r, row)), row)

    def _widen(self, message: Any) -> None:
        """A control just learnt whose low half follows at once is a 14-bit one."""
        learnt, self._learnt = self._learnt, None
        if learnt is None or message.type != "control_change":
            return
        channel, number = learnt
        if (message.channel, message.control) == (channel, number + 32):
            old = self.rows[-1]
            wide = replace(old, source="cc14")
            self.rows = (*self.rows[:-1], wide)


class MpeTranslator(Translator):
    """MIDI Polyphonic Expression 1.0, lower zone: channel 1 is the master and acts on all notes; on each other channel
    the wheel, the pressure and CC 74 act on the notes of that channel, from their beginning on."""

    def __init__(self, rows: tuple[Row, ...], bend_semitones: float = MPE_BEND_SEMITONES) -> None:
        super().__init__(rows)
        self.bend_semitones = bend_semitones
        self._expression: dict[int, dict[str, float]] = {}
        """By channel: the last value of each of EXPRESSIONS, which may come before the note."""

    def feed(self, message: Any) -> list[Sent]:
        channel = getattr(message, "channel", MPE_MASTER)
        if channel == MPE_MASTER or self.learning is not None:
            return super().feed(message)
        told = self._expressed(message)
        if told is not None:
            address, value = told
            self._expression.setdefault(channel, {})[address] = value
            return [(address, (key, value)) for key in sorted(self._held.get(channel, ()))]
        sent = super().feed(message)
        if message.type == "note_on" and message.velocity > 0:
            known = self._expression.get(channel, {})
            sent += [(a, (message.note, v)) for a, v in known.items() if v != EXPRESSIONS[a]]
        return sent

    def _expressed(self, message: Any) -> tuple[str, float] | None:
        """The address of one note and its value, where the message is one of the three dimensions."""
        if message.type == "pitchwheel":
            steps = BEND_UP if message.pitch > 0 else BEND_DOWN
            return NOTE_BEND, self.bend_semitones * message.pitch / steps
        if message.type == "aftertouch":
            return NOTE_PRESSURE, message.value / 127
        if message.type == "control_change" and message.control == MPE_SLIDE_CC:
            return NOTE_SLIDE, message.value / 127
        return None


def _fits(row: Row, source: str, number: int, channel: int) -> bool:
    return row.source == source and row.number in (None, number) and row.channel in (None, channel + 1)


def _same(row: Row, new: Row) -> bool:
    """The same control, or the same address turned by another: the new binding takes its place."""
    same_control = (row.source.removesuffix("14"), row.number) == (new.source, new.number)
    same_end = (row.address, row.arguments) == (new.address, new.arguments)
    return (same_control and row.channel in (None, new.channel)) or same_end


class MidiInput:
    """Sends on what a controller plays. `keep(before, rows)` writes rows that were learnt."""

    def __init__(
        self,
        rows: tuple[Row, ...],
        send: Callable[[str, tuple[Argument, ...]], None],
        keep: Callable[[tuple[Row, ...], tuple[Row, ...]], None],
        say: Callable[[str], None],
        mpe: bool = False,
    ) -> None:
        """`mpe`: the controller sends a channel for every note."""
        self.translator = MpeTranslator(rows) if mpe else Translator(rows)
        self._rows, self._send, self._keep, self._say = rows, send, keep, say

    def receive(self, message: Any) -> None:
        """A `mido.Message`."""
        for sent in self.translator.feed(message):
            self._send(*sent)
        if self.translator.rows is not self._rows:
            before, self._rows = self._rows, self.translator.rows
            self._say(f"MIDI: bound {self._rows[-1].plain()}")
            self._keep(before, self._rows)

    def let_go(self) -> None:
        """The controller is gone, its keys with it."""
        for sent in self.translator.let_go():
            self._send(*sent)


LEARN = f"{ROOT}/midi/learn"


class MidiMapper(MidiInput):
    """Plays the dispatcher by a port. Raises: UserError for a map that is wrong, or without MIDI."""

    def __init__(
        self,
        osc_server: OscServer,
        port: str,
        map_file: Path,
        say: Callable[[str], None],
        later: Callable[[Callable[[], None], str], None],
        mpe: bool = False,
    ) -> None:
        """`later` writes files in a thread."""
        self._osc_server, self._port, self._file, self._later = osc_server, port, map_file, later
        self._usual = not map_file.is_file()
        """Nobody has chosen the rows: they follow the model."""
        rows = self._usual_rows() if self._usual else read_map(map_file)
        super().__init__(rows, self._act, self._write, say, mpe)
        self._listener: Listener | None = None
        self._refused: set[str] = set()
        doc = "the next control moved is bound to this address, or sends what follows it; nothing: not after all"
        osc_server.dispatcher.add("midi/learn", "s", doc, self._learn)

    def start(self, loop: asyncio.AbstractEventLoop) -> str:
        """Returns a line for the terminal."""

        def deliver(message: Any) -> None:
            loop.call_soon_threadsafe(self.receive, message)

        def lost() -> None:
            loop.call_soon_threadsafe(self.let_go)

        self._listener = Listener(self._port, deliver, self._say, System(), lost)
        return f"  MIDI     {self._listener.start()}; map {self._file.name}"

    @property
    def port(self) -> str:
        """The one that is open."""
        return self._listener.name if self._listener else ""

    def receive(self, message: Any) -> None:
        """In the control process' loop."""
        if self._usual and self._usual_rows() != self._rows:  # another model plays
            self._rows = self.translator.rows = self._usual_rows()
        super().receive(message)
        model = self._osc_server.dispatcher.model
        if message.type == "program_change" and model.has_class and not self._takes_programs():
            label = class_of_program(message.program, model.classes)
            if label is not None:
                self._act(f"{ROOT}/class", (label,))

    def _takes_programs(self) -> bool:
        """Whether the map says what a program does."""
        return self.translator.learning is not None or any(r.source == "program" for r in self._rows)

    def _write(self, before: tuple[Row, ...], rows: tuple[Row, ...]) -> None:
        self._usual = False
        self._later(partial(write_learnt, self._file, before, rows), str(self._file))

    def _act(self, address: str, arguments: tuple[Argument, ...]) -> None:
        why = self._osc_server.act(address, arguments)
        if why and address not in self._refused:
            self._refused.add(address)  # once: a fader would say it a hundred times
            self._say(f"MIDI: {why}")

    def _usual_rows(self) -> tuple[Row, ...]:
        model = self._osc_server.dispatcher.model
        return usual_map(model.latent_dim, model.n_controls)

    def bindings(self) -> dict[str, str]:
        """What turns each address, in short."""
        return {row.address: short(row) for row in self.translator.rows}

    def _learn(self, state: ControlState, arguments: Arguments) -> ControlState:
        """An address, and what a button is to send there; an address that takes nothing is a button's."""
        address = text(arguments[:1], "address") if arguments else None
        row = self._osc_server.dispatcher.table.get(address) if address is not None else None
        if address is not None and row is None:
            raise Refused(f"no such address here to bind: {address[:80]}")
        sends = tuple(a for a in arguments[1:] if isinstance(a, (int, float, str)))
        self.translator.learn(address, sends if sends or (row is not None and not row.tags) else None)
        return state

    def stop(self) -> None:
        if self._listener is not None:
            self._listener.stop()


def short(row: Row) -> str:
    """'cc 74' or 'note all ch 2'."""
    number = "" if row.number is None else f" {row.number}"
    return f"{row.source}{number}" + (f" ch {row.channel}" if row.channel else "")
