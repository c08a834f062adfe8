"""explore.html: maps, grids to press and hear, figures; one page that needs nothing beside it."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

from wavevae.evaluation.report_page import document, picture_uri, sound_uri

from .contact_sheet import Cell, Grid


def asset(name: str) -> str:
    return (files("wavevae.evaluation.explore") / "page_assets" / name).read_text(encoding="utf-8")


def _cell(folder: Path, cell: Cell | None) -> str:
    if cell is None:
        return "<span></span>"
    text = html.escape(cell.caption or cell.name)
    picture = picture_uri(folder / ".thumbs" / f"{cell.name}.png")
    sound = sound_uri(folder / f"{cell.name}.wav")
    return (
        f'<button type="button" class="cell" title="{text}"><img alt="" src="{picture}"><span>{text}</span>'
        f'<audio preload="none" src="{sound}"></audio></button>'
    )


def grid_html(folder: Path, grid: Grid) -> str:
    """A heading, what it is, and the cells under the names of their columns, beside those of their rows."""
    heads = [*grid.column_names, *[""] * (grid.columns - len(grid.column_names))]
    cells = ["<span></span>", *(f'<span class="name top">{html.escape(name)}</span>' for name in heads)]
    names = [*grid.row_names, *[""] * (len(grid.rows) - len(grid.row_names))]
    for name, row in zip(names, grid.rows, strict=True):
        padded = [*row, *[None] * (grid.columns - len(row))]
        cells += [f'<span class="name">{html.escape(name)}</span>', *(_cell(folder, cell) for cell in padded)]
    return (
        f"<section><h2>{html.escape(grid.title)}</h2><p class='note'>{html.escape(grid.about)}</p>"
        f'<div class="grid" style="--columns: {grid.columns}">{"".join(cells)}</div></section>'
    )


def facts_html(facts: Mapping[str, str]) -> str:
    rows = "".join(f"<dt>{html.escape(k)}</dt><dd>{html.escape(v)}</dd>" for k, v in facts.items())
    return f"<dl>{rows}</dl>"


def write(
    path: Path,
    title: str,
    facts: Mapping[str, str],
    remarks: Sequence[str],
    maps: Mapping[str, Path],
    grids: Sequence[tuple[Path, Grid]],
) -> None:
    """explore.html"""
    said = "".join(f"<p>{html.escape(remark)}</p>" for remark in remarks)
    pictures = "".join(
        f'<figure><img alt="{html.escape(caption)}" src="{picture_uri(picture)}">'
        f"<figcaption>{html.escape(caption)}</figcaption></figure>"
        for caption, picture in maps.items()
    )
    parts: list[Any] = [
        f"<style>{asset('explore.css')}</style>",
        f"<h1>{html.escape(title)}</h1>{facts_html(facts)}{said}",
        f"<h2>Maps</h2>{pictures}" if maps else "",
        *(grid_html(folder, grid) for folder, grid in grids),
        f"<script>{asset('explore.js')}</script>",
    ]
    text = document(f"wavevae explore: {title}", "\n".join(parts))
    path.write_bytes(text.encode("utf-8", "backslashreplace"))
