"""What `render` can render: a sound, a list of latents, a way from one sound to another, a draw from the density.

A take is a source of latents, the blocks to ask the engine for, and how long it is in all.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from wavevae.audio import printable
from wavevae.bundle import Bundle
from wavevae.errors import UserError
from wavevae.latents import DensitySampler
from wavevae.units import frames_to_samples, seconds_to_samples

from .core import Core, Frames, Units
from .latent_files import open_latents, read_frames
from .offline import BLOCK_FRAMES, blocks_of, encode_file, length_at
from .sources import Drawn, FrameSource, Heard, Listed, Shaken

Block = tuple[int, NDArray[np.float32] | None]
"""Samples to render, and the input to hear if there is any."""


@dataclass(frozen=True)
class Take:
    """Something to render."""

    source: FrameSource
    blocks: Iterator[Block]
    samples: int
    """In all (a damaged file may end before)."""
    late: int = 0
    """Samples rendered before that are not wanted: those by which the model is late."""


def cut(samples: int, hop_length: int) -> Iterator[Block]:
    """Blocks without input, of BLOCK_FRAMES each but the last."""
    size = frames_to_samples(BLOCK_FRAMES, hop_length)
    for start in range(0, samples, size):
        yield min(size, samples - start), None


def transfer(core: Core, bundle: Bundle, sound: Path, seed: int) -> Take:
    """The model's own version of a sound: as long, and aligned with it."""
    info = bundle.info
    samples = length_at(sound, info.sample_rate)
    late = info.algorithmic_latency_samples
    source = Shaken(Heard(core.encode, info.hop_length), seed, info.frame_rate)
    return Take(source, blocks_of(sound, info.sample_rate, info.hop_length, late), samples, late)


def from_list(bundle: Bundle, path: Path, seed: int) -> Take:
    """Latents from a file, in the units of the model's own: frames x hop_length samples. Raises: UserError."""
    latents, units = open_latents(path, bundle.info.latent_dim), Units(bundle.info)
    samples = frames_to_samples(len(latents), bundle.info.hop_length)
    source = Shaken(
        Listed(lambda start, count: units.standard(read_frames(latents, start, count))),
        seed,
        bundle.info.frame_rate,
    )
    return Take(source, cut(samples, bundle.info.hop_length), samples)


def draw(bundle: Bundle, seconds: float, seed: int) -> Take:
    """Latents drawn from the density of the training latents. Raises: UserError where the model has none."""
    samples = seconds_to_samples(seconds, bundle.info.sample_rate)
    if samples < 1:
        raise UserError(f"--seconds {seconds}: less than one sample; use more")
    try:
        sampler = DensitySampler(bundle.info.density, np.random.default_rng(seed))
    except (ValueError, KeyError) as error:
        raise UserError(
            f"{printable(bundle.path)} holds no density to sample from ({error}); export it again"
        ) from None
    return Take(Drawn(sampler, bundle.info.frame_rate), cut(samples, bundle.info.hop_length), samples)


def morph(core: Core, bundle: Bundle, first: Path, second: Path, seed: int) -> Take:
    """From one sound to another, as long as the longer.

    The latents of the shorter are stretched in time (its pitch stays) so that both begin and end together; the
    mix goes straight from all first to all second. Between two latents, in time or in the mix, lies a line.
    """
    info = bundle.info
    samples = max(length_at(path, info.sample_rate) for path in (first, second))
    a, b = (np.concatenate([f for _, f in encode_file(core, path)]) for path in (first, second))
    source = Shaken(Listed(partial(mixed, a, b)), seed, info.frame_rate)
    return Take(source, cut(samples, info.hop_length), samples)


def mixed(a: Frames, b: Frames, start: int, count: int) -> Frames:
    """Frames start to start + count of the way from `a` (Fa, D) to `b` (Fb, D), which has max(Fa, Fb) frames."""
    place = (start + np.arange(count)) / max(len(a) - 1, len(b) - 1, 1)  # 0 first frame, 1 last
    share = place[:, None]
    return ((1 - share) * stretched(a, place) + share * stretched(b, place)).astype(np.float32)


def stretched(frames: Frames, place: NDArray[np.float64]) -> NDArray[np.float64]:
    """(F, D) read at places 0 (its first frame) to 1 (its last), on lines between frames: (len(place), D)."""
    at = np.clip(place, 0, 1) * (len(frames) - 1)
    before = np.floor(at).astype(np.int64)
    after = np.minimum(before + 1, len(frames) - 1)
    share = (at - before)[:, None]
    return (1 - share) * frames[before] + share * frames[after]
