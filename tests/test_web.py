"""The page's server: who may come in, what they get, what they may send."""

from __future__ import annotations

import asyncio
import importlib.util
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import aiohttp
import numpy as np
import pytest
import toy_playable
from live import Live, live
from osc_desk import toy_about
from toy_bundle import write_conditional

from wavevae.errors import UserError
from wavevae.export import model_file, verify
from wavevae.realtime.control.dispatcher import Dispatcher
from wavevae.realtime.control.network import WebSetup, open_tcp
from wavevae.realtime.control.osc import OscServer
from wavevae.realtime.control.web import BANDS, FOLDER, LARGEST_MESSAGE, SCOPE_POINTS, WINDOW, PageView, Web
from wavevae.realtime.live.processes import context
from wavevae.realtime.live.shared_memory import Count, Shared
from wavevae.realtime.model_info import Axis, LatentMap

KNOWN = {
    "level": -20.0, "latents": [0.5] * 4, "real_time_factor": 9.0, "underflows": 0, "limited": 0,
    "learning": "", "midi": "",
}  # fmt: skip


class House:
    """A server on a free port, with a desk behind it and a client before it."""

    def __init__(self, token: str = "", **about: object) -> None:
        self.shared = Shared(context())
        points = ((0.0, 0.0, 0.0, 0.0), (1.0, 1.0, 0.0, 0.0))
        self.face = OscServer(Dispatcher(toy_about(**{"points": points, **about})), dict)
        socket = open_tcp("127.0.0.1", 0)
        self.port = socket.getsockname()[1]
        self.view = PageView(self.face.dispatcher, self.shared.played, lambda: dict(KNOWN), None)
        self.web = Web(
            WebSetup(socket, "127.0.0.1", self.port, token), self.face, self.view, ("127.0.0.1", 9)
        )
        self.own = f"127.0.0.1:{self.port}"

    async def get(self, path: str = "/", **headers: str) -> tuple[int, str, Any]:
        async with self.client.get(
            f"http://{self.own}{path}", headers=headers, allow_redirects=False
        ) as answer:
            return answer.status, await answer.text(), answer.headers

    async def json(self, path: str) -> Any:
        return json.loads((await self.get(path))[1])

    def talk(self, **headers: str) -> Any:
        return self.client.ws_connect(f"http://{self.own}/ws", headers=headers)


def visit(test: Callable[[House], Awaitable[None]], token: str = "", **about: object) -> None:
    async def run() -> None:
        house = House(token, **about)
        await house.web.start()
        try:
            async with aiohttp.ClientSession() as house.client:
                await test(house)
        finally:
            await house.web.stop()

    asyncio.run(run())


def test_people_get_the_page_and_programs_get_oscquery() -> None:
    async def test(house: House) -> None:
        status, page, headers = await house.get("/", Accept="text/html,*/*")
        assert (status, "<canvas" in page) == (200, True)
        assert "default-src 'none'" in headers["Content-Security-Policy"]
        for name in ("main.js", "style.css"):
            assert f"/page/{name}" in page
        await every_part_is_served(house)
        assert (await house.get("/page/index.html"))[0] == 404  # it is at / with its headers
        assert (await house.get("/page/../control.py"))[0] in (403, 404)
        assert (await house.get("/page/..%2Fcontrol.py"))[0] in (403, 404)
        tree = await house.json("/")
        assert "latent" in tree["CONTENTS"]["wavevae"]["CONTENTS"]
        assert (await house.json("/wavevae/gain"))["VALUE"] == [0.0]
        assert await house.json("/wavevae/gain?VALUE") == {"VALUE": [0.0]}
        assert (await house.json("/?HOST_INFO"))["OSC_PORT"] == 9
        assert (await house.get("/wavevae/nothing"))[0] == 404

    visit(test)


async def every_part_is_served(house: House) -> None:
    """The modules that main.js imports, those that they import ..."""
    wanted, seen = ["main.js", "style.css"], set()
    while wanted:
        name = wanted.pop()
        status, text, headers = await house.get(f"/page/{name}")
        assert (status, headers["Content-Type"].split("/")[0]) == (200, "text"), name
        seen.add(name)
        wanted += [part for part in re.findall(r'from "\./([\w.]+)"', text) if part not in seen]
    assert seen == {part.name for part in FOLDER.iterdir()} - {"index.html"}


def test_other_names_other_pages_and_other_sockets_are_refused() -> None:
    async def test(house: House) -> None:
        for host in ("evil.example", f"evil.example:{house.port}", "127.0.0.1.evil.example", "10.0.0.1"):
            assert (await house.get("/", Host=host))[0] == 403
        assert (await house.get("/", Host=f"localhost:{house.port}"))[0] == 200
        for origin in (
            "http://evil.example",
            "null",
            f"https://{house.own}",
            f"http://127.0.0.1:{house.port + 1}",
        ):
            assert (await house.get("/wavevae/gain", Origin=origin))[0] == 403
            with pytest.raises(aiohttp.WSServerHandshakeError):
                await house.talk(Origin=origin)
        with pytest.raises(aiohttp.WSServerHandshakeError):
            await house.talk()  # no page at all

    visit(test)


