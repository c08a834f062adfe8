"""What can be typed after `wavevae train`, and the plan it comes to: a new run, or an old one that goes on."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from wavevae.accelerator import add_accelerator_option
from wavevae.cli import Parser, expanded, shell_word
from wavevae.config import SECTIONS, RunConfig, flatten, full_key, override, parse_settings, parse_yaml
from wavevae.errors import UserError, nearest
from wavevae.families import Codec, family_of
from wavevae.settings import docs_of, settings_help

from .budget import Budget, parse_time
from .processes import chosen_folder, is_first
from .run_folder import RunFolder, new_folder

if TYPE_CHECKING:
    from wavevae.checkpoint import Checkpoint

DESCRIPTION = """\
Learn an instrument from sounds: folder(s), files or an NSynth-layout set -> a run folder.
Without DATA it trains on the built-in demo corpus. Ctrl-C saves; --resume goes on."""

EXAMPLE = """\
  wavevae train recordings/ --sr 22050 --max-time 10m --out runs/mine
  wavevae train --resume --out runs/mine --max-time 30m     # longer, from where it was
  wavevae train --help-settings pitch                       # all settings whose name contains "pitch"
  wavevae export runs/mine -o mine.ts                       # then play it: wavevae serve mine.ts
"""

DEFAULT_PRESET = "instrument"
RENAMED_PRESETS = {
    "light": "codec",
    "default": "codec-large",
    "low-latency": "codec-low-latency",
    "studio": "codec-studio",
}
"""Earlier names of presets and what they are called now."""

OPTIONS = (
    ("sr", "HZ", "model.sample_rate"),
    ("bottleneck", "NAME", "model.bottleneck"),
    ("condition", "NAME", "model.condition"),
    ("class_field", "FIELD", "data.class_field"),
    ("latent_dim", "N", "model.latent_dim"),
    ("batch_size", "N", "train.batch_size"),
    ("chunk", "SECONDS", "data.chunk_seconds"),
    ("overlap", "FRACTION", "data.overlap"),
    ("seed", "N", "train.seed"),
    ("overfit", "N", "data.overfit"),
)
"""Options that are short names of settings, whose docs are their help: name, metavar, setting."""
SETTINGS = {name: key for name, _, key in OPTIONS}

OVERFIT_EPOCHS = 40
"""Of `--overfit`, as study A; unless a budget is given."""
OVERFIT_ZEROES = (
    "polarity",
    "phase",
    "gain_db",
    "pitch_semitones",
    "label_dropout",
    "encoder_pitch_shift",
    "encoder_gain_db",
)
"""Settings that change chunks and labels; `--overfit` sets them to 0."""
RESUMABLE = (
    "data",
    "out",
    "resume",
    "max_time",
    "max_steps",
    "accelerator",
    "deterministic",
    "devices",
    "num_nodes",
    "strategy",
    "precision",
    "rank_timeout",
)
"""What may be given beside --resume: the rest is the run's own."""


def parser() -> Parser:
    """The options of `wavevae train`."""
    p = Parser("train", DESCRIPTION, EXAMPLE)
    p.add_argument(
        "data", metavar="DATA", nargs="*", type=Path, help="folder(s) or files; none: the demo corpus"
    )
    p.add_argument(
        "--out", type=Path, metavar="RUN", help="run folder to make (default: runs/NAME-DATE-TIME)"
    )
    p.add_argument(
        "--preset", metavar="NAME", help=f"{', '.join(preset_names())} (default: {DEFAULT_PRESET})"
    )
    p.add_argument("--max-time", metavar="TIME", help="wall-clock to train, like 10m or 1h30m")
    p.add_argument(
        "--max-steps", type=int, metavar="N", help="steps to train; with --max-time: whichever ends first"
    )
    p.add_argument("--resume", action="store_true", help="go on with the run in --out, with its own settings")
    add_settings(p.add_argument_group("settings (default: the preset's)"))
    add_machine_options(p.add_argument_group("machine (handed to Lightning's Trainer)"))
    return p


def add_settings(settings: argparse._ArgumentGroup) -> None:
    """The options that are settings, and where more settings come from."""
    for name, metavar, key in OPTIONS:
        section, field = key.split(".")
        option = f"--{name.replace('_', '-')}"
        settings.add_argument(option, metavar=metavar, help=docs_of(SECTIONS[section])[field])
    settings.add_argument(
        "--config", type=Path, metavar="FILE", help="YAML of settings, e.g. another run's config.yaml"
    )
    settings.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="any setting; may be repeated"
    )
    settings.add_argument(
        "--help-settings",
        nargs="?",
        const="",
        metavar="PART",
        help="show all settings with the preset's values, units and limits; PART: those whose name contains it",
    )


