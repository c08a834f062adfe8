"""The map from MIDI messages to OSC addresses: a YAML list of rows.

- {cc: 74, address: /wavevae/latent/0, range: [-3, 3]}
- {cc14: 1, channel: 2, address: /wavevae/gain, range: [-60, 0], curve: fast}
- {note: 36, address: /wavevae/preset/recall, arguments: [dark, 2.0]}
- {note: all, address: /wavevae/note}
- {polytouch: all, address: /wavevae/note/pressure}

A row for one key overrides the row for all keys. Addresses below /wavevae/note/ get the key number first.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from wavevae.controls import CONTROLS, Control
from wavevae.errors import UserError, nearest
from wavevae.files import locked, printable, write_whole

ALL = "all"
SOURCES = {"cc": 127, "cc14": 31, "note": 127, "program": 127, "bend": 0, "aftertouch": 0, "polytouch": 127}
"""A row names exactly one, with a number up to this (bend and aftertouch: `all`)."""
NUMBERLESS = ("bend", "aftertouch")
KEYS = (*SOURCES, "channel", "address", "range", "curve", "arguments")

CURVES: dict[str, Callable[[float], float]] = {
    "linear": lambda x: x,
    "slow": lambda x: x * x,
    "fast": math.sqrt,
    "s": lambda x: x * x * (3 - 2 * x),
}
"""From the control's 0..1 to the range's 0..1; a number is an exponent."""
DECLARED = {control.name: control for control in CONTROLS}
BUTTONS = frozenset(("panic", "reset", "drone", "prior/reset"))
"""Addresses that are pressed: bound without a value."""
SWITCHES = frozenset(("freeze", "pedal", "mono", "transpose_auto"))
"""Addresses that are on in the upper half of a control."""
OF_ONE_NOTE = "/wavevae/note/"
KEYED_SOURCES = ("polytouch", "note")
"""Those whose messages name a key."""

Argument = float | int | str


class Wrong(ValueError):
    """What is wrong with one row."""


@dataclass(frozen=True)
class Row:
    """One control and what it turns."""

    source: str
    number: int | None
    """Of the controller, key or program; None: any."""
    address: str
    channel: int | None = None
    """1 to 16; None: any."""
    low: float = 0.0
    high: float = 1.0
    curve: str | float = "linear"
    arguments: tuple[Argument, ...] | None = None
    """Sent as they are when a button is pressed, instead of a value."""

    def value(self, share: float) -> float:
        """What a control at 0..1 sends."""
        if name_of(self.address) in SWITCHES:
            return int(share >= PRESSED)
        bent = share**self.curve if isinstance(self.curve, float) else CURVES[self.curve](share)
        return self.low + bent * (self.high - self.low)

    def plain(self) -> dict[str, Any]:
        """As the file has it."""
        row: dict[str, Any] = {self.source: ALL if self.number is None else self.number}
        if self.channel is not None:
            row["channel"] = self.channel
        row["address"] = self.address
        if self.arguments is not None:
            row["arguments"] = list(self.arguments)
        elif (self.source, self.number) != ("note", None):
            row["range"] = [self.low, self.high]
        if self.curve != "linear":
            row["curve"] = self.curve
        return row


PRESSED = 0.5
"""Of a control that stands for a button."""


def name_of(address: str) -> str:
    """'gain' of /wavevae/gain."""
    return address.removeprefix("/wavevae/")


def declared(address: str) -> Control | None:
    """The control at /wavevae/<name>, of an axis at /wavevae/<name>/<axis>, of one note at /wavevae/note/<name>."""
    name = name_of(address)
    first, _, last = name.partition("/")
    return DECLARED.get(name) or DECLARED.get(last if first == "note" else first)


def usual_range(address: str) -> tuple[float, float]:
    """As the control is declared; 0 to 1 for what is not known."""
    control = declared(address)
    return control.knob if control else (0.0, 1.0)


def usual_curve(address: str) -> str:
    """As the control is declared."""
    control = declared(address)
    return control.knob_curve if control else "linear"


def usual_row(source: str, number: int | None, name: str) -> Row:
    """From any channel, with the usual range and curve."""
    address = f"/wavevae/{name}"
    return Row(source, number, address, None, *usual_range(address), usual_curve(address))


PLAYED = (
    Row("note", None, "/wavevae/note"),
    usual_row("bend", None, "bend"),
    Row("cc", 7, "/wavevae/gain", None, *usual_range("/wavevae/gain"), "fast"),
)
EXPRESSION = (
    usual_row("aftertouch", None, "pressure"),
    usual_row("polytouch", None, "note/pressure"),
    usual_row("cc", 1, "life"),
    usual_row("cc", 2, "pressure"),
    usual_row("cc", 5, "glide"),
    usual_row("cc", 65, "mono"),
    usual_row("cc", 72, "release"),
    usual_row("cc", 73, "attack"),
    usual_row("cc", 75, "decay"),
)
"""As General MIDI 2 has the numbers: modulation, breath, portamento time and switch, release, attack, decay."""
TIMBRE_CONTROLLERS = (74, 71, 70, 76, 77, 78, 79)
"""Brightness, harmonic content and the other sound controllers: the learned latents of an instrument, in order."""
CODEC_CONTROLLERS = range(70, 78)


def usual_map(latent_dim: int, n_controls: int) -> tuple[Row, ...]:
    """Without a map: of a model whose first `n_controls` latents are an instrument's (0: a codec)."""
    if n_controls == 0:
        knobs = [usual_row("cc", n, f"latent/{n - 70}") for n in CODEC_CONTROLLERS[:latent_dim]]
        return (*PLAYED, usual_row("cc", 1, "temperature"), *knobs)
    learned = zip(TIMBRE_CONTROLLERS, range(n_controls, latent_dim), strict=False)
    return (*PLAYED, *EXPRESSION, *(usual_row("cc", n, f"latent/{i}") for n, i in learned))


