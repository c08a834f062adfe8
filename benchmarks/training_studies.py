"""Where a training step's time goes, and what was chosen by measuring it.

    python benchmarks/training_studies.py                          # every study, on this machine's GPU if it has one
    python benchmarks/training_studies.py parts fold --preset codec-large --device cpu --threads 1

Variants take turns, so that a busy machine slows all of them; on a CPU they are compared by CPU time (of all threads),
on a GPU by the clock. Printed: milliseconds a step or call, median and range, and the ratio to the first variant, pair
by pair.

    parts      forward, objectives, backward, clipping and optimiser, averaging, making the batch
    data       a batch made on the CPU against one cut on the device from resident sounds
    optimiser  AdamW: one kernel a weight, grouped (foreach), one for all (fused)
    precision  fp32 against bf16 for the networks
    compile    the networks as they are against torch.compile (the first call, which compiles, not counted)
    fold       16 samples folded into channels against 8 and 32, the same hop
    layout     the networks' convolutions as Conv1d against Conv2d in channels-last memory
    threads    one against two, by the clock
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # before torch loads its threads

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from wavevae.config import RunConfig, override
from wavevae.corpus import Item, Store
from wavevae.nn.model import Autoencoder
from wavevae.objectives.losses import Objectives, weighted_sum
from wavevae.train.arguments import preset_values
from wavevae.train.device_batches import Recipe, Recipes, ResidentSounds
from wavevae.train.optimizer import AveragedModel, make_optimizer, may_be_fused
from wavevae.train.training_data import TrainingData

MINUTE_S = 60


class Cost(NamedTuple):
    """Of one call."""

    cpu_ms: float
    wall_ms: float


class Bench:
    """What all studies share."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        self.device = torch.device(options.device)
        self.config = override(RunConfig(), preset_values(options.preset))
        hop = self.config.model.hop_length
        samples = self.config.model.sample_rate // hop * hop
        self.x = 0.1 * torch.randn(self.config.train.batch_size, 1, samples, device=self.device)

    def cost(self, call: Callable[[], Any]) -> Cost:
        """Of one call out of `calls`."""
        self.wait()
        cpu, wall = time.process_time(), time.perf_counter()
        for _ in range(self.options.calls):
            call()
        self.wait()
        each = 1000 / self.options.calls
        return Cost(each * (time.process_time() - cpu), each * (time.perf_counter() - wall))

    def wait(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize()

    def compare(self, variants: dict[str, Callable[[], Any]], wall: bool = False) -> None:
        """Turn and turn about; the first turn warms up."""
        wall = wall or self.device.type == "cuda"
        costs: dict[str, list[float]] = {name: [] for name in variants}
        for turn in range(self.options.rounds + 1):
            for name, call in variants.items():
                cost = self.cost(call)
                if turn:
                    costs[name].append(cost.wall_ms if wall else cost.cpu_ms)
        first = next(iter(costs.values()))
        for name, values in costs.items():
            ratio = statistics.median(a / b for a, b in zip(values, first, strict=True))
            print(
                f"  {name:<28} {statistics.median(values):8.2f} ms  ({min(values):.2f} to {max(values):.2f})  "
                f"x {ratio:.2f}"
            )

    def step(self, config: RunConfig | None = None, **how: Any) -> Callable[[], None]:
        """A whole training step on x, without the batch and the average."""
        config = config or self.config
        parts = Parts(config, self.x, **how)

        def step() -> None:
            parts.forward()
            parts.objectives()
            parts.backward()
            parts.optimise()

        return step


class Parts:
    """One training step in pieces that can be timed; each uses what the one before left."""

    def __init__(self, config: RunConfig, x: Tensor, bf16: bool = False, compiled: bool = False) -> None:
        self.config, self.x, self.bf16 = config, x, bf16
        self.model = Autoencoder(config.model).to(x.device)
        self.averaged = AveragedModel(self.model, config.train.ema_decay)
        if compiled:
            self.model.compile_networks()
        self.measures = Objectives(
            config.objective, config.model.sample_rate, bottleneck=config.model.bottleneck
        ).to(x.device)
        self.optimizer = make_optimizer(self.model, config.train, may_be_fused(self.model, ""))
        self.count = 0

    def forward(self) -> None:
        with torch.autocast(self.x.device.type, torch.bfloat16, enabled=self.bf16):
            self.y, self.latents = self.model.reconstruct(self.x)

    def objectives(self) -> None:
        raw = self.measures.raw(self.y.float(), self.x, self.latents)
        self.loss = weighted_sum(raw, self.measures.weights(share=1.0))

    def backward(self) -> None:
        self.optimizer.zero_grad()
        self.loss.backward()

    def optimise(self) -> None:
        nn.utils.clip_grad_norm_(self.model.parameters(), self.config.train.gradient_clip)
        self.optimizer.step()

    def average(self) -> None:
        self.count += 1
        self.averaged.update(self.model, self.count)


def parts(bench: Bench) -> None:
    """Each part timed inside whole steps: they need one another."""
    pieces = Parts(bench.config, bench.x, bf16=bench.device.type == "cuda")
    batches = noise(bench.config).batches()
    calls = {
        "forward": pieces.forward,
        "objectives": pieces.objectives,
        "backward": pieces.backward,
        "clipping, optimiser": pieces.optimise,
        "averaging": pieces.average,
        "batch (beside, in a thread)": lambda: batches.batch(pieces.count),
    }
    costs: dict[str, list[Cost]] = {name: [] for name in calls}
    keep, bench.options.calls = bench.options.calls, 1
    for turn in range(bench.options.rounds * keep + 2):
        for name, call in calls.items():
            cost = bench.cost(call)
            if turn > 1:
                costs[name].append(cost)
    bench.options.calls = keep
    wall = bench.device.type == "cuda"
    medians = {n: statistics.median(c.wall_ms if wall else c.cpu_ms for c in v) for n, v in costs.items()}
    whole = sum(medians.values())
    for name, value in medians.items():
        print(f"  {name:<28} {value:8.2f} ms  {value / whole:5.0%}")
    seconds = bench.x.numel() / bench.config.model.sample_rate
    print(f"  {'all of it':<28} {whole:8.2f} ms  {1000 * seconds / whole:.1f} audio-s a second of it")


def noise(config: RunConfig, **changes: Any) -> TrainingData:
    """A minute of noise in five files."""
    rate = config.model.sample_rate
    samples = np.random.default_rng(0).integers(-9000, 9000, MINUTE_S * rate).astype(np.int16)
    length = len(samples) // 5
    items = [Item(Path(f"{n}.wav"), n * length, length, key=str(n)) for n in range(5)]
    return TrainingData(Store(samples, items, rate, "noise", []), override(config, changes))


def data(bench: Bench) -> None:
    """With polarity alone, as the presets have it, and with gain and phase."""
    variants: dict[str, Callable[[], Any]] = {}
    for name, changes in {"": {}, ", gain and phase": {"gain_db": 6.0, "phase": 1.0}}.items():
        batches = noise(bench.config, **changes).batches()
        sounds, recipes = ResidentSounds(batches.chunks, bench.device), Recipes(batches)

        def made(batches: Any = batches) -> Any:
            return batches.batch(3).to(bench.device)

        def cut(sounds: Any = sounds, recipes: Any = recipes) -> Any:
            recipe = recipes.batch(3)
            return sounds.cut(Recipe(*(None if t is None else t.to(bench.device) for t in recipe)))

        def drawn(recipes: Any = recipes) -> Any:
            return recipes.batch(3)

        variants |= {f"on the CPU{name}": made, f"recipe and cut{name}": cut, f"recipe alone{name}": drawn}
    bench.compare(variants)


def optimiser(bench: Bench) -> None:
    """Of the preset's weights, with gradients that stay."""
    variants = {}
    for name, how in {
        "foreach": {"foreach": True},
        "one by one": {"foreach": False},
        "fused": {"fused": True},
    }.items():
        model = Autoencoder(bench.config.model).to(bench.device)
        for parameter in model.parameters():
            parameter.grad = 1e-3 * torch.randn_like(parameter)
        variants[name] = torch.optim.AdamW(model.parameters(), 1e-4, **how).step  # type: ignore[arg-type]
    bench.compare(variants)


def precision(bench: Bench) -> None:
    bench.compare({"fp32": bench.step(), "bf16 networks": bench.step(bf16=True)})


def compiled(bench: Bench) -> None:
    bf16 = bench.device.type == "cuda"
    bench.compare({"as they are": bench.step(bf16=bf16), "compiled": bench.step(bf16=bf16, compiled=True)})


def folds(bench: Bench) -> None:
    """The first ratio takes what the fold gives up, so the hop stays."""
    model, variants = bench.config.model, {}
    for fold in (model.fold, model.fold // 2, 2 * model.fold):
        ratio = model.ratios[0] * model.fold // fold
        shape = dataclasses.replace(model, fold=fold, ratios=(ratio, *model.ratios[1:]))
        variants[f"fold {fold}, ratios {shape.ratios}"] = bench.step(
            dataclasses.replace(bench.config, model=shape)
        )
    bench.compare(variants)


def layout(bench: Bench) -> None:
    """Every convolution of the decoder at its own size, forward and back."""
    shapes: list[tuple[nn.Conv1d, Tensor]] = []
    model = Autoencoder(bench.config.model).to(bench.device)
    for module in model.modules():
        if isinstance(module, nn.Conv1d):
            module.register_forward_hook(lambda m, i, o: shapes.append((m, i[0].detach())))
    model.reconstruct(bench.x)

    def plain() -> None:
        for conv, x in shapes:
            y = F.conv1d(x.requires_grad_(), conv.weight, conv.bias, conv.stride, 0, conv.dilation)
            torch.autograd.backward(y, torch.ones_like(y))

    flat = [(c, x[:, :, None].contiguous(memory_format=torch.channels_last)) for c, x in shapes]

    def last() -> None:
        for conv, x in flat:
            weight = conv.weight[:, :, None].contiguous(memory_format=torch.channels_last)
            y = F.conv2d(x.requires_grad_(), weight, conv.bias, (1, *conv.stride), 0, (1, *conv.dilation))
            torch.autograd.backward(y, torch.ones_like(y))

    bench.compare({"Conv1d": plain, "Conv2d, channels last": last})


def threads(bench: Bench) -> None:
    """By the clock: CPU time says nothing of it."""
    step = bench.step()

    def on(count: int) -> Callable[[], None]:
        def run() -> None:
            torch.set_num_threads(count)
            step()

        return run

    bench.compare({"1 thread": on(1), "2 threads": on(2)}, wall=True)
    torch.set_num_threads(bench.options.threads)


STUDIES = {
    "parts": parts,
    "data": data,
    "optimiser": optimiser,
    "precision": precision,
    "compile": compiled,
    "fold": folds,
    "layout": layout,
    "threads": threads,
}


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    options.add_argument(
        "studies", nargs="*", choices=[[], *STUDIES], metavar="STUDY", help=", ".join(STUDIES)
    )
    options.add_argument("--preset", default="codec")
    options.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    options.add_argument("--threads", type=int, default=torch.get_num_threads())
    options.add_argument("--rounds", type=int, default=5)
    options.add_argument("--calls", type=int, default=4, help="a turn")
    args = options.parse_args()
    torch.set_num_threads(args.threads)
    torch.set_flush_denormal(True)
    bench = Bench(args)
    print(f"{args.preset} on {args.device}, batch {bench.config.train.batch_size}, {args.threads} threads")
    for name in args.studies or STUDIES:
        print(name)
        STUDIES[name](bench)


if __name__ == "__main__":
    main()
