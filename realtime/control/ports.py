"""Sockets to listen on, who may use them, and which process holds a port already."""

from __future__ import annotations

import contextlib
import os
import socket
from dataclasses import dataclass
from pathlib import Path

from wavevae.errors import UserError

LOOPBACK = ("127.0.0.1", "localhost", "::1")
WILDCARDS = ("0.0.0.0", "::", "")
RECEIVE_BUFFER = 1 << 20
"""Bytes asked for: a burst of messages waits there rather than being lost."""


@dataclass(frozen=True)
class WebSetup:
    """The control page's socket and who may use it."""

    socket: socket.socket
    host: str
    port: int
    token: str = ""
    """Asked of every visitor, when it is not empty."""


def open_udp(host: str, port: int) -> socket.socket:
    """A bound UDP socket; port 0 takes a free one. Raises: UserError when it is in use or cannot be had."""
    bound = _bind(socket.SOCK_DGRAM, host, port, "osc", "OSC")
    with contextlib.suppress(OSError):
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)
    return bound


def open_tcp(host: str, port: int) -> socket.socket:
    """A listening TCP socket; port 0 takes a free one. Raises: UserError."""
    bound = _bind(socket.SOCK_STREAM, host, port, "http", "HTTP")
    bound.listen(64)
    return bound


def _bind(kind: socket.SocketKind, host: str, port: int, option: str, name: str) -> socket.socket:
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=kind)[0]
        opened = socket.socket(family, kind, protocol)
    except (OSError, UnicodeError) as error:
        raise UserError(
            f"--{option}-host {host}: {error}; use 127.0.0.1 or an address of this machine"
        ) from None
    try:
        if kind == socket.SOCK_STREAM and os.name != "nt":
            opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        opened.bind(address)
    except OSError as error:
        opened.close()
        who = owner(kind, port)
        raise UserError(
            f"{name} port {port} on {host}: {error.strerror or error}{f', by {who}' if who else ''}; end what uses "
            f"it or take another with --{option}-port"
        ) from None
    opened.setblocking(False)
    return opened


def owner(kind: socket.SocketKind, port: int) -> str:
    """'process 123 (name)' that has a port on this machine; '' where that cannot be known."""
    protocol = "udp" if kind == socket.SOCK_DGRAM else "tcp"
    inodes: set[str] = set()
    for table in (f"/proc/net/{protocol}", f"/proc/net/{protocol}6"):
        with contextlib.suppress(OSError, IndexError, ValueError):
            for line in Path(table).read_text().splitlines()[1:]:
                fields = line.split()
                if int(fields[1].rsplit(":", 1)[1], 16) == port:
                    inodes.add(f"socket:[{fields[9]}]")
    return _holder(inodes) if inodes else ""


def _holder(inodes: set[str]) -> str:
    for folder in sorted(Path("/proc").glob("[0-9]*"), key=lambda p: int(p.name)):
        with contextlib.suppress(OSError):
            for descriptor in (folder / "fd").iterdir():
                with contextlib.suppress(OSError):
                    if os.readlink(descriptor) in inodes:
                        return f"process {folder.name} ({(folder / 'comm').read_text().strip()})"
    return ""


def reachable(bound: socket.socket) -> str:
    """The address by which others reach a bound socket: its own, or this machine's where it listens on all."""
    host = str(bound.getsockname()[0])
    return own_address() if host in WILDCARDS else plain_address(host)


def plain_address(host: str) -> str:
    """Without what IPv6 adds to an IPv4 address, or the name of an interface."""
    return host.removeprefix("::ffff:").partition("%")[0]


def in_url(host: str) -> str:
    """[::1], for the colons of a port to be told apart."""
    return f"[{host}]" if ":" in host else host


def own_address() -> str:
    """This machine's address on its network, as far as it knows (nothing is sent)."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
            return str(probe.getsockname()[0])
        except OSError:
            return socket.gethostname()
