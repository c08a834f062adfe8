"""Sounds on the device: the batches are those of the CPU, whatever is done to a chunk."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_run import TINY, workplace

from wavevae.checkpoint import read_checkpoint
from wavevae.config import RunConfig, override
from wavevae.corpus import Item, Store
from wavevae.errors import UserError
from wavevae.train.__main__ import main
from wavevae.train.batches import Batch
from wavevae.train.device_batches import Recipe, Recipes, ResidentSounds, fits
from wavevae.train.training_data import TrainingData


def store() -> Store:
    """Items of many lengths, some shorter than a chunk, loud ones among them, with gaps of others' sound between."""
    rng = np.random.default_rng(0)
    samples = rng.integers(-32768, 32768, 60_000).astype(np.int16)
    items, start = [], 100
    for number, length in enumerate((5000, 300, 8000, 799, 800, 801, 12_000, 2000)):
        labels = {"class": "ab"[number % 2]} | ({"pitch": 50 + 3 * number} if number != 4 else {})
        items.append(Item(Path(f"{number}.wav"), start, length, labels, str(number)))
        start += length + 111
    return Store(samples // 2, items, 8000, "toy", [])


def data(**changes: object) -> TrainingData:
    values = {"chunk_seconds": 0.1, "batch_size": 16, "sample_rate": 8000, "validation_share": 0.0}
    return TrainingData(store(), override(RunConfig(), values | changes), rank=1, world_size=2)


@pytest.mark.parametrize(
    "changes",
    [
        {"polarity": 0.0},
        {"polarity": 0.5},
        {"gain_db": 12.0},
        {"phase": 0.5, "polarity": 0.5, "gain_db": 6.0},
        {"encoder_gain_db": 9.0},
        {"condition": "class", "encoder_gain_db": 9.0, "phase": 1.0, "label_dropout": 0.3},
        {"condition": "pitch", "encoder_pitch_shift": 4.0, "polarity": 0.5},
        {"condition": "class+pitch", "encoder_pitch_shift": 9.0, "gain_db": 6.0, "encoder_gain_db": 3.0},
        {
            "condition": "pitch",
            "encoder_pitch_shift": 4.0,
            "phase": 0.5,
            "label_dropout": 0.3,
            "gain_db": 6.0,
        },
        {"condition": "pitch", "encoder_pitch_shift": 0.0},
    ],
    ids=["plain", "polarity", "gain", "phase", "tied", "labelled", "pitched", "both", "all", "untied"],
)
def test_a_batch_cut_on_the_device_is_that_of_the_cpu(changes: dict[str, object]) -> None:
    batches = data(**changes).batches()
    resident, recipes = ResidentSounds(batches.chunks, torch.device("cpu")), Recipes(batches)
    for step in range(6):
        theirs, mine = batches.batch(step), resident.cut(recipes.batch(step))
        for name, one, other in zip(Batch._fields, mine, theirs, strict=True):
            torch.testing.assert_close(one, other, rtol=0, atol=2e-5, equal_nan=True, msg=name)


def test_only_the_sounds_that_are_learned_are_moved() -> None:
    batches = data().batches()
    resident = ResidentSounds(batches.chunks, torch.device("cpu"))
    assert resident.samples.dtype == torch.int16
    assert len(resident.samples) == sum(item.length for item in batches.chunks.items)


def test_what_needs_a_resampler_stays_on_the_cpu() -> None:
    assert data().can_be_resident
    assert data(condition="pitch").can_be_resident  # encoder_pitch_shift too
    assert not data(pitch_semitones=1.0).can_be_resident
    assert not fits(1, torch.device("cpu"))
    with pytest.raises(UserError, match="cache_on_device is always, but pitch_semitones"):
        data(cache_on_device="always", pitch_semitones=1.0)


def test_the_loader_hands_out_recipes_where_sounds_are_resident() -> None:
    module = data(cache_on_device="always")
    loader = iter(module.train_dataloader())
    recipe = next(loader)
    assert isinstance(recipe, Recipe)
    batch = module.on_after_batch_transfer(recipe, 0)
    torch.testing.assert_close(batch.audio, module.batches().batch(0).audio, rtol=0, atol=2e-6)
    del loader
    plain = data()
    assert isinstance(next(iter(plain.train_dataloader())), Batch)  # auto: no GPU, no move


def test_a_run_learns_the_same_and_says_how_long_it_waited(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with workplace(tmp_path, monkeypatch) as sounds:
        for name in ("always", "never"):
            options = (
                "--set",
                f"cache_on_device={name}",
                "--set",
                "gain_db=6",
                "--max-steps",
                "6",
                "--out",
                name,
            )
            assert main([str(sounds), *TINY, *options]) == 0
        assert capsys.readouterr().err.count("of the time spent waiting for data") == 2
        one, other = (read_checkpoint(f"{name}/checkpoints/last.ckpt") for name in ("always", "never"))
        for name, value in one.live.items():
            torch.testing.assert_close(value, other.live[name], rtol=1e-4, atol=1e-5, msg=name)
