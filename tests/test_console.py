"""What people are told may get lost; the work may not: broken pipes, full disks, terminals that go away."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from tiny_run import TINY
from toy_bundle import write_toy

COMMAND = [sys.executable, "-c", "import sys; from wavevae.cli import main; sys.exit(main())"]
FULL = Path("/dev/full")
PATIENCE_S = 120.0


def begin(*words: object, **streams: object) -> subprocess.Popen:
    return subprocess.Popen([*COMMAND, *map(os.fsencode, map(str, words))], **streams)  # type: ignore[call-overload]


def wait_for(there: Callable[[], bool], process: subprocess.Popen) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not there() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.02)
    assert there()


def trains(run: Path) -> Callable[[], bool]:
    """Whether steps were done."""
    return lambda: (run / "metrics.csv").is_file() and (run / "metrics.csv").read_text().count("\n") > 2


def saved_later_than_at_the_start(run: Path) -> bool:
    from wavevae.checkpoint import read_checkpoint

    return read_checkpoint(run / "checkpoints" / "last.ckpt").step > 0


def test_ctrl_c_saves_though_the_reader_of_the_log_is_gone(sounds: Path) -> None:
    """`wavevae train ... 2>&1 | tee log`, Ctrl-C: tee dies of it first."""
    run = begin("train", sounds, "--out", "run", *TINY, "--max-time", "5m", stderr=subprocess.PIPE)
    wait_for(trains(Path("run")), run)
    assert run.stderr is not None
    run.stderr.close()
    run.send_signal(signal.SIGINT)
    assert run.wait(PATIENCE_S) == 130
    assert saved_later_than_at_the_start(Path("run"))


@pytest.mark.slow
def test_a_terminal_that_closes_saves(sounds: Path) -> None:
    ours, theirs = os.openpty()
    words = ("train", sounds, "--out", "run", *TINY, "--max-time", "5m")
    run = begin(*words, preexec_fn=lambda: os.login_tty(theirs))
    os.close(theirs)
    os.set_blocking(ours, False)

    def shown_and_training() -> bool:
        with contextlib.suppress(BlockingIOError):  # or its buffer fills up
            os.read(ours, 1 << 20)
        return trains(Path("run"))()

    wait_for(shown_and_training, run)
    os.close(ours)
    assert run.wait(PATIENCE_S) == 128 + signal.SIGHUP
    assert saved_later_than_at_the_start(Path("run"))


@pytest.mark.slow
def test_nohup_outlives_the_terminal(sounds: Path) -> None:
    ignore = lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN)  # noqa: E731
    words = ("train", sounds, "--out", "run", *TINY, "--max-steps", "200")
    run = begin(*words, preexec_fn=ignore, stderr=subprocess.PIPE)
    wait_for(trains(Path("run")), run)
    assert run.stderr is not None
    run.stderr.close()
    run.send_signal(signal.SIGHUP)
    assert run.wait(PATIENCE_S) == 0


CLOSED = "closed"


@pytest.mark.slow
@pytest.mark.parametrize("stderr", ["pipe", "full", CLOSED])
def test_each_command_works_though_nothing_can_be_told(sounds: Path, stderr: str) -> None:
    """A run, its model, a rendering and a report are made without standard error."""
    if stderr == "full" and not FULL.exists():
        pytest.skip("no /dev/full here")

    def run(*words: object) -> int:
        if stderr == CLOSED:
            return begin(*words, preexec_fn=lambda: os.close(2)).wait(PATIENCE_S)
        if stderr == "full":
            with FULL.open("w") as full:
                return begin(*words, stderr=full).wait(PATIENCE_S)
        process = begin(*words, stderr=subprocess.PIPE)
        assert process.stderr is not None
        process.stderr.close()
        return process.wait(PATIENCE_S)

    assert run("train", sounds, "--out", "run", *TINY, "--max-steps", "12") == 0
    assert run("export", "run", "-o", "m.ts") == 0
    assert run("render", "m.ts", "--input", sounds / "tone-0.wav", "-o", "out.wav") == 0
    silent = ("--device", "none", "--http-port", "none", "--osc-port", "0", "--seconds", "0.5")
    assert run("serve", "m.ts", *silent, "--record-audio", "live.wav") == 0
    judged = ("--no-playing", "--generate", "0", "--probe-files", "0", "--pairs", "1")
    assert run("evaluate", "run", sounds, "-o", "report", *judged) == 0
    for made in ("m.ts", "out.wav", "live.wav", "report/report.json"):
        assert Path(made).stat().st_size > 0
    assert run("info", "nothing.ts") == 2


def test_a_result_that_cannot_be_written_is_a_failure_in_one_line(sounds: Path) -> None:
    if not FULL.exists():
        pytest.skip("no /dev/full here")
    write_toy(Path("toy.ts"))
    for words in (["info", "toy.ts"], ["info", "toy.ts", "--json"], ["--help"], ["train", "--help"]):
        with FULL.open("w") as full:
            process = begin(*words, stdout=full, stderr=subprocess.PIPE, text=True)
            said = process.communicate(timeout=PATIENCE_S)[1]
        assert process.returncode == 1
        assert said == "wavevae: error: standard output cannot be written: No space left on device\n"


def test_text_that_a_terminal_cannot_show_is_shown_in_escapes(sounds: Path) -> None:
    run = sounds.rename(sounds.with_name("Flöte"))
    for encoding in ("ascii", "latin-1", "utf-8"):
        environment = {**os.environ, "PYTHONIOENCODING": encoding, "LC_ALL": "C"}
        process = begin("info", run, stderr=subprocess.PIPE, stdout=subprocess.PIPE, env=environment)
        assert "Fl" in process.communicate(timeout=PATIENCE_S)[1].decode(encoding)
        assert process.returncode == 2


@pytest.mark.slow
@pytest.mark.parametrize("name", [b"Fl\xc3\xb6te", b"no\xffutf"])
def test_a_run_of_any_name_under_any_locale(sounds: Path, name: bytes) -> None:
    """Also where neither the locale nor Python is set to UTF-8."""
    environment = {**os.environ, "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    run = Path(os.fsdecode(name))
    words = ("train", sounds, "--out", run, *TINY, "--max-steps", "2")
    assert begin(*words, env=environment).wait(PATIENCE_S) == 0
    judged = ("--no-playing", "--generate", "0", "--probe-files", "0", "--pairs", "1")
    assert (
        begin("evaluate", run, sounds, "-o", run / "report", *judged, env=environment).wait(PATIENCE_S) == 0
    )
    assert (run / "report" / "report.json").is_file()
