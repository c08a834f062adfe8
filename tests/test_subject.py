"""What evaluation sees of every bottleneck and condition is what the model itself says."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
import toy_model
from small_instrument import HOP, melody, small, tones_only
from small_instrument import RATE as INSTRUMENT_RATE

from wavevae.checkpoint import Checkpoint, write_checkpoint
from wavevae.config import ModelConfig, RunConfig
from wavevae.evaluation.file_under_test import load_model_under_test
from wavevae.evaluation.model_under_test import Run
from wavevae.evaluation.selection import reblocked
from wavevae.evaluation.tracks import median_hz, midi_hz
from wavevae.export.model_file import export_checkpoint
from wavevae.nn.bottlenecks.hierarchical import Hierarchical
from wavevae.nn.model import Autoencoder

RATE = 8000
SHAPE = {"sample_rate": RATE, "fold": 8, "ratios": (4,), "widths": (6, 8), "dilations": (1,), "latent_dim": 4}
BOTTLENECKS = {
    "ae": {},
    "vae": {},
    "vq": {"codebook_size": 16, "code_dim": 3},
    "rvq": {"codebook_size": 16, "code_dim": 3, "n_codebooks": 2},
    "hvae": {"top_dim": 2, "top_every": 4},
}
LABELS = {"class": "b", "pitch": 57}


def made(path: Path, bottleneck: str, condition: str = "none") -> Run:
    """A run with random weights."""
    classes = ("a", "b") if "class" in condition else ()
    more = {"bottleneck": bottleneck, "condition": condition, "classes": classes, "partials": 4}
    config = RunConfig(model=ModelConfig(**SHAPE, **more, **BOTTLENECKS[bottleneck]))  # type: ignore[arg-type]
    torch.manual_seed(0)
    model = Autoencoder(config.model)
    for parameter in model.parameters():
        parameter.data += 0.1 * torch.randn_like(parameter)
    write_checkpoint(path / "checkpoints" / "best.ckpt", Checkpoint(config, model.state_dict()))
    subject = load_model_under_test(path)
    assert isinstance(subject, Run)
    return subject


LATE = ModelConfig(ratios=(4,), widths=(6, 8), dilations=(1, 3), latent_dim=3, noise_bands=2, hop_overlap=1)


@pytest.mark.parametrize("samples", [9000, 64 * 320, 50_003, 32])
@torch.inference_mode()
def test_a_late_model_is_judged_in_place(samples: int, tmp_path: Path) -> None:
    """Run and file: however the sound is cut, every estimate lies beside what it is an estimate of."""
    checkpoint = toy_model.checkpoint(LATE)
    write_checkpoint(tmp_path / "checkpoints" / "best.ckpt", checkpoint)
    run, file = load_model_under_test(tmp_path), tmp_path / "late.ts"
    assert isinstance(run, Run)
    assert export_checkpoint(checkpoint, file).algorithmic_latency_samples == 16
    run.block_samples = run.context
    x = sound(samples)
    whole = run.model(torch.from_numpy(x)[None, None])[0, 0]
    for subject in (run, load_model_under_test(file)):
        pieces = list(subject.reconstruct(reblocked([x], subject.block_samples), {}))
        torch.testing.assert_close(torch.cat([p.estimate for p in pieces]), whole, atol=2e-5, rtol=0)
        np.testing.assert_array_equal(torch.cat([p.reference for p in pieces]).numpy(), x)
        assert sum(p.latents.shape[1] for p in pieces if p.latents is not None) == -(-samples // 64)


def sound(samples: int, seed: int = 0) -> np.ndarray:
    return (0.2 * np.random.default_rng(seed).standard_normal(samples)).astype(np.float32)


@pytest.mark.parametrize("condition", ["none", "class+pitch"])
@pytest.mark.parametrize("bottleneck", BOTTLENECKS)
@torch.inference_mode()
def test_reconstructions_are_the_models_own(bottleneck: str, condition: str, tmp_path: Path) -> None:
    run = made(tmp_path, bottleneck, condition)
    x = sound(RATE)
    pieces = list(run.reconstruct([x], LABELS))
    told = run.model.condition("b", 57) if condition != "none" else None
    batch = torch.from_numpy(x)[None, None]
    assert torch.equal(pieces[0].estimate, run.model(batch, told)[0, 0])
    (heard,) = run.encode([x], LABELS)
    assert heard.latents is not None
    assert torch.equal(heard.latents, run.model.encode(batch, condition=told)[0])  # prior_std is 1 here
    assert (heard.kl is not None) == (bottleneck in ("vae", "hvae"))
    assert (heard.codes is not None) == (bottleneck in ("vq", "rvq"))
    if heard.codes is not None:
        assert torch.equal(heard.codes, run.model.posterior(batch, told).codes[0])  # type: ignore[index]
        assert run.facts.codebook_size == 16
    if condition != "none":
        other = run.moved(torch.from_numpy(x), LABELS, {"class": "a", "pitch": 60})
        assert not torch.allclose(other, pieces[0].estimate)
        assert torch.equal(run.moved(torch.from_numpy(x), LABELS, LABELS), pieces[0].estimate)
        unknown = run.condition({"class": "none of them"})
        assert unknown is not None
        assert float(unknown.classes.sum()) == 0.0
        assert bool(unknown.pitch.isnan().all())


@torch.inference_mode()
def test_the_kl_of_both_levels_is_what_training_minimises(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nats a frame. The fast level's KL is told the slow level's mean, so training is asked without its noise."""
    run = made(tmp_path, "hvae")
    samples = 32 * 40  # whole groups
    (piece,) = run.encode([sound(samples)])
    monkeypatch.setattr(torch, "randn_like", torch.zeros_like)
    found = run.model.posterior(torch.from_numpy(sound(samples))[None, None])
    assert piece.kl is not None
    assert float(piece.kl.mean()) == pytest.approx(float(found.metrics["kl_nats"]), rel=1e-5)


