"""The addresses of OSC, MIDI, the page and scores: what each takes, sets and returns, and how arguments are checked.

The addresses of notes and classes are in note_addresses.py. An address is looked up exactly, without OSC wildcards.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from wavevae.controls import (
    BIAS,
    GENERATE,
    LATENT,
    MODES,
    NATURAL,
    NUMBERS,
    OF_FILE,
    SAMPLE,
    SCALE,
    TRANSFORM,
    Control,
    ControlState,
    Refused,
    put,
)
from wavevae.latent_plane import Plane

from ..model_info import Attribute, Axis, ModelInfo
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


ANYTHING = Range()


@dataclass(frozen=True)
class Address:
    """An entry of the table. OSCQuery and the control page build their faders from these."""

    path: str
    tags: str
    """OSC type tags of its arguments; none: it is pressed."""
    doc: str
    act: Act | None = None
    """The state that follows. Raises: Refused. None: it can only be asked for."""
    value: Callable[[], Value] | None = None
    ranges: tuple[Range, ...] = ()
    unit: str = ""

    @property
    def name(self) -> str:
        """As `/wavevae/query` takes it."""
        return self.path.removeprefix(ROOT + "/")


def count(arguments: Arguments, *wanted: int) -> None:
    """Raises: Refused for another number of arguments."""
    if len(arguments) not in wanted:
        raise Refused(f"{len(arguments)} arguments; send {' or '.join(str(n) for n in wanted)}")


def one(control: Control, arguments: Arguments) -> float:
    """The only argument, checked."""
    count(arguments, 1)
    return control.check(arguments[0])


def whole(value: object, low: int, high: int, name: str) -> int:
    """An int, or a float that is one. Raises: Refused."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise Refused(f"{name} is {str(value)[:40]!r}; send a whole number, {low} to {high}")
    return value


def text(value: object, name: str) -> str:
    """Raises: Refused unless it is a string."""
    if not isinstance(value, str):
        raise Refused(f"{name} is {str(value)[:40]!r}; send a string")
    return value


def switch(arguments: Arguments, present: bool) -> bool:
    """Nothing: the other way round; 0 is off, any other number is on. Raises: Refused."""
    count(arguments, 0, 1)
    return is_on(arguments[0]) if arguments else not present


def is_on(value: object) -> bool:
    """What a button or a toggle says with a number, as pads and pages send it. Raises: Refused."""
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


def ranges_of(control: Control, times: int = 1) -> tuple[Range, ...]:
    return (Range(control.low, control.high),) * times


# the addresses of a model

LONGEST_MORPH_S = 600.0
MORPH = Control("seconds", "s", 0, LONGEST_MORPH_S, 0, "")
PLACE = Control("a place on the map", "", 0, 1, 0.5, "")


class World(Protocol):
    """What the functions of the table read: the present state, the model, its presets and its map."""

    state: ControlState
    about: ModelInfo
    presets: Presets
    map: LatentMap


def rows(world: World) -> Iterator[Address]:
    """Every address of this model that changes the state, but for those of note_addresses."""
    for part in (_latents, _numbers, _doing, _presets, _attributes):
        yield from part(world)


def _latents(world: World) -> Iterator[Address]:
    dim, plane = world.about.latent_dim, world.map
    state = partial(lambda name: list(getattr(world.state, name)))
    for i, axis in enumerate(world.about.axes):
        more = f"{axis.name}; the training data lies from {axis.low:.2f} to {axis.high:.2f}"
        for name, control in (("latent", LATENT), ("scale", SCALE), ("bias", BIAS)):
            field = "latents" if name == "latent" else name
            act = partial(_set_latent, i) if name == "latent" else partial(_set_axis, field, control, i)
            value = partial(lambda f, k: getattr(world.state, f)[k], field, i)
            doc = f"{control.doc}; {more}" if name == "latent" else control.doc
            ranges = (usual(axis),) if name == "latent" else ranges_of(control)
            yield Address(f"{ROOT}/{name}/{i}", "f", doc, act, value, ranges, control.unit)
    yield from _natural(world)
    yield Address(
        f"{ROOT}/latents",
        "f" * dim,
        "every axis at once",
        partial(_set_latents, dim),
        lambda: state("latents"),
        ranges_of(LATENT, dim),
    )
    yield Address(
        f"{ROOT}/xy",
        "ff",
        "a point of the 2-D map of the training latents",
        partial(_set_xy, plane),
        None,
        (Range(0, 1), Range(0, 1)),
    )


