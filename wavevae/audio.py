"""Sound files in and out: read as mono at the rate wanted, in bounded memory; written whole or not at all.

Reads what libsndfile reads (wav, flac, ogg, opus, mp3, aiff, au, caf, w64, rf64 ...); writes WAV and FLAC.
"""

from __future__ import annotations

import contextlib
import errno
import math
import os
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import TracebackType
from typing import NamedTuple

import numpy as np
import soundfile
import soxr

from wavevae.errors import Failure, UserError
from wavevae.files import cannot_write, native_name, printable, sweep_parts, write_errors
from wavevae.headers import CONVERT, UNREADABLE_SUFFIXES, RepairedFile, repair, unreadable_kind
from wavevae.units import amplitude_to_db, db_to_amplitude, resampled_length

LOWEST_RATE, HIGHEST_RATE = 1000, 768_000
READ_FRAMES = 16384
"""Frames a read: at most so many are lost before the point where a file is damaged."""
UNKNOWN_FRAMES = 2**62
"""libsndfile's count of frames where it knows none."""
WRITE_FORMATS = {".wav": "WAV", ".flac": "FLAC"}
SAMPLE_BYTES = {"PCM_16": 2, "PCM_24": 3}
SOUND_ERRORS = (soundfile.LibsndfileError, RuntimeError)
"""What libsndfile raises for a damaged file."""
WRITE_PROBE_BYTES = 4096
WAV_LIMIT_BYTES = 2**32 - 4096
CANCELLED_DB, CANCELLED_SHARE = -6.0, 0.1
"""Power of the mean of all channels against that of channels that have nothing in common, below which a read (0.4 s) is
taken to cancel; and the share of a file's power that may be lost so."""
MADE = "made by wavevae"
"""The comment in a sound that a model made: no folder of sounds to learn from means it."""
MADE_WITHIN_BYTES = 1024


class AudioInfo(NamedTuple):
    """What a file's header says (a damaged file may hold less)."""

    sample_rate: int
    frames: int
    channels: int


class Mix(NamedTuple):
    """How the channels of a file become one."""

    channel: int | None = None
    """The one that is taken; none: their mean."""
    lost_db: float = 0.0
    """Level of the mean against that channel, where it is taken."""

    @property
    def note(self) -> str:
        """What a report should say of it; '' for the mean."""
        if self.channel is None:
            return ""
        lost = "nothing is left" if self.lost_db < -120 else f"{-self.lost_db:.0f} dB are lost"
        return f"its channels cancel when they are mixed ({lost}): channel {self.channel + 1} alone is used"


class Damaged(UserError):
    """The file breaks off or is corrupt from some point on; what came before it is sound."""


class _Sequential(soundfile.SoundFile):
    """A SoundFile read from start to end: without a seek after every read, which costs time in FLAC and
    changes samples in MP3 (the bit reservoir is lost)."""

    def __init__(self, source: str | bytes | RepairedFile) -> None:
        self.source = source  # first: a file that cannot be opened is closed all the same
        super().__init__(source)

    def seekable(self) -> bool:
        return False

    def close(self) -> None:
        super().close()
        if isinstance(self.source, RepairedFile):
            self.source.close()


def require_regular(path: Path) -> None:
    """Before opening: a fifo would block for ever. Raises: UserError."""
    name = printable(path)
    try:
        mode = os.stat(path).st_mode
    except FileNotFoundError:
        raise UserError(f"{name}: no such file") from None
    except OSError as error:
        raise UserError(f"{name}: {error.strerror}") from None
    if stat.S_ISDIR(mode):
        raise UserError(f"{name}: a folder, not a sound file")
    if not stat.S_ISREG(mode):
        raise UserError(f"{name}: not a regular file")


def _why(error: Exception) -> str:
    text = getattr(error, "error_string", None) or str(error)
    return " ".join(str(text).split()).rstrip(".")


