"""The addresses of notes, of class labels and their mix, and of the labels for the encoder of a live input.

Notes are allocated to voices here: a new note takes, in this order, the voice that already plays its pitch, an unused
voice, the oldest released voice, the oldest voice. All there is to know of them is in the `ControlState`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from wavevae.controls import (
    BEND,
    HIGHEST_PITCH,
    MOST_MIXED,
    MOST_VOICES,
    NO_LABEL,
    NO_PITCH,
    OFFSET,
    PITCH,
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
from .addresses import SWITCH, Address, Arguments, Range, Value, World, count, number, range_of, switch, whole

NONE, AS_OUTPUT = "none", "same"
LARGEST_CLASS_NAME = 10**9
"""Of classes that are named by numbers."""
KEY = Range(0, HIGHEST_PITCH)


def rows(world: World) -> Iterator[Address]:
    """Every address of this kind; those that the model has nothing for refuse every message."""
    yield _class(world)
    for label, name in enumerate(world.model.classes if world.model.can_mix else ()):
        yield _weight(world, label, name)
    yield from _keys(world)
    if world.model.is_instrument:
        yield from _of_one_note(world.model)
        yield _mono(world)
        yield _pedal(world)
    if any(a.name == "prior_lowest" for a in world.model.attributes):
        yield from _prior(world)
    if world.model.has_input_class:
        yield _input_class(world)
    if world.model.has_input_pitch:
        yield _input_pitch(world)


# which voice plays what


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


# notes


def pitch_of(value: object) -> int:
    """Raises: Refused."""
    return whole(value, 0, HIGHEST_PITCH, "pitch")


def _keys(world: World) -> Iterator[Address]:
    """What plays, and moves every note."""
    model = world.model

    def check() -> None:
        if not model.plays_notes:
            raise Refused(
                f"{model.name} has no pitch to play: it is a codec that is told none; train an instrument"
            )

    def play(state: ControlState, arguments: Arguments) -> ControlState:
        check()
        count(arguments, 2)
        pitch, velocity = pitch_of(arguments[0]), VELOCITY.check(arguments[1])
        return lift(state, pitch) if velocity == 0 else strike(state, model.voices, pitch, velocity)

    def of_all(control: Control) -> Address:
        def set_to(state: ControlState, value: float) -> ControlState:
            check()
            return replace(state, **{control.name: value})  # type: ignore[arg-type]

        return number(control, set_to, lambda: getattr(world.state, control.name))

    def drone(state: ControlState, arguments: Arguments) -> ControlState:
        """Pressed again, it is silent until a key."""
        sounds = not (state.keyed or state.idle)
        return replace(state, keyed=sounds, idle=False, notes=())

    yield Address("note", "if", "MIDI pitch, velocity 0..1 (0 = off)", play, None, (KEY, SWITCH))
    yield of_all(BEND)
    yield of_all(PRESSURE)
    yield Address("drone", "", "forget the notes: sound by itself, or no longer", drone)


def _of_one_note(model: ModelInfo) -> Iterator[Address]:
    def expression(control: Control) -> Address:
        def act(state: ControlState, arguments: Arguments) -> ControlState:
            count(arguments, 2)
            return change(state, pitch_of(arguments[0]), **{control.name: control.check(arguments[1])})

        doc = f"of the note that sounds at a MIDI pitch: {control.doc}"
        return Address(f"note/{control.name}", "if", doc, act, None, (KEY, range_of(control)), control.unit)

    def offset(state: ControlState, arguments: Arguments) -> ControlState:
        count(arguments, 3)
        pitch, axis = pitch_of(arguments[0]), whole(arguments[1], 0, model.latent_dim - 1, "axis")
        return set_offset(state, pitch, axis, OFFSET.check(arguments[2]))

    yield from (expression(control) for control in (BEND, PRESSURE, SLIDE))
    doc = "MIDI pitch of a note that sounds, axis, what is added to it in standard deviations"
    ranges = (KEY, Range(0, model.latent_dim - 1), range_of(OFFSET))
    yield Address("note/latent", "iif", doc, offset, None, ranges)


def _mono(world: World) -> Address:
    def act(state: ControlState, arguments: Arguments) -> ControlState:
        return set_mono(state, switch(arguments, state.mono), world.model.voices)

    doc = "one note at a time, the newest key; from key to key without a new attack"
    return Address("mono", "i", doc, act, lambda: int(world.state.mono), (SWITCH,))


def _pedal(world: World) -> Address:
    def act(state: ControlState, arguments: Arguments) -> ControlState:
        return press_pedal(state, switch(arguments, state.pedal))

    doc = "keys that are let go sound on"
    return Address("pedal", "i", doc, act, lambda: int(world.state.pedal), (SWITCH,))


# what a prior makes up


def _prior(world: World) -> Iterator[Address]:
    """What is more than one number of the file's prior."""

    def reset(state: ControlState, arguments: Arguments) -> ControlState:
        return replace(state, prior_resets=state.prior_resets + 1)

    places, place = {}, 0
    for attribute in world.model.attributes:
        places[attribute.name] = place
        place += len(attribute.kinds)
    low, high = places["prior_lowest"], places["prior_highest"]

    def span(state: ControlState, arguments: Arguments) -> ControlState:
        count(arguments, 2)
        ends = [PITCH.check(a) for a in arguments]
        if ends[0] > ends[1]:
            raise Refused(f"the range is {ends[0]:g} to {ends[1]:g}; send the lower end first")
        return replace(state, attributes=put(put(state.attributes, low, ends[0]), high, ends[1]))

    def value() -> Value:
        return [world.state.attributes[low], world.state.attributes[high]]

    yield Address("prior/reset", "", "mode sample: what the prior makes up begins anew", reset)
    doc = "mode sample: lowest and highest key that the prior makes up"
    yield Address("prior/range", "ff", doc, span, value, (range_of(PITCH),) * 2, PITCH.unit)
    doc = "mode sample: key (MIDI) and velocity that the prior makes up now; velocity 0 in rests"
    yield Address("improvised", "ff", doc, None, lambda: list(world.improvised), (range_of(PITCH), SWITCH))


