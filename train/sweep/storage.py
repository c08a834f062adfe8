"""What all workers of a sweep share: Optuna's journal, one line an event, and locks.

    RUNS/claims/turn     held for a moment by whoever looks for work: asking and taking are one act
    RUNS/claims/0007     held by the worker of trial 7 while it lives; names it, and is touched now and then

The system releases a lock when its process ends (kill -9, power), so a trial whose lock is free has no worker. Where
several machines share a folder but not its locks, the time of the last touch decides.
"""

from __future__ import annotations

import json
import os
import platform
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from wavevae.errors import UserError

from .space import Space

if TYPE_CHECKING:
    from optuna.study import Study

IDENTITY = "wavevae_space"
"""Attribute of the study: the sweep that the file is of."""


def import_optuna() -> Any:
    """Optuna, quiet. Raises: UserError, saying how to get it."""
    try:
        import optuna
    except ImportError:
        raise UserError("sweep needs optuna, which is not installed; pip install 'wavevae[sweep]'") from None
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    return optuna


def folder_of(storage: Path) -> Path:
    """Where the runs of a sweep lie: beside its file, under its name."""
    return storage.with_suffix("") if storage.suffix else storage.with_name(storage.name + "-runs")


def open_study(storage: Path, space: Space) -> tuple[Study, Claims]:
    """The study in a file, made where there is none. Raises: UserError where the file is of something else."""
    optuna = import_optuna()
    if storage.is_dir():
        raise UserError(
            f"--storage {storage} is a folder; name a file in it, like {storage / 'sweep.journal'}"
        )
    try:
        storage.parent.mkdir(parents=True, exist_ok=True)
        claims = Claims(folder_of(storage) / "claims")
        with claims.turn:
            mend(storage)
            study = _open(optuna, storage, space, claims)
    except OSError as error:
        raise UserError(f"--storage {storage}: {error.strerror}; name another place") from None
    return study, claims


def _open(optuna: Any, storage: Path, space: Space, claims: Claims) -> Study:
    """Raises: UserError."""
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    lock: Any = Turn(claims.folder / "journal")
    try:
        journal = JournalStorage(JournalFileBackend(str(storage), lock_obj=lock))
        names = [study.study_name for study in journal.get_all_studies()]
    except (ValueError, KeyError, TypeError, AttributeError):
        raise UserError(f"--storage {storage} is no sweep's file; name a new one") from None
    if names and names != [space.name]:
        raise UserError(
            f"--storage {storage} holds the sweep '{names[0]}', not '{space.name}'; name another --storage"
        )
    study: Study = optuna.create_study(
        storage=journal, study_name=space.name, direction=space.direction, load_if_exists=True
    )
    identity = json.loads(json.dumps(space.identity()))
    if IDENTITY not in study.user_attrs:
        study.set_user_attr(IDENTITY, identity)
    elif study.user_attrs[IDENTITY] != identity:
        what = difference(study.user_attrs[IDENTITY], identity)
        raise UserError(
            f"--storage {storage} holds another sweep '{space.name}': {what}; name another --storage"
        )
    return study


def difference(there: Mapping[str, Any], here: Mapping[str, Any], above: str = "") -> str:
    """'fixed.batch_size is 8 there, 4 here': the first that differs."""
    for key in [*there, *(k for k in here if k not in there)]:
        old, new = there.get(key), here.get(key)
        if old == new:
            continue
        if isinstance(old, Mapping) and isinstance(new, Mapping):
            return difference(old, new, f"{above}{key}.")
        return f"{above}{key} is {json.dumps(old)} there, {json.dumps(new)} here"
    return "its keys stand in another order"


def mend(storage: Path) -> None:
    """Cut off a last line that was never finished (a full disk, a power cut): its event did not happen.

    Needs the turn: no other process may be writing. Raises: UserError for a file that is no journal, left as it is.
    """
    if not storage.is_file() or not storage.stat().st_size:
        return
    with open(storage, "r+b") as file:
        text = file.read()
        whole = text.rfind(b"\n") + 1
        if not is_event(text.split(b"\n", 1)[0]):
            raise UserError(f"--storage {storage} is no sweep's file; name a new one")
        if whole < len(text):
            file.truncate(whole)
            file.flush()
            os.fsync(file.fileno())


def is_event(line: bytes) -> bool:
    """Whether a line is one of the journal's, whole or begun."""
    try:
        return "op_code" in json.loads(line)
    except (ValueError, TypeError):
        return line.startswith(b'{"op_code":')


# -- locks --------------------------------------------------------------------------------------------------

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
    """This process works on a trial, until it releases it or ends."""

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
        self.file.truncate(0)  # free at once, on other machines too
        self.file.close()


class Claims:
    """The claims of one sweep."""

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
