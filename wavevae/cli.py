"""The `wavevae` command: finds its subcommands by entry point and imports nothing heavy.

A subcommand is an entry point in the group `wavevae.commands` that names a `main(argv) -> int | None`.
"""

from __future__ import annotations

import argparse
import os
import shlex
import signal
import sys
import traceback
from collections.abc import Sequence
from fractions import Fraction
from importlib.metadata import EntryPoint, entry_points, version
from pathlib import Path
from typing import NoReturn

from wavevae import console
from wavevae.errors import Failure, UserError, nearest
from wavevae.files import DISK_ERRORS
from wavevae.names import existing

GROUP = "wavevae.commands"
OF_TRAINING = (
    "torch",
    "torchaudio",
    "pytorch_lightning",
    "auraloss",
    "matplotlib",
    "tensorboard",
    "rich",
    "onnx",
)
"""Packages that a machine on which nothing is trained need not have."""
HIGHEST_RATE_HZ = 768_000

SUMMARIES = {
    "train": "folder(s) of sounds -> a run folder",
    "sweep": "a space of settings -> many runs, a table, what mattered",
    "export": "a run -> MODEL.ts, one streaming file for nn~, serve and render",
    "render": "MODEL.ts + a sound, latents or nothing -> a WAV, offline",
    "encode": "MODEL.ts + a sound -> its latents",
    "serve": "play MODEL.ts live: OSC, MIDI, a control page",
    "midi": "a MIDI controller -> OSC; bind its knobs",
    "devices": "the audio devices and MIDI inputs found here",
    "doctor": "checks this machine, and says what to do",
    "evaluate": "a run or MODEL.ts + sounds -> metrics, pictures, WAV pairs",
    "explore": "a run + sounds -> latents, maps, what axes do, what lies between; a page",
    "notes": "a run or sounds -> the notes in them, as a MIDI file and a picture",
    "parts": "a run -> its encoder and its decoder, each a file of its own",
    "bench": "what a model file costs: time a block, times real time, memory",
    "instruments": "the built-in instruments: a name wherever MODEL.ts stands",
    "info": "what a run or MODEL.ts is: rate, hop, latents, delay, origin",
    "demo": "a small corpus made, learned, exported, rendered, evaluated",
}

EXAMPLE = """\
from a folder of recordings to an instrument:
  wavevae train recordings/ --sr 22050 --max-time 10m --out runs/mine
  wavevae export runs/mine -o mine.ts
  wavevae render mine.ts --input voice.wav -o voice-as-mine.wav
  wavevae serve mine.ts
"""


def shown(*words: str | Path) -> str:
    """A `wavevae` command as it can be pasted into a POSIX shell."""
    return " ".join(["wavevae", *map(shell_word, words)])


def shell_word(word: str | Path) -> str:
    """Quoted where a shell would read it otherwise; a Path that begins with a dash becomes ./-NAME, no option."""
    text = str(word)
    if isinstance(word, Path) and text.startswith("-"):
        text = f"./{text}"
    return shlex.quote(text) if text.isprintable() else _quote_bytes(text)


def _quote_bytes(text: str) -> str:
    """$'...' of bash and zsh, for names with line ends or bytes that are no UTF-8."""
    plain = {ord("'"): r"\'", ord("\\"): r"\\"}
    parts = [
        chr(byte).translate(plain) if 32 <= byte < 127 else f"\\x{byte:02x}" for byte in os.fsencode(text)
    ]
    return "$'" + "".join(parts) + "'"


class Parser(argparse.ArgumentParser):
    """argparse whose errors are one `UserError` line and whose help ends with a worked example."""

    def __init__(self, command: str, description: str, example: str) -> None:
        super().__init__(
            prog=f"wavevae {command}".strip(),
            description=description,
            epilog=f"example:\n{example}",
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
        )

    def error(self, message: str) -> NoReturn:
        """Raises: UserError, with the way to the help."""
        raise UserError(f"{message} (see `{self.prog} --help`)")

    def parse_known_args(self, args=None, namespace=None):  # type: ignore[no-untyped-def, override]
        """As argparse does it, with `~` expanded in every path: a shell leaves that of `--out=~/x` as it is."""
        found, rest = super().parse_known_args(args, namespace)
        for name, value in vars(found).items():
            if isinstance(value, Path):
                setattr(found, name, expanded(value))
            elif isinstance(value, list) and any(isinstance(item, Path) for item in value):
                setattr(found, name, [expanded(item) if isinstance(item, Path) else item for item in value])
        return found, rest


def expanded(path: str | Path) -> Path:
    """A path whose `~` or `~user` is the home folder (one that is no user's stays), in the Unicode form in which it
    is there."""
    return existing(Path(os.path.expanduser(path)))


