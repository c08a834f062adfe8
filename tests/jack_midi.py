"""Beside a JACK server: send many MIDI events through a real port to a `serve` that records its session.

    tests/with_jack.sh python tests/jack_midi.py MODEL.ts FOLDER EVENTS

Prints one JSON object: the values of latent 0 in the order in which they arrived, and what serve said.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import mido
from live import live

RATE_HZ = 2000.0
EVENTS_AT_ONCE = 20
PATIENCE_S = 60.0
"""Only a test that fails waits so long: a message that was lost never comes."""


def value_of(number: int) -> int:
    """A sequence in which no two neighbours are alike."""
    return (number * 37) % 128


def values_kept(score: Path) -> list[float]:
    """What the session says so far of latent 0; its last line may still be half a line."""
    lines = [json.loads(line) for line in score.read_text().splitlines(keepends=True) if line.endswith("\n")]
    return [line["args"][0] for line in lines if line.get("address") == "/wavevae/latent/0"]


def main() -> None:
    model, folder, events = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])
    backend = mido.Backend("mido.backends.rtmidi/UNIX_JACK")
    port = backend.open_output("knobs", virtual=True, client_name="controller")
    score = folder / "session.jsonl"
    with live(model, "--device", "jack", "--midi", "knobs", "--record", score) as player:
        assert player.query("midi") != [""], player.said
        for start in range(0, events, EVENTS_AT_ONCE):
            for number in range(start, min(start + EVENTS_AT_ONCE, events)):
                port.send(mido.Message("control_change", control=70, value=value_of(number)))
            time.sleep(EVENTS_AT_ONCE / RATE_HZ)
        player.soon(lambda: player.query("accepted")[0] >= events)
        player.soon(lambda: len(values_kept(score)) >= events, PATIENCE_S)  # what no block met is not kept
        player.end()
    print(json.dumps({"values": values_kept(score), "said": player.said}))


if __name__ == "__main__":
    main()
