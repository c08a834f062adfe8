"""Steps whose loss or gradient is not finite move nothing; a GPU is never asked for a number to find that out."""

from __future__ import annotations

from collections.abc import Iterable

import torch
import torch.distributed as dist
from torch import Tensor, nn

from .ranks import world_size


class StepGuard:
    """Counts and skips such steps of one optimizer, on all processes alike.

    A fused optimizer reads `found_inf` in its own kernel (as under a gradient scaler) and then leaves weights, moments
    and step count alone: the host need not wait for the device. Another one has its gradients taken away, which does
    wait.
    """

    def __init__(self) -> None:
        self.bad = torch.zeros(())
        """1 where the last step was skipped, else 0; on the device."""
        self.counts = torch.zeros(2)
        """Steps skipped so far, and in a row."""

    @property
    def skipped(self) -> int:
        """So far; asks the device."""
        return int(self.counts[0])

    @property
    def in_a_row(self) -> int:
        """Asks the device."""
        return int(self.counts[1])

    def resume(self, skipped: int) -> None:
        """Go on counting."""
        self.counts = torch.tensor([float(skipped), 0.0])

    def check(
        self, finite: Tensor, optimizer: torch.optim.Optimizer | None, weights: Iterable[nn.Parameter]
    ) -> None:
        """`finite` (): whether all is well on this process; to be called before the optimizer's step."""
        self.bad = (~finite.detach()).float()
        if world_size() > 1:
            dist.all_reduce(self.bad, op=dist.ReduceOp.MAX)
        counts = self.counts.to(self.bad.device, non_blocking=True)
        self.counts = torch.stack([counts[0] + self.bad, (counts[1] + 1) * self.bad])
        if optimizer is not None and all(group.get("fused") for group in optimizer.param_groups):
            optimizer.found_inf = self.bad  # type: ignore[attr-defined]
        elif bool(self.bad):
            for weight in weights:
                weight.grad = None
