"""Frames cut into windows that overlap by half, and added again under a Hann curve.

frames   |-----------------------------------|00     zeros of the feature fill the last window
windows  |---W---|
             |---W---|                               stride W / 2
                 |---W---|  ...
curve     .-'-.
             .-'-.      sin^2 and cos^2: two neighbours add to 1; at the ends a lone window is divided by its curve
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor


def count(frames: int, window: int) -> int:
    """Windows that cover so many frames."""
    return 1 + max(0, math.ceil((frames - window) / (window // 2)))


def cut(features: Tensor, window: int, silence: float | Tensor = 0.0) -> Tensor:
    """(B, C, bins, frames) -> (B, n, C, bins, window); what is missing at the end is `silence`."""
    n = count(features.shape[-1], window)
    whole = window + (n - 1) * (window // 2)
    padded = F.pad(features - silence, (0, whole - features.shape[-1])) + silence
    return padded.unfold(-1, window, window // 2).permute(
        0, 3, 1, 2, 4
    )  # (B, C, bins, n, W) -> (B, n, C, bins, W)


def curve(window: int) -> Tensor:
    """(window,) Hann, nowhere 0, so that its two halves add to 1 and a lone half can be divided out."""
    return torch.sin(math.pi * (torch.arange(window) + 0.5) / window).square()


def overlap_add(windows: Tensor) -> Tensor:
    """(B, n, C, bins, W) -> (B, C, bins, W + (n - 1) W / 2), the reverse of `cut`."""
    _, n, _, _, window = windows.shape
    stride, hann = window // 2, curve(window).to(windows)
    whole = window + (n - 1) * stride
    out = windows.new_zeros(*windows.shape[:1], *windows.shape[2:4], whole)
    weight = windows.new_zeros(whole)
    for number in range(n):
        there = slice(number * stride, number * stride + window)
        out[..., there] += windows[:, number] * hann
        weight[there] += hann
    return out / weight
