"""Lightning's Trainer as a run wants it: no files, no bars, no epochs of its own."""

from __future__ import annotations

import argparse
import os
from datetime import timedelta
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.plugins.environments import SLURMEnvironment
from pytorch_lightning.strategies import DDPStrategy
from pytorch_lightning.utilities.exceptions import MisconfigurationException

from wavevae.accelerator import choose_device, default_precision, refuse_float64
from wavevae.errors import UserError

from .arguments import Plan
from .budget import parse_time
from .launch import launched

RANK_TIMEOUT = "5m"
"""How long the processes of a run wait for one that does not answer, unless --rank-timeout says otherwise."""


class KeepCount(pl.Callback):
    """After a resume Lightning counts its batches from where the run is, so that validations keep their steps."""

    def on_train_start(self, trainer: pl.Trainer, module: Any) -> None:
        trainer.fit_loop.epoch_loop.batch_progress.total.ready = module.step


def processes(args: argparse.Namespace) -> tuple[Any, int]:
    """Devices and nodes: as typed, else as torchrun or SLURM started them, else one."""
    started = launched()
    devices = args.devices or (started.a_node if started else 1)
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
    """DDP that gives up on a process that does not answer, where there are several; buffers are each rank's own:
    codebooks learn the same on all."""
    if not many or args.strategy not in (None, "auto", "ddp"):
        return args.strategy or "auto"
    patience = timedelta(seconds=parse_time(args.rank_timeout or RANK_TIMEOUT, "--rank-timeout"))
    return DDPStrategy(timeout=patience, broadcast_buffers=False, gradient_as_bucket_view=True)


def make_trainer(args: argparse.Namespace, plan: Plan) -> pl.Trainer:
    """Without a run's callbacks yet. Raises: UserError for what this machine or Lightning has not."""
    devices, nodes = processes(args)
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
