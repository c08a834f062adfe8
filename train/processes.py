"""The processes of a run: who started them, what they agree on, how many threads each has. Loads torch only when it is
used."""

from __future__ import annotations

import math
import os
from typing import TYPE_CHECKING, NamedTuple

from wavevae import console

if TYPE_CHECKING:
    import torch

RANK_VARIABLES = ("RANK", "LOCAL_RANK", "NODE_RANK", "GROUP_RANK", "SLURM_PROCID")
FOLDER_VARIABLE = "WAVEVAE_RUN"
"""Run folder that the first process chose, for the processes that it starts on this machine."""
INTERACTIVE_JOBS = ("bash", "interactive")
"""Names of SLURM jobs in which somebody types; Lightning ignores them."""
LR_SCALING = {"sqrt": math.sqrt, "linear": float, "none": lambda processes: 1.0}
"""How the learning rate grows with the number of processes, each of which adds a batch: with its square root for Adam
(Malladi et al. 2022), in proportion for SGD (Goyal et al. 2017), or not at all."""


class Launched(NamedTuple):
    """Who started the processes of this run, and how many there are."""

    by: str
    """torchrun or SLURM."""
    per_node: int
    nodes: int


def launched() -> Launched | None:
    """By torchrun or srun, as their variables say; none where this process starts the others itself."""
    if "TORCHELASTIC_RUN_ID" in os.environ:
        return Launched("torchrun", _count("LOCAL_WORLD_SIZE"), _count("GROUP_WORLD_SIZE"))
    tasks, nodes = _count("SLURM_NTASKS"), _count("SLURM_NNODES")
    interactive = os.environ.get("SLURM_JOB_NAME") in INTERACTIVE_JOBS
    if "SLURM_PROCID" in os.environ and tasks > 1 and not interactive:
        return Launched("SLURM", max(1, tasks // nodes), nodes)
    return None


def _count(variable: str) -> int:
    """A number from the environment; 1 where it is not there."""
    text = os.environ.get(variable, "")
    return int(text) if text.isdigit() and int(text) > 0 else 1


def is_first() -> bool:
    """Whether this process is the one that makes folders and prints."""
    return all(os.environ.get(name, "0") == "0" for name in RANK_VARIABLES)


def chosen_folder() -> str | None:
    """The folder that the first process chose, on the others."""
    return None if is_first() else os.environ.get(FOLDER_VARIABLE)


def say(line: str) -> None:
    """A message on standard error, from the first process only."""
    if is_first():
        console.say(line)


def lr_factor(rule: str, processes: int) -> float:
    """What the learning rate is multiplied by; 1 for one process whatever the rule."""
    return float(LR_SCALING[rule](processes))


def sync_progress_and_stop(progress: float, stop: bool, device: torch.device) -> tuple[float, bool]:
    """The first process' progress (clocks differ, decisions must not), and whether any process has to stop."""
    import torch
    import torch.distributed as dist

    from wavevae.nn.distributed import ranks

    if ranks() == 1:
        return progress, stop
    dtype = torch.float64 if device.type != "mps" else torch.float32
    own = [progress if dist.get_rank() == 0 else 0.0, float(stop)]
    largest = torch.tensor(own, dtype=dtype, device=device)
    dist.all_reduce(largest, op=dist.ReduceOp.MAX)
    progress, stops = largest.tolist()
    return progress, stops > 0


def set_environment() -> None:
    """Variables that are read when torch loads: threads that wait must not spin beside a busy neighbour."""
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")


def cores() -> int:
    """Cores this process may use: OMP_NUM_THREADS where it is set, else those the system gives it."""
    asked = os.environ.get("OMP_NUM_THREADS", "")
    if asked.isdigit() and int(asked) > 0:
        return int(asked)
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def set_threads(processes: int) -> int:
    """Share the cores of this machine between its processes; returns the threads of each."""
    import torch

    threads = max(1, cores() // processes)
    torch.set_num_threads(threads)
    torch.set_flush_denormal(True)
    return threads
