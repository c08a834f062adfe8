"""OSC datagrams, strictly: what comes out of here is exactly what was sent, or nothing.

python-osc parses; but it reads a truncated number as 0.0, recurses into bundles without end and expands
wildcards in addresses with a regular expression that a packet of 36 bytes can keep busy for 15 s. So the frame
is checked here first, byte by byte. (OSC 1.0: strings end in zeros up to a multiple of 4 bytes.)
"""

from __future__ import annotations

import struct
import time
from collections.abc import Iterator
from typing import NamedTuple

from pythonosc.osc_message import OscMessage

from wavevae.controls import Refused

BUNDLE = b"#bundle\0"
DEEPEST_BUNDLE = 4
IMMEDIATELY = 1
NTP_EPOCH_S = 2_208_988_800
"""1900 to 1970."""
FARTHEST_AHEAD_S = 1.0
"""A bundle dated later is refused: there is no queue, what comes is played on arrival."""
SIZES = {"i": 4, "f": 4, "h": 8, "d": 8, "T": 0, "F": 0, "N": 0}
WILDCARDS = frozenset("*?[]{}")


class Message(NamedTuple):
    """An address without wildcards, and its arguments."""

    address: str
    arguments: tuple[object, ...]


def split(datagram: bytes, now: float | None = None, depth: int = 0) -> Iterator[bytes]:
    """The messages of a datagram: itself, or the elements of a bundle in order.

    Raises: Refused for a bundle that is cut short, nested too deep or dated ahead.
    """
    if not datagram.startswith(BUNDLE):
        yield datagram
        return
    if depth >= DEEPEST_BUNDLE:
        raise Refused(f"bundles nested deeper than {DEEPEST_BUNDLE}")
    if len(datagram) < 16:
        raise Refused("a bundle cut short")
    _check_date(struct.unpack_from(">Q", datagram, 8)[0], time.time() if now is None else now)
    place = 16
    while place < len(datagram):
        if place + 4 > len(datagram):
            raise Refused("a bundle cut short")
        size = struct.unpack_from(">i", datagram, place)[0]
        place += 4
        if size <= 0 or size % 4 or place + size > len(datagram):
            raise Refused("a bundle with an element of impossible size")
        yield from split(datagram[place : place + size], now, depth + 1)
        place += size


def _check_date(tag: int, now: float) -> None:
    ahead = tag / 2**32 - NTP_EPOCH_S - now
    if tag != IMMEDIATELY and ahead > FARTHEST_AHEAD_S:
        raise Refused(f"a bundle dated {ahead:.1f} s ahead; send it when it is due")


def parse(data: bytes) -> Message:
    """One message. Raises: Refused for anything that is not exactly one, and for wildcards in its address."""
    _check_frame(data)
    try:
        message = OscMessage(data)
    except Exception:  # whatever the parser stumbles over is no message
        raise Refused("not an OSC message") from None
    address = message.address
    if WILDCARDS & set(address):
        raise Refused("an address with wildcards; write every address out")
    return Message(address, tuple(message.params))


def _string_end(data: bytes, start: int) -> int:
    """Where the padded string that begins at `start` ends."""
    zero = data.find(b"\0", start)
    end = start + (zero - start) // 4 * 4 + 4
    if zero < 0 or end > len(data) or any(data[zero:end]):
        raise Refused("not an OSC message")
    return end


def _check_frame(data: bytes) -> None:
    """The bytes are an address, type tags and exactly the arguments these promise."""
    if not data.startswith(b"/") or len(data) % 4:
        raise Refused("not an OSC message")
    place = _string_end(data, 0)
    if place == len(data):
        return  # older senders leave empty type tags out
    tags_end = _string_end(data, place)
    tags = data[place:tags_end].rstrip(b"\0").decode("latin-1")
    if not tags.startswith(","):
        raise Refused("not an OSC message")
    place = tags_end
    for tag in tags[1:]:
        if tag == "s":
            place = _string_end(data, place)
        elif tag in SIZES:
            place += SIZES[tag]
        else:
            raise Refused(f"an argument of type '{tag}'; send floats, ints or strings")
    if place != len(data):
        raise Refused("a message cut short or with bytes left over")