def _open(path: Path) -> _Sequential:
    """Raises: UserError when it is missing, not a regular file, unreadable or not a sound file."""
    require_regular(path)
    name = printable(path)
    try:
        if not os.path.getsize(path):
            raise UserError(f"{name}: empty (0 bytes)")
        kind = unreadable_kind(path)
        wrong = repair(path)
    except OSError as error:
        raise UserError(f"{name}: cannot be read ({error.strerror})") from None
    suffix = path.suffix.lower()
    if kind and suffix not in UNREADABLE_SUFFIXES:
        raise UserError(f"{name}: {kind} named '{suffix}', which {CONVERT}")
    if kind or suffix in UNREADABLE_SUFFIXES:
        raise UserError(f"{name}: {kind or UNREADABLE_SUFFIXES[suffix]} {CONVERT}")
    try:
        return _Sequential(RepairedFile(path, wrong.patches) if wrong else native_name(path))
    except (*SOUND_ERRORS, OSError, TypeError, ValueError) as error:
        raise UserError(f"{name}: not a sound file that can be read ({_why(error)})") from None


def _info(file: _Sequential, path: Path) -> AudioInfo:
    """Raises: UserError for a header that makes no sense."""
    if not LOWEST_RATE <= file.samplerate <= HIGHEST_RATE:
        raise UserError(f"{printable(path)}: its header claims {file.samplerate} Hz; no sound has that rate")
    if file.frames == 0:
        raise UserError(f"{printable(path)}: holds no samples")
    return AudioInfo(file.samplerate, file.frames, file.channels)


def probe(path: str | Path) -> AudioInfo:
    """What the header says. Raises: UserError when it is not a sound file with sound in it."""
    with _open(Path(path)) as file:
        info = _info(file, Path(path))
        if info.frames < UNKNOWN_FRAMES:
            return info
        frames = 0  # a FLAC stream whose header leaves its length open
        with contextlib.suppress(*SOUND_ERRORS):  # damaged: `decode` says where
            while count := len(file.read(READ_FRAMES, dtype="float32")):
                frames += count
    return info._replace(frames=frames)


def find_mix(path: Path) -> Mix:
    """The mean of all channels; where they cancel each other (stereo with right = -left), the one with most energy.

    Channels with nothing in common have a mean of 1/N of their mean power: what is 6 dB below that was lost in mixing,
    and so is the sound where that holds for a part of it only. Reads a file of several channels through.
    Raises: UserError.
    """
    with _open(path) as file:
        channels = _info(file, path).channels
        if channels == 1:
            return Mix()
        powers, lost, mixed = np.zeros(channels), np.zeros(channels), 0.0
        limit = db_to_amplitude(CANCELLED_DB) ** 2 / channels**2
        with contextlib.suppress(*SOUND_ERRORS):  # damaged: `_decode` says where
            while len(block := file.read(READ_FRAMES, dtype="float32", always_2d=True)):
                power = np.square(block, dtype=np.float64).sum(axis=0)
                mean = float(np.square(block.mean(axis=1, dtype=np.float64)).sum())
                powers += power
                if mean < limit * float(power.sum()):
                    lost += power
                    mixed += mean
    if not lost.sum() > CANCELLED_SHARE * powers.sum():  # also where there are NaNs
        return Mix()
    loudest = int(np.argmax(lost > 0.99 * lost.max()))  # the first of equals
    return Mix(loudest, amplitude_to_db(math.sqrt(mixed / lost.max())))


def _decode(path: Path, mix: Mix) -> Iterator[np.ndarray]:
    """Blocks of (frames,) float32 at the file's own rate.

    Raises: Damaged at the point where it cannot be read on; UserError for NaN or infinite samples.
    """
    with _open(path) as file:
        rate = _info(file, path).sample_rate
        buffer = np.empty((READ_FRAMES, file.channels), np.float32)
        done = 0
        while True:
            try:
                block = file.read(READ_FRAMES, dtype="float32", always_2d=True, out=buffer)
            except SOUND_ERRORS as error:
                place = f"damaged at {done / rate:.2f} s ({_why(error)})"
                raise Damaged(f"{printable(path)}: {place}") from None
            if not len(block):
                break
            one = 0 if file.channels == 1 else mix.channel
            mono = block.mean(axis=1, dtype=np.float32) if one is None else block[:, one].copy()
            if not np.isfinite(mono).all():
                raise UserError(f"{printable(path)}: holds NaN or infinite samples at {done / rate:.2f} s")
            done += len(block)
            yield mono
    if not done:
        raise UserError(f"{printable(path)}: holds no samples")


