"""Allocates voices to notes.

A new note takes, in this order: the voice that already plays its pitch, an unused voice, the oldest released voice, the
oldest voice.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial

from wavevae.controls import (
    BEND,
    HIGHEST_PITCH,
    MOST_MIXED,
    MOST_VOICES,
    NO_LABEL,
    NO_PITCH,
    OFFSET,
    PRESSURE,
    SAME,
    SLIDE,
    VELOCITY,
    WEIGHT,
    Control,
    ControlState,
    Note,
    Refused,
    Share,
    put,
)
from wavevae.names import class_number

from ..model_info import ModelInfo
from .addresses import (
    ROOT,
    Act,
    Address,
    Arguments,
    Range,
    Value,
    World,
    count,
    one,
    ranges_of,
    switch,
    whole,
)


def strike(state: ControlState, voices: int, pitch: int, velocity: float) -> ControlState:
    """A key goes down. With one voice sounding at a time every key that is held is kept, to go back to."""
    serial = 1 + max((n.serial for n in state.notes), default=0)
    notes = press(state.notes, MOST_VOICES if state.mono else voices, pitch, velocity, serial)
    return replace(state, keyed=True, idle=False, notes=notes)


def press(notes: tuple[Note, ...], voices: int, pitch: int, velocity: float, serial: int) -> tuple[Note, ...]:
    """`serial` counts the notes of the performance."""
    new = Note(pitch, velocity, True, serial)
    if len(notes) < voices and not any(n.pitch == pitch for n in notes):
        return (*notes, new)
    place = min(range(len(notes)), key=lambda i: _cost(notes[i], pitch))
    return (*notes[:place], new, *notes[place + 1 :])


def _cost(note: Note, pitch: int) -> tuple[bool, bool, int]:
    return (note.pitch != pitch, note.held, note.serial)


def lift(state: ControlState, pitch: int) -> ControlState:
    """A key goes up: every voice that holds its pitch lets go, or the pedal keeps it."""
    return replace(
        state,
        notes=tuple(
            n._replace(down=False, held=n.held and state.pedal) if n.pitch == pitch and n.down else n
            for n in state.notes
        ),
    )


def press_pedal(state: ControlState, down: bool) -> ControlState:
    """Up: what only the pedal kept lets go."""
    notes = state.notes if down else tuple(n._replace(held=n.held and n.down) for n in state.notes)
    return replace(state, pedal=down, notes=notes)


def set_mono(state: ControlState, mono: bool, voices: int) -> ControlState:
    """Of many held keys the newest stay when several may sound again, as far as there are voices."""
    notes = state.notes
    if not mono and len(notes) > voices:
        newest = sorted(notes, key=lambda n: (n.held, n.serial))[-voices:]
        notes = tuple(n for n in notes if n in newest)
    return replace(state, mono=mono, notes=notes)


def change(state: ControlState, pitch: int, **values: object) -> ControlState:
    """Something of the note that sounds at a pitch, the newest of them. Raises: Refused where none does."""
    found = [i for i, n in enumerate(state.notes) if n.pitch == pitch and n.held]
    if not found:
        raise Refused(f"no note {pitch} sounds; strike it first with /wavevae/note")
    place = max(found, key=lambda i: state.notes[i].serial)
    note = state.notes[place]._replace(**values)  # type: ignore[arg-type]
    return replace(state, notes=(*state.notes[:place], note, *state.notes[place + 1 :]))


def set_offset(state: ControlState, pitch: int, axis: int, value: float) -> ControlState:
    """Of one latent of one note, standard deviations. Raises: Refused."""
    sounding = [n for n in state.notes if n.pitch == pitch and n.held]
    newest = max(sounding, key=lambda n: n.serial, default=None)
    offsets = newest.offsets if newest and newest.offsets else (0.0,) * len(state.latents)
    return change(state, pitch, offsets=put(offsets, axis, value))


NONE, AS_OUTPUT = "none", "same"
LARGEST_CLASS_NAME = 10**9
"""Of classes that are named by numbers."""


def rows(world: World) -> Iterator[Address]:
    """Every address of this kind; those that the model has nothing for say so."""
    yield from _classes(world)
    yield from _notes(world)
    yield from _input(world)


# classes


def _classes(world: World) -> Iterator[Address]:
    about = world.about
    labels = (NONE, *about.classes)
    yield Address(
        f"{ROOT}/class",
        "s",
        "class of a model trained with --condition class; several with their weights, in turn, are a mix",
        partial(_set_classes, about),
        (lambda: told(world.state, about)) if about.has_class else None,
        (Range(choices=labels),) if about.has_class else (),
    )
    for label, name in enumerate(about.classes if about.can_mix else ()):
        yield Address(
            f"{ROOT}/mix/{label}",
            "f",
            f"class {name}: {WEIGHT.doc}",
            partial(_set_weight, label),
            partial(lambda i: weight_of(world.state, i), label),
            ranges_of(WEIGHT),
        )


def told(state: ControlState, about: ModelInfo) -> Value:
    """A class by its name, or names and weights in turn."""
    if not state.mix:
        return NONE
    if len(state.mix) == 1 and state.mix[0].weight == 1:
        return about.classes[state.mix[0].label]
    return [part for label, weight in state.mix for part in (about.classes[label], weight)]


def weight_of(state: ControlState, label: int) -> float:
    return next((s.weight for s in state.mix if s.label == label), 0.0)


def label_of(value: object, about: ModelInfo, name: str = "class") -> int:
    """The number of a class by its name or number; -1 for 'none'. Raises: Refused."""
    if value == NONE:
        return NO_LABEL
    text = value if isinstance(value, str) else str(whole(value, NO_LABEL, LARGEST_CLASS_NAME, name))
    number = NO_LABEL if text == str(NO_LABEL) else class_number(text, about.classes)
    if number is None:
        raise Refused(f"no class '{text[:40]}'; known: {', '.join(about.classes[:16])[:120]}")
    return number


def _set_classes(about: ModelInfo, state: ControlState, arguments: Arguments) -> ControlState:
    """One class, or classes and weights in turn."""
    if not about.has_class:
        raise Refused(f"{about.name} has no classes; train with `--condition class`")
    if len(arguments) == 1:
        label = label_of(arguments[0], about)
        return _mixed(state, () if label == NO_LABEL else (Share(label, 1.0),))
    if not about.can_mix:
        raise Refused(f"{len(arguments)} arguments; this model plays one class at a time: send 1")
    if len(arguments) > 2 * MOST_MIXED:
        raise Refused(f"{len(arguments)} arguments; send up to {MOST_MIXED} classes with their weights")
    if len(arguments) % 2 or not arguments:
        raise Refused(f"{len(arguments)} arguments; send a class, or classes and their weights in turn")
    pairs = zip(arguments[::2], arguments[1::2], strict=True)
    weights = {label_of(label, about): WEIGHT.check(weight) for label, weight in pairs}
    if len(weights) < len(arguments) // 2:
        raise Refused("a class is there twice; send each once")
    weights.pop(NO_LABEL, None)  # what is missing to 1 is told as no class
    return _mixed(state, tuple(Share(i, w) for i, w in weights.items() if w > 0))


def _set_weight(label: int, state: ControlState, arguments: Arguments) -> ControlState:
    """The other classes keep theirs."""
    share = Share(label, one(WEIGHT, arguments))
    others = tuple(s for s in state.mix if s.label != label)
    return _mixed(state, (*others, share) if share.weight > 0 else others)


def _mixed(state: ControlState, mix: tuple[Share, ...]) -> ControlState:
    """It glides there like the latents. Raises: Refused for more than there is room for."""
    if len(mix) > MOST_MIXED:
        raise Refused(f"{len(mix)} classes at once; send up to {MOST_MIXED}")
    return replace(state, mix=mix, settle_ms=state.smoothing_ms)


# notes


def _notes(world: World) -> Iterator[Address]:
    about = world.about
    key, keyed = Range(0, HIGHEST_PITCH), partial(_keyed, about)
    yield Address(
        f"{ROOT}/note",
        "if",
        "MIDI pitch, velocity 0..1 (0 = off)",
        keyed(_play),
        None,
        (key, Range(0, 1)),
    )
    for control in (BEND, PRESSURE):
        field = control.name
        yield Address(
            f"{ROOT}/{field}",
            "f",
            control.doc,
            keyed(partial(_set_number, control)),
            partial(lambda f: getattr(world.state, f), field),
            ranges_of(control),
            control.unit,
        )
    yield Address(f"{ROOT}/drone", "", "forget the notes: sound by itself, or no longer", _drone)
    if not about.is_instrument:
        return
    for control in (BEND, PRESSURE, SLIDE):
        yield Address(
            f"{ROOT}/note/{control.name}",
            "if",
            f"of the note that sounds at a MIDI pitch: {control.doc}",
            partial(_set_of_note, control),
            None,
            (key, *ranges_of(control)),
            control.unit,
        )
    yield Address(
        f"{ROOT}/note/latent",
        "iif",
        "MIDI pitch of a note that sounds, axis, what is added to it in standard deviations",
        partial(_set_offset, about),
        None,
        (key, Range(0, about.latent_dim - 1), *ranges_of(OFFSET)),
    )
    switches = (
        ("mono", "one note at a time, the newest key; from key to key without a new attack"),
        ("pedal", "keys that are let go sound on"),
    )
    for name, doc in switches:
        yield Address(
            f"{ROOT}/{name}",
            "i",
            doc,
            partial(_switch, about, name),
            partial(lambda n: int(getattr(world.state, n)), name),
            (Range(0, 1),),
        )


def _keyed(about: ModelInfo, act: Callable[[ModelInfo, ControlState, Arguments], ControlState]) -> Act:
    """Raises: Refused where keys do nothing."""

    def checked(state: ControlState, arguments: Arguments) -> ControlState:
        if not about.plays_notes:
            raise Refused(
                f"{about.name} has no pitch to play: it is a codec that is told none; train an instrument"
            )
        return act(about, state, arguments)

    return checked


def _play(about: ModelInfo, state: ControlState, arguments: Arguments) -> ControlState:
    count(arguments, 2)
    pitch = whole(arguments[0], 0, HIGHEST_PITCH, "pitch")
    velocity = VELOCITY.check(arguments[1])
    return lift(state, pitch) if velocity == 0 else strike(state, about.voices, pitch, velocity)


def _set_number(
    control: Control, about: ModelInfo, state: ControlState, arguments: Arguments
) -> ControlState:
    return replace(state, **{control.name: one(control, arguments)})  # type: ignore[arg-type]


def _set_of_note(control: Control, state: ControlState, arguments: Arguments) -> ControlState:
    count(arguments, 2)
    pitch = whole(arguments[0], 0, HIGHEST_PITCH, "pitch")
    return change(state, pitch, **{control.name: control.check(arguments[1])})


def _set_offset(about: ModelInfo, state: ControlState, arguments: Arguments) -> ControlState:
    count(arguments, 3)
    pitch = whole(arguments[0], 0, HIGHEST_PITCH, "pitch")
    axis = whole(arguments[1], 0, about.latent_dim - 1, "axis")
    return set_offset(state, pitch, axis, OFFSET.check(arguments[2]))


def _switch(about: ModelInfo, name: str, state: ControlState, arguments: Arguments) -> ControlState:
    on = switch(arguments, getattr(state, name))
    return press_pedal(state, on) if name == "pedal" else set_mono(state, on, about.voices)


def _drone(state: ControlState, arguments: Arguments) -> ControlState:
    """Pressed again, it is silent until a key."""
    count(arguments, 0)
    sounds = not (state.keyed or state.idle)
    return replace(state, keyed=sounds, idle=False, notes=())


# what the encoder is told of a live input


def _input(world: World) -> Iterator[Address]:
    about = world.about
    if about.has_input_class:
        yield Address(
            f"{ROOT}/input_class",
            "s",
            f"class that the encoder is told of a live input ('{AS_OUTPUT}': the one that sounds)",
            partial(_set_input_class, about),
            lambda: (AS_OUTPUT, NONE, *about.classes)[world.state.input_label - SAME],
            (Range(choices=(AS_OUTPUT, NONE, *about.classes)),),
        )
    if about.has_input_pitch:
        yield Address(
            f"{ROOT}/input_pitch",
            "f",
            f"MIDI pitch that the encoder is told of a live input ({SAME}: the one that sounds, {NO_PITCH}: none)",
            _set_input_pitch,
            lambda: world.state.input_pitch,
            (Range(SAME, HIGHEST_PITCH),),
        )


def _set_input_class(about: ModelInfo, state: ControlState, arguments: Arguments) -> ControlState:
    count(arguments, 1)
    same = arguments[0] in (AS_OUTPUT, SAME)
    return replace(state, input_label=SAME if same else label_of(arguments[0], about, "input_class"))


def _set_input_pitch(state: ControlState, arguments: Arguments) -> ControlState:
    count(arguments, 1)
    value = arguments[0]
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise Refused(f"input_pitch is {str(value)[:40]!r}; send a number")
    if value not in (SAME, NO_PITCH) and not 0 <= value <= HIGHEST_PITCH:
        raise Refused(
            f"input_pitch is {value:g}; send 0 to {HIGHEST_PITCH}, {NO_PITCH} for none, or {SAME} for the one "
            "that sounds"
        )
    return replace(state, input_pitch=float(value))
