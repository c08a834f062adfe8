"""Every figure of every chunk that is heard, and their means."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from wavevae.errors import UserError
from wavevae.evaluation import clicks, metrics
from wavevae.evaluation.chunks import Chunk
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


@dataclass
class Measure:
    """Takes chunks, keeps rows and running sums; asks for auraloss at the start, not after an hour."""

    sample_rate: int
    hop_length: int
    latent_dim: int
    rows: list[Row] = field(default_factory=list)
    left_out: int = 0
    kl_sum: float = 0.0
    kl_frames: int = 0
    _waiting: list[tuple[str, Chunk]] = field(default_factory=list)

    def __post_init__(self) -> None:
        try:
            self._mr_stft = metrics.MultiResolutionSTFT()
        except ImportError:
            raise UserError(
                "mr_stft needs auraloss, which is not installed; pip install 'wavevae[train]'"
            ) from None
        self.active = ActiveDims(self.latent_dim)
        hops = self.sample_rate // self.hop_length
        self.clicks_measurable = hops >= clicks.FEWEST_HOPS

    def add(self, file: str, chunk: Chunk) -> None:
        """Raises: RuntimeError where the model gave NaN or infinite samples."""
        if not bool(metrics.audible(chunk.reference[None])[0]):
            self.left_out += 1
            return
        if not bool(torch.isfinite(chunk.estimate).all()):
            where = f"{file} at {chunk.start / self.sample_rate:.1f} s"
            raise RuntimeError(f"the reconstruction of {where} holds NaN or infinite samples")
        if chunk.mean is not None and chunk.log_variance is not None and chunk.mean.shape[-1]:
            kl = metrics.kl_per_frame(chunk.mean, chunk.log_variance)
            self.kl_sum, self.kl_frames = self.kl_sum + float(kl.sum()), self.kl_frames + len(kl)
            self.active.add(chunk.mean)
        self._waiting.append((file, chunk))
        if len(self._waiting) >= BATCH:
            self.flush()

    @torch.inference_mode()
    def flush(self) -> None:
        """Measure what waits."""
        if not self._waiting:
            return
        reference = torch.stack([chunk.reference for _, chunk in self._waiting])
        estimate = torch.stack([chunk.estimate for _, chunk in self._waiting])
        figures = self.figures(estimate, reference)
        levels = metrics.level_dbfs(reference)
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
            found["hop_rate_energy_db"] = clicks.hop_rate_energy_db(estimate, reference, self.hop_length)
        return found

    def means(self) -> dict[str, float | int | None]:
        """The figures of report.json; none where they cannot be had. Raises: UserError when all was silent."""
        self.flush()
        if not self.rows:
            raise UserError(
                f"all {self.left_out} seconds are silent (RMS under {metrics.FLOOR_DBFS:g} dBFS); "
                "give sounds that can be heard"
            )
        found: dict[str, float | int | None] = {
            name: sum(row.figures[name] for row in self.rows) / len(self.rows)
            for name in self.rows[0].figures
        }
        found.setdefault("hop_rate_energy_db", None)
        found["kl_nats"] = self.kl_sum / self.kl_frames if self.kl_frames else None
        found["active_dims"] = self.active.count() if self.kl_frames else None
        return found