def _natural(world: World) -> Iterator[Address]:
    """The controls of an instrument by their names, in their own units."""
    for i, axis in enumerate(world.about.axes[: world.about.n_controls]):
        control, fader = NATURAL[axis.name], usual(axis)
        ends = [axis.natural(end) for end in (fader.low, fader.high) if end is not None]
        low, high = (min(max(end, control.low), control.high) for end in ends)
        yield Address(
            f"{ROOT}/{axis.name}",
            "f",
            f"{control.doc}; the training data lies from {axis.natural(axis.low):.4g} to "
            f"{axis.natural(axis.high):.4g}",
            partial(_set_natural, i, axis),
            partial(lambda i, axis: axis.natural(world.state.latents[i]), i, axis),
            (Range(low, high),),
            control.unit,
        )


def _set_natural(i: int, axis: Axis, state: ControlState, arguments: Arguments) -> ControlState:
    return state.with_latent(i, axis.standard(one(NATURAL[axis.name], arguments)))


def usual(axis: Axis) -> Range:
    """What a fader should span: half as far again as the training data, and 3 deviations at least. More may be sent."""
    wide = max(3.0, math.ceil(1.5 * max(abs(axis.low), abs(axis.high))))
    return Range(max(LATENT.low, -wide), min(LATENT.high, wide))


def _set_latent(axis: int, state: ControlState, arguments: Arguments) -> ControlState:
    return state.with_latent(axis, one(LATENT, arguments))


def _set_latents(dim: int, state: ControlState, arguments: Arguments) -> ControlState:
    count(arguments, dim)
    return state.with_latents([LATENT.check(a) for a in arguments])


def _set_axis(
    field: str, control: Control, axis: int, state: ControlState, arguments: Arguments
) -> ControlState:
    values = put(getattr(state, field), axis, one(control, arguments))
    return replace(state, **{field: values}, settle_ms=state.smoothing_ms)  # type: ignore[arg-type]


def _set_xy(plane: LatentMap, state: ControlState, arguments: Arguments) -> ControlState:
    count(arguments, 2)
    x, y = (PLACE.check(a) for a in arguments)
    return state.with_latents(plane.at(x, y, state.latents))


def _numbers(world: World) -> Iterator[Address]:
    """The controls of one value, as they are declared."""
    for control in NUMBERS:
        if control.instruments_only and not world.about.is_instrument:
            continue
        yield Address(
            f"{ROOT}/{control.name}",
            "f",
            control.doc,
            partial(lambda c, state, arguments: state.with_number(c, one(c, arguments)), control),
            partial(lambda f: getattr(world.state, f), control.field),
            ranges_of(control),
            control.unit,
        )


def _doing(world: World) -> Iterator[Address]:
    def freeze(state: ControlState, arguments: Arguments) -> ControlState:
        return replace(state, frozen=switch(arguments, state.frozen))

    def clear(state: ControlState, arguments: Arguments, muted: bool) -> ControlState:
        count(arguments, 0)
        lifted = tuple(n._replace(held=False, down=False) for n in state.notes)
        return replace(state, resets=state.resets + 1, muted=muted, notes=lifted if muted else state.notes)

    yield Address(
        f"{ROOT}/freeze",
        "i",
        "hold the latents, whatever moves (nothing: the other way round)",
        freeze,
        lambda: int(world.state.frozen),
        (Range(0, 1),),
    )
    yield Address(f"{ROOT}/reset", "", "clear the model's state", partial(clear, muted=False))
    yield Address(
        f"{ROOT}/panic", "", "silence now, until a gain or reset message", partial(clear, muted=True)
    )
    yield Address(
        f"{ROOT}/mode",
        "s",
        "what drives: controls, live input, or the density of the training latents",
        partial(_set_mode, world.about),
        lambda: MODES[world.state.mode],
        (Range(choices=MODES),),
    )


def _set_mode(about: ModelInfo, state: ControlState, arguments: Arguments) -> ControlState:
    count(arguments, 1)
    name = text(arguments[0], "mode")
    if name not in MODES:
        raise Refused(f"no mode '{name[:40]}'; send {', '.join(MODES)}")
    mode = MODES.index(name)
    if mode == TRANSFORM and not about.hears:
        raise Refused("there is no live input; start serve with --input")
    if mode == SAMPLE and not about.can_sample:
        raise Refused(f"{about.name} holds no density to sample from; modes here are {MODES[GENERATE]}")
    return replace(state, mode=mode)


