"""The only reader and writer of MODEL.ts and of the `wavevae.json` inside it.

Playing needs this file, torch and numpy; nothing of the training code.
"""

from __future__ import annotations

import dataclasses
import io
import json
import os
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from wavevae.errors import UserError
from wavevae.files import part_folder, write_errors
from wavevae.instruments import model_file

FORMAT_VERSION = 1
EXTRA_FILE = "wavevae.json"
TOP_FOLDER = "wavevae"
"""Inside the archive."""
ALIGNMENT = 64
"""Bytes."""
SMALLEST_SIZE = 9
"""zlib's level."""


@dataclass(frozen=True)
class LatentAxis:
    """One knob of the instrument. Its units are those of the file's `encode` and `decode`: standard deviations of the
    training data (0 = its mean), or natural ones (MIDI, dB) where mean and std say otherwise."""

    name: str
    low: float
    """1st percentile over the training data."""
    high: float
    """99th percentile over the training data."""
    mean: float = 0.0
    std: float = 1.0
    share: float = 0.0
    """Of the training latents' variance, what this axis carries."""


@dataclass(frozen=True)
class BundleInfo:
    """The content of `wavevae.json`."""

    sample_rate: int
    hop_length: int
    latent_dim: int
    axes: tuple[LatentAxis, ...]
    receptive_field_samples: int
    bottleneck: str
    family: str = "codec"
    """codec or instrument."""
    oscillators: str = ""
    """instrument: harmonic, dense or both."""
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
    profile: dict[str, Any] = field(default_factory=dict)
    """instrument: `CorpusProfile.to_dict()` in the file's own units, to which an input is fitted."""
    prior: dict[str, Any] = field(default_factory=dict)
    """instrument: `Prior.description()`; empty where the file plays and improvises no notes by itself."""
    format_version: int = FORMAT_VERSION

    @property
    def frame_rate(self) -> float:
        """Latent frames a second."""
        return self.sample_rate / self.hop_length

    @property
    def is_instrument(self) -> bool:
        """Whether its first latents are controls, in natural units."""
        return self.family == "instrument"

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
    foreign: bool = False
    """Of another program: it keeps nn~'s contract, and `info` is what can be read from that."""


def write_bundle(
    path: Path,
    module: torch.jit.ScriptModule,
    info: BundleInfo,
    verify: Callable[[Path], float] | None = None,
    deflated: bool = False,
) -> BundleInfo:
    """Write MODEL.ts whole or not at all: temporary names in the same folder, then rename.

    `verify` gets the finished temporary file and returns the streaming error measured, which is entered in
    `wavevae.json`; when it raises, nothing is put in place. `deflated` packs the weights, which is worth it where they
    are rounded; torch reads both. Returns what `wavevae.json` says.
    """
    raw = io.BytesIO()
    torch.jit.save(module, raw)  # to a file it would end the process where the disk is full
    with write_errors(path, raw.getbuffer().nbytes), part_folder(path.parent, path.name) as folder:
        finished = folder / "finished.ts"
        _repack(raw, finished, info, deflated)
        if verify is not None:
            info = dataclasses.replace(info, streaming_error=verify(finished))
            _repack(raw, finished, info, deflated)  # the same entries, and the figure
        with open(finished, "rb") as file:
            os.fsync(file.fileno())
        os.replace(finished, path)
    return info


def _repack(source: io.BytesIO, target: Path, info: BundleInfo, deflated: bool) -> None:
    """Copy an archive with `wavevae.json` added and every trace of this machine left out.

    TorchScript's debug files hold source paths, the top folder the temporary name, the entries the time. Data
    starts at multiples of 64 bytes, as torch writes it.
    """
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w") as new:
        names = [name for name in old.namelist() if not name.endswith(".debug_pkl")]
        entries = {
            f"{TOP_FOLDER}/{n.partition('/')[2]}": (old.getinfo(n).compress_type, old.read(n)) for n in names
        }
        entries[f"{TOP_FOLDER}/extra/{EXTRA_FILE}"] = (zipfile.ZIP_STORED, info.to_json().encode())
        for name, (compression, content) in entries.items():
            entry = zipfile.ZipInfo(name)  # dated 1980
            entry.compress_type = zipfile.ZIP_DEFLATED if deflated else compression
            entry.external_attr = 0o644 << 16
            start = (
                new.start_dir + 30 + len(name.encode()) + 4
            )  # zip's local header, the padding's own header
            padding = -start % ALIGNMENT
            entry.extra = b"FB" + padding.to_bytes(2, "little") + b"Z" * padding
            new.writestr(entry, content, compresslevel=SMALLEST_SIZE)


