"""Several evaluations side by side: every figure in one table, and whether a difference is more than luck of the files.

It reads what evaluations have left (report.json, chunks.csv) and judges differences on the seconds that all of them
have, in pairs: two models stumble over the same hard files, so pairs tell apart what means with intervals cannot.
"""

from __future__ import annotations

import csv
import html
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from wavevae import console
from wavevae.errors import UserError
from wavevae.evaluation import bootstrap, glossary, report_page
from wavevae.files import write_whole

PARTS = ("comparison.csv", "comparison.json", "comparison.html")
Key = tuple[str, str]
"""File and start of a second."""


@dataclass(frozen=True)
class Evaluation:
    """One report as it lies in its folder."""

    name: str
    report: dict[str, Any]
    rows: dict[Key, dict[str, float]]


def read(folder: Path, name: str) -> Evaluation:
    """Raises: UserError where the folder holds no report, or one of an older wavevae."""
    try:
        report = json.loads((folder / "report.json").read_text(encoding="utf-8"))
        with open(folder / "chunks.csv", newline="", encoding="utf-8") as file:
            lines = list(csv.DictReader(file))
        rows = {
            (line["file"], line["start_s"]): {
                key: float(value) if value else np.nan
                for key, value in line.items()
                if key not in ("file", "start_s")
            }
            for line in lines
        }
    except (OSError, ValueError, KeyError, TypeError, csv.Error):
        raise UserError(
            f"--compare {folder}: no report there; give folders that `wavevae evaluate -o` wrote"
        ) from None
    return Evaluation(name, report, rows)


def names_of(folders: Sequence[Path]) -> list[str]:
    """The last part of each path, as much more of it as tells them apart."""
    parts = [folder.resolve().parts for folder in folders]
    for count in range(1, max(map(len, parts)) + 1):
        names = ["/".join(p[-count:]) for p in parts]
        if len(set(names)) == len(names):
            return names
    raise UserError("--compare: the same folder twice; give different ones")


def difference(first: Evaluation, other: Evaluation, name: str) -> dict[str, Any] | None:
    """Mean of other - first over the seconds of both, its interval, and what that says; none where one has it not."""
    shared = [key for key in first.rows if key in other.rows]
    pairs = [(key[0], first.rows[key].get(name, np.nan), other.rows[key].get(name, np.nan)) for key in shared]
    both = [(file, a, b) for file, a, b in pairs if np.isfinite(a) and np.isfinite(b)]
    if not both:
        return None
    files, a, b = [p[0] for p in both], np.array([p[1] for p in both]), np.array([p[2] for p in both])
    interval = bootstrap.of_difference(files, a, b)
    return {
        "mean": float((b - a).mean()),
        "interval": list(interval) if interval else None,
        "chunks": len(both),
        "says": verdict(name, interval),
    }


def verdict(name: str, interval: bootstrap.Interval | None) -> str:
    """better, worse, or the same as far as these files can tell; '' where there is no better."""
    if interval is None or name not in glossary.HIGHER_IS_BETTER:
        return ""
    if interval[0] <= 0 <= interval[1]:
        return "no difference seen"
    return "better" if (interval[0] > 0) == glossary.HIGHER_IS_BETTER[name] else "worse"


def compose(evaluations: Sequence[Evaluation]) -> dict[str, Any]:
    """comparison.json: every figure of every report, differences to the first, what does not compare."""
    first = evaluations[0]
    figures = [name for name in glossary.BETTER if any(e.report.get(name) is not None for e in evaluations)]
    return {
        "names": [e.name for e in evaluations],
        "figures": {name: [e.report.get(name) for e in evaluations] for name in figures},
        "confidence": {
            name: [(e.report.get("confidence") or {}).get(name) for e in evaluations] for name in figures
        },
        "equals_opus": {
            name: [(e.report.get("equals_opus") or {}).get(name) for e in evaluations] for name in figures
        },
        "differences_to_first": {
            name: [None, *(difference(first, other, name) for other in evaluations[1:])] for name in figures
        },
        "best": {name: best(evaluations, name) for name in figures},
        "subjects": [e.report.get("subject") for e in evaluations],
        "remarks": remarks(evaluations),
    }


