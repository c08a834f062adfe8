"""Several workers on this machine: the same command once more for each, sharing its cores."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Sequence

from wavevae.cli import ending_signals

from ..quiet import cores


def employ(argv: Sequence[str], workers: int) -> int:
    """Start them and wait. Returns the first exit status that is not 0. A signal to this process reaches them all."""
    words = [*_without_workers(argv), "--workers", "1"]
    threads = str(max(1, cores() // workers))
    command = [sys.executable, "-c", "import sys; from wavevae.cli import main; sys.exit(main())", "sweep"]
    env = {**os.environ, "OMP_NUM_THREADS": threads}
    crew = [subprocess.Popen([*command, *words], env=env, stdout=subprocess.DEVNULL) for _ in range(workers)]

    def pass_on(number: int, frame: object) -> None:
        for worker in crew:
            worker.send_signal(number)

    before = {number: signal.signal(number, pass_on) for number in ending_signals()}
    try:
        statuses = [worker.wait() for worker in crew]
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    return next((abs(status) for status in statuses if status), 0)


def _without_workers(argv: Sequence[str]) -> list[str]:
    """The command line without --workers."""
    kept, skip = [], False
    for word in argv:
        if skip:
            skip = False
        elif word == "--workers":
            skip = True
        elif not word.startswith("--workers="):
            kept.append(word)
    return kept