def decode(path: Path, sample_rate: int, mix: Mix | None = None) -> Iterator[np.ndarray]:
    """Mono float32 blocks of any length at `sample_rate` (soxr HQ), in bounded memory; mixed as `find_mix` finds.

    In all: round(frames * sample_rate / the file's own rate). Raises: UserError, Damaged (see `_decode`).
    """
    with _open(path) as file:
        own = _info(file, path).sample_rate
    mix = find_mix(path) if mix is None else mix
    if own == sample_rate:
        yield from _decode(path, mix)
        return
    stream = soxr.ResampleStream(own, sample_rate, 1, dtype="float32", quality="HQ")
    frames = made = 0
    for block in _decode(path, mix):
        frames += len(block)
        out = stream.resample_chunk(block)
        made += len(out)
        yield out
    rest = stream.resample_chunk(np.zeros(0, np.float32), last=True)
    missing = resampled_length(frames, own, sample_rate) - made
    # The stream may end a sample early or late.
    yield np.pad(rest, (0, max(0, missing - len(rest))))[: max(0, missing)]


def stream_mono(path: str | Path, sample_rate: int, block_samples: int) -> Iterator[np.ndarray]:
    """The sound as float32 blocks of `block_samples` (the last may be shorter), in bounded memory.

    The samples do not depend on `block_samples`. In all: round(frames * sample_rate / the file's own rate).
    Raises: UserError at the point where the file cannot be read on or holds NaN or infinite samples.
    """
    held: list[np.ndarray] = []
    count = 0
    for part in decode(Path(path), sample_rate):
        held.append(part)
        count += len(part)
        if count < block_samples:
            continue
        joined = np.concatenate(held)
        whole = count - count % block_samples
        for start in range(0, whole, block_samples):
            yield joined[start : start + block_samples]
        held, count = [joined[whole:]], count - whole
    if count:
        yield np.concatenate(held)


def followed(blocks: Iterable[np.ndarray], samples: int) -> Iterator[np.ndarray]:
    """Blocks of a sound, the last one that much longer by silence."""
    last: np.ndarray | None = None
    for block in blocks:
        if last is not None:
            yield last
        last = block
    if last is not None:
        yield np.pad(last, (0, samples))


def read_mono(path: str | Path, sample_rate: int) -> np.ndarray:
    """The whole sound, float32 (samples,), mixed as `find_mix` finds, resampled (soxr HQ).

    Raises: UserError for anything that is not readable from start to end, or holds NaN or infinite samples.
    """
    return np.concatenate(list(decode(Path(path), sample_rate)))


def is_made(path: Path) -> bool:
    """Whether a file says that a model made it. Raises: OSError."""
    with open(path, "rb") as file:
        return MADE.encode() in file.read(MADE_WITHIN_BYTES)


