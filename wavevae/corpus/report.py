"""data_report.csv: a row for every file found, with every second used."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from wavevae.files import replacing

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


def why_nothing(rows: Sequence[Row]) -> str:
    """One line for a corpus with nothing to use: how many files, the commonest reasons, one example."""
    reasons = Counter(row.reason for row in rows)
    listed = ", ".join(f"{count} x {reason}" for reason, count in reasons.most_common(3))
    more = ", ..." if len(reasons) > 3 else ""
    return f"no sound that can be used among {len(rows)} files ({listed}{more}); first: {rows[0].path}"