def test_with_a_token_only_its_link_opens_and_then_its_cookie() -> None:
    async def test(house: House) -> None:
        page = {"Accept": "text/html"}
        assert (await house.get("/", **page))[0] == 403
        assert (await house.get("/?token=wrong", **page))[0] == 403
        assert (await house.get("/page/main.js"))[0] == 403
        with pytest.raises(aiohttp.WSServerHandshakeError):
            await house.talk(Origin=f"http://{house.own}")
        status, _, headers = await house.get("/?token=secret", **page)
        assert (status, headers["Location"]) == (302, "/")
        assert "HttpOnly" in headers["Set-Cookie"]
        assert "SameSite=Strict" in headers["Set-Cookie"]
        there = await house.get("/", Cookie="wavevae=secret", Host=f"192.168.1.7:{house.port}", **page)
        assert there[0] == 200
        assert (await house.get("/", Cookie="wavevae=secret", Host="evil.example"))[0] == 403
        assert (await house.get("/wavevae/gain?token=secret"))[0] == 200

    visit(test, "secret")


def test_programs_of_other_machines_read_oscquery_without_the_token() -> None:
    async def test(house: House) -> None:
        there = {"Host": f"192.168.1.7:{house.port}"}
        for path in ("/", "/?HOST_INFO", "/?HOST_INFO&token=secret", "/wavevae/gain?VALUE"):
            assert (await house.get(path, **there))[0] == 200, path
            assert (await house.get(path, Host="evil.example"))[0] == 403
            assert (await house.get(path, Origin="http://evil.example", **there))[0] == 403
        for path in ("/ws", "/page/main.js"):
            assert (await house.get(path, **there))[0] == 403
        with pytest.raises(aiohttp.WSServerHandshakeError):
            await house.talk(Origin=f"http://{house.own}")

    visit(test, "secret")


@pytest.mark.parametrize(
    ("listens", "said"),
    [
        ("0.0.0.0", "127.0.0.1"),
        ("::", "127.0.0.1"),
        ("127.0.0.1", "127.0.0.1"),
        ("192.168.1.7", "192.168.1.7"),
    ],
)
def test_host_info_names_an_address_that_the_client_reaches(listens: str, said: str) -> None:
    async def test(house: House) -> None:
        house.web._osc = (listens, 9)
        found = await house.json("/?HOST_INFO")
        assert (found["OSC_IP"], found["OSC_PORT"]) == (said, 9)

    visit(test)


def test_an_attribute_that_a_node_has_not_is_no_content() -> None:
    async def test(house: House) -> None:
        assert (await house.get("/wavevae/panic?VALUE"))[:2] == (204, "")
        assert (await house.get("/wavevae?RANGE"))[0] == 204
        assert await house.json("/wavevae/gain?VALUE&CONTENTS") == {"VALUE": [0.0]}
        assert (await house.get("/wavevae/gain?NONSENSE"))[0] == 400

    visit(test)


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost", "0.0.0.0", "::"])
def test_the_printed_address_is_one_that_is_listened_on(host: str) -> None:
    async def test() -> None:
        try:
            socket = open_tcp(host, 0)
        except UserError:
            pytest.skip(f"no {host} here")
        port = socket.getsockname()[1]
        house = House()
        server = Web(WebSetup(socket, host, port, "secret"), house.face, house.view, (host, 9))
        link = (await server.start()).split()[1]
        jar = aiohttp.CookieJar(unsafe=True)  # also of addresses
        try:
            async with (
                aiohttp.ClientSession(cookie_jar=jar) as client,
                client.get(link, headers={"Accept": "text/html"}) as answer,
            ):
                assert answer.status == 200
                assert "<canvas" in await answer.text()
        finally:
            await server.stop()

    asyncio.run(test())


