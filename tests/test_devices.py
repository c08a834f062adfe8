"""Devices are found by number, by name, or by part of a name; whatever is not found is answered with a list."""

from __future__ import annotations

import json
from types import SimpleNamespace

import pytest
from wavevae.realtime import devices
from wavevae.realtime.devices import Device, choose

from wavevae.errors import UserError


def device(index: int, name: str, api: str = "ALSA", is_default: bool = False) -> Device:
    return Device(index, name, api, 2, 48000.0, 8.7, is_default)


FOUND = [
    device(0, "HDA Intel"),
    device(2, "USB Audio", is_default=True),
    device(3, "USB Audio 2"),
    device(5, "system", "JACK Audio Connection Kit"),
]


@pytest.mark.parametrize(
    ("wanted", "index"),
    [("0", 0), ("3", 3), ("usb audio", 2), ("usb audio 2", 3), ("hda", 0), ("jack", 5), (None, 2)],
)
def test_a_device_is_found_by_number_name_part_or_default(wanted: str | None, index: int) -> None:
    assert choose(FOUND, wanted).index == index


@pytest.mark.parametrize(("wanted", "words"), [("1", '"HDA Intel"'), ("hdmi", "'none'"), ("usb", "several")])
def test_a_device_that_is_not_there_is_answered_with_those_that_are(wanted: str, words: str) -> None:
    with pytest.raises(UserError, match=words):
        choose(FOUND, wanted)


def test_without_any_device_the_way_out_is_said() -> None:
    with pytest.raises(UserError, match="--device none"):
        choose([], None)


def fake_portaudio() -> SimpleNamespace:
    row = {"max_output_channels": 2, "default_samplerate": 48000.0, "default_low_output_latency": 0.01}
    rows = [
        {**row, "name": "mic", "hostapi": 0, "max_output_channels": 0},
        {**row, "name": "speakers", "hostapi": 0},
        {**row, "name": "system", "hostapi": 1},
    ]
    apis = [
        {"name": "ALSA", "default_output_device": 1},
        {"name": "JACK Audio Connection Kit", "default_output_device": 2},
    ]
    return SimpleNamespace(
        query_devices=lambda: rows, query_hostapis=lambda: apis, default=SimpleNamespace(device=[0, 1])
    )


def test_the_command_lists_outputs_only(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(devices, "import_sounddevice", fake_portaudio)
    assert devices.main([]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[:3] for line in lines] == [["*", "1", "speakers"], ["2", "system", "(JACK"]]
    assert devices.main(["--json"]) == 0
    assert [d["name"] for d in json.loads(capsys.readouterr().out)] == ["speakers", "system"]


def test_a_missing_portaudio_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    import builtins

    real = builtins.__import__

    def refuse(name: str, *rest: object) -> object:
        if name == "sounddevice":
            raise OSError("PortAudio library not found")
        return real(name, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(builtins, "__import__", refuse)
    with pytest.raises(UserError, match="libportaudio2"):
        devices.find_outputs()
