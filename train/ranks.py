"""What the processes of a run must agree on; with one process everything is agreed already."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.distributed as dist


def world_size() -> int:
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def first_decides(values: Sequence[float], device: torch.device) -> list[float]:
    """The first process' numbers, on every process: clocks differ, decisions must not."""
    if world_size() == 1:
        return list(values)
    shared = torch.tensor(
        values, dtype=torch.float64 if device.type != "mps" else torch.float32, device=device
    )
    dist.broadcast(shared, src=0)
    return [float(v) for v in shared.tolist()]


def all_agree(ok: bool, device: torch.device) -> bool:
    """Whether it is so on every process."""
    if world_size() == 1:
        return ok
    vote = torch.tensor(float(ok), device=device)
    dist.all_reduce(vote, op=dist.ReduceOp.MIN)
    return bool(vote.item())
