"""The command line of `wavevae serve`."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

from wavevae.cli import Parser, parse_sample_rate
from wavevae.controls import CONTROLS, FIT, MOST_VOICES, TRANSPOSE, Control
from wavevae.instruments import NAMES

from .live.devices import NO_DEVICE
from .live.shared_memory import DEEPEST_RING, LARGEST_BLOCK

AUTO = "auto"
DEFAULT_INPUT = ""
"""`--input` without a name."""


def range_of(control: Control) -> str:
    """'-120 to 24 dB (0)': its range, and where it begins."""
    unit = f" {control.unit}" if control.unit else ""
    return f"{control.low:g} to {control.high:g}{unit} ({control.default:g})"


EXAMPLE = """\
  wavevae serve sax                            # a built-in instrument
  wavevae serve mine.ts                        # then open the page it names, or send OSC to 127.0.0.1:9000
  oscsend 127.0.0.1 9000 /wavevae/note if 60 0.8
  wavevae serve mine.ts --input --transpose auto --fit 1    # sing into it
  wavevae serve mine.ts --midi Launch          # a controller by its name

OSC (UDP; ints may stand for floats; whatever is not exactly right changes nothing and is answered on
/wavevae/error):
  /wavevae/note i f            MIDI pitch, velocity 0..1 (0 = off); an instrument waits for the first one
  /wavevae/bend f, /wavevae/pressure f (0..1), /wavevae/pedal i    of every note
  /wavevae/note/bend i f, /wavevae/note/pressure i f, /wavevae/note/slide i f    of the note at that MIDI pitch;
                               /wavevae/note/latent i i f: pitch, axis, what is added
  /wavevae/mono i              one note at a time; /wavevae/drone: sound without keys
  /wavevae/latent/<i> f        target of axis i, in standard deviations of the training data (0 = mean)
  /wavevae/latents f x all     every axis at once
  /wavevae/xy f f              a point of the 2-D map of the training latents, each 0..1
  /wavevae/mode s              generate (controls drive), transform (live input), sample (training density)
  /wavevae/scale/<i> f, /wavevae/bias/<i> f    transform: z' = scale * z + bias
  /wavevae/transpose f, /wavevae/transpose_auto i, /wavevae/fit f    transform: semitones, by octaves into the range
                               of the corpus, how far loudness and timbre are fitted to it
  /wavevae/class s|i [f ...]   class of a conditional model ('none' or -1: none), or classes and weights in turn:
                               a mix; /wavevae/mix/<i> f: one weight of it
  /wavevae/input_class s|i, /wavevae/input_pitch f    what the encoder is told of a live input (none, same)
  /wavevae/freeze [0|1]        hold the latents, let go (nothing: the other way round)
  /wavevae/reset               clear the model's state, with a dip of 10 ms
  /wavevae/panic               silence now, until a gain or reset message
  /wavevae/preset/store s, /wavevae/preset/recall s [f seconds], /wavevae/preset/delete s
  /wavevae/model s             another MODEL.ts of the same rate, without a gap
  /wavevae/attribute/<name>    attributes of a file of another program, by its own names
  /wavevae/prior/range f f     mode sample of an instrument with a prior: lowest and highest key; /wavevae/prior/reset:
                               what it makes up begins anew; /wavevae/improvised answers
                               a query with the key and the velocity that it plays (0 in rests)
  /wavevae/midi/learn s        the next knob moved is bound to that address
  /wavevae/query s             answers with the value of that name or address on /wavevae/state/<name>
  /wavevae/subscribe i         a port of yours that then gets every /wavevae/state/... 30 times a second; 0 ends it
Bundles with a time tag are applied at their time, up to 10 s ahead.