def add_machine_options(machine: argparse._ArgumentGroup) -> None:
    """Options of Lightning's Trainer."""
    add_accelerator_option(machine)
    machine.add_argument("--devices", metavar="N", help="how many, or which: 2, auto, 0,1 (default: 1)")
    machine.add_argument("--num-nodes", type=int, metavar="N", help="machines (default: 1)")
    machine.add_argument("--strategy", metavar="NAME", help="auto, ddp, ... (default: auto)")
    machine.add_argument(
        "--precision", metavar="P", help="32-true, bf16-mixed, ... (default: bf16-mixed on a GPU that has it)"
    )
    machine.add_argument(
        "--deterministic",
        action="store_true",
        default=None,
        help="the same bits again on the same GPU, also when resumed; slower",
    )
    machine.add_argument(
        "--rank-timeout",
        metavar="TIME",
        help="how long to wait for a process that does not answer (default: 5m)",
    )


def parse(argv: list[str]) -> argparse.Namespace:
    """Raises: UserError for what does not go together."""
    args = parser().parse_args(argv)
    if args.help_settings is not None:
        values = preset_values(args.preset or DEFAULT_PRESET)
        print(settings_help(vars(override(RunConfig(), values)), args.help_settings))
        raise SystemExit(0)
    args.devices = parse_devices(args.devices)
    if args.resume:
        if args.out is None:
            raise UserError("--resume needs the run to go on with: --out RUN")
        given = [k for k, v in vars(args).items() if v not in (None, []) and k not in RESUMABLE]
        if given:
            option = "--" + given[0].replace("_", "-")
            raise UserError(f"{option} cannot change a run that is resumed; leave it out or start a new run")
    return args


def parse_devices(text: str | None) -> int | str | list[int] | None:
    """'2', 'auto', '0,1' as Lightning wants them; none where nothing was typed. Raises: UserError."""
    if text is None or text == "auto":
        return text
    try:
        devices: int | list[int] = [int(d) for d in text.split(",") if d] if "," in text else int(text)
    except ValueError:
        devices = 0
    if devices == 0:
        raise UserError(f"--devices is '{text}'; give a number from 1, a list like 0,1 or auto")
    return devices


def _presets() -> dict[str, Traversable]:
    folder = files(__package__) / "presets"
    return {f.name.removesuffix(".yaml"): f for f in folder.iterdir() if f.name.endswith(".yaml")}


def preset_names() -> list[str]:
    """Every preset there is."""
    return sorted(_presets())


def preset_values(name: str) -> dict[str, Any]:
    """The settings of a preset and of the one that it extends.

    Raises: UserError with the new or the nearest name for an unknown one.
    """
    presets = _presets()
    if name in RENAMED_PRESETS:
        raise UserError(f"unknown preset '{name}'; it is now called {RENAMED_PRESETS[name]}")
    if name not in presets:
        raise UserError(f"unknown preset '{name}'; {nearest(name, presets)}")
    tree = yaml.safe_load(presets[name].read_text(encoding="utf-8"))
    inherited = preset_values(tree.pop("extends")) if "extends" in tree else {}
    return inherited | flatten(tree)


def file_values(path: Path) -> dict[str, Any]:
    """The settings of a YAML file. Raises: UserError where it cannot be read.

    One that sets what only codecs have, and names no family, is of a codec: runs of earlier versions.
    """
    try:
        values = parse_yaml(path.read_text(encoding="utf-8"), str(path))
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not a text file"
        raise UserError(f"--config {path}: {reason}; give a YAML file of settings") from None
    of_codec = any(key.startswith("model.") and key in values for key in Codec.own_settings)
    return {"model.family": "codec", **values} if of_codec else values


def budget_values(args: argparse.Namespace) -> dict[str, Any]:
    """A budget that was typed replaces the preset's whole: --max-steps alone is not cut off by a time."""
    if args.max_time is None and args.max_steps is None:
        return {}
    seconds = None if args.max_time is None else parse_time(args.max_time)
    return {"train.max_time_s": seconds, "train.max_steps": args.max_steps}


def without_overlap(values: dict[str, Any], typed: dict[str, Any]) -> dict[str, Any]:
    """A preset's overlap of hops is for models without pitches: partials fade by themselves."""
    has_pitch = "pitch" in str(typed.get("model.condition", values.get("model.condition")))
    return {**values, "model.hop_overlap": 0} if has_pitch else values


def resolve(args: argparse.Namespace) -> RunConfig:
    """Preset, then --config, then options, then --set; later ones win. Raises: UserError."""
    values = preset_values(args.preset or DEFAULT_PRESET)
    if args.config is not None:
        values |= file_values(args.config)
    typed = {key: getattr(args, name) for name, key in SETTINGS.items() if getattr(args, name) is not None}
    typed |= budget_values(args)
    typed |= {full_key(key): value for key, value in parse_settings(args.set).items()}
    config = override(RunConfig(), without_overlap(values, typed) | typed)
    family_of(config).check_typed(typed)
    return apply_overfit(config, bool(budget_values(args)))


