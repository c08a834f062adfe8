"""Labels of files, from folders and from NSynth's fields; what is missing is counted, what cannot be is refused."""

import math
from pathlib import Path
from typing import Any

import pytest

from wavevae.config import ModelConfig
from wavevae.corpus import Item
from wavevae.corpus.labels import Label, find_labels
from wavevae.errors import UserError


def files(*labels: dict[str, Any]) -> list[Item]:
    return [Item(Path(f"{n}.wav"), 0, 100, fields, str(n)) for n, fields in enumerate(labels)]


def nsynth(family: str, pitch: Any) -> dict[str, Any]:
    return {"instrument_family": len(family), "instrument_family_str": family, "pitch": pitch, "velocity": 25}


NOTES = files(nsynth("organ", 60), nsynth("bass", 33), nsynth("bass", 40), {})
BOTH = ModelConfig(condition="class+pitch")


def test_an_unconditional_model_is_told_nothing() -> None:
    assert find_labels(NOTES, ModelConfig()) is None


def test_families_and_pitches_of_nsynth() -> None:
    labels = find_labels(NOTES, BOTH)
    assert labels is not None
    assert (labels.field, labels.classes) == ("instrument_family", ("bass", "organ"))
    assert [labels.of(item) for item in NOTES[:3]] == [Label(1, 60.0), Label(0, 33.0), Label(0, 40.0)]
    assert labels.of(NOTES[3]).class_number == -1
    assert math.isnan(labels.of(NOTES[3]).pitch)


def test_only_what_is_asked_for_is_told() -> None:
    by_class, by_pitch = (find_labels(NOTES, ModelConfig(condition=c)) for c in ("class", "pitch"))
    assert by_class is not None
    assert by_pitch is not None
    assert math.isnan(by_class.of(NOTES[0]).pitch)
    assert by_pitch.of(NOTES[0]) == Label(-1, 60.0)


def test_folders_are_classes() -> None:
    labels = find_labels(files({"class": "kick"}, {"class": "snare"}, {}), ModelConfig(condition="class"))
    assert labels is not None
    assert (labels.field, labels.classes) == ("class", ("kick", "snare"))


def test_another_field_can_be_the_class() -> None:
    items = files({**nsynth("bass", 40), "velocity": 50}, *(item.labels for item in NOTES))
    labels = find_labels(items, ModelConfig(condition="class"), "velocity")
    assert labels is not None
    assert labels.classes == ("25", "50")


def test_the_user_is_told_what_is_missing_and_what_is_too_little() -> None:
    labels = find_labels(NOTES, BOTH)
    assert labels is not None
    lines = "\n".join(labels.describe(NOTES))
    assert (
        "2 classes of instrument_family: bass 2, organ 1; 1 files without a class, learned unlabelled"
        in lines
    )
    assert "one file only of organ" in lines
    assert "pitches 33 to 60; 1 files without a pitch, learned unlabelled" in lines
    summary = labels.summary(NOTES)
    assert summary["classes"] == {"bass": 2, "organ": 1}
    assert (summary["pitch_range"], summary["without_class"], summary["without_pitch"]) == (
        [33.0, 60.0],
        1,
        1,
    )


def test_the_classes_of_a_resumed_run_stay() -> None:
    known = ModelConfig(condition="class", classes=("organ", "reed"))
    labels = find_labels(NOTES, known)
    assert labels is not None
    assert labels.classes == ("organ", "reed")
    assert [labels.of(item).class_number for item in NOTES[:2]] == [0, -1]


@pytest.mark.parametrize("value", [-1, 128, "60", None, True, math.nan])
def test_what_is_no_pitch_is_none(value: Any) -> None:
    labels = find_labels([*NOTES, *files(nsynth("bass", value))], ModelConfig(condition="pitch"))
    assert labels is not None
    assert math.isnan(labels.of(files(nsynth("bass", value))[0]).pitch)


@pytest.mark.parametrize(
    ("items", "condition", "field", "says"),
    [
        (files({}, {}), "class", "", "no file has a class; put the sounds of each class into a folder"),
        (
            files({"class": "a"}, {"class": "a"}),
            "class",
            "",
            "every file is of class 'a'; give sounds of two",
        ),
        (NOTES, "class", "velocity", "every file is of velocity '25'"),
        (NOTES, "class", "familly", "--class-field familly: no file has it; did you mean"),
        (files({}), "class", "x", "--class-field x: no file has it; no file has a label"),
        (files({"class": "a"}, {"class": "b"}), "class+pitch", "", "no file has a pitch"),
    ],
)
def test_labels_that_are_not_there_are_refused(
    items: list[Item], condition: str, field: str, says: str
) -> None:
    with pytest.raises(UserError, match=says):
        find_labels(items, ModelConfig(condition=condition), field)
