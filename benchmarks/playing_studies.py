"""Studies of `playing.py` that start the program: until it is ready, a piece by `render --midi`, improvising live."""

from __future__ import annotations

import argparse
import os
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

Found = dict[str, Any]


def midi(model: Path, options: argparse.Namespace) -> Found:
    """What a minute more of music takes, so that the start of the program does not count."""
    import mido
    from live import COMMAND

    wall, cpu = [], []
    with tempfile.TemporaryDirectory() as place:
        for seconds in (10, 70):
            file = mido.MidiFile(ticks_per_beat=480)  # 960 ticks a second
            track = file.add_track("chords")
            for bar in range(seconds):
                keys = [50 + (5 * bar + 4 * n) % 24 for n in range(3)]
                track += [mido.Message("note_on", note=k, velocity=60 + 10 * n) for n, k in enumerate(keys)]
                ends = [mido.Message("note_off", note=k) for k in keys]
                track += [
                    ends[0].copy(time=900),
                    *ends[1:],
                    mido.Message("control_change", control=1, time=60),
                ]
            file.save(f"{place}/song.mid")
            words = [
                "render",
                str(model),
                "--midi",
                f"{place}/song.mid",
                "--voices",
                "3",
                "-o",
                f"{place}/a.wav",
            ]
            begun, used = time.perf_counter(), sum(os.times()[2:4])
            subprocess.run([*COMMAND, *words], check=True, stderr=subprocess.DEVNULL)
            wall.append(time.perf_counter() - begun)
            cpu.append(sum(os.times()[2:4]) - used)
    return {"times_real_time": round(60 / (wall[1] - wall[0]), 1), "by_cpu": round(60 / (cpu[1] - cpu[0]), 1)}


def ready(model: Path, options: argparse.Namespace) -> Found:
    """The second of two, the file cache warm; without torch where onnxruntime is installed."""
    from live import live

    from wavevae.bundle import RUNTIMES, VARIABLE

    found: Found = {}
    for runtime in [*RUNTIMES] * 2:
        os.environ[VARIABLE] = runtime
        begun = time.perf_counter()
        with live(model, "--device", "none", "--block-size", options.block) as player:
            found[f"{runtime}_s"] = round(time.perf_counter() - begun, 2)
            player.end()
    del os.environ[VARIABLE]
    return found


def improvise(model: Path, options: argparse.Namespace) -> Found:
    """One voice is the improviser's, the others play keys that change every quarter of a second."""
    from live import live
    from soak_studies import summary

    others = options.fire_voices - 1
    with live(model, "--device", "jack", "--block-size", options.block, "--voices", others + 1) as player:
        player.send("/wavevae/mode", "sample")
        player.send("/wavevae/prior/density", 3.0)
        begun, turn = time.monotonic(), 0
        used, since = cpu_seconds(player), begun
        while time.monotonic() < begun + 60 * options.minutes:
            if since == begun and time.monotonic() > begun + STARTED_S:
                used, since = cpu_seconds(player), time.monotonic()
            for number in range(turn % 3, others, 3):
                player.send("/wavevae/note", 45 + 3 * number + (turn // 3 - 1) % 3, 0.0)
                player.send("/wavevae/note", 45 + 3 * number + turn // 3 % 3, 0.6)
            turn += 1
            time.sleep(max(0.0, begun + 0.25 * turn - time.monotonic()))
        share = (cpu_seconds(player) - used) / (time.monotonic() - since)
        level = player.query("level")
        player.end()
    return {
        "voices": others + 1,
        **summary(player.said),
        "level_db": round(level[0], 1),
        "core_percent": round(100 * share, 1),
    }


STARTED_S = 15.0
"""By then the engine that stands by has loaded torch."""


def cpu_seconds(player: Any) -> float:
    """Used by all its processes so far."""
    ticks = 0
    for pid in [player.process.pid, *player.children()]:
        ticks += sum(map(int, Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:13]))
    return ticks / os.sysconf("SC_CLK_TCK")
