"""What a number of minutes buys on this machine: presets trained on packed data, judged on their held-out files.

    python experiments/pack.py recordings/sax packed/sax --megabytes 25
    python experiments/gpu_budget.py --minutes 30 --data packed/sax packed/voice --out runs/budget
    python experiments/gpu_budget.py --minutes 30 --data packed/notes --sr 16000 -- --set split=note
    python experiments/gpu_budget.py --minutes 0.5 --preset codec        # on a CPU, on the demo corpus

Prints the table (Markdown) and writes RESULTS.json beside the runs: figures with command, commit and hardware, as
docs/results keeps them. What follows -- goes to `wavevae train`. A run that is there already is not trained again.
"""

from __future__ import annotations

import argparse
import contextlib
import csv
import datetime
import json
import os
import platform
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

WAVEVAE = (sys.executable, "-c", "import sys; from wavevae.cli import main; sys.exit(main())")
FIGURES = ("mr_stft", "log_mel_l1", "si_sdr_db", "fad", "accuracy_stft", "level_difference_db")
FROM_RUN = ("audio_s_per_s", "waiting", "step")
UNITS = {"audio_s_per_s": "audio-s/s"}


def wavevae(*arguments: object, capture: bool = False) -> str:
    """One command; its standard output where asked for. Raises: CalledProcessError."""
    command = [*WAVEVAE, *map(str, arguments)]
    done = subprocess.run(command, check=True, text=True, stdout=subprocess.PIPE if capture else None)
    return done.stdout or ""


def train_arguments(args: argparse.Namespace, preset: str, data: Path | None, run: Path) -> list[str]:
    """What is typed after `wavevae train`."""
    budget = ["--preset", preset, "--max-time", f"{60 * args.minutes:g}s", "--out", str(run)]
    rate = ["--sr", str(args.sr)] if args.sr else []
    return [*([str(data)] if data else []), *budget, *rate, *args.more]


def last_values(metrics: Path) -> dict[str, float]:
    """The last number in each column that tells of speed."""
    found = {}
    with metrics.open(newline="") as file:
        for row in csv.DictReader(file):
            found.update({name: float(row[name]) for name in FROM_RUN if row.get(name)})
    return found


def row_of(args: argparse.Namespace, preset: str, data: Path | None) -> dict[str, Any]:
    """Train, evaluate; the figures and the command that remakes them."""
    name = f"{data.name if data else 'demo'}-{preset}"
    run = args.out / name
    typed = train_arguments(args, preset, data, run)
    if not (run / "checkpoints" / "last.ckpt").is_file():
        wavevae("train", *typed)
    judged = ["--held-out", "-o", run / "report", "--max-seconds", args.judge_seconds, "--probe-files", 0]
    report = json.loads(wavevae("evaluate", run, *judged, "--json", capture=True))
    figures = {key: report.get(key) for key in FIGURES}
    return {
        "data": data.name if data else "demo",
        "preset": preset,
        "command": shlex.join(["wavevae", "train", *typed]),
        **figures,
        **last_values(run / "metrics.csv"),
    }


def hardware() -> dict[str, Any]:
    """The machine, without its name."""
    import torch

    gpu = None
    if torch.cuda.is_available():
        properties = torch.cuda.get_device_properties(0)
        gpu = f"{torch.cuda.device_count()} x {properties.name}, {properties.total_memory / 2**30:.0f} GiB"
    threads = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    versions = {"torch": torch.__version__, "cuda": torch.version.cuda, "python": platform.python_version()}
    return {"gpu": gpu, "cpu": processor(), "cores": threads, **versions}


def processor() -> str:
    """Its name where the system tells."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def table(rows: list[dict[str, Any]]) -> str:
    """Markdown."""
    columns = ["data", "preset", *FIGURES, *FROM_RUN]

    def shown(value: Any) -> str:
        return "" if value is None else f"{value:.4g}" if isinstance(value, float) else str(value)

    lines = ["| " + " | ".join(UNITS.get(c, c) for c in columns) + " |", "|---" * len(columns) + "|"]
    lines += ["| " + " | ".join(shown(row.get(c)) for c in columns) + " |" for row in rows]
    return "\n".join(lines)


def write(path: Path, args: argparse.Namespace, rows: list[dict[str, Any]]) -> None:
    """RESULTS.json, rewritten after every row so that a lost machine loses one run at most."""
    from wavevae.files import write_whole
    from wavevae.train.run_folder import commit

    told = {
        "command": shlex.join(["python", "experiments/gpu_budget.py", *sys.argv[1:]]),
        "commit": commit(),
        "date": datetime.date.today().isoformat(),
        "minutes": args.minutes,
        "hardware": hardware(),
        "rows": rows,
    }
    write_whole(path, json.dumps(told, indent=1) + "\n")


def parse(argv: list[str]) -> argparse.Namespace:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    options.add_argument("--minutes", type=float, default=30.0, help="to train each (default: 30)")
    options.add_argument("--preset", nargs="+", default=["codec-large", "codec-studio"])
    options.add_argument(
        "--data", nargs="+", type=Path, default=[], help="packed folders; none: the demo corpus"
    )
    options.add_argument("--sr", type=int, help="sample rate, Hz (default: the presets')")
    options.add_argument("--out", type=Path, default=Path("runs/budget"))
    options.add_argument("--judge-seconds", type=float, default=120.0, help="sound to judge (default: 120)")
    end = argv.index("--") if "--" in argv else len(argv)
    args = options.parse_args(argv[:end])
    args.more = argv[end + 1 :]
    return args


def main() -> None:
    args = parse(sys.argv[1:])
    args.out.mkdir(parents=True, exist_ok=True)
    rows: list[dict[str, Any]] = []
    for data in args.data or [None]:
        for preset in args.preset:
            rows.append(row_of(args, preset, data))
            write(args.out / "RESULTS.json", args, rows)
    print(table(rows))
    print(args.out / "RESULTS.json", file=sys.stderr)


if __name__ == "__main__":
    main()
