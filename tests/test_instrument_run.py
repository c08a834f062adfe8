"""`wavevae train --preset instrument`: every bottleneck and condition trains, resumes and loads; what it refuses."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_run import TINY_INSTRUMENT, workplace

import wavevae
from wavevae import audio
from wavevae.checkpoint import read_checkpoint
from wavevae.cli import dispatch
from wavevae.errors import UserError
from wavevae.evaluation.playing import draws
from wavevae.info import describe_run
from wavevae.train import prior_training
from wavevae.train.__main__ import main
from wavevae.train.arguments import parse, resolve
from wavevae.train.instrument_module import InstrumentModule
from wavevae.train.journal import read_rows

RATE = 8000
SMALL = (*TINY_INSTRUMENT, "--set", "codebook_size=8", "--set", "n_codebooks=2", "--set", "top_dim=1")


def train(*arguments: object) -> int:
    return main([str(a) for a in arguments])


def tone(pitch: float, seconds: float, seed: int) -> np.ndarray:
    t = np.arange(round(seconds * RATE)) / RATE
    turns = 440 * 2 ** ((pitch - 69) / 12) * t
    noise = np.random.default_rng(seed).normal(size=len(t))
    sound = sum(np.sin(2 * np.pi * k * turns) / k for k in range(1, 5)) * np.exp(-t) + 0.01 * noise
    return (0.2 * sound).astype(np.float32)


@pytest.fixture
def notes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Eight notes of two families in NSynth's layout; the test runs in an empty folder."""
    with workplace(tmp_path, monkeypatch):
        folder = tmp_path / "notes"
        (folder / "audio").mkdir(parents=True)
        labels = {}
        for n in range(8):
            family = ("reed", "organ")[n % 2]
            audio.write(folder / "audio" / f"{family}-{n}.wav", tone(50 + 2 * n, 0.8, n), RATE)
            labels[f"{family}-{n}"] = {"instrument_family_str": family, "pitch": 50 + 2 * n}
        (folder / "examples.json").write_text(json.dumps(labels))
        yield folder


