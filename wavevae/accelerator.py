"""`--accelerator cpu|gpu|mps|auto`: where a network computes, and in which precision."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from wavevae.errors import UserError

if TYPE_CHECKING:
    import torch

    from wavevae.model_config import ModelConfig

ACCELERATORS = ("auto", "cpu", "gpu", "mps")
HELP = (
    "auto (a CUDA GPU where there is one, else the CPU), cpu, gpu (CUDA), mps (Apple; codecs without pitch)"
)


def add_accelerator_option(parser: argparse._ActionsContainer) -> None:
    """The same option for every command that computes with networks."""
    parser.add_argument("--accelerator", metavar="NAME", choices=ACCELERATORS, help=HELP)


def choose_device(name: str | None) -> torch.device:
    """Of --accelerator; none is auto. Apple's GPU is used only where it is asked for: it has no float64.

    Raises: UserError for one that is not here.
    """
    import torch

    if name == "mps" and not torch.backends.mps.is_available():
        raise UserError("--accelerator mps: no Apple GPU that torch can use here; use cpu, or leave it out")
    if name == "gpu" and not torch.cuda.is_available():
        raise UserError("--accelerator gpu: no CUDA GPU that torch can use here; use cpu, or leave it out")
    if name == "mps":
        return torch.device("mps")
    return torch.device("cuda" if name != "cpu" and torch.cuda.is_available() else "cpu")


def refuse_float64(device: torch.device, config: ModelConfig) -> None:
    """Raises: UserError for a model that keeps phases in float64, on a device that has none."""
    if device.type == "mps" and (config.is_instrument or config.has_pitch):
        kind = "an instrument" if config.is_instrument else "a model with pitch labels"
        raise UserError(
            f"--accelerator mps: {kind} counts phases in float64, which Apple's GPUs have not; use --accelerator cpu"
        )


def default_precision(device: torch.device) -> str:
    """bf16 where every GPU in sight computes in it and does not emulate it (from compute capability 8.0), else fp32."""
    import torch

    if device.type != "cuda":
        return "32-true"
    capable = [torch.cuda.get_device_capability(n) >= (8, 0) for n in range(torch.cuda.device_count())]
    native = all(capable) and torch.cuda.is_bf16_supported(including_emulation=False)
    return "bf16-mixed" if native else "32-true"
