"""Writes layouts of an instrument's controls, from their declarations, into this folder.

    python examples/layouts/make_layouts.py

`instrument.json` is a session of Open Stage Control: `open-stage-control --send 127.0.0.1:9000 --load instrument.json`.
`instrument.tosc` is a document of TouchOSC: zlib around XML, version 6. Every widget sends to one address of `serve`.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from wavevae.controls import (
    CONTROLS,
    GLIDE,
    LATENT,
    MODES,
    NATURAL,
    PERFORM,
    PRESSURE,
    PRIOR_SEED,
    TRANSPOSE_AUTO,
    Control,
)
from wavevae.model_config import ModelConfig

FOLDER = Path(__file__).parent
ROOT = "/wavevae"
PLAYED, NOTES = "controls", "notes"
SWITCHES = ("freeze", "mono", "pedal", PERFORM.name, TRANSPOSE_AUTO.name)
PRESSED = ("drone", "prior/reset", "reset", "panic")
FIRST_KEY, KEYS, KEY_VELOCITY = 48, 25, 0.8
BLACK = (1, 3, 6, 8, 10)


@dataclass(frozen=True)
class Fader:
    """A control, or one latent axis of an instrument."""

    name: str
    address: str
    low: float
    high: float
    default: float
    group: str
    whole: bool = False


def fader(control: Control, name: str = "", address: str = "", group: str = "") -> Fader:
    """With the range that it has on the control page, else the one of a knob."""
    low, high = control.fader or control.knob
    address = address or control.name
    group = group or control.group or NOTES
    return Fader(
        name or control.name, f"{ROOT}/{address}", low, high, control.default, group, control is PRIOR_SEED
    )


def faders() -> list[Fader]:
    """The named latents first, then the other controls in the order of their declaration."""
    names = ModelConfig(family="instrument", latent_dim=8).axis_names
    latents = [
        fader(NATURAL[name], group=PLAYED)
        if name in NATURAL
        else fader(LATENT, name, f"{LATENT.name}/{axis}", PLAYED)
        for axis, name in enumerate(names)
    ]
    others = [c for c in CONTROLS if (c.group or c in (GLIDE, PRESSURE)) and c.name not in SWITCHES]
    return latents + [fader(control) for control in others]


def start_of(switch: str) -> int:
    """Whether a switch is on at first."""
    return int(next((c.default for c in CONTROLS if c.name == switch), 0))


def session() -> dict[str, Any]:
    """A session of Open Stage Control; what a widget leaves out has its default there."""
    widgets = faders()
    rows = [
        row([strip(f) for f in widgets if (f.group == PLAYED) is played], f"faders {played}")
        for played in (True, False)
    ]
    modes = {"type": "switch", "id": "mode", "address": f"{ROOT}/mode", "values": list(MODES), "expand": 3}
    toggles = [button(name, mode="toggle", default=start_of(name), typeTags="i") for name in SWITCHES]
    pressed = [button(name, mode="momentary") for name in PRESSED]
    keys = {"start": FIRST_KEY, "keys": KEYS, "velocity": True, "typeTags": "if", "expand": 3}
    played = [
        {"type": "keyboard", "id": "note", "address": f"{ROOT}/note", **keys},
        {"type": "xy", "id": "xy", "address": f"{ROOT}/xy", "snap": True, "expand": True},
    ]
    switches = row([modes | {"layout": "horizontal"}, *toggles, *pressed], "switches")
    content = {"type": "root", "layout": "vertical", "scroll": False}
    content["widgets"] = [*rows, switches | {"expand": False, "height": 60}, row(played, "keys")]
    return {
        "createdWith": "Open Stage Control",
        "version": "1.26.0",
        "type": "session",
        "content": content,
    }


def row(widgets: list[dict[str, Any]], name: str) -> dict[str, Any]:
    return {"type": "panel", "id": name, "layout": "horizontal", "expand": True, "widgets": widgets}


def strip(f: Fader) -> dict[str, Any]:
    """A fader below its name."""
    steps = {"steps": int(f.high - f.low) + 1, "decimals": 0, "typeTags": "i"} if f.whole else {}
    moved = {"range": {"min": f.low, "max": f.high}, "default": f.default, "doubleTap": True, "expand": True}
    spring = {"spring": True} if f.name == "bend" else {}
    title = {"type": "text", "id": f"{f.name} name", "default": f.name, "height": 24, "wrap": True}
    slider = {"type": "fader", "id": f.name, "address": f.address, **moved, **steps, **spring}
    panel = {"type": "panel", "id": f"{f.name} strip", "layout": "vertical", "expand": True}
    return panel | {"innerPadding": False, "widgets": [title, slider]}


def button(name: str, **more: Any) -> dict[str, Any]:
    return {"type": "button", "id": name, "address": f"{ROOT}/{name}", "expand": True, **more}


WIDTH, HEIGHT, GAP = 1280, 800, 8
TOP = {"played": 0, "others": 265, "switches": 530, "keys": 600}
NAME_HEIGHT, FADER_HEIGHT, BUTTON_HEIGHT, KEYS_WIDTH = 32, 220, 60, 980
DARK, BLUE, BLACK_KEY, LIGHT = (0.1, 0.1, 0.12), (0.3, 0.6, 0.9), (0.25, 0.25, 0.3), (0.9, 0.9, 0.92)


def document() -> str:
    """The XML of a TouchOSC document."""
    widgets = faders()
    nodes: list[str] = []
    for place, played in (("played", True), ("others", False)):
        shown = [f for f in widgets if (f.group == PLAYED) is played]
        for f, (x, w) in zip(shown, columns(len(shown), WIDTH), strict=True):
            nodes += [label(f.name, (x, TOP[place], w, NAME_HEIGHT)), touch_fader(f, x, TOP[place], w)]
    nodes += list(switch_row())
    nodes += list(keyboard())
    map_frame = (KEYS_WIDTH + GAP, TOP["keys"], WIDTH - KEYS_WIDTH - 2 * GAP, HEIGHT - TOP["keys"] - GAP)
    both = [partial("VALUE", "FLOAT", axis) for axis in "xy"]
    nodes.append(node("XY", "xy", map_frame, BLUE, {"x": 0.5, "y": 0.5}, osc(f"{ROOT}/xy", both)))
    group = node("GROUP", "wavevae", (0, 0, WIDTH, HEIGHT), DARK, {}, children="".join(nodes))
    return f"<?xml version='1.0' encoding='UTF-8'?><lexml version='6'>{group}</lexml>"


def columns(count: int, width: int) -> list[tuple[int, int]]:
    """Left edge and width of so many columns."""
    step = (width - GAP) // count
    return [(GAP + i * step, step - GAP) for i in range(count)]


def touch_fader(f: Fader, x: int, y: int, w: int) -> str:
    kind = "INTEGER" if f.whole else "FLOAT"
    message = osc(f.address, [partial("VALUE", kind, "x", f.low, f.high)])
    start = (f.default - f.low) / (f.high - f.low)
    return node("FADER", f.name, (x, y + NAME_HEIGHT, w, FADER_HEIGHT), BLUE, {"x": start}, message)


def switch_row() -> Iterator[str]:
    """Modes, switches and buttons: a name over each."""
    modes = [(mode, 0, osc(f"{ROOT}/mode", [partial("CONSTANT", "STRING", mode)], "RISE")) for mode in MODES]
    value = [partial("VALUE", "INTEGER", "x")]
    toggles = [(name, 2, osc(f"{ROOT}/{name}", value)) for name in SWITCHES]
    pressed = [(name, 0, osc(f"{ROOT}/{name}", [], "RISE")) for name in PRESSED]
    shown = [*modes, *toggles, *pressed]
    for (name, kind, message), (x, w) in zip(shown, columns(len(shown), WIDTH), strict=True):
        frame = (x, TOP["switches"], w, BUTTON_HEIGHT)
        yield node("BUTTON", name, frame, BLUE, {"x": start_of(name)}, message, {"buttonType": kind})
        yield label(name, frame)


def keyboard() -> Iterator[str]:
    """White keys first, so that the black ones lie above."""
    keys = range(FIRST_KEY, FIRST_KEY + KEYS)
    white = [key for key in keys if key % 12 not in BLACK]
    places = dict(zip(white, columns(len(white), KEYS_WIDTH), strict=True))
    height = HEIGHT - TOP["keys"] - GAP
    for key in (*white, *(key for key in keys if key % 12 in BLACK)):
        x, w = places.get(key) or (
            places[key - 1][0] + places[key - 1][1] * 2 // 3,
            places[key - 1][1] * 2 // 3,
        )
        frame = (x, TOP["keys"], w, height if key in places else height * 3 // 5)
        arguments = [
            partial("CONSTANT", "INTEGER", str(key)),
            partial("VALUE", "FLOAT", "x", 0, KEY_VELOCITY),
        ]
        color = LIGHT if key in places else BLACK_KEY
        yield node("BUTTON", f"key {key}", frame, color, {"x": 0.0}, osc(f"{ROOT}/note", arguments))


def label(text: str, frame: tuple[int, int, int, int]) -> str:
    """Text that lets touches through."""
    shown = text.replace("temperature", "temp.") if "/" in text else text
    style = {"textColor": (1.0, 1.0, 1.0, 1.0), "background": False, "outline": False}
    return node(
        "LABEL",
        f"{text} name",
        frame,
        DARK,
        {"text": shown.replace("/", " ").replace("_", " ")},
        "",
        {**style, "interactive": False},
    )


def osc(address: str, arguments: list[str], condition: str = "ANY") -> str:
    """A message on every connection, when the value `x` (of a map also `y`) changes or rises."""
    path = partial("CONSTANT", "STRING", address)
    names = [name for name in "xy" if any(f"[{name}]" in a for a in arguments)] or ["x"]
    triggers = "".join(
        f"<trigger><var>{cdata(n)}</var><condition>{condition}</condition></trigger>" for n in names
    )
    return (
        "<messages><osc><enabled>1</enabled><send>1</send><receive>1</receive><feedback>0</feedback>"
        f"<noDuplicates>0</noDuplicates><connections>{'1' * 10}</connections><triggers>{triggers}</triggers>"
        f"<path>{path}</path><arguments>{''.join(arguments)}</arguments></osc></messages>"
    )


def partial(kind: str, conversion: str, value: str, low: float = 0, high: float = 1) -> str:
    return (
        f"<partial><type>{kind}</type><conversion>{conversion}</conversion><value>{cdata(value)}</value>"
        f"<scaleMin>{low:g}</scaleMin><scaleMax>{high:g}</scaleMax></partial>"
    )


def node(
    kind: str,
    name: str,
    frame: tuple[int, int, int, int],
    color: tuple[float, float, float],
    values: dict[str, float | str],
    messages: str = "",
    more: dict[str, Any] | None = None,
    children: str = "",
) -> str:
    """A control of TouchOSC. `values`: what it holds at first."""
    properties = {
        **COMMON,
        **KINDS[kind],
        "name": name,
        "frame": frame,
        "color": (*color, 1.0),
        **(more or {}),
    }
    held = "".join(held_value(key, value) for key, value in {**values, "touch": "false"}.items())
    return (
        f"<node type='{kind}'><properties>{''.join(prop(k, v) for k, v in properties.items())}</properties>"
        f"<values>{held}</values>{messages}{f'<children>{children}</children>' if children else ''}</node>"
    )


def held_value(key: str, value: float | str) -> str:
    shown = value if isinstance(value, str) else f"{value:g}"
    return (
        f"<value><key>{cdata(key)}</key><locked>0</locked><lockedDefaultCurrent>0</lockedDefaultCurrent>"
        f"<default>{cdata(shown)}</default><defaultPull>0</defaultPull></value>"
    )


def prop(key: str, value: Any) -> str:
    """A property with the letter of its type."""
    if isinstance(value, tuple):
        kind, names = ("r", "xywh") if isinstance(value[0], int) else ("c", "rgba")
        content = "".join(f"<{n}>{v:g}</{n}>" for n, v in zip(names, value, strict=True))
    elif isinstance(value, str):
        kind, content = "s", cdata(value)
    elif isinstance(value, float):
        kind, content = "f", f"{value:g}"
    else:
        kind, content = "b" if isinstance(value, bool) else "i", str(int(value))
    return f"<property type='{kind}'><key>{cdata(key)}</key><value>{content}</value></property>"


KINDS: dict[str, dict[str, Any]] = {
    "GROUP": {"grabFocus": False, "interactive": False},
    "LABEL": {"font": 0, "textAlignH": 2, "textAlignV": 2, "textClip": True, "textLength": 0, "textSize": 11},
    "BUTTON": {"buttonType": 0, "press": True, "release": True, "valuePosition": False},
    "FADER": {"bar": True, "barDisplay": 0, "cursor": True, "cursorDisplay": 0, "grid": True, "gridSteps": 13}
    | {"response": 0, "responseFactor": 100},
    "XY": {
        "cursor": True,
        "cursorDisplay": 0,
        "gridX": True,
        "gridY": True,
        "gridStepsX": 10,
        "gridStepsY": 10,
    }
    | {
        "lines": True,
        "linesDisplay": 0,
        "lockX": False,
        "lockY": False,
        "response": 0,
        "responseFactor": 100,
    },
}
"""What each kind of control has beside COMMON, as TouchOSC's editor writes it."""
COMMON = {
    **{"background": True, "cornerRadius": 1.0, "grabFocus": True, "interactive": True, "locked": False},
    **{
        "orientation": 0,
        "outline": True,
        "outlineStyle": 1,
        "pointerPriority": 0,
        "shape": 1,
        "visible": True,
    },
}


def cdata(value: str) -> str:
    return f"<![CDATA[{value}]]>"


def main() -> None:
    (FOLDER / "instrument.json").write_text(json.dumps(session(), indent=1) + "\n", encoding="utf-8")
    (FOLDER / "instrument.tosc").write_bytes(zlib.compress(document().encode(), 9))


if __name__ == "__main__":
    main()
