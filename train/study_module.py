"""Training of the studies' spectrogram models."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from wavevae.nn.conditioning import Condition
from wavevae.objectives.schedules import learning_rate, rise_by_steps
from wavevae.studies.features import accuracy

from .batches import Batch, conditions
from .module import Reconstruction, TrainingModule
from .processes import say
from .training_data import TrainingData
from .validation import Compared, Validation

PLATEAU_PATIENCE, PLATEAU_FACTOR = 3, 0.5
"""Study D: the rate is halved after three validations (its epochs) without a gain."""
LEVEL_CHUNKS = 256
"""Chunks that the level of the features is taken from."""


class StudyModule(TrainingModule):
    """A study's model, its loss, its optimizer and the schedule of its rate."""

    def new_validation(self) -> Validation:
        return StudyValidation(self.objectives, self.config.model)

    def initialize_networks(self, data: TrainingData) -> None:
        """Sets the level of the features from the training set; the weights stay random."""
        with torch.no_grad():
            self.model.spectrum.fit(torch.from_numpy(data.read(data.spread(LEVEL_CHUNKS))[:, None]))

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Adam (Kingma & Ba 2015) or AdamW; the state of the plateau schedule is kept in the group, so that a
        resume goes on."""
        kind = torch.optim.AdamW if self.config.study.optimizer == "adamw" else torch.optim.Adam
        train = self.config.train
        group = {
            "params": list(self.model.parameters()),
            "share": 1.0,
            "halved": 1.0,
            "best": None,
            "waited": 0,
        }
        optimizer = kind([group], lr=train.learning_rate, weight_decay=train.weight_decay)
        if self.resumed is not None:
            optimizer.load_state_dict(self.resumed.optimizer)
        return optimizer

    @property
    def rate(self) -> float:
        train, schedule = self.config.train, self.config.study.lr_schedule
        if schedule == "cosine":
            return learning_rate(self.progress, train, self.step)
        halved = self._group["halved"] if schedule == "plateau" else 1.0
        return train.learning_rate * halved * (0.01 + 0.99 * rise_by_steps(self.step, train))

    @property
    def _group(self) -> dict[str, Any]:
        return self.optimizers(use_pl_optimizer=False).param_groups[0]  # type: ignore[union-attr]

    def reconstruct(self, batch: Batch) -> Reconstruction:
        """Windows of features against windows; no sound is made."""
        encoder_labels, decoder_labels = conditions(batch, self.config.model)
        target = source = self.model.windows(batch.audio)
        if batch.encoder_audio is not batch.audio:
            source = self.model.windows(batch.encoder_audio)
        latents = self.model.bottleneck(self.model.hidden(source, encoder_labels))
        return Reconstruction(
            self.model.decoded(latents.z, decoder_labels), target, latents, batch.audio.numel()
        )

    def on_validation_epoch_end(self) -> None:
        super().on_validation_epoch_end()
        if self.config.study.lr_schedule == "plateau" and self.validation:
            self._halve_on_plateau(self.validation["val_distance"])

    def _halve_on_plateau(self, distance: float) -> None:
        """Halve the rate where the last few validations brought no gain."""
        group = self._group
        if group["best"] is None or distance < group["best"]:
            group["best"], group["waited"] = distance, 0
            return
        group["waited"] += 1
        if group["waited"] >= PLATEAU_PATIENCE:
            group["halved"], group["waited"] = group["halved"] * PLATEAU_FACTOR, 0
            say(f"no gain for {PLATEAU_PATIENCE} validations: learning rate {self.rate:.3g}")


class StudyValidation(Validation):
    """Compares windows of features."""

    def compared(self, model: Any, audio: Tensor, condition: Condition | None) -> Compared:
        target = model.windows(audio)
        return Compared(target, model.hidden(target, condition), model.decoded)

    def more(self, estimate: Tensor, target: Tensor) -> dict[str, Tensor]:
        return {"accuracy": accuracy(estimate.float(), target)}
