"""Decodes one file to raw int16, in bounded memory; as a program: one task a line in, one result a line out.

It is a process of its own, so that a decoder that crashes on a broken file takes nothing else with it.
It imports numpy, soundfile and soxr, nothing heavier.
"""

from __future__ import annotations

import io
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

from wavevae.audio import Damaged, Mix, decode, find_mix, printable, probe
from wavevae.errors import UserError
from wavevae.headers import repair
from wavevae.units import amplitude_to_db, db_to_amplitude, resampled_length

FULL_SCALE = 32768
PEAK_DB = -1.0
"""What `loudness: peak` scales every file to, dBFS."""
SILENT_DB = -72.0
"""Peak below which a file is silent, dBFS: sixteen bits have three left there."""
EDGE_SAMPLES = 512
INLINE_SAMPLES = 1 << 17
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

    def __init__(self, path: Path, sample_rate: int, mix: Mix) -> None:
        self.path, self.sample_rate, self.mix, self.note = path, sample_rate, mix, ""
        self.length, self.peak = 0, 0.0
        self.low, self.high = np.inf, -np.inf
        """Of what lies EDGE_SAMPLES from the beginning and the end: a constant rings there when it is resampled."""

    def blocks(self) -> Iterator[np.ndarray]:
        try:
            held = np.zeros(0, np.float32)
            for block in decode(self.path, self.sample_rate, self.mix):
                inner = np.concatenate([held, block[max(0, EDGE_SAMPLES - self.length) :]])
                inner, held = np.split(inner, [max(0, len(inner) - EDGE_SAMPLES)])
                self.low = min(self.low, float(inner.min(initial=np.inf)))
                self.high = max(self.high, float(inner.max(initial=-np.inf)))
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


def _wrong_header(path: Path, claimed_s: float, length_s: float) -> str:
    """'' or how much the header claims that is not there, or does not claim that is."""
    wrong = repair(path)
    if wrong is not None and wrong.claimed_bytes < wrong.there_bytes:
        claimed_s = length_s * wrong.claimed_bytes / wrong.there_bytes
        return f"its header claims {claimed_s:.2f} s (a recorder that crashed?), {length_s:.2f} s are there and used"
    with soundfile.SoundFile(os.fsencode(path) if os.name != "nt" else str(path)) as file:
        short = SHORT_CHUNK.search(file.extra_info)
    if short and int(short[1]) > int(short[2]) > 0:
        claimed_s *= int(short[1]) / int(short[2])
    if claimed_s - length_s <= HEADER_TOLERANCE_S:
        return ""
    return f"truncated: its header claims {claimed_s:.2f} s, {length_s:.2f} s are there and used"


def decode_file(path: Path, sample_rate: int, loudness: str, out: BinaryIO) -> dict[str, Any]:
    """Write raw int16 to `out`. Returns `length` (samples) and `note` (what the report should say of it).

    A sound beyond full scale (float files, lossy codecs, resampling) is scaled down as a whole, never clipped.
    Raises: UserError for a file with nothing to use; OSError when `out` cannot be written.
    """
    info, mix = probe(path), find_mix(path)
    head, notes = _Head(path, sample_rate, mix), [mix.note]
    _write(out, head.blocks(), 1.0)
    scale = 1.0
    if loudness == "peak" and head.peak > 0:
        scale = db_to_amplitude(PEAK_DB) / head.peak
    elif head.peak > 1.0:
        scale = 1.0 / head.peak
        notes.append(f"peak {amplitude_to_db(head.peak):+.2f} dBFS, scaled down to full scale")
    if scale != 1.0:
        _write(out, _Head(path, sample_rate, mix).blocks(), scale)
    if head.length == 0:
        raise UserError(head.note.removesuffix("; the part before is used") or "holds no samples")
    if amplitude_to_db(head.peak) < SILENT_DB:
        raise UserError(
            "silent" if head.peak == 0 else f"silent: its peak is {amplitude_to_db(head.peak):.0f} dBFS"
        )
    if head.low <= head.high and amplitude_to_db((head.high - head.low) / 2) < SILENT_DB:
        raise UserError(f"silent: a constant of {head.high:.3g}")
    claimed_s, length_s = info.frames / info.sample_rate, head.length / sample_rate
    notes.insert(0, head.note or _wrong_header(path, claimed_s, length_s))
    return {"length": head.length, "note": "; ".join(note for note in notes if note)}


def run_task(task: dict[str, Any]) -> tuple[dict[str, Any], bytes]:
    """One task (a `store._Decoding` makes them) -> its result, and the samples of a short sound as int16.

    {length, note} with a long sound in the file `part`; {length, note, inline: bytes} with a short one;
    {error}: the content cannot be used; {passing}: nor this time, but it may the next; {fatal}: nothing can be
    written. Making a file for each short sound would take longer than decoding it.
    """
    path = Path(task["path"])
    short = io.BytesIO()
    try:
        info = probe(path)
        samples = resampled_length(info.frames, info.sample_rate, task["sample_rate"])
        with short if samples <= INLINE_SAMPLES else open(task["part"], "w+b") as out:
            result = decode_file(path, task["sample_rate"], task["loudness"], out)
            data = short.getvalue() if out is short else b""
    except UserError as error:
        result, data = {"error": without_path(error, path)}, b""
    except OSError as error:
        return {"fatal": f"{error.strerror or error}"}, b""
    if changed := _changed(task):
        return {"passing": changed}, b""
    return (result | {"inline": len(data)} if data else result), data


def _changed(task: dict[str, Any]) -> str:
    """'' or what has happened to the file since its content was hashed."""
    try:
        status = os.stat(task["path"])
    except OSError as error:
        return f"cannot be read ({error.strerror})"
    same = (status.st_size, status.st_mtime_ns) == (task["size"], task["mtime_ns"])
    return "" if same else "changed while it was being read"


def main() -> int:
    """Serve tasks until standard input ends. Ctrl-C is the parent's business."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    for line in sys.stdin.buffer:
        result, data = run_task(json.loads(line))
        sys.stdout.buffer.write(json.dumps(result).encode() + b"\n" + data)
        sys.stdout.buffer.flush()
    return 0


if __name__ == "__main__":
    sys.exit(main())
