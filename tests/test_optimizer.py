"""How weights are moved: one kernel or many, the same way; a saved state goes on under either."""

from __future__ import annotations

import copy

import pytest
import torch

from wavevae.config import ModelConfig, TrainConfig
from wavevae.nn.model import Autoencoder
from wavevae.train.optimizer import make_optimizer, may_be_fused, resume

CONFIG = TrainConfig(weight_decay=0.1)


def small() -> Autoencoder:
    torch.manual_seed(0)
    return Autoencoder(ModelConfig(ratios=(4,), widths=(4, 6), dilations=(1,), latent_dim=3))


def move(model: Autoencoder, optimizer: torch.optim.Optimizer, first: int, steps: int) -> torch.Tensor:
    """Steps with gradients that their number decides; the weights after."""
    for step in range(first, first + steps):
        generator = torch.Generator().manual_seed(step)
        for parameter in model.parameters():
            parameter.grad = torch.randn(parameter.shape, generator=generator)
        optimizer.step()
    return torch.nn.utils.parameters_to_vector(model.parameters()).detach().clone()


@pytest.mark.parametrize("before", [True, False])
@pytest.mark.parametrize("after", [True, False])
def test_a_state_goes_on_whatever_kernel_moved_it(before: bool, after: bool) -> None:
    whole = small()
    expected = move(whole, make_optimizer(whole, CONFIG), 0, 6)
    model = small()
    first = make_optimizer(model, CONFIG, before)
    move(model, first, 0, 3)
    second = make_optimizer(model, CONFIG, after)
    resume(second, copy.deepcopy(first.state_dict()))
    assert [bool(group["fused"]) for group in second.param_groups] == [after] * len(second.param_groups)
    torch.testing.assert_close(move(model, second, 3, 3), expected, rtol=1e-5, atol=1e-6)


def test_scaled_gradients_are_not_handed_to_one_kernel() -> None:
    assert may_be_fused(small(), "32-true")
    assert may_be_fused(small(), "bf16-mixed")
    assert not may_be_fused(small(), "16-mixed")
    assert not may_be_fused(small().to("meta"), "32-true")


@pytest.mark.slow
def test_compiled_networks_give_the_same_and_keep_their_names() -> None:
    model = small().eval()
    names, x = list(model.state_dict()), 0.1 * torch.randn(2, 1, 1024)
    with torch.no_grad():
        plain = model(x)
        model.compile_networks()
        torch.testing.assert_close(model(x), plain, rtol=1e-4, atol=1e-5)
    assert list(model.state_dict()) == names
