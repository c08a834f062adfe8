"""What every picture is drawn with: figures, whole PNG files, spectrograms, tables of metrics, curves of a run.

matplotlib draws off screen, belongs to the train extra and is imported when the first figure is made.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from wavevae.errors import UserError
from wavevae.files import replacing

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from wavevae.corpus_profile import CorpusProfile
    from wavevae.prior.notes import FoundNote

RANGE_DB = 80.0
"""What a spectrogram shows, below the reference's loudest point."""
NOT_LOSSES = (
    *("kl", "kl_nats", "active_dims", "kl_top", "kl_nats_top", "active_dims_top", "narrow_prior", "kbit_s"),
    *("level_difference_db", "codebook_perplexity", "codebook_usage", "accuracy"),
)
KEY = "dots: validation\nthin: training"


def new_figure(width: float, height: float) -> Figure:
    """An off-screen figure, size in inches. Raises: UserError where matplotlib is not installed."""
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError:
        raise UserError(
            "pictures need matplotlib, which is not installed; pip install 'wavevae[train]'"
        ) from None
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def save(figure: Figure, path: Path, dpi: int = 110) -> None:
    """Write a PNG whole or not at all. Raises: as `wavevae.files.replacing`."""
    with replacing(Path(path)) as part:
        figure.savefig(part, dpi=dpi, format="png")


