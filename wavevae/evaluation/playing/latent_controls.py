"""The latents as controls: whether named ones do what their names say and what else they do, whether pitch and loudness
leak into the learned ones, whether the code is linear.

A held moment is decoded while one control steps through its range; each step is measured on the sound. Changes too
small to be heard count as none: Spearman's coefficient looks at ranks and would take them for large.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from wavevae.evaluation import tracks
from wavevae.evaluation.playing.held import Held, frame_levels, mean_or_none
from wavevae.evaluation.playing.player import Player, learned_axes
from wavevae.evaluation.selection import Clip, evenly
from wavevae.evaluation.tracks import level_track, median_midi, pitch_track

ATTRIBUTES = {"pitch": 0.05, "loudness": 0.25, "brightness": 0.02, "noisiness": 0.5}
"""Attribute -> what is just heard of it: semitones, dB, octaves of the centroid, dB."""
TIMBRE = ("brightness", "noisiness")
"""Controls whose effect on other attributes is crosstalk; pitch and loudness change a timbre by nature."""
STEPS = 7
STEP_S, JUDGED_S = 0.5, 0.35
"""Each value is held for so long, and judged on its last part."""
MOST_MOMENTS = 8
LOW, HIGH = 0.05, 0.95
LOUD_DB = 30.0
"""Frames further below the loudest of their clip do not count for a control's range."""


@dataclass(frozen=True)
class ControlRange:
    """Of a control over the encoded corpus."""

    axis: int
    name: str
    low: float
    high: float


def loud_latents(player: Player, clip: Clip) -> tuple[Tensor, Tensor]:
    """(latent_dim, frames) of a clip and the sample that each frame describes, over its loud frames."""
    latents = player.encode(clip.audio, clip.labels)
    at = (torch.arange(latents.shape[1]) + 1) * player.hop_length - player.latency_samples
    inside = (at >= 0) & (at < len(clip.audio))
    levels = frame_levels(clip.audio, at.clamp(0, len(clip.audio) - 1), player.sample_rate)
    chosen = inside & (levels > levels[inside].max() - LOUD_DB) if inside.any() else inside
    return latents[:, chosen], at[chosen]


def control_ranges(names: Sequence[str], latents: Tensor) -> list[ControlRange]:
    """5th to 95th percentile of every control with an attribute, of latents (latent_dim, frames)."""
    found = []
    for name in ATTRIBUTES:
        if name in names and latents.shape[1]:
            axis = list(names).index(name)
            low, high = np.quantile(latents[axis].numpy(), (LOW, HIGH))
            found.append(ControlRange(axis, name, float(low), float(high)))
    return [r for r in found if r.high - r.low > 1e-6]


# -- attributes -----------------------------------------------------------------------------------------------


def spectrum(x: Tensor) -> Tensor:
    """(T,) -> power spectrum of the whole, Hann window, (bins,)."""
    x = x.double()
    return torch.fft.rfft(x * torch.hann_window(len(x), dtype=x.dtype)).abs().square()


def brightness(x: Tensor, sample_rate: int) -> float:
    """log2 of the power spectral centroid in Hz."""
    power = spectrum(x)
    hz = torch.linspace(0, sample_rate / 2, len(power), dtype=power.dtype)
    return float(torch.log2(((hz * power).sum() / power.sum().clamp_min(1e-30)).clamp_min(1.0)))


def noisiness(x: Tensor, sample_rate: int, midi: float | None) -> float:
    """Decibels: energy apart from the harmonics of the pitch over all energy; without a pitch, spectral flatness.

    A harmonic is what lies within three bins (and 0.6 % for vibrato) of it, at most a third of the way to the next.
    """
    power = spectrum(x)[1:]
    bin_hz = sample_rate / len(x)
    hz = torch.arange(1, len(power) + 1, dtype=power.dtype) * bin_hz
    if midi is None:
        return float(10 * (torch.log10(power + 1e-20).mean() - torch.log10(power.mean() + 1e-20)))
    f0 = tracks.midi_hz(midi)
    off = (hz - f0 * (hz / f0).round().clamp_min(1)).abs()
    rest = power[off > (3 * bin_hz + 0.006 * hz).clamp_max(f0 / 3)].sum()
    return float(10 * torch.log10((rest / power.sum().clamp_min(1e-30)).clamp_min(1e-9)))


def attributes(x: Tensor, sample_rate: int) -> dict[str, float]:
    """What is heard of a steady sound; no pitch where it has none."""
    midi = median_midi(x, sample_rate)
    found = {
        "loudness": float(level_track(x, len(x))[0]),
        "brightness": brightness(x, sample_rate),
        "noisiness": noisiness(x, sample_rate, midi),
    }
    return found if midi is None else {"pitch": midi, **found}


# -- sweeps ---------------------------------------------------------------------------------------------------


