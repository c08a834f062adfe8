"""Beside a JACK server: the server is killed under a playing `serve` and started again, the sound is back.

    tests/with_jack.sh python tests/jack_lost.py MODEL.ts

Prints one JSON object: what serve said, whether it sounds again, its status.
"""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys

from live import live


def main() -> None:
    with live(sys.argv[1], "--device", "jack") as player:
        player.send("/wavevae/latent/0", 1.5)
        os.kill(int(os.environ["JACK_PID"]), signal.SIGKILL)
        lost = player.says("trying again until it is back")
        again = subprocess.Popen(
            shlex.split(os.environ["JACK_COMMAND"]), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        try:
            back = player.says("the device is back")
            answer = {"lost": lost, "back": back, "sounds": player.level_above(-40)}
            answer["targets"] = player.query("targets")
            answer["status"] = player.end()
        finally:
            again.terminate()  # not killed: JACK's registry would keep its name
            try:
                again.wait(5)
            except subprocess.TimeoutExpired:
                again.kill()
                again.wait()
    print(json.dumps({**answer, "said": player.said}))


if __name__ == "__main__":
    main()