def power_spectrogram(audio: np.ndarray, n_fft: int = 1024) -> np.ndarray:
    """(samples,) -> power (n_fft / 2 + 1, frames): Hann window, hop n_fft / 4, the signal centred."""
    hop = n_fft // 4
    mirrored = len(audio) > n_fft  # a hard edge would show as a click that is not there
    margins = (n_fft // 2, n_fft // 2 + hop)
    padded = np.pad(np.asarray(audio, np.float64), margins, mode="reflect" if mirrored else "constant")
    frames = np.lib.stride_tricks.sliding_window_view(padded, n_fft)[::hop]
    window = np.hanning(n_fft + 1)[:-1]
    return (np.abs(np.fft.rfft(frames * window, axis=1)) ** 2).T


def decibels(power: np.ndarray, top: float) -> np.ndarray:
    """dB below `top` (a power), nothing below -RANGE_DB."""
    return np.maximum(10 * np.log10(np.maximum(power / max(top, 1e-20), 1e-20)), -RANGE_DB)


@dataclass(frozen=True)
class Pair:
    """A sound and what the model made of it; same length (samples,)."""

    title: str
    reference: np.ndarray
    reconstruction: np.ndarray


def show(axes: Axes, picture: np.ndarray, seconds: float, sample_rate: int) -> Any:
    """A spectrogram in dB into its axes; gives the image, for a colour bar."""
    image = axes.imshow(
        picture,
        origin="lower",
        aspect="auto",
        cmap="magma",
        vmin=-RANGE_DB,
        vmax=0,
        extent=(0, seconds, 0, sample_rate / 2000),
        interpolation="nearest",
    )
    axes.set_ylabel("kHz")
    return image


class Notes(NamedTuple):
    """Notes found in a sound, and what they were found with."""

    found: Sequence[FoundNote]
    profile: CorpusProfile


def mark_notes(axes: Axes, notes: Notes, over_pitch: bool = False) -> None:
    """Over MIDI pitch a box a note, the bolder the stronger; over kHz its fundamental, and a line at its onset; the
    line alone where there is no pitch."""
    from wavevae.prior.notes import velocity_of

    rate, loudest = notes.profile.frame_rate, notes.profile.loudness[-1]
    for note in notes.found:
        begin, end = (note.onset + 1) / rate, (note.release + 1) / rate
        strength = velocity_of(note.level, loudest)
        low, high = note.pitch - 0.5, note.pitch + 0.5
        if over_pitch and not np.isnan(note.pitch):
            box = [begin, end, end, begin, begin], [low, low, high, high, low]
            axes.plot(*box, color="cyan", lw=0.6 + 1.6 * strength)
            continue
        axes.axvline(begin, color="cyan", lw=0.3 + 0.5 * strength)
        if not np.isnan(note.pitch):
            khz = 0.44 * 2 ** ((note.pitch - 69) / 12)
            axes.plot([begin, end], [khz, khz], color="cyan", lw=0.8)


def show_by_pitch(axes: Axes, sound: np.ndarray, sample_rate: int, top: float | None = None) -> Any:
    """A spectrogram over MIDI pitch, four rows a semitone, into its axes; `top`: the power at 0 dB, by default its own
    largest."""
    low, high = 30.0, min(108.0, 69 + 12 * math.log2(sample_rate / 2 / 440) - 0.5)
    pitches = np.arange(low, high, 0.25)
    power = power_spectrogram(sound, 2048)
    picture = decibels(power, float(power.max()) if top is None else top)
    bins = 440 * 2 ** ((pitches - 69) / 12) / (sample_rate / 2) * (len(picture) - 1)
    before = np.minimum(bins.astype(int), len(picture) - 2)
    share = (bins - before)[:, None]
    rows = (1 - share) * picture[before] + share * picture[before + 1]
    extent = (0, len(sound) / sample_rate, low, high)
    image = axes.imshow(
        rows, origin="lower", aspect="auto", cmap="magma", vmin=-RANGE_DB, vmax=0, extent=extent
    )
    axes.set(xlim=extent[:2], ylim=(low, high), ylabel="MIDI pitch")
    return image


def spectrogram_pair(
    reference: np.ndarray, reconstruction: np.ndarray, sample_rate: int, path: Path, title: str = ""
) -> None:
    """The reference above its reconstruction, (samples,) each, on one dB scale: 0 = the reference's maximum."""
    sounds = {"reference": reference, "reconstruction": reconstruction}
    spectrogram_stack(sounds, sample_rate, path, title)


def spectrogram_stack(
    sounds: Mapping[str, np.ndarray],
    sample_rate: int,
    path: Path,
    title: str = "",
    notes: Notes | None = None,
    by_pitch: bool = False,
) -> None:
    """Sounds (samples,) one above the other on one dB scale: 0 = the loudest point of the first. `notes`: marked in
    all; `by_pitch`: over MIDI pitch instead of kHz."""
    figure = new_figure(9, 2.6 * len(sounds) + 0.4)
    panels = figure.subplots(len(sounds), 1, sharex=True, squeeze=False)[:, 0]
    first = next(iter(sounds))
    top = float(power_spectrogram(sounds[first], 2048 if by_pitch else 1024).max())
    for axes, (name, sound) in zip(panels, sounds.items(), strict=True):
        if by_pitch:
            image = show_by_pitch(axes, sound, sample_rate, top)
        else:
            picture = decibels(power_spectrogram(sound), top)
            image = show(axes, picture, len(sound) / sample_rate, sample_rate)
        axes.set_title(name, loc="left", fontsize=10)
        if notes is not None:
            mark_notes(axes, notes, by_pitch)
            axes.set_xlim(0, len(sound) / sample_rate)
    panels[-1].set_xlabel("seconds")
    if title:
        figure.suptitle(title, fontsize=11)
    of = "its maximum" if len(sounds) == 1 else f"the maximum of {first}"
    figure.colorbar(image, ax=list(panels), label=f"dB below {of}", shrink=0.8)
    save(figure, path)


def overview(pairs: Sequence[Pair], sample_rate: int, path: Path, columns: int = 4) -> None:
    """Every pair on one sheet, reference above reconstruction, each pair on its own dB scale."""
    columns = min(columns, len(pairs))
    rows = math.ceil(len(pairs) / columns)
    figure = new_figure(4.2 * columns, 3.6 * rows + 0.4)
    grid = np.atleast_2d(figure.subplots(2 * rows, columns, squeeze=False))
    for axes in grid.flat:
        axes.set_visible(False)
    for index, pair in enumerate(pairs):
        row, column = divmod(index, columns)
        top = float(power_spectrogram(pair.reference).max())
        for offset, (name, audio) in enumerate((("ref", pair.reference), ("rec", pair.reconstruction))):
            axes = grid[2 * row + offset, column]
            axes.set_visible(True)
            show(axes, decibels(power_spectrogram(audio), top), len(audio) / sample_rate, sample_rate)
            axes.set_ylabel(f"{name}, kHz" if column == 0 else "")
            axes.tick_params(labelsize=8, labelbottom=offset == 1)
        grid[2 * row, column].set_title(pair.title, fontsize=9)
    figure.suptitle("references (ref) above reconstructions (rec); seconds, kHz; 80 dB range", fontsize=11)
    save(figure, path, dpi=90)


# -- a run over time ----------------------------------------------------------------------------------------


def read_columns(csv_path: Path) -> dict[str, np.ndarray]:
    """metrics.csv as {column: (rows,) float}, NaN where a cell is empty or no number."""

    def number(cell: str | None) -> float:
        try:
            return float(cell or "nan")
        except ValueError:
            return math.nan

    with open(csv_path, newline="") as file:
        rows = list(csv.DictReader(file))
    names = [name for name in (rows[0] if rows else {}) if name]
    return {name: np.array([number(row.get(name)) for row in rows]) for name in names}


def _curve(axes: Axes, x: np.ndarray, y: np.ndarray, **style: Any) -> None:
    """One line through the points that are there."""
    there = np.isfinite(x) & np.isfinite(y)
    if there.any():
        axes.plot(x[there], y[there], **style)


def losses(csv_path: Path, png_path: Path) -> None:
    """losses.png from metrics.csv: every term that is validated too (thin: training, dots: validation), log axes,
    by step and by minutes."""
    columns = read_columns(csv_path)
    terms = [n for n in columns if f"val_{n}" in columns and n not in NOT_LOSSES]
    if not terms and "total" in columns:  # not validated yet
        terms = ["total"]
    terms += [n.removeprefix("val_") for n in columns if n == "val_distance"]
    units = {"step": ("step", 1.0), "elapsed_s": ("minutes", 1 / 60)}
    x_axes = {label: columns[n] * scale for n, (label, scale) in units.items() if n in columns}
    figure = new_figure(6.2 * max(1, len(x_axes)), 4.6)
    panels = figure.subplots(1, max(1, len(x_axes)), sharey=True, squeeze=False)[0]
    train = {"lw": 0.8, "alpha": 0.6}
    validation = {"marker": "o", "ms": 3.5, "lw": 1.4}
    for axes, (x_label, x) in zip(panels, x_axes.items(), strict=False):
        nothing = np.full(len(x), np.nan)
        for index, name in enumerate(terms):
            colour, label = f"C{index % 10}", "weighted sum" if name == "distance" else name
            for column, style in ((name, train), (f"val_{name}", {**validation, "label": label})):
                values = columns.get(column, nothing)
                points = np.where(values > 0, values, np.nan)
                _curve(axes, x, points, color=colour, **style)
        _log_axes(axes, x_label, x)
    panels[0].set_ylabel("loss, unweighted")
    if terms and x_axes:
        entries = panels[0].get_legend_handles_labels()
        figure.legend(*entries, loc="outside right center", fontsize=9, title=KEY)
    save(figure, png_path)


def _log_axes(axes: Axes, label: str, x: np.ndarray) -> None:
    """Logarithmic both ways, with numbers that people read (2, 0.5), not powers of ten; in x linear before the smallest
    number above 0, so that the start has its place at 0."""
    from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, NullFormatter

    there = x[x > 0] if (x > 0).any() else np.ones(1)
    first, last = float(there.min()), float(there.max())
    decades = 10.0 ** np.arange(np.floor(np.log10(first)), np.ceil(np.log10(last)) + 1)
    ticks = np.outer(decades, (1, 2, 5)).ravel()
    axes.set_xscale("symlog", linthresh=first, linscale=0.3)
    axes.set_xlim(left=0)
    axes.set_yscale("log")
    axes.set_xlabel(label)
    axes.xaxis.set_major_locator(FixedLocator([0.0, *ticks[(ticks >= 1.5 * first) & (ticks <= last)]]))
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axis.set_minor_formatter(NullFormatter())
    axes.grid(alpha=0.25, which="major")


def beta_vs_kl(csv_path: Path, png_path: Path) -> None:
    """beta_vs_kl.png from metrics.csv: the KL (nats a frame) and its weight over the steps, an axis each."""
    columns = read_columns(csv_path)
    step = columns.get("step", np.zeros(0))
    figure = new_figure(7, 4.2)
    left = figure.subplots()
    right = left.twinx()
    name = "kl_nats" if "kl_nats" in columns else "kl"
    for column, style in ((name, {"lw": 0.9, "alpha": 0.7}), (f"val_{name}", {"marker": "o", "ms": 3.5})):
        if column in columns:
            label = "KL, validation" if column.startswith("val_") else "KL, training"
            _curve(left, step, columns[column], color="C0", label=label, **style)
    if "kl_weight" in columns:
        _curve(right, step, columns["kl_weight"], color="C3", lw=1.6, label="its weight")
    left.set_xlabel("step")
    left.set_ylabel("KL, nats a frame", color="C0")
    right.set_ylabel("weight of the KL (beta)", color="C3")
    left.set_ylim(bottom=0)
    right.set_ylim(bottom=0)
    handles = [*left.get_lines(), *right.get_lines()]
    if handles:
        left.legend(handles=handles, fontsize=9, loc="center right")
    left.grid(alpha=0.25)
    save(figure, png_path)
