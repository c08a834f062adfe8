"""The only reader and writer of MODEL.ts and of the `wavevae.json` inside it.

Playing needs this file, torch and numpy; nothing of the training code.
"""

from __future__ import annotations

import dataclasses
import json
import os
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from wavevae.errors import UserError

FORMAT_VERSION = 1
EXTRA_FILE = "wavevae.json"


@dataclass(frozen=True)
class LatentAxis:
    """One knob of the instrument, in standard deviations of the training data (0 = its mean)."""

    name: str
    low: float
    """1st percentile over the training data."""
    high: float
    """99th percentile over the training data."""
    mean: float = 0.0
    std: float = 1.0


@dataclass(frozen=True)
class BundleInfo:
    """What `wavevae.json` says; names as in INTERFACE."""

    sample_rate: int
    hop_length: int
    latent_dim: int
    axes: tuple[LatentAxis, ...]
    receptive_field_samples: int
    bottleneck: str
    channels: int = 1
    algorithmic_latency_samples: int = 0
    codebook_sizes: tuple[int, ...] = ()
    labels: dict[str, list[str]] = field(default_factory=dict)
    origin: dict[str, Any] = field(default_factory=dict)
    """Data hash, commit, torch and wavevae versions, steps and audio-seconds trained."""
    streaming_error: float = 0.0
    """Largest difference, streaming against offline, found at export (full scale = 1)."""
    density: dict[str, Any] = field(default_factory=dict)
    """The fitted density of the latents that `render --sample` draws from."""
    format_version: int = FORMAT_VERSION

    @property
    def frame_rate(self) -> float:
        """Latent frames a second."""
        return self.sample_rate / self.hop_length

    def to_json(self) -> str:
        return json.dumps(dataclasses.asdict(self), indent=1)

    @classmethod
    def from_json(cls, text: str) -> BundleInfo:
        """Raises: ValueError, KeyError or TypeError where the text is not such a description."""
        values = json.loads(text)
        known = {f.name for f in dataclasses.fields(cls)}
        values = {k: v for k, v in values.items() if k in known}
        values["axes"] = tuple(LatentAxis(**axis) for axis in values["axes"])
        values["codebook_sizes"] = tuple(values.get("codebook_sizes", ()))
        return cls(**values)


@dataclass(frozen=True)
class Bundle:
    """A loaded model file: the scripted module (encode, decode, forward, reset) and what it is."""

    module: torch.jit.ScriptModule
    info: BundleInfo
    path: Path


def write_bundle(path: Path, module: torch.jit.ScriptModule, info: BundleInfo) -> None:
    """Write MODEL.ts whole or not at all (temporary name in the same folder, then rename)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".part")
    os.close(handle)
    try:
        torch.jit.save(module, temporary, _extra_files={EXTRA_FILE: info.to_json()})
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    finally:
        Path(temporary).unlink(missing_ok=True)


def read_bundle(path: str | Path) -> Bundle:
    """Load MODEL.ts on the CPU, ready to play.

    Raises: UserError for a missing file, one that is no TorchScript, one without `wavevae.json`, or one of
    a newer format.
    """
    path = Path(path)
    if not path.is_file():
        raise UserError(f"no model file at {path}; make one with `wavevae export RUN -o {path.name}`")
    extra = {EXTRA_FILE: ""}
    try:
        module = torch.jit.load(str(path), map_location="cpu", _extra_files=extra)
    except (RuntimeError, ValueError, EOFError) as error:
        raise UserError(f"{path} is not a TorchScript model file; export one with `wavevae export`") from error
    try:
        text = extra[EXTRA_FILE]
        info = BundleInfo.from_json(text if isinstance(text, str) else text.decode())  # type: ignore[attr-defined]
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path} holds no usable {EXTRA_FILE}; export it again with `wavevae export`") from error
    if info.format_version > FORMAT_VERSION:
        raise UserError(f"{path} has format {info.format_version}, this wavevae reads {FORMAT_VERSION}; update wavevae")
    return Bundle(module.eval(), info, path)
