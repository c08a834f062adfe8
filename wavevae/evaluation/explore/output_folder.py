"""The folder of an exploration, written beside its place and moved there, explore.json last; the latents kept in it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from wavevae.errors import UserError
from wavevae.files import part_folder, put_in_place, write_errors

from .notes import Note, pitches

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


def write_latents(folder: Path, notes: Sequence[Note], vectors: np.ndarray) -> None:
    """latents.npz: a row a note. frames.npz: a row a frame, in half precision, `note` saying whose.

    latents.npz: mu, std (notes, latent_dim): mean and standard deviation over the frames that sound; logvar, mean of
    the posterior's log-variance, where there is one; vector, what maps and neighbours are made of; pitch (NaN:
    unknown), family ('' : unknown), keys, paths, start_s, frames, level_db.
    """
    rows = {
        "mu": np.array([n.heard.mean(0) for n in notes], np.float32),
        "std": np.array([n.heard.std(0) for n in notes], np.float32),
        "vector": vectors.astype(np.float32),
        "pitch": pitches(notes).astype(np.float32),
        "family": np.array([n.family for n in notes]),
        "keys": np.array([n.key for n in notes]),
        "paths": np.array([str(n.path) for n in notes]),
        "start_s": np.array([n.start_s for n in notes]),
        "frames": np.array([len(n.means) for n in notes]),
        "level_db": np.array([n.level_db for n in notes], np.float32),
    }
    variances = [n.log_variances[n.sounding].mean(0) for n in notes if n.log_variances is not None]
    if variances:
        rows["logvar"] = np.array(variances, np.float32)
    np.savez(folder / "latents.npz", **rows)  # type: ignore[arg-type]
    frames = {
        "mu": np.concatenate([n.means for n in notes]).astype(np.float16),
        "note": np.repeat(np.arange(len(notes), dtype=np.int32), rows["frames"]),
        "sounding": np.concatenate([n.sounding for n in notes]),
    }
    if variances:
        every = [n.log_variances for n in notes if n.log_variances is not None]
        frames["logvar"] = np.concatenate(every).astype(np.float16)
    np.savez(folder / "frames.npz", **frames)  # type: ignore[arg-type]
