"""All terms of the loss: distances between two sounds and the bottleneck's own; their weights and their sum.

A distance (of spectra, waveforms or hops) gives a raw, unweighted number; `weighted_sum` alone weighs and adds them.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchaudio.functional import melscale_fbanks

from wavevae.config import ObjectiveConfig
from wavevae.nn.bottlenecks.base import Latents, bottleneck_class
from wavevae.nn.distributed import mean_over_ranks
from wavevae.objectives.schedules import over_budget

FLOOR = 1e-4
"""RMS (-80 dBFS) of the white noise below whose spectrum magnitudes count as equal: weaker ones are not heard, and
the gradient of their logarithm would drown all others in clean recordings."""
HANN_MEAN_SQUARE = 3 / 8
SMALLEST_RATIO = 1e-20
"""Keeps the gradient of the root finite where two sounds are the same."""
WAVEFORM_FLOOR = 1e-3
"""Mean magnitude (-60 dBFS) below which a target counts as silence: keeps the ratio finite."""
PLACES = 32
"""Parts of a hop whose energy is compared: the first sixteen harmonics of the hop rate."""
HOP_FLOOR = 6e-8
"""Mean square of the second difference of white noise at -80 dBFS: what is weaker is not heard, as by the spectra."""

HOP_DARK = 0.01
"""Of a sound's mean square, added to what its swing is a share of: a quarter of 1080 notes have less in their second
difference (bright ones as much as they have in all), and what is hardly there should not weigh as much."""


def mirrored(x: Tensor, count: int) -> Tensor:
    """(B, T) with its ends mirrored, as torch.stft pads; unlike there the gradient on a GPU is the same each time."""
    if x.shape[1] <= count:
        raise ValueError(f"{x.shape[1]} samples cannot be mirrored over {count}")
    return torch.cat([x[:, 1 : count + 1].flip(1), x, x[:, -count - 1 : -1].flip(1)], 1)


def power_spectrum(x: Tensor, window: Tensor) -> Tensor:
    """(B, T) -> (B, bins, frames), hops of a quarter of the window."""
    n_fft = len(window)
    padded = mirrored(x, n_fft // 2)
    spectrum = torch.stft(padded, n_fft, n_fft // 4, window=window, center=False, return_complex=True)
    return spectrum.real.square() + spectrum.imag.square()


def stft_distance(estimate: Tensor, target: Tensor, n_fft: int) -> Tensor:
    """auraloss' distance at one resolution, from power spectra (B, bins, frames): spectral convergence + log L1.

    Spectral convergence is the norm of the difference against the norm of the target (Arik et al. 2018, eq. 3), a ratio
    of sums over the batches of all processes, so that it does not depend on which process learns a chunk.
    """
    floor = FLOOR**2 * n_fft * HANN_MEAN_SQUARE
    estimate, target = (power.clamp_min(floor).sqrt() for power in (estimate, target))
    sums = torch.stack([(target - estimate).square().sum(), target.square().sum()])
    difference, energy = mean_over_ranks(sums)
    convergence = (difference / energy).clamp_min(SMALLEST_RATIO).sqrt()
    return convergence + (estimate.log() - target.log()).abs().mean()


class MultiResolutionSTFT(nn.Module):
    """Mean STFT distance over several resolutions (Yamamoto et al. 2020, eq. 2-6).

    Hops are a quarter of the window: a third of the cost of auraloss' own default, which the metric uses.
    """

    def __init__(self, n_ffts: tuple[int, ...]) -> None:
        super().__init__()
        self.n_ffts = n_ffts
        for n_fft in n_ffts:
            self.register_buffer(f"window_{n_fft}", torch.hann_window(n_fft), persistent=False)

    def forward(self, estimate: Tensor, target: Tensor) -> Tensor:
        """(B, 1, T) twice -> scalar."""
        distances = []
        for n_fft in self.n_ffts:
            window = self.get_buffer(f"window_{n_fft}")
            x, y = (power_spectrum(sound[:, 0].float(), window) for sound in (estimate, target))
            distances.append(stft_distance(x, y, n_fft))
        return torch.stack(distances).mean()


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
        return self.of_power(spectrum.real.square() + spectrum.imag.square(), window)

    def of_power(self, power: Tensor, window: int) -> Tensor:
        """Power spectra (B, bins, frames) of such a window -> the same."""
        scale = self.get_buffer(f"window_{window}").sum().square()
        mel = (power / scale).transpose(1, 2) @ self.get_buffer(f"bank_{window}")
        return (mel + 1e-10).log10()

    def forward(self, estimate: Tensor, target: Tensor) -> Tensor:
        """(B, 1, T) twice -> scalar, mean difference in bels of power."""
        x, y = estimate.squeeze(1).float(), target.squeeze(1).float()
        distances = [(self.log_mel(x, w) - self.log_mel(y, w)).abs().mean() for w in self.windows]
        return torch.stack(distances).mean()


class SharedSpectra(MultiScaleLogMel):
    """Both distances above from the same spectra, which are half of their cost: windows as long as the transforms.

    The log-mel distance is that of MultiScaleLogMel but for the edges, which are mirrored. The target's spectra carry
    no gradient.
    """

    def forward(self, estimate: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:  # type: ignore[override]
        """(B, 1, T) twice -> STFT distance, log-mel distance."""
        sounds = estimate[:, 0].float(), target[:, 0].float().detach()
        stft, mel = [], []
        for n_fft in self.windows:
            x, y = (power_spectrum(sound, self.get_buffer(f"window_{n_fft}")) for sound in sounds)
            stft.append(stft_distance(x, y, n_fft))
            mel.append((self.of_power(x, n_fft) - self.of_power(y, n_fft)).abs().mean())
        return torch.stack(stft).mean(), torch.stack(mel).mean()


def relative_l1(estimate: Tensor, target: Tensor) -> Tensor:
    """Mean |estimate - target| against mean |target|, chunk by chunk: (B, 1, T) twice -> scalar.

    0 for a perfect copy, 1 for silence; relative, so that a quiet note counts as much as a loud one. It asks
    for the right phase, which spectra do not: partials find their place, and their level, several times sooner.
    """
    error = (estimate - target).abs().mean(dim=(1, 2))
    return (error / (target.abs().mean(dim=(1, 2)) + WAVEFORM_FLOOR)).mean()


def hop_profile(x: Tensor, hop_length: int) -> Tensor:
    """(B, 1, T) -> (B, places): mean high-frequency energy by place in the hop; T at least two hops."""
    hops = (x.shape[-1] - 2) // hop_length
    energy = x.squeeze(1).diff(n=2)[:, : hops * hop_length].square()
    profile = energy.view(len(x), hops, hop_length).mean(1)
    one = torch.eye(hop_length, device=profile.device, dtype=profile.dtype)
    return (
        profile @ F.adaptive_avg_pool1d(one[None], min(PLACES, hop_length))[0]
    )  # its own gradient may differ by run


def hop_unevenness(estimate: Tensor, target: Tensor, hop_length: int) -> Tensor:
    r"""How differently the two swing over the hop, as a share of the target's mean energy: (B, 1, T) twice -> scalar.

        second difference (weighs highs) -> squared -> averaged over all hops of a chunk, place by place in the hop

                _/\_/\_     a decoder that gives more at some places of its hops than at others: heard as a buzz at the
             __/       \__  hop rate (checkerboard artefacts, Odena et al. 2016; upsamplers: Pons et al. 2021)
             |<- hop ->|

    Spectra do not mind: over their windows, whole hops and more, the energy is right. A sound whose period divides the
    hop has such a profile of its own, so the target's is the aim.

    0 where the output swings as its target does, whatever their levels: the means are the spectra's business. The share
    is the target's, or the output could hide its swing under more noise. Chance alone gives 0.03 to 0.05 on a second of
    one saxophone (against a period that is not the hop). Of less than two hops nothing can be said: 0.
    """
    if estimate.shape[-1] < 2 * hop_length + 2:
        return estimate.new_zeros(())
    made, target_profile = hop_profile(estimate, hop_length), hop_profile(target, hop_length)
    mean = target_profile.mean(1, keepdim=True)
    swing = (made - made.mean(1, keepdim=True)) - (target_profile - mean)
    energy = target.square().mean(-1)  # (B, 1)
    return (swing.abs() / (mean + HOP_DARK * energy + HOP_FLOOR)).mean()


class Objectives(nn.Module):
    """The terms a configuration asks for, the bottleneck's own among them; a distance of weight 0 is not computed."""

    def __init__(
        self, config: ObjectiveConfig, sample_rate: int, hop_length: int = 256, bottleneck: str = "vae"
    ) -> None:
        super().__init__()
        self.config = config
        self.bottleneck_terms = bottleneck_class(bottleneck).loss_terms
        self.regulariser_names = ("named_axes", *(term.name for term in self.bottleneck_terms))
        """Terms that do not measure how alike two sounds are: they pick no best checkpoint."""
        self.hop_length = hop_length
        stft, mel = config.mr_stft or config.mr_stft_end, config.log_mel or config.log_mel_end
        shared = bool(stft and mel) and config.n_ffts == config.mel_windows
        self.shared = SharedSpectra(config.n_ffts, sample_rate) if shared else None
        self.mr_stft = MultiResolutionSTFT(config.n_ffts) if stft and not shared else None
        self.log_mel = MultiScaleLogMel(config.mel_windows, sample_rate) if mel and not shared else None

    def weights(self, share: float) -> dict[str, float]:
        """The effective weight of every term at a share of the budget."""
        config = self.config
        return {
            "mr_stft": over_budget(share, config.mr_stft, config.mr_stft_end),
            "log_mel": over_budget(share, config.log_mel, config.log_mel_end),
            "waveform_l1": over_budget(share, config.waveform_l1, config.waveform_l1_end),
            "hop_evenness": config.hop_modulation_loss,
            "named_axes": config.named_axes,
            **{term.name: term.weight(share, config) for term in self.bottleneck_terms},
        }

    def raw(self, estimate: Tensor, target: Tensor, latents: Latents) -> dict[str, Tensor]:
        """Unweighted scalars by name; audio (B, 1, T)."""
        terms: dict[str, Tensor] = {}
        if self.shared is not None:
            terms["mr_stft"], terms["log_mel"] = self.shared(estimate, target)
        if self.mr_stft is not None:
            terms["mr_stft"] = self.mr_stft(estimate, target)
        if self.log_mel is not None:
            terms["log_mel"] = self.log_mel(estimate, target)
        if self.config.waveform_l1 or self.config.waveform_l1_end:
            terms["waveform_l1"] = relative_l1(estimate, target)
        if self.config.hop_modulation_loss:
            terms["hop_evenness"] = hop_unevenness(estimate, target, self.hop_length)
        for term in self.bottleneck_terms:
            scalar = term.scalar(latents.losses, self.config)
            if scalar is not None:
                terms[term.name] = scalar
        return terms


def weighted_sum(terms: Mapping[str, Tensor], weights: Mapping[str, float]) -> Tensor:
    """The loss: the only place where an objective meets its weight."""
    return torch.stack([weights[name] * term for name, term in terms.items()]).sum()
