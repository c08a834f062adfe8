"""Streaming equals offline: layer by layer, network by network, whatever the conv."""

from pathlib import Path

import cached_conv
import pytest
import torch
import toy_model
from torch import Tensor, nn

from wavevae.config import ModelConfig
from wavevae.export.layers import activation, activation_, from_rows, refuse_unknown_parts, to_rows, twin_of
from wavevae.export.streaming import StreamingDecoder, StreamingEncoder
from wavevae.nn import conv
from wavevae.nn.conv import (
    CausalConv1d,
    Downsample,
    ResidualUnit,
    Upsample,
    channels_to_samples,
    residual_stack,
    samples_to_channels,
)
from wavevae.nn.model import Autoencoder
from wavevae.nn.noise import TABLE_FRAMES, NoiseGate

EVERY_SHAPE = pytest.mark.parametrize("config", toy_model.SHAPES.values(), ids=list(toy_model.SHAPES))
MIX = (1, 5, 2, 9, 1, 1, 7, 64, 3)
"""Frames a call."""

LAYERS = {
    "conv k1": lambda: CausalConv1d(4, 6, 1),
    "conv k2": lambda: CausalConv1d(4, 6, 2),
    "conv k3": lambda: CausalConv1d(4, 6, 3),
    "conv k3 d9": lambda: CausalConv1d(4, 6, 3, 9),
    "conv k5 d2": lambda: CausalConv1d(4, 6, 5, 2),
    "down 2": lambda: Downsample(4, 6, 2),
    "down 8": lambda: Downsample(4, 6, 8),
    "up 2": lambda: Upsample(4, 6, 2),
    "up 8": lambda: Upsample(4, 6, 8),
    "residual": lambda: ResidualUnit(4, 3),
    "stack": lambda: residual_stack(4, (1, 3, 9)),
    "noise": lambda: NoiseGate(4, 3),
    "stage down": lambda: nn.Sequential(residual_stack(4, (1, 3)), Downsample(4, 6, 4)),
    "stage up": lambda: nn.Sequential(Upsample(4, 6, 4), residual_stack(6, (1, 3))),
}


