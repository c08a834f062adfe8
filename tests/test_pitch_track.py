"""Pitches of a corpus: found once, kept beside the decoded sounds, each at its moment."""

from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from sound_folder import noise

import wavevae.corpus.pitch_track as module
from wavevae.console import silent
from wavevae.corpus.cache import FORMAT_VERSION
from wavevae.corpus.pitch_track import pitch_track, voiced_share
from wavevae.errors import UserError
from wavevae.nn.pitch import PitchTracker, loudness_db

RATE, HOP = 16000, 256


def tone(pitch: float, samples: int) -> np.ndarray:
    phase = 2 * np.pi * 440 * 2 ** ((pitch - 69) / 12) * np.arange(samples) / RATE
    return (0.2 * sum(np.sin(k * phase) / k for k in range(1, 6))).astype(np.float32)


def write(folder: Path, **sounds: np.ndarray) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, x in sounds.items():
        soundfile.write(folder / f"{name}.wav", x, RATE, subtype="PCM_16")
    return folder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Lengths that are no multiples of the hop, one shorter than a hop, twenty so that groups are used."""
    notes = {f"note{i:02d}": tone(45 + i, 9000 + 1000 * i) for i in range(20)}
    return write(tmp_path / "in", **notes, short=tone(60, 200), long=tone(50, 5 * RATE), wind=noise(RATE))


@pytest.fixture
def tracking(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How often pitches were really found."""
    calls: list[int] = []
    real = module._track

    def spy(store, *rest):
        calls.append(len(store.items))
        return real(store, *rest)

    monkeypatch.setattr(module, "_track", spy)
    return calls


def test_frames_describe_their_samples(folder: Path, tmp_path: Path, build) -> None:
    """Equal to the tracker on each sound alone, its latency taken out and zeros after the end."""
    store = build(folder, sample_rate=RATE)
    track = pitch_track(store, HOP, tmp_path / "cache", silent)
    assert track.counts.sum() == track.values.shape[1]
    tracker = PitchTracker(RATE, HOP)
    late = tracker.latency_samples // HOP
    for index, item in enumerate(store.items):
        frames = -(-item.length // HOP)
        x = torch.zeros((frames + late) * HOP)
        x[: item.length] = torch.from_numpy(store.samples[item.start :][: item.length] / 32768)
        alone = tracker(x[None, None])[0, :, late:].numpy()
        np.testing.assert_allclose(track.item(index), alone, atol=1e-5)
        level = loudness_db(x[None, None], HOP, tracker.latency_samples)[0, 0, late:].numpy()
        begin = track.starts[index]
        np.testing.assert_allclose(track.values[2, begin : begin + frames], level, atol=1e-3)
        if item.path.stem.startswith("note"):
            middle = track.item(index)[:, 8:-8]
            np.testing.assert_allclose(middle[0], 45 + int(item.path.stem[4:]), atol=0.02)


def test_pitches_are_found_once(folder: Path, tmp_path: Path, build, tracking: list[int]) -> None:
    store = build(folder, sample_rate=RATE)
    first = pitch_track(store, HOP, tmp_path / "cache", silent)
    again = pitch_track(build(folder, sample_rate=RATE), HOP, tmp_path / "cache", silent)
    assert len(tracking) == 1
    np.testing.assert_array_equal(first.values, again.values)
    pitch_track(store, 128, tmp_path / "cache", silent)
    assert len(tracking) == 2
    assert not list((tmp_path / "cache").rglob("*.part"))


def test_other_names_in_another_order_get_their_own_pitches(
    tmp_path: Path, build, tracking: list[int]
) -> None:
    low, high = tone(45, RATE), tone(80, RATE // 2)
    one = build(write(tmp_path / "one", a=low, b=high), sample_rate=RATE)
    other = build(write(tmp_path / "other", a=high, b=low), sample_rate=RATE)
    assert one.content_hash == other.content_hash
    tracks = [pitch_track(store, HOP, tmp_path / "cache", silent) for store in (one, other)]
    assert len(tracking) == 1
    np.testing.assert_array_equal(tracks[0].item(0), tracks[1].item(1))
    np.testing.assert_array_equal(tracks[0].item(1), tracks[1].item(0))


def test_a_broken_file_is_found_anew(folder: Path, tmp_path: Path, build, tracking: list[int]) -> None:
    store = build(folder, sample_rate=RATE)
    values = np.array(pitch_track(store, HOP, tmp_path / "cache", silent).values)
    (path,) = (tmp_path / "cache").rglob("*.npy")
    for broken in (path.read_bytes()[:1000], b"", b"no array"):
        path.write_bytes(broken)
        np.testing.assert_array_equal(pitch_track(store, HOP, tmp_path / "cache", silent).values, values)
    assert len(tracking) == 4


def test_progress_ends_at_the_end(folder: Path, tmp_path: Path, build) -> None:
    told: list[float] = []
    store = build(folder, sample_rate=RATE)
    pitch_track(store, HOP, tmp_path / "cache", lambda what, share, words: told.append(share))
    assert told == sorted(told)
    assert told[-1] == 1.0
    assert 0 < told[0] < 1


def test_where_nothing_can_be_written_it_says_so(folder: Path, tmp_path: Path, build) -> None:
    store = build(folder, sample_rate=RATE)
    (tmp_path / "cache" / f"v{FORMAT_VERSION}" / "pitch").write_text("in the way")
    with pytest.raises(UserError, match="WAVEVAE_CACHE"):
        pitch_track(store, HOP, tmp_path / "cache", silent)


def test_the_voiced_share_tells_notes_from_wind(tmp_path: Path, build) -> None:
    silence = np.zeros(RATE, np.float32)
    shares = {}
    for name, x in {
        "notes": np.concatenate([tone(50, RATE), silence, tone(62, RATE)]),
        "wind": noise(2 * RATE),
        "half": np.concatenate([tone(50, RATE), 0.3 * noise(RATE)]),
    }.items():
        store = build(write(tmp_path / name, x=x), sample_rate=RATE)
        shares[name] = pitch_track(store, HOP, tmp_path / "cache", silent).voiced_share
    assert shares["notes"] > 0.95
    assert shares["wind"] == 0
    assert 0.4 < shares["half"] < 0.6
    assert voiced_share(np.ones(9), np.full(9, -100.0)) == 0
