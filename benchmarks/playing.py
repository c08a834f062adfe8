"""An instrument as it is played: tuning, clicks, voices, an hour, and from a key to its sound beside a JACK server.

python benchmarks/playing.py MODEL.ts                       # all of it; five minutes under fire
python benchmarks/playing.py MODEL.ts --only tuning clicks  # without JACK

tuning    88 keys held 1 s each: error of the pitch
clicks    a glide of an octave in 2 s and a sweep of every control in 5 s: energy at the hop rate against a steady tone
voices    time of a block with one, eight and sixteen notes; WAVEVAE_RUNTIME=onnx: without torch
ready     from the command to the first block without a device, with torch and without
hour      a note held for an hour: drift of pitch and level; a preset recalled meanwhile
key       from a key to its first sound in what is recorded, less ring and block
start     from the command, and from the first key, to the first sound that is recorded
fire      eight voices at block 256 under 5000 OSC messages a second: underflows
improvise mode sample while all other voices are played: underflows, share of a core
midi      a piece in three voices by `render --midi`: times real time
"""

from __future__ import annotations

import argparse
import json
import math
import os
import random
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

HERE = Path(__file__).resolve().parent
TESTS = HERE.parent / "tests"
sys.path[:0] = [str(HERE), str(TESTS)]

from playing_studies import improvise, midi, ready  # noqa: E402

Found = dict[str, Any]
Sound = NDArray[np.float32]
LOWEST_KEY, HIGHEST_KEY = 21, 108
LOW_NOTE = 62
BLOCK, FIRE_VOICES = 256, 8
AUDIBLE = 1e-3
"""-60 dBFS."""


class Stage:
    """An instrument and the desk that drives it, without processes."""

    def __init__(self, model: Path, voices: int | None = None, block: int = BLOCK) -> None:
        from wavevae.realtime.control.dispatcher import Dispatcher
        from wavevae.realtime.engine.engine import PlayableModel

        self.instrument, self.block = PlayableModel(model, 0, voices), block
        self.desk = Dispatcher(self.instrument.model)
        self.instrument.warm_up(block)
        self.instrument.begin(self.desk.state)
        self.rate = self.instrument.model.sample_rate

    def send(self, address: str, *arguments: object) -> None:
        self.desk.apply(f"/wavevae/{address}", arguments)

    def play(self, seconds: float) -> Sound:
        blocks = max(1, round(seconds * self.rate / self.block))
        process = self.instrument.engine.process
        return np.concatenate([process(self.desk.state, self.block) for _ in range(blocks)])


def cents_off(sound: Sound, rate: int, midi: float) -> float:
    """How far a steady tone is from a pitch: the turn of its partials' phases between both halves, the strong ones
    weighing most."""
    half = len(sound) // 2
    time_s = np.arange(2 * half) / rate
    window = np.hanning(half)
    hertz = 440 * 2 ** ((midi - 69) / 12)
    found, weights = [], []
    for partial in range(1, 1 + max(1, min(8, int(0.45 * rate / hertz)))):
        beat = sound[: 2 * half] * np.exp(-2j * np.pi * partial * hertz * time_s)
        first, second = (beat[:half] * window).sum(), (beat[half:] * window).sum()
        off_hertz = np.angle(second / first) / (2 * np.pi) * rate / half / partial
        found.append(1200 * math.log2(1 + off_hertz / hertz))
        weights.append(abs(first) ** 2)
    return float(np.average(found, weights=weights))


