"""Is the file the model? The streaming file against the offline model, in a process that knows only torch."""

from __future__ import annotations

import io
import json
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from wavevae.files import write_whole
from wavevae.nn.conditioning import Condition, unlabelled
from wavevae.nn.conv import first_input

from . import verify_subprocess
from .latent_pca import AxisMap

LIMIT = 1e-4
"""Of full scale: a file further off is not put in place."""
FRAMES = 320
VOICES = 2
PROBE_PITCH = 57.25
CLOSE = 1e-4
"""Codes this near to equally far (of unit vectors) are chosen by the last digits."""


class ExportRefused(RuntimeError):
    """The exported file does not do what the model does; nothing was put in place."""


@dataclass(frozen=True)
class Verdict:
    """Largest difference by method and block size in frames, of full scale.

    For latents full scale is one standard deviation of the strongest axis, so that an axis that hardly moves
    counts as little as it sounds.
    """

    errors: dict[str, dict[str, float]]

    @property
    def worst(self) -> tuple[float, str, str]:
        """(error, method, block size); an error that is not a number is the worst."""
        found = [(error, method, block) for method, of in self.errors.items() for block, error in of.items()]
        return max(found, key=lambda row: row[0] if row[0] == row[0] else float("inf"))

    def checked(self, streaming: str) -> float:
        """The largest error. Raises: ExportRefused above LIMIT, with figure, method and block size."""
        error, method, block = self.worst
        if not error <= LIMIT:
            raise ExportRefused(
                f"{streaming} {method} in blocks of {block} frames differs from the offline model by {error:.2g} of "
                f"full scale (at most {LIMIT:g} is let through); nothing was written"
            )
        return error


def probe_sound(sample_rate: int, samples: int, voices: int) -> Tensor:
    """(voices, 1, samples): a gliding harmonic tone, clicks, silence, noise, within full scale; seeded."""
    generator = torch.Generator().manual_seed(7)
    time = torch.arange(samples, dtype=torch.float64) / sample_rate
    sound = torch.zeros(voices, samples, dtype=torch.float64)
    for voice in range(voices):
        phase = 2 * torch.pi * (110.0 * (voice + 1) * time + 40.0 * time**2)
        sound[voice] = sum(torch.sin(k * phase) / k for k in range(1, 9)) / 4
    sound *= (torch.sin(2 * torch.pi * 1.3 * time) > -0.5).double()  # gaps with hard edges
    sound += 0.02 * torch.randn(sound.shape, generator=generator, dtype=torch.float64)
    sound[:, ::4999] = 0.9
    return sound.clamp(-1, 1).float()[:, None]


def reference(
    model: Any,
    axes: AxisMap,
    frames: int = FRAMES,
    voices: int = VOICES,
    condition: Condition | None = None,
) -> dict[str, Tensor]:
    """What the offline model makes of the probe sound, by way of the axes that the file keeps.

    `sure_latents` (B, 1, F) and `sure_sound` (B, 1, T) are 0 where the last digits decide between two codes.
    """
    audio = probe_sound(model.sample_rate, frames * model.hop_length, voices)
    with torch.inference_mode():
        latents = axes.encode(model.encode(audio, condition=condition))
        sound = model.decode(axes.decode(latents), condition=condition)
        whole = axes.kept == model.latent_dim
        resynthesis = (
            model.decode(model.encode(audio, condition=condition), None, condition) if whole else sound
        )
        sure = sure_frames(model, audio, condition)
        codes = codes_of(model, axes, audio, condition)
    return codes | {
        "audio": audio,
        "latents": latents,
        "sound": sound,
        "resynthesis": resynthesis,
        "sure_latents": sure,
        "sure_sound": sure_hops(model, sure).repeat_interleave(model.hop_length, 2),
        "scale": axes.weight,
        "hop_length": torch.tensor(model.hop_length),
    }


def codes_of(model: Any, axes: AxisMap, audio: Tensor, condition: Condition | None) -> dict[str, Tensor]:
    """`codes` (B, N, F) of a quantizer, an instrument's controls before them, and `codes_scale` (N,); else nothing."""
    bottleneck, controls = model.bottleneck.learned_part(), model.bottleneck.controls
    if not bottleneck.codebooks():
        return {}
    h = model.features(audio, condition)
    codes = bottleneck.encode(h[:, controls:])[1]
    assert codes is not None
    return {
        "codes": torch.cat([h[:, :controls], codes.float()], 1),
        "codes_scale": torch.cat([axes.weight[:controls], torch.ones(codes.shape[1])]),
    }


def sure_frames(model: Any, audio: Tensor, condition: Condition | None) -> Tensor:
    """(B, 1, F) 1 where rounding does not choose another code."""
    h = model.features(audio, condition)[:, model.bottleneck.controls :]
    margin: Tensor = model.bottleneck.learned_part().margin(h)
    return (margin > CLOSE).float()[:, None]


def sure_hops(model: Any, sure: Tensor) -> Tensor:
    """(B, 1, F) latents that are sure -> (B, 1, F) hops that depend on these alone."""
    reach = -first_input(model.decoder, 0)  # frames before its own on which a hop's first sample depends
    unsure = torch.nn.functional.pad(1 - sure, (reach, 0))
    return 1 - torch.nn.functional.max_pool1d(unsure, reach + 1, stride=1)


def references(model: Any, axes: AxisMap) -> list[dict[str, Any]]:
    """The same without labels and, of a conditional model, under one of each kind: `attributes`, as the file has it."""
    cases: list[dict[str, Any]] = [{"attributes": {}, **reference(model, axes)}]
    labels = model.config.decoder_labels
    if not labels:
        return cases
    condition = unlabelled(VOICES, model.config)
    condition.classes[:, -1:] = 1.0
    condition.pitch.fill_(PROBE_PITCH if "pitch" in labels else torch.nan)
    probe = {"class": len(model.config.classes) - 1, "pitch": PROBE_PITCH}
    attributes = {kind: probe[kind] for kind in labels}
    return [*cases, {"attributes": attributes, **reference(model, axes, condition=condition)}]


def compare(path: Path, expected: list[dict[str, Any]]) -> Verdict:
    """Measure a finished file in a fresh process. Raises: ExportRefused when it does not load or keep the contract."""
    with tempfile.TemporaryDirectory(prefix="wavevae-verify-") as folder:
        content = io.BytesIO()
        torch.save(expected, content)  # in memory: to a file it ends the process where the disk is full
        write_whole(Path(folder) / "reference.pt", content.getvalue())
        command = [sys.executable, "-I", verify_subprocess.__file__, str(path), f"{folder}/reference.pt"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        reason = (done.stderr.strip().splitlines() or [f"exit status {done.returncode}"])[-1]
        raise ExportRefused(
            f"the exported file does not play in a fresh process ({reason}); nothing was written"
        )
    return Verdict(json.loads(done.stdout.splitlines()[-1]))


def verify(path: Path, expected: list[dict[str, Any]]) -> float:
    """The largest error found. Raises: ExportRefused."""
    return compare(path, expected).checked("streaming")
