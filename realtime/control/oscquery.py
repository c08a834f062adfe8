"""The table of addresses as OSCQuery JSON (github.com/Vidvox/OSCQueryProposal), and its announcement by zeroconf."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from .addresses import Address, Range, Value

if TYPE_CHECKING:
    from zeroconf.asyncio import AsyncZeroconf

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
