"""How a sweep searches: which point of the space a trial is, and which trials are stopped early."""

from __future__ import annotations

import math
from typing import Any, Protocol

import pytorch_lightning as pl
from optuna.distributions import BaseDistribution
from optuna.pruners import BasePruner, MedianPruner, NopPruner
from optuna.samplers import BaseSampler, RandomSampler, TPESampler
from optuna.study import Study
from optuna.trial import FrozenTrial

from .space import Space

RUNGS = 20
"""Moments of a trial at which it is compared with others: equal shares of its budget."""


class Grid(BaseSampler):
    """Trial n is point n: whoever runs it, and however often it is begun."""

    def __init__(self, space: Space) -> None:
        self.points = space.grid()

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        return {}

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        return {}

    def sample_independent(
        self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        return self.points[trial.number][param_name]


def make_sampler(space: Space, number: int) -> BaseSampler:
    """For trial `number`: seeded by it, so that workers that begin together do not draw the same."""
    seed = (space.seed * 1_000_003 + number) % 2**32
    if space.sampler == "grid":
        return Grid(space)
    if space.sampler == "random":
        return RandomSampler(seed=seed)
    # Running trials count as bad ones, so that workers keep apart (Bergstra et al. 2011; constant liar).
    return TPESampler(seed=seed, constant_liar=True)


def make_pruner(space: Space) -> BasePruner:
    """A trial whose best so far is worse than the median of the others at the same rung is stopped."""
    if not space.prune:
        return NopPruner()
    warm_up = round(space.prune_after * RUNGS)
    return MedianPruner(n_startup_trials=space.prune_start, n_warmup_steps=warm_up)


class ReportedTrial(Protocol):
    """The part of an Optuna trial that `Pruning` uses."""

    def report(self, value: float, step: int) -> None: ...
    def should_prune(self) -> bool: ...


class Pruning(pl.Callback):
    """Reports validations to the study at rungs, equal shares of the budget, and ends the run where others are clearly
    better."""

    def __init__(self, trial: ReportedTrial, objective: str, rungs: int = RUNGS, reported: int = 0) -> None:
        self.trial, self.objective, self.rungs = trial, objective, rungs
        self.rung = reported  # the last one
        self.pruned = False

    def on_validation_end(self, trainer: pl.Trainer, module: Any) -> None:
        value = module.validation.get(self.objective)
        if trainer.is_global_zero and value is not None and math.isfinite(value):
            self.report(value, module.progress)
            if self.pruned:
                trainer.should_stop = True

    def report(self, value: float, progress: float) -> None:
        """The value stands for every rung passed since the last one."""
        passed = math.floor(progress * self.rungs + 1e-9)
        for rung in range(self.rung + 1, min(passed, self.rungs - 1) + 1):
            self.trial.report(value, rung)
            self.rung = rung
            if self.trial.should_prune():
                self.pruned = True
                return
