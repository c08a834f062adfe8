"""A folder of sounds made small enough to travel: mono 16-bit FLAC, an even spread of the files, labels kept.

    python experiments/pack.py recordings/ packed/sax --megabytes 25 [--sr 22050]

What comes out is an ordinary folder (or an NSynth-layout set), read by `wavevae train` as any other. Sub-folders stay,
so classes and splits do; of each sub-folder the same share of the files is taken.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import soundfile

from wavevae.audio import read_mono
from wavevae.corpus import FoundFile, find_files
from wavevae.corpus.files import LABEL_FILE

SAMPLE = 40
"""Files packed to learn how large a file gets."""


def spread(items: Sequence[FoundFile], share: float) -> list[FoundFile]:
    """Every so many of each folder's files, at least one."""
    folders: dict[Path, list[FoundFile]] = {}
    for item in items:
        folders.setdefault(item.path.parent, []).append(item)
    taken = []
    for inside in folders.values():
        count = max(1, min(len(inside), round(share * len(inside))))
        taken += [inside[i] for i in np.linspace(0, len(inside) - 1, count).round().astype(int)]
    return taken


def pack_file(item: FoundFile, source: Path, target: Path, rate: int | None) -> int:
    """Write one file; returns its bytes."""
    rate = rate or soundfile.info(str(item.path)).samplerate
    place = (target / item.path.relative_to(source)).with_suffix(".flac")
    place.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(str(place), read_mono(item.path, rate), rate, subtype="PCM_16", format="FLAC")
    return place.stat().st_size


def keep_labels(source: Path, target: Path) -> None:
    """examples.json of the notes that came along, for each NSynth split."""
    for file in source.rglob(LABEL_FILE):
        place = target / file.relative_to(source)
        kept = {p.stem for p in (place.parent / "audio").glob("*.flac")}
        if kept:
            labels = json.loads(file.read_text())
            place.write_text(json.dumps({name: labels[name] for name in labels if name in kept}))


def pack(source: Path, target: Path, megabytes: float, rate: int | None) -> tuple[int, int, int]:
    """(files taken, files found, bytes)."""
    found = [item for item in find_files([source]) if not item.reason]
    if not found:
        sys.exit(f"{source}: no sounds")
    trial = [found[i] for i in np.unique(np.linspace(0, len(found) - 1, SAMPLE).round().astype(int))]
    mean = sum(pack_file(item, source, target, rate) for item in trial) / len(trial)
    shutil.rmtree(target)
    taken = spread(found, min(1.0, 0.97e6 * megabytes / (mean * len(found))))
    size = sum(pack_file(item, source, target, rate) for item in taken)
    keep_labels(source, target)
    return len(taken), len(found), size


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    options.add_argument("source", type=Path)
    options.add_argument("target", type=Path, help="a folder to make")
    options.add_argument("--megabytes", type=float, default=25.0, help="about so much (default: 25)")
    options.add_argument("--sr", type=int, help="sample rate, Hz (default: each file's own)")
    args = options.parse_args()
    if args.target.exists():
        sys.exit(f"{args.target} exists already")
    taken, found, size = pack(args.source, args.target, args.megabytes, args.sr)
    print(f"{taken} of {found} files, {size / 1e6:.1f} MB -> {args.target}")


if __name__ == "__main__":
    main()
