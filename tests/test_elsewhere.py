"""A step's sounds are on a GPU: so is everything that is made on the way. No GPU is needed: its tensors are stood in
for by ones that have shape, type and device but no numbers, and that refuse to meet tensors of another device.

Only what has no numbers can be asked: gradients and updates need a real GPU (experiments/gpu_budget.py).
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from test_precision import KINDS, batch, excerpts, module
from test_resident import data
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode

from wavevae.nn.bottlenecks.codebook import Codebook
from wavevae.nn.bottlenecks.residual_vq import ResidualVQ
from wavevae.objectives.adversarial import adversarial, discriminator_hinge, feature_matching
from wavevae.train.device_batches import Recipe, Recipes, ResidentSounds

GPU = torch.device("cuda")


def pretended() -> FakeTensorMode:
    """Inside, tensors may be on a GPU that is not there."""
    return FakeTensorMode(allow_non_fake_inputs=True)


@pytest.fixture(autouse=True)
def nothing_by_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Which codes are dead, and how often each is used, cannot be asked of tensors without numbers."""
    monkeypatch.setattr(ResidualVQ, "started", lambda self: True)
    monkeypatch.setattr(Codebook, "_restart", lambda *_: None)
    monkeypatch.setattr("wavevae.train.validation.histogram", lambda codes, size: codes.new_zeros(1, size))


def move(network: nn.Module) -> None:
    """Weights and buffers to the GPU; what is kept in any other way stays behind, and is found out."""
    for part in network.modules():
        for name, weight in part._parameters.items():
            if weight is not None:
                empty = torch.empty(weight.shape, dtype=weight.dtype, device=GPU)
                part._parameters[name] = nn.Parameter(empty, weight.requires_grad)
        for name, buffer in part._buffers.items():
            if buffer is not None:
                part._buffers[name] = torch.empty(buffer.shape, dtype=buffer.dtype, device=GPU)


def on_gpu(*tensors: Tensor) -> bool:
    return all(tensor.device.type == "cuda" for tensor in tensors)


@pytest.fixture(autouse=True)
def nothing_is_compiled() -> Iterator[None]:
    """A scripted function is compiled for a GPU when it has been called a few times."""
    with torch.jit.optimized_execution(False):
        yield


@pytest.mark.parametrize("kind", KINDS)
def test_a_step_and_a_validation_stay_where_the_sounds_are(kind: str) -> None:
    made = module(kind)
    made.adversary = None  # it takes gradients inside the step; below
    with pretended():
        move(made)
        sounds = batch(made, "cuda")
        assert on_gpu(made.training_step(excerpts(made, "cuda"), 0), *made.terms.values())
        made.averaged.update(made.model, 1)
        made.on_validation_epoch_start()
        with torch.no_grad():
            made.validation_step(sounds, 0)
        assert on_gpu(*made._validation.sums.values())


def test_so_do_the_discriminators() -> None:
    adversary = module("discriminator").adversary
    assert adversary is not None
    with pretended():
        move(adversary.discriminator)
        of_real, of_made = (adversary.discriminator(torch.randn(2, 1, 2048, device=GPU)) for _ in range(2))
        wants = adversarial(of_made), feature_matching(of_real, of_made)
        assert on_gpu(*wants, discriminator_hinge(of_real, of_made))


def test_a_tensor_left_behind_is_found_out() -> None:
    made = module("vae")
    left = made.model.bottleneck.prior_std
    with pretended():
        move(made)
        made.model.bottleneck.prior_std = left
        with pytest.raises(RuntimeError, match="device"):
            made.training_step(batch(made, "cuda"), 0)


def test_resident_sounds_are_cut_where_they_are() -> None:
    batches = data(phase=0.5, polarity=0.5, gain_db=6.0).batches()
    recipe, sounds = Recipes(batches).batch(0), ResidentSounds(batches.chunks, torch.device("cpu"))
    with pretended():
        sounds.samples = torch.empty(len(sounds.samples), dtype=torch.int16, device=GPU)
        cut = sounds.cut(Recipe(*(None if part is None else part.to(GPU) for part in recipe)))
        assert on_gpu(*cut)
        assert cut.audio.shape == (16, 1, batches.chunks.chunk_samples)
