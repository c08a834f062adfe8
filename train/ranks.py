"""What the processes of a run must agree on; with one process everything is agreed already."""

from __future__ import annotations

import math

import torch
import torch.distributed as dist

LR_SCALINGS = {"sqrt": math.sqrt, "linear": float, "none": lambda ranks: 1.0}
"""How the learning rate grows with the number of processes, each of which brings a batch of its own: with its square
root for Adam (Malladi et al. 2022), in proportion for SGD (Goyal et al. 2017), or not at all."""


def world_size() -> int:
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def rate_factor(rule: str, ranks: int) -> float:
    """What the learning rate is multiplied by; 1 for one process whatever the rule."""
    return float(LR_SCALINGS[rule](ranks))


def clock_of_first_wish_of_any(share: float, stop: bool, device: torch.device) -> tuple[float, bool]:
    """The first process' share of the budget (clocks differ, decisions must not), and whether any wants to stop."""
    if world_size() == 1:
        return share, stop
    real = torch.float64 if device.type != "mps" else torch.float32
    told = torch.tensor([share if dist.get_rank() == 0 else 0.0, float(stop)], dtype=real, device=device)
    dist.all_reduce(told, op=dist.ReduceOp.MAX)
    found = told.tolist()
    return found[0], found[1] > 0
