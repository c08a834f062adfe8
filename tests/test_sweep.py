"""Sweeps: no trial lost and none doubled, whoever is killed; what the table says; a storage of another sweep."""

import json
import os
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from wavevae.errors import UserError
from wavevae.train.sweep import results
from wavevae.train.sweep import worker as sweep_worker
from wavevae.train.sweep.__main__ import main, wanted
from wavevae.train.sweep.results import epsilon_squared, groups_of
from wavevae.train.sweep.search import Pruning, make_pruner
from wavevae.train.sweep.space import Space, parse_space, read_space
from wavevae.train.sweep.storage import STALE_S, Claims, folder_of, open_study
from wavevae.train.sweep.trial import DONE, FAILED, Outcome, judged
from wavevae.train.sweep.worker import MOST_DEATHS, Worker, without_workers

optuna = pytest.importorskip("optuna")
TWELVE = "sampler: grid\npreset: codec\nspace: {latent_dim: [1, 2, 3, 4], learning_rate: [1.0e-4, 2.0e-4, 3.0e-4]}\n"


def grid(**changes: Any) -> Space:
    return replace(
        parse_space(
            {"sampler": "grid", "preset": "codec", "space": {"latent_dim": [1, 2, 3, 4]}}, Path("four.yaml")
        ),
        **changes,
    )


def worker(place: Path, space: Space, run_trial: Any, count: int = 4) -> Worker:
    study, claims = open_study(place / "s.journal", space)
    study.pruner = make_pruner(space)
    return Worker(study, space, claims, place / "s", count, run_trial, lambda text: None, poll_s=0.01)


# -- who does what -------------------------------------------------------------------------------------------


def start(folder: Path, *words: str) -> "subprocess.Popen[bytes]":
    script = Path(__file__).parent / "sweep_worker.py"
    return subprocess.Popen([sys.executable, str(script), str(folder), *words], stdout=subprocess.DEVNULL)


def test_workers_are_killed_and_no_trial_is_lost_or_doubled(tmp_path: Path) -> None:
    """Two at once; the first dies in its third trial, the second goes on, dies in its sixth; a third one resumes."""
    (tmp_path / "space.yaml").write_text(TWELVE)
    first = start(tmp_path, "a", "3")
    second = start(tmp_path, "b", "6", "a.dying")
    assert [first.wait(timeout=600), second.wait(timeout=600)] == [-9, -9]
    assert start(tmp_path, "c", "0").wait(timeout=600) == 0

    lines = [line.split(" ") for line in (tmp_path / "log").read_text().splitlines()]
    begun = [line for line in lines if line[0] == "begin"]
    ended = Counter(line[1] for line in lines if line[0] == "end")
    assert ended == {str(n): 1 for n in range(12)}
    assert len(begun) == 12 + 2
    again = [n for n, times in Counter(line[1] for line in begun).items() if times > 1]
    assert again  # two trials, or one in which both died
    for number in again:  # at the same point, in the same folder, by another worker
        tries = [line for line in begun if line[1] == number]
        assert len({tuple(line[3:]) for line in tries}) == 1
        assert len({line[2] for line in tries}) == len(tries)
    assert len({(line[3], line[4]) for line in begun}) == len({line[5] for line in begun}) == 12

    study, _ = open_study(tmp_path / "s.journal", read_space(tmp_path / "space.yaml"))
    assert [t.state.name for t in study.trials] == ["COMPLETE"] * 12
    assert study.best_value == 1.0


def test_a_trial_is_not_taken_from_a_worker_that_lives(tmp_path: Path) -> None:
    claims = Claims(tmp_path)
    mine = claims.take(3)
    assert mine is not None
    assert Claims(tmp_path).take(3) is None
    mine.release()
    later = Claims(tmp_path).take(3)
    assert later is not None
    later.release()


def test_a_worker_of_another_machine_lives_while_it_touches_its_claim(tmp_path: Path) -> None:
    """As where each machine sees its own locks only."""
    claims = Claims(tmp_path)
    file = tmp_path / "0005"
    file.write_text("elsewhere 123\n")
    assert claims.take(5) is None
    old = file.stat().st_mtime - 2 * STALE_S
    os.utime(file, (old, old))
    taken = claims.take(5)
    assert taken is not None
    taken.release()
    assert file.read_text() == ""  # let go: free at once, for other machines too


def test_more_trials_go_on_from_those_that_are_done(tmp_path: Path) -> None:
    seen: list[int] = []

    def run_trial(trial: Any, settings: Any, folder: Path) -> Outcome:
        seen.append(settings["model.latent_dim"])
        return Outcome(DONE, 1.0)

    worker(tmp_path, grid(), run_trial, 2).work()
    worker(tmp_path, grid(), run_trial, 4).work()
    assert seen == [1, 2, 3, 4]


