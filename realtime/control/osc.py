"""OSC over UDP: a strict parser of datagrams, and the server that applies them and replies.

A message with an error changes nothing; it is counted, and its sender gets the reason on /wavevae/error. A datagram
with too many messages is refused as a whole. Bundles with a time tag are applied at their time. (OSC 1.0: strings end
in zeros up to a multiple of 4 bytes. OSC 1.1: T, F, N and I have no bytes.)

python-osc does not do as a parser: it takes a truncated number for 0.0, recurses into bundles without end and expands
wildcards in addresses with a regular expression that a packet of 36 bytes can keep busy for 15 s.
"""

from __future__ import annotations

import heapq
import struct
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

from pythonosc.osc_message_builder import OscMessageBuilder

from wavevae.controls import ControlState, Refused

from .addresses import ROOT, Arguments, Value, count, text
from .dispatcher import Dispatcher

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
"""True, false, nil, and an impulse, which counts as nil."""
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


ERROR = f"{ROOT}/error"
STATE = f"{ROOT}/state"
MOST_SUBSCRIBERS = 16
MOST_PENDING = 1024
"""Messages that wait for their time."""
MOST_ERRORS = 4
"""Answers to one datagram."""

Sender = tuple
"""An address as the socket gives it: (host, port, ...)."""


@dataclass(frozen=True)
class Reply:
    """A datagram to send."""

    data: bytes
    to: Sender


def encode(address: str, *values: Value) -> bytes:
    """An OSC message; floats go as f, ints as i."""
    message = OscMessageBuilder(address=address)
    for value in values:
        for item in value if isinstance(value, list) else [value]:
            kind = "s" if isinstance(item, str) else "i" if isinstance(item, int) else "f"
            message.add_arg(min(item, 2**31 - 1) if kind == "i" else item, kind)  # type: ignore[type-var]
    return message.build().dgram


