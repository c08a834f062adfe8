"""`wavevae explore`: a run, and sounds -> latents, maps, traversals, grids, draws, transfer; a page with players."""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path

from wavevae.accelerator import add_accelerator_option
from wavevae.cli import Parser
from wavevae.console import say

DESCRIPTION = """\
Encode a set of sounds and look around in the latents: maps by class and pitch, what each axis does, what lies between
sounds, what the model says by itself, one sound as another, who is near whom."""

EXAMPLE = """\
  wavevae explore runs/mine recordings/ -o runs/mine/explore         then open runs/mine/explore/explore.html
  wavevae explore runs/mine nsynth/ --split test -o out --json"""

MOST_S = 4000.0


def parser() -> Parser:
    found = Parser("explore", DESCRIPTION, EXAMPLE)
    found.add_argument("run", type=Path, metavar="RUN", help="run folder or .ckpt")
    found.add_argument("data", type=Path, nargs="+", metavar="DATA", help="folders or files of sounds")
    found.add_argument("-o", "--out", type=Path, required=True, metavar="DIR", help="where it all goes")
    found.add_argument("--split", choices=("train", "valid", "test"), help="one split of an NSynth set")
    found.add_argument(
        "--checkpoint", default="best", metavar="best|last|PATH", help="of a run (default: best)"
    )
    found.add_argument(
        "--class-field",
        default="",
        metavar="NAME",
        help="label that is the class (default: the run's, folder, family)",
    )
    most = f"take about so much sound, drawn at random (default: {MOST_S:g}, a thousand notes; 0: all)"
    found.add_argument("--max-seconds", type=float, default=MOST_S, metavar="S", help=most)
    found.add_argument(
        "--no-umap", action="store_true", help="leave the UMAP picture out, which takes longest"
    )
    add_accelerator_option(found)
    found.add_argument("--json", action="store_true", help="print explore.json to standard output")
    return found


def parse(argv: list[str]) -> argparse.Namespace:
    """Raises: UserError."""
    found = parser()
    args = found.parse_args(argv)
    if args.max_seconds < 0:
        found.error(f"--max-seconds {args.max_seconds:g}: give 0 or more")
    return args


def main(argv: list[str]) -> int:
    """Exit status 0. Raises: UserError for unusable input."""
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    args = parse(argv)
    from wavevae import plots
    from wavevae.accelerator import choose_device
    from wavevae.evaluation import selection
    from wavevae.evaluation.report import check_folder
    from wavevae.evaluation.selection import with_pitches

    from .exploration import PARTS, explore
    from .explored_model import load_explored_model

    check_folder(args.out, PARTS, "notes")
    plots.new_figure(1, 1)  # a missing matplotlib is told now, not after the work
    instrument = load_explored_model(args.run, args.checkpoint, choose_device(args.accelerator))
    chosen = selection.limited(selection.everything(args.data, args.split), args.max_seconds or None)
    if "pitch" in instrument.facts.condition:
        chosen, remarks = with_pitches(chosen, instrument.sample_rate, instrument.facts.name_shift)
        for remark in remarks:
            say(remark)
    say(f"exploring {args.run} with {len(chosen.sources)} files, {chosen.seconds:.0f} s ({chosen.how})")
    field = args.class_field or instrument.facts.class_field
    result = explore(instrument, chosen, args.out, field, not args.no_umap)
    say(f"open {args.out / 'explore.html'}")
    print(json.dumps(result, indent=1) if args.json else args.out / "explore.json")
    return 0
