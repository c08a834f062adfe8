"""The addresses of OSC, MIDI, the page and scores: what each takes, sets and returns, and how arguments are checked.

The addresses of notes and classes are in note_addresses.py. An address is looked up exactly, without OSC wildcards.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Protocol

from wavevae.controls import (
    BIAS,
    GENERATE,
    LATENT,
    MODES,
    NATURAL,
    NUMBERS,
    OF_FILE,
    PERFORM,
    PRIOR_SEED,
    SAMPLE,
    SCALE,
    TRANSFORM,
    Control,
    ControlState,
    Refused,
    put,
)

from ..model_info import Attribute, Axis, LatentMap, ModelInfo
from .presets import Presets, preset_of, recalled

ROOT = "/wavevae"
Arguments = tuple[object, ...]
Value = float | int | str | list[float] | list[int] | list[str] | list[str | float]
Act = Callable[[ControlState, Arguments], ControlState]


@dataclass(frozen=True)
class Range:
    """What one argument may be."""

    low: float | None = None
    high: float | None = None
    choices: tuple[str, ...] = ()


ANYTHING, SWITCH = Range(), Range(0, 1)


@dataclass(frozen=True)
class Address:
    """An entry of the table. OSCQuery and the control page build their faders from these."""

    name: str
    """Below /wavevae/, as `/wavevae/query` takes it."""
    tags: str
    """OSC type tags of its arguments; none: it is pressed."""
    doc: str
    act: Act | None = None
    """The state that follows. Raises: Refused. None: it can only be asked for."""
    value: Callable[[], Value] | None = None
    ranges: tuple[Range, ...] = ()
    unit: str = ""

    @property
    def path(self) -> str:
        return f"{ROOT}/{self.name}"


def number(
    control: Control,
    set_to: Callable[[ControlState, float], ControlState],
    value: Callable[[], Value] | None,
    name: str = "",
    doc: str = "",
) -> Address:
    """The address of one number, as its control is declared."""

    def act(state: ControlState, arguments: Arguments) -> ControlState:
        count(arguments, 1)
        return set_to(state, control.check(arguments[0]))

    return Address(
        name or control.name, "f", doc or control.doc, act, value, (range_of(control),), control.unit
    )


def range_of(control: Control) -> Range:
    return Range(control.low, control.high)


def count(arguments: Arguments, *wanted: int) -> None:
    """Raises: Refused for another number of arguments."""
    if len(arguments) not in wanted:
        raise Refused(f"{len(arguments)} arguments; send {' or '.join(str(n) for n in wanted)}")


def whole(value: object, low: int, high: int, name: str) -> int:
    """An int, or a float that is one. Raises: Refused."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise Refused(f"{name} is {str(value)[:40]!r}; send a whole number, {low} to {high}")
    return value


def text(arguments: Arguments, name: str, *counts: int) -> str:
    """The first of so many arguments (1). Raises: Refused unless it is a string."""
    count(arguments, *(counts or (1,)))
    if not isinstance(arguments[0], str):
        raise Refused(f"{name} is {str(arguments[0])[:40]!r}; send a string")
    return arguments[0]


def switch(arguments: Arguments, present: bool) -> bool:
    """Nothing: the other way round; 0 is off, any other number is on. Raises: Refused."""
    count(arguments, 0, 1)
    return is_on(arguments[0]) if arguments else not present


def is_on(value: object) -> bool:
    """The state of a button or a toggle, sent as a number. Raises: Refused."""
    if not isinstance(value, (bool, int, float)) or not math.isfinite(value):
        raise Refused(f"{str(value)[:40]!r} is neither on nor off; send nothing, 0 or 1")
    return value != 0


def prepare(row: Address, arguments: Arguments) -> Arguments | None:
    """Arguments as clients send them -> as `row.act` takes them; None: a button let go, which does nothing.

    Nil and impulse stand for nothing; whole floats for ints; true and false for 1 and 0 of a switch.
    Raises: Refused for a button with something else than a number.
    """
    if arguments == (None,):
        arguments = ()
    if not row.tags:
        count(arguments, 0, 1)
        return () if not arguments or is_on(arguments[0]) else None
    if "i" not in row.tags:
        return arguments
    limits = dict(enumerate(row.ranges))
    return tuple(
        _as_int(value, limits.get(n, ANYTHING)) if row.tags[n : n + 1] == "i" else value
        for n, value in enumerate(arguments)
    )


def _as_int(value: object, limits: Range) -> object:
    if isinstance(value, bool):
        return int(value) if (limits.low, limits.high) == (0, 1) else value
    return int(value) if isinstance(value, float) and value.is_integer() else value


