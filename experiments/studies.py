"""The studies' models and ours, each with the same time on the same machine: one table and one picture.

    python experiments/studies.py notes/ -o studies                     # every model, 10 minutes each, in turn
    python experiments/studies.py notes/ -o studies --only codec study-c --minutes 2
    python experiments/studies.py notes/ -o studies --show              # what is there already

Trains (`wavevae train`), evaluates on the test split (`wavevae evaluate`) and compares the reports, all on the
waveform. Stopped or killed, the same command goes on. One thread each: set OMP_NUM_THREADS=1.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import soundfile

from wavevae import plots
from wavevae.train.run_folder import RunFolder

MODELS: dict[str, tuple[str, ...]] = {
    "codec": ("--preset", "codec", "--sr", "16000"),
    "codec-few": (
        *("--preset", "codec", "--sr", "16000", "--latent-dim", "8"),
        *("--set", "ratios=[4,4,4]", "--set", "widths=[48,96,128,128]"),
    ),
    "study-c": ("--preset", "study-c", "--batch-size", "32"),
    "study-d": ("--preset", "study-d"),
    "study-d-rectangular": ("--preset", "study-d", "--set", "stft_window=rectangular"),
    "study-d-vae": ("--preset", "study-d-vae"),
    "codec-22050": ("--preset", "codec", "--sr", "22050"),
    "study-a": ("--preset", "study-a", "--batch-size", "32"),
    "study-a-1m": (
        *("--preset", "study-a", "--batch-size", "32", "--latent-dim", "64"),
        *("--set", "conv_channels=[8,16,32,64]"),
    ),
    "study-b": ("--preset", "study-b"),
    "study-b-1m": ("--preset", "study-b", "--set", "conv_channels=[4,8,16]"),
    "study-b-256": ("--preset", "study-b-256"),
}
"""`-1m`: about as many parameters as `codec` has. `-few`: about as many numbers a second as the studies' have.
By sample rate: mr_stft and log_mel_l1 compare models that hear the same bands."""
COLUMNS: dict[str, int] = {
    "mr_stft": 3,
    "log_mel_l1": 3,
    "si_sdr_db": 1,
    "accuracy_stft": 1,
    "fad": 1,
    "pitch_error_cents": 1,
    "hop_rate_energy_db": 1,
    "diversity_generated": 1,
}
Report = dict[str, Any]


def run(*words: object) -> None:
    """A wavevae command. Raises: CalledProcessError."""
    code = "import sys; sys.argv[0] = 'wavevae'; from wavevae.cli import main; sys.exit(main())"
    subprocess.run([sys.executable, "-c", code, *map(str, words)], check=True)


def train(name: str, data: Path, out: Path, minutes: float) -> None:
    """As far as the time goes, from where it was."""
    if RunFolder(out).last.exists():
        if _seconds(out) < 59 * minutes:
            run("train", "--resume", "--out", out)
    else:
        run("train", data, *MODELS[name], "--max-time", f"{minutes * 60:.0f}s", "--out", out)


def _seconds(out: Path) -> float:
    from wavevae.checkpoint import read_checkpoint

    return read_checkpoint(RunFolder(out).last).elapsed_s


def read_report(out: Path) -> Report | None:
    path = out / "report" / "report.json"
    return json.loads(path.read_text()) if path.exists() else None


def row(name: str, report: Report) -> list[str]:
    """One of the table."""
    details = report["details"]
    numbers = report["latent_dim"] * report["sample_rate"] / report["hop_length"]
    said = [name, f"{details['parameters'] / 1e6:.2f} M", f"{details['step']}", f"{numbers:.0f}"]
    for column, digits in COLUMNS.items():
        value = report.get(column)
        said.append("" if value is None else f"{value:.{digits}f}")
    return said


def bound_row(name: str, bound: Report) -> list[str]:
    values = [bound.get(c) for c in COLUMNS]
    said = ["" if v is None else f"{v:.{d}f}" for v, d in zip(values, COLUMNS.values(), strict=True)]
    return [f"{name}: its features inverted", "", "", "", *said]


def table(reports: dict[str, Report]) -> str:
    """Markdown."""
    rows = []
    for name, report in reports.items():
        rows.append(row(name, report))
        if report.get("upper_bound"):
            rows.append(bound_row(name, report["upper_bound"]))
    heads = ["model", "parameters", "best at step", "numbers a second", *COLUMNS]
    lines = ["| " + " | ".join(cells) + " |" for cells in (heads, ["---"] * len(heads), *rows)]
    return "\n".join(lines)


def picture(out: Path, names: list[str], path: Path) -> None:
    """The same sounds, a row each: what it was, and what each model makes of it."""
    first = out / names[0] / "report" / "pairs"
    sounds = sorted(p.name.removesuffix("-reference.wav") for p in first.glob("*-reference.wav"))
    figure = plots.new_figure(2.0 * (len(names) + 1), 1.7 * len(sounds))
    grid = figure.subplots(len(sounds), len(names) + 1, squeeze=False)
    for sound, axes_row in zip(sounds, grid, strict=True):
        top = 0.0
        columns = [(names[0], "reference"), *((n, "reconstruction") for n in names)]
        for n, (axes, (name, kind)) in enumerate(zip(axes_row, columns, strict=True)):
            audio, rate = soundfile.read(
                out / name / "report" / "pairs" / f"{sound}-{kind}.wav", dtype="float32"
            )
            power = plots.power_spectrogram(audio)
            top = top or float(power.max())
            plots.show(axes, plots.decibels(power, top), len(audio) / rate, rate)
            axes.set(xlabel="", ylabel="", xticks=[], yticks=[], ylim=(0, 8))
            if sound == sounds[0]:
                axes.set_title(name if n else "the sound", fontsize=8)
        axes_row[0].set_ylabel(sound.split("-")[2].split("_")[0], fontsize=8)
    plots.save(figure, path, dpi=80)


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path, help="an NSynth-layout set: the studies need pitches and families")
    parser.add_argument("-o", "--out", type=Path, required=True, help="folder of runs and of compared.png")
    parser.add_argument("--minutes", type=float, default=10.0, help="of training, each [10]")
    parser.add_argument("--only", nargs="+", choices=MODELS, default=list(MODELS), metavar="MODEL")
    parser.add_argument("--show", action="store_true", help="train nothing")
    options = parser.parse_args()
    reports = {}
    for name in options.only:
        out = options.out / name
        if not options.show and read_report(out) is None:
            train(name, options.data, out, options.minutes)
            run("evaluate", out, options.data, "--split", "test", "--pairs", 4, "-o", out / "report")
        if report := read_report(out):
            reports[name] = report
    print(table(reports))
    if reports:
        picture(options.out, list(reports), options.out / "compared.png")
        print(f"\nlook at {options.out / 'compared.png'}; listen in {options.out}/*/report/pairs")
    return 0


if __name__ == "__main__":
    sys.exit(main())
