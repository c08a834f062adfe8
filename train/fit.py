"""One sitting of a run, from its plan to the figures at its end."""

from __future__ import annotations

import argparse
import dataclasses
import os
import sys
from collections.abc import Sequence
from typing import Any, TextIO

import pytorch_lightning as pl
import torch

from wavevae.errors import Failure, UserError

from . import quiet
from .arguments import Plan
from .checkpointing import Checkpoints
from .diagnosis import Learned, outlook
from .health import Health
from .initialization import begin, make_module
from .instrument_module import choose_oscillators
from .interrupt import Interrupted, stop_gently
from .journal import Journal
from .launch import FOLDER_VARIABLE, is_first, launched
from .module import Diverged
from .overfit import Overfit
from .progress import Progress, say
from .run_folder import commit, lock, notes
from .run_summary import farewell, greeting
from .trainer import count, make_trainer, processes
from .training_data import Material, load_training_data
from .training_plots import Pictures


def train(plan: Plan, args: argparse.Namespace, argv: list[str], watchers: Sequence[pl.Callback] = ()) -> int:
    """Read the sounds, fit, tell; `watchers` see each moment last. Returns the exit status. Raises: UserError."""
    quiet.hush()
    threads = quiet.settle_torch(1 if launched() else count(processes(args)[0], args.accelerator))
    trainer = make_trainer(args, plan)
    for remark in plan.remarks:
        say(f"resuming {plan.folder.path}: {remark}")
    material = load_training_data(plan)
    plan = choose_oscillators(told_classes(plan, material), material)
    module = make_module(plan.config, plan.budget())
    if plan.resumed is not None:
        module.resume(plan.resumed)
    else:
        begin(module, material)
    learned = Learned(material)
    trainer.callbacks += [*callbacks(plan, material), learned, *watchers]  # type: ignore[attr-defined]
    held = claim(plan, material, argv)
    greeting(plan, material, module, trainer, threads)
    try:
        with stop_gently(module) as handlers:
            trainer.callbacks.append(handlers)  # type: ignore[attr-defined]
            trainer.fit(module, datamodule=material.data)
    except Interrupted as stop:
        how = "saved" if plan.folder.last.is_file() else "stopped"
        say(f"{how}; resume with: {plan.folder.resume_command}")
        return stop.status
    except Diverged as error:
        say(f"wavevae: error: {error}")
        return 1
    except Failure as error:  # a full disk
        raise Failure(f"{error}; then {plan.folder.resume_command}") from error
    except RuntimeError as error:
        if "deterministic" in str(error) and args.deterministic:
            raise UserError(
                f"--deterministic: {' '.join(str(error).split())[:160]}; leave it out, or --accelerator cpu"
            ) from error
        if trainer.world_size == 1:
            raise
        return left_alone(plan, trainer.global_rank, error)
    finally:
        if held is not None:
            held.close()
    farewell(plan, material, module)
    for line in [] if plan.config.data.overfit else outlook(plan, material, module, learned.distance):
        say(f"outlook   {line}")
    return 0


def left_alone(plan: Plan, rank: int, error: RuntimeError) -> int:
    """A process of the run has ended or does not answer, and this one cannot go on without. Returns the exit status."""
    what = " ".join(str(error).split())[:200]
    print(
        f"wavevae: error: process {rank} lost the others ({what}); once they are well again: "
        f"{plan.folder.resume_command}",
        file=sys.stderr,
        flush=True,
    )
    return 1


def told_classes(plan: Plan, material: Material) -> Plan:
    """The plan with the names of the classes that the sounds have."""
    labels = material.data.labels
    if labels is None:
        return plan
    for line in labels.describe(material.learned):
        say(f"labels  {line}")
    model = dataclasses.replace(plan.config.model, classes=labels.classes)
    return dataclasses.replace(plan, config=dataclasses.replace(plan.config, model=model))


def callbacks(plan: Plan, material: Material) -> list[pl.Callback]:
    """In the order in which they see a moment: the journal first, so that no checkpoint is ahead of it."""
    best = plan.resumed.best_score if plan.resumed else None
    return [
        Journal(plan.folder),
        Checkpoints(plan.folder, material.data, origin(material), best),
        Progress(),
        Health(),
        Pictures(plan.folder, material.examples, material.example_labels),
        *([Overfit(plan.folder, len(material.chunks))] if plan.config.data.overfit else []),
    ]


def origin(material: Material) -> dict[str, Any]:
    """What a checkpoint says of where it comes from."""
    origin = {"data": material.store.content_hash, "commit": commit(), "torch": torch.__version__}
    labels = material.data.labels
    return origin if labels is None else {**origin, "labels": labels.summary(material.learned)}


def claim(plan: Plan, material: Material, argv: list[str]) -> TextIO | None:
    """Make or take the run folder, on the first process. Raises: UserError where another process trains there."""
    if not is_first():
        return None
    if plan.fresh:
        plan.folder.make()
    held = lock(plan.folder)
    about = notes(plan.inputs, plan.preset, argv)
    if not plan.fresh:
        about = {**plan.folder.read_config()[1], "inputs": about["inputs"], "resumed": about["started"]}
    plan.folder.write_config(plan.config, about)
    material.write_report(plan.folder.report)
    os.environ[FOLDER_VARIABLE] = str(plan.folder.path)
    return held
