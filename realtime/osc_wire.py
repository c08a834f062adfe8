"""OSC datagrams, strictly: what comes out of here is exactly what was sent, or nothing.

python-osc parses; but it reads a truncated number as 0.0, recurses into bundles without end and expands
wildcards in addresses with a regular expression that a packet of 36 bytes can keep busy for 15 s. So the frame
is checked here first, byte by byte. (OSC 1.0: strings end in zeros up to a multiple of 4 bytes.)
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import NamedTuple

from pythonosc.osc_message import OscMessage

from wavevae.controls import Refused

BUNDLE = b"#bundle\0"
DEEPEST_BUNDLE = 4
IMMEDIATELY = 1
NTP_EPOCH_S = 2_208_988_800
"""1900 to 1970."""
FARTHEST_AHEAD_S = 10.0
"""A bundle dated later is refused: it would wait in memory."""
LARGEST_DATAGRAM = 8192
MOST_MESSAGES, MOST_REFUSALS, MOST_ARGUMENTS = 16, 8, 512
"""In one datagram: so that none takes longer than a millisecond, on a busy machine either."""
SIZES = {"i": 4, "f": 4, "h": 8, "d": 8, "T": 0, "F": 0}
WILDCARDS = frozenset("*?[]{}")


class Message(NamedTuple):
    """An address without wildcards, and its arguments."""

    address: str
    arguments: tuple[object, ...]


class Exhausted(Refused):
    """What follows in the datagram is not looked at."""


class Budget:
    """What a datagram may still hold."""

    def __init__(self) -> None:
        self._messages, self._refusals, self._arguments = MOST_MESSAGES, MOST_REFUSALS, MOST_ARGUMENTS

    def take_message(self) -> None:
        """Raises: Exhausted."""
        if self._refusals <= 0:
            raise Exhausted(f"{MOST_REFUSALS} messages refused in one datagram; the rest is left out")
        self._messages -= 1
        if self._messages < 0:
            raise Exhausted(f"more than {MOST_MESSAGES} messages in one datagram; send several")

    def refused(self) -> None:
        """One of its messages was."""
        self._refusals -= 1

    def take_arguments(self, count: int) -> None:
        """Raises: Exhausted."""
        self._arguments -= count
        if self._arguments < 0:
            raise Exhausted(f"more than {MOST_ARGUMENTS} arguments in one datagram; send several")


def split(
    datagram: bytes, now: float, due: float | None = None, depth: int = 0
) -> Iterator[tuple[float | None, bytes]]:
    """The messages of a datagram, each with the moment (Unix s) it is for, None: at once.

    Raises: Refused for a bundle that is cut short, nested too deep or dated too far ahead.
    """
    if len(datagram) > LARGEST_DATAGRAM:
        raise Refused(f"a datagram of {len(datagram)} bytes; send {LARGEST_DATAGRAM} at most")
    if not datagram.startswith(BUNDLE):
        yield due, datagram
        return
    if depth >= DEEPEST_BUNDLE:
        raise Refused(f"bundles nested deeper than {DEEPEST_BUNDLE}")
    if len(datagram) < 16:
        raise Refused("a bundle cut short")
    due = _date(struct.unpack_from(">Q", datagram, 8)[0], now)
    place = 16
    while place < len(datagram):
        if place + 4 > len(datagram):
            raise Refused("a bundle cut short")
        size = struct.unpack_from(">i", datagram, place)[0]
        place += 4
        if size <= 0 or size % 4 or place + size > len(datagram):
            raise Refused("a bundle with an element of impossible size")
        yield from split(datagram[place : place + size], now, due, depth + 1)
        place += size


def _date(tag: int, now: float) -> float | None:
    """When a bundle is for; None: at once, or late already. Raises: Refused when that is too far away."""
    moment = tag / 2**32 - NTP_EPOCH_S
    if tag == IMMEDIATELY or moment <= now:
        return None
    if moment - now > FARTHEST_AHEAD_S:
        raise Refused(
            f"a bundle dated {moment - now:.1f} s ahead; send it {FARTHEST_AHEAD_S:g} s ahead at most"
        )
    return moment


def parse(data: bytes, budget: Budget | None = None) -> Message:
    """One message. Raises: Refused for anything that is not exactly one, and for wildcards in its address."""
    _check_frame(data, budget or Budget())
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


def _check_frame(data: bytes, budget: Budget) -> None:
    """The bytes are an address, type tags and exactly the arguments these promise."""
    budget.take_message()
    if not data.startswith(b"/") or len(data) % 4:
        raise Refused("not an OSC message")
    place = _string_end(data, 0)
    if place == len(data):
        return  # older senders leave empty type tags out
    tags_end = _string_end(data, place)
    tags = data[place:tags_end].rstrip(b"\0").decode("latin-1")
    if not tags.startswith(","):
        raise Refused("not an OSC message")
    budget.take_arguments(len(tags))
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
