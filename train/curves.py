"""Pictures of a run's inner life: what each term adds to the loss, the KL against its weight, the codes' use."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from wavevae.config import RunConfig
from wavevae.evaluation import plots
from wavevae.families import family_of
from wavevae.nn.model import Autoencoder
from wavevae.nn.quantizer import ResidualVQ
from wavevae.objectives.weighing import REGULARISERS

from .run_folder import RunFolder


def draw(folder: RunFolder, config: RunConfig) -> None:
    """term_losses.png, and beta_vs_kl.png where there is a KL, from metrics.csv."""
    if config.model.bottleneck in ("vae", "hvae"):
        plots.beta_vs_kl(folder.metrics, folder.kl_picture)
    term_losses(folder.metrics, folder.terms_picture, config)


def contributions(csv_path: Path, config: RunConfig) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """(steps, what each term adds to the loss there), from the training rows of metrics.csv."""
    columns = plots.read_columns(csv_path)
    training = np.isfinite(columns.get("total", np.zeros(0)))
    steps, shares = (columns.get(name, np.zeros(0))[training] for name in ("step", "share"))
    objectives = family_of(config).objectives(config)
    weights = [objectives.weights(float(share)) for share in shares]
    names = [name for name in objectives.weights(0.0) if name in columns]
    return steps, {n: columns[n][training] * np.array([w[n] for w in weights]) for n in names}


def term_losses(csv_path: Path, png_path: Path, config: RunConfig) -> None:
    """Every term times its weight over the steps: distances drawn through, regularisers dashed."""
    steps, terms = contributions(csv_path, config)
    figure = plots.new_figure(7.5, 4.4)
    axes = figure.subplots()
    for number, (name, added) in enumerate(terms.items()):
        style = "--" if name in REGULARISERS else "-"
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
    quantizer = model.bottleneck.learned_part()
    if not isinstance(quantizer, ResidualVQ):
        return
    books = [stage.codebook for stage in quantizer.stages]
    figure = plots.new_figure(7, 4.2)
    axes = figure.subplots()
    for number, book in enumerate(books):
        share = np.sort(book.share.cpu().numpy())[::-1]  # type: ignore[union-attr,operator]
        perplexity = float(book.entropy().exp())  # type: ignore[union-attr,operator]
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
