"""A strict parser of OSC datagrams: it returns exactly what was sent, or refuses it.

python-osc does not do: it takes a truncated number for 0.0, recurses into bundles without end and
expands wildcards in addresses with a regular expression that a packet of 36 bytes can keep busy for 15 s. (OSC 1.0:
strings end in zeros up to a multiple of 4 bytes. OSC 1.1: T, F, N and I have no bytes.)
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import NamedTuple

from wavevae.controls import Refused

BUNDLE = b"#bundle\0"
DEEPEST_BUNDLE = 4
IMMEDIATELY = 1
NTP_EPOCH_S = 2_208_988_800
"""1900 to 1970."""
FARTHEST_AHEAD_S = 10.0
"""A bundle dated later is refused: it would wait in memory."""
LARGEST_DATAGRAM = 16384
MOST_MESSAGES, MOST_QUERIES, MOST_ARGUMENTS = 16, 16, 512
"""In one datagram, beside one message an axis: so that none takes much longer than a millisecond."""
AXES = (b"/wavevae/latent/", b"/wavevae/scale/", b"/wavevae/bias/")
NUMBERS = {
    "i": struct.Struct(">i"),
    "f": struct.Struct(">f"),
    "h": struct.Struct(">q"),
    "d": struct.Struct(">d"),
}
WITHOUT_BYTES: dict[str, bool | None] = {"T": True, "F": False, "N": None, "I": None}
"""True, false, nothing, and an impulse, which says no more than nothing does."""
WILDCARDS = frozenset("*?[]{}")


class Message(NamedTuple):
    """An address without wildcards, and its arguments."""

    address: str
    arguments: tuple[object, ...]


class Dated(NamedTuple):
    """A message as it lies in the datagram, and the moment (Unix s) it is for; None: at once."""

    due: float | None
    data: bytes


def unpack(datagram: bytes, now: float, axes: int) -> list[Dated]:
    """All messages of a datagram to a model of so many axes; all of them or none.

    Raises: Refused for a datagram of too many messages or arguments, or one that `split` refuses.
    """
    found: list[Dated] = []
    of_axes = arguments = 0
    for due, data in split(datagram, now):
        found.append(Dated(due, data))
        arguments += _count_tags(data)
        of_axes += data.startswith(AXES)
        if of_axes > axes + MOST_MESSAGES or len(found) - of_axes > MOST_MESSAGES:
            raise Refused(
                f"more than {MOST_MESSAGES} messages in one datagram, besides one an axis; none taken, send several"
            )
        if arguments > MOST_ARGUMENTS:
            raise Refused(f"more than {MOST_ARGUMENTS} arguments in one datagram, none taken; send several")
    return found


def _count_tags(data: bytes) -> int:
    """How many arguments a message has at most."""
    comma = data.find(b",")
    return max(0, data.find(b"\0", comma) - comma - 1) if comma >= 0 else 0


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


def parse(data: bytes) -> Message:
    """One message. Raises: Refused for anything that is not exactly one, and for wildcards in its address."""
    if not data.startswith(b"/") or len(data) % 4:
        raise Refused("not an OSC message")
    address, place = _string(data, 0)
    if WILDCARDS & set(address):
        raise Refused("an address with wildcards; write every address out")
    if place == len(data):
        return Message(address, ())  # older senders leave empty type tags out
    tags, place = _string(data, place)
    if not tags.startswith(","):
        raise Refused("not an OSC message")
    arguments: list[object] = []
    for tag in tags[1:]:
        value, place = _argument(tag, data, place)
        arguments.append(value)
    if place != len(data):
        raise Refused("a message cut short or with bytes left over")
    return Message(address, tuple(arguments))


def _argument(tag: str, data: bytes, place: int) -> tuple[object, int]:
    """The argument at a place, and where it ends."""
    if tag in NUMBERS:
        number = NUMBERS[tag]
        if place + number.size > len(data):
            raise Refused("a message cut short or with bytes left over")
        return number.unpack_from(data, place)[0], place + number.size
    if tag == "s":
        return _string(data, place)
    if tag in WITHOUT_BYTES:
        return WITHOUT_BYTES[tag], place
    raise Refused(f"an argument of type '{tag[:1]}'; send floats, ints or strings")


def _string(data: bytes, start: int) -> tuple[str, int]:
    """The padded string that begins at `start`, and where it ends."""
    zero = data.find(b"\0", start)
    end = start + (zero - start) // 4 * 4 + 4
    if zero < 0 or end > len(data) or any(data[zero:end]):
        raise Refused("not an OSC message")
    try:
        return data[start:zero].decode("utf-8"), end
    except UnicodeDecodeError:
        raise Refused("not an OSC message") from None
