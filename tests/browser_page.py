"""Drives the control page in headless Chromium: everything on it is used once, and pictures are taken.

    python tests/browser_page.py URL FOLDER codec|instrument|unpitched

Prints one JSON object: what the page showed. Needs Debian's chromium and the `playwright` package.
"""

from __future__ import annotations

import json
import re
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from playwright.sync_api import BrowserContext, Locator, Page, expect, sync_playwright

SIZES = {"laptop": (1440, 900), "small": (1024, 700), "phone": (390, 844), "tiny": (360, 640)}
TOUCH = ("phone", "tiny")
KEY_DOWN = "#keys button.down"
IS_DOWN = re.compile(r"\bdown\b")


def row(page: Page, name: str) -> Locator:
    """A slider and its label and number, by its name."""
    return page.locator("main .row").filter(has=page.get_by_text(name, exact=True)).first


def number(page: Page, name: str) -> Locator:
    return row(page, name).locator("output")


def middle(part: Locator, height: float = 0.5) -> tuple[float, float]:
    part.scroll_into_view_if_needed()
    box = part.bounding_box()
    assert box
    return box["x"] + box["width"] / 2, box["y"] + height * box["height"]


def sizes(page: Page) -> dict[str, Any]:
    """What must be true of the layout at every size."""
    return page.evaluate(
        """() => {
            const main = document.querySelector("main");
            const box = document.getElementById("keys").getBoundingClientRect();
            const white = document.querySelector("#keys .white");
            return {
                wider_than_screen: document.body.scrollWidth > innerWidth || main.scrollWidth > main.clientWidth,
                keyboard_visible: box.height > 80 && box.top >= 0 && box.bottom <= innerHeight,
                key_width: white ? white.getBoundingClientRect().width : 0,
                room_for_controls: main.clientHeight / innerHeight,
            };
        }"""
    )


# a codec with classes and a pitch


def use_codec(page: Page, touch: bool) -> dict[str, Any]:
    """Turn what can be turned; each waits until the instrument says so."""
    found: dict[str, Any] = {}
    first = number(page, "axis 0")
    row(page, "axis 0").locator("label").dblclick()  # back to the mean
    expect(first).to_have_text("0.00")
    row(page, "axis 0").locator("input").focus()
    for _ in range(20):
        page.keyboard.press("ArrowRight")
    expect(first).to_have_text("0.20")
    found["slider"] = row(page, "axis 0").locator("input").input_value()
    x, y = middle(page.locator("#xy"), 0.3)
    page.mouse.click(x + 40, y)
    expect(first).not_to_have_text("0.20")
    page.locator("#classes button", has_text="hard").click()
    expect(page.locator("#classes [aria-checked=true]")).to_have_text("hard")
    mix(page, found)
    page.fill("#preset-name", "from the page")
    page.locator("#store button").click()
    expect(page.locator("#presets")).to_contain_text("from the page")
    found["rest"] = page.locator("#rest-title").inner_text().lower()
    page.locator("#rest summary").click()
    expect(number(page, "axis 9")).to_be_visible()
    page.locator("#more summary").click()
    found["learnt"] = learn(page)
    found["bent"] = bend(page)
    page.locator("#modes button", has_text="sample").click()
    expect(page.locator("#modes [aria-checked=true]")).to_have_text("sample")
    silence(page)
    page.wait_for_timeout(1500)
    return found


def mix(page: Page, found: dict[str, Any]) -> None:
    """Two classes at once."""
    page.locator("#mix summary").click()
    page.locator("#mix input").first.focus()
    for _ in range(50):
        page.keyboard.press("ArrowRight")
    expect(page.locator("#classes [aria-checked=true]")).to_have_count(0)
    expect(page.locator("#mix output").first).to_have_text("0.50")
    expect(page.locator("#classes button", has_text="soft")).to_have_attribute("style", re.compile("33.3"))
    found["shares"] = [
        round(float(chip.evaluate("e => parseFloat(e.style.getPropertyValue('--share'))")))
        for chip in page.locator("#classes button").all()
    ]
    found["asks_for_input"] = page.locator("#input").is_visible()


def learn(page: Page) -> bool:
    """With MIDI: while learning, a click asks for a control instead of doing what it does."""
    if not page.locator("#learn").is_visible():
        return False
    page.locator("#learn").click()
    page.locator("#presets button", has_text="from the page").click()
    expect(page.locator("#learning")).to_contain_text("turn preset/recall")
    before = number(page, "axis 1").inner_text()
    row(page, "axis 1").click()
    expect(page.locator(".waiting label")).to_contain_text("axis 1")
    expect(number(page, "axis 1")).to_have_text(before)
    page.locator("#classes button", has_text="odd").click()
    expect(page.locator("#learning")).to_contain_text("turn class")
    expect(page.locator("#classes [aria-checked=true]", has_text="odd")).to_have_count(0)
    page.locator("#learning button").click()
    expect(page.locator("#learning")).to_be_hidden()
    return True


