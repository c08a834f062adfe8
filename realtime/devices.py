"""`wavevae devices`: the sound cards found here, and how `serve` finds one by name or number."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any

from wavevae.cli import Parser
from wavevae.errors import UserError

NO_DEVICE = "none"
HOW_TO_GO_ON = "`--device none` plays without sound"


@dataclass(frozen=True)
class Device:
    """A device that sound can be played on."""

    index: int
    name: str
    host_api: str
    channels: int
    sample_rate: float
    """Its own preference, Hz."""
    low_latency_ms: float
    is_default: bool = False

    def __str__(self) -> str:
        return f'{self.index} "{self.name}" ({self.host_api})'


@contextmanager
def _hushed() -> Iterator[None]:
    """The C libraries below PortAudio talk to standard error about every card that is not there."""
    sys.stderr.flush()
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


def import_sounddevice() -> Any:
    """The sounddevice module. Raises: UserError where PortAudio is missing or fails to start."""
    try:
        with _hushed():
            import sounddevice
    except OSError as error:
        raise UserError(
            f"no PortAudio here ({error}); install it (Debian: `apt install libportaudio2`), or {HOW_TO_GO_ON}"
        ) from None
    except Exception as error:  # its own PortAudioError, which cannot be named before it is imported
        raise UserError(f"PortAudio does not start ({error}); {HOW_TO_GO_ON}") from None
    return sounddevice


def find_outputs() -> list[Device]:
    """Every device with output channels. Raises: UserError without PortAudio."""
    sounddevice = import_sounddevice()
    apis = sounddevice.query_hostapis()
    default = sounddevice.default.device[1]
    return [
        Device(
            index,
            found["name"],
            apis[found["hostapi"]]["name"],
            found["max_output_channels"],
            found["default_samplerate"],
            found["default_low_output_latency"] * 1000,
            index == default or (default < 0 and index == apis[found["hostapi"]]["default_output_device"]),
        )
        for index, found in enumerate(sounddevice.query_devices())
        if found["max_output_channels"] > 0
    ]


def _names(devices: list[Device]) -> str:
    return ", ".join(str(d) for d in devices) or "none at all"


def choose(devices: list[Device], wanted: str | None) -> Device:
    """By number, by name (whole, else part, of the name or the host API), or the default one.

    Raises: UserError listing the devices where none or several fit.
    """
    if not devices:
        raise UserError(f"no audio output device found; connect one or start its server, or {HOW_TO_GO_ON}")
    if wanted is None:
        return next((d for d in devices if d.is_default), devices[0])
    if wanted.isdecimal():
        fits = [d for d in devices if d.index == int(wanted)]
    else:
        word = wanted.casefold()
        fits = [d for d in devices if d.name.casefold() == word]
        fits = fits or [d for d in devices if word in f"{d.name}, {d.host_api}".casefold()]
    if not fits:
        raise UserError(f"no output device '{wanted}'; found: {_names(devices)}, and '{NO_DEVICE}'")
    if len(fits) > 1:
        raise UserError(f"several output devices fit '{wanted}': {_names(fits)}; give the number")
    return fits[0]


def _row(device: Device) -> str:
    mark = "*" if device.is_default else " "
    return (
        f"{mark} {device.index:>3}  {device.name}  ({device.host_api}, {device.channels} out, "
        f"{device.sample_rate:g} Hz, {device.low_latency_ms:.1f} ms)"
    )


def main(argv: list[str]) -> int:
    """Entry point of `wavevae devices`."""
    parser = Parser(
        "devices",
        "List the audio devices that `wavevae serve --device NAME|INDEX` can play on (* the default).",
        "  wavevae devices\n  wavevae serve mine.ts --device 0",
    )
    parser.add_argument("--json", action="store_true", help="for programs: a list of objects")
    arguments = parser.parse_args(argv)
    devices = find_outputs()
    if arguments.json:
        print(json.dumps([asdict(d) for d in devices], indent=1))
        return 0
    for device in devices:
        print(_row(device))
    if not devices:
        print(f"no audio output device found; {HOW_TO_GO_ON}", file=sys.stderr)
    return 0
