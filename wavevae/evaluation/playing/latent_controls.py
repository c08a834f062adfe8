"""The latents as controls: whether pitch and loudness leak into the learned ones, whether the code is linear."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from wavevae.evaluation.playing.held import frame_levels, mean_or_none
from wavevae.evaluation.playing.knobs import loud_latents
from wavevae.evaluation.playing.player import Player, learned_axes
from wavevae.evaluation.playing.sound_analysis import Excerpt, pitch_track

RIDGE = 1e-3
"""Weight of the squared coefficients, inputs and targets standardised, against a mean squared error."""
FOLDS = 5
PAIRS = 6
PAIR_S = 2.0


@dataclass(frozen=True)
class Frames:
    """What is known of one excerpt's voiced, loud frames."""

    file: str
    latents: np.ndarray
    """(frames, learned latents)"""
    pitch: np.ndarray
    """(frames,) MIDI, of the sound."""
    loudness: np.ndarray
    """(frames,) dB, of the sound."""


def voiced_frames(player: Player, excerpts: Sequence[Excerpt]) -> tuple[list[Frames], Tensor]:
    """Of each excerpt the voiced, loud frames; and all loud latents (latent_dim, frames), which give the controls'
    ranges."""
    found, every = [], []
    learned = learned_axes(player.axis_names)
    for excerpt in excerpts:
        latents, at = loud_latents(player, excerpt)
        if not bool(torch.isfinite(latents).all()):
            continue
        every.append(latents)
        midi, centres = pitch_track(excerpt.audio, player.sample_rate)
        nearest = (at[:, None] - centres).abs().argmin(1) if len(centres) else at
        pitch = midi[nearest]
        voiced = torch.isfinite(pitch)
        levels = frame_levels(excerpt.audio, at, player.sample_rate)
        parts = (latents[learned][:, voiced].T, pitch[voiced], levels[voiced])
        found.append(Frames(excerpt.file, *(part.double().numpy() for part in parts)))
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


def pairs_of_latents(player: Player, excerpts: Sequence[Excerpt]) -> list[tuple[Tensor, Tensor]]:
    """Latents of neighbouring excerpts' beginnings, equally long."""
    chosen = [
        excerpts[i] for i in np.unique(np.linspace(0, len(excerpts) - 1, 2 * PAIRS).round().astype(int))
    ]
    samples = round(PAIR_S * player.sample_rate)
    found = []
    for a, b in zip(chosen[::2], chosen[1::2], strict=False):
        length = min(samples, len(a.audio), len(b.audio))
        found.append((player.encode(a.audio[:length]), player.encode(b.audio[:length])))
    return found


def linearity_figures(player: Player, excerpts: Sequence[Excerpt]) -> dict[str, float | int | None]:
    """linear_sum_db: decode(a + b) + decode(0) against decode(a) + decode(b) (decode(0), so that it does not matter
    where the latents have their zero). crossfade_db: latents in a straight line from a to b against the cross-fade of
    the two renders. High: a linear code."""
    sums: list[float | None] = []
    fades: list[float | None] = []
    for a, b in pairs_of_latents(player, excerpts):
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