# the addresses of a model

MORPH = Control("seconds", "s", 0, 600, 0, "")
PLACE = Control("a place on the map", "", 0, 1, 0.5, "")
ANY = Control("value", "", -1e9, 1e9, 0, "")


class World(Protocol):
    """What the functions of the table read: the present state, the model, its presets and its map."""

    state: ControlState
    model: ModelInfo
    presets: Presets
    map: LatentMap
    improvised: tuple[float, float]


def rows(world: World) -> Iterator[Address]:
    """Every address of this model that changes the state, but for those of note_addresses."""
    for i, axis in enumerate(world.model.axes):
        yield from _of_axis(world, i, axis)
    for i, axis in enumerate(world.model.axes[: world.model.n_controls]):
        yield _natural(world, i, axis)
    yield from _all_axes(world)
    known = [c for c in NUMBERS if world.model.is_instrument or not c.instruments_only]
    yield from (_of_state(world, c) for c in known if c is not PERFORM or world.model.performs)
    if not world.model.performs:
        yield Address(PERFORM.name, "f", PERFORM.doc, _no_prior(world.model))
    yield from _buttons(world)
    yield _mode(world)
    yield from _presets(world)
    place = 0
    for attribute in world.model.attributes:
        yield _attribute(world, attribute, place)
        place += len(attribute.kinds)


def _of_axis(world: World, i: int, axis: Axis) -> Iterator[Address]:
    """The target, the factor and the offset of one latent."""
    span = f"{axis.name}; the training data lies from {axis.low:.2f} to {axis.high:.2f}"
    target = number(
        LATENT,
        lambda state, value: state.with_latent(i, value),
        lambda: world.state.latents[i],
        f"latent/{i}",
        f"{LATENT.doc}; {span}",
    )
    yield replace(target, ranges=(usual(axis),))
    for control in (SCALE, BIAS):
        yield _of_input(world, control, i)


def _of_input(world: World, control: Control, i: int) -> Address:
    """What is done to one latent of a live input."""

    def set_to(state: ControlState, value: float) -> ControlState:
        values = {control.name: put(getattr(state, control.name), i, value)}
        return replace(state, **values, settle_ms=state.smoothing_ms)  # type: ignore[arg-type]

    return number(control, set_to, lambda: getattr(world.state, control.name)[i], f"{control.name}/{i}")


def usual(axis: Axis) -> Range:
    """What a fader should span: half as far again as the training data, and 3 deviations at least. More may be sent."""
    wide = max(3.0, math.ceil(1.5 * max(abs(axis.low), abs(axis.high))))
    return Range(max(LATENT.low, -wide), min(LATENT.high, wide))


def _natural(world: World, i: int, axis: Axis) -> Address:
    """A control of an instrument by its name, in its own unit."""
    control, fader = NATURAL[axis.name], usual(axis)
    ends = [axis.natural(end) for end in (fader.low, fader.high) if end is not None]
    low, high = (min(max(end, control.low), control.high) for end in ends)
    span = f"from {axis.natural(axis.low):.4g} to {axis.natural(axis.high):.4g}"
    row = number(
        control,
        lambda state, value: state.with_latent(i, axis.standard(value)),
        lambda: axis.natural(world.state.latents[i]),
        doc=f"{control.doc}; the training data lies {span}",
    )
    return replace(row, ranges=(Range(low, high),))


def _all_axes(world: World) -> Iterator[Address]:
    dim = world.model.latent_dim

    def set_all(state: ControlState, arguments: Arguments) -> ControlState:
        count(arguments, dim)
        return state.with_latents([LATENT.check(a) for a in arguments])

    def set_place(state: ControlState, arguments: Arguments) -> ControlState:
        count(arguments, 2)
        x, y = (PLACE.check(a) for a in arguments)
        return state.with_latents(world.map.at(x, y, state.latents))

    ranges = (range_of(LATENT),) * dim
    yield Address(
        "latents", "f" * dim, "every axis at once", set_all, lambda: list(world.state.latents), ranges
    )
    yield Address(
        "xy", "ff", "a point of the 2-D map of the training latents", set_place, None, (SWITCH,) * 2
    )


def _of_state(world: World, control: Control) -> Address:
    """A control of the whole sound."""
    return number(
        control,
        lambda state, value: state.with_number(control, value),
        lambda: getattr(world.state, control.field),
    )


def _no_prior(model: ModelInfo) -> Act:
    def refuse(state: ControlState, arguments: Arguments) -> ControlState:
        raise Refused(
            f"{model.name} holds no prior, so notes have the plain envelope; train it anew and export it"
        )

    return refuse


