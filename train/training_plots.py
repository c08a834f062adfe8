"""Plots of a run: reconstructions of the same held-out sounds over training, terms of the loss, KL, use of codes."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch

from wavevae import audio, plots
from wavevae.config import RunConfig
from wavevae.corpus.labels import NO_LABEL, Label
from wavevae.families import family_of
from wavevae.nn.bottlenecks.base import bottleneck_class
from wavevae.nn.model import Autoencoder

from .batches import label_condition
from .module import TrainingModule
from .run_folder import RunFolder

MOMENTS = 4
"""Reconstructions are kept at the start and at every quarter of the budget, the end included."""
LARGEST_SHARE = 0.01
"""Share of the time that drawing may take; the rest is drawn at the end."""
LIKELY_COST_S = 3.0
"""Of drawing once."""


class Pictures(pl.Callback):
    """At each quarter a sound, NNN-percent-K.wav; in time its spectrogram beside the original's, and the curves."""

    def __init__(self, folder: RunFolder, examples: Sequence[tuple[np.ndarray, Label]]) -> None:
        self.folder, self.examples = folder, examples
        self.quarter = -1
        self.undrawn: list[tuple[np.ndarray, np.ndarray, Path, str]] = []
        self.cost_s = 0.0

    def on_train_start(self, trainer: pl.Trainer, module: Any) -> None:
        """A resumed run has the sounds of earlier quarters."""
        if module.resumed:
            self.quarter = int(module.progress * MOMENTS)

    def on_validation_end(self, trainer: pl.Trainer, module: Any) -> None:
        """Quarters are looked for at validations; the first one shows the start."""
        if not trainer.is_global_zero or trainer.sanity_checking:
            return
        if int(module.progress * MOMENTS) > self.quarter:
            self.quarter = int(module.progress * MOMENTS)
            self.keep_sounds(module)
        if self.cost_s + LIKELY_COST_S < LARGEST_SHARE * module.elapsed_s and module.progress < 1.0:
            self.draw(module)

    def on_train_end(self, trainer: pl.Trainer, module: Any) -> None:
        if trainer.is_global_zero:
            self.draw(module)

    def keep_sounds(self, module: TrainingModule) -> None:
        rate = module.config.model.sample_rate
        self.folder.validation.mkdir(exist_ok=True)
        for number, (sound, label) in enumerate(self.examples, 1):
            original = self.folder.validation / f"original-{number}.wav"
            if not original.exists():
                audio.write(original, sound, rate)
            made = reconstruct(module, sound, label)
            path = self.folder.validation / f"{round(100 * module.progress):03d}-percent-{number}.wav"
            audio.write(path, made, rate)
            self.undrawn.append((sound, made, path.with_suffix(".png"), f"{path.stem}, step {module.step}"))

    def draw(self, module: TrainingModule) -> None:
        """The pictures that are due; counts what they cost."""
        began = time.monotonic()
        for sound, made, path, title in self.undrawn:
            plots.spectrogram_pair(sound, made, module.config.model.sample_rate, path, title)
        self.undrawn = []
        if self.folder.metrics.is_file():
            plots.losses(self.folder.metrics, self.folder.losses_picture)
            draw(self.folder, module.config)
        draw_codebooks(self.folder, module.averaged.model)
        self.cost_s += time.monotonic() - began


@torch.inference_mode()
def reconstruct(module: TrainingModule, sound: np.ndarray, label: Label = NO_LABEL) -> np.ndarray:
    """(samples,) -> (samples,) through the averaged weights and the posterior's mean; a NaN is a gap."""
    x = torch.from_numpy(np.ascontiguousarray(sound)).to(module.device).reshape(1, 1, -1)
    condition = label_condition(module.config.model, [label], module.device)
    return np.nan_to_num(module.averaged.model(x, condition).reshape(-1).float().cpu().numpy())


def draw(folder: RunFolder, config: RunConfig) -> None:
    """term_losses.png, and beta_vs_kl.png where there is a KL, from metrics.csv."""
    if "kl" in [term.name for term in bottleneck_class(config.model.bottleneck).loss_terms]:
        plots.beta_vs_kl(folder.metrics, folder.kl_picture)
    term_losses(folder.metrics, folder.terms_picture, config)


def contributions(csv_path: Path, config: RunConfig) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """(steps, what each term adds to the loss there), from the training rows of metrics.csv."""
    columns = plots.read_columns(csv_path)
    training = np.isfinite(columns.get("total", np.zeros(0)))
    steps, progress = (columns.get(name, np.zeros(0))[training] for name in ("step", "share"))
    objectives = family_of(config).objectives(config)
    weights = [objectives.weights(float(p)) for p in progress]
    names = [name for name in objectives.weights(0.0) if name in columns]
    return steps, {n: columns[n][training] * np.array([w[n] for w in weights]) for n in names}


def term_losses(csv_path: Path, png_path: Path, config: RunConfig) -> None:
    """Every term times its weight over the steps: distances drawn through, regularisers dashed."""
    steps, terms = contributions(csv_path, config)
    regularisers = family_of(config).objectives(config).regulariser_names
    figure = plots.new_figure(7.5, 4.4)
    axes = figure.subplots()
    for number, (name, added) in enumerate(terms.items()):
        style = "--" if name in regularisers else "-"
        there = added > 0
        if there.any():
            axes.plot(steps[there], added[there], style, color=f"C{number % 10}", lw=1.2, label=name)
    axes.set_yscale("log")
    axes.set_xlabel("step")
    axes.set_ylabel("weight x term: its part of the loss")
    axes.grid(alpha=0.25)
    if axes.get_lines():
        axes.legend(fontsize=9, title="dashed: regularisers")
    plots.save(figure, png_path)


def draw_codebooks(folder: RunFolder, model: Autoencoder) -> None:
    """codebooks.png where there are any: how often each code is used, most used first, against an even use."""
    books = model.bottleneck.learned_part().codebooks()
    if not books:
        return
    figure = plots.new_figure(7, 4.2)
    axes = figure.subplots()
    for number, book in enumerate(books):
        share = np.sort(book.share.cpu().numpy())[::-1]
        perplexity = float(book.entropy().exp())
        axes.plot(
            np.arange(1, len(share) + 1), np.maximum(share, 1e-7), label=f"{number + 1}: {perplexity:.0f}"
        )
    size = model.config.codebook_size
    axes.axhline(1 / size, color="0.5", lw=0.8, ls=":")
    axes.set_yscale("log")
    axes.set_xlabel("code, most used first")
    axes.set_ylabel("share of the frames")
    axes.legend(fontsize=9, title=f"codebook: perplexity of {size}\ndotted: all alike")
    axes.grid(alpha=0.25)
    plots.save(figure, folder.codebooks_picture)
