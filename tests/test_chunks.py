"""Chunks cover every sample of the sounds, and nothing else."""

from pathlib import Path

import numpy as np
import pytest
from sound_folder import RATE, sounds

from wavevae import corpus
from wavevae.corpus import Chunks, Item, Store


def toy_store(lengths: list[int]) -> Store:
    """A store of noise that was never a file."""
    samples = np.random.default_rng(0).integers(-9999, 9999, sum(lengths)).astype(np.int16)
    starts = np.cumsum(lengths) - lengths
    items = [Item(Path(f"{i}"), int(s), n) for i, (s, n) in enumerate(zip(starts, lengths, strict=True))]
    return Store(samples, items, RATE, "", [])


@pytest.mark.parametrize("overlap", [0.0, 0.5, 0.75, 0.3])
def test_chunks_cover_every_sample_and_nothing_else(overlap: float) -> None:
    lengths = [1, 99, 100, 101, 149, 150, 151, 1000, 1037]
    store = toy_store(lengths)
    chunks = Chunks(store, store.items, 100, overlap)
    heard = np.zeros(len(store.samples), int)
    for index, start in enumerate(chunks.starts):
        item = chunks.item(index)
        assert item.start <= start
        assert start + 100 <= item.start + max(item.length, 100)
        heard[start : min(start + 100, item.start + item.length)] += 1
    assert heard.min() >= 1
    assert np.count_nonzero(heard) == sum(lengths) == store.seconds * RATE
    steps = np.diff(chunks.starts)[np.diff(chunks.item_of) == 0]
    assert steps.min() >= 1
    assert steps.max() <= round(100 * (1 - overlap))


def test_a_chunk_is_the_sound_padded_with_zeros_at_the_end() -> None:
    store = toy_store([70])
    chunks = Chunks(store, store.items, 100, 0.5)
    assert len(chunks) == 1
    there = store.samples.astype(np.float32) / 32768
    np.testing.assert_array_equal(chunks.read(0), np.r_[there, np.zeros(30, np.float32)])
    np.testing.assert_array_equal(chunks.read(0, jitter_samples=-9), chunks.read(0, jitter_samples=9))


def test_jitter_moves_the_start_and_stays_inside_the_file() -> None:
    store = toy_store([250, 250, 250])
    chunks = Chunks(store, store.items, 100, 0.5)
    for index in range(len(chunks)):
        item = chunks.item(index)
        for jitter in (-1000, -25, -1, 0, 1, 25, 1000):
            start = int(np.clip(chunks.starts[index] + jitter, item.start, item.start + item.length - 100))
            expected = store.samples[start : start + 100] / 32768
            np.testing.assert_array_equal(chunks.read(index, jitter), expected.astype(np.float32))


def test_pages_that_were_let_go_come_back(tmp_path: Path, build, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(corpus.chunks, "RELEASE_BYTES", 1)
    sounds(tmp_path / "in", 2)
    store = build(tmp_path / "in")
    chunks = Chunks(store, store.items, 1000, 0.0)
    for index in [*range(len(chunks)), *range(len(chunks))]:
        there = store.samples[chunks.starts[index] :][:1000] / np.float32(32768)
        np.testing.assert_array_equal(chunks.read(index), there)


def test_a_stretch_has_the_past_before_it_and_zeros_outside_the_file() -> None:
    store = toy_store([250, 250, 250])
    item = store.items[1]
    chunks = Chunks(store, [item], 100, 0.5)
    sound = store.samples[item.start :][: item.length].astype(np.float32) / 32768
    np.testing.assert_array_equal(chunks.stretch(0, 0, 30, 120), np.r_[np.zeros(30, np.float32), sound[:120]])
    np.testing.assert_array_equal(chunks.stretch(1, 0, 30, 120), sound[20:170])
    np.testing.assert_array_equal(
        chunks.stretch(len(chunks) - 1, 9, 10, 300), np.r_[np.zeros(10), sound, np.zeros(50)]
    )
