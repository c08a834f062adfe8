"""Training throughput of a preset on this machine against a plain strided stack of the same size.

    python benchmarks/training.py --preset codec --rounds 5

Both models take the same training step (the preset's objectives, backward, clipping, optimiser) on the same
chunks, turn and turn about, so that a busy machine slows both. Prints audio-seconds trained per wall second:
median and range, and the ratio pair by pair. The plain stack is the field's usual one: no folding, a first
convolution over raw samples, strides of 4, channels doubled at each, three residual units a rate.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time

os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # before torch loads its threads

import torch
from torch import Tensor, nn

from wavevae.config import ModelConfig, RunConfig, override
from wavevae.nn.bottlenecks.base import make_bottleneck
from wavevae.nn.conv import CausalConv1d, Downsample, Upsample, activation, residual_stack
from wavevae.nn.model import Autoencoder
from wavevae.objectives.losses import Objectives, weighted_sum
from wavevae.train.arguments import preset_values
from wavevae.train.optimizer import make_optimizer


class PlainStack(nn.Module):
    """Raw samples in, strides of 4 down to the same hop, and back: (B, 1, T) -> (B, 1, T), latents."""

    def __init__(self, config: ModelConfig, width: int) -> None:
        super().__init__()
        ratios, left = [], config.hop_length
        while left > 1:
            ratios.append(min(4, left))
            left //= ratios[-1]
        widths = [width * 2**i for i in range(len(ratios) + 1)]
        self.bottleneck = make_bottleneck(config)
        down: list[nn.Module] = [CausalConv1d(1, widths[0], 7)]
        up: list[nn.Module] = [CausalConv1d(config.latent_dim, widths[-1], 3)]
        for i, ratio in enumerate(ratios):
            down += [residual_stack(widths[i], config.dilations), Downsample(widths[i], widths[i + 1], ratio)]
        for i, ratio in reversed(list(enumerate(ratios))):
            up += [Upsample(widths[i + 1], widths[i], ratio), residual_stack(widths[i], config.dilations)]
        self.down = nn.Sequential(*down, CausalConv1d(widths[-1], self.bottleneck.in_channels, 1))
        self.up = nn.Sequential(*up)
        self.outlet = CausalConv1d(widths[0], 1, 7)

    def reconstruct(self, x: Tensor) -> tuple[Tensor, object]:
        latents = self.bottleneck(self.down(x))
        return torch.tanh(self.outlet(activation(self.up(latents.z)))), latents


def parameters(model: nn.Module) -> int:
    return sum(p.numel() for p in model.parameters())


def plain_of_same_size(config: ModelConfig, size: int) -> PlainStack:
    """The widest plain stack that has no more parameters than `size`."""
    width = max(w for w in range(2, 65) if parameters(PlainStack(config, w)) <= size)
    return PlainStack(config, width)


def make_step(model: nn.Module, config: RunConfig, x: Tensor):  # type: ignore[no-untyped-def]
    """A function that takes one training step on x."""
    objectives = Objectives(config.objective, config.model.sample_rate, bottleneck=config.model.bottleneck)
    optimizer = make_optimizer(model, config.train)

    def step() -> None:
        y, latents = model.reconstruct(x)  # type: ignore[operator]
        loss = weighted_sum(objectives.raw(y, x, latents), objectives.weights(share=1.0))
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), config.train.gradient_clip)
        optimizer.step()

    return step


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    options.add_argument("--preset", default="codec")
    options.add_argument("--rounds", type=int, default=5)
    options.add_argument("--steps", type=int, default=8, help="a round")
    options.add_argument("--threads", type=int, default=torch.get_num_threads())
    args = options.parse_args()
    torch.set_num_threads(args.threads)
    torch.set_flush_denormal(True)
    config = override(RunConfig(), preset_values(args.preset))
    hop = config.model.hop_length
    samples = config.model.sample_rate // hop * hop
    x = 0.1 * torch.randn(config.train.batch_size, 1, samples)
    ours = Autoencoder(config.model)
    plain = plain_of_same_size(config.model, parameters(ours))
    print(
        f"{args.preset}: {parameters(ours):,} parameters; plain stack: {parameters(plain):,}; {args.threads} threads"
    )
    steps = {args.preset: make_step(ours, config, x), "plain stack": make_step(plain, config, x)}
    rates: dict[str, list[float]] = {name: [] for name in steps}
    for turn in range(args.rounds + 1):
        for name, step in steps.items():
            start = time.perf_counter()
            for _ in range(args.steps):
                step()
            seconds = args.steps * x.shape[0] * samples / config.model.sample_rate
            if turn:  # the first round warms up
                rates[name].append(seconds / (time.perf_counter() - start))
    for name, values in rates.items():
        median = statistics.median(values)
        print(f"{name:<12} {median:6.1f} audio-s/s (range {min(values):.1f} to {max(values):.1f})")
    ratios = [a / b for a, b in zip(rates[args.preset], rates["plain stack"], strict=True)]
    print(f"ratio        {statistics.median(ratios):6.2f} (range {min(ratios):.2f} to {max(ratios):.2f})")


if __name__ == "__main__":
    main()
