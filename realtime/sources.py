"""Where latent frames come from: the controls, a sound, a list of frames, a density.

Each is asked for the next `count` frames, (count, latent_dim) float32 in standard deviations, and keeps its
place between calls: how the frames are cut into calls makes no difference.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from wavevae.controls import ControlState

from .ramp import Ramp
from .timing import largest_remainder

Frames = NDArray[np.float32]


class FrameSource(Protocol):
    """What the engine asks for latents."""

    def hear(self, audio: NDArray[np.float32]) -> None:
        """Input samples, if the source listens to any."""

    def frames(self, count: int, controls: ControlState) -> Frames:
        """The next (count, latent_dim)."""

    def restart(self, controls: ControlState) -> None:
        """The model's state was cleared: forget what led here."""


class Deaf:
    """A source that does not listen to an input."""

    def hear(self, audio: NDArray[np.float32]) -> None:
        raise ValueError("this source takes no input sound")

    def restart(self, controls: ControlState) -> None:
        pass


class Knobs(Deaf):
    """The controls drive: every axis glides to its target."""

    def __init__(self, controls: ControlState, frame_rate: float) -> None:
        self._frame_rate = frame_rate
        self._glide = Ramp(controls.latents)

    def frames(self, count: int, controls: ControlState) -> Frames:
        self._glide.aim(controls.latents, round(controls.smoothing_ms / 1000 * self._frame_rate))
        return self._glide.advance(count).astype(np.float32)

    def restart(self, controls: ControlState) -> None:
        self._glide.jump(controls.latents)


class Heard:
    """A sound drives: the model's encoder listens.

    Frames need whole hops; so that blocks of the size first heard never leave one short, silence goes before
    the sound and delays it (by nothing, when blocks are whole hops).
    """

    def __init__(self, module: torch.jit.ScriptModule, hop_length: int) -> None:
        self._module, self._hop = module, hop_length
        self._waiting: NDArray[np.float32] | None = None

    def hear(self, audio: NDArray[np.float32]) -> None:
        if self._waiting is None:
            self._waiting = np.zeros(largest_remainder(self._hop, len(audio)), np.float32)
        self._waiting = np.concatenate([self._waiting, audio]) if len(self._waiting) else audio

    def frames(self, count: int, controls: ControlState) -> Frames:
        wanted = count * self._hop
        heard = np.zeros(0, np.float32) if self._waiting is None else self._waiting
        now, self._waiting = heard[:wanted], heard[wanted:]
        now = np.pad(now, (0, wanted - len(now)))  # silence where nothing was heard
        with torch.inference_mode():
            latents = self._module.encode(torch.tensor(now)[None, None])  # (1, 1, T) -> (1, D, count)
        return np.ascontiguousarray(latents[0].numpy().T)

    def restart(self, controls: ControlState) -> None:
        self._waiting = None


class Listed(Deaf):
    """Frames given beforehand: `read(start, count)` returns (count, latent_dim)."""

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


class Drawn(Deaf):
    """A density of the training latents drives; the temperature is that of its draws."""

    def __init__(self, sampler: Sampler) -> None:
        self._sampler = sampler

    def frames(self, count: int, controls: ControlState) -> Frames:
        self._sampler.temperature = controls.temperature
        return self._sampler.draw(count)


class Shaken:
    """Another source with Gaussian noise of the controls' temperature on every axis and frame."""

    def __init__(self, source: FrameSource, seed: int) -> None:
        self._source, self._random = source, np.random.default_rng(seed)

    def hear(self, audio: NDArray[np.float32]) -> None:
        self._source.hear(audio)

    def frames(self, count: int, controls: ControlState) -> Frames:
        frames = self._source.frames(count, controls)
        if controls.temperature > 0:
            frames = frames + controls.temperature * self._random.standard_normal(frames.shape, np.float32)
        return frames.astype(np.float32, copy=False)

    def restart(self, controls: ControlState) -> None:
        self._source.restart(controls)


class Recorded:
    """Another source whose frames are also given to `keep`, as the decoder gets them."""

    def __init__(self, source: FrameSource, keep: Callable[[Frames], None]) -> None:
        self._source, self._keep = source, keep

    def hear(self, audio: NDArray[np.float32]) -> None:
        self._source.hear(audio)

    def frames(self, count: int, controls: ControlState) -> Frames:
        frames = self._source.frames(count, controls)
        self._keep(frames)
        return frames

    def restart(self, controls: ControlState) -> None:
        self._source.restart(controls)
