"""What can be turned while it plays: name, unit, range, default. No torch: the control process imports this.

The control side replaces a `ControlState` whole; the engine reads it once a block.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


class Refused(ValueError):
    """A control message that changes nothing: what was wrong with it, for its sender."""


@dataclass(frozen=True)
class Control:
    """One number that can be set."""

    name: str
    unit: str
    low: float
    high: float
    default: float
    doc: str

    def check(self, value: object) -> float:
        """The value as a float. Raises: Refused unless it is a finite number within the range."""
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise Refused(f"{self.name} is {value!r}; send a number")
        if not math.isfinite(value):
            raise Refused(f"{self.name} is {value}; send a finite number")
        if not self.low <= value <= self.high:
            raise Refused(
                f"{self.name} is {value:g}; send {self.low:g} to {self.high:g} {self.unit}".rstrip()
            )
        return float(value)


LATENT = Control("latent", "standard deviations", -10, 10, 0, "target of one latent axis, 0 = its mean")
GAIN = Control("gain", "dB", -120, 24, 0, "level of the output; also ends the silence after a panic")
SMOOTHING = Control("smoothing", "ms", 0, 60_000, 30, "time in which a latent glides to its target")
TEMPERATURE = Control("temperature", "standard deviations", 0, 4, 0, "noise on the latents, new every frame")
CONTROLS = (LATENT, GAIN, SMOOTHING, TEMPERATURE)


@dataclass(frozen=True)
class ControlState:
    """Everything the control side has set, at one moment."""

    latents: tuple[float, ...]
    """Target of each axis, in standard deviations of the training data."""
    gain_db: float = GAIN.default
    smoothing_ms: float = SMOOTHING.default
    temperature: float = TEMPERATURE.default
    frozen: bool = False
    """Hold the present latents, whatever the targets."""
    muted: bool = False
    """Silence since a panic; a gain or a reset message ends it."""
    resets: int = 0
    """How often the model's state was to be cleared; the engine acts when it sees the count change."""

    @classmethod
    def initial(cls, latent_dim: int) -> ControlState:
        """Every axis at its mean, every control at its default."""
        return cls(latents=(LATENT.default,) * latent_dim)

    def pack(self) -> NDArray[np.float64]:
        """As (PACKED_SCALARS + latent_dim,) numbers, for shared memory."""
        scalars = (self.gain_db, self.smoothing_ms, self.temperature, self.frozen, self.muted, self.resets)
        return np.array((*scalars, *self.latents), dtype=np.float64)

    @classmethod
    def unpack(cls, values: Iterable[float]) -> ControlState:
        """The reverse of `pack`."""
        gain, smoothing, temperature, frozen, muted, resets, *latents = values
        return cls(tuple(latents), gain, smoothing, temperature, bool(frozen), bool(muted), int(resets))


PACKED_SCALARS = 6
