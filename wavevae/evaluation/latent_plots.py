"""Pictures of latents: over time, in the plane of their two largest principal axes, and how each axis is spread."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from wavevae.corpus.labels import class_of, pitch_of
from wavevae.evaluation.latent_collector import LatentCollector
from wavevae.evaluation.measure import Measurement
from wavevae.plots import new_figure, save

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MOST_CLASSES = 12
"""Shown by colour; what is rarer is grey."""
FEWEST_FRAMES, FEWEST_FILES = 3, 3
DOT_SIZE = 22


def write(
    folder: Path, verdict: Measurement, labels: Mapping[str, Mapping[str, Any]], sample_rate: int
) -> dict[str, Path]:
    """{caption: picture} of all that can be drawn; nothing where no latents can be seen."""
    found: dict[str, Path] = {}
    gathered = verdict.gathered
    if len(gathered.kept) < FEWEST_FRAMES:
        return found
    shown = next((e for e in verdict.excerpts if e.latents is not None), None)
    if shown is not None:
        over_time(shown.latents, shown.source.name, len(shown.reference) / sample_rate, folder / "time.png")
        found[f"latents of {shown.source.name} over time"] = folder / "time.png"
    if len(gathered.pools) >= FEWEST_FILES:
        plane(gathered, labels, folder / "plane.png")
        caption = "files by mean and spread of their latents, in the plane of the two largest principal axes"
        found[caption] = folder / "plane.png"
    axes(np.array(gathered.kept), folder / "axes.png")
    found["how far each axis moves"] = folder / "axes.png"
    return found


def over_time(latents: np.ndarray | None, title: str, seconds: float, path: Path) -> None:
    """(latent_dim, frames), each axis in its own standard deviations, the one that moves most at the bottom."""
    assert latents is not None
    spread = latents.std(1)
    order = np.argsort(-spread)
    scaled = (latents - latents.mean(1, keepdims=True)) / np.maximum(spread[:, None], 1e-6)
    figure = new_figure(9, 3.6)
    panel = figure.subplots()
    image = panel.imshow(
        scaled[order],
        origin="lower",
        aspect="auto",
        cmap="RdBu_r",
        vmin=-3,
        vmax=3,
        extent=(0, seconds, -0.5, len(order) - 0.5),
        interpolation="nearest",
    )
    panel.set_xlabel("seconds")
    panel.set_ylabel("latent axis, by movement")
    panel.set_title(title, loc="left", fontsize=10)
    figure.colorbar(image, ax=panel, label="standard deviations")
    save(figure, path)


def principal(frames: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(N, D) -> mean (D,), the two largest principal directions (2, D), their shares of the variance (2,)."""
    mean = frames.mean(0)
    _, values, vectors = np.linalg.svd(frames - mean, full_matrices=False)
    directions = np.zeros((2, frames.shape[1]))
    directions[: len(vectors[:2])] = vectors[:2]
    shares = np.zeros(2)
    power = values**2
    shares[: len(power[:2])] = power[:2] / max(power.sum(), 1e-20)
    return mean, directions, shares


def plane(gathered: LatentCollector, labels: Mapping[str, Mapping[str, Any]], path: Path) -> None:
    """Files as probes see them (mean and log standard deviation of each axis, each to unit variance), coloured by
    class and, where pitches are known, by pitch."""
    names = list(gathered.pools)
    vectors = np.array(list(gathered.summaries().values()))
    vectors = (vectors - vectors.mean(0)) / np.maximum(vectors.std(0), 1e-6)
    mean, directions, shares = principal(vectors)
    dots = (vectors - mean) @ directions.T
    pitches = [pitch_of(labels.get(name, {})) for name in names]
    known = [i for i, p in enumerate(pitches) if p is not None]
    figure = new_figure(6.4 * (2 if known else 1), 5.2)
    shown = figure.subplots(1, 2 if known else 1, squeeze=False)[0]
    for panel in shown:
        panel.set_xlabel(f"principal axis 1 ({shares[0]:.0%} of variance)")
        panel.set_ylabel(f"principal axis 2 ({shares[1]:.0%})")
    by_class(shown[0], dots, [class_of(labels.get(name, {})) for name in names])
    if known:
        colours = [float(pitches[i] or 0) for i in known]
        image = shown[1].scatter(dots[known, 0], dots[known, 1], s=22, c=colours, cmap="viridis")
        figure.colorbar(image, ax=shown[1], label="MIDI pitch")
    save(figure, path)


def by_class(panel: Axes, centres: np.ndarray, classes: Sequence[str | None], size: float = DOT_SIZE) -> None:
    """(N, 2) dots, a colour a class with its name in a legend; what has none, or a rare one, is grey."""
    common = [name for name, _ in Counter(c for c in classes if c).most_common(MOST_CLASSES)]
    rest = [i for i, c in enumerate(classes) if c not in common]
    if rest:
        panel.scatter(centres[rest, 0], centres[rest, 1], s=size, c="0.4", label="others" if common else None)
    for number, name in enumerate(sorted(common)):
        chosen = [i for i, c in enumerate(classes) if c == name]
        look: dict[str, Any] = {"color": f"C{number % 10}", "marker": "os"[number // 10], "label": name}
        panel.scatter(centres[chosen, 0], centres[chosen, 1], s=size, **look)
    if common:
        panel.legend(fontsize=8, loc="best", framealpha=0.7)


def axes(frames: np.ndarray, path: Path) -> None:
    """Standard deviation of each axis over the data, largest first."""
    spread = np.sort(frames.std(0))[::-1]
    figure = new_figure(6.4, 3.2)
    panel = figure.subplots()
    panel.bar(np.arange(1, len(spread) + 1), spread, width=0.9)
    panel.set_xlabel("latent axis, by movement")
    panel.set_ylabel("standard deviation")
    panel.grid(alpha=0.25, axis="y")
    save(figure, path)
