"""Computes a block of output from the controls and a block of input, and builds a warmed engine from a model file. Live
and offline playing share both, so that a rendering equals the performance.

        controls ──> source ──> latents ──> decoder ──> remainder ──> gain, fades ──> limiter ──> block
(input sound) ────────┘                   whole hops   any number of samples
"""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from wavevae.bundle import Bundle, read_bundle, seed_noise, use_one_thread
from wavevae.controls import GENERATE, TRANSFORM, ControlState, Note
from wavevae.errors import UserError
from wavevae.latents import DensitySampler
from wavevae.units import db_to_amplitude

from ..model_info import LARGEST_LATENT_DIM, describe
from .latent_sources import DensitySource, EncodedInput, FrameSource, LiveSource, NoisySource, Ramp
from .polyphony import Polyphony
from .streaming_model import Audio, StreamingModel
from .voices import MIDDLE_PITCH, Decoder, PolySynth, SingleVoice

FADE_MS = 10.0
"""Start, stop, panic and reset: long enough not to click, short enough to be now."""
WARM_UP_CALLS = 4
"""The first calls of a loaded module compile: tens of milliseconds each."""


def frame_counts(block_size: int, hop_length: int) -> set[int]:
    """How many frames blocks of this size ask for: one number, or two neighbours."""
    fewest = block_size // hop_length
    return {max(1, fewest), fewest + (block_size % hop_length > 0)}


RELEASE_MS = 80.0
"""In which the gain climbs back by a factor of e."""


class Limiter:
    """Keeps (samples,) float32 within -1..1. `limited` counts the samples that were above, `peak` the largest."""

    def __init__(self, sample_rate: int) -> None:
        self._fall = 1000 / (RELEASE_MS * sample_rate)
        """Of the envelope, nepers a sample."""
        self.begin_again()

    def begin_again(self) -> None:
        self.limited, self.peak = 0, 0.0
        self._envelope = -np.inf
        """Nepers over full scale, after the last sample."""

    def process(self, block: NDArray[np.float32]) -> NDArray[np.float32]:
        size = np.abs(block)
        peak = float(size.max(initial=0.0))
        self.peak = max(self.peak, peak)
        if peak <= 1.0 and self._envelope <= 0.0:
            return block
        self.limited += int(np.count_nonzero(size > 1.0))
        rise = self._fall * np.arange(1, len(block) + 1)
        # max over k <= n of log|x_k| - (n - k) * fall, as a running maximum of log|x_k| + k * fall
        heights = np.maximum.accumulate(np.log(np.maximum(size, 1e-30, dtype=np.float64)) + rise)
        envelope = np.maximum(heights, self._envelope) - rise
        self._envelope = float(envelope[-1])
        return np.clip(block * np.exp(-np.maximum(envelope, 0.0)), -1.0, 1.0).astype(np.float32)


class Engine:
    """Plays a model.

    Blocks may have any number of samples: frames are decoded as they are needed and what is left of a hop
    waits for the next block. `broken` counts the samples that were not finite; `limiter` keeps those beyond full scale.
    """

    def __init__(
        self, decoder: Decoder, sample_rate: int, hop_length: int, source: FrameSource, fade_in: bool = True
    ) -> None:
        self.decoder, self.source = decoder, source
        self.sample_rate, self.hop_length = sample_rate, hop_length
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
        """The frame decoded last, of the newest note where there are notes: (latent_dim,)."""
        return self.latents if self.decoder.newest is None else self.decoder.newest

    @property
    def waiting(self) -> int:
        """Samples that are decoded and not played yet."""
        return len(self._ready)

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

    def process(self, controls: ControlState, samples: int, input_block: Audio | None = None) -> Audio:
        """The next (samples,) float32 within full scale; `input_block`: of a live input."""
        resetting = controls.resets != self._resets
        closed = controls.muted or resetting or self._stopping
        self._gate.aim(0.0 if closed else 1.0, self._steps(FADE_MS))
        if self._gate.rests_at(0.0):
            if resetting:
                self._resets = controls.resets
                self.reset(controls)
            return np.zeros(samples, np.float32)
        if input_block is not None and not controls.frozen:
            self.source.feed(input_block, controls)
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
        """Replaces non-finite output with silence and resets the model."""
        bad = ~np.isfinite(decoded)
        if not bad.any():
            return decoded
        self.broken += int(np.count_nonzero(bad))
        self.decoder.reset()
        return np.where(bad, np.float32(0), decoded)


