"""A checkpoint becomes MODEL.ts: twin, script, description, verification, and only then the name."""

from __future__ import annotations

from abc import ABC, abstractmethod
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from wavevae.bundle import BundleInfo, write_bundle
from wavevae.checkpoint import Checkpoint, build_model
from wavevae.config import ModelConfig
from wavevae.errors import UserError
from wavevae.families import families, located
from wavevae.latents import LatentStatistics
from wavevae.model_config import BOTTLENECKS
from wavevae.nn.bottlenecks.base import bottleneck_class, codebook_sizes

from .latent_pca import AxisMap
from .layers import rounding_error
from .torchscript import HostModule, script
from .verify import references, verify

SMALLEST_RATIO = 64
"""Of samples to a latent frame: hosts call with 64 samples or more and play silence below."""

STREAMING = ("rows", "cached-conv")
WEIGHTS = ("float32", "bfloat16", "float16")


@dataclass(frozen=True)
class Choices:
    """How a file is made, where there is a choice."""

    streaming: str = "rows"
    """rows (our layers), or cached-conv (the field's reference, to compare with)."""
    weights: str = "float32"
    """float32 plays everywhere. bfloat16 does too, at the same speed: float32 tensors whose large weights have 8
    significant bits, deflated to less than half the size. float16 is faster and half as large, on x86-64 with AVX2."""

    def __post_init__(self) -> None:
        if self.streaming == "cached-conv" and self.weights != "float32":
            raise UserError(f"--weights {self.weights} goes with --streaming rows; leave one of them out")


class FamilyExporter(ABC):
    """What exporting asks of a model family: a subclass in the file of each, named in wavevae.families. `model` is of
    that family."""

    labels_are_plain = False
    """Whether a model with labels can be exported in every form."""

    @abstractmethod
    def axes(self, model: Any, statistics: LatentStatistics, keep: int | None) -> AxisMap:
        """The first `keep` latent axes (none: all). Raises: UserError for a number that the model does not have."""

    @abstractmethod
    def module(self, model: Any, axes: AxisMap, choices: Choices) -> HostModule:
        """The streaming twin. Raises: UserError for a choice that it does not have."""

    @abstractmethod
    def rounded(self, model: Any, weights: str) -> Any:
        """A copy with weights that the 16 bits of a type hold. Raises: UserError where there is none."""

    def description(self, model: Any, axes: AxisMap) -> dict[str, Any]:
        """Fields of BundleInfo that only this family has."""
        return {}

    def graphs(self, model: Any) -> Any:
        """What makes and compares the ONNX graphs that MODEL.ts holds as well, with the functions of
        export/archive_graphs.py; None where it holds none."""
        return None

    def settings(self, module: Any, method: str) -> dict[str, Tensor]:
        """What a file without attributes (ONNX) takes beside x and state, and the usual value of each."""
        return {}

    def apply(  # noqa: B027 - a codec has nothing to set
        self, module: Any, method: str, settings: dict[str, Tensor], rows: tuple[Any, Any]
    ) -> None:
        """Set the module to them for one call, whose frames come in `rows`: voices, frames of each."""


def exporter_of(model: Any) -> FamilyExporter:
    """By the family that the model's configuration names."""
    place = next(family.exporter for family in families() if family.name == model.config.family)
    exporter: FamilyExporter = located(place)()
    return exporter


def export_checkpoint(
    checkpoint: Checkpoint, path: Path, keep: int | None = None, choices: Choices | None = None
) -> BundleInfo:
    """Write MODEL.ts with `keep` latent axes (none: all) -> what its `wavevae.json` says.

    Raises: UserError for what cannot be exported, ExportRefused where the file is not the model.
    """
    model, axes = read_model(checkpoint, keep)
    return export_model(model, axes, path, describe_origin(checkpoint), choices or Choices())


