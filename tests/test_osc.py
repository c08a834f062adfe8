"""OSC changes exactly what it says, or nothing; nothing that comes in stops it."""

from __future__ import annotations

import math
import random
import struct
import time
from collections.abc import Callable

import pytest
from pythonosc.osc_bundle_builder import IMMEDIATELY, OscBundleBuilder
from pythonosc.osc_message import OscMessage
from wavevae.realtime.osc import ERROR, MOST_SUBSCRIBERS, OscFace, encode

from wavevae.controls import ControlState

SENDER = ("127.0.0.1", 5000)
LATENTS = 4


class Desk:
    """An OscFace and what it published and answered."""

    def __init__(self) -> None:
        self.published: list[ControlState] = []
        self.face = OscFace(
            LATENTS, self.published.append, lambda: {"level": -12.5, "latents": [0.5] * LATENTS}
        )

    def send(self, address: str, *values: float | int | str) -> list[OscMessage]:
        return self.send_raw(encode(address, *values))

    def send_raw(self, data: bytes) -> list[OscMessage]:
        return [OscMessage(reply.data) for reply in self.face.handle(data, SENDER)]


@pytest.fixture
def desk() -> Desk:
    return Desk()


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


def test_every_address_does_what_it_says(desk: Desk) -> None:
    desk.send("/wavevae/latent/2", 1.5)
    desk.send("/wavevae/gain", -6)  # an int will do
    desk.send("/wavevae/smoothing", 120.0)
    desk.send("/wavevae/temperature", 0.25)
    desk.send("/wavevae/freeze")
    state = desk.face.state
    assert state == ControlState((0.0, 0.0, 1.5, 0.0), -6.0, 120.0, 0.25, True, False, 0)
    assert desk.published[-1] == state
    desk.send("/wavevae/latents", 1.0, 2, -3.0, 0.5)
    desk.send("/wavevae/freeze", 0)
    desk.send("/wavevae/panic")
    state = desk.face.state
    assert (state.latents, state.frozen, state.muted, state.resets) == ((1.0, 2.0, -3.0, 0.5), False, True, 1)
    desk.send("/wavevae/gain", 0.0)
    assert not desk.face.state.muted
    desk.send("/wavevae/reset")
    assert desk.face.state.resets == 2
    assert (desk.face.accepted, desk.face.rejected) == (10, 0)


def test_a_bundle_is_one_change(desk: Desk) -> None:
    builder = OscBundleBuilder(IMMEDIATELY)
    desk.send_raw(builder.build().dgram)  # empty: nothing
    desk.send_raw(bundle(*(encode(f"/wavevae/latent/{i}", float(i)) for i in range(LATENTS))))
    assert len(desk.published) == 1
    assert desk.face.state.latents == (0.0, 1.0, 2.0, 3.0)
    desk.send_raw(bundle(encode("/wavevae/gain", 3.0), tag=ntp(time.time() - 5)))  # a little late
    assert desk.face.state.gain_db == 3.0


def test_only_the_wrong_part_of_a_bundle_is_refused(desk: Desk) -> None:
    replies = desk.send_raw(bundle(encode("/wavevae/gain", 3.0), encode("/wavevae/gain", 999.0)))
    assert desk.face.state.gain_db == 3.0
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
    "dated tomorrow": bundle(encode(LATENT, 1.0), tag=ntp(time.time() + 86400)),
    "dated in 2036": bundle(encode(LATENT, 1.0), tag=2**64 - 1),
    "bundle cut": bundle(encode(LATENT, 1.0))[:-4],
    "bundle head only": b"#bundle\0\0\0",
    "bundle size negative": b"#bundle\0" + struct.pack(">Qi", 1, -4),
    "bundle size zero": b"#bundle\0" + struct.pack(">Qi", 1, 0),
    "bundles without end": b"#bundle\0" + struct.pack(">Qi", 1, 1600) + b"#bundle\0" * 200,
    "query nothing": encode("/wavevae/query", "nothing"),
    "query number": encode("/wavevae/query", 1),
    "subscribe nowhere": encode("/wavevae/subscribe", 70000),
    "subscribe float": encode("/wavevae/subscribe", 7000.0),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_not_exactly_right_changes_nothing_and_is_answered(desk: Desk, name: str) -> None:
    before = desk.face.state
    replies = desk.send_raw(WRONG[name])
    assert desk.face.state is before
    assert not desk.published
    assert (desk.face.accepted, desk.face.rejected) == (0, 1)
    assert [r.address for r in replies] == [ERROR]
    assert replies[0].params[0]


