"""What can be set: frozen dataclasses of plain values that refuse nonsense in the user's words.

A run is resolved from a preset (YAML values), then files, then `--set key=value`, later ones winning.
"""

from __future__ import annotations

import dataclasses
import importlib
from argparse import ArgumentTypeError
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, get_type_hints

import yaml

from wavevae.adversarial_config import AdversarialConfig
from wavevae.checks import require, require_known
from wavevae.cli import parse_sample_rate
from wavevae.errors import UserError, nearest
from wavevae.model_config import ModelConfig, check_family

KL_SCHEDULES = ("constant", "linear", "cosine", "logistic", "cyclical")
COMMITMENT_RULES = ("fixed", "variance")
RATE_RULES = ("sqrt", "linear", "none")
SPLITS = ("own", "file", "note")
RESIDENT = ("auto", "always", "never")
STARTS = ("linear", "random")
NOTES = "run"
"""The section of RUN/config.yaml that tells where a run comes from; nothing in it is a setting."""


@dataclass(frozen=True)
class DataConfig:
    """How files become chunks."""

    chunk_seconds: float = 1.0
    """Length of a training chunk, s."""
    overlap: float = 0.5
    """Share of a chunk that the next one on the grid covers, 0 up to (not including) 1."""
    validation_share: float = 0.1
    """Share of the files held out for validation."""
    split: str = "own"
    """own (an NSynth set's own folders, else by file), file, or note (an instrument's note is held out whole)."""
    resident: str = "auto"
    """Sounds as int16 on the device, chunks cut and changed there: always, never, auto (on a GPU, where they fit)."""
    loudness: str = "keep"
    """keep, or peak (every file scaled to a peak of -1 dBFS)."""
    gain_db: float = 0.0
    """Augmentation: gain drawn from plus or minus this, dB."""
    polarity: float = 0.5
    """Augmentation: probability of a flipped sign."""
    phase: float = 0.0
    """Augmentation: probability of a random all-pass filter."""
    pitch_semitones: float = 0.0
    """Augmentation: pitch drawn from plus or minus this, by resampling, semitones."""
    class_field: str = ""
    """Label that names the class; none: `class` (the first-level folder), or NSynth's instrument_family."""
    label_dropout: float = 0.1
    """Probability that a chunk is learned as if it had no label, class and pitch apart."""
    tied_semitones: float = 4.0
    """Pitch condition: the encoder hears each chunk moved by up to this; the decoder gives it unmoved."""
    tied_gain_db: float = 0.0
    """The encoder hears each chunk louder or softer by up to this; the decoder gives it unchanged, dB."""
    overfit: int = 0
    """Above 0: learn so many chunks by heart, unchanged, and validate on the same: a test of model and recipe."""

    def __post_init__(self) -> None:
        require(0 < self.chunk_seconds <= 60, "chunk", self.chunk_seconds, "use seconds above 0, up to 60")
        require(
            0 <= self.overlap < 1, "overlap", self.overlap, "use a fraction from 0 up to (not including) 1"
        )
        require(0 <= self.validation_share < 1, "validation_share", self.validation_share, "use 0 up to 1")
        require_known("split", self.split, SPLITS)
        require_known("resident", self.resident, RESIDENT)
        require(self.loudness in ("keep", "peak"), "loudness", self.loudness, "use keep or peak")
        require(0 <= self.gain_db <= 60, "gain_db", self.gain_db, "use 0 to 60 dB")
        require(0 <= self.polarity <= 1, "polarity", self.polarity, "use a probability, 0 to 1")
        require(0 <= self.phase <= 1, "phase", self.phase, "use a probability, 0 to 1")
        require(0 <= self.pitch_semitones <= 24, "pitch_semitones", self.pitch_semitones, "use 0 to 24")
        require(0 <= self.label_dropout <= 1, "label_dropout", self.label_dropout, "use 0 to 1")
        require(0 <= self.tied_semitones <= 24, "tied_semitones", self.tied_semitones, "use 0 to 24")
        require(0 <= self.tied_gain_db <= 60, "tied_gain_db", self.tied_gain_db, "use 0 to 60 dB")
        require(self.overfit >= 0, "overfit", self.overfit, "use a number of chunks, e.g. 32")


