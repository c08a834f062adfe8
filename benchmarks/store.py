"""How fast a folder becomes a store: one hour of tonal FLAC, decoded and indexed, then started again.

    python benchmarks/store.py [--minutes 60 --sample-rate 44100 --channels 1]

Prints the decoding speed in times real time (on all cores that may be used) and the seconds of a second start.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
import soundfile

from wavevae.console import silent
from wavevae.corpus import build_store
from wavevae.corpus.cache import usable_cores

FILE_S = 30
STORE_RATE = 22050


def phrase(sample_rate: int, channels: int, number: int) -> np.ndarray:
    """Half a minute of four decaying notes a second with some breath, float32 (samples, channels)."""
    rng = np.random.default_rng(number)
    t = np.arange(FILE_S * sample_rate, dtype=np.float32) / sample_rate
    notes = 110 * 2 ** (rng.integers(0, 36, FILE_S * 4) / 12)
    phase = 2 * np.pi * np.cumsum(np.repeat(notes, len(t) // len(notes) + 1)[: len(t)]) / sample_rate
    tone = sum(np.sin(k * phase) / k for k in range(1, 6)) * np.exp(-6 * (t % 0.25)) * 0.2
    breath = rng.standard_normal((len(t), channels)) * 0.003
    return (tone[:, None] + breath).astype(np.float32)


def make_corpus(folder: Path, minutes: int, sample_rate: int, channels: int) -> None:
    for number in range(minutes * 60 // FILE_S):
        soundfile.write(folder / f"{number:04d}.flac", phrase(sample_rate, channels, number), sample_rate)


def timed_build(folder: Path, cache: Path) -> tuple[float, float]:
    """(wall seconds, seconds of sound)."""
    begun = time.perf_counter()
    store = build_store([folder], STORE_RATE, cache=cache, progress=silent)
    return time.perf_counter() - begun, store.seconds


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--minutes", type=int, default=60)
    parser.add_argument("--sample-rate", type=int, default=44100)
    parser.add_argument("--channels", type=int, default=1)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        folder, cache = Path(place) / "sounds", Path(place) / "cache"
        folder.mkdir()
        make_corpus(folder, args.minutes, args.sample_rate, args.channels)
        wall, sound = timed_build(folder, cache)
        print(
            f"{sound / 60:.0f} min of {args.sample_rate} Hz FLAC, {args.channels} channel(s), to {STORE_RATE} Hz "
            f"on {usable_cores()} cores: {wall:.1f} s, {sound / wall:.0f} x real time"
        )
        print(f"second start: {timed_build(folder, cache)[0]:.2f} s")
        folder.rename(Path(place) / "moved")
        print(f"after the folder was moved: {timed_build(Path(place) / 'moved', cache)[0]:.2f} s")


if __name__ == "__main__":
    main()
