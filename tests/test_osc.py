"""OSC changes exactly what it says."""

from __future__ import annotations

import json
import math
import re
import struct
from dataclasses import replace

import pytest
from osc_desk import LATENT, LATENTS, SENDER, Table, bundle, held, labelled, ntp, raw, toy_about
from pythonosc.osc_bundle_builder import IMMEDIATELY, OscBundleBuilder
from pythonosc.osc_message import OscMessage

from wavevae.controls import GAIN, NUMBERS, Control, ControlState, Share
from wavevae.realtime.control.midi_map import usual_range
from wavevae.realtime.control.network import find, tree
from wavevae.realtime.control.osc import ERROR, MOST_MESSAGES, MOST_PENDING, MOST_SUBSCRIBERS, encode
from wavevae.realtime.model_info import Attribute, Axis
from wavevae.realtime.options import EXAMPLE


@pytest.fixture
def desk() -> Table:
    return Table()


def test_every_address_does_what_it_says(desk: Table) -> None:
    desk.send("/wavevae/latent/2", 1.5)
    desk.send("/wavevae/gain", -6)  # an int will do
    desk.send("/wavevae/smoothing", 120.0)
    desk.send("/wavevae/temperature", 0.25)
    desk.send("/wavevae/freeze")
    state = desk.state
    assert state == replace(
        ControlState.initial(LATENTS).with_latent(2, 1.5),
        **{"gain_db": -6.0, "smoothing_ms": 120.0, "temperature": 0.25, "settle_ms": 120.0, "frozen": True},
    )
    assert desk.published[-1] == state
    desk.send("/wavevae/latents", 1.0, 2, -3.0, 0.5)
    desk.send("/wavevae/freeze", 0)
    desk.send("/wavevae/panic")
    state = desk.state
    assert (state.latents, state.frozen, state.muted, state.resets) == ((1.0, 2.0, -3.0, 0.5), False, True, 1)
    desk.send("/wavevae/gain", 0.0)
    assert not desk.state.muted
    desk.send("/wavevae/reset")
    assert desk.state.resets == 2
    assert (desk.face.accepted, desk.face.rejected) == (10, 0)


def test_a_bundle_is_one_change(desk: Table) -> None:
    builder = OscBundleBuilder(IMMEDIATELY)
    desk.send_raw(builder.build().dgram)  # empty: nothing
    desk.send_raw(bundle(*(encode(f"/wavevae/latent/{i}", float(i)) for i in range(LATENTS))))
    assert len(desk.published) == 1
    assert desk.state.latents == (0.0, 1.0, 2.0, 3.0)
    desk.send_raw(bundle(encode("/wavevae/gain", 3.0), tag=ntp(desk.now - 5)))  # a little late
    assert desk.state.gain_db == 3.0


def test_a_bundle_has_room_for_every_axis_of_the_model() -> None:
    axes = tuple(Axis(f"axis {i}", -2.0, 2.0, 0.01) for i in range(256))  # as many as there can be
    desk = Table(axes=axes)
    every = [encode(f"/wavevae/latent/{i}", i / 100) for i in range(256)]
    desk.send_raw(bundle(*every, encode("/wavevae/gain", -3.0)))
    assert desk.state.latents == pytest.approx([i / 100 for i in range(256)])
    assert desk.state.gain_db == -3.0
    assert (len(desk.published), desk.face.rejected) == (1, 0)


def number(tag: str, value: float) -> tuple[str, bytes]:
    kind = {"i": ">i", "f": ">f", "h": ">q", "d": ">d"}[tag]
    return f",{tag}", struct.pack(kind, value)


PRESSES = [(",", b""), (",T", b""), (",I", b""), (",N", b""), number("f", 1.0), number("i", 1)]
PRESSES += [number("i", 127), number("f", 0.3), number("d", 1.0), number("h", -1)]
RELEASES = [(",F", b""), number("f", 0.0), number("i", 0), number("h", 0), number("d", -0.0)]


