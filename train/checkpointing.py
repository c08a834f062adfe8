"""Checkpoints: best by validation, last every half minute, with statistics of the latents.

The first validation is before the first step, so best.ckpt is never worse than the start.
"""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch

from wavevae.checkpoint import Checkpoint, write_checkpoint
from wavevae.corpus.labels import class_names
from wavevae.families import family_of
from wavevae.latents import LatentStatistics
from wavevae.transfer import corpus_profile
from wavevae.units import frames_to_samples, samples_to_frames

from .batches import label_condition
from .module import TrainingModule
from .run_folder import RunFolder
from .training_data import TrainingData

EVERY_S = 30.0
"""Wall-clock between two saves of last.ckpt."""
LARGEST_SHARE = 0.03
"""Share of the time that saving may take: on a slow disk it is done less often."""
CHUNKS, CHUNKS_AT_END = 32, 256
"""Training chunks encoded for the latent statistics of a save."""
INSTRUMENT_FACTOR = 4
"""Times as many for an instrument: the ranges of pitch and loudness need more of the corpus."""
CHUNKS_AT_ONCE = 16


@torch.no_grad()
def latent_statistics(model: Any, data: TrainingData, count: int) -> dict[str, Any]:
    """Statistics of the latents of at most `count` chunks spread over the training set.

    A model that streams encodes each with the sound before it, so that its first frames are as in a long sound.
    """
    chunks, instrument = data.train_chunks, bool(model.config.controls)
    chosen = data.spread(count * (INSTRUMENT_FACTOR if instrument else 1))
    device = next(model.parameters()).device
    streams = family_of(data.config).streams
    lead_frames = samples_to_frames(chunks.chunk_samples // 2, model.hop_length) if streams else 0
    lead = frames_to_samples(lead_frames, model.hop_length)
    sequences: list[np.ndarray] = []
    for first in range(0, len(chosen), CHUNKS_AT_ONCE):
        some = chosen[first : first + CHUNKS_AT_ONCE]
        sounds = [chunks.stretch(i, 0, lead, chunks.chunk_samples) for i in some]
        x = torch.from_numpy(np.stack(sounds)).unsqueeze(1).to(device)
        condition = label_condition(model.config, data.chunk_labels(some), device)
        z = model.encode(x, condition=condition)  # (b, latent_dim, frames)
        sequences.extend(z[..., lead_frames:].transpose(1, 2).float().cpu().numpy())
    names = class_names([chunks.item(i) for i in chosen], data.config.data.class_field)
    finite = [n for n, sequence in enumerate(sequences) if np.isfinite(sequence).all()]
    if not finite:
        return {}
    sequences, classes = [sequences[n] for n in finite], [names[n] for n in finite] if names else []
    statistics = LatentStatistics.fit(
        sequences, classes, principal=not instrument
    )  # an instrument's have meanings
    if not instrument:
        return statistics.to_dict()
    track = None if data.track is None else data.track.values
    profile = corpus_profile(sequences, model.config, track)
    return {**statistics.to_dict(), "profile": profile.to_dict()}


class Checkpoints(pl.Callback):
    """Writes best.ckpt and last.ckpt. Every process makes the same calls; the first one writes."""

    def __init__(
        self, folder: RunFolder, data: TrainingData, origin: dict[str, Any], best: float | None
    ) -> None:
        self.folder, self.data, self.origin, self.best = folder, data, origin, best
        self._saved_at = time.monotonic()
        self._cost_s = 0.0
        self._saved_step: int | None = None

    def checkpoint(self, module: TrainingModule, count: int = CHUNKS) -> Checkpoint:
        latents = latent_statistics(module.averaged.model, self.data, count)
        if "profile" in latents:
            spread = torch.tensor(latents["profile"]["life_spread"])
            for model in (module.model, module.averaged.model):
                model.decoder.life.spread.copy_(spread)
        return Checkpoint(
            config=module.config,
            state=module.averaged.model.state_dict(),
            live=module.model.state_dict(),
            optimizer=module.optimizers(use_pl_optimizer=False).state_dict(),  # type: ignore[union-attr]
            adversary={} if module.adversary is None else module.adversary.state_dict(),
            objectives=module.measured(),
            step=module.step,
            elapsed_s=module.budget.elapsed_s,
            audio_s=module.audio_s,
            best_score=self.best,
            latents=latents,
            origin={**self.origin, "skipped_steps": module.guard.skipped},
        )

    def save(
        self, trainer: pl.Trainer, module: TrainingModule, best: bool = False, count: int = CHUNKS
    ) -> None:
        """Write last.ckpt, and best.ckpt before it if this is the best. While steps are skipped nothing is written, so
        last.ckpt is from before."""
        if trainer.is_global_zero and module.guard.in_a_row == 0:
            began = time.monotonic()
            checkpoint = self.checkpoint(module, count)
            for path in [self.folder.best, self.folder.last] if best else [self.folder.last]:
                write_checkpoint(path, checkpoint)
            self._saved_at = time.monotonic()
            self._cost_s = self._saved_at - began
            self._saved_step = module.step

    def on_train_batch_end(self, trainer: pl.Trainer, module: Any, *_: Any) -> None:
        if time.monotonic() - self._saved_at >= max(EVERY_S, self._cost_s / LARGEST_SHARE):
            self.save(trainer, module)

    def on_validation_end(self, trainer: pl.Trainer, module: Any) -> None:
        if trainer.sanity_checking or not module.validation:
            return
        distance = module.validation["val_distance"]
        # Distances do not track adversarial quality: once the discriminator is active, the latest counts as best.
        better = self.best is None or distance < self.best or module.opposed
        if better:
            self.best = distance
        self.save(trainer, module, better, CHUNKS_AT_END if module.progress >= 1.0 else CHUNKS)

    def on_train_end(self, trainer: pl.Trainer, module: Any) -> None:
        if self._saved_step != module.step:
            self.save(trainer, module)