def test_what_a_page_sends_goes_through_the_table() -> None:
    async def test(house: House) -> None:
        async with house.talk(Origin=f"http://{house.own}") as talk:
            head = await talk.receive_json()
            assert head["about"]["axes"][0].items() >= {"name": "axis 0", "low": -2.0, "high": 2.0}.items()
            assert head["controls"]["gain"].items() >= {"low": -120, "high": 24, "unit": "dB"}.items()
            await talk.send_json({"send": ["/wavevae/latent/1", [1.5]]})
            await talk.send_json({"send": ["/wavevae/freeze", []]})
            wrong: list[Any] = [
                {"send": ["/wavevae/latent/1", [99]]},
                {"send": ["/wavevae/latent/1", [[1]]]},
                {"send": ["/wavevae/latent/1", [True]]},
                {"send": ["/wavevae/latent/1", [{"a": 1}]]},
                {"send": ["/wavevae/subscribe", [7000]]},
                {"send": [3, []]},
                {"send": "x"},
                [],
                7,
            ]
            for message in wrong:
                await talk.send_json(message)
                assert (await talk.receive_json())["error"]
            for text in ("{", '{"send": ["/wavevae/gain", [NaN]]}', '{"send": ["/wavevae/gain", [1e999]]}'):
                await talk.send_str(text)
                assert (await talk.receive_json())["error"]
            assert house.face.dispatcher.state.latents[1] == 1.5
            assert house.face.dispatcher.state.frozen
            assert (house.face.accepted, house.face.rejected) == (2, len(wrong) + 3)
            house.web.tick()
            while "targets" not in (frame := await talk.receive_json()):
                pass
            assert frame["targets"] == [0.0, 1.5, 0.0, 0.0]
            assert (frame["values"]["gain"], frame["values"]["freeze"]) == (0.0, 1)
            assert (len(frame["scope"]), len(frame["spectrum"])) == (SCOPE_POINTS, BANDS)
            await talk.send_str("x" * (LARGEST_MESSAGE + 1))
            assert (await talk.receive()).type in (aiohttp.WSMsgType.CLOSE, aiohttp.WSMsgType.CLOSED)

    visit(test)


def test_every_visitor_sees_what_another_does_and_a_new_model() -> None:
    async def test(house: House) -> None:
        own = f"http://{house.own}"
        async with house.talk(Origin=own) as one, house.talk(Origin=own) as two:
            for talk in (one, two):
                assert "about" in await talk.receive_json()
            await one.send_json({"send": ["/wavevae/preset/store", ["mine"]]})
            while not house.face.accepted:
                await asyncio.sleep(0.001)
            house.web.tick()
            assert (await two.receive_json())["presets"] == ["mine"]
            house.face.dispatcher.change(toy_about(name="other.ts"))
            house.web.tick()
            heads = [m for _ in range(3) if "about" in (m := await two.receive_json())]
            assert heads[-1]["about"]["name"] == "other.ts"

    visit(test)


def test_keys_do_not_stay_down_on_a_page_that_is_gone() -> None:
    async def test(house: House) -> None:
        own = f"http://{house.own}"
        async with house.talk(Origin=own) as gone, house.talk(Origin=own) as stays:
            for talk, pitches in ((gone, (60, 64, 67)), (stays, (72,))):
                for pitch in pitches:
                    await talk.send_json({"send": ["/wavevae/note", [pitch, 0.5]]})
            await gone.send_json({"send": ["/wavevae/note", [64, 0]]})
            while house.face.accepted < 5:
                await asyncio.sleep(0.001)
            assert held(house) == {60, 67, 72}
            await gone.close()
            while len(held(house)) > 1:
                await asyncio.sleep(0.001)
            assert held(house) == {72}

    def held(house: House) -> set[int]:
        return {note.pitch for note in house.face.dispatcher.state.notes if note.held}

    visit(test, has_pitch=True, voices=4)


def test_the_map_of_an_instrument_is_that_of_its_learned_latents() -> None:
    """Pitch, loudness and periodicity come before them, and stay where they are."""
    names = ("pitch", "loudness", "periodicity", "brightness", "noisiness", "timbre 1")
    axes = tuple(Axis(name, -2.0, 2.0, 0.1) for name in names)
    points = ((5.0, 5.0, 5.0, -1.0, -2.0, 0.5), (-5.0, -5.0, -5.0, 3.0, 2.0, -0.5))
    plane = LatentMap(toy_about(axes=axes, points=points, n_controls=3))
    assert plane.names == ("brightness", "noisiness")
    assert plane.bounds() == [[-1.0, 3.0], [-2.0, 2.0]]
    assert plane.places.tolist() == [[0.0, 0.0], [1.0, 1.0]]
    latent = plane.at(0.5, 0.25, (0.1, 0.2, 0.3, 9.0, 9.0, 9.0))
    assert latent[:5] == pytest.approx((0.1, 0.2, 0.3, 1.0, -1.0))
    assert 0 < latent[5] < 0.5  # nearer the first point
    assert plane.at(1.0, 1.0, latent)[5] == pytest.approx(-0.5, abs=0.01)
    bare = LatentMap(toy_about(axes=axes[:1], n_controls=1))  # nothing learned: nothing moves
    assert bare.at(0.2, 0.9, (0.7,)) == (0.7,)