def bend(page: Page) -> bool:
    """The bend goes back to rest when it is let go."""
    slider, output = page.locator("#more input[aria-label^=bend]"), number(page, "bend")
    slider.scroll_into_view_if_needed()
    box = slider.bounding_box()
    assert box
    y = box["y"] + box["height"] / 2
    page.mouse.move(box["x"] + box["width"] / 2, y)
    page.mouse.down()
    page.mouse.move(box["x"] + 0.9 * box["width"], y)
    bent = float(output.inner_text()) > 1
    page.mouse.up()
    expect(output).to_have_text("0.00")
    return bent


def silence(page: Page) -> None:
    """Panic and back, freeze and back, notes forgotten."""
    page.keyboard.press("Escape")
    expect(page.locator("#note")).to_contain_text("panic")
    page.locator("#reset").click()
    expect(page.locator("#note")).not_to_contain_text("panic")
    for pressed in ("true", "false"):
        page.locator("#freeze").click()
        expect(page.locator("#freeze")).to_have_attribute("aria-pressed", pressed)
    page.locator("#drone").click()


# an instrument


def use_instrument(page: Page, touch: bool) -> dict[str, Any]:
    """From the first look to a chord with a knob turned under it. Keys show what the server holds."""
    found: dict[str, Any] = {"first": page.locator("#note").inner_text()}
    found["named"] = page.locator("#controls .row label span").all_inner_texts()
    found["touch"] = touch
    keys = Touch(page) if touch else Mouse(page)
    keys.chord(found)
    pedal(page, keys)
    turn(page, found)
    octaves(page, found)
    page.keyboard.press("Escape")
    page.locator("#reset").click()
    map_keeps_the_controls(page, found)
    keys.chord(found)
    return found


class Touch:
    """Fingers, by the DevTools protocol."""

    def __init__(self, page: Page) -> None:
        self.page, self.tools = page, page.context.new_cdp_session(page)
        self.points: list[dict[str, float]] = []

    def _dispatch(self, kind: str) -> None:
        self.tools.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": self.points})

    def down(self, *whites: int) -> None:
        """One finger on each of these white keys, counted from the left."""
        for white in whites:
            x, y = middle(self.page.locator("#keys .white").nth(white), 0.85)
            self.points.append({"x": x, "y": y, "id": len(self.points)})
            self._dispatch("touchStart")
        expect(self.page.locator(KEY_DOWN)).to_have_count(len(self.points))

    def press(self, force: float) -> None:
        """The last finger presses harder, which moves it a little."""
        self.points[-1]["force"] = force
        self.points[-1]["y"] -= 18
        self._dispatch("touchMove")

    def slide(self, white: int) -> None:
        """The last finger goes to another white key."""
        self.points[-1]["x"] = middle(self.page.locator("#keys .white").nth(white))[0]
        self._dispatch("touchMove")

    def up(self) -> None:
        self.points = []
        self._dispatch("touchEnd")

    def chord(self, found: dict[str, Any]) -> None:
        """Three keys, the last slid to the next one."""
        self.down(0, 2, 4)
        found["chord"] = held(self.page)
        self.press(0.75)
        self.slide(5)
        expect(self.page.locator(KEY_DOWN)).to_have_count(3)
        self.page.wait_for_timeout(200)
        found["slid"] = held(self.page)
        self.up()
        expect(self.page.locator(KEY_DOWN)).to_have_count(0)


class Mouse:
    """One pointer, and the computer's keys."""

    def __init__(self, page: Page) -> None:
        self.page = page

    def down(self, *whites: int) -> None:
        """One after the other."""
        for white in whites:
            self.page.mouse.move(*middle(self.page.locator("#keys .white").nth(white), 0.85))
            self.page.mouse.down()
            expect(self.page.locator("#keys .white").nth(white)).to_have_class(IS_DOWN)
            self.page.mouse.up()

    def up(self) -> None:
        pass

    def chord(self, found: dict[str, Any]) -> None:
        self.page.locator("h1").click()
        for key in "adg":
            self.page.keyboard.down(key)
        expect(self.page.locator(KEY_DOWN)).to_have_count(3)
        found["chord"] = held(self.page)
        for key in "adg":
            self.page.keyboard.up(key)
        expect(self.page.locator(KEY_DOWN)).to_have_count(0)
        first, second = (self.page.locator("#keys .white").nth(n) for n in (3, 4))
        self.page.mouse.move(*middle(first, 0.85))
        self.page.mouse.down()
        expect(self.page.locator(KEY_DOWN)).to_have_count(1)
        before = held(self.page)
        self.page.mouse.move(*middle(second, 0.85))
        self.page.wait_for_timeout(300)
        found["slid"] = [*before, *held(self.page)]
        self.page.mouse.up()
        expect(self.page.locator(KEY_DOWN)).to_have_count(0)


