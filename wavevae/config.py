"""What can be set: frozen dataclasses of plain values, whose docstrings are the help of the settings.

A run is resolved from a preset (YAML values), then files, then `--set key=value`, later ones winning.
"""

from __future__ import annotations

import dataclasses
import importlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Annotated, Any, Literal

import yaml

from wavevae.errors import UserError, nearest
from wavevae.model_config import ModelConfig
from wavevae.settings import Count, Fraction, Lengths, Positive, Section, Weight, number, types_of

NOTES = "run"
"""The section of RUN/config.yaml that tells where a run comes from; nothing in it is a setting."""
OLD_NAMES = {
    "reference": "study",
    "adversarial_from": "adversarial_start",
    "code_rate": "pre_quantizer_lr_scale",
    "discriminator_rate": "discriminator_learning_rate",
    "evenness": "codebook_entropy_weight",
    "hop_evenness": "hop_modulation_loss",
    "rate_rule": "lr_scaling",
    "rate_schedule": "lr_schedule",
    "resident": "cache_on_device",
    "start": "init",
    "tied_gain_db": "encoder_gain_db",
    "tied_semitones": "encoder_pitch_shift",
    "told": "labels_to",
    "trunk_rate": "linear_init_lr_scale",
}
"""Earlier names of sections and settings, which are still read, and what they are called now."""
Schedule = Literal["constant", "linear", "cosine", "logistic", "cyclical"]
Decibels = Annotated[float, number("dB", ge=0, le=60)]
Semitones = Annotated[float, number("semitones", ge=0, le=24)]
Scale = Annotated[float, number(gt=0, le=1)]
BelowOne = Annotated[float, number(ge=0, lt=1)]


@dataclass(frozen=True)
class DataConfig(Section):
    """How files become chunks."""

    chunk_seconds: Annotated[float, number("s", gt=0, le=60)] = 1.0
    """Length of a training chunk."""
    overlap: BelowOne = 0.5
    """Fraction of a chunk that the next one on the grid covers."""
    validation_share: BelowOne = 0.1
    """Fraction of the files that is held out for validation."""
    split: Literal["own", "file", "note"] = "own"
    """own (an NSynth set's own folders, else by file), file, or note (an instrument's note is held out whole)."""
    cache_on_device: Literal["auto", "always", "never"] = "auto"
    """Keep the sounds as int16 on the device and cut and change chunks there; auto: on a GPU, where they fit."""
    loudness: Literal["keep", "peak"] = "keep"
    """keep, or peak (every file is scaled to a peak of -1 dBFS)."""
    gain_db: Decibels = 0.0
    """Augmentation: the gain is drawn from plus or minus this."""
    polarity: Fraction = 0.5
    """Augmentation: probability of a flipped sign."""
    phase: Fraction = 0.0
    """Augmentation: probability of a random all-pass filter."""
    pitch_semitones: Semitones = 0.0
    """Augmentation: the pitch is drawn from plus or minus this, by resampling."""
    class_field: str = ""
    """Label that names the class; none: `class` (the first-level folder), or NSynth's instrument_family."""
    label_dropout: Fraction = 0.1
    """Probability that a chunk is learned without its label, for class and pitch separately."""
    encoder_pitch_shift: Semitones = 4.0
    """Pitch condition: the encoder gets each chunk shifted by up to this; the decoder must give it unshifted."""
    encoder_gain_db: Decibels = 0.0
    """The encoder gets each chunk louder or softer by up to this; the decoder must give it unchanged."""
    overfit: Annotated[int, number("chunks", ge=0)] = 0
    """Above 0: train and validate on the same few chunks, unchanged: a test of model and settings."""


