"""MIDI: maps with ranges and curves, 14 bits, keys and pedal, learning, ports that come and go."""

from __future__ import annotations

import json
import socket
import threading
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import mido
import pytest
from osc_desk import labelled, toy_about
from pythonosc.osc_message import OscMessage

from wavevae.controls import Share
from wavevae.errors import UserError
from wavevae.realtime import midi
from wavevae.realtime.control.dispatcher import Dispatcher
from wavevae.realtime.control.midi_map import USUAL_MAP, Row, read_map, write_map
from wavevae.realtime.control.midi_mapper import LEARN, MidiMapper, Translator
from wavevae.realtime.control.midi_ports import Listener, fitting
from wavevae.realtime.control.osc import OscServer
from wavevae.realtime.live.processes import StopSignals

MAP = """\
- {cc: 74, address: /wavevae/latent/0, range: [-3, 3]}
- {cc: 75, channel: 2, address: /wavevae/gain, range: [-60, 0], curve: fast}
- {cc14: 1, address: /wavevae/latent/1, range: [-2, 2]}
- {bend: all, address: /wavevae/latent/2}
- {aftertouch: all, address: /wavevae/temperature, range: [0, 1], curve: 3}
- {note: 36, address: /wavevae/preset/recall, arguments: [dark, 2.0]}
- {program: 5, address: /wavevae/mode, arguments: [sample]}
- {note: all, channel: 10, address: /wavevae/note}
"""


def message(kind: str, **values: int) -> mido.Message:
    return mido.Message(kind, **values)


def cc(number: int, value: int, channel: int = 0) -> mido.Message:
    return message("control_change", control=number, value=value, channel=channel)


@pytest.fixture
def mapped(tmp_path: Path) -> Translator:
    (tmp_path / "map.yaml").write_text(MAP)
    return Translator(read_map(tmp_path / "map.yaml"))


def sent(translator: Translator, *messages: mido.Message) -> list:
    return [s for m in messages for s in translator.feed(m)]


def test_controls_reach_their_addresses_through_range_and_curve(mapped: Translator) -> None:
    assert sent(mapped, cc(74, 0), cc(74, 127)) == [
        ("/wavevae/latent/0", (-3.0,)),
        ("/wavevae/latent/0", (3.0,)),
    ]
    assert sent(mapped, cc(75, 127, channel=0)) == []  # another channel
    ((address, (value,)),) = sent(mapped, cc(75, 32, channel=1))
    assert (address, round(value, 2)) == ("/wavevae/gain", round(-60 + 60 * (32 / 127) ** 0.5, 2))
    bends = sent(mapped, *(message("pitchwheel", pitch=p) for p in (-8192, 0, 8191)))
    assert [round(v[0], 3) for _, v in bends] == [-3.0, 0.0, 3.0]
    ((_, (value,)),) = sent(mapped, message("aftertouch", value=64))
    assert value == pytest.approx((64 / 127) ** 3)
    assert sent(mapped, message("clock"), message("sysex"), cc(20, 3)) == []


def test_fourteen_bits_are_one_control(mapped: Translator) -> None:
    readings = sent(mapped, cc(1, 127), cc(33, 127), cc(1, 64), cc(33, 0), cc(33, 1))
    values = [v[0] for _, v in readings]
    assert values[1] == 2.0
    assert values[4] - values[3] == pytest.approx(4 / 16383)
    assert all(address == "/wavevae/latent/1" for address, _ in readings)


def test_buttons_send_their_arguments_once_a_press(mapped: Translator) -> None:
    recall = ("/wavevae/preset/recall", ("dark", 2.0))
    pad = [message("note_on", note=36, velocity=9), message("note_off", note=36)]
    assert sent(mapped, *pad, *pad) == [recall, recall]
    program = message("program_change", program=5)
    assert sent(mapped, program, program) == [("/wavevae/mode", ("sample",))] * 2


def key(pitch: int, velocity: int) -> mido.Message:
    return message("note_on", note=pitch, velocity=velocity, channel=9)


def test_keys_play_and_the_pedal_holds_them(mapped: Translator) -> None:
    note = "/wavevae/note"
    assert sent(mapped, key(60, 127), key(60, 0)) == [(note, (60, 1.0)), (note, (60, 0.0))]
    down, up = cc(64, 127, channel=9), cc(64, 0, channel=9)
    assert sent(mapped, down, key(60, 127), key(60, 0), key(64, 127), key(64, 0)) == [
        (note, (60, 1.0)),
        (note, (64, 1.0)),
    ]
    assert sent(mapped, key(64, 127)) == [(note, (64, 1.0))]  # struck again: held by its key now
    assert sent(mapped, up) == [(note, (60, 0.0))]
    assert sent(mapped, cc(123, 0, channel=9)) == [(note, (64, 0.0))]