def read_model(checkpoint: Checkpoint, keep: int | None = None) -> tuple[Any, AxisMap]:
    """The model of a checkpoint and its axes. Raises: UserError for what cannot be exported."""
    refuse_unplayable(checkpoint.config.model)
    if not checkpoint.latents:
        raise UserError(
            "the checkpoint has no latent statistics, it was written too early in training; go on with "
            "`wavevae train --resume` and export again"
        )
    model = build_model(checkpoint)
    refuse_broken(model)
    return model, axes_of(model, LatentStatistics.from_dict(checkpoint.latents), keep)


def axes_of(model: Any, statistics: LatentStatistics, keep: int | None = None) -> AxisMap:
    """The first `keep` axes of a model of any family (none: all). Raises: UserError as FamilyExporter.axes."""
    return exporter_of(model).axes(model, statistics, keep)


def export_model(
    model: Any, axes: AxisMap, path: Path, origin: dict[str, Any], choices: Choices
) -> BundleInfo:
    """The same from a model and its axes. Raises: UserError, ExportRefused."""
    trained = model
    exporter = exporter_of(model)
    if choices.weights != "float32":
        model = exporter.rounded(trained, choices.weights)
    expected = references(model, axes)
    module = exporter.module(model, axes, choices)
    origin = {**origin, "streaming": choices.streaming, "weights": choices.weights}
    if model is not trained:
        origin["rounding_error"] = rounding_error(trained, model, expected[0]["audio"])
    info = describe(model, axes, origin)
    onnx = exporter.graphs(model)
    deflated = choices.weights == "bfloat16"
    if onnx is None:
        return write_bundle(
            path, script(module), info, lambda finished: verify(finished, expected), None, deflated
        )

    def check(finished: Path) -> float:
        with ThreadPoolExecutor(1) as pool:  # which waits for a process
            error = pool.submit(verify, finished, expected)
            onnx.compare(finished, expected, module).checked("onnxruntime's")
            return error.result()

    def graphs(records: dict[str, bytes]) -> dict[str, bytes]:
        made: dict[str, bytes] = onnx.make_graphs(model, axes, module, records)
        return made

    return write_bundle(path, script(module), info, check, graphs, deflated)


def describe(model: Any, axes: AxisMap, origin: dict[str, Any]) -> BundleInfo:
    """What `wavevae.json` says."""
    parameters = sum(p.numel() for p in model.parameters())
    return BundleInfo(
        sample_rate=model.sample_rate,
        hop_length=model.hop_length,
        latent_dim=axes.kept,
        axes=axes.axes,
        family=model.config.family,
        receptive_field_samples=model.receptive_field,
        algorithmic_latency_samples=model.algorithmic_latency,
        bottleneck=model.config.bottleneck,
        codebook_sizes=codebook_sizes(model.config),
        labels=labels(model.config),
        origin={**origin, "latent_dim_trained": model.latent_dim, "parameters": parameters},
        density=axes.density,
        **exporter_of(model).description(model, axes),
    )


def labels(config: ModelConfig) -> dict[str, list[str]]:
    """Kinds of labels that the model is given: names of the classes; for pitch its unit."""
    shown = {"class": list(config.classes), "pitch": ["MIDI, 69 = 440 Hz"]}
    return {kind: shown[kind] for kind in config.decoder_labels}


def refuse_beyond_plain(config: ModelConfig, option: str, labels_are_plain: bool = False) -> None:
    """Raises: UserError for what only the file's own layers can do."""
    plain = [name for name in BOTTLENECKS if not bottleneck_class(name).streaming_twin]
    if config.bottleneck not in plain or (config.condition != "none" and not labels_are_plain):
        raise UserError(
            f"the model has bottleneck {config.bottleneck} and condition {config.condition}; {option} is for "
            f"bottlenecks {', '.join(plain)} without condition: leave it out"
        )


def refuse_unplayable(config: ModelConfig) -> None:
    """Raises: UserError for a hop that hosts would play as silence."""
    hop = config.hop_length
    if hop < SMALLEST_RATIO or hop & (hop - 1):
        raise UserError(
            f"hop_length is {hop} samples; hosts play powers of two from {SMALLEST_RATIO} on: train with a larger "
            "fold or ratios"
        )


def refuse_broken(model: torch.nn.Module) -> None:
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