def test_bundles_nested_for_ever_are_refused_quickly(desk: Desk) -> None:
    data = encode(LATENT, 1.0)
    for _ in range(3000):
        data = bundle(data)
    desk.send_raw(data)
    assert not desk.published
    assert desk.face.rejected == 1


def test_errors_are_never_answered_so_two_programs_cannot_quarrel_for_ever(desk: Desk) -> None:
    assert desk.send(ERROR, "you are wrong") == []
    assert desk.send("/wavevae/state/level", 1.0) == []
    assert desk.face.rejected == 2


MUTATIONS: tuple[Callable[[random.Random, bytes], bytes], ...] = (
    lambda r, d: d[: r.randrange(len(d))],
    lambda r, d: d + bytes(r.randrange(1, 256) for _ in range(r.randrange(1, 9))),
    lambda r, d: d.replace(b"wavevae", bytes(r.choice(b"*?[]{}") for _ in range(7))),
    lambda r, d: d[:-4] + struct.pack(">f", r.choice((math.nan, math.inf, -math.inf, 1e20))),
    lambda r, d: bundle(d, tag=ntp(time.time() + r.uniform(2, 1e6))),
    lambda r, d: bundle(d)[: -r.randrange(1, len(d))],
    lambda r, d: bytes(r.randrange(256) for _ in range(r.randrange(200))),
    lambda r, d: d.replace(b",f", b"," + bytes([r.choice(b"sbTFNImrt[]x")])),
    lambda r, d: d.replace(b"/0", b"/" + bytes([r.randrange(1, 256)])) if b"/0" in d else b"\0" + d,
)


def test_thousands_of_wrong_datagrams_change_nothing_and_are_all_counted(desk: Desk) -> None:
    chance = random.Random(5)
    good = [encode(LATENT, 1.0), encode("/wavevae/gain", 6.0), encode("/wavevae/temperature", 1.0)]
    before, sent = desk.face.state, 0
    while sent < 5000:
        data = chance.choice(MUTATIONS)(chance, chance.choice(good))
        if data in good or data.startswith(
            tuple(f"/wavevae/latent/{i}\0".encode() for i in range(1, LATENTS))
        ):
            continue
        desk.send_raw(data)
        sent += 1
        assert desk.face.state is before, data
        assert desk.face.rejected == sent, data
    assert desk.face.accepted == 0
    desk.send(LATENT, 1.0)
    assert desk.face.state.latents[0] == 1.0


def test_flipped_bits_leave_a_state_that_can_be_played(desk: Desk) -> None:
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
    state = desk.face.state
    assert all(math.isfinite(x) and abs(x) <= 10 for x in state.latents)
    assert -120 <= state.gain_db <= 24
    assert desk.face.accepted > 0
    assert desk.face.rejected > 1000


def test_queries_answer_the_sender(desk: Desk) -> None:
    (reply,) = desk.send("/wavevae/query", "latents")
    assert reply.address == "/wavevae/state/latents"
    assert reply.params == [0.5] * LATENTS
    for name in desk.face.values():
        assert desk.send("/wavevae/query", name)[0].address == f"/wavevae/state/{name}"


def test_subscribers_are_those_who_asked_up_to_a_number(desk: Desk) -> None:
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