USUAL_MAP = usual_map(11, 3)
"""Of an instrument with a pitch: what is sent where nothing is known of the model."""


def read_map(path: Path) -> tuple[Row, ...]:
    """Raises: UserError with file, line and what is wrong."""
    try:
        node = yaml.compose(path.read_text(encoding="utf-8"), yaml.SafeLoader)
    except OSError as error:
        raise UserError(f"{printable(path)}: cannot be read ({error.strerror})") from None
    except UnicodeDecodeError:
        raise UserError(f"{printable(path)}: not a text in UTF-8") from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = mark.line + 1 if mark else 1
        raise UserError(
            f"{printable(path)}, line {line}: not YAML ({getattr(error, 'problem', error)})"
        ) from None
    if node is None:
        return ()
    if not isinstance(node, yaml.SequenceNode):
        raise UserError(f"{printable(path)}, line 1: a map is a list of rows; begin each with '- '")
    return tuple(_read_row(path, item) for item in node.value)


def _read_row(path: Path, node: yaml.Node) -> Row:
    try:
        loader = yaml.SafeLoader("")  # without a text: to make values of nodes
        try:
            return parse_row(loader.construct_object(node, deep=True))
        finally:
            loader.dispose()
    except (Wrong, yaml.YAMLError) as error:
        raise UserError(f"{printable(path)}, line {node.start_mark.line + 1}: {error}") from None


def parse_row(row: object) -> Row:
    """Raises: Wrong."""
    if not isinstance(row, dict):
        raise Wrong("a row is a mapping, such as {cc: 74, address: /wavevae/latent/0}")
    for key in row:
        if key not in KEYS:
            raise Wrong(f"unknown key '{key}'; {nearest(str(key), KEYS)}")
    sources = [name for name in SOURCES if name in row]
    if len(sources) != 1:
        raise Wrong(f"a row has exactly one of {', '.join(SOURCES)}; found {' and '.join(sources) or 'none'}")
    address = row.get("address")
    if not isinstance(address, str) or not address.startswith("/") or set(address) & set("*?[]{} "):
        raise Wrong(f"address is {address!r}; use one such as /wavevae/latent/0")
    source = sources[0]
    low, high = _range(row.get("range"), address)
    if address.startswith(OF_ONE_NOTE) and source not in KEYED_SOURCES and "arguments" not in row:
        raise Wrong(f"{address} is of one note, and {source} does not say which; use polytouch")
    return Row(
        source,
        _number(source, row[source]),
        address,
        _channel(row.get("channel")),
        low,
        high,
        _curve(row.get("curve", "linear")),
        _arguments(row.get("arguments")),
    )


def _number(source: str, value: object) -> int | None:
    if value is True or value == ALL or source in NUMBERLESS:
        if source in ("cc", "cc14"):
            raise Wrong(f"{source} needs a number, 0 to {SOURCES[source]}")
        return None
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= SOURCES[source]:
        raise Wrong(f"{source} is {value!r}; use 0 to {SOURCES[source]}")
    return value


def _channel(value: object) -> int | None:
    if value is None or value == ALL:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= 16:
        raise Wrong(f"channel is {value!r}; use 1 to 16, or leave it out for any")
    return value


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def _range(value: object, address: str) -> tuple[float, float]:
    if value is None:
        return usual_range(address)
    if not isinstance(value, list) or len(value) != 2 or not all(_is_number(v) for v in value):
        raise Wrong(f"range is {value!r}; use two numbers, [low, high]")
    return float(value[0]), float(value[1])


def _curve(value: object) -> str | float:
    if isinstance(value, str) and value in CURVES:
        return value
    if _is_number(value) and 0.05 <= value <= 20:  # type: ignore[operator]
        return float(value)  # type: ignore[arg-type]
    raise Wrong(f"curve is {value!r}; use {', '.join(CURVES)}, or an exponent from 0.05 to 20")


def _arguments(value: object) -> tuple[Argument, ...] | None:
    if value is None:
        return None
    if not isinstance(value, list) or not all(isinstance(v, str) or _is_number(v) for v in value):
        raise Wrong(f"arguments is {value!r}; use a list of numbers and strings")
    return tuple(value)


def write_map(path: Path, rows: tuple[Row, ...]) -> None:
    """Whole or not at all. Raises: Failure, UserError."""
    text = "".join(
        "- " + yaml.safe_dump(row.plain(), default_flow_style=True, sort_keys=False, width=1000)
        for row in rows
    )
    write_whole(path, text)


def write_learnt(path: Path, before: tuple[Row, ...], rows: tuple[Row, ...]) -> None:
    """Bring what was learnt since `before` into a map that other programs may have changed meanwhile.

    Where two have learnt one control the later counts. Raises: Failure, UserError.
    """
    learnt = [row for row in rows if row not in before]
    dropped = {row for row in before if row not in rows}
    controls = {(row.source, row.number, row.channel) for row in learnt}
    with locked(path):
        there = read_map(path) if path.is_file() else before
        kept = [r for r in there if r not in dropped and (r.source, r.number, r.channel) not in controls]
        write_map(path, (*kept, *learnt))
