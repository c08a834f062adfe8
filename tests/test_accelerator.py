"""Where networks compute. No GPU is at hand: what torch says of one is stood in for, and so are its tensors (see
test_elsewhere.py); what only a real GPU can show is not shown here."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import toy_model
from test_elsewhere import GPU, move, nothing_by_numbers, nothing_is_compiled, pretended
from test_precision import KINDS, batch, excerpts, module
from tiny_run import TINY, workplace
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from wavevae.accelerator import choose_device, default_precision, refuse_float64
from wavevae.checkpoint import read_checkpoint
from wavevae.config import ModelConfig
from wavevae.errors import UserError
from wavevae.evaluation.__main__ import parse as parse_evaluate
from wavevae.evaluation.explore.__main__ import parse as parse_explore
from wavevae.evaluation.model_under_test import Facts, InstrumentRun, Run
from wavevae.evaluation.playing.player import ModulePlayer
from wavevae.train.__main__ import main as train
from wavevae.train.arguments import parser
from wavevae.train.fit import count
from wavevae.train.module import TrainingModule
from wavevae.train.optimizer import StepGuard, make_optimizer

__all__ = ["nothing_by_numbers", "nothing_is_compiled"]
CODECS = ("vae", "ae", "vq", "rvq", "hvae", "class", "overlap", "hop evenness")


def machine(monkeypatch: pytest.MonkeyPatch, gpus: list[tuple[int, int]], apple: bool = False) -> None:
    """What torch would say: GPUs of these compute capabilities, all of which claim bf16 (emulation counted)."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: bool(gpus))
    monkeypatch.setattr(torch.cuda, "device_count", lambda: len(gpus))
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda n=0: gpus[n])

    def claims(including_emulation: bool = True) -> bool:
        return including_emulation or gpus[0] >= (8, 0)

    monkeypatch.setattr(torch.cuda, "is_bf16_supported", claims)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: apple)


def test_a_gpu_is_taken_where_there_is_one_and_apples_only_when_asked_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    machine(monkeypatch, [], apple=True)
    assert choose_device(None).type == choose_device("auto").type == choose_device("cpu").type == "cpu"
    assert choose_device("mps").type == "mps"
    with pytest.raises(UserError, match="--accelerator gpu: no CUDA GPU"):
        choose_device("gpu")
    machine(monkeypatch, [(9, 0), (9, 0)])
    assert choose_device(None).type == choose_device("gpu").type == "cuda"
    assert choose_device("cpu").type == "cpu"
    assert (count("auto"), count("auto", "cpu"), count([0, 1]), count(2)) == (2, 1, 2, 2)
    with pytest.raises(UserError, match="--accelerator mps: no Apple GPU"):
        choose_device("mps")


@pytest.mark.parametrize(
    ("gpus", "precision"),
    [
        ([(9, 0)], "bf16-mixed"),
        ([(8, 0)], "bf16-mixed"),
        ([(7, 5)], "32-true"),  # T4
        ([(7, 0)], "32-true"),  # V100
        ([(8, 0), (7, 5)], "32-true"),
    ],
)
def test_bf16_only_where_every_gpu_has_it_natively(
    monkeypatch: pytest.MonkeyPatch, gpus: list[tuple[int, int]], precision: str
) -> None:
    machine(monkeypatch, gpus)
    assert default_precision(choose_device(None)) == precision
    assert default_precision(choose_device("cpu")) == "32-true"


def test_every_command_that_computes_has_the_option(capsys: pytest.CaptureFixture[str]) -> None:
    assert parser().parse_args(["--accelerator", "cpu"]).accelerator == "cpu"
    assert parse_evaluate(["r", "d", "-o", "x", "--accelerator", "cpu"]).accelerator == "cpu"
    assert parse_explore(["r", "d", "-o", "x", "--accelerator", "mps"]).accelerator == "mps"
    with pytest.raises(UserError, match="accelerator"):
        parse_explore(["r", "d", "-o", "x", "--accelerator", "tpu"])