def sweep(
    player: Player, held: Held, control: ControlRange, seconds_each: float, steps: int
) -> tuple[Tensor, int]:
    """The moment's frame held while the control goes up in steps: sound (T,), and where it begins."""
    frames = max(1, round(seconds_each * player.sample_rate / player.hop_length))
    values = torch.linspace(control.low, control.high, steps).repeat_interleave(frames)
    moving = held.latents[:, -1:].repeat(1, len(values))
    moving[control.axis] = values
    sound = player.decode(torch.cat([held.latents, moving], 1), held.moment.clip.labels)
    return sound, held.start


def measured_sweep(player: Player, held: Held, control: ControlRange) -> list[dict[str, float]]:
    """The attributes of every step; none where the model gives NaN."""
    sound, start = sweep(player, held, control, STEP_S, STEPS)
    if not bool(torch.isfinite(sound).all()):
        return []
    step = max(1, round(STEP_S * player.sample_rate / player.hop_length)) * player.hop_length
    judged = min(step, round(JUDGED_S * player.sample_rate))
    ends = [start + (i + 1) * step for i in range(STEPS)]
    return [attributes(sound[end - judged : end], player.sample_rate) for end in ends]


def ranks(values: np.ndarray) -> np.ndarray:
    """Equal values share the mean of their ranks."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    found: np.ndarray = (last - (counts - 1) / 2)[inverse]
    return found


def spearman(a: Sequence[float] | np.ndarray, b: Sequence[float] | np.ndarray) -> float:
    """Correlation of the ranks; 0 where one of them does not move."""
    x, y = ranks(np.asarray(a, float)), ranks(np.asarray(b, float))
    x, y = x - x.mean(), y - y.mean()
    size = float(np.sqrt((x @ x) * (y @ y)))
    return float(x @ y) / size if size > 0 else 0.0


def in_heard_steps(values: np.ndarray, unit: float) -> np.ndarray:
    """Values in whole just-heard steps from their median: what is less apart from it counts as equal to it."""
    middle = np.median(values)
    found: np.ndarray = middle + unit * np.trunc((values - middle) / unit)
    return found


def correlations(sweeps: Sequence[Sequence[dict[str, float]]], name: str) -> dict[str, float] | None:
    """Of the step with one attribute: `within` a moment (mean over moments), and `pooled` over all of them, where the
    attribute's own variety from moment to moment counts too. None where no moment has the attribute."""
    columns = []
    for steps in sweeps:
        there = np.array([(i, step[name]) for i, step in enumerate(steps) if name in step], float)
        if len(there) >= 3:
            there[:, 1] = in_heard_steps(there[:, 1], ATTRIBUTES[name])
            columns.append(there)
    if not columns:
        return None
    within = mean_or_none([spearman(c[:, 0], c[:, 1]) for c in columns])
    every = np.concatenate(columns)
    assert within is not None
    return {"within": within, "pooled": spearman(every[:, 0], every[:, 1])}


def knob_figures(player: Player, held: Sequence[Held], ranges: Sequence[ControlRange]) -> dict[str, Any]:
    """knob_monotonic of each control (within moments), the least of them, and knob_crosstalk (pooled); all
    correlations under `knobs`."""
    chosen = evenly(held, MOST_MOMENTS)
    table: dict[str, dict[str, Any]] = {}
    for control in ranges:
        sweeps = [measured_sweep(player, h, control) for h in chosen]
        row = {name: correlations(sweeps, name) for name in ATTRIBUTES}
        table[control.name] = {"low": control.low, "high": control.high, **row}
    own = {name: row[name]["within"] if row[name] else None for name, row in table.items()}
    others = [
        abs(row[other]["pooled"])
        for name, row in table.items()
        for other in ATTRIBUTES
        if name in TIMBRE and other != name and row[other]
    ]
    known = [value for value in own.values() if value is not None]
    return {
        "knob_monotonic": own,
        "knob_monotonic_least": min(known) if known else None,
        "knob_crosstalk": max(others) if others else None,
        "knob_moments": len(chosen),
        "knobs": table,
    }


RIDGE = 1e-3
"""Weight of the squared coefficients, inputs and targets standardised, against a mean squared error."""
FOLDS = 5
PAIRS = 6
PAIR_S = 2.0


@dataclass(frozen=True)
class Frames:
    """What is known of one clip's voiced, loud frames."""

    file: str
    latents: np.ndarray
    """(frames, learned latents)"""
    pitch: np.ndarray
    """(frames,) MIDI, of the sound."""
    loudness: np.ndarray
    """(frames,) dB, of the sound."""


