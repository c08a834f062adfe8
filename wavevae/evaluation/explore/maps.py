"""Pictures of planes: dots coloured by family (legend) and by pitch (continuous); grey where that is not known."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from wavevae.evaluation.latent_plots import by_class
from wavevae.latents import Plane
from wavevae.plots import new_figure, save

from .explored_model import ExploredModel
from .notes import Note

MOST_FRAMES = 6000
PAD = (-0.05, 1.05)
"""What of the plane is shown: the pad and a little more."""


def draw(
    path: Path,
    dots: np.ndarray,
    families: Sequence[str],
    pitches: np.ndarray,
    names: tuple[str, str],
    size: float = 22,
    span: tuple[float, float] | None = None,
) -> None:
    """(N, 2) dots; one panel by family, one more by pitch where pitches are known; both axes over `span` if given."""
    known = np.isfinite(pitches)
    panels = 2 if known.any() else 1
    figure = new_figure(6.4 * panels, 5.2)
    shown = figure.subplots(1, panels, squeeze=False)[0]
    for panel in shown:
        panel.set_xlabel(names[0])
        panel.set_ylabel(names[1])
        if span is not None:
            panel.set(xlim=span, ylim=span)
    by_class(shown[0], dots, [name or None for name in families], size)
    if known.any():
        image = shown[1].scatter(dots[known, 0], dots[known, 1], s=size, c=pitches[known], cmap="viridis")
        figure.colorbar(image, ax=shown[1], label="MIDI pitch")
    save(figure, path)


def draw_frames(path: Path, instrument: ExploredModel, notes: Sequence[Note]) -> None:
    """Frames in the plane of the XY pad of `wavevae serve`, 0 to 1 where the training latents lie; drawn evenly from
    those that sound."""
    owners = np.repeat(np.arange(len(notes)), [int(n.sounding.sum()) for n in notes])
    chosen = np.linspace(0, len(owners) - 1, min(MOST_FRAMES, len(owners))).round().astype(int)
    axes = instrument.axes(np.concatenate([n.heard for n in notes])[chosen])
    points = np.asarray(instrument.statistics.density.get("points", ()), float)
    places = Plane.of(points if len(points) else axes).places(axes)
    told = [notes[owner] for owner in owners[chosen]]
    pitches = np.array([note.pitch for note in told])
    names = ("XY pad, x (principal axis 1)", "XY pad, y (principal axis 2)")
    draw(path, places, [note.family for note in told], pitches, names, size=6, span=PAD)
