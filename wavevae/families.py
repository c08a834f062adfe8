"""Model families: what the rest of the project asks of a kind of model, and the registry of all kinds.

A family is asked and never recognised: no module tests which class a model has. To add one, write a subclass of
`ModelFamily` in a room of its own and add its place to `PLUGGED_IN`. Families above the core (the studies) and the
parts of a family in other rooms are given by name, "module:object", and imported where they are used.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from wavevae.cli import expanded
from wavevae.errors import UserError
from wavevae.model_config import check_typed_family

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
    model: str
    """Class of the model, "module:name"."""
    training: str
    """Its training module, "module:name": class (RunConfig, Budget)."""
    evaluation: str
    """Its wrapper for evaluation, "module:name": class (model, Facts, statistics or none)."""
    streams: bool = True
    """Whether it can be exported and played, and its latents depend on the sound before."""
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

    def check_typed(self, run: RunConfig, typed: Mapping[str, Any]) -> None:
        """Raises: UserError where a setting that was typed, 'section.field', has no effect on this family."""
        from wavevae.config import PLUGGED_SECTIONS

        for key in typed:
            section, name = key.split(".")
            if section in PLUGGED_SECTIONS:
                raise UserError(f"{name} says nothing to a waveform model; leave it out")
        check_typed_family(run.model, typed)

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
    model = "wavevae.nn.model:Autoencoder"
    training = "wavevae.train.module:TrainingModule"
    evaluation = "wavevae.evaluation.model_under_test:Run"


class InstrumentFamily(ModelFamily):
    """A sound played by pitch, loudness and timbre."""

    name = "instrument"
    model = "wavevae.nn.instrument:Instrument"
    training = "wavevae.train.instrument_module:InstrumentModule"
    evaluation = "wavevae.evaluation.instrument_run:InstrumentRun"

    def restore(self, model: Any, latents: Mapping[str, Any]) -> None:
        from wavevae.corpus_profile import CorpusProfile

        if latents.get("profile"):
            model.profile = CorpusProfile.from_dict(latents["profile"])

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
