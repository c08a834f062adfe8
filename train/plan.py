"""What a command line comes to before anything heavy is done: a new run, or an old one that goes on."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from wavevae.cli import expanded, shell_word
from wavevae.config import RunConfig, override
from wavevae.errors import UserError

from . import arguments
from .budget import Budget
from .processes import chosen_folder, is_first
from .run_folder import RunFolder, new_folder

if TYPE_CHECKING:
    from wavevae.checkpoint import Checkpoint


@dataclass(frozen=True)
class Plan:
    """A run about to start."""

    config: RunConfig
    folder: RunFolder
    inputs: tuple[Path, ...]
    """Folders and files; none: the demo corpus."""
    preset: str
    fresh: bool
    """The folder is to be made."""
    resumed: Checkpoint | None = None
    remarks: tuple[str, ...] = ()
    """What the user should know of how this came about."""

    def budget(self) -> Budget:
        train = self.config.train
        return Budget(train.max_time_s, train.max_steps)


def make_plan(args: argparse.Namespace) -> Plan:
    """Raises: UserError for whatever cannot be, before anything is touched."""
    return plan_resumed(args) if args.resume else plan_fresh(args)


def plan_fresh(args: argparse.Namespace) -> Plan:
    """A new run. Raises: UserError where --out exists, a setting is unknown or out of range."""
    config = arguments.resolve(args)
    folder = RunFolder(Path(args.out or chosen_folder() or new_folder(args.data)))
    if is_first():
        folder.must_be_new()
    return Plan(config, folder, tuple(args.data), args.preset or arguments.DEFAULT_PRESET, fresh=is_first())


def plan_resumed(args: argparse.Namespace) -> Plan:
    """An old run, from last.ckpt; from its beginning where it was killed before the first one was written.

    Raises: UserError where there is no run, its checkpoint is unusable, or its budget is used up.
    """
    from wavevae.checkpoint import read_checkpoint  # loads torch

    folder = RunFolder(args.out)
    folder.must_be_a_run()
    config, notes = folder.read_config()
    checkpoint = read_checkpoint(folder.last) if folder.last.is_file() else None
    remarks = [f"from step {checkpoint.step}" if checkpoint else "no checkpoint yet: from the beginning"]
    asked = override(config, arguments.budget_values(args))
    if asked != config:
        before, after = (Budget(c.train.max_time_s, c.train.max_steps) for c in (config, asked))
        remarks.append(f"budget {after} instead of {before}; the schedules follow it")
    inputs = _inputs(args.data, [expanded(p) for p in notes.get("inputs", [])], folder.path)
    plan = Plan(asked, folder, inputs, str(notes.get("preset", "")), False, checkpoint, tuple(remarks))
    if checkpoint is not None:
        _must_fit(plan, checkpoint)
    return plan


def _inputs(given: Sequence[Path], remembered: Sequence[Path], folder: Path) -> tuple[Path, ...]:
    """DATA given again wins (it may have moved). Raises: UserError where the remembered is gone."""
    if given:
        return tuple(given)
    for path in remembered:
        if not path.exists():
            raise UserError(
                f"the run's data is no longer at {path}; say where it is: wavevae train DATA --resume --out "
                f"{shell_word(folder)}"
            )
    return tuple(remembered)


def _must_fit(plan: Plan, checkpoint: Checkpoint) -> None:
    """Raises: UserError where config.yaml and last.ckpt are of different models, or nothing is left to do."""
    if plan.config.model != checkpoint.config.model:
        raise UserError(f"{plan.folder.config} was changed: its model is not that of last.ckpt; restore it")
    budget = plan.budget()
    budget.start(checkpoint.elapsed_s)
    if budget.progress(checkpoint.step) >= 1.0:
        raise UserError(
            f"the budget of {plan.folder.path} ({budget}) is used up after {checkpoint.step} steps; "
            "to go on give a longer --max-time or --max-steps"
        )