# classes


def _class(world: World) -> Address:
    model = world.model
    doc = "class of a model trained with --condition class; several with their weights, in turn, are a mix"
    if not model.has_class:

        def refuse(state: ControlState, arguments: Arguments) -> ControlState:
            raise Refused(f"{model.name} has no classes; train with `--condition class`")

        return Address("class", "s", doc, refuse)

    def act(state: ControlState, arguments: Arguments) -> ControlState:
        return _mixed(state, shares(arguments, model))

    ranges = (Range(choices=(NONE, *model.classes)),)
    return Address("class", "s", doc, act, lambda: class_value(world.state, model), ranges)


def shares(arguments: Arguments, model: ModelInfo) -> tuple[Share, ...]:
    """One class, or classes and weights in turn. Raises: Refused."""
    if len(arguments) == 1:
        label = label_of(arguments[0], model)
        return () if label == NO_LABEL else (Share(label, 1.0),)
    if not model.can_mix:
        raise Refused(f"{len(arguments)} arguments; this model plays one class at a time: send 1")
    if len(arguments) > 2 * MOST_MIXED:
        raise Refused(f"{len(arguments)} arguments; send up to {MOST_MIXED} classes with their weights")
    if len(arguments) % 2 or not arguments:
        raise Refused(f"{len(arguments)} arguments; send a class, or classes and their weights in turn")
    pairs = zip(arguments[::2], arguments[1::2], strict=True)
    weights = {label_of(label, model): WEIGHT.check(weight) for label, weight in pairs}
    if len(weights) < len(arguments) // 2:
        raise Refused("a class is there twice; send each once")
    weights.pop(NO_LABEL, None)  # what is missing to 1 counts as no class
    return tuple(Share(i, w) for i, w in weights.items() if w > 0)


def _weight(world: World, label: int, name: str) -> Address:
    """Of one class in the mix; the other classes keep theirs."""

    def set_to(state: ControlState, weight: float) -> ControlState:
        others = tuple(s for s in state.mix if s.label != label)
        return _mixed(state, (*others, Share(label, weight)) if weight > 0 else others)

    def value() -> float:
        return next((s.weight for s in world.state.mix if s.label == label), 0.0)

    return number(WEIGHT, set_to, value, f"mix/{label}", f"class {name}: {WEIGHT.doc}")


def class_value(state: ControlState, model: ModelInfo) -> Value:
    """A class by its name, or names and weights in turn."""
    if not state.mix:
        return NONE
    if len(state.mix) == 1 and state.mix[0].weight == 1:
        return model.classes[state.mix[0].label]
    return [part for label, weight in state.mix for part in (model.classes[label], weight)]


def label_of(value: object, model: ModelInfo, name: str = "class") -> int:
    """The number of a class by its name or number; -1 for 'none'. Raises: Refused."""
    if value == NONE:
        return NO_LABEL
    text = value if isinstance(value, str) else str(whole(value, NO_LABEL, LARGEST_CLASS_NAME, name))
    number = NO_LABEL if text == str(NO_LABEL) else class_number(text, model.classes)
    if number is None:
        raise Refused(f"no class '{text[:40]}'; known: {', '.join(model.classes[:16])[:120]}")
    return number


def _mixed(state: ControlState, mix: tuple[Share, ...]) -> ControlState:
    """It glides there like the latents. Raises: Refused for more than there is room for."""
    if len(mix) > MOST_MIXED:
        raise Refused(f"{len(mix)} classes at once; send up to {MOST_MIXED}")
    return replace(state, mix=mix, settle_ms=state.smoothing_ms)


# labels that the encoder gets with a live input


def _input_class(world: World) -> Address:
    model = world.model
    choices = (AS_OUTPUT, NONE, *model.classes)

    def act(state: ControlState, arguments: Arguments) -> ControlState:
        count(arguments, 1)
        same = arguments[0] in (AS_OUTPUT, SAME)
        label = SAME if same else label_of(arguments[0], model, "input_class")
        return replace(state, input_label=label)

    doc = f"class that the encoder is told of a live input ('{AS_OUTPUT}': the one that sounds)"
    return Address(
        "input_class",
        "s",
        doc,
        act,
        lambda: choices[world.state.input_label - SAME],
        (Range(choices=choices),),
    )


def _input_pitch(world: World) -> Address:
    def act(state: ControlState, arguments: Arguments) -> ControlState:
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

    doc = (
        f"MIDI pitch that the encoder is told of a live input ({SAME}: the one that sounds, {NO_PITCH}: none)"
    )
    return Address(
        "input_pitch", "f", doc, act, lambda: world.state.input_pitch, (Range(SAME, HIGHEST_PITCH),)
    )
