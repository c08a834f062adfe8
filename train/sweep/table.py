"""What came out: a row a trial, best first; trials.csv, text for people, JSON for programs."""

from __future__ import annotations

import csv
import io
from collections.abc import Hashable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

from wavevae import console
from wavevae.files import write_whole

from .axes import Range
from .space import Space
from .worker import folder_name

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
    """For people: the objective, the keys, minutes, the run."""
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


def as_json(result: Result) -> dict[str, Any]:
    """Plain values."""
    return asdict(result)


def groups_of(values: Sequence[Any], ranged: bool) -> list[Hashable]:
    """The group of each trial: its choice, or which part of the range, cut into parts with equally many trials."""
    if not ranged:
        return list(values)
    parts = max(2, min(MOST_PARTS, len(values) // FEWEST_A_PART))
    edges = np.quantile(np.asarray(values, float), np.linspace(0, 1, parts + 1)[1:-1])
    return [int(np.searchsorted(edges, float(v), side="right")) for v in values]


def epsilon_squared(objective: Sequence[float], groups: Sequence[Hashable]) -> float | None:
    """How much a key matters: the share of the objective's variance that it accounts for by itself, 0 to 1.

    One-way analysis of variance over the finished trials, corrected for what luck would explain (Kelley 1935): a key
    that does nothing is at 0 in the mean. None for one group only, as many groups as trials, or no variance.
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
