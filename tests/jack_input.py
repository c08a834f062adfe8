"""Beside a JACK server: `serve --input` hears what is connected to it, here itself.

    tests/with_jack.sh python tests/jack_input.py MODEL.ts

Prints one JSON object: the mode it begins in, the latents it heard of silence and of its own sound.
"""

from __future__ import annotations

import json
import subprocess
import sys

from live import live


def main() -> None:
    with live(sys.argv[1], "--device", "jack", "--input") as player:
        mode = player.query("mode")[0]
        silence = player.query("latents")
        subprocess.run(["jack_connect", "PortAudio:out_0", "PortAudio:in_0"], check=True)
        player.soon(lambda: any(abs(v) > 0.01 for v in player.query("latents")))
        sound = player.query("latents")
        player.send("/wavevae/mode", "generate")
        player.soon(lambda: not any(player.query("latents")))
        answer = {"mode": mode, "silence": silence, "sound": sound, "generated": player.query("latents")}
        answer["status"] = player.end()
    print(json.dumps({**answer, "said": player.said}))


if __name__ == "__main__":
    main()
