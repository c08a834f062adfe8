"""The sound cards (`wavevae devices` lists them, `serve` chooses one by name or number), and the streams that call the
audio callback: a card through PortAudio, or a clock without a device.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, Protocol

import numpy as np

from wavevae.cli import Parser
from wavevae.console import discarded_stderr, say
from wavevae.errors import UserError
from wavevae.names import composed

NO_DEVICE = "none"
MOST_CHANNELS = 2
HOW_TO_GO_ON = "`--device none` plays without sound"


@dataclass(frozen=True)
class Device:
    """A device that sound can be played on or taken from."""

    index: int
    name: str
    host_api: str
    channels: int
    """Outputs."""
    sample_rate: float
    """Its own preference, Hz."""
    low_latency_ms: float
    is_default: bool = False
    input_channels: int = 0
    is_default_input: bool = False

    def __str__(self) -> str:
        return f'{self.index} "{self.name}" ({self.host_api})'


def channels_of(device: Device) -> int:
    """The model's one channel goes to both loudspeakers."""
    return min(MOST_CHANNELS, device.channels)


def import_sounddevice() -> Any:
    """The sounddevice module. Raises: UserError where PortAudio is missing or fails to start."""
    try:
        with discarded_stderr():
            import sounddevice
    except OSError as error:
        raise UserError(
            f"no PortAudio here ({error}); install it (Debian: `apt install libportaudio2`), or {HOW_TO_GO_ON}"
        ) from None
    except Exception as error:  # its own PortAudioError, which cannot be named before it is imported
        raise UserError(f"PortAudio does not start ({error}); {HOW_TO_GO_ON}") from None
    return sounddevice


def find_devices() -> list[Device]:
    """Every device. Raises: UserError without PortAudio."""
    sounddevice = import_sounddevice()
    apis = sounddevice.query_hostapis()
    default = sounddevice.default.device

    def is_default(index: int, api: int, side: int, kind: str) -> bool:
        return bool(
            index == default[side] or (default[side] < 0 and index == apis[api][f"default_{kind}_device"])
        )

    return [
        Device(
            index,
            found["name"],
            apis[found["hostapi"]]["name"],
            found["max_output_channels"],
            found["default_samplerate"],
            found["default_low_output_latency"] * 1000,
            is_default(index, found["hostapi"], 1, "output"),
            found["max_input_channels"],
            is_default(index, found["hostapi"], 0, "input"),
        )
        for index, found in enumerate(sounddevice.query_devices())
    ]


def _names(devices: list[Device]) -> str:
    return ", ".join(str(d) for d in devices) or "none at all"


def choose(devices: list[Device], wanted: str | None, kind: str = "output") -> Device:
    """By number, by name (whole, else part, of the name or the host API), or the default one; of those that can
    be an "output", or an "input".

    Raises: UserError listing the devices where none or several fit.
    """
    is_input = kind == "input"
    able = [d for d in devices if (d.input_channels if is_input else d.channels) > 0]
    if not able:
        way_out = "leave --input out" if is_input else HOW_TO_GO_ON
        raise UserError(f"no audio {kind} device found; connect one or start its server, or {way_out}")
    if wanted is None:
        return next((d for d in able if (d.is_default_input if is_input else d.is_default)), able[0])
    if wanted.isdecimal():
        fits = [d for d in able if d.index == int(wanted)]
    else:
        word = composed(wanted).casefold()
        fits = [d for d in able if composed(d.name).casefold() == word]
        fits = fits or [d for d in able if word in composed(f"{d.name}, {d.host_api}").casefold()]
    if not fits:
        raise UserError(_not_found(devices, able, wanted, kind))
    if len(fits) > 1:
        raise UserError(f"several {kind} devices fit '{wanted}': {_names(fits)}; give the number")
    return fits[0]


def _not_found(devices: list[Device], able: list[Device], wanted: str, kind: str) -> str:
    other = [
        d
        for d in devices
        if d not in able and (str(d.index) == wanted or wanted.casefold() == d.name.casefold())
    ]
    if other:
        return f"device {other[0]} has no {kind}; found with {kind}: {_names(able)}"
    also = "" if kind == "input" else f", and '{NO_DEVICE}'"
    return f"no {kind} device '{wanted}'; found: {_names(able)}{also}"