def test_a_trial_that_kills_its_workers_is_given_up(tmp_path: Path) -> None:
    deaths = []

    def run_trial(trial: Any, settings: Any, folder: Path) -> Outcome:
        if settings["model.latent_dim"] == 2:
            deaths.append(trial.number)
            raise MemoryError
        return Outcome(DONE, float(settings["model.latent_dim"]))

    for _ in range(MOST_DEATHS):
        with pytest.raises(MemoryError):
            worker(tmp_path, grid(), run_trial).work()
    last = worker(tmp_path, grid(), run_trial)
    last.work()
    assert deaths == [1] * MOST_DEATHS
    result = results.gather(last.study, grid(), tmp_path / "s")
    assert [row.state for row in result.rows] == ["done"] * 3 + ["failed"]
    assert "3 workers died over it at step 0" in results.text(result)


def test_where_everything_fails_the_sweep_stops(tmp_path: Path) -> None:
    def run_trial(trial: Any, settings: Any, folder: Path) -> Outcome:
        return Outcome(FAILED, reason="no sound in there")

    with pytest.raises(UserError, match="no sound in there"):
        worker(tmp_path, grid(), run_trial).work()


# -- the storage ---------------------------------------------------------------------------------------------


def test_a_storage_of_another_sweep_is_refused_with_the_difference(tmp_path: Path) -> None:
    open_study(tmp_path / "s.journal", grid(fixed={"batch_size": 4}))
    with pytest.raises(UserError, match="holds the sweep 'four', not 'five'"):
        open_study(tmp_path / "s.journal", grid(name="five"))
    with pytest.raises(UserError, match=r"fixed.batch_size is 4 there, 8 here"):
        open_study(tmp_path / "s.journal", grid(fixed={"batch_size": 8}))
    with pytest.raises(UserError, match=r"data is \[\] there"):
        open_study(tmp_path / "s.journal", grid(fixed={"batch_size": 4}, data=("/else/notes",)))


def test_a_file_that_is_no_storage_is_refused_and_left_alone(tmp_path: Path) -> None:
    for text in ("model: 3\n", "hello", '["a"]\n'):
        (tmp_path / "f").write_text(text)
        with pytest.raises(UserError, match="no sweep's file"):
            open_study(tmp_path / "f", grid())
        assert (tmp_path / "f").read_text() == text
    with pytest.raises(UserError, match="is a folder"):
        open_study(tmp_path, grid())


def test_a_line_that_was_never_finished_is_cut_off(tmp_path: Path) -> None:
    def run_trial(trial: Any, settings: Any, folder: Path) -> Outcome:
        return Outcome(DONE, 1.0)

    worker(tmp_path, grid(), run_trial, 2).work()
    with open(tmp_path / "s.journal", "ab") as file:
        file.write(b'{"op_code":4,"worker_id":"x')
    worker(tmp_path, grid(), run_trial, 4).work()
    study, _ = open_study(tmp_path / "s.journal", grid())
    assert [t.state.name for t in study.trials] == ["COMPLETE"] * 4


# -- searching -----------------------------------------------------------------------------------------------


def test_a_search_finds_the_better_half_and_workers_draw_apart(tmp_path: Path) -> None:
    space = parse_space(
        {"space": {"kl": {"low": 1e-6, "high": 1.0, "log": True}}, "prune": False}, Path("s.yaml")
    )

    def run_trial(trial: Any, settings: Any, folder: Path) -> Outcome:
        return Outcome(DONE, abs(np.log10(settings["objective.kl"]) + 3))

    one = worker(tmp_path, space, run_trial, 30)
    one.work()
    found = [t.value for t in one.study.trials]
    assert len({t.params["kl"] for t in one.study.trials}) == 30
    assert np.mean(found[15:]) < np.mean(found[:10])  # later trials know what earlier ones found


class Trial:
    """Stands in for Optuna's."""

    def __init__(self, ends_at: int = 99) -> None:
        self.told: list[tuple[float, int]] = []
        self.ends_at = ends_at

    def report(self, value: float, step: int) -> None:
        self.told.append((value, step))

    def should_prune(self) -> bool:
        return self.told[-1][1] >= self.ends_at


