"""What changes over training, as a function of the share of the budget used: 0 at the start, 1 at the end.

Keyed to the share and not to steps, so that a 10-minute and a 10-hour run both end annealed.

    learning rate   /''--..             KL weight        _______ beta max
                   /       ''-..                        /
                  /             ''--_      baseline ___/
                  0  warm_up        1               0  kl_warm_up   1
"""

from __future__ import annotations

import math

from wavevae.config import ObjectiveConfig, TrainConfig


def rise(share: float, over: float, shape: str = "linear") -> float:
    """0 at share 0 to 1 at share `over` and after; shape constant (always 1), linear or cosine."""
    if shape == "constant" or over <= 0:
        return 1.0
    part = min(1.0, max(0.0, share) / over)
    return 0.5 - 0.5 * math.cos(math.pi * part) if shape == "cosine" else part


def learning_rate(share: float, config: TrainConfig) -> float:
    """Linear warm-up from a hundredth, then half a cosine to zero (Loshchilov & Hutter 2017, eq. 5)."""
    share = min(1.0, max(0.0, share))
    if share < config.warm_up:
        return config.learning_rate * (0.01 + 0.99 * share / config.warm_up)
    part = (share - config.warm_up) / max(1e-9, 1.0 - config.warm_up)
    return config.learning_rate * (0.5 + 0.5 * math.cos(math.pi * part))


def kl_weight(share: float, config: ObjectiveConfig) -> float:
    """From kl_baseline x kl up to kl (beta max), which it then keeps."""
    risen = rise(share, config.kl_warm_up, config.kl_schedule)
    return config.kl * (config.kl_baseline + (1.0 - config.kl_baseline) * risen)


def over_budget(share: float, start: float, end: float) -> float:
    """From start to end along half a cosine over the whole budget."""
    return start + (end - start) * rise(share, 1.0, "cosine")
