"""Sounds that no file holds: drawn from the training latents, or on the way from one sound to another."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

from wavevae.audio import read_mono
from wavevae.errors import UserError
from wavevae.nn.conditioning import Condition
from wavevae.studies.study_run import StudyRun
from wavevae.units import seconds_to_samples

LONGEST_S = 600.0
"""Of a sound that is read whole, to be mixed with another."""


@torch.inference_mode()
def drawn(run: StudyRun, seconds: float, seed: int, told: Condition | None) -> Iterator[np.ndarray]:
    """One window after the other. Raises: UserError for a checkpoint without latent statistics."""
    if run.statistics is None:
        raise UserError("the checkpoint has no latent statistics, it was written too early; train on")
    samples = seconds_to_samples(seconds, run.facts.sample_rate)
    for sound in run.draws(samples, np.random.default_rng(seed), told):
        yield sound.numpy()


@torch.inference_mode()
def morph(run: StudyRun, ends: Sequence[Path], heard: Condition | None, told: Condition | None) -> np.ndarray:
    """(T,) as long as the longer sound; the latents of the shorter are stretched in time, and the mix goes in a
    straight line from all first to all second; a sound of one window is half of each. Raises: UserError."""
    rate = run.facts.sample_rate
    both = [torch.from_numpy(read_mono(path, rate)) for path in ends]
    for path, sound in zip(ends, both, strict=True):
        if not len(sound) or len(sound) > LONGEST_S * rate:
            raise UserError(f"{path}: {len(sound) / rate:.0f} s; give a sound of up to {LONGEST_S:.0f} s")
    latents = [run.seen(sound, heard).z for sound in both]  # (1, latent_dim, windows) each
    n = max(z.shape[-1] for z in latents)
    start, end = (F.interpolate(z, n, mode="linear", align_corners=True) for z in latents)
    share = torch.linspace(0, 1, n) if n > 1 else torch.tensor([0.5])
    z = torch.lerp(start, end, share)
    made: np.ndarray = run.reference.decode(z, max(map(len, both)), told)[0, 0].numpy()
    return made
