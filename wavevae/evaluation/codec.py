"""A codec that everybody has heard, as a ruler: Opus (RFC 6716), there and back, aligned with what went in.

Two ways to it: libsndfile (inside the soundfile package), or else the ffmpeg command with libopus.
"""

from __future__ import annotations

import functools
import io
import shutil
import subprocess
from dataclasses import dataclass

import numpy as np
import soundfile
import soxr

RATES = (8000, 12000, 16000, 24000, 48000)
"""What Opus takes, Hz."""
DECODED_RATE = 48000
"""What its decoders give."""
LIBSNDFILE_KBPS = (6.0, 256.0)
"""libsndfile's compression levels 1 and 0."""
SEARCH_S = 0.05
"""A coder's delay beyond this is not looked for."""
FINE_SAMPLES = 8
"""The two halves of Opus, speech coder and transform coder, lie up to 5 samples of 48 kHz apart, and which of them is
at work depends on the sound: so far the delay is searched again for each sound."""


@dataclass(frozen=True)
class Coded:
    """A sound that went through."""

    audio: np.ndarray
    """(samples,) float32, as long as the input and aligned with it."""
    size_bytes: int
    """Of the Ogg file, its headers included."""


def coder() -> str | None:
    """libsndfile, ffmpeg, or none where neither writes Opus."""
    if "OPUS" in soundfile.available_subtypes("OGG"):
        return "libsndfile"
    return "ffmpeg" if ffmpeg_has_opus() else None


@functools.cache
def ffmpeg_has_opus() -> bool:
    if shutil.which("ffmpeg") is None:
        return False
    done = subprocess.run(["ffmpeg", "-hide_banner", "-encoders"], capture_output=True, text=True)
    return "libopus" in done.stdout


@functools.cache
def version(which: str) -> str:
    """Of the coder, for the report and the cache."""
    if which == "libsndfile":
        return f"Opus by libsndfile {soundfile.__libsndfile_version__}, constrained variable rate"
    done = subprocess.run(["ffmpeg", "-version"], capture_output=True, text=True)
    return f"Opus by {done.stdout.split('Copyright')[0].strip()}, constrained variable rate"


def opus_rate(sample_rate: int) -> int:
    """The lowest rate of Opus that loses nothing of a sound, Hz."""
    return next((rate for rate in RATES if rate >= sample_rate), RATES[-1])


def _by_libsndfile(audio: np.ndarray, rate: int, kbps: float) -> tuple[np.ndarray, int]:
    low, high = LIBSNDFILE_KBPS
    file = io.BytesIO()
    level = (high - kbps) / (high - low)
    soundfile.write(
        file, audio, rate, format="OGG", subtype="OPUS", compression_level=min(1.0, max(0.0, level))
    )
    size = file.tell()
    file.seek(0)
    decoded, decoded_rate = soundfile.read(file, dtype="float32")
    return _at_48k(decoded, decoded_rate), size


def _by_ffmpeg(audio: np.ndarray, rate: int, kbps: float) -> tuple[np.ndarray, int]:
    quiet = ["ffmpeg", "-hide_banner", "-loglevel", "error"]
    into = ["-f", "f32le", "-ar", str(rate), "-ac", "1", "-i", "pipe:0"]
    coding = [
        "-c:a",
        "libopus",
        "-b:a",
        f"{round(kbps * 1000)}",
        "-vbr",
        "constrained",
        "-application",
        "audio",
    ]
    coded = subprocess.run(
        [*quiet, *into, *coding, "-f", "ogg", "pipe:1"],
        input=audio.astype("<f4").tobytes(),
        capture_output=True,
        check=True,
    ).stdout
    back = ["-i", "pipe:0", "-f", "f32le", "-ar", str(DECODED_RATE), "-ac", "1", "pipe:1"]
    sound = subprocess.run([*quiet, *back], input=coded, capture_output=True, check=True).stdout
    return np.frombuffer(sound, "<f4").astype(np.float32), len(coded)


def _at_48k(audio: np.ndarray, rate: int) -> np.ndarray:
    moved: np.ndarray = audio if rate == DECODED_RATE else soxr.resample(audio, rate, DECODED_RATE)
    return moved


WAYS = {"libsndfile": _by_libsndfile, "ffmpeg": _by_ffmpeg}


def shift(audio: np.ndarray, delay: int, length: int) -> np.ndarray:
    """(samples,) moved `delay` samples earlier, cut or filled up with zeros to `length`."""
    moved = audio[delay:] if delay >= 0 else np.pad(audio, (-delay, 0))
    return np.pad(moved, (0, max(0, length - len(moved))))[:length]


def find_delay(reference: np.ndarray, late: np.ndarray, most: int, around: int = 0) -> int:
    """By how many samples, at most `most` from `around`, `late` lags: the top of the cross-correlation."""
    size = 2 ** int(np.ceil(np.log2(len(reference) + len(late))))
    spectrum = np.fft.rfft(late, size) * np.conj(np.fft.rfft(reference, size))
    correlation = np.fft.irfft(spectrum, size)
    lags = np.arange(around - most, around + most + 1)
    return int(lags[correlation[lags].argmax()])


@functools.cache
def delay(which: str, rate: int, kbps: float) -> int:
    """What this coder adds at this rate, samples at 48 kHz, measured on two seconds of swept tone and noise."""
    t = np.arange(2 * rate) / rate
    top_hz = min(3000.0, 0.4 * rate)  # within what the lowest rates keep
    swept = 0.3 * np.sin(2 * np.pi * (100 * t + (top_hz - 100) * t**2 / 4))
    probe = (swept + 0.02 * np.random.default_rng(0).standard_normal(len(t))).astype(np.float32)
    decoded, _ = WAYS[which](probe, rate, kbps)
    return find_delay(_at_48k(probe, rate), decoded, round(SEARCH_S * DECODED_RATE))


def round_trip(audio: np.ndarray, sample_rate: int, kbps: float, which: str) -> Coded:
    """(samples,) float32 -> through Opus at `kbps` and back: same rate, same length, delay taken out."""
    rate = opus_rate(sample_rate)
    whole = audio if rate == sample_rate else soxr.resample(audio, sample_rate, rate)
    whole = np.asarray(whole, np.float32)
    decoded, size = WAYS[which](whole, rate, kbps)
    wanted = round(len(audio) * DECODED_RATE / sample_rate)
    lag = find_delay(_at_48k(whole, rate), decoded, FINE_SAMPLES, delay(which, rate, kbps))
    aligned = shift(decoded, lag, wanted)
    back = soxr.resample(aligned, DECODED_RATE, sample_rate)
    return Coded(shift(np.asarray(back, np.float32), 0, len(audio)), size)
