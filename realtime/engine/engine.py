"""Computes a block of output from the controls and a block of input. Live and offline playing share it, so that a
rendering equals the performance.

        controls ──> source ──> latents ──> decoder ──> remainder ──> gain, fades ──> limiter ──> block
(input sound) ────────┘                   whole hops   any number of samples
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from wavevae.controls import ControlState
from wavevae.units import db_to_amplitude

from .dsp import Limiter, Ramp
from .latent_sources import FrameSource
from .streaming_model import Audio
from .timing import FADE_MS
from .voices import Decoder

WARM_UP_CALLS = 4
"""The first calls of a loaded module compile: tens of milliseconds each."""


def frame_counts(block_size: int, hop_length: int) -> set[int]:
    """How many frames blocks of this size ask for: one number, or two neighbours."""
    fewest = block_size // hop_length
    return {max(1, fewest), fewest + (block_size % hop_length > 0)}


class Engine:
    """Plays a model.

    Blocks may have any number of samples: frames are decoded as they are needed and what is left of a hop
    waits for the next block. `limited` and `broken` count the samples that were beyond full scale and not
    finite; `peak` is the largest there was before the limiter.
    """

    def __init__(
        self, decoder: Decoder, sample_rate: int, hop_length: int, source: FrameSource, fade_in: bool = True
    ) -> None:
        self.decoder, self.sample_rate, self.hop_length, self.source = (
            decoder,
            sample_rate,
            hop_length,
            source,
        )
        self.limiter = Limiter(sample_rate)
        self.broken = 0
        self._fade_in = fade_in
        self.latents: NDArray[np.float32] | None = None
        """The source's last frame, (latent_dim,)."""
        self._ready = np.zeros(0, np.float32)
        self._gate = Ramp(0.0 if fade_in else 1.0)
        self._gain: Ramp | None = None
        self._resets = 0
        self._stopping = False

    @property
    def silent(self) -> bool:
        """Faded out for good."""
        return self._stopping and self._gate.rests_at(0.0)

    @property
    def sounding(self) -> NDArray[np.float32] | None:
        """The frame heard last, of the newest note where there are notes: (latent_dim,)."""
        return self.latents if self.decoder.newest is None else self.decoder.newest

    @property
    def limited(self) -> int:
        return self.limiter.limited

    @property
    def peak(self) -> float:
        return self.limiter.peak

    def fade_out(self) -> None:
        """From the next block on: to silence, and stay there."""
        self._stopping = True

    def reset(self, controls: ControlState) -> None:
        """Clear the model's state and what waits, at once."""
        self.decoder.reset()
        self._ready = np.zeros(0, np.float32)
        self.source.restart(controls)

    def begin_again(self, controls: ControlState, source: FrameSource) -> None:
        """As new, with a new source: after a trial."""
        self.source = source
        self.decoder.begin_again()
        self.reset(controls)
        self.limiter.begin_again()
        self.broken = 0
        self._resets = controls.resets
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
            self.source.hear(heard, controls)
        return self.limiter.process(self._level(self._take(samples, controls), controls))

    def warm_up(self, block_size: int, controls: ControlState) -> None:
        """Run every number of frames that blocks of this size will ask for, then forget it."""
        for count in frame_counts(block_size, self.hop_length):
            for _ in range(WARM_UP_CALLS):
                self.decoder.warm_up(np.zeros((count, len(controls.latents)), np.float32))
        self.decoder.reset()

    def _steps(self, milliseconds: float) -> int:
        return round(milliseconds / 1000 * self.sample_rate)

    def _take(self, samples: int, controls: ControlState) -> Audio:
        """(samples,) from what waits and as many new frames as are missing."""
        missing = samples - len(self._ready)
        if missing > 0:
            count = math.ceil(missing / self.hop_length)
            self.decoder.follow(count, controls)
            decoded = self._finite(self.decoder.decode(self._frames(count, controls), controls))
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
        self._gain.aim(gain, self._steps(controls.gain_glide_ms))
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
        self.decoder.reset()
        return np.where(bad, np.float32(0), decoded)