WEIGHTS = (
    "mr_stft",
    "mr_stft_end",
    "log_mel",
    "log_mel_end",
    "waveform_l1",
    "waveform_l1_end",
    "kl",
    "hop_evenness",
    "named_axes",
)
"""The weights of ObjectiveConfig."""


@dataclass(frozen=True)
class ObjectiveConfig:
    """What is minimised: weight x raw number, summed."""

    mr_stft: float = 1.0
    """Weight, at the start, of the multi-resolution STFT distance."""
    mr_stft_end: float = 1.0
    """The same at the end of the budget; in between, half a cosine."""
    n_ffts: tuple[int, ...] = (512, 1024, 2048)
    """Its transform lengths, samples; windows and hops follow from them."""
    log_mel: float = 2.0
    """Weight, at the start, of the multi-scale log-mel L1 distance."""
    log_mel_end: float = 8.0
    """The same at the end of the budget."""
    mel_windows: tuple[int, ...] = (1024, 2048, 4096)
    """Its window lengths, samples."""
    waveform_l1: float = 3.0
    """Weight, at the start, of the L1 distance between waveforms, relative to the target's mean magnitude."""
    waveform_l1_end: float = 1.0
    """The same at the end of the budget: partials are kept in place first, spectra refined after."""
    hop_evenness: float = 0.0
    """Weight of what is locked to the hop: high-frequency energy by place in the hop, output against target."""
    named_axes: float = 0.1
    """instrument: weight of what holds brightness and noisiness to their names."""
    kl: float = 1e-4
    """Weight of the KL divergence at the end of its schedule (beta max)."""
    kl_schedule: str = "linear"
    """constant, linear, cosine, logistic or cyclical: how the weight of the KL rises."""
    kl_warm_up: float = 0.3
    """Share of the budget over which it rises; cyclical: of one cycle, half of it rising."""
    kl_cycles: int = 3
    """Cyclical: how often it rises."""
    kl_baseline: float = 0.0
    """Share of beta max that it starts from."""
    free_bits: float = 0.5
    """Nats a latent dimension and frame that cost nothing."""
    kl_top: float = 1e-4
    """Two levels: the same six of the slow one; nats a frame, so a held latent's are divided by its frames."""
    kl_top_schedule: str = "linear"
    kl_top_warm_up: float = 0.3
    kl_top_cycles: int = 3
    kl_top_baseline: float = 0.0
    free_bits_top: float = 0.125
    commitment: float = 0.25
    """vq, rvq: weight of the distance from encodings to their codes."""
    commitment_rule: str = "variance"
    """fixed, or variance: the distance is divided by the variance of the encodings."""
    evenness: float = 0.0
    """vq, rvq: weight of the unevenness of the codes' use, nats."""

    def __post_init__(self) -> None:
        for name in (*WEIGHTS, "free_bits", "kl_top", "free_bits_top", "commitment", "evenness"):
            require(getattr(self, name) >= 0, name, getattr(self, name), "use 0 or more")
        distances = self.mr_stft_end + self.log_mel_end + self.waveform_l1_end
        name = "mr_stft_end + log_mel_end + waveform_l1_end"
        require(distances > 0, name, distances, "give one of them a weight above 0")
        for name in ("kl_warm_up", "kl_baseline", "kl_top_warm_up", "kl_top_baseline"):
            require(0 <= getattr(self, name) <= 1, name, getattr(self, name), "use a share, 0 to 1")
        require_known("commitment_rule", self.commitment_rule, COMMITMENT_RULES)
        for level in ("kl", "kl_top"):
            self._check_schedule(level)

    def _check_schedule(self, level: str) -> None:
        """Raises: UserError for a schedule that is not known or does not fit into the budget."""
        schedule, cycles = getattr(self, f"{level}_schedule"), getattr(self, f"{level}_cycles")
        require_known(f"{level}_schedule", schedule, KL_SCHEDULES)
        require(cycles >= 1, f"{level}_cycles", cycles, "use 1 or more")
        used = cycles * getattr(self, f"{level}_warm_up")
        fits = schedule != "cyclical" or used <= 1
        require(
            fits, f"{level}_cycles x {level}_warm_up", f"{used:g}", "the cycles must fit into the budget, 1"
        )


