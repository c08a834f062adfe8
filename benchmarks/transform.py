"""A live input through an instrument, beside a JACK server that needs no sound card: what is kept, and how late it is.

    SR=22050 PERIOD=512 tests/with_jack.sh python benchmarks/transform.py MODEL.ts [VOICE.wav] [SERVE OPTION ...]

`wavevae serve MODEL.ts --input --transpose auto --fit 1` hears a file (else a scale sung by built-in syllables), and
one recorder keeps what went in beside what came out, so that the lag between them is the delay. Prints one JSON object:

    pitch_kept     share of the input's pitched frames whose output is within 50 cents, octaves folded
    loudness_r     correlation of frame loudness, as evaluate has it
    said_ms        what serve said that it computes: ring, rest of a hop, model
    measured_ms    from bursts of a tone that go in before: the lag at which their levels agree best
    octave_jumps   frames from which the output goes to another octave of the input, within a tone

Needs jackd2 and libportaudio2.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))

from live import live

Sound = NDArray[np.float32]
SCALE = (0, 2, 4, 5, 7, 9, 11, 12, 11, 9, 7, 5, 4, 2, 0)
LOWEST_HZ, NOTE_S = 130.8, 0.7
BURSTS, BURST_S = 12, 0.25
LEAD_S, TAIL_S = 1.0, 1.0
REACH_MS = 400
PLAY = """
import sys, time
import numpy, sounddevice, soundfile
sound, rate = soundfile.read(sys.argv[1], dtype="float32")
jack = next(i for i, a in enumerate(sounddevice.query_hostapis()) if "JACK" in a["name"])
device = sounddevice.query_hostapis(jack)["devices"][0]
place = 0
def more(out, frames, when, status):
    global place
    part = sound[place : place + frames]
    out[: len(part), 0] = part
    out[len(part) :, 0] = 0
    place += frames if sys.stdin is None or going else 0
