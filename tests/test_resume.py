"""A run that is killed goes on as if nothing had been: same weights, same curve, no row twice."""

import csv
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from wavevae.train.journal import MetricsFile, read_rows

from wavevae import audio
from wavevae.checkpoint import Checkpoint, read_checkpoint

TINY = (
    *("--sr", "8000", "--chunk", "0.25", "--batch-size", "2", "--latent-dim", "3", "--seed", "3"),
    *("--set", "ratios=[4]", "--set", "widths=[4, 6]", "--set", "dilations=[1]", "--set", "noise_bands=2"),
    *("--set", "n_ffts=[256]", "--set", "mel_windows=[256]", "--set", "validate_every=8"),
)
"""A model that trains thousands of steps a minute."""


def tones(folder: Path, count: int = 5) -> Path:
    """A few decaying tones as WAV files."""
    folder.mkdir()
    t = np.arange(8000) / 8000
    for number in range(count):
        tone = 0.3 * np.sin(2 * np.pi * 110 * (number + 2) * t) * np.exp(-3 * t)
        audio.write(folder / f"tone-{number}.wav", tone.astype(np.float32), 8000)
    return folder


def command(*arguments: object) -> list[str]:
    program = "import sys; from wavevae.cli import main; sys.exit(main())"
    return [sys.executable, "-c", program, "train", *map(str, arguments)]


def environment(tmp_path: Path, **more: str) -> dict[str, str]:
    return {**os.environ, "WAVEVAE_CACHE": str(tmp_path / "cache"), "OMP_NUM_THREADS": "1", **more}


def train(tmp_path: Path, *arguments: object) -> subprocess.CompletedProcess[str]:
    """Run `wavevae train` to its end in a process of its own."""
    done = subprocess.run(
        command(*arguments), env=environment(tmp_path), capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    return done


def stop_after(tmp_path: Path, number: int, steps: int, run: Path, *arguments: object) -> int:
    """Start a run, send it a signal once metrics.csv shows so many steps; returns its exit status."""
    with subprocess.Popen(
        command(*arguments), env=environment(tmp_path), stderr=subprocess.DEVNULL
    ) as process:
        deadline = time.monotonic() + 100
        while process.poll() is None and time.monotonic() < deadline:
            rows = read_rows(run / "metrics.csv")
            if rows and int(rows[-1]["step"]) >= steps and (run / "checkpoints/last.ckpt").is_file():
                process.send_signal(number)
                break
            time.sleep(0.002)
        return process.wait(timeout=60)


def rows_of(run: Path) -> list[tuple[int, bool]]:
    """(step, whether it is a validation) of every row of metrics.csv."""
    with (run / "metrics.csv").open() as file:
        return [(int(row["step"]), bool(row.get("val_distance"))) for row in csv.DictReader(file)]


def assert_same(one: Checkpoint, other: Checkpoint) -> None:
    """Weights, averages, optimizer and counters agree."""
    assert one.step == other.step
    assert one.audio_s == pytest.approx(other.audio_s)
    for mine, theirs in ((one.live, other.live), (one.state, other.state)):
        for name in mine:
            torch.testing.assert_close(mine[name], theirs[name], rtol=1e-5, atol=1e-6, msg=name)
    for key, moments in one.optimizer["state"].items():
        torch.testing.assert_close(moments["exp_avg"], other.optimizer["state"][key]["exp_avg"])


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_stopped_and_resumed_equals_uninterrupted(tmp_path: Path, number: signal.Signals) -> None:
    """60 steps at once against some steps, a signal at any moment, and the rest."""
    sounds = tones(tmp_path / "sounds")
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    options = (sounds, *TINY, "--max-steps", 60)
    train(tmp_path, *options, "--out", whole)
    status = stop_after(tmp_path, number, 16, broken, *options, "--out", broken)
    assert status == (-9 if number == signal.SIGKILL else 130)
    reached = read_checkpoint(broken / "checkpoints/last.ckpt").step
    assert 8 <= reached < 60
    said = train(tmp_path, "--resume", "--out", broken)
    assert f"from step {reached}" in said.stderr
    assert_same(
        read_checkpoint(whole / "checkpoints/last.ckpt"), read_checkpoint(broken / "checkpoints/last.ckpt")
    )
    rows = rows_of(broken)
    assert len(rows) == len(set(rows))
    assert rows == sorted(rows)
    assert {step for step, validated in rows if validated} == {8, 16, 24, 32, 40, 48, 56, 60}
    assert not list(broken.rglob("*.part"))


# -- metrics.csv -----------------------------------------------------------------------------------------------


def test_rows_after_the_resumed_step_are_dropped(tmp_path: Path) -> None:
    path = tmp_path / "metrics.csv"
    first = MetricsFile(path)
    for step in (10, 20, 30):
        first.append({"step": step, "loss": 1 / step})
    again = MetricsFile(path, resumed_step=20)
    again.append({"step": 30, "loss": 0.5})
    assert [(r["step"], r["loss"]) for r in read_rows(path)] == [("10", "0.1"), ("20", "0.05"), ("30", "0.5")]


def test_a_new_column_widens_the_file(tmp_path: Path) -> None:
    path = tmp_path / "metrics.csv"
    file = MetricsFile(path)
    file.append({"step": 1, "loss": 0.5})
    file.append({"step": 1, "val_loss": 0.25})
    file.append({"step": 2, "loss": 0.125})
    assert path.read_text() == "step,loss,val_loss\n1,0.5,\n1,,0.25\n2,0.125,\n"


@pytest.mark.parametrize("tail", ["4", "40,0.1", '40,"', "40,0.1,2,3\n", "40\n"])
def test_a_line_that_a_kill_cut_short_is_left_out(tmp_path: Path, tail: str) -> None:
    path = tmp_path / "metrics.csv"
    MetricsFile(path).append({"step": 10, "loss": 0.5})
    with path.open("a") as file:
        file.write(tail)
    again = MetricsFile(path, resumed_step=100)
    again.append({"step": 50, "loss": 0.25})
    assert path.read_text() == "step,loss\n10,0.5\n50,0.25\n"


def test_a_run_from_its_beginning_starts_a_new_file(tmp_path: Path) -> None:
    path = tmp_path / "metrics.csv"
    MetricsFile(path).append({"step": 10, "loss": 0.5})
    MetricsFile(path, resumed_step=0).append({"step": 10, "loss": 0.25})
    assert path.read_text() == "step,loss\n10,0.25\n"
