"""Decodes one file to raw int16, in bounded memory; as a program: one task a line in, one result a line out.

It is a process of its own, so that a decoder that crashes on a broken file takes nothing else with it.
It imports numpy, soundfile and soxr, nothing heavier.
"""

from __future__ import annotations

import json
import os
import re
import signal
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import soundfile

from wavevae.audio import Damaged, decode, printable, probe
from wavevae.errors import UserError
from wavevae.units import amplitude_to_db, db_to_amplitude

FULL_SCALE = 32768
PEAK_DB = -1.0
"""What `loudness: peak` scales every file to, dBFS."""
HEADER_TOLERANCE_S = 0.1
SHORT_CHUNK = re.compile(r"(?:data|SSND)\s*:\s*(\d+)\s*\(should be (\d+)\)")


def to_int16(audio: np.ndarray) -> np.ndarray:
    """Full scale is 32768, so that 16-bit sources come through unchanged."""
    return np.clip(np.rint(audio * FULL_SCALE), -FULL_SCALE, FULL_SCALE - 1).astype(np.int16)


def to_float(samples: np.ndarray) -> np.ndarray:
    """The reverse of `to_int16`: float32 within [-1, 1)."""
    return samples.astype(np.float32) * np.float32(1 / FULL_SCALE)


def without_path(error: Exception, path: Path) -> str:
    """The message alone, for a row that names the file already."""
    return str(error).removeprefix(f"{printable(path)}: ")


class _Head:
    """The blocks of a file up to where it is damaged; `.note` then says where."""

    def __init__(self, path: Path, sample_rate: int) -> None:
        self.path, self.sample_rate, self.note = path, sample_rate, ""
        self.length, self.peak = 0, 0.0

    def blocks(self) -> Iterator[np.ndarray]:
        try:
            for block in decode(self.path, self.sample_rate):
                self.length += len(block)
                self.peak = max(self.peak, float(np.abs(block).max(initial=0.0)))
                yield block
        except Damaged as error:
            self.note = f"{without_path(error, self.path)}; the part before is used"


def _write(out: BinaryIO, blocks: Iterable[np.ndarray], scale: float) -> None:
    out.seek(0)
    out.truncate()
    for block in blocks:
        out.write(to_int16(block * np.float32(scale) if scale != 1.0 else block).tobytes())


def _missing_end(path: Path, claimed_s: float, length_s: float) -> str:
    """'' or how much the header claims that is not there."""
    with soundfile.SoundFile(os.fsencode(path) if os.name != "nt" else str(path)) as file:
        short = SHORT_CHUNK.search(file.extra_info)
    if short and int(short[1]) > int(short[2]) > 0:
        claimed_s *= int(short[1]) / int(short[2])
    if claimed_s - length_s <= HEADER_TOLERANCE_S:
        return ""
    return f"truncated: its header claims {claimed_s:.2f} s, {length_s:.2f} s are there and used"


def decode_file(path: Path, sample_rate: int, loudness: str, part: Path) -> dict[str, Any]:
    """Write `part` (raw int16). Returns `length` (samples) and `note` (what the report should say of it).

    A sound beyond full scale (float files, lossy codecs, resampling) is scaled down as a whole, never clipped.
    Raises: UserError for a file with nothing to use; OSError when `part` cannot be written.
    """
    info = probe(path)
    notes = []
    with open(part, "w+b") as out:
        head = _Head(path, sample_rate)
        _write(out, head.blocks(), 1.0)
        scale = 1.0
        if head.peak > 1.0:
            scale = 1.0 / head.peak
            notes.append(f"peak {amplitude_to_db(head.peak):+.2f} dBFS, scaled down to full scale")
        if loudness == "peak" and head.peak > 0:
            scale = db_to_amplitude(PEAK_DB) / head.peak
            notes.clear()
        if scale != 1.0:
            _write(out, _Head(path, sample_rate).blocks(), scale)
    if head.length == 0:
        raise UserError(head.note.removesuffix("; the part before is used") or "holds no samples")
    claimed_s, length_s = info.frames / info.sample_rate, head.length / sample_rate
    notes.insert(0, head.note or _missing_end(path, claimed_s, length_s))
    return {"length": head.length, "note": "; ".join(note for note in notes if note)}


def run_task(task: dict[str, Any]) -> dict[str, Any]:
    """One task (a `store._Decoding` makes them) -> one of

    {length, note}; {error}: the content cannot be used; {passing}: nor this time, but it may the next;
    {fatal}: nothing can be written.
    """
    path = Path(task["path"])
    try:
        result = decode_file(path, task["sample_rate"], task["loudness"], Path(task["part"]))
    except UserError as error:
        result = {"error": without_path(error, path)}
    except OSError as error:
        return {"fatal": f"{error.strerror or error}"}
    try:
        status = os.stat(path)
    except OSError as error:
        return {"passing": f"cannot be read ({error.strerror})"}
    changed = (status.st_size, status.st_mtime_ns) != (task["size"], task["mtime_ns"])
    return {"passing": "changed while it was being read"} if changed else result


def main() -> int:
    """Serve tasks until standard input ends. Ctrl-C is the parent's business."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    for line in sys.stdin:
        print(json.dumps(run_task(json.loads(line))), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
