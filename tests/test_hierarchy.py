"""The two-level VAE: what each level costs, that the slow one knows nothing of its own frames, how far it hears."""

import math

import pytest
import torch
import toy_model
from torch import Tensor

from wavevae.config import ModelConfig, ObjectiveConfig, RunConfig, override
from wavevae.errors import UserError
from wavevae.nn.bottlenecks.base import Bottleneck, Gaussian, Latents
from wavevae.nn.bottlenecks.hierarchical import (
    FAINT,
    LOUDNESS_SCALE,
    PRIOR_LOG_VARIANCE_RANGE,
    Hierarchical,
    Normals,
    divergence,
    hold,
    product_of_gaussians,
    with_loudness,
)
from wavevae.nn.model import Autoencoder
from wavevae.objectives.losses import Objectives

SHAPE = ModelConfig(
    widths=(8, 12, 16),
    latent_dim=6,
    noise_bands=2,
    dilations=(1, 3),
    bottleneck="hvae",
    top_dim=2,
    top_every=4,
)


def hvae(every: int = 4) -> Hierarchical:
    torch.manual_seed(0)
    return Hierarchical(6, 2, every).eval()


def frames(count: int, seed: int = 1) -> Tensor:
    return torch.randn(2, 8, count, generator=torch.Generator().manual_seed(seed))


def test_divergence_is_that_of_two_gaussians() -> None:
    posterior, prior = (
        Normals(torch.tensor(1.0), torch.tensor(-0.7)),
        Normals(torch.tensor(0.7), torch.tensor(0.4)),
    )
    expected = torch.distributions.kl_divergence(distribution(posterior), distribution(prior))
    assert float(divergence(posterior, prior)) == pytest.approx(float(expected), abs=1e-6)


def distribution(of: Normals) -> torch.distributions.Normal:
    return torch.distributions.Normal(of.mean, (0.5 * of.log_variance).exp())


def test_two_opinions_merge_as_their_densities_multiply() -> None:
    one, other = (
        Normals(torch.tensor(1.0), torch.tensor(-2.0)),
        Normals(torch.tensor(-0.5), torch.tensor(0.3)),
    )
    x = torch.linspace(-3, 4, 50)
    product = distribution(one).log_prob(x) + distribution(other).log_prob(x)
    both = distribution(product_of_gaussians(one, other)).log_prob(x)
    torch.testing.assert_close(product - product[0], both - both[0], rtol=1e-4, atol=1e-4)


def test_slow_latents_are_held_over_their_group() -> None:
    z = hvae().mean(frames(11))
    top = z[:, 4:]
    assert z.shape == (2, 6, 11)
    for group in range(3):
        held = top[..., 4 * group : 4 * group + 4]
        assert torch.equal(held, held[..., :1].expand_as(held))
    assert not torch.equal(top[..., 3], top[..., 4])
    assert hold(torch.arange(3.0).view(1, 1, 3), 2, 5).flatten().tolist() == [0, 0, 1, 1, 2]


