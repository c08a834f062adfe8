"""`wavevae evaluate` from end to end on toy models: the right files, the right figures, whole reports, plain errors."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from toy_bundle import write_toy

from wavevae import audio, plots
from wavevae.bundle import read_bundle
from wavevae.checkpoint import Checkpoint, write_checkpoint
from wavevae.config import DataConfig, ModelConfig, RunConfig, to_tree
from wavevae.corpus import build_store, split
from wavevae.errors import UserError
from wavevae.evaluation import excerpts, report
from wavevae.evaluation.__main__ import main
from wavevae.evaluation.file_under_test import load_model_under_test
from wavevae.evaluation.selection import Source, between, reblocked
from wavevae.latents import LatentStatistics
from wavevae.nn.model import Autoencoder

pytestmark = pytest.mark.usefixtures("drawn_pictures")

RATE = 8000
QUICK = ("--generate", "0", "--probe-files", "0", "--no-playing")
FIRST_FORM = {
    "mr_stft",
    "log_mel_l1",
    "si_sdr_db",
    "accuracy_waveform",
    "accuracy_stft",
    "mse",
    "cosine_similarity",
    "kl_nats",
    "active_dims",
    "level_difference_db",
    "hop_rate_energy_db",
    "chunks_used",
    "chunks_left_out",
    "fad",
    "fad_embedding",
    "fad_generated",
    "diversity_real",
    "diversity_reconstructed",
    "diversity_generated",
    "pitched_chunks",
    "pitch_lost",
}
"""Keys of report.json with a figure for any run with a prior on sounds with a pitch."""
NEITHER = {"codebook_perplexity", "codebook_usage", "equals_opus_kbps"}
"""There, and none: no quantizer, no --anchors."""


def sound(seconds: float, seed: int, rate: int = RATE) -> np.ndarray:
    rng = np.random.default_rng(seed)
    t = np.arange(round(seconds * rate)) / rate
    tone = sum(np.sin(2 * np.pi * k * (200 + 40 * seed) * t) / k for k in range(1, 6))
    return (0.1 * tone * np.exp(-t) + 0.01 * rng.standard_normal(len(t))).astype(np.float32)


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WAVEVAE_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))


@pytest.fixture(scope="module")
def sounds(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight files in two families, one of them silent for its second half; and one that is no sound."""
    folder = tmp_path_factory.mktemp("data") / "sounds"
    for index in range(8):
        x = sound(1.6 + 0.2 * index, index)
        if index == 3:
            x = np.concatenate([x[:RATE], np.zeros(2 * RATE, np.float32)])
        audio.write(folder / ("low" if index < 4 else "high") / f"note {index}.wav", x, RATE)
    (folder / "low" / "broken.wav").write_bytes(b"not a sound")
    return folder


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, sounds: Path) -> Path:
    """A run as `train` leaves it, of a model that has learned nothing."""
    folder = tmp_path_factory.mktemp("runs") / "mine"
    model = ModelConfig(sample_rate=RATE, fold=8, ratios=(4,), widths=(6, 8), dilations=(1, 3), latent_dim=3)
    config = RunConfig(model=model, data=DataConfig(validation_share=0.25))
    torch.manual_seed(0)
    autoencoder = Autoencoder(model)
    for parameter in autoencoder.parameters():
        parameter.data += 0.05 * torch.randn_like(parameter)
    state = autoencoder.state_dict()
    frames = np.random.default_rng(0).standard_normal((300, 3)).cumsum(0) * 0.1
    prior = LatentStatistics.fit([frames]).to_dict()
    checkpoint = Checkpoint(config, state, step=12, origin={"commit": "abc"}, latents=prior)
    write_checkpoint(folder / "checkpoints" / "best.ckpt", checkpoint)
    tree = {**to_tree(config), "run": {"inputs": [str(sounds)]}}
    (folder / "config.yaml").write_text(yaml.safe_dump(tree))
    return folder


@pytest.fixture
def model(tmp_path: Path) -> Path:
    write_toy(tmp_path / "toy.ts", sample_rate=RATE, hop_length=64)
    return tmp_path / "toy.ts"


# -- the subject --------------------------------------------------------------------------------------------


