"""Facts about what stands between encoder and decoder."""

import math

import pytest
import torch

from wavevae.config import ModelConfig
from wavevae.model_config import BOTTLENECKS
from wavevae.nn.bottlenecks.base import Gaussian, codebook_sizes, make_bottleneck


def features(mean: float, log_variance: float, frames: int = 4000) -> torch.Tensor:
    """What an encoder would give for one latent dimension: (2, 2, frames)."""
    return torch.stack([torch.full((frames,), mean), torch.full((frames,), log_variance)]).expand(
        2, 2, frames
    )


@pytest.mark.parametrize(("mean", "log_variance"), [(0.0, 0.0), (1.5, 0.0), (0.0, -3.0), (-2.0, 1.0)])
def test_kl_is_the_closed_form_of_two_gaussians(mean: float, log_variance: float) -> None:
    kl = float(Gaussian(1)(features(mean, log_variance)).losses["kl"])
    posterior = torch.distributions.Normal(mean, math.exp(0.5 * log_variance))
    expected = torch.distributions.kl_divergence(posterior, torch.distributions.Normal(0.0, 1.0))
    assert kl == pytest.approx(float(expected), abs=1e-5)


def test_draws_have_the_posterior_s_spread_and_every_second_item_is_its_mean() -> None:
    torch.manual_seed(0)
    z = Gaussian(1).train()(features(0.7, -2.0)).z
    assert float(z[0].mean()) == pytest.approx(0.7, abs=0.02)
    assert float(z[0].std()) == pytest.approx(math.exp(-1.0), rel=0.05)
    assert torch.equal(z[1], torch.full_like(z[1], 0.7))


def test_absurd_variances_stay_finite() -> None:
    latents = Gaussian(1)(features(0.0, 1e4))
    assert torch.isfinite(latents.z).all()
    assert torch.isfinite(latents.losses["kl"]).all()


@pytest.mark.parametrize("name", BOTTLENECKS)
def test_every_bottleneck_keeps_the_interface(name: str) -> None:
    config = ModelConfig(bottleneck=name, latent_dim=5, top_dim=2, codebook_size=8)
    bottleneck = make_bottleneck(config)
    h = torch.randn(3, bottleneck.in_channels, 7)
    latents = bottleneck(h)
    assert latents.z.shape == bottleneck.mean(h).shape == (3, 5, 7)
    assert torch.equal(bottleneck.mean(h), bottleneck.mean(h))
    statistics = bottleneck.eval().statistics(h[:1])
    assert statistics.z.shape == (1, 5, 7)
    assert statistics.latents.shape == (5, 7)
    assert (latents.codes is not None) == bool(bottleneck.codebooks()) == bool(codebook_sizes(config))
    assert {term.name for term in bottleneck.loss_terms} <= {"unevenness", *latents.losses}
    assert bottleneck.first_input(20) <= 20