def apply_overfit(config: RunConfig, has_budget: bool) -> RunConfig:
    """Config overrides for `--overfit`: chunks as they are, a validation an epoch, OVERFIT_EPOCHS without a budget."""
    chunks = config.data.overfit
    if not chunks:
        return config
    steps = max(1, round(chunks / config.train.batch_size))
    values: dict[str, Any] = {f"data.{name}": 0.0 for name in OVERFIT_ZEROES}
    values["train.validate_every"] = steps
    if not has_budget:
        values |= {"train.max_time_s": None, "train.max_steps": OVERFIT_EPOCHS * steps}
    return override(config, values)


@dataclass(frozen=True)
class Plan:
    """A run about to start."""

    config: RunConfig
    folder: RunFolder
    inputs: tuple[Path, ...]
    """Folders and files; none: the demo corpus."""
    preset: str
    fresh: bool
    """The folder is to be made."""
    resumed: Checkpoint | None = None
    remarks: tuple[str, ...] = ()
    """What the user should know of how this came about."""

    @property
    def wants_prior(self) -> bool:
        """Whether a prior is trained after the model."""
        config = self.config
        return config.train.prior != "off" and family_of(config).has_prior and not config.data.overfit

    def budget(self) -> Budget:
        """Of the model; the prior's time is left out."""
        train = self.config.train
        share = 1.0 - train.prior_share if self.wants_prior else 1.0
        return Budget(None if train.max_time_s is None else share * train.max_time_s, train.max_steps)

    def prior_budget(self) -> Budget:
        """In seconds, or where the run's is in steps alone in steps, of which the prior has as large a share."""
        train = self.config.train
        if train.max_time_s is not None:
            return Budget(train.prior_share * train.max_time_s, None)
        share = train.prior_share / (1.0 - train.prior_share)
        return Budget(None, max(1, round(share * (train.max_steps or 0))))

    @property
    def model_is_done(self) -> bool:
        """Whether the model's budget was used up by earlier sittings."""
        if self.resumed is None:
            return False
        budget = self.budget()
        budget.start(self.resumed.elapsed_s)
        return budget.progress(self.resumed.step) >= 1.0


def make_plan(args: argparse.Namespace) -> Plan:
    """Raises: UserError for whatever cannot be, before anything is touched."""
    return plan_resumed(args) if args.resume else plan_fresh(args)


def plan_fresh(args: argparse.Namespace) -> Plan:
    """A new run. Raises: UserError where --out exists, a setting is unknown or out of range."""
    config = resolve(args)
    folder = RunFolder(Path(args.out or chosen_folder() or new_folder(args.data)))
    if is_first():
        folder.must_be_new()
    return Plan(config, folder, tuple(args.data), args.preset or DEFAULT_PRESET, fresh=is_first())


def plan_resumed(args: argparse.Namespace) -> Plan:
    """An old run, from last.ckpt; from its beginning where it was killed before the first one was written.

    Raises: UserError where there is no run, its checkpoint is unusable, or its budget is used up.
    """
    from wavevae.checkpoint import read_checkpoint  # loads torch

    folder = RunFolder(args.out)
    folder.must_be_a_run()
    config, notes = folder.read_config()
    checkpoint = read_checkpoint(folder.last) if folder.last.is_file() else None
    remarks = [f"from step {checkpoint.step}" if checkpoint else "no checkpoint yet: from the beginning"]
    asked = override(config, budget_values(args))
    if asked != config:
        before, after = (Budget(c.train.max_time_s, c.train.max_steps) for c in (config, asked))
        remarks.append(f"budget {after} instead of {before}; the schedules follow it")
    inputs = _inputs(args.data, [expanded(p) for p in notes.get("inputs", [])], folder.path)
    plan = Plan(asked, folder, inputs, str(notes.get("preset", "")), False, checkpoint, tuple(remarks))
    if checkpoint is not None:
        _must_fit(plan, checkpoint)
    return plan


def _inputs(given: Sequence[Path], remembered: Sequence[Path], folder: Path) -> tuple[Path, ...]:
    """DATA given again wins (it may have moved). Raises: UserError where the remembered is gone."""
    if given:
        return tuple(given)
    for path in remembered:
        if not path.exists():
            raise UserError(
                f"the run's data is no longer at {path}; say where it is: wavevae train DATA --resume --out "
                f"{shell_word(folder)}"
            )
    return tuple(remembered)


def _must_fit(plan: Plan, checkpoint: Checkpoint) -> None:
    """Raises: UserError where config.yaml and last.ckpt are of different models, or nothing is left to do."""
    if plan.config.model != checkpoint.config.model:
        raise UserError(f"{plan.folder.config} was changed: its model is not that of last.ckpt; restore it")
    if plan.model_is_done and not (plan.wants_prior and not checkpoint.latents.get("prior")):
        budget = Budget(plan.config.train.max_time_s, plan.config.train.max_steps)
        raise UserError(
            f"the budget of {plan.folder.path} ({budget}) is used up after {checkpoint.step} steps; "
            "to go on give a longer --max-time or --max-steps"
        )
