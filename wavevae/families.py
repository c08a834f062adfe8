"""Model families: what the rest of the project asks of a kind of model, and the registry of all kinds.

A family is asked and never recognised: no module tests which class a model has. To add one, write a subclass of
`ModelFamily` in a room of its own and add its place to `PLUGGED_IN`. Families above the core (the studies) and the
parts of a family in other rooms are given by name, "module:object", and imported where they are used.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from wavevae.cli import expanded
from wavevae.errors import UserError

if TYPE_CHECKING:
    from wavevae.config import RunConfig

PLUGGED_IN = ("wavevae.studies.family:Study",)
"""Families above the core."""


def located(place: str) -> Any:
    """The object that "module:name" stands for."""
    module, _, name = place.partition(":")
    return getattr(import_module(module), name)


class ModelFamily:
    """Interface, with the answers of a waveform model. Needs no torch before a model is built."""

    name: str
    title: str
    """The name with its article, for messages."""
    own_settings: tuple[str, ...] = ()
    """Sections, and settings 'section.field', that only this family has."""
    model: str
    """Class of the model, "module:name"."""
    training: str
    """Its training module, "module:name": class (RunConfig, Budget)."""
    evaluation: str
    """Its wrapper for evaluation, "module:name": class (model, Facts, statistics or none)."""
    exporter: str
    """What export asks of it, "module:name": a `wavevae.export.model_file.FamilyExporter`; of a family that streams."""
    streams: bool = True
    """Whether it can be exported and played, and its latents depend on the sound before."""
    has_prior: bool = False
    """Whether training ends with a prior over its latents (wavevae.prior)."""
    renders_runs: bool = False
    """Whether `wavevae render RUN` renders the run itself, by `render`."""

    def claims(self, run: RunConfig) -> bool:
        """Whether the configuration describes a model of this family."""
        return run.model.family == self.name

    def build(self, run: RunConfig) -> Any:
        """The model with random weights."""
        return located(self.model)(run.model)

    def restore(self, model: Any, latents: Mapping[str, Any]) -> None:
        """Give a model what its checkpoint keeps of the training latents, beside the weights."""

    def objectives(self, run: RunConfig) -> Any:
        """The loss terms and their weights, as `wavevae.objectives.losses.Objectives`."""
        from wavevae.objectives.losses import Objectives

        shape = run.model
        return Objectives(run.objective, shape.sample_rate, shape.hop_length, shape.bottleneck)

    def uses(self, key: str) -> bool:
        """Whether a setting, 'section.field', has an effect on this family."""
        others = {name for family in families() if family.name != self.name for name in family.own_settings}
        return key not in others and key.split(".")[0] not in others

    def check_typed(self, typed: Iterable[str]) -> None:
        """Raises: UserError where a setting that was typed has no effect.

        Only what is typed: a configuration written by another version may hold other defaults, and does no harm.
        """
        for key in typed:
            if not self.uses(key):
                name = key.split(".")[1]
                raise UserError(
                    f"{name} has no effect on {self.title}; leave it out, or choose another --preset"
                )

    def refuse_streaming(self, run: RunConfig) -> None:
        """Raises: UserError where the model cannot be exported."""

    def latency(self, run: RunConfig) -> str:
        """When it answers, in a few words, for the first lines of a training run."""
        return "no look-ahead"

    def algorithmic_latency(self, run: RunConfig) -> int | None:
        """Samples by which its output is late; none where it does not stream."""
        return run.model.algorithmic_latency

    def count_parameters(self, model: Any, state: Mapping[str, Any]) -> int:
        """Numbers of a checkpoint's `state`, buffers included."""
        return sum(tensor.numel() for tensor in state.values())

    def info(self, run: RunConfig) -> dict[str, Any]:
        """What `wavevae info` says of this family only."""
        return {}

    def render(self, argv: list[str]) -> int:
        """`wavevae render RUN ...`, where `renders_runs`."""
        raise AssertionError(f"{self.name} renders no runs")


class Codec(ModelFamily):
    """Any sound as it is: a convolutional autoencoder."""

    name = "codec"
    title = "a codec"
    own_settings = (
        *("model.fold", "model.ratios", "model.widths", "model.dilations", "model.hop_overlap"),
        *("data.encoder_pitch_shift", "data.encoder_gain_db"),
    )
    model = "wavevae.nn.model:Autoencoder"
    training = "wavevae.train.module:TrainingModule"
    evaluation = "wavevae.evaluation.model_under_test:Run"
    exporter = "wavevae.export.codec:CodecExporter"


class InstrumentFamily(ModelFamily):
    """A sound played by pitch, loudness and timbre."""

    name = "instrument"
    title = "an instrument"
    own_settings = (
        *("model.frames_per_second", "model.oscillators", "model.carriers", "model.carriers_highest_hz"),
        *("model.decoder_width", "model.decoder_dilations", "model.encoder_width", "model.mel_bands"),
        *("model.envelope_bands", "objective.named_axes"),
    )
    model = "wavevae.nn.instrument:Instrument"
    training = "wavevae.train.instrument_module:InstrumentModule"
    has_prior = True
    evaluation = "wavevae.evaluation.model_under_test:InstrumentRun"
    exporter = "wavevae.export.instrument:InstrumentExporter"

    def restore(self, model: Any, latents: Mapping[str, Any]) -> None:
        from wavevae.corpus_profile import CorpusProfile

        if latents.get("profile"):
            model.profile = CorpusProfile.from_dict(latents["profile"])
        if latents.get("prior"):
            from wavevae.prior.model import Prior

            model.set_prior(Prior.from_dict(latents["prior"]))

    def latency(self, run: RunConfig) -> str:
        return f"pitch heard {1000 * run.model.algorithmic_latency / run.model.sample_rate:.0f} ms late"


@functools.cache
def families() -> tuple[ModelFamily, ...]:
    """All families; those that are plugged in come first, as they may use the settings of the others."""
    return (*(located(place)() for place in PLUGGED_IN), InstrumentFamily(), Codec())


def family_of(run: RunConfig) -> ModelFamily:
    """The family of the model that a configuration describes."""
    return next(family for family in families() if family.claims(run))


def is_run(argument: str) -> bool:
    """Whether an argument of `wavevae render` names a run or a checkpoint, and not a MODEL.ts."""
    path: Path = expanded(argument)
    return (path / "checkpoints").is_dir() or (path.suffix == ".ckpt" and path.is_file())


def render_run(argv: list[str]) -> int:
    """`wavevae render RUN ...`, by the family that renders runs. Raises: UserError."""
    return next(family for family in families() if family.renders_runs).render(argv)
