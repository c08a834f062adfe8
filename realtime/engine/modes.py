"""What drives live: the controls, an input sound or the density of the training latents, one fading into the other."""

from __future__ import annotations

import numpy as np

from wavevae.controls import GENERATE, MODES, SAMPLE, TRANSFORM, ControlState

from .dsp import Ramp
from .latent_sources import Drawn, Heard, Knobs
from .streaming_model import Audio, Frames

MODE_FADE_MS = 60.0


class Live:
    """The mode's source; its change is a cross-fade of latents.

    generate: the targets. transform: scale * z + bias of what is heard. sample: a draw, moved by the targets.
    A mode that has no source here (no encoder, no density) plays the targets.
    """

    def __init__(
        self,
        controls: ControlState,
        frame_rate: float,
        heard: Heard | None = None,
        drawn: Drawn | None = None,
    ) -> None:
        self._frame_rate, self._heard, self._drawn = frame_rate, heard, drawn
        self._knobs = Knobs(controls, frame_rate)
        self._scale, self._bias = Ramp(controls.scale), Ramp(controls.bias)
        self._shares = Ramp(self._one_hot(controls.mode))

    def _one_hot(self, mode: int) -> Frames:
        """(3,): all of it to one mode."""
        missing = (mode == TRANSFORM and self._heard is None) or (mode == SAMPLE and self._drawn is None)
        return np.eye(len(MODES), dtype=np.float32)[GENERATE if missing else mode]

    def hear(self, audio: Audio, controls: ControlState) -> None:
        if self._heard is not None and (controls.mode == TRANSFORM or self._shares.value[TRANSFORM] > 0):
            self._heard.hear(audio)

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
        if self._heard is not None and self._shares.rests_at_zero(TRANSFORM):
            self._heard.restart()
        return mixed.astype(np.float32)

    def restart(self, controls: ControlState) -> None:
        self._knobs.restart(controls)
        self._scale.jump(controls.scale)
        self._bias.jump(controls.bias)
        self._shares.jump(self._one_hot(controls.mode))
        if self._heard is not None:
            self._heard.restart()

    def _transformed(self, count: int, controls: ControlState) -> Frames:
        assert self._heard is not None
        steps = self._steps(controls.settle_ms)
        self._scale.aim(controls.scale, steps)
        self._bias.aim(controls.bias, steps)
        moved = self._scale.advance(count) * self._heard.frames(count) + self._bias.advance(count)
        return moved.astype(np.float32)

    def _draws(self, count: int, controls: ControlState) -> Frames:
        assert self._drawn is not None
        return self._drawn.frames(count, controls)

    def _steps(self, milliseconds: float) -> int:
        return round(milliseconds / 1000 * self._frame_rate)
