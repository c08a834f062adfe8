"""`wavevae sweep`: SPACE.yaml -> many runs, a table, what mattered; resumable, by any number of workers."""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from wavevae.cli import Parser, shown
from wavevae.console import say
from wavevae.errors import Failure
from wavevae.files import DISK_ERRORS, cannot_write

from ..processes import set_environment
from .space import Space, read_space

if TYPE_CHECKING:
    from optuna.trial import Trial

    from .trial import Outcome

DESCRIPTION = """\
Train many runs over a space of settings and say which was best and what mattered. The same command goes on with a
sweep that was stopped or killed, and typed again elsewhere (or with --workers) it is another worker of the same one."""

EXAMPLE = """\
  wavevae sweep examples/sweeps/study-a-grid.yaml --data notes/ --storage sweeps/study-a.journal
  wavevae sweep examples/sweeps/bayesian.yaml --data notes/ --trials 30 --storage sweeps/bayes.journal --workers 2
  wavevae sweep examples/sweeps/kl-schedules.yaml --storage sweeps/kl.journal --show       # the table so far
"""


def parser() -> Parser:
    found = Parser("sweep", DESCRIPTION, EXAMPLE)
    found.add_argument("space", type=Path, metavar="SPACE.yaml", help="what is fixed, varied, searched by")
    trials = "trials in all, those that are done included (default: every point of a grid)"
    found.add_argument("--trials", type=int, metavar="N", help=trials)
    storage = "the file that all workers share; runs, table and pictures lie beside it"
    found.add_argument("--storage", type=Path, required=True, metavar="PATH", help=storage)
    data = "folders or files, instead of those in SPACE.yaml (default: the demo corpus)"
    found.add_argument("--data", type=Path, nargs="+", default=[], metavar="DATA", help=data)
    found.add_argument(
        "--workers", type=int, default=1, metavar="N", help="processes on this machine (default: 1)"
    )
    found.add_argument(
        "--show", action="store_true", help="train nothing: table and pictures of what is done"
    )
    found.add_argument("--json", action="store_true", help="print the table as JSON")
    return found


def parse(argv: list[str]) -> tuple[argparse.Namespace, Space]:
    """Raises: UserError."""
    found = parser()
    args = found.parse_args(argv)
    space = read_space(args.space)
    for path in args.data:
        if not path.exists():
            found.error(f"--data: nothing at {path}")
    if args.data:
        space = replace(space, data=tuple(str(path.absolute()) for path in args.data))
    if args.show and not args.storage.exists():
        found.error(
            f"--show: nothing at --storage {args.storage}; give the one that the sweep was started with"
        )
    if args.trials is None and space.size is None and not args.show:
        found.error(f"--trials is missing: a {space.sampler} search has no end of its own")
    if args.trials is not None and args.trials < 1:
        found.error(f"--trials {args.trials}: give 1 or more")
    if args.workers < 1:
        found.error(f"--workers {args.workers}: give 1 or more")
    return args, space


def wanted(args: argparse.Namespace, space: Space) -> int:
    """Trials in all; a grid has so many and no more."""
    asked = int(args.trials or space.size or 0)
    if space.size is not None and asked > space.size:
        say(f"sweep   the grid has {space.size} points; --trials {asked} is more: {space.size} are run")
        return space.size
    return asked


def main(argv: list[str]) -> int:
    """Exit status: 0 all trials finished, 130 interrupted. Raises: UserError."""
    set_environment()
    args, space = parse(argv)
    from .storage import import_optuna
    from .trial import must_resolve

    import_optuna()
    must_resolve(space)
    try:
        if args.show:
            return finish(args, space)
        if args.workers > 1:
            return work_in_processes(args, space, argv)
        return work(args, space)
    except OSError as error:  # of Optuna's journal
        if error.errno not in DISK_ERRORS:
            raise
        raise Failure(f"{cannot_write(args.storage, error)}; then {shown('sweep', *argv)}") from error


def work_in_processes(args: argparse.Namespace, space: Space, argv: list[str]) -> int:
    """Several workers; one that died matters only where no other continued its trial."""
    from .storage import open_study
    from .worker import finished, run_workers

    status = run_workers(argv, args.workers)
    if status and finished(open_study(args.storage, space)[0]) < wanted(args, space):
        say("some trials are not done; the same command goes on from here")
        return status
    return finish(args, space)


def work(args: argparse.Namespace, space: Space) -> int:
    """As one worker."""
    from .search import make_pruner
    from .storage import folder_of, open_study
    from .trial import run, step_of
    from .worker import Stopped, Worker, finished

    study, claims = open_study(args.storage, space)
    study.pruner = make_pruner(space)
    count = wanted(args, space)
    runs = folder_of(args.storage)
    say(f"sweep   {space.name}: {finished(study)} of {count} trials done; runs in {runs}")

    def run_trial(trial: Trial, settings: Mapping[str, Any], folder: Path) -> Outcome:
        return run(trial, space, settings, space.data, folder)

    try:
        Worker(study, space, claims, runs, count, run_trial, say, step_of).work()
    except (Stopped, KeyboardInterrupt):
        say("stopped; the same command goes on from here")
        return 130
    return finish(args, space)


def finish(args: argparse.Namespace, space: Space) -> int:
    """Table and pictures, from the storage."""
    from . import results
    from .storage import folder_of, open_study

    study, _ = open_study(args.storage, space)
    runs = folder_of(args.storage)
    result = results.gather(study, space, runs)
    results.write_csv(runs / "trials.csv", result)
    drawn = results.draw(runs, result, space)
    print(json.dumps(asdict(result), indent=1) if args.json else results.text(result))
    say("see     " + ", ".join(map(str, [runs / "trials.csv", *drawn])))
    return 0
