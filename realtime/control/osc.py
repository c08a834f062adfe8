"""OSC over UDP: datagrams in, replies out.

A message with an error changes nothing; it is counted, and its sender gets the reason on /wavevae/error. A datagram
with too many messages is refused as a whole. Bundles with a time tag are applied at their time.
"""

from __future__ import annotations

import heapq
import time
from collections.abc import Callable
from dataclasses import dataclass

from pythonosc.osc_message_builder import OscMessageBuilder

from wavevae.controls import ControlState, Refused

from .addresses import ROOT, Address, Arguments, Value, count, text
from .dispatcher import Dispatcher
from .osc_packets import MOST_QUERIES, Dated, Message, parse, unpack

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
        dispatcher.extra.update(
            {
                f"{ROOT}/subscribe": Address(
                    f"{ROOT}/subscribe", "i", "a port that gets /wavevae/state/... 30 times a second; 0 ends it",
                    self._subscribe,
                ),
                f"{ROOT}/query": Address(
                    f"{ROOT}/query", "s", "answers with a value on /wavevae/state/<name>", self._query
                ),
            }
        )  # fmt: skip

    def handle(self, datagram: bytes, sender: Sender) -> list[Reply]:
        """Everything a datagram asks for. Never raises for what is in it. Returns what to send back."""
        self._begin(sender)
        try:
            messages = unpack(datagram, self._clock(), self.dispatcher.about.latent_dim)
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
        """A message from nobody on the network (MIDI, the page). Returns why it was refused, or nothing."""
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
        count(arguments, 1)
        self._queries += 1
        if self._queries > MOST_QUERIES:
            raise Refused(f"more than {MOST_QUERIES} queries in one datagram; send several")
        name = text(arguments[0], "name").removeprefix(ROOT + "/")
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
