"""A run goes on from its last checkpoint under other settings, for equal CPU time: pairs on a busy machine.

    python experiments/fork.py runs/sax runs/with --cpu-seconds 50 hop_modulation_loss=2
    python experiments/fork.py runs/sax runs/without --cpu-seconds 50
    wavevae evaluate runs/with --held-out --also runs/without --checkpoint last -o report

The rest of the schedule is the second half of one of twice that time: half the learning rate, down to zero. Averages
forget faster (0.98), or so short a time would not be heard in them. One thread: set OMP_NUM_THREADS=1.
"""

from __future__ import annotations

import argparse
import dataclasses
import shutil
import sys
import time
from pathlib import Path

import wavevae.train.arguments as arguments
from wavevae.checkpoint import read_checkpoint, write_checkpoint
from wavevae.config import override, parse_settings
from wavevae.train.__main__ import main as train
from wavevae.train.budget import Budget
from wavevae.train.run_folder import RunFolder

FORGETS = 0.98


class CpuBudget(Budget):
    """Counts what this process computes, not what the clock says."""

    def __init__(self, max_time_s: float | None, max_steps: int | None) -> None:
        super().__init__(max_time_s, max_steps, time.process_time)


def fork(run: Path, out: Path, cpu_seconds: float, settings: list[str]) -> None:
    """A copy of the run, half way through twice the time."""
    kept_behind = shutil.ignore_patterns("report", "validation", "tensorboard", ".lock")
    shutil.copytree(run, out, ignore=kept_behind)
    folder = RunFolder(out)
    checkpoint = read_checkpoint(folder.last)
    budget = {"max_time_s": 2 * cpu_seconds, "max_steps": None, "ema_decay": FORGETS}
    config = override(checkpoint.config, {**parse_settings(settings), **budget})
    halfway = dataclasses.replace(checkpoint, config=config, elapsed_s=cpu_seconds, best_score=None)
    write_checkpoint(folder.last, halfway)
    folder.write_config(config, folder.read_config()[1])


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("run", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("settings", nargs="*", metavar="key=value")
    parser.add_argument("--cpu-seconds", type=float, default=50.0)
    args = parser.parse_intermixed_args()
    fork(args.run, args.out, args.cpu_seconds, args.settings)
    arguments.Budget = CpuBudget  # type: ignore[misc,assignment]
    return train(["--resume", "--out", str(args.out)])


if __name__ == "__main__":
    sys.exit(main())
