"""The run's own curve and the gap between learned and held-out sounds, for the advice at its end."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from torch.utils.data import DataLoader

from wavevae.config import TrainConfig
from wavevae.corpus import Chunks
from wavevae.corpus.labels import NO_LABEL, Label
from wavevae.evaluation.playing import measure_quickly
from wavevae.evaluation.playing.player import ModulePlayer
from wavevae.nn.conditioning import Condition

from . import advice
from .batch import Batch, labelled, plain
from .budget import show_time
from .journal import read_rows
from .launch import is_first
from .material import AudibleChunks, Material
from .module import TrainingModule
from .plan import Plan

PLAYED, PLAYED_S = 8, 5.0
"""Excerpts that the playing at the end of a run is judged by, and their length."""


class Learned(pl.Callback):
    """At the end of the budget: the averaged model's distance on learned sounds, measured as on those held out."""

    def __init__(self, material: Material) -> None:
        self.material = material
        self.distance: float | None = None

    def on_train_end(self, trainer: pl.Trainer, module: Any) -> None:
        """On every process: they average over each other."""
        if module.share >= 1.0 and self.material.held:
            with trainer.strategy.precision_plugin.val_step_context():
                self.distance = distance_on_learned(module, self.material)


@torch.no_grad()
def distance_on_learned(module: TrainingModule, material: Material) -> float:
    """`val_distance` of as many learned chunks as held-out ones are validated on."""
    chunks, labels = material.chunks, material.data.labels
    whole = Chunks(material.store, material.learned, chunks.chunk_samples, 0.0)
    picked = AudibleChunks(whole, len(material.data.validation_chunks), labels)
    found = module.new_validation()
    for batch in DataLoader(picked, batch_size=module.config.train.batch_size):
        moved = (
            Batch(*(part.to(module.device) for part in batch))
            if isinstance(batch, (Batch, list, tuple))
            else plain(batch.to(module.device))
        )
        found.add(module.averaged.model, moved)
    return found.means()["val_distance"]


def curve_of(plan: Plan, material: Material, module: TrainingModule, learned: float | None) -> advice.Curve:
    """From metrics.csv."""
    rows = [row for row in read_rows(plan.folder.metrics) if row.get("val_distance")]
    start = next((float(row["val_distance"]) for row in rows if row["step"] == "0"), None)
    rows = [row for row in rows if row["step"] != "0"]
    heard_s = sum(item.length for item in material.learned) / material.store.sample_rate
    return advice.Curve(
        np.array([float(row["elapsed_s"]) for row in rows]),
        np.array([float(row["val_distance"]) for row in rows]),
        learned,
        module.audio_s / max(1e-9, heard_s),
        None if module.opposed else start,  # beside a discriminator the newest is kept, not the nearest
    )


def twice(train: TrainConfig) -> str:
    """Twice the budget as options."""
    options = [f"--max-time {show_time(2 * train.max_time_s)}"] if train.max_time_s else []
    return " ".join(options + ([f"--max-steps {2 * train.max_steps}"] if train.max_steps else []))


def playing(material: Material, module: TrainingModule) -> dict[str, Any]:
    """Held tones and transfer on a few held-out sounds, in a few seconds; empty where the model cannot be played."""
    model = copy.deepcopy(module.averaged.model).cpu()
    known = [label._asdict() for label in material.labels_of(PLAYED)]

    def condition(labels: Mapping[str, Any]) -> Condition | None:
        return labelled(module.config.model, [Label(**labels) if labels else NO_LABEL], torch.device("cpu"))

    player = ModulePlayer(model, condition)
    sounds = [torch.from_numpy(sound) for sound in material.excerpts(PLAYED, PLAYED_S)]
    return measure_quickly(player, sounds, known)


def outlook(plan: Plan, material: Material, module: TrainingModule, learned: float | None) -> list[str]:
    """Sentences: what the curve does, what would help, how the model plays. None on processes but the first."""
    if not is_first():
        return []
    finding = advice.judge(curve_of(plan, material, module, learned))
    train = plan.config.train
    slower = f"--set learning_rate={train.learning_rate / 4:g}"
    said = advice.words(finding, str(plan.folder.path), twice(train), slower, plan.config.model.family)
    return said + advice.playing_words(playing(material, module))
