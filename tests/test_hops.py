"""What is locked to the hop is heard, and nothing else is."""

import math

import pytest
import torch

from wavevae.config import ObjectiveConfig
from wavevae.nn.bottlenecks.base import Latents
from wavevae.objectives.losses import Objectives, hop_profile, hop_unevenness, weighted_sum

HOP = 64


def noise(seed: int, samples: int = 200 * HOP) -> torch.Tensor:
    return 0.1 * torch.randn(3, 1, samples, generator=torch.Generator().manual_seed(seed))


def uneven(x: torch.Tensor, depth: float, period: int = HOP) -> torch.Tensor:
    """Louder and softer, once a period."""
    t = torch.arange(x.shape[-1])
    return x * (1 + depth * torch.cos(2 * math.pi * t / period)).sqrt()


def test_a_copy_is_even_and_so_is_silence() -> None:
    x = noise(0)
    assert float(hop_unevenness(-x, x, HOP)) < 1e-4
    assert float(hop_unevenness(torch.zeros_like(x), torch.zeros_like(x), HOP)) == 0.0


def test_levels_are_not_its_business() -> None:
    """Far from the hop's period chance is all that is left, at any level."""
    x = noise(0, 4000 * HOP)
    assert float(hop_unevenness(0.5 * noise(9, 4000 * HOP), x, HOP)) < 0.03
    assert float(hop_unevenness(0.0 * x, x, HOP)) < 0.03


def test_a_swell_cannot_hide_under_noise() -> None:
    x = noise(0, 4000 * HOP)
    swelling = uneven(noise(1, 4000 * HOP), 0.5)
    plain = float(hop_unevenness(swelling, x, HOP))
    assert float(hop_unevenness(swelling + 2 * noise(2, 4000 * HOP), x, HOP)) > 0.8 * plain


def test_what_a_dark_sound_has_up_there_counts_for_less() -> None:
    x = noise(0, 400 * HOP)
    low = 0.5 * torch.sin(0.01 * torch.arange(x.shape[-1]))  # hardly there in a second difference
    dark, bright = (
        float(hop_unevenness(uneven(0.02 * x, 0.5) + drone, 0.02 * x + drone, HOP))
        for drone in (low, 0 * low)
    )
    assert dark < 0.1 * bright


@pytest.mark.parametrize("depth", [0.1, 0.5])
def test_a_swell_of_each_hop_is_measured(depth: float) -> None:
    """The mean of |depth x cosine| is 2 / pi x depth."""
    x = noise(0, 4000 * HOP)
    assert float(hop_unevenness(uneven(x, depth), x, HOP)) == pytest.approx(2 / math.pi * depth, rel=0.1)
    assert hop_profile(x, HOP).shape == (3, 32)


def test_a_chunk_of_less_than_two_hops_says_nothing() -> None:
    assert [float(hop_unevenness(noise(0, n), noise(1, n), HOP)) for n in (1, 2 * HOP)] == [0.0, 0.0]


def test_other_periods_are_not_ours() -> None:
    x = noise(1)
    ours, others = (float(hop_unevenness(uneven(x, 0.5, period), x, HOP)) for period in (HOP, 50))
    assert others < 0.1 * ours


def test_a_sound_in_step_with_the_hop_is_asked_for_as_it_is() -> None:
    x = uneven(noise(2), 0.8)
    assert float(hop_unevenness(x, x, HOP)) == 0.0
    assert float(hop_unevenness(noise(2), x, HOP)) > 0.4


def test_its_gradient_evens_out() -> None:
    x, target = uneven(noise(3), 0.5), noise(3)
    gain = torch.ones(HOP, requires_grad=True)
    optimizer = torch.optim.Adam([gain], 0.05)
    begun = float(hop_unevenness(x, target, HOP))
    for _ in range(15):
        loss = hop_unevenness(x * gain.repeat(200), target, HOP)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert float(loss.detach()) < 0.3 * begun


@pytest.mark.parametrize("hop", [4, 16, 48, 256])
def test_every_hop_length_has_a_profile(hop: int) -> None:
    assert hop_profile(noise(0, 10 * hop + 3), hop).shape == (3, min(32, hop))


def test_effective_weight() -> None:
    """It adds weight x raw to the loss once, at every share of the budget; of weight 0 it is not there."""
    latents = Latents(torch.zeros(3, 1, 1), None, {}, {})
    x, target = uneven(noise(4), 0.5), noise(4)
    totals = []
    for weight in (0.0, 1.5, 3.0):
        config = ObjectiveConfig(hop_modulation_loss=weight, n_ffts=(64,), mel_windows=(64,))
        objectives = Objectives(config, 8000, HOP, bottleneck="ae")
        raw = objectives.raw(x, target, latents)
        assert ("hop_evenness" in raw) is (weight > 0)
        assert {objectives.weights(share)["hop_evenness"] for share in (0.0, 0.5, 1.0)} == {weight}
        totals.append(float(weighted_sum(raw, objectives.weights(0.5))))
    unevenness = float(hop_unevenness(x, target, HOP))
    assert totals[1] - totals[0] == pytest.approx(1.5 * unevenness, rel=1e-3)
    assert totals[2] - totals[0] == pytest.approx(3.0 * unevenness, rel=1e-3)
