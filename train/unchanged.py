"""What `--overfit` makes of a configuration; no torch, it is asked for before anything is loaded."""

from __future__ import annotations

from typing import Any

from wavevae.config import RunConfig, override

EPOCHS = 40
"""Study A's; unless a budget is given."""
LEFT_OUT = (
    "polarity",
    "phase",
    "gain_db",
    "pitch_semitones",
    "label_dropout",
    "tied_semitones",
    "tied_gain_db",
)
"""Changes of the chunks and of their labels."""


def by_heart(config: RunConfig, has_budget: bool) -> RunConfig:
    """Chunks as they are, a validation an epoch, EPOCHS of them where no budget was typed; else as it was."""
    chunks = config.data.overfit
    if not chunks:
        return config
    steps = max(1, round(chunks / config.train.batch_size))
    values: dict[str, Any] = {f"data.{name}": 0.0 for name in LEFT_OUT}
    values["train.validate_every"] = steps
    if not has_budget:
        values |= {"train.max_time_s": None, "train.max_steps": EPOCHS * steps}
    return override(config, values)
