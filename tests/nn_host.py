"""What nn~ does with a model file, sample for sample (Backend::perform of nn_tilde 1.6), for the tests."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor


class Host:
    """One object in a patch: its own copy of the file, one method, a buffer of B samples."""

    def __init__(self, path: Path, method: str, buffer: int) -> None:
        self.model = torch.jit.load(str(path)).eval()
        self.method, self.buffer = getattr(self.model, method), buffer
        self.params = getattr(self.model, f"{method}_params").tolist()

    def play(self, signals: Tensor, voices: int = 1) -> Tensor:
        """Signals (in_channels * voices, T) -> (voices, out_channels, T), buffer by buffer."""
        return torch.cat([self.perform(part, voices) for part in signals.split(self.buffer, 1)], -1)

    def perform(self, signals: Tensor, voices: int) -> Tensor:
        in_channels, in_ratio, out_channels, out_ratio = self.params
        with torch.inference_mode():
            x = signals.reshape(in_channels, voices, -1, in_ratio)[..., -1].permute(1, 0, 2)
            y = self.method(x)
            return y.repeat_interleave(out_ratio).reshape(voices, out_channels, -1)
