"""What is known of a run's processes before torch is loaded."""

from __future__ import annotations

import os
from typing import NamedTuple

RANK_VARIABLES = ("RANK", "LOCAL_RANK", "NODE_RANK", "GROUP_RANK", "SLURM_PROCID")
FOLDER_VARIABLE = "WAVEVAE_RUN"
"""Tells the processes that a run starts on this machine which folder the first one chose."""
BY_HAND = ("bash", "interactive")
"""Names of SLURM jobs in which somebody types: Lightning takes no part in those."""


class Launched(NamedTuple):
    """Who started the processes of this run, and how many there are."""

    by: str
    """torchrun or SLURM."""
    a_node: int
    nodes: int


def is_first() -> bool:
    """Whether this process is the one that makes folders and speaks."""
    return all(os.environ.get(name, "0") == "0" for name in RANK_VARIABLES)


def chosen_folder() -> str | None:
    """The folder the first process chose, on the others."""
    return None if is_first() else os.environ.get(FOLDER_VARIABLE)


def launched() -> Launched | None:
    """By torchrun or srun, as their variables say; none where this process starts the others itself."""
    if "TORCHELASTIC_RUN_ID" in os.environ:
        return Launched("torchrun", number("LOCAL_WORLD_SIZE"), number("GROUP_WORLD_SIZE"))
    tasks, nodes = number("SLURM_NTASKS"), number("SLURM_NNODES")
    if "SLURM_PROCID" in os.environ and tasks > 1 and os.environ.get("SLURM_JOB_NAME") not in BY_HAND:
        return Launched("SLURM", max(1, tasks // nodes), nodes)
    return None


def number(variable: str) -> int:
    """Of the environment; 1 where it is not there."""
    text = os.environ.get(variable, "")
    return int(text) if text.isdigit() and int(text) > 0 else 1
