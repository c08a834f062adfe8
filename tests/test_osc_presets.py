"""OSC: classes, their mixes, and presets."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from osc_desk import LATENTS, Table, held, labelled, raw

from wavevae.controls import MODES, Share
from wavevae.realtime.control.osc import ERROR


@pytest.fixture
def desk() -> Table:
    return Table()


def test_transform_and_sample_are_there_when_the_model_and_the_device_allow() -> None:
    desk = Table(live_input=True, can_sample=True)
    for number, mode in enumerate(MODES):
        desk.send("/wavevae/mode", mode)
        assert desk.state.mode == number
        assert desk.send("/wavevae/query", "mode")[0].params == [mode]
    desk.send("/wavevae/scale/1", 0.5)
    desk.send("/wavevae/bias/3", -2)
    desk.send("/wavevae/spread", 1.5)
    assert (desk.state.scale, desk.state.bias, desk.state.spread) == ((1, 0.5, 1, 1), (0, 0, 0, -2), 1.5)
    assert desk.face.rejected == 0


def test_a_class_is_named_or_numbered() -> None:
    desk = labelled()
    for value, label in (("bell", 1), (2, 2), ("3", 2), (3, 2), (0.0, 0), ("none", -1), (1, 1), (-1, -1)):
        desk.send("/wavevae/class", value)
        assert desk.state.mix == (() if label < 0 else (Share(label, 1.0),))
    assert desk.face.rejected == 0
    (error,) = desk.send("/wavevae/class", "flut")
    assert "known: flute, bell, 3" in error.params[0]
    desk.send("/wavevae/class", 4)
    assert (desk.state.mix, desk.face.rejected) == ((), 2)


def test_classes_are_mixed_by_pairs_and_one_by_one() -> None:
    desk = labelled()
    desk.send("/wavevae/smoothing", 120)
    desk.send("/wavevae/class", "flute", 0.5, 1, 0.25)
    assert desk.state.mix == (Share(0, 0.5), Share(1, 0.25))
    assert desk.state.settle_ms == 120
    assert desk.state.class_weights(3).tolist() == [0.5, 0.25, 0.0]
    assert desk.send("/wavevae/query", "class")[0].params == ["flute", 0.5, "bell", 0.25]
    desk.send("/wavevae/mix/2", 0.75)  # one fader more than there is room for: shares of the sum
    assert desk.state.class_weights(3) == pytest.approx([1 / 3, 1 / 6, 1 / 2])
    assert desk.send("/wavevae/query", "mix/2")[0].params == [0.75]
    desk.send("/wavevae/mix/0", 0)
    desk.send("/wavevae/class", "bell", 1, "none", 1.0)
    assert desk.state.mix == (Share(1, 1.0),)
    before = desk.state
    assert desk.face.rejected == 0
    wrong = (("bell", 0.5, "flute"), ("bell", 0.5, "gong", 0.5), ("bell", 1.5, 0, 0.0), ("bell", "0.5"))
    for values in (*wrong, (1, 0.5, "bell", 0.5), (0.5, 0.5)):
        assert desk.send("/wavevae/class", *values)[0].address == ERROR
    desk.send_raw(raw("/wavevae/class", ",", b""))
    assert desk.state is before
    one = labelled(can_mix=False)
    assert "one class at a time" in one.send("/wavevae/class", "bell", 0.5, "flute", 0.5)[0].params[0]
    assert one.send("/wavevae/mix/0", 0.5)[0].address == ERROR
    many = labelled(classes=tuple(f"c{n}" for n in range(40)))
    for number in range(16):
        many.send(f"/wavevae/mix/{number}", 0.1)
    assert many.face.rejected == 0
    assert "up to 16" in many.send("/wavevae/mix/16", 0.1)[0].params[0]


def test_what_the_encoder_is_told_is_set_apart(desk: Table) -> None:
    assert desk.send("/wavevae/input_class", "none")[0].address == ERROR
    desk = labelled()
    assert desk.send("/wavevae/query", "input_class")[0].params == ["same"]
    for value, label in (("bell", 1), ("none", -1), (-1, -1), (0, 0), ("same", -2), (2, 2), (-2, -2)):
        desk.send("/wavevae/input_class", value)
        assert desk.state.input_label == label
    for value in (60.5, -1, 0, 127, -2):
        desk.send("/wavevae/input_pitch", value)
        assert desk.state.input_pitch == value
    assert desk.face.rejected == 0
    for value in (-1.5, 128, "a4", math.nan, -3):
        assert desk.send("/wavevae/input_pitch", value)[0].address == ERROR
    for value in (-3, 4, "gong", 0.5):
        assert desk.send("/wavevae/input_class", value)[0].address == ERROR


def test_a_preset_keeps_the_mix_and_another_model_what_has_the_same_name() -> None:
    desk = labelled()
    desk.send("/wavevae/class", "flute", 0.5, "3", 0.25)
    desk.send("/wavevae/preset/store", "both")
    desk.send("/wavevae/class", "bell")
    desk.send("/wavevae/preset/recall", "both", 2.0)
    assert (desk.state.mix, desk.state.settle_ms) == ((Share(0, 0.5), Share(2, 0.25)), 2000.0)
    good = desk.desk.presets.named["both"]
    for kept, mix in (("bell", (Share(1, 1.0),)), (None, ())):
        desk.desk.presets.named["both"] = {**good, "class": kept}
        desk.send("/wavevae/preset/recall", "both")
        assert desk.state.mix == mix
    assert desk.face.rejected == 0
    for kept in ("gong", {"bell": 2}, {"bell": math.nan}, ["bell"], 3):
        desk.desk.presets.named["both"] = {**good, "class": kept}
        assert desk.send("/wavevae/preset/recall", "both")[0].address == ERROR
    desk.send("/wavevae/class", "flute", 0.5, "3", 0.25)
    desk.send("/wavevae/note", 60, 1.0)
    desk.desk.change(replace(desk.desk.model, classes=("gong", "3", "x"), name="other.ts"))
    assert desk.state.mix == (Share(1, 0.25),)
    assert held(desk) == {60}
    desk.desk.change(replace(desk.desk.model, has_class=False, has_pitch=False, classes=()))
    assert (desk.state.mix, desk.state.notes) == ((), ())


def test_presets_are_stored_and_recalled_with_a_glide(desk: Table) -> None:
    desk.send("/wavevae/latents", 1.0, 2.0, 3.0, 4.0)
    desk.send("/wavevae/gain", -12)
    desk.send("/wavevae/preset/store", "dark")
    desk.send("/wavevae/latents", 0, 0, 0, 0)
    desk.send("/wavevae/gain", 0)
    desk.send("/wavevae/preset/recall", "dark", 2.5)
    state = desk.state
    assert (state.latents, state.gain_db) == ((1, 2, 3, 4), -12)
    assert state.glides_ms == (2500.0,) * LATENTS
    assert state.gain_glide_ms == state.settle_ms == 2500.0
    desk.send("/wavevae/latent/1", 0.0)  # one axis taken out of the morph by hand
    assert desk.state.glides_ms == (2500.0, 30.0, 2500.0, 2500.0)
    desk.send("/wavevae/preset/recall", "dark")
    assert desk.state.glides_ms == (30.0,) * LATENTS
    assert desk.face.rejected == 0
    (error,) = desk.send("/wavevae/preset/recall", "dank")
    assert "no preset 'dank'" in error.params[0]
    desk.send("/wavevae/preset/delete", "dark")
    assert not desk.desk.presets.named


def test_a_preset_that_was_meddled_with_changes_nothing(desk: Table) -> None:
    desk.send("/wavevae/preset/store", "a")
    good = desk.desk.presets.named["a"]
    for name, value in (("latents", [0.0]), ("latents", [math.nan] * 4), ("gain_db", 99), ("mode", "x")):
        desk.desk.presets.named["a"] = {**good, name: value}
        before = desk.state
        desk.send("/wavevae/preset/recall", "a")
        assert desk.state is before
    assert desk.face.rejected == 4
