"""Decoding speed, one thread, one voice: our streaming file against cached-conv's layers with the same weights.

    python benchmarks/decode.py --preset default
    python benchmarks/decode.py --model mine.ts

First our file alone, block after block: time per block, times real time by the clock and by the thread's CPU time
(which leaves out waiting for a busy core, not its shared caches), and which share of this core's matrix product
peak (1024 x 1024, CPU time) it reaches. Then both in turns, so that a busy machine slows both: there each finds
its weights pushed out of the caches by the other, as beside other programs; the ratio is pair by pair, in CPU time.
"""

import argparse
import os
import statistics
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # before torch loads its threads

import cached_conv
import numpy as np
import torch
from torch import Tensor, nn
from wavevae.export.axes import axis_map
from wavevae.export.torchscript import Instrument, script

from wavevae import config as configuration
from wavevae.bundle import read_bundle
from wavevae.config import ModelConfig
from wavevae.latents import LatentStatistics
from wavevae.nn.blocks import SLOPE
from wavevae.nn.conv import CausalConv1d, Upsample
from wavevae.nn.model import Autoencoder
from wavevae.nn.networks import Decoder

PRESETS = Path(__file__).parent.parent / "train/presets"
BLOCKS = (64, 128, 256, 512, 1024, 2048, 4096, 8192)
WARM_UP = 8


def cached(offline: Any) -> nn.Module:
    """cached-conv's streaming layer with the same weights."""
    conv = offline.conv
    taps, channels_in, channels_out = conv.kernel_size[0], conv.in_channels, conv.out_channels
    weight, bias = conv.weight.detach(), conv.bias.detach() if conv.bias is not None else None
    if isinstance(offline, Upsample):
        ratio = offline.ratio
        made = cached_conv.CachedConvTranspose1d(
            channels_in, channels_out // ratio, 2 * ratio, stride=ratio, padding=ratio // 2
        )
        weight = weight.view(ratio, -1, channels_in, 2).permute(2, 1, 3, 0).flip(2).flatten(2)
        bias = None if bias is None else bias.view(ratio, -1)[0]  # one bias a channel: ours start at zero
    else:
        made = cached_conv.CachedConv1d(
            *(channels_in, channels_out, taps, conv.stride[0]),
            dilation=conv.dilation[0],
            padding=(offline.past, 0),
        )
    made.weight.data = weight.contiguous().clone()
    if bias is not None:
        made.bias.data = bias.clone()
    return made


class CachedUnit(nn.Module):
    """ResidualUnit of cached-conv layers."""

    def __init__(self, offline: Any) -> None:
        super().__init__()
        self.dilated, self.pointwise = cached(offline.dilated), cached(offline.pointwise)

    def forward(self, x: Tensor, slope: float = SLOPE) -> Tensor:
        h = nn.functional.leaky_relu(x, slope)
        return x + self.pointwise(nn.functional.leaky_relu(self.dilated(h), slope))


class CachedNoise(nn.Module):
    """NoiseGate of cached-conv layers; its table goes round."""

    table: Tensor

    def __init__(self, offline: Any) -> None:
        super().__init__()
        self.gate, self.mix = cached(offline.gate), cached(offline.mix)
        self.register_buffer("table", offline.table.repeat(1, 3))
        self.length = offline.table.shape[1]
        self.position = 0

    def forward(self, h: Tensor, slope: float = SLOPE) -> Tensor:
        gate = torch.sigmoid(self.gate(nn.functional.leaky_relu(h, slope)))
        noise = self.table[:, self.position : self.position + h.size(2)]
        self.position = (self.position + h.size(2)) % self.length
        return self.mix(gate * noise)


class CachedDecoder(nn.Module):
    """Decoder of cached-conv layers: (1, latent_dim, F) -> (1, 1, T)."""

    def __init__(self, offline: Any) -> None:
        super().__init__()
        layers: list[nn.Module] = [cached(offline.inlet), *map(CachedUnit, offline.core.children())]
        for stage in offline.stages:
            upsample, stack = stage.children()
            layers += [cached(upsample), *map(CachedUnit, stack.children())]
        self.body = nn.Sequential(*layers)
        self.noise = nn.Identity() if offline.noise is None else CachedNoise(offline.noise)
        self.noisy = offline.noise is not None
        self.outlet = cached(offline.outlet)

    def forward(self, z: Tensor, slope: float = SLOPE) -> Tensor:
        h = self.body(z)
        if self.noisy:
            h = h + self.noise(h)
        wave, gate = self.outlet(nn.functional.leaky_relu(h, slope)).chunk(2, dim=1)
        return (torch.tanh(wave) * torch.sigmoid(gate)).transpose(1, 2).reshape(z.size(0), 1, -1)


def clear_caches(model: nn.Module) -> None:
    """As just made: zeros in every cache, the noise at its beginning."""
    for name, buffer in model.named_buffers():
        if name.endswith((".pad", ".cache")):
            buffer.zero_()
    for module in model.modules():
        if isinstance(module, CachedNoise):
            module.position = 0