def test_the_spectrum_shows_a_tone_at_its_pitch_and_level() -> None:
    shared = Shared(context())
    desk = Dispatcher(toy_about())
    view = PageView(desk, shared.played, lambda: dict(KNOWN), None)
    rate = desk.model.sample_rate
    shared.tape[:WINDOW] = 0.5 * np.sin(2 * np.pi * 1000 * np.arange(WINDOW) / rate)
    shared.counts[Count.TAPED] = WINDOW
    bands = np.array(view.frame()["spectrum"])
    edges = np.geomspace(40, rate / 2, BANDS + 1)
    assert edges[bands.argmax()] <= 1020
    assert edges[bands.argmax() + 1] >= 980
    assert bands.max() == pytest.approx(-6, abs=2)
    scope = np.array(view.frame()["scope"])
    assert scope.max() == pytest.approx(50, abs=2)
    assert abs(scope[0]) < 20  # it begins at a rising zero crossing


needs_browser = pytest.mark.skipif(
    shutil.which("chromium") is None or importlib.util.find_spec("playwright") is None,
    reason="no chromium or no playwright here",
)
NAMED = ["pitch", "loudness", "periodicity", "brightness", "noisiness", "life", "gain"]


@pytest.mark.slow
@needs_browser
def test_the_page_is_used_in_a_browser(tmp_path: Path) -> None:
    write_conditional(tmp_path / "c.ts", latent_dim=12)
    midi = ("--midi", "no such controller") if importlib.util.find_spec("rtmidi") else ()
    with live(tmp_path / "c.ts", "--device", "none", "--http-port", 0, "--voices", 2, *midi) as player:
        for found in in_a_browser(player, tmp_path, "codec"):
            assert found["slider"] == "0.2"
            assert (found["shares"], found["bent"]) == ([0, 33, 67, 0], True)
            assert found["rest"] == "4 more axes"
            assert found["learnt"] == bool(midi)
            assert not found["asks_for_input"]  # there is none


@pytest.mark.slow
@needs_browser
def test_an_instrument_is_played_in_a_browser(tmp_path: Path) -> None:
    path = instrument_file(tmp_path, "vae")
    with live(path, "--device", "none", "--http-port", 0) as player:
        first = True
        for found in in_a_browser(player, tmp_path, "instrument"):
            assert found["first"] == f"silent: strike a key{' or move a control' * first}"
            first = False
            assert found["named"] == NAMED
            assert len(set(found["chord"])) == 3
            assert len(set(found["slid"])) == len(found["slid"]) > 1
            assert set(found["slid"]) != set(found["chord"])
            assert (0.75 in found["pressed"]) == found["touch"]
            assert found["octave"][1] - found["octave"][0] == 12
            assert found["lowest_moved"] in (0, 12)  # where all keys fit, the computer's keys alone move
            assert found["lowest_moved"] == 12 or not found["touch"]
            assert (found["brightness"], found["loudness"]) == ("0.20", "−24.0")
            assert found["pitch"] == "61.00\nC♯4"
            assert found["after_the_map"] == [found["pitch"], found["loudness"]]
        assert player.soon(
            lambda: player.query("pitch") == pytest.approx([61], abs=0.01)
        )  # the keys are let go
        assert player.query("loudness") == pytest.approx([-24], abs=0.01)


@pytest.mark.slow
@needs_browser
def test_an_instrument_without_a_pitch_says_what_its_keys_do(tmp_path: Path) -> None:
    path = instrument_file(tmp_path, "dense")
    with live(path, "--device", "none", "--http-port", 0) as player:
        for found in in_a_browser(player, tmp_path, "unpitched"):
            assert "no pitch" in found["hint"]
            assert found["named"] == [name for name in NAMED if name not in ("pitch", "periodicity")]
            assert len(found["chord"]) == 3


def instrument_file(folder: Path, kind: str) -> Path:
    """A small instrument with random weights, exported."""
    path = folder / "instrument.ts"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            model_file, "references", lambda m, a: [{"attributes": {}, **verify.reference(m, a, 24)}]
        )
        model_file.export_checkpoint(toy_playable.checkpoint(toy_playable.make(kind)), path)
    return path


def in_a_browser(player: Live, folder: Path, kind: str) -> Iterator[dict[str, Any]]:
    """What the page showed at each size, after what must be true of every page; then the server ends."""
    url = next(line for line in player.said.splitlines() if "  page" in line).split()[1]
    command = [sys.executable, str(Path(__file__).parent / "browser_page.py"), url, str(folder), kind]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    assert answer.pop("problems") == []
    for size, found in answer.items():
        assert not found["wider_than_screen"], size
        assert found["keyboard_visible"], size
        assert found["key_width"] >= 39, size
        assert found["room_for_controls"] > 0.45, size
        assert (folder / f"{size}.png").stat().st_size > 20_000
        yield found
