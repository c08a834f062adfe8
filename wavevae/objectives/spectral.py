"""Distances between spectra; each gives a raw, unweighted number."""

from __future__ import annotations

import auraloss
import torch
from torch import Tensor, nn
from torchaudio.functional import melscale_fbanks


class MultiResolutionSTFT(nn.Module):
    """auraloss' multi-resolution STFT distance: spectral convergence + log-magnitude L1 at each resolution.

    Yamamoto et al. 2020, eq. 2-6. Windows are 0.6 of the transform and hops a quarter of it, so that a step
    costs a third of auraloss' defaults, which the metric uses.
    """

    def __init__(self, n_ffts: tuple[int, ...]) -> None:
        super().__init__()
        self.distance = auraloss.freq.MultiResolutionSTFTLoss(
            fft_sizes=list(n_ffts),
            hop_sizes=[n // 4 for n in n_ffts],
            win_lengths=list(n_ffts),
        )

    def forward(self, estimate: Tensor, target: Tensor) -> Tensor:
        """(B, 1, T) twice -> scalar."""
        return self.distance(estimate.float(), target.float())


class MultiScaleLogMel(nn.Module):
    """Mean L1 distance of log10-mel spectra over several windows (DAC, Kumar et al. 2023, sec. 3.3)."""

    def __init__(self, windows: tuple[int, ...], sample_rate: int) -> None:
        super().__init__()
        self.windows = windows
        for window in windows:
            bands = int(min(128, max(8, window // 12)))
            bank = melscale_fbanks(window // 2 + 1, 0.0, sample_rate / 2, bands, sample_rate, norm=None)
            self.register_buffer(f"bank_{window}", bank / bank.sum(0).clamp_min(1e-6), persistent=False)
            self.register_buffer(f"window_{window}", torch.hann_window(window), persistent=False)

    def log_mel(self, x: Tensor, window: int) -> Tensor:
        """(B, T) -> (B, bands, frames), log10 of power, floored at -100 dB."""
        hann = self.get_buffer(f"window_{window}")
        spectrum = torch.stft(x, window, window // 4, window=hann, return_complex=True, pad_mode="constant")
        power = (spectrum.real.square() + spectrum.imag.square()) / hann.sum().square()
        mel = power.transpose(1, 2) @ self.get_buffer(f"bank_{window}")
        return (mel + 1e-10).log10()

    def forward(self, estimate: Tensor, target: Tensor) -> Tensor:
        """(B, 1, T) twice -> scalar, mean difference in bels of power."""
        x, y = estimate.squeeze(1).float(), target.squeeze(1).float()
        distances = [(self.log_mel(x, w) - self.log_mel(y, w)).abs().mean() for w in self.windows]
        return torch.stack(distances).mean()