def pair_of(config: ModelConfig) -> tuple[torch.jit.ScriptModule, torch.jit.ScriptModule]:
    """Our scripted file and cached-conv's scripted decoder, with the same random weights."""
    torch.manual_seed(0)
    model = Autoencoder(config).eval()
    dim = config.latent_dim
    identity = LatentStatistics(
        np.zeros(dim), np.eye(dim), np.ones(dim), -3 * np.ones(dim), 3 * np.ones(dim),
        density={"coefficients": np.zeros((dim, 2 * dim)), "innovation": np.eye(dim), "quantiles": []},
        frames=1,
    )  # fmt: skip
    ours = script(Instrument(model, axis_map(identity)))
    theirs = CachedDecoder(model.decoder).eval()
    z = torch.randn(1, dim, 40)
    with torch.no_grad():
        expected = model.decode(z)
        theirs(z)  # makes the caches
        clear_caches(theirs)
        scripted = torch.jit.script(theirs)
        found = torch.cat([scripted(part) for part in z.split(8, 2)], 2)
        mine = torch.cat([ours.decode(part) for part in z.split(8, 2)], 2)
    for sound in (found, mine):
        torch.testing.assert_close(sound, expected, rtol=0, atol=1e-4)
    ours.reset()
    return ours, scripted


class Times(NamedTuple):
    """Of one call after another, seconds."""

    wall: list[float]
    cpu: list[float]

    def real_time(self, block_seconds: float) -> str:
        """Audio seconds a second: by the clock, and by CPU time."""
        by_clock, by_cpu = (block_seconds / statistics.median(t) for t in self)
        return f"{by_clock:6.1f} x {by_cpu:6.1f} x"

    def block(self) -> str:
        """Wall-clock of a block: median and 99th percentile."""
        return f"{1e3 * statistics.median(self.wall):6.2f} {1e3 * float(np.quantile(self.wall, 0.99)):7.2f}"


def interleaved(calls: Sequence[Callable[[], object]], rounds: int) -> list[Times]:
    """Times of each call, every round in turn, warm-up left out."""
    times = [Times([], []) for _ in calls]
    for turn in range(rounds + WARM_UP):
        for kept, call in zip(times, calls, strict=True):
            wall, cpu = time.perf_counter(), time.thread_time()
            call()
            if turn >= WARM_UP:
                kept.cpu.append(time.thread_time() - cpu)
                kept.wall.append(time.perf_counter() - wall)
    return times


def operations(model: Decoder, ratio_of_frames: int) -> int:
    """Multiplications and additions of all convolutions for one latent frame."""
    total, frames = 0, 1
    for module in model.modules():
        if isinstance(module, Upsample):
            total += 2 * frames * module.conv.weight.numel()
            frames *= module.ratio
        elif isinstance(module, CausalConv1d):
            at_rate = ratio_of_frames if module is model.outlet else frames
            total += 2 * at_rate * module.conv.weight.numel()
    return total


HEADER = "block   ms: median  p99   real time: clock  CPU"


def measure(config: ModelConfig, rounds: int) -> None:
    """Print a line a block size for a preset: ours alone, ours and cached-conv in turns, the share of the peak."""
    ours, theirs = pair_of(config)
    work = operations(Autoencoder(config).decoder, config.hop_length // config.fold)
    square = torch.randn(1024, 1024)
    print(f"{HEADER}   of matmul peak      in turns, CPU: ours   cached-conv   ratio")
    for block in [b for b in BLOCKS if b >= config.hop_length]:
        frames, length = block // config.hop_length, block / config.sample_rate
        z = torch.randn(1, config.latent_dim, frames)
        (alone,) = interleaved([partial(ours.decode, z)], rounds)
        mine, other = interleaved([partial(ours.decode, z), partial(theirs, z)], rounds)
        peak = 2 * 1024**3 / statistics.median(interleaved([partial(torch.mm, square, square)], 9)[0].cpu)
        share = work * frames / statistics.median(alone.cpu) / peak
        by_cpu, by_cpu_theirs = (length / statistics.median(t.cpu) for t in (mine, other))
        ratio = statistics.median(b / a for a, b in zip(mine.cpu, other.cpu, strict=True))
        print(
            f"{block:5d}   {alone.block()}    {alone.real_time(length)}   {share:4.0%} of {peak / 1e9:3.0f} GFLOP/s"
            f"              {by_cpu:6.1f} x      {by_cpu_theirs:6.1f} x  {ratio:4.2f}"
        )


def measure_file(path: Path, rounds: int) -> None:
    """Print a line a block size for a MODEL.ts."""
    bundle = read_bundle(path)
    info = bundle.info
    print(HEADER)
    for block in [b for b in BLOCKS if b >= info.hop_length]:
        z = torch.randn(1, info.latent_dim, block // info.hop_length)
        (times,) = interleaved([partial(bundle.module.decode, z)], rounds)
        print(f"{block:5d}   {times.block()}    {times.real_time(block / info.sample_rate)}")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--preset", default="default", help="name of a preset, or a YAML file [default]")
    parser.add_argument("--model", type=Path, help="time this MODEL.ts instead, alone")
    parser.add_argument("--rounds", type=int, default=200, help="blocks a size [200]")
    options = parser.parse_args()
    torch.set_num_threads(1)
    with torch.inference_mode():
        if options.model:
            measure_file(options.model, options.rounds)
            return
        file = Path(options.preset)
        file = file if file.is_file() else PRESETS / f"{options.preset}.yaml"
        values = configuration.parse_yaml(file.read_text(), file.name)
        config = configuration.override(configuration.RunConfig(), values).model
        print(
            f"{file.stem}: {config.sample_rate} Hz, hop {config.hop_length}, one thread, load {os.getloadavg()[0]:.1f}"
        )
        measure(config, options.rounds)


if __name__ == "__main__":
    main()
