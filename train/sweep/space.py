"""SPACE.yaml: what is fixed, what is varied, how it is searched, what is judged by."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal

from wavevae.cli import expanded
from wavevae.config import load_yaml
from wavevae.errors import UserError, nearest
from wavevae.settings import Fraction, converted, types_of

from .axes import Axis, Choices, Label, Settings, in_full, plain, read_axis

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
"""What val_distance is weighed with: varied, it is another yardstick in every trial."""


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
        """What `wavevae train` is told at a point, in full keys: fixed, then varied."""
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
