"""`wavevae midi`: sends the messages of a MIDI controller as OSC."""

from __future__ import annotations

import argparse
import contextlib
import json
import socket
import time
from pathlib import Path

from wavevae.cli import Parser
from wavevae.console import say
from wavevae.errors import Failure, UserError

from .control.midi_map import USUAL_MAP, Argument, Row, read_map, write_learnt
from .control.midi_mapper import MidiInput
from .control.midi_ports import Backend, Listener, System, find_inputs, fitting
from .control.osc import encode
from .live.processes import StopSignals

LOOK_EVERY_S = 0.1

EXAMPLE = """\
  wavevae midi --list
  wavevae midi --port Launch --map knobs.yaml --learn /wavevae/latent/0 /wavevae/latent/1
  wavevae midi --port Launch --map knobs.yaml

a map is a YAML list, one row a control:
  - {cc: 74, address: /wavevae/latent/0, range: [-3, 3]}
  - {cc14: 1, channel: 2, address: /wavevae/gain, range: [-60, 0], curve: fast}
  - {bend: all, address: /wavevae/latent/1, range: [-2, 2]}
  - {aftertouch: all, address: /wavevae/temperature, curve: 3}
  - {note: 36, address: /wavevae/preset/recall, arguments: [dark, 2.0]}
  - {note: all, address: /wavevae/note}
  - {polytouch: all, address: /wavevae/note/pressure}
sources: cc, cc14, note, bend, aftertouch, polytouch, program; curves: linear, slow, fast, s, or an exponent;
`channel` 1 to 16 (any), `arguments` are sent as they are when a button goes down.
What is below /wavevae/note/ is sent with the key's number; a key with a row of its own does not play.
Without a map, for an instrument: notes and sustain pedal play, the pitch wheel bends them by 2 semitones, pressure
(channel, key, or breath, CC 2) is pressure, the modulation wheel is the life of a held tone, CC 5 the glide, CC 7 the
gain, CC 65 one voice (mono), CC 72, 73 and 75 release, attack and decay, CC 74 brightness (latent 3), CC 71 noisiness
(latent 4), CC 70 and 76 to 79 the latents after these.
`wavevae serve --midi` knows its model: there CC 70 to 77 of a codec are its first eight latents, CC 1 its temperature.
"""


def build_parser() -> Parser:
    parser = Parser("midi", "Send what a MIDI controller does as OSC. Ctrl-C ends it.", EXAMPLE)
    add = parser.add_argument
    add("--list", action="store_true", help="the MIDI inputs found")
    add("--json", action="store_true", help="with --list: for programs")
    add("--port", metavar="NAME", help="an input, by (part of) its name; taken again whenever it comes back")
    add("--map", type=Path, metavar="MAP.yaml", help="which control turns what")
    add("--mpe", action="store_true", help="it sends a channel for every note: bend, pressure, CC 74")
    add("--learn", nargs="+", metavar="ADDRESS", help="bind what is moved next to each address; writes --map")
    add("--osc", metavar="HOST:PORT", default="127.0.0.1:9000", help="where to send [127.0.0.1:9000]")
    add("--seconds", type=float, metavar="S", help="end by itself")
    return parser


def parse_target(text: str) -> tuple[str, int]:
    """HOST:PORT. Raises: UserError."""
    host, _, port = text.rpartition(":")
    if not host or not port.isdecimal() or not 0 < int(port) < 65536:
        raise UserError(f"--osc {text}: use HOST:PORT, such as 127.0.0.1:9000")
    try:
        return socket.getaddrinfo(host.strip("[]"), int(port), type=socket.SOCK_DGRAM)[0][4][:2]  # type: ignore[return-value]
    except (OSError, UnicodeError) as error:
        raise UserError(f"--osc {text}: {error}") from None


def rows_of(map_file: Path | None, may_be_new: bool = False) -> tuple[Row, ...]:
    """Raises: UserError."""
    if map_file is None:
        return USUAL_MAP
    if may_be_new and not map_file.exists():
        return ()
    return read_map(map_file)


class Bridge(MidiInput):
    """From a controller to OSC at a target, or to new rows of a map."""

    def __init__(self, arguments: argparse.Namespace, udp: socket.socket, target: tuple[str, int]) -> None:
        rows = rows_of(arguments.map, may_be_new=bool(arguments.learn))
        super().__init__(rows, self._send_osc, self._write, say, arguments.mpe)
        self._udp, self._target, self._file = udp, target, arguments.map
        self._to_learn = list(arguments.learn or ())
        self._ask()

    def _ask(self) -> None:
        if self._to_learn:
            self.translator.learn(self._to_learn.pop(0))
            say(f"move what is to turn {self.translator.learning}")

    def _write(self, before: tuple[Row, ...], rows: tuple[Row, ...]) -> None:
        try:
            write_learnt(self._file, before, rows)
        except (Failure, UserError, OSError) as error:  # the controller goes on
            say(str(error))
        if self.translator.learning is None:
            self._ask()

    def _send_osc(self, address: str, arguments: tuple[Argument, ...]) -> None:
        with contextlib.suppress(OSError):  # nobody may listen yet
            self._udp.sendto(encode(address, *arguments), self._target)


def _list(as_json: bool) -> int:
    names, why = find_inputs()
    if as_json:
        print(json.dumps(names))
    else:
        print("\n".join(names), end="\n" if names else "")
    if why:
        say(why)
    return 0


def bridge(arguments: argparse.Namespace, backend: Backend, stop: StopSignals) -> None:
    """Until it is stopped. Raises: UserError."""
    target = parse_target(arguments.osc)
    names = backend.get_input_names()
    wanted = arguments.port or (names[0] if len(names) == 1 else None)
    if wanted is None or (fitting(names, wanted) is None and not arguments.port):
        raise UserError(f"--port says which MIDI input; found: {', '.join(names) or 'none'}")
    with socket.socket(socket.AF_INET6 if ":" in target[0] else socket.AF_INET, socket.SOCK_DGRAM) as udp:
        work = Bridge(arguments, udp, target)
        listener = Listener(wanted, work.receive, say, backend, work.let_go)
        say(f"{listener.start()} -> OSC {arguments.osc}; Ctrl-C ends it")
        end = time.monotonic() + (arguments.seconds or float("inf"))
        while not stop.asked and time.monotonic() < end:
            time.sleep(LOOK_EVERY_S)
        listener.stop()
        work.let_go()


def main(argv: list[str]) -> int:
    """Entry point of `wavevae midi`."""
    arguments = build_parser().parse_args(argv)
    if arguments.list:
        return _list(arguments.json)
    if arguments.learn and arguments.map is None:
        raise UserError("--learn writes a map; say where with --map MAP.yaml")
    with StopSignals() as stop:
        bridge(arguments, System(), stop)
    return 0
