"""`wavevae info`: what a run or a MODEL.ts is."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from wavevae.cli import Parser, parse_sample_rate, shown
from wavevae.config import NOTES, flatten, to_tree
from wavevae.errors import UserError
from wavevae.files import printable
from wavevae.instruments import model_file
from wavevae.units import format_seconds, midi_to_hz

if TYPE_CHECKING:
    from wavevae.bundle import Bundle
    from wavevae.config import ModelConfig


def describe_model_file(path: Path, sample_rate: int | None = None) -> dict[str, Any]:
    """Plain values of a MODEL.ts, in the order to show them. Raises: UserError.

    `sample_rate` is for a file of another program, which does not say it.
    """
    from wavevae.bundle import read_bundle

    bundle = read_bundle(path, sample_rate)
    info = bundle.info
    return {
        "model_file": printable(path),
        "file_mb": path.stat().st_size / 1e6,
        "format_version": info.format_version,
        **_rates(info.sample_rate, info.hop_length, info.latent_dim),
        "channels": info.channels,
        "bottleneck": info.bottleneck,
        "codebook_sizes": list(info.codebook_sizes),
        "algorithmic_latency_samples": info.algorithmic_latency_samples,
        "algorithmic_latency_ms": 1000 * info.algorithmic_latency_samples / info.sample_rate,
        **(
            _as_instrument(
                info.sample_rate, info.hop_length, info.algorithmic_latency_samples, info.profile, info.prior
            )
            if info.is_instrument
            else {}
        ),
        **_in_hosts(bundle),
        **_field(info.receptive_field_samples, info.sample_rate),
        "streaming_error": info.streaming_error,
        "parameters": _parameters(bundle),
        "density": info.density.get("kind", "none"),
        "labels": info.labels,
        "origin": info.origin,
        "latents": [vars(axis) for axis in info.axes],
    }


def _parameters(bundle: Bundle) -> int:
    """As the file says, or else counted."""
    said = bundle.info.origin.get("parameters")
    return sum(p.numel() for p in bundle.module.parameters()) if said is None else int(said)


def _as_instrument(
    rate: int, hop: int, look_back: int, profile: Mapping[str, Any], prior: Mapping[str, Any]
) -> dict[str, Any]:
    """How late it plays, and what its corpus is like where that is known."""
    hop_ms, back_ms = 1000 * hop / rate, 1000 * look_back / rate
    known = {}
    if profile.get("pitch"):
        quantiles = profile["pitch"]
        low, middle, high = quantiles[0], quantiles[len(quantiles) // 2], quantiles[-1]
        known["pitch"] = (
            f"MIDI {low:.1f} to {high:.1f} ({midi_to_hz(low):.0f} to {midi_to_hz(high):.0f} Hz), middle {middle:.1f}"
        )
    if profile.get("loudness"):
        quiet, loud = profile["loudness"][0], profile["loudness"][-1]
        known["loudness"] = f"{quiet:.0f} to {loud:.0f} dB"
    if prior.get("notes"):
        known["prior"] = f"{prior['notes']} notes: it plays as they are played, and improvises with them"
    return {
        "latency": {
            "played from controls": f"{hop_ms:.1f} ms: one hop",
            "transforming a sound": f"{hop_ms + back_ms:.1f} ms: one hop and the encoder's look-back of "
            f"{back_ms:.1f} ms, in which it finds the pitch",
        },
        "corpus": known,
    }


NN_BUFFER = 4096
"""Samples that nn~ collects before it calls the model, unless told otherwise."""
PD_BLOCK = 64
"""What Pd computes at a time; a threaded nn~ is late by two buffers less one of these."""


def _in_hosts(bundle: Bundle) -> dict[str, Any]:
    """What one meets in nn~ (Max, Pd) and nn.ar: methods, attributes, delays. Empty for a file they do not play."""
    module, info = bundle.module, bundle.info
    if not hasattr(module, "get_methods"):
        return {}
    methods = {name: [int(n) for n in getattr(module, f"{name}_params")] for name in module.get_methods()}
    smallest = max(PD_BLOCK, *(ratio for params in methods.values() for ratio in params[1::2]))
    buffers = [b for b in (smallest, 4 * smallest, NN_BUFFER) if b <= NN_BUFFER]
    delays = {b: 2 * b - PD_BLOCK + info.algorithmic_latency_samples for b in buffers}
    return {
        "methods": {
            name: f"{inlets} in (every {into}), {outlets} out (every {out})"
            for name, (inlets, into, outlets, out) in methods.items()
        },
        "attributes": _attributes(module),
        "smallest_buffer_samples": smallest,
        "delay_in_nn~_by_buffer_ms": {str(b): 1000 * late / info.sample_rate for b, late in delays.items()},
    }


def _attributes(module: Any) -> dict[str, Any]:
    """As the file was loaded."""
    names = list(module.get_attributes()) if hasattr(module, "get_attributes") else []
    return {
        name: ", ".join(f"{v:g}" if isinstance(v, float) else str(v) for v in _values(module, name))
        for name in names
    }


def _values(module: Any, name: str) -> tuple[Any, ...]:
    values = getattr(module, f"get_{name}")()
    return tuple(values) if isinstance(values, (tuple, list)) else (values,)


def describe_run(path: Path) -> dict[str, Any]:
    """Plain values of a run folder or a checkpoint. Raises: UserError."""
    from wavevae.checkpoint import find_checkpoint, read_checkpoint
    from wavevae.families import family_of

    found = find_checkpoint(path)
    checkpoint = read_checkpoint(found)
    model, family = checkpoint.config.model, family_of(checkpoint.config)
    built = family.build(checkpoint.config)
    playing = {}
    if model.controls:
        profile = checkpoint.latents.get("profile", {})
        prior = checkpoint.latents.get("prior", {})
        playing = _as_instrument(
            model.sample_rate, model.hop_length, model.algorithmic_latency, profile, prior
        )
    return {
        "run": printable(path),
        "checkpoint": printable(found),
        "wavevae_version": checkpoint.wavevae_version,
        "spectrogram_model": None,  # a key of every run
        **family.info(checkpoint.config),
        **_rates(model.sample_rate, built.hop_length, model.n_latents),
        "bottleneck": model.bottleneck,
        "algorithmic_latency_samples": family.algorithmic_latency(checkpoint.config),
        **playing,
        **_field(built.receptive_field, model.sample_rate),
        "parameters": family.count_parameters(built, checkpoint.state),
        "steps": checkpoint.step,
        "trained_s": checkpoint.elapsed_s,
        "audio_heard_s": checkpoint.audio_s,
        "best_score": checkpoint.best_score,
        "settings": flatten(to_tree(checkpoint.config)),
        "run_notes": _notes(path),
        "origin": checkpoint.origin,
        "latents": _axes_of_run(model, checkpoint.latents),
    }


def _axes_of_run(model: ModelConfig, statistics: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Name and range of each: an instrument's in its own units, a codec's in standard deviations."""
    low, high = (list(statistics.get(name, ())) for name in ("low", "high"))
    names = model.axis_names or tuple(f"axis {i}" for i in range(len(low)))
    if model.controls:
        scale = zip(statistics.get("mean", ()), statistics.get("std", ()), strict=True)
        moved = [(m + s * a, m + s * b) for (m, s), a, b in zip(scale, low, high, strict=True)]
        low, high = [a for a, _ in moved], [b for _, b in moved]
    return [
        {"name": name, "low": float(a), "high": float(b)}
        for name, a, b in zip(names, low, high, strict=bool(low))
    ]


