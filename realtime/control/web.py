"""The control page, its data, and OSCQuery over HTTP: each visitor has a WebSocket to the dispatcher.

It listens on loopback. Requests by another name of this machine (DNS rebinding) or from another site's page are
refused; with --allow-remote the page and its socket want the token, and OSCQuery, which only reads, does not: its
clients know an address and a port.
"""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import ipaddress
import json
import socket
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
from aiohttp import WSMsgType, web
from numpy.typing import NDArray

from wavevae.controls import CONTROLS, MODES, NATURAL

from ..model_info import Axis
from .addresses import ROOT, Address, Range, Value
from .dispatcher import Dispatcher
from .midi_mapper import MidiMapper
from .network import ATTRIBUTES, LOOPBACK, WILDCARDS, WebSetup, find, host_info, plain_address, tree
from .osc import OscServer

WINDOW = 2048
"""Samples of the spectrum."""
BANDS, LOWEST_HZ, FLOOR_DB = 96, 40.0, -96.0
SCOPE_POINTS, DIGITS = 256, 3
DECLARED = {control.name: control for control in CONTROLS}
PLACES = {name: place for place, name in enumerate(DECLARED)}
PER_AXIS = ("latent", "scale", "bias")


def axis_of(axis: Axis) -> dict[str, Any]:
    """`low` and `high` in standard deviations; `mean`, `std` and `limits` (what it may be at all) in its own unit."""
    known = NATURAL.get(axis.name)
    return {**asdict(axis), "limits": [known.low, known.high] if known else None}


def control_of(row: Address) -> dict[str, Any]:
    """An address of one number as the page takes it; `group`, `fader` and `home` as its control is declared."""
    limits = row.ranges[0] if row.ranges else Range()
    control = DECLARED.get(row.name)
    return {
        **{
            "low": limits.low,
            "high": limits.high,
            "unit": row.unit,
            "doc": row.doc,
            "whole": row.tags == "i",
        },
        **{name: getattr(control, name, None) for name in ("fader", "group")},
        "home": control.default if control else None,
    }


def rounded(value: Value | None) -> Any:
    """For JSON: short numbers."""
    if isinstance(value, list):
        return [rounded(v) for v in value]
    return round(float(value), DIGITS) if isinstance(value, (int, float)) else value


