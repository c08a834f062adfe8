"""MIDI without a map plays any instrument, no note hangs, and what is learnt does one thing."""

from __future__ import annotations

import random
import time
from dataclasses import replace
from pathlib import Path

import mido
from osc_desk import Table, labelled, toy_about
from test_midi import Plugs, cc, message, sent

from wavevae.controls import Share
from wavevae.realtime.control.midi_map import BUTTONS, USUAL_MAP, Row, usual_map
from wavevae.realtime.control.midi_mapper import LEARN, MidiMapper, MpeTranslator, Translator
from wavevae.realtime.control.midi_ports import Listener, RtPort
from wavevae.realtime.model_info import Axis


def on(pitch: int, velocity: int = 127, channel: int = 0) -> mido.Message:
    return message("note_on", note=pitch, velocity=velocity, channel=channel)


def off(pitch: int, channel: int = 0) -> mido.Message:
    return message("note_off", note=pitch, velocity=64, channel=channel)


def test_a_keyboard_plays_an_instrument_without_a_map() -> None:
    keys = Translator(USUAL_MAP)
    moved = sent(
        keys, on(60), message("pitchwheel", pitch=-8192), message("aftertouch", value=127),
        message("polytouch", note=60, value=0), off(60),
    )  # fmt: skip
    assert moved == [
        ("/wavevae/note", (60, 1.0)),
        ("/wavevae/bend", (-2.0,)),
        ("/wavevae/pressure", (1.0,)),
        ("/wavevae/note/pressure", (60, 0.0)),
        ("/wavevae/note", (60, 0.0)),
    ]
    assert sent(keys, message("polytouch", note=60, value=9)) == []  # its key is up
    numbers = (1, 2, 5, 7, 65, 70, 71, 72, 73, 74, 75, 76)
    ends = {n: sent(keys, cc(n, 127)) for n in numbers}
    assert {n: found[0][0].removeprefix("/wavevae/") for n, found in ends.items()} == {
        1: "life", 2: "pressure", 5: "glide", 7: "gain", 65: "mono", 70: "latent/5", 71: "latent/4",
        72: "release", 73: "attack", 74: "latent/3", 75: "decay", 76: "latent/6",
    }  # fmt: skip
    assert sent(keys, cc(65, 0), cc(65, 63), cc(65, 64)) == [("/wavevae/mono", (v,)) for v in (0, 0, 1)]


def test_mpe_bends_presses_and_slides_one_note_of_several() -> None:
    keys = MpeTranslator(USUAL_MAP)
    assert sent(keys, on(60, channel=1), on(64, channel=2)) == [
        ("/wavevae/note", (60, 1.0)),
        ("/wavevae/note", (64, 1.0)),
    ]
    moved = sent(
        keys,
        message("pitchwheel", pitch=8191, channel=2),
        message("aftertouch", value=127, channel=1),
        message("control_change", control=74, value=0, channel=2),
        message("pitchwheel", pitch=-8192, channel=0),  # the master: all notes
    )
    assert moved == [
        ("/wavevae/note/bend", (64, 48.0)),
        ("/wavevae/note/pressure", (60, 1.0)),
        ("/wavevae/note/slide", (64, 0.0)),
        ("/wavevae/bend", (-2.0,)),
    ]
    assert sent(keys, off(64, channel=2)) == [("/wavevae/note", (64, 0.0))]
    assert sent(keys, message("pitchwheel", pitch=4096, channel=2)) == []  # no key of this channel is down
    begun = sent(keys, on(67, channel=2))  # what came before the note is the note's
    assert begun[0] == ("/wavevae/note", (67, 1.0))
    assert dict(begun[1:])["/wavevae/note/bend"] == (67, 48.0 * 4096 / 8191)
    assert dict(begun[1:])["/wavevae/note/slide"] == (67, 0.0)


