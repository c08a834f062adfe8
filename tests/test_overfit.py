"""`--overfit N`: the same few chunks learned and judged, unchanged; the loss falls, and the words say what it shows."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
from test_studies_run import SMALL
from tiny_run import TINY

from wavevae.checkpoint import read_checkpoint
from wavevae.config import RunConfig, TrainConfig
from wavevae.corpus import build_store
from wavevae.errors import UserError
from wavevae.train import arguments
from wavevae.train.__main__ import main
from wavevae.train.diagnosis import draw_overfit, overfit_words
from wavevae.train.training_data import TrainingData


def resolve(*argv: str) -> RunConfig:
    return arguments.resolve(arguments.parse(list(argv)))


def test_chunks_are_left_as_they_are_and_forty_epochs_are_the_budget() -> None:
    config = resolve("--overfit", "32", "--batch-size", "8", "--set", "gain_db=6")
    assert config.data.overfit == 32
    assert (config.data.gain_db, config.data.polarity, config.data.label_dropout) == (0, 0, 0)
    assert (config.train.max_steps, config.train.max_time_s, config.train.validate_every) == (160, None, 4)
    asked = resolve("--overfit", "32", "--batch-size", "8", "--max-time", "1m")
    assert (asked.train.max_steps, asked.train.max_time_s) == (None, 60)
    assert resolve("--set", "gain_db=6").data.gain_db == 6


def test_every_batch_is_of_the_few_chunks_and_so_is_every_validation(sounds: Path) -> None:
    config = resolve(*TINY, "--overfit", "3")
    data = TrainingData(build_store([sounds], 8000), config)
    data.restrict([0, 4, 9])
    known = {data.train_chunks.read(i).tobytes() for i in range(len(data.train_chunks))}
    assert len(known) == 3
    batches = data.batches()
    learned = {row.numpy().tobytes() for step in range(6) for row in batches.batch(step).audio[:, 0]}
    assert learned == known
    judged = {data.validation_chunks[i].audio.numpy().tobytes() for i in range(len(data.validation_chunks))}
    assert judged == known


@pytest.mark.parametrize("model", ["waveform", "study-c"])
def test_the_loss_falls_and_a_curve_shows_it(
    model: str, sounds: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    own = ["--preset", "study-c", *SMALL, "--set", "condition=none", "--set", "learning_rate=5e-3"]
    options = [*TINY, "--set", "init=random", "--set", "learning_rate=5e-3"] if model == "waveform" else own
    options += ["--set", "warm_up_steps=5"]  # a start at random has nothing to lose
    assert main([str(sounds), *options, "--overfit", "4", "--max-steps", "20", "--out", str(run)]) == 0
    with open(run / "metrics.csv", newline="") as file:
        distances = [float(row["val_distance"]) for row in csv.DictReader(file) if row["val_distance"]]
    assert len(distances) == (11 if model == "waveform" else 21)
    assert distances[-1] < 0.9 * distances[0]
    assert (run / "overfit.png").is_file()
    said = capsys.readouterr().err
    assert "4 chunks of" in said
    assert "none held out" in said
    assert "by heart, step" in said
    assert "epochs of the 4 chunks learned" in said
    assert "outlook" not in said
    with open(run / "data_report.csv", newline="") as file:
        assert {row["reason"] for row in csv.DictReader(file)} <= {"", "left alone"}


@pytest.mark.slow
def test_the_first_steps_do_not_throw_a_start_in_closed_form_away(sounds: Path, tmp_path: Path) -> None:
    """Learning by heart never comes far above where it began, and ends below; without a warm-up it does."""

    def worst_and_last(warm_up_steps: int) -> tuple[float, float]:
        run = tmp_path / f"run-{warm_up_steps}"
        options = [*TINY, "--overfit", "4", "--max-steps", "40", "--set", f"warm_up_steps={warm_up_steps}"]
        assert main([str(sounds), *options, "--out", str(run)]) == 0
        with open(run / "metrics.csv", newline="") as file:
            found = [float(row["val_distance"]) for row in csv.DictReader(file) if row["val_distance"]]
        return max(found) / found[0], found[-1] / found[0]

    worst, last = worst_and_last(TrainConfig().warm_up_steps)
    assert worst < 1.02
    assert last < 1
    assert worst_and_last(0)[0] > worst


def test_a_resumed_one_goes_on_with_the_same_chunks(
    sounds: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    assert main([str(sounds), *TINY, "--overfit", "4", "--max-steps", "2", "--out", str(run)]) == 0
    capsys.readouterr()
    assert main(["--resume", "--max-steps", "6", "--out", str(run)]) == 0
    said = capsys.readouterr().err
    assert "4 chunks of" in said
    assert "3 epochs say nothing yet" in said
    assert read_checkpoint(run / "checkpoints" / "last.ckpt").step == 6


@pytest.mark.parametrize(
    ("distances", "says"),
    [
        ([1.0, 0.8, 0.6, 0.5, 0.4], "the model can learn them by heart; of unheard sounds this says nothing"),
        ([1.0, 0.9, 0.85, 0.8, 0.7], "it is learning them, but has not done yet"),
        ([1.0, 1.0, 1.1, 1.0, 0.99], "it does not learn even these"),
        ([1.0, 0.1], "2 epochs say nothing yet"),
    ],
)
def test_the_words_say_what_the_curve_shows(distances: list[float], says: str) -> None:
    epochs = np.arange(1.0, len(distances) + 1)
    assert says in overfit_words(epochs, np.array(distances), 32)


def test_more_chunks_than_there_are_is_said(
    sounds: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    argv = [str(sounds), *TINY, "--overfit", "1000", "--max-steps", "2", "--out", str(tmp_path / "run")]
    assert main(argv) == 0
    assert "--overfit 1000: there are" in capsys.readouterr().err


def test_what_cannot_be(sounds: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="overfit is -1; use a whole number, 0 or more chunks"):
        main([str(sounds), "--overfit", "-1", "--out", str(tmp_path / "run")])
    with pytest.raises(UserError, match="--overfit cannot change a run that is resumed"):
        main(["--resume", "--overfit", "3", "--out", str(tmp_path / "run")])


def test_the_curve_is_drawn(tmp_path: Path, drawn_pictures: None) -> None:
    distances = np.array([1.0, 0.8, 0.6, 0.5, 0.4])
    draw_overfit(np.arange(1.0, 6.0), distances, 32, tmp_path / "overfit.png")
    assert (tmp_path / "overfit.png").stat().st_size > 1000
