"""One pass over the files: each is reconstructed, cut into seconds and measured; then means over the seconds, medians,
distances of clouds of embeddings, and their intervals."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from wavevae.console import ConsoleProgress
from wavevae.errors import UserError
from wavevae.evaluation import bootstrap, frechet, metrics, tracks
from wavevae.evaluation.bootstrap import Interval
from wavevae.evaluation.embeddings import Embedding, Texture
from wavevae.evaluation.excerpts import Chunk, Excerpt, cut_chunks, keep_excerpts, plan_excerpts
from wavevae.evaluation.judged_latents import LatentCollector
from wavevae.evaluation.metrics import CodeUse, Moments
from wavevae.evaluation.model_under_test import ModelUnderTest
from wavevae.evaluation.selection import Selection, Source, sound
from wavevae.files import printable

if TYPE_CHECKING:
    from wavevae.evaluation.playing.draws import Generated

BATCH = 32
"""Chunks measured at once."""


@dataclass(frozen=True)
class Row:
    """One chunk's figures: a line of chunks.csv."""

    file: str
    start_s: float
    level_dbfs: float
    """Of the reference."""
    figures: dict[str, float]
    """NaN where a figure does not apply: the pitch error of a second without pitch."""


@dataclass
class Measure:
    """Takes chunks, keeps rows, embeddings and running sums; asks for auraloss at the start, not after an hour."""

    sample_rate: int
    hop_length: int | None
    """Of the model, for its clicks; none where nothing comes in hops."""
    latent_dim: int
    codebook_size: int = 0
    embedding: Embedding = field(default_factory=Texture)
    rows: list[Row] = field(default_factory=list)
    left_out: int = 0
    kl: dict[str, tuple[float, int]] = field(default_factory=dict)
    """{file: (sum of the KL over its frames, frames)}"""
    real: list[np.ndarray] = field(default_factory=list)
    """Embeddings of the originals, (dims,) a row."""
    made: list[np.ndarray] = field(default_factory=list)
    """Embeddings of the reconstructions."""
    _waiting: list[tuple[str, Chunk]] = field(default_factory=list)

    def __post_init__(self) -> None:
        try:
            self._mr_stft = metrics.MultiResolutionSTFT()
        except ImportError:
            raise UserError(
                "mr_stft needs auraloss, which is not installed; pip install 'wavevae[train]'"
            ) from None
        self.posterior_means = Moments(self.latent_dim)
        self.codes = CodeUse(self.codebook_size)
        hops = self.sample_rate // self.hop_length if self.hop_length else 0
        self.clicks_measurable = hops >= metrics.FEWEST_HOPS

    def add(self, file: str, chunk: Chunk) -> bool:
        """Whether it is heard. Raises: RuntimeError where the model gave NaN or infinite samples."""
        if not bool(metrics.audible(chunk.reference[None])[0]):
            self.left_out += 1
            return False
        if not bool(torch.isfinite(chunk.estimate).all()):
            where = f"{file} at {chunk.start / self.sample_rate:.1f} s"
            raise RuntimeError(f"the reconstruction of {where} holds NaN or infinite samples")
        self._note(file, chunk)
        self._waiting.append((file, chunk))
        if len(self._waiting) >= BATCH:
            self.flush()
        return True

    def _note(self, file: str, chunk: Chunk) -> None:
        """What lay between encoder and decoder."""
        if chunk.kl is not None and chunk.latents is not None and len(chunk.kl):
            total, frames = self.kl.get(file, (0.0, 0))
            self.kl[file] = (total + float(chunk.kl.sum()), frames + len(chunk.kl))
            self.posterior_means.add(chunk.latents)
        if chunk.codes is not None and chunk.codes.shape[-1]:
            self.codes.add(chunk.codes)

    @torch.inference_mode()
    def flush(self) -> None:
        if not self._waiting:
            return
        reference = torch.stack([chunk.reference for _, chunk in self._waiting])
        estimate = torch.stack([chunk.estimate for _, chunk in self._waiting])
        figures = self.figures(estimate, reference)
        levels = metrics.level_dbfs(reference)
        self.real.extend(self.embedding(reference, self.sample_rate).numpy())
        self.made.extend(self.embedding(estimate, self.sample_rate).numpy())
        for index, (file, chunk) in enumerate(self._waiting):
            values = {name: float(column[index]) for name, column in figures.items()}
            self.rows.append(Row(file, chunk.start / self.sample_rate, float(levels[index]), values))
        self._waiting.clear()

    def figures(self, estimate: Tensor, reference: Tensor) -> dict[str, Tensor]:
        """(N, T) each -> {name: (N,)}."""
        found = {
            "mr_stft": self._mr_stft(estimate, reference),
            "log_mel_l1": metrics.log_mel_l1(estimate, reference, self.sample_rate),
            "si_sdr_db": metrics.si_sdr_db(estimate, reference),
            "accuracy_waveform": metrics.accuracy_waveform(estimate, reference),
            "accuracy_stft": metrics.accuracy_stft(estimate, reference),
            "mse": metrics.mse(estimate, reference),
            "cosine_similarity": metrics.cosine_similarity(estimate, reference),
            "level_difference_db": metrics.level_difference_db(estimate, reference),
        }
        if self.clicks_measurable:
            assert self.hop_length is not None
            found["hop_rate_energy_db"] = metrics.hop_rate_energy_db(estimate, reference, self.hop_length)
        found["pitch_error_cents"], found["pitch_lost"] = tracks.error_cents(
            estimate, reference, self.sample_rate
        )
        return found

    def require_rows(self) -> None:
        """Measure what waits. Raises: UserError when all was silent."""
        self.flush()
        if not self.rows:
            raise UserError(
                f"all {self.left_out} seconds are silent (RMS under {metrics.FLOOR_DBFS:g} dBFS); "
                "give sounds that can be heard"
            )

    def column(self, name: str) -> np.ndarray:
        """(rows,) of one figure."""
        return np.array([row.figures[name] for row in self.rows])

    @property
    def files(self) -> list[str]:
        return [row.file for row in self.rows]


