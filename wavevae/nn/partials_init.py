"""A pitch-conditional model's start in closed form: the best linear codec of its corpus' partials.

As `linear_start`, with the complex amplitudes of the partials, heard in the pitch's own time, in place of samples:
latents begin as their principal components, and know no pitch. The convolutions begin at random, beside them.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from wavevae.nn.conv import shrink
from wavevae.nn.linear_init import Array, principal, quieten, strided, tensor
from wavevae.nn.model import Autoencoder

QUIET = 1e-4
"""Size (-80 dBFS) at and below which frames are the same to `equal_loudness`."""

WEAKEST = 0.03
"""Least of a latent's expected size, as a share of the largest: partials high up are a hundredth of those below, and
any use of their latents would be a wonder to their prior."""


def partials_start(model: Autoencoder, audio: Tensor, pitch: Tensor) -> float:
    """Set a new model from chunks (N, 1, T), a multiple of hop_length, and their pitches (N,), NaN for none.

    Returns the share of the partials' energy, each frame at the same loudness, that its latents carry, 0 to 1.
    """
    analysis, synthesis = model.encoder.partials, model.decoder.partials
    assert analysis is not None
    assert synthesis is not None
    known = ~pitch.isnan()
    frames = analysis.amplitudes(audio[known], pitch[known]).transpose(1, 2).flatten(0, 1)  # (n, 2 count)
    rows = frames.double().numpy()
    covariance = moments(rows / np.sqrt((rows**2).mean(axis=1, keepdims=True) + QUIET**2))
    kept = min(model.bottleneck.direct_axes(), model.encoder.outlet.conv.in_channels, covariance.shape[0])
    axes = principal(covariance, kept)  # (kept, 2 count)
    with torch.no_grad():
        write_encoder(model, axes)
        write_decoder(model, axes)
    std = np.sqrt(np.einsum("ij,jk,ik->i", axes, moments(rows), axes))
    std = np.maximum(std, WEAKEST * std.max())
    model.bottleneck.init_from_linear(model.encoder.outlet.conv, tensor(std))
    return float(np.trace(axes @ covariance @ axes.T) / max(np.trace(covariance), 1e-30))


def partial_maps(model: Autoencoder) -> list[nn.Parameter]:
    """The parameters between partials and features, which `partials_start` sets beside the trunk's."""
    parts = [part for part in (model.encoder.partials, model.decoder.partials) if part is not None]
    return [parameter for part in parts for parameter in part.parameters()]


def moments(rows: Array) -> Array:
    """(n, d) -> (d, d)."""
    return rows.T @ rows / max(1, len(rows))


def write_encoder(model: Autoencoder, axes: Array) -> None:
    """Partials -> the first deep channels -> latents; the convolutions keep out of those channels at first."""
    encoder, kept = model.encoder, len(axes)
    assert encoder.partials is not None
    quieten(encoder)
    last = strided(encoder.stages[-1]).conv if len(encoder.stages) else encoder.inlet.conv
    last.weight[:kept] = 0.0
    encoder.partials.mix.weight.zero_()
    encoder.partials.mix.weight[:kept, :, 0] = tensor(axes)
    outlet = encoder.outlet.conv.weight  # (rows, C, 1)
    outlet.zero_()
    outlet[:kept, :kept, 0] = torch.eye(kept)


def write_decoder(model: Autoencoder, axes: Array) -> None:
    """Latents -> the first deep channels -> partials; the convolutions give nothing at first."""
    decoder, kept = model.decoder, len(axes)
    assert decoder.partials is not None
    quieten(decoder)
    decoder.inlet.conv.weight[:kept] = 0.0
    decoder.inlet.conv.weight[:kept, :kept, -1] = torch.eye(kept)
    decoder.partials.mix.weight.zero_()
    decoder.partials.mix.weight[:, :kept, 0] = tensor(axes.T)
    shrink(decoder.outlet, 0.0)
