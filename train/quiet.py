"""How the process behaves: threads, denormals, and no chatter from the libraries."""

from __future__ import annotations

import logging
import os
import warnings


def before_torch() -> None:
    """Environment that is read when torch loads: threads that wait must not spin beside a busy neighbour."""
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")


def hush() -> None:
    """Lightning's tips and hints are meant for programmers."""
    for name in (
        "pytorch_lightning",
        "lightning",
        "lightning.pytorch",
        "lightning_fabric",
        "lightning.fabric",
    ):
        logging.getLogger(name).setLevel(logging.ERROR)
    for module in ("pytorch_lightning", "lightning_fabric", "lightning_utilities", "torch", "tensorboard"):
        warnings.filterwarnings("ignore", module=module)


def cores() -> int:
    """Cores this process may use: OMP_NUM_THREADS where it is set, else those the system gives it."""
    wished = os.environ.get("OMP_NUM_THREADS", "")
    if wished.isdigit() and int(wished) > 0:
        return int(wished)
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def settle_torch(processes: int) -> int:
    """Threads shared by the processes on this machine; returns how many each has."""
    import torch

    threads = max(1, cores() // processes)
    torch.set_num_threads(threads)
    torch.set_flush_denormal(True)
    return threads
