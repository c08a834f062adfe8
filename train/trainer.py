"""Lightning's Trainer as a run wants it: no files, no bars, no epochs of its own."""

from __future__ import annotations

import argparse
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.utilities.exceptions import MisconfigurationException

from wavevae.errors import UserError

from .plan import Plan


class KeepCount(pl.Callback):
    """After a resume Lightning counts its batches from where the run is, so that validations keep their steps."""

    def on_train_start(self, trainer: pl.Trainer, module: Any) -> None:
        trainer.fit_loop.epoch_loop.batch_progress.total.ready = module.step


def default_precision() -> str:
    """bf16 where a GPU computes in it, else fp32. Spectra, KL and averages are fp32 in either case."""
    return "bf16-mixed" if torch.cuda.is_available() and torch.cuda.is_bf16_supported() else "32-true"


def make_trainer(args: argparse.Namespace, plan: Plan) -> pl.Trainer:
    """Without a run's callbacks yet. Raises: UserError for what this machine or Lightning has not."""
    try:
        return pl.Trainer(
            accelerator="auto",
            devices=args.devices or 1,
            num_nodes=args.num_nodes or 1,
            strategy=args.strategy or "auto",
            precision=args.precision or default_precision(),  # type: ignore[arg-type]
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
            benchmark=torch.cuda.is_available(),  # chunks are all of one length
        )
    except (MisconfigurationException, ValueError, TypeError, RuntimeError) as error:
        given = " ".join(
            f"--{name.replace('_', '-')} {getattr(args, name)}"
            for name in ("devices", "num_nodes", "strategy", "precision")
            if getattr(args, name) is not None
        )
        raise UserError(f"{given or 'this machine'}: {' '.join(str(error).split())}") from error
