"""Peak memory of building a store and drawing batches: does it grow with the corpus?

    python benchmarks/memory.py [--minutes 10 600 --batches 2000]

Each size runs in a process of its own. `anonymous` is what it really holds (RssAnon, sampled 50 times a second);
`resident` also counts pages of the mapped store, which the system takes back whenever it needs them. `decoder` is
the largest of the decoding processes.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
import soundfile

RATE = 22050
FILE_MINUTES = 10


def status(pid: str, name: str) -> int:
    """A figure of /proc/PID/status, kB; 0 when the process is gone."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith(name + ":")), 0)


class Peak:
    """The largest RssAnon of this process, and the largest peak of the decoding processes, kB."""

    def __init__(self) -> None:
        self.own = self.decoder = 0
        threading.Thread(target=self._watch, daemon=True).start()

    def _watch(self) -> None:
        while True:
            self.own = max(self.own, status("self", "RssAnon"))
            for task in Path("/proc/self/task").iterdir():
                children = (task / "children").read_text().split()
                self.decoder = max([self.decoder, *(status(pid, "VmHWM") for pid in children)])
            time.sleep(0.02)


def make_corpus(folder: Path, minutes: int) -> None:
    """`minutes` of noise and tones in files of ten minutes, no two of the same content."""
    rng = np.random.default_rng(0)
    t = np.arange(FILE_MINUTES * 60 * RATE, dtype=np.float32) / RATE
    sound = 0.2 * np.sin(2 * np.pi * 220 * t) + 0.05 * rng.standard_normal(len(t), dtype=np.float32)
    samples = (sound * 32767).astype(np.int16)
    for number in range(minutes // FILE_MINUTES):
        soundfile.write(folder / f"{number:03d}.wav", np.roll(samples, 12345 * number), RATE)


def measure(folder: Path, cache: Path, batches: int) -> str:
    """Build, draw, report one line."""
    from wavevae.config import RunConfig
    from wavevae.console import silent
    from wavevae.corpus import build_store
    from wavevae.train.training_data import TrainingData

    peak = Peak()
    time.sleep(0.1)
    imported, mapped = peak.own, status("self", "VmHWM")
    begun = time.perf_counter()
    store = build_store([folder], RATE, cache=cache, progress=silent)
    built = time.perf_counter() - begun
    made = TrainingData(store, RunConfig()).batches()
    begun = time.perf_counter()
    for step in range(batches):
        made.batch(step)
    drawn = (time.perf_counter() - begun) / batches
    time.sleep(0.1)
    resident = status("self", "VmHWM")
    return (
        f"{store.seconds / 3600:6.2f} h: anonymous {peak.own / 1024:.1f} "
        f"({imported / 1024:.1f} after the imports) MB, resident {resident / 1024:.0f} ({mapped / 1024:.0f}) MB, "
        f"decoder {peak.decoder / 1024:.1f} MB; built in {built:.1f} s, {1e3 * drawn:.1f} ms a batch"
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--minutes", type=int, nargs="+", default=[10, 600])
    parser.add_argument("--batches", type=int, default=2000)
    parser.add_argument("--measure", nargs=2, type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.measure:
        folder, cache = args.measure
        print(measure(folder, cache, args.batches))
        return
    for minutes in args.minutes:
        with tempfile.TemporaryDirectory() as place:
            folder = Path(place) / "sounds"
            folder.mkdir()
            make_corpus(folder, minutes)
            again = ["--measure", str(folder), f"{place}/cache", "--batches", str(args.batches)]
            subprocess.run([sys.executable, __file__, *again], check=True)


if __name__ == "__main__":
    main()