going = False
stream = sounddevice.OutputStream(samplerate=rate, device=device, channels=1, blocksize=0, callback=more)
sound = numpy.concatenate([numpy.zeros(0, "float32"), sound])
hold, sound = sound, numpy.zeros(0, "float32")
stream.start()
print("ready", flush=True)
sys.stdin.readline()
place, going, sound = 0, True, hold
time.sleep(len(hold) / rate + 1)
"""


def sung_scale(rate: int) -> Sound:
    """Up and down an octave, on vowels in turn."""
    from wavevae.synthesis.syllables import FORMANTS_HZ, Singer, syllable

    rng = np.random.default_rng(3)
    singer, vowels = Singer(LOWEST_HZ, 1.0, 1.0, 0.05, -70.0), list(FORMANTS_HZ)
    notes = [
        np.pad(
            syllable(singer, NOTE_S, LOWEST_HZ * 2 ** (step / 12), vowels[n % 5], rate, rng),
            (0, round(0.08 * rate)),
        )
        for n, step in enumerate(SCALE)
    ]
    whole = np.concatenate(notes)
    return (0.4 * whole / np.abs(whole).max()).astype(np.float32)


def bursts(rate: int) -> Sound:
    """Notes of one tone with smooth ends, at uneven times."""
    rng, length = np.random.default_rng(1), round(BURST_S * rate)
    time_s = np.arange(length) / rate
    tone = 0.2 * sum(np.sin(2 * np.pi * 220 * k * time_s) / k for k in range(1, 9)) * np.hanning(length)
    gaps = [np.zeros(round(rate * rng.uniform(0.15, 0.5))) for _ in range(BURSTS)]
    return np.concatenate([part for gap in gaps for part in (tone, gap)]).astype(np.float32)


def levels(sound: Sound, rate: int) -> NDArray[np.float64]:
    """RMS of 20 ms, every ms."""
    hop, window = rate / 1000, np.hanning(round(0.02 * rate))
    power = np.convolve(sound.astype(float) ** 2, window / window.sum(), "same")
    return np.sqrt(np.maximum(power[(np.arange(int(len(sound) / hop)) * hop).astype(int)], 0))


def lag_ms(given: Sound, made: Sound, rate: int) -> float:
    """By which `made` is later, from the peak of the correlation of the levels, between ms by a parabola."""
    a, b = levels(given, rate), levels(made, rate)
    found = [float(np.corrcoef(a[: len(a) - n], b[n:])[0, 1]) for n in range(REACH_MS)]
    at = int(np.argmax(found))
    if not 0 < at < REACH_MS - 1:
        return float(at)
    left, middle, right = found[at - 1 : at + 2]
    return at + 0.5 * (left - right) / (left - 2 * middle + right)


def octave_jumps(given: Sound, made: Sound, rate: int) -> int:
    """Changes of octave between input and output from one frame of a tone to the next but one."""
    import torch

    from wavevae.evaluation.tracks import pitch_track

    a, b = (pitch_track(torch.from_numpy(x), rate)[0].numpy() for x in (given, made))
    octave = np.round((b - a) / 12)
    steady = np.abs(a[2:] - a[:-2]) < 0.7
    changed = steady & np.isfinite(octave[2:] + octave[:-2]) & (octave[2:] != octave[:-2])
    return int((np.diff(np.concatenate([[0], changed.astype(int)])) > 0).sum())


def ports(pattern: str) -> list[str]:
    listed = subprocess.run(["jack_lsp"], capture_output=True, text=True).stdout.split("\n")
    return [port for port in listed if re.fullmatch(pattern, port)]


def recorded(sound: Sound, rate: int, folder: Path) -> tuple[Sound, Sound]:
    """Play into serve's input, once serve plays: what went in and what came out, from the same moment on."""
    import soundfile

    given, out = folder / "given.wav", folder / "out.wav"
    soundfile.write(given, sound, rate, subtype="FLOAT")
    (hears,), (speaks, *_) = ports("PortAudio:in_0"), ports("PortAudio:out_[01]")
    player = subprocess.Popen(
        [sys.executable, "-c", PLAY, str(given)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert player.stdin is not None
    assert player.stdout is not None
    player.stdout.readline()
    (source,) = ports(r"PortAudio-\d+:out_0")
    subprocess.run(["jack_disconnect", "system:capture_1", hears], capture_output=True)
    subprocess.run(["jack_connect", source, hears], check=True)
    seconds = len(sound) / rate + LEAD_S + TAIL_S
    command = ["jack_rec", "-f", str(out), "-d", f"{seconds:.0f}", "-b", "24", "-B", "262144", source, speaks]
    recorder = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    time.sleep(LEAD_S)
    player.stdin.write("go\n")
    player.stdin.flush()
    recorder.wait(600)
    player.stdin.close()
    player.wait(600)
    both, _ = soundfile.read(out, dtype="float32")
    return both[:, 0], both[:, 1]


def figures(given: Sound, made: Sound, rate: int, split: int, said: str) -> dict[str, Any]:
    """Of the bursts, which end `split` samples after the first sound, and of what comes after them."""
    import torch

    from wavevae.evaluation.playing.timbre_moved import loudness_correlation, pitch_kept

    stated = re.search(r"heard to sound ([\d.]+) ms = .*and the device's ([\d.]+) in and ([\d.]+) out", said)
    assert stated, said
    start = int(np.flatnonzero(np.abs(given) > 1e-4)[0])
    cut = slice(max(0, start - rate // 2), start + split)
    late = lag_ms(given[cut], made[cut], rate)
    shift = round(late * rate / 1000)
    sung = torch.from_numpy(given[start + split : len(given) - shift].copy())
    heard = torch.from_numpy(made[start + split + shift :].copy())
    voiced, kept = pitch_kept(sung, heard, rate)
    r = loudness_correlation(sung, heard, rate)
    return {
        "pitch_kept": round(kept / max(voiced, 1), 3),
        "pitched_frames": voiced,
        "loudness_r": None if r is None else round(r, 3),
        "said_ms": float(stated[1]),
        "measured_ms": round(late, 1),
        "device_in_out_ms": [float(stated[2]), float(stated[3])],
        "octave_jumps": octave_jumps(sung.numpy(), heard.numpy(), rate),
    }


def main() -> None:
    model, *options = sys.argv[1:]
    voice = Path(options.pop(0)) if options and not options[0].startswith("-") else None
    rate = int(os.environ["SR"])
    if voice is None:
        sung = sung_scale(rate)
    else:
        from wavevae.audio import read_mono

        sung = read_mono(voice, rate)
    lead = bursts(rate)
    usual = ("--device", "jack", "--input", "--transpose", "auto", "--fit", "1")
    with tempfile.TemporaryDirectory() as folder, live(model, *usual, *options) as player:
        time.sleep(0.5)
        given, made = recorded(np.concatenate([lead, sung]), rate, Path(folder))
        lost = player.query("underflows")[0]
        player.end()
    print(json.dumps({**figures(given, made, rate, len(lead), player.said), "underflows": lost}))


if __name__ == "__main__":
    main()