def test_apples_gpu_is_refused_what_needs_float64() -> None:
    apple = torch.device("mps")
    for config in (ModelConfig(family="instrument"), ModelConfig(condition="pitch")):
        with pytest.raises(UserError, match="float64"):
            refuse_float64(apple, config)
        refuse_float64(torch.device("cuda"), config)
    refuse_float64(apple, ModelConfig())


class Watch(TorchDispatchMode):
    """Names of all operations, and of those that give float64."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: set[str] = set()
        self.in_float64: set[str] = set()

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = function(*args, **(kwargs or {}))
        self.seen.add(function._schema.name.removeprefix("aten::"))
        for part in made if isinstance(made, (tuple, list)) else (made,):
            if isinstance(part, Tensor) and part.dtype == torch.float64:
                self.in_float64.add(function._schema.name)
        return made


def watched(kind: str) -> Watch:
    made = module(kind)
    with Watch() as watch:
        made.training_step(excerpts(made), 0).backward()
        made.on_validation_epoch_start()
        with torch.no_grad():
            made.validation_step(batch(made), 0)
    return watch


@pytest.mark.parametrize("kind", [kind for kind in CODECS if "vq" not in kind])
def test_a_codec_without_pitch_needs_no_float64(kind: str) -> None:
    """As Apple's GPUs have none. (Codebooks use it to count, elsewhere.)"""
    assert watched(kind).in_float64 == set()


WITHOUT_DETERMINISTIC_CUDA = {
    *("reflection_pad1d_backward", "reflection_pad2d_backward", "replication_pad1d_backward", "cumsum"),
    *(
        "_adaptive_avg_pool2d_backward",
        "adaptive_max_pool2d_backward",
        "avg_pool3d_backward",
        "put_",
        "histc",
    ),
    *("max_pool3d_with_indices_backward", "max_unpool2d", "upsample_linear1d_backward", "kthvalue"),
    *("grid_sampler_2d_backward", "nll_loss2d_forward", "_ctc_loss", "_embedding_bag", "resize_"),
}
"""Operations that torch refuses under `use_deterministic_algorithms` on CUDA (its documentation), those in reach."""


@pytest.mark.parametrize("kind", KINDS)
def test_a_deterministic_step_uses_nothing_that_cuda_cannot_repeat(kind: str) -> None:
    torch.use_deterministic_algorithms(True)
    try:
        assert watched(kind).seen & WITHOUT_DETERMINISTIC_CUDA == set()
    finally:
        torch.use_deterministic_algorithms(False)


@pytest.mark.slow
def test_a_deterministic_run_resumes_to_the_same_bits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = (*TINY, "--accelerator", "cpu", "--deterministic")
    try:
        with workplace(tmp_path, monkeypatch) as sounds:
            assert train([str(sounds), *options, "--max-steps", "12", "--out", "whole"]) == 0
            assert torch.are_deterministic_algorithms_enabled()
            step = TrainingModule.optimizer_step

            def stopped(made: TrainingModule, *arguments: object, **named: object) -> None:
                made.stop_asked = made.step == 6
                step(made, *arguments, **named)  # type: ignore[arg-type]

            monkeypatch.setattr(TrainingModule, "optimizer_step", stopped)
            train([str(sounds), *options, "--max-steps", "12", "--out", "broken"])
            monkeypatch.setattr(TrainingModule, "optimizer_step", step)
            assert read_checkpoint("broken/checkpoints/last.ckpt").step == 7
            assert train(["--resume", "--out", "broken", "--deterministic"]) == 0
            one, other = (read_checkpoint(f"{run}/checkpoints/last.ckpt") for run in ("whole", "broken"))
    finally:
        torch.use_deterministic_algorithms(False)
    assert one.step == other.step == 12
    assert all(torch.equal(one.live[name], other.live[name]) for name in one.live)


def step_on_gpu(kind: str) -> None:
    """Gradient clipping, the check of a step and the optimizer's step, with gradients that are made up."""
    made = module(kind)
    made.adversary = None
    with pretended():
        move(made)
        loss = made.training_step(excerpts(made, "cuda"), 0)
        for weight in made.model.parameters():
            weight.grad = torch.zeros_like(weight)
        norm = torch.nn.utils.clip_grad_norm_(made.model.parameters(), 1.0, foreach=True)
        optimizer = make_optimizer(made.model, made.config.train, fused=True)
        made.guard.check(torch.isfinite(norm + loss), optimizer, made.model.parameters())
        assert optimizer.found_inf.device.type == "cuda"  # type: ignore[attr-defined]
        assert made.guard.counts.device.type == "cuda"


