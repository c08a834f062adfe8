"""What evaluation is given when it is not what it was made for: it says so, or it makes no difference."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soxr
import torch

from wavevae import audio
from wavevae.checkpoint import Checkpoint, write_checkpoint
from wavevae.config import ModelConfig, RunConfig
from wavevae.errors import UserError
from wavevae.evaluation import codec
from wavevae.evaluation.__main__ import main
from wavevae.nn.model import Autoencoder

RATE = 8000
QUICK = ("--generate", "0", "--probe-files", "0", "--pairs", "0", "--no-playing")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that was stopped before its first validation: there is last.ckpt only."""
    folder = tmp_path_factory.mktemp("runs") / "early"
    model = ModelConfig(sample_rate=RATE, fold=8, ratios=(4,), widths=(6, 8), dilations=(1,), latent_dim=3)
    torch.manual_seed(0)
    checkpoint = Checkpoint(RunConfig(model=model), Autoencoder(model).state_dict(), step=3)
    write_checkpoint(folder / "checkpoints" / "last.ckpt", checkpoint)
    return folder


def tone(folder: Path, rate: int) -> Path:
    """Two seconds of partials below 3 kHz, made at 8 kHz, brought to `rate`."""
    t = np.arange(2 * RATE) / RATE
    sound = sum(np.sin(2 * np.pi * 440 * k * t) / k for k in range(1, 7)) * 0.1
    audio.write(folder / "tone.wav", soxr.resample(sound, RATE, rate).astype(np.float32), rate)
    return folder


def evaluate(run: Path, data: Path, out: Path, *more: str) -> dict[str, Any]:
    assert main([str(run), str(data), "-o", str(out), *QUICK, *more]) == 0
    found: dict[str, Any] = json.loads((out / "report.json").read_text())
    return found


def test_sounds_at_another_rate_are_judged_at_the_models(run: Path, tmp_path: Path) -> None:
    same, other = (
        evaluate(run, tone(tmp_path / str(rate), rate), tmp_path / f"report-{rate}") for rate in (RATE, 44100)
    )
    assert same["chunks_used"] == other["chunks_used"] == 2
    for name in ("log_mel_l1", "si_sdr_db", "mse"):
        assert other[name] == pytest.approx(same[name], rel=0.02, abs=0.02), name


def test_a_run_without_a_best_checkpoint_is_judged_from_its_last_and_it_is_said(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = evaluate(run, tone(tmp_path / "a", RATE), tmp_path / "report")
    said = f"{run} has no best.ckpt, as it was never validated: last.ckpt was judged"
    assert found["remarks"] == [said]
    assert said in capsys.readouterr().err
    asked = evaluate(run, tmp_path / "a", tmp_path / "again", "--checkpoint", "last")
    assert asked["remarks"] == []


def test_silent_files_only_are_refused_with_their_count(run: Path, tmp_path: Path) -> None:
    for name in "ab":
        audio.write(tmp_path / "silent" / f"{name}.wav", np.zeros(2 * RATE, np.float32), RATE)
    with pytest.raises(UserError, match="4 seconds are silent"):
        main([str(run), str(tmp_path / "silent"), "-o", str(tmp_path / "out"), *QUICK])
    assert not (tmp_path / "out").exists()


def test_anchors_without_a_codec_are_left_out_and_it_is_said(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(codec.soundfile, "available_subtypes", lambda container: {})
    monkeypatch.setattr(codec.shutil, "which", lambda name: None)
    codec.ffmpeg_has_opus.cache_clear()
    try:
        data = tone(tmp_path / "a", RATE)
        found = evaluate(run, data, tmp_path / "report", "--anchors", "--checkpoint", "last")
    finally:
        codec.ffmpeg_has_opus.cache_clear()
    assert found["equals_opus_kbps"] is None
    assert "so there are no anchors; install ffmpeg" in found["remarks"][0]
    assert "install ffmpeg" in capsys.readouterr().err


def test_foreign_sound_that_is_not_there_is_told_before_the_work(run: Path, tmp_path: Path) -> None:
    argv = [str(run), str(tone(tmp_path / "own", RATE)), "-o", str(tmp_path / "out"), *QUICK]
    with pytest.raises(UserError, match="nowhere"):
        main([*argv, "--transfer", str(tmp_path / "nowhere")])
    assert not (tmp_path / "out" / "report.json").exists()


def test_foreign_sound_of_any_rate_is_sent_through_unless_playing_is_left_out(
    run: Path, tmp_path: Path
) -> None:
    own = tone(tmp_path / "own", RATE)
    hiss = 0.1 * np.random.default_rng(0).standard_normal(3 * 44100)
    for name in "ab":
        audio.write(tmp_path / "foreign" / f"{name}.wav", hiss.astype(np.float32), 44100)
    argv = [str(run), str(own), "-o", str(tmp_path / "out"), *(q for q in QUICK if q != "--no-playing")]
    assert main([*argv, "--transfer", str(tmp_path / "foreign")]) == 0
    playing = json.loads((tmp_path / "out" / "report.json").read_text())["playing"]
    assert playing["foreign"] == "2 files given"
    assert playing["transfer_sounds"] == 1  # the judge has learned the other one
    assert playing["transfer_pitch_kept"] is None  # hiss has no pitch, and the report says so
    assert "transfer_pitch_kept" in playing["why"]
    assert main([*argv, "--no-playing"]) == 0
    assert "playing" not in json.loads((tmp_path / "out" / "report.json").read_text())
    assert not (tmp_path / "out" / "playing").exists()
