"""Controls of a playing model: name, unit, range, default. No torch: the control process imports this.

The control side replaces a `ControlState` whole; the engine reads it once a block.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray


class Refused(ValueError):
    """A control message that changes nothing: what was wrong with it, for its sender."""


@dataclass(frozen=True)
class Control:
    """One number that can be set: /wavevae/<name>."""

    name: str
    unit: str
    low: float
    high: float
    default: float
    doc: str
    field: str = ""
    """Of `ControlState`, for a control of the whole sound; "": it is set by axis, by note or by attribute."""
    instruments_only: bool = False
    glides: bool = False
    """A new value is reached in the present smoothing."""
    knob: tuple[float, float] = (0.0, 1.0)
    """Range of a MIDI controller, unless its map says another."""
    knob_curve: str = "linear"
    """One of realtime.control.midi_map.CURVES."""
    fader: tuple[float, float] | None = None
    """Range on the control page; None: low to high."""
    group: str = ""
    """Its card or section on the control page; "": it has a place of its own there."""

    def held_in(self, field: str, **more: Any) -> Control:
        """The same as a control of the whole sound, with more of the above.

        That makes its address, its place in presets, in shared memory, on the page and in the help. So a new one takes
        its declaration, the field of `ControlState`, and what the engine does with it.
        """
        return replace(self, field=field, **more)

    def check(self, value: object) -> float:
        """The value as a float. Raises: Refused unless it is a finite number within the range."""
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise Refused(f"{self.name} is {str(value)[:40]!r}; send a number")
        if not math.isfinite(value):
            raise Refused(f"{self.name} is {value}; send a finite number")
        if not self.low <= value <= self.high:
            raise Refused(
                f"{self.name} is {value:g}; send {self.low:g} to {self.high:g} {self.unit}".rstrip()
            )
        return float(value)


TIME: dict[str, Any] = {"knob": (0.0, 2000.0), "knob_curve": "slow", "fader": (0.0, 2000.0)}
LATENT = Control(
    "latent", "standard deviations", -10, 10, 0, "target of one latent axis, 0 = its mean", knob=(-3, 3)
)
SCALE = Control("scale", "", -10, 10, 1, "factor on one axis of the live input's latents", knob=(0, 2))
BIAS = Control(
    "bias", "standard deviations", -10, 10, 0, "added to one axis of the live input's latents", knob=(-3, 3)
)
GAIN = Control("gain", "dB", -120, 24, 0, "level of the output; also ends the silence after a panic").held_in(
    "gain_db", knob=(-60.0, 0.0), fader=(-60.0, 24.0), group="controls"
)
SMOOTHING = Control("smoothing", "ms", 0, 60_000, 30, "time in which a latent glides to its target").held_in(
    "smoothing_ms", group="movement", **TIME
)
TEMPERATURE = Control(
    "temperature", "standard deviations", 0, 4, 0, "noise on the latents, new every frame"
).held_in("temperature", glides=True, fader=(0.0, 2.0), group="movement")
SPREAD = Control("spread", "", 0, 4, 1, "mode sample: width of the draws, 1 = as in training").held_in(
    "spread", glides=True, knob=(0.0, 2.0), fader=(0.0, 2.0), group="movement"
)
PITCH = Control("pitch", "MIDI", 0, 127, 60, "pitch that sounds without keys, 69 = 440 Hz", knob=(36, 84))
LOUDNESS = Control(
    "loudness", "dB", -100, 0, -20, "RMS that sounds without keys, below full scale", knob=(-60, 0)
)
PERIODICITY = Control("periodicity", "", 0, 1, 1, "of the sound: 1 = a clear tone, 0 = noise")
NATURAL = {c.name: c for c in (PITCH, LOUDNESS, PERIODICITY)}
"""The first latents of an instrument, in their own units."""
LIFE = Control(
    *("life", "", 0, 2, 1, "slow movement of a held tone: 0 = none, 1 = as in the corpus"),
    knob=(0, 2),
    group="controls",
)
TRANSPOSE = Control(
    *("transpose", "semitones", -48, 48, 0, "added to the pitch of a live input"),
    knob=(-24, 24),
    fader=(-24, 24),
    group="live input",
)
TRANSPOSE_AUTO = Control(
    *("transpose_auto", "", 0, 1, 0, "a live input goes by octaves into the corpus' range"),
    group="live input",
)
FIT = Control(
    *("fit", "", 0, 1, 0, "how far a live input's loudness and timbre are fitted to the corpus"),
    group="live input",
)
PRIOR_TEMPERATURE = Control(
    *("prior/temperature", "", 0, 2, 1, "of the prior: 0 = the likeliest, 1 = as varied as the corpus"),
    fader=(0, 2),
    knob=(0, 2),
    group="prior",
)
PRIOR_SEED = Control(
    *("prior/seed", "", -1e6, 1e6, 0, "of the prior: the same seed plays the same"),
    knob=(0, 127),
    fader=(0, 127),
    group="prior",
)
PRIOR_DENSITY = Control(
    *("prior/density", "", 0.1, 10, 1, "mode sample: how many notes, 1 = as in the corpus"),
    knob=(0.1, 4),
    fader=(0.1, 4),
    group="prior",
)
OF_PRIOR = (PRIOR_TEMPERATURE, PRIOR_SEED, PRIOR_DENSITY)
OF_FILE = {c.name.replace("/", "_"): c for c in (LIFE, TRANSPOSE, TRANSPOSE_AUTO, FIT, *OF_PRIOR)}
"""Attributes of an instrument's file that have addresses of their own."""
ATTACK = Control("attack", "ms", 0, 10_000, 10, "time in which a note rises").held_in(
    "attack_ms", group="envelope", **TIME
)
DECAY = Control(
    "decay", "ms", 0, 60_000, 300, "time in which a note falls by 60 dB, down to its sustain"
).held_in("decay_ms", instruments_only=True, group="envelope", **TIME)
SUSTAIN = Control("sustain", "", 0, 1, 1, "where a held note stays, 1 = as struck").held_in(
    "sustain", instruments_only=True, group="envelope"
)
RELEASE = Control(
    "release", "ms", 0, 10_000, 200, "time in which a note falls after its key (by 60 dB)"
).held_in("release_ms", group="envelope", **{**TIME, "fader": (0.0, 4000.0)})
GLIDE = Control(
    "glide", "ms", 0, 10_000, 60, "mono: time from one pitch to the next, while keys overlap"
).held_in("glide_ms", instruments_only=True, **TIME)
PERFORM = Control(
    "perform", "", 0, 1, 1, "1 = notes are played the way the recordings are, 0 = with the plain envelope"
).held_in("perform", instruments_only=True, group="envelope")
VELOCITY = Control("velocity", "", 0, 1, 0, "strength of a note, 0 = off")
BEND = Control(
    *("bend", "semitones", -48, 48, 0, "added to the pitch of every note, at once"),
    knob=(-2, 2),
    fader=(-2, 2),
    group="notes",
)
PRESSURE = Control("pressure", "", 0, 1, 0, "of the keys: 1 = as loud as it gets")
SLIDE = Control("slide", "", 0, 1, 0.5, "of one key: 0 = darker, 1 = brighter")
OFFSET = Control("offset", "standard deviations", -10, 10, 0, "added to one learned latent of one note")
WEIGHT = Control("weight", "", 0, 1, 0, "of a class in the mix; more than 1 in all: shares of the sum")
CONTROLS = (
    *(PITCH, LOUDNESS, PERIODICITY, LIFE, LATENT, GAIN, SMOOTHING, TEMPERATURE, SPREAD),
    *(ATTACK, DECAY, SUSTAIN, RELEASE, PERFORM, GLIDE, BEND, PRESSURE),
    *OF_PRIOR,
    *(TRANSPOSE_AUTO, TRANSPOSE, FIT, SCALE, BIAS),
)
"""All that have an address of their name, in the order of the help and the page."""
NUMBERS = tuple(c for c in CONTROLS if c.field)
"""Those of the whole sound."""

