"""SPACE.yaml: what is fixed, what is varied, how it is searched, what is compared.

An axis is a choice (of one setting, or of several at once under a name) or a range of a number.
"""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from wavevae.cli import expanded
from wavevae.config import SECTIONS, full_key, load_yaml
from wavevae.errors import UserError, nearest
from wavevae.settings import Fraction, converted, is_whole_number, types_of

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


# -- the whole space ----------------------------------------------------------------------------------------

Objective = Literal[
    "val_distance",
    "val_mr_stft",
    "val_log_mel",
    "val_waveform_l1",
    "val_kl",
    "val_kl_nats",
    "val_active_dims",
    "val_codebook_perplexity",
    "val_codebook_usage",
    "val_level_difference_db",
    "val_distance_mistold_class",
    "val_distance_mistold_pitch",
    "val_feature_l1",
    "val_feature_mse",
    "val_accuracy",
]
"""Columns of metrics.csv that a search can be judged by."""
WEIGHING = {"objective.mr_stft_end", "objective.log_mel_end", "objective.waveform_l1_end"}
"""What val_distance is weighed with: varied, it does not compare between trials."""


@dataclass(frozen=True)
class Space:
    """A whole sweep, as written."""

    name: str
    """Of the study; the file's own name where none is given."""
    axes: tuple[Axis, ...]
    fixed: Settings
    preset: str = ""
    data: tuple[str, ...] = ()
    """Folders and files, from the folder of SPACE.yaml; none: --data, or the demo corpus."""
    sampler: Literal["grid", "tpe", "random"] = "tpe"
    objective: Objective = "val_distance"
    """Read at the checkpoint with the lowest val_distance, which is the one that is exported."""
    direction: Literal["minimize", "maximize"] = "minimize"
    seed: int = 0
    prune: bool = True
    prune_after: Fraction = 0.3
    """Share of a trial's budget before which it is never stopped."""
    prune_start: int = 4
    """Finished trials before which none is stopped."""
    group: str = ""
    """The varied key whose values share a colour in the pictures; none: the first one."""

    @property
    def size(self) -> int | None:
        """Points of a grid; none of anything else."""
        if self.sampler != "grid":
            return None
        return math.prod(len(axis.labels) for axis in self.axes if isinstance(axis, Choices))

    def grid(self) -> list[dict[str, Label]]:
        """Every point of a grid; the first key varies fastest, so that what is done first spans it."""
        choices = [axis for axis in self.axes if isinstance(axis, Choices)]
        rows = itertools.product(*(axis.labels for axis in reversed(choices)))
        names = [axis.name for axis in reversed(choices)]
        return [dict(reversed(list(zip(names, row, strict=True)))) for row in rows]

    def settings(self, labels: Mapping[str, Any]) -> dict[str, Any]:
        """The settings of a point, in full keys: fixed, then varied."""
        varied: dict[str, Any] = {}
        for axis in self.axes:
            value = labels[axis.name]
            varied |= axis.options[value] if isinstance(axis, Choices) else {axis.name: value}
        both = [*self.fixed.items(), *varied.items()]
        return {in_full(key): value for key, value in both}

    def identity(self) -> dict[str, Any]:
        """Plain values that two sweeps in one storage must share; data by name, as it may lie elsewhere."""
        axes = {
            a.name: {str(k): dict(v) for k, v in a.options.items()}
            if isinstance(a, Choices)
            else [a.low, a.high, a.log, a.whole]
            for a in self.axes
        }
        others = {
            f.name: getattr(self, f.name) for f in fields(self) if f.name not in ("axes", "fixed", "data")
        }
        names = [Path(path).name for path in self.data]
        return {**others, "data": names, "fixed": dict(self.fixed), "space": axes}


def read_space(path: Path) -> Space:
    """Raises: UserError for a file that is none, an unknown key (with the nearest), a search that cannot be."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not a text file"
        raise UserError(f"{path}: {reason}; give a SPACE.yaml (examples/sweeps has some)") from None
    tree = load_yaml(text, str(path), "space: and may hold fixed:, sampler:, ...")
    try:
        return parse_space(tree, path)
    except UserError as error:
        raise UserError(f"{path}: {error}") from None


def parse_space(tree: Mapping[str, Any], path: Path) -> Space:
    """Raises: UserError."""
    known = [f.name for f in fields(Space) if f.name != "axes"] + ["space"]
    for key in tree:
        if key not in known:
            raise UserError(f"unknown key '{key}'; {nearest(str(key), known)}")
    entries = tree.get("space")
    if not isinstance(entries, Mapping) or not entries:
        raise UserError("space: holds nothing to vary; write key: [choices], or key: {low: ..., high: ...}")
    axes = tuple(read_axis(str(name), value) for name, value in entries.items())
    written = {key: value for key, value in tree.items() if key not in ("space", "fixed", "data", "name")}
    space = Space(
        name=str(tree.get("name") or path.stem),
        axes=axes,
        fixed=_fixed(tree.get("fixed") or {}),
        data=_data(tree.get("data"), path.parent),
        **{key: converted(key, value, types_of(Space)[key]) for key, value in written.items()},
    )
    _check(space)
    return space


def _fixed(values: Any) -> Settings:
    if not isinstance(values, Mapping):
        raise UserError(f"fixed is {values!r}; it must hold key: value lines")
    for key in values:
        in_full(str(key))
    return {str(key): plain(value) for key, value in values.items()}


def _data(values: Any, folder: Path) -> tuple[str, ...]:
    """Absolute paths. Raises: UserError where one is not there."""
    listed = [] if values is None else values if isinstance(values, list) else [values]
    paths = [(folder / expanded(str(value))).absolute() for value in listed]
    for path in paths:
        if not path.exists():
            raise UserError(f"data: nothing at {path}; correct it, or leave it out and give --data")
    return tuple(map(str, paths))


def _check(space: Space) -> None:
    """Raises: UserError for what does not go together."""
    names = [axis.name for axis in space.axes]
    if space.group and space.group not in names:
        raise UserError(f"group is '{space.group}', which is not varied; {nearest(space.group, names)}")
    ranges = [axis.name for axis in space.axes if not isinstance(axis, Choices)]
    if space.sampler == "grid" and ranges:
        raise UserError(f"sampler grid: {ranges[0]} is a range; list its values, or use tpe or random")
    varied = [{in_full(key) for end in axis.ends() for key in end} for axis in space.axes]
    _check_once(space, varied)
    if space.objective.startswith("val_distance") and (moved := set().union(*varied) & WEIGHING):
        raise UserError(
            f"{min(moved)} is varied, and {space.objective} is weighed with it: no yardstick for trials that "
            "differ in it; give objective: val_mr_stft or val_log_mel"
        )


def _check_once(space: Space, varied: list[set[str]]) -> None:
    """Raises: UserError where a setting is varied twice, or fixed and varied."""
    seen = {in_full(key) for key in space.fixed}
    for axis, keys in zip(space.axes, varied, strict=True):
        if twice := seen & keys:
            raise UserError(f"{min(twice)} is given twice (space: {axis.name}); leave one out")
        seen |= keys