def test_validations_stand_for_the_rungs_they_have_passed() -> None:
    trial = Trial()
    watch = Pruning(trial, "val_distance", rungs=10)
    for value, share in ((5.0, 0.05), (4.0, 0.35), (3.0, 0.39), (2.0, 0.4), (1.0, 1.0)):
        watch.report(value, share)
    assert trial.told[:4] == [(4.0, 1), (4.0, 2), (4.0, 3), (2.0, 4)]
    assert trial.told[-1] == (1.0, 9)  # the end is told as the trial's value, not as a rung
    later = Pruning(Trial(ends_at=6), "val_distance", rungs=10, reported=4)  # resumed
    later.report(1.0, 0.9)
    assert later.trial.told == [(1.0, 5), (1.0, 6)]  # type: ignore[attr-defined]
    assert later.pruned


def test_a_trial_worse_than_the_median_is_stopped(tmp_path: Path) -> None:
    space = parse_space(
        {
            "sampler": "grid",
            "prune_start": 3,
            "prune_after": 0.2,
            "space": {"latent_dim": [1, 2, 3, 4, 50, 5]},
        },
        Path("s.yaml"),
    )
    ended: dict[int, int] = {}

    def run_trial(trial: Any, settings: Any, folder: Path) -> Outcome:
        size = settings["model.latent_dim"]
        watch = Pruning(trial, "val_distance", rungs=20)
        for rung in range(1, 21):
            watch.report(float(size), rung / 20)
            ended[size] = rung
            if watch.pruned:
                return Outcome("pruned")
        return Outcome(DONE, float(size))

    one = worker(tmp_path, space, run_trial, 6)
    one.work()
    assert {size for size, rung in ended.items() if rung == 20} == {1, 2, 3}
    assert ended[50] == 4  # not before a fifth of its budget
    assert [row.state for row in results.gather(one.study, space, tmp_path).rows].count("pruned") == 3


# -- what is told --------------------------------------------------------------------------------------------


def test_importance_is_the_share_of_variance_and_nothing_for_luck() -> None:
    rng = np.random.default_rng(0)
    groups = [g for g in "abc" for _ in range(10)]
    clear = [{"a": 0.0, "b": 5.0, "c": 9.0}[g] + 0.1 * rng.standard_normal() for g in groups]
    assert (epsilon_squared(clear, groups) or 0) > 0.99
    luck = [epsilon_squared(rng.standard_normal(30).tolist(), groups) or 0.0 for _ in range(200)]
    assert np.mean(luck) < 0.05
    assert epsilon_squared([1.0, 2.0], ["a", "b"]) is None  # as many groups as trials
    assert epsilon_squared([1.0, 2.0, 3.0], ["a"] * 3) is None
    values = list(np.linspace(0, 1, 12))
    assert (epsilon_squared(values, groups_of(values, True)) or 0) > 0.8


def test_the_figures_are_those_of_the_best_checkpoint(tmp_path: Path) -> None:
    from wavevae.train.run_folder import RunFolder

    head = "step,elapsed_s,share,total,val_distance,val_mr_stft\n"
    (tmp_path / "metrics.csv").write_text(
        head + "10,1,.3,5,,\n10,1,.3,,4,1.5\n20,2,.6,,3,1.8\n30,3,1,,nan,1\n40,4,1,,3.5,1.1\n"
    )
    found = judged(RunFolder(tmp_path), "val_mr_stft")
    assert (found.state, found.value) == (DONE, 1.8)
    assert found.figures == {"val_distance": 3.0, "val_mr_stft": 1.8, "steps": 40.0, "seconds": 4.0}
    other = judged(RunFolder(tmp_path), "val_kl")
    assert other.state == FAILED
    assert "no val_kl; it has val_distance, val_mr_stft" in other.reason
    assert "never validated" in judged(RunFolder(tmp_path / "none"), "val_kl").reason


def test_command_lines(tmp_path: Path) -> None:
    path = tmp_path / "s.yaml"
    path.write_text("space: {seed: [1, 2]}\n")
    storage = ["--storage", str(tmp_path / "x.journal")]
    for words, said in (
        (storage, "--trials is missing"),
        ([*storage, "--trials", "0"], "give 1 or more"),
        ([*storage, "--trials", "2", "--workers", "0"], "give 1 or more"),
        ([*storage, "--trials", "2", "--data", str(tmp_path / "no")], "nothing at"),
    ):
        with pytest.raises(UserError, match=said):
            main([str(path), *words])
    assert without_workers(["a", "--workers", "2", "--workers=3", "b"]) == ["a", "b"]
    assert folder_of(Path("sweeps/a.journal")) == Path("sweeps/a")
    assert folder_of(Path("sweeps/a")) == Path("sweeps/a-runs")


