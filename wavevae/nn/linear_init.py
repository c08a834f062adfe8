"""Initialisation in closed form: before its first step the codec is the best linear one of its corpus.

The trunk (inlets, strided layers, outlets) has no activation of its own, residual branches and noise begin at zero, so
the whole model is a linear map from one hop of samples to latents and back. That map is set to the principal components
of the corpus' hops (the Karhunen-Loeve transform), where a linear autoencoder ends (Baldi & Hornik 1989) and a linear
VAE too (Lucas et al. 2019, sec. 4). Training begins from a sound with its partials in phase and learns what a linear
codec of single hops cannot: overlap, high bands, noise, time.

    samples   fold      x ratio    x ratio               latents
    |16|16|.. ==16==>  ==64==>    ==top 128 of 256==>    top 64        each arrow an orthonormal matrix

With `hop_overlap` the innermost arrow is a lapped transform's: it takes some samples of the hop before as well,
faded in, so that hops have no edges and the sound is that much later.

The way back is the transpose, but for the innermost arrow: the decoder's inlet sees a few frames, so a hop is estimated
from them all by least squares. That mends some of what every hop's edges lose.

A pitch-conditional model takes the complex amplitudes of the partials of the labelled pitch in place of samples
(`init_from_partials`): latents begin as their principal components, independent of the pitch. Its convolutions begin at
random, beside them.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from wavevae.nn.conv import CausalConv1d, Downsample, ResidualUnit, Upsample, scale_weights
from wavevae.nn.model import Autoencoder, Decoder, Encoder
from wavevae.nn.noise import NoiseGate

QUIET = 1e-4
"""RMS (-80 dBFS) below which `equal_loudness` hardly raises hops, or frames of partials."""

RIDGE = 1e-4
"""Of the mean square of a latent at equal loudness."""

WEAKEST = 0.03
"""Least expected size of a partials' latent, as a share of the largest: partials high up are a hundredth of those
below, and to the prior any use of their latents would be improbable."""

Array = np.ndarray


def init_from_linear(model: Autoencoder, hops: Array) -> float:
    """Set a new model's trunk to the linear codec of `hops`, (excerpts, frames, hop_length).

    Returns the share of the hops' energy, each at the same loudness, that its latents carry, 0 to 1.
    Raises: ValueError where the hops are of another length.
    """
    config = model.config
    if hops.ndim != 3 or hops.shape[2] != config.hop_length:
        raise ValueError(
            f"hops have shape {hops.shape}; they must be (excerpts, frames, {config.hop_length})"
        )
    covariance = second_moments(equal_loudness(hops))
    first, *rest = maps = nested_maps(covariance, config.fold, config.ratios, config.widths)
    layers = [m.reshape(len(m), ratio, -1) for m, ratio in zip(rest, config.ratios, strict=True)]
    deepest = expand(maps)  # (features, hop_length)
    if config.hop_overlap:
        hops = lapped(hops, config.algorithmic_latency)  # coefficients in the place of samples from here on
        covariance = second_moments(equal_loudness(hops))
        deepest = principal(covariance, config.widths[-1])
        basis = lapped_basis(config.hop_length, config.algorithmic_latency)
        layers[-1] = in_frames(deepest @ basis, expand(maps[:-1]))
    axes = principal(deepest @ covariance @ deepest.T, model.bottleneck.direct_axes())
    codec = axes @ deepest  # (axes, hop_length)
    with torch.no_grad():
        write_encoder(model.encoder, first, layers, axes)
        write_decoder(model.decoder, first, layers, decoding_taps(hops, deepest, axes, model.decoder.inlet))
    model.bottleneck.init_from_linear(model.encoder.outlet.conv, tensor(deviations(codec, hops)))
    return energy_share(codec, covariance)


def init_from_partials(model: Autoencoder, audio: Tensor, pitch: Tensor) -> float:
    """Set a pitch-conditional model from chunks (N, 1, T), a multiple of hop_length, and their pitches (N,), NaN for
    none.

    Returns the share of the partials' energy, each frame at the same loudness, that its latents carry, 0 to 1.
    """
    analysis = model.encoder.partials
    assert analysis is not None
    known = ~pitch.isnan()
    frames = analysis.amplitudes(audio[known], pitch[known]).transpose(1, 2).flatten(0, 1)  # (n, 2 count)
    rows = frames.double().numpy()
    covariance = second_moments(equal_loudness(rows))
    axes = principal(covariance, min(model.bottleneck.direct_axes(), model.encoder.outlet.conv.in_channels))
    with torch.no_grad():
        write_partials(model, axes)
    std = deviations(axes, rows)
    std = np.maximum(std, WEAKEST * std.max())
    model.bottleneck.init_from_linear(model.encoder.outlet.conv, tensor(std))
    return energy_share(axes, covariance)


def initialised_parameters(model: Autoencoder) -> list[nn.Parameter]:
    """The parameters that are set in closed form: the trunk's, and the maps between partials and features."""
    encoder, decoder = model.encoder, model.decoder
    ends = (encoder.inlet, encoder.outlet, decoder.inlet, decoder.outlet)
    partials = [part for part in (encoder.partials, decoder.partials) if part is not None]
    layers = (*ends, *(strided(stage) for stage in (*encoder.stages, *decoder.stages)), *partials)
    return [parameter for layer in layers for parameter in layer.parameters()]


