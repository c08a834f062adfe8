"""One trial: a run folder, as `wavevae train` leaves it, and its outcome for the search."""

from __future__ import annotations

import math
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from wavevae.errors import UserError

from .. import arguments
from ..budget import Budget
from ..run_folder import RunFolder
from .space import Choices, Settings

if TYPE_CHECKING:
    from optuna.trial import Trial

    from .space import Space

MOST_POINTS = 1000
"""Of a grid, whose settings are checked before anything is trained."""
DONE, PRUNED, FAILED, STOPPED = "done", "pruned", "failed", "stopped"


@dataclass(frozen=True)
class Outcome:
    """How a trial ended."""

    state: str
    """done, pruned, failed (it diverged, or its settings cannot be), or stopped (Ctrl-C: to be gone on with)."""
    value: float | None = None
    figures: Mapping[str, float] = field(default_factory=dict)
    """Its best checkpoint's validation, steps and seconds."""
    reason: str = ""


def command(space: Space, settings: Mapping[str, Any], data: Sequence[str], folder: Path) -> list[str]:
    """The words of `wavevae train` for a point of the space."""
    words = [*data, "--out", str(folder)]
    if space.preset:
        words += ["--preset", space.preset]
    for key, value in settings.items():
        if key in ("max_time", "max_steps"):
            words += [f"--{key.replace('_', '-')}", f"{value:g}" if isinstance(value, float) else str(value)]
        else:
            text = yaml.safe_dump(value, default_flow_style=True, width=10**6).removesuffix("...\n").strip()
            words += ["--set", f"{key}={text}"]
    return words


def run(
    trial: Trial, space: Space, settings: Mapping[str, Any], data: Sequence[str], folder: Path
) -> Outcome:
    """Train, or go on where a worker that died has left it. Only its claim's holder may call it."""
    from wavevae.checkpoint import read_checkpoint

    place = RunFolder(folder)
    if folder.exists() and not place.config.is_file():
        shutil.rmtree(folder)  # killed while it was made: nothing is in it yet
    words = (
        ["--resume", "--out", str(folder), *data]
        if place.config.is_file()
        else command(space, settings, data, folder)
    )
    if place.last.is_file():
        checkpoint = read_checkpoint(place.last)
        budget = Budget(checkpoint.config.train.max_time_s, checkpoint.config.train.max_steps)
        budget.start(checkpoint.elapsed_s)
        if budget.progress(checkpoint.step) >= 1.0:
            return judged(place, space.objective)  # its worker died after the last step
    try:
        args = arguments.parse(words)
        return train(trial, space, arguments.make_plan(args), args, words)
    except UserError as error:
        return Outcome(FAILED, reason=str(error))


def train(trial: Trial, space: Space, plan: Any, args: Any, words: list[str]) -> Outcome:
    from .. import fit
    from .search import Pruning

    reported = max(trial.study._storage.get_trial(trial._trial_id).intermediate_values, default=0)
    pruning = Pruning(trial, space.objective, reported=reported)
    status = fit.train(plan, args, words, [pruning])
    if pruning.pruned:
        return Outcome(PRUNED, figures=judged(plan.folder, space.objective).figures)
    if status == 1:
        return Outcome(FAILED, reason="it diverged: the loss was not finite")
    return judged(plan.folder, space.objective) if status == 0 else Outcome(STOPPED)


def judged(folder: RunFolder, objective: str) -> Outcome:
    """The figures at the lowest val_distance, from metrics.csv."""
    rows = validations(folder.metrics)
    if not rows:
        return Outcome(FAILED, reason="it was never validated; give it more steps than validate_every")
    best = min(rows, key=lambda row: row.get("val_distance", math.inf))
    if objective not in best:
        known = ", ".join(sorted(name for name in best if name.startswith("val_")))
        return Outcome(FAILED, reason=f"it has no {objective}; it has {known}")
    last = rows[-1]
    figures = {k: v for k, v in best.items() if k.startswith("val_")}
    return Outcome(DONE, best[objective], {**figures, "steps": last["step"], "seconds": last["elapsed_s"]})


def validations(path: Path) -> list[dict[str, float]]:
    """Rows of metrics.csv that are validations, finite numbers only."""
    from ..journal import read_rows

    rows = [{k: float(v) for k, v in row.items() if v} for row in read_rows(path)]
    finite = [{k: v for k, v in row.items() if math.isfinite(v)} for row in rows]
    return [row for row in finite if "val_distance" in row]


def step_of(folder: Path) -> int:
    """How far a run folder's last.ckpt is, steps; 0 where there is none."""
    from wavevae.checkpoint import read_checkpoint

    last = RunFolder(folder).last
    return read_checkpoint(last).step if last.is_file() else 0


def must_resolve(space: Space) -> None:
    """Before anything is trained: every setting of a space must be one that `wavevae train` takes.

    Raises: UserError naming the point that cannot be.
    """
    for labels in points(space):
        settings = space.settings(labels)
        try:
            arguments.resolve(arguments.parse(command(space, settings, (), Path("."))))
        except UserError as error:
            where = ", ".join(f"{name} {value}" for name, value in labels.items())
            raise UserError(f"{space.name}: {where}: {error}") from None


def points(space: Space) -> list[dict[str, object]]:
    """A grid's points; of another space its first point, and each end of each axis in it."""
    if space.sampler == "grid":
        return [dict(point) for point in space.grid()[:MOST_POINTS]]
    ends = {axis.name: _labels(axis, axis.ends()) for axis in space.axes}
    first = {name: labels[0] for name, labels in ends.items()}
    return [{**first, name: label} for name, labels in ends.items() for label in labels]


def _labels(axis: object, ends: list[Settings]) -> list[object]:
    return list(axis.labels) if isinstance(axis, Choices) else [next(iter(end.values())) for end in ends]