def tuning(model: Path, options: argparse.Namespace) -> Found:
    """As it comes: with the life of its tones."""
    stage = Stage(model, voices=1)
    stage.send("release", 0)
    errors = {}
    for key in range(LOWEST_KEY, HIGHEST_KEY + 1):
        stage.send("note", key, 0.8)
        held = stage.play(1.0)
        errors[key] = cents_off(held[stage.rate // 5 :], stage.rate, key)
        stage.send("note", key, 0)
        stage.play(0.1)
    axis = stage.instrument.model.axes[0]
    low, high = axis.natural(axis.low), axis.natural(axis.high)
    within = [abs(e) for key, e in errors.items() if low <= key <= high]
    every = [abs(e) for e in errors.values()]
    return {
        "corpus": [round(low), round(high)],
        "median_cents": round(float(np.median(within)), 2),
        "worst_cents": round(max(within), 2),
        "all_keys_median_cents": round(float(np.median(every)), 2),
        "all_keys_worst_cents": round(max(every), 2),
    }


def clicks(model: Path, options: argparse.Namespace) -> Found:
    """Held at mezzoforte; without life, which moves too."""
    found: Found = {"glide_db": _glide(Stage(model, voices=1))}
    sweeps = {}
    about = Stage(model, voices=1).instrument.model
    for number, axis in enumerate(about.axes):
        if axis.name in ("pitch", "loudness"):
            continue  # keys say these
        sweeps[axis.name] = _sweep(Stage(model, voices=1), f"latent/{number}", axis.low, axis.high)
    sweeps["pressure"] = _sweep(Stage(model, voices=1), "pressure", 0.0, 1.0)
    sweeps["bend"] = _sweep(Stage(model, voices=1), "bend", 0.0, 12.0)
    sweeps["gain"] = _sweep(Stage(model, voices=1), "gain", -24.0, 0.0)
    worst = max(sweeps, key=lambda name: sweeps[name]["db"])
    return found | {
        "worst_sweep": worst,
        "worst_sweep_db": sweeps[worst]["db"],
        "worst_step": max(s["step"] for s in sweeps.values()),
        "sweeps": {name: s["db"] for name, s in sweeps.items()},
    }


def _steady(stage: Stage) -> Sound:
    stage.send("life", 0)
    stage.send("note", LOW_NOTE, 0.7)
    stage.play(0.5)
    return stage.play(2.0)


def _line_db(stage: Stage, sound: Sound, off: int = 0) -> float:
    """Energy at the hop rate, or another nearby, above what is around it, of half seconds."""
    import torch

    from wavevae.evaluation.metrics import periodicity_db

    hop = stage.instrument.model.hop_length
    half = stage.rate // 2 // hop * hop
    pieces = torch.from_numpy(sound[: len(sound) // half * half].reshape(-1, half))
    return float(periodicity_db(pieces, hop + off).mean())


def _at_other_rates_db(stage: Stage, sound: Sound) -> float:
    """What a moving pitch has at any rate that it passes: the reference of glides."""
    return float(np.mean([_line_db(stage, sound, off) for off in OTHER_RATES]))


OTHER_RATES = (-13, -11, -9, -7, -5, 5, 7, 9, 11, 13)
"""Samples by which the hops of other rates differ."""


def _glide(stage: Stage) -> float:
    """An octave in two seconds, one voice."""
    stage.send("mono", 1)
    stage.send("glide", 2000)
    _steady(stage)
    stage.send("note", LOW_NOTE + 12, 0.7)
    way = stage.play(2.0)
    return round(_line_db(stage, way) - _at_other_rates_db(stage, way), 2)


def _sweep(stage: Stage, address: str, low: float, high: float) -> dict[str, float]:
    """Up in five seconds, as a hand sends it: a hundred messages a second. `step`: the largest move of the level from
    one hundredth of a second to the next, dB, against the same in the steady tone."""
    before = _steady(stage)
    stage.send(address, low)
    stage.play(0.3)
    made = []
    for turn in range(500):
        stage.send(address, low + (high - low) * turn / 499)
        made.append(stage.play(0.01))
    sound = np.concatenate(made)
    reference = _at_other_rates_db(stage, sound) if address == "bend" else _line_db(stage, before)
    return {
        "db": round(_line_db(stage, sound) - reference, 2),
        "step": round(_largest_step(sound, stage.rate) - _largest_step(before, stage.rate), 2),
    }


def _largest_step(sound: Sound, rate: int) -> float:
    piece = rate // 50
    levels = 10 * np.log10(np.mean(sound[: len(sound) // piece * piece].reshape(-1, piece) ** 2, 1) + 1e-12)
    return float(np.abs(np.diff(levels)).max())


def voices(model: Path, options: argparse.Namespace) -> Found:
    """Share of a core: median and p99 time of a block over its duration."""
    found: Found = {}
    for count in (1, 8, 16):
        stage = Stage(model, voices=count)
        for number in range(count):
            stage.send("note", 40 + 3 * number, 0.7)
        stage.play(0.5)
        spent = []
        for _ in range(1000):
            begun = time.perf_counter()
            stage.instrument.engine.process(stage.desk.state, stage.block)
            spent.append(time.perf_counter() - begun)
        shares = 100 * np.array(spent) * stage.rate / stage.block
        found[f"{count}_percent"] = round(float(np.median(shares)), 1)
        found[f"{count}_p99_percent"] = round(float(np.percentile(shares, 99)), 1)
    return found


def hour(model: Path, options: argparse.Namespace) -> Found:
    """Held by one voice; a preset is recalled half way."""
    stage = Stage(model, voices=1, block=4096)
    stage.send("preset/store", "here")
    stage.send("life", 0)
    stage.send("note", LOW_NOTE, 0.7)
    stage.play(1.0)
    levels, cents = [], []
    minutes = round(60 * options.hours)
    for minute in range(minutes):
        sound = stage.play(60.0)
        if minute in (0, minutes - 1):
            last = sound[-4 * stage.rate :]
            levels.append(10 * math.log10(float(np.mean(last.astype(np.float64) ** 2))))
            cents.append(cents_off(last, stage.rate, LOW_NOTE))
    before = stage.play(1.0)
    stage.send("preset/recall", "here")
    stage.send("life", 0)
    after = stage.play(1.0)
    rough = [float(np.abs(np.diff(x, 2)).max()) for x in (before, np.concatenate([before, after]))]
    return {
        "hours": options.hours,
        "pitch_drift_cents": round(abs(cents[1] - cents[0]), 4),
        "level_drift_db": round(abs(levels[1] - levels[0]), 4),
        "recall_roughness": round(rough[1] / rough[0], 3),
    }


OFFLINE = {"tuning": tuning, "clicks": clicks, "voices": voices, "hour": hour, "midi": midi, "ready": ready}


# -- beside a JACK server ---------------------------------------------------------------------------------------


def key(model: Path, options: argparse.Namespace) -> Found:
    """Single notes out of silence, over OSC."""
    from live import live
    from soak_latency import Ear

    with live(model, "--device", "jack", "--block-size", options.block) as player:
        stated = re.search(r"= ([\d.]+) until the next block \+ ([\d.]+) ring", player.said)
        assert stated
        parts = float(stated[1]) + float(stated[2])
        player.send("/wavevae/release", 0)
        ear = Ear(int(os.environ["SR"]), options.block)
        took = []
        for number in range(options.keys):
            pitch = 50 + number % 30
            time.sleep(0.25 + 0.05 * random.random())
            del ear.blocks[:-3]
            sent = time.perf_counter()
            player.send("/wavevae/note", pitch, 0.9)
            time.sleep(0.3)
            player.send("/wavevae/note", pitch, 0)
            heard = first_sound(ear, sent)
            if heard is not None:
                took.append(1000 * (heard - sent))
        ear.stream.stop()
        player.end()
    return {
        "keys": len(took),
        "ring_and_block_ms": parts,
        "median_ms": round(float(np.median(took)) - parts, 1),
        "p99_ms": round(float(np.percentile(took, 99)) - parts, 1),
    }


def first_sound(ear: Any, after: float) -> float | None:
    """When the first audible sample came, after a moment."""
    blocks = list(ear.blocks)
    start = min(when - n * ear.period for n, (when, _) in enumerate(blocks))
    sound = np.concatenate([data for _, data in blocks])
    times = start + np.arange(len(sound)) / ear.rate
    loud = np.flatnonzero((np.abs(sound) > AUDIBLE) & (times > after))
    return float(times[loud[0]]) if len(loud) else None


def start(model: Path, options: argparse.Namespace) -> Found:
    """The second of two, the file cache warm: until it says that it plays, and a key struck then."""
    from live import live
    from soak_latency import Ear

    with live(model, "--device", "jack", "--block-size", options.block) as player:
        player.end()
    begun = time.perf_counter()
    with live(model, "--device", "jack", "--block-size", options.block) as player:
        ready = time.perf_counter()
        ear = Ear(int(os.environ["SR"]), options.block)
        time.sleep(0.3)
        struck = time.perf_counter()
        player.send("/wavevae/note", 60, 0.9)
        time.sleep(0.5)
        heard = first_sound(ear, struck)
        ear.stream.stop()
        player.end()
    assert heard is not None, "no sound"
    return {
        "command_to_ready_s": round(ready - begun, 2),
        "first_key_to_sound_s": round(heard - struck, 3),
        "command_to_first_sound_s": round(ready - begun + heard - struck, 2),
    }


def fire(model: Path, options: argparse.Namespace) -> Found:
    """Notes change and every control moves, five thousand messages a second, for some minutes."""
    from live import live
    from soak_studies import flood, summary

    program = flood(KEYS_AND_KNOBS.replace("VOICES", str(options.fire_voices)))
    arguments = ("--device", "jack", "--block-size", options.block, "--voices", options.fire_voices)
    with live(model, *arguments) as player:
        sender = subprocess.Popen([sys.executable, "-c", program, str(player.address[1])])
        try:
            time.sleep(60 * options.minutes)
        finally:
            sender.kill()
            sender.wait()
        player.end()
    found = summary(player.said)
    return {**found, "messages_a_s": round(found["taken"] / (60 * options.minutes))}


KEYS_AND_KNOBS = """
if n % 500 < VOICES:
    message = encode("/wavevae/note", 45 + 4 * (n % 500) + n // 500 % 3, 0.6)
elif n % 500 == 499:
    message = encode("/wavevae/bend", (n // 500 % 5 - 2) / 10)
else:
    message = encode("/wavevae/latent/%d" % (3 + n % 5), (n % 200) / 100 - 1)
udp.sendto(message, to)
"""


LIVE = {"key": key, "start": start, "fire": fire, "improvise": improvise}
STUDIES: dict[str, Callable[[Path, argparse.Namespace], Found]] = {**OFFLINE, **LIVE}


def beside_jack(name: str, options: argparse.Namespace, rate: int) -> Found:
    """A live study in a process of its own, beside a server of its own."""
    with tempfile.NamedTemporaryFile("r", suffix=".json") as answer:
        words = [
            f"--{n.replace('_', '-')}={getattr(options, n)}"
            for n in ("block", "keys", "minutes", "fire_voices")
        ]
        script = [sys.executable, __file__, str(options.model), "--inside", name, "--answer", answer.name]
        environment = {**os.environ, "SR": str(rate), "PERIOD": str(options.block)}
        done = subprocess.run(["bash", str(TESTS / "with_jack.sh"), *script, *words], env=environment)
        if done.returncode:
            return {"failed": done.returncode}
        found: Found = json.loads(answer.read())
        return found


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", type=Path)
    parser.add_argument("--only", nargs="+", choices=STUDIES, default=list(STUDIES))
    parser.add_argument("--block", type=int, default=BLOCK, help=f"of the live studies [{BLOCK}]")
    parser.add_argument("--keys", type=int, default=100, help="of `key` [100]")
    parser.add_argument("--minutes", type=float, default=5.0, help="of `fire` and `improvise` [5]")
    parser.add_argument("--fire-voices", type=int, default=FIRE_VOICES, help=f"of both [{FIRE_VOICES}]")
    parser.add_argument("--hours", type=float, default=1.0, help="of `hour` [1]")
    parser.add_argument("--inside", choices=LIVE, help=argparse.SUPPRESS)
    parser.add_argument("--answer", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.inside:
        options.answer.write_text(json.dumps(LIVE[options.inside](options.model, options)))
        os._exit(0)  # a PortAudio stream may hang at the end
    from wavevae.bundle import read_bundle

    rate = read_bundle(options.model).info.sample_rate
    for name in options.only:
        found = beside_jack(name, options, rate) if name in LIVE else OFFLINE[name](options.model, options)
        print(json.dumps({"study": name, **found}), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