@dataclass(frozen=True)
class TrainConfig:
    """How it is minimised, and for how long."""

    max_time_s: float | None = 600.0
    """Wall-clock budget, s; none: only max_steps counts."""
    max_steps: int | None = None
    """Optimiser steps; none: only max_time_s counts."""
    batch_size: int = 4
    """Chunks a step, on each device."""
    learning_rate: float = 5e-4
    """At the top of its schedule."""
    rate_rule: str = "sqrt"
    """sqrt, linear or none: how the learning rate grows with the number of processes."""
    start: str = "linear"
    """linear (the best linear codec of the corpus, in closed form) or random (needs 2e-3 and patience)."""
    trunk_rate: float = 0.2
    """Share of the learning rate for the layers that a linear start sets."""
    code_rate: float = 0.05
    """vq, rvq with a linear start: further share of it for all that is in front of the codes, encoder included."""
    warm_up: float = 0.02
    """Share of the budget over which the learning rate rises."""
    warm_up_steps: int = 50
    """Steps over which it rises at the least, however short the run; 0: only warm_up counts."""
    ema_decay: float = 0.999
    """Decay a step of the averaged weights that are exported; 0 for none."""
    gradient_clip: float = 1.0
    """Largest gradient norm let through."""
    weight_decay: float = 0.0
    """AdamW's decoupled decay."""
    compile: bool = False
    """Encoder and decoder are compiled (torch.compile), which takes a minute or two at the start."""
    validate_every: int = 200
    """Steps from one validation to the next."""
    seed: int = 0
    """Decides the split, the weights at the start, the order, the augmentation."""

    def __post_init__(self) -> None:
        if self.max_time_s is None and self.max_steps is None:
            raise UserError("neither max_time_s nor max_steps is set; give --max-time or --max-steps")
        if self.max_time_s is not None:
            require(self.max_time_s > 0, "max_time", self.max_time_s, "use a time above 0, e.g. 10m")
        if self.max_steps is not None:
            require(self.max_steps > 0, "max_steps", self.max_steps, "use 1 or more")
        require(self.batch_size > 0, "batch_size", self.batch_size, "use 1 or more")
        require(
            self.learning_rate > 0, "learning_rate", self.learning_rate, "use a number above 0, e.g. 5e-4"
        )
        require_known("rate_rule", self.rate_rule, RATE_RULES)
        if self.start not in STARTS:
            raise UserError(f"unknown start '{self.start}'; {nearest(self.start, STARTS)}")
        require(0 < self.trunk_rate <= 1, "trunk_rate", self.trunk_rate, "use a share above 0, up to 1")
        require(0 < self.code_rate <= 1, "code_rate", self.code_rate, "use a share above 0, up to 1")
        require(0 <= self.warm_up <= 1, "warm_up", self.warm_up, "use a share, 0 to 1")
        require(self.warm_up_steps >= 0, "warm_up_steps", self.warm_up_steps, "use 0 or more steps")
        require(self.gradient_clip > 0, "gradient_clip", self.gradient_clip, "use a norm above 0")
        require(self.validate_every > 0, "validate_every", self.validate_every, "use 1 or more")
        require(0 <= self.ema_decay < 1, "ema_decay", self.ema_decay, "use 0 up to (not including) 1")


PLUGGED_SECTIONS = {"reference": ("wavevae.studies.study_config", "StudyConfig")}
"""Sections of model families that are plugged in (wavevae.families): module and class, which may have a `check`."""


def plugged_section(name: str) -> type:
    """The class of such a section."""
    module, cls = PLUGGED_SECTIONS[name]
    found: type = getattr(importlib.import_module(module), cls)
    return found


