"""What is being evaluated: a run (or checkpoint), or a MODEL.ts, behind one way to reconstruct a stream of sound."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor

from wavevae.errors import UserError

if TYPE_CHECKING:
    from wavevae.bundle import Bundle
    from wavevae.nn.model import Autoencoder


class Piece(NamedTuple):
    """A stretch of a sound, what became of it, and the posterior behind it."""

    reference: Tensor
    """(samples,)"""
    estimate: Tensor
    """(samples,)"""
    mean: Tensor | None = None
    """(latent_dim, frames) of a Gaussian posterior, where it can be seen."""
    log_variance: Tensor | None = None
    """(latent_dim, frames)"""


@dataclass(frozen=True)
class Facts:
    """What the report says of the subject."""

    kind: str
    """run or model."""
    path: Path
    sample_rate: int
    hop_length: int
    latent_dim: int
    bottleneck: str
    details: dict[str, Any] = field(default_factory=dict)
    """Checkpoint or file, steps, commit, the version that wrote it."""


class Subject(Protocol):
    """Anything that reconstructs."""

    facts: Facts
    block_samples: int
    """How much sound `reconstruct` takes at once: a multiple of hop_length."""

    def reconstruct(self, blocks: Iterable[np.ndarray]) -> Iterator[Piece]:
        """One sound as blocks of `block_samples` (the last may be shorter) -> its pieces, in bounded memory;
        the same samples as the whole sound in one go would give."""


class Run:
    """A trained autoencoder from its checkpoint, averaged weights, posterior mean, nothing random.

    A long sound is cut into segments that overlap by more than the model remembers, at whole turns of the decoder's
    fixed noise, so that the segments are what the whole would be.
    """

    def __init__(self, model: Autoencoder, facts: Facts) -> None:
        from wavevae.nn.noise import TABLE_FRAMES

        self.model, self.facts = model, facts
        turn = TABLE_FRAMES * model.config.fold  # samples
        self.context = turn * -(-model.receptive_field // turn)
        self.block_samples = turn * max(1, 600_000 // turn)

    @torch.inference_mode()
    def reconstruct(self, blocks: Iterable[np.ndarray]) -> Iterator[Piece]:
        past = torch.zeros(0)
        for block in blocks:
            new = torch.from_numpy(np.ascontiguousarray(block))
            sound = torch.cat([past, new])
            mean, log_variance, decoded = self._pass(sound)
            start = len(past)
            frame = start // self.facts.hop_length
            posterior = None if log_variance is None else log_variance[:, frame:]
            yield Piece(new, decoded[start:], None if posterior is None else mean[:, frame:], posterior)
            past = sound[-self.context :] if len(sound) >= self.context else sound

    def _pass(self, sound: Tensor) -> tuple[Tensor, Tensor | None, Tensor]:
        """(T,) -> latents and log-variance (latent_dim, F), sound (T,)."""
        from wavevae.nn.bottleneck import Gaussian
        from wavevae.nn.conv import pad_to_multiple

        x = sound[None, None]
        hidden = self.model.encoder(pad_to_multiple(x, self.facts.hop_length))
        z = self.model.bottleneck.mean(hidden)
        bottleneck = self.model.bottleneck
        log_variance = bottleneck.split(hidden)[1][0] if isinstance(bottleneck, Gaussian) else None
        return z[0], log_variance, self.model.decode(z, len(sound))[0, 0]


class Model:
    """A MODEL.ts, streamed as a host would: its state carries over from block to block."""

    def __init__(self, bundle: Bundle, facts: Facts) -> None:
        self.bundle, self.facts = bundle, facts
        self.block_samples = facts.hop_length * max(1, 65_536 // facts.hop_length)

    @torch.inference_mode()
    def reconstruct(self, blocks: Iterable[np.ndarray]) -> Iterator[Piece]:
        self.bundle.module.reset()
        for block in blocks:
            new = torch.from_numpy(np.ascontiguousarray(block))
            padded = torch.nn.functional.pad(new, (0, -len(new) % self.facts.hop_length))
            yield Piece(new, self.bundle.module(padded[None, None])[0, 0, : len(new)])


def load_run(path: Path, which: str) -> Run:
    """A run folder or .ckpt. Raises: UserError where it is none."""
    from wavevae.checkpoint import build_model, find_checkpoint, read_checkpoint

    found = find_checkpoint(path, which)
    checkpoint = read_checkpoint(found)
    details = {
        "checkpoint": str(found),
        "step": checkpoint.step,
        "audio_seconds_trained": round(checkpoint.audio_s, 1),
        "trained_with": checkpoint.wavevae_version,
        "commit": checkpoint.origin.get("commit"),
    }
    model = build_model(checkpoint)
    details["parameters"] = sum(p.numel() for p in model.parameters())
    shape = model.config
    facts = Facts(
        "run", path, shape.sample_rate, shape.hop_length, shape.latent_dim, shape.bottleneck, details
    )
    return Run(model, facts)


def load_file(path: Path) -> Model:
    """A MODEL.ts. Raises: UserError where it is none of ours."""
    from wavevae.bundle import read_bundle

    bundle = read_bundle(path)
    info = bundle.info
    details = {"streaming_error": info.streaming_error, **info.origin}
    facts = Facts("model", path, info.sample_rate, info.hop_length, info.latent_dim, info.bottleneck, details)
    return Model(bundle, facts)


def load_subject(path: Path, which: str = "best") -> Run | Model:
    """RUN, a .ckpt, or MODEL.ts. Raises: UserError."""
    if not path.exists():
        raise UserError(f"no run or model at {path}; give a run folder, a .ckpt or a MODEL.ts")
    return load_run(path, which) if path.is_dir() or path.suffix == ".ckpt" else load_file(path)
