"""The ring, the snapshots and the callback: nobody waits, everything lost is counted once."""

from __future__ import annotations

import multiprocessing
import threading
from types import SimpleNamespace

import numpy as np
import pytest

from wavevae.realtime.live.audio_process import FADE_SAMPLES, Callback, MissingCallbacks
from wavevae.realtime.live.shared_memory import TAPE_SAMPLES, Count, DeckCount, Shared, Snapshot

CONTEXT = multiprocessing.get_context("spawn")
BLOCK, RATE = 128, 22050


@pytest.fixture
def shared() -> Shared:
    return Shared(CONTEXT, 2, BLOCK)


def call(callback: Callback, status: object = None) -> np.ndarray:
    out = np.full((BLOCK, 2), np.nan, np.float32)
    callback(out, BLOCK, None, status)
    return out


def test_blocks_come_out_in_order_and_no_more_go_in_than_fit(shared: Shared) -> None:
    for round_number in range(5):
        for n in range(2):
            assert not shared.deck.ring.full
            shared.deck.ring.put(np.full(BLOCK, 2 * round_number + n, np.float32))
        assert shared.deck.ring.full
        for n in range(2):
            assert (shared.deck.ring.front() == 2 * round_number + n).all()
            shared.deck.ring.drop()
    assert shared.deck.ring.filled == 0


def test_a_snapshot_is_read_whole_while_it_is_written() -> None:
    snapshot = Snapshot(CONTEXT)
    assert snapshot.read()[0] == len(snapshot.read()[1]) == 0
    snapshot.write(np.zeros(50))
    done = threading.Event()

    def write() -> None:
        for n in range(1, 20_000):
            snapshot.write(np.full(50, float(n)))
        done.set()

    thread = threading.Thread(target=write)
    thread.start()
    seen = [snapshot.read()[1]]
    while not done.is_set():
        seen.append(snapshot.read()[1])
    thread.join()
    assert all((values == values[0]).all() for values in seen)
    assert [v[0] for v in seen] == sorted(v[0] for v in seen)
    version, values = snapshot.read()
    assert (version, values[0]) == (20_000, 19_999)


def test_the_callback_plays_each_block_once_on_every_channel(shared: Shared) -> None:
    callback = Callback(shared, RATE)
    block = np.random.default_rng(0).standard_normal(BLOCK).astype(np.float32)
    shared.deck.ring.put(block)
    out = call(callback)
    np.testing.assert_array_equal(out, np.stack([block, block], 1))
    assert (shared.counts[Count.CALLBACKS], shared.counts[Count.EMPTY]) == (1, 0)


def test_an_empty_ring_is_counted_and_neither_end_of_the_gap_clicks(shared: Shared) -> None:
    callback = Callback(shared, RATE)
    level = np.full(BLOCK, 0.5, np.float32)
    shared.deck.ring.put(level)
    audio = [call(callback), call(callback), call(callback)]
    shared.deck.ring.put(level)
    audio.append(call(callback))
    assert shared.counts[Count.EMPTY] == 2
    whole = np.concatenate(audio)
    assert np.isfinite(whole).all()
    assert np.abs(np.diff(whole, axis=0)).max() <= 0.5 / FADE_SAMPLES + 1e-6
    assert not whole[BLOCK + FADE_SAMPLES : 3 * BLOCK].any()
    assert (whole[-10:] == 0.5).all()


def test_what_the_device_reports_is_counted(shared: Shared) -> None:
    callback = Callback(shared, RATE)
    call(callback, SimpleNamespace(output_underflow=True))
    call(callback, SimpleNamespace(output_underflow=False))
    assert shared.counts[Count.DEVICE_UNDERFLOWS] == 1


def fill(shared: Shared, deck: int, level: float) -> None:
    while not shared.decks[deck].ring.full:
        shared.decks[deck].ring.put(np.full(BLOCK, level, np.float32))


def test_another_deck_comes_in_with_equal_power_and_nothing_clicks(shared: Shared) -> None:
    callback = Callback(shared, RATE)
    audio = []
    for number in range(60):
        fill(shared, 0, 0.5)
        if number >= 10:
            fill(shared, 1, -0.5)
            shared.counts[Count.WANTED] = 1
        audio.append(call(callback))
    whole = np.concatenate(audio)[:, 0]
    assert shared.counts[Count.DECK] == 1
    assert (whole[: 10 * BLOCK] == 0.5).all()
    assert (whole[-20 * BLOCK :] == -0.5).all()
    assert np.abs(np.diff(whole)).max() < 0.001
    assert shared.counts[Count.EMPTY] == 0
    taken = shared.decks[0].counts[DeckCount.TAKEN]
    fill(shared, 1, -0.5)
    call(callback)
    assert shared.decks[0].counts[DeckCount.TAKEN] == taken  # nobody reads the old deck any more


def test_the_tape_holds_what_was_played_round_its_end(shared: Shared) -> None:
    callback = Callback(shared, RATE)
    shared.counts[Count.TAPED] = TAPE_SAMPLES - BLOCK // 2
    block = np.random.default_rng(0).standard_normal(BLOCK).astype(np.float32)
    shared.deck.ring.put(block)
    call(callback)
    np.testing.assert_array_equal(shared.tape[-BLOCK // 2 :], block[: BLOCK // 2])
    np.testing.assert_array_equal(shared.tape[: BLOCK // 2], block[BLOCK // 2 :])


def test_one_input_block_is_given_for_each_that_is_taken(shared: Shared) -> None:
    callback = Callback(shared, RATE)
    heard = np.stack([np.full(BLOCK, 0.25), np.full(BLOCK, 0.75)], 1).astype(np.float32)
    out = np.zeros((BLOCK, 2), np.float32)
    callback(out, BLOCK, None, None, heard)  # a gap: the input that belongs to it is lost, not late
    assert shared.counts[Count.INPUT_BLOCKS] == 0
    shared.deck.ring.put(np.zeros(BLOCK, np.float32))
    callback(out, BLOCK, None, None, heard)
    assert shared.counts[Count.INPUT_BLOCKS] == 1
    assert (shared.input_block(0) == 0.5).all()


PERIOD = 512 / 22050


def missing(times: np.ndarray) -> int:
    clock = MissingCallbacks(PERIOD)
    for number, moment in enumerate(times):
        clock.feed(number, float(moment))
    clock.end_window()
    return clock.count


def test_steady_late_drifting_and_bunched_callbacks_are_not_missing() -> None:
    steady = np.arange(2000) * PERIOD
    random = np.random.default_rng(0)
    assert missing(steady) == 0
    assert missing(steady + 0.6 * PERIOD * random.random(2000)) == 0
    assert missing(steady * (1 + 300e-6)) == 0
    assert missing(np.repeat(steady[::4], 4)) == 0
    late = steady.copy()
    late[700] += 3 * PERIOD
    late[701:704] = late[700]
    assert missing(late) == 0


def test_a_stall_is_as_many_missing_callbacks_as_it_took() -> None:
    times = np.arange(2000) * PERIOD
    times[500:] += 289 * PERIOD
    times[1500:] += PERIOD
    times += 0.2 * PERIOD * np.random.default_rng(0).random(2000)
    assert missing(times) == 290
