"""The yardstick: one number a chunk, for chunks (N, T) of a reference and its reconstruction.

Written apart from `wavevae.objectives` on purpose: a fault in a loss cannot hide in the figure that judges it.
All distances take (reconstruction, reference), float32 or float64 (N, T), and give (N,).
"""

from __future__ import annotations

import functools
import math

import torch
from torch import Tensor

FLOOR_DBFS = -60.0
"""A chunk whose reference RMS is not above this is silent and left out."""
DB_LIMIT = 100.0
"""Ratios are kept within plus and minus this: a perfect copy has no finite SI-SDR."""
ACTIVE_VARIANCE = 0.01
N_FFT, HOP, N_MELS, MEL_FLOOR_DB = 2048, 512, 128, -80.0


def decibels(ratio: Tensor) -> Tensor:
    """A power ratio in dB, within DB_LIMIT."""
    return (10 * torch.log10(ratio.clamp_min(1e-30))).clamp(-DB_LIMIT, DB_LIMIT)


def level_dbfs(x: Tensor) -> Tensor:
    """RMS of (N, T) in dB of full scale (a full-scale square wave is 0), at least -120: (N,)."""
    return 10 * torch.log10(x.double().square().mean(-1).clamp_min(1e-12))


def audible(reference: Tensor) -> Tensor:
    """Which chunks count: (N,) bool."""
    return level_dbfs(reference) > FLOOR_DBFS


def level_difference_db(estimate: Tensor, reference: Tensor) -> Tensor:
    """RMS level of the output less that of the reference, dB: 0 as loud, negative quieter."""
    return level_dbfs(estimate) - level_dbfs(reference)


def mse(estimate: Tensor, reference: Tensor) -> Tensor:
    """Mean squared difference of the waveforms, full scale = 1."""
    return (estimate - reference).square().mean(-1)


def cosine_similarity(estimate: Tensor, reference: Tensor) -> Tensor:
    """<x, y> / (|x| |y|) of the waveforms; 0 where one is silent."""
    norms = estimate.norm(dim=-1) * reference.norm(dim=-1)
    return (estimate * reference).sum(-1) / norms.clamp_min(1e-20)


def si_sdr_db(estimate: Tensor, reference: Tensor) -> Tensor:
    """Scale-invariant signal-to-distortion ratio, means removed (Le Roux et al. 2019, eq. 5), within 100 dB."""
    x = (reference - reference.mean(-1, keepdim=True)).double()
    y = (estimate - estimate.mean(-1, keepdim=True)).double()
    target = ((x * y).sum(-1, keepdim=True) / x.square().sum(-1, keepdim=True).clamp_min(1e-20)) * x
    error = y - target
    return decibels(target.square().sum(-1).clamp_min(1e-20) / error.square().sum(-1).clamp_min(1e-20))


def _accuracy(estimate: Tensor, reference: Tensor) -> Tensor:
    """100 * max(0, 1 - |x - y|^2 / |x|^2) over all but the first dimension."""
    error = (estimate - reference).flatten(1).square().sum(-1)
    return 100 * (1 - error / reference.flatten(1).square().sum(-1).clamp_min(1e-20)).clamp_min(0)


def accuracy_waveform(estimate: Tensor, reference: Tensor) -> Tensor:
    """Share of the reference's energy that is right, sample by sample, percent: phase counts."""
    return _accuracy(estimate, reference)


def accuracy_stft(estimate: Tensor, reference: Tensor) -> Tensor:
    """The same of STFT magnitudes (Hann 2048, hop 512): phase does not count."""
    return _accuracy(magnitudes(estimate), magnitudes(reference))


