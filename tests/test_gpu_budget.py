"""Benchmarks that travel to a GPU: packed data is what was packed, the table says what was measured."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from wavevae import audio

BENCHMARKS = Path(__file__).parent.parent / "benchmarks"


def benchmark(name: str) -> ModuleType:
    """One of the programs in benchmarks/."""
    spec = importlib.util.spec_from_file_location(name, BENCHMARKS / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def nsynth(folder: Path, count: int = 12) -> Path:
    """A train and a valid split of noisy notes."""
    rng = np.random.default_rng(0)
    for split in ("train", "valid"):
        labels = {}
        for number in range(count):
            name = f"bass-{number}-{split}"
            audio.write(
                folder / split / "audio" / f"{name}.wav",
                rng.uniform(-0.5, 0.5, 8000).astype(np.float32),
                8000,
            )
            labels[name] = {"pitch": number}
        (folder / split / "examples.json").write_text(json.dumps(labels))
    return folder


def test_a_pack_is_a_share_of_every_folder_with_its_labels(tmp_path: Path) -> None:
    for split in ("train", "valid"):
        (tmp_path / "notes" / split / "audio").mkdir(parents=True)
    source, target = nsynth(tmp_path / "notes"), tmp_path / "packed"
    whole = sum(f.stat().st_size for f in source.rglob("*.wav"))
    taken, found, size = benchmark("pack").pack(source, target, whole / 2e6, None)
    assert found == 24
    assert 0.7 * whole / 2 < size <= 1.1 * whole / 2
    for split in ("train", "valid"):
        packed = sorted((target / split / "audio").glob("*.flac"))
        assert 2 * len(packed) == taken
        labels = json.loads((target / split / "examples.json").read_text())
        assert set(labels) == {p.stem for p in packed}
        original = audio.read_mono(source / split / "audio" / f"{packed[0].stem}.wav", 8000)
        np.testing.assert_allclose(audio.read_mono(packed[0], 8000), original, atol=1 / 32768)


def test_everything_travels_where_there_is_room(tmp_path: Path) -> None:
    folder = tmp_path / "sounds"
    folder.mkdir()
    audio.write(folder / "a.wav", np.zeros(800, np.float32), 8000)
    assert benchmark("pack").pack(folder, tmp_path / "packed", 1.0, 4000)[:2] == (1, 1)
    assert len(audio.read_mono(tmp_path / "packed" / "a.flac", 4000)) == 400


def test_what_follows_two_dashes_goes_to_train() -> None:
    budget = benchmark("gpu_budget")
    args = budget.parse(
        ["--minutes", "0.5", "--preset", "codec", "--sr", "16000", "--", "--set", "split=note"]
    )
    assert budget.train_arguments(args, "codec", Path("notes"), Path("out")) == [
        *("notes", "--preset", "codec", "--max-time", "30s", "--out", "out", "--sr", "16000"),
        *("--set", "split=note"),
    ]


def test_the_table_has_a_row_a_run_and_leaves_open_what_is_not_known() -> None:
    lines = benchmark("gpu_budget").table(
        [{"data": "sax", "preset": "codec", "mr_stft": 1.23456, "fad": None}]
    )
    assert lines.splitlines()[2].startswith("| sax | codec | 1.235 |  |")
    assert "audio-s/s" in lines


@pytest.mark.slow
def test_a_budget_of_seconds_on_a_cpu(tmp_path: Path) -> None:
    program = [sys.executable, str(BENCHMARKS / "gpu_budget.py"), "--minutes", "0.1", "--preset", "codec"]
    done = subprocess.run(
        [*program, "--out", str(tmp_path / "out"), "--judge-seconds", "10"], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    told = json.loads((tmp_path / "out" / "RESULTS.json").read_text())
    (row,) = told["rows"]
    assert row["mr_stft"] > 0
    assert row["audio_s_per_s"] > 0
    assert told["hardware"]["torch"]
    assert done.stdout.splitlines()[2].startswith("| demo | codec |")