class OscServer:
    """Applies datagrams to a `Dispatcher`.

    `look_up` returns the values, besides those of the dispatcher, that queries and subscriptions may ask for.
    """

    def __init__(
        self,
        dispatcher: Dispatcher,
        look_up: Callable[[], dict[str, Value]] = dict,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.dispatcher, self._look_up, self._clock = dispatcher, look_up, clock
        self.accepted = self.rejected = 0
        self.subscribers: list[Sender] = []
        self.sender: Sender = ()
        self._replies: list[Reply] = []
        self._errors = 0
        self._asked: dict[str, Value] | None = None
        """Values looked up for this datagram."""
        self._queries = 0
        """Answered in this datagram."""
        self._pending: list[tuple[float, int, Message, Sender]] = []
        self._order = 0
        dispatcher.add(
            "subscribe",
            "i",
            "a port that gets /wavevae/state/... 30 times a second; 0 ends it",
            self._subscribe,
        )
        dispatcher.add("query", "s", "answers with a value on /wavevae/state/<name>", self._query)

    def handle(self, datagram: bytes, sender: Sender) -> list[Reply]:
        """Everything a datagram asks for. Never raises for what is in it. Returns what to send back."""
        self._begin(sender)
        try:
            messages = unpack(datagram, self._clock(), self.dispatcher.model.latent_dim)
            self._make_room(messages)
        except Refused as reason:
            self._refuse(str(reason))
            return self._replies
        for due, data in messages:
            self._handle_message(data, due)
        self.dispatcher.flush()
        return self._replies

    def _begin(self, sender: Sender) -> None:
        """A new datagram."""
        self.sender, self._replies, self._errors, self._asked, self._queries = sender, [], 0, None, 0

    def _make_room(self, messages: list[Dated]) -> None:
        """Raises: Refused where not all that are dated can wait."""
        waiting = len(self._pending) + sum(message.due is not None for message in messages)
        if waiting > MOST_PENDING and waiting > len(self._pending):
            raise Refused(f"{waiting} messages would wait for their time; {MOST_PENDING} can")

    def run_due(self) -> list[Reply]:
        """What has come to its time."""
        replies: list[Reply] = []
        now = self._clock()
        while self._pending and self._pending[0][0] <= now:
            _, _, message, sender = heapq.heappop(self._pending)
            self._begin(sender)
            self._try(message)
            replies += self._replies
        self.dispatcher.flush()
        return replies

    @property
    def next_due(self) -> float | None:
        """When (Unix s) `run_due` is to be called."""
        return self._pending[0][0] if self._pending else None

    def act(self, path: str, arguments: Arguments) -> str:
        """A message that came by MIDI or from the page. Returns why it was refused, or nothing."""
        self._begin(())
        why = self._apply(path, arguments)
        self.dispatcher.flush()
        return f"{path[:100]}: {why}" if why else ""

    def _apply(self, path: str, arguments: Arguments) -> str:
        """Change the dispatcher and count. Returns why it was refused, or nothing."""
        try:
            self.dispatcher.apply(path, arguments)
        except Refused as reason:
            self.rejected += 1
            return str(reason) or "refused"
        except Exception as error:  # a fault of ours must not end a performance
            self.rejected += 1
            return f"an error here ({type(error).__name__}: {error})"
        self.accepted += 1
        return ""

    def state_messages(self) -> list[bytes]:
        """One message a value, for subscribers."""
        return [encode(f"{STATE}/{name}", value) for name, value in self.values().items()]

    def values(self) -> dict[str, Value]:
        """All that can be subscribed to, by name."""
        state = self.dispatcher.state
        return {
            **{r.name: r.value() for r in self.dispatcher.table.values() if r.value and "/" not in r.name},
            "muted": int(state.muted),
            "targets": list(state.latents),
            "accepted": self.accepted,
            "rejected": self.rejected,
            **self._look_up(),
        }

    def _handle_message(self, data: bytes, due: float | None) -> None:
        try:
            message = parse(data)
        except Refused as reason:
            self._refuse(f"a message: {reason}")
            return
        if due is None:
            self._try(message)
            return
        self._order += 1
        heapq.heappush(self._pending, (due, self._order, message, self.sender))

    def _try(self, message: Message) -> None:
        why = self._apply(message.address, message.arguments)
        # Errors are never answered: two programs that did would do so for ever.
        if why and not message.address.startswith((ERROR, STATE)):
            self._answer(f"{message.address[:100]}: {why}")

    def _refuse(self, reason: str) -> None:
        self.rejected += 1
        self._answer(reason)

    def _answer(self, reason: str) -> None:
        self._errors += 1
        if self._errors <= MOST_ERRORS:
            self._replies.append(Reply(encode(ERROR, reason[:200]), self.sender))

    def _subscribe(self, state: ControlState, arguments: Arguments) -> ControlState:
        """Port 0 ends the subscriptions of the sender's machine."""
        count(arguments, 1)
        port = arguments[0]
        if isinstance(port, bool) or not isinstance(port, int) or not 0 <= port <= 65535:
            raise Refused("send a port, 1 to 65535, or 0 to end")
        if not self.sender:
            raise Refused("only for OSC over UDP")
        to = (self.sender[0], port, *self.sender[2:])
        if port == 0:
            self.subscribers = [s for s in self.subscribers if s[0] != to[0]]
        elif to not in self.subscribers:
            if len(self.subscribers) >= MOST_SUBSCRIBERS:
                raise Refused(f"{MOST_SUBSCRIBERS} subscribers already; end some with port 0")
            self.subscribers.append(to)
        return state

    def _query(self, state: ControlState, arguments: Arguments) -> ControlState:
        """By the name of a state value, or by an address below /wavevae."""
        name = text(arguments, "name").removeprefix(ROOT + "/")
        self._queries += 1
        if self._queries > MOST_QUERIES:
            raise Refused(f"more than {MOST_QUERIES} queries in one datagram; send several")
        row = self.dispatcher.table.get(f"{ROOT}/{name}")
        values = self._asked = self._asked or self.values()
        if name in values:
            value = values[name]
        elif row is not None and row.value is not None:
            value = row.value()
        else:
            raise Refused(f"nothing of that name; ask for {', '.join(values)} or an address")
        self._replies.append(Reply(encode(f"{STATE}/{name}", value), self.sender))
        return state
