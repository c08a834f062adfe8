"""Refuses a space before anything is trained: every setting in it must be one that `wavevae train` takes."""

from __future__ import annotations

from pathlib import Path

from wavevae.errors import UserError

from .. import arguments
from .axes import Choices, Settings
from .space import Space
from .trial import command

MOST_POINTS = 1000
"""Of a grid that are looked at one by one."""


def must_resolve(space: Space) -> None:
    """Raises: UserError naming the point that cannot be."""
    for labels in points(space):
        settings = space.settings(labels)
        try:
            arguments.resolve(arguments.parse(command(space, settings, (), Path("."))))
        except UserError as error:
            where = ", ".join(f"{name} {value}" for name, value in labels.items())
            raise UserError(f"{space.name}: {where}: {error}") from None


def points(space: Space) -> list[dict[str, object]]:
    """A grid's points; of another space its first point, and each end of each axis in it."""
    if space.sampler == "grid":
        return [dict(point) for point in space.grid()[:MOST_POINTS]]
    ends = {axis.name: _labels(axis, axis.ends()) for axis in space.axes}
    first = {name: labels[0] for name, labels in ends.items()}
    return [{**first, name: label} for name, labels in ends.items() for label in labels]


def _labels(axis: object, ends: list[Settings]) -> list[object]:
    return list(axis.labels) if isinstance(axis, Choices) else [next(iter(end.values())) for end in ends]
