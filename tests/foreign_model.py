"""A model file as others make theirs: cached-conv layers with caches for a batch of 64, noise in the decoder, nn~'s
params and attributes, no `wavevae.json` and no `reset()`."""

from __future__ import annotations

from pathlib import Path

import cached_conv as cc
import torch
from torch import Tensor, nn

RATIO, LATENTS, RATE = 128, 3, 24000
MOST_VOICES = 64


class Foreign(nn.Module):
    """An encoder and a decoder in RAVE's manner, untrained."""

    def __init__(self) -> None:
        super().__init__()
        cc.use_cached_conv(True)
        try:
            self.down = cc.Conv1d(1, LATENTS, 2 * RATIO, stride=RATIO, padding=(2 * RATIO - 1, 0))
            self.mix = cc.Conv1d(LATENTS, 8, 3, padding=cc.get_padding(3, mode="causal"))
            self.up = cc.ConvTranspose1d(8, 2, 2 * RATIO, stride=RATIO, padding=RATIO // 2)
        finally:
            cc.use_cached_conv(False)
        self.register_buffer("encode_params", torch.tensor([1, 1, LATENTS, RATIO]))
        self.register_buffer("decode_params", torch.tensor([LATENTS, RATIO, 2, 1]))
        self.register_buffer("forward_params", torch.tensor([1, 1, 2, 1]))
        self.register_buffer("noise_params", torch.tensor([2]))
        self.register_buffer("steps_params", torch.tensor([1]))
        self.register_buffer("loud_params", torch.tensor([0]))
        self.register_buffer("title_params", torch.tensor([3]))
        self.noise, self.steps, self.loud, self.title = 0.1, 2, False, "x"

    @torch.jit.export
    def get_methods(self) -> list[str]:
        return ["encode", "decode", "forward"]

    @torch.jit.export
    def get_attributes(self) -> list[str]:
        return ["noise", "steps", "loud", "title"]

    @torch.jit.export
    def encode(self, x: Tensor) -> Tensor:
        return 4.0 * self.down(x)

    @torch.jit.export
    def decode(self, z: Tensor) -> Tensor:
        y = torch.tanh(self.up(torch.tanh(self.mix(z))))
        y = y + self.noise * (torch.rand_like(y) - 0.5)
        return y * (2.0 if self.loud else 1.0)

    def forward(self, x: Tensor) -> Tensor:
        return self.decode(self.encode(x))

    @torch.jit.export
    def set_noise(self, value: float) -> int:
        self.noise = value
        return 0

    @torch.jit.export
    def get_noise(self) -> float:
        return self.noise

    @torch.jit.export
    def set_steps(self, value: int) -> int:
        self.steps = value
        return 0

    @torch.jit.export
    def get_steps(self) -> list[int]:
        return [self.steps]

    @torch.jit.export
    def set_loud(self, value: bool) -> int:
        self.loud = value
        return 0

    @torch.jit.export
    def get_loud(self) -> tuple[bool]:
        return (self.loud,)

    @torch.jit.export
    def set_title(self, value: str) -> int:
        self.title = value
        return 0

    @torch.jit.export
    def get_title(self) -> tuple[str]:
        return (self.title,)


def write_foreign(path: Path) -> None:
    """Made as an exporter does: one forward for the widest batch, so that every cache has its size, then saved."""
    torch.manual_seed(0)
    model = Foreign().eval()
    with torch.no_grad():
        model(torch.zeros(MOST_VOICES, 1, 4 * RATIO))
    torch.jit.save(torch.jit.script(model), str(path))