@pytest.mark.parametrize("address", ["/wavevae/panic", "/wavevae/reset", "/wavevae/drone"])
def test_a_button_is_pressed_by_whatever_clients_send_for_a_press(address: str) -> None:
    for tags, payload in PRESSES:
        desk = Table()
        before = replace(desk.state, keyed=True)
        desk.desk.resume(before)
        assert desk.send_raw(raw(address, tags, payload)) == []
        assert desk.state != before, tags
    for tags, payload in RELEASES:
        desk = Table()
        before = desk.state
        assert desk.send_raw(raw(address, tags, payload)) == []
        assert (desk.state, desk.published, desk.face.accepted) == (before, [], 1)


def test_a_toggle_takes_numbers_truths_and_presses(desk: Table) -> None:
    freeze = "/wavevae/freeze"
    on = [(",T", b""), number("i", 127), number("f", 1.0), number("i", 2)]
    off = [(",F", b""), number("i", 0), number("f", 0.0)]
    for start, kinds in ((False, on), (True, off)):
        for tags, payload in kinds:
            desk.desk.resume(replace(desk.state, frozen=start))
            desk.send_raw(raw(freeze, tags, payload))
            assert desk.state.frozen is not start, tags
    for tags in (",", ",I", ",N"):
        frozen = desk.state.frozen
        desk.send_raw(raw(freeze, tags, b""))
        assert desk.state.frozen is not frozen
    assert desk.face.rejected == 0


def test_whole_floats_are_ints_where_an_int_is_meant() -> None:
    desk = labelled(voices=4)
    desk.send("/wavevae/subscribe", 9555.0)
    assert desk.face.subscribers == [("127.0.0.1", 9555)]
    desk.send_raw(raw("/wavevae/note", ",dd", struct.pack(">dd", 60.0, 1.0)))
    desk.send("/wavevae/note", 62.0, 1)
    assert [n.pitch for n in desk.state.notes] == [60, 62]
    desk.send("/wavevae/class", 1.0)
    assert desk.state.mix == (Share(1, 1.0),)
    assert desk.face.rejected == 0
    desk.send("/wavevae/subscribe", 9555.5)
    desk.send("/wavevae/note", 60.5, 1.0)
    assert desk.face.rejected == 2


def test_only_the_wrong_part_of_a_bundle_is_refused(desk: Table) -> None:
    replies = desk.send_raw(bundle(encode("/wavevae/gain", 3.0), encode("/wavevae/gain", 999.0)))
    assert desk.state.gain_db == 3.0
    assert (desk.face.accepted, desk.face.rejected) == (1, 1)
    assert [r.address for r in replies] == [ERROR]


def test_queries_answer_the_sender(desk: Table) -> None:
    (reply,) = desk.send("/wavevae/query", "latents")
    assert reply.address == "/wavevae/state/latents"
    assert reply.params == [0.5] * LATENTS
    desk.send("/wavevae/latent/1", 0.25)
    assert desk.send("/wavevae/query", "/wavevae/latent/1")[0].params == [0.25]
    for name in desk.face.values():
        assert desk.send("/wavevae/query", name)[0].address == f"/wavevae/state/{name}"


def test_subscribers_are_those_who_asked_up_to_a_number(desk: Table) -> None:
    desk.send("/wavevae/subscribe", 7000)
    desk.send("/wavevae/subscribe", 7000)
    assert desk.face.subscribers == [("127.0.0.1", 7000)]
    names = {OscMessage(data).address for data in desk.face.state_messages()}
    assert {"/wavevae/state/level", "/wavevae/state/rejected"} <= names
    for port in range(7001, 7001 + MOST_SUBSCRIBERS):
        desk.send("/wavevae/subscribe", port)
    assert len(desk.face.subscribers) == MOST_SUBSCRIBERS
    assert desk.face.rejected == 1
    desk.send("/wavevae/subscribe", 0)
    assert desk.face.subscribers == []


def test_a_dated_bundle_waits_for_its_time_and_in_order(desk: Table) -> None:
    for ahead, value in ((3.0, 0.3), (1.0, 0.1), (2.0, 0.2), (2.0, 0.25)):
        desk.send_raw(bundle(encode(LATENT, value), tag=ntp(desk.now + ahead)))
    assert not desk.published
    assert desk.face.next_due == pytest.approx(desk.now + 1, abs=1e-6)
    seen = []
    for _ in range(4):
        desk.now += 1.0
        desk.face.run_due()
        seen.append(round(desk.state.latents[0], 2))
    assert seen == [0.1, 0.25, 0.3, 0.3]
    assert desk.face.next_due is None


