"""Whatever is written: a full disk is one line with the path, nothing is left, and what was there is whole."""

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from wavevae import audio, plots
from wavevae.checkpoint import Checkpoint, write_checkpoint
from wavevae.cli import explain
from wavevae.config import RunConfig
from wavevae.corpus.store import ReportRow, write_report
from wavevae.errors import Failure
from wavevae.evaluation.report import prepared
from wavevae.realtime.offline.latent_files import latent_writer
from wavevae.synthesis import write_corpus
from wavevae.train.journal import MetricsFile

pytestmark = pytest.mark.usefixtures("drawn_pictures")

resource = pytest.importorskip("resource")
ROOM_BYTES = 2000
SOUND = (0.5 * np.random.default_rng(0).standard_normal(40_000)).astype(np.float32)


@contextlib.contextmanager
def little_room() -> Iterator[None]:
    """No file grows beyond ROOM_BYTES: stands for the end of the disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (ROOM_BYTES, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def latents(path: Path) -> None:
    with latent_writer(path, 8) as out:
        out.write(np.zeros((4000, 8), np.float32))


def picture(path: Path) -> None:
    figure = plots.new_figure(4, 3)
    figure.subplots().plot(SOUND[:2000])
    plots.save(figure, path)


def checkpoint(path: Path) -> None:
    import torch

    write_checkpoint(path, Checkpoint(RunConfig(), {"w": torch.zeros(5000)}))


def exploration(path: Path) -> None:
    with prepared(path) as part:
        np.savez(part / "latents.npz", x=SOUND)


WRITERS: dict[str, Callable[[Path], object]] = {
    "sound.wav": lambda path: audio.write(path, SOUND, 8000),
    "sound.flac": lambda path: audio.write(path, SOUND, 8000),
    "latents.npy": latents,
    "picture.png": picture,
    "last.ckpt": checkpoint,
    "data_report.csv": lambda path: write_report(
        path, [ReportRow(f"{n}.wav", "used", 1.0, "") for n in range(200)]
    ),
    "explored": exploration,
    "corpus": lambda path: write_corpus(path, 8000, seconds=20),
}


@pytest.mark.parametrize("name", WRITERS)
def test_it_is_one_line_and_leaves_nothing(tmp_path: Path, name: str) -> None:
    with little_room(), pytest.raises(Failure, match="cannot be written") as caught:
        WRITERS[name](tmp_path / name)
    message, status = explain(caught.value)
    assert status == 1
    assert name in message
    assert "File too large" in message
    assert not [path for path in tmp_path.rglob("*") if path.is_file() or path.suffix == ".part"]


@pytest.mark.parametrize("name", [name for name in WRITERS if "." in name])
def test_what_was_there_is_whole(tmp_path: Path, name: str) -> None:
    WRITERS[name](tmp_path / name)
    before = (tmp_path / name).read_bytes()
    with little_room(), pytest.raises(Failure):
        WRITERS[name](tmp_path / name)
    assert (tmp_path / name).read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_the_bytes_wanted_are_said(tmp_path: Path) -> None:
    with little_room(), pytest.raises(Failure, match="120000 bytes wanted"):
        audio.write(tmp_path / "a.wav", SOUND, 8000)


def append_many(file: MetricsFile) -> None:
    for step in range(1, 1000):
        file.append({"step": step, "loss": 1.23456})


def test_rows_of_metrics_stay_whole(tmp_path: Path) -> None:
    file = MetricsFile(tmp_path / "metrics.csv")
    file.append({"step": 0, "loss": 1.0})
    with little_room(), pytest.raises(Failure):
        append_many(file)
    lines = (tmp_path / "metrics.csv").read_text().splitlines()
    assert all(line.count(",") == 1 for line in lines)
    assert lines[-1].endswith("1.23456")
    assert (tmp_path / "metrics.csv").read_text().endswith("\n")