def test_the_next_control_moved_is_bound_and_takes_the_place_of_another(mapped: Translator) -> None:
    mapped.learn("/wavevae/gain")
    sent(mapped, cc(74, 64, channel=3))
    assert mapped.learning is None
    bound = [r for r in mapped.rows if r.address == "/wavevae/gain"]
    assert [(r.source, r.number, r.channel, r.low, r.high) for r in bound] == [("cc", 74, 4, -60.0, 0.0)]
    mapped.learn("/wavevae/latent/3")
    sent(mapped, cc(2, 64), cc(34, 1))  # its low half follows at once: 14 bits
    assert (mapped.rows[-1].source, mapped.rows[-1].number) == ("cc14", 2)
    ((_, (value,)),) = sent(mapped, cc(34, 127))
    assert value == pytest.approx(-3 + 6 * (64 * 128 + 127) / 16383)


def test_a_map_written_is_the_map_read(tmp_path: Path, mapped: Translator) -> None:
    write_map(tmp_path / "again.yaml", mapped.rows)
    assert read_map(tmp_path / "again.yaml") == mapped.rows
    write_map(tmp_path / "usual.yaml", USUAL_MAP)
    assert read_map(tmp_path / "usual.yaml") == USUAL_MAP


def test_the_example_is_a_map() -> None:
    rows = read_map(Path(__file__).parent.parent / "examples" / "live" / "knobs.yaml")
    assert len(rows) == 12
    down = message("note_on", note=38, channel=9)
    assert sent(Translator(rows), down) == [("/wavevae/freeze", ())]


WRONG = {
    "line 2: cc is 128": "- {cc: 1, address: /a}\n- {cc: 128, address: /a}",
    "line 2: unknown key 'adress'": "- {cc: 1, address: /a}\n- {cc: 1, adress: /a}",
    "line 1: a row has exactly one of": "- {address: /a}",
    "found cc and note": "- {cc: 1, note: 2, address: /a}",
    "line 1: address is '/a/*'": "- {cc: 1, address: /a/*}",
    "line 1: address is None": "- {cc: 1}",
    "line 1: range is [1]": "- {cc: 1, address: /a, range: [1]}",
    "line 1: range is [0, nan]": "- {cc: 1, address: /a, range: [0, .nan]}",
    "line 1: curve is 'sine'": "- {cc: 1, address: /a, curve: sine}",
    "line 1: channel is 0": "- {cc: 1, address: /a, channel: 0}",
    "line 1: cc needs a number": "- {cc: all, address: /a}",
    "line 1: a row is a mapping": "- hello",
    "line 1: a map is a list": "cc: 1",
    "line 2: not YAML": "- {cc: 1,\n  ]",
    "line 1: arguments is 'x'": "- {cc: 1, address: /a, arguments: x}",
    "line 1: /wavevae/note/bend is of one note": "- {bend: all, address: /wavevae/note/bend}",
    "could not determine a constructor": "- !!python/object:os.system {}",
}


@pytest.mark.parametrize("words", WRONG)
def test_a_wrong_map_is_said_by_file_and_line(tmp_path: Path, words: str) -> None:
    (tmp_path / "map.yaml").write_text(WRONG[words])
    with pytest.raises(UserError) as error:
        read_map(tmp_path / "map.yaml")
    assert words in str(error.value)
    assert "map.yaml" in str(error.value)


class Plugs:
    """A MIDI system in memory: ports are plugged in and out by hand."""

    def __init__(self, *names: str) -> None:
        self.names, self.waiting, self.opened = list(names), deque(), ""

    def get_input_names(self) -> list[str]:
        return list(self.names)

    def open_input(self, name: str) -> Plugs:
        if name.startswith("broken"):
            raise OSError("busy")
        self.opened = name
        return self

    def pending(self) -> Iterator[Any]:
        while self.waiting:
            yield self.waiting.popleft()

    def close(self) -> None:
        self.opened = ""


def test_a_port_that_vanishes_is_taken_again_when_it_is_back() -> None:
    plugs, said, heard = Plugs("Other", "Launch Control 16:0"), [], []
    listener = Listener("launch", heard.append, said.append, plugs)
    listener.look()
    assert listener.name == "Launch Control 16:0"
    plugs.waiting.append("a")
    listener.poll()
    plugs.names.remove("Launch Control 16:0")
    listener.look()
    listener.look()
    assert (listener.name, len(said), plugs.opened) == ("", 1, "")
    plugs.names.append("Launch Control 20:0")  # the system numbers it anew
    listener.look()
    plugs.waiting.append("b")
    listener.poll()
    assert (heard, plugs.opened) == (["a", "b"], "Launch Control 20:0")
    assert "gone" in said[0]
    assert "back" in said[1]
    broken = Listener("broken", heard.append, said.append, Plugs("broken"))
    broken.look()
    broken.look()
    assert sum("does not open (busy)" in s for s in said) == 1


def test_a_port_is_meant_by_its_whole_name_before_a_part() -> None:
    assert fitting(["Keys 2", "keys"], "Keys") == "keys"
    assert fitting(["Launch Keys"], "keys") == "Launch Keys"
    assert fitting(["a"], "b") is None


