"""The upper bound beside a spectrogram model: what inverting the sounds' own features scores, on the same seconds."""

from __future__ import annotations

from typing import Any, NamedTuple

from wavevae.evaluation import summary
from wavevae.evaluation.embeddings import Embedding
from wavevae.evaluation.excerpts import Excerpt
from wavevae.evaluation.judge import judge
from wavevae.evaluation.model_under_test import ModelUnderTest
from wavevae.evaluation.selection import Selection
from wavevae.studies.study_run import StudyRun, UpperBound

SAID = ("mr_stft", "log_mel_l1", "si_sdr_db", "accuracy_stft", "fad")


class Bound(NamedTuple):
    """What was found."""

    figures: dict[str, Any]
    """As report.json's own, and `says`."""
    excerpts: tuple[Excerpt, ...]
    """The moments of the report, inverted."""


def upper_bound(
    subject: ModelUnderTest, selection: Selection, pairs: int, embedding: Embedding
) -> Bound | None:
    """None for a model that no inversion follows."""
    if not isinstance(subject, StudyRun):
        return None
    verdict = judge(UpperBound(subject), selection, pairs, embedding)
    verdict.measure.require_rows()
    figures: dict[str, Any] = {**summary.of_rows(verdict.measure)[0], **summary.of_clouds(verdict.measure)[0]}
    listed = ", ".join(f"{name} {figures[name]:.4g}" for name in SAID if figures[name] is not None)
    figures["says"] = f"upper bound, the sounds' own features inverted: {listed}"
    return Bound(figures, verdict.excerpts)