@torch.inference_mode()
def test_a_long_sound_in_segments_is_what_it_is_in_one_go(run: Path) -> None:
    subject = load_model_under_test(run)
    subject.block_samples = subject.context  # type: ignore[union-attr]  # short segments, for the test's sake
    x = sound(25.0, 1)
    pieces = list(subject.reconstruct(reblocked([x], subject.block_samples)))
    assert len(pieces) > 3
    whole = subject.model(torch.from_numpy(x)[None, None])[0, 0]  # type: ignore[union-attr]
    latents = subject.model.encode(torch.from_numpy(x)[None, None])[0]  # type: ignore[union-attr]
    assert torch.allclose(torch.cat([piece.estimate for piece in pieces]), whole, atol=1e-5)
    assert torch.equal(torch.cat([piece.reference for piece in pieces]), torch.from_numpy(x))
    means = torch.cat([piece.latents for piece in pieces if piece.latents is not None], dim=-1)
    assert torch.allclose(means, latents, atol=1e-5)


@torch.inference_mode()
def test_a_model_file_is_streamed_with_its_state_and_starts_anew_for_each_sound(model: Path) -> None:
    subject = load_model_under_test(model)
    subject.block_samples = 640
    x = sound(1.0, 2)[:7777]
    for _ in range(2):
        pieces = list(subject.reconstruct(reblocked([x], 640)))
        module = read_bundle(model).module
        padded = np.pad(x, (0, -len(x) % 64))
        whole = module(torch.from_numpy(padded)[None, None])[0, 0, : len(x)]
        assert torch.allclose(torch.cat([piece.estimate for piece in pieces]), whole, atol=1e-5)


def test_streams_are_cut_and_reblocked() -> None:
    x = np.arange(1000, dtype=np.float32)
    for start, stop in [(0, 1000), (130, 777), (999, 5000), (64, 65)]:
        parts = list(reblocked(between(reblocked([x], 64), start, stop), 100))
        assert np.array_equal(np.concatenate(parts), x[start:stop])
        assert all(len(part) == 100 for part in parts[:-1])


# -- the command --------------------------------------------------------------------------------------------


