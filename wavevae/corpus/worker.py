"""Decodes files to raw int16, in bounded memory, in processes side by side: a crash of one costs the file it was at.

The parent calls `run_tasks`; a worker is this module as a program: one task a line in, one result a line out. Plain
subprocesses instead of multiprocessing: nothing of the caller's `__main__` is imported again, so a script without a
guard, a notebook and a heavy training program are all the same to them. A worker imports numpy, soundfile and soxr,
nothing heavier.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import queue
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import soundfile

from wavevae.audio import Damaged, Mix, decode, find_mix, probe
from wavevae.errors import UserError
from wavevae.files import printable
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
Task = dict[str, Any]
Result = dict[str, Any]
"""What `run_task` returns, a short sound's int16 under `samples`."""
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


def run_task(task: Task) -> tuple[Result, bytes]:
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


def _changed(task: Task) -> str:
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


# -- the parent's side ---------------------------------------------------------------------------------------


class _Worker:
    """One process: a task in, its result out."""

    def __init__(self) -> None:
        self.process: subprocess.Popen[bytes] | None = None

    def _start(self) -> subprocess.Popen[bytes]:
        paths = [p for p in sys.path if p]
        env = os.environ | {"PYTHONPATH": os.pathsep.join(paths), "OMP_NUM_THREADS": "1"}
        return subprocess.Popen(
            [sys.executable, "-P", "-m", "wavevae.corpus.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,  # libmpg123 comments on every broken file
            env=env,
        )

    def run(self, task: Task) -> Result:
        self.process = self.process or self._start()
        assert self.process.stdin
        assert self.process.stdout
        try:
            self.process.stdin.write(json.dumps(task).encode() + b"\n")
            self.process.stdin.flush()
            line = self.process.stdout.readline()
        except OSError:
            line = b""
        if line.endswith(b"\n"):
            result = json.loads(line)
            count = result.pop("inline", 0)
            result["samples"] = self.process.stdout.read(count)
            if len(result["samples"]) == count:
                return result
        status = self.process.wait()
        self.process = None
        return {"passing": f"the decoder crashed on it (status {status})"}

    def kill(self) -> None:
        if self.process:
            self.process.kill()

    def close(self) -> None:
        if self.process:
            self.process.kill()
            self.process.communicate()


class _Crew:
    """A thread for each worker hands it one task after the other."""

    def __init__(self, tasks: Sequence[Task], workers: int) -> None:
        self.todo: queue.SimpleQueue[Task] = queue.SimpleQueue()
        for task in tasks:
            self.todo.put(task)
        self.done: queue.Queue[tuple[Task, Result]] = queue.Queue(maxsize=64)
        self.stopping = threading.Event()
        self.workers = [_Worker() for _ in range(workers)]
        self.threads = [threading.Thread(target=self._serve, args=(w,), daemon=True) for w in self.workers]
        for thread in self.threads:
            thread.start()

    def _serve(self, worker: _Worker) -> None:
        while not self.stopping.is_set():
            try:
                task = self.todo.get_nowait()
            except queue.Empty:
                return
            try:
                result = worker.run(task)
            except Exception as error:  # the caller waits for one result a task
                result = {"fatal": f"{type(error).__name__}: {error}"}
            self.done.put((task, result))

    def stop(self) -> None:
        """End every process and thread, whatever they are at."""
        self.stopping.set()
        for worker in self.workers:
            worker.kill()
        for thread in self.threads:
            while thread.is_alive():
                with contextlib.suppress(queue.Empty):
                    self.done.get(timeout=0.02)  # room for a result that nobody will read
        for worker in self.workers:
            worker.close()


def run_tasks(tasks: Sequence[Task], workers: int) -> Iterator[tuple[Task, Result]]:
    """Results as they come, in any order. Closing the generator (or Ctrl-C) stops the processes."""
    if not tasks:
        return
    crew = _Crew(tasks, max(1, min(workers, len(tasks))))
    try:
        for _ in tasks:
            yield crew.done.get()
    finally:
        crew.stop()


if __name__ == "__main__":
    sys.exit(main())
