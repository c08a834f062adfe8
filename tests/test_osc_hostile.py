"""Whatever comes in over OSC, nothing stops it, and what is wrong changes nothing."""

from __future__ import annotations

import math
import random
import struct
import sys
from collections.abc import Callable

import pytest
from osc_desk import LATENT, LATENTS, Table, bundle, labelled, ntp, raw

from wavevae.realtime.control.osc import ERROR, MOST_MESSAGES, encode
from wavevae.realtime.model_info import Axis


@pytest.fixture
def desk() -> Table:
    return Table()


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
    "text to panic": encode("/wavevae/panic", "now"),
    "two to panic": encode("/wavevae/panic", 1, 1),
    "nan to panic": encode("/wavevae/panic", math.nan),
    "text to freeze": encode("/wavevae/freeze", "on"),
    "nan to freeze": encode("/wavevae/freeze", math.nan),
    "nil": raw(LATENT, ",N", b""),
    "true for a port": raw("/wavevae/subscribe", ",T", b""),
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
    "subscribe float": encode("/wavevae/subscribe", 7000.5),
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


def test_a_bundle_that_holds_too_much_is_refused_whole(desk: Table) -> None:
    room = MOST_MESSAGES + LATENTS
    desk.send_raw(bundle(*[encode(LATENT, 1.0)] * (room + 1)))
    assert not desk.published
    assert (desk.face.accepted, desk.face.rejected) == (0, 1)
    replies = desk.send_raw(bundle(*[encode(LATENT, 99.0)] * room))
    assert desk.face.rejected == 1 + room
    assert len(replies) <= 4
    desk.send_raw(bundle(*[encode(LATENT, 1.0)] * room))
    assert desk.face.accepted == room
    desk.send_raw(bundle(*[encode("/wavevae/gain", 1.0)] * (MOST_MESSAGES + 1)))
    assert desk.state.gain_db == 0.0
    desk.send_raw(
        bundle(*[encode("/wavevae/latents", *[1.0] * LATENTS)] * 3 + [raw("/x", "," + "T" * 510, b"")])
    )
    assert (desk.face.accepted, desk.face.rejected) == (room, 3 + room)


def test_every_kind_of_hostile_datagram_takes_less_than_many_good_ones() -> None:
    """Counted in calls, not in time: what one datagram may ask for is bounded."""
    axes = tuple(Axis(f"axis {i}", -2.0, 2.0, 0.01) for i in range(64))
    desk = labelled(classes=tuple(f"instrument of some name {n}" for n in range(500)), axes=axes)
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
        bundle(*[encode("/wavevae/class", *["instrument of some name 499", 0.1] * 3)] * 70),
        bundle(*[encode("/wavevae/query", "class")] * 32),
    ]
    for data in hostile:
        calls = 0
        sys.setprofile(trace)
        desk.send_raw(data)
        sys.setprofile(None)
        worst = max(worst, calls)
    assert worst < 6000
