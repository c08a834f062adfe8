"""The adversarial stage in a run: when it is on, what each weight does, killed and resumed, on two processes."""

from __future__ import annotations

import csv
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_run import TINY
from torch import Tensor, multiprocessing, nn

from wavevae.checkpoint import read_checkpoint
from wavevae.config import AdversarialConfig, ObjectiveConfig, RunConfig, TrainConfig
from wavevae.model_config import ModelConfig
from wavevae.objectives.adversarial import CHANCE
from wavevae.train.__main__ import main
from wavevae.train.adversary import FEWEST, Adversary
from wavevae.train.batches import unlabelled_batch
from wavevae.train.budget import Budget
from wavevae.train.health import findings
from wavevae.train.module import TrainingModule

SHAPE = ModelConfig(sample_rate=8000, ratios=(4,), widths=(4, 6), dilations=(1,), latent_dim=3, noise_bands=2)
SMALL: dict[str, Any] = {
    "discriminator_n_ffts": (64,),
    "discriminator_channels": 2,
    "discriminator_seconds": 0.1,
}
SPECTRA = ObjectiveConfig(n_ffts=(256,), mel_windows=(256,))
TERMS = {"adversarial", "feature_matching", "discriminator", "score_real", "score_made"}
ON = ("--set", "adversarial=0.2", "--set", "feature_matching=0.2", "--set", "discriminator_n_ffts=[64]")


def config_of(**adversarial: Any) -> RunConfig:
    train = TrainConfig(max_time_s=None, max_steps=10, batch_size=2)
    return RunConfig(
        model=SHAPE, objective=SPECTRA, adversarial=AdversarialConfig(**{**SMALL, **adversarial}), train=train
    )


def module_of(share: float = 0.8, **adversarial: Any) -> TrainingModule:
    module = TrainingModule(config_of(**adversarial), Budget(None, 10)).train()
    module.progress = share
    return module


def sounds_of(seed: int) -> Tensor:
    return 0.1 * torch.randn(2, 1, 2048, generator=torch.Generator().manual_seed(seed))


def gradient(module: TrainingModule, seed: int = 0) -> Tensor:
    """Of one step with respect to all weights of the model, flat."""
    module.zero_grad()
    module.training_step(unlabelled_batch(sounds_of(seed)), 0).backward()
    return torch.cat(
        [(torch.zeros_like(p) if p.grad is None else p.grad).flatten() for p in module.model.parameters()]
    )


# -- weights and their effect ----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["adversarial", "feature_matching"])
def test_effective_weight_of_each_term(name: str) -> None:
    """What a term adds to the gradient grows in proportion to its weight; the loss of the distances is untouched."""
    modules = [
        module_of(**{"adversarial": 1e-9, "feature_matching": 1e-9, name: w}) for w in (1e-9, 0.2, 0.4)
    ]
    none, some, more = (gradient(module) for module in modules)
    assert float((some - none).norm()) > 1e-3 * float(none.norm())
    torch.testing.assert_close(more - none, 2 * (some - none), rtol=1e-3, atol=1e-4 * float(none.abs().max()))
    assert modules[0].terms["total"] == modules[2].terms["total"]


def test_before_its_share_it_is_not_there() -> None:
    plain, early, late = module_of(0.4), module_of(0.4, adversarial=0.5), module_of(0.6, adversarial=0.5)
    assert plain.adversary is None
    assert torch.equal(gradient(plain), gradient(early))
    assert not TERMS & set(early.terms)
    gradient(late)
    assert set(late.terms) >= TERMS


def test_weights_rise_over_the_warm_up() -> None:
    adversary = Adversary(config_of(adversarial=0.4, adversarial_start=0.5, adversarial_warm_up=0.1))
    risen = [adversary.weights(share)["adversarial"] for share in (0.0, 0.49, 0.5, 0.55, 0.6, 1.0)]
    assert risen == pytest.approx([0.0, 0.0, 0.0, 0.2, 0.4, 0.4])


