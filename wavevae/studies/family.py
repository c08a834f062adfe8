"""The studies' spectrogram models as a model family. Light: torch and the rest are imported where they are used."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from wavevae.errors import UserError
from wavevae.families import ModelFamily, located
from wavevae.studies.study_config import StudyConfig

if TYPE_CHECKING:
    from wavevae.config import RunConfig

WAVEFORM_SECTIONS: Mapping[str, tuple[str, ...]] = {
    "model": ("sample_rate", "latent_dim", "bottleneck", "condition", "classes"),
    "objective": ("kl", "kl_schedule", "kl_warm_up", "kl_cycles", "kl_baseline", "free_bits"),
    "adversarial": (),
}
"""Sections of waveform models, and which of their settings a spectrogram model uses."""


class Study(ModelFamily):
    """A model of spectrogram windows. It does not stream: a run is rendered as it is."""

    name = "study"
    title = "a spectrogram model"
    own_settings = ("study",)
    model = "wavevae.studies.spectrogram_model:SpectrogramModel"
    training = "wavevae.train.study_module:StudyModule"
    evaluation = "wavevae.studies.study_run:StudyRun"
    streams = False
    renders_runs = True

    def claims(self, run: RunConfig) -> bool:
        return self.settings(run).in_use

    def settings(self, run: RunConfig) -> StudyConfig:
        """The family's own section."""
        settings: StudyConfig = run.study
        return settings

    def build(self, run: RunConfig) -> Any:
        return located(self.model)(run)  # needs torchaudio

    def objectives(self, run: RunConfig) -> Any:
        from wavevae.studies.feature_loss import make_objectives

        return make_objectives(run)

    def uses(self, key: str) -> bool:
        section, name = key.split(".")
        return section not in WAVEFORM_SECTIONS or name in WAVEFORM_SECTIONS[section]

    def refuse_streaming(self, run: RunConfig) -> None:
        raise UserError(
            f"this is a spectrogram model ({self.settings(run).spectrogram}): it neither streams nor exports; hear it "
            "with `wavevae render RUN --input IN.wav -o OUT.wav`"
        )

    def latency(self, run: RunConfig) -> str:
        return f"{self.settings(run).spectrogram} windows, does not stream"

    def algorithmic_latency(self, run: RunConfig) -> int | None:
        return None

    def count_parameters(self, model: Any, state: Mapping[str, Any]) -> int:
        """Parameters of the model; most of its state are the fixed matrices of its features."""
        return sum(parameter.numel() for parameter in model.parameters())

    def info(self, run: RunConfig) -> dict[str, Any]:
        return {"spectrogram_model": self.settings(run).spectrogram}

    def render(self, argv: list[str]) -> int:
        from wavevae.studies.render_study import main

        return main(argv)
