"""From the seconds' figures to those of report.json: means, medians, distances of clouds, and their intervals."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from wavevae.evaluation import bootstrap, frechet
from wavevae.evaluation.bootstrap import Interval

if TYPE_CHECKING:
    from wavevae.evaluation.generated import Generated
    from wavevae.evaluation.measure import Measure

MEDIANS = ("pitch_error_cents",)
"""Figures whose middle is a median: one octave error would drown a mean."""
OPTIONAL = ("hop_rate_energy_db",)
"""Figures that a short or slow model has not."""

Figures = dict[str, float | int | None]
Intervals = dict[str, Interval | None]


def of_rows(measure: Measure) -> tuple[Figures, Intervals]:
    """Each column's mean (median for MEDIANS) over the seconds that have it, none where none has."""
    found: Figures = {}
    intervals: Intervals = {}
    for name in measure.rows[0].figures:
        values = measure.column(name)
        there = values[np.isfinite(values)]
        middle = np.median if name in MEDIANS else np.mean
        found[name] = float(middle(there)) if len(there) else None
        interval = bootstrap.of_median if name in MEDIANS else bootstrap.of_mean
        intervals[name] = interval(measure.files, values)
    for name in OPTIONAL:
        found.setdefault(name, None)
    found["pitched_chunks"] = int(np.isfinite(measure.column("pitch_error_cents")).sum())
    return found, intervals


def of_clouds(measure: Measure) -> tuple[Figures, Intervals]:
    """fad and the diversities of references and reconstructions."""
    real, made = np.array(measure.real), np.array(measure.made)
    distance = frechet.fad(real, made)
    found: Figures = {
        "fad": distance,
        "fad_between_halves": halves(measure.files, real),
        "diversity_real": frechet.diversity(real),
        "diversity_reconstructed": frechet.diversity(made),
    }
    interval = bootstrap.of_clouds(measure.files, lambda w: frechet.fad(real, made, w), distance)
    return found, {"fad": interval}


def halves(files: list[str], real: np.ndarray) -> float | None:
    """FAD from one half of the real files to the other: what the figure is for sounds as good as real, given so
    few of them. None below four files."""
    names = sorted(set(files))
    np.random.default_rng(0).shuffle(names)
    first = np.isin(files, names[: len(names) // 2])
    return frechet.fad(real[first], real[~first]) if len(names) >= 4 else None


def of_bottleneck(measure: Measure) -> tuple[Figures, Intervals]:
    """KL, active dimensions, use of codes; none for a bottleneck that has it not or cannot be seen."""
    sums = np.array([total for total, _ in measure.kl.values()])
    frames = np.array([count for _, count in measure.kl.values()], np.float64)
    found: Figures = {
        "kl_nats": float(sums.sum() / frames.sum()) if len(sums) else None,
        "active_dims": measure.active.count() if len(sums) else None,
        "codebook_perplexity": measure.codes.perplexity(),
        "codebook_usage": measure.codes.usage(),
        "code_bits_per_frame": measure.codes.bits_per_frame(),
    }
    return found, {"kl_nats": bootstrap.of_ratio(sums, frames)}


def of_generated(measure: Measure, generated: Generated | None) -> Figures:
    """What the model says by itself, against the real sounds; none without a prior."""
    cloud = generated.embeddings if generated is not None else np.zeros((0, 1))
    enough = len(cloud) >= frechet.FEWEST
    return {
        "diversity_generated": frechet.diversity(cloud) if enough else None,
        "generated_silent": generated.silent_share if generated is not None else None,
        "fad_generated": frechet.fad(np.array(measure.real), cloud) if enough else None,
    }


def summarise(measure: Measure, generated: Generated | None = None) -> tuple[Figures, Intervals]:
    """All of it. Raises: UserError when every second was silent."""
    measure.require_rows()
    figures: Figures = {}
    intervals: Intervals = {}
    for part in (of_rows, of_clouds, of_bottleneck):
        more, wide = part(measure)
        figures |= more
        intervals |= wide
    return figures | of_generated(measure, generated), intervals
