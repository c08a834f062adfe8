"""What `render` and `encode` share: loading the model, its input in blocks of whole hops, the closing report."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from wavevae.audio import followed, printable, probe, stream_mono
from wavevae.bundle import Bundle, read_bundle
from wavevae.console import say
from wavevae.errors import UserError
from wavevae.units import amplitude_to_db, format_seconds, resampled_length

from ..engine.engine import Engine
from ..engine.streaming_model import Frames, StreamingModel

BLOCK_FRAMES = 64
"""Latent frames a call, always: the same cut gives the same bytes."""


def load_offline(path: Path, sample_rate: int | None = None) -> Bundle:
    """The model, on one thread: the same sums in the same order. Raises: UserError."""
    import torch

    if not path.is_file():
        raise UserError(f"no model file at {path}; make one with `wavevae export RUN -o MODEL.ts`")
    torch.set_num_threads(1)
    bundle = read_bundle(path, sample_rate)
    if sample_rate not in (None, bundle.info.sample_rate):
        raise UserError(
            f"--sr {sample_rate}: {path} is a model of {bundle.info.sample_rate} Hz; leave --sr out"
        )
    return bundle


def length_at(path: Path, sample_rate: int) -> int:
    """Samples of a sound file at the model's rate; says so when that is not its own. Raises: UserError."""
    found = probe(path)
    if found.sample_rate != sample_rate:
        say(f"{printable(path)}: {found.sample_rate} Hz, converted to the model's {sample_rate} Hz")
    return resampled_length(found.frames, found.sample_rate, sample_rate)


def blocks_of(
    path: Path, sample_rate: int, hop_length: int, more: int = 0
) -> Iterator[tuple[int, NDArray[np.float32]]]:
    """A sound and `more` silence in blocks: how many samples are its own, and these with silence up to a whole hop."""
    for block in followed(stream_mono(path, sample_rate, BLOCK_FRAMES * hop_length), more):
        yield len(block), np.pad(block, (0, -len(block) % hop_length))


def encode_file(core: StreamingModel, path: Path) -> Iterator[tuple[int, Frames]]:
    """A sound's latents, piece by piece, from a cleared state: (samples heard, (F, latent_dim))."""
    core.reset()
    for samples, block in blocks_of(path, core.sample_rate, core.hop_length):
        yield samples, core.encode(block)


def report(arguments: argparse.Namespace, engine: Engine, samples: int, speed: float) -> str:
    """The last line, and what went wrong."""
    lines = []
    if engine.limited:
        over = amplitude_to_db(engine.peak)
        lines.append(
            f"{engine.limited} samples limited (up to {over:.1f} dB over full scale): "
            f"render again with --gain {arguments.gain - over - 0.05:.1f}"
        )
    if engine.broken:
        lines.append(f"{engine.broken} samples were not finite and are silent: these latents break the model")
    length = format_seconds(samples / engine.sample_rate)
    lines.append(
        f"wrote {arguments.out}: {length} ({samples} samples) at {engine.sample_rate} Hz, {speed:.0f}x real time"
    )
    return "\n".join(lines)