def test_what_is_wrong_in_a_dated_bundle_is_answered_at_its_time(desk: Table) -> None:
    assert desk.send_raw(bundle(encode(LATENT, 99.0), tag=ntp(desk.now + 1))) == []
    desk.now += 2
    (reply,) = desk.face.run_due()
    assert (OscMessage(reply.data).address, reply.to) == (ERROR, SENDER)
    assert desk.face.rejected == 1


def test_only_so_many_messages_wait(desk: Table) -> None:
    for n in range(MOST_PENDING // MOST_MESSAGES - 1):
        desk.send_raw(bundle(*[encode(LATENT, 0.5)] * MOST_MESSAGES, tag=ntp(desk.now + 1 + n / 1000)))
    desk.send_raw(bundle(*[encode(LATENT, 0.5)] * (MOST_MESSAGES + 1), tag=ntp(desk.now + 2)))  # one too many
    assert desk.face.rejected == 1
    desk.send_raw(bundle(*[encode(LATENT, 0.5)] * MOST_MESSAGES, tag=ntp(desk.now + 2)))
    assert desk.face.rejected == 1
    desk.now += 10
    desk.face.run_due()
    assert desk.face.accepted == MOST_PENDING


def test_notes_are_bent_where_there_is_a_pitch(desk: Table) -> None:
    assert "no pitch" in desk.send("/wavevae/bend", 1.0)[0].params[0]
    desk = labelled()
    desk.send("/wavevae/bend", -0.25)
    assert desk.state.bend == -0.25
    assert desk.send("/wavevae/query", "bend")[0].params == [-0.25]
    desk.send("/wavevae/bend", 49)
    assert (desk.state.bend, desk.face.rejected) == (-0.25, 1)


def test_notes_take_the_free_voice_then_the_oldest() -> None:
    desk = Table(has_pitch=True, voices=3)
    for pitch in (60, 64, 67):
        desk.send("/wavevae/note", pitch, 0.8)
    assert (held(desk), desk.state.keyed) == ({60, 64, 67}, True)
    desk.send("/wavevae/note", 72, 1)
    assert held(desk) == {64, 67, 72}
    desk.send("/wavevae/note", 67, 0)
    desk.send("/wavevae/note", 60, 0)  # long gone
    desk.send("/wavevae/note", 48, 0.5)
    assert held(desk) == {64, 72, 48}
    before = {n.pitch: n.serial for n in desk.state.notes}
    desk.send("/wavevae/note", 64, 1.0)  # struck again: the same voice, a new attack
    assert len(desk.state.notes) == 3
    assert {n.pitch: n.serial for n in desk.state.notes}[64] > max(before.values())
    desk.send("/wavevae/panic")
    assert (held(desk), desk.state.muted) == (set(), True)
    desk.send("/wavevae/drone")
    assert (desk.state.keyed, desk.state.notes) == (False, ())
    assert desk.face.rejected == 0
    for wrong in ((60.5, 1.0), (128, 1.0), (-1, 1.0), (60, 1.1), (60, -0.1), ("c4", 1.0)):
        desk.send("/wavevae/note", *wrong)
    assert desk.face.rejected == 6


POINTS = ((-2.0, 0.0, 1.0, 0.0), (2.0, 1.0, -1.0, 0.5), (0.0, -1.0, 0.0, 0.0))


def test_the_map_gives_its_points_back_and_lies_between_them() -> None:
    desk = Table(points=POINTS)
    places = desk.desk.map.places
    assert (places.min(), places.max()) == (0, 1)
    for point, (x, y) in zip(POINTS, places, strict=True):
        desk.send("/wavevae/xy", float(x), float(y))
        assert desk.state.latents == pytest.approx(point, abs=1e-3)
    desk.send("/wavevae/xy", 0.5, 0.5)
    assert desk.state.latents[:2] == pytest.approx((0.0, 0.0))
    assert -1 < desk.state.latents[2] < 1


def test_without_points_the_map_is_the_first_two_axes(desk: Table) -> None:
    desk.send("/wavevae/latent/2", 0.7)
    desk.send("/wavevae/xy", 0.75, 0.25)
    assert desk.state.latents == pytest.approx((1.0, -1.0, 0.7, 0.0))


def test_attributes_of_other_files_keep_their_types() -> None:
    kinds = (
        Attribute("bright", (2,), (0.5,)),
        Attribute("steps", (1,), (3.0,)),
        Attribute("on", (0,), (0.0,)),
    )
    desk = Table(attributes=kinds)
    assert desk.state.attributes == (0.5, 3.0, 0.0)
    desk.send("/wavevae/attribute/bright", 0.9)
    desk.send("/wavevae/attribute/steps", 7.9)
    desk.send("/wavevae/attribute/on", 1)
    assert desk.state.attributes == pytest.approx((0.9, 7.0, 1.0))
    desk.send("/wavevae/attribute/on", 2)
    desk.send("/wavevae/attribute/bright", math.nan)
    assert desk.face.rejected == 2
    assert desk.send("/wavevae/query", "attribute/steps")[0].params == [7.0]


def test_another_model_keeps_what_fits(desk: Table) -> None:
    desk.send("/wavevae/latents", 1.0, 2.0, 3.0, 4.0)
    desk.send("/wavevae/gain", -3)
    axes = tuple(Axis(f"axis {i}", -2.0, 2.0, 0.1) for i in range(6))
    desk.desk.change(replace(desk.desk.model, axes=axes, name="other.ts"))
    assert desk.state.latents == (1, 2, 3, 4, 0, 0)
    assert desk.state.gain_db == -3
    desk.send("/wavevae/latent/5", 1.0)
    assert desk.face.rejected == 0
    desk.desk.change(replace(desk.desk.model, axes=axes[:2]))
    assert desk.state.latents == (1, 2)
    assert desk.send("/wavevae/latent/2", 1.0)[0].address == ERROR


def test_oscquery_describes_every_address_so_that_faders_can_be_built() -> None:
    desk = labelled(classes=("flute", "bell"))
    root = tree(desk.desk.rows())
    for row in desk.desk.rows():
        node = find(root, row.path)
        assert node is not None
        assert node["FULL_PATH"] == row.path
        assert node["DESCRIPTION"]
        assert len(node.get("TYPE", "")) == len(node["RANGE"]) if "RANGE" in node else True
    gain = find(root, "/wavevae/gain")
    assert gain == {
        "FULL_PATH": "/wavevae/gain", "ACCESS": 3, "DESCRIPTION": GAIN.doc, "TYPE": "f",
        "RANGE": [{"MIN": -120, "MAX": 24}], "UNIT": ["dB"], "VALUE": [0.0],
    }  # fmt: skip
    assert {find(root, f"/wavevae/{name}")["TYPE"] for name in ("panic", "reset", "drone")} == {"I"}
    kind = find(root, "/wavevae/class")
    assert kind is not None
    assert kind["RANGE"] == [{"VALS": ["none", "flute", "bell"]}]
    assert kind["VALUE"] == ["none"]
    json.dumps(root, allow_nan=False)


AN_INSTRUMENT = {
    "n_controls": 1,
    "performs": True,
    "axes": (Axis("loudness", -2, 2, 1.0, -20, 5, "dB"), *toy_about().axes[1:]),
}


@pytest.mark.parametrize("control", NUMBERS, ids=lambda control: control.name)
def test_a_declared_control_has_an_address_a_preset_a_knob_and_its_help(control: Control) -> None:
    table = Table(**AN_INSTRUMENT, typical=(0.0,) * LATENTS)
    address, value = f"/wavevae/{control.name}", (control.default + control.high) / 2
    assert table.desk.table[address].value() == control.default
    assert not table.send(address, float(value))
    assert ControlState.unpack(table.state.pack().tolist()) == table.state
    assert getattr(table.state, control.field) == pytest.approx(value)
    table.send("/wavevae/preset/store", "kept")
    table.send(address, float(control.low))
    table.send("/wavevae/preset/recall", "kept")
    assert table.desk.table[address].value() == pytest.approx(value)
    low, high = usual_range(address)
    assert control.low <= low < high <= control.high
    assert re.search(rf"^  {address} .*{re.escape(control.doc)}$", EXAMPLE, re.MULTILINE)