def _presets(world: World) -> Iterator[Address]:
    def store(state: ControlState, arguments: Arguments) -> ControlState:
        count(arguments, 1)
        world.presets.store(text(arguments[0], "name"), preset_of(state, world.about))
        return state

    def recall(state: ControlState, arguments: Arguments) -> ControlState:
        count(arguments, 1, 2)
        preset = world.presets.get(text(arguments[0], "name"))
        seconds = MORPH.check(arguments[1]) if len(arguments) == 2 else None
        return recalled(preset, state, world.about, seconds)

    def delete(state: ControlState, arguments: Arguments) -> ControlState:
        count(arguments, 1)
        world.presets.delete(text(arguments[0], "name"))
        return state

    yield Address(f"{ROOT}/preset/store", "s", "keep the present settings under a name", store)
    yield Address(f"{ROOT}/preset/recall", "sf", "go to a preset, in so many seconds", recall)
    yield Address(f"{ROOT}/preset/delete", "s", "forget a preset", delete)


def _attributes(world: World) -> Iterator[Address]:
    """The file's own, by its own names; what every instrument has, beside the other controls."""
    place = 0
    for attribute in world.about.attributes:
        last = place + len(attribute.kinds)
        if world.about.is_instrument and attribute.name in OF_FILE:
            yield _of_file(world, attribute, place)
            place = last
            continue
        yield Address(
            f"{ROOT}/attribute/{attribute.name}",
            "".join("f" if kind == 2 else "i" for kind in attribute.kinds),
            f"attribute '{attribute.name}' of the file",
            partial(_set_attribute, attribute, place),
            partial(lambda a, b: list(world.state.attributes[a:b]), place, last),
        )
        place = last


def _of_file(world: World, attribute: Attribute, place: int) -> Address:
    control, whole_number = OF_FILE[attribute.name], attribute.kinds[0] == 1

    def act(state: ControlState, arguments: Arguments) -> ControlState:
        value = float(switch(arguments, False)) if whole_number else one(control, arguments)
        return replace(state, attributes=put(state.attributes, place, value))

    return Address(
        f"{ROOT}/{control.name}",
        "i" if whole_number else "f",
        control.doc,
        act,
        lambda: world.state.attributes[place],
        ranges_of(control),
        control.unit,
    )


ANY = Control("value", "", -1e9, 1e9, 0, "")


def _set_attribute(
    attribute: Attribute, place: int, state: ControlState, arguments: Arguments
) -> ControlState:
    count(arguments, len(attribute.kinds))
    values = state.attributes
    for offset, (kind, value) in enumerate(zip(attribute.kinds, arguments, strict=True)):
        number = float(whole(value, 0, 1, attribute.name)) if kind == 0 else ANY.check(value)
        values = put(values, place + offset, float(int(number)) if kind == 1 else number)
    return replace(state, attributes=values)


NEIGHBOURS = 8
CLOSEST = 1e-4
"""Of the map's width: nearer than this counts as this near."""


class LatentMap:
    """The map of one model."""

    def __init__(self, about: ModelInfo) -> None:
        self._first = about.n_controls
        """The first learned axis."""
        axes = about.axes[self._first : self._first + 2]
        points = np.array(about.points, np.float64).reshape(-1, about.latent_dim)
        self.points: NDArray[np.float64] = points[:, self._first :]
        """Learned latents of the training data: (points, learned axes)."""
        self.labels = about.point_labels
        self.names = tuple(axis.name for axis in axes)
        """Of its axes: two, or as many as there are."""
        low, high = ([getattr(axis, end) for axis in axes] for end in ("low", "high"))
        plane = Plane.of(self.points) if len(self.points) else Plane.between(np.array(low), np.array(high))
        self._low, self._high = plane
        self.places: NDArray[np.float64] = plane.places(self.points)
        """Of the points on the map: (points, 2)."""

    def bounds(self) -> list[list[float]]:
        """Lowest and highest value of each of its axes."""
        return np.stack([self._low, self._high], 1).tolist()

    def at(self, x: float, y: float, present: tuple[float, ...]) -> tuple[float, ...]:
        """The latent at a place. Control axes stay as they are at `present`; without points the further axes do too."""
        width = len(self.names)
        place = np.array((x, y))[:width]
        learned = np.array(present[self._first :])
        if len(self.points):
            distances = ((self.places[:, :width] - place) ** 2).sum(1)
            nearest = np.argsort(distances, kind="stable")[:NEIGHBOURS]
            weights = 1 / (distances[nearest] + CLOSEST)
            learned = weights @ self.points[nearest] / weights.sum()
        learned[:width] = self._low + place * (self._high - self._low)
        return (*present[: self._first], *np.clip(learned, -10, 10).tolist())
