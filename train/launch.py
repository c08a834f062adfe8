"""What is known of a run's processes before torch is loaded."""

from __future__ import annotations

import os

RANK_VARIABLES = ("RANK", "LOCAL_RANK", "NODE_RANK", "GROUP_RANK", "SLURM_PROCID")
FOLDER_VARIABLE = "WAVEVAE_RUN"
"""Tells the processes that a run starts on this machine which folder the first one chose."""


def is_first() -> bool:
    """Whether this process is the one that makes folders and speaks."""
    return all(os.environ.get(name, "0") == "0" for name in RANK_VARIABLES)


def chosen_folder() -> str | None:
    """The folder the first process chose, on the others."""
    return None if is_first() else os.environ.get(FOLDER_VARIABLE)