@dataclass(frozen=True)
class Measurement:
    """What one pass over the files found."""

    measure: Measure
    collected: LatentCollector
    excerpts: tuple[Excerpt, ...]
    """Moments that can be heard."""
    damaged: tuple[tuple[str, str], ...]
    """(path, reason) of files that broke off; what came before is judged."""
    seconds: float
    """Of sound gone by."""


def measure_file(
    subject: ModelUnderTest,
    source: Source,
    excerpts: Sequence[Excerpt],
    measure: Measure,
    collected: LatentCollector,
) -> Iterator[int]:
    """Reconstruct and measure one file; gives the samples of each piece as it goes by. Raises: UserError."""
    facts = subject.facts
    passed: list[int] = []
    blocks = sound(source, facts.sample_rate, subject.block_samples)
    pieces = keep_excerpts(subject.reconstruct(blocks, source.labels), excerpts, passed, facts.hop_length)
    for chunk in cut_chunks(pieces, facts.sample_rate, facts.hop_length):
        if measure.add(source.name, chunk) and chunk.latents is not None:
            collected.add(source.name, chunk.latents)
        yield sum(passed)
        passed.clear()
    yield sum(passed)


def measure_model(
    subject: ModelUnderTest, selection: Selection, pairs: int, embedding: Embedding
) -> Measurement:
    """Reconstruct and measure every file in bounded memory; keep `pairs` excerpts to hear and see.

    Raises: RuntimeError where the model gives NaN.
    """
    facts = subject.facts
    measure = Measure(
        facts.sample_rate,
        facts.frame_hop or facts.hop_length,
        facts.latent_dim,
        facts.codebook_size,
        embedding=embedding,
    )
    collected = LatentCollector(facts.latent_dim)
    planned = plan_excerpts(selection.sources, pairs, facts.sample_rate)
    progress = ConsoleProgress()
    damaged = []
    heard = 0
    for index, source in enumerate(selection.sources):
        try:
            for samples in measure_file(subject, source, planned.get(index, []), measure, collected):
                heard += samples
                share = min(0.999, heard / facts.sample_rate / selection.seconds)
                progress("evaluate", share, f"{index + 1} of {len(selection.sources)} files")
        except UserError as error:
            damaged.append((printable(source.path), f"{error}; judged up to there"))
    measure.flush()
    progress("evaluate", 1.0, f"{heard / facts.sample_rate:.0f} s judged")
    audible = tuple(e for group in planned.values() for e in group if e.audible())
    return Measurement(measure, collected, audible, tuple(damaged), heard / facts.sample_rate)


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
    """fad and the diversities of originals and reconstructions."""
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
        "active_dims": measure.posterior_means.active_dims() if len(sums) else None,
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
