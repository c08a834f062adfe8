"""What is evaluated, from its path: a run folder, a checkpoint or a MODEL.ts."""

from __future__ import annotations

from pathlib import Path

import torch

from wavevae.accelerator import refuse_float64
from wavevae.checkpoint import build_any, find_checkpoint, read_checkpoint
from wavevae.errors import UserError
from wavevae.evaluation.file_under_test import Model, load_file
from wavevae.evaluation.model_under_test import Facts, Run, learned_shift
from wavevae.families import family_of, located
from wavevae.latents import LatentStatistics
from wavevae.names import composed
from wavevae.nn.bottlenecks.base import codebook_sizes


def load_run(path: Path, which: str, device: torch.device | None = None) -> Run:
    """A run folder or .ckpt, to compute on `device` (none: the CPU). Raises: UserError where it is none."""
    found = find_checkpoint(path, which)
    checkpoint = read_checkpoint(found)
    details = {
        "checkpoint": str(found),
        "step": checkpoint.step,
        "audio_seconds_trained": round(checkpoint.audio_s, 1),
        "trained_with": checkpoint.wavevae_version,
        "commit": checkpoint.origin.get("commit"),
    }
    if device is not None:
        refuse_float64(device, checkpoint.config.model)
    model = build_any(checkpoint).to(device or "cpu")
    details["parameters"] = sum(p.numel() for p in model.parameters())
    shape = model.config
    facts = Facts(
        "run",
        path,
        shape.sample_rate,
        model.hop_length,
        model.latent_dim,
        shape.bottleneck,
        codebook_size=max(codebook_sizes(shape), default=0),
        condition=shape.condition,
        classes=tuple(map(composed, shape.classes)),
        class_field=checkpoint.config.data.class_field,
        name_shift=learned_shift(checkpoint.origin),
        details=details,
    )
    statistics = LatentStatistics.from_dict(checkpoint.latents) if checkpoint.latents else None
    run: Run = located(family_of(checkpoint.config).evaluation)(model, facts, statistics)
    return run


def load_model_under_test(
    path: Path, which: str = "best", sample_rate: int | None = None, device: torch.device | None = None
) -> Run | Model:
    """RUN, a .ckpt, or MODEL.ts; `sample_rate` of a file that does not say its own. A file computes on the CPU, where
    it is played, a run on `device`. Raises: UserError."""
    if not path.exists():
        raise UserError(f"no run or model at {path}; give a run folder, a .ckpt or a MODEL.ts")
    if path.is_dir() or path.suffix == ".ckpt":
        return load_run(path, which, device)
    return load_file(path, sample_rate)
