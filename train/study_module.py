"""Training of the studies' spectrogram models: the same workshop, another model and another distance."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from wavevae.nn.conditioning import Condition
from wavevae.objectives.schedules import learning_rate, rise_by_steps
from wavevae.objectives.weighted_sum import weighted_sum
from wavevae.studies.feature_loss import accuracy

from .batches import Batch, conditions, plain
from .module import TrainingModule, noise_seed
from .progress import say
from .ranks import world_size
from .training_data import Material
from .validation import Compared, Validation

PLATEAU_PATIENCE, PLATEAU_FACTOR = 3, 0.5
"""Study D: the rate is halved after three validations (its epochs) without a gain."""
LEVEL_CHUNKS = 256
"""Heard before the first step, for the level of the features."""


class StudyModule(TrainingModule):
    """A study's model, its loss, its optimizer and the schedule of its rate."""

    def new_validation(self) -> Validation:
        return StudyValidation(self.objectives, self.config.model)

    def initialise(self, material: Material) -> bool:
        """Sets the level of the features from the training set; the weights stay random."""
        model: Any = self.model
        chunks = material.chunks
        picked = [chunks.read(int(n)) for n in material.spread(LEVEL_CHUNKS)]
        with torch.no_grad():
            model.spectrum.fit(torch.from_numpy(np.stack(picked)[:, None]))
        return True

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Adam (Kingma & Ba 2015) or AdamW; what a plateau has seen lies beside the rate, so that a resume goes on."""
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
        if self._resumed is not None:
            optimizer.load_state_dict(self._resumed.optimizer)
        return optimizer

    @property
    def rate(self) -> float:
        """Of the study's schedule."""
        train, schedule = self.config.train, self.config.study.lr_schedule
        if schedule == "cosine":
            return learning_rate(self.share, train, self.step)
        halved = self._group["halved"] if schedule == "plateau" else 1.0
        return train.learning_rate * halved * (0.01 + 0.99 * rise_by_steps(self.step, train))

    @property
    def _group(self) -> dict[str, Any]:
        return self.optimizers(use_pl_optimizer=False).param_groups[0]  # type: ignore[union-attr]

    def training_step(self, batch: Tensor | Batch, batch_index: int) -> Tensor:
        """The loss of windows against windows; no sound is made."""
        torch.manual_seed(noise_seed(self.config.train.seed, self.step, self.global_rank))
        batch = batch if isinstance(batch, Batch) else plain(batch)
        heard, given = conditions(batch, self.config.model)
        model: Any = self.model
        target = seen = model.windows(batch.audio)
        if batch.heard is not batch.audio:
            seen = model.windows(batch.heard)
        latents = model.bottleneck(model.hidden(seen, heard))
        estimate = model.decoded(latents.z, given)
        with torch.autocast(target.device.type, enabled=False):
            raw = self.objectives.raw(estimate, target, latents)
            total = weighted_sum(raw, self.weights)
        self.terms = {"total": total.detach(), **{k: v.detach() for k, v in raw.items()}}
        self.terms |= {k: v for k, v in latents.metrics.items() if k not in self.terms}
        samples = len(batch.audio) * batch.audio.shape[-1]
        self.audio_s += samples / self.config.model.sample_rate * world_size()
        return total

    def on_validation_epoch_end(self) -> None:
        super().on_validation_epoch_end()
        if self.config.study.lr_schedule == "plateau" and self.validation:
            self._wait(self.validation["val_distance"])

    def _wait(self, distance: float) -> None:
        """Halve the rate where the last few validations brought nothing."""
        group = self._group
        if group["best"] is None or distance < group["best"]:
            group["best"], group["waited"] = distance, 0
            return
        group["waited"] += 1
        if group["waited"] >= PLATEAU_PATIENCE:
            group["halved"], group["waited"] = group["halved"] * PLATEAU_FACTOR, 0
            say(f"no gain for {PLATEAU_PATIENCE} validations: learning rate {self.rate:.3g}")


class StudyValidation(Validation):
    """Compares windows of features, and no sound."""

    def compared(self, model: Any, audio: Tensor, condition: Condition | None) -> Compared:
        target = model.windows(audio)
        return Compared(target, model.hidden(target, condition), model.decoded)

    def more(self, estimate: Tensor, target: Tensor) -> dict[str, Tensor]:
        return {"accuracy": accuracy(estimate.float(), target)}
