"""The table as OSCQuery JSON, after Vidvox' proposal (github.com/Vidvox/OSCQueryProposal)."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

from .addresses import Address, Range, Value

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
