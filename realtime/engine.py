"""Controls and a block in, a block out: the same live and offline, so that what is rendered equals what is played.

        controls ──> source ──> latents ──> decode ──> remainder ──> gain, fades ──> full scale ──> block
(input sound) ────────┘                  whole hops   any number of samples
"""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import NDArray

from wavevae.controls import ControlState
from wavevae.units import db_to_amplitude

from .ramp import Ramp
from .sources import FrameSource
from .timing import FADE_MS, GAIN_GLIDE_MS

WARM_UP_CALLS = 4
"""The first calls of a loaded module compile: tens of milliseconds each."""

Audio = NDArray[np.float32]


class Engine:
    """One voice of a model.

    Blocks may have any number of samples: frames are decoded as they are needed and what is left of a hop
    waits for the next block. `clipped` and `broken` count the samples that were beyond full scale and not
    finite; `peak` is the largest there was before clipping.
    """

    def __init__(
        self,
        module: torch.jit.ScriptModule,
        sample_rate: int,
        hop_length: int,
        source: FrameSource,
        fade_in: bool = True,
    ) -> None:
        self.module, self.sample_rate, self.hop_length, self.source = module, sample_rate, hop_length, source
        self.clipped = self.broken = 0
        self.peak = 0.0
        self._fade_in = fade_in
        self.latents: NDArray[np.float32] | None = None
        """The frame heard last, (latent_dim,)."""
        self._ready = np.zeros(0, np.float32)
        self._gate = Ramp(0.0 if fade_in else 1.0)
        self._gain: Ramp | None = None
        self._resets = 0
        self._stopping = False

    @property
    def silent(self) -> bool:
        """Faded out for good."""
        return self._stopping and self._gate.rests_at(0.0)

    def fade_out(self) -> None:
        """From the next block on: to silence, and stay there."""
        self._stopping = True

    def reset(self, controls: ControlState) -> None:
        """Clear the model's state and what waits, at once."""
        with torch.inference_mode():
            self.module.reset()
        self._ready = np.zeros(0, np.float32)
        self.source.restart(controls)

    def begin_again(self, controls: ControlState) -> None:
        """As new: after a trial."""
        self.reset(controls)
        self.clipped = self.broken = 0
        self.peak = 0.0
        self.latents = self._gain = None
        self._gate.jump(0.0 if self._fade_in else 1.0)

    def process(self, controls: ControlState, samples: int, heard: Audio | None = None) -> Audio:
        """The next (samples,) float32 within full scale; `heard` is the input block, if the source listens."""
        resetting = controls.resets != self._resets
        closed = controls.muted or resetting or self._stopping
        self._gate.aim(0.0 if closed else 1.0, self._steps(FADE_MS))
        if self._gate.rests_at(0.0):
            if resetting:
                self._resets = controls.resets
                self.reset(controls)
            return np.zeros(samples, np.float32)
        if heard is not None and not controls.frozen:
            self.source.hear(heard)
        return self._limit(self._level(self._take(samples, controls), controls))

    def decode(self, frames: NDArray[np.float32]) -> Audio:
        """Latent frames (F, latent_dim) -> (F * hop_length,) samples."""
        with torch.inference_mode():
            latents = torch.from_numpy(np.ascontiguousarray(frames.T)[None])  # (1, latent_dim, F)
            return self.module.decode(latents).reshape(-1).numpy()

    def warm_up(self, block_size: int, latent_dim: int) -> None:
        """Run every number of frames that blocks of this size will ask for, then forget it."""
        fewest = block_size // self.hop_length
        for count in {max(1, fewest), fewest + (block_size % self.hop_length > 0)}:
            for _ in range(WARM_UP_CALLS):
                self.decode(np.zeros((count, latent_dim), np.float32))
        with torch.inference_mode():
            self.module.reset()

    def _steps(self, milliseconds: float) -> int:
        return round(milliseconds / 1000 * self.sample_rate)

    def _take(self, samples: int, controls: ControlState) -> Audio:
        """(samples,) from what waits and as many new frames as are missing."""
        missing = samples - len(self._ready)
        if missing > 0:
            count = math.ceil(missing / self.hop_length)
            decoded = self._finite(self.decode(self._frames(count, controls)))
            self._ready = np.concatenate([self._ready, decoded]) if len(self._ready) else decoded
        block, self._ready = self._ready[:samples], self._ready[samples:]
        return block

    def _frames(self, count: int, controls: ControlState) -> NDArray[np.float32]:
        if controls.frozen and self.latents is not None:
            return np.tile(self.latents, (count, 1))
        frames = self.source.frames(count, controls)
        self.latents = frames[-1]
        return frames

    def _level(self, block: Audio, controls: ControlState) -> Audio:
        """Gain and fades, a step a sample; untouched at 0 dB."""
        gain = db_to_amplitude(controls.gain_db)
        if self._gain is None:
            self._gain = Ramp(gain)  # the fade-in covers the first one
        self._gain.aim(gain, self._steps(GAIN_GLIDE_MS))
        if self._gain.rests_at(1.0) and self._gate.rests_at(1.0):
            return block
        steps = self._gain.advance(len(block)) * self._gate.advance(len(block))  # (samples, 1)
        return (block * steps[:, 0]).astype(np.float32)

    def _finite(self, decoded: Audio) -> Audio:
        """A model that lost its mind is silent for the moment and starts afresh."""
        bad = ~np.isfinite(decoded)
        if not bad.any():
            return decoded
        self.broken += int(np.count_nonzero(bad))
        with torch.inference_mode():
            self.module.reset()
        return np.where(bad, np.float32(0), decoded)

    def _limit(self, block: Audio) -> Audio:
        """Within full scale."""
        peak = float(np.abs(block).max(initial=0.0))
        self.peak = max(self.peak, peak)
        if peak <= 1.0:
            return block
        self.clipped += int(np.count_nonzero(np.abs(block) > 1.0))
        return np.clip(block, -1.0, 1.0)
