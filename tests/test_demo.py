"""`wavevae demo`: its steps, what it reuses, what it refuses; the real commands run in the slow test."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from wavevae import audio, demo
from wavevae.bundle import BundleInfo, LatentAxis
from wavevae.errors import UserError

STEPS = [
    "corpus",
    "train",
    "export",
    "resynthesis",
    "interpolation",
    "melody",
    "sweeps",
    "transfer",
    "perform",
    "evaluate",
]
AXES = ("pitch", "loudness", "periodicity", "brightness", "noisiness", "timbre 1")


class Commands:
    """Stands in for the `wavevae` commands: notes what is asked for and leaves what the real ones leave."""

    def __init__(self, out: Path) -> None:
        self.out = out
        self.asked: list[list[str]] = []
        self.fail_at = ""
        self.fail_with: BaseException = demo.Stopped(2, "wavevae export")

    def __call__(self, *arguments: str | Path) -> None:
        words = [str(argument) for argument in arguments]
        self.asked.append(words)
        if words[0] == "train":
            self.train()
        if words[0] == self.fail_at:
            raise self.fail_with
        if words[0] == "evaluate":
            (self.out / "report.json").write_text(json.dumps({"mr_stft": 1.0, "log_mel_l1": 0.1}))

    def train(self) -> None:
        (self.out / "run").mkdir(exist_ok=True)
        (self.out / "run" / "config.yaml").write_text("run:\n")
        held = self.out / "corpus" / "reed" / "phrase-01.flac"
        lines = ["path,status,seconds,reason", f"{held.with_name('C4-p.flac')},used,1,validation"]
        lines += [f"{held},used,2,validation", f"{self.out / 'corpus' / 'bowed' / 'A2-p.flac'},used,9,"]
        (self.out / "run" / "data_report.csv").write_text("\n".join(lines) + "\n")

    @property
    def names(self) -> list[str]:
        return [words[0] for words in self.asked]


def small_corpus(folder: Path, sample_rate: int) -> None:
    for family in ("bowed", "reed", "struck"):
        for name, seconds in (("A2-p", 0.5), ("C4-p", 0.6), ("phrase-01", 1.0)):
            audio.write(folder / family / f"{name}.flac", np.zeros(round(seconds * 8000), np.float32), 8000)


def small_instrument() -> BundleInfo:
    """What an exported instrument says of itself."""
    ranges = {
        "pitch": (48.0, 72.0, 60.0, 6.0),
        "loudness": (-60.0, -14.0, -30.0, 10.0),
        "periodicity": (0.1, 1, 0.8, 0.2),
    }
    axes = tuple(LatentAxis(name, *ranges.get(name, (-2.0, 2.0, 0.0, 1.0))) for name in AXES)
    return BundleInfo(22050, 256, len(axes), axes, 4096, "vae")


@pytest.fixture
def commands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Commands:
    stand_in = Commands(tmp_path / "demo")
    monkeypatch.setattr(demo, "run", stand_in)
    monkeypatch.setattr("wavevae.synthesis.write_corpus", small_corpus)
    monkeypatch.setattr("wavevae.bundle.read_bundle", lambda path: SimpleNamespace(info=small_instrument()))
    return stand_in


def options(commands: Commands, *more: str) -> list[str]:
    return ["--out", str(commands.out), *more]


def test_the_whole_path_in_order(commands: Commands, capsys: pytest.CaptureFixture[str]) -> None:
    assert demo.main(options(commands, "--max-time", "20s")) == 0
    out = str(commands.out)
    assert commands.names == ["train", "export", *["render"] * 11, "evaluate"]
    training, exporting, resynthesis, interpolation, melody, *others = commands.asked
    *sweeps, transfer, piece, improvisation, evaluation = others
    assert (
        training[1:] == f"{out}/corpus --sr 22050 --preset instrument --max-time 20s --out {out}/run".split()
    )
    assert melody[3] == f"{out}/melody.csv"
    assert [Path(words[3]).stem for words in sweeps] == list(AXES[:5])
    assert piece[2:] == ["--midi", f"{out}/piece.mid", "--normalize", "-o", f"{out}/piece.wav"]
    assert improvisation[2] == "--sample"
    assert transfer[3] == f"{out}/voice.wav"
    assert exporting[1:] == [f"{out}/run", "-o", f"{out}/demo.ts"]
    assert resynthesis[3] == f"{out}/corpus/reed/phrase-01.flac"  # the longest of those held out
    assert [Path(path).parent.name for path in interpolation[3:5]] == ["bowed", "struck"]
    assert evaluation[1:] == [f"{out}/run", "--held-out", "-o", out]
    told = capsys.readouterr().err
    for word in (
        "resynthesis.wav",
        "interpolation.wav",
        "melody.wav",
        "piece.wav",
        "improvisation.wav",
        "voice-as-demo.wav",
        "sweeps/",
        "overview.png",
        f"wavevae serve {out}/demo.ts",
    ):
        assert word in told


def test_the_melody_is_held_notes_in_the_instruments_range(commands: Commands) -> None:
    demo.main(options(commands))
    with open(commands.out / "melody.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    pitch = np.array([float(row["pitch"]) for row in rows])
    loudness = np.array([float(row["loudness"]) for row in rows])
    assert 48 <= pitch.min() < pitch.max() <= 72
    assert np.unique(pitch).size == len(set(demo.MELODY))
    assert (np.diff(pitch) != 0).sum() == len(demo.MELODY) - 1
    assert loudness.max() < 0
    assert loudness[-1] < -60  # the last note has died away
    with open(commands.out / "sweeps" / "brightness.csv", newline="") as file:
        swept = [float(row["brightness"]) for row in csv.DictReader(file)]
    assert (swept[0], swept[-1]) == (-2.0, 2.0)
    assert np.all(np.diff(swept) > 0)


def test_a_finished_demo_is_not_done_again(commands: Commands, capsys: pytest.CaptureFixture[str]) -> None:
    assert demo.main(options(commands)) == 0
    commands.asked.clear()
    assert demo.main(options(commands)) == 0
    assert commands.asked == []
    assert "wavevae serve" in capsys.readouterr().err


def test_it_goes_on_where_it_broke_off(commands: Commands, capsys: pytest.CaptureFixture[str]) -> None:
    commands.fail_at = "export"
    assert demo.main(options(commands)) == 2
    assert f"go on with `wavevae demo --out {commands.out} --max-time 4m`" in capsys.readouterr().err
    commands.fail_at = ""
    commands.asked.clear()
    assert demo.main(options(commands)) == 0
    assert commands.names == ["export", *["render"] * 11, "evaluate"]


def test_interrupted_training_is_resumed(commands: Commands) -> None:
    commands.fail_at, commands.fail_with = "train", KeyboardInterrupt()
    with pytest.raises(KeyboardInterrupt, match="go on with `wavevae demo"):
        demo.main(options(commands))
    commands.fail_at = ""
    commands.asked.clear()
    assert demo.main(options(commands)) == 0
    assert commands.asked[0] == ["train", "--resume", "--out", str(commands.out / "run")]


def test_training_that_ended_unnoted_is_not_resumed(commands: Commands) -> None:
    commands.fail_at, commands.fail_with = "train", KeyboardInterrupt()
    with pytest.raises(KeyboardInterrupt):
        demo.main(options(commands))
    run = commands.out / "run"
    (run / "checkpoints").mkdir()
    (run / "checkpoints" / "last.ckpt").write_text("")
    (run / "metrics.csv").write_text("step,share\n10,0.5\n20,1\n")
    commands.asked.clear()
    assert demo.main(options(commands)) == 0
    assert commands.names[0] == "export"


def test_fresh_removes_only_what_a_demo_made(commands: Commands) -> None:
    demo.main(options(commands))
    (commands.out / "mine.wav").write_text("keep")
    (commands.out / "pairs").mkdir()
    assert demo.main(options(commands, "--fresh")) == 0
    assert (commands.out / "mine.wav").read_text() == "keep"
    assert not (commands.out / "pairs").exists()
    assert commands.names.count("train") == 2
    assert "--resume" not in commands.asked[12]


def test_what_is_not_a_demos_is_left_alone(commands: Commands, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("a")
    (tmp_path / "taken" / "run").mkdir(parents=True)
    (tmp_path / "damaged").mkdir()
    (tmp_path / "damaged" / demo.DIARY).write_text("{")
    demo.main(options(commands))
    wrong = [
        (["--out", str(tmp_path / "file")], "is a file"),
        (["--out", str(tmp_path / "taken")], "'run' that no demo made"),
        (["--out", str(tmp_path / "taken"), "--fresh"], "no demo was made"),
        (["--out", str(tmp_path / "damaged")], "start anew with --fresh"),
        (options(commands, "--max-time", "9m"), "demo of --max-time 4m; add --fresh"),
    ]
    commands.asked.clear()
    for argv, message in wrong:
        with pytest.raises(UserError, match=message):
            demo.main(argv)
    assert commands.asked == []
    assert (tmp_path / "taken" / "run").is_dir()


def test_a_command_is_shown_run_and_its_failure_told(capfd: pytest.CaptureFixture[str]) -> None:
    demo.run("--version")
    with pytest.raises(demo.Stopped) as stopped:
        demo.run("evaluate", "a file.ts")
    assert stopped.value.status == 2
    told = capfd.readouterr().err
    assert "$ wavevae --version" in told
    assert "$ wavevae evaluate 'a file.ts'" in told
    assert "wavevae: error:" in told


def test_the_demo_imports_no_workshop() -> None:
    code = "import sys, wavevae.demo; assert not {'torch', 'wavevae.train', 'wavevae.realtime'} & set(sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


@pytest.mark.slow
def test_the_demo_for_real(tmp_path: Path) -> None:
    out = tmp_path / "demo"
    command = [*demo.wavevae_command(), "demo", "--out", str(out), "--max-time", "20s"]
    environment = os.environ | {"WAVEVAE_CACHE": str(tmp_path / "cache")}
    for _ in range(2):
        done = subprocess.run(command, capture_output=True, text=True, env=environment)
        assert done.returncode == 0, done.stderr
    for name in (
        "resynthesis.wav",
        "interpolation.wav",
        "melody.wav",
        "piece.wav",
        "improvisation.wav",
        "voice-as-demo.wav",
        "sweeps/brightness.wav",
        "run/losses.png",
        "overview.png",
        "demo.ts",
    ):
        assert (out / name).stat().st_size > 1000
    report = json.loads((out / "report.json").read_text())
    assert report["chunks_used"] > 5
    assert np.abs(audio.read_mono(out / "resynthesis.wav", 22050)).max() > 1e-4
    left = {path.name for path in out.iterdir()} - set(demo.MADE)
    assert not left
    assert json.loads((out / demo.DIARY).read_text())["done"] == STEPS
