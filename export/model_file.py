"""A checkpoint becomes MODEL.ts: twin, script, description, verification, and only then the name."""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from wavevae.bundle import BundleInfo, write_bundle
from wavevae.checkpoint import Checkpoint, build_model
from wavevae.config import ModelConfig
from wavevae.errors import UserError
from wavevae.latents import LatentStatistics
from wavevae.nn.model import Autoencoder

from .axes import AxisMap, axis_map
from .torchscript import Instrument, script
from .verify import reference, verify

SMALLEST_RATIO = 64
"""Of samples to a latent frame: hosts call with 64 samples or more and play silence below."""


def export_checkpoint(checkpoint: Checkpoint, path: Path, keep: int | None = None) -> BundleInfo:
    """Write MODEL.ts with `keep` latent axes (none: all) -> what its `wavevae.json` says.

    Raises: UserError for what cannot be exported, ExportRefused where the file is not the model.
    """
    refuse_unplayable(checkpoint.config.model)
    if not checkpoint.latents:
        raise UserError(
            "the checkpoint has no latent statistics, it was written too early in training; go on with "
            "`wavevae train --resume` and export again"
        )
    model = build_model(checkpoint)
    axes = axis_map(LatentStatistics.from_dict(checkpoint.latents), keep)
    return export_model(model, axes, path, describe_origin(checkpoint))


def export_model(model: Autoencoder, axes: AxisMap, path: Path, origin: dict[str, Any]) -> BundleInfo:
    """The same from a model and its axes. Raises: UserError, ExportRefused."""
    refuse_unplayable(model.config)
    refuse_broken(model)
    instrument = Instrument(model.eval(), axes)
    info = BundleInfo(
        sample_rate=model.sample_rate,
        hop_length=model.hop_length,
        latent_dim=axes.kept,
        axes=axes.axes,
        receptive_field_samples=model.receptive_field,
        bottleneck=model.config.bottleneck,
        origin={**origin, "latent_dim_trained": model.latent_dim},
        density=axes.density,
    )
    expected = reference(model, axes)
    try:
        return write_bundle(path, script(instrument), info, lambda finished: verify(finished, expected))
    except OSError as error:
        raise UserError(f"{path} cannot be written ({error.strerror}); choose another -o") from error


def refuse_unplayable(config: ModelConfig) -> None:
    """Raises: UserError for a hop that hosts would play as silence."""
    hop = config.hop_length
    if hop < SMALLEST_RATIO or hop & (hop - 1):
        raise UserError(
            f"hop_length is {hop} samples; hosts play powers of two from {SMALLEST_RATIO} on: train with a larger "
            "fold or ratios"
        )


def refuse_broken(model: Autoencoder) -> None:
    """Raises: UserError for weights that are not numbers."""
    for name, values in model.state_dict().items():
        if not torch.isfinite(values).all():
            raise UserError(
                f"weight {name} is not finite: training diverged; use another checkpoint or a lower rate"
            )


def describe_origin(checkpoint: Checkpoint) -> dict[str, Any]:
    """Where the weights come from; of paths only the last part, the file may travel."""
    origin = {
        **checkpoint.origin,
        "trained_with": checkpoint.wavevae_version,
        "exported_with": version("wavevae"),
        "torch_version": torch.__version__,
        "steps": checkpoint.step,
        "audio_seconds_trained": round(checkpoint.audio_s, 1),
    }
    return {name: without_path(value) for name, value in origin.items()}


def without_path(value: Any) -> Any:
    """Absolute paths, also within lists and mappings, cut to their last part."""
    if isinstance(value, dict):
        return {k: without_path(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [without_path(v) for v in value]
    if isinstance(value, str) and Path(value).is_absolute():
        return Path(value).name
    return value