@pytest.mark.parametrize("every", [1, 2, 4, 8])
def test_a_group_knows_none_of_its_own_frames(every: int) -> None:
    """Not by one bit: z before frame n is the same whatever comes from n on, the slow latents until n's group ends."""
    bottleneck, h = hvae(every), frames(32)
    with torch.inference_mode():
        z = bottleneck.mean(h)
        for frame in (1, 5, 8, 15, 16, 31):
            other = h.clone()
            other[..., frame:] += 1.0
            changed = bottleneck.mean(other)
            group_end = (frame // every + 1) * every
            assert torch.equal(changed[..., :frame], z[..., :frame])
            assert torch.equal(changed[:, 4:, :group_end], z[:, 4:, :group_end])
            assert group_end >= 32 or not torch.equal(changed[:, 4:, group_end], z[:, 4:, group_end])


def test_an_encoder_that_is_sure_is_believed_and_one_that_is_not_leaves_it_to_the_slow_level() -> None:
    bottleneck, h = hvae(), frames(12)
    with torch.inference_mode():
        for log_variance, sure in ((-12.0, True), (4.0, False)):
            h[:, 4:] = log_variance
            z = bottleneck.mean(h)
            expected = bottleneck.top_prior(z[:, 4:]).mean
            torch.testing.assert_close(z[:, :4], h[:, :4] if sure else expected, rtol=0.1, atol=0.1)


def test_swapping_the_slow_level_swaps_what_is_expected() -> None:
    bottleneck, h = hvae(), frames(12)
    with torch.inference_mode():
        z = bottleneck.mean(h)
        torch.testing.assert_close(bottleneck.with_top_latents(h, z[:, 4:]), z)
        other = bottleneck.with_top_latents(h, z[:, 4:].flip(0))
    torch.testing.assert_close(other[:, 4:], z[:, 4:].flip(0))
    assert not torch.allclose(other[:, :4], z[:, :4], atol=1e-3)


def test_under_another_slow_level_the_draw_stays_ones_own() -> None:
    """(fast - expected) / its standard deviation is the same before and after."""
    bottleneck, h = hvae(), frames(12)
    with torch.inference_mode():
        z = bottleneck.mean(h)
        top = z[:, 4:].flip(0)
        draws = []
        for latents in (z, bottleneck.with_top_latents(h, top)):
            expected = bottleneck.top_prior(latents[:, 4:])
            draws.append((latents[:, :4] - expected.mean) / (0.5 * expected.log_variance).exp())
        torch.testing.assert_close(*draws, rtol=1e-4, atol=1e-4)


def test_the_slow_level_hears_how_large_numbers_are() -> None:
    heard = with_loudness(torch.tensor([[[1.0, -1.0, 0.1, 0.0]]]))[0, 1]
    decade = math.log(100) / LOUDNESS_SCALE
    assert heard[:3].tolist() == pytest.approx([0.0, 0.0, -decade], abs=5e-3)
    assert float(heard[3]) == pytest.approx(math.log(FAINT) / LOUDNESS_SCALE)


def test_at_the_linear_start_the_slow_level_expects_the_loudness_of_the_group_before() -> None:
    torch.manual_seed(0)
    bottleneck = Hierarchical(12, 2, 4).eval()
    bottleneck.init_from_linear(torch.nn.Conv1d(3, bottleneck.in_channels, 1), torch.ones(10))
    level = torch.ones(400)
    level[100:200], level[200:] = 0.3, 0.1
    h = torch.cat([torch.randn(1, 10, 400) * level, torch.full((1, 10, 400), -11.5)], 1)
    with torch.inference_mode():
        z = bottleneck.mean(h)
        width = (0.5 * bottleneck.top_prior(z[:, 10:]).log_variance[0]).exp()
        torch.testing.assert_close(z[:, :10], h[:, :10], rtol=0, atol=0.02)  # and frames are let through
        swapped = bottleneck.with_top_latents(h, z[:, 10:].flip(2))
    for first, last, wanted in ((10, 100, 1.0), (110, 200, 0.3), (210, 400, 0.1)):
        assert width[:, first:last].mean().item() == pytest.approx(wanted, rel=0.25)
    size = (
        swapped[0, :10].square().mean(0).sqrt()
    )  # soft frames under loud expectations are loud, and the reverse
    assert size[310:390].mean() > 4 * h[0, :10, 310:390].square().mean().sqrt()
    assert size[10:90].mean() < 0.4 * h[0, :10, 10:90].square().mean().sqrt()


def test_kl_of_each_level_by_monte_carlo() -> None:
    """E[log q - log p] over draws, for both levels of one fixed input."""
    bottleneck = hvae().eval()
    h = frames(4)[:1].repeat(4000, 1, 1)
    torch.manual_seed(0)
    with torch.inference_mode():
        latents = bottleneck(h)
        mean, log_variance = bottleneck.top_encoder(h[:1, :4]).chunk(2, 1)
        top = latents.z[:, 4:, :1]
        posterior = torch.distributions.Normal(mean, (0.5 * log_variance).exp())
        nats = (posterior.log_prob(top) - torch.distributions.Normal(0.0, 1.0).log_prob(top)).mean(0)[:, 0]
        torch.testing.assert_close(latents.losses["kl_top"] * 4, nats, rtol=0.05, atol=0.05)
        prior = bottleneck.top_prior(latents.z[:, 4:])
        own = product_of_gaussians(Normals(*h.chunk(2, 1)), prior)
        fast = latents.z[:, :4]
        nats = (distribution(own).log_prob(fast) - distribution(prior).log_prob(fast)).mean((0, 2))
    torch.testing.assert_close(latents.losses["kl"], nats, rtol=0.05, atol=0.05)


def test_every_second_chunk_is_learned_from_the_means_of_both_levels() -> None:
    bottleneck, h = hvae().train(), frames(8)
    with torch.no_grad():
        z = bottleneck(h).z
        torch.testing.assert_close(z[1], bottleneck.mean(h)[1])
        assert not torch.allclose(z[0], bottleneck.mean(h)[0], atol=0.05)


def test_each_level_has_free_bits_and_a_weight_of_its_own() -> None:
    config = ObjectiveConfig(
        n_ffts=(256,),
        mel_windows=(256,),
        free_bits=0.5,
        free_bits_top=0.1,
        kl=2.0,
        kl_top=3.0,
        kl_warm_up=0.0,
    )
    losses = {"kl": torch.tensor([0.2, 0.9]), "kl_top": torch.tensor([0.05, 0.3])}
    objectives = Objectives(config, 8000, bottleneck="hvae")
    silence = torch.zeros(1, 1, 512)
    raw = objectives.raw(silence, silence, Latents(silence, None, losses, {}))
    assert (float(raw["kl"]), float(raw["kl_top"])) == pytest.approx((1.4, 0.4))
    weights = objectives.weights(0.15)
    assert (weights["kl"], weights["kl_top"]) == pytest.approx((2.0, 1.5))


def test_gradients_reach_both_levels() -> None:
    bottleneck = hvae().train()
    latents = bottleneck(frames(16))
    (latents.z.square().sum() + latents.losses["kl"].sum() + latents.losses["kl_top"].sum()).backward()
    for name, parameter in bottleneck.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().max() > 0, name


def test_the_whole_model_is_causal_and_hears_as_far_back_as_it_says() -> None:
    model, hop = toy_model.make(SHAPE), SHAPE.hop_length
    reach = model.receptive_field
    x = toy_model.sound(24 * hop)
    with torch.inference_mode():
        later = x.clone()
        later[..., 10 * hop :] = 0.5
        assert torch.equal(model(later)[..., : 10 * hop], model(x)[..., : 10 * hop])
        for back, reached in ((reach, True), (reach + 1, False)):
            assert any(hears(model, hop, back, phase) for phase in range(4)) is reached


def hears(model: Autoencoder, hop: int, back: int, phase: int) -> bool:
    """Whether a hop, `phase` hops into its group, depends on the sample `back` before its own end."""
    end = (4 * (back // hop // 4 + 2) + phase + 1) * hop
    x = torch.zeros(1, 1, end)
    x[..., end - back] = torch.nan
    return bool(model(x)[..., end - hop :].isnan().any())


@pytest.mark.parametrize("top_dim", [0, 6, 7])
def test_a_slow_level_that_leaves_nothing_or_is_nothing_is_refused(top_dim: int) -> None:
    values = {"bottleneck": "hvae", "latent_dim": 6, "top_dim": top_dim}
    with pytest.raises(
        UserError, match=r"top_dim is .*; use (1 up to latent_dim - 1 \(5\)|a whole number, 1 or more)"
    ):
        override(RunConfig(), values)


def test_a_prior_that_is_far_too_narrow_costs_within_bounds_and_can_still_learn_to_widen() -> None:
    """One standard deviation of the corpus beside a prior that claims to be sure to 1e-13."""
    bottleneck = hvae()
    with torch.no_grad():
        for part in (bottleneck.top_prior.inlet, bottleneck.top_prior.outlet):
            part.conv.weight.zero_()
            assert part.conv.bias is not None
            part.conv.bias.zero_()
        assert bottleneck.top_prior.outlet.conv.bias is not None
        bottleneck.top_prior.outlet.conv.bias[4:] = -60.0
    h = torch.cat([torch.ones(1, 4, 8), torch.full((1, 4, 8), -11.5)], 1)
    with torch.no_grad():
        latents = bottleneck(h)
    bound = 0.5 * math.exp(-PRIOR_LOG_VARIANCE_RANGE[0]) + 0.5 * 11.5
    assert float(latents.losses["kl"].max()) < bound
    assert float(latents.metrics["narrow_prior"]) == 1.0
    with torch.no_grad():
        bottleneck.top_prior.outlet.conv.bias[4:] = PRIOR_LOG_VARIANCE_RANGE[0] - 2
    bottleneck(h).losses["kl"].sum().backward()
    gradient = bottleneck.top_prior.outlet.conv.bias.grad
    assert gradient is not None
    assert (gradient[4:] < 0).all()  # wider is cheaper, and it can be felt


@pytest.mark.parametrize("kind", [Hierarchical(6, 2, 4), Gaussian(4)])
@torch.no_grad()
def test_an_axis_that_the_corpus_does_not_move_costs_within_bounds_when_another_sound_does(
    kind: Bottleneck,
) -> None:
    kind.eval()
    kind.init_from_linear(torch.nn.Conv1d(3, kind.in_channels, 1), torch.tensor([1.0, 0.3, 0.0, 1e-9]))
    h = torch.full((1, kind.in_channels, 8), -9.0)
    h[:, : kind.in_channels // 2] = 0.0
    before = kind(h).losses["kl"]
    h[:, 2:4] = 0.01  # 40 dB below the loudest axis, ten times the narrowest prior
    narrowest = math.exp(PRIOR_LOG_VARIANCE_RANGE[0]) if isinstance(kind, Hierarchical) else 1.0
    assert float((kind(h).losses["kl"] - before).max()) < 0.5 * 10**2 / narrowest * 1.1
