"""Devices are found by number, by name, or by part of a name; whatever is not found is answered with a list."""

from __future__ import annotations

import json
from types import SimpleNamespace

import pytest

from wavevae.errors import UserError
from wavevae.realtime.control import midi_ports
from wavevae.realtime.live import devices
from wavevae.realtime.live.devices import Device, choose


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
    row = {"max_output_channels": 2, "max_input_channels": 0, "default_samplerate": 48000.0}
    row["default_low_output_latency"] = 0.01
    rows = [
        {**row, "name": "mic", "hostapi": 0, "max_output_channels": 0, "max_input_channels": 1},
        {**row, "name": "speakers", "hostapi": 0},
        {**row, "name": "system", "hostapi": 1},
    ]
    apis = [
        {"name": "ALSA", "default_output_device": 1, "default_input_device": 0},
        {"name": "JACK Audio Connection Kit", "default_output_device": 2, "default_input_device": -1},
    ]
    return SimpleNamespace(
        query_devices=lambda: rows, query_hostapis=lambda: apis, default=SimpleNamespace(device=[0, 1])
    )


def test_the_command_lists_what_plays_and_what_listens(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(devices, "import_sounddevice", fake_portaudio)
    monkeypatch.setattr(midi_ports, "find_inputs", lambda: (["Launch Control 16:0"], ""))
    assert devices.main([]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[:3] for line in lines[:3]] == [
        ["+", "0", "mic"],
        ["*", "1", "speakers"],
        ["2", "system", "(JACK"],
    ]
    assert "Launch Control" in lines[3]
    assert devices.main(["--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [d["name"] for d in found["audio"]] == ["mic", "speakers", "system"]
    assert found["midi_inputs"] == ["Launch Control 16:0"]


def test_an_input_is_not_taken_for_an_output_nor_the_other_way_round(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices, "import_sounddevice", fake_portaudio)
    found = devices.find_devices()
    assert choose(found, None, "input").name == "mic"
    assert choose(found, None).name == "speakers"
    with pytest.raises(UserError, match="has no input"):
        choose(found, "speakers", "input")
    with pytest.raises(UserError, match="has no output"):
        choose(found, "0")


def test_a_machine_without_audio_or_midi_is_told_so_without_an_error(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def none() -> None:
        raise UserError("no PortAudio here (not found)")

    monkeypatch.setattr(devices, "import_sounddevice", none)
    monkeypatch.setattr(midi_ports, "find_inputs", lambda: ([], "no MIDI input found"))
    assert devices.main([]) == 0
    said = capsys.readouterr()
    assert said.out == ""
    assert "no PortAudio" in said.err
    assert "no MIDI" in said.err


def test_a_missing_portaudio_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    import builtins

    real = builtins.__import__

    def refuse(name: str, *rest: object) -> object:
        if name == "sounddevice":
            raise OSError("PortAudio library not found")
        return real(name, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(builtins, "__import__", refuse)
    with pytest.raises(UserError, match="libportaudio2"):
        devices.find_devices()
