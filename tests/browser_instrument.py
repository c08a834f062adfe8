"""Opens an exported page in headless Chromium, from its file.

    python tests/browser_instrument.py render FOLDER SCORE.json OUT    an OfflineAudioContext plays a score; float32
    python tests/browser_instrument.py play FOLDER PICTURES            a chord by touches, recorded by the page
    python tests/browser_instrument.py offline FOLDER                  opened from a server, and again without it

`play` prints one JSON object: what the page complained of, the controls it sent, the recording. Needs Debian's chromium
and the `playwright` package.
"""

from __future__ import annotations

import base64
import json
import shutil
import sys
import time
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

from browser_page import Touch, sizes
from playwright.sync_api import Browser, Page, expect, sync_playwright

RENDER = """async ([score, seconds]) => {
    const rate = INSTRUMENT.file.rate;
    const context = new OfflineAudioContext(1, seconds * rate, rate);
    await context.audioWorklet.addModule(`data:text/javascript,${encodeURIComponent(`(${wavevaeDsp})()`)}`);
    const bytes = modules => modules.file.bytesOf(INSTRUMENT.numbers);
    const node = new AudioWorkletNode(context, "wavevae", { numberOfInputs: 0, outputChannelCount: [1],
        processorOptions: { file: INSTRUMENT.file, numbers: bytes(wavevaeDsp()), voices: INSTRUMENT.voices,
            controls: score[0][1], score } });
    node.connect(context.destination);
    const sound = new Uint8Array((await context.startRendering()).getChannelData(0).buffer);
    let text = "";
    for (let at = 0; at < sound.length; at += 32768) text += String.fromCharCode(...sound.subarray(at, at + 32768));
    return btoa(text);
}"""
SPY = """window.sent = [];
const post = MessagePort.prototype.postMessage;
MessagePort.prototype.postMessage = function (message, ...rest) {
    if (message?.controls) window.sent.push(structuredClone(message.controls));
    return post.call(this, message, ...rest);
};"""
SIZES = {"laptop": (1440, 900), "phone": (390, 844)}


def open_page(browser: Browser, folder: Path, size: tuple[int, int], problems: list[str]) -> Page:
    """With fingers. Everything that it complains of is kept."""
    width, height = size
    viewport: Any = {"width": width, "height": height}
    page = browser.new_context(viewport=viewport, has_touch=True, accept_downloads=True).new_page()
    page.on("console", lambda m: problems.append(m.text) if m.type in ("error", "warning") else None)
    page.on("pageerror", lambda e: problems.append(str(e)))
    page.on("requestfailed", lambda r: problems.append(r.url))
    page.add_init_script(SPY)
    page.goto((folder / "index.html").resolve().as_uri())
    return page


def play(browser: Browser, folder: Path, pictures: Path) -> dict[str, Any]:
    """At each size: start, a chord by three fingers, improvising; the last recording as a WAV in base 64."""
    answer: dict[str, Any] = {"problems": []}
    for name, size in SIZES.items():
        opened = time.monotonic()
        page = open_page(browser, folder, size, answer["problems"])
        start = page.locator("#start")
        expect(start).to_be_visible()
        start.click()
        expect(page.locator("#veil")).to_be_hidden()
        answer[f"{name}_started_s"] = time.monotonic() - opened
        page.locator("#record").click()
        fingers = Touch(page)
        fingers.down(0, 2, 4)
        expect(page.locator("#status")).not_to_contain_text("0.0×", timeout=20_000)
        page.screenshot(path=pictures / f"{name}.png")
        fingers.up()
        page.wait_for_timeout(700)
        with page.expect_download() as waiting:
            page.locator("#record").click()
        answer["recording"] = base64.b64encode(waiting.value.path().read_bytes()).decode()
        answer["sent"] = page.evaluate("window.sent")
        answer["status"] = page.locator("#status").inner_text()
        answer[name] = sizes(page)
        improvise(page)
        page.context.close()
    return answer


def improvise(page: Page) -> None:
    """A button, where the file has a prior; the meter says that it sounds."""
    if not page.locator("#improvise").is_visible():
        return
    page.locator("#improvise").click()
    expect(page.locator("#improvise")).to_have_attribute("aria-pressed", "true")
    expect(page.locator("#loudness")).to_contain_text("dB")
    page.locator("#improvise").click()


def offline(browser: Browser, folder: Path) -> dict[str, Any]:
    """In a folder of a site, as it is put on the web."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder.parent)))
    Thread(target=server.serve_forever, daemon=True).start()
    problems: list[str] = []
    page = browser.new_page()
    page.on("console", lambda m: problems.append(m.text) if m.type in ("error", "warning") else None)
    page.goto(f"http://127.0.0.1:{server.server_port}/{folder.name}/")
    page.evaluate("navigator.serviceWorker.ready.then(() => true)")
    page.wait_for_function("navigator.serviceWorker.controller")
    server.shutdown()
    server.server_close()
    page.reload()
    page.locator("#start").click()
    page.keyboard.down("a")
    expect(page.locator("#loudness")).to_contain_text("dB")
    return {"problems": problems}


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


def main() -> None:
    task, folder, *files = sys.argv[1:]
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    with sync_playwright() as tools:
        browser = tools.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        if task == "play":
            print(json.dumps(play(browser, Path(folder), Path(files[0]))))
        elif task == "offline":
            print(json.dumps(offline(browser, Path(folder))))
        else:
            problems: list[str] = []
            page = open_page(browser, Path(folder), SIZES["laptop"], problems)
            score, seconds = json.loads(Path(files[0]).read_text())
            Path(files[1]).write_bytes(base64.b64decode(page.evaluate(RENDER, [score, seconds])))
            assert not problems, problems
        browser.close()


if __name__ == "__main__":
    main()
