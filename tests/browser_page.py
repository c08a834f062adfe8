"""Drives the control page in headless Chromium: everything on it is used once, and pictures are taken.

    python tests/browser_page.py URL FOLDER

Prints one JSON object: what the page showed. Needs Debian's chromium and the `playwright` package.
"""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from typing import Any

from playwright.sync_api import Page, expect, sync_playwright

SIZES = {"phone": (390, 844), "laptop": (1366, 768)}


def use(page: Page) -> dict[str, Any]:
    """Turn what can be turned; each waits until the instrument says so."""
    found: dict[str, Any] = {}
    number, status = page.locator("#axes output").first, page.locator("#status")
    first = page.locator("#axes input").first
    page.locator("#axes label").first.dblclick()  # back to the mean
    expect(number).to_have_text("0.00")
    first.focus()
    for _ in range(20):
        page.keyboard.press("ArrowRight")
    expect(number).to_have_text("0.20")
    found["slider"] = first.input_value()
    box = page.locator("#xy").bounding_box()
    assert box
    page.mouse.click(box["x"] + 0.8 * box["width"], box["y"] + 0.3 * box["height"])
    expect(number).not_to_have_text("0.20")
    page.locator("#classes button", has_text="hard").click()
    expect(page.locator("#classes [aria-checked=true]")).to_have_text("hard")
    mix_and_bend(page, found)
    page.fill("#preset-name", "from the page")
    page.locator("#store button").click()
    expect(page.locator("#presets")).to_contain_text("from the page")
    found["learnt"] = learn(page)
    page.locator("#keys button").nth(14).hover()
    page.mouse.down()
    expect(page.locator("#keys button.down")).to_have_count(1)
    page.mouse.up()
    expect(page.locator("#keys button.down")).to_have_count(0)
    page.locator("h1").click()
    page.keyboard.press("k")
    page.locator("#modes button", has_text="sample").click()
    expect(page.locator("#modes [aria-checked=true]")).to_have_text("sample")
    found["status"] = status.inner_text()
    page.keyboard.press("Escape")
    expect(status).to_contain_text("panic")
    page.locator("#reset").click()
    expect(status).not_to_contain_text("panic")
    page.locator("#freeze").click()
    expect(page.locator("#freeze")).to_have_attribute("aria-pressed", "true")
    page.locator("#freeze").click()
    page.locator("button", has_text="drone").click()
    page.wait_for_timeout(1500)
    found["wider_than_screen"] = page.evaluate("document.documentElement.scrollWidth > innerWidth")
    return found


def learn(page: Page) -> bool:
    """With MIDI: while learning, a click asks for a control instead of doing what it does."""
    if not page.locator("#learn").is_visible():
        return False
    page.locator("#learn").click()
    page.locator("#presets button", has_text="from the page").click()
    expect(page.locator("#status")).to_contain_text("move what is to turn preset/recall")
    before = page.locator("#axes output").nth(1).inner_text()
    page.locator("#axes .row").nth(1).click()
    expect(page.locator("#axes .waiting label")).to_contain_text("axis 1")
    expect(page.locator("#axes output").nth(1)).to_have_text(before)
    page.locator("#classes button", has_text="odd").click()
    expect(page.locator("#status")).to_contain_text("turn class")
    expect(page.locator("#classes [aria-checked=true]", has_text="odd")).to_have_count(0)
    page.locator("#learn").click()
    expect(page.locator("#status")).not_to_contain_text("move what")
    return True


def mix_and_bend(page: Page, found: dict[str, Any]) -> None:
    """Two classes at once, and back to one; the bend goes back to rest when it is let go."""
    page.locator("#mix summary").click()
    soft = page.locator("#mix input").first
    soft.focus()
    for _ in range(50):
        page.keyboard.press("ArrowRight")
    expect(page.locator("#classes [aria-checked=true]")).to_have_count(0)
    expect(page.locator("#mix output").first).to_have_text("0.50")
    found["shares"] = [
        round(float(chip.evaluate("e => parseFloat(e.style.getPropertyValue('--share'))")))
        for chip in page.locator("#classes button").all()
    ]
    bend = page.locator("#envelope input").first
    box = bend.bounding_box()
    assert box
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.mouse.down()
    page.mouse.move(box["x"] + 0.9 * box["width"], box["y"] + box["height"] / 2)
    found["bent"] = float(page.locator("#envelope output").first.inner_text()) > 1
    page.mouse.up()
    expect(page.locator("#envelope output").first).to_have_text("0.00")
    found["asks_for_input"] = page.locator("#heard-class").is_visible()
    if found["asks_for_input"]:
        page.locator("#heard-class select").select_option(label="odd")
        page.locator("#heard-pitch input").fill("60.5")
        page.locator("#heard-pitch input").press("Tab")


def main() -> None:
    url, folder = sys.argv[1], Path(sys.argv[2])
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    answer: dict[str, Any] = {"problems": []}
    expect.set_options(timeout=60_000)
    with sync_playwright() as tools:
        browser = tools.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        for name, (width, height) in SIZES.items():
            page = browser.new_page(viewport={"width": width, "height": height})
            page.on("console", lambda m: answer["problems"].append(m.text) if m.type == "error" else None)
            page.on("pageerror", lambda e: answer["problems"].append(str(e)))
            page.on("requestfailed", lambda r: answer["problems"].append(r.url))
            page.goto(url)
            answer[name] = use(page)
            page.wait_for_timeout(600)
            page.screenshot(path=folder / f"{name}.png", full_page=True)
            page.close()
        browser.close()
    print(json.dumps(answer))


if __name__ == "__main__":
    main()
