"""Every figure of every second that is heard; what the whole gives is worked out in `summary`."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from wavevae.errors import UserError
from wavevae.evaluation import clicks, metrics, yin
from wavevae.evaluation.bottleneck_stats import CodeUse
from wavevae.evaluation.chunks import Chunk
from wavevae.evaluation.embeddings import Embedding, Texture
from wavevae.evaluation.metrics import ActiveDims

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
    """Embeddings of the references, (dims,) a row."""
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
        self.active = ActiveDims(self.latent_dim)
        self.codes = CodeUse(self.codebook_size)
        hops = self.sample_rate // self.hop_length if self.hop_length else 0
        self.clicks_measurable = hops >= clicks.FEWEST_HOPS

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
            self.active.add(chunk.latents)
        if chunk.codes is not None and chunk.codes.shape[-1]:
            self.codes.add(chunk.codes)

    @torch.inference_mode()
    def flush(self) -> None:
        """Measure what waits."""
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
            found["hop_rate_energy_db"] = clicks.hop_rate_energy_db(estimate, reference, self.hop_length)
        found["pitch_error_cents"], found["pitch_lost"] = yin.error_cents(
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
        """The file of each row."""
        return [row.file for row in self.rows]
