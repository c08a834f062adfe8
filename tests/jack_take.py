"""Beside a JACK server: serve a model, record what reaches the sound card while it is flooded with messages.

    tests/with_jack.sh python tests/jack_take.py MODEL.ts OUT.wav SECONDS [SERVE OPTION ...]

Prints one JSON object: what serve said, its status, whether panic was silent.
"""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time

from live import live


def flood(player: object, seconds: float, rate_hz: float = 2000.0) -> None:
    """Messages that change nothing, wrong ones among them."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        for _ in range(20):
            player.send("/wavevae/latent/0", 0.0)  # type: ignore[attr-defined]
            player.send("/wavevae/latent/*", 1.0)  # type: ignore[attr-defined]
        time.sleep(40 / rate_hz)


def main() -> None:
    model, out, seconds, *options = sys.argv[1:]
    with live(model, *options) as player:
        time.sleep(0.5)
        noise = threading.Thread(target=flood, args=(player, float(seconds)))
        noise.start()
        record = ["jack_rec", "-f", out, "-d", seconds, "-b", "24", "-B", "262144", "PortAudio:out_0"]
        recorded = subprocess.run(record, capture_output=True, text=True, timeout=600)
        noise.join()
        playing = player.query_late("level")[0]
        player.send("/wavevae/panic")
        silent = player.level_below(-100)
        underflows = player.query("underflows")[0]
        status = player.end()
    answer = {"playing_db": playing, "silent": silent, "underflows": underflows, "status": status}
    print(json.dumps({**answer, "said": player.said, "recorder": recorded.stdout + recorded.stderr}))


if __name__ == "__main__":
    main()
