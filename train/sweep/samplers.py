"""Which point of the space a trial is: the grid's next, a draw, or what the trials so far suggest."""

from __future__ import annotations

from typing import Any

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
    """For trial `number`: its draws are its own, so that workers that begin together do not draw the same."""
    seed = (space.seed * 1_000_003 + number) % 2**32
    if space.sampler == "grid":
        return Grid(space)
    if space.sampler == "random":
        return RandomSampler(seed=seed)
    # Trials that still run count as bad ones, so that workers keep apart (Bergstra et al. 2011; constant liar).
    return TPESampler(seed=seed, constant_liar=True)


def make_pruner(space: Space) -> BasePruner:
    """A trial whose best so far is worse than the median of the others at the same rung is stopped."""
    if not space.prune:
        return NopPruner()
    warm_up = round(space.prune_after * RUNGS)
    return MedianPruner(n_startup_trials=space.prune_start, n_warmup_steps=warm_up)
