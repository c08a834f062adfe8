"""Tracks of a sound, frame by frame: fundamental frequency, level, power and mel spectra; and pitch errors in cents.

Fundamental frequency is found by YIN (de Cheveigné & Kawahara 2002). Steps of the paper: difference function (eq. 6),
cumulative mean normalisation (eq. 8), absolute threshold, parabolic interpolation. A short period is then measured over
several of its multiples, which divides the rounding error.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from wavevae.evaluation.embeddings import band_matrix

MEL_BANDS = 64
RANGE_DB = 60.0
"""What lies further below the loudest band of a sound counts as so far below: it is not heard."""
LOWEST_HZ, HIGHEST_HZ = 40.0, 2200.0
"""Periods beyond this are not looked for: MIDI 28 to 97."""
THRESHOLD = 0.15
"""Aperiodicity below which a frame has a pitch."""
HOP_S = 0.02
QUIET_DBFS = -60.0
"""A frame below this RMS has none."""
FEWEST_FRAMES = 5
"""Frames with a pitch that a second needs to count as pitched: a tenth of a second."""


def difference(x: Tensor, sample_rate: int) -> Tensor:
    """(N, T) -> d(tau) of each frame (N, frames, tau + 1), tau up to the period of LOWEST_HZ; eq. 6.

    The window is as long as the longest period; d comes from correlations by FFT and running energies.
    """
    longest = int(sample_rate / LOWEST_HZ)
    width = 2 * longest + 1
    x = torch.nn.functional.pad(x.double(), (0, max(0, width - x.shape[-1])))
    frames = x.unfold(-1, width, max(1, round(HOP_S * sample_rate)))  # (N, F, width)
    size = 2 ** int(2 * width - 1).bit_length()
    head = torch.fft.rfft(frames[..., :longest], size)
    correlation = torch.fft.irfft(torch.fft.rfft(frames, size) * head.conj(), size)[..., : longest + 1]
    squares = torch.nn.functional.pad(frames.square().cumsum(-1), (1, 0))
    energy = squares[..., longest : 2 * longest + 1] - squares[..., : longest + 1]  # of x[tau : tau + W]
    return (energy[..., :1] + energy - 2 * correlation).clamp_min(0)


def normalised(d: Tensor) -> Tensor:
    """d'(tau): d over its mean up to tau; 1 at tau = 0; eq. 8."""
    tau = torch.arange(1, d.shape[-1], dtype=d.dtype)
    mean = d[..., 1:].cumsum(-1) / tau
    rest = torch.where(mean > 1e-12, d[..., 1:] / mean.clamp_min(1e-12), 1.0)
    return torch.nn.functional.pad(rest, (1, 0), value=1.0)


def _first_dip(d: Tensor, shortest: int) -> tuple[Tensor, Tensor]:
    """The first local minimum of d' below the threshold, and whether there is one: (N, F) each."""
    middle = d[..., 1:-1]
    dip = (middle < THRESHOLD) & (middle <= d[..., :-2]) & (middle < d[..., 2:])
    dip[..., : shortest - 1] = False
    there = dip.any(-1)
    return dip.int().argmax(-1) + 1, there


def _sharpened(d: Tensor, tau: Tensor) -> Tensor:
    """The minimum of a parabola through the three points around tau, samples (N, F)."""
    tau = tau.clamp(1, d.shape[-1] - 2)
    a, b, c = (d.gather(-1, (tau + k)[..., None])[..., 0] for k in (-1, 0, 1))
    bend = (a - 2 * b + c).clamp_min(1e-20)
    return tau + (0.5 * (a - c) / bend).clamp(-1, 1)


def _over_multiples(d: Tensor, period: Tensor) -> Tensor:
    """The period again, from the dip nearest to its largest multiple that fits, reached by doubling."""
    last = d.shape[-1] - 2
    times = torch.ones_like(period)
    found = period.clamp_min(1.0)
    for _ in range(last.bit_length()):
        fits = 2 * found < last
        around = (2 * found).round().long()
        near = (around[..., None] + torch.tensor([-2, -1, 0, 1, 2])).clamp(1, last)
        best = near.gather(-1, d.gather(-1, near.flatten(1).view_as(near)).argmin(-1, keepdim=True))[..., 0]
        found = torch.where(fits, _sharpened(d, best), found)
        times = torch.where(fits, 2 * times, times)
    return found / times


