"""The only reader and writer of MODEL.ts and of the `wavevae.json` inside it, and the choice of what plays it.

Playing needs this file, numpy, and torch or onnxruntime; nothing of the training code.
"""

from __future__ import annotations

import dataclasses
import importlib.util
import io
import json
import os
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from wavevae.controls import NATURAL
from wavevae.errors import UserError
from wavevae.files import part_folder, write_errors
from wavevae.instruments import model_file
from wavevae.onnx_module import INTERFACE, OnnxModule, onnx_module

if TYPE_CHECKING:
    import torch

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

    @property
    def loudest_db(self) -> float:
        """instrument: what its corpus hardly exceeds."""
        return next(axis.high for axis in self.axes if axis.name == "loudness")

    def typical(self) -> tuple[float, ...]:
        """instrument: the middle of the loud frames, (latent_dim,) in standard deviations; the pitch is one of the
        keys'."""
        values = {axis.name: axis.mean for axis in self.axes}
        values |= dict(zip(self.profile.get("axis_names", ()), self.profile.get("mean", ()), strict=False))
        for name in NATURAL:
            quantiles = self.profile.get(name)
            if quantiles:
                values[name] = quantiles[len(quantiles) // 2]
        if "pitch" in values:
            values["pitch"] = float(round(values["pitch"]))
        return tuple((values[axis.name] - axis.mean) / axis.std for axis in self.axes)

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


RUNTIMES = {"torch": "torch", "onnx": "onnxruntime"}
"""What plays, and the package that it needs; the first that is here is used."""
VARIABLE = "WAVEVAE_RUNTIME"
"""Of the environment: torch or onnx, whichever is here."""


def runtime() -> str:
    """What plays model files: torch or onnx. Raises: UserError where neither can."""
    asked = os.environ.get(VARIABLE, "")
    if asked and asked not in RUNTIMES:
        raise UserError(f"{VARIABLE}={asked}; use {' or '.join(RUNTIMES)}")
    for name in [asked] if asked else RUNTIMES:
        if importlib.util.find_spec(RUNTIMES[name]) is not None:
            return name
    if asked:
        raise UserError(
            f"{VARIABLE}={asked}: {RUNTIMES[asked]} is not installed; pip install '{EXTRAS[asked]}'"
        )
    raise UserError(f"playing needs torch or onnxruntime; {INSTALL_HINT}")


EXTRAS = {"torch": "wavevae[torch]", "onnx": "wavevae[stage]"}
TORCH_HINT = "pip install 'wavevae[torch]'"
INSTALL_HINT = (
    "pip install 'wavevae[stage]' (small), or 'wavevae[torch]' (codecs and files of other programs too)"
)


def use_one_thread() -> None:
    """The same sums in the same order, and nothing that a thread must wait for."""
    if runtime() == "torch":
        import torch

        torch.set_num_threads(1)


def seed_noise(seed: int) -> None:
    """For files whose decoder draws noise: codecs, which torch plays."""
    if runtime() == "torch":
        import torch

        torch.manual_seed(seed)


@dataclass(frozen=True)
class Bundle:
    """A loaded model file: the module (encode, decode, reset and more) and what it is."""

    module: Any
    """A torch.jit.ScriptModule, or an OnnxModule, which has the same methods."""
    info: BundleInfo
    path: Path
    foreign: bool = False
    """Of another program: it keeps nn~'s contract, and `info` is what can be read from that."""

    def call(self, method: str, *arguments: Any) -> Any:
        """A method of the module with arrays as arguments and result."""
        if isinstance(self.module, OnnxModule):
            return getattr(self.module, method)(*arguments)
        import torch

        with torch.inference_mode():
            given = (torch.from_numpy(a) if isinstance(a, np.ndarray) else a for a in arguments)
            made = getattr(self.module, method)(*given)
            return made.contiguous().numpy() if isinstance(made, torch.Tensor) else made


def write_bundle(
    path: Path,
    module: torch.jit.ScriptModule,
    info: BundleInfo,
    verify: Callable[[Path], float] | None = None,
    more: Callable[[dict[str, bytes]], dict[str, bytes]] | None = None,
    deflated: bool = False,
) -> BundleInfo:
    """Write MODEL.ts whole or not at all: temporary names in the same folder, then rename.

    `verify` gets the finished temporary file and returns the streaming error measured, which is entered in
    `wavevae.json`; when it raises, nothing is put in place. `more` gets the records of the archive by name and returns
    further extra files. `deflated` packs the weights, which is worth it where they are rounded; torch reads both.
    Returns what `wavevae.json` says.
    """
    import torch

    raw = io.BytesIO()
    torch.jit.save(module, raw)  # to a file it would end the process where the disk is full
    extra = more(_records(raw)) if more is not None else {}
    with write_errors(path, raw.getbuffer().nbytes), part_folder(path.parent, path.name) as folder:
        finished = folder / "finished.ts"
        _repack(raw, finished, info, extra, deflated)
        if verify is not None:
            info = dataclasses.replace(info, streaming_error=verify(finished))
            _repack(raw, finished, info, extra, deflated)  # the same entries, and the figure
        with open(finished, "rb") as file:
            os.fsync(file.fileno())
        os.replace(finished, path)
    return info


def _records(source: io.BytesIO) -> dict[str, bytes]:
    """What an archive holds, by name within its top folder."""
    with zipfile.ZipFile(source) as archive:
        return {name.partition("/")[2]: archive.read(name) for name in archive.namelist()}


def _repack(
    source: io.BytesIO, target: Path, info: BundleInfo, extra: dict[str, bytes], deflated: bool
) -> None:
    """Copy an archive with `wavevae.json` and `extra` added and every trace of this machine left out.

    TorchScript's debug files hold source paths, the top folder the temporary name, the entries the time. Data
    starts at multiples of 64 bytes, as torch writes it.
    """
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w") as new:
        names = [name for name in old.namelist() if not name.endswith(".debug_pkl")]
        entries = {
            f"{TOP_FOLDER}/{n.partition('/')[2]}": (old.getinfo(n).compress_type, old.read(n)) for n in names
        }
        entries[f"{TOP_FOLDER}/extra/{EXTRA_FILE}"] = (zipfile.ZIP_STORED, info.to_json().encode())
        for name, content in extra.items():
            entries[f"{TOP_FOLDER}/extra/{name}"] = (zipfile.ZIP_DEFLATED, content)
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
    if path.suffix == ".onnx":
        raise UserError(
            f"{path} is for programs of your own; give the MODEL.ts of the same run, which plays without torch too"
        )
    if runtime() == "onnx":
        return _read_without_torch(path)
    extra = {EXTRA_FILE: ""}
    try:
        module = _load_script(path, extra).eval()
    except (RuntimeError, ValueError, EOFError) as error:
        raise UserError(
            f"{path} is not a TorchScript model file; export one with `wavevae export`"
        ) from error
    if not extra[EXTRA_FILE]:
        return Bundle(module, foreign_info(module, path, sample_rate), path, foreign=True)
    return Bundle(module, _info_of(extra[EXTRA_FILE], path), path)


def _info_of(text: str | bytes, path: Path) -> BundleInfo:
    """What `wavevae.json` says. Raises: UserError."""
    try:
        info = BundleInfo.from_json(text if isinstance(text, str) else text.decode())
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(
            f"{path} holds no usable {EXTRA_FILE}; export it again with `wavevae export`"
        ) from error
    if info.format_version > FORMAT_VERSION:
        raise UserError(
            f"{path} has format {info.format_version}, this wavevae reads {FORMAT_VERSION}; update wavevae"
        )
    return info


def _read_without_torch(path: Path) -> Bundle:
    """Raises: UserError as read_bundle, and for what only torch plays."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = {name.partition("/")[2]: name for name in archive.namelist()}
            text = archive.read(names[f"extra/{EXTRA_FILE}"]) if f"extra/{EXTRA_FILE}" in names else None
        if text is None:
            raise UserError(f"{path} holds no {EXTRA_FILE}: files of other programs need torch; {TORCH_HINT}")
        info = _info_of(text, path)
        if f"extra/{INTERFACE}" not in names:
            what = "a codec" if not info.is_instrument else "of an older wavevae, or plays codes"
            raise UserError(f"{path} is {what}, which needs torch; {TORCH_HINT}, or export it again")
        return Bundle(onnx_module(path), info, path)
    except UserError:
        raise
    except (zipfile.BadZipFile, zlib.error, EOFError, KeyError, ValueError) as error:
        raise UserError(
            f"{path} is not a TorchScript model file; export one with `wavevae export`"
        ) from error


def _load_script(path: Path, extra: dict[str, str]) -> torch.jit.ScriptModule:
    """torch opens files by names in UTF-8 only; one with another name is read for it."""
    import torch

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
