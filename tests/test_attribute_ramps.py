"""An attribute that a host sets at a buffer's edge is heard without a click: level and tone move over a hop or more."""

from __future__ import annotations

import dataclasses
import math

import pytest
import torch
import toy_model
import toy_playable
from test_export_labels import pure
from torch import Tensor

from wavevae.export.codec import codec_module
from wavevae.export.instrument import InstrumentModule, instrument_module
from wavevae.export.latent_pca import axis_map
from wavevae.export.model_file import axes_of
from wavevae.export.torchscript import HostModule, script

CHANGES = {
    "gain": (0.0, -20.0), "temperature": (0.0, 2.0), "life": (0.0, 2.0), "transpose": (0.0, 7.0), "fit": (0.0, 1.0),
    "transpose_auto": (0, 1), "class": (0, 1), "input_class": (0, 1),
}  # fmt: skip
"""From and to; every attribute but reset, which is meant to begin afresh."""
CLICK_DB = 2.0
EDGE, FRAMES = 120, 200


def click_db(x: Tensor, at: int, hop: int) -> float:
    """Energy of the second difference around sample `at` and in the hop after it, against the loudest moment of the
    steady tones before and after (16 samples each)."""
    bends = x.double().diff(n=2).square().unfold(0, 16, 1).mean(1)
    around = bends[at - 20 : at + hop].max()
    before, after = bends[at - 40 * hop : at - hop], bends[at + 20 * hop :]
    return 10 * math.log10(float(around / torch.maximum(before.max(), after.max())))


def played(module: HostModule, method: str, x: Tensor, name: str, hops: int = 4) -> Tensor:
    """(T,) in buffers of so many hops; the attribute changes before hop EDGE."""
    old, new = CHANGES[name]
    setter, step = getattr(module, f"set_{name}"), x.size(2) // FRAMES
    assert setter(old) == 0
    module.reset()
    torch.manual_seed(0)
    with torch.inference_mode():
        first = [getattr(module, method)(part) for part in x[:, :, : EDGE * step].split(hops * step, 2)]
        assert setter(new) == 0
        rest = [getattr(module, method)(part) for part in x[:, :, EDGE * step :].split(hops * step, 2)]
    assert setter(old) == 0
    return torch.cat(first + rest, 2)[0, 0]


@pytest.fixture(scope="module")
def instrument() -> InstrumentModule:
    """Told classes, knowing its corpus; without noise, in which a click could hide."""
    model = toy_playable.make("class")
    parts, outlet = model.decoder.shares, model.decoder.outlet.conv
    tonal = parts.partials + parts.envelope
    with torch.no_grad():
        assert outlet.bias is not None
        outlet.weight[tonal:] = 0.0
        outlet.weight[:tonal] *= 0.3
        outlet.bias[tonal:] = -80.0
        outlet.bias[: parts.partials] = -1.5 * torch.arange(parts.partials)
    model.profile = toy_playable.profile(model)
    return instrument_module(model, axes_of(model, toy_playable.statistics(model))).eval()


@pytest.mark.parametrize("name", CHANGES)
def test_no_attribute_of_an_instrument_clicks(instrument: InstrumentModule, name: str) -> None:
    assert set(instrument.get_attributes()) == {*CHANGES, "reset"}
    hop = instrument.hop_length
    z, x = toy_playable.controls(FRAMES), toy_playable.tone(22050, FRAMES * hop, 52.0, -40.0)
    for method, signal in (("decode", z), ("forward", x)):
        assert click_db(played(instrument, method, signal, name), EDGE * hop, hop) < CLICK_DB, method


def test_a_step_would_be_noticed(instrument: InstrumentModule) -> None:
    hop = instrument.hop_length
    stepped = played(instrument, "decode", toy_playable.controls(FRAMES), "life")
    for sample in (EDGE * hop, EDGE * hop + 100):
        sound = stepped.clone()
        sound[sample:] *= 0.8
        assert click_db(sound, EDGE * hop, hop) > 3 * CLICK_DB


# -- codecs told labels --------------------------------------------------------------------------------------

CODEC = dataclasses.replace(
    toy_model.SHAPES["plain"], condition="class+pitch", classes=("reed", "brass"), partials=12, noise_bands=0
)


@pytest.mark.parametrize("method", ["decode", "forward"])
def test_another_class_of_a_codec_comes_in_over_some_hops(method: str) -> None:
    """In the first samples hardly any of the change is there, and after six hops it is whole."""
    model = toy_model.make(CODEC)
    with torch.no_grad():
        model.decoder.outlet.conv.weight.mul_(0.05)  # nothing is cut at full scale
    module = script(codec_module(CODEC)(model, axis_map(toy_model.statistics(model))))
    hop = CODEC.hop_length
    x = torch.zeros(1, CODEC.latent_dim, FRAMES) if method == "decode" else toy_model.sound(FRAMES * hop)
    for hops in (1, 4):
        moved = played(module, method, x, "class", hops)
        module.reset()
        with torch.inference_mode():
            change = (moved - getattr(module, method)(x)[0, 0]).square()
        edge = EDGE * hop
        assert change[:edge].max() < 1e-9
        assert change[edge : edge + CODEC.fold].mean() < 0.05 * change[edge + 16 * hop :].mean()
        assert change[edge + 6 * hop : edge + 16 * hop].mean() > 0.8 * change[edge + 16 * hop :].mean()


def test_a_label_from_the_start_is_there_from_the_first_sample() -> None:
    model = toy_model.make(CODEC)
    module = script(codec_module(CODEC)(model, axis_map(toy_model.statistics(model))))
    x = toy_model.sound(9 * CODEC.hop_length)
    with torch.inference_mode():
        module(x)
        for prepare in (module.reset, lambda: module(x.repeat(2, 1, 1))):  # other voices begin afresh
            module.set_class(1)
            prepare()
            expected = model(x, model.condition("brass", None))
            torch.testing.assert_close(module(x), expected, rtol=0, atol=5e-5)
            module.set_class(-1)


@pytest.mark.parametrize("new", [-1.0, 55.0])
def test_a_pitch_of_a_codec_ends_without_a_click(new: float) -> None:
    model = pure(toy_model.make(CODEC))
    module = script(codec_module(CODEC)(model, axis_map(toy_model.statistics(model))))
    module.set_pitch(60.0)
    z, hop = torch.zeros(1, CODEC.latent_dim, 80), CODEC.hop_length
    with torch.inference_mode():
        first = module.decode(z)
        module.set_pitch(new)
        sound = torch.cat([first, module.decode(z)], 2)[0, 0]
    assert click_db(sound, 80 * hop, hop) < CLICK_DB
    assert bool(sound[81 * hop :].any()) == (new > 0)
