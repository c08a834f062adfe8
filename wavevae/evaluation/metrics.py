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


class Moments:
    """Mean and variance of each latent over all frames added, in running sums."""

    def __init__(self, latent_dim: int) -> None:
        self.frames = 0
        self._sum = torch.zeros(latent_dim, dtype=torch.float64)
        self._squares = torch.zeros(latent_dim, dtype=torch.float64)

    def add(self, latents: Tensor) -> None:
        """(latent_dim, F)"""
        latents = latents.double()
        self.frames += latents.shape[-1]
        self._sum += latents.sum(-1)
        self._squares += latents.square().sum(-1)

    @property
    def mean(self) -> Tensor:
        return self._sum / max(1, self.frames)

    @property
    def variances(self) -> Tensor:
        return (self._squares / max(1, self.frames) - self.mean.square()).clamp_min(0)

    def active_dims(self) -> int:
        """Of posterior means: how many latents carry anything, those that vary over the data by more than 0.01 (Burda,
        Grosse & Salakhutdinov 2016, section 5.2)."""
        return int((self.variances > ACTIVE_VARIANCE).sum())


class CodeUse:
    """How often each code of each codebook was taken, in running counts."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.counts: Tensor | None = None

    def add(self, codes: Tensor) -> None:
        """(n_codebooks, frames)"""
        new = torch.stack([torch.bincount(row.long(), minlength=self.size) for row in codes])
        self.counts = new if self.counts is None else self.counts + new

    def entropies(self) -> Tensor | None:
        """Of each codebook's use, nats (n_codebooks,); none without codes."""
        if self.counts is None:
            return None
        share = self.counts.double() / self.counts.sum(1, keepdim=True)
        return -(share * share.clamp_min(1e-300).log()).sum(1)

    def perplexity(self) -> float | None:
        """exp of the entropy of the codes' use, mean over codebooks: 1 = one code, `size` = all alike."""
        found = self.entropies()
        return None if found is None else float(found.exp().mean())

    def usage(self) -> float | None:
        """Share of the codes taken at least once, mean over codebooks."""
        return None if self.counts is None else float((self.counts > 0).double().mean())

    def bits_per_frame(self) -> float | None:
        """Entropy of the codes' use in bits, summed over codebooks: what an ideal coder would spend."""
        found = self.entropies()
        return None if found is None else float(found.sum() / math.log(2))


# -- clicks at the hop rate -----------------------------------------------------------------------------------
#
# A decoder that makes `hop_length` samples from each latent frame may leave a small step at every frame's edge. Such
# steps are short and broad-band, so they stand out where music is weak, in the high frequencies, and they come at
# exactly the hop rate:
#
#   waveform -> second difference (weighs highs) -> squared: the envelope of high-frequency energy, at sample
#   resolution -> its spectrum -> power in the bins at k x hop rate, against the median of the bins around them.
#
# Music can have lines there too (a note whose period divides the hop), so the reference's own figure is subtracted.

HARMONICS = 16
"""Multiples of the hop rate that are looked at (fewer where the hop is shorter than 32 samples)."""
FIRST_BIN, LAST_BIN = 3, 12
"""The neighbours, on either side of a harmonic's bin, that say how strong it would be by chance."""
FEWEST_HOPS = 12
"""Hops a chunk must have: fewer leave no room for neighbours between the harmonics."""
FLOOR = 1e-6
"""Modulation power, against the envelope's mean squared, that counts as nothing: clicks 30 dB below the
high-frequency energy of the sound."""


def periodicity_db(x: Tensor, hop_length: int) -> Tensor:
    """(N, T) -> (N,) dB: how far the envelope's lines at the hop rate rise above what surrounds them.

    About 0 for anything not periodic at that rate. T is cut to whole hops, so that every line falls on a bin.
    """
    hops = x.shape[-1] // hop_length
    if hops < FEWEST_HOPS:
        raise ValueError(f"{x.shape[-1]} samples are {hops} hops; the click measure needs {FEWEST_HOPS}")
    x = x[..., : hops * hop_length].double()
    envelope = torch.nn.functional.pad(x.diff(n=2), (1, 1)).square()
    # A Hann window keeps slow swells, which every sound has, in the lowest bins.
    window = torch.hann_window(envelope.shape[-1], dtype=envelope.dtype)
    power = torch.fft.rfft(envelope * window).abs().square()  # (N, T/2 + 1)
    nothing = FLOOR * power[..., :1] + 1e-30
    lines = torch.arange(1, min(HARMONICS, hop_length // 2 - 1) + 1) * hops  # bins of k x hop rate
    side = torch.arange(FIRST_BIN, min(LAST_BIN, hops // 2 - 1) + 1)
    around = torch.cat([-side, side])
    # A line under a Hann window fills three bins; noise around it is taken as a median, safe from other lines.
    line = power[..., lines[:, None] + torch.arange(-1, 2)].sum(-1) / 3
    noise = power[..., lines[:, None] + around].median(-1).values / _MEDIAN_OF_CHI_SQUARED
    return 10 * torch.log10((line + nothing).mean(-1) / (noise + nothing).mean(-1))


_MEDIAN_OF_CHI_SQUARED = 0.6931471805599453
"""Median of a noise bin's power over its mean (ln 2: the bin is complex Gaussian)."""


def hop_rate_energy_db(estimate: Tensor, reference: Tensor, hop_length: int) -> Tensor:
    """Chunks (N, T) -> (N,) dB: 0 = as much at the hop rate as in the reference, 3 and more = clicks."""
    return periodicity_db(estimate, hop_length) - periodicity_db(reference, hop_length)
