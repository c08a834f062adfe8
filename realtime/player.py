"""The engine's process: loads and warms the model, says what it found, then keeps the ring full."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from multiprocessing.connection import Connection

import numpy as np
from numpy.typing import NDArray

from wavevae.controls import ControlState
from wavevae.errors import UserError
from wavevae.units import amplitude_to_db

from .processes import ask_for_real_time, quiet, settle
from .shared import LARGEST_LATENT_DIM, Count, Shared

FLOOR_DB = -120.0
MEASURED_SECONDS = 0.3
"""Busy at real-time priority: well below the 0.95 s after which Linux would stop it."""
FORGET = 0.05
"""Share of the newest block in the running mean of the time a block takes."""
SHORTEST_PAUSE_S, LONGEST_PAUSE_S = 0.0002, 0.002


@dataclass(frozen=True)
class Failed:
    """The engine could not start; `status` as the command's."""

    message: str
    status: int


@dataclass(frozen=True)
class Ready:
    """A warmed engine, with its measured speed."""

    sample_rate: int
    hop_length: int
    latent_dim: int
    algorithmic_latency_samples: int
    block_ms: float
    """Median time a block takes."""
    worst_block_ms: float
    real_time_factor: float
    priority: str


def play(model: str, seed: int, shared: Shared, pipe: Connection) -> None:
    """Entry point of the process. Sends Failed or Ready, waits for the word to start, plays until QUIT."""
    settle()
    try:
        player = Player(model, seed, shared)
        ready = player.get_ready()
    except UserError as error:
        pipe.send(Failed(str(error), 2))
        return
    except Exception as error:
        pipe.send(Failed(f"the engine could not start: {type(error).__name__}: {error}", 1))
        return
    pipe.send(ready)
    try:
        pipe.recv()
    except EOFError:
        return
    quiet()
    player.run()


class Player:
    """An engine that is driven by the shared controls and fills the shared ring."""

    def __init__(self, model: str, seed: int, shared: Shared) -> None:
        import torch

        from wavevae.bundle import read_bundle

        from .engine import Engine
        from .sources import Knobs, Shaken

        torch.set_num_threads(1)
        bundle = read_bundle(model)
        self.info, self.shared, self.block_size = bundle.info, shared, shared.ring.block_size
        if self.info.latent_dim > LARGEST_LATENT_DIM:
            raise UserError(
                f"{model} has {self.info.latent_dim} latents; serve plays up to {LARGEST_LATENT_DIM}"
            )
        self.controls = ControlState.initial(self.info.latent_dim)
        source = Shaken(Knobs(self.controls, self.info.frame_rate), seed)
        self.engine = Engine(bundle.module, self.info.sample_rate, self.info.hop_length, source)
        self.block_s = self.block_size / self.info.sample_rate
        self.mean_s = self.worst_s = 0.0

    def get_ready(self) -> Ready:
        """Warm up, ask for priority, measure with it."""
        self.engine.warm_up(self.block_size, self.info.latent_dim)
        priority = ask_for_real_time()
        spent = self._measure()
        self.mean_s = float(spent.mean())
        return Ready(
            self.info.sample_rate,
            self.info.hop_length,
            self.info.latent_dim,
            self.info.algorithmic_latency_samples,
            float(np.median(spent)) * 1000,
            float(spent.max()) * 1000,
            self.block_s / max(self.mean_s, 1e-9),
            priority,
        )

    def _measure(self) -> NDArray[np.float64]:
        """Seconds each of many blocks takes; the engine is as new afterwards."""
        spent: list[float] = []
        until = time.perf_counter() + MEASURED_SECONDS
        while time.perf_counter() < until or len(spent) < 3:
            start = time.perf_counter()
            self.engine.process(self.controls, self.block_size)
            spent.append(time.perf_counter() - start)
        self.engine.begin_again(self.controls)
        return np.array(spent)

    def run(self) -> None:
        """Until QUIT: a block whenever the ring has room."""
        counts, ring = self.shared.counts, self.shared.ring
        pause = min(max(self.block_s / 10, SHORTEST_PAUSE_S), LONGEST_PAUSE_S)
        while not counts[Count.QUIT]:
            if ring.full:
                time.sleep(pause)
                continue
            if counts[Count.STOP]:
                self.engine.fade_out()
            ring.put(self._next_block())
            counts[Count.SILENT] = self.engine.silent
            counts[Count.CLIPPED] = self.engine.clipped
            counts[Count.BROKEN] = self.engine.broken

    def _next_block(self) -> NDArray[np.float32]:
        """Compute a block from the newest controls, and tell the meter."""
        start = time.perf_counter()
        packed = self.shared.controls.read()
        if len(packed):
            self.controls = ControlState.unpack(packed.tolist())
        block = self.engine.process(self.controls, self.block_size)
        spent = time.perf_counter() - start
        self.mean_s += FORGET * (spent - self.mean_s)
        self.worst_s = max(self.worst_s, spent)
        level = amplitude_to_db(math.sqrt(float(np.mean(block**2))), FLOOR_DB)
        self.shared.meter.write(level, self.block_s / self.mean_s, self.worst_s * 1000, self.engine.latents)
        return block
