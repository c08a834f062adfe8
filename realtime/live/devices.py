"""`wavevae devices`: lists the sound cards; `serve` chooses one by name or number."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Any

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
