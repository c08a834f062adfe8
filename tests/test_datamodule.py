"""Batches are a pure function of seed, step and rank; each epoch hears every chunk once."""

import itertools
import threading
from pathlib import Path

import numpy as np
import pytest
import torch

from wavevae.augment import Augmenter
from wavevae.config import DataConfig, RunConfig, override
from wavevae.corpus import Chunks, Item, Store
from wavevae.train.batches import Batch, Batches
from wavevae.train.training_data import BatchStream, FixedChunks, TrainingData, spread

RATE = 8000
EVERYTHING = DataConfig(chunk_seconds=0.1, gain_db=6, polarity=0.5, phase=0.5, pitch_semitones=3)


def toy_store(count: int = 12, length: int = 2000) -> Store:
    """`count` items; every sample of the store is different from its neighbours and traceable by value."""
    samples = np.arange(count * length).astype(np.int16)
    items = [Item(Path(f"{i}.wav"), i * length, length, key=str(i)) for i in range(count)]
    return Store(samples, items, RATE, "toy", [])


def make(store: Store, config: DataConfig = EVERYTHING, **options: int) -> Batches:
    chunks = Chunks(store, store.items, 800, 0.5)
    return Batches(chunks, Augmenter(config, RATE), **({"batch_size": 4, "seed": 1} | options))


def test_a_batch_has_the_shape_of_audio() -> None:
    batch = make(toy_store()).batch(3).audio
    assert batch.shape == (4, 1, 800)
    assert batch.dtype == torch.float32
    assert batch.is_contiguous()


def test_a_batch_depends_on_seed_step_and_rank_only() -> None:
    store = toy_store()
    first, second = make(store), make(store)
    for step in (7, 0, 19, 7):  # in any order, however many were made before
        torch.testing.assert_close(first.batch(step).audio, second.batch(step).audio, rtol=0, atol=0)
    assert not torch.equal(first.batch(7).audio, first.batch(8).audio)
    assert not torch.equal(first.batch(7).audio, make(store, seed=2).batch(7).audio)
    ranks = [make(store, rank=rank, world_size=2).batch(7).audio for rank in (0, 1)]
    assert not torch.equal(*ranks)


@pytest.mark.parametrize(("world", "batch"), [(1, 4), (2, 4), (3, 5)])
def test_every_epoch_hears_every_chunk_once_over_all_ranks(world: int, batch: int) -> None:
    store = toy_store()
    ranks = [make(store, rank=rank, world_size=world, batch_size=batch) for rank in range(world)]
    count = len(ranks[0].chunks)
    steps = -(-3 * count // (world * batch))
    stream = [i for step in range(steps) for rank in ranks for i, _ in rank.places(step)]
    epochs = [stream[e * count : (e + 1) * count] for e in range(3)]
    for epoch in epochs:
        assert sorted(epoch) == list(range(count))
    assert epochs[0] != epochs[1] != epochs[2]
    assert ranks[0].steps_an_epoch == count / (world * batch)


def test_the_start_moves_within_half_a_grid_step_and_stays_in_the_file() -> None:
    store = toy_store()
    plain = DataConfig(chunk_seconds=0.1, polarity=0.0)
    batches = make(store, plain)
    moved = set()
    for step in range(60):
        for (index, _), chunk in zip(batches.places(step), batches.batch(step).audio, strict=True):
            start = round(float(chunk[0, 0]) * 32768)
            item = batches.chunks.item(index)
            assert item.start <= start <= item.start + item.length - 800
            assert abs(start - int(batches.chunks.starts[index])) <= 200
            moved.add(start - int(batches.chunks.starts[index]))
    assert len(moved) > 60
    assert min(moved) < -150
    assert max(moved) > 150


def test_a_corpus_smaller_than_a_batch_is_enough() -> None:
    store = toy_store(1, 300)
    batches = make(store)
    assert batches.batch(0).audio.shape == (4, 1, 800)
    assert [index for index, _ in batches.places(0)] == [0, 0, 0, 0]
    with pytest.raises(ValueError, match="no chunks"):
        Batches(Chunks(store, [], 800, 0.5), Augmenter(EVERYTHING, RATE), 4, 0)


def test_the_stream_goes_on_where_it_is_told_and_where_it_was() -> None:
    batches = make(toy_store())
    stream = BatchStream(batches, start_step=5)
    for step, batch in enumerate(itertools.islice(stream, 6), start=5):
        assert torch.equal(batch.audio, batches.batch(step).audio)
    assert torch.equal(next(iter(stream)).audio, batches.batch(11).audio)


def test_the_stream_leaves_no_thread_behind() -> None:
    threads = threading.active_count()
    stream = iter(BatchStream(make(toy_store())))
    next(stream)
    assert threading.active_count() == threads + 1
    stream.close()  # type: ignore[attr-defined]
    assert threading.active_count() == threads


def test_an_error_in_the_thread_reaches_the_one_who_waits() -> None:
    class Broken(Batches):
        def batch(self, step: int) -> Batch:
            raise OSError("the disk is gone")

    store = toy_store()
    broken = Broken(Chunks(store, store.items, 800, 0.5), Augmenter(EVERYTHING, RATE), 4, 0)
    with pytest.raises(OSError, match="the disk is gone"):
        next(iter(BatchStream(broken)))


def test_fixed_chunks_are_spread_evenly_over_the_items() -> None:
    store = toy_store()
    chunks = Chunks(store, store.items, 800, 0.0)  # 3 an item
    fixed = FixedChunks(chunks, spread(len(chunks), 12))
    assert {int(chunks.item_of[i]) for i in fixed.chosen} == set(range(12))
    assert torch.equal(fixed[3].audio, torch.from_numpy(chunks.read(fixed.chosen[3]))[None])
    assert spread(len(chunks), 1000) == list(range(len(chunks)))


def run_config(**changes: float) -> RunConfig:
    values = {"chunk_seconds": 0.1, "batch_size": 4, "validation_share": 0.25, "gain_db": 6.0, "seed": 3}
    return override(RunConfig(), values | changes)


def test_the_datamodule_trains_and_validates_on_different_files() -> None:
    module = TrainingData(toy_store(), run_config(), start_step=2)
    keys = {i.key for i in module.train_items}, {i.key for i in module.validation_items}
    assert len(keys[0]) == 9
    assert len(keys[1]) == 3
    assert not keys[0] & keys[1]
    loader = iter(module.train_dataloader())
    assert torch.equal(next(loader).audio, module.batches().batch(2).audio)
    del loader
    validation = list(module.val_dataloader())
    assert sum(len(batch.audio) for batch in validation) == 9
    assert validation[0].audio.shape == (4, 1, 800)
    for batch, again in zip(validation, module.val_dataloader(), strict=True):
        assert torch.equal(batch.audio, again.audio)


def test_without_held_out_files_learned_ones_are_validated() -> None:
    module = TrainingData(toy_store(), run_config(validation_share=0.0))
    assert module.validation_chunks.chunks.items == module.train_items
    assert len(module.train_items) == 12


def test_ranks_of_the_datamodule_share_the_epoch() -> None:
    parts = [TrainingData(toy_store(), run_config(), rank=r, world_size=2).batches() for r in (0, 1)]
    one, other = ({index for index, _ in part.places(0)} for part in parts)
    assert not one & other


def test_chunk_length_is_the_seconds_asked() -> None:
    module = TrainingData(toy_store(), run_config(chunk_seconds=0.0625))
    assert module.batches().batch(0).audio.shape == (4, 1, 500)