Numbers: their range, their first value, what they are:
""" + "\n".join(f"  /wavevae/{c.name:<12} {range_of(c):<24} {c.doc}" for c in CONTROLS)


def build_parser() -> Parser:
    """The command line of `wavevae serve`."""
    parser = Parser(
        "serve",
        "Play MODEL.ts live: OSC, MIDI, a control page. Ctrl-C fades out and ends it.",
        EXAMPLE,
    )
    add = parser.add_argument
    add(
        "model",
        nargs="?",
        type=Path,
        default=Path(NAMES[0]),
        metavar="MODEL.ts",
        help=f"of `wavevae export`, any file that nn~ plays, or a name of `wavevae instruments` [{NAMES[0]}]",
    )
    add("--seconds", type=_seconds, metavar="S", help="end by itself")
    add("--seed", type=whole(0, 2**63 - 1), default=0, metavar="N", help="of everything random [0]")
    add("--sr", type=parse_sample_rate, metavar="HZ", help="rate of a file that does not say its own")
    add(
        "--voices",
        type=whole(1, MOST_VOICES),
        metavar="N",
        help="notes at a time [8 of an instrument, else 1]",
    )
    _add_sound(parser)
    _add_control(parser)
    _add_recording(parser)
    return parser


def _add_sound(parser: Parser) -> None:
    add = parser.add_argument_group("sound").add_argument
    add(
        "--device",
        metavar="NAME|INDEX",
        help=f"output device (`wavevae devices`), or '{NO_DEVICE}' for no sound",
    )
    add(
        "--input",
        nargs="?",
        const=DEFAULT_INPUT,
        metavar="NAME|INDEX",
        help="transform a live input; begins in mode transform",
    )
    add(
        "--transpose",
        type=_transposition,
        metavar="auto|N",
        help="with --input: by octaves into the range of the corpus, or by so many semitones",
    )
    add(
        "--fit",
        type=_share,
        metavar="F",
        help="with --input: how far loudness and timbre are fitted to the corpus, 0 to 1 [0]",
    )
    add(
        "--block-size",
        type=whole(16, LARGEST_BLOCK),
        metavar="N",
        help="samples a callback [what suits the device]",
    )
    add(
        "--ring-depth",
        type=whole(1, DEEPEST_RING),
        metavar="N",
        help="blocks computed ahead [2, or more up to 25 ms]",
    )
    add(
        "--in-callback",
        action="store_true",
        help="compute within the audio callback: no ring, for blocks of 512 or more; no change of models",
    )


def _add_control(parser: Parser) -> None:
    add = parser.add_argument_group("control").add_argument
    add("--osc-host", default="127.0.0.1", metavar="HOST", help="[127.0.0.1: this machine only]")
    add(
        "--osc-port",
        type=whole(0, 65535),
        default=9000,
        metavar="PORT",
        help="UDP; 0 takes a free one [9000]",
    )
    add("--http-host", default="127.0.0.1", metavar="HOST", help="of the page; others need --allow-remote")
    add(
        "--http-port",
        type=_port_or_none,
        metavar="PORT",
        help="control page and OSCQuery; 0 takes a free one, 'none' leaves them out [9001]",
    )
    add(
        "--allow-remote",
        action="store_true",
        help="the page on every address of this machine, for who has the link with the token it prints",
    )
    add(
        "--announce",
        action="store_true",
        help="by zeroconf, for OSCQuery clients (pip install wavevae[discovery])",
    )
    add("--midi", metavar="PORT", help="a MIDI input, by (part of) its name (`wavevae devices`)")
    add(
        "--midi-out",
        metavar="PORT",
        help="a MIDI output for the notes that it plays by itself in mode sample",
    )
    add(
        "--map",
        type=Path,
        metavar="MAP.yaml",
        help="what --midi does [MODEL.midi.yaml]; `wavevae midi --help`",
    )
    add(
        "--mpe",
        action="store_true",
        help="the MIDI input sends a channel for every note: bend (48 semitones), pressure, CC 74",
    )


def _add_recording(parser: Parser) -> None:
    add = parser.add_argument_group("recording").add_argument
    add(
        "--record",
        type=Path,
        metavar="SESSION.jsonl",
        help="every message, at the block it took effect: `wavevae render --score` plays it again",
    )
    add("--record-audio", type=Path, metavar="OUT.wav", help="what was played")


def whole(low: int, high: int) -> Callable[[str], int]:
    """A type for argparse: a whole number within a range."""

    def convert(text: str) -> int:
        value = int(text)
        if not low <= value <= high:
            raise argparse.ArgumentTypeError(f"{value} is out of range; use {low} to {high}")
        return value

    convert.__name__ = "whole number"
    return convert


def _transposition(text: str) -> float | str:
    """AUTO or semitones."""
    return text if text == AUTO else _within(TRANSPOSE, text, f"{AUTO}, or ")


def _share(text: str) -> float:
    return _within(FIT, text)


def _within(control: Control, text: str, words: str = "") -> float:
    """A number that a control takes."""
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not control.low <= value <= control.high:
        raise argparse.ArgumentTypeError(
            f"{control.name} is {text}; use {words}{control.low:g} to {control.high:g} {control.unit}".rstrip()
        )
    return value


def _port_or_none(text: str) -> int:
    """-1: none."""
    return -1 if text == "none" else whole(0, 65535)(text)


def _seconds(text: str) -> float:
    value = float(text)
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text} is no time; use seconds above 0")
    return value
