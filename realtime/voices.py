"""From latents to sound: one voice that always sounds, or several that notes wake."""

from __future__ import annotations

from typing import Protocol

import numpy as np

from wavevae.controls import NO_PITCH, ControlState, Note

from .about import About
from .core import Audio, Core, Frames
from .ramp import Ramp

DRONE = Note(NO_PITCH, 1.0, True, 0)
"""What the first voice plays until there are notes."""
INT = (1,)


class Decoder(Protocol):
    """What the engine asks for sound."""

    def decode(self, frames: Frames, controls: ControlState) -> Audio:
        """(F, latent_dim) -> (F * hop_length,)."""

    def reset(self) -> None:
        """Forget the past."""


class Tuned:
    """A core that follows the class and the file's own attributes."""

    def __init__(self, core: Core, about: About | None = None) -> None:
        self.core, self._about = core, about

    def follow(self, controls: ControlState) -> None:
        about = self._about
        if about is None:
            return
        if about.has_class:
            self.core.set("class", (controls.label,), INT)
        place = 0
        for attribute in about.attributes if controls.attributes else ():
            values = controls.attributes[place : place + len(attribute.kinds)]
            self.core.set(attribute.name, values, attribute.kinds)
            place += len(attribute.kinds)


class Solo:
    """One voice that always sounds."""

    def __init__(self, core: Core, about: About | None = None) -> None:
        self._tuned = Tuned(core, about)

    def decode(self, frames: Frames, controls: ControlState) -> Audio:
        self._tuned.follow(controls)
        return self._tuned.core.decode(frames)

    def reset(self) -> None:
        self._tuned.core.reset()


class Voice:
    """One note at a time: struck, it rises to its velocity; released, it falls."""

    def __init__(self, core: Core, about: About) -> None:
        self._tuned, self._level, self._note = Tuned(core, about), Ramp(0.0), Note(NO_PITCH, 0.0, False, -1)

    def decode(self, frames: Frames, note: Note, controls: ControlState) -> Audio | None:
        """(F * hop_length,), or nothing while it is silent."""
        core = self._tuned.core
        per_ms = core.sample_rate / 1000
        if note.serial != self._note.serial:
            if self._level.rests_at(0.0):
                core.reset()
            core.set("pitch", (note.pitch,), INT)
            self._level.aim(note.velocity, round(controls.attack_ms * per_ms))
        elif not note.held and self._level.resting:
            self._level.aim(0.0, round(controls.release_ms * per_ms))
        self._note = note
        if self._level.rests_at(0.0):
            return None
        self._tuned.follow(controls)
        audio = core.decode(frames)
        return (audio * self._level.advance(len(audio))[:, 0]).astype(np.float32)

    def reset(self) -> None:
        self._tuned.core.reset()


class Choir:
    """Several voices with the same latents, each its own pitch; one drones until the first note.

    Each has an instance of the model for itself: a pitch belongs to an instance. A silent one costs nothing.
    """

    def __init__(self, cores: list[Core], about: About) -> None:
        self._voices = [Voice(core, about) for core in cores]
        self._hop = cores[0].hop_length

    def decode(self, frames: Frames, controls: ControlState) -> Audio:
        mixed = np.zeros(len(frames) * self._hop, np.float32)
        for number, voice in enumerate(self._voices):
            audio = voice.decode(frames, self._note(number, controls), controls)
            if audio is not None:
                mixed += audio
        return mixed

    def reset(self) -> None:
        for voice in self._voices:
            voice.reset()

    @staticmethod
    def _note(number: int, controls: ControlState) -> Note:
        if number < len(controls.notes):
            return controls.notes[number]
        return DRONE._replace(held=number == 0 and not controls.keyed, velocity=float(number == 0))
