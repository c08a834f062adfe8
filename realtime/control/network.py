"""What is on the network: sockets to listen on and who may use them, the table of addresses as OSCQuery JSON
(github.com/Vidvox/OSCQueryProposal), and its announcement by zeroconf.
"""

from __future__ import annotations

import contextlib
import math
import os
import socket
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from wavevae.errors import UserError

from .addresses import Address, Range, Value

if TYPE_CHECKING:
    from zeroconf.asyncio import AsyncZeroconf

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

    @property
    def link(self) -> str:
        token = f"?token={self.token}" if self.token else ""
        return f"http://{in_url(reachable(self.socket))}:{self.port}/{token}"


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


READ, WRITE = 1, 2
PRESS = "I"
"""The type of an address that is pressed: OSC's impulse, of which clients make a button."""
EXTENSIONS = {"ACCESS": True, "VALUE": True, "RANGE": True, "DESCRIPTION": True, "TAGS": False, "UNIT": True}


def tree(rows: Iterable[Address]) -> dict[str, Any]:
    """Nested nodes: FULL_PATH, CONTENTS; and at an address TYPE, ACCESS, RANGE, VALUE, DESCRIPTION, UNIT."""
    root: dict[str, Any] = {"FULL_PATH": "/", "ACCESS": 0, "DESCRIPTION": "wavevae", "CONTENTS": {}}
    for row in rows:
        node, path = root, ""
        for part in row.path.strip("/").split("/"):
            path += f"/{part}"
            node = node.setdefault("CONTENTS", {}).setdefault(part, {"FULL_PATH": path, "ACCESS": 0})
        node.update(node_of(row))
    return root


def node_of(row: Address) -> dict[str, Any]:
    """What is said of one address."""
    node: dict[str, Any] = {
        "DESCRIPTION": row.doc,
        "ACCESS": (READ if row.value else 0) | (WRITE if row.act else 0),
    }
    if row.tags or row.act:
        node["TYPE"] = row.tags or PRESS
    if row.ranges:
        node["RANGE"] = [range_of(r) for r in row.ranges]
    if row.unit:
        node["UNIT"] = [row.unit]
    if row.value:
        node["VALUE"] = plain(row.value())
    return node


def range_of(limits: Range) -> dict[str, Any]:
    if limits.choices:
        return {"VALS": list(limits.choices)}
    return {"MIN": limits.low, "MAX": limits.high} if limits.low is not None else {}


def plain(value: Value) -> list[Any]:
    """A list of JSON values; JSON has no infinity."""
    items = value if isinstance(value, list) else [value]
    return [None if isinstance(v, float) and not math.isfinite(v) else v for v in items]


def find(root: dict[str, Any], path: str) -> dict[str, Any] | None:
    """The node at a path."""
    node: dict[str, Any] | None = root
    for part in [p for p in path.split("/") if p]:
        node = node.get("CONTENTS", {}).get(part) if node else None
    return node


ATTRIBUTES = {"FULL_PATH", "CONTENTS", "TYPE", "ACCESS", "RANGE", "DESCRIPTION", "VALUE", "UNIT", "TAGS"}
"""What may be asked of a node."""


def host_info(osc_host: str | None, osc_port: int, name: str) -> dict[str, Any]:
    """Without an `osc_host` the client takes the address that it asks."""
    return {
        "NAME": f"wavevae {name}",
        **({"OSC_IP": osc_host} if osc_host is not None else {}),
        "OSC_PORT": osc_port,
        "OSC_TRANSPORT": "UDP",
        "EXTENSIONS": EXTENSIONS,
    }


KINDS = {"http": "_oscjson._tcp.local.", "osc": "_osc._udp.local."}


class Announcement:
    """Announces the OSCQuery server by zeroconf (optional; LGPL), so that clients on the network list it."""

    def __init__(self, name: str, places: Mapping[str, tuple[str, int]]) -> None:
        """`places`: address and port of "http" and "osc"."""
        from zeroconf import ServiceInfo

        label = f"wavevae {name}"
        self._services = [
            ServiceInfo(kind, f"{label}.{kind}", port=places[part][1], parsed_addresses=[places[part][0]])
            for part, kind in KINDS.items()
        ]
        self._zeroconf: AsyncZeroconf | None = None

    async def start(self) -> str:
        """Returns a line for the terminal."""
        from zeroconf.asyncio import AsyncZeroconf

        try:
            self._zeroconf = AsyncZeroconf()
            for service in self._services:
                await self._zeroconf.async_register_service(service, allow_name_change=True)
        except Exception as error:  # no network, no multicast: it plays all the same
            return f"  zeroconf not announced ({type(error).__name__}: {error})"
        return "  zeroconf announced as " + self._services[0].name.removesuffix("." + KINDS["http"])

    async def stop(self) -> None:
        if self._zeroconf is not None:
            await self._zeroconf.async_unregister_all_services()
            await self._zeroconf.async_close()
