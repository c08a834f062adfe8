"""Bottlenecks of codes: VQ and residual VQ, both over small unit vectors.

    h (latent_dim) --mulaw_encode--> (latent_dim + 1) --in_proj--> (code_dim) --length 1--> nearest code
    z (latent_dim) <-mulaw_decode--- (latent_dim + 1) <-out_proj--------------------------------/

A note fades through sixty decibels and the ear follows; codes spaced evenly over sizes would mostly serve the loudest
frames, and their mean is always too soft. So a frame is quantised as its shape and its loudness: its direction with a
length compressed by the mu-law (ITU-T G.711), and that length once more as a number, of which means are right
(gain-shape quantisation, Sabin & Gray 1984).
"""

import math
from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from wavevae.config import ObjectiveConfig
from wavevae.errors import UserError
from wavevae.model_config import ModelConfig
from wavevae.nn.bottlenecks.base import Bottleneck, Latents, LossTerm, Statistics
from wavevae.nn.bottlenecks.codebook import Codebook, distances, unit
from wavevae.nn.distributed import mean_over_ranks

SMALLEST = 1e-8
MU = 1000.0
"""Lengths begin to differ 60 dB below full length."""
LOUDNESS = 3.0
"""Weight of the length beside a direction's numbers when codes are initialised: 1 dB of error, not 3."""
FLATNESS = 3.0
"""Size of the constant beside a frame of middle size: the larger, the more nearly the sphere that codes lie on is flat
there, and equal distances on it equal ones between frames."""
LONGEST = 1.25
"""Compressed; 15 dB above full length. Sums of codes may pass 1, and the way back is steep."""
FRAMES_A_CODE = 32
"""Of the corpus, to initialise a codebook, where there are as many."""
SMALLEST_VARIANCE = 1e-4
"""Of encodings of length 1; keeps the ratio finite where all are the same."""


def relative_commitment(raw: Mapping[str, Tensor], config: ObjectiveConfig) -> Tensor:
    """Mean square from encodings to codes; by the rule `variance` the share of their variance that is left over.

    The same weight then means the same for encodings that are spread wide and for those that hardly differ.
    """
    if config.commitment_rule == "fixed":
        return raw["commitment"]
    return raw["commitment"] / raw["encoding_variance"].clamp_min(SMALLEST_VARIANCE)


COMMITMENT = LossTerm("commitment", relative_commitment, lambda progress, config: config.commitment)
UNEVENNESS = LossTerm(
    "unevenness",
    lambda raw, config: (
        raw.get("unevenness") if config.codebook_entropy_weight else None
    ),  # known in training mode only
    lambda progress, config: config.codebook_entropy_weight,
)


def length(x: Tensor) -> Tensor:
    """(B, D, F) -> (B, 1, F), never 0, with a gradient of 0 there."""
    return x.square().sum(dim=1, keepdim=True).clamp_min(1e-16).sqrt()


def mulaw_encode(h: Tensor, full: Tensor, mu: float = MU) -> Tensor:
    """(B, D, F) -> (B, D + 1, F): each frame with its length compressed, then that length; `full` becomes 1."""
    size = length(h)
    loudness = torch.log1p(mu * size / full) / math.log1p(mu)
    return torch.cat([h * (loudness / size), loudness], 1)


def mulaw_decode(shape: Tensor, full: Tensor, mu: float = MU, longest: float = LONGEST) -> Tensor:
    """The reverse: (B, D + 1, F) -> (B, D, F), the direction of the first D with the length of the last."""
    direction = shape[:, :-1] / length(shape[:, :-1])
    loudness = shape[:, -1:].clamp(0.0, longest)
    return direction * (full * torch.expm1(math.log1p(mu) * loudness) / mu)


