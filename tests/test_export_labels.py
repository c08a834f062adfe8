"""Exported conditional models: labels as attributes, told to both networks, acting while it plays."""

import dataclasses
import math
from pathlib import Path

import pytest
import torch
import toy_model
from nn_host import Host
from torch import Tensor

from wavevae.export.codec import codec_module
from wavevae.export.latent_pca import AxisMap, axis_map
from wavevae.export.torchscript import script
from wavevae.nn.conditioning import Condition
from wavevae.nn.model import Autoencoder

CONFIG = dataclasses.replace(
    toy_model.SHAPES["plain"], condition="class+pitch", classes=("reed", "brass", "bell"), partials=12
)
HOP = CONFIG.hop_length
KINDS = {
    "class": ["class", "input_class"],
    "pitch": ["pitch", "input_pitch"],
    "class+pitch": ["class", "input_class", "pitch", "input_pitch"],
}


@pytest.fixture(scope="module")
def model() -> Autoencoder:
    return toy_model.make(CONFIG)


@pytest.fixture(scope="module")
def axes(model: Autoencoder) -> AxisMap:
    return axis_map(toy_model.statistics(model))


@pytest.fixture(scope="module")
def path(model: Autoencoder, axes: AxisMap, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("labels") / "told.ts"
    torch.jit.save(script(codec_module(CONFIG)(model, axes)), str(path))
    return path


@pytest.fixture
def module(path: Path) -> torch.jit.ScriptModule:
    return torch.jit.load(str(path)).eval()


def close(found: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(found, expected, rtol=0, atol=5e-5)


def stream(module: torch.jit.ScriptModule, x: Tensor) -> Tensor:
    module.reset()
    with torch.inference_mode():
        return torch.cat([module(part) for part in x.split(3 * HOP, 2)], 2)


@pytest.mark.parametrize("condition", KINDS)
def test_a_model_has_the_attributes_that_it_is_told(condition: str) -> None:
    config = dataclasses.replace(CONFIG, condition=condition)
    model = toy_model.make(config)
    module = script(codec_module(config)(model, axis_map(toy_model.statistics(model))))
    assert module.get_attributes() == ["gain", "temperature", "reset", *KINDS[condition]]
    for name in KINDS[condition]:
        assert getattr(module, f"{name}_params").tolist() == [1 if "class" in name else 2]
        assert getattr(module, f"get_{name}")() == ((-2,) if "input" in name else (-1,))
    for absent in set(KINDS["class+pitch"]) - set(KINDS[condition]):
        assert not hasattr(module, f"set_{absent}")


@pytest.mark.parametrize(
    ("name", "pitch"),
    [(None, None), ("bell", None), (None, 64.0), ("reed", 57.31), ("brass", 127.0), ("reed", 0.0)],
)
def test_labels_are_told_to_both_networks(
    module: torch.jit.ScriptModule, model: Autoencoder, name: str | None, pitch: float | None
) -> None:
    x = toy_model.sound(20 * HOP, 2)
    assert module.set_class(-1 if name is None else CONFIG.classes.index(name)) == 0
    assert module.set_pitch(-1.0 if pitch is None else pitch) == 0
    with torch.inference_mode():
        close(stream(module, x), model(x, model.condition(name, pitch, 2)))


def test_what_is_heard_may_have_other_labels_than_what_is_played(
    module: torch.jit.ScriptModule, model: Autoencoder
) -> None:
    x = toy_model.sound(20 * HOP)
    for setter, value in (("class", 1), ("pitch", 67.0), ("input_class", 0), ("input_pitch", 60.0)):
        assert getattr(module, f"set_{setter}")(value) == 0
    with torch.inference_mode():
        z = model.encode(x, condition=model.condition("reed", 60.0))
        close(stream(module, x), model.decode(z, condition=model.condition("brass", 67.0)))
        module.set_input_pitch(-1.0)
        module.set_input_class(-1)
        z = model.encode(x, condition=model.condition(None, None))
        close(stream(module, x), model.decode(z, condition=model.condition("brass", 67.0)))
        module.set_input_pitch(-2.0)
        module.set_input_class(-2)
        close(stream(module, x), model(x, model.condition("brass", 67.0)))


def test_a_mix_of_classes(module: torch.jit.ScriptModule, model: Autoencoder) -> None:
    x = toy_model.sound(20 * HOP)
    silent = torch.full((1,), math.nan)
    assert module.mix_classes(torch.tensor([0.25, 0.0, 0.5])) == 0
    assert module.get_class() == (-1,)
    with torch.inference_mode():
        close(stream(module, x), model(x, Condition(torch.tensor([[0.25, 0.0, 0.5]]), silent)))
        assert module.mix_classes(torch.tensor([3.0, 1.0, 0.0])) == 0  # shares: never more than the whole
        close(stream(module, x), model(x, Condition(torch.tensor([[0.75, 0.25, 0.0]]), silent)))
        for wrong in ([0.5, 0.5], [-0.1, 0.2, 0.3], [math.nan, 0.0, 0.0]):
            assert module.mix_classes(torch.tensor(wrong)) != 0
        close(stream(module, x), model(x, Condition(torch.tensor([[0.75, 0.25, 0.0]]), silent)))
        module.set_class(2)
        close(stream(module, x), model(x, model.condition("bell")))


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("class", (3, -2, 1000)),
        ("input_class", (3, -3)),
        ("pitch", (127.5, -2.0, -0.5, math.nan, math.inf)),
        ("input_pitch", (128.0, -1.5, math.nan)),
    ],
)
def test_labels_that_there_are_not_change_nothing(
    module: torch.jit.ScriptModule, name: str, values: tuple[float, ...]
) -> None:
    module.set_class(1)
    module.set_pitch(60.0)
    before = getattr(module, f"get_{name}")()
    for value in values:
        assert getattr(module, f"set_{name}")(value) != 0
        assert getattr(module, f"get_{name}")() == before


