"""The files of a recording. They are written as the performance goes on and never replace an existing file.

A killed process leaves readable files: every write updates the header of the WAV file, and each line of the score is
flushed.
"""

from __future__ import annotations

import contextlib
import glob
import os
import struct
from itertools import count
from pathlib import Path
from typing import Protocol

import numpy as np
import soundfile
from numpy.typing import NDArray

from wavevae.audio import probe
from wavevae.cli import shell_word
from wavevae.errors import UserError
from wavevae.files import DISK_ERRORS, cannot_write, is_dead, native_name, printable
from wavevae.units import format_seconds

SOUND_SUFFIXES = (".wav", ".flac")
SAMPLE_BYTES = 3
HEADER_BYTES = 80
WAV_DATA_LIMIT_BYTES = 2**32 - 2**16
"""Of a WAV, whose sizes have 32 bits; beyond it becomes an RF64."""
PENDING = 0xFFFF_FFFF
"""In place of a 32-bit size in an RF64: look in its ds64 chunk."""


class Recording(Protocol):
    """A file that grows. Its methods raise OSError or soundfile's errors where it cannot."""

    path: Path

    def close(self) -> None: ...


class ScoreFile:
    """Lines of text, each on the disk when `write` returns. Raises: FileExistsError."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file = open(path, "xb", buffering=0)  # noqa: SIM115 - closed by close
        self._whole_bytes = 0

    def write(self, line: str) -> None:
        """A line, whole or not at all."""
        try:
            self._whole_bytes += _write_all(self._file.fileno(), line.encode())
        except OSError:
            self._file.truncate(self._whole_bytes)
            raise

    def close(self) -> None:
        self._file.close()


class WavFile:
    """Mono, 24 bit, of any length: RIFF, or RF64 (EBU Tech 3306) past 4 GB. Raises: FileExistsError.

    The header reserves a JUNK chunk, which becomes RF64's ds64.
    """

    def __init__(self, path: Path, sample_rate: int) -> None:
        self.path, self.sample_rate, self.samples = path, sample_rate, 0
        self._file = open(path, "xb", buffering=0)  # noqa: SIM115 - closed by close
        try:
            _write_all(self._file.fileno(), self._header())
        except OSError:
            self._file.close()
            path.unlink(missing_ok=True)
            raise

    @property
    def is_rf64(self) -> bool:
        """Whether it has grown past the size of a WAV."""
        return self.samples * SAMPLE_BYTES > WAV_DATA_LIMIT_BYTES

    def write(self, sound: NDArray[np.float32]) -> None:
        """Append (n,) samples, clipped to full scale; then the header says so."""
        scaled = np.rint(
            np.asarray(sound, np.float64) * 2.0**31
        )  # the upper 24 of 32 bits, as libsndfile does it
        levels = np.clip(scaled, -(2**31), 2**31 - 1).astype("<i4")
        data = levels.view(np.uint8).reshape(-1, 4)[:, 1:].tobytes()
        try:
            _write_all(self._file.fileno(), data)
        except OSError:
            with contextlib.suppress(OSError):  # what came before stays
                self._file.truncate(HEADER_BYTES + self.samples * SAMPLE_BYTES)
            raise
        self.samples += len(sound)
        self._write_header()

    def _write_header(self) -> None:
        place = self._file.tell()
        self._file.seek(0)
        _write_all(self._file.fileno(), self._header())
        self._file.seek(place)

    def _header(self) -> bytes:
        size = self.samples * SAMPLE_BYTES
        whole = HEADER_BYTES - 8 + size + size % 2
        byte_rate = self.sample_rate * SAMPLE_BYTES
        layout = struct.pack("<4sIHHIIHH", b"fmt ", 16, 1, 1, self.sample_rate, byte_rate, SAMPLE_BYTES, 24)
        if self.is_rf64:
            sizes = struct.pack("<4sIQQQI", b"ds64", 28, whole, size, self.samples, 0)
            head = struct.pack("<4sI4s", b"RF64", PENDING, b"WAVE")
            return head + sizes + layout + struct.pack("<4sI", b"data", PENDING)
        head = struct.pack("<4sI4s", b"RIFF", whole, b"WAVE")
        return head + struct.pack("<4sI28x", b"JUNK", 28) + layout + struct.pack("<4sI", b"data", size)

    def close(self) -> None:
        """A chunk of an odd size is followed by a byte."""
        if self._file.closed:
            return
        if self.samples * SAMPLE_BYTES % 2:
            with contextlib.suppress(OSError):
                self._file.seek(0, os.SEEK_END)
                self._file.write(b"\0")
        self._file.close()


class FlacFile:
    """Mono, 24 bit; a killed one lacks its length and at most the last block. Raises: FileExistsError."""

    def __init__(self, path: Path, sample_rate: int) -> None:
        self.path, self.sample_rate, self.samples = path, sample_rate, 0
        path.open("xb").close()
        self._file = soundfile.SoundFile(native_name(path), "w", sample_rate, 1, "PCM_24", format="FLAC")
        self.is_rf64 = False

    def write(self, sound: NDArray[np.float32]) -> None:
        self._file.write(np.clip(sound, -1.0, 1.0))
        self.samples += len(sound)

    def close(self) -> None:
        self._file.close()


SoundRecording = WavFile | FlacFile


def _write_all(descriptor: int, data: bytes) -> int:
    """Every byte. Raises: OSError, where a part of them may have been written."""
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]
    return len(data)


def open_recordings(
    score: Path | None, sound: Path | None, sample_rate: int
) -> tuple[ScoreFile | None, SoundRecording | None, list[str]]:
    """New files for a performance, and what to say of them.

    Where one of the names is taken both get the same number (take-2.jsonl, take-2.wav): nothing is overwritten.
    Raises: UserError for another kind of sound file or a place that cannot be written; Failure for a full disk.
    """
    if sound is not None and sound.suffix.lower() not in SOUND_SUFFIXES:
        raise UserError(f"{printable(sound)}: cannot write '{sound.suffix}'; name a .wav or .flac")
    for number in count(1):
        names = [None if path is None else numbered(path, number) for path in (score, sound)]
        if any(name is not None and os.path.lexists(name) for name in names):
            continue
        try:
            opened = _open(names[0], names[1], sample_rate)
        except FileExistsError:  # another program was faster
            continue
        return *opened, [*_taken(score, names[0]), *_taken(sound, names[1]), *unfinished(sound)]
    raise AssertionError("numbers do not end")


def numbered(path: Path, number: int) -> Path:
    """take.wav, take-2.wav, take-3.wav ..."""
    return path if number == 1 else path.with_name(f"{path.stem}-{number}{path.suffix}")


def _open(
    score: Path | None, sound: Path | None, sample_rate: int
) -> tuple[ScoreFile | None, SoundRecording | None]:
    """Both or neither. Raises: FileExistsError, UserError, Failure."""
    lines: ScoreFile | None = None
    try:
        lines = None if score is None else ScoreFile(score)
        if sound is None:
            return lines, None
        kind = WavFile if sound.suffix.lower() == ".wav" else FlacFile
        return lines, kind(sound, sample_rate)
    except (OSError, soundfile.LibsndfileError) as error:
        if lines is not None:
            lines.close()
            lines.path.unlink(missing_ok=True)
        if isinstance(error, FileExistsError):
            raise
        raise cannot_write(sound or score or Path(), error) from None


def _taken(wished: Path | None, path: Path | None) -> list[str]:
    """That a name was taken, by what, and what is used instead."""
    if wished is None or path is None or wished == path:
        return []
    return [
        f"{printable(wished)} is there already ({length_of(wished)}) and stays; this take is {printable(path)}"
    ]


def length_of(path: Path) -> str:
    """'12.3 s', or the size of what is no sound; also of a name that is only taken by its twin."""
    with contextlib.suppress(UserError, OSError):
        info = probe(path)
        return format_seconds(info.frames / info.sample_rate)
    with contextlib.suppress(OSError):
        return f"{path.stat().st_size} bytes"
    return "not readable"


def unfinished(sound: Path | None) -> list[str]:
    """Recordings under hidden names, as earlier versions left them when they were killed, and how to keep them."""
    if sound is None:
        return []
    lines = []
    for path in sorted(sound.parent.glob(f".{glob.escape(sound.name)}.*.part")):
        pid = path.name.removesuffix(".part").rpartition(".")[2]
        if is_dead(pid):
            kept = sound.with_name(f"{sound.stem}-recovered-{pid}{sound.suffix}")
            command = f"mv {shell_word(path)} {shell_word(kept)}"
            lines.append(
                f"an unfinished recording lies in {printable(path)} ({length_of(path)}); keep it: {command}"
            )
    return lines


def why_it_ended(error: Exception) -> str:
    """Of a recording that cannot go on."""
    number = getattr(error, "errno", None)
    why = getattr(error, "strerror", None) or getattr(error, "error_string", None) or str(error)
    return f"{why}; free some space" if number in DISK_ERRORS else str(why)
