"""Intervals hold what they promise: 95 of 100 contain the truth, files being the unit that is drawn."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.stats

from wavevae.evaluation import bootstrap
from wavevae.evaluation.frechet import fad


def drawn(files: int, seconds: int, seed: int) -> tuple[list[str], np.ndarray]:
    """Seconds that share what their file is: between files sd 1, within 0.3; mean 0."""
    rng = np.random.default_rng(seed)
    centres = rng.standard_normal(files)
    names = [f"f{i}" for i in range(files) for _ in range(seconds)]
    return names, np.repeat(centres, seconds) + 0.3 * rng.standard_normal(files * seconds)


def test_intervals_contain_the_truth_as_often_as_they_say() -> None:
    found = [bootstrap.of_mean(*drawn(30, 8, seed)) for seed in range(120)]
    hits = sum(low <= 0 <= high for low, high in found if (low, high))
    assert 106 <= hits <= 120  # 95 % of 120 is 114; were seconds drawn, it would be about 60


def test_the_width_is_that_of_means_of_files() -> None:
    names, values = drawn(200, 5, 1)
    interval = bootstrap.of_mean(names, values)
    assert interval is not None
    by_file = values.reshape(200, 5).mean(1)
    wanted = 2 * 1.96 * scipy.stats.sem(by_file)
    assert interval[1] - interval[0] == pytest.approx(wanted, rel=0.08)


def test_against_scipys_bootstrap_where_each_file_is_a_second() -> None:
    values = np.random.default_rng(2).exponential(size=60)
    found = bootstrap.of_mean([str(i) for i in range(60)], values)
    other = scipy.stats.bootstrap(
        (values,), np.mean, method="percentile", n_resamples=4000, rng=np.random.default_rng(0)
    )
    assert found == pytest.approx(tuple(other.confidence_interval), rel=0.03)
    middle = bootstrap.of_median([str(i) for i in range(60)], values)
    other = scipy.stats.bootstrap(
        (values,), np.median, method="percentile", n_resamples=4000, rng=np.random.default_rng(0)
    )
    assert middle == pytest.approx(tuple(other.confidence_interval), rel=0.15)


def test_pairs_are_drawn_together() -> None:
    names, values = drawn(20, 4, 3)
    difference = bootstrap.of_difference(names, values, values + 0.1)
    assert difference == pytest.approx((0.1, 0.1))


def test_seconds_without_a_figure_do_not_count() -> None:
    names = ["a"] * 3 + ["b"] * 3 + ["c"] * 3 + ["d"] * 3
    values = np.array([1.0] * 9 + [np.nan] * 3)
    assert bootstrap.of_mean(names, values) == (1.0, 1.0)
    assert bootstrap.of_median(names, values) == (1.0, 1.0)


def test_too_few_files_give_no_interval() -> None:
    assert bootstrap.of_mean(["a", "b"], np.array([1.0, 2.0])) is None
    assert bootstrap.of_median(["a", "b"], np.array([1.0, 2.0])) is None
    assert bootstrap.of_clouds(["a", "b"], lambda weights: 1.0, 1.0) is None


def test_the_interval_of_a_distance_narrows_with_more_files() -> None:
    rng = np.random.default_rng(0)

    def width(files: int) -> float:
        x = rng.standard_normal((files * 4, 3))
        y = x + 0.3 + 0.2 * np.repeat(rng.standard_normal((files, 3)), 4, axis=0)
        names = [str(i // 4) for i in range(files * 4)]
        value = fad(x, y)
        found = bootstrap.of_clouds(names, lambda weights: fad(x, y, weights), value)
        assert found is not None
        assert value is not None
        assert found[0] <= value <= found[1]
        return found[1] - found[0]

    assert width(200) < 0.6 * width(20)
