"""`wavevae evaluate`: a run or MODEL.ts, and sounds -> figures, pictures, sound pairs, report.json, report.html."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from wavevae.accelerator import add_accelerator_option
from wavevae.cli import Parser, parse_sample_rate
from wavevae.console import say

if TYPE_CHECKING:
    from wavevae.evaluation.selection import Selection

EXAMPLE = """\
  wavevae evaluate runs/mine recordings/ -o runs/mine/report
  wavevae evaluate runs/mine --held-out -o report         the files that the run was not trained on
  wavevae evaluate mine.ts nsynth/ --split test -o report --json
  wavevae evaluate runs/mine --held-out -o report --transfer voice/       a voice through it
  wavevae evaluate runs/mine --held-out -o report --anchors      each score also as "Opus N kbit/s"
  wavevae evaluate runs/a --held-out --also runs/b runs/c -o abc           three on the same sounds
  wavevae evaluate --compare report-a report-b -o both           two evaluations that are done"""


def parser() -> Parser:
    found = Parser(
        "evaluate", "Measure how well a model reconstructs sounds, and leave pairs to hear and see.", EXAMPLE
    )
    found.add_argument(
        "subject", type=Path, nargs="?", metavar="RUN|MODEL.ts", help="run folder, .ckpt or exported model"
    )
    found.add_argument("data", type=Path, nargs="*", metavar="DATA", help="folders or files of sounds")
    found.add_argument("-o", "--out", type=Path, required=True, metavar="DIR", help="where the report goes")
    _which_sounds(found)
    _what_more(found)
    add_accelerator_option(found)
    found.add_argument("--json", action="store_true", help="print report.json to standard output")
    return found


def _which_sounds(found: Parser) -> None:
    which = found.add_mutually_exclusive_group()
    which.add_argument(
        "--held-out",
        action="store_true",
        help="only what the run held out (of its own data when DATA is left out)",
    )
    which.add_argument("--split", choices=("train", "valid", "test"), help="one split of an NSynth set")
    found.add_argument(
        "--checkpoint", default="best", metavar="best|last|PATH", help="of a run (default: best)"
    )
    found.add_argument(
        "--sr",
        type=parse_sample_rate,
        metavar="HZ",
        help="rate of a MODEL.ts of another program that does not say it",
    )
    found.add_argument(
        "--max-seconds", type=float, metavar="S", help="judge about so much sound, drawn at random"
    )
    found.add_argument(
        "--pairs", type=int, default=8, metavar="N", help="moments kept to hear and see (default: 8)"
    )


def _what_more(found: Parser) -> None:
    anchors = "judge Opus at 6..96 kbit/s on the same sounds (kept in the cache)"
    embedding = "of fad and diversity: builtin (default), vggish=FILE.pth, clap=FOLDER, torchscript=FILE"
    generate = "draw so much from the prior (default: 60; 0: none)"
    probes = "labelled files of DATA, not judged, to train probes on (default: 400; 0: no probes)"
    field = "label that is the class (default: folder, or family)"
    samples = (
        "of so many files a folder: gt.wav, recon.wav, gen.wav (a draw under its label), spectrograms.png"
    )
    found.add_argument("--anchors", action="store_true", help=anchors)
    found.add_argument("--embedding", default="builtin", metavar="KIND[=PATH]", help=embedding)
    found.add_argument("--generate", type=float, default=60.0, metavar="S", help=generate)
    found.add_argument("--probe-files", type=int, default=400, metavar="N", help=probes)
    found.add_argument("--class-field", default="", metavar="NAME", help=field)
    found.add_argument("--samples", type=int, default=0, metavar="N", help=samples)
    transfer = "sounds unlike the corpus, to be sent through the model (default: sung syllables, built in)"
    playing = "leave out held tones, sweeps of the controls and transfers"
    found.add_argument("--transfer", type=Path, nargs="+", default=[], metavar="DATA", help=transfer)
    found.add_argument("--no-playing", action="store_true", help=playing)
    several: dict[str, Any] = {"type": Path, "nargs": "+"}
    also, compare = "more models on the same sounds", "instead: a table of evaluations that are done"
    found.add_argument("--also", default=[], metavar="RUN|MODEL.ts", help=also, **several)
    found.add_argument("--compare", metavar="REPORT", help=compare, **several)


def parse(argv: list[str]) -> argparse.Namespace:
    """Raises: UserError."""
    found = parser()
    args = found.parse_args(argv)
    if args.compare is not None:
        if args.subject is not None:
            found.error(f"--compare reads reports and evaluates nothing; leave out {args.subject}")
        return args
    if args.subject is None:
        found.error("nothing to evaluate; give a run folder or a MODEL.ts, or --compare REPORT REPORT")
    if not args.data and not args.held_out:
        found.error("no DATA; give folders or files of sounds, or --held-out")
    if args.max_seconds is not None and not args.max_seconds > 0:
        found.error(f"--max-seconds {args.max_seconds:g}: give more than 0")
    for name, most in (("pairs", 200), ("generate", 3600), ("samples", 10_000)):
        value, unit = getattr(args, name), " seconds" if name == "generate" else ""
        if not 0 <= value <= most:
            found.error(f"--{name} {value:g}: give 0 to {most}{unit}")
    if args.probe_files < 0:
        found.error(f"--probe-files {args.probe_files}: give 0 or more")
    return args


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
    if args.compare is not None:
        return tell_comparison(args, args.compare, None)
    from wavevae import plots
    from wavevae.evaluation import report
    from wavevae.evaluation.evaluation_session import Session

    subjects = [args.subject, *args.also]
    names = folder_names(subjects)
    places = [args.out / name for name in names] if args.also else [args.out]
    for place in places:
        report.check_folder(place)
    plots.new_figure(1, 1)  # a missing matplotlib is told now, not after the work
    session = Session.open(args, choose(args))
    for path, place in zip(subjects, places, strict=True):
        result = session.evaluate(path, place)
        if args.json and not args.also:
            print(json.dumps(result, indent=1))
    if args.also:
        return tell_comparison(args, places, names)
    if not args.json:
        print(args.out / "report.json")
    return 0


def folder_names(subjects: list[Path]) -> list[str]:
    """One folder a model, named after it. Raises: UserError where one is given twice."""
    from wavevae.evaluation.compare import names_of

    return [name.replace("/", "-") for name in names_of(subjects)]


def tell_comparison(args: argparse.Namespace, folders: list[Path], names: list[str] | None) -> int:
    from wavevae.evaluation import compare

    found = compare.compare(folders, args.out, names)
    say(compare.table(found))
    print(json.dumps(found, indent=1) if args.json else args.out / "comparison.json")
    return 0
