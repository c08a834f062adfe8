"""What is printed, drawn and compared says what it measures."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
import toy_model
from tiny_run import TINY, workplace

from wavevae import audio, plots
from wavevae.checkpoint import load_model, write_checkpoint
from wavevae.evaluation import compare
from wavevae.evaluation.__main__ import main as evaluate
from wavevae.export.model_file import export_checkpoint
from wavevae.realtime.offline import render
from wavevae.train.__main__ import main as train

RATE = 8000


def learned(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *more: str
) -> tuple[Path, Path, str]:
    """Sounds, a run that learned most of them, and what it said."""
    with workplace(tmp_path, monkeypatch) as sounds:
        assert train([str(sounds), *TINY, "--max-steps", "2", "--out", "run", *more]) == 0
    return sounds, tmp_path / "here" / "run", capsys.readouterr().err


def test_the_next_command_judges_what_was_held_out_and_other_ones_say_what_was_learned(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    sounds, run, said = learned(tmp_path, monkeypatch, capsys)
    assert "wavevae evaluate run --held-out -o run-report" in said
    quick = ["--generate", "0", "--probe-files", "0", "--pairs", "1", "--no-playing"]
    for name, data in (("held", ["--held-out"]), ("all", [str(sounds)])):
        assert evaluate([str(run), *data, "-o", str(tmp_path / name), *quick]) == 0
    held, everything = (json.loads((tmp_path / n / "report.json").read_text()) for n in ("held", "all"))
    assert not any("learned from" in remark for remark in held["remarks"])
    assert any("4 of 5 files are among those that the run learned from" in r for r in everything["remarks"])


@pytest.mark.slow
def test_where_nothing_was_held_out_that_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    sounds, _, said = learned(tmp_path, monkeypatch, capsys, "--set", "validation_share=0")
    assert "nothing was held out, so this measures learned sounds" in said
    assert f"wavevae evaluate run {sounds} -o run-report" in said


def test_an_interpolation_of_an_overlapping_codec_comes_in_time_and_to_its_end(tmp_path: Path) -> None:
    """From a sound to itself it is the model's own version; to another, as long as the longer."""
    config = replace(toy_model.SHAPES["plain"], hop_overlap=2, sample_rate=RATE)
    checkpoint = toy_model.checkpoint(config)
    write_checkpoint(tmp_path / "run" / "checkpoints" / "best.ckpt", checkpoint)
    info = export_checkpoint(checkpoint, tmp_path / "m.ts")
    assert info.algorithmic_latency_samples > 0
    for name, samples, seed in (("a", 16384, 0), ("b", 12001, 1)):
        audio.write(tmp_path / f"{name}.wav", 0.2 * toy_model.sound(samples, seed=seed)[0, 0].numpy(), RATE)
    a, b, out = (str(tmp_path / f"{name}.wav") for name in ("a", "b", "out"))
    render.main([str(tmp_path / "m.ts"), "--interpolate", a, a, "-o", out])
    made = soundfile.read(out, dtype="float32")[0]
    with torch.inference_mode():
        x = torch.from_numpy(soundfile.read(a, dtype="float32")[0])
        expected = load_model(tmp_path / "run")(x[None, None])[0, 0].numpy()
    np.testing.assert_allclose(made, np.clip(expected, -1, 1), atol=1e-4)
    render.main([str(tmp_path / "m.ts"), "--interpolate", a, b, "-o", out])
    assert soundfile.info(out).frames == 16384


def evaluation(name: str, values: np.ndarray) -> compare.Evaluation:
    rows = {(f"{n // 4}.wav", str(n % 4)): {"mr_stft": float(v)} for n, v in enumerate(values)}
    return compare.Evaluation(name, {"mr_stft": float(values.mean()), "fad": float(values.mean())}, rows)


def test_only_what_is_better_than_all_others_is_bold() -> None:
    rng = np.random.default_rng(0)
    hard = rng.uniform(1, 2, 80)
    alike = compare.compose(
        [evaluation("a", hard), evaluation("b", hard + 0.05 * rng.standard_normal(80) - 1e-3)]
    )
    assert alike["differences_to_first"]["mr_stft"][1]["says"] == "no difference seen"
    assert alike["best"] == {"mr_stft": None, "fad": None}
    assert "class=best" not in compare.document(alike)
    better = hard - 0.2 + 0.05 * rng.standard_normal(80)
    pair = compare.compose([evaluation("a", hard), evaluation("b", better)])
    assert pair["best"]["mr_stft"] == 1
    three = compare.compose(
        [evaluation("a", hard), evaluation("b", better), evaluation("c", better + 1e-4 * hard)]
    )
    assert three["best"]["mr_stft"] == 1  # by little, but in every second
    noise = 0.05 * rng.standard_normal((2, 80))
    twins = compare.compose(
        [evaluation("a", hard), evaluation("b", better + noise[0]), evaluation("c", better + noise[1])]
    )
    assert twins["best"]["mr_stft"] is None  # both beat the first, neither the other


def test_draws_are_seen_as_well_as_heard(tmp_path: Path) -> None:
    checkpoint = toy_model.checkpoint(replace(toy_model.SHAPES["plain"], sample_rate=RATE))
    write_checkpoint(tmp_path / "run" / "checkpoints" / "best.ckpt", checkpoint)
    audio.write(tmp_path / "in.wav", 0.2 * toy_model.sound(2 * RATE)[0, 0].numpy(), RATE)
    options = [
        "--generate",
        "10",
        "--probe-files",
        "0",
        "--pairs",
        "1",
        "--no-playing",
        "-o",
        str(tmp_path / "r"),
    ]
    assert evaluate([str(tmp_path / "run"), str(tmp_path / "in.wav"), *options]) == 0
    drawn = sorted(path.name for path in (tmp_path / "r" / "generated").iterdir())
    assert drawn == ["1.png", "1.wav", "2.png", "2.wav"]
    text = (tmp_path / "r" / "report.html").read_text()
    assert "spectrograms of draw 1" in text
    assert "spectrograms of draw 2" in text


def lines_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rows: str) -> dict[str, np.ndarray]:
    """{label: x of each line} of losses.png's left panel."""
    kept: list[Any] = []
    monkeypatch.setattr(plots, "save", lambda figure, path: kept.append(figure))
    (tmp_path / "metrics.csv").write_text(rows)
    plots.losses(tmp_path / "metrics.csv", tmp_path / "losses.png")
    axes = kept[0].axes[0]
    assert axes.get_xlim()[0] == 0
    return {line.get_label(): np.asarray(line.get_xdata()) for line in axes.get_lines()}


def test_the_curves_begin_where_the_run_begins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = "step,elapsed_s,val_mr_stft,val_distance,mr_stft,total,val_active_dims,active_dims\n"
    rows += "0,0,3,3,,,8,\n10,1,,,2.5,2.5,,8\n20,2,,,2.4,2.4,,8\n200,20,2,2,,,8,\n"
    found = lines_of(tmp_path, monkeypatch, rows)
    assert found["mr_stft"].tolist() == [0, 200]
    assert any(x.tolist() == [10, 20] for x in found.values())
    assert "active_dims" not in found


def test_a_run_that_was_not_validated_yet_has_a_curve(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = lines_of(tmp_path, monkeypatch, "step,elapsed_s,total\n10,1,2.5\n20,2,2.4\n")
    assert any(x.tolist() == [10, 20] for x in found.values())
