"""The linear start: what it says it is, at every shape, and what it does not touch."""

import numpy as np
import pytest
import torch

from wavevae.config import ModelConfig, RunConfig, TrainConfig
from wavevae.evaluation.metrics import hop_rate_energy_db
from wavevae.nn.linear_init import (
    equal_loudness,
    init_from_linear,
    initialised_parameters,
    principal,
    second_moments,
)
from wavevae.nn.model import Autoencoder
from wavevae.train.optimizer import make_optimizer

SHAPES = {
    "wide": ModelConfig(fold=8, ratios=(2, 4), widths=(8, 16, 64), latent_dim=12, noise_bands=4),
    "narrow": ModelConfig(fold=8, ratios=(2, 4), widths=(6, 10, 20), latent_dim=12, noise_bands=4),
    "one stage": ModelConfig(fold=4, ratios=(8,), widths=(5, 40), latent_dim=7, noise_bands=0),
    "lapped": ModelConfig(fold=8, ratios=(2, 4), widths=(8, 16, 64), latent_dim=12, hop_overlap=1),
    "lapped whole hops": ModelConfig(fold=8, ratios=(8,), widths=(8, 64), latent_dim=64, hop_overlap=8),
    "plain": ModelConfig(fold=8, ratios=(2, 4), widths=(8, 16, 64), latent_dim=12, bottleneck="ae"),
}


def coloured_noise(samples: int, seed: int = 0) -> np.ndarray:
    """Random, mostly low: what a linear codec can make something of. Within +-0.5."""
    noise = np.random.default_rng(seed).standard_normal(samples)
    for _ in range(2):
        noise = np.convolve(noise, np.ones(6) / 6, "same")
    return (0.5 * noise / np.abs(noise).max()).astype(np.float32)


def started(config: ModelConfig) -> tuple[Autoencoder, np.ndarray, float]:
    torch.manual_seed(0)
    model = Autoencoder(config).eval()
    hops = coloured_noise(2000 * config.hop_length).reshape(40, 50, config.hop_length)
    return model, hops, init_from_linear(model, hops)


@pytest.mark.parametrize("shape", SHAPES)
def test_it_is_linear_and_of_a_few_hops(shape: str) -> None:
    config = SHAPES[shape]
    model, _, _ = started(config)
    x, y = (torch.tensor(coloured_noise(10 * config.hop_length, seed))[None, None] for seed in (1, 2))
    with torch.inference_mode():
        torch.testing.assert_close(
            model(0.3 * x - 0.6 * y), 0.3 * model(x) - 0.6 * model(y), atol=1e-6, rtol=0
        )
        changed = x.clone()
        changed[..., : 5 * config.hop_length] = 0
        kept = slice((8 if config.hop_overlap else 7) * config.hop_length, None)
        torch.testing.assert_close(model(changed)[..., kept], model(x)[..., kept], atol=1e-6, rtol=0)


@pytest.mark.parametrize("shape", ["wide", "plain"])
def test_wide_layers_give_the_principal_components(shape: str) -> None:
    """Latents are the hops' principal components, and decoding beats their transpose: it knows the hops before."""
    config = SHAPES[shape]
    model, hops, carried = started(config)
    loud = equal_loudness(hops).reshape(-1, config.hop_length)
    basis = principal(second_moments(loud), config.latent_dim)
    unheard = coloured_noise(500 * config.hop_length, 7)
    frames = unheard.reshape(-1, config.hop_length)
    with torch.inference_mode():
        z = model.encode(torch.tensor(unheard)[None, None])[0].numpy()
        y = model(torch.tensor(unheard)[None, None])[0, 0].numpy()
    np.testing.assert_allclose(z, basis @ frames.T, atol=2e-6)
    alone = np.sum((unheard - (frames @ basis.T @ basis).reshape(-1)) ** 2)
    assert np.sum((unheard - y) ** 2) < 0.95 * alone
    assert carried == pytest.approx(np.sum((loud @ basis.T) ** 2) / np.sum(loud**2), rel=1e-6)
    assert 0.9 < carried < 1.0


def test_lapped_hops_carry_everything_where_nothing_is_left_out() -> None:
    """64 latents of 64 samples: the sound itself, so the transform's frames add up to it, and alignment is right."""
    model, _, carried = started(SHAPES["lapped whole hops"])
    x = torch.tensor(coloured_noise(20 * 64 + 17, 3))[None, None]
    with torch.inference_mode():
        torch.testing.assert_close(model(x)[..., 64:], x[..., 64:], atol=1e-3, rtol=0)
        late = model.decode(model.encode(model.pad_for_latency(x)))[..., model.algorithmic_latency :]
        assert torch.equal(late[..., : x.shape[-1]], model(x))
    assert carried == pytest.approx(1.0)