class Quantizer(nn.Module):
    """One codebook between two projections: factorised, L2-normalised codes (Yu et al. 2022, ViT-VQGAN, sec. 3.2).

    `out_proj` learns to decode the codes; `in_proj` and the encoder learn through the straight-through estimate
    z = out_proj(e + stop(c - e)) and the commitment |e - stop(c)|^2 (van den Oord et al. 2017, eq. 3).
    """

    def __init__(self, dim: int, code_dim: int, codebook: Codebook) -> None:
        super().__init__()
        self.in_proj = nn.Conv1d(dim, code_dim, 1)
        self.out_proj = nn.Conv1d(code_dim, dim, 1)
        self.codebook = codebook

    def encodings(self, h: Tensor) -> Tensor:
        """(B, dim, F) -> (B, code_dim, F), each frame of length 1."""
        return F.normalize(self.in_proj(h).float(), dim=1)

    def forward(self, h: Tensor) -> Tensor:
        """(B, dim, F) -> codes (B, F)."""
        e = self.encodings(h).transpose(1, 2)  # (B, F, code_dim)
        return self.codebook(e.reshape(-1, e.size(2))).view(e.size(0), e.size(1))

    def decode(self, index: Tensor) -> Tensor:
        """Codes (B, F) -> (B, dim, F)."""
        return self.out_proj(self.codebook.vectors(index).transpose(1, 2))

    def init_from_data(self, h: Tensor, importance: Tensor) -> Tensor:
        """From frames (N, dim) -> what is left of them over, (N, dim).

        `in_proj` becomes the principal axes of the frames weighed by `importance` (dim,), and one constant, so that
        the direction depends on a frame's size as well; the codes k-means; `out_proj` the least-squares way back.
        """
        size, device = self.codebook.codes.shape[1], h.device
        h, importance = h.double(), importance.double()
        mean = h.mean(dim=0)
        axes = torch.linalg.eigh(torch.cov(((h - mean) * importance).T))[1].flip(1)[:, : size - 1]
        matrix = h.new_zeros(size, h.shape[1])
        matrix[: axes.shape[1]] = (importance[:, None] * axes).T
        sizes = ((h - mean) @ matrix.T).norm(dim=1)
        spread = FLATNESS * sizes[sizes > 0.01 * sizes.mean()].median().clamp_min(SMALLEST)  # silence apart
        bias = -(matrix / spread) @ mean
        bias[-1] = 1.0
        with torch.no_grad():
            self.in_proj.weight.copy_((matrix / spread).unsqueeze(-1))
            self.in_proj.bias.copy_(bias)  # type: ignore[union-attr]
            e = unit(self.in_proj(h.float()[..., None])[..., 0])
            self.codebook.init_from_data(e)
            c = self.codebook.vectors(self.codebook(e)).double()
            c = torch.cat([c, c.new_ones(len(c), 1)], 1)
            ridge = 1e-6 * len(c) * torch.eye(c.shape[1], device=device, dtype=c.dtype)
            back = torch.linalg.solve(c.T @ c + ridge, c.T @ h)  # (code_dim + 1, dim)
            self.out_proj.weight.copy_(back[:-1].T.unsqueeze(-1))
            self.out_proj.bias.copy_(back[-1])  # type: ignore[union-attr]
        return (h - c @ back).float()


