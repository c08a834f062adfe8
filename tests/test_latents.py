"""Facts about the latents' axes and density."""

import numpy as np
import pytest

from wavevae.latents import DensitySampler, LatentStatistics, sample_density


def walk(frames: int = 6000, seed: int = 0) -> np.ndarray:
    """A correlated, slow, skewed process in 4 dimensions whose last one is dead."""
    rng = np.random.default_rng(seed)
    mix = np.array([[1.0, 0.5, 0, 0], [0, 0.7, 0.2, 0], [0.3, 0, 0.5, 0], [0, 0, 0, 0]])
    x = np.zeros((frames, 4))
    for t in range(1, frames):
        x[t] = 0.9 * x[t - 1] + mix @ rng.standard_normal(4)
    x[:, 0] = np.exp(x[:, 0] / 4)
    return x + np.array([3.0, -1.0, 0.0, 2.0])


def test_axes_are_principal_ordered_and_of_unit_variance() -> None:
    data = walk()
    stats = LatentStatistics.fit([data[:2000], data[2000:]])
    matrix, offset = stats.to_axes()
    axes = data @ matrix.T + offset
    covariance = np.cov(axes.T, bias=True)
    np.testing.assert_allclose(covariance[:3, :3], np.eye(3), atol=1e-8)
    assert np.all(np.diff(stats.std) <= 0)
    assert axes[:, 3].std() < 1e-6  # a dead axis is left dead
    back, mean = stats.from_axes()
    np.testing.assert_allclose(axes @ back.T + mean, data, atol=1e-8)


def test_density_keeps_distribution_and_movement() -> None:
    stats = LatentStatistics.fit([walk()])
    matrix, offset = stats.to_axes()
    real = (walk(seed=1) @ matrix.T + offset)[:, :3]
    drawn = sample_density(stats.density, 8000, np.random.default_rng(0))[:, :3]
    for q in (0.05, 0.5, 0.95):
        np.testing.assert_allclose(np.quantile(drawn, q, axis=0), np.quantile(real, q, axis=0), atol=0.45)
    for d in range(3):
        lag = [np.corrcoef(s[1:, d], s[:-1, d])[0, 1] for s in (real, drawn)]
        assert lag[1] == pytest.approx(lag[0], abs=0.06)


def test_pieces_continue_each_other_and_seeds_repeat() -> None:
    density = LatentStatistics.fit([walk()]).density
    whole = DensitySampler(density, np.random.default_rng(5)).draw(64)
    sampler = DensitySampler(density, np.random.default_rng(5))
    np.testing.assert_allclose(np.concatenate([sampler.draw(10), sampler.draw(54)]), whole, atol=1e-6)


def test_temperature_zero_stays_at_the_median_and_draws_stay_in_range() -> None:
    stats = LatentStatistics.fit([walk()])
    still = sample_density(stats.density, 16, np.random.default_rng(0), temperature=0.0)
    assert np.ptp(still, axis=0).max() < 1e-6
    hot = sample_density(stats.density, 4000, np.random.default_rng(0), temperature=5.0)
    assert np.isfinite(hot).all()
    quantiles = np.asarray(stats.density["quantiles"])
    assert (hot <= quantiles[:, -1] + 1e-4).all()


def test_short_or_constant_latents_do_not_break_the_fit() -> None:
    for data in (np.zeros((3, 2)), np.ones((1, 5)), np.random.default_rng(0).standard_normal((2, 16))):
        stats = LatentStatistics.from_dict(LatentStatistics.fit([data]).to_dict())
        assert np.isfinite(sample_density(stats.density, 50, np.random.default_rng(0))).all()
    with pytest.raises(ValueError, match="no latent frames"):
        LatentStatistics.fit([])


def test_points_of_the_map_say_whose_they_are() -> None:
    """A label a point, in the points' order; none where none is known."""
    first, second = np.full((300, 1), -1.0), np.full((200, 1), 1.0)
    density = LatentStatistics.fit([first, np.zeros((0, 1)), second], ["flute", "nothing", "drum"]).density
    points, labels = np.array(density["points"])[:, 0], density["point_labels"]
    assert len(points) == len(labels) == 256
    assert points[0] != points[-1]
    assert [label == "flute" for label in labels] == (points == points[0]).tolist()
    assert set(labels) == {"flute", "drum"}
    assert "point_labels" not in LatentStatistics.fit([first], [""]).density
    assert "point_labels" not in LatentStatistics.fit([first]).density
