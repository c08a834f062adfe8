"""What a sweep varies: choices (of one setting, or of several at once under a name) and ranges of a number."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from wavevae.config import SECTIONS, full_key
from wavevae.errors import UserError, nearest
from wavevae.settings import is_whole_number, types_of

from ..arguments import SETTINGS

if TYPE_CHECKING:
    from optuna.trial import Trial

BUDGET = ("max_time", "max_steps")
"""Options of `wavevae train` that are no single setting."""
RANGE_KEYS = ("low", "high", "log", "int")
Label = str | int | float | bool
Settings = Mapping[str, Any]
"""{setting as typed: value}"""


def in_full(key: str) -> str:
    """'sr' or 'sample_rate' -> 'model.sample_rate'; max_time and max_steps stay. Raises: UserError with the nearest."""
    return key if key in BUDGET else SETTINGS.get(key) or full_key(key, (*SETTINGS, *BUDGET))


def is_whole(key: str) -> bool:
    """Whether a setting is a whole number."""
    full = in_full(key)
    if full in BUDGET:
        return full == "max_steps"
    section, name = full.split(".")
    return is_whole_number(types_of(SECTIONS[section])[name])


def plain(value: Any) -> Any:
    """YAML 1.1 reads 1e-4 as a word: it is a number here."""
    if isinstance(value, str):
        try:
            return float(value)
        except ValueError:
            return value
    return value


def label_of(value: Any) -> Label:
    """How a choice is called in the table: itself, or a list as one word."""
    return value if isinstance(value, (str, int, float, bool)) else json.dumps(value)


@dataclass(frozen=True)
class Choices:
    """One of several, in the order written."""

    name: str
    options: Mapping[Label, Settings]

    @property
    def labels(self) -> list[Label]:
        return list(self.options)

    def suggest(self, trial: Trial) -> Settings:
        label: Any = trial.suggest_categorical(self.name, self.labels)
        return self.options[label]

    def ends(self) -> list[Settings]:
        """Every choice."""
        return list(self.options.values())


@dataclass(frozen=True)
class Range:
    """A number between two, both included."""

    name: str
    low: float
    high: float
    log: bool = False
    whole: bool = False

    def suggest(self, trial: Trial) -> Settings:
        if self.whole:
            return {self.name: trial.suggest_int(self.name, int(self.low), int(self.high), log=self.log)}
        return {self.name: trial.suggest_float(self.name, self.low, self.high, log=self.log)}

    def ends(self) -> list[Settings]:
        """Lowest and highest."""
        kind = int if self.whole else float
        return [{self.name: kind(self.low)}, {self.name: kind(self.high)}]


Axis = Choices | Range


def read_axis(name: str, value: Any) -> Axis:
    """One entry of `space:`. Raises: UserError naming it."""
    if isinstance(value, list):
        in_full(name)
        return _choices(name, {label_of(plain(v)): {name: plain(v)} for v in value}, len(value))
    if isinstance(value, Mapping) and value and all(isinstance(v, Mapping) for v in value.values()):
        return _choices(name, {str(k): _settings(name, k, v) for k, v in value.items()}, len(value))
    in_full(name)
    if isinstance(value, Mapping) and {"low", "high"} & set(value):
        return _range(name, value)
    raise UserError(
        f"space: {name} is {value!r}; write a list [64, 128], or a range {{low: 1.0e-4, high: 1.0e-3, log: true}}"
    )


def _choices(name: str, options: Mapping[Label, Settings], written: int) -> Choices:
    if not options:
        raise UserError(f"space: {name} has no choices; write some, or a setting under fixed:")
    if len(options) < written:
        raise UserError(f"space: {name} has the same choice twice; leave one out")
    return Choices(name, options)


def _settings(name: str, label: Any, values: Mapping[Any, Any]) -> Settings:
    """The settings of one named choice."""
    for key in values:
        try:
            in_full(str(key))
        except UserError as error:
            raise UserError(f"space: {name}: {label}: {error}") from None
    return {str(key): plain(value) for key, value in values.items()}


def _range(name: str, value: Mapping[str, Any]) -> Range:
    for key in value:
        if key not in RANGE_KEYS:
            raise UserError(f"space: {name}: unknown key '{key}'; {nearest(str(key), RANGE_KEYS)}")
    low, high = (plain(value.get(key)) for key in ("low", "high"))
    log, whole = bool(value.get("log", False)), bool(value.get("int", is_whole(name)))
    numbers = all(
        isinstance(v, (int, float)) and not isinstance(v, bool) and math.isfinite(v) for v in (low, high)
    )
    if not numbers or not low < high:
        raise UserError(f"space: {name} is {low!r} to {high!r}; give numbers, low below high")
    if log and low <= 0:
        raise UserError(f"space: {name} is logarithmic from {low:g}; give a low above 0")
    return Range(name, low, high, log, whole)
