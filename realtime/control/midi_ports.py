"""MIDI ports of this machine, through python-rtmidi (ALSA, JACK, CoreMIDI, WinMM), plugged in and out.

Inputs are polled: a callback would run Python in the MIDI system's own thread, and with JACK that is the thread on
which all sound waits.
"""

from __future__ import annotations

import contextlib
import importlib.util
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from typing import Any, Protocol

from wavevae.console import discarded_stderr
from wavevae.errors import UserError
from wavevae.names import composed

NO_MIDI = "no MIDI here: `pip install 'wavevae[live]'` brings it"
NO_INPUT = "no MIDI input found; connect one"
POLL_EVERY_S = 0.002
LOOK_EVERY_S = 1.0
PROBE_EVERY_S = 5.0
"""For a MIDI system that does not run."""
FIRST_STATUS, FIRST_SYSTEM = 0x80, 0xF0
QUEUE = 8192
"""Messages that may wait between two polls."""


class Port(Protocol):
    """An open input."""

    def pending(self) -> Iterator[Any]:
        """The `mido.Message`s that have come in."""

    def close(self) -> None: ...


class Backend(Protocol):
    """Something that has inputs."""

    def get_input_names(self) -> list[str]: ...

    def open_input(self, name: str) -> Port: ...


class RtPort:
    """An input of python-rtmidi."""

    def __init__(self, api: int, name: str) -> None:
        import mido
        import rtmidi

        self._parse = mido.Message.from_bytes
        self._status = 0
        self._rt = rtmidi.MidiIn(api, "wavevae", queue_size_limit=QUEUE)
        self._rt.open_port(self._rt.get_ports().index(name), "in")

    def pending(self) -> Iterator[Any]:
        while (found := self._rt.get_message()) is not None:
            data = self._with_status(found[0])
            with contextlib.suppress(ValueError):  # no message that MIDI knows
                yield self._parse(data)

    def _with_status(self, data: list[int]) -> list[int]:
        """Running status: the status byte of the message before is left out."""
        if data and data[0] < FIRST_STATUS:
            return [self._status, *data]
        if data and data[0] < FIRST_SYSTEM:
            self._status = data[0]
        return data

    def close(self) -> None:
        self._rt.close_port()
        self._rt.delete()


class System:
    """Every MIDI system that python-rtmidi was built for, as one backend.

    One client a system stays open to list the ports: JACK would stumble over a new one every second.
    """

    kind = "MidiIn"
    """The client of rtmidi whose ports are listed."""

    def __init__(self) -> None:
        """Raises: UserError where mido or python-rtmidi is missing."""
        if not all(importlib.util.find_spec(name) for name in ("mido", "rtmidi")):
            raise UserError(NO_MIDI)
        try:
            import rtmidi
        except (ImportError, OSError) as error:  # a library of the system that it needs
            raise UserError(f"no MIDI here: python-rtmidi does not load ({error})") from None
        self._client = getattr(rtmidi, self.kind)
        self._probes: dict[int, Any] = dict.fromkeys(rtmidi.get_compiled_api())
        self._tried = -PROBE_EVERY_S

    def _probe(self) -> None:
        """Open the clients that are missing; a system without a server or driver has its own error."""
        if time.monotonic() - self._tried < PROBE_EVERY_S:
            return
        self._tried = time.monotonic()
        for api, client in self._probes.items():
            if client is None:
                with contextlib.suppress(Exception), discarded_stderr():
                    self._probes[api] = self._client(api, "wavevae ports")

    def found(self) -> dict[str, int]:
        """Ports by name, and the system each belongs to."""
        if None in self._probes.values():
            self._probe()
        found: dict[str, int] = {}
        for api, client in self._probes.items():
            try:
                names = client.get_ports() if client is not None else []
            except Exception:  # its server is gone
                self._probes[api] = None
                continue
            for name in names:
                found.setdefault(name, api)
        return found

    def get_input_names(self) -> list[str]:
        return list(self.found())

    def open_input(self, name: str) -> RtPort:
        return RtPort(self.found()[name], name)


