"""Builds a warmed engine from a model file, for `serve` and for `render --score`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from wavevae.bundle import Bundle, read_bundle
from wavevae.controls import GENERATE, TRANSFORM, ControlState, Note
from wavevae.errors import UserError
from wavevae.latents import DensitySampler

from ..model_info import LARGEST_LATENT_DIM, describe
from .engine import Engine
from .latent_sources import DensitySource, EncodedInput, FrameSource, LiveSource, NoisySource
from .polyphony import Polyphony
from .streaming_model import StreamingModel
from .voices import MIDDLE_PITCH, Decoder, PolySynth, SingleVoice


class PlayableModel:
    """A loaded model file and its engine. A codec that plays notes is loaded once per voice.

    Raises: UserError for a file that cannot be played.
    """

    def __init__(
        self,
        path: str | Path,
        seed: int,
        voices: int | None = None,
        hears: bool = False,
        sample_rate: int | None = None,
        instead: bool = False,
    ) -> None:
        """`voices` None: as many as are usual. `instead` of one that plays: it has the voices that it can have, and
        must have its rate."""
        torch.set_num_threads(1)
        bundle = read_bundle(path, sample_rate)
        refuse_unplayable(bundle, sample_rate, instead)
        self.about, self._bundle, self._seed = describe(bundle, voices, hears), bundle, seed
        if not self.about.plays_notes and self.about.voices > 1:
            if not instead:
                raise UserError(
                    f"--voices {voices}: {self.about.name} has no pitch to give each voice, as a codec that is told "
                    "none; leave --voices out, or train an instrument"
                )
            self.about = replace(self.about, voices=1)
        copies = 0 if self.about.is_instrument else self.about.voices - 1
        self._cores = [
            StreamingModel(bundle),
            *(StreamingModel(read_bundle(path, sample_rate)) for _ in range(copies)),
        ]
        self.controls = self.initial()
        self.engine = Engine(
            self._decoder(), self.about.sample_rate, self.about.hop_length, self._source(self.controls)
        )

    def initial(self) -> ControlState:
        """Everything as it is before anybody turned anything."""
        return self.about.initial()

    def busiest(self) -> ControlState:
        """All that may have to be computed at once: every voice, and the input."""
        keys = range(self.about.voices if self.about.plays_notes else 0)
        notes = tuple(Note(MIDDLE_PITCH + n, 1.0, True, n + 1) for n in keys)
        mode = TRANSFORM if self.about.hears else GENERATE
        return replace(self.controls, notes=notes, keyed=bool(notes), mode=mode)

    def confidence(self, controls: ControlState) -> float:
        """Of the pitch of the live input, 0..1; 0 while nothing is heard."""
        hearing = self.about.hears and self.about.plays_pitch and controls.mode == TRANSFORM
        return self._cores[0].confidence() if hearing else 0.0

    def warm_up(self, block_size: int) -> None:
        """Every call that blocks of this size will make; to be followed by `begin`."""
        self.engine.warm_up(block_size, self.controls)

    def begin(self, controls: ControlState) -> None:
        """As new: the same from here on, whatever went before."""
        torch.manual_seed(self._seed)
        self.engine.begin_again(controls, self._source(controls))

    def _decoder(self) -> Decoder:
        if self.about.is_instrument:
            return Polyphony(self._cores[0], self.about)
        if self.about.has_pitch:
            return PolySynth(self._cores, self.about)
        return SingleVoice(self._cores[0], self.about)

    def _source(self, controls: ControlState) -> FrameSource:
        core, about = self._cores[0], self.about
        frame_rate = about.sample_rate / about.hop_length
        drawn = None
        if about.can_sample:
            drawn = DensitySource(
                DensitySampler(self._bundle.info.density, np.random.default_rng(self._seed)), frame_rate
            )
        heard = EncodedInput(core.encode, core.hop_length) if about.hears else None
        return NoisySource(
            LiveSource(controls, frame_rate, heard, drawn), self._seed, frame_rate, about.n_controls
        )


def refuse_unplayable(bundle: Bundle, sample_rate: int | None, instead: bool = False) -> None:
    """Raises: UserError with what to do."""
    info = bundle.info
    if sample_rate not in (None, info.sample_rate):
        advice = (
            "end serve and start it with that model"
            if instead
            else "leave --sr out, and set the device to the model's rate"
        )
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
