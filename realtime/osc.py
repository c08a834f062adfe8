"""What OSC can do to the instrument: a table of addresses, looked up, never matched.

A message either is exactly right and gives a new `ControlState`, or it changes nothing, is counted, and its
sender is told why on /wavevae/error.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from pythonosc.osc_message_builder import OscMessageBuilder

from wavevae.controls import GAIN, LATENT, SMOOTHING, TEMPERATURE, Control, ControlState, Refused

from .osc_wire import Message, parse, split

ROOT = "/wavevae"
ERROR = f"{ROOT}/error"
STATE = f"{ROOT}/state"
MOST_SUBSCRIBERS = 16

Sender = tuple
"""An address as the socket gives it: (host, port, ...)."""
Value = float | int | str | list[float]


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


def _count(arguments: tuple[object, ...], wanted: int) -> None:
    if len(arguments) != wanted:
        raise Refused(f"{len(arguments)} arguments; send {wanted}")


def _one(control: Control, arguments: tuple[object, ...]) -> float:
    _count(arguments, 1)
    return control.check(arguments[0])


class OscFace:
    """Takes datagrams, keeps the state they lead to.

    `publish` is called with the new state once a datagram that changed it; `look_up` gives the values that
    queries and subscriptions may ask for.
    """

    def __init__(
        self,
        latent_dim: int,
        publish: Callable[[ControlState], None],
        look_up: Callable[[], dict[str, Value]] = dict,
    ) -> None:
        self.state = ControlState.initial(latent_dim)
        self.accepted = self.rejected = 0
        self.subscribers: list[Sender] = []
        self._latent_dim, self._publish, self._look_up = latent_dim, publish, look_up
        self._sender: Sender = ()
        self._replies: list[Reply] = []
        self._table: dict[str, Callable[[tuple[object, ...]], ControlState]] = {
            f"{ROOT}/latents": self._latents,
            f"{ROOT}/gain": lambda a: replace(self.state, gain_db=_one(GAIN, a), muted=False),
            f"{ROOT}/smoothing": lambda a: replace(self.state, smoothing_ms=_one(SMOOTHING, a)),
            f"{ROOT}/temperature": lambda a: replace(self.state, temperature=_one(TEMPERATURE, a)),
            f"{ROOT}/freeze": self._freeze,
            f"{ROOT}/reset": lambda a: self._clear(a, muted=False),
            f"{ROOT}/panic": lambda a: self._clear(a, muted=True),
            f"{ROOT}/subscribe": self._subscribe,
            f"{ROOT}/query": self._query,
            **{f"{ROOT}/latent/{i}": self._latent_setter(i) for i in range(latent_dim)},
        }

    def handle(self, datagram: bytes, sender: Sender) -> list[Reply]:
        """Everything a datagram asks for. Never raises for what is in it. Returns what to send back."""
        before, self._sender, self._replies = self.state, sender, []
        try:
            for data in split(datagram):
                self._handle_message(data)
        except Refused as reason:
            self._refuse(str(reason))
        if self.state is not before:
            self._publish(self.state)
        return self._replies

    def state_messages(self) -> list[bytes]:
        """One message a value, for subscribers."""
        return [encode(f"{STATE}/{name}", value) for name, value in self.values().items()]

    def values(self) -> dict[str, Value]:
        """All that can be queried, by name."""
        state = self.state
        return {
            "gain": state.gain_db,
            "smoothing": state.smoothing_ms,
            "temperature": state.temperature,
            "freeze": int(state.frozen),
            "muted": int(state.muted),
            "targets": list(state.latents),
            "accepted": self.accepted,
            "rejected": self.rejected,
            **self._look_up(),
        }

    def _handle_message(self, data: bytes) -> None:
        address = "a message"
        try:
            message = parse(data)
            address = message.address
            self.state = self._apply(message)
            self.accepted += 1
        except Refused as reason:
            # Errors are never answered: two programs that did would do so for ever.
            answer = not (address.startswith((ERROR, STATE)))
            self._refuse(f"{address}: {reason}", answer)

    def _apply(self, message: Message) -> ControlState:
        handler = self._table.get(message.address)
        if handler is None:
            last = self._latent_dim - 1
            raise Refused(f"no such address here (latents are 0 to {last}); see `wavevae serve --help`")
        return handler(message.arguments)

    def _refuse(self, reason: str, answer: bool = True) -> None:
        self.rejected += 1
        if answer:
            self._replies.append(Reply(encode(ERROR, reason[:200]), self._sender))

    def _latent_setter(self, axis: int) -> Callable[[tuple[object, ...]], ControlState]:
        def set_latent(arguments: tuple[object, ...]) -> ControlState:
            latents = list(self.state.latents)
            latents[axis] = _one(LATENT, arguments)
            return replace(self.state, latents=tuple(latents))

        return set_latent

    def _latents(self, arguments: tuple[object, ...]) -> ControlState:
        _count(arguments, self._latent_dim)
        return replace(self.state, latents=tuple(LATENT.check(a) for a in arguments))

    def _freeze(self, arguments: tuple[object, ...]) -> ControlState:
        """Without argument: the other way round; with 0 or 1: that."""
        if not arguments:
            return replace(self.state, frozen=not self.state.frozen)
        _count(arguments, 1)
        if arguments[0] not in (0, 1):
            raise Refused("send nothing, 0 or 1")
        return replace(self.state, frozen=bool(arguments[0]))

    def _clear(self, arguments: tuple[object, ...], muted: bool) -> ControlState:
        _count(arguments, 0)
        return replace(self.state, resets=self.state.resets + 1, muted=muted)

    def _subscribe(self, arguments: tuple[object, ...]) -> ControlState:
        """Port 0 ends the subscriptions of the sender's machine."""
        _count(arguments, 1)
        port = arguments[0]
        if isinstance(port, bool) or not isinstance(port, int) or not 0 <= port <= 65535:
            raise Refused("send a port, 1 to 65535, or 0 to end")
        to = (self._sender[0], port, *self._sender[2:])
        if port == 0:
            self.subscribers = [s for s in self.subscribers if s[0] != to[0]]
        elif to not in self.subscribers:
            if len(self.subscribers) >= MOST_SUBSCRIBERS:
                raise Refused(f"{MOST_SUBSCRIBERS} subscribers already; end some with port 0")
            self.subscribers.append(to)
        return self.state

    def _query(self, arguments: tuple[object, ...]) -> ControlState:
        _count(arguments, 1)
        values = self.values()
        name = arguments[0]
        if not isinstance(name, str) or name not in values:
            raise Refused(f"nothing of that name; ask for {', '.join(sorted(values))}")
        self._replies.append(Reply(encode(f"{STATE}/{name}", values[name]), self._sender))
        return self.state
