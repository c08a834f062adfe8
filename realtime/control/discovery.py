"""Announces the OSCQuery server by zeroconf, so that clients list it by themselves (optional: zeroconf, LGPL)."""

from __future__ import annotations

from collections.abc import Mapping

from zeroconf import ServiceInfo
from zeroconf.asyncio import AsyncZeroconf

KINDS = {"http": "_oscjson._tcp.local.", "osc": "_osc._udp.local."}


class Announcement:
    """On the local network, on loopback only: the server is reached from this machine unless --allow-remote."""

    def __init__(self, name: str, places: Mapping[str, tuple[str, int]]) -> None:
        """`places`: address and port of "http" and "osc"."""
        label = f"wavevae {name}"
        self._services = [
            ServiceInfo(kind, f"{label}.{kind}", port=places[part][1], parsed_addresses=[places[part][0]])
            for part, kind in KINDS.items()
        ]
        self._zeroconf: AsyncZeroconf | None = None

    async def start(self) -> str:
        """Returns a line for the terminal."""
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