# ---------------------------------------------------------------------------------------------- the codec


def lapped_basis(hop: int, overlap: int) -> Array:
    """The rows of a lapped orthogonal transform: (hop, overlap + hop), its frames `hop` apart.

    A cosine-modulated one (MDCT, Princen & Bradley 1986) whose window rises over `overlap` samples, is flat, and
    falls over as many: frame n takes samples n hop - overlap up to (n + 1) hop, and added up the frames are the sound.
    """
    n, flat = np.arange(2 * hop), (hop - overlap) // 2
    rise = np.sin(np.pi * (np.arange(overlap) + 0.5) / (2 * overlap))
    window = np.concatenate([np.zeros(flat), rise, np.ones(hop - overlap), rise[::-1], np.zeros(flat)])
    phase = np.pi / hop * (n + 0.5 + hop / 2) * (np.arange(hop)[:, None] + 0.5)
    rows: Array = np.sqrt(2 / hop) * np.cos(phase) * window
    return rows[:, flat : 2 * hop - flat]


def lapped(hops: Array, overlap: int) -> Array:
    """(excerpts, frames, hop) of samples -> (excerpts, frames - 1, hop) coefficients of the lapped transform."""
    past = hops[:, :-1, hops.shape[2] - overlap :]
    coefficients: Array = np.concatenate([past, hops[:, 1:]], axis=2) @ lapped_basis(hops.shape[2], overlap).T
    return coefficients


def equal_loudness(hops: Array) -> Array:
    """Every hop at the same RMS, so that a note's decay counts as much as its attack."""
    return hops / loudness(hops)


def loudness(hops: Array) -> Array:
    """(..., hop_length) -> (..., 1) RMS."""
    return np.sqrt(np.mean(hops.astype(np.float64) ** 2, axis=-1, keepdims=True) + QUIET**2)


def second_moments(rows: Array) -> Array:
    """(..., n) -> (n, n); the covariance where the mean is zero, as a sound's is."""
    rows = rows.reshape(-1, rows.shape[-1]).astype(np.float64)
    return rows.T @ rows / max(1, len(rows))


def principal(covariance: Array, count: int) -> Array:
    """The `count` strongest orthonormal directions, as rows (count, n), strongest first; all n where n is less."""
    _, vectors = np.linalg.eigh(covariance)
    return vectors[:, ::-1].T[:count]


def deviations(axes: Array, rows: Array) -> Array:
    """(axes,) root mean square of rows (..., n) along axes (axes, n)."""
    variance = np.einsum("ij,jk,ik->i", axes, second_moments(rows), axes)
    return np.sqrt(np.maximum(variance, 0.0))


