"""OSC changes exactly what it says, or nothing; nothing that comes in stops it."""

from __future__ import annotations

import json
import math
import random
import struct
import sys
from collections.abc import Callable
from dataclasses import replace

import pytest
from pythonosc.osc_bundle_builder import IMMEDIATELY, OscBundleBuilder
from pythonosc.osc_message import OscMessage
from wavevae.realtime.about import About, Attribute, Axis
from wavevae.realtime.desk import Desk
from wavevae.realtime.osc import ERROR, MOST_PENDING, MOST_SUBSCRIBERS, OscFace, encode
from wavevae.realtime.osc_wire import MOST_MESSAGES, MOST_REFUSALS
from wavevae.realtime.oscquery import find, tree

from wavevae.controls import GAIN, MODES, ControlState, Share

SENDER = ("127.0.0.1", 5000)
LATENTS = 4


def toy_about(**changes: object) -> About:
    axes = tuple(Axis(f"axis {i}", -2.0, 2.0, 0.25) for i in range(LATENTS))
    return replace(About("/toy.ts", "toy.ts", 22050, 256, axes), **changes)  # type: ignore[arg-type]


class Table:
    """An OscFace at a desk, what it published and answered; its clock stands still until it is set."""

    def __init__(self, **changes: object) -> None:
        self.published: list[ControlState] = []
        self.now = 1.7e9
        self.desk = Desk(toy_about(**changes), lambda state, lines: self.published.append(state))
        heard = {"level": -12.5, "latents": [0.5] * LATENTS}
        self.face = OscFace(self.desk, lambda: dict(heard), lambda: self.now)

    @property
    def state(self) -> ControlState:
        return self.desk.state

    def send(self, address: str, *values: float | int | str) -> list[OscMessage]:
        return self.send_raw(encode(address, *values))

    def send_raw(self, data: bytes) -> list[OscMessage]:
        return [OscMessage(reply.data) for reply in self.face.handle(data, SENDER)]


@pytest.fixture
def desk() -> Table:
    return Table()


def raw(address: str, tags: str, payload: bytes) -> bytes:
    """A message by hand, right or wrong."""

    def padded(text: str) -> bytes:
        data = text.encode()
        return data + b"\0" * (4 - len(data) % 4)

    return padded(address) + padded(tags) + payload


def bundle(*messages: bytes, tag: int = 1) -> bytes:
    return b"#bundle\0" + struct.pack(">Q", tag) + b"".join(struct.pack(">i", len(m)) + m for m in messages)


def ntp(unix_s: float) -> int:
    return int((unix_s + 2_208_988_800) * 2**32)


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


def test_only_the_wrong_part_of_a_bundle_is_refused(desk: Table) -> None:
    replies = desk.send_raw(bundle(encode("/wavevae/gain", 3.0), encode("/wavevae/gain", 999.0)))
    assert desk.state.gain_db == 3.0
    assert (desk.face.accepted, desk.face.rejected) == (1, 1)
    assert [r.address for r in replies] == [ERROR]


