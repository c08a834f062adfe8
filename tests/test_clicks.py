"""The click measure: nothing where nothing is, clicks of known energy found, music not taken for clicks."""

from __future__ import annotations

import itertools
import math

import pytest
import torch

from wavevae.evaluation.metrics import FEWEST_HOPS, hop_rate_energy_db, periodicity_db

RATE, HOP = 22050, 256


def noise(count: int, seed: int, scale: float = 0.1) -> torch.Tensor:
    return scale * torch.randn(count, RATE, generator=torch.Generator().manual_seed(seed))


def clicks(hop: int = HOP, offset: int = 0) -> torch.Tensor:
    train = torch.zeros(RATE)
    train[offset::hop] = 1.0
    return train


def tone(hz: float, partials: int) -> torch.Tensor:
    t = torch.arange(RATE, dtype=torch.float64) / RATE
    return sum(0.2 / k * torch.sin(2 * math.pi * k * hz * t) for k in range(1, partials + 1))[None].float()  # type: ignore[union-attr,index]


@pytest.mark.parametrize("hop", [128, 256, 512, 1024])
def test_sounds_without_clicks_score_nothing(hop: int) -> None:
    found = hop_rate_energy_db(noise(40, 1), noise(40, 2), hop)
    assert abs(float(found.mean())) < 0.8
    assert abs(float(periodicity_db(noise(40, 1), hop).mean())) < 0.8
    for hz in (220.0, 441.0, 3000.0):
        assert abs(float(periodicity_db(tone(hz, 1), hop))) < 0.1


def test_a_copy_scores_exactly_nothing_and_level_does_not_count() -> None:
    x = noise(2, 3)
    assert hop_rate_energy_db(x, x, HOP).tolist() == [0.0, 0.0]
    assert hop_rate_energy_db(0.1 * x, x, HOP).abs().max() < 1e-6


@pytest.mark.parametrize("offset", [0, 17, 255])
def test_clicks_are_found_and_grow(offset: int) -> None:
    x = noise(8, 4, scale=0.02)
    levels = [0.05, 0.1, 0.2, 0.5, 1.0]
    found = [float(hop_rate_energy_db(x + a * clicks(offset=offset), x, HOP).mean()) for a in levels]
    assert found[0] > 1
    assert all(low + 2 < high for low, high in itertools.pairwise(found))
    assert found[-1] > 25


def test_their_strength_is_the_one_expected() -> None:
    """White noise of variance s^2 and clicks a: the envelope's line against its noise, in closed form."""
    s, a = 0.02, 0.2
    x = noise(30, 5, scale=s)
    hops = RATE // HOP
    samples = hops * HOP
    # Second difference: noise of variance 6 s^2, autocorrelated (6, -4, 1); a click leaves energy 6 a^2.
    line = (hops * 6 * a**2 * 0.5) ** 2 * 1.5 / 3  # Hann: amplitude 1/2; three bins hold 1.5 of its power
    envelope_noise = 2 * s**4 * (6**2 + 2 * 4**2 + 2 * 1**2)
    crossed = 4 * s**2 * (6**2 + 2 * 4**2 + 2 * 1**2) * a**2 / HOP  # click x noise, spread over all bins
    background = (envelope_noise + crossed) * samples * 0.375  # mean of Hann squared
    wanted = 10 * math.log10((line + background) / background)
    assert float(periodicity_db(x + a * clicks(), HOP).mean()) == pytest.approx(wanted, abs=1.0)


def test_clicks_at_another_rate_are_not_ours() -> None:
    x = noise(20, 6, scale=0.05)
    assert abs(float(hop_rate_energy_db(x + 0.5 * clicks(300), x, HOP).mean())) < 1.5


@pytest.mark.parametrize("multiple", [1, 2, 4])
def test_a_note_in_step_with_the_hop_is_not_a_click(multiple: int) -> None:
    note = tone(multiple * RATE / HOP, 20)
    assert float(periodicity_db(note, HOP)) > 20  # on its own it would be taken for one
    assert abs(float(hop_rate_energy_db(0.7 * note, note, HOP))) < 0.1
    softer = note + noise(1, 7, scale=0.001)
    assert float(hop_rate_energy_db(softer, note, HOP)) < 1


def test_too_few_hops_are_refused() -> None:
    samples = FEWEST_HOPS * 2048
    assert periodicity_db(torch.zeros(1, samples), 2048).tolist() == [0.0]
    with pytest.raises(ValueError, match="needs 12"):
        periodicity_db(torch.zeros(1, samples - 1), 2048)