def remarks(evaluations: Sequence[Evaluation]) -> list[str]:
    """Why figures may not compare."""
    said = []
    keys = [set(e.rows) for e in evaluations]
    shared = set.intersection(*keys)
    if any(k != shared for k in keys):
        counts = ", ".join(str(len(k)) for k in keys)
        said.append(
            f"not the same seconds were judged ({counts}; {len(shared)} by all): only the differences compare like "
            "with like"
        )
    for key, what in (("sample_rate", "sample rates"), ("fad_embedding", "embeddings")):
        found = [str(e.report.get(key)) for e in evaluations]
        if len(set(found)) > 1:
            said.append(
                f"{what} differ ({', '.join(found)}): fad, diversity and spectral figures do not compare"
            )
    return said


def best(evaluations: Sequence[Evaluation], name: str) -> int | None:
    """Which of them is better than every other beyond the luck of the files; none where no one is, or where that cannot
    be told: a figure that seconds do not have each has no pairs."""
    values = [(e.report.get(name), i) for i, e in enumerate(evaluations)]
    there = [(v, i) for v, i in values if isinstance(v, (int, float))]
    if name not in glossary.HIGHER_IS_BETTER or len(there) < 2:
        return None
    first = (max if glossary.HIGHER_IS_BETTER[name] else min)(there)[1]
    gaps = [difference(evaluations[first], evaluations[i], name) for _, i in there if i != first]
    return first if all(gap is not None and gap["says"] == "worse" for gap in gaps) else None


def cells(comparison: Mapping[str, Any], name: str) -> list[str]:
    """A row of the table: figure, Opus, and what the difference to the first says."""
    row = []
    for index, value in enumerate(comparison["figures"][name]):
        text = glossary.number(value)
        opus = comparison["equals_opus"][name][index]
        gap = comparison["differences_to_first"][name][index]
        text += f" (Opus {opus})" if opus else ""
        row.append(text + (f", {gap['says']}" if gap and gap["says"] else ""))
    return row


def table(comparison: Mapping[str, Any]) -> str:
    rows = {name: cells(comparison, name) for name in comparison["figures"]}
    lines = console.table([["", *comparison["names"]], *([name, *row] for name, row in rows.items())])
    lines = [f"  {line}" for line in lines]
    lines.append(
        "better, worse: than the first, on the same seconds, beyond the luck of the files (95 %, in pairs)"
    )
    return "\n".join([*lines, *comparison["remarks"]])


def document(comparison: Mapping[str, Any]) -> str:
    head = "".join(f'<th scope="col">{html.escape(n)}</th>' for n in ("", *comparison["names"], "better is"))
    rows = []
    for name in comparison["figures"]:
        winner = comparison["best"][name]
        tds = "".join(
            f"<td{' class=best' if index == winner else ''}>{html.escape(cell)}</td>"
            for index, cell in enumerate(cells(comparison, name))
        )
        way = {True: "higher", False: "lower"}.get(glossary.HIGHER_IS_BETTER.get(name), "")  # type: ignore[arg-type]
        meaning = html.escape(glossary.ABOUT.get(name, ""), quote=True)
        rows.append(f'<tr><th scope="row" title="{meaning}">{name}</th>{tds}<td>{way}</td></tr>')
    said = "".join(f"<p>{html.escape(remark)}</p>" for remark in comparison["remarks"])
    note = (
        "<p class='note'>better, worse: than the first column, on the same seconds, beyond the luck of the files "
        "(95 %, in pairs); bold: better than every other column, likewise</p>"
    )
    content = (
        f"<h1>Comparison</h1><div class=wide><table><thead><tr>{head}</tr></thead>"
        f"<tbody>{''.join(rows)}</tbody></table></div>{note}{said}"
    )
    return report_page.document("wavevae: comparison", content)


def _csv(comparison: Mapping[str, Any]) -> str:
    lines = [["figure", *comparison["names"]]]
    lines += [
        [name, *("" if v is None else f"{v:.6g}" for v in row)] for name, row in comparison["figures"].items()
    ]
    return "\n".join(",".join(cell.replace(",", ";") for cell in line) for line in lines) + "\n"


def compare(folders: Sequence[Path], out: Path, names: Sequence[str] | None = None) -> dict[str, Any]:
    """Read, compare, write into `out`. Raises: UserError."""
    if len(folders) < 2:
        raise UserError("--compare needs two folders or more that `wavevae evaluate -o` wrote")
    named = zip(folders, names or names_of(folders), strict=True)
    comparison = compose([read(folder, name) for folder, name in named])
    written = {
        "comparison.csv": _csv(comparison),
        "comparison.html": document(comparison),
        "comparison.json": json.dumps(comparison, indent=1, allow_nan=False) + "\n",
    }
    for name, text in written.items():
        write_whole(out / name, text)
    return comparison
