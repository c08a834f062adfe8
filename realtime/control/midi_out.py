"""`serve --midi-out`: what the prior makes up goes to a MIDI output, as one melody. The keys of a musician do not: they
came from a keyboard."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from typing import Any, Protocol

from .midi_ports import KeptPort, System

BEND_SEMITONES, BEND_STEPS = 2.0, 8192
"""Of the wheel, unless its receiver is told another range."""
MELODY, PERCUSSION = 0, 9
"""Channels 1 and 10, counted from 0."""
ALL_NOTES_OFF = 123


class OutputPort(Protocol):
    """An open output."""

    def send(self, message: Any) -> None:
        """A `mido.Message`."""

    def close(self) -> None: ...


class OutputBackend(Protocol):
    """Something that has outputs."""

    def get_output_names(self) -> list[str]: ...

    def open_output(self, name: str) -> OutputPort: ...


class RtOutput:
    """An output of python-rtmidi."""

    def __init__(self, api: int, name: str) -> None:
        import rtmidi

        self._rt = rtmidi.MidiOut(api, "wavevae")
        self._rt.open_port(self._rt.get_ports().index(name), "out")

    def send(self, message: Any) -> None:
        """A `mido.Message`."""
        self._rt.send_message(message.bytes())

    def close(self) -> None:
        self._rt.close_port()
        self._rt.delete()


class Outputs(System):
    """The outputs of every MIDI system."""

    kind = "MidiOut"

    def get_output_names(self) -> list[str]:
        return list(self.found())

    def open_output(self, name: str) -> RtOutput:
        return RtOutput(self.found()[name], name)


class Sender(KeptPort):
    """An output, to which one melody goes: note on and off, and the wheel where a key lies between two."""

    def __init__(
        self,
        wanted: str,
        due: Callable[[], Iterable[tuple[float, float]]],
        say: Callable[[str], None],
        backend: OutputBackend,
    ) -> None:
        """`due`: keys (MIDI) and velocities (0 to 1; 0: a rest) that begin now, called in this sender's thread."""
        super().__init__(wanted, say)
        self._due, self._backend, self._channel = due, backend, MELODY
        self._port: OutputPort | None = None
        self._sounding: tuple[int, int] | None = None
        """Channel and key."""
        self._bend = 0
        self._hushed = threading.Event()

    def play(self, due: Callable[[], Iterable[tuple[float, float]]], channel: int) -> None:
        """From another thread: something else plays; what sounds ends."""
        self._due, self._channel = due, channel
        self._hushed.set()

    def _names(self) -> list[str]:
        return self._backend.get_output_names()

    def _take(self, name: str) -> None:
        self._port = self._backend.open_output(name)
        self._sounding, self._bend = None, 0
        self._hushed.clear()
        self._all_off()  # whatever was left there

    def _drop(self) -> None:
        port = self._port
        try:
            self._all_off()
        finally:
            self._port = None
            if port is not None:
                port.close()

    def poll(self) -> None:
        """Send what begins now. Without a port it is dropped."""
        try:
            if self._hushed.is_set():
                self._hushed.clear()
                self._all_off()
            for key, velocity in self._due():
                self._play(key, velocity)
        except Exception:  # of whichever MIDI system it is
            self._lose()

    def _play(self, key: float, velocity: float) -> None:
        self._off()
        if velocity <= 0:
            return
        note = min(max(round(key), 0), 127)
        bend = round((key - note) / BEND_SEMITONES * BEND_STEPS)
        if bend != self._bend:
            self._send("pitchwheel", pitch=min(max(bend, -BEND_STEPS), BEND_STEPS - 1))
            self._bend = bend
        self._send("note_on", note=note, velocity=min(max(round(127 * velocity), 1), 127))
        self._sounding = (self._channel, note)

    def _off(self) -> None:
        if self._sounding is not None:
            (channel, note), self._sounding = self._sounding, None
            self._send("note_off", channel, note=note)

    def _all_off(self) -> None:
        self._off()
        self._send("control_change", control=ALL_NOTES_OFF, value=0)
        if self._bend:
            self._send("pitchwheel", pitch=0)
            self._bend = 0

    def _send(self, kind: str, channel: int | None = None, **values: int) -> None:
        import mido

        if self._port is not None:
            channel = self._channel if channel is None else channel
            self._port.send(mido.Message(kind, channel=channel, **values))
