"""Beside a JACK server: what is sung into `serve --input` when the server is killed and started again.

    tests/with_jack.sh python tests/jack_input_lost.py MODEL.ts [PERIOD AFTERWARDS]

Prints one JSON object: whether the loss was said, whether it came back, and whether the input is heard again.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys

from live import jack_again, live

SING = """
import math, time, numpy, sounddevice
place = 0
def sing(out, frames, when, status):
    global place
    out[:, 0] = 0.2 * numpy.sin(2 * math.pi * 220 / 22050 * numpy.arange(place, place + frames))
    place += frames
api = next(a for a in sounddevice.query_hostapis() if "JACK" in a["name"])
with sounddevice.OutputStream(device=api["devices"][0], channels=1, samplerate=22050, callback=sing):
    time.sleep(60)
"""


def connected() -> bool:
    """The singer to serve, as soon as both are there."""
    listed = subprocess.run(["jack_lsp"], capture_output=True, text=True).stdout.split()
    source, hears = (
        [p for p in listed if re.fullmatch(e, p)] for e in (r"PortAudio-\d+:out_0", "PortAudio:in_0")
    )
    if source and hears:
        subprocess.run(["jack_connect", source[0], hears[0]], capture_output=True)
    return bool(source and hears)


def main() -> None:
    model, *period = sys.argv[1:]
    with live(model, "--device", "jack", "--input", "--transpose", "2") as player:
        os.kill(int(os.environ["JACK_PID"]), signal.SIGKILL)
        lost = player.says("trying again until it is back")
        with jack_again("".join(period)):
            back = player.says("the device is back")
            transpose = player.query("transpose")[0]
            singer = subprocess.Popen([sys.executable, "-c", SING])
            heard = player.soon(lambda: connected() and player.query("confidence")[0] > 0.5, 20)
            singer.terminate()
            singer.wait()
            answer = {"lost": lost, "back": back, "heard": heard, "transpose": transpose}
            answer["status"] = player.end()
    print(json.dumps({**answer, "said": player.said}))


if __name__ == "__main__":
    main()
