"""Schedules: where they start, that they end annealed, and what the configuration changes about them."""

import itertools

import pytest

from wavevae.config import ObjectiveConfig, TrainConfig
from wavevae.errors import UserError
from wavevae.objectives.schedules import kl_top_weight, kl_weight, learning_rate, over_budget, rise

SHARES = [i / 200 for i in range(201)]


def test_learning_rate_warms_up_then_falls_to_zero() -> None:
    config = TrainConfig(learning_rate=2e-3, warm_up=0.1)
    rates = [learning_rate(s, config) for s in SHARES]
    assert rates[0] == pytest.approx(2e-5)
    assert learning_rate(0.1, config) == pytest.approx(2e-3) == max(rates)
    assert all(a < b for a, b in itertools.pairwise(rates[:21]))
    assert all(a > b for a, b in itertools.pairwise(rates[20:]))
    assert rates[-1] == pytest.approx(0.0, abs=1e-12)
    assert learning_rate(0.55, config) == pytest.approx(1e-3)  # half-way down the cosine


def test_the_warm_up_has_a_floor_in_steps() -> None:
    """However little of the budget it is or however much of it: 100 steps, straight up from a hundredth."""
    config = TrainConfig(learning_rate=1.0, warm_up=0.02, warm_up_steps=100)
    for share in (0.0, 0.3, 0.9):
        rates = [learning_rate(share, config, step) for step in (0, 25, 50, 100, 1000)]
        whole = learning_rate(share, config)
        risen = min(1.0, share / 0.02)  # at share 0 the share holds it down, at every step
        expected = [0.01 + 0.99 * min(risen, x) for x in (0.0, 0.25, 0.5, 1.0, 1.0)]
        assert [rate / (whole / (0.01 + 0.99 * risen)) for rate in rates] == pytest.approx(expected)
    twenty = [learning_rate(step / 20, config, step) for step in range(20)]
    assert max(twenty) < 0.15  # a run of twenty steps never comes near the whole
    none = TrainConfig(learning_rate=1.0, warm_up=0.0, warm_up_steps=0)
    assert learning_rate(0.0, none, 0) == 1.0


def test_learning_rate_without_warm_up_and_beyond_the_budget() -> None:
    config = TrainConfig(learning_rate=1.0, warm_up=0.0)
    assert learning_rate(0.0, config) == 1.0
    assert learning_rate(1.7, config) == pytest.approx(0.0, abs=1e-12)
    assert learning_rate(0.5, TrainConfig(learning_rate=1.0, warm_up=1.0)) == pytest.approx(0.505)


@pytest.mark.parametrize("shape", ["constant", "linear", "cosine", "logistic"])
def test_kl_weight_rises_to_beta_max_and_stays(shape: str) -> None:
    config = ObjectiveConfig(kl=0.01, kl_schedule=shape, kl_warm_up=0.25, kl_baseline=0.1)
    weights = [kl_weight(s, config) for s in SHARES]
    assert weights[0] == pytest.approx(0.01 if shape == "constant" else 0.001)
    assert all(a <= b for a, b in itertools.pairwise(weights))
    assert weights[50:] == pytest.approx([0.01] * 151)


def test_shapes_of_a_rise() -> None:
    assert rise(0.05, 0.2) == pytest.approx(0.25)
    assert rise(0.05, 0.2, "cosine") == pytest.approx(0.14645, abs=1e-5)
    assert rise(0.1, 0.2, "cosine") == pytest.approx(0.5)
    assert rise(0.0, 0.0) == 1.0


def test_a_logistic_rise_is_steepest_in_the_middle_and_symmetric() -> None:
    values = [rise(p / 10, 1.0, "logistic") for p in range(11)]
    assert (values[0], values[5], values[10]) == pytest.approx((0.0, 0.5, 1.0))
    assert values[3] == pytest.approx(1 - values[7])
    assert values[1] < 0.01
    assert values[6] - values[5] > values[2] - values[1]


def test_a_cyclical_weight_rises_as_often_as_it_is_told_and_ends_at_its_top() -> None:
    """Cycles of 0.2: a rise over 0.1, held over 0.1; held for good after the third."""
    config = ObjectiveConfig(kl=2.0, kl_schedule="cyclical", kl_warm_up=0.2, kl_cycles=3, kl_baseline=0.5)
    shares = (0.0, 0.05, 0.1, 0.19, 0.2, 0.25, 0.45, 0.55, 0.6, 0.9, 1.0)
    expected = (1.0, 1.5, 2.0, 2.0, 1.0, 1.5, 1.5, 2.0, 2.0, 2.0, 2.0)
    assert [kl_weight(s, config) for s in shares] == pytest.approx(expected)
    with pytest.raises(UserError, match=r"kl_cycles x kl_warm_up is 1\.2"):
        ObjectiveConfig(kl_schedule="cyclical", kl_warm_up=0.3, kl_cycles=4)


def test_the_slow_level_has_a_schedule_of_its_own() -> None:
    config = ObjectiveConfig(
        kl=1.0, kl_warm_up=0.5, kl_top=3.0, kl_top_warm_up=0.25, kl_top_schedule="cosine"
    )
    assert kl_weight(0.125, config) == pytest.approx(0.25)
    assert kl_top_weight(0.125, config) == pytest.approx(1.5)
    assert kl_top_weight(1.0, config) == pytest.approx(3.0)


def test_a_weight_moves_from_start_to_end() -> None:
    assert [over_budget(s, 10.0, 2.0) for s in (0.0, 0.5, 1.0)] == pytest.approx([10.0, 6.0, 2.0])