def _notes(run: Path) -> dict[str, Any]:
    """What RUN/config.yaml says of the run itself; empty for a bare checkpoint. Raises: UserError."""
    file = run / "config.yaml"
    if not file.is_file():
        return {}
    try:
        tree = yaml.safe_load(file.read_text(encoding="utf-8"))
        return dict(tree.get(NOTES) or {})
    except (OSError, ValueError, AttributeError, TypeError, yaml.YAMLError) as error:
        raise UserError(f"{file} is not the config.yaml of a run ({type(error).__name__})") from None


def _rates(sample_rate: int, hop_length: int, latent_dim: int) -> dict[str, Any]:
    return {
        "sample_rate": sample_rate,
        "hop_length": hop_length,
        "hop_ms": 1000 * hop_length / sample_rate,
        "frame_rate": sample_rate / hop_length,
        "latent_dim": latent_dim,
    }


def _field(samples: int, sample_rate: int) -> dict[str, Any]:
    return {"receptive_field_samples": samples, "receptive_field_ms": 1000 * samples / sample_rate}


UNITS = {
    "_hz": " Hz",
    "_ms": " ms",
    "_samples": " samples",
    "_mb": " MB",
    "sample_rate": " Hz",
    "frame_rate": "/s",
}


def _show(name: str, value: Any) -> str:
    """One line's value, with its unit."""
    if name.endswith("_s") and isinstance(value, float):
        return format_seconds(value)
    unit = next((unit for end, unit in UNITS.items() if name.endswith(end)), "")
    return _words(value) + unit


def _words(value: Any) -> str:
    """A plain value without a program's brackets: 'class, files 12', '50 to 62', '4 x 512'."""
    if isinstance(value, Mapping):
        parts = [f"{str(key).replace('_', ' ')} {_words(item)}" for key, item in value.items()]
        return "; ".join(parts) or "none"
    if isinstance(value, (list, tuple)):
        if len(value) > 1 and all(item == value[0] for item in value):
            return f"{len(value)} x {_words(value[0])}"
        return ", ".join(map(_words, value)) or "none"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _numbered(names: list[str]) -> str:
    """Each with the number that `class` takes it by."""
    return ", ".join(f"{number} {name}" for number, name in enumerate(names))


