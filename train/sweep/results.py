"""The results of a sweep: a row a trial, best first; trials.csv, text, JSON, and pictures.

sweep.png: how much each key matters and where it is good; beta_vs_kl.png: the KL of all runs over each other.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

from wavevae import console, plots
from wavevae.files import write_whole

from .space import Choices, Range, Space
from .worker import folder_name

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MOST_PARTS = 5
FEWEST_A_PART = 3
STATES = {
    TrialState.COMPLETE: "done",
    TrialState.PRUNED: "pruned",
    TrialState.FAIL: "failed",
    TrialState.RUNNING: "running",
    TrialState.WAITING: "running",
}


@dataclass(frozen=True)
class Row:
    """One trial."""

    trial: int
    state: str
    value: float | None
    """The objective; of a pruned trial none: it was not judged to the end."""
    keys: dict[str, Any]
    """What was varied, by the label of the choice."""
    figures: dict[str, float]
    run: str
    reason: str = ""


@dataclass(frozen=True)
class Result:
    """A sweep as it stands."""

    name: str
    objective: str
    direction: str
    rows: list[Row]
    """Best first, then what has no value."""
    importances: dict[str, float | None] = field(default_factory=dict)

    def done(self) -> list[Row]:
        return [row for row in self.rows if row.value is not None]

    def counts(self) -> str:
        """'10 done, 2 pruned'"""
        states = [row.state for row in self.rows]
        return ", ".join(f"{states.count(s)} {s}" for s in dict.fromkeys(STATES.values()) if s in states)


def gather(study: Study, space: Space, runs: Path) -> Result:
    """From the storage."""
    sign = 1 if space.direction == "minimize" else -1
    rows = [_row(trial, space, runs) for trial in study.get_trials(deepcopy=False)]
    rows.sort(key=lambda r: (r.value is None, sign * (r.value or 0.0), r.trial))
    done = [row for row in rows if row.value is not None]
    values = [row.value for row in done if row.value is not None]
    importances = {
        axis.name: epsilon_squared(
            values, groups_of([r.keys[axis.name] for r in done], isinstance(axis, Range))
        )
        if len(done) > 1
        else None
        for axis in space.axes
    }
    return Result(space.name, space.objective, space.direction, rows, importances)


def _row(trial: FrozenTrial, space: Space, runs: Path) -> Row:
    state = STATES[trial.state]
    keys = {axis.name: trial.params.get(axis.name) for axis in space.axes}
    figures = dict(trial.user_attrs.get("figures", {}))
    run = str(runs / folder_name(trial.number))
    value = trial.value if state == "done" else None
    return Row(trial.number, state, value, keys, figures, run, str(trial.user_attrs.get("reason", "")))


def write_csv(path: Path, result: Result) -> None:
    """trials.csv: everything, whole or not at all."""
    keys = list(result.rows[0].keys) if result.rows else []
    figures = sorted({name for row in result.rows for name in row.figures} - {result.objective})
    out = io.StringIO()
    table = csv.writer(out, lineterminator="\n")
    table.writerow(["trial", "state", result.objective, *keys, *figures, "run", "reason"])
    for row in result.rows:
        numbers = [_number(row.figures.get(name)) for name in figures]
        value = _number(row.value)
        table.writerow(
            [row.trial, row.state, value, *(row.keys[k] for k in keys), *numbers, row.run, row.reason]
        )
    write_whole(path, out.getvalue())


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.6g}"


def text(result: Result) -> str:
    """A table: the objective, the keys, steps, minutes; then what mattered and the best run."""
    keys = list(result.rows[0].keys) if result.rows else []
    lines = [["trial", "state", result.objective, *keys, "steps", "minutes"]]
    for row in result.rows:
        seconds, steps = row.figures.get("seconds"), row.figures.get("steps")
        shown = [f"{v:.4g}" if isinstance(v, float) else str(v) for v in row.keys.values()]
        value = "" if row.value is None else f"{row.value:.4g}"
        minutes = "" if seconds is None else f"{seconds / 60:.1f}"
        lines.append(
            [str(row.trial), row.state, value, *shown, "" if steps is None else f"{steps:g}", minutes]
        )
    return "\n".join([*console.table(lines), "", *_closing(result)])


def _closing(result: Result) -> Sequence[str]:
    known = {name: value for name, value in result.importances.items() if value is not None}
    lines = [f"{result.name}: {result.counts() or 'no trial yet'}"]
    if known:
        shares = ", ".join(f"{n} {v:.0%}" for n, v in sorted(known.items(), key=lambda item: -item[1]))
        lines.append(f"share of the variance of {result.objective} that a key accounts for alone: {shares}")
    if result.done():
        lines.append(f"best: trial {result.rows[0].trial}, {result.rows[0].run}")
    lines += [f"trial {row.trial} failed: {row.reason}" for row in result.rows if row.state == "failed"]
    return lines


def groups_of(values: Sequence[Any], ranged: bool) -> list[Hashable]:
    """The group of each trial: its choice, or which part of the range, cut into parts with equally many trials."""
    if not ranged:
        return list(values)
    parts = max(2, min(MOST_PARTS, len(values) // FEWEST_A_PART))
    edges = np.quantile(np.asarray(values, float), np.linspace(0, 1, parts + 1)[1:-1])
    return [int(np.searchsorted(edges, float(v), side="right")) for v in values]


def epsilon_squared(objective: Sequence[float], groups: Sequence[Hashable]) -> float | None:
    """How much a key matters: the share of the objective's variance that it accounts for by itself, 0 to 1.

    One-way analysis of variance over the finished trials, corrected for chance (Kelley 1935): the mean is 0 for a
    key that has no effect. None for one group only, as many groups as trials, or no variance.
    """
    y = np.asarray(objective, float)
    names = list(dict.fromkeys(groups))
    total = float(((y - y.mean()) ** 2).sum())
    if len(names) < 2 or len(names) >= len(y) or total <= 0:
        return None
    members = [y[[g == name for g in groups]] for name in names]
    within = float(sum(((m - m.mean()) ** 2).sum() for m in members))
    error = within / (len(y) - len(names))
    between = total - within
    return max(0.0, (between - (len(names) - 1) * error) / total)


# -- pictures -----------------------------------------------------------------------------------------------

PANELS_A_ROW = 3


def draw(folder: Path, result: Result, space: Space) -> list[Path]:
    """The pictures for which there are trials."""
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
    share, kl, weight = (columns.get(name, np.zeros(0)) for name in ("share", "kl_nats", "kl_weight"))
    if not (len(share) and len(kl) and len(weight)):
        return np.zeros(0), np.zeros(0), np.zeros(0)
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
