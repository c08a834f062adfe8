"""A run that is killed goes on as if nothing had been: same weights, same curve, no row twice."""

import csv
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from tiny_run import TINY

from wavevae.checkpoint import Checkpoint, read_checkpoint
from wavevae.export.__main__ import main as export
from wavevae.train.__main__ import main
from wavevae.train.journal import MetricsFile, read_rows
from wavevae.train.module import TrainingModule


def train(*arguments: object) -> int:
    """`wavevae train` in this process."""
    return main([str(a) for a in arguments])


STOPPER = """
import os, sys
from wavevae.train import __main__, module

inner = module.TrainingModule.optimizer_step

def step(self, *args, **kwargs):
    inner(self, *args, **kwargs)
    if self.step == {steps}:
        os.kill(os.getpid(), {signal})

module.TrainingModule.optimizer_step = step
sys.exit(__main__.main(sys.argv[1:]))
"""


def stopped(signal: int, steps: int, *arguments: object) -> tuple[int, str]:
    """`wavevae train` in a process that sends itself a signal after so many steps: its exit status, what it said."""
    program = STOPPER.format(signal=int(signal), steps=steps)
    command = [sys.executable, "-c", program, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, restore_signals=True)
    return done.returncode, done.stderr


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


@pytest.mark.parametrize(
    ("sent", "status"), [(signal.SIGKILL, -9), pytest.param(signal.SIGINT, 130, marks=pytest.mark.slow)]
)
def test_stopped_and_resumed_equals_uninterrupted(
    tmp_path: Path, sounds: Path, capsys: pytest.CaptureFixture[str], sent: int, status: int
) -> None:
    """60 steps at once against 33, a stop, and the rest."""
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    options = (sounds, *TINY, "--max-steps", 60)
    assert train(*options, "--out", whole) == 0
    ended, said = stopped(sent, 33, *options, "--out", broken)
    assert ended == status
    step = read_checkpoint(broken / "checkpoints/last.ckpt").step
    if sent == signal.SIGINT:
        assert step in (33, 34)  # the step under way is finished
        assert f"resume with: wavevae train --resume --out {broken}" in said
    else:
        assert step == 20  # what was saved last
    assert train("--resume", "--out", broken) == 0
    assert f"from step {step}" in capsys.readouterr().err
    assert_same(*(read_checkpoint(run / "checkpoints/last.ckpt") for run in (whole, broken)))
    rows = rows_of(broken)
    assert len(rows) == len(set(rows))
    assert rows == sorted(rows)
    assert {step for step, validated in rows if validated} == {0, 20, 40, 60}
    assert not list(broken.rglob("*.part"))
    assert not list(broken.rglob(".*.part"))


# -- the start ---------------------------------------------------------------------------------------------------

RUINOUS = ("--set", "learning_rate=0.3", "--set", "warm_up_steps=0", "--set", "ema_decay=0")


def distances(run: Path) -> dict[int, float]:
    """val_distance by step, from metrics.csv."""
    return {
        int(r["step"]): float(r["val_distance"]) for r in read_rows(run / "metrics.csv") if r["val_distance"]
    }


def test_the_start_is_kept_while_nothing_is_better(
    tmp_path: Path, sounds: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A learning rate that ruins the model: best.ckpt is the start, also after a resume, and plays."""
    run = tmp_path / "run"
    assert train(sounds, *TINY, *RUINOUS, "--max-steps", 20, "--out", run) == 0
    assert "nothing learned beat the start, which best.ckpt keeps" in capsys.readouterr().err
    assert train("--resume", "--max-steps", 40, "--out", run) == 0
    assert "outlook   nothing learned beat the start" in capsys.readouterr().err
    found = distances(run)
    assert list(found) == [0, 20, 40]
    assert min(found.values()) == found[0]
    best, last = (read_checkpoint(run / f"checkpoints/{name}.ckpt") for name in ("best", "last"))
    assert (best.step, last.step) == (0, 40)
    assert best.best_score == last.best_score == pytest.approx(found[0], rel=1e-5)
    assert export([str(run), "-o", str(tmp_path / "start.ts")]) == 0


def test_a_run_killed_before_its_first_step_goes_on(tmp_path: Path, sounds: Path) -> None:
    """The start is not judged twice."""
    run = tmp_path / "run"
    assert train(sounds, *TINY, "--max-steps", 5, "--out", run) == 0
    best, metrics = run / "checkpoints/best.ckpt", run / "metrics.csv"
    (run / "checkpoints/last.ckpt").write_bytes(start_of(tmp_path, sounds).read_bytes())
    before = distances(run)[0]
    assert train("--resume", "--out", run) == 0
    assert list(distances(run)) == [0, 5]
    assert distances(run)[0] == before
    assert metrics.read_text().count("\n0,") == 1
    assert read_checkpoint(best).best_score == pytest.approx(min(distances(run).values()), rel=1e-5)


@pytest.mark.parametrize(
    "moment",
    [
        *(pytest.param(m, marks=pytest.mark.slow) for m in ("on_train_start", "validation_step")),
        "training_step",
    ],
)
def test_ctrl_c_before_the_first_step_is_done_saves_a_run_that_can_be_exported(
    tmp_path: Path,
    sounds: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    moment: str,
) -> None:
    run, inner = tmp_path / "run", getattr(TrainingModule, moment)

    def begun(self: TrainingModule, *args: object, **kwargs: object) -> object:
        if not hasattr(self, "asked"):
            self.asked = True
            os.kill(os.getpid(), signal.SIGINT)
        return inner(self, *args, **kwargs)

    monkeypatch.setattr(TrainingModule, moment, begun)
    assert train(sounds, *TINY, "--max-steps", 5000, "--out", run) == 130
    assert f"saved; resume with: wavevae train --resume --out {run}" in capsys.readouterr().err
    assert export([str(run), "-o", str(tmp_path / "early.ts")]) == 0


def start_of(tmp_path: Path, sounds: Path) -> Path:
    """last.ckpt of a run as it is before its first step."""
    run = tmp_path / "ruined"
    assert train(sounds, *TINY, *RUINOUS, "--max-steps", 5, "--out", run) == 0
    return run / "checkpoints/best.ckpt"


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
    """A run that goes on from step 0 keeps the row of step 0."""
    path = tmp_path / "metrics.csv"
    for step in (0, 10):
        MetricsFile(path, resumed_step=step).append({"step": step, "loss": 0.5})
    MetricsFile(path, resumed_step=0).append({"step": 10, "loss": 0.25})
    assert path.read_text() == "step,loss\n0,0.5\n10,0.25\n"
    MetricsFile(path).append({"step": 0, "loss": 0.125})
    assert path.read_text() == "step,loss\n0,0.125\n"