def voiced_frames(player: Player, clips: Sequence[Clip]) -> tuple[list[Frames], Tensor]:
    """Of each clip the voiced, loud frames; and all loud latents (latent_dim, frames), which give the controls'
    ranges."""
    found, every = [], []
    learned = learned_axes(player.axis_names)
    for clip in clips:
        latents, at = loud_latents(player, clip)
        if not bool(torch.isfinite(latents).all()):
            continue
        every.append(latents)
        midi, centres = pitch_track(clip.audio, player.sample_rate)
        nearest = (at[:, None] - centres).abs().argmin(1) if len(centres) else at
        pitch = midi[nearest]
        voiced = torch.isfinite(pitch)
        levels = frame_levels(clip.audio, at, player.sample_rate)
        parts = (latents[learned][:, voiced].T, pitch[voiced], levels[voiced])
        found.append(Frames(clip.file, *(part.double().numpy() for part in parts)))
    return found, torch.cat(every, 1) if every else torch.zeros(len(player.axis_names), 0)


def ridge(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, float]:
    """Mean and spread of the inputs (N, D), coefficients, mean of the targets (N,)."""
    mean, std = x.mean(0), np.maximum(x.std(0), 1e-9)
    scaled = (x - mean) / std
    gram = scaled.T @ scaled / len(x) + RIDGE * np.eye(x.shape[1])
    return mean, std, np.linalg.solve(gram, scaled.T @ (y - y.mean()) / len(x)), float(y.mean())


def explained(files: Sequence[str], x: np.ndarray, y: np.ndarray) -> float | None:
    """R^2 of a ridge regression on files that it has not seen (up to five folds), 0 where that is negative. None
    below two files, or where the target does not vary."""
    names = sorted(set(files))
    if len(names) < 2 or len(y) < 20 or float(y.std()) < 1e-6 or not x.shape[1]:
        return None
    np.random.default_rng(0).shuffle(names)
    fold = {name: i % FOLDS for i, name in enumerate(names)}
    which = np.array([fold[file] for file in files])
    guess = np.full(len(y), np.nan)
    for k in set(which.tolist()):
        mean, std, weights, level = ridge(x[which != k], y[which != k])
        guess[which == k] = (x[which == k] - mean) / std @ weights + level
    return max(0.0, 1 - float(np.square(y - guess).sum() / np.square(y - y.mean()).sum()))


def leakage_figures(frames: Sequence[Frames]) -> dict[str, float | int | None]:
    """How much of pitch and loudness a linear reader finds in the learned latents."""
    there = [f for f in frames if len(f.pitch)]
    if not there:
        return {"leakage_pitch": None, "leakage_loudness": None, "leakage_frames": 0}
    files = [f.file for f in there for _ in f.pitch]
    x, pitch, loudness = (
        np.concatenate(part) for part in zip(*((f.latents, f.pitch, f.loudness) for f in there), strict=True)
    )
    return {
        "leakage_pitch": explained(files, x, pitch),
        "leakage_loudness": explained(files, x, loudness),
        "leakage_frames": len(pitch),
    }


# -- linearity ------------------------------------------------------------------------------------------------


def snr_db(made: Tensor, wanted: Tensor) -> float | None:
    """Of what is wanted over the difference, dB, within +-120; none for what is not finite, or silence."""
    power, off = wanted.double().square().sum(), (made - wanted).double().square().sum()
    if not bool(torch.isfinite(power + off)) or float(power) <= 0:
        return None
    return float((10 * torch.log10(power / off.clamp_min(1e-30))).clamp(-120, 120))


def pairs_of_latents(player: Player, clips: Sequence[Clip]) -> list[tuple[Tensor, Tensor]]:
    """Latents of neighbouring clips' beginnings, equally long."""
    chosen = evenly(clips, 2 * PAIRS)
    samples = round(PAIR_S * player.sample_rate)
    found = []
    for a, b in zip(chosen[::2], chosen[1::2], strict=False):
        length = min(samples, len(a.audio), len(b.audio))
        found.append((player.encode(a.audio[:length]), player.encode(b.audio[:length])))
    return found


def linearity_figures(player: Player, clips: Sequence[Clip]) -> dict[str, float | int | None]:
    """linear_sum_db: decode(a + b) + decode(0) against decode(a) + decode(b) (decode(0), so that it does not matter
    where the latents have their zero). crossfade_db: latents in a straight line from a to b against the cross-fade of
    the two renders. High: a linear code."""
    sums: list[float | None] = []
    fades: list[float | None] = []
    for a, b in pairs_of_latents(player, clips):
        both, nothing = player.decode(a) + player.decode(b), player.decode(torch.zeros_like(a))
        sums.append(snr_db(player.decode(a + b) + nothing, both))
        frames = a.shape[1]
        share = (torch.arange(frames) + 0.5) / frames
        smooth = (torch.arange(frames * player.hop_length) + 0.5) / (frames * player.hop_length)
        plain = (1 - smooth) * player.decode(a) + smooth * player.decode(b)
        fades.append(snr_db(player.decode((1 - share) * a + share * b), plain))
    return {
        "linear_sum_db": mean_or_none(sums),
        "crossfade_db": mean_or_none(fades),
        "linear_pairs": len(sums),
    }