@dataclass(frozen=True)
class ObjectiveConfig(Section):
    """What is minimised: the sum of weight x raw number."""

    mr_stft: Weight = 1.0
    """Weight, at the start, of the multi-resolution STFT distance."""
    mr_stft_end: Weight = 1.0
    """The same at the end of the budget; in between, half a cosine."""
    n_ffts: Lengths = (512, 1024, 2048)
    """Its transform lengths; windows and hops follow from them."""
    log_mel: Weight = 2.0
    """Weight, at the start, of the multi-scale log-mel L1 distance."""
    log_mel_end: Weight = 8.0
    """The same at the end of the budget."""
    mel_windows: Lengths = (1024, 2048, 4096)
    """Its window lengths."""
    waveform_l1: Weight = 3.0
    """Weight, at the start, of the L1 distance between waveforms, relative to the target's mean magnitude."""
    waveform_l1_end: Weight = 1.0
    """The same at the end of the budget: partials are kept in place first, spectra refined after."""
    hop_modulation_loss: Weight = 0.0
    """Weight of high-frequency energy that is modulated at the hop rate, output against target."""
    named_axes: Weight = 0.1
    """instrument: weight of what holds brightness and noisiness to their names."""
    kl: Weight = 1e-4
    """Weight of the KL divergence at the end of its schedule (beta max)."""
    kl_schedule: Schedule = "linear"
    """How the weight of the KL rises."""
    kl_warm_up: Fraction = 0.3
    """Fraction of the budget over which it rises; cyclical: of one cycle, half of it rising."""
    kl_cycles: Count = 3
    """cyclical: how often it rises."""
    kl_baseline: Fraction = 0.0
    """Fraction of beta max that it starts from."""
    free_bits: Annotated[float, number("nats", ge=0)] = 0.5
    """KL a latent dimension and frame that costs nothing."""
    kl_top: Weight = 1e-4
    """hvae: kl of the slow level, for nats a frame, so a held latent's are divided by its frames."""
    kl_top_schedule: Schedule = "linear"
    """hvae: kl_schedule of the slow level."""
    kl_top_warm_up: Fraction = 0.3
    """hvae: kl_warm_up of the slow level."""
    kl_top_cycles: Count = 3
    """hvae: kl_cycles of the slow level."""
    kl_top_baseline: Fraction = 0.0
    """hvae: kl_baseline of the slow level."""
    free_bits_top: Annotated[float, number("nats", ge=0)] = 0.125
    """hvae: free_bits of the slow level."""
    commitment: Weight = 0.25
    """vq, rvq: weight of the distance from encodings to their codes."""
    commitment_rule: Literal["fixed", "variance"] = "variance"
    """fixed, or variance: the distance is divided by the variance of the encodings."""
    codebook_entropy_weight: Weight = 0.0
    """vq, rvq: weight of the uneven use of the codes, nats below the highest entropy."""

    def check(self) -> None:
        if not self.mr_stft_end + self.log_mel_end + self.waveform_l1_end > 0:
            raise UserError(
                "mr_stft_end + log_mel_end + waveform_l1_end is 0; give one of them a weight above 0"
            )
        for level in ("kl", "kl_top"):
            used = getattr(self, f"{level}_cycles") * getattr(self, f"{level}_warm_up")
            if getattr(self, f"{level}_schedule") == "cyclical" and used > 1:
                raise UserError(
                    f"{level}_cycles x {level}_warm_up is {used:g}; the cycles must fit into the budget, 1"
                )