class PlayableModel:
    """A loaded model file and its engine. A codec that plays notes is loaded once per voice.

    Raises: UserError for a file that cannot be played.
    """

    def __init__(
        self,
        path: str | Path,
        seed: int,
        voices: int | None = None,
        live_input: bool = False,
        sample_rate: int | None = None,
        instead: bool = False,
    ) -> None:
        """`voices` None: as many as are usual. `instead` of one that plays: it has the voices that it can have, and
        must have its rate."""
        use_one_thread()
        bundle = read_bundle(path, sample_rate)
        refuse_unplayable(bundle, sample_rate, instead)
        self.model, self._bundle, self._seed = describe(bundle, voices, live_input), bundle, seed
        self.info = bundle.info
        if not self.model.plays_notes and self.model.voices > 1:
            if not instead:
                raise UserError(
                    f"--voices {voices}: {self.model.name} has no pitch to give each voice, as a codec that is told "
                    "none; leave --voices out, or train an instrument"
                )
            self.model = replace(self.model, voices=1)
        copies = 0 if self.model.is_instrument else self.model.voices - 1
        bundles = [bundle, *(read_bundle(path, sample_rate) for _ in range(copies))]
        self._cores = [StreamingModel(one) for one in bundles]
        self.controls = self.model.initial()
        self.engine = Engine(
            self._decoder(), self.model.sample_rate, self.model.hop_length, self._source(self.controls)
        )

    def busiest(self) -> ControlState:
        """All that may have to be computed at once: every voice, and the input."""
        keys = range(self.model.voices if self.model.plays_notes else 0)
        notes = tuple(Note(MIDDLE_PITCH + n, 1.0, True, n + 1) for n in keys)
        mode = TRANSFORM if self.model.live_input else GENERATE
        return replace(self.controls, notes=notes, keyed=bool(notes), mode=mode)

    @property
    def core(self) -> StreamingModel:
        """The first instance of the model; an instrument has no other."""
        return self._cores[0]

    def confidence(self, controls: ControlState) -> float:
        """Confidence of the pitch of the live input, 0..1; 0 without an input."""
        hearing = self.model.live_input and self.model.plays_pitch and controls.mode == TRANSFORM
        return self._cores[0].confidence() if hearing else 0.0

    def warm_up(self, block_size: int) -> None:
        """Every call that blocks of this size will make; to be followed by `begin`."""
        self.engine.warm_up(block_size, self.controls)

    def begin(self, controls: ControlState) -> None:
        """As new: the same from here on, whatever went before."""
        seed_noise(self._seed)
        self.engine.begin_again(controls, self._source(controls))

    def _decoder(self) -> Decoder:
        if self.model.is_instrument:
            return Polyphony(self._cores[0], self.model)
        if self.model.has_pitch:
            return PolySynth(self._cores, self.model)
        return SingleVoice(self._cores[0], self.model)

    def _source(self, controls: ControlState) -> FrameSource:
        core, model = self._cores[0], self.model
        frame_rate = model.sample_rate / model.hop_length
        drawn = None
        if model.can_sample and not model.performs:
            sampler = DensitySampler(self._bundle.info.density, np.random.default_rng(self._seed))
            drawn = DensitySource(sampler, frame_rate)
        encoded = EncodedInput(core.encode, core.hop_length) if model.live_input else None
        return NoisySource(
            LiveSource(controls, frame_rate, encoded, drawn), self._seed, frame_rate, model.n_controls
        )


def refuse_unplayable(bundle: Bundle, sample_rate: int | None, instead: bool = False) -> None:
    """Raises: UserError with what to do."""
    info = bundle.info
    if sample_rate not in (None, info.sample_rate):
        advice = "leave --sr out, and set the device to the model's rate"
        if instead:
            advice = "end serve and start it with that model"
        raise UserError(
            f"{bundle.path} is a model of {info.sample_rate} Hz, not of {sample_rate} Hz; {advice}"
        )
    if len(info.axes) != info.latent_dim:
        raise UserError(
            f"{bundle.path} names {len(info.axes)} axes for {info.latent_dim} latents; export it again"
        )
    if info.latent_dim > LARGEST_LATENT_DIM:
        raise UserError(
            f"{bundle.path} has {info.latent_dim} latents; serve plays up to {LARGEST_LATENT_DIM}"
        )
