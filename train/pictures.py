"""RUN/validation/ and the curves: what the averaged model makes of the same held-out sounds, over training."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch

from wavevae import audio
from wavevae.corpus.labels import NO_LABEL, Label
from wavevae.evaluation import plots

from . import curves
from .batches import labelled
from .module import TrainingModule
from .run_folder import RunFolder

MOMENTS = 4
"""Reconstructions are kept at the start and at every quarter of the budget, the end included."""
SMALLEST_SHARE = 0.01
"""Share of the time that drawing may take; what it does not allow is drawn at the end."""

LIKELY_COST_S = 3.0
"""Of drawing once."""


class Pictures(pl.Callback):
    """At each quarter a sound, NNN-percent-K.wav; in time its spectrogram beside the original's, and the curves."""

    def __init__(
        self, folder: RunFolder, examples: Sequence[np.ndarray], labels: Sequence[Label] = ()
    ) -> None:
        self.folder, self.examples = folder, examples
        self.labels = list(labels) or [NO_LABEL] * len(examples)
        self.quarter = -1
        self.undrawn: list[tuple[np.ndarray, np.ndarray, Path, str]] = []
        self.cost_s = 0.0

    def on_train_start(self, trainer: pl.Trainer, module: Any) -> None:
        """What a resumed run has kept already it does not keep again."""
        if module.resumed:
            self.quarter = int(module.share * MOMENTS)

    def on_validation_end(self, trainer: pl.Trainer, module: Any) -> None:
        """Quarters are looked for at validations; the first one shows the start."""
        if not trainer.is_global_zero or trainer.sanity_checking:
            return
        if int(module.share * MOMENTS) > self.quarter:
            self.quarter = int(module.share * MOMENTS)
            self.keep_sounds(module)
        if self.cost_s + LIKELY_COST_S < SMALLEST_SHARE * module.elapsed_s and module.share < 1.0:
            self.draw(module)

    def on_train_end(self, trainer: pl.Trainer, module: Any) -> None:
        if trainer.is_global_zero:
            self.draw(module)

    def keep_sounds(self, module: TrainingModule) -> None:
        rate = module.config.model.sample_rate
        self.folder.validation.mkdir(exist_ok=True)
        for number, (sound, label) in enumerate(zip(self.examples, self.labels, strict=True), 1):
            original = self.folder.validation / f"original-{number}.wav"
            if not original.exists():
                audio.write(original, sound, rate)
            made = reconstruct(module, sound, label)
            path = self.folder.validation / f"{round(100 * module.share):03d}-percent-{number}.wav"
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
            curves.draw(self.folder, module.config)
        curves.draw_codebooks(self.folder, module.averaged.model)
        self.cost_s += time.monotonic() - began


@torch.inference_mode()
def reconstruct(module: TrainingModule, sound: np.ndarray, label: Label = NO_LABEL) -> np.ndarray:
    """(samples,) -> (samples,) through the averaged weights and the posterior's mean; a NaN is a gap."""
    x = torch.from_numpy(np.ascontiguousarray(sound)).to(module.device).reshape(1, 1, -1)
    condition = labelled(module.config.model, [label], module.device)
    return np.nan_to_num(module.averaged.model(x, condition).reshape(-1).float().cpu().numpy())