@torch.inference_mode()
def test_a_vaes_kl_is_in_units_of_its_prior(tmp_path: Path) -> None:
    run = made(tmp_path, "vae")
    run.model.bottleneck.prior_std.copy_(torch.tensor([[0.5], [1.0], [2.0], [3.0]]))  # type: ignore[operator, union-attr]
    (piece,) = run.encode([sound(RATE)])
    x = torch.from_numpy(sound(RATE))[None, None]
    assert piece.kl is not None
    assert piece.latents is not None
    assert float(piece.kl.mean()) == pytest.approx(float(run.model.posterior(x).metrics["kl_nats"]), rel=1e-5)
    scaled = run.model.encode(x)[0] / torch.tensor([[0.5], [1.0], [2.0], [3.0]])
    assert torch.allclose(piece.latents, scaled)


@pytest.mark.parametrize("bottleneck", ["rvq", "hvae"])
@torch.inference_mode()
def test_long_sounds_in_segments_have_the_same_codes_and_levels(bottleneck: str, tmp_path: Path) -> None:
    run = made(tmp_path, bottleneck)
    x = sound(3 * run.context + 777)
    (whole,) = run.reconstruct([x])
    pieces = list(run.reconstruct(reblocked([x], run.context)))
    assert len(pieces) == 4
    for part in ("estimate", "latents", "kl", "codes"):
        values = [getattr(piece, part) for piece in pieces]
        if values[0] is not None:
            assert torch.allclose(torch.cat(values, -1).double(), getattr(whole, part).double(), atol=1e-5)


@pytest.mark.parametrize("oscillators", ["harmonic", "dense"])
@pytest.mark.parametrize("bottleneck", ["vae", "rvq", "hvae"])
@torch.inference_mode()
def test_an_instrument_goes_on_from_segment_to_segment(
    bottleneck: str, oscillators: str, tmp_path: Path
) -> None:
    """Phase, noise and drift continue, and the pitch tracker does: segments are what the whole would be."""
    model = small(bottleneck=bottleneck, oscillators=oscillators, **BOTTLENECKS[bottleneck])
    model.decoder.life.spread[:] = 0.05
    config = RunConfig(model=model.config)
    write_checkpoint(tmp_path / "checkpoints" / "best.ckpt", Checkpoint(config, model.state_dict()))
    run = load_model_under_test(tmp_path)
    assert isinstance(run, Run)
    assert run.facts.latent_dim == model.latent_dim
    frames = 3 * run.context // HOP + 3
    x = melody(frames)[0, 0, :-17].numpy()
    run.block_samples = run.context
    pieces = list(run.reconstruct(reblocked([x], run.context)))
    assert len(pieces) == 4
    estimate = torch.cat([piece.estimate for piece in pieces])
    whole = run.model(torch.from_numpy(x)[None, None])[0, 0]
    assert float((estimate - whole).abs().max()) < 2e-3  # a phase, from a pitch of seven digits, over 50 s
    latents = torch.cat([piece.latents for piece in pieces if piece.latents is not None], 1)
    assert latents.shape == (model.latent_dim, frames)
    controls = model.bottleneck.controls
    assert torch.allclose(latents[:controls], model.encode(torch.from_numpy(x)[None, None])[0, :controls])
    kl = [piece.kl for piece in pieces]
    assert (kl[0] is not None) == (bottleneck != "rvq")


@torch.inference_mode()
def test_an_instrument_told_another_pitch_plays_it(tmp_path: Path) -> None:
    model = small(condition="pitch")
    tones_only(model)
    config = RunConfig(model=model.config)
    write_checkpoint(tmp_path / "checkpoints" / "best.ckpt", Checkpoint(config, model.state_dict()))
    run = load_model_under_test(tmp_path)
    assert isinstance(run, Run)
    made = run.moved(melody(40)[0, 0], {"pitch": 55}, {"pitch": 64})
    assert median_hz(made, INSTRUMENT_RATE) == pytest.approx(midi_hz(64), rel=0.003)


@torch.inference_mode()
def test_the_slow_level_is_swapped_and_nothing_else(tmp_path: Path) -> None:
    run = made(tmp_path, "hvae")
    a, b = (torch.from_numpy(sound(32 * 40, seed)) for seed in (1, 2))
    own = run.with_slow_level_of(a, a)
    assert torch.allclose(own, run.model(a[None, None])[0, 0], atol=1e-5)
    bottleneck = run.model.bottleneck
    assert isinstance(bottleneck, Hierarchical)
    hidden = [run.model.features(x[None, None]) for x in (a, b)]
    before = bottleneck.mean(hidden[0])
    z = bottleneck.with_top_latents_of(*hidden)
    fast = bottleneck.bottom_dim
    assert torch.equal(z[:, fast:], bottleneck.mean(hidden[1])[:, fast:])
    assert not torch.allclose(z[:, :fast], before[:, :fast])  # what the slow level lets expect is the other's
    assert torch.equal(bottleneck.mean(hidden[0]), before)  # and nothing stays behind
    swapped = run.with_slow_level_of(a, b)
    assert torch.equal(swapped, run.model.decode(z, len(a))[0, 0])
