"""Latents of what was judged: one summary a file for probes, some frames for pictures, and the pictures."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from wavevae.corpus.labels import class_of, pitch_of
from wavevae.evaluation.excerpts import Excerpt
from wavevae.evaluation.metrics import Moments
from wavevae.plots import new_figure, save

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MOST_FRAMES = 6000
"""Frames kept for pictures, drawn evenly from all."""


@dataclass
class LatentCollector:
    """Keeps the latents of audible seconds: sums for each file, and some frames."""

    latent_dim: int
    pools: dict[str, Moments] = field(default_factory=dict)
    """By file."""
    kept: list[np.ndarray] = field(default_factory=list)
    """(latent_dim,) each"""
    owners: list[str] = field(default_factory=list)
    """The file of each frame kept."""
    seen: int = 0
    _rng: np.random.Generator = field(default_factory=lambda: np.random.default_rng(0))

    def add(self, file: str, latents: Tensor) -> None:
        """(latent_dim, frames) of one second."""
        if not latents.shape[-1]:
            return
        self.pools.setdefault(file, Moments(self.latent_dim)).add(latents)
        # One frame in eight: neighbours say nearly the same, and a picture has no room for more.
        for column in latents[:, :: max(1, min(8, latents.shape[-1]))].T:
            self._reservoir(file, column.float().numpy().copy())

    def _reservoir(self, file: str, frame: np.ndarray) -> None:
        """Every frame seen has the same chance to be kept (Vitter 1985, algorithm R)."""
        self.seen += 1
        if len(self.kept) < MOST_FRAMES:
            self.kept.append(frame)
            self.owners.append(file)
            return
        place = int(self._rng.integers(self.seen))
        if place < MOST_FRAMES:
            self.kept[place], self.owners[place] = frame, file

    def summaries(self) -> dict[str, np.ndarray]:
        """{file: (2 latent_dim,)}: mean of each axis over the file, and the log of its standard deviation."""
        return {
            file: torch.cat([found.mean, torch.log(found.variances.sqrt() + 1e-3)]).numpy()
            for file, found in self.pools.items()
        }


MOST_CLASSES = 12
"""Shown by colour; what is rarer is grey."""
FEWEST_FRAMES, FEWEST_FILES = 3, 3
DOT_SIZE = 22


def write_pictures(
    folder: Path,
    collected: LatentCollector,
    excerpts: Sequence[Excerpt],
    labels: Mapping[str, Mapping[str, Any]],
    sample_rate: int,
) -> dict[str, Path]:
    """{caption: picture} of all that can be drawn; nothing where no latents can be seen."""
    found: dict[str, Path] = {}
    if len(collected.kept) < FEWEST_FRAMES:
        return found
    shown = next((e for e in excerpts if e.latents is not None), None)
    if shown is not None:
        over_time(shown.latents, shown.source.name, len(shown.reference) / sample_rate, folder / "time.png")
        found[f"latents of {shown.source.name} over time"] = folder / "time.png"
    if len(collected.pools) >= FEWEST_FILES:
        plane(collected, labels, folder / "plane.png")
        caption = "files by mean and spread of their latents, in the plane of the two largest principal axes"
        found[caption] = folder / "plane.png"
    axes(np.array(collected.kept), folder / "axes.png")
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


def plane(collected: LatentCollector, labels: Mapping[str, Mapping[str, Any]], path: Path) -> None:
    """Files as probes see them (mean and log standard deviation of each axis, each to unit variance), coloured by
    class and, where pitches are known, by pitch."""
    vectors = np.array(list(collected.summaries().values()))
    vectors = (vectors - vectors.mean(0)) / np.maximum(vectors.std(0), 1e-6)
    dots, names = pca_plane(vectors)
    known = [labels.get(name, {}) for name in collected.pools]
    pitches = np.array([np.nan if (p := pitch_of(each)) is None else p for each in known], float)
    draw_map(path, dots, [class_of(each) for each in known], pitches, names)


def pca_plane(vectors: np.ndarray) -> tuple[np.ndarray, tuple[str, str]]:
    """(N, D) -> (N, 2) along the two largest principal axes, and the names of those for a picture."""
    mean, directions, shares = principal(vectors)
    names = (f"principal axis 1 ({shares[0]:.0%} of variance)", f"principal axis 2 ({shares[1]:.0%})")
    return (vectors - mean) @ directions.T, names


def draw_map(
    path: Path,
    dots: np.ndarray,
    classes: Sequence[str | None],
    pitches: np.ndarray,
    names: tuple[str, str],
    size: float = DOT_SIZE,
    span: tuple[float, float] | None = None,
) -> None:
    """(N, 2) dots; one panel by class, one more by pitch where pitches are known (not NaN); both axes over `span` if
    given."""
    known = np.isfinite(pitches)
    panels = 2 if known.any() else 1
    figure = new_figure(6.4 * panels, 5.2)
    shown = figure.subplots(1, panels, squeeze=False)[0]
    for panel in shown:
        panel.set_xlabel(names[0])
        panel.set_ylabel(names[1])
        if span is not None:
            panel.set(xlim=span, ylim=span)
    by_class(shown[0], dots, classes, size)
    if known.any():
        image = shown[1].scatter(dots[known, 0], dots[known, 1], s=size, c=pitches[known], cmap="viridis")
        figure.colorbar(image, ax=shown[1], label="MIDI pitch")
    save(figure, path)


def by_class(panel: Axes, centres: np.ndarray, classes: Sequence[str | None], size: float) -> None:
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
