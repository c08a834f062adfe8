"""`wavevae train` with codes and labels: what it leaves behind, that it resumes exactly, what it refuses."""

import json
import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_run import TINY, workplace

from wavevae import audio
from wavevae.checkpoint import load_model, read_checkpoint
from wavevae.errors import UserError
from wavevae.evaluation.tracks import median_hz, midi_hz
from wavevae.export.__main__ import main as export
from wavevae.realtime.offline.render import main as render
from wavevae.train.__main__ import main
from wavevae.train.journal import read_rows
from wavevae.train.module import TrainingModule


@pytest.fixture
def notes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Twelve tones in NSynth's layout, two families, one note without a label; the test runs in an empty folder."""
    with workplace(tmp_path, monkeypatch):
        for split, count in (("train", 8), ("valid", 4)):
            folder = tmp_path / "notes" / split
            (folder / "audio").mkdir(parents=True)
            labels = {}
            t = np.arange(6000) / 8000
            for n in range(count):
                pitch, family = 50 + 2 * n + (split == "valid"), ("reed", "organ")[n % 2]
                tone = 0.3 * np.sin(2 * np.pi * 440 * 2 ** ((pitch - 69) / 12) * t + n)
                audio.write(folder / "audio" / f"{family}-{n}.wav", tone.astype(np.float32), 8000)
                labels[f"{family}-{n}"] = {"instrument_family_str": family, "pitch": pitch}
            if split == "train":
                del labels["organ-7"]
            (folder / "examples.json").write_text(json.dumps(labels))
        yield tmp_path / "notes"


SMALL = (*TINY, "--set", "codebook_size=8", "--set", "n_codebooks=2", "--set", "partials=8")


def train(*arguments: object) -> int:
    return main([str(a) for a in arguments])


def test_a_run_with_codes_and_labels(notes: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = ("--bottleneck", "rvq", "--condition", "class+pitch", "--max-steps", 20, "--out", "run")
    assert train(notes, *SMALL, *options) == 0
    said = capsys.readouterr().err
    assert "2 classes of instrument_family: organ 3, reed 4; 1 files without a class" in said
    assert "pitches 50 to 64" in said  # the tracker's, of the one without a label
    assert "(1 by the pitch tracker)" in said
    checkpoint = read_checkpoint("run/checkpoints/last.ckpt")
    assert checkpoint.config.model.classes == ("organ", "reed")
    assert checkpoint.origin["labels"]["pitch_range"] == pytest.approx([50.0, 64.0], abs=0.1)
    model = load_model("run")
    x = torch.randn(1, 1, 999)
    assert model(x, model.condition("reed", 60.5)).shape == x.shape
    columns = set(read_rows(Path("run/metrics.csv"))[-1])
    assert {"codebook_perplexity", "codebook_usage", "kbit_s", "commitment"} <= columns
    assert {"val_codebook_perplexity", "val_codebook_usage"} <= columns
    assert {"val_distance_mistold_class", "val_distance_mistold_pitch"} <= columns
    assert Path("run/codebooks.png").is_file()
    assert Path("run/term_losses.png").is_file()


@pytest.mark.parametrize("bottleneck", ["vae", pytest.param("rvq", marks=pytest.mark.slow)])
def test_an_exported_note_is_played_at_the_pitch_it_is_told(notes: Path, bottleneck: str) -> None:
    """The journey of a pitch: NSynth's label -> training -> the file's attribute -> what is measured in the sound."""
    options = ("--bottleneck", bottleneck, "--condition", "pitch", "--max-steps", 20, "--out", "run")
    assert train(notes, *SMALL, *options) == 0
    assert export(["run", "-o", "mine.ts"]) == 0
    heard = str(notes / "train/audio/reed-4.wav")  # at 58
    for pitch in (58.0, 65.0, 53.5):
        labels = ["--input-pitch", "58", "--pitch", f"{pitch}"]
        assert render(["mine.ts", "--input", heard, *labels, "-o", "out.wav"]) == 0
        sound = torch.from_numpy(audio.read_mono("out.wav", 8000))
        hz = median_hz(sound[1000:5000], 8000)
        assert hz is not None
        assert abs(1200 * math.log2(hz / midi_hz(pitch))) < 15


def test_an_hvae_run_logs_both_levels(notes: Path) -> None:
    options = ("--bottleneck", "hvae", "--set", "top_dim=1", "--set", "top_every=2", "--max-steps", 20)
    assert train(notes, *SMALL, *options, "--out", "run") == 0
    columns = set(read_rows(Path("run/metrics.csv"))[-1])
    assert {"kl", "kl_top", "kl_nats_top", "kl_weight", "kl_top_weight", "val_kl_top"} <= columns
    assert Path("run/beta_vs_kl.png").is_file()


@pytest.mark.slow
def test_stopped_and_resumed_equals_uninterrupted(notes: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Codebooks, their averages and their restarts included; the stop comes at step 7, whatever the clock."""
    options = (notes, *SMALL, "--bottleneck", "vq", "--condition", "class+pitch", "--max-steps", 24)
    assert train(*options, "--out", "whole") == 0
    step = TrainingModule.optimizer_step

    def stopped(module: TrainingModule, *arguments: object, **named: object) -> None:
        module.stop_asked = module.step == 6
        step(module, *arguments, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(TrainingModule, "optimizer_step", stopped)
    train(*options, "--out", "broken")
    monkeypatch.setattr(TrainingModule, "optimizer_step", step)
    assert read_checkpoint("broken/checkpoints/last.ckpt").step == 7
    assert train("--resume", "--out", "broken") == 0
    one, other = (read_checkpoint(f"{run}/checkpoints/last.ckpt") for run in ("whole", "broken"))
    assert one.step == other.step == 24
    assert {"bottleneck.stages.0.codebook.sums", "bottleneck.stages.0.codebook.started"} <= set(one.live)
    for mine, theirs in ((one.live, other.live), (one.state, other.state)):
        for name in mine:
            torch.testing.assert_close(mine[name], theirs[name], rtol=1e-5, atol=1e-6, msg=name)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (
            ("--bottleneck", "vq", "--set", "codebook_size=4096"),
            "codebook_size is 4096, but the sounds have .* frames",
        ),
        (("--condition", "pich"), "unknown condition 'pich'; did you mean 'pitch'"),
        (("--condition", "class", "--class-field", "source"), "--class-field source: no file has it"),
        (("--bottleneck", "hvae", "--set", "top_dim=3"), "top_dim is 3; use 1 up to latent_dim - 1"),
    ],
)
def test_what_cannot_be_is_one_line(notes: Path, options: tuple[str, ...], says: str) -> None:
    with pytest.raises(UserError, match=says):
        train(notes, *SMALL, *options, "--max-steps", 2, "--out", "run")
