"""`wavevae demo`: the whole path on a small corpus of its own, by the very commands a user would type."""

from __future__ import annotations

import argparse
import csv
import json
import os
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from wavevae.cli import Parser, shown
from wavevae.console import say
from wavevae.errors import UserError
from wavevae.files import write_errors, write_whole

if TYPE_CHECKING:
    from wavevae.bundle import BundleInfo

EXAMPLE = """\
  wavevae demo                       about 5 minutes on two cores; leaves demo/
  wavevae demo --max-time 20m --out demo-longer
  wavevae demo --fresh               start anew, removing what an earlier demo made there"""

SAMPLE_RATE = 22050
DIARY = ".wavevae-demo.json"
MELODY = (0, 4, 7, 12, 11, 7, 4, 5, 0)
"""Semitones above its lowest note."""
SWEPT = ("pitch", "loudness", "periodicity", "brightness", "noisiness")
SWEEP_S, VOICE_S, IMPROVISED_S = 4.0, 8.0, 20.0
ATTACK_FRAMES, RELEASE_FRAMES = 3, 10
MADE = (
    *(
        ".corpus.wavevae-corpus.json",
        "corpus",
        "run",
        "demo.ts",
        "resynthesis.wav",
        "melody.wav",
        "melody.csv",
        "sweeps",
        "voice.wav",
        "voice-as-demo.wav",
        "interpolation.wav",
        "piece.mid",
        "piece.wav",
        "improvisation.wav",
    ),
    *("report.json", "report.html", "chunks.csv", "overview.png", "pairs", "spectrograms"),
    *("generated", "latents", "playing", DIARY),
)
"""Everything a demo makes in its folder; --fresh removes these and nothing else."""


class Stopped(Exception):
    """A command of the demo ended with a status that is not 0, and has printed why."""

    def __init__(self, status: int, command: str) -> None:
        super().__init__(command)
        self.status = status


def wavevae_command() -> list[str]:
    """The `wavevae` of this Python: the script beside it, or its entry point."""
    script = Path(sys.executable).parent / ("wavevae.exe" if os.name == "nt" else "wavevae")
    if script.is_file():
        return [str(script)]
    return [sys.executable, "-c", "import sys; from wavevae.cli import main; sys.exit(main())"]


def run(*arguments: str | Path) -> None:
    """Show a `wavevae` command and run it. Ctrl-C is the command's to handle: it is waited for.

    Raises: Stopped where it fails; KeyboardInterrupt where it was interrupted.
    """
    words = [str(argument) for argument in arguments]
    say(f"\n$ {shlex.join(['wavevae', *words])}")
    process = subprocess.Popen([*wavevae_command(), *words], stdout=sys.stderr)
    interrupted = False
    while True:
        try:
            status = process.wait()
            break
        except KeyboardInterrupt:
            interrupted = True
    if interrupted or status in (130, -2):
        raise KeyboardInterrupt
    if status != 0:
        raise Stopped(status, f"wavevae {words[0]}")


@dataclass
class Diary:
    """What an earlier demo has done in this folder, and with which budget."""

    path: Path
    max_time: str
    done: list[str]

    @classmethod
    def open(cls, out: Path, max_time: str) -> Diary:
        """Raises: UserError where the folder is someone else's, or its demo was of another length."""
        path = out / DIARY
        if out.exists() and not out.is_dir():
            raise UserError(f"--out {out} is a file; name a folder")
        if not path.is_file():
            there = [name for name in MADE if (out / name).exists()]
            if there:
                raise UserError(f"--out {out} holds '{there[0]}' that no demo made; name another folder")
            return cls(path, max_time, [])
        try:
            found = json.loads(path.read_text())
            diary = cls(path, str(found["max_time"]), [str(step) for step in found["done"]])
        except (OSError, ValueError, KeyError, TypeError):
            raise UserError(f"{path} is damaged; start anew with --fresh") from None
        if diary.max_time != max_time:
            was = f"{out} is a demo of --max-time {diary.max_time}"
            raise UserError(f"{was}; add --fresh to start anew with {max_time}, or name another --out")
        return diary

    def write(self) -> None:
        write_whole(self.path, json.dumps({"max_time": self.max_time, "done": self.done}))

    def step(self, name: str, work: Callable[[], None]) -> None:
        """Do it unless it is done; what comes after a step that is done anew is done anew."""
        if name in self.done:
            say(f"{name}: done already")
            return
        work()
        self.done.append(name)
        self.write()


def sweep(out: Path) -> None:
    """Remove what an earlier demo made, the diary last. Raises: UserError where none was made."""
    if out.exists() and any(out.iterdir()) and not (out / DIARY).is_file():
        raise UserError(f"--fresh: no demo was made in {out}; name another --out")
    for name in MADE:
        path = out / name
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