@dataclass(frozen=True)
class AdversarialConfig(Section):
    """A discriminator that learns to tell output from original, and its weight in the model's loss.

    The two weights are relative: 0.1 means that at the waveform the gradient of the term is a tenth of that of all
    distances together.
    """

    adversarial: Weight = 0.0
    """Weight of the adversarial loss relative to all distances; 0, and no feature_matching: no discriminator."""
    feature_matching: Weight = 0.0
    """Weight of the difference between the features of its layers, relative to all distances."""
    adversarial_start: Fraction = 0.5
    """Fraction of the budget from which on there is a discriminator."""
    adversarial_warm_up: Fraction = 0.1
    """Fraction of the budget, from there on, over which both weights rise: a new discriminator knows nothing yet."""
    adversarial_trains: Literal["all", "decoder"] = "all"
    """all, or decoder: from adversarial_start on the encoder and the latents stay as they are."""
    discriminator_n_ffts: Annotated[
        tuple[Annotated[int, number("samples", ge=32, multiple_of=4)], ...], number(min_length=1)
    ] = (256, 512, 1024)
    """Transform lengths of its spectra; one discriminator each."""
    discriminator_channels: Count = 8
    """Channels of its layers."""
    discriminator_seconds: Annotated[float, number("s", gt=0)] = 0.5
    """How much of each chunk it gets a step, at a random place; the whole chunk where that is shorter."""
    discriminator_learning_rate: Positive = 5e-3
    """Its learning rate, from its first step to its last."""

    @property
    def on(self) -> bool:
        """Whether a discriminator is asked for at all."""
        return self.adversarial > 0 or self.feature_matching > 0


@dataclass(frozen=True)
class TrainConfig(Section):
    """How it is minimised, and for how long."""

    max_time_s: Annotated[float, number("s", gt=0)] | None = 600.0
    """Wall-clock budget; none: only max_steps counts."""
    max_steps: Count | None = None
    """Optimiser steps; none: only max_time_s counts."""
    batch_size: Count = 4
    """Chunks a step, on each device."""
    learning_rate: Positive = 5e-4
    """At the top of its schedule."""
    lr_scaling: Literal["sqrt", "linear", "none"] = "sqrt"
    """How the learning rate grows with the number of processes."""
    init: Literal["linear", "random"] = "linear"
    """linear (the best linear codec of the corpus, in closed form) or random (needs 2e-3 and patience)."""
    linear_init_lr_scale: Scale = 0.2
    """Factor of the learning rate for the layers that the linear initialisation sets."""
    pre_quantizer_lr_scale: Scale = 0.05
    """vq, rvq, linear initialisation: further factor for all layers in front of the codes, the encoder included."""
    warm_up: Fraction = 0.02
    """Fraction of the budget over which the learning rate rises."""
    warm_up_steps: Annotated[int, number("steps", ge=0)] = 50
    """Steps over which it rises at the least, however short the run; 0: only warm_up counts."""
    ema_decay: BelowOne = 0.999
    """Decay a step of the averaged weights that are exported; 0 for none."""
    gradient_clip: Positive = 1.0
    """Largest gradient norm let through."""
    weight_decay: Weight = 0.0
    """AdamW's decoupled decay."""
    compile: bool = False
    """Compile encoder and decoder (torch.compile), which takes a minute or two at the start."""
    validate_every: Annotated[int, number("steps", ge=1)] = 200
    """Steps from one validation to the next."""
    prior: Literal["auto", "off"] = "auto"
    """auto: an instrument also learns how the notes of its corpus are played and what follows them; off: not."""
    prior_share: Annotated[float, number("fraction of the budget", ge=0.01, le=0.9)] = 0.2
    """Of it at its end for the prior, where it has one."""
    seed: int = 0
    """Decides the split, the weights at the start, the order, the augmentation."""

    def check(self) -> None:
        if self.max_time_s is None and self.max_steps is None:
            raise UserError("neither max_time_s nor max_steps is set; give --max-time or --max-steps")


def study_config() -> Any:
    """The section of the studies, which the core does not import (wavevae.families)."""
    return importlib.import_module("wavevae.studies.study_config").StudyConfig


@dataclass(frozen=True)
class RunConfig:
    """A whole run, as written to RUN/config.yaml."""

    model: ModelConfig = field(default_factory=ModelConfig)
    data: DataConfig = field(default_factory=DataConfig)
    objective: ObjectiveConfig = field(default_factory=ObjectiveConfig)
    adversarial: AdversarialConfig = field(default_factory=AdversarialConfig)
    train: TrainConfig = field(default_factory=TrainConfig)
    study: Any = field(default_factory=study_config())

    def __post_init__(self) -> None:
        for section in vars(self).values():
            section.check_run(self)