def test_the_two_learn_apart() -> None:
    """The discriminator's step leaves nothing with the model, and the model's backward nothing with it."""
    module = module_of(adversarial=0.1)
    assert module.adversary is not None
    before = nn.utils.parameters_to_vector(module.adversary.discriminator.parameters()).clone()
    loss = module.training_step(unlabelled_batch(sounds_of(0)), 0)
    assert all(p.grad is None for p in module.model.parameters())
    after = nn.utils.parameters_to_vector(module.adversary.discriminator.parameters()).clone()
    assert not torch.equal(before, after)
    left = [p.grad.clone() for p in module.adversary.discriminator.parameters() if p.grad is not None]
    loss.backward()
    for mine, parameter in zip(left, module.adversary.discriminator.parameters(), strict=True):
        assert torch.equal(mine, parameter.grad)  # type: ignore[arg-type]
    assert not any("adversary" in name for name, _ in module.named_parameters())


def test_a_broken_sound_moves_no_discriminator() -> None:
    module = module_of(adversarial=0.1)
    assert module.adversary is not None
    before = nn.utils.parameters_to_vector(module.adversary.discriminator.parameters()).clone()
    module.training_step(unlabelled_batch(sounds_of(0) * float("nan")), 0)
    assert torch.equal(before, nn.utils.parameters_to_vector(module.adversary.discriminator.parameters()))
    assert module.adversary.guard.skipped == 1


@pytest.mark.parametrize("trains", ["all", "decoder"])
def test_the_encoder_is_frozen_or_not(trains: str) -> None:
    module = module_of(adversarial=0.1, adversarial_trains=trains)
    optimizer = torch.optim.AdamW(module.model.parameters(), 1e-2)
    for parameter in module.model.parameters():  # momentum of the time before
        optimizer.state[parameter] = {"step": torch.tensor(3.0)} | {
            name: torch.ones_like(parameter) for name in ("exp_avg", "exp_avg_sq")
        }
    encoder, decoder = (
        nn.utils.parameters_to_vector(part.parameters()).clone()
        for part in (module.model.encoder, module.model.decoder)
    )
    gradient(module)
    module.configure_gradient_clipping(optimizer)
    optimizer.step()
    still = torch.equal(encoder, nn.utils.parameters_to_vector(module.model.encoder.parameters()))
    assert still is (trains == "decoder")
    assert not torch.equal(decoder, nn.utils.parameters_to_vector(module.model.decoder.parameters()))


def test_the_discriminator_hears_an_excerpt_at_one_loudness() -> None:
    adversary = Adversary(config_of(adversarial=0.1))
    audio = sounds_of(3) * torch.tensor([1.0, 0.2])[:, None, None]
    real, made = adversary.excerpts(audio, 0.5 * audio)
    assert real.shape == (2, 1, 800)  # 0.1 s
    torch.testing.assert_close(real.square().mean((1, 2)).sqrt(), torch.ones(2), rtol=0.1, atol=0)
    torch.testing.assert_close(made, 0.5 * real)


# -- what a user is told ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("loss", "says"),
    [
        (0.05 * CHANCE, "hardly ever wrong (hinge loss 0.1; 2 is chance)"),
        (0.99 * CHANCE, "cannot tell output from original (hinge loss 2; 2 is chance)"),
        (0.6 * CHANCE, ""),
    ],
)
def test_a_one_sided_game_is_named_with_what_to_change(loss: float, says: str) -> None:
    found = findings({"discriminator": loss}, 0.8, config_of(adversarial=0.1))
    assert len(found) == bool(says)
    for sentence in found.values():
        assert says in sentence
        assert "--set discriminator_learning_rate=" in sentence


def test_it_is_not_judged_before_it_has_learned() -> None:
    adversary = Adversary(config_of(adversarial=0.1))
    assert adversary.mean_loss(1.0) == {}
    adversary.loss, adversary.steps = torch.tensor(0.125), FEWEST
    assert adversary.mean_loss(1.0) == {"discriminator": 0.125}
    assert adversary.mean_loss(0.2) == {}


# -- a whole run, killed and resumed ---------------------------------------------------------------------------


KILLER = """
import os, signal, sys
from wavevae.train import __main__, module

inner = module.TrainingModule.optimizer_step

def step(self, *args, **kwargs):
    inner(self, *args, **kwargs)
    if self.step == 23:
        os.kill(os.getpid(), signal.SIGKILL)

module.TrainingModule.optimizer_step = step
sys.exit(__main__.main(sys.argv[1:]))
"""


