"""Latents that have a name: brightness and noisiness, uncorrelated with pitch and loudness.

The attributes are taken from the decoder's own shares of power, so they cost nothing and have a gradient. What pitch
and loudness predict of them is subtracted by a running linear regression; the rest is scaled to unit variance. Three
terms follow: the encoder's latent is to be the attribute of its frame (after AR-VAE, Pati & Lerch 2021, by value
instead of by order); a frame whose latent is exchanged for another's is to have the other's attribute; and no learned
latent is to be correlated with pitch or loudness. A batch is too small to know a correlation: the square of the running
one is minimised, with the batch's share of it as the gradient.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from wavevae.nn.instrument import NAMED, Frame, InstrumentDecoder

DECAY = 0.99
"""A step, of the running moments."""
LOUD_RANGE_DB = 40.0
"""Frames softer than the loudest of a batch by more than this do not count."""
SHAKE = 0.5
"""Standard deviation of what is added to an exchanged latent."""
EXCHANGED_EVERY = 4
"""One excerpt of so many: a second pass through the decoder's network is a fifth of a step."""
LEAK = 1.0
"""Of the correlations with pitch and loudness, beside the other terms."""
LARGEST = 3.0
"""Of an exchanged latent."""


class NamedAxes(nn.Module):
    """The two terms, and the running regression behind them."""

    moments: Tensor
    leaks: Tensor
    latents: Tensor

    def __init__(self, decoder: InstrumentDecoder) -> None:
        super().__init__()
        self.controls = 2 if decoder.pitched else 1
        size = 1 + self.controls + len(NAMED)
        self.register_buffer("moments", torch.zeros(size, size, dtype=torch.float64))
        learned = len(decoder.life.spread) - decoder.n_controls
        self.register_buffer("leaks", torch.zeros(self.controls, learned))
        """Running correlations of pitch and loudness with the learned latents."""
        self.register_buffer("latents", torch.zeros(2, learned))
        """Running means and mean squares of these."""

    def explaining(self, decoder: InstrumentDecoder, z: Tensor) -> Tensor:
        """(B, 1 + controls, F): one, and pitch and loudness at about unit size."""
        seen = decoder.seen(z)[:, : self.controls]
        return torch.cat([torch.ones_like(seen[:, :1]), seen], 1)

    def observe(self, explaining: Tensor, found: Tensor, weight: Tensor) -> None:
        """Take a batch into the running moments; weight (B, F)."""
        rows = torch.cat([explaining, found], 1).double()  # (B, n, F)
        moments = torch.einsum("bif,bjf,bf->ij", rows, rows, weight.double()) / weight.sum().clamp_min(1.0)
        fresh = self.moments[0, 0] == 0
        self.moments.copy_(torch.where(fresh, moments, DECAY * self.moments + (1 - DECAY) * moments))

    def free(self, explaining: Tensor, found: Tensor) -> Tensor:
        """Attributes (B, 2, F) without what pitch and loudness predict, over what deviation is left."""
        n = 1 + self.controls
        square, cross = self.moments[:n, :n], self.moments[:n, n:]
        ridge = 1e-3 * torch.eye(n, dtype=torch.float64, device=square.device)
        ridge[0, 0] = 0.0  # of slopes only: the mean is the mean
        slopes = torch.linalg.solve(square + ridge, cross)  # (n, 2)
        variance = torch.diagonal(self.moments)[n:] - (slopes * (2 * cross - square @ slopes)).sum(0)
        std = variance.clamp_min(1e-3).sqrt().float()
        predicted = torch.einsum("bnf,na->baf", explaining, slopes.float())
        return (found - predicted) / std[:, None]

    def forward(self, decoder: InstrumentDecoder, z: Tensor, frame: Frame) -> Tensor:
        """Scalar, from cleaned latents (B, latents, F) and what the decoder made of them."""
        loudness = frame.loudness[:, 0]
        weight = (loudness > loudness.amax() - LOUD_RANGE_DB).float()
        explaining = self.explaining(decoder, z)
        with torch.no_grad():
            found = decoder.attributes(frame)
            self.observe(explaining, found, weight)
            target = self.free(explaining, found)
        at = slice(decoder.n_controls, decoder.n_controls + len(NAMED))
        named = mean_where(F.smooth_l1_loss(z[:, at], target, reduction="none"), weight)
        few = slice(0, None, EXCHANGED_EVERY)  # excerpts come in random order: any will do
        other = z[:, at].detach().roll(1, 0)[few]
        other = (other + SHAKE * torch.randn_like(other)).clamp(-LARGEST, LARGEST)
        changed = torch.cat([z[few, : at.start], other, z[few, at.stop :]], 1).detach()
        found = self.free(explaining[few], decoder.attributes(decoder.frames(changed)))
        exchanged = mean_where(F.smooth_l1_loss(found, other, reduction="none"), weight[few])
        return named + exchanged + LEAK * self.leakage(explaining, z[:, decoder.n_controls :], weight)

    def leakage(self, explaining: Tensor, z: Tensor, weight: Tensor) -> Tensor:
        """Sum of squares of the running correlations of learned latents (B, latents, F) with pitch and loudness; its
        gradient is that of the batch's."""
        total = weight.sum().clamp_min(1.0)

        def mean(x: Tensor) -> Tensor:
            return torch.einsum("b...f,bf->...", x, weight) / total

        with torch.no_grad():
            fresh = (self.latents[1] == 0).all()
            now = torch.stack([mean(z), mean(z.square())]).float()
            self.latents.copy_(torch.where(fresh, now, torch.lerp(self.latents, now, 1 - DECAY)))
            std = (self.latents[1] - self.latents[0].square()).clamp_min(1e-4).sqrt()
            middle = self.moments[0, 1 : 1 + self.controls]
            spread = (
                (torch.diagonal(self.moments)[1 : 1 + self.controls] - middle.square()).clamp_min(1e-4).sqrt()
            )
            controls = (explaining[:, 1:] - middle.float()[:, None]) / spread.float()[:, None]
        free = (z - self.latents[0][:, None]) / std[:, None]
        batch = torch.einsum("bcf,bdf,bf->cd", controls, free, weight) / total  # (controls, latents)
        with torch.no_grad():
            self.leaks.lerp_(batch, 1 - DECAY)
        running = self.leaks.square().sum()
        return running + 2 * (self.leaks * (batch - batch.detach())).sum()


def mean_where(values: Tensor, weight: Tensor) -> Tensor:
    """Mean of (B, n, F) over the frames that count, (B, F)."""
    return (values.mean(1) * weight).sum() / weight.sum().clamp_min(1.0)
