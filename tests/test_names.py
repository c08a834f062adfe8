"""Names mean the same in every Unicode form, and classes named by numbers whether text or number comes."""

import unicodedata
from pathlib import Path

import pytest

from wavevae.cli import expanded
from wavevae.controls import Refused
from wavevae.corpus.labels import class_of, find_labels
from wavevae.corpus.store import Item
from wavevae.model_config import ModelConfig
from wavevae.names import class_number, matching
from wavevae.nn.conditioning import make_condition
from wavevae.realtime.control.midi_ports import fitting
from wavevae.realtime.control.note_addresses import label_of
from wavevae.realtime.control.presets import Presets
from wavevae.realtime.model_info import ModelInfo

COMPOSED, DECOMPOSED = (unicodedata.normalize(form, "Flöte") for form in ("NFC", "NFD"))
FORMS = [(COMPOSED, DECOMPOSED), (DECOMPOSED, COMPOSED)]


@pytest.mark.parametrize(("there", "asked"), FORMS)
def test_a_name_is_found_in_either_form(tmp_path: Path, there: str, asked: str) -> None:
    assert matching(asked, ["a", there]) == there
    assert fitting([f"{there} 1", "other"], asked) == f"{there} 1"
    presets = Presets({there: {"mode": "generate"}})
    assert presets.get(asked) == {"mode": "generate"}
    presets.store(asked, {"mode": "sample"})
    assert len(presets.named) == 1
    presets.delete(asked)
    assert not presets.named
    (tmp_path / there / there).mkdir(parents=True)
    assert expanded(tmp_path / asked / asked) == tmp_path / there / there
    assert expanded(tmp_path / asked / "new.wav") == tmp_path / there / "new.wav"
    assert expanded(tmp_path / "ü") == tmp_path / "ü"


def items(*classes: str) -> list[Item]:
    return [Item(Path(f"{n}.wav"), 0, 100, {"class": name}, str(n)) for n, name in enumerate(classes)]


def test_folders_in_both_forms_are_one_class() -> None:
    model = ModelConfig(family="codec", condition="class")
    found = find_labels(items(COMPOSED, DECOMPOSED, "Oboe"), model)
    assert found is not None
    assert found.classes == (COMPOSED, "Oboe")
    assert class_of(items(DECOMPOSED)[0].labels, "class") == COMPOSED


@pytest.mark.parametrize(("there", "asked"), FORMS)
def test_models_of_either_form_know_the_class(there: str, asked: str) -> None:
    model = ModelConfig(family="codec", condition="class", classes=(there, "Oboe"))
    condition = make_condition(model, asked, None, 1)
    assert condition is not None
    assert condition.classes.tolist() == [[1.0, 0.0]]
    labels = find_labels(items(asked, "Oboe"), model)
    assert labels is not None
    assert [labels.of(item).class_number for item in items(asked, "Oboe")] == [0, 1]


def test_osc_takes_text_and_number_for_the_same_class() -> None:
    about = ModelInfo("toy.ts", "toy", 22050, 256, (), classes=("1", "2"), has_class=True)
    assert label_of(1, about) == label_of("1", about) == 0
    assert label_of("none", about) == label_of(-1, about) == -1
    for wrong in (0, "0", 3, "horn", -2):
        with pytest.raises(Refused):
            label_of(wrong, about)


def test_a_number_is_the_name_of_a_class_that_is_named_so() -> None:
    numbers = ("1", "2", "10")
    for value in (1, "1"):
        assert class_number(value, numbers) == 0
    for value in (10, "10"):
        assert class_number(value, numbers) == 2
    for value in (0, "0", 3, "3"):
        assert class_number(value, numbers) is None
    assert class_number(1, ("01", "02")) == class_number("1", ("01", "02")) == 0


def test_a_number_is_the_place_of_a_class_that_has_a_name() -> None:
    assert class_number(1, ("oboe", "flute")) == class_number("1", ("oboe", "flute")) == 1
    assert class_number(2, ("oboe", "flute")) is None
    assert class_number("horn", ("oboe", "flute")) is None
