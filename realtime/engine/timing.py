"""Computes delays from block size, ring depth and hop length. Imports no torch: the audio process uses it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

from wavevae.controls import SMOOTHING

from ..model_info import ModelInfo

FADE_MS = 10.0
"""Start, stop, panic and reset: long enough not to click, short enough to be now."""


def largest_remainder(hop_length: int, block_size: int) -> int:
    """Samples of a decoded hop that may wait for the next block, at most (0: blocks are whole hops)."""
    return hop_length - math.gcd(hop_length, block_size)


@dataclass(frozen=True)
class Delay:
    """From a message to its sound, at most; every part in ms."""

    next_block: float
    """Controls are read once a block."""
    ring: float
    """Blocks computed ahead."""
    remainder: float
    """What is left of a decoded hop when blocks are not whole hops."""
    model: float
    """The model's own delay."""
    device: float
    """As the device states it."""

    @property
    def total(self) -> float:
        return self.next_block + self.ring + self.remainder + self.model + self.device

    def __str__(self) -> str:
        return (
            f"control to sound at most {self.total:.1f} ms = {self.next_block:.1f} until the next block "
            f"+ {self.ring:.1f} ring + {self.remainder:.1f} rest of a hop + {self.model:.1f} model "
            f"+ {self.device:.1f} device (latents glide {SMOOTHING.default:g} ms)"
        )


def count_delay(about: ModelInfo, block_size: int, ring_depth: int, device_s: float) -> Delay:
    """The parts of the delay of an engine that plays blocks of this size."""
    per_sample = 1000 / about.sample_rate
    return Delay(
        block_size * per_sample,
        ring_depth * block_size * per_sample,
        largest_remainder(about.hop_length, block_size) * per_sample,
        about.algorithmic_latency_samples * per_sample,
        device_s * 1000,
    )


class Latencies(Protocol):
    """What an opened device states, s."""

    @property
    def latency_s(self) -> float: ...

    @property
    def input_latency_s(self) -> float: ...

    @property
    def rebuffered_s(self) -> float: ...


def describe_input_delay(about: ModelInfo, block_size: int, ring_depth: int, opened: Latencies) -> str:
    """From a live input to its sound: what is computed here, and what the device states of itself."""
    per_sample = 1000 / about.sample_rate
    parts = (
        ring_depth * block_size * per_sample,
        largest_remainder(about.hop_length, block_size) * per_sample,
        about.input_latency_samples * per_sample,
        1000 * opened.rebuffered_s,
    )
    cut = f" + {parts[3]:.1f} cutting periods into blocks" if parts[3] else ""
    return (
        f"heard to sound {sum(parts):.1f} ms = {parts[0]:.1f} ring + {parts[1]:.1f} rest of a hop + "
        f"{parts[2]:.1f} model{cut}, and the device's {1000 * opened.input_latency_s:.1f} in and "
        f"{1000 * (opened.latency_s - opened.rebuffered_s):.1f} out"
    )


SMALLEST_RING, SMALLEST_RING_MS = 2, 25.0


def good_depth(block_size: int, sample_rate: int) -> int:
    """Blocks to compute ahead: at least two, and 25 ms."""
    return max(SMALLEST_RING, math.ceil(SMALLEST_RING_MS * sample_rate / 1000 / block_size))
