"""Beside a JACK server: the server is killed under a playing `serve` and started again, the sound is back.

    tests/with_jack.sh python tests/jack_lost.py MODEL.ts

Prints one JSON object: what serve said, whether it sounds again, its status.
"""

from __future__ import annotations

import json
import os
import signal
import sys

from live import jack_again, live


def main() -> None:
    with live(sys.argv[1], "--device", "jack") as player:
        player.send("/wavevae/latent/0", 1.5)
        os.kill(int(os.environ["JACK_PID"]), signal.SIGKILL)
        lost = player.says("trying again until it is back")
        with jack_again():
            back = player.says("the device is back")
            answer = {"lost": lost, "back": back, "sounds": player.level_above(-40)}
            answer["targets"] = player.query("targets")
            answer["status"] = player.end()
    print(json.dumps({**answer, "said": player.said}))


if __name__ == "__main__":
    main()
