"""Folders of sounds for tests of the corpus."""

import os
import shutil
from pathlib import Path

import numpy as np
import soundfile

from wavevae.corpus import Store

RATE = 8000


def noise(samples: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).uniform(-0.5, 0.5, samples).astype(np.float32)


def sounds(folder: Path, count: int = 3, samples: int = RATE, first: int = 0) -> list[Path]:
    """`count` WAV files of noise, all different."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{i:03d}.wav" for i in range(first, first + count)]
    for i, path in enumerate(paths):
        soundfile.write(path, noise(samples, seed=first + i), RATE)
    return paths


def reasons(store: Store) -> dict[str, tuple[str, str]]:
    """File name -> (status, reason)."""
    return {Path(row.path).name: (row.status, row.reason) for row in store.report}


def bad_folder(folder: Path) -> dict[str, str]:
    """A folder of everything that goes wrong. Returns file name -> words of the reason expected."""
    (good,) = sounds(folder, 1, samples=RATE * 6)
    shutil.copy(good, folder / "the copy.wav")
    (folder / "text.wav").write_text("no sound " * 1000)
    (folder / "empty.wav").touch()
    (folder / "notes.txt").write_text("x")
    (folder / "no extension").write_text("x")
    (folder / "phone.m4a").write_bytes(b"x" * 99)
    (folder / ".hidden.wav").write_bytes(good.read_bytes())
    (folder / ".trash").mkdir()
    sounds(folder / ".trash", 1, first=50)
    os.mkfifo(folder / "pipe.wav")
    (folder / "dangling.wav").symlink_to("nowhere")
    (folder / "loop").symlink_to(folder, target_is_directory=True)
    (folder / "myself.wav").symlink_to("myself.wav")
    soundfile.write(folder / "no frames.wav", np.zeros(0, np.float32), RATE)
    soundfile.write(folder / "1 Hz.wav", noise(100, 1), 1)
    for name, value in (("nan", np.nan), ("inf", np.inf)):
        soundfile.write(folder / f"{name}.wav", np.r_[noise(100, 2), value], RATE, subtype="FLOAT")
    return {
        "the copy.wav": "the same content as",
        "text.wav": "not a sound file",
        "empty.wav": "empty (0 bytes)",
        "notes.txt": "not a sound file ('.txt')",
        "no extension": "not a sound file (no extension)",
        "phone.m4a": "needs ffmpeg: convert it to WAV or FLAC",
        ".hidden.wav": "hidden",
        ".trash": "hidden",
        "pipe.wav": "not a regular file",
        "dangling.wav": "broken link",
        "loop": "already read",
        "myself.wav": "symbolic links",
        "no frames.wav": "holds no samples",
        "1 Hz.wav": "claims 1 Hz",
        "nan.wav": "NaN or infinite samples",
        "inf.wav": "NaN or infinite samples",
    }
