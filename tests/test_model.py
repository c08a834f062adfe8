"""Facts about the offline model: its length, its causality, how far back it hears, its layers."""

import pytest
import torch
import torch.nn.functional as F
import toy_model
from torch import Tensor

from wavevae.config import ModelConfig
from wavevae.nn.conv import CausalConv1d, Downsample, Upsample, channels_to_samples, samples_to_channels
from wavevae.nn.noise import TABLE_FRAMES

EVERY_SHAPE = pytest.mark.parametrize("config", toy_model.SHAPES.values(), ids=list(toy_model.SHAPES))


@EVERY_SHAPE
def test_the_length_that_goes_in_comes_out(config: ModelConfig) -> None:
    model, hop = toy_model.make(config), config.hop_length
    with torch.inference_mode():
        for samples in (1, hop - 1, hop, hop + 1, 22050, 22051):
            x = toy_model.sound(samples)
            latents = model.encode(x)
            assert latents.shape == (1, config.latent_dim, -(-samples // hop))
            assert model(x).shape == x.shape
            assert model.decode(latents, samples).shape == x.shape
            assert model.decode(latents).shape[-1] == latents.shape[-1] * hop


@pytest.mark.parametrize("shape", [(1, 2, 100), (1, 1, 0), (100,)])
def test_what_is_no_sound_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="audio has shape"):
        toy_model.make(toy_model.SHAPES["plain"]).encode(torch.zeros(shape))


@EVERY_SHAPE
def test_the_future_never_changes_the_past(config: ModelConfig) -> None:
    """Not by one bit: what differs from sample t on, t at a hop's start, comes out the same before t."""
    model, hop = toy_model.make(config), config.hop_length
    x = toy_model.sound(24 * hop, voices=2)
    with torch.inference_mode():
        latents, y = model.encode(x), model(x)
        for frame in (1, 2, 7, 23):
            other = x.clone()
            other[..., frame * hop :] = -3.0 * other[..., frame * hop :].flip(-1)
            assert torch.equal(model.encode(other)[..., :frame], latents[..., :frame])
            assert torch.equal(model(other)[..., : frame * hop], y[..., : frame * hop])
            assert not torch.equal(model(other)[..., frame * hop :], y[..., frame * hop :])
            moved = latents.clone()
            moved[..., frame:] += 1.0
            assert torch.equal(
                model.decode(moved)[..., : frame * hop], model.decode(latents)[..., : frame * hop]
            )


def test_a_sound_that_goes_on_begins_the_same() -> None:
    model = toy_model.make(toy_model.SHAPES["plain"])
    x = toy_model.sound(40 * 256)
    with torch.inference_mode():
        torch.testing.assert_close(model(x)[..., : 13 * 256], model(x[..., : 13 * 256]), rtol=0, atol=1e-5)


def test_playing_is_deterministic_and_training_is_not() -> None:
    model = toy_model.make(toy_model.SHAPES["plain"])
    x = toy_model.sound(4096)
    with torch.no_grad():
        assert torch.equal(model(x), model(x))
        model.train()
        assert not torch.equal(model(x), model(x))


def test_voices_do_not_hear_each_other() -> None:
    model = toy_model.make(toy_model.SHAPES["plain"])
    x = toy_model.sound(4096, voices=3)
    with torch.inference_mode():
        together = model(x)
        for voice in range(3):
            torch.testing.assert_close(together[voice], model(x[voice : voice + 1])[0], rtol=0, atol=1e-5)


def test_the_noise_table_begins_again() -> None:
    config = toy_model.SHAPES["plain"]
    model = toy_model.make(config)
    frames = TABLE_FRAMES * config.fold // config.hop_length  # one turn of the table
    with torch.inference_mode():
        y = model.decode(torch.zeros(1, config.latent_dim, 3 * frames))
    turn = frames * config.hop_length
    torch.testing.assert_close(y[..., turn : 2 * turn], y[..., 2 * turn :], rtol=0, atol=1e-5)


# -- the layers, each against another way of writing it --------------------------------------------------------


def causal(x: Tensor, weight: Tensor, bias: Tensor, dilation: int) -> Tensor:
    """y[n] = bias + sum over k, i of w[k] x[n - (K - 1 - k) d], by the definition."""
    out = bias[None, :, None].repeat(x.shape[0], 1, x.shape[2])
    taps = weight.shape[2]
    for k in range(taps):
        shift = (taps - 1 - k) * dilation
        moved = F.pad(x, (shift, 0))[..., : x.shape[2]]
        out = out + torch.einsum("oi,bit->bot", weight[:, :, k], moved)
    return out


@pytest.mark.parametrize("kernel", [1, 2, 3, 5])
@pytest.mark.parametrize("dilation", [1, 3])
def test_causal_conv_is_its_definition(kernel: int, dilation: int) -> None:
    layer, x = CausalConv1d(3, 4, kernel, dilation), torch.randn(2, 3, 20)
    expected = causal(x, layer.conv.weight, layer.conv.bias, dilation)
    torch.testing.assert_close(layer(x), expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("ratio", [2, 4, 8])
def test_downsample_is_every_rth_frame_of_a_causal_conv(ratio: int) -> None:
    layer, x = Downsample(3, 5, ratio), torch.randn(2, 3, 6 * ratio)
    expected = causal(x, layer.conv.weight, layer.conv.bias, 1)[..., ratio - 1 :: ratio]
    torch.testing.assert_close(layer(x), expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("ratio", [2, 4, 8])
def test_upsample_is_a_transposed_convolution(ratio: int) -> None:
    layer, x = Upsample(3, 5, ratio), torch.randn(2, 3, 7)
    kernel = layer.conv.weight.view(ratio, 5, 3, 2).permute(2, 1, 3, 0)  # (C_in, C_out, tap, ratio)
    kernel = kernel.flip(2).flatten(2)  # this frame's samples first, then the next one's
    expected = F.conv_transpose1d(x, kernel, stride=ratio)[..., : 7 * ratio]
    expected = expected + layer.conv.bias.view(ratio, 5).t()[None].repeat(1, 1, 7)
    torch.testing.assert_close(layer(x), expected, rtol=0, atol=1e-5)


def test_folding_is_lossless_and_in_time_order() -> None:
    x = torch.arange(24.0).view(2, 1, 12)
    assert samples_to_channels(x, 4)[0, :, 1].tolist() == [4, 5, 6, 7]
    assert torch.equal(channels_to_samples(samples_to_channels(x, 4)), x)
