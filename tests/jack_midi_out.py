"""Beside a JACK server: `serve --midi-out` improvises to a real port.

    tests/with_jack.sh python tests/jack_midi_out.py MODEL.ts

Prints one JSON object: the notes that came until mode generate, and what came at the end.
"""

from __future__ import annotations

import json
import sys
from typing import Any

import mido
from live import live

NOTES = 3


def main() -> None:
    backend = mido.Backend("mido.backends.rtmidi/UNIX_JACK")
    port = backend.open_input("notes", virtual=True, client_name="listener")
    notes: list[Any] = []

    def heard(count: int) -> bool:
        found = [m for m in port.iter_pending() if hasattr(m, "note")]
        notes.extend((m.type, m.note) for m in found)
        return sum(kind == "note_on" for kind, _ in notes) >= count

    with live(sys.argv[1], "--device", "jack", "--midi-out", "notes") as player:
        player.send("/wavevae/mode", "sample")
        player.soon(lambda: heard(NOTES))
        player.send("/wavevae/mode", "generate")
        player.soon(lambda: heard(0) and notes[-1][0] == "note_off" and player.query("improvised")[1] == 0)
        player.end()
        after = [m.type for m in port.iter_pending()]
    print(json.dumps({"notes": notes, "after": after, "said": player.said}))


if __name__ == "__main__":
    main()
