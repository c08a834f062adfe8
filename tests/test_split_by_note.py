"""Known instruments, unknown notes: what is held out of a labelled set, and that evaluation finds it again."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from wavevae.train.arguments import parse, resolve

from wavevae.corpus import Item, Store, split
from wavevae.errors import UserError


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


def test_it_is_a_setting() -> None:
    assert resolve(parse(["--set", "split=note"])).data.split == "note"
    with pytest.raises(UserError, match="unknown split 'notes'; did you mean 'note'"):
        resolve(parse(["--set", "split=notes"]))
