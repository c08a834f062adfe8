"""Excerpts of the judged sounds, and what is measured of a sound frame by frame: pitch, level, log-mel spectra."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from wavevae.errors import UserError
from wavevae.evaluation import metrics, yin
from wavevae.evaluation.embeddings import band_matrix
from wavevae.evaluation.model_under_test import Labels
from wavevae.evaluation.selection import Source, between, sound
from wavevae.units import seconds_to_samples

MOST_EXCERPTS = 24
EXCERPT_S = 5.0
MEL_BANDS = 64
RANGE_DB = 60.0
"""What lies further below the loudest band of a sound counts as so far below: it is not heard."""


@dataclass(frozen=True)
class Excerpt:
    """A few seconds of a file."""

    file: str
    audio: Tensor
    """(T,)"""
    labels: Labels = field(default_factory=dict)


def read_excerpts(
    sources: Sequence[Source], sample_rate: int, count: int = MOST_EXCERPTS, seconds: float = EXCERPT_S
) -> list[Excerpt]:
    """At most `count` audible excerpts, from as many files as there are: files evenly spread over all; several places
    of each where the files are few. Files that cannot be read are left out."""
    chosen = np.unique(np.linspace(0, len(sources) - 1, min(count, len(sources))).round().astype(int))
    found: list[Excerpt] = []
    for number, index in enumerate(chosen):
        source = sources[int(index)]
        wanted = count // len(chosen) + (number < count % len(chosen))
        places = min(wanted, max(1, int(source.seconds / seconds)))
        starts_s = [
            max(0.0, (k + 0.5) * source.seconds / places - 0.5 * seconds) if places > 1 else 0.0
            for k in range(places)
        ]
        found += read_places(source, sample_rate, starts_s, seconds)
    return found


def read_places(source: Source, sample_rate: int, starts_s: Sequence[float], seconds: float) -> list[Excerpt]:
    """The audible ones of so many seconds from each start; the file is read once."""
    spans = [
        (seconds_to_samples(s, sample_rate), seconds_to_samples(s + seconds, sample_rate)) for s in starts_s
    ]
    first, last = spans[0][0], spans[-1][1]
    try:
        blocks = list(between(sound(source, sample_rate, sample_rate), first, last))
    except UserError:
        return []
    whole = torch.from_numpy(np.concatenate([*blocks, np.zeros(0, np.float32)]))
    cuts = [whole[a - first : b - first] for a, b in spans]
    return [
        Excerpt(source.name, cut, source.labels)
        for cut in cuts
        if len(cut) and bool(metrics.audible(cut[None])[0])
    ]


def level_track(x: Tensor, hop: int, window: int | None = None) -> Tensor:
    """(T,) -> RMS in dBFS of windows (by default as long as the hop), (frames,); -120 for silence."""
    width = window or hop
    padded = torch.nn.functional.pad(x.double(), (0, max(0, width - len(x))))
    power = padded.unfold(-1, width, hop).square().mean(-1)
    return (10 * torch.log10(power + 1e-12)).float()


def pitch_track(x: Tensor, sample_rate: int) -> tuple[Tensor, Tensor]:
    """(T,) -> YIN's pitch in MIDI (NaN: none) and the sample in the middle of each frame, (frames,) each."""
    hz = yin.track(x[None], sample_rate)[0]
    width = 2 * int(sample_rate / yin.LOWEST_HZ) + 1
    hop = max(1, round(yin.HOP_S * sample_rate))
    return hz_to_midi(hz), torch.arange(len(hz)) * hop + width // 2


def hz_to_midi(hz: Tensor) -> Tensor:
    """440 Hz -> 69."""
    return 69 + 12 * torch.log2(hz / 440.0)


def median_midi(x: Tensor, sample_rate: int) -> float | None:
    """The pitch of a steady tone (T,), MIDI; none where under half of the frames have one."""
    midi, _ = pitch_track(x, sample_rate)
    there = midi[torch.isfinite(midi)]
    return float(there.median()) if 2 * len(there) >= len(midi) > 0 and len(there) else None


def power_frames(x: Tensor, sample_rate: int) -> Tensor:
    """(T,) -> power spectra (frames, bins) of Hann windows of about 46 ms, every quarter of it."""
    n_fft = 2 ** round(np.log2(0.046 * sample_rate))
    padded = torch.nn.functional.pad(x.float(), (0, max(0, n_fft - len(x))))
    frames = padded.unfold(-1, n_fft, n_fft // 4) * torch.hann_window(n_fft)
    return torch.fft.rfft(frames).abs().square()


def mel_frames(x: Tensor, sample_rate: int, bands: int = MEL_BANDS) -> Tensor:
    """(T,) -> mel power (frames, bands), 40 Hz to Nyquist."""
    power = power_frames(x, sample_rate)
    return power @ band_matrix(power.shape[1], sample_rate, bands, 40.0, sample_rate / 2).T


def floored_db(power: Tensor) -> Tensor:
    """Decibels; nothing lies further than RANGE_DB below the largest value."""
    top = power.max().clamp_min(1e-20)
    return 10 * torch.log10(power.clamp_min(top * 10 ** (-RANGE_DB / 10)))
