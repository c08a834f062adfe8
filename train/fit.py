"""A run from its plan to its last line: Lightning's Trainer, the run folder, the callbacks, signals that stop it."""

from __future__ import annotations

import argparse
import dataclasses
import logging
import os
import signal
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from types import FrameType
from typing import Any, TextIO

import pytorch_lightning as pl
import torch
from pytorch_lightning.plugins.environments import SLURMEnvironment
from pytorch_lightning.strategies import DDPStrategy
from pytorch_lightning.utilities.exceptions import MisconfigurationException

from wavevae import console
from wavevae.accelerator import choose_device, default_precision, refuse_float64
from wavevae.cli import ending_signals
from wavevae.errors import Failure, UserError

from .arguments import Plan
from .budget import parse_time
from .checkpointing import Checkpoints
from .diagnosis import Learned, Overfit, outlook
from .health import Health
from .instrument_module import choose_oscillators
from .journal import Journal
from .module import Diverged, TrainingModule, make_module
from .prior_training import train_prior
from .processes import FOLDER_VARIABLE, is_first, launched, say, set_threads
from .progress import Progress, print_end, print_start
from .run_folder import commit, lock, notes
from .training_data import TrainingData, load_training_data
from .training_plots import Pictures

RANK_TIMEOUT = "5m"
"""How long the processes of a run wait for one that does not answer, unless --rank-timeout is given."""


def train(plan: Plan, args: argparse.Namespace, argv: list[str], watchers: Sequence[pl.Callback] = ()) -> int:
    """Read the sounds, fit, report; `watchers` are called after all other callbacks. Returns the exit status.

    Raises: UserError.
    """
    silence_libraries()
    threads = set_threads(1 if launched() else count(devices_and_nodes(args)[0], args.accelerator))
    trainer = make_trainer(args, plan)
    for remark in plan.remarks:
        say(f"resuming {plan.folder.path}: {remark}")
    data = load_training_data(plan)
    plan = choose_oscillators(with_classes(plan, data), data)
    module = make_module(plan.config, plan.budget())
    if plan.resumed is not None:
        module.resume(plan.resumed)
    else:
        module.initialize(data)
    learned = Learned(data)
    trainer.callbacks += [*callbacks(plan, data), learned, *watchers]  # type: ignore[attr-defined]
    held = claim(plan, data, argv)
    print_start(plan, data, module, trainer, threads)
    try:
        with stop_on_signals(module) as handlers:
            trainer.callbacks.append(handlers)  # type: ignore[attr-defined]
            if not plan.model_is_done:
                trainer.fit(module, datamodule=data)
            if plan.wants_prior and is_first() and not module.stop_asked:
                train_prior(plan, data, lambda: module.stop_asked)
    except (Interrupted, KeyboardInterrupt) as stop:
        how = "saved" if plan.folder.last.is_file() else "stopped"
        say(f"{how}; resume with: {plan.folder.resume_command}")
        return stop.status if isinstance(stop, Interrupted) else 130
    except Diverged as error:
        say(f"wavevae: error: {error}")
        return 1
    except Failure as error:  # a full disk
        raise Failure(f"{error}; then {plan.folder.resume_command}") from error
    except RuntimeError as error:
        return explain(error, plan, args, trainer)
    finally:
        if held is not None:
            held.close()
    print_end(plan, data, module)
    for line in [] if plan.config.data.overfit else outlook(plan, data, module, learned.distance):
        say(f"outlook   {line}")
    return 0


def explain(error: RuntimeError, plan: Plan, args: argparse.Namespace, trainer: pl.Trainer) -> int:
    """The exit status where another process of the run has ended or does not answer. Raises: UserError where an
    operation is not deterministic; any other error."""
    what = " ".join(str(error).split())
    if "deterministic" in what and args.deterministic:
        raise UserError(f"--deterministic: {what[:160]}; leave it out, or --accelerator cpu") from error
    if trainer.world_size == 1:
        raise error
    console.say(
        f"wavevae: error: process {trainer.global_rank} lost the others ({what[:200]}); once they are well again: "
        f"{plan.folder.resume_command}"
    )
    return 1


def with_classes(plan: Plan, data: TrainingData) -> Plan:
    """The plan with the names of the classes that the sounds have."""
    if data.labels is None:
        return plan
    for line in data.labels.describe(data.train_items):
        say(f"labels  {line}")
    model = dataclasses.replace(plan.config.model, classes=data.labels.classes)
    return dataclasses.replace(plan, config=dataclasses.replace(plan.config, model=model))


def callbacks(plan: Plan, data: TrainingData) -> list[pl.Callback]:
    """In the order in which they are called: the journal first, so that no checkpoint is ahead of it."""
    best = plan.resumed.best_score if plan.resumed else None
    return [
        Journal(plan.folder),
        Checkpoints(plan.folder, data, origin(data), best),
        Progress(),
        Health(),
        Pictures(plan.folder, data.excerpts()),
        *([Overfit(plan.folder, len(data.train_chunks))] if plan.config.data.overfit else []),
    ]


def origin(data: TrainingData) -> dict[str, Any]:
    """Where a checkpoint comes from."""
    labels = {} if data.labels is None else {"labels": data.labels.summary(data.train_items)}
    return {"data": data.store.content_hash, "commit": commit(), "torch": torch.__version__, **labels}


def claim(plan: Plan, data: TrainingData, argv: list[str]) -> TextIO | None:
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
    data.write_report(plan.folder.report)
    os.environ[FOLDER_VARIABLE] = str(plan.folder.path)
    return held


