"""MIDI inputs of this machine, through mido and python-rtmidi (ALSA, JACK, CoreMIDI, WinMM), plugged in and out."""

from __future__ import annotations

import importlib.util
import threading
from collections.abc import Callable
from typing import Any, Protocol

from wavevae.errors import UserError

from .devices import hushed

NO_MIDI = "no MIDI here: `pip install 'wavevae[live]'` brings it"
NO_INPUT = "no MIDI input found; connect one"
LOOK_EVERY_S = 1.0


class Backend(Protocol):
    """What is used of a `mido.Backend`."""

    def get_input_names(self) -> list[str]: ...

    def open_input(self, name: str, callback: Callable[[Any], None]) -> Any: ...


class System:
    """Every MIDI system that python-rtmidi was built for, as one backend."""

    def __init__(self) -> None:
        """Raises: UserError where mido or python-rtmidi is missing."""
        if not all(importlib.util.find_spec(name) for name in ("mido", "rtmidi")):
            raise UserError(NO_MIDI)
        import mido
        import rtmidi

        names = [rtmidi.get_api_name(api).upper() for api in rtmidi.get_compiled_api()]
        apis = {"ALSA": "LINUX_ALSA", "JACK": "UNIX_JACK", "CORE": "MACOSX_CORE", "WINMM": "WINDOWS_MM"}
        self._backends = [mido.Backend(f"mido.backends.rtmidi/{apis[n]}") for n in names if n in apis]

    def _found(self) -> dict[str, Any]:
        """Inputs by name; a system that does not run has none."""
        found: dict[str, Any] = {}
        for backend in self._backends:
            try:
                with hushed():
                    names = backend.get_input_names()
            except Exception:  # a system without a server or driver: each has its own error
                continue
            for name in names:
                found.setdefault(name, backend)
        return found

    def get_input_names(self) -> list[str]:
        return list(self._found())

    def open_input(self, name: str, callback: Callable[[Any], None]) -> Any:
        with hushed():
            return self._found()[name].open_input(name, callback=callback, client_name="wavevae")


def find_inputs() -> tuple[list[str], str]:
    """The names of all inputs, and why there are none."""
    try:
        names = System().get_input_names()
    except UserError as error:
        return [], str(error)
    return names, "" if names else NO_INPUT


def fitting(names: list[str], wanted: str) -> str | None:
    """The input meant: its whole name, else the first with a part of it."""
    word = wanted.casefold()
    exact = [n for n in names if n.casefold() == word]
    return next(iter(exact or [n for n in names if word in n.casefold()]), None)


class Listener:
    """Opens an input when it is there, again when it comes back; never raises for a port.

    `deliver` gets the messages, in order, in a thread of the MIDI system; `say` what there is to tell.
    """

    def __init__(
        self, wanted: str, deliver: Callable[[Any], None], say: Callable[[str], None], backend: Backend
    ) -> None:
        self._wanted, self._deliver, self._say, self._backend = wanted, deliver, say, backend
        self.name = ""
        """The port that is open."""
        self._port: Any = None
        self._told = False
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True, name="midi")

    def start(self) -> str:
        """Look once now, then again and again. Returns what there is to say."""
        self.look()
        self._thread.start()
        return self.name or f"no port '{self._wanted}' yet; it is taken as soon as it is there"

    def look(self) -> None:
        """Whether the port is there."""
        names = self._backend.get_input_names()
        if self.name and self.name not in names:
            self._say(f"MIDI port {self.name} is gone; it is taken again when it is back")
            self._close()
            self._told = True
        if not self.name and (found := fitting(names, self._wanted)) is not None:
            self._open(found)

    def _open(self, name: str) -> None:
        try:
            self._port = self._backend.open_input(name, callback=self._deliver)
        except Exception as error:  # of whichever MIDI system it is
            if not self._told:
                self._say(f"MIDI port {name} does not open ({error}); trying again")
            self._told = True
            return
        self.name = name
        if self._told:
            self._say(f"MIDI port {name} is back")
            self._told = False

    def _close(self) -> None:
        port, self._port, self.name = self._port, None, ""
        if port is not None:
            port.close()

    def _run(self) -> None:
        while not self._end.wait(LOOK_EVERY_S):
            self.look()

    def stop(self) -> None:
        self._end.set()
        if self._thread.is_alive():
            self._thread.join()
        self._close()
