"""Measures wall and CPU time of calls on a busy machine, and the peak rate of the core.

CPU time leaves out waiting for a core that other programs use, but not their effect on its caches and its clock rate.
So calls that are compared are measured in turns, a burst of each, with the peak measured beside them.

    python -I block_timing.py MODEL.ts METHOD CHANNELS FRAMES      times the first calls, in a process of its own
"""

from __future__ import annotations

import json
import math
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch.utils._python_dispatch import TorchDispatchMode

BURST = 8
"""Calls counted in a row; before them some that only fill the caches."""
SETTLE = 2
WARM_UP = 8
"""Calls before anything is counted: the first ones compile."""
SQUARE = 1024
"""Of the matrix product whose rate is called the core's peak."""

Call = Callable[[], object]


@dataclass
class Times:
    """Of one kind of call, seconds each; `bursts` holds the median CPU time of every burst."""

    wall: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)
    bursts: list[float] = field(default_factory=list)

    def summary(self) -> dict[str, float]:
        """Milliseconds."""
        wall, cpu = 1e3 * np.array(self.wall), 1e3 * np.array(self.cpu)
        return {
            "median_ms": float(np.median(wall)),
            "p99_ms": float(np.quantile(wall, 0.99)),
            "max_ms": float(wall.max()),
            "cpu_median_ms": float(np.median(cpu)),
            "cpu_p99_ms": float(np.quantile(cpu, 0.99)),
        }


def in_turns(calls: Sequence[Call], rounds: int) -> list[Times]:
    """A burst of each call in turn, so many rounds."""
    times = [Times() for _ in calls]
    for call in calls:
        for _ in range(WARM_UP):
            call()
    for _ in range(rounds):
        for kept, call in zip(times, calls, strict=True):
            burst(call, kept)
    return times


def burst(call: Call, kept: Times) -> None:
    for turn in range(SETTLE + BURST):
        wall, cpu = time.perf_counter(), time.thread_time()
        call()
        spent, busy = time.perf_counter() - wall, time.thread_time() - cpu
        if turn >= SETTLE:
            kept.wall.append(spent)
            kept.cpu.append(busy)
    kept.bursts.append(float(np.median(kept.cpu[-BURST:])))


def ratio(ours: Times, theirs: Times) -> float:
    """How many times the CPU time of ours theirs take: the median over pairs of bursts."""
    return float(np.median(np.array(theirs.bursts) / np.array(ours.bursts)))


def peak_flops(rounds: int = 2) -> float:
    """Of this core at this moment: a square matrix product, CPU time, the best of some."""
    square = torch.randn(SQUARE, SQUARE)
    times = Times()
    for _ in range(rounds):
        burst(lambda: torch.mm(square, square), times)
    return 2 * SQUARE**3 / min(times.bursts)


def work_of(call: Call) -> int:
    """Multiplications and additions of all matrix products and convolutions in one call."""
    with torch.no_grad(), Ledger() as ledger:
        call()
    return ledger.operations


class Ledger(TorchDispatchMode):
    """Adds up the work of the operators that pass, also of those inside scripted modules."""

    def __init__(self) -> None:
        super().__init__()
        self.operations = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        name = func.__name__.split(".")[0]
        if name in MATRIX_AT:
            inner = args[MATRIX_AT[name]].shape[-1]
            self.operations += 2 * inner * out.numel()
        elif name == "linear_dynamic_fp16":
            self.operations += 2 * args[0].shape[-1] * out.numel()
        elif name in ("conv1d", "conv2d", "convolution", "_convolution", "mkldnn_convolution"):
            transposed = name in ("convolution", "_convolution") and bool(args[6])
            per_item = math.prod(args[1].shape[1:])
            self.operations += 2 * per_item * (args[0].numel() if transposed else out.numel())
        elif name in ("conv_transpose1d", "conv_transpose2d"):
            self.operations += 2 * math.prod(args[1].shape[1:]) * args[0].numel()
        return out


MATRIX_AT = {"mm": 0, "bmm": 0, "linear": 0, "matmul": 0, "addmm": 1, "addmm_": 1, "baddbmm": 1}
"""Where the left factor stands among an operator's arguments."""


FIRST_CALLS = 6
"""Timed in a fresh process."""


def resident() -> int:
    """Bytes of memory held, 0 where the system does not say."""
    try:
        with open("/proc/self/statm") as file:
            pages = int(file.read().split()[1])
    except OSError:
        return 0
    return pages * 4096


def timed(call: Call) -> tuple[float, float]:
    wall, cpu = time.perf_counter(), time.process_time()
    call()
    return time.perf_counter() - wall, time.process_time() - cpu


def main(path: str, method: str, channels: str, frames: str) -> None:
    """Times a fresh process that loads a model file and plays it at once; prints one JSON object.

    Wall and CPU time in seconds; memory in bytes, without what importing torch takes.
    """
    torch.set_num_threads(1)
    before = resident()
    loaded: list[torch.jit.ScriptModule] = []
    load = timed(lambda: loaded.append(torch.jit.load(path, map_location="cpu").eval()))
    play, x = getattr(loaded[0], method), torch.zeros(1, int(channels), int(frames))
    with torch.inference_mode():
        calls = [timed(lambda: play(x)) for _ in range(FIRST_CALLS)]
    print(json.dumps({"load_s": load, "calls_s": calls, "memory_bytes": resident() - before}))


if __name__ == "__main__":
    main(*sys.argv[1:])