def test_the_usual_map_follows_what_kind_of_model_plays() -> None:
    def of(rows: tuple[Row, ...], number: int) -> str:
        return next(r.address for r in rows if (r.source, r.number) == ("cc", number))

    unpitched, codec = usual_map(9, 1), usual_map(64, 0)
    assert [of(unpitched, n) for n in (74, 71, 70)] == [f"/wavevae/latent/{i}" for i in (1, 2, 3)]
    assert [of(codec, n) for n in range(70, 78)] == [f"/wavevae/latent/{i}" for i in range(8)]
    assert of(codec, 1) == "/wavevae/temperature"
    for latents, controls in ((11, 3), (4, 3), (3, 3), (1, 1), (2, 0)):
        bound = [r.address for r in usual_map(latents, controls) if "latent" in r.address]
        assert set(bound) <= {f"/wavevae/latent/{i}" for i in range(controls, latents)}


def down_after(*messages: mido.Message) -> set[int]:
    """Keys that still sound after these."""
    held: set[int] = set()
    for address, (pitch, velocity) in sent(Translator(USUAL_MAP), *messages):
        assert address == "/wavevae/note"
        (held.add if velocity else held.discard)(pitch)
    return held


def test_no_note_hangs() -> None:
    pedal, lifted = cc(64, 127), cc(64, 0)
    assert down_after(off(60)) == set()
    assert down_after(on(60), on(60), off(60)) == set()
    assert down_after(on(60), pedal, on(64), off(60), on(64), off(64), lifted) == set()
    assert down_after(pedal, on(60), off(60)) == {60}
    assert down_after(pedal, on(60), off(60), lifted, lifted) == set()
    assert down_after(pedal, pedal, on(60), off(60), on(60), off(60), lifted) == set()
    for ends in (120, 123, 124, 125, 126, 127):
        assert down_after(on(60), pedal, on(61), off(61), cc(ends, 0)) == set()
    assert down_after(on(60), cc(64, 127, 3), off(60)) == set()  # a pedal of another channel


def test_controllers_reset_lift_the_pedal_and_straighten_the_bend() -> None:
    keys = Translator(USUAL_MAP)
    sent(keys, cc(64, 127), on(60), off(60), message("pitchwheel", pitch=8191))
    found = sent(keys, cc(121, 0))
    assert found == [("/wavevae/note", (60, 0.0)), ("/wavevae/bend", (0.0,)), ("/wavevae/pressure", (0.0,))]
    assert sent(keys, on(62), off(62))[-1] == ("/wavevae/note", (62, 0.0))


def test_keys_of_a_controller_that_is_gone_are_lifted() -> None:
    keys = Translator(USUAL_MAP)
    sent(keys, on(60), on(64, channel=2), cc(64, 127), on(67), off(67))
    assert sorted(pitch for _, (pitch, _) in keys.let_go()) == [60, 64, 67]
    assert keys.let_go() == []
    assert sent(keys, on(67), off(67))[-1] == ("/wavevae/note", (67, 0.0))  # and the pedal with them
    plugs, lost = Plugs("Keys"), []
    listener = Listener("keys", print, lambda text: None, plugs, lambda: lost.append(1))
    listener.look()
    plugs.names.clear()
    listener.look()
    assert lost == [1]


def test_a_thousand_notes_a_second_leave_none_behind(tmp_path: Path) -> None:
    face = labelled(voices=8).face
    hand = MidiMapper(face, "x", tmp_path / "toy.midi.yaml", print, lambda work, what: work())
    chance = random.Random(3)
    start = time.process_time()
    for _ in range(1000):
        pitch = chance.randrange(128)
        hand.receive(on(pitch, chance.randrange(1, 128)))
        hand.receive(off(chance.choice((pitch, pitch, chance.randrange(128)))))
    spent = time.process_time() - start
    hand.receive(cc(123, 0))
    assert not any(n.held for n in face.dispatcher.state.notes)
    assert len(face.dispatcher.state.notes) <= 8
    assert face.rejected == 0
    assert spent < 1.0


def test_running_status_is_understood() -> None:
    port = RtPort.__new__(RtPort)
    port._parse, port._status = mido.Message.from_bytes, 0
    waiting = [
        ([60, 1],),
        ([0x90, 60, 100],),
        ([64, 100],),
        ([0xF8],),
        ([60, 0],),
        ([0xB2, 74, 5],),
        ([74, 9],),
    ]
    port._rt = type("Rt", (), {"get_message": lambda self: waiting.pop(0) if waiting else None})()
    assert [m.bytes() for m in port.pending()] == [
        [0x90, 60, 100], [0x90, 64, 100], [0xF8], [0x90, 60, 0], [0xB2, 74, 5], [0xB2, 74, 9],
    ]  # fmt: skip