def blocks_of(block: int | None, frames: int) -> list[int]:
    """Frames a call, `frames` in all; none: a mix."""
    if block is not None:
        return [block] * (frames // block) + [frames % block] * (frames % block > 0)
    calls, left = [], frames
    while left > 0:
        calls.append(min(MIX[len(calls) % len(MIX)], left))
        left -= calls[-1]
    return calls


def stream(twin: nn.Module, x: Tensor, calls: list[int], step: int = 1) -> Tensor:
    """Feed x (B, C, T) as rows in calls of so many times `step` frames -> (B, C_out, T_out)."""
    parts = x.transpose(1, 2).split([n * step for n in calls], 1)  # each (B, n * step, C)
    return torch.cat([from_rows(twin(to_rows(part)), len(x)) for part in parts], 1).transpose(1, 2)


@pytest.mark.parametrize("kind", LAYERS)
@pytest.mark.parametrize("block", [1, 2, 3, 7, 64, None])
def test_every_layer_streams_as_it_computes_offline(kind: str, block: int | None) -> None:
    torch.manual_seed(1)
    offline = LAYERS[kind]().eval()
    step = 8 if "down" in kind else 1  # calls of whole groups
    x = torch.randn(2, 4, 80 * step)
    with torch.inference_mode():
        expected = offline(x)
        twin = twin_of(offline)
        twin.start(2)
        found = stream(twin, x, blocks_of(block, 80), step)
    torch.testing.assert_close(found, expected, rtol=0, atol=2e-6)


@EVERY_SHAPE
@pytest.mark.parametrize(
    ("block", "voices"), [(1, 1), (2, 2), (3, 4), (7, 1), (64, 2), (None, 1), (None, 2), (None, 4)]
)
def test_networks_stream_as_they_compute_offline(config: ModelConfig, block: int | None, voices: int) -> None:
    model, hop = toy_model.make(config), config.hop_length
    frames = 70
    x, z = toy_model.sound(frames * hop, voices), torch.randn(voices, config.latent_dim, frames)
    calls = blocks_of(block, frames)
    with torch.inference_mode():
        check_networks(model, x, z, calls)


def check_networks(model: Autoencoder, x: Tensor, z: Tensor, calls: list[int]) -> None:
    encoder, decoder = StreamingEncoder(model.encoder), StreamingDecoder(model.decoder)
    encoder.start(len(x))
    decoder.start(len(x))
    ratio = model.hop_length // model.config.fold
    latents = stream(encoder, samples_to_channels(x, model.config.fold), calls, ratio)
    y = channels_to_samples(stream(decoder, z, calls))
    expected = model.encoder(x)
    torch.testing.assert_close(latents, expected, rtol=0, atol=3e-6 * expected.abs().max().item())
    torch.testing.assert_close(y, model.decode(z), rtol=0, atol=2e-5)


CODECS = [path for path in toy_model.PRESETS if toy_model.preset(path).family == "codec"]


@pytest.mark.parametrize("path", CODECS, ids=lambda p: p.stem)
def test_every_preset_streams(path: Path) -> None:
    config = toy_model.preset(path)
    torch.manual_seed(0)
    model = Autoencoder(config).eval()
    frames = 30
    with torch.inference_mode():
        x, z = toy_model.sound(frames * config.hop_length), torch.randn(1, config.latent_dim, frames)
        check_networks(model, x, z, blocks_of(None, frames))


def test_the_noise_goes_on_over_the_end_of_its_table() -> None:
    gate = NoiseGate(4, 3).eval()
    twin = twin_of(gate)
    x = torch.randn(1, 4, 2 * TABLE_FRAMES + 100)
    with torch.inference_mode():
        expected = gate(x)
        for calls in (
            [x.shape[2]],
            [TABLE_FRAMES - 5, 10, TABLE_FRAMES + 90, 5],
            [TABLE_FRAMES, TABLE_FRAMES, 100],
        ):
            twin.start(1)
            found = stream(twin, x, calls)
            torch.testing.assert_close(found, expected, rtol=0, atol=1e-6)


def test_start_forgets_and_follows_the_number_of_voices() -> None:
    model = toy_model.make(toy_model.SHAPES["plain"])
    decoder = StreamingDecoder(model.decoder)
    with torch.inference_mode():
        for voices in (1, 3, 1, 2):
            decoder.start(voices)
            z = torch.randn(voices, 6, 9)
            torch.testing.assert_close(
                channels_to_samples(stream(decoder, z, [9])), model.decode(z), rtol=0, atol=1e-5
            )


def test_weight_norm_is_folded() -> None:
    layer = CausalConv1d(4, 6, 3, 2)
    torch.nn.utils.parametrizations.weight_norm(layer.conv)
    with torch.no_grad():
        layer.conv.parametrizations.weight.original0.mul_(1.7)
        twin, x = twin_of(layer), torch.randn(1, 4, 20)
        torch.testing.assert_close(stream(twin, x, [20]), layer(x), rtol=0, atol=1e-6)
    assert {name for name, _ in twin.named_parameters()} == {"product.weight", "product.bias"}


def test_the_activation_is_the_networks_own() -> None:
    x = torch.linspace(-3, 3, 100)
    assert torch.equal(activation(x), conv.activation(x))
    assert torch.equal(activation_(x.clone()), conv.activation(x))


def test_what_has_no_twin_is_refused() -> None:
    with pytest.raises(TypeError, match="Dropout has no streaming twin"):
        twin_of(nn.Dropout())
    model = toy_model.make(toy_model.SHAPES["plain"])
    model.encoder.another = nn.Linear(2, 2)
    with pytest.raises(TypeError, match="does not mirror"):
        StreamingEncoder(model.encoder)
    model.decoder.level = nn.Parameter(torch.ones(1))
    with pytest.raises(TypeError, match="level"):
        refuse_unknown_parts(nn.Module(), model.decoder)


# -- cached-conv, the field's own streaming convolutions, as an oracle -----------------------------------------


def cached_twin(offline: nn.Module) -> nn.Module:
    """cached-conv's layer with the same weights, causal."""
    conv = offline.conv
    c_in, c_out = conv.in_channels, conv.out_channels
    if isinstance(offline, Upsample):
        ratio = offline.ratio
        twin = cached_conv.CachedConvTranspose1d(
            c_in, c_out // ratio, 2 * ratio, stride=ratio, padding=ratio // 2
        )
        weight = conv.weight.view(ratio, c_out // ratio, c_in, 2).permute(2, 1, 3, 0).flip(2).flatten(2)
        bias = conv.bias[: c_out // ratio]
        conv.bias.data = bias.repeat(ratio)  # a transposed convolution has one bias a channel
    else:
        twin = cached_conv.CachedConv1d(
            *(c_in, c_out, conv.kernel_size[0]),
            stride=conv.stride[0],
            dilation=conv.dilation[0],
            padding=(offline.past, 0),
        )
        weight, bias = conv.weight, conv.bias
    twin.weight.data, twin.bias.data = weight.detach().clone(), bias.detach().clone()
    return twin


@pytest.mark.parametrize("kind", [k for k in LAYERS if k.split()[0] in ("conv", "down", "up")])
@pytest.mark.parametrize("block", [1, 3, 8])
def test_conv_layers_equal_cached_conv(kind: str, block: int) -> None:
    offline = LAYERS[kind]()
    oracle, step = cached_twin(offline), 8 if "down" in kind else 1
    twin = twin_of(offline)
    twin.start(2)
    with torch.no_grad():
        for _ in range(12):
            x = torch.randn(2, 4, block * step)
            torch.testing.assert_close(stream(twin, x, [block], step), oracle(x), rtol=0, atol=2e-6)
