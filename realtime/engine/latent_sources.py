"""Sources of latent frames: the controls, an encoded input, a list of frames, the density of the training latents; and
the ramps on which controls glide.

`frames(count, controls)` returns the next (count, latent_dim) float32, in standard deviations. A source keeps its
position between calls, so the result does not depend on how frames are cut into calls.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from wavevae.controls import GENERATE, MODES, SAMPLE, TRANSFORM, ControlState

from ..model_info import largest_remainder
from .streaming_model import Audio, Frames


class Ramp:
    """Values (D,) that glide to their targets in a given number of steps, each on its own.

    How the steps are cut into calls makes no difference. A new target for one value leaves the others alone.
    """

    def __init__(self, value: ArrayLike) -> None:
        self.value: NDArray[np.float64] = np.atleast_1d(np.array(value, dtype=np.float64))
        self.target = self.value.copy()
        self._left = np.zeros(len(self.value), np.int64)

    @property
    def resting(self) -> bool:
        """Every value is at its target."""
        return not self._left.any()

    def rests_at_zero(self, place: int) -> bool:
        """One of the values is 0 and stays so."""
        return self.value[place] == 0 and self._left[place] == 0

    def rests_at(self, value: float) -> bool:
        return self.resting and bool((self.value == value).all())

    def aim(self, target: ArrayLike, steps: ArrayLike) -> None:
        """Set targets; the values whose target is new arrive after `steps` steps (0: with the next one), one
        number for all or (D,)."""
        new = np.atleast_1d(np.asarray(target, dtype=np.float64))
        moved = new != self.target
        if moved.any():
            self.target = np.where(moved, new, self.target)
            self._left = np.where(moved, np.maximum(1, steps), self._left).astype(np.int64)

    def jump(self, value: ArrayLike) -> None:
        """Be there now."""
        self.value = np.atleast_1d(np.array(value, dtype=np.float64))
        self.target = self.value.copy()
        self._left[:] = 0

    def advance(self, steps: int) -> NDArray[np.float64]:
        """The values after each of the next `steps` steps: (steps, D)."""
        if self.resting or steps == 0:
            return np.broadcast_to(self.value, (steps, len(self.value)))
        taken = np.arange(1, steps + 1)[:, None]
        share = np.minimum(taken / np.maximum(self._left, 1), 1.0)
        path = np.where(
            taken >= self._left, self.target, self.value + (self.target - self.value) * share
        )  # (steps, D)
        self.value = path[-1].copy()
        self._left = np.maximum(self._left - steps, 0)
        return path


class FrameSource(Protocol):
    """The interface of all sources."""

    def feed(self, audio: Audio, controls: ControlState) -> None:
        """Input samples, for a source that takes any."""

    def frames(self, count: int, controls: ControlState) -> Frames:
        """The next (count, latent_dim)."""

    def restart(self, controls: ControlState) -> None:
        """The model's state was cleared: forget what led here."""


class NoInput:
    """A source without an input."""

    def feed(self, audio: Audio, controls: ControlState) -> None:
        raise ValueError("this source takes no input sound")

    def restart(self, controls: ControlState) -> None:
        pass


class Wrapped:
    """A source that changes or passes on what another one gives."""

    def __init__(self, source: FrameSource) -> None:
        self._source = source

    def feed(self, audio: Audio, controls: ControlState) -> None:
        self._source.feed(audio, controls)

    def restart(self, controls: ControlState) -> None:
        self._source.restart(controls)


class ControlSource(NoInput):
    """Mode generate: every axis glides to its target, in the glide time that was set with the target."""

    def __init__(self, controls: ControlState, frame_rate: float) -> None:
        self._frame_rate = frame_rate
        self._glide = Ramp(controls.latents)

    def frames(self, count: int, controls: ControlState) -> Frames:
        self._glide.aim(controls.latents, np.rint(np.array(controls.glides_ms) / 1000 * self._frame_rate))
        return self._glide.advance(count).astype(np.float32)

    def restart(self, controls: ControlState) -> None:
        self._glide.jump(controls.latents)


class EncodedInput:
    """Mode transform: latents of the input sound, from the model's encoder.

    Frames need whole hops; so that blocks of the size first heard never leave one short, silence goes before
    the sound and delays it (by nothing, when blocks are whole hops).
    """

    def __init__(self, encode: Callable[[Audio], Frames], hop_length: int) -> None:
        self._encode, self._hop = encode, hop_length
        self._waiting: Audio | None = None

    def feed(self, audio: Audio, controls: ControlState | None = None) -> None:
        if self._waiting is None:
            self._waiting = np.zeros(largest_remainder(self._hop, len(audio)), np.float32)
        self._waiting = np.concatenate([self._waiting, audio]) if len(self._waiting) else audio

    def frames(self, count: int, controls: ControlState | None = None) -> Frames:
        wanted = count * self._hop
        waiting = np.zeros(0, np.float32) if self._waiting is None else self._waiting
        now, self._waiting = waiting[:wanted], waiting[wanted:]
        return self._encode(np.pad(now, (0, wanted - len(now))))  # silence where no input came

    def restart(self, controls: ControlState | None = None) -> None:
        self._waiting = None


class FrameList(NoInput):
    """A list of frames: `read(start, count)` returns (count, latent_dim)."""

    def __init__(self, read: Callable[[int, int], Frames]) -> None:
        self._read, self._place = read, 0

    def frames(self, count: int, controls: ControlState) -> Frames:
        frames = self._read(self._place, count)
        self._place += count
        return frames


