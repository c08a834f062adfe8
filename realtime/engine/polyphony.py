"""The notes of an instrument: every voice is a row of one batch, with its own pitch, loudness and offsets.

    controls ──> rows: which note each plays ──> frames (rows, F, latent_dim) ──> one decoder call ──> their sum
    base frames (sliders, live input, draws) ──────┤
    the file's prior, told the notes of all rows ──┘

With a prior (`ModelInfo.performs`) it decides pitch, loudness and timbre of a note; bend, pressure, slide and what the
sliders differ from their rest are added, and the release. In mode sample it makes up the notes as well.

Frames are in the file's own units here: MIDI, dB. There are two rows more than voices, so that a note that is taken
over can end while the new one begins.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from wavevae.controls import GENERATE, SAMPLE, TRANSFORM, ControlState, Note

from ..model_info import ModelInfo
from .latent_sources import MODE_FADE_MS, Ramp
from .streaming_model import Audio, Frames, StreamingModel
from .voices import ModelSettings

SPARE_ROWS = 2
RANGE_DB = 60.0
"""What decay and release take their time for; below it a note is over."""
FLOOR_DB = -100.0
"""The lowest loudness: its amplitude is 0."""
TAKEN_OVER_MS = 30.0
"""Release of a held note whose voice another one takes."""
CHANGE_MS = 20.0
"""In which a note follows velocity and pressure."""
SOFTEST_DB = -40.0
CHORD_DB = -6.0
"""Several voices leave room for each other."""
PRESSED_DB = 3.0
"""Above the corpus' loudest, with full pressure."""
SLIDE_DEVIATIONS = 2.0
"""Of brightness, either way."""
MIDDLE_KEY, OCTAVE = 60, 12
"""Without a pitch keys change the brightness, by one standard deviation an octave."""
DRONE, NOWHERE, MADE_UP = -1, -2, -3
"""Places, beside those of the notes: of what sounds without keys, of what ends while its place is another's, and of
what the prior makes up."""


def velocity_db(velocity: float) -> float:
    """Below the loudest: amplitude goes with the square of the velocity, as General MIDI 2 recommends."""
    return max(SOFTEST_DB, 40 * math.log10(max(velocity, 1e-6)))


class Shape(NamedTuple):
    """What an envelope goes by."""

    attack_ms: float
    decay_ms: float
    sustain: float
    release_ms: float


class Envelope:
    """Attack in a straight line of amplitude; decay and release in dB, RANGE_DB in the time that is set."""

    def __init__(self, frame_rate: float) -> None:
        self._frames_a_ms = frame_rate / 1000
        self._attacking, self.silent = False, True
        self._db = -math.inf

    def strike(self) -> None:
        """Rise, from where it is."""
        self._attacking, self.silent = True, False

    def advance(self, count: int, held: bool, shape: Shape) -> Frames:
        """The next (count,) dB. A note that is let go while it rises has its attack to the end."""
        return np.array([self._next(held, shape) for _ in range(count)], np.float32)

    def _next(self, held: bool, shape: Shape) -> float:
        if self.silent:
            return FLOOR_DB
        if self._attacking:
            amplitude = 10 ** (self._db / 20) + 1 / self._frames(shape.attack_ms)
            self._attacking = amplitude < 1 - 1e-6
            self._db = min(0.0, 20 * math.log10(amplitude))
            return self._db
        lowest = 20 * math.log10(max(shape.sustain, 1e-6)) if held else -math.inf
        step = RANGE_DB / self._frames(shape.decay_ms if held else shape.release_ms)
        self._db = max(lowest, self._db - step) if self._db > lowest else min(lowest, self._db + step)
        if self._db <= -RANGE_DB:
            self.silent, self._db = True, -math.inf
            return FLOOR_DB
        return self._db

    def _frames(self, milliseconds: float) -> float:
        return max(1.0, milliseconds * self._frames_a_ms)


