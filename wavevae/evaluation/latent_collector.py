"""Latents of what was judged, in bounded memory: one summary a file for probes, some frames for pictures."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

MOST_FRAMES = 6000
"""Frames kept for pictures, drawn evenly from all."""


@dataclass
class Pool:
    """Running sums of one file's latents."""

    total: Tensor
    squares: Tensor
    frames: int = 0

    def add(self, latents: Tensor) -> None:
        """(latent_dim, frames)"""
        latents = latents.double()
        self.total += latents.sum(-1)
        self.squares += latents.square().sum(-1)
        self.frames += latents.shape[-1]

    def summary(self) -> np.ndarray:
        """(2 latent_dim,): mean of each axis over the file, and the log of its standard deviation."""
        mean = self.total / self.frames
        spread = (self.squares / self.frames - mean.square()).clamp_min(0).sqrt()
        found: np.ndarray = torch.cat([mean, torch.log(spread + 1e-3)]).numpy()
        return found


@dataclass
class LatentCollector:
    """Keeps the latents of audible seconds: sums for each file, and some frames."""

    latent_dim: int
    pools: dict[str, Pool] = field(default_factory=dict)
    """By file."""
    kept: list[np.ndarray] = field(default_factory=list)
    """(latent_dim,) each"""
    owners: list[str] = field(default_factory=list)
    """The file of each frame kept."""
    seen: int = 0
    _rng: np.random.Generator = field(default_factory=lambda: np.random.default_rng(0))

    def add(self, file: str, latents: Tensor) -> None:
        """(latent_dim, frames) of one second."""
        if not latents.shape[-1]:
            return
        if file not in self.pools:
            zeros = torch.zeros(self.latent_dim, dtype=torch.float64)
            self.pools[file] = Pool(zeros, zeros.clone())
        self.pools[file].add(latents)
        # One frame in eight: neighbours say nearly the same, and a picture has no room for more.
        for column in latents[:, :: max(1, min(8, latents.shape[-1]))].T:
            self._reservoir(file, column.float().numpy().copy())

    def _reservoir(self, file: str, frame: np.ndarray) -> None:
        """Every frame seen has the same chance to be kept (Vitter 1985, algorithm R)."""
        self.seen += 1
        if len(self.kept) < MOST_FRAMES:
            self.kept.append(frame)
            self.owners.append(file)
            return
        place = int(self._rng.integers(self.seen))
        if place < MOST_FRAMES:
            self.kept[place], self.owners[place] = frame, file

    def summaries(self) -> dict[str, np.ndarray]:
        """{file: (2 latent_dim,)}"""
        return {file: pool.summary() for file, pool in self.pools.items()}