@pytest.mark.parametrize(
    ("bottleneck", "condition"),
    [
        ("rvq", "class+pitch"),
        pytest.param("ae", "none", marks=pytest.mark.slow),
        pytest.param("vae", "class", marks=pytest.mark.slow),
        pytest.param("vq", "none", marks=pytest.mark.slow),
        pytest.param("hvae", "pitch", marks=pytest.mark.slow),
    ],
)
def test_every_kind_trains_resumes_and_loads(
    notes: Path, bottleneck: str, condition: str, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ("--bottleneck", bottleneck, "--condition", condition, "--max-steps", 4, "--out", "run")
    assert train(notes, *SMALL, *options) == 0
    said = capsys.readouterr().err
    assert "has one clear pitch from 40 to 2667 Hz: one oscillator bank follows the pitch" in said
    assert "6 latents at" in said
    rows = read_rows(Path("run/metrics.csv"))
    distances = [float(row["val_distance"]) for row in rows if row.get("val_distance")]
    assert len(distances) >= 2
    assert np.isfinite(distances).all()
    assert train("--resume", "--out", "run", "--max-steps", 6) == 0
    checkpoint = read_checkpoint("run/checkpoints/last.ckpt")
    assert checkpoint.step == 6
    assert len(checkpoint.latents["mean"]) == 6
    model = wavevae.load("run")
    x = torch.from_numpy(tone(60, 0.5, 9))[None, None]
    told = model.condition("reed" if "class" in condition else None, 60 if "pitch" in condition else None)
    assert model(x, told).shape == x.shape
    facts = describe_run(Path("run"))
    assert facts["latent_dim"] == 6
    assert facts["algorithmic_latency_samples"] == model.algorithmic_latency > 0


def test_a_resumed_run_is_the_uninterrupted_one(notes: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert train(notes, *SMALL, "--max-steps", 6, "--out", "whole") == 0
    inner = InstrumentModule.optimizer_step

    def stopping(self: InstrumentModule, *args: object, **options: object) -> None:
        inner(self, *args, **options)
        if self.step == 3:
            os.kill(os.getpid(), signal.SIGINT)

    with monkeypatch.context() as patch:
        patch.setattr(InstrumentModule, "optimizer_step", stopping)
        assert train(notes, *SMALL, "--max-steps", 6, "--out", "cut") == 130
    assert read_checkpoint("cut/checkpoints/last.ckpt").step in (3, 4)
    assert train("--resume", "--out", "cut") == 0
    whole, cut = (read_checkpoint(f"{name}/checkpoints/last.ckpt") for name in ("whole", "cut"))
    for one, other in ((whole.live, cut.live), (whole.state, cut.state), (whole.objectives, cut.objectives)):
        for name in one:
            torch.testing.assert_close(one[name], other[name], rtol=1e-5, atol=1e-6, msg=name)


@pytest.mark.slow
def test_every_command_takes_a_run_of_an_instrument(
    notes: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As typed: export, render, encode, evaluate of run and file, explore, info, parts."""
    monkeypatch.setattr(draws, "MINUTE_S", 2.0)
    assert train(notes, *SMALL, "--max-steps", 4, "--out", "run") == 0
    sound = notes / "audio" / "reed-0.wav"
    for words in (
        ("export", "run", "-o", "mine.ts"),
        ("render", "mine.ts", "--input", sound, "--transpose", 0, "--fit", 0, "-o", "again.wav"),
        ("encode", "mine.ts", sound, "-o", "z.npy"),
        ("evaluate", "run", notes, "-o", "of-run"),
        ("evaluate", "mine.ts", notes, "-o", "of-file"),
        ("explore", "run", notes, "--no-umap", "-o", "explored"),
        ("parts", "run", "-o", "parts"),
        ("info", "run"),
        ("info", "mine.ts"),
    ):
        assert dispatch([str(word) for word in words]) == 0, words
    assert "noisiness" in capsys.readouterr().out
    x = torch.from_numpy(audio.read_mono(sound, RATE))[None, None]
    with torch.inference_mode():
        expected = wavevae.load("run")(x)[0, 0].numpy()
    np.testing.assert_allclose(audio.read_mono(Path("again.wav"), RATE), expected, atol=2e-3)
    of_run, of_file = (json.loads(Path(f"of-{name}/report.json").read_text()) for name in ("run", "file"))
    assert of_run["latent_dim"] == of_file["latent_dim"] == 6
    assert of_run["mr_stft"] == pytest.approx(of_file["mr_stft"], rel=0.02)
    assert of_run["kl_nats"] > 0
    for name in ("sample_drift", "performed_frechet", "velocity_loudness_r"):
        assert of_run["playing"][name] == pytest.approx(of_file["playing"][name], rel=0.1), name


@pytest.mark.slow
def test_a_discriminator_joins_an_instrument(notes: Path) -> None:
    opposed = (
        "adversarial=0.5",
        "feature_matching=0.5",
        "adversarial_start=0.25",
        "discriminator_n_ffts=[128]",
    )
    settings = [word for setting in opposed for word in ("--set", setting)]
    trained = {}
    for of in ("all", "decoder"):
        assert (
            train(
                notes, *SMALL, *settings, "--set", f"adversarial_trains={of}", "--max-steps", 4, "--out", of
            )
            == 0
        )
        rows = read_rows(Path(of) / "metrics.csv")
        assert any(row.get("discriminator") for row in rows)
        trained[of] = read_checkpoint(f"{of}/checkpoints/last.ckpt")
    assert trained["all"].adversary["steps"] == trained["decoder"].adversary["steps"] > 0


def test_noise_has_no_pitch_and_is_learned_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with workplace(tmp_path, monkeypatch):
        (tmp_path / "wind").mkdir()
        for n in range(4):
            noise = 0.1 * np.random.default_rng(n).normal(size=RATE).astype(np.float32)
            audio.write(tmp_path / "wind" / f"{n}.wav", noise, RATE)
        assert train(tmp_path / "wind", *SMALL, "--chunk", 1, "--max-steps", 3, "--out", "run") == 0
        assert (
            "0% of what is loud has one clear pitch from 40 to 2667 Hz: noise alone, no pitch"
            in capsys.readouterr().err
        )
        model = wavevae.load("run")
        assert model.config.axis_names == ("loudness", "brightness", "noisiness", "timbre 1")
        assert torch.isfinite(model(torch.randn(1, 1, 3000))).all()


@pytest.mark.slow
@pytest.mark.parametrize("hz", [18.0, 3600.0])
def test_pitches_beyond_the_tracker_s_range_are_learned_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, hz: float
) -> None:
    with workplace(tmp_path, monkeypatch):
        (tmp_path / "far").mkdir()
        t = np.arange(RATE) / RATE
        for n in range(3):
            sound = 0.2 * np.sin(2 * np.pi * (hz + n) * t)
            audio.write(tmp_path / "far" / f"{n}.wav", sound.astype(np.float32), RATE)
        assert train(tmp_path / "far", *SMALL, "--max-steps", 3, "--out", "run") == 0
        model = wavevae.load("run")
        assert torch.isfinite(model(torch.from_numpy(sound).float()[None, None])).all()


@pytest.mark.slow
@pytest.mark.parametrize("samples", [1, 100, 700])
def test_a_sound_shorter_than_a_chunk_or_a_hop_is_enough(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, samples: int
) -> None:
    with workplace(tmp_path, monkeypatch):
        (tmp_path / "short").mkdir()
        audio.write(tmp_path / "short" / "long.wav", tone(60, 0.6, 1), RATE)
        audio.write(tmp_path / "short" / "short.wav", tone(60, 1, 1)[:samples], RATE)
        assert (
            train(tmp_path / "short", *SMALL, "--max-steps", 2, "--set", "validation_share=0", "--out", "run")
            == 0
        )


REFUSED = {
    "fold=32": "fold has no effect on an instrument",
    "ratios=[4,4]": "ratios has no effect on an instrument",
    "widths=[8,8,8]": "widths has no effect on an instrument",
    "hop_overlap=2": "hop_overlap has no effect on an instrument",
    "pitch_semitones=2": "its pitches are found on the sounds as they are",
    "cache_on_device=always": "cut on the CPU",
    "noise_bands=0": "noise_bands is 0",
}


@pytest.mark.parametrize("setting", REFUSED)
def test_what_says_nothing_to_an_instrument_is_refused(setting: str) -> None:
    with pytest.raises(UserError) as error:
        resolve(parse(["sounds", "--preset", "instrument", "--set", setting]))
    assert REFUSED[setting] in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "setting",
    ["frames_per_second=100", "oscillators=dense", "carriers=64", "decoder_width=64", "mel_bands=32"],
)
def test_what_says_nothing_to_a_codec_is_refused(setting: str) -> None:
    with pytest.raises(UserError, match="has no effect on a codec"):
        resolve(parse(["sounds", "--preset", "codec", "--set", setting]))


def test_a_run_ends_with_a_prior_and_a_signal_in_it_loses_nothing(
    notes: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(*_: object) -> int:
        os.kill(os.getpid(), signal.SIGTERM)
        raise KeyboardInterrupt

    def prior_of(name: str) -> object:
        return read_checkpoint(Path("run") / "checkpoints" / f"{name}.ckpt").latents.get("prior")

    with monkeypatch.context() as patch:
        patch.setattr(prior_training, "fit", interrupted)
        asked = ("--max-steps", 4, "--out", "run")
        assert train(notes, *TINY_INSTRUMENT, *asked) == 128 + signal.SIGTERM
    assert "resume with: wavevae train --resume --out run" in capsys.readouterr().err
    assert read_checkpoint(Path("run/checkpoints/last.ckpt")).step == 4
    assert prior_of("best") is None
    assert train("--resume", "--out", "run") == 0
    assert prior_of("best") is not None
    assert prior_of("last") is not None
    assert wavevae.load("run").prior is not None
    assert "audio-seconds a second" not in capsys.readouterr().err
    with pytest.raises(UserError, match="used up after 4 steps"):
        train("--resume", "--out", "run")


def test_prior_off_is_off(notes: Path) -> None:
    assert train(notes, *TINY_INSTRUMENT, "--max-steps", 4, "--set", "prior=off", "--out", "run") == 0
    assert wavevae.load("run").prior is None
