"""The studies of soak.py; each runs beside a JACK server and prints one JSON object.

tests/with_jack.sh python benchmarks/soak_studies.py STUDY FOLDER PRESET
"""

from __future__ import annotations

import contextlib
import heapq
import json
import os
import random
import re
import struct
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))

from live import Live, live
from soak_latency import latency

from wavevae.realtime.control.osc import encode

FLOOD_HZ = 5000.0
CHANGE_EVERY_S = float(os.environ.get("CHANGE_EVERY_S", "10"))

WATCH = """
import os, select, sys, time
try:
    os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(10))
except OSError:
    pass
worst, due = 0.0, time.monotonic()
while not select.select([sys.stdin], [], [], max(0.0, due - time.monotonic()))[0]:
    worst = max(worst, time.monotonic() - due)
    due = max(due + 0.005, time.monotonic())
print(1000 * worst)
"""
"""Wakes up every 5 ms, at the engine's priority: how late it is at worst is the machine's doing."""
BURN = f"import os; os.nice({os.environ.get('BURNER_NICE', '0')})\nwhile True: pass"
LATENTS = """
message = encode("/wavevae/latent/%d" % (n % 4), (n % 200) / 100 - 1)
udp.sendto(message if n % 20 else b"/wavevae/latent/*" + bytes([n % 256] * 7), to)
"""


def flood(messages: str) -> str:
    """A program that sends FLOOD_HZ messages a second to the port it is given; `messages`: what it does for each, with
    `n` its number, `udp` and `to`."""
    return f"""
import socket, sys, time
from wavevae.realtime.control.osc import encode
udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
to, due, n = ("127.0.0.1", int(sys.argv[1])), time.monotonic(), 0
while True:
    for _ in range(10):
        n += 1
{textwrap.indent(messages, 8 * " ")}
    due += 10 / {FLOOD_HZ}
    time.sleep(max(0.0, due - time.monotonic()))
"""


def children(*commands: list[str]) -> list[subprocess.Popen]:
    return [subprocess.Popen([sys.executable, "-c", *c]) for c in commands]


