"""Worker processes that decode files side by side; a crash of one costs the file it was at, no more.

Plain subprocesses instead of multiprocessing: nothing of the caller's `__main__` is imported again, so a
script without a guard, a notebook and a heavy training program are all the same to them.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from typing import Any

Task = dict[str, Any]
Result = dict[str, Any]
"""What `worker.run_task` returns, a short sound's int16 under `samples`."""


def usable_cores() -> int:
    """Cores this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


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
            except Exception as error:  # told to the caller, who waits for one result a task
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