# -- Lightning's Trainer ------------------------------------------------------------------------------------


def silence_libraries() -> None:
    """Lightning's tips are for programmers."""
    for name in (
        "pytorch_lightning",
        "lightning",
        "lightning.pytorch",
        "lightning_fabric",
        "lightning.fabric",
    ):
        logging.getLogger(name).setLevel(logging.ERROR)
    for module in ("pytorch_lightning", "lightning_fabric", "lightning_utilities", "torch", "tensorboard"):
        warnings.filterwarnings("ignore", module=module)


class KeepCount(pl.Callback):
    """After a resume Lightning counts batches from the run's step, so that validations keep their steps."""

    def on_train_start(self, trainer: pl.Trainer, module: Any) -> None:
        trainer.fit_loop.epoch_loop.batch_progress.total.ready = module.step


def devices_and_nodes(args: argparse.Namespace) -> tuple[Any, int]:
    """As typed, else as torchrun or SLURM started them, else one of each."""
    started = launched()
    devices = args.devices or (started.per_node if started else 1)
    nodes = args.num_nodes or (started.nodes if started else 1)
    return devices, nodes


def count(devices: Any, accelerator: str | None = None) -> int:
    """Processes on this machine."""
    if isinstance(devices, list):
        return len(devices)
    if devices not in ("auto", -1):
        return int(devices)
    on_gpu = choose_device(accelerator).type == "cuda"
    return torch.cuda.device_count() if on_gpu else 1


def strategy(args: argparse.Namespace, many: bool) -> Any:
    """DDP that gives up on a process that does not answer, where there are several. It broadcasts no buffers: codebooks
    are updated alike on all."""
    if not many or args.strategy not in (None, "auto", "ddp"):
        return args.strategy or "auto"
    timeout = timedelta(seconds=parse_time(args.rank_timeout or RANK_TIMEOUT, "--rank-timeout"))
    return DDPStrategy(timeout=timeout, broadcast_buffers=False, gradient_as_bucket_view=True)


def make_trainer(args: argparse.Namespace, plan: Plan) -> pl.Trainer:
    """Without a run's callbacks yet; it writes no files and shows no bars.

    Raises: UserError for what this machine or Lightning does not have.
    """
    devices, nodes = devices_and_nodes(args)
    device = choose_device(args.accelerator)
    refuse_float64(device, plan.config.model)
    if args.deterministic:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # read when CUDA is first used
    try:
        return pl.Trainer(
            accelerator=device.type,
            devices=count(devices, args.accelerator) if devices in ("auto", -1) else devices,
            num_nodes=nodes,
            strategy=strategy(args, nodes * count(devices, args.accelerator) > 1),
            precision=args.precision or default_precision(device),  # type: ignore[arg-type]
            plugins=[SLURMEnvironment(auto_requeue=False)] if SLURMEnvironment.detect() else None,
            max_epochs=-1,  # the budget ends it
            val_check_interval=plan.config.train.validate_every,
            check_val_every_n_epoch=None,
            num_sanity_val_steps=0,
            callbacks=[KeepCount()],
            default_root_dir=plan.folder.path,
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            use_distributed_sampler=False,
            deterministic=args.deterministic or None,
            benchmark=device.type == "cuda" and not args.deterministic,  # chunks are all of one length
        )
    except (MisconfigurationException, ValueError, TypeError, RuntimeError) as error:
        if isinstance(error, UserError):
            raise
        given = " ".join(
            f"--{name.replace('_', '-')} {getattr(args, name)}"
            for name in ("accelerator", "devices", "num_nodes", "strategy", "precision")
            if getattr(args, name) is not None
        )
        raise UserError(f"{given or 'this machine'}: {' '.join(str(error).split())}") from error


# -- signals ------------------------------------------------------------------------------------------------


Handler = Callable[[int, FrameType | None], None]


class Interrupted(Exception):
    """The run stopped on a signal, saved; carries the exit status."""

    def __init__(self, signal_number: int) -> None:
        super().__init__(signal_number)
        self.status = 128 + signal_number


class OwnHandlers(pl.Callback):
    """Replaces Lightning's handler of SIGTERM, which communicates with the other processes in the middle of a step."""

    def __init__(self, handler: Handler) -> None:
        self.handler = handler

    def on_train_start(self, trainer: pl.Trainer, module: Any) -> None:
        for number in ending_signals():
            signal.signal(number, self.handler)


@contextmanager
def stop_on_signals(module: TrainingModule) -> Iterator[OwnHandlers]:
    """Within it `ending_signals()` stop the run after the step, with everything saved; a second one does not wait for
    the step. Yields the callback that keeps the handlers.

    Raises: Interrupted at the end if any process of the run got a signal.
    """
    asked: list[int] = []

    def ask(number: int, frame: FrameType | None) -> None:
        if asked:
            raise KeyboardInterrupt
        asked.append(number)
        module.stop_asked = True
        say("stopping after this step")

    before = {number: signal.signal(number, ask) for number in ending_signals()}
    try:
        yield OwnHandlers(ask)
    except (SystemExit, KeyboardInterrupt) as stop:  # Lightning makes the first of the second
        if not asked:
            raise
        raise Interrupted(asked[0]) from stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if (asked or module.stopping) and module.progress < 1.0:
        raise Interrupted(asked[0] if asked else signal.SIGTERM)