def make_corpus(out: Path) -> None:
    """OUT/corpus/FAMILY/*.flac"""
    from wavevae.synthesis import write_corpus

    say("making a corpus: four instruments from small physical models, about 3 minutes of notes and phrases")
    write_corpus(out / "corpus", SAMPLE_RATE)


def train(out: Path, max_time: str) -> None:
    """OUT/run, resumed where an earlier demo broke off."""
    if is_trained(out / "run"):
        return
    if (out / "run" / "config.yaml").is_file():
        run("train", "--resume", "--out", out / "run")
        return
    preset = ("--sr", str(SAMPLE_RATE), "--preset", "instrument", "--max-time", max_time)
    run("train", out / "corpus", *preset, "--out", out / "run")


def is_trained(folder: Path) -> bool:
    """Whether the run used its whole budget, by the last row of its metrics.csv."""
    try:
        with open(folder / "metrics.csv", newline="", encoding="utf-8") as file:
            shares = [row["share"] for row in csv.DictReader(file)]
        return float(shares[-1]) >= 1.0 and (folder / "checkpoints" / "last.ckpt").is_file()
    except (OSError, KeyError, IndexError, TypeError, ValueError):
        return False


def held_out(out: Path) -> list[Path]:
    """The files that the run was not trained on, from its data_report.csv; all files where it names none."""
    with open(out / "run" / "data_report.csv", newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    names = [
        row["path"] for row in rows if row["status"] == "used" and row["reason"].startswith("validation")
    ]
    return [Path(name) for name in names or [row["path"] for row in rows if row["status"] == "used"]]


def longest(paths: Sequence[Path]) -> Path:
    """The longest sound: a phrase where there is one."""
    from wavevae.audio import probe

    return max(paths, key=lambda path: (probe(path).frames, str(path)))


def two_families(out: Path) -> tuple[Path, Path]:
    """The longest bowed sound and the longest struck one."""
    first, second = (sorted((out / "corpus" / family).glob("*.flac")) for family in ("bowed", "struck"))
    return longest(first), longest(second)


def play_melody(out: Path, model: Path) -> None:
    """OUT/melody.csv: notes of the instrument's range as rows of its latents, and OUT/melody.wav."""
    from wavevae.bundle import read_bundle

    info = read_bundle(model).info
    seconds = [*[0.5] * (len(MELODY) - 1), 3.0]
    root = middle_pitch(info) - 6.0
    notes = [note(info, {"pitch": root + step}, length) for step, length in zip(MELODY, seconds, strict=True)]
    write_rows(out / "melody.csv", info, [row for rows in notes for row in rows])
    run("render", model, "--latents", out / "melody.csv", "-o", out / "melody.wav")


def play_sweeps(out: Path, model: Path) -> None:
    """OUT/sweeps/CONTROL.csv and .wav: one control from low to high over three seconds of a held note."""
    from wavevae.bundle import read_bundle

    info = read_bundle(model).info
    (out / "sweeps").mkdir(exist_ok=True)
    for axis in info.axes:
        if axis.name not in SWEPT:
            continue
        rows = note(info, {"pitch": middle_pitch(info)}, SWEEP_S)
        place = [a.name for a in info.axes].index(axis.name)
        for number, row in enumerate(rows):
            row[place] = axis.low + (axis.high - axis.low) * number / (len(rows) - 1)
        path = out / "sweeps" / f"{axis.name}.csv"
        write_rows(path, info, rows)
        run("render", model, "--latents", path, "-o", path.with_suffix(".wav"))


def sing(out: Path, model: Path) -> None:
    """OUT/voice.wav, synthesised syllables foreign to the corpus, and the instrument's version of them."""
    from wavevae import audio
    from wavevae.synthesis.syllables import sung_syllables

    audio.write(out / "voice.wav", sung_syllables(VOICE_S, SAMPLE_RATE, seed=1), SAMPLE_RATE)
    fitted = ("--transpose", "auto", "--fit", "1")
    run("render", model, "--input", out / "voice.wav", *fitted, "-o", out / "voice-as-demo.wav")


def middle_pitch(info: BundleInfo) -> float:
    """Of the corpus, a whole semitone (MIDI); 60 for an instrument without pitch."""
    found = [axis for axis in info.axes if axis.name == "pitch"]
    return float(round((found[0].low + found[0].high) / 2)) if found else 60.0


def note(info: BundleInfo, controls: dict[str, float], seconds: float) -> list[list[float]]:
    """Rows of latents: controls as given, loudness by a plain envelope, all else as it usually is."""
    frames = round(seconds * info.frame_rate)
    rows = []
    for frame in range(frames):
        row = []
        for axis in info.axes:
            value = controls.get(axis.name, axis.mean if axis.name != "periodicity" else axis.high)
            if axis.name == "loudness":
                fall = max(0, frame - frames + RELEASE_FRAMES) / RELEASE_FRAMES
                value = min(axis.high, axis.mean + axis.std) - 60.0 * fall
                value -= 30.0 * max(0.0, 1.0 - frame / ATTACK_FRAMES)
            row.append(value)
        rows.append(row)
    return rows


def write_rows(path: Path, info: BundleInfo, rows: list[list[float]]) -> None:
    """A CSV of latents with a line of names."""
    with write_errors(path), open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow([axis.name for axis in info.axes])
        writer.writerows([[f"{value:.4f}" for value in row] for row in rows])


def perform(out: Path, model: Path) -> None:
    """OUT/piece.wav: a short piece of two voices; OUT/improvisation.wav: what the instrument plays by itself."""
    shutil.copyfile(Path(__file__).with_name("piece.mid"), out / "piece.mid")
    run("render", model, "--midi", out / "piece.mid", "--normalize", "-o", out / "piece.wav")
    draw = ("--sample", "--seconds", f"{IMPROVISED_S:g}", "--seed", "1")
    run("render", model, *draw, "-o", out / "improvisation.wav")


def describe(out: Path, original: Path, seconds: float) -> str:
    """The closing text: where the results are, and the next command."""
    first, second = two_families(out)
    report = json.loads((out / "report.json").read_text())
    return f"""
done in {seconds / 60:.1f} min; on sounds it had not heard: mr_stft {report["mr_stft"]:.2f}, \
log_mel_l1 {report["log_mel_l1"]:.3f}

listen to
  {out}/piece.wav            {out}/piece.mid, played as the notes of the corpus are played
  {out}/improvisation.wav    what the instrument plays by itself
  {out}/melody.wav           held notes, played from {out}/melody.csv (pitch, loudness, ... a row a frame)
  {out}/voice-as-demo.wav    {out}/voice.wav, its melody sung by the instrument
  {out}/sweeps/              a held note while one control goes through its range
  {out}/resynthesis.wav      the model's version of a sound it was not trained on:
    {original}
  {out}/interpolation.wav    a glide from {first.parent.name} to {second.parent.name}
  {out}/pairs/               references and reconstructions, side by side
look at
  {out}/overview.png         their spectrograms
  {out}/run/losses.png       the training
play it
  {shown("serve", out / "demo.ts")}"""


def parse(argv: list[str]) -> argparse.Namespace:
    """Raises: UserError."""
    parser = Parser(
        "demo", "Make a small corpus, learn it, export, render, evaluate: the whole path.", EXAMPLE
    )
    parser.add_argument("--out", type=Path, default=Path("demo"), metavar="DIR", help="default: demo")
    parser.add_argument("--max-time", default="4m", metavar="TIME", help="of training (default: 4m)")
    parser.add_argument(
        "--fresh", action="store_true", help="start anew; removes what an earlier demo made in DIR"
    )
    return parser.parse_args(argv)


def walk(out: Path, diary: Diary) -> Path:
    """Every step that is not done yet. Returns the sound that was resynthesised."""
    diary.step("corpus", lambda: make_corpus(out))
    diary.step("train", lambda: train(out, diary.max_time))
    model = out / "demo.ts"
    diary.step("export", lambda: run("export", out / "run", "-o", model))
    original = longest(held_out(out))
    diary.step(
        "resynthesis", lambda: run("render", model, "--input", original, "-o", out / "resynthesis.wav")
    )
    pair = two_families(out)
    diary.step(
        "interpolation", lambda: run("render", model, "--interpolate", *pair, "-o", out / "interpolation.wav")
    )
    diary.step("melody", lambda: play_melody(out, model))
    diary.step("sweeps", lambda: play_sweeps(out, model))
    diary.step("transfer", lambda: sing(out, model))
    diary.step("perform", lambda: perform(out, model))
    diary.step("evaluate", lambda: run("evaluate", out / "run", "--held-out", "-o", out))
    return original


def main(argv: list[str]) -> int:
    """Exit status 0, or that of the command that failed. Raises: UserError; KeyboardInterrupt with advice."""
    args = parse(argv)
    started = time.monotonic()
    if args.fresh:
        sweep(args.out)
    diary = Diary.open(args.out, args.max_time)
    args.out.mkdir(parents=True, exist_ok=True)
    diary.write()
    again = shown("demo", "--out", args.out, "--max-time", args.max_time)
    try:
        original = walk(args.out, diary)
    except KeyboardInterrupt:
        raise KeyboardInterrupt(f"interrupted; go on with `{again}`") from None
    except Stopped as failure:
        say(f"the demo stopped at `{failure}`; when that is mended, go on with `{again}`")
        return failure.status
    say(describe(args.out, original, time.monotonic() - started))
    return 0