def energy_share(axes: Array, covariance: Array) -> float:
    """Of the energy of `covariance` (n, n), what orthonormal axes carry."""
    return float(np.trace(axes @ covariance @ axes.T) / max(np.trace(covariance), 1e-30))


def average_block(covariance: Array, length: int) -> Array:
    """(n, n) -> (length, length): of the n / length blocks along the diagonal, the mean."""
    starts = range(0, len(covariance), length)
    return np.mean([covariance[s : s + length, s : s + length] for s in starts], axis=0)


def nested_maps(
    covariance: Array, fold: int, ratios: tuple[int, ...], widths: tuple[int, ...]
) -> list[Array]:
    """Orthonormal maps, one a layer from the fold inward: of `ratio` frames of the layer before, side by side.

    A layer with channels enough keeps everything (the identity), a narrower one the principal components.
    """
    maps: list[Array] = []
    samples, features = 1, np.eye(1)  # features (m, samples): what the layer before makes of its samples
    for ratio, width in zip((fold, *ratios), widths, strict=True):
        samples *= ratio
        joined = np.kron(np.eye(ratio), features)  # (ratio * m, samples)
        if len(joined) <= width:
            maps.append(np.eye(len(joined)))
        else:
            maps.append(principal(joined @ average_block(covariance, samples) @ joined.T, width))
        features = maps[-1] @ joined
    return maps


