"""A trained run as something to ask: latents of a sound, sound of latents, in raw units or along principal axes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from wavevae.errors import UserError
from wavevae.evaluation.file_under_test import load_model_under_test
from wavevae.evaluation.model_under_test import Run
from wavevae.latents import LatentStatistics
from wavevae.nn.bottlenecks.base import Statistics
from wavevae.units import samples_to_frames

if TYPE_CHECKING:
    from pathlib import Path

    from wavevae.nn.conditioning import Condition

Labels = Mapping[str, Any]


class ExploredModel:
    """Deterministic: posterior means, averaged weights."""

    def __init__(self, run: Run, statistics: LatentStatistics) -> None:
        self.run, self.model, self.facts, self.statistics = run, run.model, run.facts, statistics
        self.to_axes, self.offset = statistics.to_axes()
        self.from_axes, self.mean = statistics.from_axes()

    @property
    def sample_rate(self) -> int:
        return self.facts.sample_rate

    @property
    def hop_length(self) -> int:
        return self.facts.hop_length

    @property
    def lead_samples(self) -> int:
        """What a hop hears of the past, in whole hops: given first, so that a stretch is as it is in the flow."""
        return self.hop_length * samples_to_frames(self.model.receptive_field, self.hop_length)

    @torch.inference_mode()
    def look(self, sound: np.ndarray, labels: Labels) -> tuple[np.ndarray, np.ndarray | None]:
        """(samples,) -> means (frames, latent_dim), and log-variances in the same units where there is a Gaussian."""
        x = torch.from_numpy(np.ascontiguousarray(sound, np.float32))[None, None].to(self.run.device)
        hidden = self.model.features(x, self.run.condition(labels))
        found: Statistics = self.model.bottleneck.statistics(hidden)
        means: np.ndarray = found.z[0].T.cpu().numpy()
        if found.log_variance is None or found.prior_std is None:
            return means, None
        return means, (found.log_variance + 2 * torch.log(found.prior_std)).T.cpu().numpy()

    def encode(self, sound: np.ndarray, labels: Labels) -> np.ndarray:
        """(samples,) -> (frames, latent_dim)"""
        return self.look(sound, labels)[0]

    def condition(self, labels: Labels) -> Condition | None:
        return self.run.condition(labels)

    def mixed(self, labels: Sequence[Labels], weights: Sequence[float]) -> Condition | None:
        """Labels in shares: classes mixed, pitches between; what is unknown of one is unknown of all."""
        parts = [self.run.condition(each) for each in labels]
        known = [part for part in parts if part is not None]
        if len(known) < len(parts):
            return None
        shares = torch.tensor(list(weights), dtype=torch.float32, device=self.run.device)
        classes = torch.einsum("k,kbc->bc", shares, torch.stack([part.classes for part in known]))
        pitch = shares @ torch.stack([part.pitch for part in known])
        return known[0]._replace(classes=classes, pitch=pitch)

    @torch.inference_mode()
    def decode(self, z: np.ndarray, condition: Condition | None) -> np.ndarray:
        """(frames, latent_dim) -> (samples,) float32, in the place of what was encoded.

        Of a model that is late the last latents are held so much longer.
        """
        length, late = len(z) * self.hop_length, self.model.algorithmic_latency
        held = np.pad(z, ((0, samples_to_frames(late, self.hop_length)), (0, 0)), mode="edge")
        latents = torch.from_numpy(np.ascontiguousarray(held.T, np.float32))[None]
        made = self.model.compensate_latency(latents.to(self.run.device), length, condition)
        sound: np.ndarray = made[0, 0].cpu().numpy()
        return sound

    def axes(self, z: np.ndarray) -> np.ndarray:
        """(frames, latent_dim) raw -> along the principal axes of the training latents, in standard deviations."""
        return z @ self.to_axes.T + self.offset

    def raw(self, axes: np.ndarray) -> np.ndarray:
        """The reverse."""
        return axes @ self.from_axes.T + self.mean


def load_explored_model(path: Path, which: str, device: torch.device | None = None) -> ExploredModel:
    """To compute on `device` (none: the CPU).

    Raises: UserError for what is no run, or a run whose checkpoint knows nothing of its latents.
    """
    subject = load_model_under_test(path, which, device=device)
    if not isinstance(subject, Run):
        raise UserError(
            f"{path} is an exported file; explore needs the run folder or checkpoint that it came from"
        )
    if subject.statistics is None:
        raise UserError(
            f"{path} holds no statistics of its latents; train it a little longer, to its first save"
        )
    return ExploredModel(subject, subject.statistics)
