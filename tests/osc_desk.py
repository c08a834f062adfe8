"""An OSC face at a desk, without sockets, and datagrams by hand."""

from __future__ import annotations

import struct
from dataclasses import replace

from pythonosc.osc_message import OscMessage

from wavevae.controls import ControlState
from wavevae.realtime.control.dispatcher import Dispatcher
from wavevae.realtime.control.osc import OscServer, encode
from wavevae.realtime.model_info import Axis, ModelInfo

SENDER = ("127.0.0.1", 5000)


LATENTS = 4


LATENT = "/wavevae/latent/0"


def toy_about(**changes: object) -> ModelInfo:
    axes = tuple(Axis(f"axis {i}", -2.0, 2.0, 0.25) for i in range(LATENTS))
    return replace(ModelInfo("/toy.ts", "toy.ts", 22050, 256, axes), **changes)  # type: ignore[arg-type]


class Table:
    """An OscFace at a desk, what it published and answered; its clock stands still until it is set."""

    def __init__(self, **changes: object) -> None:
        self.published: list[ControlState] = []
        self.now = 1.7e9
        self.desk = Dispatcher(toy_about(**changes), lambda state, lines: self.published.append(state))
        heard = {"level": -12.5, "latents": [0.5] * LATENTS}
        self.face = OscServer(self.desk, lambda: dict(heard), lambda: self.now)

    @property
    def state(self) -> ControlState:
        return self.desk.state

    def send(self, address: str, *values: float | int | str) -> list[OscMessage]:
        return self.send_raw(encode(address, *values))

    def send_raw(self, data: bytes) -> list[OscMessage]:
        return [OscMessage(reply.data) for reply in self.face.handle(data, SENDER)]


def labelled(**changes: object) -> Table:
    names = ("has_class", "has_pitch", "can_mix", "has_input_class", "has_input_pitch")
    return Table(**{"classes": ("flute", "bell", "3"), **dict.fromkeys(names, True), **changes})


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


def held(desk: Table) -> set[int]:
    """The pitches of the keys that are down."""
    return {note.pitch for note in desk.state.notes if note.held}
