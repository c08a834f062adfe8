"""Notes of a MIDI file played by the performer of an instrument's file, its method `perform`."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from wavevae.controls import ControlState

from ..engine.polyphony import CHORD_DB, FLOOR_DB, PRESSED_DB, Polyphony, Voice
from ..engine.streaming_model import Audio, Frames


class PerformingPolyphony(Polyphony):
    """Every row of the batch is told its key and velocity; bend, pressure, the room of a chord and the release are
    added to what is performed."""

    def decode(self, frames: Frames, controls: ControlState) -> Audio:
        sounding = [i for i, voice in enumerate(self._voices) if not voice.silent]
        if not sounding:
            self.newest = None
            return np.zeros(len(frames) * self._core.hop_length, np.float32)
        told = np.zeros((self._rows, 2, len(frames)), np.float32)
        for row in sounding:
            told[row] = _told(self._voices[row])
        with torch.inference_mode():
            made = self._core.module.perform(torch.from_numpy(told))
        batch = np.tile(self._rest, (self._rows, len(frames), 1))
        for row in sounding:
            batch[row] = self._moved(made[row].numpy().T, self._voices[row], controls)
        self.newest = self._core.units.standard(batch[max(sounding, key=self._serial)][-1:])[0]
        mixed: Audio = self._core.decode_voices(batch)[sounding].sum(0, dtype=np.float32)
        return mixed

    def _moved(self, z: Frames, voice: Voice, controls: ControlState) -> Frames:
        """(F, latent_dim) with what is played on top."""
        note, model, z = voice.note, self._model, z.copy()
        loudness = model.axis("loudness")
        gate = replace(controls, attack_ms=0.0, decay_ms=0.0, sustain=1.0)
        z[:, loudness] += voice._envelope.advance(len(z), voice.held, gate, controls.release_ms)
        if note is not None:
            z[:, loudness] += (CHORD_DB if model.voices > 1 else 0.0) + note.pressure * PRESSED_DB
            if model.plays_pitch:
                z[:, 0] += note.bend + controls.bend
        z[:, loudness] = np.maximum(z[:, loudness], FLOOR_DB)
        return z


def _told(voice: Voice) -> np.ndarray:
    """(2, 1): key, and velocity while the key is held."""
    note = voice.note
    return np.array([[note.pitch], [note.velocity * voice.held]] if note else [[60.0], [0.0]], np.float32)
