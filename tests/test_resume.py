"""A run that is killed goes on as if nothing had been: same weights, same curve, no row twice."""

import csv
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from tiny_run import TINY, workplace
from wavevae.train.__main__ import main
from wavevae.train.journal import MetricsFile, read_rows

from wavevae.checkpoint import Checkpoint, read_checkpoint


@pytest.fixture
def sounds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Tones in a folder; the test runs in an empty folder beside it."""
    with workplace(tmp_path, monkeypatch) as folder:
        yield folder


def train(*arguments: object) -> int:
    """`wavevae train` in this process."""
    return main([str(a) for a in arguments])


def reached(run: Path, steps: int) -> bool:
    """Whether metrics.csv shows so many steps, and there is a checkpoint."""
    rows = read_rows(run / "metrics.csv")
    return bool(rows) and int(rows[-1]["step"]) >= steps and (run / "checkpoints/last.ckpt").is_file()


def wait_for(run: Path, steps: int, alive: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 900
    while alive() and not reached(run, steps) and time.monotonic() < deadline:
        time.sleep(0.002)


def killed(run: Path, steps: int, *arguments: object) -> int:
    """`wavevae train` in a process that is killed with SIGKILL at so many steps; its exit status."""
    program = "import sys; from wavevae.train.__main__ import main; sys.exit(main(sys.argv[1:]))"
    command = [sys.executable, "-c", program, *map(str, arguments)]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as process:
        wait_for(run, steps, lambda: process.poll() is None)
        process.kill()
        return process.wait(timeout=60)


def interrupted(run: Path, steps: int, *arguments: object) -> int:
    """`wavevae train` in this process, which gets a Ctrl-C at so many steps; its exit status."""
    over = threading.Event()

    def press() -> None:
        wait_for(run, steps, lambda: not over.is_set())
        if not over.is_set():
            os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=press)
    thread.start()
    try:
        return train(*arguments)
    finally:
        over.set()
        thread.join()


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


@pytest.mark.parametrize(("stop", "status"), [(killed, -9), (interrupted, 130)])
def test_stopped_and_resumed_equals_uninterrupted(
    tmp_path: Path, sounds: Path, capsys: pytest.CaptureFixture[str], stop: Callable[..., int], status: int
) -> None:
    """60 steps at once against some steps, a stop at any moment, and the rest."""
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    options = (sounds, *TINY, "--max-steps", 60)
    assert train(*options, "--out", whole) == 0
    assert stop(broken, 20, *options, "--out", broken) == status
    step = read_checkpoint(broken / "checkpoints/last.ckpt").step
    assert 20 <= step < 60
    if status == 130:
        assert f"resume with: wavevae train --resume --out {broken}" in capsys.readouterr().err
    assert train("--resume", "--out", broken) == 0
    assert f"from step {step}" in capsys.readouterr().err
    assert_same(*(read_checkpoint(run / "checkpoints/last.ckpt") for run in (whole, broken)))
    rows = rows_of(broken)
    assert len(rows) == len(set(rows))
    assert rows == sorted(rows)
    assert {step for step, validated in rows if validated} == {20, 40, 60}
    assert not list(broken.rglob("*.part"))
    assert not list(broken.rglob(".*.part"))


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
