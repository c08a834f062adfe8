"""Where an exploration goes: a hidden folder first, then into place, explore.json last; an older one is replaced."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from wavevae.errors import UserError
from wavevae.files import part_folder, put_in_place, write_errors

PARTS = (
    *("latents.npz", "frames.npz", "maps", "moved", "scaled", "between", "drawn", "transfer", "neighbours"),
    *("neighbours.csv", "explore.html", "explore.json"),
)


def check(folder: Path) -> None:
    """Raises: UserError where it would replace something that no exploration wrote."""
    if folder.exists() and not folder.is_dir():
        raise UserError(f"-o {folder} is a file; name a folder")
    found = [name for name in PARTS if (folder / name).exists()]
    if found and not _is_ours(folder / "explore.json"):
        raise UserError(f"-o {folder} holds '{found[0]}' from elsewhere; name another folder")


def _is_ours(path: Path) -> bool:
    try:
        return "notes" in json.loads(path.read_text())
    except (OSError, ValueError, TypeError):
        return False


@contextmanager
def prepared(folder: Path) -> Iterator[Path]:
    """A folder to write into; what is in it at the end is put into place, whole or not at all."""
    with write_errors(folder / "explore.json"), part_folder(folder, "explore") as part:
        yield part
        for thumbs in part.glob("*/.thumbs"):
            shutil.rmtree(thumbs)
        (folder / "explore.json").unlink(missing_ok=True)
        for name in PARTS:
            put_in_place(part / name, folder / name)
