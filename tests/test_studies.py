"""The studies' spectrogram models: their sizes, what their features keep, any length out as it went in."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np
import pytest
import torch

from wavevae.config import ModelConfig, RunConfig, TrainConfig, from_tree, override, to_tree
from wavevae.errors import UserError
from wavevae.nn.bottlenecks.base import Latents
from wavevae.studies.features import FeatureObjectives, accuracy, make_features, make_objectives
from wavevae.studies.spectrogram_model import (
    SpectrogramModel,
    cut_windows,
    overlap_add,
    window_count,
    window_curve,
)
from wavevae.studies.study_config import StudyConfig
from wavevae.studies.study_run import faded
from wavevae.train import arguments

RATE = 8000
STUDIES = ("study-a", "study-b", "study-b-256", "study-c", "study-d", "study-d-vae")
MEL: dict[str, Any] = {
    "spectrogram": "log-mel",
    "n_fft": 256,
    "frame_hop": 64,
    "n_mels": 20,
    "window_frames": 16,
}
STFT: dict[str, Any] = {
    "spectrogram": "stft",
    "n_fft": 256,
    "frame_hop": 60,
    "window_frames": 14,
    "head": "linear",
}


def preset(name: str, **changed: Any) -> RunConfig:
    config = override(arguments.resolve(arguments.parse(["--preset", name])), changed)
    if not config.model.has_class:
        return config
    return dataclasses.replace(config, model=dataclasses.replace(config.model, classes=("a", "b")))


def tiny(kind: dict[str, Any], bottleneck: str = "vae", condition: str = "none", **more: Any) -> RunConfig:
    """A model of a few thousand weights."""
    classes = ("a", "b") if "class" in condition else ()
    model = ModelConfig(
        sample_rate=RATE, latent_dim=4, bottleneck=bottleneck, condition=condition, classes=classes
    )
    reference = StudyConfig(**{**kind, "conv_channels": (8, 12), "label_dim": 3, **more})
    return RunConfig(model=model, study=reference, train=TrainConfig(init="random"))


def tone(samples: int, hz: float = 440.0, level: float = 0.3) -> torch.Tensor:
    return (level * torch.sin(2 * math.pi * hz * torch.arange(samples) / RATE))[None, None]


# -- what the reports say of size ---------------------------------------------------------------------------


def test_study_c_has_as_many_parameters_as_its_report_says() -> None:
    model = SpectrogramModel(preset("study-c"))
    assert sum(p.numel() for p in model.parameters()) == 1_223_793
    x = torch.zeros(2, 1, round(2.032 * 16000))
    assert model.windows(x).shape == (2, 1, 1, 80, 128)
    assert model.encode(x).shape == (2, 32, 1)


@pytest.mark.parametrize(
    ("name", "samples", "shape"),
    [
        ("study-a", 89600, (1, 128, 176)),
        ("study-b", 22050, (1, 128, 88)),
        ("study-b-256", 22050, (1, 256, 88)),
        ("study-c", 32512, (1, 80, 128)),
        ("study-d", 16000, (2, 2001, 54)),
        ("study-d-vae", 16000, (2, 2001, 54)),
    ],
)
def test_a_training_chunk_is_one_window_of_the_studys_shape(
    name: str, samples: int, shape: tuple[int, ...]
) -> None:
    config = preset(name)
    assert round(config.data.chunk_seconds * config.model.sample_rate) == samples
    features = make_features(config.study, config.model.sample_rate)
    seen = cut_windows(features(torch.zeros(1, 1, samples)), config.study.window_frames, features.silence)
    assert seen.shape == (1, 1, *shape)


@pytest.mark.parametrize("name", STUDIES)
def test_presets_are_as_the_reports_say(name: str) -> None:
    config = preset(name)
    said = {
        "study-a": ("ae", "class", 256, "l1", "adamw", "cosine", 64),
        "study-b": ("vae", "none", 128, "mse", "adam", "constant", 32),
        "study-b-256": ("vae", "none", 128, "mse", "adam", "constant", 32),
        "study-c": ("vae", "pitch", 32, "mse", "adam", "constant", 128),
        "study-d": ("ae", "none", 200, "mse", "adam", "plateau", 16),
        "study-d-vae": ("vae", "none", 200, "mse", "adam", "plateau", 16),
    }[name]
    model, reference = config.model, config.study
    found = (model.bottleneck, model.condition, model.latent_dim, reference.feature_distance)
    assert (*found, reference.optimizer, reference.lr_schedule, config.train.batch_size) == said
    assert from_tree(to_tree(config)) == config


def test_a_gaussian_decoder_weighs_d_over_two_sigma_squared() -> None:
    objectives = make_objectives(preset("study-d-vae"))
    numbers = 2 * 2001 * 54
    assert objectives.weights(1.0) == {"feature_mse": numbers / 2, "kl": 1.0}
    assert objectives.weights(0.0)["kl"] == pytest.approx(0.1)  # the baseline
    assert (
        make_objectives(preset("study-d-vae", decoder_sigma=2.0)).weights(1.0)["feature_mse"] == numbers / 8
    )


def test_free_bits_are_a_floor_for_each_dimension() -> None:
    config = preset("study-c")
    objectives = make_objectives(config)
    assert isinstance(objectives, FeatureObjectives)
    kl = torch.tensor([0.1, 0.9])
    zeros = torch.zeros(1, 1, 1, 2, 2)
    raw = objectives.raw(zeros, zeros + 2, Latents(zeros, None, {"kl": kl}, {}))
    assert raw["kl"].item() == pytest.approx((0.5 + 0.9) / 2)  # the study's KL is a mean over dimensions
    assert raw["feature_mse"].item() == 4.0
    assert objectives.weights(0.5)["kl"] == pytest.approx(1.0)  # half way to beta 2
    assert objectives.weights(1.0)["kl"] == 2.0


# -- windows ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("frames", [1, 7, 8, 9, 12, 13, 40])
def test_windows_added_again_are_the_frames(frames: int) -> None:
    x = torch.randn(2, 1, 3, frames)
    seen = cut_windows(x, 8, -1.0)
    assert seen.shape == (2, window_count(frames, 8), 1, 3, 8)
    torch.testing.assert_close(overlap_add(seen)[..., :frames], x)


def test_what_is_missing_of_a_window_is_silence() -> None:
    seen = cut_windows(torch.ones(1, 1, 2, 5), 8, -1.0)
    assert (seen[..., :5] == 1).all()
    assert (seen[..., 5:] == -1).all()


def test_the_curve_is_hann_and_its_halves_add_to_one() -> None:
    curve = window_curve(8)
    torch.testing.assert_close(curve[:4] + curve[4:], torch.ones(4))
    assert (curve > 0).all()


# -- features -----------------------------------------------------------------------------------------------


def test_log_mel_is_within_its_range_and_silence_is_its_floor() -> None:
    features = make_features(StudyConfig(**MEL), RATE)
    loud, quiet = tone(4000), tone(4000, level=0.003)
    features.fit(loud)
    assert features(loud).max() == pytest.approx(1.0, abs=1e-5)
    assert (features(torch.zeros(1, 1, 4000)) == -1).all()
    apart = (features(loud) - features(quiet)).amax()
    assert apart == pytest.approx(2 * 40 / 80, abs=0.01)  # 40 dB: levels are absolute


def test_inverted_log_mel_keeps_pitch_and_level() -> None:
    features = make_features(StudyConfig(**{**MEL, "n_fft": 512, "n_mels": 64}), RATE)
    x = tone(8000)
    features.fit(x)
    y = features.invert(features(x), 8000)
    assert y.shape == x.shape
    spectrum = np.abs(np.fft.rfft(y[0, 0].numpy() * np.hanning(8000)))
    assert abs(int(spectrum.argmax()) - 440) <= 16  # a bin of the transform
    assert 20 * math.log10(y.square().mean().sqrt() / x.square().mean().sqrt()) == pytest.approx(0, abs=3)
    assert torch.equal(y, features.invert(features(x), 8000))  # nothing random from call to call


def test_silence_inverts_to_silence() -> None:
    features = make_features(StudyConfig(**MEL), RATE)
    features.fit(tone(4000))
    assert features.invert(features(torch.zeros(1, 1, 4000)), 4000).abs().max() < 1e-6


@pytest.mark.parametrize("window", ["hann", "rectangular"])
@pytest.mark.parametrize("samples", [1, 100, 4001])
def test_magnitude_and_phase_invert_exactly(window: str, samples: int) -> None:
    features = make_features(StudyConfig(**STFT, stft_window=window), RATE)
    x = 0.1 * torch.randn(2, 1, samples, generator=torch.Generator().manual_seed(0))
    features.fit(x)
    torch.testing.assert_close(features.invert(features(x), samples), x, atol=1e-5, rtol=0)


def test_phases_are_not_averaged_as_numbers() -> None:
    """Half a turn either way is the same phase; the mean of their numbers would be the opposite one."""
    features = make_features(StudyConfig(**STFT), RATE)
    pair = torch.tensor([[1.0, 0.999], [1.0, -0.999]])[..., None, None]  # two windows: magnitude, phase
    mean = features.from_additive(features.additive(pair).mean(0, keepdim=True))
    assert abs(mean[0, 1].item()) == pytest.approx(1.0, abs=0.01)
    assert mean[0, 0].item() == pytest.approx(1.0, abs=0.01)


def test_accuracy_is_the_studys() -> None:
    x = torch.randn(3, 1, 1, 4, 4)
    assert accuracy(x, x).item() == pytest.approx(100)
    assert accuracy(torch.zeros_like(x), x).item() == 0
    assert accuracy(0.5 * x, x).item() == pytest.approx(75)


# -- the whole ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("samples", [1, 500, 960, 2500])
@pytest.mark.parametrize("kind", [MEL, STFT], ids=["log-mel", "stft"])
@torch.inference_mode()
def test_any_length_comes_out_as_it_went_in(kind: dict[str, Any], samples: int) -> None:
    config = tiny(kind, condition="class+pitch", labels_to="both")
    model = SpectrogramModel(config).eval()
    model.spectrum.fit(tone(2000))
    x, condition = tone(samples), model.condition("b", 60.5)
    z = model.encode(x, condition=condition)
    frames = max(samples, config.study.n_fft) // config.study.frame_hop + 1
    assert z.shape == (1, 4, window_count(frames, config.study.window_frames))
    y = model(x, condition)
    assert y.shape == x.shape
    assert torch.isfinite(y).all()
    assert torch.equal(y, model(x, condition))
    assert model.decode(z, condition=condition).shape[-1] == z.shape[-1] * model.hop_length


@pytest.mark.parametrize("network", ["plain", "residual"])
@pytest.mark.parametrize("normalisation", ["none", "batch"])
def test_every_weight_learns(network: str, normalisation: str) -> None:
    config = tiny(
        MEL, condition="class+pitch", labels_to="both", network=network, normalisation=normalisation
    )
    torch.manual_seed(0)
    model, objectives = SpectrogramModel(config), make_objectives(config)
    condition = model.condition("a", 60.0, batch=3)
    target = model.windows(torch.randn(3, 1, 2000))
    latents = model.bottleneck(model.hidden(target, condition))
    raw = objectives.raw(model.decoded(latents.z, condition), target, latents)
    sum(raw.values()).backward()  # type: ignore[union-attr]
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in model.parameters())


@torch.inference_mode()
def test_labels_reach_the_sound_and_none_is_a_label() -> None:
    model = SpectrogramModel(tiny(MEL, condition="class+pitch")).eval()
    z = torch.randn(1, 4, 1)
    made = [
        model.decoded(z, model.condition(*told))
        for told in (("a", 60.0), ("b", 60.0), ("a", 61.0), ("a", 60.5), (None, None))
    ]
    for one in range(5):
        for other in range(one):
            assert not torch.equal(made[one], made[other])
    assert torch.equal(made[-1], model.decoded(z, None))


def test_a_long_sound_in_sections_is_the_whole_apart_from_the_seams() -> None:
    """With a model that only passes on: joined sections are the sound itself, sample by sample."""
    from wavevae.evaluation.model_under_test import Piece

    x = np.random.default_rng(0).standard_normal(1007).astype(np.float32)
    hop = 10

    def through(sound: torch.Tensor) -> Piece:
        frames = torch.arange(-(-len(sound) // hop))[None]
        return Piece(sound, sound, frames)

    pieces = list(faded(np.split(x, range(200, 1000, 200)), hop, through))
    assert len(pieces) == 5
    torch.testing.assert_close(torch.cat([p.estimate for p in pieces]), torch.from_numpy(x))
    assert torch.equal(torch.cat([p.reference for p in pieces]), torch.from_numpy(x))
    assert sum(p.latents.shape[-1] for p in pieces if p.latents is not None) == 101


# -- what is refused ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("argv", "says"),
    [
        (["--set", "widths=[1, 2, 3]"], "widths has no effect on a spectrogram model; leave it out"),
        (["--set", "mr_stft=3"], "mr_stft has no effect on a spectrogram model"),
        (["--bottleneck", "rvq"], "bottleneck rvq: a spectrogram model of the studies has ae or vae"),
        (["--set", "init=linear"], "init linear: a spectrogram model starts at random"),
        (["--set", "network=plane"], "unknown network 'plane'; did you mean 'plain'"),
        (["--set", "frame_hop=2000"], "frame_hop is 2000; use 1 up to half of n_fft (512)"),
        (["--set", "window_frames=7"], "window_frames is 7; use an even number"),
        (["--set", "n_mels=600"], "n_mels is 600; use 1 up to the 513 bins"),
        (["--set", "conv_channels=[]"], "conv_channels is (); use 1 or more like 4,4, each a whole number"),
    ],
)
def test_settings_that_cannot_be(argv: list[str], says: str) -> None:
    with pytest.raises(UserError) as caught:
        arguments.resolve(arguments.parse(["--preset", "study-c", *argv]))
    assert says in str(caught.value)


def test_a_waveform_model_takes_no_spectrogram_settings() -> None:
    with pytest.raises(UserError, match=r"n_mels has no effect on an instrument; leave it out"):
        arguments.resolve(arguments.parse(["--set", "n_mels=20"]))


def test_another_versions_defaults_do_no_harm() -> None:
    """A checkpoint's configuration holds all settings, those without effect too."""
    tree = to_tree(preset("study-c"))
    tree["model"]["codebook_dropout"] = 0.123
    assert from_tree(tree).study.spectrogram == "log-mel"