def _row(device: Device) -> str:
    marks = ("*" if device.is_default else " ") + ("+" if device.is_default_input else " ")
    return (
        f"{marks}{device.index:>3}  {device.name}  ({device.host_api}, {device.input_channels} in, "
        f"{device.channels} out, {device.sample_rate:g} Hz, {device.low_latency_ms:.1f} ms)"
    )


def _audio() -> tuple[list[Device], str]:
    """The devices, and why there are none."""
    try:
        devices = find_devices()
    except UserError as error:
        return [], str(error)
    return devices, "" if devices else f"no audio device found; {HOW_TO_GO_ON}"


def main(argv: list[str]) -> int:
    """Entry point of `wavevae devices`."""
    parser = Parser(
        "devices",
        "List the audio devices that `wavevae serve --device NAME|INDEX --input NAME|INDEX` can use (* the default "
        "output, + the default input), and the MIDI inputs that `--midi NAME` can.",
        "  wavevae devices\n  wavevae serve mine.ts --device 0",
    )
    parser.add_argument("--json", action="store_true", help="for programs: an object of two lists")
    arguments = parser.parse_args(argv)
    from ..control.midi_ports import find_inputs

    devices, why_no_audio = _audio()
    ports, why_no_midi = find_inputs()
    if arguments.json:
        print(json.dumps({"audio": [asdict(d) for d in devices], "midi_inputs": ports}, indent=1))
        return 0
    for device in devices:
        print(_row(device))
    for port in ports:
        print(f"  MIDI {port}")
    for why in (why_no_audio, why_no_midi):
        if why:
            say(why)
    return 0


JACK, JACK_NO_START_SERVER = "JACK", 1
JACK_LIBRARIES = ("libjack.so.0", "libjack.0.dylib", "libjack64.dll", "libjack.dll")
CLOSE_AT_MOST_S = 2.0


Callback = Callable[..., None]
"""Called as PortAudio does: out, frames, time, status, and the input if there is one."""


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
        input_device: Device | None,
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

        def call(out: Any, frames: int, when: Any, status: Any, input_block: Any = None) -> None:
            if frames != block_size:
                out[:], self.changed = 0.0, True
                return
            callback(out, frames, when, status, input_block)

        blocksize = 0 if exact else block_size
        common = {"samplerate": sample_rate, "blocksize": blocksize, "dtype": "float32", "latency": "low"}
        try:
            if input_device is None:
                self._stream: Any = sounddevice.OutputStream(
                    device=device.index, channels=channels_of(device), callback=call, **common
                )
            else:
                self._stream = sounddevice.Stream(
                    device=(input_device.index, device.index),
                    channels=(min(MOST_CHANNELS, input_device.input_channels), channels_of(device)),
                    callback=lambda input_block, out, frames, when, status: call(
                        out, frames, when, status, input_block
                    ),
                    **common,
                )
        except (sounddevice.PortAudioError, ValueError) as error:
            raise UserError(_refusal(device, input_device, sample_rate, error)) from None
        latency = self._stream.latency
        self.latency_s = float(latency if input_device is None else latency[1])
        self.rebuffered_s = block_size / sample_rate if JACK in device.host_api and not exact else 0.0
        self.input_latency_s = 0.0 if input_device is None else float(latency[0])

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


def _refusal(device: Device, input_device: Device | None, sample_rate: int, error: Exception) -> str:
    why = " ".join(str(a) for a in error.args[:1])
    for one in (device, *([input_device] if input_device else [])):
        if one.sample_rate != sample_rate:
            return (
                f"device {one} does not take {sample_rate} Hz, the model's rate (it prefers "
                f"{one.sample_rate:g} Hz): set the device or its server to {sample_rate} Hz, or train a model at "
                f"--sr {one.sample_rate:g} [{why}]"
            )
    both = f" together with input {input_device}" if input_device else ""
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
