"""Small classifiers: a linear probe (multinomial logistic regression), or the same behind one hidden layer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from wavevae.evaluation import bootstrap

PENALTY = 1e-2
"""Weight of the squared norm of the weights, against a mean cross-entropy in nats: little data, many latents."""
STEPS = 100


@dataclass(frozen=True)
class Classifier:
    """Vectors -> names."""

    network: nn.Module
    mean: Tensor
    std: Tensor
    names: tuple[str, ...]

    @torch.inference_mode()
    def __call__(self, vectors: np.ndarray) -> list[str]:
        """(N, D) -> the likeliest name of each."""
        if not len(vectors):
            return []
        x = (torch.from_numpy(np.asarray(vectors, np.float64)) - self.mean) / self.std
        return [self.names[i] for i in self.network(x).argmax(-1).tolist()]


def scored(files: Sequence[str], answers: Sequence[str], right: Sequence[str]) -> dict[str, Any]:
    """Accuracy of answers, one a file, and its interval, for report.json."""
    hits = np.array([a == b for a, b in zip(answers, right, strict=True)], np.float64)
    interval = bootstrap.of_mean(files, hits)
    return {"accuracy": float(hits.mean()), "interval": list(interval) if interval else None}


def fit(vectors: np.ndarray, names: Sequence[str], hidden: int = 0, penalty: float = PENALTY) -> Classifier:
    """Train on (N, D) and the name of each; deterministic. A hidden layer of so many tanh units makes it non-linear.

    Raises: ValueError for fewer than two names.
    """
    known = tuple(sorted(set(names)))
    if len(known) < 2:
        raise ValueError("a classifier needs two names at least")
    x = torch.from_numpy(np.asarray(vectors, np.float64))
    mean, std = x.mean(0), x.std(0, correction=0).clamp_min(1e-6)
    x = (x - mean) / std
    y = torch.tensor([known.index(name) for name in names])
    network = _network(x.shape[1], hidden, len(known))
    parameters = list(network.parameters())
    weights = [p for p in parameters if p.ndim == 2]
    optimizer = torch.optim.LBFGS(parameters, max_iter=STEPS, line_search_fn="strong_wolfe")

    def loss() -> float:
        optimizer.zero_grad()
        value = F.cross_entropy(network(x), y)
        for weight in weights:
            value = value + penalty * weight.square().sum()
        value.backward()
        return float(value.detach())

    optimizer.step(loss)
    return Classifier(network.eval(), mean, std, known)


def _network(dims: int, hidden: int, classes: int) -> nn.Module:
    """Zero weights where that is no saddle point, else a small fixed draw."""
    if not hidden:
        layer = nn.Linear(dims, classes).double()
        nn.init.zeros_(layer.weight)
        nn.init.zeros_(layer.bias)
        return layer
    network = nn.Sequential(nn.Linear(dims, hidden), nn.Tanh(), nn.Linear(hidden, classes)).double()
    generator = torch.Generator().manual_seed(0)
    for parameter in network.parameters():
        values = torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
        parameter.data = values * (0.5 * parameter.shape[-1] ** -0.5 if parameter.ndim == 2 else 0.0)
    return network
