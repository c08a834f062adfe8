"""Streams that call the audio callback: a sound card through PortAudio, or a clock without a device."""

from __future__ import annotations

import contextlib
import ctypes
import threading
import time
from typing import Any, Protocol

import numpy as np

from wavevae.console import discarded_stderr
from wavevae.errors import UserError

from .audio_callback import Callback
from .devices import MOST_CHANNELS, Device, channels_of, import_sounddevice

JACK, JACK_NO_START_SERVER = "JACK", 1
JACK_LIBRARIES = ("libjack.so.0", "libjack.0.dylib", "libjack64.dll", "libjack.dll")
CLOSE_AT_MOST_S = 2.0


class Stream(Protocol):
    """Something that calls a callback once a block."""

    latency_s: float
    """From the callback to the loudspeaker."""
    input_latency_s: float
    """From the microphone to the callback."""
    rebuffered_s: float
    """Of `latency_s`, what cutting the device's periods into our blocks takes."""
    changed: bool
    """The device asks for other blocks than it did: open it again."""

    def start(self) -> None: ...

    def close(self) -> None:
        """No callback comes after this."""


def find_period(device: Device) -> int:
    """Samples that a JACK server asks for at a time; 0 for another device, or where it does not say.

    Asked of JACK itself: another stream of PortAudio would give the ports of ours other names.
    """
    if JACK not in device.host_api:
        return 0
    for name in JACK_LIBRARIES:
        with contextlib.suppress(OSError, AttributeError), discarded_stderr():
            jack = ctypes.CDLL(name)
            jack.jack_client_open.restype = ctypes.c_void_p
            client = ctypes.c_void_p(jack.jack_client_open(b"wavevae", JACK_NO_START_SERVER, None))
            if client:
                size = int(jack.jack_get_buffer_size(client))
                jack.jack_client_close(client)
                return size
    return 0


class CardStream:
    """PortAudio's. Raises: UserError where a device refuses the model's rate or does not open."""

    def __init__(
        self,
        device: Device,
        listens: Device | None,
        sample_rate: int,
        block_size: int,
        callback: Callback,
        period: int = 0,
    ) -> None:
        """`period`: of the JACK server. Where blocks are as long PortAudio hands them on; else it cuts them anew, which
        takes one block more."""
        sounddevice = import_sounddevice()
        exact = period == block_size
        self.changed = False

        def call(out: Any, frames: int, when: Any, status: Any, heard: Any = None) -> None:
            if frames != block_size:
                out[:], self.changed = 0.0, True
                return
            callback(out, frames, when, status, heard)

        blocksize = 0 if exact else block_size
        common = {"samplerate": sample_rate, "blocksize": blocksize, "dtype": "float32", "latency": "low"}
        try:
            if listens is None:
                self._stream: Any = sounddevice.OutputStream(
                    device=device.index, channels=channels_of(device), callback=call, **common
                )
            else:
                self._stream = sounddevice.Stream(
                    device=(listens.index, device.index),
                    channels=(min(MOST_CHANNELS, listens.input_channels), channels_of(device)),
                    callback=lambda heard, out, frames, when, status: call(out, frames, when, status, heard),
                    **common,
                )
        except (sounddevice.PortAudioError, ValueError) as error:
            raise UserError(_refusal(device, listens, sample_rate, error)) from None
        latency = self._stream.latency
        self.latency_s = float(latency if listens is None else latency[1])
        self.rebuffered_s = block_size / sample_rate if JACK in device.host_api and not exact else 0.0
        self.input_latency_s = 0.0 if listens is None else float(latency[0])

    def start(self) -> None:
        self._stream.start()

    def close(self) -> None:
        """PortAudio waits for ever for a server that is gone: then this gives up."""
        thread = threading.Thread(target=self._close, daemon=True, name="close")
        thread.start()
        thread.join(CLOSE_AT_MOST_S)

    def _close(self) -> None:
        self._stream.stop()
        self._stream.close()


def _refusal(device: Device, listens: Device | None, sample_rate: int, error: Exception) -> str:
    why = " ".join(str(a) for a in error.args[:1])
    for one in (device, *([listens] if listens else [])):
        if one.sample_rate != sample_rate:
            return (
                f"device {one} does not take {sample_rate} Hz, the model's rate (it prefers "
                f"{one.sample_rate:g} Hz): set the device or its server to {sample_rate} Hz, or train a model at "
                f"--sr {one.sample_rate:g} [{why}]"
            )
    both = f" together with input {listens}" if listens else ""
    return f"device {device}{both} does not open at {sample_rate} Hz: {why}; try another (`wavevae devices`)"


class ClockStream:
    """Calls as steadily as a sound card would, and throws the sound away."""

    latency_s = input_latency_s = rebuffered_s = 0.0
    changed = False

    def __init__(self, sample_rate: int, block_size: int, callback: Callback) -> None:
        self._period_s, self._callback, self._frames = block_size / sample_rate, callback, block_size
        self._out = np.zeros((block_size, 1), np.float32)
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True, name="clock")

    def start(self) -> None:
        self._thread.start()

    def close(self) -> None:
        self._end.set()
        if self._thread.ident is not None:
            self._thread.join()

    def _run(self) -> None:
        due = time.perf_counter()
        while not self._end.is_set():
            self._callback(self._out, self._frames, None, None)
            due += self._period_s
            ahead = due - time.perf_counter()
            if ahead > 0:
                time.sleep(ahead)
            elif ahead < -self._period_s:
                due = time.perf_counter()  # what is lost is lost, as with a sound card
