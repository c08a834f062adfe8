"""Who works on what: a lock a trial that ends with its worker, however that ends, and a turn for what is shared.

    RUNS/claims/turn     held for a moment by whoever looks for work: asking and taking are one act
    RUNS/claims/0007     held by the worker of trial 7 while it lives; says who, and is touched now and then

The system lets go of a lock when its process is gone (kill -9, power), so a trial whose lock is free has no worker.
Where several machines share a folder whose locks are each machine's own, the touch is the second witness.
"""

from __future__ import annotations

import os
import platform
import threading
from pathlib import Path
from typing import BinaryIO

from wavevae.errors import UserError

TOUCH_EVERY_S = 20.0
STALE_S = 180.0
"""A claim of another machine that was not touched for so long has no worker."""


def _flock(file: BinaryIO, wait: bool) -> bool:
    """Take an exclusive lock on an open file. Raises: UserError where there are none."""
    try:
        import fcntl
    except ImportError:
        raise UserError("sweep needs the file locks of Linux, macOS or WSL, which are not here") from None
    try:
        fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except BlockingIOError:
        return False
    except OSError as error:
        raise UserError(
            f"{file.name} cannot be locked ({error.strerror}); put --storage on another disk"
        ) from None
    return True


class Turn:
    """One process at a time; also the lock of the journal. Not to be taken twice by one process."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.file: BinaryIO | None = None

    def acquire(self) -> bool:
        file = open(self.path, "ab")  # noqa: SIM115 - closed by release
        _flock(file, wait=True)
        self.file = file
        return True

    def release(self) -> None:
        if self.file is not None:
            self.file.close()
            self.file = None

    def __enter__(self) -> Turn:
        self.acquire()
        return self

    def __exit__(self, *_: object) -> None:
        self.release()


class Claim:
    """This process works on a trial, until it lets go or ends."""

    def __init__(self, file: BinaryIO) -> None:
        self.file = file
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._touch, daemon=True)
        file.truncate(0)
        file.write(f"{platform.node()} {os.getpid()}\n".encode())
        file.flush()
        self._thread.start()

    def _touch(self) -> None:
        while not self._done.wait(TOUCH_EVERY_S):
            os.utime(self.file.fileno())

    def release(self) -> None:
        self._done.set()
        self._thread.join()
        self.file.truncate(0)  # nobody's, at once, on other machines too
        self.file.close()


class Claims:
    """Of one sweep."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.turn = Turn(folder / "turn")

    def take(self, number: int) -> Claim | None:
        """The claim on a trial; none while another worker has it."""
        file = open(self.folder / f"{number:04d}", "a+b")  # noqa: SIM115 - held by the claim
        if not _flock(file, wait=False) or self._touched_elsewhere(file):
            file.close()
            return None
        return Claim(file)

    def _touched_elsewhere(self, file: BinaryIO) -> bool:
        """Whether a worker of another machine has it; both times are the file system's, not this machine's."""
        file.seek(0)
        owner = file.read().decode(errors="replace").split(" ")[0]
        if not owner or owner == platform.node():
            return False
        now = self.folder / "now"
        now.touch()
        return now.stat().st_mtime - os.fstat(file.fileno()).st_mtime < STALE_S
