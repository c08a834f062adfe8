"""Convolutional encoders and decoders of one window: features (N, C, bins, frames) <-> a vector.

A stage halves bins and frames, so both are filled up to a multiple of 2 ** stages on the way in and cropped on the way
out: whatever a study's transform gives fits, and what comes out is as long as what went in.
"""

from __future__ import annotations

from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from wavevae.config import ModelConfig
from wavevae.nn.conditioning import PITCHES, Condition
from wavevae.studies.study_config import StudyConfig


def normalised(channels: int, config: StudyConfig) -> list[nn.Module]:
    return [nn.BatchNorm2d(channels)] if config.normalisation == "batch" else []


class Labels(nn.Module):
    """Learned embeddings of class and pitch, label_dim numbers each; no label is all zeros."""

    def __init__(self, model: ModelConfig, label_dim: int) -> None:
        super().__init__()
        self.classes = nn.Embedding(len(model.classes), label_dim) if model.has_class else None
        self.pitches = nn.Embedding(PITCHES, label_dim) if model.has_pitch else None
        self.dim = label_dim * ((self.classes is not None) + (self.pitches is not None))

    def forward(self, condition: Condition | None, count: int, device: torch.device) -> Tensor:
        """-> (count, dim); a pitch between two notes is a mix of them."""
        parts = [torch.zeros(count, 0, device=device)]
        if condition is None:
            return torch.zeros(count, self.dim, device=device)
        if self.classes is not None:
            parts.append(condition.classes @ self.classes.weight)
        if self.pitches is not None:
            known, at = ~condition.pitch.isnan(), condition.pitch.nan_to_num(0.0).clamp(0, PITCHES - 1)
            low = at.floor().clamp_max(PITCHES - 2).long()
            rows = torch.lerp(self.pitches(low), self.pitches(low + 1), (at - low)[:, None])
            parts.append(rows * known[:, None])
        return torch.cat(parts, 1)


class Residual(nn.Module):
    """Two 3 x 3 convolutions and a bypass (He et al. 2016, fig. 5), at the resolution of what comes in."""

    def __init__(self, channels: int, wider: int, config: StudyConfig, stride: int = 1) -> None:
        super().__init__()
        self.body = nn.Sequential(
            *(nn.Conv2d(channels, wider, 3, stride, 1), *normalised(wider, config), nn.ReLU()),
            *(nn.Conv2d(wider, wider, 3, 1, 1), *normalised(wider, config)),
        )
        self.bypass = nn.Conv2d(channels, wider, 1, stride)

    def forward(self, h: Tensor) -> Tensor:
        return F.relu(self.bypass(h) + self.body(h))


def downward(channels: int, wider: int, config: StudyConfig) -> nn.Module:
    """A stage that halves."""
    if config.network == "residual":
        return Residual(channels, wider, config, stride=2)
    return nn.Sequential(nn.Conv2d(channels, wider, 3, 2, 1), *normalised(wider, config), nn.ReLU())


def upward(channels: int, narrower: int, config: StudyConfig) -> nn.Module:
    """A stage that doubles."""
    if config.network == "residual":
        return nn.Sequential(nn.Upsample(scale_factor=2), Residual(channels, narrower, config))
    convolution = nn.ConvTranspose2d(channels, narrower, 4, 2, 1)
    return nn.Sequential(convolution, *normalised(narrower, config), nn.ReLU())


def deepest(config: StudyConfig, bins: int) -> tuple[int, int, int]:
    """Channels, bins and frames after the last stage."""
    unit = 2 ** len(config.conv_channels)
    return config.conv_channels[-1], -(-bins // unit), -(-config.window_frames // unit)


class WindowEncoder(nn.Module):
    """(N, C, bins, frames) and labels (N, label_dim) -> (N, out)."""

    def __init__(self, config: StudyConfig, channels: int, bins: int, label_dim: int, out: int) -> None:
        super().__init__()
        widths = (channels, *config.conv_channels)
        stages = [downward(a, b, config) for a, b in pairwise(widths)]
        self.stages = nn.Sequential(*stages)
        c, rows, columns = deepest(config, bins)
        self.unit = 2 ** len(config.conv_channels)
        self.outlet = nn.Linear(c * rows * columns + label_dim, out)

    def forward(self, x: Tensor, label: Tensor, silence: float | Tensor) -> Tensor:
        right, top = -x.shape[-1] % self.unit, -x.shape[-2] % self.unit
        h = self.stages(F.pad(x - silence, (0, right, 0, top)) + silence)
        return self.outlet(torch.cat([h.flatten(1), label], 1))


class WindowDecoder(nn.Module):
    """(N, latent_dim) and labels (N, label_dim) -> (N, C, bins, frames)."""

    def __init__(
        self, config: StudyConfig, channels: int, bins: int, label_dim: int, latent_dim: int
    ) -> None:
        super().__init__()
        self.shape = deepest(config, bins)
        self.size = bins, config.window_frames
        c, rows, columns = self.shape
        self.inlet = nn.Linear(latent_dim + label_dim, c * rows * columns)
        widths = config.conv_channels[::-1]
        stages = [upward(a, b, config) for a, b in pairwise(widths)]
        if config.network == "residual":
            stages += [upward(widths[-1], widths[-1] // 2 or 1, config)]
            end: nn.Module = nn.Conv2d(widths[-1] // 2 or 1, channels, 3, 1, 1)
        else:
            end = nn.ConvTranspose2d(widths[-1], channels, 4, 2, 1)
        self.stages = nn.Sequential(*stages, end, nn.Tanh() if config.head == "tanh" else nn.Identity())

    def forward(self, z: Tensor, label: Tensor) -> Tensor:
        h = F.relu(self.inlet(torch.cat([z, label], 1))).unflatten(1, self.shape)  # (N, c, rows, columns)
        return self.stages(h)[..., : self.size[0], : self.size[1]]
