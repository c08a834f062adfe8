"""One thing that can be set or asked for: its address, its arguments, what it means; and how it is checked."""

from __future__ import annotations

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


@dataclass(frozen=True)
class Address:
    """An entry of the table. OSCQuery and the control page build their faders from these."""

    path: str
    tags: str
    """OSC type tags of its arguments."""
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
    """Nothing: the other way round; 0 or 1: that. Raises: Refused."""
    count(arguments, 0, 1)
    if not arguments:
        return not present
    if arguments[0] not in (0, 1):
        raise Refused("send nothing, 0 or 1")
    return bool(arguments[0])


def ranges_of(control: Control, times: int = 1) -> tuple[Range, ...]:
    return (Range(control.low, control.high),) * times
