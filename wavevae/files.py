"""Files by name, and writing them: whole or not at all, one process at a time, a full disk reported in one line.

with replacing(path) as part:      # a temporary name beside it; put in place at the end, removed on failure
    figure.savefig(part)
write_whole(path, text)
with locked(path):                 # what several processes read, change and write
    ...
"""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from wavevae.errors import Failure, UserError

DISK_ERRORS = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO}
"""No room (disk, quota, limit of a file's size), or a disk that fails: not the user's choice of a place."""
LOCK_AT_MOST_S = 10.0
LOCK_POLL_S = 0.01


ELSEWHERE = "name another place"
CACHE_ELSEWHERE = "set WAVEVAE_CACHE to a folder elsewhere"
"""What to do: with a path that was named, with one that was not."""


def native_name(path: Path) -> str | bytes:
    """The name as the system has it: one that is no UTF-8 can only be passed as bytes."""
    return str(path) if os.name == "nt" else os.fsencode(path)


def printable(path: str | Path) -> str:
    """A name that any terminal and any UTF-8 file can take (bytes that are no UTF-8 become \\xNN)."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def cannot_write(
    path: Path, error: Exception, wanted_bytes: int | None = None, advice: str = ELSEWHERE
) -> Failure | UserError:
    """The error to raise where writing `path` failed: a Failure for the disk's errors, a UserError for a place that
    may not be written."""
    number = getattr(error, "errno", None)
    why = getattr(error, "strerror", None) or getattr(error, "error_string", None) or str(error)
    name = printable(path)
    if number is not None and number not in DISK_ERRORS:
        where = getattr(error, "filename", None)
        name = name if where is None or isinstance(where, int) else os.fsdecode(where)
        return UserError(f"{name}: cannot be written ({why}); {advice}")
    sizes = [] if wanted_bytes is None else [f"{wanted_bytes} bytes wanted"]
    free = free_bytes(path.parent)
    sizes += [] if free is None or number == errno.EFBIG else [f"{free} free"]
    text = " ".join(str(why).split()).rstrip(". ")
    return Failure(f"{name}: cannot be written ({', '.join([text, *sizes])}); free some space or {advice}")


def free_bytes(folder: Path) -> int | None:
    """Room on the disk of a folder; None where the system does not say."""
    try:
        return shutil.disk_usage(folder).free
    except OSError:
        return None


@contextlib.contextmanager
def write_errors(path: Path, wanted_bytes: int | None = None, advice: str = ELSEWHERE) -> Iterator[None]:
    """Around writing `path`. Raises: what `cannot_write` says, for a system's error."""
    try:
        yield
    except OSError as error:
        raise cannot_write(path, error, wanted_bytes, advice) from error


@contextlib.contextmanager
def replacing(path: Path, wanted_bytes: int | None = None, advice: str = ELSEWHERE) -> Iterator[Path]:
    """A temporary name in the folder of `path` (made where it is missing), renamed to it at the end.

    Raises: Failure for a full disk, UserError for a place that may not be written; then nothing has changed.
    """
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    with write_errors(path, wanted_bytes, advice):
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            sweep_parts(path)
            yield part
            with part.open("rb") as file:
                os.fsync(file.fileno())
            os.replace(part, path)
            _sync_folder(path.parent)
        finally:
            with contextlib.suppress(OSError):
                part.unlink(missing_ok=True)


def _sync_folder(folder: Path) -> None:
    """Make a rename survive a power cut, where the system lets a folder be opened."""
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def sweep_parts(path: Path) -> None:
    """Remove the temporary files that writers of `path`, since killed, have left (POSIX only)."""
    for name in os.listdir(path.parent):
        pid = name.removeprefix(f".{path.name}.").removesuffix(".part")
        if name == f".{path.name}.{pid}.part" and is_dead(pid):
            (path.parent / name).unlink(missing_ok=True)


def is_dead(pid: str) -> bool:
    """Whether this is the number of a process of this machine that has ended (POSIX only)."""
    if os.name == "nt" or not pid.isdigit():
        return False
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return True
    except (PermissionError, OverflowError):
        pass
    return False


@contextlib.contextmanager
def part_folder(folder: Path, name: str) -> Iterator[Path]:
    """A hidden folder within `folder` (made where it is missing) to write into; gone at the end. Those that killed
    processes have left are removed."""
    folder.mkdir(parents=True, exist_ok=True)
    for left in folder.glob(f".{name}.*.part"):
        if is_dead(left.name.removeprefix(f".{name}.").split(".")[0]):
            shutil.rmtree(left, ignore_errors=True)
    part = Path(tempfile.mkdtemp(dir=folder, prefix=f".{name}.{os.getpid()}.", suffix=".part"))
    try:
        yield part
    except Failure as error:  # what the user asked for, not where it is made
        raise Failure(str(error).replace(str(part), str(folder))) from error
    finally:
        shutil.rmtree(part, ignore_errors=True)


def put_in_place(new: Path, place: Path) -> None:
    """Rename a file or folder over another; what is not there leaves nothing."""
    if place.is_dir() and not place.is_symlink():
        shutil.rmtree(place)
    elif place.exists():
        place.unlink()
    if new.exists():
        os.replace(new, place)


def write_whole(path: Path, content: str | bytes | memoryview) -> None:
    """A file's whole content, text in UTF-8. Raises: as `replacing`."""
    data = content.encode("utf-8", "backslashreplace") if isinstance(content, str) else content
    with replacing(path, len(data)) as part:
        part.write_bytes(data)


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """One process at a time reads, changes and writes `path`; on systems without flock, no lock.

    The lock is on the folder, so that no lock file is left. Raises: TimeoutError where another holds it too long.
    """
    try:
        import fcntl

        folder = os.open(path.parent, os.O_RDONLY)
    except (ImportError, OSError):
        yield
        return
    deadline = time.monotonic() + LOCK_AT_MOST_S
    try:
        while True:
            try:
                fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise TimeoutError(errno.ETIMEDOUT, "another program holds it", str(path)) from None
                time.sleep(LOCK_POLL_S)
            except OSError:  # a file system without locks
                break
        yield
    finally:
        os.close(folder)
