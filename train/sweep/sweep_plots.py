"""sweep.png: how much each key matters and where it is good; beta_vs_kl.png: the KL of all runs over each other."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from wavevae import plots

from .axes import Choices, Range
from .space import Space
from .table import Result, Row

if TYPE_CHECKING:
    from matplotlib.axes import Axes

PANELS_A_ROW = 3


def draw(folder: Path, result: Result, space: Space) -> list[Path]:
    """The pictures that there is something for."""
    drawn = []
    if result.done():
        overview(folder / "sweep.png", result, space)
        drawn.append(folder / "sweep.png")
    kl = [row for row in result.rows if len(_kl(row)[0])]
    if kl:
        beta_vs_kl(folder / "beta_vs_kl.png", kl, space)
        drawn.append(folder / "beta_vs_kl.png")
    return drawn


def overview(path: Path, result: Result, space: Space) -> None:
    """The importances, then a panel a key: every finished trial at its value."""
    count = 1 + len(space.axes)
    columns = min(PANELS_A_ROW, count)
    rows = -(-count // columns)
    figure = plots.new_figure(4.4 * columns, 3.6 * rows)
    panels = figure.subplots(rows, columns, squeeze=False).flat
    importances(next(panels), result)
    for axis in space.axes:
        spread(next(panels), axis, result, space)
    for left in panels:
        left.set_visible(False)
    figure.suptitle(f"{result.name}: {result.counts()}", fontsize=11)
    plots.save(figure, path)


def importances(panel: Axes, result: Result) -> None:
    names = sorted(result.importances, key=lambda n: result.importances[n] or 0.0)
    shares = [result.importances[n] or 0.0 for n in names]
    panel.barh(range(len(names)), shares, color="C0")
    panel.set_yticks(range(len(names)), names)
    panel.set_xlim(0, 1)
    for place, name in enumerate(names):
        known = result.importances[name]
        said = "too few trials to tell" if known is None else f"{known:.0%}"
        panel.text((known or 0.0) + 0.02, place, said, va="center", fontsize=9)
    panel.set_xlabel(
        f"share of the variance of {result.objective}\nthat the key accounts for alone", fontsize=9
    )


def spread(panel: Axes, axis: Choices | Range, result: Result, space: Space) -> None:
    """Trials by one key, coloured by the group's key; a line at the mean of a choice."""
    done = result.done()
    values = np.array([row.value for row in done], float)
    colours = _colours(done, space)
    if isinstance(axis, Range):
        at = np.array([float(row.keys[axis.name]) for row in done])
        if axis.log:
            panel.set_xscale("log")
    else:
        at = np.array([axis.labels.index(row.keys[axis.name]) for row in done], float)
        panel.set_xticks(range(len(axis.labels)), [str(label) for label in axis.labels], fontsize=8)
        panel.tick_params(axis="x", rotation=20 if max(len(str(x)) for x in axis.labels) > 6 else 0)
        panel.set_xlim(-0.5, len(axis.labels) - 0.5)
        for place in np.unique(at):
            mean = values[at == place].mean()
            panel.hlines(mean, place - 0.3, place + 0.3, color="0.5", lw=1.5)
    panel.scatter(at, values, c=colours, s=26, zorder=3)
    panel.set_xlabel(axis.name)
    panel.set_ylabel(result.objective)
    panel.grid(alpha=0.25)


def _grouping(space: Space) -> str:
    """The key that colours stand for: the one named, else the first choice."""
    choices = [axis.name for axis in space.axes if isinstance(axis, Choices)]
    return space.group or (choices[0] if choices else "")


def _colours(rows: Sequence[Row], space: Space) -> list[str]:
    name = _grouping(space)
    axis = next((a for a in space.axes if a.name == name), None)
    if not isinstance(axis, Choices):
        return ["C0"] * len(rows)
    return [
        f"C{axis.labels.index(row.keys[name]) % 10}" if row.keys[name] in axis.labels else "0.6"
        for row in rows
    ]


def _kl(row: Row) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Share of the budget, KL (nats a frame) and its weight over a run; empty where it has none."""
    path = Path(row.run) / "metrics.csv"
    columns: dict[str, np.ndarray] = plots.read_columns(path) if path.is_file() else {}
    empty = np.zeros(0)
    share, kl, weight = (columns.get(name, empty) for name in ("share", "kl_nats", "kl_weight"))
    if not (len(share) and len(kl) and len(weight)):
        return empty, empty, empty
    there = np.isfinite(kl) & np.isfinite(weight)
    return share[there], kl[there], weight[there]


def beta_vs_kl(path: Path, rows: Sequence[Row], space: Space) -> None:
    """Above, the KL of every run, a colour a group; below, the weight (beta) that it was under; one time axis."""
    figure = plots.new_figure(9, 6)
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(3, 2))
    name = _grouping(space)
    named: set[Any] = set()
    ordered = sorted(rows, key=lambda row: row.trial)
    for row, colour in zip(ordered, _colours(ordered, space), strict=True):
        share, kl, weight = _kl(row)
        group = row.keys.get(name)
        label = None if group in named else str(group)
        named.add(group)
        upper.plot(share, np.maximum(kl, 1e-3), color=colour, lw=1.2, alpha=0.75, label=label)
        lower.plot(share, weight, color=colour, lw=1.2, alpha=0.75)
    heights = np.concatenate([line.get_ydata() for line in upper.get_lines()])
    if heights.max() > 10 * heights.min():
        upper.set_yscale("log")
    upper.set_ylabel("KL, nats a frame")
    lower.set_ylabel("its weight (beta)")
    lower.set_xlabel("share of the budget")
    for panel in (upper, lower):
        panel.grid(alpha=0.25)
    if name:
        figure.legend(loc="outside right upper", fontsize=9, title=name)
    plots.save(figure, path)
