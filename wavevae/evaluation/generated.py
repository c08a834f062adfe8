"""What a model says by itself: sounds drawn from its prior, and where they lie in the embedding."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from wavevae.evaluation import metrics
from wavevae.evaluation.embeddings import Embedding
from wavevae.evaluation.model_under_test import Labels, ModelUnderTest
from wavevae.units import samples_to_frames, seconds_to_samples

SEQUENCE_S = 5.0
"""Length of one draw: the prior knows how latents move, so each is a stretch of its own."""
SEED = 0


@dataclass(frozen=True)
class Generated:
    """Draws from the prior."""

    sounds: np.ndarray
    """(count, samples)"""
    embeddings: np.ndarray
    """(seconds that are heard, dims)"""
    silent_share: float
    """Of the seconds drawn, those that are silent and left out."""


@torch.inference_mode()
def generate(
    subject: ModelUnderTest, seconds: float, embedding: Embedding, labels: Sequence[Labels] = ()
) -> Generated | None:
    """About so many seconds, at least one draw; none where the model has no prior. A conditional model is told the
    labels of the judged files in turn.

    Raises: RuntimeError where it gives NaN or infinite samples.
    """
    rate = subject.facts.sample_rate
    samples = seconds_to_samples(SEQUENCE_S, rate)
    count = max(1, round(seconds / SEQUENCE_S))
    drawn = subject.sample(count, samples_to_frames(samples, subject.facts.hop_length), SEED, labels)
    if drawn is None:
        return None
    if not bool(torch.isfinite(drawn).all()):
        raise RuntimeError("what the model draws from its prior holds NaN or infinite samples")
    sounds = drawn[:, :samples]
    cut = sounds.reshape(-1, rate)
    heard = cut[metrics.audible(cut)]
    places = embedding(heard, rate).numpy() if len(heard) else np.zeros((0, embedding.dims))
    return Generated(sounds.numpy(), places, 1 - len(heard) / len(cut))