def test_a_control_learnt_does_nothing_else_than_what_it_was_learnt_for() -> None:
    for number, source in ((1, "cc"), (7, "cc"), (74, "cc"), (64, "cc"), (36, "note")):
        translator = Translator(USUAL_MAP)
        translator.learn("/wavevae/latent/5")
        for value in (100, 90):
            moved = on(number, value, 4) if source == "note" else cc(number, value, 4)
            assert [address for address, _ in sent(translator, moved)] == ["/wavevae/latent/5"], number
    translator = Translator(USUAL_MAP)
    translator.learn("/wavevae/latent/5")
    wide = sent(translator, cc(1, 100), cc(33, 7), cc(1, 90), cc(33, 3))
    assert {address for address, _ in wide} == {"/wavevae/latent/5"}
    translator.learn("/wavevae/latent/3")
    sent(translator, cc(20, 3))
    assert sent(translator, cc(74, 99)) == []  # the latent has another control now


def test_what_is_pressed_is_learnt_as_a_press(tmp_path: Path) -> None:
    for name in BUTTONS:
        translator = Translator(USUAL_MAP)
        translator.learn(f"/wavevae/{name}")
        assert sent(translator, on(36, 100), off(36), on(36, 1), off(36)) == [(f"/wavevae/{name}", ())] * 2
    translator.learn("/wavevae/freeze")
    assert sent(translator, on(38), off(38), on(38), off(38)) == [("/wavevae/freeze", ())] * 2
    translator.learn("/wavevae/freeze")
    assert sent(translator, cc(64, 127), cc(64, 0)) == [("/wavevae/freeze", (1,)), ("/wavevae/freeze", (0,))]
    rows = labelled().desk.rows()
    assert {r.name for r in rows if not r.tags} <= BUTTONS  # the command knows what serve has


def test_keys_that_have_a_row_of_their_own_do_not_play_and_do_not_hang() -> None:
    translator = Translator(USUAL_MAP)
    sent(translator, on(36))
    translator.learn("/wavevae/panic")
    sent(translator, on(36))
    assert sent(translator, off(36)) == [("/wavevae/note", (36, 0.0))]  # it had sounded
    assert sent(translator, on(36), off(36)) == [("/wavevae/panic", ())]


def test_the_usual_map_of_the_desk_is_that_of_the_model_that_plays(tmp_path: Path) -> None:
    desk = Table()
    hand = MidiMapper(desk.face, "x", tmp_path / "toy.midi.yaml", print, lambda work, what: work())
    hand.receive(cc(70, 127))
    assert desk.state.latents[0] == 3.0
    axes = tuple(Axis(name, -2.0, 2.0, 0.1) for name in ("pitch", "loudness", "periodicity", "brightness"))
    desk.desk.change(replace(desk.desk.model, axes=axes, n_controls=3, typical=(0.0,) * 4))
    hand.receive(cc(74, 127))
    assert desk.state.latents[3] == 3.0
    assert not desk.face.act(LEARN, ("/wavevae/gain",))
    hand.receive(cc(9, 127))
    desk.desk.change(toy_about())
    assert hand.bindings()["/wavevae/gain"] == "cc 9 ch 1"  # what was chosen stays


def test_a_program_chooses_the_class_unless_the_map_gives_it_something_else(tmp_path: Path) -> None:
    desk = labelled()
    hand = MidiMapper(desk.face, "x", tmp_path / "toy.midi.yaml", print, lambda work, what: work())
    for program, label in ((14, 1), (73, 0), (2, 2), (100, 2)):  # tubular bells, flute, the third, none
        hand.receive(message("program_change", program=program))
        assert desk.state.mix == (Share(label, 1.0),)
    assert not desk.face.act(LEARN, ("/wavevae/preset/store", "a"))
    for program in (5, 73):
        hand.receive(message("program_change", program=program))
        assert desk.state.mix == (Share(2, 1.0),)
