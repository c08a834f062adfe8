"""`wavevae train --overfit N`: a few chunks learned by heart, and judged on the same.

A model that cannot do it is broken, or its loss or its rate is; one that can has shown that it learns, and nothing of
what it makes of sounds that it has not heard. Study A did it with 32 chunks in 40 epochs.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytorch_lightning as pl

from wavevae import plots
from wavevae.config import RunConfig
from wavevae.corpus import Chunks

from .datamodule import AudioDataModule, FixedChunks
from .journal import read_rows
from .progress import say
from .run_folder import RunFolder

FEWEST = 5
"""Validations, one an epoch."""
LEARNED, HARDLY = 0.5, 0.9
"""Of the first distance: below the one it has learned them, above the other it has not."""


def few(chunks: Chunks, picked: Sequence[int]) -> Chunks:
    """Only these chunks, each read where it begins and never moved."""
    found = copy.copy(chunks)
    found.item_of, found.starts = chunks.item_of[list(picked)], chunks.starts[list(picked)]
    found.step = 1
    return found


def narrow(data: AudioDataModule, audible: Sequence[int], asked: int) -> None:
    """Learn from these chunks of the training set and validate on the same; nothing is held out."""
    if len(audible) < asked:
        say(f"--overfit {asked}: there are {len(audible)} chunks only; all of them are learned")
    data.train_chunks = few(data.train_chunks, audible)
    data.train_items = [data.train_chunks.items[i] for i in np.unique(data.train_chunks.item_of)]
    data.validation_items = []
    data.validation_chunks = FixedChunks(data.train_chunks, len(audible), data.labels)


@dataclass(frozen=True)
class Curve:
    """Validation distance on what is learned, by epoch."""

    epochs: np.ndarray
    distances: np.ndarray
    chunks: int

    def words(self) -> str:
        """What it shows."""
        learned = int((self.epochs > 0).sum())  # the first validation is of the start
        if learned < FEWEST:
            return f"overfit: {learned} epochs say nothing yet; give more --max-steps or --max-time"
        first, last = float(self.distances[0]), float(self.distances[-1])
        fall = f"distance {first:.4g} -> {last:.4g} in {self.epochs[-1]:.0f} epochs of the {self.chunks} chunks learned"
        if last <= LEARNED * first:
            said = "the model can learn them by heart; of unheard sounds this says nothing"
        elif last <= HARDLY * first:
            said = "it is learning them, but has not done yet: give more --max-steps"
        else:
            said = "it does not learn even these: look at the loss, the model or --set learning_rate"
        return f"overfit: {fall}: {said}"


def curve_of(folder: RunFolder, config: RunConfig, chunks: int) -> Curve:
    """From metrics.csv."""
    rows = [row for row in read_rows(folder.metrics) if row.get("val_distance")]
    epochs = np.array([int(row["step"]) for row in rows]) * config.train.batch_size / max(1, chunks)
    return Curve(epochs, np.array([float(row["val_distance"]) for row in rows]), chunks)


def draw(curve: Curve, path: Path) -> None:
    """overfit.png"""
    figure = plots.new_figure(7, 4.2)
    axes = figure.subplots()
    axes.plot(curve.epochs, curve.distances, "o-", ms=3.5, lw=1.4)
    axes.set_yscale("log")
    axes.set_xlabel("epoch")
    axes.set_ylabel("distance on the chunks learned")
    axes.set_title(f"{curve.chunks} chunks learned by heart", fontsize=11)
    axes.grid(alpha=0.25, which="both")
    plots.save(figure, path)


class Overfit(pl.Callback):
    """The curve and what it shows, at the end."""

    def __init__(self, folder: RunFolder, chunks: int) -> None:
        self.folder, self.chunks = folder, chunks

    def on_train_end(self, trainer: pl.Trainer, module: Any) -> None:
        if trainer.is_global_zero and self.folder.metrics.is_file():
            curve = curve_of(self.folder, module.config, self.chunks)
            draw(curve, self.folder.overfit_picture)
            say(curve.words())
            say(f"curve   {self.folder.overfit_picture}")
