"""The control process: one UDP socket, the OSC table, the shared controls. No torch, no sound."""

from __future__ import annotations

import contextlib
import select
import socket
import time
from dataclasses import dataclass

from wavevae.errors import UserError

from .osc import OscFace, Value
from .processes import settle
from .shared import Count, Shared

STATE_RATE_HZ = 30.0
LARGEST_DATAGRAM = 65536
MOST_AT_ONCE = 200
"""Datagrams read before the subscribers have their turn."""


@dataclass(frozen=True)
class About:
    """What can be asked about the model."""

    model: str
    sample_rate: int
    hop_length: int
    latent_dim: int


def open_socket(host: str, port: int) -> socket.socket:
    """A bound UDP socket; port 0 takes a free one. Raises: UserError when it is in use or cannot be had."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM)[0]
        opened = socket.socket(family, kind, protocol)
    except (OSError, UnicodeError) as error:
        raise UserError(f"--osc-host {host}: {error}; use 127.0.0.1 or an address of this machine") from None
    try:
        opened.bind(address)
    except OSError as error:
        opened.close()
        raise UserError(
            f"OSC port {port} on {host}: {error.strerror or error}; end what uses it or take another with --osc-port"
        ) from None
    opened.setblocking(False)
    return opened


def control(about: About, shared: Shared, udp: socket.socket) -> None:
    """Entry point of the process: until QUIT."""
    settle()
    Controller(about, shared, udp).run()


class Controller:
    """Carries datagrams to the table and its replies back; feeds the subscribers."""

    def __init__(self, about: About, shared: Shared, udp: socket.socket) -> None:
        self._about, self._shared, self._udp = about, shared, udp
        self._face = OscFace(about.latent_dim, lambda s: shared.controls.write(s.pack()), self._look_up)

    def run(self) -> None:
        """Until QUIT."""
        due = time.monotonic()
        while not self._shared.counts[Count.QUIT]:
            readable, _, _ = select.select([self._udp], [], [], 1 / STATE_RATE_HZ)
            if readable:
                self._receive()
            if time.monotonic() >= due:
                due = time.monotonic() + 1 / STATE_RATE_HZ
                self._tell_subscribers()

    def _receive(self) -> None:
        """What has come in, up to MOST_AT_ONCE."""
        for _ in range(MOST_AT_ONCE):
            try:
                datagram, sender = self._udp.recvfrom(LARGEST_DATAGRAM)
            except BlockingIOError:
                break
            except OSError:  # some systems report here that an earlier reply found nobody
                continue
            for reply in self._face.handle(datagram, sender):
                self._send(reply.data, reply.to)
        self._shared.counts[Count.ACCEPTED] = self._face.accepted
        self._shared.counts[Count.REJECTED] = self._face.rejected

    def _tell_subscribers(self) -> None:
        if not self._face.subscribers:
            return
        messages = self._face.state_messages()
        for subscriber in self._face.subscribers:
            for data in messages:
                self._send(data, subscriber)

    def _send(self, data: bytes, to: tuple) -> None:
        """A listener that is gone or too slow is no reason to stop."""
        with contextlib.suppress(OSError, OverflowError):
            self._udp.sendto(data, to)

    def _look_up(self) -> dict[str, Value]:
        """What the other processes know."""
        fields, latents = self._shared.meter.read()
        counts = self._shared.counts
        lost = counts[[Count.EMPTY, Count.DEVICE_UNDERFLOWS, Count.MISSING]].sum()
        return {
            "level": fields.get("level_db", -120.0),
            "real_time_factor": fields.get("real_time_factor", 0.0),
            "latents": latents,
            "underflows": int(lost),
            "clipped": int(counts[Count.CLIPPED]),
            "model": self._about.model,
            "sample_rate": self._about.sample_rate,
            "hop_length": self._about.hop_length,
            "latent_dim": self._about.latent_dim,
        }
