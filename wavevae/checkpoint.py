"""The only reader and writer of checkpoints: tensors and plain values, whole or not at all.

A checkpoint is one `torch.save`d dictionary that loads with `weights_only=True`, so reading one runs no code.
"""

from __future__ import annotations

import dataclasses
import io
import pickle
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from wavevae.cli import expanded, shown
from wavevae.config import RunConfig, from_tree, to_tree
from wavevae.errors import UserError
from wavevae.families import family_of
from wavevae.files import write_whole

if TYPE_CHECKING:
    from wavevae.nn.model import Autoencoder

FORMAT_VERSION = 1
FOLDER = "checkpoints"

RENAMED_KEYS = {
    ".into.": ".in_proj.",
    ".out.": ".out_proj.",
    ".slow.gather.": ".top_encoder.downsample.",
    ".slow.": ".top_encoder.",
    ".expected.": ".top_prior.",
}
"""Parts of a bottleneck's keys in files of earlier versions -> today's."""


@dataclass(frozen=True)
class Checkpoint:
    """A moment of a run: export needs `config, state, latents, origin`; resuming needs all of it."""

    config: RunConfig
    state: dict[str, Tensor]
    """Averaged (EMA) weights: the ones validated and exported."""
    live: dict[str, Tensor] = field(default_factory=dict)
    """The weights the optimizer moves."""
    optimizer: dict[str, Any] = field(default_factory=dict)
    """The optimizer's own `state_dict()`."""
    adversary: dict[str, Any] = field(default_factory=dict)
    """Discriminator, its optimizer, its running loss; empty without one."""
    objectives: dict[str, Any] = field(default_factory=dict)
    """What objectives have measured so far, where they go by running means."""
    step: int = 0
    """Training steps done (skipped ones count: the data went by)."""
    elapsed_s: float = 0.0
    """Wall-clock of the budget used so far, s."""
    audio_s: float = 0.0
    """Audio trained on so far, s."""
    best_score: float | None = None
    """Lowest validation distance so far; none before the first validation."""
    latents: dict[str, Any] = field(default_factory=dict)
    """`LatentStatistics.to_dict()` of `state` on training data."""
    origin: dict[str, Any] = field(default_factory=dict)
    """Where it comes from: data hash, commit, torch version; steps skipped."""
    wavevae_version: str = ""
    """The version that wrote it."""


def _plain(value: Any) -> Any:
    """Tensors and plain values as they are, numpy as tensors and numbers, tuples as lists.

    Raises: TypeError for anything a `weights_only` load would refuse.
    """
    if isinstance(value, dict):
        return {_plain(k): _plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, np.ndarray):
        return torch.from_numpy(np.ascontiguousarray(value))
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, Tensor):
        return value.detach().cpu()
    if value is None or isinstance(value, bool):
        return value
    for plain in (int, float, str):
        if isinstance(value, plain):
            return plain(value)  # torch.__version__ is a str of its own kind
    raise TypeError(f"a checkpoint holds tensors and plain values, not {type(value).__name__}")


def write_checkpoint(path: Path, checkpoint: Checkpoint) -> None:
    """Write it whole or not at all: temporary name in the same folder, fsync, rename."""
    payload = {f.name: getattr(checkpoint, f.name) for f in dataclasses.fields(checkpoint)}
    payload["config"] = to_tree(checkpoint.config)
    payload["wavevae_version"] = version("wavevae")
    write_payload(path, {"format_version": FORMAT_VERSION, **payload})


def write_payload(path: Path, payload: dict[str, Any]) -> None:
    """Tensors and plain values -> a file, whole or not at all. Raises: as `wavevae.files.replacing`.

    It is made in memory first: torch, writing to a file, ends the process where the disk is full.
    """
    content = io.BytesIO()
    torch.save(_plain(payload), content)
    with content.getbuffer() as data:
        write_whole(path, data)


def read_checkpoint(path: str | Path) -> Checkpoint:
    """Load a checkpoint onto the CPU.

    Raises: UserError for a missing file, one that is no checkpoint of ours, or one of another format version.
    """
    path = Path(path)
    payload = read_payload(path)
    if "format_version" not in payload:
        raise UserError(f"{path} is not a wavevae checkpoint; give one that `wavevae train` wrote")
    _check_version(path, payload)
    names = {f.name for f in dataclasses.fields(Checkpoint)}
    values = {name: value for name, value in payload.items() if name in names}
    values["config"] = from_tree(values["config"])
    return Checkpoint(**values)


