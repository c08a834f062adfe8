"""A worker whose trials take no time, for tests: python sweep_worker.py FOLDER NAME DIES_AT [WAITS_FOR].

It kills itself (SIGKILL) in the middle of the trial that is its DIES_AT-th (0: never), after it has said so in
FOLDER/NAME.dying; its first trial ends only when FOLDER/WAITS_FOR is there.
"""

import os
import signal
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from optuna.trial import Trial

from wavevae.train.sweep.space import read_space
from wavevae.train.sweep.storage import open_study
from wavevae.train.sweep.trial import DONE, Outcome
from wavevae.train.sweep.worker import Worker


def main() -> None:
    folder, name, dies_at = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
    waits_for = folder / sys.argv[4] if len(sys.argv) > 4 else None
    begun = 0

    def log(line: str) -> None:
        with open(folder / "log", "a") as file:
            file.write(line + "\n")

    def run_trial(trial: Trial, settings: Mapping[str, Any], run: Path) -> Outcome:
        nonlocal begun
        begun += 1
        log(
            f"begin {trial.number} {name} {settings['model.latent_dim']} {settings['train.learning_rate']:g} {run}"
        )
        if begun == dies_at:
            (folder / f"{name}.dying").touch()
            os.kill(os.getpid(), signal.SIGKILL)
        while waits_for is not None and not waits_for.exists():
            time.sleep(0.02)
        log(f"end {trial.number} {name}")
        return Outcome(DONE, float(settings["model.latent_dim"]))

    space = read_space(folder / "space.yaml")
    study, claims = open_study(folder / "s.journal", space)
    Worker(study, space, claims, folder / "s", 12, run_trial, print, poll_s=0.05).work()


if __name__ == "__main__":
    main()
