"""Known instruments, unknown notes: what is held out of a labelled set, and that evaluation finds it again."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import yaml

from wavevae import audio
from wavevae.config import RunConfig, override, to_tree
from wavevae.console import silent
from wavevae.corpus import Item, Store, build_store, split, training_report, write_report
from wavevae.errors import UserError
from wavevae.evaluation.selection import held_out
from wavevae.train.arguments import parse, resolve
from wavevae.train.training_data import TrainingData


def notes(splits: tuple[str, ...] = ("train", "train", "valid", "test")) -> Store:
    """Four instruments, each in a split of its own as NSynth has it, of six notes at three velocities."""
    items = []
    for number, part in enumerate(splits):
        for pitch in range(40, 46):
            for velocity in (25, 75, 127):
                name = f"bass_{number}-{pitch}-{velocity}"
                labels = {"instrument_str": f"bass_{number}", "pitch": pitch, "velocity": velocity}
                items.append(Item(Path(name), 10 * len(items), 10, labels, name, part))
    return Store(np.zeros(10 * len(items), np.int16), items, 8000, "notes", [])


def pairs(items: list[Item]) -> set[tuple[str, int]]:
    return {(item.labels["instrument_str"], item.labels["pitch"]) for item in items}


@pytest.mark.parametrize("seed", range(4))
def test_a_note_is_held_out_with_all_its_velocities(seed: int) -> None:
    store = notes()
    train, held = split(store, 0.25, seed, "note")
    assert len(train) + len(held) == len(store.items) == 72
    assert len(pairs(held)) == 6
    assert len(held) == 18
    assert not pairs(train) & pairs(held)
    assert {item.labels["instrument_str"] for item in train} == {f"bass_{n}" for n in range(4)}
    assert split(store, 0.25, seed, "note") == (train, held)


def test_another_seed_holds_out_other_notes() -> None:
    assert pairs(split(notes(), 0.25, 0, "note")[1]) != pairs(split(notes(), 0.25, 1, "note")[1])


def test_by_file_the_sets_own_folders_do_not_count() -> None:
    train, held = split(notes(), 0.25, 0, "file")
    assert (len(train), len(held)) == (54, 18)
    assert {item.split for item in held} == {"train", "valid", "test"}
    own = split(notes(), 0.25, 0)
    assert {item.split for item in own[0]} == {"train"}
    assert {item.split for item in own[1]} == {"valid"}


def test_nothing_is_held_out_of_a_share_of_nothing() -> None:
    assert split(notes(), 0.0, 0, "note")[1] == []
    assert len(pairs(split(notes(("train",)), 0.99, 0, "note")[0])) == 1


def test_sounds_without_labels_have_no_notes() -> None:
    store = Store(np.zeros(20, np.int16), [Item(Path("a.wav"), 0, 20, {}, "a")], 8000, "plain", [])
    with pytest.raises(UserError, match=r"split=note: a\.wav has no instrument and pitch"):
        split(store, 0.1, 0, "note")


def on_disk(folder: Path) -> Path:
    """Two instruments of four notes at two velocities in NSynth's layout, one in each split."""
    rng = np.random.default_rng(0)
    for split_name, instrument in (("train", "bass_0"), ("valid", "bass_1")):
        labels = {}
        for pitch in range(40, 44):
            for velocity in (25, 75):
                name = f"{instrument}-{pitch:03d}-{velocity:03d}"
                place = folder / split_name / "audio" / f"{name}.wav"
                audio.write(place, rng.uniform(-0.1, 0.1, 800).astype(np.float32), 8000)
                labels[name] = {"instrument_str": instrument, "pitch": pitch, "velocity": velocity}
        (folder / split_name / "examples.json").write_text(json.dumps(labels))
    return folder


def test_evaluation_judges_the_notes_that_the_run_held_out(tmp_path: Path) -> None:
    """By the run's own report, and by drawing again where the data is given."""
    folder, run = on_disk(tmp_path / "notes"), tmp_path / "run"
    settings = {"sample_rate": 8000, "split": "note", "validation_share": 0.25, "chunk_seconds": 0.1}
    config = override(RunConfig(), settings)
    store = build_store([folder], 8000, progress=silent)
    data = TrainingData(store, config)
    assert len(data.validation_items) == 4
    run.mkdir()
    (run / "config.yaml").write_text(yaml.safe_dump({**to_tree(config), "run": {"inputs": [str(folder)]}}))
    rows = training_report(store, data.train_items, data.validation_items)
    write_report(run / "data_report.csv", rows)
    assert sum(row.status == "used" for row in rows) == 16
    expected = {item.path for item in data.validation_items}
    for inputs in ([], [folder]):
        assert {source.path for source in held_out(run, inputs).sources} == expected


def test_it_is_a_setting() -> None:
    assert resolve(parse(["--set", "split=note"])).data.split == "note"
    with pytest.raises(UserError, match="unknown split 'notes'; did you mean 'note'"):
        resolve(parse(["--set", "split=notes"]))