class Sampler(Protocol):
    """`wavevae.latents.DensitySampler`, or anything that draws like it."""

    temperature: float

    def draw(self, frames: int) -> Frames: ...


class DensitySource(NoInput):
    """Mode sample: draws from the density of the training latents."""

    def __init__(self, sampler: Sampler, frame_rate: float) -> None:
        self._sampler, self._spread = sampler, Settling(frame_rate)

    def frames(self, count: int, controls: ControlState) -> Frames:
        widths = self._spread.advance(controls.spread, controls, count)
        if (widths == widths[0]).all():
            self._sampler.temperature = float(widths[0])
            return self._sampler.draw(count)
        return np.concatenate([self._draw_one(float(width)) for width in widths])

    def _draw_one(self, width: float) -> Frames:
        self._sampler.temperature = width
        return self._sampler.draw(1)


class Settling:
    """One number of the controls that glides to where it is set; the first time it is there at once."""

    def __init__(self, frame_rate: float) -> None:
        self._frame_rate = frame_rate
        self._ramp: Ramp | None = None

    def advance(self, value: float, controls: ControlState, count: int) -> NDArray[np.float64]:
        """The next (count,) values."""
        if self._ramp is None:
            self._ramp = Ramp(value)
        self._ramp.aim(value, round(controls.settle_ms / 1000 * self._frame_rate))
        return self._ramp.advance(count)[:, 0]


class NoisySource(Wrapped):
    """Adds Gaussian noise to the frames of another source: temperature is its standard deviation, the first axes
    (pitch, loudness and periodicity of an instrument) stay as they are."""

    def __init__(self, source: FrameSource, seed: int, frame_rate: float, first: int = 0) -> None:
        super().__init__(source)
        self._random, self._first = np.random.default_rng(seed), first
        self._temperature = Settling(frame_rate)

    def frames(self, count: int, controls: ControlState) -> Frames:
        frames = self._source.frames(count, controls)
        widths = self._temperature.advance(controls.temperature, controls, count)[:, None]
        if widths.any():
            noise = self._random.standard_normal(frames.shape, np.float32)
            noise[:, : self._first] = 0.0
            frames = frames + widths.astype(np.float32) * noise
        return frames.astype(np.float32, copy=False)


class RecordingSource(Wrapped):
    """Passes the frames of another source on, and also to `keep`."""

    def __init__(self, source: FrameSource, keep: Callable[[Frames], None]) -> None:
        super().__init__(source)
        self._keep = keep

    def frames(self, count: int, controls: ControlState) -> Frames:
        frames = self._source.frames(count, controls)
        self._keep(frames)
        return frames


MODE_FADE_MS = 60.0


class LiveSource:
    """The mode's source; its change is a cross-fade of latents.

    generate: the targets. transform: scale * z + bias of the encoded input. sample: a draw, moved by the targets.
    A mode that has no source here (no encoder, no density) plays the targets.
    """

    def __init__(
        self,
        controls: ControlState,
        frame_rate: float,
        encoded: EncodedInput | None = None,
        drawn: DensitySource | None = None,
    ) -> None:
        self._frame_rate, self._encoded, self._drawn = frame_rate, encoded, drawn
        self._knobs = ControlSource(controls, frame_rate)
        self._scale, self._bias = Ramp(controls.scale), Ramp(controls.bias)
        self._shares = Ramp(self._one_hot(controls.mode))

    def _one_hot(self, mode: int) -> Frames:
        """(3,): all of it to one mode."""
        missing = (mode == TRANSFORM and self._encoded is None) or (mode == SAMPLE and self._drawn is None)
        return np.eye(len(MODES), dtype=np.float32)[GENERATE if missing else mode]

    def feed(self, audio: Audio, controls: ControlState) -> None:
        if self._encoded is not None and (controls.mode == TRANSFORM or self._shares.value[TRANSFORM] > 0):
            self._encoded.feed(audio)

    def frames(self, count: int, controls: ControlState) -> Frames:
        self._shares.aim(self._one_hot(controls.mode), self._steps(MODE_FADE_MS))
        before = self._shares.value
        shares = self._shares.advance(count)  # (count, 3)
        targets = self._knobs.frames(count, controls)
        sources = (
            lambda: targets,
            lambda: self._transformed(count, controls),
            lambda: self._draws(count, controls) + targets,
        )
        mixed = np.zeros_like(targets)
        for mode, source in enumerate(sources):
            if before[mode] > 0 or shares[:, mode].any():
                mixed = mixed + shares[:, mode : mode + 1] * source()
        if self._encoded is not None and self._shares.rests_at_zero(TRANSFORM):
            self._encoded.restart()
        return mixed.astype(np.float32)

    def restart(self, controls: ControlState) -> None:
        self._knobs.restart(controls)
        self._scale.jump(controls.scale)
        self._bias.jump(controls.bias)
        self._shares.jump(self._one_hot(controls.mode))
        if self._encoded is not None:
            self._encoded.restart()

    def _transformed(self, count: int, controls: ControlState) -> Frames:
        assert self._encoded is not None
        steps = self._steps(controls.settle_ms)
        self._scale.aim(controls.scale, steps)
        self._bias.aim(controls.bias, steps)
        moved = self._scale.advance(count) * self._encoded.frames(count) + self._bias.advance(count)
        return moved.astype(np.float32)

    def _draws(self, count: int, controls: ControlState) -> Frames:
        assert self._drawn is not None
        return self._drawn.frames(count, controls)

    def _steps(self, milliseconds: float) -> int:
        return round(milliseconds / 1000 * self._frame_rate)
