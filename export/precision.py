"""Matrix products of the streaming twins, in full or half precision: rows in, rows out, weights fixed.

For few rows a product costs what reading its weights costs, and the BLAS of libtorch re-orders them at every call.
FBGEMM's half-precision product reads half as much, ordered once at loading, and sums in float32: 2 to 3.8 times
as fast for one to eight rows, a little slower from 64 rows on. It runs on x86-64 with AVX2 only.

For a file of half precision the model itself is rounded first (`round_weights`), so that the file is compared with
exactly what it is meant to be; how far the rounded model is from the trained one is measured apart.
"""

import copy

import torch
from torch import Tensor, nn

from wavevae.nn.model import Autoencoder

SMALLEST = 2**15
"""Weights a layer: below, a product in half precision gains nothing (measured on AVX2)."""


def constant(values: Tensor) -> nn.Parameter:
    """Weights for playing: a float32 copy without gradient."""
    return nn.Parameter(values.detach().to(torch.float32).clone().contiguous(), requires_grad=False)


class Matrix(nn.Module):
    """x (rows, C_in) -> x W' + b (rows, C_out), of a weight (C_out, C_in)."""

    def __init__(self, weight: Tensor, bias: Tensor) -> None:
        super().__init__()
        self.weight = constant(weight.t())  # (C_in, C_out)
        self.bias = constant(bias)

    def forward(self, x: Tensor) -> Tensor:
        return torch.addmm(self.bias, x, self.weight)

    def add_to(self, y: Tensor, x: Tensor) -> Tensor:
        """y + forward(x), in y's memory."""
        return y.add_(self.bias).addmm_(x, self.weight)


class HalfMatrix(nn.Module):
    """The same with weights of 16 bits, in the file as in memory; sums and rows stay float32.

    Loading one fails where FBGEMM is not at hand (ARM): there a host says so, instead of failing as it plays.
    """

    def __init__(self, full: Matrix) -> None:
        super().__init__()
        self.packed = torch.ops.quantized.linear_prepack_fp16(full.weight.t().contiguous(), full.bias)

    def forward(self, x: Tensor) -> Tensor:
        return torch.ops.quantized.linear_dynamic_fp16(x, self.packed)

    def add_to(self, y: Tensor, x: Tensor) -> Tensor:
        """y + forward(x), in y's memory."""
        return y.add_(torch.ops.quantized.linear_dynamic_fp16(x, self.packed))

    @torch.jit.export
    def __getstate__(self) -> tuple[Tensor, Tensor, bool]:
        weight, bias = torch.ops.quantized.linear_unpack_fp16(self.packed)
        assert bias is not None
        return weight.to(torch.float16), bias, self.training

    @torch.jit.export
    def __setstate__(self, state: tuple[Tensor, Tensor, bool]) -> None:
        self.packed = torch.ops.quantized.linear_prepack_fp16(state[0].to(torch.float32), state[1])
        self.training = state[2]


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