def test_the_command_sends_osc_and_learns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plugs = Plugs("Knobs")
    monkeypatch.setattr(midi, "System", lambda: plugs)
    map_file = tmp_path / "new.yaml"
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
        udp.bind(("127.0.0.1", 0))
        udp.settimeout(60)
        parser = midi.build_parser()
        options = ["--map", str(map_file), "--learn", "/wavevae/gain", "/wavevae/latent/1"]
        arguments = parser.parse_args([*options, "--osc", f"127.0.0.1:{udp.getsockname()[1]}"])
        stop = StopSignals()
        thread = threading.Thread(target=midi.bridge, args=(arguments, plugs, stop))
        thread.start()
        plugs.waiting.extend([cc(10, 127), cc(11, 0)])
        received = [OscMessage(udp.recv(9000)) for _ in range(2)]
        stop.asked = True
        thread.join()
    assert [(m.address, m.params) for m in received] == [
        ("/wavevae/gain", [0.0]),
        ("/wavevae/latent/1", [-3.0]),
    ]
    assert read_map(map_file) == (
        Row("cc", 10, "/wavevae/gain", 1, -60.0, 0.0),
        Row("cc", 11, "/wavevae/latent/1", 1, -3.0, 3.0),
    )


def test_wrong_uses_of_the_command_are_one_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(midi, "System", lambda: Plugs("a", "b"))
    for arguments, words in (
        (["--learn", "/x"], "--map"),
        ([], "found: a, b"),
        (["--port", "a", "--osc", "nowhere"], "HOST:PORT"),
        (["--port", "a", "--map", str(tmp_path / "no.yaml")], "no.yaml"),
    ):
        with pytest.raises(UserError, match=words):
            midi.main(arguments)


def test_ports_are_listed_for_people_and_programs(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(midi, "find_inputs", lambda: (["Knobs"], ""))
    midi.main(["--list"])
    assert capsys.readouterr().out == "Knobs\n"
    midi.main(["--list", "--json"])
    assert json.loads(capsys.readouterr().out) == ["Knobs"]


def test_at_the_desk_knobs_turn_and_are_learnt_over_osc(tmp_path: Path) -> None:
    face = OscServer(Dispatcher(toy_about()))
    said: list[str] = []
    hand = MidiMapper(face, "x", tmp_path / "toy.midi.yaml", said.append, lambda work, what: work())
    hand.receive(cc(70, 127))
    assert face.dispatcher.state.latents[0] == 3.0
    hand.receive(message("note_on", note=60))
    hand.receive(message("note_on", note=61))
    assert len(said) == 1  # this model has no pitch: said once
    assert "no pitch" in said[0]
    assert face.act(LEARN, ("/wavevae/nothing",))
    assert not face.act(LEARN, ("/wavevae/latent/3",))
    hand.receive(cc(20, 0))
    assert face.dispatcher.state.latents[3] == -3.0
    assert hand.bindings()["/wavevae/latent/3"] == "cc 20 ch 1"
    assert Row("cc", 20, "/wavevae/latent/3", 1, -3.0, 3.0) in read_map(tmp_path / "toy.midi.yaml")


def test_a_button_is_learnt_with_what_it_sends(tmp_path: Path) -> None:
    face = labelled(voices=2).face
    hand = MidiMapper(face, "x", tmp_path / "toy.midi.yaml", print, lambda work, what: work())
    hand.receive(message("pitchwheel", pitch=-4096))
    assert face.dispatcher.state.bend == -1.0
    hand.receive(message("pitchwheel", pitch=0))
    assert face.dispatcher.state.bend == 0.0
    assert not face.act(LEARN, ("/wavevae/class", "bell"))
    hand.receive(cc(70, 20))  # a knob that trembles is no press
    hand.receive(message("note_on", note=36, velocity=90))
    assert face.dispatcher.state.mix == (Share(1, 1.0),)
    assert not face.act(LEARN, ("/wavevae/class", "flute", 0.5, "bell", 0.5))
    hand.receive(message("program_change", program=3))
    assert face.dispatcher.state.mix == (Share(0, 0.5), Share(1, 0.5))
    hand.receive(message("note_off", note=36))
    hand.receive(message("note_on", note=36, velocity=90))
    assert face.dispatcher.state.mix == (Share(1, 1.0),)  # one does not take the place of the other
    assert not face.act(LEARN, ("/wavevae/panic",))
    hand.receive(cc(50, 127))
    assert face.dispatcher.state.muted
    assert not face.act(LEARN, ("/wavevae/note",))
    hand.receive(message("note_on", note=40, velocity=127))
    hand.receive(message("note_on", note=41, velocity=127))
    assert {n.pitch for n in face.dispatcher.state.notes} == {40, 41}
    kept = read_map(tmp_path / "toy.midi.yaml")
    assert Row("program", 3, "/wavevae/class", 1, arguments=("flute", 0.5, "bell", 0.5)) in kept
    assert Row("cc", 50, "/wavevae/panic", 1, arguments=()) in kept
