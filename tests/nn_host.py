"""What nn~ and nn.ar do with a model file, sample for sample (Backend::perform of nn_tilde 1.6), for the tests.

Needs torch alone, so that it also runs in the libtorch of other years:

    python -I nn_host.py MODEL.ts REFERENCE.pt      prints one JSON object

REFERENCE.pt holds `audio` (B, 1, T) and what the offline model makes of it: `latents` (B, D, F), `resynthesis`
(B, 1, T); `scale` (D,), by which latents are weighed; `sure_latents` and `sure_sound`, 0 where the last digits choose
between two codes; and `attributes` to set first, if there are any.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

BUFFERS = (64, 128, 256, 512, 1024, 2048, 4096, 8192)
BATCHES = (1, 2, 4)
SHORTEST = 1024
"""Samples that every comparison takes at least."""


class Host:
    """One object in a patch: its own copy of the file, one method, a buffer of B samples."""

    def __init__(self, path: Path | str, method: str, buffer: int) -> None:
        self.model = torch.jit.load(str(path)).eval()
        self.failures: list[str] = []
        """What the file raised while it played; the host says nothing and repeats the last good block."""
        self.last: Tensor | None = None
        self.begin(method, buffer)

    def begin(self, method: str, buffer: int) -> None:
        """Another method or buffer; the state stays."""
        assert method in self.model.get_methods()
        self.method, self.buffer = getattr(self.model, method), buffer
        self.params = getattr(self.model, f"{method}_params").tolist()
        every = [getattr(self.model, f"{name}_params") for name in self.model.get_methods()]
        self.smallest = max(int(r) for params in every for r in (params[1], params[3]))

    def play(self, signals: Tensor, voices: int = 1) -> Tensor:
        """Signals (in_channels * voices, T) -> (voices, out_channels, T), buffer by buffer."""
        return torch.cat([self.perform(part, voices) for part in signals.split(self.buffer, 1)], -1)

    def perform(self, signals: Tensor, voices: int) -> Tensor:
        in_channels, in_ratio, out_channels, out_ratio = self.params
        silence = torch.zeros(voices, out_channels, self.buffer)
        with torch.inference_mode():
            x = signals.reshape(in_channels, voices, -1, in_ratio)[..., -1].permute(1, 0, 2)
            try:
                y = self.method(x)
            except Exception as error:  # torch.jit.Error is no RuntimeError
                self.failures.append(str(error).splitlines()[-1])
                return silence if self.last is None else self.last
            if y.numel() * out_ratio != silence.numel():
                return silence
            self.last = y.repeat_interleave(out_ratio).reshape(voices, out_channels, -1)
        return self.last

    def message(self, name: str, *values: float) -> int:
        """`set NAME VALUES`, as Pd sends it: six decimals, ints cut, anything at all true; outside inference mode."""
        kinds = getattr(self.model, f"{name}_params").tolist()
        assert len(values) == len(kinds)
        sent = [self._as(kind, value) for kind, value in zip(kinds, values)]  # noqa: B905
        return int(getattr(self.model, f"set_{name}")(*sent))

    @staticmethod
    def _as(kind: int, value: float) -> bool | int | float:
        if kind == 0:
            return True
        return int(value) if kind == 1 else float(f"{value:.6f}")

    def ask(self, name: str) -> list[float]:
        """`get NAME`: a tuple or a list, or nn~ 1.6 throws."""
        values = getattr(self.model, f"get_{name}")()
        assert isinstance(values, (tuple, list))
        assert len(values) == len(getattr(self.model, f"{name}_params"))
        return [float(value) for value in values]


def held(latents: Tensor, hop: int) -> Tensor:
    """Latents (B, D, F) as the host puts them out: each held for a hop."""
    return latents.repeat_interleave(hop, -1)


def errors(path: str, reference: dict[str, Any]) -> dict[str, float]:
    """Largest difference by 'method buffer batch', of full scale; every buffer that the file can be played with.

    Two buffers or more are heard: those that are too long for the reference are left out.
    """
    longest = reference["audio"].shape[-1] // 2
    found: dict[str, float] = {}
    for method in ("encode", "decode", "forward"):
        host = Host(path, method, BUFFERS[-1])
        for buffer in [b for b in BUFFERS if host.smallest <= b <= longest]:
            host.begin(method, buffer)
            for batch in BATCHES:
                host.message("reset", 1)
                for name, value in reference.get("attributes", {}).items():
                    assert host.message(name, value) == 0
                found[f"{method} {buffer} {batch}"] = difference(host, method, batch, reference)
        assert not host.failures, host.failures
    return found


def difference(host: Host, method: str, batch: int, reference: dict[str, Any]) -> float:
    """Between what is heard and the offline model: two buffers or more, from the start."""
    hop = reference["audio"].shape[-1] // reference["latents"].shape[-1]
    frames = max(2 * host.buffer, SHORTEST) // hop
    audio, latents = reference["audio"][:batch, 0, : frames * hop], reference["latents"][:batch, :, :frames]
    if method == "encode":
        heard = host.play(audio, batch)[..., ::hop]
        weight = reference["scale"][:, None] * reference["sure_latents"][:batch, :, :frames]
        return ((heard - latents) * weight).abs().max().item()
    channel_by_channel = held(latents, hop).transpose(0, 1).flatten(0, 1)
    heard = host.play(channel_by_channel if method == "decode" else audio, batch)
    weight = reference["sure_sound"][:batch, :, : frames * hop] if method == "forward" else torch.ones(())
    return ((heard - reference["resynthesis"][:batch, :, : frames * hop]) * weight).abs().max().item()


def attributes(path: str, reference: dict[str, Any]) -> dict[str, list[float]]:
    """What messages do while it plays."""
    x = reference["audio"][:1, 0]
    host = Host(path, "forward", 4096)
    for name, value in reference.get("attributes", {}).items():
        host.message(name, value)
    assert host.message("gain", -20.0) == 0
    quiet = host.play(x)
    told = {name: host.ask(name) for name in host.model.get_attributes()}
    host.message("gain", 0.0)
    host.message("reset", 1)
    loud = host.play(x)
    host.message("temperature", 1.0)
    host.message("reset", 1)
    shaken = host.play(x)
    assert not host.failures, host.failures
    told["gain_applied"] = [(quiet - 0.1 * loud).abs().max().item()]
    told["shaken"] = [(shaken - loud).abs().max().item()]
    return told


def main(model: str, reference_file: str) -> None:
    torch.set_num_threads(1)
    reference = torch.load(reference_file)
    assert "wavevae" not in sys.modules
    told = {
        "torch": torch.__version__,
        "errors": errors(model, reference),
        "attributes": attributes(model, reference),
    }
    print(json.dumps(told))


if __name__ == "__main__":
    main(*sys.argv[1:])