@pytest.mark.parametrize("kind", KINDS)
def test_no_step_waits_for_the_gpu_to_say_whether_it_was_finite(kind: str) -> None:
    """A tensor without numbers raises where its number is asked for."""
    step_on_gpu(kind)


def test_a_fused_optimizer_moves_nothing_in_a_step_that_is_not_finite() -> None:
    weight = torch.nn.Parameter(torch.ones(3))
    optimizer, guard = torch.optim.AdamW([weight], 0.1, fused=True), StepGuard()
    moved = []
    for broken in (False, True, True, False):
        weight.grad = torch.full((3,), float("nan") if broken else 1.0)
        before = weight.detach().clone()
        guard.check(torch.isfinite(weight.grad).all(), optimizer, [weight])
        optimizer.step()
        moved.append(not torch.equal(before, weight.detach()))
    assert moved == [True, False, False, True]
    assert torch.isfinite(weight).all()
    assert float(optimizer.state[weight]["step"]) == 2
    assert (guard.skipped, guard.in_a_row) == (2, 0)


@torch.inference_mode()
def test_an_instrument_on_a_gpu_takes_and_gives_sounds_on_the_cpu() -> None:
    made = module("instrument")
    model: Any = made.model.eval()
    config = model.config
    facts = Facts("run", Path("x"), 8000, config.hop_length, config.n_latents, "vae")
    sound = np.zeros(config.hop_length * 40, np.float32)
    with pretended():
        move(model)
        run = InstrumentRun(model, facts)
        pieces = [*run.reconstruct([sound]), *run.encode([sound])]
    assert {part.device.type for piece in pieces for part in piece if part is not None} == {"cpu"}


def run_on_gpu(config: ModelConfig) -> Run:
    model = toy_model.make(config)
    move(model)
    facts = Facts("run", Path("x"), 8000, config.hop_length, config.latent_dim, config.bottleneck)
    return Run(model, facts)


@pytest.mark.parametrize("bottleneck", ["ae", "vae", "vq", "hvae"])
@pytest.mark.parametrize("condition", ["none", "class+pitch"])
def test_a_run_on_a_gpu_takes_and_gives_sounds_on_the_cpu(bottleneck: str, condition: str) -> None:
    config = ModelConfig(
        widths=(8, 12, 16), latent_dim=6, noise_bands=2, bottleneck=bottleneck, top_dim=2, condition=condition,
        classes=("a", "b"), codebook_size=16, partials=4,
    )  # fmt: skip
    labels = {"class": "b", "pitch": 57.5} if condition != "none" else {}
    sound = np.zeros(config.hop_length * 40, np.float32)
    with pretended():
        run = run_on_gpu(config)
        assert run.device.type == GPU.type
        pieces = [*run.reconstruct([sound], labels), *run.encode([sound], labels)]
        moved = run.moved(torch.from_numpy(sound), labels, labels)
        player = ModulePlayer(run.model, run.condition)
        played = player.decode(player.encode(torch.from_numpy(sound), labels), labels)
    parts = [part for piece in pieces for part in piece if part is not None]
    assert {part.device.type for part in (*parts, moved, played)} == {"cpu"}


def test_an_option_that_cannot_be_had_is_one_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    machine(monkeypatch, [])
    with (
        workplace(tmp_path, monkeypatch) as sounds,
        pytest.raises(UserError, match="--accelerator gpu: no CUDA"),
    ):
        train([str(sounds), *TINY, "--accelerator", "gpu", "--max-steps", "1", "--out", "r"])


def test_arguments_of_the_machine_may_change_when_resumed() -> None:
    from wavevae.train.arguments import parse

    args = parse(["--resume", "--out", "r", "--accelerator", "cpu", "--deterministic"])
    assert isinstance(args, argparse.Namespace)
    assert args.deterministic
