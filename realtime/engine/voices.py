"""Decoders for a codec: one voice that always sounds, or the notes of a codec that is conditioned on pitch.

polyphony.py plays the notes of an instrument.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Protocol

import numpy as np

from wavevae.controls import HIGHEST_PITCH, NO_LABEL, NO_PITCH, SAME, ControlState, Note

from ..model_info import ModelInfo
from .latent_sources import Ramp
from .streaming_model import Audio, Frames, StreamingModel

MIDDLE_PITCH = 60
DRONE = Note(NO_PITCH, 1.0, True, 0)
"""What the first voice plays until there are notes."""


class Decoder(Protocol):
    """What the engine asks for sound."""

    newest: Frames | None
    """The latents that sounded last, (latent_dim,) in standard deviations."""
    played: Frames | None
    """Key and velocity of what a prior made up for the frames decoded last, (2, F); none where it makes up nothing."""

    def follow(self, count: int, controls: ControlState) -> None:
        """Before the next `count` frames: set the model as the controls say."""

    def decode(self, frames: Frames, controls: ControlState) -> Audio:
        """(F, latent_dim) -> (F * hop_length,)."""

    def warm_up(self, frames: Frames) -> None:
        """Run everything that may be asked for, on (F, latent_dim) of silence."""

    def reset(self) -> None:
        """Forget the past."""

    def begin_again(self) -> None:
        """As new: no note has been played."""


class ModelSettings:
    """Sets a model's classes, labels of its input and the file's own attributes as the controls say."""

    def __init__(self, core: StreamingModel, model: ModelInfo | None = None) -> None:
        self.core, self.model = core, model
        self._frames_a_ms = core.sample_rate / core.hop_length / 1000
        self._mix: Ramp | None = None
        """Weights of the classes, gliding; none: it goes where it is to be at once."""

    def follow(self, count: int, controls: ControlState) -> None:
        model = self.model
        if model is None:
            return
        if model.has_class:
            self._follow_classes(model, count, controls)
        if model.has_input_class:
            self.core.set("input_class", controls.input_label)
        if model.has_input_pitch:
            self.core.set("input_pitch", controls.input_pitch)
        place = 0
        for attribute in model.attributes if controls.attributes else ():
            last = place + len(attribute.kinds)
            self.core.set(attribute.name, *controls.attributes[place:last])
            place = last

    def _follow_classes(self, model: ModelInfo, count: int, controls: ControlState) -> None:
        if not model.can_mix:
            self.core.set("class", controls.mix[0].label if controls.mix else NO_LABEL)
            return
        weights = controls.class_weights(len(model.classes))
        if self._mix is None:
            self._mix = Ramp(weights)
        self._mix.aim(weights, round(controls.settle_ms * self._frames_a_ms))
        self._mix.advance(count)
        self.core.mix(self._mix.value)

    def warm_up(self, run: Callable[[], object]) -> None:
        """Call `run` with labels and without; they are none afterwards."""
        labelled = self.model is not None and (self.model.has_class or self.model.has_pitch)
        for given in (True, False) if labelled else (False,):
            self._set_some_labels(given)
            run()

    def _set_some_labels(self, given: bool) -> None:
        """Some label of each kind, or none."""
        core, model = self.core, self.model
        if model is None:
            return
        if model.has_pitch:
            core.set("pitch", MIDDLE_PITCH if given else NO_PITCH)
        if model.can_mix:
            core.mix(np.full(len(model.classes), given / max(len(model.classes), 1)))
        elif model.has_class:
            core.set("class", 0 if given else NO_LABEL)
        if model.has_input_class:
            core.set("input_class", NO_LABEL if given else SAME)
        if model.has_input_pitch:
            core.set("input_pitch", MIDDLE_PITCH if given else SAME)

    def jump(self) -> None:
        """The next classes are set at once: nothing sounds."""
        self._mix = None


def run_model(core: StreamingModel, frames: Frames, encodes: bool) -> None:
    """One call of what the model will have to do."""
    core.decode(frames)
    if encodes:
        core.encode(np.zeros(len(frames) * core.hop_length, np.float32))


class SingleVoice:
    """One voice that always sounds."""

    newest: Frames | None = None
    played: Frames | None = None

    def __init__(self, core: StreamingModel, model: ModelInfo | None = None) -> None:
        self._settings = ModelSettings(core, model)

    def follow(self, count: int, controls: ControlState) -> None:
        self._settings.follow(count, controls)

    def decode(self, frames: Frames, controls: ControlState) -> Audio:
        self.newest = frames[-1]
        return self._settings.core.decode(frames)

    def warm_up(self, frames: Frames) -> None:
        model = self._settings.model
        self._settings.warm_up(
            lambda: run_model(self._settings.core, frames, bool(model and model.live_input))
        )

    def reset(self) -> None:
        self._settings.jump()
        self._settings.core.reset()

    def begin_again(self) -> None:
        self.reset()


class Voice:
    """One note at a time: its level rises to the velocity and falls after release. A bend moves the pitch at once: the
    file's oscillators keep their phase."""

    def __init__(self, core: StreamingModel, model: ModelInfo, keeps_past: bool = False) -> None:
        """`keeps_past`: its core also encodes the live input, whose past a note must not clear."""
        self._settings, self._level, self._note = (
            ModelSettings(core, model),
            Ramp(0.0),
            Note(NO_PITCH, 0.0, False, -1),
        )
        self._keeps_past = keeps_past

    def follow(self, count: int, note: Note, controls: ControlState) -> None:
        core = self._settings.core
        per_ms = core.sample_rate / 1000
        if note.serial != self._note.serial:
            if self._level.rests_at(0.0):
                self._settings.jump()
                if not self._keeps_past:
                    core.reset()
            self._level.aim(note.velocity, round(controls.attack_ms * per_ms))
        elif not note.held and self._level.resting:
            self._level.aim(0.0, round(controls.release_ms * per_ms))
        self._note = note
        if self._keeps_past or not self._level.rests_at(0.0):
            core.set("pitch", bent(note, controls))
            self._settings.follow(count, controls)

    def decode(self, frames: Frames) -> Audio | None:
        """(F * hop_length,), or nothing while it is silent."""
        if self._level.rests_at(0.0):
            return None
        audio = self._settings.core.decode(frames)
        return (audio * self._level.advance(len(audio))[:, 0]).astype(np.float32)

    def reset(self) -> None:
        self._settings.jump()
        self._settings.core.reset()


