"""Initialisation in closed form: at first the instrument's latents are principal components of log spectra.

    mel bands, controls --ridge regression--> scores --ridge regression--> log shares of partials, bands, carriers

Loud frames of the corpus give targets: at the points of the envelope the height of the partials, at the noise bands
the height of the valleys between them, without pitch the density at carriers and bands. What the controls predict of
them is taken away. Of the rest, brightness and noisiness are the first two scores, principal components the others.
Both maps are the outlets' direct connections to the inputs of their networks; the networks add little at first.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from wavevae.nn.instrument import NAMED, Instrument
from wavevae.nn.pitch import finite
from wavevae.nn.synthesizer import noise_points

LOUD_RANGE_DB = 50.0
"""Frames softer than the loudest by more than this do not count."""
MOST_FRAMES = 20_000
RIDGE = 3.0
FLOOR = 1e-8
"""Of a bin's share of its frame's power."""
NOISE_BESIDE, CARRIERS_BESIDE = 1.5, 3.0
"""Nats by which noise begins lower beside carriers, and carriers beside partials, which are more specific."""
LOG_VARIANCE = -2.5
"""Of the initial posterior, relative to the prior."""
NETWORK_SCALE = 0.3
"""Of the encoder's network against its direct connections."""
CHUNKS_AT_ONCE = 16
Matrix = Tensor


