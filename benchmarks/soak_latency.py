"""How long it takes from a message to its sound, measured in what is recorded; a study of soak.py."""

from __future__ import annotations

import os
import random
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))

from live import live

HOP = 256
STEPS = 100
"""Changes from which the latency is told."""


def write_speaking(path: Path, rate: int) -> None:
    """A model whose sound is its first latent: a step of a control is a step of the wave, at the frame's edge."""
    import torch
    from toy_bundle import ToyModel, toy_info

    from wavevae.bundle import write_bundle

    class Speaking(ToyModel):
        @torch.jit.export
        def decode(self, z: torch.Tensor) -> torch.Tensor:
            return (0.1 * z[:, :1]).repeat_interleave(self.hop, dim=2)

    info = toy_info(sample_rate=rate, hop_length=HOP)
    model = Speaking(rate, HOP, info.latent_dim).eval().requires_grad_(False)
    write_bundle(path, torch.jit.script(model), info)


class Ear:
    """Records the instrument's output through JACK; knows when each sample came."""

    def __init__(self, rate: int, block: int) -> None:
        import sounddevice

        found = [
            i
            for i, d in enumerate(sounddevice.query_devices())
            if "JACK" in sounddevice.query_hostapis(d["hostapi"])["name"] and d["max_input_channels"]
        ]
        self.rate, self.period = rate, block / rate
        self.blocks: list[tuple[float, np.ndarray]] = []
        self.stream = sounddevice.InputStream(
            samplerate=rate,
            blocksize=block,
            device=found[0],
            channels=1,
            dtype="float32",
            callback=self._hear,
        )
        self.stream.start()
        self._connect()

    def _hear(self, data: np.ndarray, frames: int, when: Any, status: Any) -> None:
        self.blocks.append((time.perf_counter(), data[:, 0].copy()))

    @staticmethod
    def _connect() -> None:
        """From serve's port instead of the sound card's."""
        ports = subprocess.run(["jack_lsp"], capture_output=True, text=True).stdout.split()
        sources = [p for p in ports if re.fullmatch(r"PortAudio.*:out_0", p)]
        (mine,) = [p for p in ports if re.fullmatch(r"PortAudio.*:in_0", p)]
        subprocess.run(["jack_disconnect", "system:capture_1", mine], capture_output=True)
        for source in sources:
            subprocess.run(["jack_connect", source, mine], check=True)

    def first_change(self, after: float) -> float | None:
        """When the first sample differed from the one before, after a moment."""
        blocks = list(self.blocks)
        start = min(
            when - n * self.period for n, (when, _) in enumerate(blocks)
        )  # the server's beat, no jitter
        sound = np.concatenate([data for _, data in blocks])
        times = start + np.arange(len(sound)) / self.rate
        steps = np.flatnonzero((np.abs(np.diff(sound)) > 0.02) & (times[1:] > after))
        return float(times[1 + steps[0]]) if len(steps) else None


def delays(ear: Ear, change: Any, arrived: list[float] | None = None) -> dict[str, float]:
    """From `change(value)`, or from when that `arrived`, to the changed sample, many times: median and p99 in ms."""
    took = []
    for number in range(STEPS):
        time.sleep(0.15 + 0.05 * random.random())
        del ear.blocks[:-3]
        sent = time.perf_counter()
        change(1.0 if number % 2 else -1.0)
        time.sleep(0.35)
        if arrived:
            sent = arrived[-1]
        heard = ear.first_change(sent)
        if heard is not None:
            took.append(1000 * (heard - sent))
    assert len(took) > STEPS // 2, f"only {len(took)} of {STEPS} changes were heard"
    return {"median_ms": round(float(np.median(took)), 1), "p99_ms": round(float(np.percentile(took, 99)), 1)}


def latency(folder: Path, preset: str, seconds: float) -> dict[str, Any]:
    """OSC and MIDI to sound; the model's gain is 0 dB, its glide off."""
    import mido

    rate, block = int(os.environ["SR"]), int(os.environ["PERIOD"])
    backend = mido.Backend("mido.backends.rtmidi/UNIX_JACK")
    port = backend.open_output("knobs", virtual=True, client_name="controller")
    options = ("--device", "jack", "--block-size", block, "--midi", "knobs")
    with live(folder / "speaking.ts", *options) as player:
        stated = re.search(
            r"at most ([\d.]+) ms = ([\d.]+) until the next block \+ ([\d.]+) ring", player.said
        )
        assert stated
        arrived: list[float] = []
        monitor = backend.open_input(  # JACK hands an event on at its next period: the delay begins there
            next(name for name in backend.get_input_names() if "controller" in name),
            client_name="monitor",
            callback=lambda message: arrived.append(time.perf_counter()),
        )
        subprocess.run(["jack_connect", "controller:knobs", "monitor:controller:knobs"], check=True)
        player.send("/wavevae/smoothing", 0)
        ear = Ear(rate, block)
        by_osc = delays(ear, lambda value: player.send("/wavevae/latent/0", value))
        by_midi = delays(
            ear,
            lambda value: port.send(
                mido.Message("control_change", control=70, value=85 if value > 0 else 42)
            ),
            arrived,
        )
        ear.stream.stop()
        monitor.close()
        player.end()
    parts = float(stated[2]) + float(stated[3])
    return {"ring_and_block_ms": parts, **{f"osc_{k}": v for k, v in by_osc.items()}} | {
        f"midi_{k}": v for k, v in by_midi.items()
    }