class Voice:
    """Turns one note into frames: the base frames with the note's own pitch, loudness and offsets.

    All it is given are the note (on, off, velocity, bend, pressure, slide) and the controls; a note that is performed
    also what the file's prior plays for it.
    """

    def __init__(self, model: ModelInfo, frame_rate: float) -> None:
        self._model, self._frames_a_ms = model, frame_rate / 1000
        self._loudness = model.axis("loudness")
        self._bright = model.axis("brightness") if "brightness" in [a.name for a in model.axes] else None
        self._envelope = Envelope(frame_rate)
        self._pitch, self._level = Ramp(0.0), Ramp(0.0)
        self.note: Note | None = None
        """What it plays; None: the base frames as they are."""
        self.place, self.held, self._taken_over = NOWHERE, False, False
        self.performs = False
        """What it plays is the prior's."""
        self._asked = True
        """The prior has been told of its note."""
        self._at_rest = np.array([a.natural(v) for a, v in zip(model.axes, model.typical, strict=False)])

    @property
    def silent(self) -> bool:
        return self._envelope.silent

    def strike(self, place: int, note: Note | None, controls: ControlState) -> None:
        """Begin a note, or what sounds without keys."""
        self.place, self.note, self.held, self._taken_over = place, note, True, False
        self.performs = self._model.performs and (
            place == MADE_UP or (note is not None and controls.perform > 0 and controls.mode != TRANSFORM)
        )
        self._asked = False
        if note is not None:
            self.held = note.held
            self._pitch.jump(note.pitch)
            self._level.jump(self._wanted(note, controls))
        self._envelope.strike()

    def slide_to(self, note: Note, glide_ms: float) -> None:
        """Legato: another note without a new attack."""
        self.note = note
        self._pitch.aim(note.pitch, round(glide_ms * self._frames_a_ms))

    def follow(self, note: Note) -> None:
        """The same note: let go, bent, pressed."""
        self.note, self.held = note, note.held

    def leave(self) -> None:
        """Its place is another's: what was still held ends quickly."""
        self._taken_over = self.held
        self.held, self.place = False, NOWHERE

    def ask(self, count: int, made_up: NDArray[np.float32] | None) -> NDArray[np.float32]:
        """Key and velocity for the prior, (2, count); `made_up`: those of mode sample. However short, a note has a
        frame to begin in."""
        asked = np.zeros((2, count), np.float32)
        if self.place == MADE_UP and made_up is not None:
            return made_up
        if not self.performs or self.note is None:
            return asked
        asked[0] = self.note.pitch
        asked[1, : count if self.held else 1 - self._asked] = self.note.velocity
        self._asked = True
        return asked

    def performed(self, base: Frames, played: Frames, controls: ControlState) -> Frames:
        """Its next (F, latent_dim), after what the prior plays, of the same shape."""
        z = played + (base - self._at_rest)
        if self._model.plays_pitch:
            z[:, 0] = played[:, 0] + controls.bend
        if self.note is not None and self._model.voices > 1:
            z[:, self._loudness] += CHORD_DB
        release_ms = TAKEN_OVER_MS if self._taken_over else controls.release_ms
        z[:, self._loudness] += self._envelope.advance(len(z), self.held, Shape(0.0, 0.0, 1.0, release_ms))
        note = self.note
        if note is None:
            return z.astype(np.float32)
        self._level.aim(self._wanted(note, controls), round(CHANGE_MS * self._frames_a_ms))
        z[:, self._loudness] += self._level.advance(len(z))[:, 0] - velocity_db(note.velocity)
        glided = self._pitch.advance(len(z))[:, 0] - note.pitch
        if self._model.plays_pitch:
            z[:, 0] += glided + note.bend
        return self._moved(z, note).astype(np.float32)

    def frames(self, base: Frames, input_share: Frames, controls: ControlState) -> Frames:
        """Its next (F, latent_dim); `input_share` (F,): how far loudness is the live input's."""
        z = base.copy()
        release_ms = TAKEN_OVER_MS if self._taken_over else controls.release_ms
        shape = Shape(controls.attack_ms, controls.decay_ms, controls.sustain, release_ms)
        envelope = self._envelope.advance(len(z), self.held, shape)
        note = self.note
        if note is None:
            z[:, self._loudness] += envelope
            if self._model.plays_pitch:
                z[:, 0] += controls.bend
            return z
        self._level.aim(self._wanted(note, controls), round(CHANGE_MS * self._frames_a_ms))
        struck = self._level.advance(len(z))[:, 0]
        key = self._pitch.advance(len(z))[:, 0] + note.bend + controls.bend
        followed = z[:, self._loudness] + velocity_db(note.velocity)
        own = self._loudest + struck
        z[:, self._loudness] = own + input_share * (followed - own) + envelope
        if self._model.plays_pitch:
            z[:, 0] = key
        elif self._bright is not None:
            z[:, self._bright] += (key - MIDDLE_KEY) / OCTAVE
        return self._moved(z, note)

    def _moved(self, z: Frames, note: Note) -> Frames:
        """By the note's slide and its offsets."""
        if self._bright is not None:
            z[:, self._bright] += SLIDE_DEVIATIONS * (2 * note.slide - 1)
        if note.offsets:
            z += np.array([o * a.std for o, a in zip(note.offsets, self._model.axes, strict=True)])
        return z

    @property
    def _loudest(self) -> float:
        return self._model.loudest_db + (CHORD_DB if self._model.voices > 1 else 0.0)

    @staticmethod
    def _wanted(note: Note, controls: ControlState) -> float:
        """dB above the loudest: by velocity, and pressure on top."""
        struck, pressed = velocity_db(note.velocity), max(note.pressure, controls.pressure)
        return struck + pressed * (PRESSED_DB - struck)


