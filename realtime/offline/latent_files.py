"""Latents in files: (frames, latent_dim) in .npy, or .csv with one frame a line and an optional header line."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from wavevae.audio import require_regular
from wavevae.errors import UserError
from wavevae.files import printable, replacing

Frames = NDArray[np.float32]
CHECKED_AT_ONCE = 65536
"""Frames."""


def _load_npy(path: Path) -> NDArray:
    """Mapped, not read: it may be long."""
    try:
        return np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, EOFError, OSError) as error:
        raise UserError(f"{printable(path)}: not an .npy file of numbers ({error})") from None


def _load_csv(path: Path) -> NDArray:
    try:
        with path.open(encoding="utf-8-sig") as file:
            first = file.readline()
        try:
            named = len([float(cell) for cell in first.split(",")]) == 0
        except ValueError:
            named = True
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # an empty file is refused below, by its shape
            return np.loadtxt(
                path, np.float32, delimiter=",", skiprows=int(named), ndmin=2, encoding="utf-8-sig"
            )
    except (ValueError, OSError) as error:
        raise UserError(
            f"{printable(path)}: not a table of numbers with commas between them ({error})"
        ) from None


def open_latents(path: Path, latent_dim: int) -> NDArray:
    """An array (frames, latent_dim) of finite numbers; an .npy stays on disk.

    Raises: UserError for another kind of file, another shape (found and wanted) or numbers that are not finite.
    """
    require_regular(path)
    loaders = {".npy": _load_npy, ".csv": _load_csv}
    load = loaders.get(path.suffix.lower())
    if load is None:
        raise UserError(f"{printable(path)}: latents come as .npy or .csv")
    latents = load(path)
    if not isinstance(latents, np.ndarray) or latents.dtype.kind not in "fiu":
        raise UserError(f"{printable(path)}: not an array of real numbers")
    if latents.ndim != 2 or latents.shape[1] != latent_dim or len(latents) == 0:
        raise UserError(f"{printable(path)}: {_shape_advice(latents.shape, latent_dim)}")
    for start in range(0, len(latents), CHECKED_AT_ONCE):
        fine = np.isfinite(latents[start : start + CHECKED_AT_ONCE]).all(axis=1)
        if not fine.all():
            frame = start + int(fine.argmin())
            raise UserError(f"{printable(path)}: frame {frame} holds NaN or infinity; latents are finite")
    return latents


def _shape_advice(shape: tuple[int, ...], latent_dim: int) -> str:
    found = " x ".join(str(n) for n in shape) or "a single number"
    text = f"its shape is {found}; this model wants frames x {latent_dim}"
    return text + (" (transpose it)" if len(shape) == 2 and shape[0] == latent_dim else "")


def read_frames(latents: NDArray, start: int, count: int) -> Frames:
    """(count, latent_dim) float32 of an array that `open_latents` gave."""
    return np.array(latents[start : start + count], np.float32)


class GrowingArray:
    """An .npy (frames, latent_dim) in an open file: numpy leaves room in the header for the first axis to grow."""

    def __init__(self, file: BinaryIO, latent_dim: int, kind: str) -> None:
        self.frames, self._file, self._dim, self._kind = 0, file, latent_dim, kind
        self.write_header()

    def write(self, frames: Frames) -> None:
        """Append (n, latent_dim)."""
        self._file.write(np.ascontiguousarray(frames, self._kind).tobytes())
        self.frames += len(frames)

    def write_header(self) -> None:
        """Once more at the end, with the number of frames."""
        self._file.seek(0)
        header = {"descr": self._kind, "fortran_order": False, "shape": (self.frames, self._dim)}
        np.lib.format.write_array_header_1_0(self._file, header)


@contextlib.contextmanager
def latent_writer(path: Path, latent_dim: int, kind: str = "<f4") -> Iterator[GrowingArray]:
    """An .npy that grows, float32 or another `kind`; its name appears only when it is whole.

    Raises: UserError for another extension or a place that cannot be written; Failure for a full disk.
    """
    if path.suffix.lower() != ".npy":
        raise UserError(f"{printable(path)}: latents are written as .npy; name one")
    with replacing(path) as part, part.open("wb") as file:
        array = GrowingArray(file, latent_dim, kind)
        yield array
        array.write_header()
