"""Where the callback is called from: a sound card through PortAudio, or a clock when there is none."""

from __future__ import annotations

import threading
import time
from typing import Any, Protocol

import numpy as np

from wavevae.errors import UserError

from .devices import Device, import_sounddevice
from .shell import Callback

MOST_CHANNELS = 2
CLOSE_AT_MOST_S = 2.0


class DeviceGone(RuntimeError):
    """The device no longer asks for sound. PortAudio may hang at the end of the process: leave by `os._exit`."""


class Stream(Protocol):
    """Something that calls a callback once a block."""

    latency_s: float
    """From the callback to the loudspeaker."""

    def start(self) -> None: ...

    def close(self) -> None:
        """No callback comes after this."""


def channels_of(device: Device) -> int:
    """The model's one channel goes to both loudspeakers."""
    return min(MOST_CHANNELS, device.channels)


class CardStream:
    """PortAudio's. Raises: UserError where the device refuses the model's rate or does not open."""

    def __init__(self, device: Device, sample_rate: int, block_size: int, callback: Callback) -> None:
        sounddevice = import_sounddevice()
        try:
            self._stream: Any = sounddevice.OutputStream(
                samplerate=sample_rate,
                blocksize=block_size,
                device=device.index,
                channels=channels_of(device),
                dtype="float32",
                latency="low",
                callback=callback,
            )
        except sounddevice.PortAudioError as error:
            raise UserError(_refusal(device, sample_rate, error)) from None
        self.latency_s = float(self._stream.latency)

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


def _refusal(device: Device, sample_rate: int, error: Exception) -> str:
    why = " ".join(str(a) for a in error.args[:1])
    if device.sample_rate != sample_rate:
        return (
            f"device {device} does not take {sample_rate} Hz, the model's rate (it prefers "
            f"{device.sample_rate:g} Hz): set the device or its server to {sample_rate} Hz, or train a model at "
            f"--sr {device.sample_rate:g} [{why}]"
        )
    return f"device {device} does not open at {sample_rate} Hz: {why}; try another (`wavevae devices`)"


class ClockStream:
    """Calls as steadily as a sound card would, and throws the sound away."""

    latency_s = 0.0

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
