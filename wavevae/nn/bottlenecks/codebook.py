"""One codebook: unit vectors that follow the encodings as moving averages.

No `from __future__ import annotations` here: TorchScript reads the annotations.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from wavevae.nn.distributed import from_first, gathered, mean_over_ranks, sum_over_ranks

KMEANS_ROUNDS = 10
SMALLEST_NORM = 1e-12
FITS = 1e-3
"""Distance from a code within which an encoding is the code."""


def unit(x: Tensor) -> Tensor:
    """(N, D) -> (N, D), each row of length 1."""
    return F.normalize(x, dim=1, eps=SMALLEST_NORM)


def distances(x: Tensor, codes: Tensor) -> Tensor:
    """(N, D), (K, D) -> (N, K) Euclidean, in fp32 whatever the precision around it; a row of its own for each x,
    so that one frame at a time gives what all at once give."""
    return torch.cdist(x.float(), codes, compute_mode="donot_use_mm_for_euclid_dist")


class Codebook(nn.Module):
    """K codes of length 1 by exponential moving averages (van den Oord et al. 2017, appendix A.1), nearest by cosine
    (Yu et al. 2022, ViT-VQGAN, sec. 3.2).

        n_k <- g n_k + (1 - g) hits_k      m_k <- g m_k + (1 - g) sum of x hitting k      c_k = m_k / |m_k|

    with hits and sums as shares of the step's frames, over all ranks: the batch size does not matter. |m_k| takes
    the place of n_k, as codes have length 1; n_k tells which codes are dead: used less than `dead` / K. A dead code
    starts again at an encoding of the step (Dhariwal et al. 2020, Jukebox, sec. 3.1), drawn from those that no code
    stands at yet (silence has its code), with n_k = 1 / K: kept averages would undo the restart in the next step.
    """

    codes: Tensor
    weight: Tensor
    sums: Tensor
    share: Tensor
    started: Tensor

    def __init__(self, size: int, dim: int, decay: float = 0.99, dead: float = 0.4) -> None:
        super().__init__()
        self.size, self.decay, self.dead = size, decay, dead
        codes = unit(torch.randn(size, dim))
        self.register_buffer("codes", codes)
        self.register_buffer("weight", torch.full((size,), 1.0 / size))
        """n_k: moving share of the frames, 1 / K after a restart."""
        self.register_buffer("sums", codes / size)
        """m_k, (K, D)."""
        self.register_buffer("share", torch.zeros(size))
        """Moving share of the frames, restarts not counted as use."""
        self.register_buffer("started", torch.zeros((), dtype=torch.bool))

    def forward(self, x: Tensor) -> Tensor:
        """(N, D) of length 1 -> (N,) index of the nearest code."""
        return distances(x, self.codes).argmin(dim=1)

    def vectors(self, index: Tensor) -> Tensor:
        """(...,) -> (..., D)."""
        return F.embedding(index, self.codes)

    @torch.no_grad()
    def ema_update(self, x: Tensor, index: Tensor, mask: Tensor) -> None:
        """One step of the averages from (N, D) encodings and their codes (N,); rows of mask (N,) 0 do not count.

        A step that is not finite, on any rank, changes nothing.
        """
        x, mask = x.float(), mask.float()
        rows = torch.cat([torch.ones_like(x[:, :1]), x], 1) * mask[:, None]
        total = sum_over_ranks(x.new_zeros(self.size, 1 + x.shape[1]).index_add_(0, index, rows))
        frames = total[:, 0].sum()
        ok = torch.isfinite(total).all() & (frames > 0)
        step = torch.where(ok, 1.0 - self.decay, 0.0)
        total = torch.where(ok, total / frames.clamp_min(1.0), torch.zeros_like(total))
        for average, now in (
            (self.weight, total[:, 0]),
            (self.share, total[:, 0]),
            (self.sums, total[:, 1:]),
        ):
            average.add_((now - average) * step)
        self._move_codes()
        self._restart(x, mask)

    def _move_codes(self) -> None:
        """Codes from sums; one whose sum has decayed to zero stays where it was."""
        there = self.sums.norm(dim=1, keepdim=True) > SMALLEST_NORM
        self.codes.copy_(torch.where(there, unit(self.sums), self.codes))

    def _restart(self, x: Tensor, mask: Tensor) -> None:
        """Dead codes start again; the first rank draws, from the encodings of all."""
        dead = (self.weight < self.dead / self.size).nonzero().flatten()
        if len(dead) == 0:
            return
        pool, mask = gathered(x), gathered(mask)
        free = unfitted(pool, self.codes) * mask
        dead = dead[: int((free > 0).sum())]
        if len(dead):
            drawn = from_first(torch.multinomial(free, len(dead)))
            self._place(dead, pool[drawn])

    def _place(self, which: Tensor, x: Tensor) -> None:
        """Codes `which` (n,) now stand at x (n, D), averages included."""
        self.codes[which] = x
        self.weight[which] = 1.0 / self.size
        self.sums[which] = x / self.size

    @torch.no_grad()
    def init_from_data(self, x: Tensor) -> None:
        """Spherical k-means over encodings (N, D) of length 1 (Dhillon & Modha 2001), the first rank's on all.

        With fewer rows than codes the codes that are left over stay where they are, as dead ones.
        """
        x = x.float()
        count = min(self.size, len(x))
        codes = x[torch.randperm(len(x), device=x.device)[:count]].clone()
        for _ in range(KMEANS_ROUNDS):
            index = (x @ codes.t()).argmax(dim=1)  # the nearest to the last digits, and fast
            sums = torch.zeros_like(codes).index_add_(0, index, x)
            hits = torch.bincount(index, minlength=count)
            codes = torch.where((hits > 0)[:, None], unit(sums), codes)
            free = unfitted(x, codes)
            empty = (hits == 0).nonzero().flatten()[: int(free.sum())]
            if len(empty):
                codes[empty] = x[torch.multinomial(free, len(empty))]
        index = distances(x, codes).argmin(dim=1)
        hits = torch.bincount(index, minlength=count).float() / len(x)
        self.weight[count:] = 0.0
        self.codes[:count], self.weight[:count] = codes, hits
        self.share.zero_()[:count] = hits
        self.sums.copy_(self.codes * self.weight[:, None])
        for buffer in (self.codes, self.weight, self.share, self.sums):
            from_first(buffer)
        self.started.fill_(True)

    def entropy(self) -> Tensor:
        """Of the codes' use, nats: log K when all are used alike."""
        return entropy_of(self.share)

    def usage(self) -> Tensor:
        """Share of the codes that are used at least a hundredth of an even use."""
        return (self.share > 0.01 / self.size).float().mean()

    def unevenness(self, x: Tensor, sharpness: float = 20.0) -> Tensor:
        """log K - entropy of the soft use of the codes by x (N, D): 0 when even, nats, with a gradient to x.

        Soft use is softmax(sharpness x cosine), averaged over the rows (LFQ's batch entropy, Yu et al. 2024, eq. 4).
        """
        codes = self.codes.clone()  # they move in place before the gradient is taken
        soft = mean_over_ranks(torch.softmax(sharpness * (x.float() @ codes.t()), dim=1).mean(dim=0))
        return math.log(self.size) - entropy_of(soft)


def unfitted(x: Tensor, codes: Tensor) -> Tensor:
    """(N,) 1 for rows of x (N, D) that no code stands at yet, 0 for what is not finite; in float64 where
    the device has it."""
    found = distances(x, codes).amin(dim=1) > FITS
    return found.float() if x.device.type == "mps" else found.double()


def entropy_of(shares: Tensor) -> Tensor:
    """-sum p log p of non-negative numbers, scaled to sum to 1 -> nats."""
    p = shares / shares.sum().clamp_min(SMALLEST_NORM)
    return -(p * p.clamp_min(SMALLEST_NORM).log()).sum()