class ResidualVQ(Bottleneck):
    """Codebooks in a row, each for what the ones before leave over (Zeghidour et al. 2021, SoundStream, alg. 1).

    With `dropout` that share of the chunks is learned with the first n codebooks only, n even from 1 to all (ibid.,
    sec. III-C). One codebook is a plain VQ (`VQ`). Losses: `commitment` (mean square a number), `encoding_variance`
    (of a number, to weigh it by), `unevenness` (nats), each the mean over the codebooks.
    """

    full: Tensor
    loss_terms = (COMMITMENT, UNEVENNESS)
    streaming_twin = "StreamingQuantizer"

    def __init__(
        self,
        latent_dim: int,
        codebooks: list[Codebook],
        frame_rate: float,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.in_channels = latent_dim
        self.register_buffer("full", torch.ones(()))
        """Length of a loud frame."""
        self.frame_rate, self.dropout = frame_rate, dropout
        self.stages = nn.ModuleList(Quantizer(latent_dim + 1, c.codes.shape[1], c) for c in codebooks)

    @classmethod
    def from_config(cls, config: ModelConfig) -> Bottleneck:
        books = [new_codebook(config) for _ in range(config.n_codebooks)]
        return cls(config.latent_dim, books, config.frame_rate, config.codebook_dropout)

    @classmethod
    def codebook_sizes(cls, config: ModelConfig) -> tuple[int, ...]:
        return (config.codebook_size,) * config.n_codebooks

    def codebooks(self) -> list[Codebook]:
        return [stage.codebook for stage in self.stages]  # type: ignore[misc]

    def data_parameters(self) -> list[nn.Parameter]:
        return list(self.parameters())

    def code_parameters(self) -> list[nn.Parameter]:
        return [parameter for stage in self.stages for parameter in stage.in_proj.parameters()]  # type: ignore[union-attr]

    def encode(self, h: Tensor) -> tuple[Tensor, Tensor]:
        """(B, latent_dim, F) -> z of the same shape, codes (B, n_codebooks, F). Scriptable, deterministic."""
        y = mulaw_encode(h.float(), self.full)
        quantized = torch.zeros_like(y)
        codes: list[Tensor] = []
        for stage in self.stages:
            index = stage(y - quantized)
            quantized = quantized + stage.decode(index)  # type: ignore[operator]
            codes.append(index)
        return mulaw_decode(quantized, self.full), torch.stack(codes, 1)

    @torch.jit.export
    def decode_codes(self, codes: Tensor) -> Tensor:
        """Codes (B, n, F), n up to n_codebooks -> z (B, latent_dim, F)."""
        quantized: Tensor | None = None
        for number, stage in enumerate(self.stages):
            if number < codes.size(1):
                part = stage.decode(codes[:, number])  # type: ignore[operator]
                quantized = part if quantized is None else quantized + part
        assert quantized is not None
        return mulaw_decode(quantized, self.full)

    @torch.jit.export
    def mean(self, h: Tensor) -> Tensor:
        """(B, latent_dim, F) -> z."""
        return self.encode(h)[0]

    def margin(self, h: Tensor) -> Tensor:
        """(B, latent_dim, F) -> (B, F) how much nearer the chosen codes are than the next, the least of all stages."""
        y = mulaw_encode(h.float(), self.full)
        quantized, margins = torch.zeros_like(y), []
        for stage in self.stages:
            e = stage.encodings(y - quantized).transpose(1, 2)  # type: ignore[operator]
            near = distances(e.flatten(0, 1), stage.codebook.codes).topk(2, largest=False).values  # type: ignore[union-attr,arg-type]
            margins.append((near[:, 1] - near[:, 0]).view(e.shape[:2]))
            quantized = quantized + stage.decode(stage(y - quantized))  # type: ignore[operator]
        return torch.stack(margins).amin(0)

    def statistics(self, h: Tensor) -> Statistics:
        z, codes = self.encode(h)
        return Statistics(z, z[0], codes=codes[0])

    def init_frames(self) -> int:
        return FRAMES_A_CODE * self.codebooks()[0].size

    def init_from_data(self, h: Tensor, importance: Tensor | None = None) -> None:
        size = self.codebooks()[0].size
        if len(h) < size:
            raise UserError(
                f"codebook_size is {size}, but the sounds have {len(h)} frames only; give more sound, or "
                f"--set codebook_size={max(2, len(h) // FRAMES_A_CODE)}"
            )
        self._init(h, importance)

    def _init(self, h: Tensor, importance: Tensor | None = None) -> None:
        """Projections and codes from frames (N, latent_dim), stage by stage; `importance` of each number."""
        h = h.detach().float()
        self.full.copy_(torch.quantile(h.norm(dim=1), 0.99).clamp_min(SMALLEST))
        left = mulaw_encode(h.T[None], self.full)[0].T
        weights = torch.ones_like(left[0])
        weights[-1] = LOUDNESS
        if importance is not None:
            weights[:-1] = importance
        for stage in self.stages:
            left = stage.init_from_data(left, weights)  # type: ignore[operator]

    def started(self) -> bool:
        """Whether every codebook has begun from data."""
        return all(bool(stage.codebook.started) for stage in self.stages)  # type: ignore[union-attr]

    def n_active(self, h: Tensor) -> Tensor:
        """(B,) the number of codebooks that each chunk is learned with."""
        count = len(self.stages)
        few = torch.randint(1, count + 1, (len(h),), device=h.device)
        dropped = torch.rand(len(h), device=h.device) < self.dropout
        return torch.where(dropped & torch.tensor(self.training, device=h.device), few, count)

    @torch.jit.unused
    def forward(self, h: Tensor) -> Latents:
        """(B, latent_dim, F) -> Latents; learns the codebooks in training mode."""
        if self.training and not self.started():
            self._init(h.detach().transpose(1, 2).flatten(0, 1))
        y = mulaw_encode(h.float(), self.full)
        quantized, codes, terms = torch.zeros_like(y), [], []
        active = self.n_active(h)
        for number, stage in enumerate(self.stages):
            mask = (active > number).float()  # (B,)
            part, index, raw = self._pass(stage, y - quantized.detach(), mask)  # type: ignore[arg-type]
            quantized = quantized + part * mask[:, None, None]
            codes.append(index)
            terms.append(raw)
        losses = {name: torch.stack([raw[name] for raw in terms]).mean() for name in terms[0]}
        return Latents(
            mulaw_decode(quantized.float(), self.full), torch.stack(codes, 1), losses, self.metrics()
        )

    def _pass(
        self,
        stage: Quantizer,
        h: Tensor,
        mask: Tensor,
    ) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
        """One stage: straight-through latents, codes (B, F), raw terms; chunks of mask (B,) 0 do not count."""
        e = stage.encodings(h).transpose(1, 2)  # (B, F, code_dim)
        rows = e.reshape(-1, e.shape[2])
        counts = mask.repeat_interleave(e.shape[1])  # (B F,)
        index = stage.codebook(rows.detach())
        code = stage.codebook.vectors(index)
        apart = (rows - code).square().mean(dim=1)
        frames = mean_over_ranks(counts.sum()).clamp_min(1.0)  # a rank's share of all that count
        centre = mean_over_ranks((rows.detach() * counts[:, None]).sum(0) / frames)
        variance = ((rows.detach() - centre).square().mean(dim=1) * counts).sum() / frames
        commitment = mean_over_ranks((apart * counts).sum() / frames)
        raw = {"commitment": commitment, "encoding_variance": mean_over_ranks(variance)}
        if self.training:
            raw["unevenness"] = stage.codebook.unevenness(rows)
            stage.codebook.ema_update(rows.detach(), index, counts)
        through = rows + (code - rows).detach()
        z = stage.out_proj(through.view(e.shape).transpose(1, 2))
        return z, index.view(e.shape[:2]), raw

    def metrics(self) -> dict[str, Tensor]:
        """Perplexity and usage, means over the codebooks, and what the codes hold, kbit/s, by their entropy."""
        entropies = torch.stack([s.codebook.entropy() for s in self.stages])  # type: ignore[operator,union-attr]
        usage = torch.stack([s.codebook.usage() for s in self.stages])  # type: ignore[operator,union-attr]
        rate = entropies.sum() / math.log(2) * self.frame_rate / 1000
        return {
            "codebook_perplexity": entropies.exp().mean(),
            "codebook_usage": usage.mean(),
            "kbit_s": rate,
        }


class VQ(ResidualVQ):
    """One codebook (van den Oord et al. 2017)."""

    def __init__(self, latent_dim: int, codebook: Codebook, frame_rate: float) -> None:
        super().__init__(latent_dim, [codebook], frame_rate)

    @classmethod
    def from_config(cls, config: ModelConfig) -> Bottleneck:
        return cls(config.latent_dim, new_codebook(config), config.frame_rate)

    @classmethod
    def codebook_sizes(cls, config: ModelConfig) -> tuple[int, ...]:
        return (config.codebook_size,)


def new_codebook(config: ModelConfig) -> Codebook:
    """Untrained, of the sizes that the configuration gives."""
    return Codebook(config.codebook_size, config.code_dim, config.codebook_decay, config.codebook_dead)
