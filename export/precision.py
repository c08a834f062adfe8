"""Weights of 16 bits, for hosts on x86-64: which layers, and what the rounding costs.

The model itself is rounded first, so that the file is compared with exactly what it is meant to be; how far the
rounded model is from the trained one is measured apart and said.
"""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from wavevae.nn.model import Autoencoder

from .matrices import HalfMatrix, Matrix

SMALLEST = 2**15
"""Weights a layer: below, a product in half precision gains nothing (measured on AVX2)."""


def is_half(weight: Tensor) -> bool:
    """Large enough to gain, and of numbers that 16 bits hold."""
    return weight.numel() >= SMALLEST and bool(torch.equal(weight, weight.half().float()))


def round_weights(model: Autoencoder) -> Autoencoder:
    """A copy whose large convolutions have weights that 16 bits hold."""
    rounded = copy.deepcopy(model)
    for module in rounded.modules():
        if isinstance(module, nn.Conv1d) and module.weight.numel() >= SMALLEST:
            module.weight.data = module.weight.data.half().float()
    return rounded


def halve(instrument: nn.Module) -> None:
    """Keep in 16 bits what they hold: the weights that `round_weights` rounded, not those computed from others."""
    for module in [*instrument.modules()]:
        product = getattr(module, "product", None)
        if isinstance(product, Matrix) and is_half(product.weight):
            module.product = HalfMatrix(product)


def rounding_error(model: Autoencoder, rounded: Autoencoder, audio: Tensor) -> float:
    """Largest difference of their resyntheses of audio (B, 1, T), of full scale."""
    with torch.inference_mode():
        return float((model(audio) - rounded(audio)).abs().max())
