"""data_report.csv: a row for every file found, with every second used."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from wavevae.files import replacing

if TYPE_CHECKING:
    from wavevae.corpus.store import Item, Store

HEADER = ("path", "status", "seconds", "reason")


class Row(NamedTuple):
    """What became of one file."""

    path: str
    """Bytes that are no UTF-8 are written as \\xNN."""
    status: str
    """used or skipped."""
    seconds: float
    """Used, at the store's rate."""
    reason: str
    """Why it was skipped, or what to know about what was used; empty for a plain used file."""


def write_report(path: Path, rows: Iterable[Row]) -> None:
    """Write the CSV whole or not at all. Raises: as `wavevae.files.replacing`."""
    with (
        replacing(path) as part,
        open(part, "w", newline="", encoding="utf-8", errors="backslashreplace") as file,
    ):
        table = csv.writer(file)
        table.writerow(HEADER)
        table.writerows((r.path, r.status, f"{r.seconds:.6f}", r.reason) for r in rows)


def training_report(store: Store, train: Sequence[Item], validation: Sequence[Item]) -> list[Row]:
    """The store's rows as one training run uses them: held-out files named, unused ones (a test split) skipped."""
    from wavevae.audio import printable

    roles: dict[str, set[str]] = {}
    for role, items in (("", train), ("validation", validation)):
        for item in items:
            roles.setdefault(printable(item.path), set()).add(role)
    splits = {printable(item.path): item.split for item in store.items}
    rows = []
    for row in store.report:
        part = roles.get(row.path)
        if row.status == "used" and row.path in splits:
            if part is None:
                named = splits[row.path]
                row = Row(
                    row.path, "skipped", 0.0, f"left alone: the {named} split" if named else "left alone"
                )
            elif "validation" in part:
                said = "validation" if len(part) == 1 else "its end held out for validation"
                row = row._replace(reason="; ".join(filter(None, (said, row.reason))))
        rows.append(row)
    return rows


def why_nothing(rows: Sequence[Row]) -> str:
    """One line for a corpus with nothing to use: how many files, the commonest reasons, one example."""
    reasons = Counter(row.reason for row in rows)
    listed = ", ".join(f"{count} x {reason}" for reason, count in reasons.most_common(3))
    more = ", ..." if len(reasons) > 3 else ""
    return f"no sound that can be used among {len(rows)} files ({listed}{more}); first: {rows[0].path}"
