"""A checkpoint becomes MODEL.ts: twin, script, description, verification, and only then the name."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from wavevae.bundle import BundleInfo, write_bundle
from wavevae.checkpoint import Checkpoint, build_model
from wavevae.config import ModelConfig
from wavevae.errors import UserError
from wavevae.latents import LatentStatistics
from wavevae.model_config import BOTTLENECKS
from wavevae.nn.bottlenecks.registry import bottleneck_class, codebook_sizes
from wavevae.nn.instrument import Instrument
from wavevae.nn.model import Autoencoder

from .conditional import codec_module
from .instrument import instrument_module
from .latent_pca import AxisMap, axes_of, corpus_profile
from .precision import halve, round_weights, rounding_error
from .torchscript import CodecModule, HostModule, script
from .verify import references, verify

SMALLEST_RATIO = 64
"""Of samples to a latent frame: hosts call with 64 samples or more and play silence below."""

STREAMING = ("rows", "cached-conv")
WEIGHTS = ("float32", "float16")


@dataclass(frozen=True)
class Choices:
    """How a file is made, where there is a choice."""

    streaming: str = "rows"
    """rows (our layers), or cached-conv (the field's reference, to compare with)."""
    weights: str = "float32"
    """float32 plays everywhere; float16 is faster and half as large, on x86-64 with AVX2 only."""

    def __post_init__(self) -> None:
        if self.streaming == "cached-conv" and self.weights != "float32":
            raise UserError(f"--weights {self.weights} goes with --streaming rows; leave one of them out")


def export_checkpoint(
    checkpoint: Checkpoint, path: Path, keep: int | None = None, choices: Choices | None = None
) -> BundleInfo:
    """Write MODEL.ts with `keep` latent axes (none: all) -> what its `wavevae.json` says.

    Raises: UserError for what cannot be exported, ExportRefused where the file is not the model.
    """
    model, axes = read_model(checkpoint, keep)
    return export_model(model, axes, path, describe_origin(checkpoint), choices or Choices())


def read_model(checkpoint: Checkpoint, keep: int | None = None) -> tuple[Autoencoder | Instrument, AxisMap]:
    """The model of a checkpoint and its axes. Raises: UserError for what cannot be exported."""
    refuse_unplayable(checkpoint.config.model)
    if not checkpoint.latents:
        raise UserError(
            "the checkpoint has no latent statistics, it was written too early in training; go on with "
            "`wavevae train --resume` and export again"
        )
    model = build_model(checkpoint)
    refuse_broken(model)
    return model.eval(), axes_of(model, LatentStatistics.from_dict(checkpoint.latents), keep)


def export_model(
    model: Autoencoder | Instrument, axes: AxisMap, path: Path, origin: dict[str, Any], choices: Choices
) -> BundleInfo:
    """The same from a model and its axes. Raises: UserError, ExportRefused."""
    trained = model
    if choices.weights == "float16":
        model = round_weights(codec_only(trained, "--weights float16"))
    expected = references(model, axes)
    module = make_module(model, axes, choices)
    origin = {**origin, "streaming": choices.streaming, "weights": choices.weights}
    if isinstance(trained, Autoencoder) and isinstance(model, Autoencoder) and model is not trained:
        origin["rounding_error"] = rounding_error(trained, model, expected[0]["audio"])
    info = describe(model, axes, origin)
    return write_bundle(path, script(module), info, lambda finished: verify(finished, expected))


def make_module(model: Autoencoder | Instrument, axes: AxisMap, choices: Choices) -> HostModule:
    """The streaming twin that is chosen. Raises: UserError where cached-conv is and is not installed."""
    if choices.streaming == "rows" and isinstance(model, Instrument):
        return instrument_module(model, axes)
    model = codec_only(model, f"--streaming {choices.streaming}")
    if choices.streaming == "cached-conv":
        refuse_beyond_plain(model.config, "--streaming cached-conv")
        from .cached import Channels, cached_twin_of

        return CodecModule(model, axes, cached_twin_of, Channels())
    module = codec_module(model.config)(model, axes)
    if choices.weights == "float16":
        halve(module)
    return module


def describe(model: Autoencoder | Instrument, axes: AxisMap, origin: dict[str, Any]) -> BundleInfo:
    """What `wavevae.json` says."""
    parameters = sum(p.numel() for p in model.parameters())
    return BundleInfo(
        sample_rate=model.sample_rate,
        hop_length=model.hop_length,
        latent_dim=axes.kept,
        axes=axes.axes,
        family=model.config.family,
        oscillators=model.config.oscillators if model.config.is_instrument else "",
        receptive_field_samples=model.receptive_field,
        algorithmic_latency_samples=model.algorithmic_latency,
        bottleneck=model.config.bottleneck,
        codebook_sizes=codebook_sizes(model.config),
        labels=labels(model.config),
        origin={**origin, "latent_dim_trained": model.latent_dim, "parameters": parameters},
        density=axes.density,
        profile=profile_of(model, axes),
    )


def profile_of(model: Autoencoder | Instrument, axes: AxisMap) -> dict[str, Any]:
    """What an instrument's corpus is like, in the file's units; empty where it was not kept, and of a codec."""
    known = corpus_profile(model, axes) if isinstance(model, Instrument) else None
    return {} if known is None else known.to_dict()


def labels(config: ModelConfig) -> dict[str, list[str]]:
    """Kinds of labels that the model is told: names of the classes; for pitch its unit. An instrument's pitch is one of
    its latents."""
    classes = {"class": list(config.classes)} if config.has_class else {}
    told = "pitch" in config.decoder_labels
    return classes | ({"pitch": ["MIDI, 69 = 440 Hz"]} if told else {})


def codec_only(model: Autoencoder | Instrument, option: str) -> Autoencoder:
    """Raises: UserError for an instrument, which has only one form."""
    if isinstance(model, Instrument):
        raise UserError(f"{option} is for models of the family codec, this is an instrument: leave it out")
    return model


def refuse_beyond_plain(config: ModelConfig, option: str) -> None:
    """Raises: UserError for what only the file's own layers can do."""
    labelled = config.condition != "none" and not config.is_instrument
    plain = [name for name in BOTTLENECKS if not bottleneck_class(name).streaming_twin]
    if config.bottleneck not in plain or labelled:
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


def refuse_broken(model: Autoencoder | Instrument) -> None:
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
