"""What an instrument makes up by itself goes out as MIDI, is shown on the page and can be asked for."""

from __future__ import annotations

import http.client
import importlib.util
import json
import re
import shutil
import sys
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import pytest
import toy_playable
from live import live
from test_export_prior import with_prior

from wavevae.realtime.control.midi_out import PERCUSSION, Sender
from wavevae.realtime.live.shared_memory import (
    LOGGED_NOTES,
    DeckCount,
    PriorNote,
    Shared,
    SoundingNotes,
)


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return toy_playable.write(with_prior()[0], tmp_path_factory.mktemp("toy") / "performs.ts")


class Sockets:
    """MIDI outputs in memory, plugged in and out by hand; they keep what is sent."""

    def __init__(self, *names: str) -> None:
        self.names, self.sent, self.fails = list(names), [], False

    def get_output_names(self) -> list[str]:
        return list(self.names)

    def open_output(self, name: str) -> Sockets:
        return self

    def send(self, message: Any) -> None:
        if self.fails:
            raise OSError("gone")
        self.sent.append(" ".join(str(message).split()[:4]))

    def close(self) -> None: ...

    def taken(self) -> list[str]:
        taken, self.sent = self.sent, []
        return taken


def test_one_note_ends_before_the_next_and_keys_between_two_are_bent() -> None:
    due, outputs, said = [(60.0, 1.0)], Sockets("Synth"), []
    sender = Sender("synth", lambda: [due.pop(0)] if due else [], said.append, outputs)
    sender.look()
    assert outputs.taken() == ["control_change channel=0 control=123 value=0"]
    sender.poll()
    assert outputs.taken() == ["note_on channel=0 note=60 velocity=127"]
    due += [(62.25, 0.001), (62.25, 0.0), (64.0, 0.5)]
    for _ in range(4):
        sender.poll()
    assert outputs.taken() == [
        "note_off channel=0 note=60 velocity=64",
        "pitchwheel channel=0 pitch=1024 time=0",
        "note_on channel=0 note=62 velocity=1",
        "note_off channel=0 note=62 velocity=64",
        "pitchwheel channel=0 pitch=0 time=0",
        "note_on channel=0 note=64 velocity=64",
    ]
    sender.play(list, PERCUSSION)  # another model
    sender.poll()
    assert outputs.taken()[0] == "note_off channel=0 note=64 velocity=64"
    sender.stop()
    assert outputs.taken() == ["control_change channel=9 control=123 value=0"]
    assert not said


@pytest.mark.parametrize("how", ["unplugged", "refusing"])
def test_an_output_that_vanishes_is_said_once_and_taken_again(how: str) -> None:
    outputs, said = Sockets("Synth"), []
    sender = Sender("synth", lambda: [(60.0, 0.5)], said.append, outputs)
    sender.look()
    sender.poll()
    outputs.names, outputs.fails = [], how == "refusing"
    if how == "unplugged":
        sender.look()
    for _ in range(3):
        sender.poll()
        sender.look()
    assert (len(said), sender.name) == (1, "")
    assert "gone" in said[0]
    outputs.names, outputs.fails = ["Synth"], False
    outputs.taken()
    sender.look()
    sender.poll()
    assert "back" in said[1]
    assert outputs.taken()[-1] == "note_on channel=0 note=60 velocity=64"


def test_a_note_is_due_when_its_block_is_played_and_lost_ones_are_passed_over() -> None:
    deck = Shared(get_context("spawn")).deck
    notes = SoundingNotes(deck, 1000)
    deck.notes.write(PriorNote(2, 0, 60.0, 0.5))
    deck.notes.write(PriorNote(2, 250, 62.0, 0.5))
    deck.counts[DeckCount.TAKEN] = 2
    assert notes.due(0.0) == []
    deck.counts[DeckCount.TAKEN] = 3
    assert [n.key for n in notes.due(1.0)] == [60.0]
    assert [n.key for n in notes.due(1.2)] == []
    assert [n.key for n in notes.due(1.25)] == [62.0]
    assert [n.key for n in SoundingNotes(deck, 1000).due(2.0)] == []  # 62, from its own place in the block
    for number in range(LOGGED_NOTES + 5):
        deck.notes.write(PriorNote(0, 0, float(number % 100), 0.5))
    assert len(notes.due(3.0)) == LOGGED_NOTES


def asked_by_http(said: str, path: str) -> Any:
    match = re.search(r"page +http://127\.0\.0\.1:(\d+)", said)
    assert match
    connection = http.client.HTTPConnection("127.0.0.1", int(match[1]), timeout=60)
    connection.request("GET", path)
    return json.loads(connection.getresponse().read())


def test_what_is_made_up_is_a_state_and_in_oscquery(path: Path) -> None:
    with live(path, "--device", "none", "--ring-depth", 16, "--http-port", 0) as player:
        assert player.query("improvised") == [0, 0]
        player.send("/wavevae/mode", "sample")
        assert player.soon(lambda: player.query("improvised")[1] > 0)
        player.send("/wavevae/subscribe", player.udp.getsockname()[1])
        assert player.soon(lambda: player.receive("/wavevae/state/improvised")[0] > 20)
        player.send("/wavevae/subscribe", 0)
        if importlib.util.find_spec("aiohttp"):
            node = asked_by_http(player.said, "/wavevae/improvised")
            assert (node["TYPE"], node["ACCESS"], len(node["VALUE"])) == ("ff", 1, 2)
        player.send("/wavevae/panic")
        assert player.soon(lambda: player.query_late("improvised")[1] == 0)
        player.send("/wavevae/reset")
        assert player.soon(lambda: player.query("improvised")[1] > 0)
        player.send("/wavevae/mode", "generate")
        assert player.soon(lambda: player.query("improvised")[1] == 0)
        player.send("/wavevae/improvised", 60.0, 1.0)
        assert "no such address" in player.receive("/wavevae/error")[0]
        assert player.end() == 0


@pytest.mark.jack
@pytest.mark.skipif(shutil.which("jackd") is None, reason="no jackd here; install jackd2")
@pytest.mark.skipif(importlib.util.find_spec("rtmidi") is None, reason="no python-rtmidi here")
def test_a_real_port_gets_the_notes_and_their_ends(path: Path) -> None:
    from test_serve_jack import HERE, beside_jack

    done = beside_jack([sys.executable, str(HERE / "jack_midi_out.py"), str(path)])
    found = json.loads(done.stdout or done.stderr)
    kinds = [kind for kind, _ in found["notes"]]
    assert kinds.count("note_on") >= 3
    assert kinds.count("note_on") == kinds.count("note_off")
    assert found["after"] == ["control_change"]
    assert all(
        end[1] == begin[1] for begin, end in zip(found["notes"][::2], found["notes"][1::2], strict=True)
    )