SHORT = (
    *(
        "model_file",
        "run",
        "checkpoint",
        "spectrogram_model",
        "sample_rate",
        "hop_length",
        "hop_ms",
        "latent_dim",
    ),
    *(
        "bottleneck",
        "algorithmic_latency_ms",
        "latency",
        "corpus",
        "labels",
        "attributes",
        "steps",
        "trained_s",
    ),
    *("smallest_buffer_samples", "delay_in_nn~_by_buffer_ms", "latents"),
)
"""What a player must know: shown unless --all asks for the rest."""
SHORT_AXES = 12


def shortened(values: Mapping[str, Any]) -> dict[str, Any]:
    """What fits on a screen."""
    kept = {name: values[name] for name in SHORT if name in values}
    if kept.get("latency"):
        kept.pop("algorithmic_latency_ms", None)  # is part of it
    if kept.get("attributes"):
        kept["attributes"] = ", ".join(kept["attributes"])
    return {**kept, "latents": values["latents"][:SHORT_AXES]}


def more(values: Mapping[str, Any], path: Path) -> str:
    """What to type for the rest."""
    left = len(values["latents"]) - SHORT_AXES
    axes = f"{left} more axes, " if left > 0 else ""
    return f"{axes}settings and origin: {shown('info', path, '--all')}"


def to_text(values: Mapping[str, Any]) -> str:
    """For people: a line a value, then a row a latent axis."""
    lines = []
    for name, value in values.items():
        if name == "latents" or value in (None, [], {}):
            continue
        label = name.replace("_", " ")
        for suffix in (" samples", " ms", " mb", " s"):
            label = label.removesuffix(suffix)
        if name == "labels":
            value = {kind: names if kind == "pitch" else _numbered(names) for kind, names in value.items()}
        if isinstance(value, Mapping):
            lines.append(f"{label}:")
            unit = "_ms" if name.endswith("_ms") else ""
            lines += [f"  {key:<28}{_show(key + unit, item)}" for key, item in value.items()]
        else:
            lines.append(f"{label:<22}{_show(name, value)}")
    axes = values["latents"]
    if axes:
        lines.append(_heading([axis["name"] for axis in axes]))
        width = max(len(axis["name"]) for axis in axes)
        lines += [
            f"  {i:>3}  {axis['name']:<{width}}  {_span(axis)}"
            + (f"  {axis['share']:6.1%} of the variance" if axis.get("share") else "")
            for i, axis in enumerate(axes)
        ]
    return "\n".join(lines)


def _span(axis: Mapping[str, Any]) -> str:
    """From low to high; with a unit where there is one, else with a sign."""
    low, high, unit = axis["low"], axis["high"], NATURAL.get(axis["name"])
    return f"{low:+.2f} to {high:+.2f}" if unit is None else f"{low:.2f} to {high:.2f}{unit}"


NATURAL = {"pitch": " MIDI", "loudness": " dB", "periodicity": " (0 noise, 1 tone)"}
"""Units of an instrument's controls."""


def _heading(names: list[str]) -> str:
    """Of the table of latents."""
    within = "1 % to 99 % of the training data lie within"
    if "loudness" in names:
        return f"latents ({within}; those without a unit are learned and vary about 0):"
    within = within.replace("the training data", "them")
    return f"latents (standard deviations of the training data, 0 = mean; {within}):"


def main(argv: list[str]) -> int:
    """Entry point of `wavevae info`."""
    parser = Parser(
        "info",
        "Say what a run folder, a checkpoint or a MODEL.ts is: rates, latents and their ranges, delay, origin.",
        "  wavevae info mine.ts\n  wavevae info runs/mine --all\n  wavevae info runs/mine --json",
    )
    parser.add_argument("what", metavar="RUN|MODEL.ts", type=Path, help="what `train` or `export` wrote")
    parser.add_argument(
        "--sr",
        type=parse_sample_rate,
        metavar="HZ",
        help="rate of a file of another program, which does not say it",
    )
    parser.add_argument("--all", action="store_true", help="also settings, origin, sizes, and every axis")
    parser.add_argument("--json", action="store_true", help="for programs: one object")
    arguments = parser.parse_args(argv)
    path = model_file(arguments.what, runs=True)
    is_run = path.is_dir() or path.suffix == ".ckpt"
    values = describe_run(path) if is_run else describe_model_file(path, arguments.sr)
    if arguments.json:
        print(json.dumps(values, indent=1))
    elif arguments.all:
        print(to_text(values))
    else:
        print(f"{to_text(shortened(values))}\n{more(values, path)}")
    return 0
