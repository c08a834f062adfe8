"""Applies the messages of a MIDI controller within the control process, and learns new rows of its map."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from wavevae.controls import ControlState, Refused

from .addresses import ROOT, Address, Arguments, text
from .midi_map import Row, read_map, usual_map, write_learnt
from .midi_ports import Listener, System
from .midi_translate import Sent, Translator
from .osc import OscServer

LEARN = f"{ROOT}/midi/learn"


class MidiMapper:
    """Listens to a port. Raises: UserError for a map that is wrong, or without MIDI."""

    def __init__(
        self,
        osc_server: OscServer,
        port: str,
        map_file: Path,
        say: Callable[[str], None],
        later: Callable[[Callable[[], None], str], None],
    ) -> None:
        """`later` writes files in a thread."""
        self._osc_server, self._port, self._file, self._say, self._later = (
            osc_server,
            port,
            map_file,
            say,
            later,
        )
        self._usual = not map_file.is_file()
        """Nobody has chosen the rows: they follow the model."""
        self._rows = self._usual_rows() if self._usual else read_map(map_file)
        self.translator = Translator(self._rows)
        self._listener: Listener | None = None
        self._refused: set[str] = set()
        doc = "the next control moved is bound to this address, or sends what follows it; nothing: not after all"
        osc_server.dispatcher.extra[LEARN] = Address(LEARN, "s", doc, self._learn)

    def start(self, loop: asyncio.AbstractEventLoop) -> str:
        """Returns a line for the terminal."""

        def deliver(message: Any) -> None:
            loop.call_soon_threadsafe(self.hear, message)

        def lost() -> None:
            loop.call_soon_threadsafe(self.let_go)

        self._listener = Listener(self._port, deliver, self._say, System(), lost)
        return f"  MIDI     {self._listener.start()}; map {self._file.name}"

    @property
    def port(self) -> str:
        """The one that is open."""
        return self._listener.name if self._listener else ""

    def hear(self, message: Any) -> None:
        """In the control process' loop."""
        if self._usual and self._usual_rows() != self._rows:  # another model plays
            self._rows = self.translator.rows = self._usual_rows()
        self._act(self.translator.feed(message))
        if self.translator.rows is not self._rows:
            before, self._rows, self._usual = self._rows, self.translator.rows, False
            self._say(f"MIDI: bound {self._rows[-1].plain()}")
            self._later(partial(write_learnt, self._file, before, self._rows), str(self._file))

    def let_go(self) -> None:
        """The controller is gone, its keys with it."""
        self._act(self.translator.let_go())

    def _act(self, sent: list[Sent]) -> None:
        for address, arguments in sent:
            why = self._osc_server.act(address, arguments)
            if why and address not in self._refused:
                self._refused.add(address)  # once: a fader would say it a hundred times
                self._say(f"MIDI: {why}")

    def _usual_rows(self) -> tuple[Row, ...]:
        about = self._osc_server.dispatcher.about
        return usual_map(about.latent_dim, about.n_controls)

    def bindings(self) -> dict[str, str]:
        """What turns each address, in short."""
        return {row.address: short(row) for row in self.translator.rows}

    def _learn(self, state: ControlState, arguments: Arguments) -> ControlState:
        """An address, and what a button is to send there; an address that takes nothing is a button's."""
        address = text(arguments[0], "address") if arguments else None
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
