"""A run small enough for tests: options, and sounds to learn from."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import torch

from wavevae import audio

TINY = (
    *(
        "--preset",
        "codec",
        "--sr",
        "8000",
        "--chunk",
        "0.25",
        "--batch-size",
        "2",
        "--latent-dim",
        "3",
        "--seed",
        "3",
    ),
    *("--set", "ratios=[4]", "--set", "widths=[4, 6]", "--set", "dilations=[1]", "--set", "noise_bands=2"),
    *("--set", "n_ffts=[256]", "--set", "mel_windows=[256]", "--set", "validate_every=20"),
)
"""A model that trains thousands of steps a minute."""


TINY_INSTRUMENT = (
    *("--preset", "instrument", "--sr", "8000", "--chunk", "0.25", "--batch-size", "2", "--latent-dim", "3"),
    *("--seed", "3", "--set", "partials=8", "--set", "noise_bands=8", "--set", "mel_bands=12"),
    *(
        "--set",
        "envelope_bands=6",
        "--set",
        "carriers=16",
        "--set",
        "decoder_width=8",
        "--set",
        "encoder_width=8",
    ),
    *("--set", "n_ffts=[256]", "--set", "mel_windows=[256]", "--set", "validate_every=20"),
)
"""The same for an instrument."""


def tones(folder: Path, count: int = 5) -> Path:
    """A few decaying tones as WAV files."""
    folder.mkdir()
    t = np.arange(8000) / 8000
    for number in range(count):
        tone = 0.3 * np.sin(2 * np.pi * 110 * (number + 2) * t) * np.exp(-3 * t)
        audio.write(folder / f"tone-{number}.wav", tone.astype(np.float32), 8000)
    return folder


@contextmanager
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Tones to learn from, a cache of their own, an empty working directory; one thread here and in children."""
    monkeypatch.setenv("WAVEVAE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.delenv("WAVEVAE_RUN", raising=False)
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    threads = torch.get_num_threads()
    try:
        yield tones(tmp_path / "sounds")
    finally:
        torch.set_num_threads(threads)
        torch.set_flush_denormal(False)
