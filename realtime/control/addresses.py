"""One thing that can be set or asked for: its address, its arguments, what it means; and how it is checked."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from wavevae.controls import Control, ControlState, Refused

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