def test_a_file_says_no_label_at_first(module: torch.jit.ScriptModule, model: Autoencoder) -> None:
    x = toy_model.sound(9 * HOP)
    with torch.inference_mode():
        close(module(x), model(x))


def test_messages_of_a_host_set_labels_while_it_plays(path: Path, model: Autoencoder) -> None:
    host = Host(path, "forward", 1024)
    x = toy_model.sound(8192)
    host.message("class", 2.0)
    host.message("pitch", 61.5)
    close(host.play(x[0]), model(x, model.condition("bell", 61.5)).detach())
    assert host.ask("pitch") == [61.5]
    assert not host.failures


def pure(model: Autoencoder) -> Autoencoder:
    """Only the fundamental sounds, at 0.5, whatever the latents."""
    with torch.no_grad():
        for parameter in model.decoder.parameters():
            parameter.zero_()
        model.decoder.inlet.conv.bias[0] = 1.0
        model.decoder.partials.mix.weight[0, 0] = 0.5  # the real part of the first partial
    return model


def test_a_new_pitch_goes_on_from_the_phase_of_the_old_one() -> None:
    """No click: the slope of a sine that changes its pitch stays within the slopes of both."""
    config = dataclasses.replace(CONFIG, condition="pitch", noise_bands=0)
    model = toy_model.make(config)
    axes = axis_map(toy_model.statistics(model))
    module = script(codec_module(config)(pure(model), axes))
    z, heard = torch.zeros(1, config.latent_dim, 40), []
    with torch.inference_mode():
        for pitch in (60.0, 67.0, 61.3, 72.0):
            module.set_pitch(pitch)
            heard.append(module.decode(z))
    sound = torch.cat(heard, 2)[0, 0, HOP:]  # it rises over the first hop
    steepest = 0.5 * 2 * math.pi * 440 * 2 ** ((72 - 69) / 12) / config.sample_rate
    assert sound.abs().max() < 0.501
    assert sound.diff().abs().max() < 1.001 * steepest
    turns = (sound[:-1] * sound[1:] < 0).sum().item() / 2  # against the sum of frequencies x durations
    expected = sum(
        440 * 2 ** ((p - 69) / 12) * 40 * HOP / config.sample_rate for p in (60.0, 67.0, 61.3, 72.0)
    )
    assert turns == pytest.approx(expected, abs=4)


def test_a_pitch_after_none_rises_from_nothing() -> None:
    config = dataclasses.replace(CONFIG, condition="pitch", noise_bands=0)
    model = toy_model.make(config)
    module = script(codec_module(config)(pure(model), axis_map(toy_model.statistics(model))))
    z = torch.zeros(1, config.latent_dim, 5)
    with torch.inference_mode():
        assert not module.decode(z).any()
        module.set_pitch(69.0)
        sound = module.decode(z)[0, 0]
    rise = sound[:HOP].abs() / (torch.arange(1, HOP + 1) / HOP)
    assert 0.4 < rise.max() < 0.501