LATENT = "/wavevae/latent/0"
WRONG: dict[str, bytes] = {
    "empty": b"",
    "garbage": b"\xff" * 32,
    "unknown": encode("/wavevae/laten/0", 1.0),
    "index": encode(f"/wavevae/latent/{LATENTS}", 1.0),
    "negative index": encode("/wavevae/latent/-1", 1.0),
    "other index": encode("/wavevae/latent/00", 1.0),
    "below": encode("/wavevae/latent/0/x", 1.0),
    "string": encode(LATENT, "1.0"),
    "bool": raw(LATENT, ",T", b""),
    "blob": raw(LATENT, ",b", struct.pack(">i", 4) + b"abcd"),
    "array": raw(LATENT, ",[f]", struct.pack(">f", 1.0)),
    "none": encode(LATENT),
    "two": encode(LATENT, 1.0, 2.0),
    "too few": encode("/wavevae/latents", 1.0, 2.0, 3.0),
    "argument to panic": encode("/wavevae/panic", 1),
    "freeze 2": encode("/wavevae/freeze", 2),
    "nan": encode(LATENT, math.nan),
    "inf": encode(LATENT, -math.inf),
    "nan double": raw(LATENT, ",d", struct.pack(">d", math.nan)),
    "nan among all": encode("/wavevae/latents", 1.0, math.nan, 1.0, 1.0),
    "huge": encode(LATENT, 1e30),
    "huge int": raw(LATENT, ",h", struct.pack(">q", 2**62)),
    "loud": encode("/wavevae/gain", 60.0),
    "negative time": encode("/wavevae/smoothing", -1.0),
    "number missing": raw(LATENT, ",f", b""),
    "number cut": raw(LATENT, ",f", b"\x3f\x80"),
    "bytes left over": encode(LATENT, 1.0) + b"\0\0\0\0",
    "no end of string": b"/wavevae/gain",
    "bad utf-8": raw(LATENT, ",s", b"\xff\xfe\xfd\0"),
    "bad utf-8 address": b"/\xff\xfe\0,\0\0\0",
    "stars": encode("/wavevae/latent/*", 1.0),
    "36 bytes that froze a server": raw("/wavevae/preset/************Q", ",", b""),
    "choice": encode("/wavevae/latent/{0,1}", 1.0),
    "class": encode("/wavevae/latent/[0-9]", 1.0),
    "dated tomorrow": bundle(encode(LATENT, 1.0), tag=ntp(1.7e9 + 86400)),
    "dated in 2036": bundle(encode(LATENT, 1.0), tag=2**64 - 1),
    "bundle cut": bundle(encode(LATENT, 1.0))[:-4],
    "bundle head only": b"#bundle\0\0\0",
    "bundle size negative": b"#bundle\0" + struct.pack(">Qi", 1, -4),
    "bundle size zero": b"#bundle\0" + struct.pack(">Qi", 1, 0),
    "bundles without end": b"#bundle\0" + struct.pack(">Qi", 1, 1600) + b"#bundle\0" * 200,
    "query nothing": encode("/wavevae/query", "nothing"),
    "query number": encode("/wavevae/query", 1),
    "subscribe nowhere": encode("/wavevae/subscribe", 70000),
    "too long": encode("/wavevae/query", "x" * 9000),
    "too many arguments": encode("/wavevae/latents", *[1.0] * 600),
    "mode": encode("/wavevae/mode", "generat"),
    "no input": encode("/wavevae/mode", "transform"),
    "no density": encode("/wavevae/mode", "sample"),
    "no class": encode("/wavevae/class", 0),
    "no pitch": encode("/wavevae/note", 60, 1.0),
    "no preset": encode("/wavevae/preset/recall", "nothing"),
    "preset without a name": encode("/wavevae/preset/store", ""),
    "off the map": encode("/wavevae/xy", 0.5, 1.5),
    "no attribute": encode("/wavevae/attribute/x", 1.0),
    "subscribe float": encode("/wavevae/subscribe", 7000.0),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_not_exactly_right_changes_nothing_and_is_answered(desk: Table, name: str) -> None:
    before = desk.state
    replies = desk.send_raw(WRONG[name])
    assert desk.state is before
    assert not desk.published
    assert (desk.face.accepted, desk.face.rejected) == (0, 1)
    assert [r.address for r in replies] == [ERROR]
    assert replies[0].params[0]


def test_bundles_nested_for_ever_are_refused_quickly(desk: Table) -> None:
    data = encode(LATENT, 1.0)
    for _ in range(3000):
        data = bundle(data)
    desk.send_raw(data)
    assert not desk.published
    assert desk.face.rejected == 1


def test_errors_are_never_answered_so_two_programs_cannot_quarrel_for_ever(desk: Table) -> None:
    assert desk.send(ERROR, "you are wrong") == []
    assert desk.send("/wavevae/state/level", 1.0) == []
    assert desk.face.rejected == 2


MUTATIONS: tuple[Callable[[random.Random, bytes], bytes], ...] = (
    lambda r, d: d[: r.randrange(len(d))],
    lambda r, d: d + bytes(r.randrange(1, 256) for _ in range(r.randrange(1, 9))),
    lambda r, d: d.replace(b"wavevae", bytes(r.choice(b"*?[]{}") for _ in range(7))),
    lambda r, d: d[:-4] + struct.pack(">f", r.choice((math.nan, math.inf, -math.inf, 1e20))),
    lambda r, d: bundle(d, tag=ntp(1.7e9 + r.uniform(11, 1e6))),
    lambda r, d: bundle(d)[: -r.randrange(1, len(d))],
    lambda r, d: bytes(r.randrange(256) for _ in range(r.randrange(200))),
    lambda r, d: d.replace(b",f", b"," + bytes([r.choice(b"sbTFNImrt[]x")])),
    lambda r, d: d.replace(b"/0", b"/" + bytes([r.randrange(1, 256)])) if b"/0" in d else b"\0" + d,
)


def test_thousands_of_wrong_datagrams_change_nothing_and_are_all_counted(desk: Table) -> None:
    chance = random.Random(5)
    good = [encode(LATENT, 1.0), encode("/wavevae/gain", 6.0), encode("/wavevae/temperature", 1.0)]
    before, sent = desk.state, 0
    while sent < 5000:
        data = chance.choice(MUTATIONS)(chance, chance.choice(good))
        if data in good or data.startswith(
            tuple(f"/wavevae/latent/{i}\0".encode() for i in range(1, LATENTS))
        ):
            continue
        desk.send_raw(data)
        sent += 1
        assert desk.state is before, data
        assert desk.face.rejected == sent, data
    assert desk.face.accepted == 0
    desk.send(LATENT, 1.0)
    assert desk.state.latents[0] == 1.0


def test_flipped_bits_leave_a_state_that_can_be_played(desk: Table) -> None:
    """These may be valid messages; whatever they are, every number stays finite and in range."""
    chance = random.Random(6)
    good = [
        encode(LATENT, 1.0),
        encode("/wavevae/latents", 1.0, 2.0, 3.0, 4.0),
        bundle(encode("/wavevae/gain", 1.0)),
    ]
    for _ in range(5000):
        data = bytearray(chance.choice(good))
        for _ in range(chance.randrange(1, 4)):
            data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
        desk.send_raw(bytes(data))
    state = desk.state
    assert all(math.isfinite(x) and abs(x) <= 10 for x in state.latents)
    assert -120 <= state.gain_db <= 24
    assert desk.face.accepted > 0
    assert desk.face.rejected > 1000


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


def test_a_bundle_without_end_costs_no_more_than_a_few_messages(desk: Table) -> None:
    replies = desk.send_raw(bundle(*[encode(LATENT, 99.0)] * 150))
    assert desk.face.rejected == MOST_REFUSALS + 1
    assert len(replies) <= 4
    desk.send_raw(bundle(*[encode(LATENT, 1.0)] * 150))
    assert desk.face.accepted == MOST_MESSAGES


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
    for n in range(MOST_PENDING // MOST_MESSAGES + 1):
        desk.send_raw(bundle(*[encode(LATENT, 0.5)] * MOST_MESSAGES, tag=ntp(desk.now + 1 + n / 1000)))
    assert desk.face.rejected == MOST_MESSAGES
    desk.now += 10
    desk.face.run_due()
    assert desk.face.accepted == MOST_PENDING


def test_transform_and_sample_are_there_when_the_model_and_the_device_allow() -> None:
    desk = Table(hears=True, can_sample=True)
    for number, mode in enumerate(MODES):
        desk.send("/wavevae/mode", mode)
        assert desk.state.mode == number
        assert desk.send("/wavevae/query", "mode")[0].params == [mode]
    desk.send("/wavevae/scale/1", 0.5)
    desk.send("/wavevae/bias/3", -2)
    desk.send("/wavevae/spread", 1.5)
    assert (desk.state.scale, desk.state.bias, desk.state.spread) == ((1, 0.5, 1, 1), (0, 0, 0, -2), 1.5)
    assert desk.face.rejected == 0


def labelled(**changes: object) -> Table:
    names = ("has_class", "has_pitch", "can_mix", "has_input_class", "has_input_pitch")
    return Table(**{"classes": ("flute", "bell", "3"), **dict.fromkeys(names, True), **changes})


def test_a_class_is_named_or_numbered() -> None:
    desk = labelled()
    for value, label in (("bell", 1), (2, 2), ("3", 2), (0.0, 0), ("none", -1), (1, 1), (-1, -1)):
        desk.send("/wavevae/class", value)
        assert desk.state.mix == (() if label < 0 else (Share(label, 1.0),))
    assert desk.face.rejected == 0
    (error,) = desk.send("/wavevae/class", "flut")
    assert "known: flute, bell, 3" in error.params[0]
    desk.send("/wavevae/class", 3)
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


def test_notes_are_bent_where_there_is_a_pitch(desk: Table) -> None:
    assert "no pitch" in desk.send("/wavevae/bend", 1.0)[0].params[0]
    desk = labelled()
    desk.send("/wavevae/bend", -0.25)
    assert desk.state.bend == -0.25
    assert desk.send("/wavevae/query", "bend")[0].params == [-0.25]
    desk.send("/wavevae/bend", 49)
    assert (desk.state.bend, desk.face.rejected) == (-0.25, 1)


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
    for value in (-3, 3, "gong", 0.5):
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
    desk.desk.change(replace(desk.desk.about, classes=("gong", "3", "x"), name="other.ts"))
    assert desk.state.mix == (Share(1, 0.25),)
    assert held(desk) == {60}
    desk.desk.change(replace(desk.desk.about, has_class=False, has_pitch=False, classes=()))
    assert (desk.state.mix, desk.state.notes) == ((), ())


def held(desk: Table) -> set[int]:
    return {note.pitch for note in desk.state.notes if note.held}


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
    desk.desk.change(replace(desk.desk.about, axes=axes, name="other.ts"))
    assert desk.state.latents == (1, 2, 3, 4, 0, 0)
    assert desk.state.gain_db == -3
    desk.send("/wavevae/latent/5", 1.0)
    assert desk.face.rejected == 0
    desk.desk.change(replace(desk.desk.about, axes=axes[:2]))
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
    kind = find(root, "/wavevae/class")
    assert kind is not None
    assert kind["RANGE"] == [{"VALS": ["none", "flute", "bell"]}]
    assert kind["VALUE"] == ["none"]
    json.dumps(root, allow_nan=False)


def test_every_kind_of_hostile_datagram_takes_less_than_many_good_ones() -> None:
    """Counted in calls, not in time: what one datagram may ask for is bounded."""
    desk = labelled(classes=tuple(f"instrument of some name {n}" for n in range(500)))
    calls = 0

    def trace(frame: object, event: str, argument: object) -> None:
        nonlocal calls
        calls += event in ("call", "c_call")

    worst = 0
    hostile = [
        bundle(*[encode("/wavevae/query", "gain")] * 200),
        bundle(*[encode("/wavevae/latents", *[1.0] * 60)] * 24),
        bundle(*[encode(LATENT, math.nan)] * 200),
        b"/" + b"a" * 65000,
        raw("/x", "," + "T" * 8000, b""),
        raw("/x", "," + "s" * 1000, b"\0\0\0\0" * 1000),
        b"#bundle\0" + struct.pack(">Q", 1) + struct.pack(">i", 4) * 8000,
        raw("/wavevae/preset/" + "*" * 60, ",", b""),
        bundle(*[encode("/wavevae/class", "instrument of another name 99")] * 32),
        encode("/wavevae/class", *["instrument of some name 499", 0.1] * 120),
        bundle(*[encode("/wavevae/query", "class")] * 32),
    ]
    for data in hostile:
        calls = 0
        sys.setprofile(trace)
        desk.send_raw(data)
        sys.setprofile(None)
        worst = max(worst, calls)
    assert worst < 6000