@dataclass(frozen=True)
class RunConfig:
    """A whole run, as written to RUN/config.yaml."""

    model: ModelConfig = field(default_factory=ModelConfig)
    data: DataConfig = field(default_factory=DataConfig)
    objective: ObjectiveConfig = field(default_factory=ObjectiveConfig)
    adversarial: AdversarialConfig = field(default_factory=AdversarialConfig)
    train: TrainConfig = field(default_factory=TrainConfig)
    reference: Any = field(default_factory=plugged_section("reference"))

    def __post_init__(self) -> None:
        for name in PLUGGED_SECTIONS:
            getattr(self, name).check(vars(self))
        check_family(self.model, vars(self))


SECTIONS: dict[str, type] = {f.name: f.default_factory for f in dataclasses.fields(RunConfig)}  # type: ignore[misc]


def full_key(key: str) -> str:
    """'latent_dim' or 'model.latent_dim' -> 'model.latent_dim'. Raises: UserError for an unknown key."""
    known = {f"{s}.{f.name}": f.name for s, cls in SECTIONS.items() for f in dataclasses.fields(cls)}
    matches = [full for full, bare in known.items() if key in (full, bare)]
    if len(matches) != 1:
        raise UserError(f"unknown key '{key}'; {nearest(key, [*known, *known.values()])}")
    return matches[0]


def _coerce(key: str, value: Any, wanted: Any) -> Any:
    """A YAML value as the field's type. Raises: UserError when it cannot be."""
    text = str(wanted)
    try:
        if value is None and "None" in text:
            return None
        if "tuple" in text:
            kind = str if "str" in text else int
            if isinstance(value, str) and kind is int:
                value = value.strip("()[]").split(",")  # as it is typed: ratios=4,4
            items = value if isinstance(value, (list, tuple)) else [value]
            return tuple(kind(item) for item in items)
        if wanted is bool:
            if not isinstance(value, bool):
                raise ValueError
            return value
        if key.rpartition(".")[2] == "sample_rate":
            return parse_sample_rate(str(value))
        if text.startswith("<class 'int'") or text.startswith("int"):
            if float(value) != int(value):
                raise ValueError
            return int(value)
        if "float" in text:
            return float(value)
        return str(value)
    except (TypeError, ValueError, ArgumentTypeError):
        wants = "whole numbers, like 4,4" if "tuple" in text else getattr(wanted, "__name__", text)
        raise UserError(f"{key} is {value!r}; it must be {wants}") from None


def override(config: RunConfig, values: Mapping[str, Any]) -> RunConfig:
    """A copy with some keys ('section.field' or an unambiguous 'field') changed. Raises: UserError."""
    changes: dict[str, dict[str, Any]] = {}
    for key, value in values.items():
        section, name = full_key(key).split(".")
        wanted = get_type_hints(SECTIONS[section])[name]
        changes.setdefault(section, {})[name] = _coerce(key, value, wanted)
    parts = {s: dataclasses.replace(getattr(config, s), **c) for s, c in changes.items()}
    return dataclasses.replace(config, **parts)


def flatten(tree: Mapping[str, Any]) -> dict[str, Any]:
    """{'model': {'fold': 16}} -> {'model.fold': 16}. Raises: UserError where a section is no mapping."""
    flat: dict[str, Any] = {}
    for section, values in tree.items():
        if section not in SECTIONS:
            raise UserError(f"unknown section '{section}'; {nearest(section, SECTIONS)}")
        if not isinstance(values, Mapping):
            raise UserError(f"section '{section}' is {values!r}; it must hold key: value lines")
        flat.update({f"{section}.{name}": value for name, value in values.items()})
    return flat


def parse_yaml(text: str, origin: str) -> dict[str, Any]:
    """YAML text -> flat keys. Raises: UserError naming the file and line."""
    try:
        tree = yaml.safe_load(text) or {}
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f", line {mark.line + 1}" if mark else ""
        raise UserError(f"{origin}{line}: not valid YAML; fix it or leave --config out") from None
    if not isinstance(tree, dict):
        raise UserError(f"{origin} holds {type(tree).__name__}; it must hold sections (model:, data:, ...)")
    return flatten({k: v for k, v in tree.items() if k != NOTES})


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
    """The reverse of `to_tree`. Raises: UserError on what this version does not know."""
    return override(RunConfig(), flatten({k: v for k, v in tree.items() if k in SECTIONS}))