def test_without_optuna_it_is_said_how_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "optuna", None)
    (tmp_path / "s.yaml").write_text("space: {seed: [1, 2]}\n")
    with pytest.raises(UserError, match=r"pip install 'wavevae\[sweep\]'"):
        main([str(tmp_path / "s.yaml"), "--trials", "2", "--storage", str(tmp_path / "x")])


# -- with real runs ------------------------------------------------------------------------------------------

TINY_SPACE = """\
sampler: grid
preset: codec
group: schedule
fixed: {sr: 8000, chunk: 0.25, batch_size: 2, latent_dim: 3, ratios: [4], widths: [4, 6], dilations: [1],
        noise_bands: 2, n_ffts: [256], mel_windows: [256], validate_every: 5, max_steps: 10}
space: {schedule: {linear: {kl_schedule: linear}, none: {kl_schedule: constant}}}
"""


def test_runs_are_trained_gone_on_with_and_told(
    sounds: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    drawn_pictures: None,
) -> None:
    Path("tiny.yaml").write_text(TINY_SPACE)
    words = ["tiny.yaml", "--data", str(sounds), "--storage", "t.journal"]
    look = Pruning.report

    def die(self: Pruning, value: float, share: float) -> None:
        if share > 0:
            raise MemoryError("gone")

    monkeypatch.setattr(Pruning, "report", die)
    with pytest.raises(MemoryError):  # at the first validation after the start, half way, after last.ckpt
        main(words)
    monkeypatch.setattr(Pruning, "report", look)
    capsys.readouterr()
    assert main([*words, "--json"]) == 0
    told = capsys.readouterr()
    assert "trial 0 again" in told.err
    assert "from step 5" in told.err
    found = json.loads(told.out)
    assert [row["state"] for row in found["rows"]] == ["done", "done"]
    assert all(row["figures"]["steps"] == 10 for row in found["rows"])
    for name in ("trial-000/checkpoints/best.ckpt", "trial-001/config.yaml", "trials.csv"):
        assert (Path("t") / name).is_file()
    for name in ("sweep.png", "beta_vs_kl.png"):
        assert (Path("t") / name).read_bytes()[:4] == b"\x89PNG"
    assert main([*words, "--show"]) == 0  # nothing is trained, the table is there
    assert "tiny: 2 done" in capsys.readouterr().out


def test_a_search_without_an_end_is_shown_without_naming_one(
    sounds: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    space = (
        TINY_SPACE.partition("space:")[0] + "space: {learning_rate: {low: 1.0e-4, high: 1.0e-3, log: true}}\n"
    )
    Path("bayes.yaml").write_text(
        space.replace("sampler: grid", "sampler: tpe").replace("group: schedule\n", "")
    )
    words = ["bayes.yaml", "--data", str(sounds), "--storage", "t.journal"]
    with pytest.raises(UserError, match="--trials is missing"):
        main(words)
    with pytest.raises(UserError, match=r"--show: nothing at --storage t\.journal"):
        main([*words, "--show"])
    assert main([*words, "--trials", "1"]) == 0
    capsys.readouterr()
    assert main([*words, "--show"]) == 0
    assert "1 done" in capsys.readouterr().out


def test_a_grid_has_no_more_points_than_it_has(capsys: pytest.CaptureFixture[str]) -> None:
    import argparse

    assert wanted(argparse.Namespace(trials=9), grid()) == 4
    assert "the grid has 4 points" in capsys.readouterr().err
    assert wanted(argparse.Namespace(trials=None), grid()) == 4


def test_pictures_of_what_has_no_value_yet(tmp_path: Path) -> None:
    row = results.Row(0, "running", None, {"latent_dim": 1}, {}, str(tmp_path / "none"))
    result = results.Result("four", "val_distance", "minimize", [row], {"latent_dim": None})
    assert results.draw(tmp_path, result, grid()) == []
    assert "1 running" in results.text(result)


def test_a_worker_that_died_does_not_spoil_what_the_others_finished(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "four.yaml").write_text("sampler: grid\npreset: codec\nspace: {latent_dim: [1, 2, 3, 4]}\n")
    done = 2

    def run_workers(argv: list[str], workers: int) -> int:
        worker(tmp_path, grid(), lambda *_: Outcome(DONE, 1.0), done).work()
        return 9

    monkeypatch.setattr(sweep_worker, "run_workers", run_workers)
    words = [str(tmp_path / "four.yaml"), "--storage", str(tmp_path / "s.journal"), "--workers", "2"]
    assert main(words) == 9
    assert "the same command goes on" in capsys.readouterr().err
    done = 4
    assert main(words) == 0
    assert "four: 4 done" in capsys.readouterr().out