def read_bundle(path: str | Path, sample_rate: int | None = None) -> Bundle:
    """Load MODEL.ts, or a built-in instrument by its name, on the CPU, ready to play.

    A file of another program that keeps nn~'s contract needs its `sample_rate` (Hz), which it does not say.

    Raises: UserError for a missing file, one that is no TorchScript, one without `wavevae.json` that cannot be
    played either, or one of a newer format.
    """
    path = model_file(Path(path))
    extra = {EXTRA_FILE: ""}
    try:
        module = _load_script(path, extra).eval()
    except (RuntimeError, ValueError, EOFError) as error:
        raise UserError(
            f"{path} is not a TorchScript model file; export one with `wavevae export`"
        ) from error
    if not extra[EXTRA_FILE]:
        return Bundle(module, foreign_info(module, path, sample_rate), path, foreign=True)
    try:
        text = extra[EXTRA_FILE]
        info = BundleInfo.from_json(text if isinstance(text, str) else text.decode())  # type: ignore[attr-defined]
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(
            f"{path} holds no usable {EXTRA_FILE}; export it again with `wavevae export`"
        ) from error
    if info.format_version > FORMAT_VERSION:
        raise UserError(
            f"{path} has format {info.format_version}, this wavevae reads {FORMAT_VERSION}; update wavevae"
        )
    return Bundle(module, info, path)


def _load_script(path: Path, extra: dict[str, str]) -> torch.jit.ScriptModule:
    """torch opens files by names in UTF-8 only; one with another name is read for it."""
    try:
        str(path).encode("utf-8")
    except UnicodeEncodeError:
        content = io.BytesIO(path.read_bytes())
        return torch.jit.load(content, map_location="cpu", _extra_files=extra)
    return torch.jit.load(str(path), map_location="cpu", _extra_files=extra)


FOREIGN_RANGE = 3.0
"""Latents of other programs are taken to be about normal, as a variational autoencoder's are."""


def foreign_info(module: torch.jit.ScriptModule, path: Path, sample_rate: int | None) -> BundleInfo:
    """What nn~'s contract says of a file: `decode_params = [latents, hop, channels, 1]`; see docs/hosts.md.

    Raises: UserError for a file that is no such instrument, or without `sample_rate`.
    """
    try:
        latents, hop, channels, ratio = (int(n) for n in module.decode_params)
        encoded = [int(n) for n in module.encode_params]
    except (AttributeError, TypeError, ValueError):
        raise UserError(
            f"{path} holds no {EXTRA_FILE}, and no encode and decode as nn~ has them: it cannot be played; export "
            "one with `wavevae export`"
        ) from None
    if ratio != 1 or hop < 1 or latents < 1 or encoded[1:] != [1, latents, hop]:
        raise UserError(
            f"{path}: encode {encoded} and decode {[latents, hop, channels, ratio]} do not fit each other"
        )
    if sample_rate is None and hasattr(module, "sampling_rate"):  # as RAVE's exports have it
        sample_rate = int(module.sampling_rate)
    if sample_rate is None:
        raise UserError(
            f"{path} holds no {EXTRA_FILE}, so it does not say its sample rate; give it with --sr"
        )
    labels = list(getattr(module, "decode_input_labels", [])) or [f"latent {i}" for i in range(latents)]
    return BundleInfo(
        sample_rate=sample_rate,
        hop_length=hop,
        latent_dim=latents,
        axes=tuple(LatentAxis(str(name), -FOREIGN_RANGE, FOREIGN_RANGE) for name in labels[:latents]),
        receptive_field_samples=0,
        bottleneck="unknown",
        channels=channels,
    )