def test_lapped_hops_have_softer_edges() -> None:
    """The same number of latents; a tone that is in the corpus comes back with less at the hop rate."""
    hop, rate = 64, 16000
    time = torch.arange(200 * hop) / rate
    tone = 0.3 * torch.sin(6.2832 * 523.25 * time) + 0.02 * torch.sin(6.2832 * 5000 * time)
    found = {}
    for name, overlap in (("edges", 0), ("lapped", 1)):
        config = ModelConfig(fold=8, ratios=(4, 2), widths=(8, 32, 64), latent_dim=12, hop_overlap=overlap)
        model, _, _ = started(config)
        with torch.inference_mode():
            made = model(tone[None, None])[0]
        found[name] = float(hop_rate_energy_db(made[:, hop:-hop], tone[None, hop:-hop], hop))
    assert found["lapped"] < found["edges"] - 3


def test_few_hops_decode_by_the_transpose() -> None:
    """Two frames cannot tell how three hang together."""
    config = SHAPES["wide"]
    model = Autoencoder(config).eval()
    hops = coloured_noise(30 * 2 * 64).reshape(30, 2, 64)
    init_from_linear(model, hops)
    basis = principal(second_moments(equal_loudness(hops)), config.latent_dim)
    with torch.inference_mode():
        y = model(torch.tensor(hops[0].reshape(1, 1, -1)))[0, 0].numpy()
    np.testing.assert_allclose(y, (hops[0] @ basis.T @ basis).reshape(-1), atol=1e-5)


def test_narrow_layers_carry_nearly_as_much() -> None:
    """A layer with too few channels for all of its samples keeps their principal components."""
    _, _, wide = started(SHAPES["wide"])
    _, _, narrow = started(SHAPES["narrow"])
    assert wide - 0.1 < narrow <= wide


def test_the_prior_is_as_wide_as_the_latents_and_draws_stay_close() -> None:
    model, hops, _ = started(SHAPES["wide"])
    x = torch.tensor(hops.reshape(1, 1, -1))
    with torch.inference_mode():
        z = model.encode(x)
        latents = model.train().posterior(torch.cat([x, x]))
    torch.testing.assert_close(z[0].std(dim=1), model.bottleneck.prior_std[:, 0], rtol=0.05, atol=1e-5)
    draws = (latents.z[0] - z[0]) / model.bottleneck.prior_std
    assert 0.008 < float(draws.std()) < 0.015  # exp(-9 / 2) = 0.011
    assert torch.equal(latents.z[1], z[0])  # every second item is its mean


def test_every_parameter_still_learns() -> None:
    """Branches begin at nothing but not without a gradient: after two steps every layer has moved."""
    model, hops, _ = started(SHAPES["wide"])
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    x = torch.tensor(hops[:4].reshape(4, 1, -1))
    model.train()
    for _ in range(3):
        y, latents = model.reconstruct(x)
        loss = (y - 0.5 * x.roll(3, -1)).square().mean() + 1e-3 * latents.losses["kl"].sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    still = [name for name, p in model.named_parameters() if torch.equal(p, before[name])]
    assert still == []


def test_the_trunk_moves_slower() -> None:
    model, _, _ = started(SHAPES["wide"])
    optimizer = make_optimizer(model, TrainConfig(linear_init_lr_scale=0.25))
    shares = {id(p): group["share"] for group in optimizer.param_groups for p in group["params"]}
    assert set(shares) == {id(p) for p in model.parameters()}
    assert {shares[id(p)] for p in initialised_parameters(model)} == {0.25}
    assert shares[id(model.encoder.core[0].pointwise.conv.weight)] == 1.0
    unstarted = make_optimizer(model, TrainConfig(init="random"))
    assert [group["share"] for group in unstarted.param_groups] == [1.0]


def test_silence_and_too_little_sound_do_no_harm() -> None:
    config = SHAPES["wide"]
    nothing, silence = np.zeros((3, 0, 64), np.float32), np.zeros((3, 9, 64), np.float32)
    for hops in (nothing, silence, coloured_noise(4 * 64).reshape(1, 4, 64)):
        model = Autoencoder(config).eval()
        init_from_linear(model, hops)
        assert torch.isfinite(model.bottleneck.prior_std).all()
        with torch.inference_mode():
            assert torch.isfinite(model(torch.randn(1, 1, 999).clamp(-1, 1))).all()


def test_a_wrong_hop_is_refused() -> None:
    with pytest.raises(ValueError, match=r"must be \(excerpts, frames, 64\)"):
        init_from_linear(Autoencoder(SHAPES["wide"]), np.zeros((1, 10, 60), np.float32))


def test_it_is_the_default() -> None:
    assert RunConfig().train.init == "linear"