def memory_mb(player: Live) -> float:
    """Anonymous memory of all its processes. From counters: adding up pages would hold up who asks for some."""
    total = 0
    for pid in [player.process.pid, *player.children()]:
        with contextlib.suppress(OSError):
            found = re.search(r"^RssAnon:\s+(\d+)", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
            total += int(found[1]) if found else 0
    return total / 1024


def stolen_ms() -> int:
    """What a virtual machine's host has taken of its cores since it runs."""
    with contextlib.suppress(OSError):
        ticks = Path("/proc/stat").read_text().split("\n", 1)[0].split()[8]
        return 1000 * int(ticks) // os.sysconf("SC_CLK_TCK")
    return 0


def summary(said: str) -> dict[str, Any]:
    """The figures of serve's last line."""
    found = re.search(
        r"(\d+) blocks; (\d+) underflows \((\d+) ring empty, (\d+) reported by the device, (\d+) callbacks missing\), "
        r"a callback takes ([\d.]+) ms .*?; (\d+) messages taken, (\d+) refused",
        said,
    )
    assert found, said
    names = ("blocks", "underflows", "empty", "device", "missing", "callback_p99_ms", "taken", "refused")
    return dict(zip(names, (float(x) if "." in x else int(x) for x in found.groups()), strict=True))


PLAYS = re.compile(r"^\S+ plays$", re.MULTILINE)


def fire(folder: Path, preset: str, seconds: float) -> dict[str, Any]:
    """OSC flood, burners, another model every CHANGE_EVERY_S."""
    models = [folder / f"{preset}{n}.ts" for n in (0, 1)]
    with live(models[0], "--device", "jack") as player:
        noise = children([BURN], [BURN], [flood(LATENTS), str(player.address[1])])
        watch = subprocess.Popen([sys.executable, "-c", WATCH], stdin=-1, stdout=-1, text=True)
        held, lost, changes, began, stolen = [], [], 0, time.monotonic(), stolen_ms()
        try:
            end = began + seconds
            while time.monotonic() < end:
                asked = time.monotonic()
                while time.monotonic() < min(asked + CHANGE_EVERY_S, end):
                    time.sleep(0.1)
                    if player.said.count("underflow:") > len(lost):
                        lost.append(
                            f"{time.monotonic() - asked:.1f} s after the {changes}. model was asked for"
                        )
                held.append(memory_mb(player))
                changes += 1
                player.send("/wavevae/model", str(models[changes % 2]))
            player.soon(lambda: PLAYS.search(player.said))  # however long a busy machine takes to load it
        finally:
            for process in noise:
                process.kill()
                process.wait()
        player.end()
        stalled = float(watch.communicate("over\n")[0])
    changed = len(PLAYS.findall(player.said))
    found = {**summary(player.said), "models_changed": changed}
    found |= {"lost": lost, "bystander_late_ms": round(stalled, 1), "stolen_ms": stolen_ms() - stolen}
    found["messages_a_s"] = round((found["taken"] + found["refused"]) / (time.monotonic() - began))
    third = max(1, len(held) // 3)  # medians: an engine that is just being loaded counts now and then
    settled, last = float(np.median(held[third : 2 * third] or held)), float(np.median(held[-third:]))
    return {**found, "memory_mb": round(last), "growth_mb": round(last - settled, 1)}


def small(folder: Path, preset: str, seconds: float) -> dict[str, Any]:
    """Block 128 for at most two minutes, an idle machine."""
    with live(folder / f"{preset}0.ts", "--device", "jack", "--block-size", 128) as player:
        time.sleep(min(seconds, 120.0))
        player.end()
    return summary(player.said)


def exact(folder: Path, preset: str, seconds: float) -> dict[str, Any]:
    """A session recorded while it is played wildly, and rendered again."""
    import soundfile

    from wavevae.realtime.offline import render

    model, score, played, again = (folder / n for n in (f"{preset}0.ts", "s.jsonl", "live.wav", "again.wav"))
    with live(model, "--device", "jack", "--record", score, "--record-audio", played) as player:
        chance = random.Random(0)
        for _ in range(200):
            player.send(f"/wavevae/latent/{chance.randrange(4)}", chance.uniform(-2, 2))
            player.send("/wavevae/gain", chance.uniform(-12, 0))
            player.send("/wavevae/temperature", chance.uniform(0, 1))
            time.sleep(0.03)
        player.end()
    assert render.main([str(model), "--score", str(score), "-o", str(again)]) == 0
    one, two = (soundfile.read(p, dtype="int32")[0] for p in (played, again))
    shortest = min(len(one), len(two))
    return {"samples": shortest, "different": int(np.count_nonzero(one[:shortest] != two[:shortest]))}


def start(folder: Path, preset: str, seconds: float) -> dict[str, Any]:
    """From the command to 'playing', the file cache warm: the second of two."""
    took = []
    for _ in range(2):
        began = time.monotonic()
        with live(folder / f"{preset}0.ts", "--device", "jack") as player:
            took.append(time.monotonic() - began)
            player.end()
    return {"seconds": round(took[-1], 2)}


EVENTS = 10_000


def midi(folder: Path, preset: str, seconds: float) -> dict[str, Any]:
    """Events through a real port: how many arrive, and whether in order."""
    from jack_midi import value_of

    script = str(Path(__file__).resolve().parent.parent / "tests" / "jack_midi.py")
    command = [sys.executable, script, str(folder / "speaking.ts"), str(folder), str(EVENTS)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    values = json.loads(done.stdout.splitlines()[-1])["values"]
    wanted = [-3 + 6 * value_of(n) / 127 for n in range(EVENTS)]
    in_order = len(values) == EVENTS and np.allclose(values, wanted, atol=1e-5)
    return {"sent": EVENTS, "arrived": len(values), "in_order": bool(in_order)}


MUTATIONS = (
    lambda r, d: d[: r.randrange(len(d))],
    lambda r, d: d + r.randbytes(r.randrange(1, 9)),
    lambda r, d: d.replace(b"wavevae", bytes(r.choice(b"*?[]{}") for _ in range(7))),
    lambda r, d: d[:-4] + struct.pack(">f", r.choice((float("nan"), float("inf"), -float("inf"), 1e20))),
    lambda r, d: b"#bundle\0" + struct.pack(">QI", r.randrange(2**63, 2**64), len(d)) + d,
    lambda r, d: r.randbytes(r.randrange(200)),
    lambda r, d: r.randbytes(1) * r.choice((9000, 65000)),
    lambda r, d: (b"#bundle\0" + struct.pack(">Q", 1) + (struct.pack(">I", len(d)) + d[:-1] + b"\xff") * 200)[
        :8000
    ],
    lambda r, d: d.replace(b",f", b"," + bytes([r.choice(b"sbTFNImrt[]x")])),
    lambda r, d: b"/wavevae/preset/" + b"*" * r.randrange(1, 60) + b"Q\0\0\0,\0\0\0",
    lambda r, d: _bundled(encode("/wavevae/query", r.choice(("targets", "latent/0", "none"))), 16),
    lambda r, d: d.replace(b",f", b"," + b"f" * 400) + bytes(1600),
)


def _bundled(message: bytes, times: int) -> bytes:
    return b"#bundle\0" + struct.pack(">Q", 1) + (struct.pack(">I", len(message)) + message) * times


def _again_ms(handle: Callable[[bytes, Any], object], sender: Any, datagrams: list[bytes]) -> float:
    """What the dearest of these costs when the machine does not come between: the least of nine times."""

    def once(data: bytes) -> float:
        begun = time.thread_time()
        handle(data, sender)
        return 1000 * (time.thread_time() - begun)

    return max(min(once(data) for _ in range(9)) for data in datagrams)


KEPT = 100


def hostile(count: int) -> dict[str, Any]:
    """In this process: how long each datagram takes by the CPU's clock, and whether anything changed. Interrupts count
    as well, so the dearest are handled again: what takes long by itself does so every time."""
    from osc_desk import SENDER, labelled

    table, chance = labelled(), random.Random(0)
    good = [
        encode("/wavevae/latent/0", 99.0),
        encode("/wavevae/gain", 600.0),
        encode("/wavevae/xy", 5.0, 5.0),
        encode("/wavevae/class", "flute", 0.5, "bell", 5.0),
        encode("/wavevae/note", 600, 0.5),
    ]
    before, spent = table.state, np.zeros(count, np.float32)
    dearest: list[tuple[float, bytes]] = []
    for n in range(count):
        data = chance.choice(MUTATIONS)(chance, chance.choice(good))
        begun = time.thread_time()
        table.face.handle(data, SENDER)
        spent[n] = time.thread_time() - begun
        if len(dearest) < KEPT or spent[n] > dearest[0][0]:
            (heapq.heappush if len(dearest) < KEPT else heapq.heapreplace)(dearest, (spent[n], data))
    unchanged, refused = table.state is before, table.face.rejected
    ms = 1000 * spent
    return {
        "datagrams": count,
        "refused": refused,
        "state_unchanged": unchanged,
        "mean_ms": round(float(ms.mean()), 4),
        "p99.99_ms": round(float(np.percentile(ms, 99.99)), 3),
        "over_1_ms": int((ms > 1).sum()),
        "max_ms": round(float(ms.max()), 3),
        "kept": len(dearest),
        "again_ms": round(_again_ms(table.face.handle, SENDER, [data for _, data in dearest]), 3),
    }


def main() -> None:
    study, folder, preset = sys.argv[1], Path(sys.argv[2]), sys.argv[3]
    seconds = float(os.environ.get("SECONDS", "60"))
    studies = {"fire": fire, "small": small, "latency": latency, "exact": exact, "start": start, "midi": midi}
    answer: dict[str, Any] = {}
    work = threading.Thread(target=lambda: answer.update(studies[study](folder, preset, seconds)))
    work.start()
    work.join()
    print(json.dumps({"study": study, **answer}))
    os._exit(0 if answer else 1)  # a PortAudio stream may hang at the end


if __name__ == "__main__":
    main()