def find_inputs() -> tuple[list[str], str]:
    """The names of all inputs, and why there are none."""
    try:
        names = System().get_input_names()
    except UserError as error:
        return [], str(error)
    return names, "" if names else NO_INPUT


def fitting(names: list[str], wanted: str) -> str | None:
    """The port meant: its whole name, else the first with a part of it."""
    word = composed(wanted).casefold()
    plain = {name: composed(name).casefold() for name in names}
    exact = [n for n in names if plain[n] == word]
    return next(iter(exact or [n for n in names if word in plain[n]]), None)


class KeptPort(ABC):
    """Opens a port when it is there, again when it comes back, in a thread of its own; never raises for a port.

    `say` gets what there is to tell, once.
    """

    def __init__(self, wanted: str, say: Callable[[str], None]) -> None:
        self._wanted, self._say = wanted, say
        self.name = ""
        """The port that is open."""
        self._reported = False
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True, name="midi")

    # of an input or an output

    @abstractmethod
    def _names(self) -> list[str]:
        """Of the ports that are there."""

    @abstractmethod
    def _take(self, name: str) -> None:
        """Open a port."""

    @abstractmethod
    def _drop(self) -> None:
        """Close it."""

    def _lost(self) -> None:  # noqa: B027 - an input has nothing to end
        """It is gone."""

    @abstractmethod
    def poll(self) -> None:
        """Every POLL_EVERY_S."""

    # of both

    def start(self) -> str:
        """Look once now, then again and again. Returns what there is to say."""
        self.look()
        self._thread.start()
        return self.name or f"no port '{self._wanted}' yet; it is taken as soon as it is there"

    def look(self) -> None:
        """Whether the port is there."""
        names = self._names()
        if self.name and self.name not in names:
            self._lose()
        if not self.name and (found := fitting(names, self._wanted)) is not None:
            self._open(found)

    def _lose(self) -> None:
        self._say(f"MIDI port {self.name} is gone; it is taken again when it is back")
        self._close()
        self._lost()
        self._reported = True

    def _open(self, name: str) -> None:
        try:
            self._take(name)
        except Exception as error:  # of whichever MIDI system it is
            if not self._reported:
                self._say(f"MIDI port {name} does not open ({error}); trying again")
            self._reported = True
            return
        self.name = name
        if self._reported:
            self._say(f"MIDI port {name} is back")
            self._reported = False

    def _close(self) -> None:
        if self.name:
            self.name = ""
            with contextlib.suppress(Exception):  # it is gone already
                self._drop()

    def _run(self) -> None:
        looked = time.monotonic()
        while not self._end.wait(POLL_EVERY_S):
            self.poll()
            if time.monotonic() - looked > LOOK_EVERY_S:
                self.look()
                looked = time.monotonic()

    def stop(self) -> None:
        self._end.set()
        if self._thread.is_alive():
            self._thread.join()
        self._close()


class Listener(KeptPort):
    """An input.

    `deliver` gets the messages, in order, in this listener's thread, where `lost` is called when the port is gone.
    """

    def __init__(
        self,
        wanted: str,
        deliver: Callable[[Any], None],
        say: Callable[[str], None],
        backend: Backend,
        lost: Callable[[], None] = lambda: None,
    ) -> None:
        super().__init__(wanted, say)
        self._deliver, self._backend, self._lost_input = deliver, backend, lost
        self._port: Port | None = None

    def _names(self) -> list[str]:
        return self._backend.get_input_names()

    def _take(self, name: str) -> None:
        self._port = self._backend.open_input(name)

    def _drop(self) -> None:
        port, self._port = self._port, None
        if port is not None:
            port.close()

    def _lost(self) -> None:
        self._lost_input()

    def poll(self) -> None:
        """Deliver what has come in."""
        if self._port is not None:
            for message in self._port.pending():
                self._deliver(message)
