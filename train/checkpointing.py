"""Checkpoints: best by validation, last every half minute, and what they say of the latents.

The first validation is before the first step, so that both exist from then on, and best.ckpt is never worse than the
start.
"""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch

from wavevae.checkpoint import Checkpoint, write_checkpoint
from wavevae.corpus.labels import NO_LABEL, class_names
from wavevae.families import family_of
from wavevae.latents import LatentStatistics
from wavevae.transfer import corpus_profile
from wavevae.units import frames_to_samples, samples_to_frames

from .batches import labelled
from .datamodule import AudioDataModule
from .module import TrainingModule
from .run_folder import RunFolder

EVERY_S = 30.0
"""Wall-clock between two saves of last.ckpt."""
SMALLEST_SHARE = 0.03
"""Share of the time that saving may take: on a slow disk it is done less often."""
CHUNKS, CHUNKS_AT_THE_END = 32, 256
"""Training chunks encoded for the latent statistics of a save."""
MORE_OF_CONTROLS = 4
"""Times as many for an instrument: the ranges of pitch and loudness want more of the corpus."""
CHUNKS_AT_ONCE = 16


@torch.no_grad()
def latent_statistics(model: Any, data: AudioDataModule, count: int) -> dict[str, Any]:
    """Statistics of the latents of at most `count` chunks spread over the training set.

    Each is encoded with the sound that leads up to it, so that its first frames are as they are in the flow.
    """
    chunks, labels = data.train_chunks, data.labels
    count *= MORE_OF_CONTROLS if model.config.controls else 1
    picked = np.unique(np.linspace(0, len(chunks) - 1, min(count, len(chunks))).round().astype(int))
    device = next(model.parameters()).device
    streams = family_of(data.config).streams  # else each latent frame is by itself
    lead_frames = samples_to_frames(chunks.chunk_samples // 2, model.hop_length) if streams else 0
    lead = frames_to_samples(lead_frames, model.hop_length)
    sequences: list[np.ndarray] = []
    for first in range(0, len(picked), CHUNKS_AT_ONCE):
        group = [
            chunks.stretch(int(i), 0, lead, chunks.chunk_samples) for i in picked[first:][:CHUNKS_AT_ONCE]
        ]
        x = torch.from_numpy(np.stack(group)).unsqueeze(1).to(device)
        told = [
            NO_LABEL if labels is None else labels.of(chunks.item(int(i)))
            for i in picked[first:][:CHUNKS_AT_ONCE]
        ]
        z = model.encode(x, condition=labelled(model.config, told, device))  # (b, latent_dim, frames)
        sequences.extend(z[..., lead_frames:].transpose(1, 2).float().cpu().numpy())
    names = class_names([chunks.item(int(i)) for i in picked], data.config.data.class_field)
    sound = [n for n, sequence in enumerate(sequences) if np.isfinite(sequence).all()]
    classes = [names[n] for n in sound] if names else []
    if not sound:
        return {}
    sequences = [sequences[n] for n in sound]
    if not model.config.controls:
        return LatentStatistics.fit(sequences, classes).to_dict()
    statistics = LatentStatistics.fit(sequences, classes, principal=False)  # its latents keep their meaning
    track = None if data.track is None else data.track.values
    profile = corpus_profile(sequences, model.config, track)
    return {**statistics.to_dict(), "profile": profile.to_dict()}


class Checkpoints(pl.Callback):
    """Writes best.ckpt and last.ckpt. Every process makes the same calls; the first one writes."""

    def __init__(
        self, folder: RunFolder, data: AudioDataModule, origin: dict[str, Any], best: float | None
    ) -> None:
        self.folder, self.data, self.origin, self.best = folder, data, origin, best
        self._saved_at = time.monotonic()
        self._cost_s = 0.0
        self._saved_step: int | None = None

    def moment(self, module: TrainingModule, count: int = CHUNKS) -> Checkpoint:
        """The run as it is now."""
        latents = latent_statistics(module.averaged.model, self.data, count)
        if "profile" in latents:
            spread = torch.tensor(latents["profile"]["life_spread"])
            played: list[Any] = [module.model, module.averaged.model]
            for model in played:
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
            origin={**self.origin, "skipped_steps": module.skipped},
        )

    def save(
        self, trainer: pl.Trainer, module: TrainingModule, best: bool = False, count: int = CHUNKS
    ) -> None:
        """Write last.ckpt, and best.ckpt before it where this moment is the best.

        In a row of skipped steps nothing is written: last.ckpt stays from before the trouble.
        """
        if trainer.is_global_zero and module.guard.in_a_row == 0:
            began = time.monotonic()
            moment = self.moment(module, count)
            for path in [self.folder.best, self.folder.last] if best else [self.folder.last]:
                write_checkpoint(path, moment)
            self._saved_at = time.monotonic()
            self._cost_s = self._saved_at - began
            self._saved_step = module.step

    def on_train_batch_end(self, trainer: pl.Trainer, module: Any, *_: Any) -> None:
        if time.monotonic() - self._saved_at >= max(EVERY_S, self._cost_s / SMALLEST_SHARE):
            self.save(trainer, module)

    def on_validation_end(self, trainer: pl.Trainer, module: Any) -> None:
        if trainer.sanity_checking or not module.validation:
            return
        distance = module.validation["val_distance"]
        # A discriminator asks for what distances do not measure: while there is one, the newest is the best.
        better = self.best is None or distance < self.best or module.opposed
        if better:
            self.best = distance
        at_the_end = module.share >= 1.0
        self.save(trainer, module, better, CHUNKS_AT_THE_END if at_the_end else CHUNKS)

    def on_train_end(self, trainer: pl.Trainer, module: Any) -> None:
        if self._saved_step != module.step:
            self.save(trainer, module)