def expand(maps: list[Array]) -> Array:
    """The maps of all layers as one: (features of the last, hop_length)."""
    features = np.eye(1)
    for layer in maps:
        features = layer @ np.kron(np.eye(layer.shape[1] // len(features)), features)
    return features


def decoding_taps(hops: Array, deepest: Array, axes: Array, inlet: CausalConv1d) -> Array:
    """The least-squares way from the latents of some frames back to features: (features, latents, taps).

    Oldest tap first; every frame at the same loudness. A ridge draws it to the transpose, the best way with one tap,
    so that a corpus of a few hops does no harm.
    """
    taps = inlet.conv.kernel_size[0]
    scale = loudness(hops)
    features = hops @ deepest.T  # (excerpts, frames, m)
    latents = features @ axes.T  # (excerpts, frames, k)
    frames = hops.shape[1] - taps + 1
    if frames < 1 or inlet.conv.dilation[0] != 1:
        inputs, outputs = np.zeros((0, taps * len(axes))), np.zeros((0, len(deepest)))
    else:
        window = [latents[:, tap : tap + frames] for tap in range(taps)]
        here = scale[:, taps - 1 :]
        inputs = (np.concatenate(window, axis=-1) / here).reshape(-1, taps * len(axes))
        outputs = (features[:, taps - 1 :] / here).reshape(-1, len(deepest))
    transpose = np.zeros((taps * len(axes), len(deepest)))
    transpose[-len(axes) :] = axes
    ridge = RIDGE * (1 + np.trace(inputs.T @ inputs)) / inputs.shape[1] * np.eye(inputs.shape[1])
    solved = np.linalg.solve(inputs.T @ inputs + ridge, inputs.T @ outputs + ridge @ transpose)
    return solved.reshape(taps, len(axes), len(deepest)).transpose(2, 1, 0)


# ------------------------------------------------------------------------------------- into the layers


def in_frames(rows: Array, before: Array) -> Array:
    """Rows over samples (features, frames x samples) -> what they take of a layer's frames, (features, frames, m).

    `before` is that layer, orthonormal rows (m, samples a frame).
    """
    blocks: Array = rows.reshape(len(rows), -1, before.shape[1]) @ before.T
    return blocks


def write_encoder(encoder: Encoder, first: Array, layers: list[Array], axes: Array) -> None:
    """Samples -> features in the first channels of every layer -> `axes`, the outlet's first rows.

    A layer is (features, frames, features before); frames beyond its ratio are of the hop before.
    """
    zero_residuals(encoder)
    inlet = encoder.inlet.conv.weight  # (width, fold, taps)
    inlet[: len(first)] = 0.0
    inlet[: len(first), :, -1] = tensor(first)
    for stage, layer in zip(encoder.stages, layers, strict=True):
        weight = strided(stage).conv.weight  # (C_out, C_in, 2 * ratio): the hop before, then this one
        taps = tensor(layer).transpose(1, 2)  # (features, before, frames)
        weight[: len(layer)] = 0.0
        weight[: len(layer), : taps.shape[1], -taps.shape[2] :] = taps
    outlet = encoder.outlet.conv.weight  # (rows, C, 1)
    outlet.zero_()
    outlet[: len(axes), : axes.shape[1], -1] = tensor(axes)


def write_decoder(decoder: Decoder, first: Array, layers: list[Array], taps: Array) -> None:
    """Latents -> features in the first channels, then the transpose of every layer -> samples.

    What a layer took of the hop before goes out with the next one: so much later is the sound.
    """
    zero_residuals(decoder)
    inlet = decoder.inlet.conv.weight  # (C, latents, taps)
    inlet[: len(taps)] = 0.0
    inlet[: len(taps), : taps.shape[1]] = tensor(taps)
    for stage, layer in zip(decoder.stages, layers[::-1], strict=True):
        conv = strided(stage)
        weight = conv.conv.weight.view(conv.ratio, -1, *conv.conv.weight.shape[1:])  # (ratio, C_out, C_in, 2)
        frames = tensor(layer.transpose(1, 2, 0))  # (frames, features out, features in)
        later = len(frames) - conv.ratio
        weight[:, : frames.shape[1]] = 0.0
        weight[:, : frames.shape[1], : frames.shape[2], 1] = frames[: conv.ratio]
        weight[:later, : frames.shape[1], : frames.shape[2], 0] = frames[conv.ratio :]
    outlet = decoder.outlet.conv.weight  # (fold, C, taps)
    outlet.zero_()
    outlet[:, : len(first), -1] = tensor(first.T)


def write_partials(model: Autoencoder, axes: Array) -> None:
    """Partials -> the first deep channels -> latents, and back; at first the convolutions keep out of those channels,
    and the decoder's give nothing."""
    encoder, decoder, n = model.encoder, model.decoder, len(axes)
    assert encoder.partials is not None
    assert decoder.partials is not None
    zero_residuals(model)
    deepest = strided(encoder.stages[-1]).conv if len(encoder.stages) else encoder.inlet.conv
    deepest.weight[:n] = 0.0
    encoder.partials.mix.weight.zero_()
    encoder.partials.mix.weight[:n, :, 0] = tensor(axes)
    outlet = encoder.outlet.conv.weight  # (rows, C, 1)
    outlet.zero_()
    outlet[:n, :n, 0] = torch.eye(n)
    decoder.inlet.conv.weight[:n] = 0.0
    decoder.inlet.conv.weight[:n, :n, -1] = torch.eye(n)
    decoder.partials.mix.weight.zero_()
    decoder.partials.mix.weight[:, :n, 0] = tensor(axes.T)
    scale_weights(decoder.outlet, 0.0)


def zero_residuals(network: nn.Module) -> None:
    """Residual branches and noise begin at zero (SkipInit, De & Smith 2020)."""
    for module in network.modules():
        if isinstance(module, ResidualUnit):
            scale_weights(module.pointwise, 0.0)
        elif isinstance(module, NoiseGate):
            scale_weights(module.mix, 0.0)


def strided(stage: nn.Module) -> Downsample | Upsample:
    """The strided layer of a stage: at the end of an encoder's, at the beginning of a decoder's."""
    (layer,) = [part for part in stage.children() if isinstance(part, (Downsample, Upsample))]
    return layer


def tensor(values: Array) -> Tensor:
    return torch.tensor(np.ascontiguousarray(values), dtype=torch.float32)
