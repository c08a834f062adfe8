"""The `wavevae` command: finds its subcommands by entry point and imports nothing heavy.

A subcommand is an entry point in the group `wavevae.commands` that names a `main(argv) -> int | None`.
"""

from __future__ import annotations

import argparse
import signal
import sys
import traceback
from importlib.metadata import EntryPoint, entry_points, version
from typing import NoReturn

from wavevae.errors import UserError, nearest

GROUP = "wavevae.commands"

SUMMARIES = {
    "train": "folder(s) of sounds -> a run folder",
    "sweep": "a space of settings -> many runs, a table, what mattered",
    "export": "a run -> MODEL.ts, one streaming file for nn~, serve and render",
    "render": "MODEL.ts + a sound, latents or nothing -> a WAV, offline",
    "encode": "MODEL.ts + a sound -> its latents",
    "serve": "play MODEL.ts live: OSC, MIDI, a control page",
    "midi": "a MIDI controller -> OSC; bind its knobs",
    "devices": "the audio devices and MIDI inputs found here",
    "evaluate": "a run or MODEL.ts + sounds -> metrics, pictures, WAV pairs",
    "explore": "a run + sounds -> latents, maps, what axes do, what lies between; a page",
    "parts": "a run -> its encoder and its decoder, each a file of its own",
    "bench": "what a model file costs: time a block, times real time, memory",
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


def main() -> int:
    """Entry point. Exit status: 0 done, 1 it failed, 2 wrong use or unusable input, 130 interrupted."""
    argv = [a for a in sys.argv[1:] if a != "--debug"]
    debug = len(argv) < len(sys.argv) - 1
    try:
        return dispatch(argv)
    except UserError as error:
        if debug:
            traceback.print_exc()
        return fail(str(error), 2)
    except KeyboardInterrupt as stop:
        return fail(str(stop) or "interrupted", 128 + signal.SIGINT)
    except BrokenPipeError:
        return 1
    except Exception as error:  # the last line of defence: one line for the user, all of it with --debug
        if debug:
            traceback.print_exc()
        return fail(f"{type(error).__name__}: {error} (--debug shows where)", 1)