def track(x: Tensor, sample_rate: int) -> Tensor:
    """(N, T) -> fundamental frequency in Hz every 20 ms (N, frames), NaN where there is no pitch."""
    raw = difference(x, sample_rate)
    d = normalised(raw)
    tau, there = _first_dip(d, max(2, int(sample_rate / HIGHEST_HZ)))
    period = _over_multiples(raw, _sharpened(raw, tau))
    longest = raw.shape[-1] - 1
    width, hop = 2 * longest + 1, max(1, round(HOP_S * sample_rate))
    padded = torch.nn.functional.pad(x.double(), (0, max(0, width - x.shape[-1])))
    power = padded.unfold(-1, width, hop).square().mean(-1)
    loud = power > 10 ** (QUIET_DBFS / 10)
    return torch.where(there & loud, sample_rate / period, torch.nan)


def cents(hz: Tensor, reference_hz: Tensor) -> Tensor:
    """How far hz lies above reference_hz: 1200 a doubling."""
    return 1200 * torch.log2(hz / reference_hz)


def midi_hz(pitch: float) -> float:
    """MIDI note number -> Hz, A4 (69) = 440."""
    return float(440.0 * 2 ** ((pitch - 69) / 12))


def error_cents(estimate: Tensor, reference: Tensor, sample_rate: int) -> tuple[Tensor, Tensor]:
    """Seconds (N, T) each -> median |cents| over the frames in which both have a pitch (N,), and the share of the
    reference's pitched frames in which the estimate has none (N,). NaN for a second that is not pitched."""
    wanted, found = track(reference, sample_rate), track(estimate, sample_rate)
    pitched = torch.isfinite(wanted)
    both = pitched & torch.isfinite(found)
    counts = pitched.sum(-1)
    error = torch.where(both, cents(found, wanted).abs(), torch.nan).nanmedian(-1).values
    lost = (pitched & ~both).sum(-1) / counts.clamp_min(1)
    enough = counts >= FEWEST_FRAMES
    return torch.where(enough, error, torch.nan), torch.where(enough, lost, torch.nan)


def median_hz(sound: Tensor, sample_rate: int) -> float | None:
    """The pitch of a note (T,): median over the frames that have one; none where a tenth of a second has none."""
    hz = track(sound[None], sample_rate)[0]
    there = hz[torch.isfinite(hz)]
    return float(there.median()) if len(there) >= FEWEST_FRAMES else None


def level_track(x: Tensor, hop: int, window: int | None = None) -> Tensor:
    """(T,) -> RMS in dBFS of windows (by default as long as the hop), (frames,); -120 for silence."""
    width = window or hop
    padded = torch.nn.functional.pad(x.double(), (0, max(0, width - len(x))))
    power = padded.unfold(-1, width, hop).square().mean(-1)
    return (10 * torch.log10(power + 1e-12)).float()


def pitch_track(x: Tensor, sample_rate: int) -> tuple[Tensor, Tensor]:
    """(T,) -> YIN's pitch in MIDI (NaN: none) and the sample in the middle of each frame, (frames,) each."""
    hz = track(x[None], sample_rate)[0]
    width = 2 * int(sample_rate / LOWEST_HZ) + 1
    hop = max(1, round(HOP_S * sample_rate))
    return hz_to_midi(hz), torch.arange(len(hz)) * hop + width // 2


def hz_to_midi(hz: Tensor) -> Tensor:
    """440 Hz -> 69."""
    return 69 + 12 * torch.log2(hz / 440.0)


def median_midi(x: Tensor, sample_rate: int) -> float | None:
    """The pitch of a steady tone (T,), MIDI; none where under half of the frames have one."""
    midi, _ = pitch_track(x, sample_rate)
    there = midi[torch.isfinite(midi)]
    return float(there.median()) if 2 * len(there) >= len(midi) > 0 and len(there) else None


def power_frames(x: Tensor, sample_rate: int) -> Tensor:
    """(T,) -> power spectra (frames, bins) of Hann windows of about 46 ms, every quarter of it."""
    n_fft = 2 ** round(np.log2(0.046 * sample_rate))
    padded = torch.nn.functional.pad(x.float(), (0, max(0, n_fft - len(x))))
    frames = padded.unfold(-1, n_fft, n_fft // 4) * torch.hann_window(n_fft)
    return torch.fft.rfft(frames).abs().square()


def mel_frames(x: Tensor, sample_rate: int, bands: int = MEL_BANDS) -> Tensor:
    """(T,) -> mel power (frames, bands), 40 Hz to Nyquist."""
    power = power_frames(x, sample_rate)
    return power @ band_matrix(power.shape[1], sample_rate, bands, 40.0, sample_rate / 2).T


def floored_db(power: Tensor) -> Tensor:
    """Decibels; nothing lies further than RANGE_DB below the largest value."""
    top = power.max().clamp_min(1e-20)
    return 10 * torch.log10(power.clamp_min(top * 10 ** (-RANGE_DB / 10)))