class Polyphony:
    """Plays the controls' notes; without keys, the base frames."""

    newest: Frames | None
    decoded: Frames | None
    """Frames (F, latent_dim) that were decoded last for the newest note, in the file's own units."""
    played: Frames | None
    """Key and velocity (0 in rests) of the frames that were decoded last, as the prior made them up: (2, F)."""

    def __init__(
        self,
        core: StreamingModel,
        model: ModelInfo,
        make_voice: Callable[[ModelInfo, float], Voice] = Voice,
    ) -> None:
        """`make_voice(model, frame_rate)`: what turns a note into frames, one for each row."""
        self._make_voice = make_voice
        self._core, self._model, self._settings = core, model, ModelSettings(core, model)
        self._frame_rate = core.sample_rate / core.hop_length
        self._rows = model.voices + SPARE_ROWS
        rest = np.array([axis.mean for axis in model.axes], np.float32)
        rest[model.axis("loudness")] = FLOOR_DB
        self._rest = rest
        self.begin_again()

    def begin_again(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Every voice ends; keys that are still held are struck anew."""
        self._voices = [self._make_voice(self._model, self._frame_rate) for _ in range(self._rows)]
        self._input_share: Ramp | None = None
        self._last: Note | None = None
        self._struck: int | None = None
        """Serial of the newest note that was struck."""
        self.newest = self.decoded = self.played = None
        self._performing = False
        self._prior_resets: int | None = None
        self._settings.jump()
        self._core.reset()

    def follow(self, count: int, controls: ControlState) -> None:
        self._settings.follow(count, controls)
        if self._prior_resets not in (None, controls.prior_resets):
            self._core.restart_prior()
        self._prior_resets = controls.prior_resets
        wanted = self._wanted(controls)
        for voice in self._voices:
            if voice.place not in wanted:
                voice.held = False
        for place, note in wanted.items():
            self._play(place, note, controls)
        self._struck = max((n.serial for n in controls.notes), default=self._struck or 0)

    def _wanted(self, controls: ControlState) -> dict[int, Note | None]:
        """What is to sound at which place."""
        if self._model.performs and controls.mode == SAMPLE:
            return {MADE_UP: None, **(self._keys(controls) if controls.keyed else {})}
        if not controls.keyed:
            return {} if controls.idle and controls.mode == GENERATE else {DRONE: None}
        return self._keys(controls)

    def _keys(self, controls: ControlState) -> dict[int, Note | None]:
        if not controls.mono:
            return dict(enumerate(controls.notes))
        held = [n for n in controls.notes if n.held]
        if held:
            self._last = max(held, key=lambda n: n.serial)
        elif controls.notes:
            newest = max(controls.notes, key=lambda n: n.serial)
            if self._is_new(newest):  # struck and let go since the last block
                self._last = newest
            elif self._last is not None:
                self._last = self._last._replace(held=False)
        return {} if self._last is None else {0: self._last}

    def _play(self, place: int, note: Note | None, controls: ControlState) -> None:
        voice = next((v for v in self._voices if v.place == place and not v.silent), None)
        old = None if voice is None else voice.note
        if voice is not None and note is not None and old is not None:
            if old.serial == note.serial:
                voice.follow(note)
                return
            if controls.mono and voice.held and note.held and note.pitch != old.pitch:
                voice.slide_to(note, controls.glide_ms)
                return
        if (voice is None or not voice.held) if note is None else self._is_new(note):
            if voice is not None:
                voice.leave()
            self._strike(place, note, controls)

    def _is_new(self, note: Note) -> bool:
        """Not yet struck. At the beginning those that are held are, and no others."""
        return note.held if self._struck is None else note.serial > self._struck

    def _strike(self, place: int, note: Note | None, controls: ControlState) -> None:
        row = next((i for i, voice in enumerate(self._voices) if voice.silent), None)
        if row is not None:
            self._core.restart(row)
        else:
            row = min(range(self._rows), key=lambda i: (self._voices[i].held, self._serial(i)))
            if self._model.performs:
                self._core.restart_performer(row)
        self._voices[row].strike(place, note, controls)

    def _serial(self, row: int) -> int:
        note = self._voices[row].note
        return -1 if note is None else note.serial

    def decode(self, frames: Frames, controls: ControlState) -> Audio:
        sounding = [i for i, voice in enumerate(self._voices) if not voice.silent]
        input_share = self._share_of_input(len(frames), controls)
        performed = self._perform(len(frames))
        if not sounding:
            self.newest = self.decoded = None
            return np.zeros(len(frames) * self._core.hop_length, np.float32)
        base = self._core.units.of_file(frames)
        batch = np.tile(self._rest, (self._rows, len(frames), 1))
        for row in sounding:
            voice = self._voices[row]
            if voice.performs and performed is not None:
                batch[row] = voice.performed(base, performed[row], controls)
            else:
                batch[row] = voice.frames(base, input_share, controls)
        self.decoded = batch[max(sounding, key=self._serial)]
        self.newest = self._core.units.standard(self.decoded[-1:])[0]
        mixed: Audio = self._core.decode_voices(batch)[sounding].sum(0, dtype=np.float32)
        return mixed

    def _perform(self, count: int) -> NDArray[np.float32] | None:
        """(rows, count, latent_dim) of the prior, from the first note that it plays on: what it draws goes by the
        frame, however frames are cut into blocks."""
        self._performing = self._performing or any(voice.performs for voice in self._voices)
        if not self._performing:
            return None
        made_up = any(voice.place == MADE_UP and voice.held for voice in self._voices)
        notes = self._core.improvise(count) if made_up else None
        self.played = np.zeros((2, count), np.float32) if notes is None else notes
        return self._core.perform(np.stack([voice.ask(count, notes) for voice in self._voices]))

    def _share_of_input(self, count: int, controls: ControlState) -> NDArray[np.float32]:
        """(count,): 1 while a live input drives, with the cross-fade of the modes."""
        wanted = float(controls.mode == TRANSFORM and self._model.live_input)
        if self._input_share is None:
            self._input_share = Ramp(wanted)
        self._input_share.aim(wanted, round(MODE_FADE_MS / 1000 * self._frame_rate))
        return self._input_share.advance(count)[:, 0].astype(np.float32)

    def warm_up(self, frames: Frames) -> None:
        core = self._core
        for row in range(self._rows):
            core.restart(row)
        batch = np.tile(self._rest, (self._rows, len(frames), 1))
        self._settings.warm_up(lambda: core.decode_voices(batch))
        if self._model.performs:
            core.improvise(len(frames))
            core.perform(np.zeros((self._rows, 2, len(frames)), np.float32))
        fits = any(attribute.name == "fit" for attribute in self._model.attributes)
        for fit in ((1.0, 0.0) if fits else (0.0,)) if self._model.live_input else ():
            if fits:
                core.set("fit", fit)
            core.encode(np.zeros(len(frames) * core.hop_length, np.float32))