class PageView:
    """The data of the page: the model once, then levels and a spectrum thirty times a second."""

    def __init__(
        self,
        dispatcher: Dispatcher,
        played: Callable[[int], NDArray[np.float32]],
        look_up: Callable[[], dict[str, Value]],
        midi: MidiMapper | None,
    ) -> None:
        """`played` returns so many samples, the last that sounded."""
        self._dispatcher, self._played, self._look_up, self._midi = dispatcher, played, look_up, midi
        self._window = np.hanning(WINDOW).astype(np.float32)

    def head(self) -> dict[str, Any]:
        """What changes seldom: the model, the controls with their ranges, presets, what MIDI turns."""
        return {
            "about": {**self._model(), **self._map()},
            "controls": {row.name: control_of(row) for row in self._numbers()},
            "presets": list(self._dispatcher.presets.named),
            "midi": self._midi is not None,
            "bindings": self._midi.bindings() if self._midi else {},
        }

    def _model(self) -> dict[str, Any]:
        model = self._dispatcher.model
        playable = {"transform": model.live_input, "sample": model.can_sample}
        return {
            **{name: getattr(model, name) for name in ("name", "sample_rate", "n_controls", "plays_notes")},
            "hears": model.live_input,
            "axes": [axis_of(a) for a in model.axes],
            "classes": list(model.classes) if model.has_class else [],
            "plays_pitch": model.plays_pitch or model.has_pitch,
            "has_input_class": model.live_input and model.has_input_class,
            "has_input_pitch": model.live_input and model.has_input_pitch,
            "modes": [m for m in MODES if playable.get(m, True)],
        }

    def _map(self) -> dict[str, Any]:
        map_ = self._dispatcher.map
        labels = sorted(set(map_.labels))
        return {
            "bounds": map_.bounds(),
            "map": np.round(map_.places, DIGITS).tolist(),
            "map_axes": list(map_.names),
            "map_labels": [labels.index(name) for name in map_.labels],
            "map_names": labels,
        }

    def _numbers(self) -> list[Address]:
        """Addresses of one number that can be set and asked for, the declared ones in their order; those of the axes
        go as lists."""
        rows = self._dispatcher.table.values()
        found = [r for r in rows if r.tags in ("f", "i") and r.value and r.name.split("/")[0] not in PER_AXIS]
        return sorted(found, key=lambda row: PLACES.get(row.name, len(PLACES)))

    def frame(self) -> dict[str, Any]:
        """What moves."""
        dispatcher, known = self._dispatcher, self._look_up()
        state = dispatcher.state
        values = {row.name: rounded(row.value()) for row in self._numbers() if row.value}
        recent = self._played(WINDOW)
        return {
            "values": {name: v[0] if isinstance(v, list) else v for name, v in values.items()},
            **{name: known[name] for name in ("real_time_factor", "underflows", "limited", "learning")},
            **{name: getattr(state, name) for name in ("input_pitch", "muted", "idle", "keyed")},
            "targets": rounded(list(state.latents)),
            "bias": rounded(list(state.bias)),
            "heard": rounded(known["latents"]),
            "mode": MODES[state.mode],
            "mix": [[label, round(weight, DIGITS)] for label, weight in state.mix],
            "input_class": state.input_label,
            "improvised": round(dispatcher.improvised[0]) if dispatcher.improvised[1] > 0 else None,
            "held": [n.pitch for n in sorted(state.notes, key=lambda n: n.serial) if n.held],
            "level": rounded(known["level"]),
            "confidence": rounded(known.get("confidence", 0.0)),
            "port": known["midi"],
            "scope": self._scope(recent),
            "spectrum": self._spectrum(recent),
        }

    def _scope(self, sound: NDArray[np.float32]) -> list[int]:
        """SCOPE_POINTS numbers, -100 to 100, from a rising zero crossing on: it stands still for a tone."""
        half = sound[: WINDOW // 2]
        rising = np.flatnonzero((half[:-1] < 0) & (half[1:] >= 0))
        start = int(rising[0]) if len(rising) else 0
        step = WINDOW // 2 // SCOPE_POINTS
        points: list[int] = np.rint(100 * sound[start : start + WINDOW // 2 : step]).astype(int).tolist()
        return points

    def _spectrum(self, sound: NDArray[np.float32]) -> list[int]:
        """BANDS levels in dB below full scale, evenly spaced in pitch: the highest bin of each."""
        levels = np.abs(np.fft.rfft(sound * self._window)) * (4 / WINDOW)
        rate = self._dispatcher.model.sample_rate
        edges = np.geomspace(LOWEST_HZ, rate / 2, BANDS + 1) * WINDOW / rate
        low = np.minimum(edges[:-1].astype(int), len(levels) - 1)
        high = np.maximum(low + 1, np.ceil(edges[1:]).astype(int))
        peaks = np.array([levels[a:b].max() for a, b in zip(low, high, strict=True)])
        levels_db = 20 * np.log10(np.maximum(peaks, 10 ** (FLOOR_DB / 20)))
        bands: list[int] = np.rint(levels_db).astype(int).tolist()
        return bands


CONTENT_TYPES = {".js": "text/javascript", ".css": "text/css"}
"""Of the page's parts; its folder holds no others."""
LARGEST_MESSAGE = 16384
MOST_VISITORS = 16
SEND_AT_MOST_S = 2.0
CLOSE_AT_MOST_S = 0.5
COOKIE = "wavevae"
NOTE = f"{ROOT}/note"
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}
FOLDER = files("wavevae") / "page"
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Visitor:
    """One open page: gets the newest picture when it can take it, never a queue of old ones."""

    def __init__(self, socket: web.WebSocketResponse, head: str) -> None:
        self._socket, self._news = socket, asyncio.Event()
        self.held: set[object] = set()
        """Pitches of the keys that are down on this page."""
        self._waiting: dict[str, str] = {}
        """The newest text of each kind that was not sent yet."""
        self.show("head", head)

    def show(self, kind: str, text: str) -> None:
        """A "head", a "frame" or an "error": the newest of each kind is sent as soon as it can be taken."""
        self._waiting[kind] = text
        self._news.set()

    async def close(self) -> None:
        with contextlib.suppress(TimeoutError, ConnectionError):
            await asyncio.wait_for(self._socket.close(), CLOSE_AT_MOST_S)

    async def run(self) -> None:
        """Until the visitor is gone or too slow."""
        while not self._socket.closed:
            await self._news.wait()
            self._news.clear()
            waiting, self._waiting = self._waiting, {}
            for text in waiting.values():
                await asyncio.wait_for(self._socket.send_str(text), SEND_AT_MOST_S)


class Web:
    """The server; `tick` is called 30 times a second."""

    def __init__(self, setup: WebSetup, osc_server: OscServer, view: PageView, osc: tuple[str, int]) -> None:
        self._setup, self._osc_server, self._view, self._osc = setup, osc_server, view, osc
        self._visitors: set[Visitor] = set()
        self._head = ""
        self._runner: web.AppRunner | None = None

    async def start(self) -> str:
        """Returns a line for the terminal."""
        application = web.Application(middlewares=[self._guard], client_max_size=LARGEST_MESSAGE)
        application.router.add_get("/ws", self._talk)
        application.router.add_get("/page/{name}", self._file)
        application.router.add_get("/{path:.*}", self._answer)
        self._runner = web.AppRunner(
            application, access_log=None, handle_signals=False, shutdown_timeout=CLOSE_AT_MOST_S
        )
        await self._runner.setup()
        await web.SockSite(self._runner, self._setup.socket).start()
        return f"  page     {self._setup.link}"

    async def stop(self) -> None:
        await asyncio.gather(*(visitor.close() for visitor in self._visitors))
        if self._runner is not None:
            await self._runner.cleanup()

    def tick(self) -> None:
        """Show every visitor how things are."""
        if not self._visitors:
            return
        before, self._head = self._head, json.dumps(self._view.head())
        frame = json.dumps(self._view.frame(), separators=(",", ":"))
        for visitor in self._visitors:
            if self._head != before:
                visitor.show("head", self._head)
            visitor.show("frame", frame)

    # who may come in

    @web.middleware
    async def _guard(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        if not self._is_own_name(request.host):
            raise web.HTTPForbidden(text="this name is not mine", headers=HEADERS)
        origin = request.headers.get("Origin")
        if origin is not None and origin != f"http://{request.host}":
            raise web.HTTPForbidden(text="only my own page may do this", headers=HEADERS)
        program = _is_program(request)  # may read what there is; to change something takes OSC, or the page
        if self._setup.token and not program and not self._is_known(request):
            raise web.HTTPForbidden(
                text="open the link with the token that `wavevae serve` printed", headers=HEADERS
            )
        if request.query.get("token") and request.path == "/" and self._setup.token and not program:
            return self._welcome()
        response = await handler(request)
        if not response.prepared:
            response.headers.update(HEADERS)
        return response

    def _is_own_name(self, host: str) -> bool:
        name = host.rpartition(":")[0] if not host.endswith("]") and ":" in host else host
        if name.strip("[]") in LOOPBACK:
            return True
        if not self._setup.token:
            return False
        try:
            ipaddress.ip_address(name.strip("[]"))
        except ValueError:
            return name.casefold().removesuffix(".local") == socket.gethostname().casefold()
        return True

    def _is_known(self, request: web.Request) -> bool:
        shown = request.query.get("token") or request.cookies.get(COOKIE) or ""
        return hmac.compare_digest(shown.encode(), self._setup.token.encode())

    def _welcome(self) -> web.Response:
        """Keep the token where no script reads it, and out of the address bar."""
        response = web.HTTPFound("/", headers=HEADERS)
        response.set_cookie(COOKIE, self._setup.token, httponly=True, samesite="Strict")
        return response

    # what they get

    async def _file(self, request: web.Request) -> web.Response:
        name = request.match_info["name"]
        kind = CONTENT_TYPES.get(Path(name).suffix)
        if kind is None or name not in {part.name for part in FOLDER.iterdir()}:
            raise web.HTTPNotFound(headers=HEADERS)
        return web.Response(text=_read(name), content_type=kind, charset="utf-8")

    async def _answer(self, request: web.Request) -> web.Response:
        """The page for people, OSCQuery for programs."""
        if request.path == "/" and "text/html" in request.headers.get("Accept", ""):
            return web.Response(text=_read("index.html"), content_type="text/html", charset="utf-8")
        if "HOST_INFO" in request.query:
            return web.json_response(
                host_info(self._osc_host(request), self._osc[1], self._osc_server.dispatcher.model.name)
            )
        node = find(tree(self._osc_server.dispatcher.rows()), request.path)
        if node is None:
            raise web.HTTPNotFound(text=f"no address {request.path[:100]}", headers=HEADERS)
        asked = [name for name in request.query if name.isupper()][:8]
        if unknown := [name for name in asked if name not in ATTRIBUTES]:
            raise web.HTTPBadRequest(text=f"no attribute {unknown[0][:40]}", headers=HEADERS)
        there = {name: node[name] for name in asked if name in node}
        if asked and not there:
            return web.Response(status=204)  # as the proposal has it
        return web.json_response(there if asked else node)

    def _osc_host(self, request: web.Request) -> str | None:
        """Where this client is to send OSC; None: to the address it asks, as OSC listens on all, or not for it."""
        host = str(self._osc[0])
        asked = request.transport.get_extra_info("sockname") if request.transport else None
        here = plain_address(str(asked[0])) if asked else ""
        if host in WILDCARDS:
            return here or None
        return None if host in LOOPBACK and here and here not in LOOPBACK else host

    async def _talk(self, request: web.Request) -> web.StreamResponse:
        """A visitor's WebSocket: pictures out, messages in."""
        if len(self._visitors) >= MOST_VISITORS:
            raise web.HTTPServiceUnavailable(text="too many pages are open", headers=HEADERS)
        if request.headers.get("Origin") is None:
            raise web.HTTPForbidden(text="only my own page may do this", headers=HEADERS)
        stream = web.WebSocketResponse(heartbeat=20, max_msg_size=LARGEST_MESSAGE)
        await stream.prepare(request)
        visitor = Visitor(stream, json.dumps(self._view.head()))
        self._visitors.add(visitor)
        shower = asyncio.create_task(visitor.run())
        shower.add_done_callback(lambda task: _hang_up(task, stream))
        try:
            async for message in stream:
                if message.type == WSMsgType.TEXT and (why := self._take(message.data, visitor)):
                    visitor.show("error", json.dumps({"error": why}))
        finally:
            self._visitors.discard(visitor)
            for pitch in visitor.held:  # the page is closed, or on a phone that sleeps
                self._osc_server.act(NOTE, (pitch, 0))
            shower.cancel()
        return stream

    def _take(self, text: str, visitor: Visitor) -> str:
        """{"send": [address, [arguments]]}. Returns what is wrong with it, or nothing."""
        try:
            address, arguments = json.loads(text)["send"]
            if not isinstance(address, str) or not isinstance(arguments, list):
                raise ValueError
        except (ValueError, TypeError, KeyError, RecursionError):
            self._osc_server.rejected += 1
            return 'not a message; send {"send": [address, [arguments]]}'
        # what OSC could carry; anything else becomes a text that no handler takes for a number
        values = tuple(a if isinstance(a, (int, float, str)) else json.dumps(a) for a in arguments)
        why = self._osc_server.act(address, values)
        if address == NOTE and not why:
            pitch, velocity = values
            (visitor.held.add if velocity else visitor.held.discard)(pitch)
        return why


def _is_program(request: web.Request) -> bool:
    """Whether it asks for OSCQuery's JSON, and not for the page or its socket."""
    if request.path == "/ws" or request.path.startswith("/page/"):
        return False
    return "text/html" not in request.headers.get("Accept", "")


def _hang_up(task: asyncio.Task, stream: web.WebSocketResponse) -> None:
    """A visitor that no longer takes anything."""
    if not task.cancelled() and task.exception() is not None and not stream.closed:
        asyncio.get_running_loop().create_task(stream.close())


def _read(name: str) -> str:
    return (FOLDER / name).read_text(encoding="utf-8")