def held(page: Page) -> list[int]:
    return [int(key.get_attribute("data-pitch") or -1) for key in page.locator(KEY_DOWN).all()]


def lowest_key(page: Page) -> int:
    return int(page.locator("#keys button").first.get_attribute("data-pitch") or -1)


def pedal(page: Page, keys: Touch | Mouse) -> None:
    """Held: keys sound on after they are let go, while other things are touched."""
    page.locator("#pedal").click()
    expect(page.locator("#pedal")).to_have_attribute("aria-pressed", "true")
    keys.down(0, 2)
    keys.up()
    page.wait_for_timeout(200)
    expect(page.locator(KEY_DOWN)).to_have_count(2)


def turn(page: Page, found: dict[str, Any]) -> None:
    """A knob under the held chord; then the pedal is let go."""
    row(page, "brightness").locator("label").dblclick()
    expect(number(page, "brightness")).to_have_text("0.00")
    row(page, "brightness").locator("input").focus()
    for _ in range(20):
        page.keyboard.press("ArrowRight")
    found["brightness"] = number(page, "brightness").inner_text()
    expect(page.locator(KEY_DOWN)).to_have_count(2)
    page.locator("#pedal").click()
    expect(page.locator(KEY_DOWN)).to_have_count(0)


def octaves(page: Page, found: dict[str, Any]) -> None:
    """The shift moves the keys by twelve semitones."""
    name, lowest = page.locator("#octave").inner_text(), lowest_key(page)
    page.locator("#octave-up").click()
    found["octave"] = [12 * int(text[1:]) for text in (name, page.locator("#octave").inner_text())]
    found["lowest_moved"] = lowest_key(page) - lowest
    page.locator("#octave-down").click()
    expect(page.locator("#octave")).to_have_text(name)
    page.locator("#mono").click()
    expect(page.locator("#glide")).to_be_visible()
    page.locator("#mono").click()
    expect(page.locator("#glide")).to_be_hidden()


def map_keeps_the_controls(page: Page, found: dict[str, Any]) -> None:
    """Sliders in natural units; the map leaves them where they are."""
    for name, start in (("pitch", "61"), ("loudness", "-24")):
        slider = row(page, name).locator("input")
        slider.fill(start)
        found[name] = number(page, name).inner_text()
    page.wait_for_timeout(500)
    before = number(page, "brightness").inner_text()
    x, y = middle(page.locator("#xy"), 0.3)
    page.mouse.click(x + 40, y)
    expect(number(page, "brightness")).not_to_have_text(before)
    found["after_the_map"] = [number(page, name).inner_text() for name in ("pitch", "loudness")]


def use_unpitched(page: Page, touch: bool) -> dict[str, Any]:
    """Keys play here too, and it is said what they do."""
    found: dict[str, Any] = {"hint": page.locator("#hint").inner_text()}
    found["named"] = page.locator("#controls .row label span").all_inner_texts()
    (Touch(page) if touch else Mouse(page)).chord(found)
    return found


USES: dict[str, Callable[[Page, bool], dict[str, Any]]] = {
    "codec": use_codec,
    "instrument": use_instrument,
    "unpitched": use_unpitched,
}


def open_page(context: BrowserContext, url: str, problems: list[str], sent: list[Any]) -> Page:
    """Everything that it complains of and that it sends is kept."""
    page = context.new_page()
    page.on(
        "websocket",
        lambda socket: socket.on("framesent", lambda text: sent.append(json.loads(text)["send"])),
    )
    page.on("console", lambda m: problems.append(m.text) if m.type in ("error", "warning") else None)
    page.on("pageerror", lambda e: problems.append(str(e)))
    page.on("requestfailed", lambda r: problems.append(r.url))
    page.goto(url)
    expect(page.locator("#status")).to_contain_text("real time")
    return page


def main() -> None:
    url, folder, kind = sys.argv[1], Path(sys.argv[2]), sys.argv[3]
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    answer: dict[str, Any] = {"problems": []}
    expect.set_options(timeout=60_000)
    with sync_playwright() as tools:
        browser = tools.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        for name, (width, height) in SIZES.items():
            touch = name in TOUCH
            context = browser.new_context(
                viewport={"width": width, "height": height}, has_touch=touch, is_mobile=touch
            )
            sent: list[Any] = []
            page = open_page(context, url, answer["problems"], sent)
            answer[name] = {**USES[kind](page, touch), **sizes(page)}
            answer[name]["pressed"] = [values[1] for path, values in sent if path == "/wavevae/note/pressure"]
            page.wait_for_timeout(600)
            page.screenshot(path=folder / f"{name}.png")
            context.close()
        browser.close()
    print(json.dumps(answer))


if __name__ == "__main__":
    main()