MODES = ("generate", "transform", "sample")
"""Controls drive; a live input drives; the density of the training latents drives."""
GENERATE, TRANSFORM, SAMPLE = range(3)
NO_LABEL = NO_PITCH = -1
SAME = -2
"""Label of the encoder: the same as the decoder's."""
HIGHEST_PITCH = 127
MOST_VOICES = MOST_MIXED = 16
MOST_ATTRIBUTES = 64
GAIN_GLIDE_MS = 20.0


class Note(NamedTuple):
    """What one voice plays."""

    pitch: int
    """MIDI number."""
    velocity: float
    """0 to 1, as it was struck."""
    held: bool
    """It is to sound on: the key is down, or the pedal keeps it."""
    serial: int
    """Counts the notes of the performance: a new one is a new attack."""
    down: bool = True
    """The key itself."""
    bend: float = 0.0
    """Semitones."""
    pressure: float = 0.0
    slide: float = SLIDE.default
    offsets: tuple[float, ...] = ()
    """Added to each latent, standard deviations; nothing: to none."""


class Share(NamedTuple):
    """A class and its weight in the mix."""

    label: int
    weight: float


@dataclass(frozen=True)
class ControlState:
    """Everything the control side has set, at one moment."""

    latents: tuple[float, ...]
    """Target of each axis, in standard deviations of the training data."""
    glides_ms: tuple[float, ...]
    """In which each axis goes there, from the moment its target was set."""
    scale: tuple[float, ...]
    bias: tuple[float, ...]
    gain_db: float = GAIN.default
    gain_glide_ms: float = GAIN_GLIDE_MS
    smoothing_ms: float = SMOOTHING.default
    settle_ms: float = SMOOTHING.default
    """Glide time of scale, bias, temperature and spread."""
    temperature: float = TEMPERATURE.default
    spread: float = SPREAD.default
    attack_ms: float = ATTACK.default
    decay_ms: float = DECAY.default
    sustain: float = SUSTAIN.default
    release_ms: float = RELEASE.default
    mono: bool = False
    """The newest key alone sounds; from key to key without a new attack."""
    glide_ms: float = GLIDE.default
    perform: float = PERFORM.default
    pedal: bool = False
    pressure: float = PRESSURE.default
    mode: int = GENERATE
    """Index into MODES."""
    mix: tuple[Share, ...] = ()
    """Class labels of a conditional model, as they were set; (): no class."""
    bend: float = BEND.default
    input_label: int = SAME
    """Class label of a live input, for the encoder."""
    input_pitch: float = SAME
    frozen: bool = False
    """Hold the present latents, whatever the targets."""
    muted: bool = False
    """Silence since a panic; a gain or a reset message ends it."""
    prior_resets: int = 0
    """How often what the prior makes up was to begin anew."""
    resets: int = 0
    """How often the model's state was to be cleared; the engine acts when it sees the count change."""
    keyed: bool = False
    """Notes have been played: it sounds while they do. Until then it sounds by itself..."""
    idle: bool = False
    """...unless it waits for a first key or a first move of a control."""
    notes: tuple[Note, ...] = ()
    """One a voice, once it has played."""
    attributes: tuple[float, ...] = ()
    """Of a file that has some of its own, in its order."""

    @classmethod
    def initial(
        cls,
        latent_dim: int,
        attributes: Sequence[float] = (),
        latents: Sequence[float] = (),
        idle: bool = False,
    ) -> ControlState:
        """Every axis at its mean or where `latents` says, every control at its default."""

        def every(value: float) -> tuple[float, ...]:
            return (value,) * latent_dim

        return cls(
            tuple(latents) or every(LATENT.default),
            every(SMOOTHING.default),
            every(SCALE.default),
            every(BIAS.default),
            attributes=tuple(attributes),
            idle=idle,
        )

    def with_latent(self, axis: int, value: float) -> ControlState:
        """One target set; it glides there in the present smoothing."""
        return replace(
            self,
            latents=put(self.latents, axis, value),
            glides_ms=put(self.glides_ms, axis, self.smoothing_ms),
            idle=False,
        )

    def with_latents(self, values: Sequence[float], glide_ms: float | None = None) -> ControlState:
        """Every target set, in the present smoothing or another time."""
        glide = self.smoothing_ms if glide_ms is None else glide_ms
        return replace(self, latents=tuple(values), glides_ms=(glide,) * len(self.latents), idle=False)

    def with_number(self, control: Control, value: float) -> ControlState:
        """One of NUMBERS set. A gain also ends the silence after a panic."""
        changed: dict[str, Any] = {control.field: value}
        if control.glides:
            changed["settle_ms"] = self.smoothing_ms
        if control is GAIN:
            changed |= {"gain_glide_ms": GAIN_GLIDE_MS, "muted": False}
        return replace(self, **changed)

    def class_weights(self, count: int) -> NDArray[np.float32]:
        """The mix as the model takes it: (count,), 1 in all at most."""
        weights = np.zeros(count, np.float32)
        for label, weight in self.mix:
            weights[label] = weight
        return weights / max(1.0, float(weights.sum()))

    def fitted(self, fresh: ControlState) -> ControlState:
        """For another model, whose controls would begin as `fresh`: axes that both have keep their values, the rest
        starts there; no label is set, no note held."""
        latent_dim = len(fresh.latents)
        same = {
            n: (*getattr(self, n)[:latent_dim], *getattr(fresh, n)[len(self.latents) :])
            for n in ("latents", "glides_ms", "scale", "bias")
        }
        return replace(self, **same, attributes=fresh.attributes, notes=(), mix=(), input_label=SAME)  # type: ignore[arg-type]

    def pack(self) -> NDArray[np.float64]:
        """As at most `largest_packed` numbers, for shared memory: lengths, the single numbers, the lists."""
        offsets = max((len(n.offsets) for n in self.notes), default=0)
        lengths = (len(self.latents), len(self.notes), offsets, len(self.mix), len(self.attributes))
        singles = [getattr(self, name) for name in SINGLES]
        vectors = (*self.latents, *self.glides_ms, *self.scale, *self.bias)
        notes = [(*n[:-1], *(n.offsets or (0.0,) * offsets)) for n in self.notes]
        rows = [number for row in (*notes, *self.mix) for number in row]
        return np.array((*lengths, *singles, *vectors, *rows, *self.attributes), dtype=np.float64)

    @classmethod
    def unpack(cls, values: Sequence[float]) -> ControlState:
        """The reverse of `pack`."""
        axes, voices, offsets, mixed, _ = (int(n) for n in values[:LENGTHS])
        place = LENGTHS + len(SINGLES)
        singles: dict[str, Any] = {
            name: kind(value)
            for (name, kind), value in zip(SINGLES.items(), values[LENGTHS:place], strict=True)
        }
        latents, glides, scale, bias = (
            tuple(values[place + i * axes : place + (i + 1) * axes]) for i in range(4)
        )
        place += 4 * axes
        width = len(NOTE_KINDS) + offsets
        notes = tuple(_note(values[place + width * v : place + width * (v + 1)]) for v in range(voices))
        place += width * voices
        mix = tuple(Share(int(values[place + 2 * m]), values[place + 2 * m + 1]) for m in range(mixed))
        attributes = tuple(values[place + 2 * mixed :])
        return cls(latents, glides, scale, bias, notes=notes, mix=mix, attributes=attributes, **singles)


def _note(row: Sequence[float]) -> Note:
    """Of its numbers, the offsets last."""
    fields: list[Any] = [kind(value) for kind, value in zip(NOTE_KINDS, row, strict=False)]
    offsets = tuple(row[len(NOTE_KINDS) :])
    return Note(*fields)._replace(offsets=offsets if any(offsets) else ())


def put(values: tuple[float, ...], place: int, value: float) -> tuple[float, ...]:
    """A copy with one value replaced."""
    return (*values[:place], value, *values[place + 1 :])


LENGTHS = 5
NOTE_KINDS = (int, float, bool, int, bool, float, float, float)
"""What the numbers of a note are, but for its offsets."""
KINDS = {"float": float, "int": int, "bool": bool}
SINGLES = {f.name: KINDS[str(f.type)] for f in fields(ControlState) if f.type in KINDS}
"""The fields of one number, and what they are: `pack` and `unpack` go by this."""


def largest_packed(latent_dim: int) -> int:
    """Numbers that `pack` may give for models of up to so many axes."""
    notes = MOST_VOICES * (len(NOTE_KINDS) + latent_dim)
    return LENGTHS + len(SINGLES) + 4 * latent_dim + notes + 2 * MOST_MIXED + MOST_ATTRIBUTES
