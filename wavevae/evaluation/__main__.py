"""`wavevae evaluate`: a run or MODEL.ts, and sounds -> figures, pictures, sound pairs, report.json."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from wavevae.cli import Parser

if TYPE_CHECKING:
    from wavevae.evaluation.selection import Selection

EXAMPLE = """\
  wavevae evaluate runs/mine recordings/ -o runs/mine/report
  wavevae evaluate runs/mine --held-out -o report         the files that the run was not trained on
  wavevae evaluate mine.ts nsynth/ --split test -o report --json"""


def parse(argv: list[str]) -> argparse.Namespace:
    """Raises: UserError."""
    parser = Parser(
        "evaluate", "Measure how well a model reconstructs sounds, and leave pairs to hear and see.", EXAMPLE
    )
    parser.add_argument(
        "subject", type=Path, metavar="RUN|MODEL.ts", help="run folder, .ckpt or exported model"
    )
    parser.add_argument("data", type=Path, nargs="*", metavar="DATA", help="folders or files of sounds")
    parser.add_argument("-o", "--out", type=Path, required=True, metavar="DIR", help="where the report goes")
    which = parser.add_mutually_exclusive_group()
    which.add_argument(
        "--held-out",
        action="store_true",
        help="only what the run held out (of its own data when DATA is left out)",
    )
    which.add_argument("--split", choices=("train", "valid", "test"), help="one split of an NSynth set")
    parser.add_argument(
        "--checkpoint", default="best", metavar="best|last|PATH", help="of a run (default: best)"
    )
    parser.add_argument(
        "--max-seconds", type=float, metavar="S", help="judge about so much sound, drawn at random"
    )
    parser.add_argument(
        "--pairs", type=int, default=8, metavar="N", help="moments kept to hear and see (default: 8)"
    )
    parser.add_argument("--json", action="store_true", help="print report.json to standard output")
    args = parser.parse_args(argv)
    if not args.data and not args.held_out:
        parser.error("no DATA; give folders or files of sounds, or --held-out")
    if args.max_seconds is not None and not args.max_seconds > 0:
        parser.error(f"--max-seconds {args.max_seconds:g}: give more than 0")
    if not 0 <= args.pairs <= 200:
        parser.error(f"--pairs {args.pairs}: give 0 to 200")
    return args


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def choose(args: argparse.Namespace) -> Selection:
    """Raises: UserError."""
    from wavevae.evaluation import selection

    if args.held_out:
        found = selection.held_out(args.subject, args.data)
    else:
        found = selection.everything(args.data, args.split)
    return selection.limited(found, args.max_seconds)


def main(argv: list[str]) -> int:
    """Exit status 0; 2 for unusable input. Raises: UserError."""
    args = parse(argv)
    from wavevae.evaluation import plots, report
    from wavevae.evaluation.judge import judge
    from wavevae.evaluation.subject import load_subject

    report.check_folder(args.out)
    plots.new_figure(1, 1)  # a missing matplotlib is told now, not after the work
    subject = load_subject(args.subject, args.checkpoint)
    selection = choose(args)
    say(
        f"evaluating {args.subject} on {len(selection.sources)} files, {selection.seconds:.0f} s ({selection.how})"
    )
    verdict = judge(subject, selection, args.pairs)
    result = report.compose(subject.facts, selection, verdict)
    report.write(args.out, result, verdict)
    say(report.table(result))
    if verdict.excerpts:
        say(f"look at {args.out / 'overview.png'}, listen to {args.out / 'pairs'}")
    print(json.dumps(result, indent=1) if args.json else args.out / "report.json")
    return 0