def magnitudes(x: Tensor) -> Tensor:
    """(N, T) -> |STFT| (N, 1025, frames): periodic Hann window 2048, hop 512, centred, edges mirrored."""
    if x.shape[-1] <= N_FFT // 2:
        x = torch.nn.functional.pad(x, (0, N_FFT // 2 + 1 - x.shape[-1]))
    window = torch.hann_window(N_FFT, dtype=x.dtype, device=x.device)
    return torch.stft(x, N_FFT, HOP, window=window, center=True, return_complex=True).abs()


@functools.cache
def mel_filters(sample_rate: int) -> Tensor:
    """(1025, 128) triangles on the HTK mel scale, 0 Hz to Nyquist, peaks of 1: torchaudio's defaults."""

    def mel(hz: float) -> float:
        return 2595.0 * math.log10(1.0 + hz / 700.0)

    corners_mel = torch.linspace(0.0, mel(sample_rate / 2), N_MELS + 2, dtype=torch.float64)
    corners_hz = 700.0 * (10.0 ** (corners_mel / 2595.0) - 1.0)
    bins_hz = torch.linspace(0.0, sample_rate / 2, N_FFT // 2 + 1, dtype=torch.float64)[:, None]
    rising = (bins_hz - corners_hz[:-2]) / (corners_hz[1:-1] - corners_hz[:-2])
    falling = (corners_hz[2:] - bins_hz) / (corners_hz[2:] - corners_hz[1:-1])
    return torch.minimum(rising, falling).clamp_min(0).float()


def mel_power(x: Tensor, sample_rate: int) -> Tensor:
    """(N, T) -> mel power (N, 128, frames): `torchaudio.transforms.MelSpectrogram` of n_fft 2048, hop 512,
    128 mels and its defaults (power 2, HTK scale, no area normalisation), reimplemented."""
    power = magnitudes(x).square()
    return torch.einsum("nft,fm->nmt", power, mel_filters(sample_rate).to(power))


def log_mel_l1(estimate: Tensor, reference: Tensor, sample_rate: int) -> Tensor:
    """L1 between log-mel spectra: dB below the reference chunk's peak, floor -80, [-80, 0] -> [-1, 1].

    So 0.1 is a mean difference of 4 dB. An output above the reference's peak counts in full.
    """
    wanted = mel_power(reference, sample_rate)
    top = wanted.flatten(1).amax(-1)[:, None, None].clamp_min(1e-20)

    def scaled(power: Tensor) -> Tensor:
        db = 10 * torch.log10((power / top).clamp_min(10 ** (MEL_FLOOR_DB / 10)))
        return 1 - 2 * db / MEL_FLOOR_DB

    difference = scaled(mel_power(estimate, sample_rate)) - scaled(wanted)
    return difference.abs().flatten(1).mean(-1)


class MultiResolutionSTFT:
    """auraloss 0.4's MultiResolutionSTFTLoss with its defaults, chunk by chunk: its spectral convergence takes
    one norm over a whole batch, so the mean over a batch would not be the mean over chunks."""

    def __init__(self) -> None:
        from auraloss.freq import MultiResolutionSTFTLoss

        self._loss = MultiResolutionSTFTLoss()

    def __call__(self, estimate: Tensor, reference: Tensor) -> Tensor:
        pairs = zip(estimate.float(), reference.float(), strict=True)
        return torch.stack([self._loss(y[None, None], x[None, None]) for y, x in pairs])


def kl_per_frame(mean: Tensor, log_variance: Tensor) -> Tensor:
    """KL(N(mean, exp(log_variance)) || N(0, 1)) in nats, summed over dimensions: (latent_dim, F) -> (F,).

    Kingma & Welling 2014, appendix B.
    """
    mean, log_variance = mean.double(), log_variance.double()
    return -0.5 * (1 + log_variance - mean.square() - log_variance.exp()).sum(0)


class ActiveDims:
    """How many latent dimensions carry anything: those whose posterior mean varies over the data by more than
    0.01 (Burda, Grosse & Salakhutdinov 2016, section 5.2), in running sums."""

    def __init__(self, latent_dim: int) -> None:
        self.frames = 0
        self._sum = torch.zeros(latent_dim, dtype=torch.float64)
        self._squares = torch.zeros(latent_dim, dtype=torch.float64)

    def add(self, mean: Tensor) -> None:
        """Posterior means (latent_dim, F)."""
        mean = mean.double()
        self.frames += mean.shape[-1]
        self._sum += mean.sum(-1)
        self._squares += mean.square().sum(-1)

    @property
    def variances(self) -> Tensor:
        """(latent_dim,) over every frame added."""
        average = self._sum / max(1, self.frames)
        return (self._squares / max(1, self.frames) - average.square()).clamp_min(0)

    def count(self) -> int:
        return int((self.variances > ACTIVE_VARIANCE).sum())