def test_a_run_is_judged_and_the_report_is_whole(
    run: Path, sounds: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "report"
    assert main([str(run), str(sounds), "-o", str(out), "--json", "--pairs", "3"]) == 0
    printed, told = capsys.readouterr()
    found = json.loads((out / "report.json").read_text())
    assert json.loads(printed) == found
    assert set(found) >= FIRST_FORM
    assert [name for name in sorted(FIRST_FORM) if found[name] is None] == []
    assert "pitch_error_cents" in found  # none: a model that has learned nothing has no pitch
    assert {name: found[name] for name in NEITHER} == dict.fromkeys(NEITHER)
    low, high = found["confidence"]["mr_stft"]
    assert low < found["mr_stft"] < high
    assert set(found["about"]) <= set(found)
    assert (found["sample_rate"], found["hop_length"], found["files"]) == (RATE, 32, 8)
    assert found["details"]["step"] == 12
    assert found["details"]["commit"] == "abc"
    assert [entry["path"].endswith("broken.wav") for entry in found["files_skipped"]] == [True]
    rows = list(csv.DictReader((out / "chunks.csv").open()))
    assert len(rows) == found["chunks_used"]
    mean = sum(float(row["mr_stft"]) for row in rows) / len(rows)
    assert found["mr_stft"] == pytest.approx(mean, rel=1e-4)
    assert found["chunks_left_out"] == 2
    assert "mr_stft" in told
    assert sorted(p.name for p in out.iterdir()) == sorted({*report.PARTS} - {"samples"})  # of --samples
    assert audio.probe(out / "generated" / "1.wav").frames == 5 * RATE
    assert len(list((out / "latents").glob("*.png"))) == 3
    assert len(list((out / "spectrograms").glob("*.png"))) == 3
    assert len(list((out / "pairs").glob("*.wav"))) == 6


def test_pairs_are_the_reference_and_what_the_model_makes_of_it(
    model: Path, sounds: Path, tmp_path: Path
) -> None:
    out = tmp_path / "report"
    assert main([str(model), str(sounds / "high"), "-o", str(out), "--pairs", "2", *QUICK]) == 0
    for path in (out / "pairs").glob("*-reference.wav"):
        name = path.name.removesuffix("-reference.wav")[3:].replace("high-note-", "note ")
        reference = audio.read_mono(sounds / "high" / f"{name}.wav", RATE)
        assert np.abs(audio.read_mono(path, RATE) - reference).max() < 1e-6
        other = audio.read_mono(path.with_name(path.name.replace("reference", "reconstruction")), RATE)
        module = read_bundle(model).module
        whole = module(torch.from_numpy(np.pad(reference, (0, -len(reference) % 64)))[None, None])
        assert np.abs(other - whole[0, 0, : len(reference)].numpy()).max() < 1e-5
    found = json.loads((out / "report.json").read_text())
    assert found["kl_nats"] is None  # a MODEL.ts shows no posterior
    assert found["subject_kind"] == "model"


def test_only_what_the_run_held_out(run: Path, sounds: Path, tmp_path: Path) -> None:
    config = RunConfig(data=DataConfig(validation_share=0.25))
    store = build_store([sounds], RATE, config.data.loudness)
    _, validation = split(store, 0.25, 0)
    wanted = {Path(item.path).name for item in validation}
    assert len(wanted) == 2
    drawn, reported = tmp_path / "drawn", tmp_path / "reported"
    assert main([str(run), str(sounds), "--held-out", "-o", str(drawn), "--pairs", "1", *QUICK]) == 0
    with (run / "data_report.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["path", "status", "seconds", "reason"])
        for item in store.items:
            table.writerow([item.path, "used", 1.0, "validation" if Path(item.path).name in wanted else ""])
    assert (
        main(
            [
                str(run / "checkpoints" / "best.ckpt"),
                "--held-out",
                "-o",
                str(reported),
                "--pairs",
                "0",
                *QUICK,
            ]
        )
        == 0
    )
    for out in (drawn, reported):
        rows = csv.DictReader((out / "chunks.csv").open())
        assert {Path(row["file"]).name for row in rows} == wanted


def test_one_split_of_an_nsynth_set(model: Path, tmp_path: Path) -> None:
    for name in ("train", "test"):
        audio.write(tmp_path / "set" / name / "audio" / f"{name}_note.wav", sound(1.0, 1), RATE)
        (tmp_path / "set" / name / "examples.json").write_text(json.dumps({f"{name}_note": {"pitch": 60}}))
    out = tmp_path / "report"
    assert main([str(model), str(tmp_path / "set"), "--split", "test", "-o", str(out), *QUICK]) == 0
    assert "test_note.wav" in (out / "chunks.csv").read_text()
    assert "train_note.wav" not in (out / "chunks.csv").read_text()
    with pytest.raises(UserError, match="no valid/"):
        main([str(model), str(tmp_path / "set"), "--split", "valid", "-o", str(out)])


def test_no_more_than_max_seconds(model: Path, tmp_path: Path) -> None:
    audio.write(tmp_path / "long.wav", sound(40.0, 1), RATE)
    out = tmp_path / "report"
    assert main([str(model), str(tmp_path / "long.wav"), "-o", str(out), "--max-seconds", "3", *QUICK]) == 0
    found = json.loads((out / "report.json").read_text())
    assert (found["seconds"], found["chunks_used"]) == (3.0, 3)


def test_a_second_report_replaces_the_first_and_nothing_else(
    model: Path, sounds: Path, tmp_path: Path
) -> None:
    out = tmp_path / "report"
    assert main([str(model), str(sounds), "-o", str(out), "--pairs", "2", *QUICK]) == 0
    (out / "mine.txt").write_text("keep")
    assert main([str(model), str(sounds / "high"), "-o", str(out), "--pairs", "1", *QUICK]) == 0
    assert len(list((out / "pairs").iterdir())) == 2
    assert json.loads((out / "report.json").read_text())["files"] == 4
    assert (out / "mine.txt").read_text() == "keep"


def test_a_damaged_file_is_judged_as_far_as_it_goes(model: Path, tmp_path: Path) -> None:
    folder = tmp_path / "data"
    audio.write(folder / "good.wav", sound(2.0, 1), RATE)
    x = sound(6.0, 2)
    x[5 * RATE :] = np.nan
    import soundfile

    soundfile.write(folder / "nan.wav", x, RATE, subtype="FLOAT")
    out = tmp_path / "report"
    assert main([str(model), str(folder), "-o", str(out), *QUICK]) == 0
    found = json.loads((out / "report.json").read_text())
    assert found["chunks_used"] >= 2
    assert "NaN" in found["files_skipped"][0]["reason"]


# -- what users get wrong -----------------------------------------------------------------------------------


def test_errors_are_advice(model: Path, run: Path, sounds: Path, tmp_path: Path) -> None:
    audio.write(tmp_path / "silent" / "a.wav", np.zeros(3 * RATE, np.float32), RATE)
    (tmp_path / "texts").mkdir()
    (tmp_path / "texts" / "a.txt").write_text("a")
    (tmp_path / "taken" / "pairs").mkdir(parents=True)
    (tmp_path / "file").write_text("a")
    out = ["-o", str(tmp_path / "out")]
    wrong = [
        ([str(model), *out], "no DATA"),
        ([str(model), str(sounds)], "-o"),
        ([str(tmp_path / "gone"), str(sounds), *out], "give a run folder or a MODEL.ts"),
        ([str(tmp_path / "file"), str(sounds), *out], "not a TorchScript"),
        ([str(sounds), str(sounds), *out], "no best.ckpt"),
        ([str(model), str(tmp_path / "gone"), *out], "no such file"),
        ([str(model), str(tmp_path / "texts"), *out], "no sound file"),
        ([str(model), str(tmp_path / "silent"), *out], "3 seconds are silent"),
        ([str(model), "--held-out", *out], "needs a run folder"),
        ([str(model), str(sounds), *out, "--max-seconds", "0"], "more than 0"),
        ([str(model), str(sounds), *out, "--pairs", "-1"], "0 to 200"),
        ([str(model), str(sounds), *out, "--generate", "-1"], "0 to 3600"),
        ([str(model), str(sounds), *out, "--probe-files", "-1"], "0 or more"),
        ([str(model), str(sounds), *out, "--embedding", "vggish"], "needs its weights"),
        ([str(model), str(sounds), *out, "--embedding", "clap=gone"], "nothing at gone"),
        ([str(model), str(sounds), *out, "--also", str(model)], "same folder twice|same"),
        (out, "nothing to evaluate"),
        (["--compare", str(sounds), str(model), *out], "no report there"),
        (["--compare", str(sounds), *out], "two folders"),
        ([str(model), "--compare", str(sounds), *out], "evaluates nothing"),
        ([str(model), str(sounds), "-o", str(tmp_path / "file")], "is a file"),
        ([str(model), str(sounds), "-o", str(tmp_path / "taken")], "from elsewhere"),
    ]
    for argv, message in wrong:
        with pytest.raises(UserError, match=message):
            main(argv)
    assert not (tmp_path / "out").exists()


def test_the_help_is_quick_and_shows_an_example() -> None:
    code = "import sys; from wavevae.cli import main; sys.argv = ['wavevae', 'evaluate', '--help']\n"
    code += "try: main()\nexcept SystemExit: pass\nassert 'torch' not in sys.modules"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "example:" in done.stdout


# -- moments and pictures -----------------------------------------------------------------------------------


def test_moments_are_spread_over_everything() -> None:
    sources = [Source(Path(f"{i}.wav"), f"{i}.wav", 2.0) for i in range(20)] + [Source(Path("l"), "l", 60.0)]
    planned = excerpts.plan_excerpts(sources, 10, 1000)
    assert sum(len(group) for group in planned.values()) == 10
    assert len(planned[20]) == 6
    for excerpt in planned[20]:
        assert 0 <= excerpt.start <= excerpt.stop - 5000 <= 55000
    assert [len(group) for group in excerpts.plan_excerpts(sources[:1], 10, 1000).values()] == [1]
    assert excerpts.plan_excerpts(sources, 0, 1000) == {}


def test_spectrograms_show_decibels_where_the_sound_is() -> None:
    t = np.arange(RATE) / RATE
    power = plots.power_spectrogram(0.5 * np.sin(2 * np.pi * 1000 * t))
    assert power.argmax(axis=0)[5:-5] == pytest.approx(round(1000 / RATE * 1024))
    shown = plots.decibels(power, float(power.max()))
    assert (shown.max(), shown.min()) == (0.0, -plots.RANGE_DB)


def test_curves_of_a_run_are_drawn_whatever_is_missing(tmp_path: Path) -> None:
    table = tmp_path / "metrics.csv"
    rows = ["step,elapsed_s,mr_stft,val_mr_stft,kl_nats,kl_weight,val_distance"]
    rows += [f"{10 * i},{2.5 * i},{3 / i},,{i},{i / 1000}," for i in range(1, 9)]
    rows += ["80,21,,1.5,,,2.0"]
    for text in ("", rows[0], "\n".join(rows)):
        table.write_text(text)
        for draw in (plots.losses, plots.beta_vs_kl):
            draw(table, tmp_path / "picture.png")
            assert (tmp_path / "picture.png").read_bytes()[:4] == b"\x89PNG"
            (tmp_path / "picture.png").unlink()
    columns = plots.read_columns(table)
    assert np.isnan(columns["mr_stft"][-1])
    assert columns["val_mr_stft"][-1] == 1.5