def parse_sample_rate(text: str) -> int:
    """A type for argparse: Hz as people write them: 44100, 44100.0, 44.1k, '48 kHz'."""
    plain = text.strip().lower().removesuffix("hz").strip()
    factor = 1000 if plain.endswith("k") else 1
    try:
        rate = Fraction(plain.removesuffix("k").strip()) * factor
    except (ValueError, ZeroDivisionError):
        rate = Fraction(0)
    if rate.denominator != 1 or not 1 <= rate <= HIGHEST_RATE_HZ:
        raise argparse.ArgumentTypeError(f"'{text}' is no sample rate; write 44100 or 44.1k")
    return int(rate)


def commands() -> dict[str, EntryPoint]:
    """Every installed subcommand by name."""
    return {entry.name: entry for entry in entry_points(group=GROUP)}


def usage() -> str:
    """The text of `wavevae --help`."""
    found = commands()
    names = [n for n in SUMMARIES if n in found] + sorted(set(found) - set(SUMMARIES))
    rows = "\n".join(f"  {name:<10} {SUMMARIES.get(name, '')}".rstrip() for name in names)
    return (
        "usage: wavevae COMMAND [...]\n\n"
        "A folder of sounds becomes a neural instrument that is played live.\n\n"
        f"commands:\n{rows}\n\n"
        "options:\n  --help, --version, --debug (show the traceback of an error)\n\n"
        f"{EXAMPLE}\n`wavevae COMMAND --help` explains one command."
    )


def dispatch(argv: list[str]) -> int:
    """Run one subcommand. Raises: UserError for an unknown one."""
    if not argv or argv[0] in ("-h", "--help", "help"):
        print(usage())
        return 0
    if argv[0] == "--version":
        print(f"wavevae {version('wavevae')}")
        return 0
    found = commands()
    if argv[0] not in found:
        raise UserError(f"unknown command '{argv[0]}'; {nearest(argv[0], found)}")
    return found[argv[0]].load()(argv[1:]) or 0


def fail(message: str, status: int) -> int:
    """Say what went wrong on one line of standard error."""
    print("wavevae: error: " + " ".join(message.split()), file=sys.stderr)
    return status


class Terminated(KeyboardInterrupt):
    """SIGTERM or SIGHUP: like Ctrl-C, so that what was begun is cleaned up or saved."""

    def __init__(self, number: int) -> None:
        super().__init__(f"ended by {signal.Signals(number).name}")
        self.status = 128 + number


def _terminate(number: int, frame: object) -> None:
    raise Terminated(number)


def ending_signals() -> list[int]:
    """Numbers of the signals that ask a program to end: Ctrl-C, SIGTERM, and SIGHUP when a terminal closes.

    One that is ignored stays so: that is how nohup lets a run outlive its terminal.
    """
    known = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]
    return [signal.SIGINT, *(n for n in known if signal.getsignal(n) != signal.SIG_IGN)]


def _handle_termination() -> None:
    for number in ending_signals():
        if signal.getsignal(number) == signal.SIG_DFL:
            signal.signal(number, _terminate)


def main(words: Sequence[str] | None = None) -> int:
    """Entry point. Exit status: 0 done, 1 it failed, 2 wrong use or unusable input, 130 interrupted.

    Text for people goes to standard error and never ends anything; a result that standard output does not take is a
    failure, said once the work is done.
    """
    console.guard()
    _handle_termination()
    typed = list(sys.argv[1:] if words is None else words)
    argv = [a for a in typed if a != "--debug"]
    status = run(argv, debug=len(argv) < len(typed))
    why = console.stdout_failure()
    return fail(f"standard output cannot be written: {why}", 1) if why and not status else status


def run(argv: list[str], debug: bool = False) -> int:
    """Run one command and report its errors. Returns the exit status."""
    try:
        return dispatch(argv)
    except SystemExit as end:  # argparse, after --help
        return end.code if isinstance(end.code, int) else 0
    except BaseException as error:
        if debug:
            traceback.print_exc()
        return fail(*explain(error))


def explain(error: BaseException) -> tuple[str, int]:
    """The message for an error, and the exit status."""
    if isinstance(error, UserError):
        return str(error), 2
    if isinstance(error, Failure):
        return str(error), 1
    if isinstance(error, Terminated):
        return str(error), error.status
    if isinstance(error, KeyboardInterrupt):
        return str(error) or "interrupted", 128 + signal.SIGINT
    if isinstance(error, OSError) and error.strerror:  # the system refused; its words are clear
        place = os.fsdecode(error.filename) if isinstance(error.filename, (str, bytes)) else ""
        advice = "; free some space" if error.errno in DISK_ERRORS else " (--debug shows where)"
        return f"{place}{': ' * bool(place)}{error.strerror}{advice}", 1
    if isinstance(error, ModuleNotFoundError) and (error.name or "").partition(".")[0] in OF_TRAINING:
        return f"this needs {error.name}, which is not installed; pip install 'wavevae[train]'", 2
    return f"{type(error).__name__}: {error} (--debug shows where)", 1
