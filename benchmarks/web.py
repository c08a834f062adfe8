"""The web page of an instrument: size, speed on one core, difference from MODEL.ts, time to the first sound.

    python benchmarks/web.py sax.ts
    python benchmarks/web.py sax.ts --voices 1 8 --seconds 20

Needs Debian's chromium and the `playwright` package. Speed is that of an OfflineAudioContext in headless Chromium, by
the CPU time of the page's process; performed notes where the file has a prior, and the plain envelope. Prints lines of
JSON, as experiments/figures.py takes them.
"""

from __future__ import annotations

import argparse
import base64
import dataclasses
import json
import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from playwright.sync_api import Browser, Page, sync_playwright

from wavevae.controls import ControlState, Note
from wavevae.export.__main__ import main as export
from wavevae.realtime.engine.engine import PlayableModel

TESTS = Path(__file__).parent.parent / "tests"
QUANTUM = 128
"""Samples that a browser asks for at a time."""
PRESS = """document.addEventListener("DOMContentLoaded", () => setTimeout(() => {
    new MutationObserver(() => {
        if (document.getElementById("loudness").textContent) window.firstSound ??= performance.now();
    }).observe(document.getElementById("loudness"), { childList: true, characterData: true, subtree: true });
    document.body.dispatchEvent(new KeyboardEvent("keydown", { code: "KeyA", bubbles: true }));
}, 0));"""


def chord(first: ControlState, voices: int, perform: bool) -> ControlState:
    """So many keys held."""
    notes = tuple(Note(55 + 3 * n, 0.7, True, n + 1) for n in range(voices))
    return dataclasses.replace(first, keyed=True, idle=False, notes=notes, perform=float(perform))


def for_page(state: ControlState, names: list[str]) -> dict[str, Any]:
    notes = [n._asdict() for n in state.notes]
    attributes = dict(zip(names, state.attributes, strict=True))
    return {**dataclasses.asdict(state), "notes": notes, "mix": [], "attributes": attributes}


class Measured:
    """A page in Chromium."""

    def __init__(self, browser: Browser, folder: Path, render: str) -> None:
        self.render_script = render
        self.page: Page = browser.new_page()
        self.page.route("**/page.js", lambda route: route.abort())  # its drawing is not counted
        self.page.goto((folder / "index.html").resolve().as_uri())
        self.tools = self.page.context.new_cdp_session(self.page)
        self.tools.send("Performance.enable")

    def cpu_s(self) -> float:
        metrics = self.tools.send("Performance.getMetrics")["metrics"]
        return next(m["value"] for m in metrics if m["name"] == "ProcessTime")

    def render(self, state: dict[str, Any], seconds: float) -> tuple[NDArray[np.float32], float, float]:
        """-> sound, seconds of CPU, seconds by the clock."""
        before, start = self.cpu_s(), time.perf_counter()
        text = self.page.evaluate(self.render_script, [[[0, state]], seconds])
        wall = time.perf_counter() - start
        return np.frombuffer(base64.b64decode(text), np.float32), self.cpu_s() - before, wall


def measure_speed(
    page: Measured, player: PlayableModel, voices: int, perform: bool, seconds: float
) -> dict[str, Any]:
    state = chord(player.controls, voices, perform)
    sent = for_page(state, [a.name for a in player.model.attributes])
    short = min(page.render(sent, 0.5)[1] for _ in range(2))  # loading and compiling
    sound, cpu, wall = page.render(sent, seconds)
    blocks = [player.engine.process(state, QUANTUM) for _ in range(len(sound) // QUANTUM)]
    wanted = np.concatenate(blocks)
    error = float(np.abs(sound[: len(wanted)] - wanted).max())
    return {
        "study": f"{'performed' if perform else 'plain'}_{voices}",
        "cpu_times_real_time": (seconds - 0.5) / (cpu - short),
        "clock_times_real_time": seconds / wall,
        "difference_from_model": error,
    }


def measure_start(browser: Browser, address: str) -> dict[str, Any]:
    """The page as a stranger opens it, a key pressed as soon as there is one."""
    times = []
    for _ in range(3):
        page = browser.new_context().new_page()
        page.add_init_script(PRESS)
        page.goto(address)
        page.wait_for_function("window.firstSound", timeout=20_000)
        times.append(page.evaluate("window.firstSound / 1000"))
        page.context.close()
    return {"first_sound_s": sorted(times)[1]}


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", type=Path)
    parser.add_argument("--voices", type=int, nargs="+", default=[1, 8])
    parser.add_argument("--seconds", type=float, default=10.0)
    options = parser.parse_args()
    sys.path.insert(0, str(TESTS))
    from browser_instrument import RENDER

    with tempfile.TemporaryDirectory() as folder, sync_playwright() as tools:
        out = Path(folder) / "page"
        export([str(options.model), "--format", "web", "-o", str(out)])
        sizes = {part.name: part.stat().st_size for part in out.iterdir()}
        flags = ["--no-sandbox", "--autoplay-policy=no-user-gesture-required"]
        browser = tools.chromium.launch(executable_path=shutil.which("chromium"), args=flags)
        page = {"study": "page", "megabytes": sum(sizes.values()) / 1e6, "bytes": sizes}
        print(json.dumps({**page, **measure_start(browser, (out / "index.html").as_uri())}), flush=True)
        performs = PlayableModel(options.model, 0).model.performs
        for voices in options.voices:
            for perform in (True, False) if performs else (False,):
                measured = Measured(browser, out, RENDER)
                player = PlayableModel(options.model, 0)
                found = measure_speed(measured, player, voices, perform, options.seconds)
                print(json.dumps(found), flush=True)
                measured.page.close()
        browser.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
