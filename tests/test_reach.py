"""How far back layers and networks hear: the arithmetic against NaN, which goes wherever a sum reaches."""

import pytest
import torch
import toy_model
from test_streaming import EVERY_SHAPE, LAYERS
from torch import nn

from wavevae.config import ModelConfig
from wavevae.nn.conv import first_input
from wavevae.nn.model import Autoencoder


@pytest.mark.parametrize("kind", LAYERS)
def test_a_layers_past_is_what_its_arithmetic_says(kind: str) -> None:
    layer = LAYERS[kind]().eval()
    with torch.inference_mode():
        for frame in range(60, 68):
            first = first_input(layer, frame)
            for position, reached in ((first, True), (first - 1, False)):
                x = torch.zeros(1, 4, 8 * 80)
                x[..., position] = torch.nan
                assert layer(x)[..., frame].isnan().any().item() is reached


@EVERY_SHAPE
def test_the_receptive_field_is_exact(config: ModelConfig) -> None:
    """The hop's first sample hears so many samples before the hop's end, and not one more."""
    model, hop = toy_model.make(config), config.hop_length
    reach = model.receptive_field
    frames = reach // hop + 3
    end = frames * hop
    with torch.inference_mode():
        for back, reached in ((reach, True), (reach + 1, False)):
            x = torch.zeros(1, 1, end)
            x[..., end - back] = torch.nan
            assert model(x)[..., end - hop].isnan().item() is reached
            assert model(x)[..., end - hop :].isnan().any().item() is reached


def test_a_small_model_by_hand() -> None:
    """A sum over layers of (kernel - 1) x dilation x the samples a frame of that layer stands for."""
    shape = ModelConfig(fold=8, ratios=(4,), widths=(6, 8), dilations=(1, 3), latent_dim=3, noise_bands=0)
    outer, inner = 8, 32  # samples a frame
    stack = 2 * (1 + 3)
    encoder = (2 + stack) * outer + 4 * outer + stack * inner
    decoder = (2 + stack) * inner + inner
    outlet = -(-(2 + stack) // 4) * inner  # the outer frames before a hop's first lie in whole hops
    assert Autoencoder(shape).receptive_field == inner + encoder + decoder + outlet


def test_an_unknown_layer_is_refused_by_name() -> None:
    with pytest.raises(TypeError, match="Linear"):
        first_input(nn.Linear(2, 2), 0)