class Writer:
    """A mono WAV or FLAC file that grows block by block; its name appears only when it is whole.

        with Writer("out.wav", 22050) as out:
            out.write(block)
        if out.clipped: report it

    Samples beyond full scale are clipped and counted in `.clipped`; the caller reports them.
    Subtype: libsndfile's, PCM_24 by default. Raises: UserError for another extension, a subtype that the
    format has not, or a folder that cannot be written; ValueError for samples that are not finite.
    """

    def __init__(
        self,
        path: str | Path,
        sample_rate: int,
        subtype: str | None = None,
        samples: int | None = None,
        comment: str = "",
    ) -> None:
        """`samples`: how many it will be, where that is known. `comment`: kept in the file; MADE: by a model."""
        self.path, self._subtype = Path(path), subtype or "PCM_24"
        self.clipped = self.samples = 0
        container = WRITE_FORMATS.get(self.path.suffix.lower())
        if container is None:
            raise UserError(f"{printable(path)}: cannot write '{self.path.suffix}'; name a .wav or .flac")
        known = samples if container == "WAV" else None
        self._wanted_bytes = known and known * SAMPLE_BYTES.get(self._subtype, 4)
        if not soundfile.check_format(container, self._subtype):
            raise UserError(f"{container} has no subtype '{subtype}'; use PCM_16 or PCM_24")
        if self.path.is_dir():
            raise UserError(f"{printable(path)}: a folder; name a file")
        self._container = container
        self._part = self.path.with_name(f".{self.path.name}.{os.getpid()}.part")
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            sweep_parts(self.path)
            self._part.touch()
            name = native_name(self._part)
            self._file = soundfile.SoundFile(name, "w", int(sample_rate), 1, self._subtype, format=container)
        except (OSError, soundfile.LibsndfileError) as error:
            with contextlib.suppress(OSError):
                self._part.unlink()
            raise cannot_write(self.path, error) from None
        if comment:
            self._file.comment = comment

    def write(self, audio: np.ndarray) -> None:
        """Append (n,) float32 samples."""
        block = np.asarray(audio, np.float32)
        if not np.isfinite(block).all():
            raise ValueError(f"NaN or infinite samples on their way to {printable(self.path)}")
        beyond = int(np.count_nonzero(np.abs(block) > 1.0))
        self.clipped += beyond
        self.samples += len(block)
        if self._container == "WAV" and self.samples * 4 > WAV_LIMIT_BYTES:
            raise UserError(f"{printable(self.path)}: longer than a WAV file can be; write .flac")
        try:
            self._file.write(np.clip(block, -1.0, 1.0) if beyond else block)
        except (soundfile.LibsndfileError, AssertionError, OSError) as error:  # asserts that all was written
            raise write_failure(self._part, error, self._wanted_bytes, self.path) from None

    def close(self) -> None:
        """End the file and put it in place. Raises: Failure where not all of it is on the disk."""
        try:
            self._file.close()
            if self.samples:
                with soundfile.SoundFile(native_name(self._part)) as file:
                    file.seek(self.samples - 1)
                    if not len(file.read(1)):  # what was buffered found no room
                        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            with write_errors(self.path, self._wanted_bytes):
                os.replace(self._part, self.path)
        except (*SOUND_ERRORS, OSError) as error:
            if not isinstance(error, Failure):
                error = write_failure(self._part, error, self._wanted_bytes, self.path)
            self._part.unlink(missing_ok=True)
            raise error from None

    def discard(self) -> None:
        """Leave nothing behind."""
        with contextlib.suppress(*SOUND_ERRORS):
            self._file.close()
        self._part.unlink(missing_ok=True)

    def __enter__(self) -> Writer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.close()
        else:
            self.discard()


def write_failure(
    part: Path, error: Exception, wanted_bytes: int | None = None, path: Path | None = None
) -> Exception:
    """What to raise where libsndfile could not write `part`, which stands for `path`. It is emptied.

    It says no more than "System error", so the system is asked what that is.
    """
    try:
        with open(part, "ab") as file:
            file.write(bytes(WRITE_PROBE_BYTES))
    except OSError as found:
        error = found
    with contextlib.suppress(OSError):
        os.truncate(part, 0)  # what is free is said without it
    return cannot_write(path or part, error, wanted_bytes)


def write(path: str | Path, audio: np.ndarray, sample_rate: int, subtype: str | None = None) -> int:
    """Write (samples,) in one go, whole or not at all. Returns how many samples were clipped."""
    with Writer(path, sample_rate, subtype, len(audio)) as out:
        out.write(audio)
    return out.clipped