@torch.no_grad()
def init_from_spectra(model: Instrument, audio: Tensor) -> float:
    """Set the outlets of a new model from excerpts (n, 1, whole hops). Returns the share of the variance of the log
    shares that the latents explain, 0 to 1; 0 where there is too little sound, and then nothing is set."""
    parts = [observations(model, chunk) for chunk in audio.split(CHUNKS_AT_ONCE)]
    seen, controls, power = (torch.cat([part[i] for part in parts]) for i in range(3))
    loudness = controls[:, model.encoder.loudness_at]
    loud = torch.nonzero(loudness > loudness.max() - LOUD_RANGE_DB)[:, 0]
    every = max(1, len(loud) // MOST_FRAMES)
    seen, controls, power = (part[loud[::every]].double() for part in (seen, controls, power))
    dim = min(model.config.latent_dim, model.bottleneck.learned_part().direct_axes())
    if len(seen) < 4 * (seen.shape[1] + dim):
        return 0.0
    targets = log_shares(model, controls, power)
    scores = named_scores(model, controls, targets, dim)
    seen = with_one(seen)
    encoding = ridge(seen, scores)
    latents = seen @ encoding
    size = latents.std(0).clamp_min(1e-6)
    encoding, latents = encoding / size, latents / size
    z = torch.cat([controls, latents], 1).t()[None].float()
    inputs = with_one(model.decoder.seen(z)[0].t().double())
    decoding = ridge(inputs, targets)
    write_outlets(model, encoding, decoding)
    rest = targets - inputs @ decoding
    return float(1 - rest.square().mean() / (targets - targets.mean(0)).square().mean())


def observations(model: Instrument, audio: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """(n, 1, T) -> the encoder network's input, controls, power spectra of twice its window: (frames, ...) each."""
    encoder = model.encoder
    controls = encoder.controls_of(audio, None, None)
    sound = finite(audio[:, 0])
    bands = encoder.spectrum(F.pad(sound, (encoder.spectrum.past_samples, 0)))[..., : controls.shape[2]]
    length = 2 * encoder.spectrum.length
    before = encoder.latency + length // 2 - model.hop_length
    padded = F.pad(sound, (before, length))
    windows = padded.unfold(1, length, model.hop_length)[:, : controls.shape[2]] * torch.hann_window(length)
    power = torch.view_as_real(torch.fft.rfft(windows)).square().sum(3)  # (n, F, bins)
    rows = [part.transpose(1, 2).flatten(0, 1) for part in (encoder.seen(bands, controls), controls)]
    return rows[0], rows[1], power.flatten(0, 1)


def with_one(x: Matrix) -> Matrix:
    """A column of ones behind x (frames, n): a regression's constant."""
    return torch.cat([x, torch.ones_like(x[:, :1])], 1)


def ridge(inputs: Matrix, targets: Matrix) -> Matrix:
    """Least squares with a small ridge: (inputs, targets)."""
    square = inputs.t() @ inputs + RIDGE * torch.eye(inputs.shape[1], dtype=inputs.dtype)
    return torch.linalg.solve(square, inputs.t() @ targets)


def log_shares(model: Instrument, controls: Tensor, power: Tensor) -> Matrix:
    """Targets of the decoder's outlet for each frame: (frames, channels)."""
    config, shares = model.config, model.decoder.shares
    power = power / power.sum(1, keepdim=True).clamp_min(1e-20) + FLOOR
    bin_hz = config.sample_rate / (2 * (power.shape[1] - 1))
    bands = noise_points(config.noise_bands, config.hop_length, config.sample_rate)
    carriers = model.decoder.carrier_hz.double()
    zeros = power.new_zeros(len(power), 1)
    parts = [zeros.expand(-1, shares.partials)]
    if shares.partials:
        hz = 440.0 * torch.exp2((controls[:, 0] - 69.0) / 12.0)
        peaks, valleys = peaks_and_valleys(power, hz / bin_hz)
        parts.append(between_bins(peaks.log(), model.decoder.shares.points.double() / bin_hz))
        parts.append(between_bins((2 * valleys).log(), bands / bin_hz) + widths(bands, bin_hz).log())
    else:
        beside = NOISE_BESIDE if shares.carriers else 0.0
        parts.append(mean_near(power, bands, bin_hz).log() + widths(bands, bin_hz).log() - beside)
    if shares.carriers:
        beside = CARRIERS_BESIDE if shares.partials else 0.0
        parts.append(mean_near(power, carriers, bin_hz).log() + widths(carriers, bin_hz).log() - beside)
    parts.append(zeros.expand(-1, shares.curve))
    return torch.cat(parts, 1)


def widths(points_hz: Tensor, bin_hz: float) -> Tensor:
    """(n,) spacing of points, in bins."""
    return torch.gradient(points_hz)[0] / bin_hz


def mean_near(power: Tensor, points_hz: Tensor, bin_hz: float) -> Tensor:
    """(frames, bins) -> the mean within each point's spacing, at least one bin: (frames, n)."""
    reach = (torch.gradient(points_hz)[0] / 2).clamp_min(0.6 * bin_hz)
    bins = torch.arange(power.shape[1], dtype=torch.float64) * bin_hz
    near = ((bins[:, None] - points_hz).abs() <= reach).double()
    return power @ (near / near.sum(0).clamp_min(1.0))


def between_bins(values: Tensor, at: Tensor) -> Tensor:
    """(frames, bins) read at fractional bins (n,), on straight lines: (frames, n)."""
    low = at.floor().long().clamp(0, values.shape[1] - 2)
    share = (at - low).clamp(0.0, 1.0)
    return torch.lerp(values[:, low], values[:, low + 1], share)


def peaks_and_valleys(power: Tensor, spacing_bins: Tensor) -> tuple[Tensor, Tensor]:
    """(frames, bins) -> power of the highest peak (five bins) and of the lowest valley (three, their mean) within one
    spacing of the partials around each bin."""
    wide = F.avg_pool1d(power[:, None], 5, 1, 2) * 5
    narrow = F.avg_pool1d(power[:, None], 3, 1, 1)
    window = (spacing_bins.round().long().clamp(5, 200) // 4) * 4 + 1
    peaks, valleys = torch.zeros_like(power), torch.zeros_like(power)
    for length in window.unique().tolist():
        rows = window == length
        peaks[rows] = F.max_pool1d(wide[rows], length, 1, length // 2)[:, 0]
        valleys[rows] = -F.max_pool1d(-narrow[rows], length, 1, length // 2)[:, 0]
    return peaks.clamp_min(FLOOR), valleys.clamp_min(FLOOR)


def named_scores(model: Instrument, controls: Tensor, targets: Matrix, dim: int) -> Matrix:
    """(frames, dim): brightness and noisiness, then principal components of what is left, unit variance each."""
    zeros = torch.zeros(1, dim, len(controls))
    z = torch.cat([controls.t()[None].float(), zeros], 1)
    frame = model.decoder.frame_of(targets.t()[None].float(), z)
    named = model.decoder.attributes(frame)[0].t().double()  # (frames, 2)
    explaining = with_one(model.decoder.seen(z)[0, : model.decoder.n_controls].t().double())
    named = unit(named - explaining @ ridge(explaining, named))
    rest = targets - explaining @ ridge(explaining, targets)
    rest = rest - named @ ridge(named, rest)
    _, _, directions = torch.linalg.svd(rest / math.sqrt(len(rest)), full_matrices=False)
    others = dim - len(NAMED)
    return torch.cat([named, unit(rest @ directions[:others].t())], 1) if others else named


def unit(x: Tensor) -> Tensor:
    """Columns at unit variance."""
    return x / x.std(0).clamp_min(1e-6)


def write_outlets(model: Instrument, encoding: Matrix, decoding: Matrix) -> None:
    """The two maps (inputs + 1, outputs) into the outlets' direct connections."""
    encoder, decoder = model.encoder.outlet.conv, model.decoder.outlet.conv
    assert encoder.bias is not None
    assert decoder.bias is not None
    dim, width = encoding.shape[1], model.config.encoder_width
    learned = model.bottleneck.learned_part()
    scale = NETWORK_SCALE if learned.in_channels > dim else 1.0
    encoder.weight.mul_(scale)
    encoder.weight[:dim, width:, 0] = encoding[:-1].t().float()
    encoder.bias[:dim] = encoding[-1].float()
    if learned.in_channels == 2 * dim:  # the second half is a log variance
        encoder.bias[dim:] = LOG_VARIANCE
    first = model.config.decoder_width
    decoder.weight[:, first : first + len(decoding) - 1, 0] = decoding[:-1].t().float()
    decoder.bias.copy_(decoding[-1].float())
