"""What several processes must have in common; with one process nothing is sent."""

from __future__ import annotations

import torch
import torch.distributed as dist
from torch import Tensor


def ranks() -> int:
    """How many processes train together."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def sum_over_ranks(x: Tensor) -> Tensor:
    """The sum of a tensor over all processes, the same bits on each."""
    if ranks() > 1:
        dist.all_reduce(x)
    return x


def gathered(x: Tensor) -> Tensor:
    """(N, ...) of each process -> (ranks x N, ...) on every one; N is the same on all."""
    if ranks() == 1:
        return x
    parts = [torch.empty_like(x) for _ in range(ranks())]
    dist.all_gather(parts, x.contiguous())
    return torch.cat(parts)


def mean_over_ranks(x: Tensor) -> Tensor:
    """Value: the mean over all processes. Gradient: as if it were this process' own x.

    DDP averages the gradients of the processes, so a loss f(mean of x) gets the gradient it would have had on one
    process with everybody's data; f(x) on each would get another one wherever f is not linear.
    """
    if ranks() == 1:
        return x
    shared = sum_over_ranks(x.detach().clone()) / ranks()
    return x + (shared - x.detach())


def from_first(x: Tensor) -> Tensor:
    """The first process' tensor, on every process."""
    if ranks() > 1:
        dist.broadcast(x, src=0)
    return x