def read_payload(path: Path) -> dict[str, Any]:
    """A file that `write_payload` wrote, onto the CPU. Raises: UserError for a missing, locked or damaged one."""
    if not path.is_file():
        raise UserError(
            f"no checkpoint at {path}; give a run folder or a .ckpt file that `wavevae train` wrote"
        )
    try:
        payload = torch.load(path, map_location="cpu", weights_only=True)
    except PermissionError:
        raise UserError(f"{path} may not be read; change its permissions") from None
    except (pickle.UnpicklingError, RuntimeError, ValueError, EOFError, KeyError, OSError) as error:
        raise UserError(
            f"{path} is not a wavevae checkpoint or is damaged; use another, or train again"
        ) from error
    if not isinstance(payload, dict):
        raise UserError(f"{path} is not a wavevae checkpoint; give one that `wavevae train` wrote")
    weights = {name: _renamed(payload[name]) for name in ("state", "live") if name in payload}
    return {**payload, **weights}


def _renamed(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Weights under the keys that they have today."""
    found = {}
    for key, tensor in state.items():
        if key.startswith("bottleneck."):
            for old, new in RENAMED_KEYS.items():
                key = key.replace(old, new)
        found[key] = tensor
    return found


def _check_version(path: Path, payload: dict[str, Any]) -> None:
    """Raises: UserError unless the format is the one this version reads."""
    found = payload["format_version"]
    if found != FORMAT_VERSION:
        writer = payload.get("wavevae_version", "another version")
        raise UserError(
            f"{path} has checkpoint format {found} (wavevae {writer}); this wavevae {version('wavevae')} "
            f"reads format {FORMAT_VERSION}: use the version that wrote it, or train again"
        )


def find_checkpoint(run_or_path: str | Path, which: str = "best") -> Path:
    """The file meant by a run folder or a .ckpt path; `which` is best, last, or a path that wins over both.

    Before the first validation there is no best yet: then it is last.
    Raises: UserError, saying where it looked.
    """
    path = Path(run_or_path)
    if which not in ("best", "last"):
        path = expanded(which)
    if path.is_file():
        return path
    if not path.exists():
        raise UserError(f"no run or checkpoint at {path}; give the folder that `wavevae train --out` wrote")
    names = ("best", "last") if which == "best" else ("last",)
    for name in names:
        candidate = path / FOLDER / f"{name}.ckpt"
        if candidate.is_file():
            return candidate
    if (path / "config.yaml").is_file():
        raise UserError(
            f"{path} has no checkpoint yet: the first is written before the first training step, once the sounds are "
            f"read and the start is judged; wait for it, or start again: `{shown('train', '--resume', '--out', path)}`"
        )
    raise UserError(
        f"no {which}.ckpt in {path / FOLDER}; is {path} the run folder that `wavevae train` wrote?"
    )


def build_model(checkpoint: Checkpoint) -> Autoencoder:
    """A model that streams, with the averaged weights, in eval mode.

    Raises: UserError where they do not fit, and for a family that does not stream.
    """
    family_of(checkpoint.config).refuse_streaming(checkpoint.config)
    model: Autoencoder = build_any(checkpoint)
    return model


def build_any(checkpoint: Checkpoint) -> Any:
    """The model of any family with the averaged weights, in eval mode. Raises: UserError where they do not fit."""
    family = family_of(checkpoint.config)
    model = family.build(checkpoint.config)
    try:
        model.load_state_dict(checkpoint.state)
    except RuntimeError as error:
        raise UserError(
            f"the checkpoint's weights (wavevae {checkpoint.wavevae_version}) do not fit the model of this "
            f"wavevae {version('wavevae')}; use the version that wrote it, or train again"
        ) from error
    family.restore(model, checkpoint.latents)
    return model.eval()


def load_model(run_or_path: str | Path, which: str = "best") -> Any:
    """A run folder or .ckpt -> its model in eval mode. Raises: UserError."""
    return build_any(read_checkpoint(find_checkpoint(run_or_path, which)))
