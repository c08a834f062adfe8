"""Draws from the density of the training latents: made, embedded, and held against real sounds as clouds of embeddings.

Improvisations of minutes are held against themselves: their last minute against their first.

Clouds of equal size: one half of the real files is the original, draws and the other half are held against it, so that
the figures of the other half are what draws as good as real sounds would score.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from wavevae.evaluation import frechet, metrics
from wavevae.evaluation.embeddings import Embedding
from wavevae.evaluation.model_under_test import NONE, Labels, ModelUnderTest
from wavevae.evaluation.playing.player import Player
from wavevae.evaluation.playing.timbre_moved import vectors
from wavevae.evaluation.tracks import power_frames
from wavevae.units import samples_to_frames, seconds_to_samples

SEQUENCE_S = 5.0
"""Length of one draw: the prior knows how latents move, so each is a stretch of its own."""
SEED = 0


@dataclass(frozen=True)
class Generated:
    """Draws from the prior."""

    sounds: np.ndarray
    """(count, samples)"""
    embeddings: np.ndarray
    """(seconds that are heard, dims)"""
    silent_share: float
    """Of the seconds drawn, those that are silent and left out."""


@torch.inference_mode()
def generate(
    subject: ModelUnderTest, seconds: float, embedding: Embedding, labels: Sequence[Labels] = ()
) -> Generated | None:
    """About so many seconds, at least one draw; none where the model has no prior. A conditional model is told the
    labels of the judged files in turn.

    Raises: RuntimeError where it gives NaN or infinite samples.
    """
    rate = subject.facts.sample_rate
    samples = seconds_to_samples(SEQUENCE_S, rate)
    count = max(1, round(seconds / SEQUENCE_S))
    drawn = subject.sample(count, samples_to_frames(samples, subject.facts.hop_length), SEED, labels)
    if drawn is None:
        return None
    if not bool(torch.isfinite(drawn).all()):
        raise RuntimeError("what the model draws from its prior holds NaN or infinite samples")
    sounds = drawn[:, :samples]
    cut = sounds.reshape(-1, rate)
    audible = cut[metrics.audible(cut)]
    places = embedding(audible, rate).numpy() if len(audible) else np.zeros((0, embedding.dims))
    return Generated(sounds.numpy(), places, 1 - len(audible) / len(cut))


Array = NDArray[np.float64]

NEIGHBOURS = 5
"""k of density and coverage, as in the paper."""
FEWEST = 12
"""Seconds that each cloud needs."""
MOST = 500


def distances(a: Array, b: Array) -> Array:
    """Euclidean, (N, M)."""
    squares = np.square(a).sum(1)[:, None] + np.square(b).sum(1) - 2 * a @ b.T
    found: Array = np.sqrt(np.maximum(squares, 0))
    return found


def kernel_distance(real: Array, made: Array) -> float:
    """Unbiased squared maximum mean discrepancy (Gretton et al. 2012, eq. 3) with the kernel exp(-d^2 / 2 s^2), s the
    median distance within the real cloud (kernel audio distance, Chung et al. 2025). 0: one distribution."""
    within, across, other = distances(real, real), distances(real, made), distances(made, made)
    n, m = len(real), len(made)
    scale = max(float(np.median(within[np.triu_indices(n, 1)])), 1e-12)
    k = [np.exp(-np.square(d / scale) / 2) for d in (within, across, other)]
    own = (k[0].sum() - n) / (n * (n - 1)) + (k[2].sum() - m) / (m * (m - 1))
    return float(own - 2 * k[1].mean())


def density_and_coverage(real: Array, made: Array, k: int = NEIGHBOURS) -> tuple[float, float]:
    """Naeem et al. 2020, eqs. 4 and 5: how many real balls (to the k-th neighbour) a draw lies in, over k; the share of
    real balls that hold a draw."""
    own = distances(real, real)
    radius = np.sort(own, 1)[:, min(k, len(real) - 1)]  # column 0 is the point itself
    inside = distances(real, made) <= radius[:, None]
    return float(inside.sum() / (k * len(made))), float(inside.any(1).mean())


def described(real: Array, made: Array) -> dict[str, float | None]:
    density, coverage = density_and_coverage(real, made)
    own, other = frechet.diversity(real), frechet.diversity(made)
    return {
        "sample_kad": kernel_distance(real, made),
        "sample_density": density,
        "sample_coverage": coverage,
        "sample_diversity": other / own if own and other is not None else None,
    }


def draw_figures(
    files: Sequence[str], real: Array, generated: Array | None, everything: float | None
) -> tuple[dict[str, Any], str]:
    """The figures, their ceiling between halves of the real sounds, and why there are none ('' where there are).

    real (N, D) with the file of each; generated (M, D), none without a density; `everything`: diversity of all real.
    """
    if generated is None:
        return {}, "the model has no density to draw from (or --generate 0)"
    names = sorted(set(files))
    np.random.default_rng(0).shuffle(names)
    first = np.isin(files, names[: len(names) // 2])
    rng = np.random.default_rng(1)
    size = min(int(first.sum()), int((~first).sum()), len(generated), MOST)
    if size < FEWEST:
        return (
            {},
            f"needs {FEWEST} audible seconds drawn and in each half of the real files; there are {size}",
        )
    a, b, made = (x[rng.permutation(len(x))[:size]] for x in (real[first], real[~first], generated))
    drawn = frechet.diversity(generated)
    overall = {"sample_diversity": drawn / everything if everything and drawn is not None else None}
    found = {**described(a, made), **overall, "sample_seconds": size}
    return {**found, **{f"{name}_ceiling": value for name, value in described(a, b).items()}}, ""


# -- minutes of improvising -------------------------------------------------------------------------------------

IMPROVISATIONS, MINUTES = 8, 5
"""One minute has few notes: what eight have in common is no accident."""
MINUTE_S = 60.0
FADE_S = 0.5
"""Before the last minute, in which the decoder finds its state."""


def minute_figures(sounds: Sequence[torch.Tensor], sample_rate: int) -> dict[str, float]:
    """What one kind of minutes is like: level, brightness, diversity of half seconds, share of silence."""
    power = torch.cat([power_frames(x, sample_rate) for x in sounds]).double()
    hz = torch.linspace(0, sample_rate / 2, power.shape[1], dtype=power.dtype)
    total = power.sum(1)
    n_fft = 2 * (power.shape[1] - 1)
    levels = 10 * torch.log10(
        2 * total / (0.375 * n_fft**2) + 1e-12
    )  # Parseval; a Hann window's mean square is 3/8
    loud = levels > metrics.FLOOR_DBFS
    centroid = (power[loud] @ hz) / total[loud]
    return {
        "level_db": float(levels[loud].mean()) if bool(loud.any()) else -120.0,
        "brightness_hz": float(centroid.log().mean().exp()) if bool(loud.any()) else 0.0,
        "diversity": frechet.diversity(vectors(sounds, sample_rate)) or 0.0,
        "silent": float((~loud).double().mean()),
    }


def largest_change(before: dict[str, float], after: dict[str, float]) -> float:
    """As a share: of amplitude, brightness and diversity relative to what they were, of silence in the time."""
    changes = [abs(10 ** ((after["level_db"] - before["level_db"]) / 20) - 1)]
    for name in ("brightness_hz", "diversity"):
        changes.append(abs(after[name] / before[name] - 1) if before[name] else float(after[name] > 0))
    return max(*changes, abs(after["silent"] - before["silent"]))


@torch.inference_mode()
def drift_figures(player: Player, labels: Labels = NONE) -> dict[str, Any]:
    """The last of MINUTES of improvising against the first; nothing without a prior. `sample_drift_ceiling`: between
    the same minute of one half of the improvisations and of the other, made small as if they were as many."""
    if player.prior is None:
        return {}
    rate, hop = player.sample_rate, player.hop_length
    minute, lead = samples_to_frames(seconds_to_samples(MINUTE_S, rate), hop), round(FADE_S * rate / hop)
    drawn = player.prior.improvise(IMPROVISATIONS, MINUTES * minute, SEED, labels)
    first = [player.decode(z[:, :minute].contiguous(), labels) for z in drawn]
    last = [player.decode(z[:, -minute - lead :].contiguous(), labels)[lead * hop :] for z in drawn]
    before, after = minute_figures(first, rate), minute_figures(last, rate)
    half = IMPROVISATIONS // 2
    chance = [
        largest_change(*(minute_figures(x, rate) for x in (some[:half], some[half:])))
        for some in (first, last)
    ]
    return {
        "sample_drift": largest_change(before, after),
        "sample_drift_ceiling": float(np.mean(chance)) / np.sqrt(2),
        "sample_drift_parts": {name: [before[name], after[name]] for name in before},
        "sample_drift_minutes": IMPROVISATIONS * MINUTES,
    }
