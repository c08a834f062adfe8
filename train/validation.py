"""Validation: means over fixed chunks, with the averaged weights and the posterior's mean."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor

from wavevae.config import ModelConfig
from wavevae.nn.bottlenecks.base import Latents
from wavevae.nn.bottlenecks.codebook import entropy_of
from wavevae.nn.conditioning import Condition
from wavevae.nn.distributed import sum_over_ranks
from wavevae.objectives.losses import weighted_sum

from .batches import Batch, conditions

WRONG_LABEL = "distance_mistold"
"""The distance when every chunk is decoded with the label of another: no more than with its own where the model
ignores labels."""


class Compared(NamedTuple):
    """One batch of a validation."""

    target: Tensor
    hidden: Tensor
    """What the bottleneck gets, (B, in_channels, frames)."""
    decode: Callable[..., Tensor]
    """(z, condition=...) -> an estimate of `target`."""


class Validation:
    """Sums over chunks and processes of one validation, then its means."""

    def __init__(self, objectives: Any, config: ModelConfig) -> None:
        self.objectives, self.config = objectives, config
        self.sums: dict[str, Tensor] = {}
        self.counts: Tensor | None = None

    def start(self) -> None:
        self.sums, self.counts = {}, None

    def compared(self, model: Any, audio: Tensor, condition: Condition | None) -> Compared:
        """What an estimate is compared with, and how it is made: sound (B, 1, T), of a waveform model."""
        decode = partial(model.compensate_latency, length=audio.shape[-1])
        return Compared(audio, model.features(model.pad_for_latency(audio), condition), decode)

    def more(self, estimate: Tensor, target: Tensor) -> dict[str, Tensor]:
        """Figures beyond the loss terms."""
        return {}

    def add(self, model: Any, batch: Batch) -> None:
        """One batch through the model."""
        condition, _ = conditions(batch, self.config)
        target, hidden, decode = self.compared(model, batch.audio, condition)
        latents, z = model.bottleneck(hidden), model.bottleneck.mean(hidden)
        estimate = decode(z, condition=condition)
        raw = self.raw(estimate, target, latents)
        raw |= self.more(estimate, target)
        raw |= {k: v.float() for k, v in latents.metrics.items() if k not in raw}
        if condition is not None:
            parts = {"class": "classes", "pitch": "pitch"}
            for kind in self.config.decoder_labels:
                part = parts[kind]
                other = condition._replace(**{part: getattr(condition, part).roll(1, 0)})
                wrong = self.raw(decode(z, condition=other), target, latents)
                raw[f"{WRONG_LABEL}_{kind}"] = self.distance(wrong)
        raw["chunks"] = torch.ones((), device=z.device)
        for name, value in raw.items():
            self.sums[name] = self.sums.get(name, 0) + value * len(batch.audio)
        if latents.codes is not None:
            hits = histogram(latents.codes, self.config.codebook_size)
            self.counts = hits if self.counts is None else self.counts + hits

    def raw(self, estimate: Tensor, audio: Tensor, latents: Latents) -> dict[str, Tensor]:
        """Unweighted terms in fp32."""
        with torch.autocast(audio.device.type, enabled=False):
            return self.objectives.raw(estimate.float(), audio.float(), latents)

    def distance(self, raw: dict[str, Tensor]) -> Tensor:
        """Weighted as at the end of the budget, so that it compares over time; without regularisers."""
        others = self.objectives.regulariser_names
        distances = {name: value for name, value in raw.items() if name not in others}
        return weighted_sum(distances, self.objectives.weights(1.0)) / getattr(self.objectives, "scale", 1.0)

    def means(self) -> dict[str, float]:
        """Over chunks and processes, as val_*; `val_distance` picks the best checkpoint."""
        names = sorted(self.sums)
        sums = sum_over_ranks(torch.stack([self.sums[name] for name in names]).float())
        chunks = sums[names.index("chunks")]
        means = {name: s / chunks for name, s in zip(names, sums, strict=True) if name != "chunks"}
        weights = self.objectives.weights(1.0)
        weighted = {name: value for name, value in means.items() if name in weights}
        means["distance"] = self.distance(weighted)
        if self.counts is not None:
            means |= codebook_figures(sum_over_ranks(self.counts))
        return {f"val_{name}": float(value) for name, value in means.items()}


def histogram(codes: Tensor, size: int) -> Tensor:
    """(B, n, F) -> (n, size) how often each code is used, float64 where the device has it."""
    flat = codes.transpose(0, 1).flatten(1)
    hits = torch.stack([torch.bincount(row, minlength=size) for row in flat])
    return hits.float() if hits.device.type == "mps" else hits.double()


def codebook_figures(counts: Tensor) -> dict[str, Tensor]:
    """(n, size) -> perplexity and usage over the whole set, means over the codebooks."""
    entropies = torch.stack([entropy_of(row.float()) for row in counts])
    return {
        "codebook_perplexity": entropies.exp().mean(),
        "codebook_usage": (counts > 0).float().mean(),
    }
