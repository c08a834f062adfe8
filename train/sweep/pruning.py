"""Watches a trial's validations: tells the study, and asks the run to end where others are clearly better."""

from __future__ import annotations

import math
from typing import Any, Protocol

import pytorch_lightning as pl


class Watched(Protocol):
    """The part of an Optuna trial that is needed here."""

    def report(self, value: float, step: int) -> None: ...
    def should_prune(self) -> bool: ...


class Pruning(pl.Callback):
    """Reports at rungs, equal shares of the budget, so that runs of a given time are compared at like moments."""

    def __init__(self, trial: Watched, objective: str, rungs: int, reported: int = 0) -> None:
        self.trial, self.objective, self.rungs = trial, objective, rungs
        self.rung = reported
        """The last one reported."""
        self.pruned = False

    def on_validation_end(self, trainer: pl.Trainer, module: Any) -> None:
        value = module.validation.get(self.objective)
        if trainer.is_global_zero and value is not None and math.isfinite(value):
            self.look(value, module.progress)
            if self.pruned:
                trainer.should_stop = True

    def look(self, value: float, share: float) -> None:
        """The value stands for every rung passed since the last one."""
        passed = math.floor(share * self.rungs + 1e-9)
        for rung in range(self.rung + 1, min(passed, self.rungs - 1) + 1):
            self.trial.report(value, rung)
            self.rung = rung
            if self.trial.should_prune():
                self.pruned = True
                return
