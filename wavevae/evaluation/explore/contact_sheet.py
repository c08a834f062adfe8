"""A grid of sounds: WAVs, one picture of all their spectrograms, and the page explore.html to see and hear them on."""

from __future__ import annotations

import html
import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np

from wavevae import audio
from wavevae.evaluation.report_page import document, picture_uri, sound_uri
from wavevae.plots import RANGE_DB, decibels, new_figure, power_spectrogram, save

N_FFT = 512
THUMB = (96, 140)
"""Height and width of a small picture, pixels."""
GAP = 3
FULL = 0.99
"""A sound whose peak is above this is turned down to it: decoded latents know no full scale."""


@dataclass(frozen=True)
class Cell:
    """One sound of a grid."""

    name: str
    """Of its WAV, without .wav."""
    caption: str
    sound: np.ndarray
    """(samples,)"""


@dataclass(frozen=True)
class Grid:
    """Rows of cells; a row may be shorter than the others."""

    title: str
    about: str
    rows: Sequence[Sequence[Cell | None]]
    """None: an empty place."""
    row_names: Sequence[str] = ()
    column_names: Sequence[str] = ()

    @property
    def columns(self) -> int:
        return max((len(row) for row in self.rows), default=0)


def tame(sound: np.ndarray) -> np.ndarray:
    """Finite, and within full scale."""
    finite = np.nan_to_num(np.asarray(sound, np.float32))
    peak = float(np.abs(finite).max(initial=0.0))
    return finite if peak <= FULL else finite * np.float32(FULL / peak)


def write_grid(folder: Path, grid: Grid, sample_rate: int) -> None:
    """folder/NAME.wav, folder/sheet.png, and a small picture of each cell for the page."""
    pictures = [[None if cell is None else _picture(tame(cell.sound)) for cell in row] for row in grid.rows]
    top = max((float(p.max()) for row in pictures for p in row if p is not None), default=0.0)
    for row, powers in zip(grid.rows, pictures, strict=True):
        for cell, power in zip(row, powers, strict=True):
            if cell is None or power is None:
                continue
            audio.write(folder / f"{cell.name}.wav", tame(cell.sound), sample_rate)
            thumb(thumb_path(folder, cell), fitted(decibels(power, top), THUMB))
    shown = [[None if p is None else decibels(p, top) for p in row] for row in pictures]
    sheet(folder / "sheet.png", grid, shown)


def thumb_path(folder: Path, cell: Cell) -> Path:
    """Beside the folders of the grids, where it is not kept."""
    return folder.parent / ".thumbs" / folder.name / f"{cell.name}.png"


def _picture(sound: np.ndarray) -> np.ndarray:
    """(samples,) -> power (bins, frames)."""
    return power_spectrogram(sound if len(sound) else np.zeros(1, np.float32), N_FFT)


def fitted(
    picture: np.ndarray, size: tuple[int, int], reduce: Callable[..., np.ndarray] = np.max
) -> np.ndarray:
    """(bins, frames) dB -> (height, width), each pixel the loudest of what it stands for; lowest bin at the bottom."""
    out = picture
    for axis, wanted in enumerate(size):
        edges = np.linspace(0, out.shape[axis], wanted + 1)
        parts = [(int(a), max(int(a) + 1, int(np.ceil(b)))) for a, b in itertools.pairwise(edges)]
        out = np.stack(
            [reduce(np.take(out, range(a, min(b, out.shape[axis])), axis), axis=axis) for a, b in parts], axis
        )
    return out[::-1]


def thumb(path: Path, picture: np.ndarray) -> None:
    """(height, width) dB -> PNG. For a page that is put together right after; not worth a rename."""
    from matplotlib import colormaps
    from PIL import Image

    path.parent.mkdir(parents=True, exist_ok=True)
    colours = colormaps["magma"](1 + picture / RANGE_DB, bytes=True)[..., :3]
    Image.fromarray(colours).quantize(64).save(path, optimize=True)


def sheet(path: Path, grid: Grid, pictures: Sequence[Sequence[np.ndarray | None]]) -> None:
    """All spectrograms on one dB scale in one image, names at its edges."""
    height, width = THUMB
    rows, columns = len(grid.rows), grid.columns
    canvas = np.full((rows * (height + GAP), columns * (width + GAP)), np.nan)
    for r, row in enumerate(pictures):
        for c, picture in enumerate(row):
            if picture is None:
                continue
            top, left = r * (height + GAP), c * (width + GAP)
            canvas[top : top + height, left : left + width] = fitted(picture, THUMB)
    figure = new_figure(1.5 + 1.6 * columns, 0.9 + 1.15 * rows)
    panel = figure.subplots()
    image = panel.imshow(canvas, cmap="magma", vmin=-RANGE_DB, vmax=0, interpolation="nearest", aspect="auto")
    across = [c * (width + GAP) + width / 2 for c in range(columns)]
    down = [r * (height + GAP) + height / 2 for r in range(rows)]
    panel.set_xticks(across[: len(grid.column_names)], grid.column_names, fontsize=9)
    panel.set_yticks(down[: len(grid.row_names)], grid.row_names, fontsize=9)
    panel.xaxis.tick_top()
    panel.tick_params(length=0)
    for side in panel.spines.values():
        side.set_visible(False)
    figure.colorbar(image, ax=panel, label="dB", shrink=0.7)
    save(figure, path, dpi=100)


def asset(name: str) -> str:
    return (files("wavevae.evaluation.explore") / "page_assets" / name).read_text(encoding="utf-8")


def _cell(folder: Path, cell: Cell | None) -> str:
    if cell is None:
        return "<span></span>"
    text = html.escape(cell.caption or cell.name)
    picture = picture_uri(thumb_path(folder, cell))
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


def write_page(
    path: Path,
    title: str,
    facts: Mapping[str, str],
    remarks: Sequence[str],
    maps: Mapping[str, Path],
    grids: Sequence[tuple[Path, Grid]],
) -> None:
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
