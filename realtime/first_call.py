"""Run by path in a process of its own: what a host meets that loads a model file and plays it at once.

    python -I first_call.py MODEL.ts METHOD CHANNELS FRAMES      prints one JSON object

Times by the clock and of the CPU, in seconds; memory in bytes, of which importing torch is left out.
"""

import json
import sys
import time
from collections.abc import Callable

import torch

CALLS = 6


def resident() -> int:
    """Bytes of memory held, 0 where the system does not say."""
    try:
        with open("/proc/self/statm") as file:
            pages = int(file.read().split()[1])
    except OSError:
        return 0
    return pages * 4096


def timed(call: Callable[[], object]) -> tuple[float, float]:
    wall, cpu = time.perf_counter(), time.process_time()
    call()
    return time.perf_counter() - wall, time.process_time() - cpu


def main(path: str, method: str, channels: str, frames: str) -> None:
    torch.set_num_threads(1)
    before = resident()
    loaded: list[torch.jit.ScriptModule] = []
    load = timed(lambda: loaded.append(torch.jit.load(path, map_location="cpu").eval()))
    play, x = getattr(loaded[0], method), torch.zeros(1, int(channels), int(frames))
    with torch.inference_mode():
        calls = [timed(lambda: play(x)) for _ in range(CALLS)]
    print(json.dumps({"load_s": load, "calls_s": calls, "memory_bytes": resident() - before}))


if __name__ == "__main__":
    main(*sys.argv[1:])