def _buttons(world: World) -> Iterator[Address]:
    def freeze(state: ControlState, arguments: Arguments) -> ControlState:
        return replace(state, frozen=switch(arguments, state.frozen))

    def reset(state: ControlState, arguments: Arguments) -> ControlState:
        return replace(state, resets=state.resets + 1, muted=False)

    def panic(state: ControlState, arguments: Arguments) -> ControlState:
        lifted = tuple(n._replace(held=False, down=False) for n in state.notes)
        return replace(state, resets=state.resets + 1, muted=True, notes=lifted)

    doc = "hold the latents, whatever moves (nothing: the other way round)"
    yield Address("freeze", "i", doc, freeze, lambda: int(world.state.frozen), (SWITCH,))
    yield Address("reset", "", "clear the model's state", reset)
    yield Address("panic", "", "silence now, until a gain or reset message", panic)


def _mode(world: World) -> Address:
    model = world.model

    def act(state: ControlState, arguments: Arguments) -> ControlState:
        name = text(arguments, "mode")
        if name not in MODES:
            raise Refused(f"no mode '{name[:40]}'; send {', '.join(MODES)}")
        mode = MODES.index(name)
        if mode == TRANSFORM and not model.live_input:
            raise Refused("there is no live input; start serve with --input")
        if mode == SAMPLE and not (model.can_sample or model.performs):
            raise Refused(f"{model.name} holds no density to sample from; modes here are {MODES[GENERATE]}")
        return replace(state, mode=mode)

    doc = "what drives: controls, live input, or the density of the training latents"
    return Address("mode", "s", doc, act, lambda: MODES[world.state.mode], (Range(choices=MODES),))


def _presets(world: World) -> Iterator[Address]:
    def store(state: ControlState, arguments: Arguments) -> ControlState:
        world.presets.store(text(arguments, "name"), preset_of(state, world.model))
        return state

    def recall(state: ControlState, arguments: Arguments) -> ControlState:
        preset = world.presets.get(text(arguments, "name", 1, 2))
        seconds = MORPH.check(arguments[1]) if len(arguments) == 2 else None
        return recalled(preset, state, world.model, seconds)

    def delete(state: ControlState, arguments: Arguments) -> ControlState:
        world.presets.delete(text(arguments, "name"))
        return state

    yield Address("preset/store", "s", "keep the present settings under a name", store)
    yield Address("preset/recall", "sf", "go to a preset, in so many seconds", recall)
    yield Address("preset/delete", "s", "forget a preset", delete)


def _seed(world: World, place: int) -> Address:
    def act(state: ControlState, arguments: Arguments) -> ControlState:
        count(arguments, 1)
        value = whole(arguments[0], int(PRIOR_SEED.low), int(PRIOR_SEED.high), PRIOR_SEED.name)
        return replace(state, attributes=put(state.attributes, place, float(value)))

    return Address(
        *(PRIOR_SEED.name, "i", PRIOR_SEED.doc, act, lambda: int(world.state.attributes[place])),
        (range_of(PRIOR_SEED),),
    )


def _attribute(world: World, attribute: Attribute, place: int) -> Address:
    """One of the file's own, by its own name; what every instrument has, beside the other controls."""
    last = place + len(attribute.kinds)
    if world.model.is_instrument and attribute.name in OF_FILE:
        return _of_file(world, OF_FILE[attribute.name], attribute.kinds[0] == 1, place)

    def act(state: ControlState, arguments: Arguments) -> ControlState:
        count(arguments, len(attribute.kinds))
        values = state.attributes
        for offset, (kind, value) in enumerate(zip(attribute.kinds, arguments, strict=True)):
            given = float(whole(value, 0, 1, attribute.name)) if kind == 0 else ANY.check(value)
            values = put(values, place + offset, float(int(given)) if kind == 1 else given)
        return replace(state, attributes=values)

    return Address(
        f"attribute/{attribute.name}",
        "".join("f" if kind == 2 else "i" for kind in attribute.kinds),
        f"attribute '{attribute.name}' of the file",
        act,
        lambda: list(world.state.attributes[place:last]),
    )


def _of_file(world: World, control: Control, is_switch: bool, place: int) -> Address:
    if control is PRIOR_SEED:
        return _seed(world, place)
    row = number(
        control,
        lambda state, value: replace(state, attributes=put(state.attributes, place, value)),
        lambda: world.state.attributes[place],
    )

    def turn(state: ControlState, arguments: Arguments) -> ControlState:
        value = float(switch(arguments, False))
        return replace(state, attributes=put(state.attributes, place, value))

    return replace(row, tags="i", act=turn) if is_switch else row