SECTIONS: dict[str, type] = {f.name: f.default_factory for f in dataclasses.fields(RunConfig)}  # type: ignore[misc]


@cache
def known_keys() -> dict[str, str]:
    """Every setting by its short and its full name -> its full name, 'section.field'."""
    full = [f"{section}.{name}" for section, cls in SECTIONS.items() for name in types_of(cls)]
    return {key.split(".")[1]: key for key in full} | {key: key for key in full}


def full_key(key: str, others: Iterable[str] = ()) -> str:
    """'latent_dim' or 'model.latent_dim' -> 'model.latent_dim'.

    Raises: UserError for an unknown key, with the nearest of the settings and `others`.
    """
    current = ".".join(OLD_NAMES.get(part, part) for part in key.split("."))
    if current not in known_keys():
        raise UserError(f"unknown key '{key}'; {nearest(key, [*known_keys(), *others])}")
    return known_keys()[current]


def override(config: RunConfig, values: Mapping[str, Any]) -> RunConfig:
    """A copy with some keys ('section.field' or 'field') changed. Raises: UserError."""
    changes: dict[str, dict[str, Any]] = {}
    for key, value in values.items():
        section, name = full_key(key).split(".")
        changes.setdefault(section, {})[name] = value
    parts = {s: dataclasses.replace(getattr(config, s), **c) for s, c in changes.items()}
    return dataclasses.replace(config, **parts)


def flatten(tree: Mapping[str, Any]) -> dict[str, Any]:
    """{'model': {'fold': 16}} -> {'model.fold': 16}. Raises: UserError for an unknown section or setting."""
    flat: dict[str, Any] = {}
    for section, values in tree.items():
        current = OLD_NAMES.get(section, section)
        if current not in SECTIONS:
            raise UserError(f"unknown section '{section}'; {nearest(section, SECTIONS)}")
        if not isinstance(values, Mapping):
            raise UserError(f"section '{section}' is {values!r}; it must hold key: value lines")
        flat.update({full_key(f"{current}.{name}"): value for name, value in values.items()})
    return flat


def parse_yaml(text: str, origin: str) -> dict[str, Any]:
    """YAML text of sections -> flat keys. Raises: UserError naming the file and line."""
    return flatten(
        {k: v for k, v in load_yaml(text, origin, "sections (model:, data:, ...)").items() if k != NOTES}
    )


def load_yaml(text: str, origin: str, content: str) -> dict[str, Any]:
    """A YAML mapping. Raises: UserError naming the file and line, or the content that is missing."""
    try:
        tree = yaml.safe_load(text) or {}
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f", line {mark.line + 1}" if mark else ""
        raise UserError(f"{origin}{line}: not valid YAML; fix it or leave it out") from None
    if not isinstance(tree, dict):
        raise UserError(f"{origin} holds {type(tree).__name__}; it must hold {content}")
    return tree


def parse_settings(settings: Iterable[str]) -> dict[str, Any]:
    """['lr=1e-3'] -> {'lr': 0.001}; values are read as YAML. Raises: UserError without '='."""
    values: dict[str, Any] = {}
    for setting in settings:
        key, equals, value = setting.partition("=")
        if not equals:
            raise UserError(f"--set {setting}: no '='; write --set key=value")
        values[key.strip()] = yaml.safe_load(value)
    return values


def to_tree(config: RunConfig) -> dict[str, Any]:
    """Plain nested values for YAML or a checkpoint."""
    return {
        section: {k: list(v) if isinstance(v, tuple) else v for k, v in values.items()}
        for section, values in dataclasses.asdict(config).items()
    }


def from_tree(tree: Mapping[str, Any]) -> RunConfig:
    """The reverse of `to_tree`; other sections are left out. Raises: UserError for an unknown setting."""
    return override(RunConfig(), flatten({k: v for k, v in tree.items() if OLD_NAMES.get(k, k) in SECTIONS}))
