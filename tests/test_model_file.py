"""Exported files under evaluation: told what the run is told, judged alike; files of other programs are judged too."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
import toy_model
from foreign_model import RATE, write_foreign
from torch import nn

from wavevae import audio
from wavevae.checkpoint import write_checkpoint
from wavevae.evaluation.__main__ import main as evaluate
from wavevae.evaluation.file_under_test import Model, load_file, load_model_under_test
from wavevae.evaluation.model_under_test import Run
from wavevae.evaluation.playing.player import make_player
from wavevae.export.model_file import export_checkpoint

QUICK = ("--generate", "0", "--probe-files", "0", "--pairs", "1", "--no-playing")
TOLD = replace(
    toy_model.SHAPES["plain"],
    condition="class+pitch",
    classes=("bell", "reed"),
    partials=12,
    sample_rate=8000,
)
LABELS = {"class": "reed", "pitch": 57.4}


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> tuple[Run, Model]:
    folder = tmp_path_factory.mktemp("told")
    checkpoint = toy_model.checkpoint(TOLD)
    write_checkpoint(folder / "checkpoints" / "best.ckpt", checkpoint)
    export_checkpoint(checkpoint, folder / "told.ts")
    run, file = load_model_under_test(folder), load_model_under_test(folder / "told.ts")
    assert isinstance(run, Run)
    assert isinstance(file, Model)
    return run, file


def sound(samples: int = 16000) -> np.ndarray:
    return (0.2 * np.random.default_rng(0).standard_normal(samples)).astype(np.float32)


@pytest.mark.parametrize("labels", [LABELS, {"class": "bell"}, {"pitch": 44}, {"class": "neither"}, {}])
@torch.inference_mode()
def test_a_file_is_told_what_its_run_is_told(told: tuple[Run, Model], labels: dict[str, object]) -> None:
    run, file = told
    made = [torch.cat([p.estimate for p in subject.reconstruct([sound()], labels)]) for subject in told]
    torch.testing.assert_close(made[1], made[0], rtol=0, atol=1e-3)
    assert made[0].abs().max() > 0.01
    players = [make_player(subject) for subject in (run, file)]
    z = [player.encode(torch.from_numpy(sound()), labels) for player in players]
    played = [player.decode(z, labels) for player, z in zip(players, z, strict=True)]
    torch.testing.assert_close(played[1], played[0], rtol=0, atol=1e-3)


@torch.inference_mode()
def test_labels_of_one_sound_are_not_those_of_the_next(told: tuple[Run, Model]) -> None:
    _, file = told
    plain, labelled, again = (
        torch.cat([p.estimate for p in file.reconstruct([sound()], labels)]) for labels in ({}, LABELS, {})
    )
    assert torch.equal(plain, again)
    assert not torch.allclose(plain, labelled, atol=1e-2)


def test_draws_are_told_labels_in_turn(told: tuple[Run, Model]) -> None:
    run, file = told
    draws = [subject.sample(2, 20, 0, [LABELS, {"class": "bell", "pitch": 70}]) for subject in (run, file)]
    assert draws[0] is not None
    assert draws[1] is not None
    torch.testing.assert_close(draws[1], draws[0], rtol=0, atol=1e-3)


def test_what_is_judged_without_a_label_is_said(told: tuple[Run, Model], tmp_path: Path) -> None:
    (tmp_path / "sounds" / "gong").mkdir(parents=True)
    (tmp_path / "sounds" / "reed").mkdir()
    audio.write(tmp_path / "sounds" / "gong" / "crash.wav", sound(), 8000)
    audio.write(tmp_path / "sounds" / "reed" / "A3.wav", sound(), 8000)
    path = told[1].facts.path
    assert evaluate([str(path), str(tmp_path / "sounds"), "-o", str(tmp_path / "r"), *QUICK]) == 0
    remarks = "\n".join(json.loads((tmp_path / "r" / "report.json").read_text())["remarks"])
    assert "1 of 2 files have no pitch" in remarks
    assert "1 of 2 files have no class that it knows (bell, reed)" in remarks


def test_a_file_of_another_program_is_judged_and_the_same_again(tmp_path: Path) -> None:
    write_foreign(tmp_path / "theirs.ts")
    soundfile.write(tmp_path / "in.wav", sound(2 * RATE), RATE)
    reports = []
    for name in "ab":
        options = ["-o", str(tmp_path / name), "--sr", str(RATE), "--generate", "5"]
        assert evaluate([str(tmp_path / "theirs.ts"), str(tmp_path / "in.wav"), *options]) == 0
        reports.append(json.loads((tmp_path / name / "report.json").read_text()))
    assert reports[0]["mr_stft"] == reports[1]["mr_stft"] > 0
    assert any("does not say its delay" in remark for remark in reports[0]["remarks"])


@pytest.mark.parametrize("delay", [0, 64, 4000])
def test_the_delay_of_a_foreign_file_is_measured(tmp_path: Path, delay: int) -> None:
    class Late(nn.Module):
        """Hops through a fixed delay line; no reset."""

        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("past", torch.zeros(1, 1, delay))
            self.register_buffer("encode_params", torch.tensor([1, 1, 64, 64]))
            self.register_buffer("decode_params", torch.tensor([64, 64, 1, 1]))

        @torch.jit.export
        def encode(self, x: torch.Tensor) -> torch.Tensor:
            return x.reshape(1, -1, 64).transpose(1, 2)

        @torch.jit.export
        def decode(self, z: torch.Tensor) -> torch.Tensor:
            x = torch.cat([self.past, z.transpose(1, 2).reshape(1, 1, -1)], 2)
            self.past = x[:, :, x.size(2) - self.past.size(2) :]
            return x[:, :, : x.size(2) - self.past.size(2)]

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.decode(self.encode(x))

    torch.jit.save(torch.jit.script(Late()), str(tmp_path / "late.ts"))
    model = load_file(tmp_path / "late.ts", 16000)
    assert abs(model.late - delay) <= 32
    made = torch.cat([p.estimate for p in model.reconstruct([sound()])])
    np.testing.assert_allclose(made.numpy(), sound(), atol=1e-6)
