"""What changes over training, as a function of the share of the budget used: 0 at the start, 1 at the end.

Keyed to the share and not to steps, so that a 10-minute and a 10-hour run both end annealed; only the warm-up of the
learning rate has a floor in steps.

    learning rate   /''--..             KL weight        _______ beta max     cyclical    /'| /'| /'''''
                   /       ''-..                        /                               /  |/  |/
                  /             ''--_      baseline ___/                               0  warm_up x cycles
                  0  warm_up        1               0  kl_warm_up   1
"""

from __future__ import annotations

import math

from wavevae.config import ObjectiveConfig, TrainConfig

STEEPNESS = 12.0
"""Of the logistic rise: from 0.25 % to 99.75 % over the warm-up, before it is stretched to 0 and 1."""


def logistic(part: float) -> float:
    """Bowman et al. 2016, fig. 2, stretched so that it starts at 0 and ends at 1."""

    def sigmoid(x: float) -> float:
        return 1.0 / (1.0 + math.exp(-STEEPNESS * (x - 0.5)))

    return (sigmoid(part) - sigmoid(0.0)) / (sigmoid(1.0) - sigmoid(0.0))


def cyclical(share: float, over: float, cycles: int) -> float:
    """`cycles` times a linear rise over half of `over`, then held for the other half; held after the last
    (Fu et al. 2019, eq. 6-7)."""
    if share >= over * cycles:
        return 1.0
    return min(1.0, 2.0 * (share % over) / over)


def rise(share: float, over: float, shape: str = "linear", cycles: int = 1) -> float:
    """0 at share 0 to 1 at share `over` and after; shape constant (always 1), linear, cosine, logistic or
    cyclical (`cycles` of length `over`)."""
    if shape == "constant" or over <= 0:
        return 1.0
    share = max(0.0, share)
    part = min(1.0, share / over)
    match shape:
        case "cosine":
            return 0.5 - 0.5 * math.cos(math.pi * part)
        case "logistic":
            return logistic(part)
        case "cyclical":
            return cyclical(share, over, cycles)
    return part


def learning_rate(share: float, config: TrainConfig, step: float = math.inf) -> float:
    """Linear warm-up from a hundredth, then half a cosine to zero (Loshchilov & Hutter 2017, eq. 5).

    The warm-up takes `warm_up` of the budget and `warm_up_steps` steps, whichever is longer (see `rise_by_steps`).
    """
    share = min(1.0, max(0.0, share))
    risen = min(rise(share, config.warm_up), rise_by_steps(step, config))
    part = max(0.0, share - config.warm_up) / max(1e-9, 1.0 - config.warm_up)
    return config.learning_rate * (0.01 + 0.99 * risen) * (0.5 + 0.5 * math.cos(math.pi * part))


def rise_by_steps(step: float, config: TrainConfig) -> float:
    """0 before the first step to 1 after `warm_up_steps`.

    Adam divides by the root of a running mean of squared gradients. In the first steps that mean holds few gradients,
    every weight moves by the whole learning rate, and a model that starts in closed form is thrown far off. How many
    steps the mean needs does not depend on the budget, so a share of the budget alone is too short in short runs.
    """
    return min(1.0, step / config.warm_up_steps) if config.warm_up_steps else 1.0


def kl_weight(share: float, config: ObjectiveConfig) -> float:
    """From kl_baseline x kl up to kl (beta max), which it then keeps."""
    risen = rise(share, config.kl_warm_up, config.kl_schedule, config.kl_cycles)
    return config.kl * (config.kl_baseline + (1.0 - config.kl_baseline) * risen)


def kl_top_weight(share: float, config: ObjectiveConfig) -> float:
    """The same of the slow latents of two levels."""
    risen = rise(share, config.kl_top_warm_up, config.kl_top_schedule, config.kl_top_cycles)
    return config.kl_top * (config.kl_top_baseline + (1.0 - config.kl_top_baseline) * risen)


def over_budget(share: float, start: float, end: float) -> float:
    """From start to end along half a cosine over the whole budget."""
    return start + (end - start) * rise(share, 1.0, "cosine")
