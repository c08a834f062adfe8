"""The figures of the pages: kept in docs/figures.json, written from there into the tables of the pages.

    python experiments/figures.py                                            # write the tables again
    python experiments/figures.py sax=runs/sax/report/report.json            # take new figures of a source, then write
    python experiments/figures.py played=playing.jsonl --command "python benchmarks/playing.py sax.ts"

A source is a report.json, or what a benchmark printed as lines of JSON. Of it come the figures that docs/tables.txt
names, `{source.figure}`; --command says how they were measured, where that is new.
"""

import argparse
import json
import re
import string
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
FIGURES, TABLES = ROOT / "docs" / "figures.json", ROOT / "docs" / "tables.txt"
PAGES = [ROOT / "README.md", ROOT / "docs" / "index.md", ROOT / "docs" / "results.md"]
BLOCK = re.compile(r"(<!-- figures: (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)


def blocks() -> dict[str, str]:
    """The text of every block of docs/tables.txt, by its name."""
    parts = re.split(r"^# (\w+)\n", TABLES.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return {name: text.strip() for name, text in zip(parts[1::2], parts[2::2], strict=True)}


def named(source: str) -> list[list[str]]:
    """The figures of a source that the tables name, each as the keys that lead to it."""
    fields = [
        field for text in blocks().values() for _, field, _, _ in string.Formatter().parse(text) if field
    ]
    paths = {field.split("[")[0] for field in fields if field.startswith(f"{source}.")}
    return [path.split(".")[1:] for path in sorted(paths) if path != f"{source}.command"]


def measured(path: Path) -> dict[str, Any]:
    """A report with its section `playing` beside the rest, or the studies of a benchmark by name."""
    text = path.read_text(encoding="utf-8")
    try:
        report = json.loads(text)
    except json.JSONDecodeError:
        lines = [json.loads(line) for line in text.splitlines() if line.startswith("{")]
        return {line.pop("study"): line for line in lines}
    return {**report, **report.get("playing", {})}


def taken(source: str, path: Path) -> dict[str, Any]:
    """The named figures of a file. Raises: SystemExit where one is missing, or where no table names the source."""
    given, found = measured(path), {}
    if not named(source):
        sys.exit(f"{source}: docs/tables.txt names no figure of it")
    for keys in named(source):
        value, inner = given, found
        for key in keys:
            if not isinstance(value, dict) or value.get(key) is None:
                sys.exit(f"{path}: no figure {'.'.join(keys)}, which docs/tables.txt names")
            value = value[key]
        for key in keys[:-1]:
            inner = inner.setdefault(key, {})
        inner[keys[-1]] = float(f"{value:.5g}") if isinstance(value, float) else value
    return found


def filled(page: str) -> str:
    """The text of a page with its blocks as the figures have it."""
    figures = json.loads(FIGURES.read_text(encoding="utf-8"), object_hook=lambda d: SimpleNamespace(**d))
    texts = blocks()

    def fill(match: re.Match[str]) -> str:
        text = string.Formatter().vformat(texts[match[2]], (), vars(figures))
        text = re.sub(r"e-0(\d)", r"e-\1", re.sub(r"(\d)%", r"\1 %", text))
        return f"{match[1]}{text}\n{match[3]}"

    return BLOCK.sub(fill, page)


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    options.add_argument("sources", nargs="*", metavar="SOURCE=FILE", help="to take figures from")
    options.add_argument("--command", help="that measured them")
    args = options.parse_args()
    figures = json.loads(FIGURES.read_text(encoding="utf-8"))
    for source, path in (text.split("=", 1) for text in args.sources):
        command = args.command or figures.get(source, {}).get("command")
        if not command:
            sys.exit(f"{source} is new; say with --command how it was measured")
        figures[source] = {"command": command, **taken(source, Path(path))}
    FIGURES.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
    for page in PAGES:
        page.write_text(filled(page.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()
