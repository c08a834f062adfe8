"""Discriminators, what they and the model want of each other, and how hard each term pulls."""

import math

import pytest
import torch

from wavevae.config import AdversarialConfig
from wavevae.errors import UserError
from wavevae.objectives.adversarial import (
    CHANCE,
    COMPRESSION,
    MultiScaleDiscriminator,
    SpectrumDiscriminator,
    Verdict,
    adversarial,
    balanced,
    discriminator_hinge,
    feature_matching,
    gradient_size,
    gradients,
    join,
    mean_score,
)


def noise(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def verdict(score: float, feature: float = 1.0) -> Verdict:
    return Verdict(torch.full((2, 1, 3, 4), score), [torch.full((2, 5, 3, 4), feature)])


# -- the networks ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("n_fft", [32, 256, 1024])
@pytest.mark.parametrize("samples", [100, 4000])
def test_every_length_gets_a_score_for_each_patch(n_fft: int, samples: int) -> None:
    found = SpectrumDiscriminator(n_fft, 3)(noise(2, 1, samples))
    frames = 1 + samples // (n_fft // 4)
    assert found.scores.shape[:3] == (2, 1, frames)
    assert len(found.features) == 4
    assert all(f.shape[:3] == (2, 3, frames) for f in found.features)


def test_spectra_are_complex_with_compressed_magnitudes() -> None:
    """A sine on a bin: its magnitude to the power, its phase kept."""
    n_fft, bin_, phase = 64, 8, 0.7
    t = torch.arange(640)
    x = torch.cos(2 * math.pi * bin_ * t / n_fft + phase)[None, None]
    parts = SpectrumDiscriminator(n_fft, 2).spectrum(x)[
        0, :, 20, bin_
    ]  # 20 frames of 16 samples: whole periods
    magnitude = (
        0.5 * 0.5 * n_fft / math.sqrt(n_fft)
    )  # half a sine's amplitude, mean of a Hann window, unitary
    assert float(parts.norm()) == pytest.approx(magnitude**COMPRESSION, rel=1e-3)
    assert math.atan2(float(parts[1]), float(parts[0])) == pytest.approx(phase, abs=1e-3)


def test_silence_has_finite_gradients() -> None:
    x = torch.zeros(1, 1, 1000, requires_grad=True)
    adversarial(MultiScaleDiscriminator((64, 256), 2)(x)).backward()
    assert x.grad is not None
    assert torch.isfinite(x.grad).all()


def test_it_learns_to_tell_noise_from_tones() -> None:
    torch.manual_seed(0)
    discriminator = MultiScaleDiscriminator((64,), 4)
    optimizer = torch.optim.Adam(discriminator.parameters(), 1e-2)
    t = torch.arange(512)

    def tones() -> torch.Tensor:
        return torch.sin(t * (0.2 + torch.rand(8, 1, 1)) + 6 * torch.rand(8, 1, 1))

    losses = []
    for _ in range(60):
        loss = discriminator_hinge(discriminator(tones()), discriminator(0.7 * torch.randn(8, 1, 512)))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[0] == pytest.approx(CHANCE, abs=0.3)
    assert losses[-1] < 0.5


# -- what is wanted --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("real", "made", "loss"), [(0.0, 0.0, CHANCE), (1.0, -1.0, 0.0), (2.0, -3.0, 0.0), (-1.0, 0.5, 3.5)]
)
def test_hinge_in_closed_form(real: float, made: float, loss: float) -> None:
    assert float(discriminator_hinge([verdict(real)] * 2, [verdict(made)] * 2)) == pytest.approx(loss)
    assert float(adversarial([verdict(made)] * 2)) == pytest.approx(-made)
    assert float(mean_score([verdict(real), verdict(made)])) == pytest.approx((real + made) / 2)


def test_feature_matching_is_relative_and_pulls_at_the_output_only() -> None:
    assert float(feature_matching([verdict(0)], [verdict(0)])) == 0.0
    assert float(feature_matching([verdict(0, 2.0)], [verdict(0, 3.0)])) == pytest.approx(0.5)
    real, made = (Verdict(noise(1, 1, 2, 2), [noise(1, 2, 3, 4, seed=s).requires_grad_()]) for s in (0, 1))
    feature_matching([real], [made]).backward()
    assert real.features[0].grad is None
    assert made.features[0].grad is not None


# -- how hard each term pulls ----------------------------------------------------------------------------------


@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e6])
@pytest.mark.parametrize("weight", [0.1, 0.5])
def test_a_weight_is_a_share_of_the_pull_of_the_distances(weight: float, scale: float) -> None:
    """Whatever the size of the term itself."""
    own, other = noise(3, 1, 50), scale * noise(3, 1, 50, seed=1)
    added = balanced(own, {"adversarial": other}, {"adversarial": weight}) - own
    assert float(gradient_size(added)) == pytest.approx(weight * float(gradient_size(own)), rel=1e-4)
    direction = torch.nn.functional.cosine_similarity(added.flatten(), other.flatten(), dim=0)
    assert float(direction) == pytest.approx(1.0, abs=1e-5)


def test_terms_add_up_and_nothing_stays_nothing() -> None:
    own, terms = noise(2, 1, 9), {"a": noise(2, 1, 9, seed=1), "b": noise(2, 1, 9, seed=2)}
    alone = [balanced(own, {k: terms[k]}, {k: w}) - own for k, w in (("a", 0.1), ("b", 0.3))]
    torch.testing.assert_close(balanced(own, terms, {"a": 0.1, "b": 0.3}), own + alone[0] + alone[1])
    assert torch.equal(balanced(own, {"a": torch.zeros_like(own)}, {"a": 1.0}), own)
    assert torch.equal(balanced(torch.zeros_like(own), terms, {"a": 1.0, "b": 1.0}), torch.zeros_like(own))


def test_joined_gradients_come_along_and_change_no_number() -> None:
    weight = torch.tensor(2.0, requires_grad=True)
    x = noise(2, 1, 30)
    estimate = weight * x
    heard = estimate.detach().requires_grad_()
    other = gradients({"a": (heard**3).sum()}, heard)
    torch.testing.assert_close(other["a"], 3 * estimate.detach() ** 2)
    join(estimate, other, {"a": 0.25})
    loss = estimate.square().mean()
    loss.backward()
    own = 2 * estimate.detach() / estimate.numel()
    torch.testing.assert_close(weight.grad, (balanced(own, other, {"a": 0.25}) * x).sum())


# -- what can be set -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"adversarial": -0.1}, "adversarial is -0.1"),
        ({"adversarial_start": 1.5}, "adversarial_start is 1.5"),
        ({"adversarial_trains": "encoder"}, "adversarial_trains"),
        ({"discriminator_n_ffts": (16,)}, "a whole number, 32 or more samples, a multiple of 4"),
        ({"discriminator_n_ffts": ()}, "discriminator_n_ffts"),
        ({"discriminator_channels": 0}, "discriminator_channels is 0"),
        ({"discriminator_seconds": 0.0}, "discriminator_seconds"),
        ({"discriminator_learning_rate": 0.0}, "discriminator_learning_rate"),
    ],
)
def test_nonsense_is_refused(values: dict, says: str) -> None:
    with pytest.raises(UserError, match=says):
        AdversarialConfig(**values)


def test_it_is_off_unless_a_weight_says_so() -> None:
    assert not AdversarialConfig().on
    assert AdversarialConfig(adversarial=0.1).on
    assert AdversarialConfig(feature_matching=0.1).on
