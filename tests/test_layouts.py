"""The layouts in examples/layouts are in step with the declared controls, and `serve` takes all that they send."""

from __future__ import annotations

import importlib
import json
import xml.etree.ElementTree as ElementTree
import zlib
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import pytest
from osc_desk import Table

from wavevae.controls import CONTROLS, LATENT, MODES, OF_FILE
from wavevae.model_config import ModelConfig
from wavevae.realtime.model_info import Attribute, Axis

FOLDER = Path(__file__).parent.parent / "examples/layouts"
AXES = ModelConfig(family="instrument", latent_dim=8).axis_names
NOT_SHOWN = {"latent", "scale", "bias"}
"""Controls of every axis."""


class Sent(NamedTuple):
    """An address and what a layout sends to it, at one end of the widget and at the other."""

    address: str
    ends: tuple[tuple[Any, ...], ...]


@pytest.fixture
def make(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(FOLDER)
    return importlib.import_module("make_layouts")


def of_session() -> Iterator[Sent]:
    """Of Open Stage Control: what its widgets send by their types (its documentation, "widgets")."""

    def walk(widget: dict[str, Any]) -> Iterator[Sent]:
        kind = widget["type"]
        if kind == "fader":
            number = int if widget.get("typeTags") == "i" else float
            ends = [(number(widget["range"][end]),) for end in ("min", "max")]
        elif kind == "switch":
            ends = [(value,) for value in widget["values"]]
        elif kind == "button":
            ends = [()] if widget["mode"] == "momentary" else [(0,), (1,)]
        elif kind == "keyboard":
            ends = [(widget["start"], 0.0), (widget["start"] + widget["keys"] - 1, 1.0)]
        else:
            ends = [(0.0, 0.0), (1.0, 1.0)]
        if "address" in widget:
            yield Sent(widget["address"], tuple(ends))
        for child in widget.get("widgets", []):
            yield from walk(child)

    yield from walk(json.loads((FOLDER / "instrument.json").read_text())["content"])


def of_document() -> Iterator[Sent]:
    """Of TouchOSC: an argument is a constant, or a value from 0 to 1 that is scaled."""
    root = ElementTree.fromstring(zlib.decompress((FOLDER / "instrument.tosc").read_bytes()))
    for message in root.iter("osc"):
        arguments = message.find("arguments")
        assert arguments is not None
        rows = [{item.tag: item.text or "" for item in row} for row in arguments]
        ends = []
        for end in ("scaleMin", "scaleMax"):
            texts = [row["value"] if row["type"] == "CONSTANT" else row[end] for row in rows]
            types = [{"STRING": str, "INTEGER": int, "FLOAT": float}[row["conversion"]] for row in rows]
            ends.append(tuple(kind(text) for kind, text in zip(types, texts, strict=True)))
        yield Sent(message.findtext("path/partial/value") or "", tuple(ends))


LAYOUTS = {"instrument.json": of_session, "instrument.tosc": of_document}


def test_the_files_are_what_the_script_makes(make: ModuleType) -> None:
    assert json.loads((FOLDER / "instrument.json").read_text()) == make.session()
    assert zlib.decompress((FOLDER / "instrument.tosc").read_bytes()).decode() == make.document()


@pytest.mark.parametrize("name", LAYOUTS)
def test_every_control_is_there_with_its_declared_range(name: str) -> None:
    spans = {sent.address.removeprefix("/wavevae/"): sent.ends for sent in LAYOUTS[name]()}
    for control in CONTROLS:
        if control.name not in NOT_SHOWN:
            assert spans[control.name] == tuple((end,) for end in control.fader or control.knob), control.name
    for axis in range(3, len(AXES)):
        assert spans[f"latent/{axis}"] == tuple((end,) for end in LATENT.knob)


@pytest.mark.parametrize("name", LAYOUTS)
def test_serve_takes_what_they_send(name: str) -> None:
    axes = tuple(Axis(axis, -2.0, 2.0, 0.1) for axis in AXES)
    names = (*OF_FILE, "prior_lowest", "prior_highest")
    attributes = tuple(Attribute(n, (1,) if n == "transpose_auto" else (2,), (0.0,)) for n in names)
    abilities = {"plays_pitch": True, "performs": True, "can_sample": True, "live_input": True}
    points = ((0.0,) * len(axes),)
    table = Table(axes=axes, attributes=attributes, n_controls=3, points=points, voices=8, **abilities)
    sent = list(LAYOUTS[name]())
    for address, ends in sent:
        for arguments in ends:
            assert table.send(address, *arguments) == [], (address, arguments)
    assert {mode for address, ends in sent if address.endswith("/mode") for (mode,) in ends} == set(MODES)
    assert table.send("/wavevae/no/such/control", 1.0)
    assert table.send("/wavevae/fit", 1.5)