@pytest.mark.slow
def test_killed_and_resumed_equals_uninterrupted(tmp_path: Path, sounds: Path) -> None:
    """40 steps, with a discriminator from step 12 on, against a kill -9 after 23, and the rest from step 20."""
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    options = [str(sounds), *TINY, *ON, "--set", "adversarial_start=0.3", "--max-steps", "40"]
    assert main([*options, "--out", str(whole)]) == 0
    command = [sys.executable, "-c", KILLER, *options, "--out", str(broken)]
    assert subprocess.run(command, capture_output=True, timeout=600).returncode == -9
    assert read_checkpoint(broken / "checkpoints/last.ckpt").adversary["steps"] == 8
    assert main(["--resume", "--out", str(broken)]) == 0
    one, other = (read_checkpoint(run / "checkpoints/last.ckpt") for run in (whole, broken))
    assert one.adversary["steps"] == other.adversary["steps"] == 28
    assert one.adversary["loss"] == pytest.approx(other.adversary["loss"], rel=1e-4)
    for mine, theirs in ((one.live, other.live), (one.adversary, other.adversary)):
        theirs = theirs.get("discriminator", theirs)
        for name, value in mine.get("discriminator", mine).items():
            torch.testing.assert_close(value, theirs[name], rtol=1e-4, atol=1e-6, msg=name)
    for key, moments in one.adversary["optimizer"]["state"].items():
        theirs = other.adversary["optimizer"]["state"][key]
        torch.testing.assert_close(moments["exp_avg"], theirs["exp_avg"], rtol=1e-3, atol=1e-7)
    with (broken / "metrics.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row["total"]]
    assert [bool(row["discriminator"]) for row in rows] == [False, True, True, True]
    assert set(rows[-1]) >= TERMS | {"adversarial_weight", "feature_matching_weight"}
    assert float(rows[-1]["adversarial_weight"]) == pytest.approx(0.2)
    # While there is a discriminator the newest model is the best one, whatever the distances say.
    assert read_checkpoint(whole / "checkpoints/best.ckpt").step == 40


# -- two processes ---------------------------------------------------------------------------------------------


class Step(nn.Module):
    """A training step as DDP wants it."""

    def __init__(self, module: TrainingModule) -> None:
        super().__init__()
        self.module = module

    def forward(self, batch: Tensor) -> Tensor:
        return self.module.training_step(unlabelled_batch(batch), 0)


def trained(trains: str, rank: int) -> dict[str, Tensor]:
    """Weights after three steps, each process on sounds of its own."""
    module = module_of(adversarial=0.2, feature_matching=0.2, adversarial_trains=trains)
    step = nn.parallel.DistributedDataParallel(Step(module), broadcast_buffers=False)
    optimizer = torch.optim.AdamW(module.model.parameters(), 1e-3)
    for number in range(3):
        optimizer.zero_grad()
        step(sounds_of(10 * number + rank)).backward()
        module.configure_gradient_clipping(optimizer)
        optimizer.step()
        module.step += 1
    assert module.adversary is not None
    networks = {"encoder": module.model.encoder, "decoder": module.model.decoder}
    networks["discriminator"] = module.adversary.discriminator
    flat = {name: nn.utils.parameters_to_vector(n.parameters()).detach() for name, n in networks.items()}
    return flat | {"score": module.terms["score_made"]}


def train_on_two(rank: int, folder: str) -> None:
    """Leaves {what trains: weights} in the folder."""
    torch.distributed.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2)
    torch.set_num_threads(1)
    torch.save({trains: trained(trains, rank) for trains in ("all", "decoder")}, Path(folder) / f"{rank}.pt")
    torch.distributed.destroy_process_group()


@pytest.mark.slow
def test_two_processes_hold_the_same_model_and_discriminator(tmp_path: Path) -> None:
    multiprocessing.spawn(train_on_two, (str(tmp_path),), nprocs=2)
    two = [torch.load(tmp_path / f"{rank}.pt", weights_only=True) for rank in (0, 1)]
    begun = module_of(adversarial=0.2)
    for trains in ("all", "decoder"):
        one, other = (found[trains] for found in two)
        for name in ("encoder", "decoder", "discriminator"):
            assert torch.equal(one[name], other[name]), (trains, name)
        assert one["score"] != other["score"]  # they did hear different sounds
        still = torch.equal(one["encoder"], nn.utils.parameters_to_vector(begun.model.encoder.parameters()))
        assert still is (trains == "decoder")