def bent(note: Note, controls: ControlState) -> float:
    """MIDI pitch with the bend; no pitch stays none."""
    if note.pitch == NO_PITCH:
        return NO_PITCH
    return min(max(note.pitch + controls.bend, 0.0), float(HIGHEST_PITCH))


class PolySynth:
    """Several voices that share their latents and differ in pitch; the first sounds until a note is played.

    Each voice has its own instance of the model, because the pitch label belongs to an instance. A silent voice is not
    computed.
    """

    newest: Frames | None = None
    played: Frames | None = None

    def __init__(self, cores: list[StreamingModel], model: ModelInfo) -> None:
        self._cores, self._model = cores, model
        self._hop = cores[0].hop_length
        self.begin_again()

    def begin_again(self) -> None:
        encoder = self._cores[0] if self._model.live_input else None
        self._voices = [Voice(core, self._model, core is encoder) for core in self._cores]
        self.reset()

    def follow(self, count: int, controls: ControlState) -> None:
        for number, voice in enumerate(self._voices):
            voice.follow(count, self._note(number, controls), controls)

    def decode(self, frames: Frames, controls: ControlState) -> Audio:
        self.newest = frames[-1]
        mixed = np.zeros(len(frames) * self._hop, np.float32)
        for voice in self._voices:
            audio = voice.decode(frames)
            if audio is not None:
                mixed += audio
        return mixed

    def warm_up(self, frames: Frames) -> None:
        for core in self._cores:
            encodes = self._model.live_input and core is self._cores[0]
            ModelSettings(core, self._model).warm_up(partial(run_model, core, frames, encodes))

    def reset(self) -> None:
        for voice in self._voices:
            voice.reset()

    @staticmethod
    def _note(number: int, controls: ControlState) -> Note:
        if number < len(controls.notes):
            return controls.notes[number]
        return DRONE._replace(held=number == 0 and not controls.keyed, velocity=float(number == 0))
