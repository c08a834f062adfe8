"""Operators of instruments that torch's exporter to ONNX lacks, or gives with too few digits."""

from collections.abc import Callable
from typing import Any

import torch
from torch.onnx import register_custom_op_symbolic


def register(opset: int) -> None:
    """From now on, for every export."""
    symbolics: dict[str, Callable[..., Any]] = {"exp2": exp2, "searchsorted": searchsorted, "cummax": cummax}
    for name, symbolic in symbolics.items():
        register_custom_op_symbolic(f"aten::{name}", symbolic, opset)


def number(g: Any, value: float, like: Any) -> Any:
    """A constant of the type of `like`."""
    return g.op("CastLike", g.op("Constant", value_t=torch.tensor(value, dtype=torch.float64)), like)


def whole(g: Any, *values: int) -> Any:
    return g.op("Constant", value_t=torch.tensor(values))


def exp2(g: Any, x: Any) -> Any:
    """The exporter's own has the base, and so the result, in float32."""
    return g.op("Pow", number(g, 2.0, x), x)


def searchsorted(g: Any, points: Any, x: Any, *rest: Any) -> Any:
    """How many of the points (n,) lie below each x."""
    below = g.op("Less", points, g.op("Unsqueeze", x, whole(g, -1)))
    return g.op("ReduceSum", g.op("Cast", below, to_i=7), whole(g, -1), keepdims_i=0)


def cummax(g: Any, x: Any, dim: Any) -> tuple[Any, Any]:
    """The largest up to each place along the last axis; of where it stood nothing is said."""
    last = g.op("Gather", g.op("Shape", x), g.op("Constant", value_t=torch.tensor(-1)), axis_i=0)
    zero, one = (g.op("Constant", value_t=torch.tensor(value)) for value in (0, 1))
    place = g.op("Range", zero, last, one)
    heard = g.op("LessOrEqual", g.op("Unsqueeze", place, whole(g, 0)), g.op("Unsqueeze", place, whole(g, 1)))
    rows = g.op("Where", heard, g.op("Unsqueeze", x, whole(g, -2)), number(g, float("-inf"), x))
    return g.op("ReduceMax", rows, axes_i=[-1], keepdims_i=0), whole(g, 0)
