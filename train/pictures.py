"""RUN/validation/ and the curves: what the averaged model makes of the same held-out sounds, over training."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch

from wavevae import audio
from wavevae.evaluation import plots

from .module import TrainingModule
from .run_folder import RunFolder

MOMENTS = 4
"""Reconstructions are kept at every quarter of the budget, the end included."""


class Pictures(pl.Callback):
    """At each quarter: sound pairs and their spectrograms as NN-percent-K.wav/.png, losses.png, beta_vs_kl.png."""

    def __init__(self, folder: RunFolder, examples: Sequence[np.ndarray]) -> None:
        self.folder, self.examples = folder, examples
        self.drawn = -1

    def on_validation_end(self, trainer: pl.Trainer, module: Any) -> None:
        """Quarters are looked for at validations; the first one shows the start."""
        quarter = int(module.share * MOMENTS)
        if trainer.is_global_zero and not trainer.sanity_checking and quarter > self.drawn:
            self.drawn = quarter
            self.draw(module)

    def on_train_start(self, trainer: pl.Trainer, module: Any) -> None:
        """What a resumed run has drawn already it does not draw again."""
        if module.step:
            self.drawn = int(module.share * MOMENTS)

    def draw(self, module: TrainingModule) -> None:
        rate = module.config.model.sample_rate
        self.folder.validation.mkdir(exist_ok=True)
        for number, sound in enumerate(self.examples, 1):
            made = reconstruct(module, sound)
            stem = self.folder.validation / f"{round(100 * module.share):03d}-percent-{number}"
            original = self.folder.validation / f"original-{number}.wav"
            if not original.exists():
                audio.write(original, sound, rate)
            audio.write(stem.with_suffix(".wav"), made, rate)
            title = f"{stem.name}, step {module.step}"
            plots.spectrogram_pair(sound, made, rate, stem.with_suffix(".png"), title)
        plots.losses(self.folder.metrics, self.folder.losses_picture)
        if "kl" in module.terms:
            plots.beta_vs_kl(self.folder.metrics, self.folder.kl_picture)


@torch.inference_mode()
def reconstruct(module: TrainingModule, sound: np.ndarray) -> np.ndarray:
    """(samples,) -> (samples,) through the averaged weights and the posterior's mean."""
    x = torch.from_numpy(np.ascontiguousarray(sound)).to(module.device).reshape(1, 1, -1)
    return module.averaged.model(x).reshape(-1).float().cpu().numpy()
