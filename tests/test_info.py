"""`wavevae info` says what a MODEL.ts and a run are, to people and to programs."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import toy_model
import yaml
from toy_bundle import HOP, LATENTS, SAMPLE_RATE, write_toy

from wavevae import info
from wavevae.checkpoint import Checkpoint, write_checkpoint
from wavevae.config import NOTES, RunConfig, to_tree
from wavevae.errors import UserError
from wavevae.export.model_file import export_checkpoint


def make_run(folder: Path) -> Path:
    latents = {"low": [-2.0] * 16, "high": [2.5] * 16}
    checkpoint = Checkpoint(
        RunConfig(),
        {"weight": torch.zeros(30, 2)},
        step=1234,
        audio_s=7200.0,
        latents=latents,
        origin={"data": "abc"},
    )
    write_checkpoint(folder / "checkpoints" / "best.ckpt", checkpoint)
    tree = {**to_tree(RunConfig()), NOTES: {"preset": "codec"}}
    (folder / "config.yaml").write_text(yaml.safe_dump(tree))
    return folder


def as_json(path: Path, capsys: pytest.CaptureFixture[str]) -> dict:
    assert info.main([str(path), "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_a_model_file_says_what_it_is(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_toy(tmp_path / "toy.ts", algorithmic_latency_samples=64, labels={"family": ["reed", "string"]})
    values = as_json(tmp_path / "toy.ts", capsys)
    assert (values["sample_rate"], values["hop_length"], values["latent_dim"]) == (SAMPLE_RATE, HOP, LATENTS)
    assert values["algorithmic_latency_ms"] == pytest.approx(64000 / SAMPLE_RATE)
    assert values["labels"] == {"family": ["reed", "string"]}
    assert len(values["latents"]) == LATENTS
    assert info.main([str(tmp_path / "toy.ts")]) == 0
    text = capsys.readouterr().out
    for words in (f"{SAMPLE_RATE} Hz", "axis 3", "-2.00 to +2.00", "reed"):
        assert words in text


def test_a_model_file_says_how_it_plays_in_hosts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "mine.ts"
    export_checkpoint(toy_model.checkpoint(), path, 4)
    values = as_json(path, capsys)
    hop = values["hop_length"]
    assert values["methods"]["decode"] == f"4 in (every {hop}), 1 out (every 1)"
    assert values["attributes"] == {"gain": "0", "temperature": "0", "reset": "0"}
    assert values["smallest_buffer_samples"] == hop
    delay = values["delay_in_nn~_by_buffer_ms"]
    assert delay["4096"] == pytest.approx(1000 * (2 * 4096 - 64) / 22050)
    assert delay[str(hop)] == pytest.approx(1000 * (2 * hop - 64) / 22050)
    assert values["parameters"] == sum(
        w.numel() for w in toy_model.make(toy_model.SHAPES["plain"]).parameters()
    )
    assert info.main([str(path), "--all"]) == 0
    text = capsys.readouterr().out
    for words in ("delay in nn~ by buffer:", "368.6 ms", torch.__version__, "of the variance", "axis 4"):
        assert words in text


def test_a_run_says_what_it_is(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = make_run(tmp_path / "run")
    values = as_json(run, capsys)
    assert (values["steps"], values["parameters"], values["hop_length"]) == (1234, 60, 256)
    assert values["run_notes"] == {"preset": "codec"}
    assert values["settings"]["train.batch_size"] == RunConfig().train.batch_size
    assert len(values["latents"]) == 16
    assert info.main([str(run), "--all"]) == 0
    assert "2.0 h" in capsys.readouterr().out
    assert as_json(run / "checkpoints" / "best.ckpt", capsys)["steps"] == 1234


def test_what_a_player_must_know_fits_on_a_screen(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "my toy.ts"
    write_toy(path, latent_dim=64, labels={"class": ["reed", "string"]})
    assert info.main([str(path)]) == 0
    text = capsys.readouterr().out
    assert len(text.splitlines()) <= 30
    for words in (f"{SAMPLE_RATE} Hz", "0 reed, 1 string", "axis 1", "52 more axes", f"info '{path}' --all"):
        assert words in text
    assert info.main([str(path), "--all"]) == 0
    assert "axis 63" in capsys.readouterr().out


def test_what_is_neither_is_refused(tmp_path: Path) -> None:
    (tmp_path / "no.ts").write_text("no")
    (tmp_path / "empty").mkdir()
    for name in ("no.ts", "empty", "nothing"):
        with pytest.raises(UserError, match=name):
            info.main([str(tmp_path / name)])


def test_a_broken_config_is_one_line(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run")
    for text in ("a: [", "just words"):
        (run / "config.yaml").write_text(text)
        with pytest.raises(UserError, match=r"config\.yaml"):
            info.main([str(run)])


def test_what_is_said_for_people_has_no_programs_brackets(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shape = replace(
        toy_model.SHAPES["plain"], condition="class+pitch", classes=("a", "b"), partials=4, bottleneck="rvq"
    )
    checkpoint = toy_model.checkpoint(shape)
    learned = {"field": "class", "classes": {"a": 3, "b": 4}, "pitch_range": [50.0, 62.0], "without_pitch": 2}
    checkpoint.origin["labels"] = learned
    write_checkpoint(tmp_path / "checkpoints" / "best.ckpt", checkpoint)
    assert info.main([str(tmp_path), "--all"]) == 0
    text = capsys.readouterr().out
    assert not set("{}[]") & set(text)
    assert "classes a 3; b 4" in text
    assert "pitch range 50, 62" in text
