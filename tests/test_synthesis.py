"""The demo corpus is in tune, at realistic levels, free of clicks and DC, the same for the same seed."""

from __future__ import annotations

import hashlib
import itertools
from pathlib import Path

import numpy as np
import pytest
import soundfile

from wavevae.errors import UserError
from wavevae.synthesis import FAMILIES, demo_corpus, write_corpus
from wavevae.synthesis.corpus import (
    MOTIFS,
    VERSION,
    Piece,
    ScoreNote,
    mark,
    perform,
    phrase,
    pitch_name,
    single,
)
from wavevae.synthesis.instruments import RATE, Trip, damping, lagrange

SECONDS = 24.0


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_corpus(tmp_path_factory.mktemp("demo") / "corpus", 22050, SECONDS)


def cents_off(sound: np.ndarray, hz: float) -> float:
    """How far the fundamental, the strongest line within a semitone, lies from `hz`."""
    steady = sound[int(0.25 * RATE) : int(1.4 * RATE)]
    size = 1 << 19
    spectrum = np.abs(np.fft.rfft(steady * np.hanning(len(steady)), size))
    line_hz = np.arange(len(spectrum)) * RATE / size
    spectrum[np.abs(np.log2(np.maximum(line_hz, 1) / hz)) > 1 / 12] = 0
    return float(1200 * np.log2(line_hz[spectrum.argmax()] / hz))


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("step", [0, 5, 10])
def test_every_instrument_is_in_tune(family: str, step: int) -> None:
    play, tonic = FAMILIES[family]
    note = ScoreNote(tonic + step, 0.0, 1.5, 0.6)
    sound = play(note.hz, note.seconds, note.velocity, np.random.default_rng(step))
    assert abs(cents_off(sound, note.hz)) < 5


@pytest.mark.parametrize("family", FAMILIES)
def test_harder_is_louder_and_brighter(family: str) -> None:
    def rms_and_centroid(velocity: float) -> tuple[float, float]:
        note = ScoreNote(FAMILIES[family][1] + 5, 0.03, 1.0, velocity)
        sound = perform(Piece("a", (note,)), family, seed=0)
        power = np.abs(np.fft.rfft(sound)) ** 2
        return float(np.sqrt(np.mean(sound**2))), float(power @ np.arange(len(power)) / power.sum())

    soft, hard = rms_and_centroid(0.3), rms_and_centroid(0.95)
    assert 8 < 20 * np.log10(hard[0] / soft[0]) < 18
    assert hard[1] > soft[1]


def test_files_are_clean_and_labelled(corpus: Path) -> None:
    assert sorted(p.name for p in corpus.iterdir()) == sorted(FAMILIES)
    total, silent, peaks = 0, 0, []
    for path in corpus.rglob("*.flac"):
        info = soundfile.info(path)
        assert (info.samplerate, info.channels, info.subtype) == (22050, 1, "PCM_16")
        sound = soundfile.read(path)[0]
        peaks.append(float(np.abs(sound).max()))
        assert 0.03 < peaks[-1] < 0.9, path
        assert abs(sound.mean()) < 1e-3, path
        assert np.abs(sound[0]) < 1e-3, path
        assert np.abs(sound[-1]) < 1e-3, path
        assert np.abs(np.diff(sound)).max() < 0.5 * peaks[-1], path  # a click would be a jump
        blocks = sound[: len(sound) // 512 * 512].reshape(-1, 512)
        silent += int(np.sum(np.mean(blocks**2, axis=1) < 1e-6))
        total += len(blocks)
    assert silent / total < 0.2
    assert max(peaks) / min(peaks) > 3
    assert SECONDS <= total * 512 / 22050 <= SECONDS + 24


def test_same_seed_same_bytes(tmp_path: Path) -> None:
    def digests(folder: Path, seed: int) -> dict[str, str]:
        write_corpus(folder, 16000, 2.0, seed)
        return {
            str(p.relative_to(folder)): hashlib.sha256(p.read_bytes()).hexdigest()
            for p in folder.rglob("*.flac")
        }

    first = digests(tmp_path / "a", 0)
    assert first == digests(tmp_path / "b", 0)
    assert set(first.values()).isdisjoint(digests(tmp_path / "c", 1).values())


def test_a_whole_corpus_is_reused_and_a_broken_one_replaced(corpus: Path) -> None:
    victim = next(corpus.rglob("*.flac"))
    stamp = {p: p.stat().st_mtime_ns for p in corpus.rglob("*.flac")}
    calls: list[int] = []
    write_corpus(corpus, 22050, SECONDS, progress=lambda *_: calls.append(1))
    assert not calls
    assert stamp == {p: p.stat().st_mtime_ns for p in corpus.rglob("*.flac")}
    good = victim.read_bytes()
    victim.write_bytes(good[:100])
    write_corpus(corpus, 22050, SECONDS, progress=lambda *_: calls.append(1))
    assert calls
    assert victim.read_bytes() == good
    assert {*corpus.parent.iterdir()} == {corpus, mark(corpus)}


def test_foreign_folders_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine.wav").write_bytes(b"precious")
    with pytest.raises(UserError, match="other files"):
        write_corpus(tmp_path)
    with pytest.raises(UserError, match="is a file"):
        write_corpus(tmp_path / "mine.wav")
    assert [p.name for p in tmp_path.iterdir()] == ["mine.wav"]


def test_an_interrupted_corpus_leaves_nothing(tmp_path: Path) -> None:
    def stop(what: str, share: float, text: str) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_corpus(tmp_path / "corpus", 16000, 2.0, progress=stop)
    assert not list(tmp_path.iterdir())


def test_the_cache_folder_is_the_users(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WAVEVAE_CACHE", str(tmp_path))
    monkeypatch.setattr("wavevae.synthesis.corpus.write_corpus", lambda folder, rate, progress: folder)
    assert demo_corpus(16000) == tmp_path / f"demo-corpus-{VERSION}-16000"


def test_a_moving_delay_reads_between_samples() -> None:
    assert np.allclose(lagrange(np.array([0.0, 0.3, 1.0])).sum(axis=1), 1)
    delay = 40.0 + 3.0 * np.sin(np.arange(2000) / 300)
    wave = np.zeros(64 + 2000)
    wave[64:] = np.sin(0.05 * np.arange(2000))
    trip = Trip.make(delay, np.ones(1), pad=64)
    heard = trip.read(wave, 100, 2000)
    assert np.abs(heard - np.sin(0.05 * (np.arange(100, 2000) - delay[100:]))).max() < 1e-5


@pytest.mark.parametrize("w", [0.0, 0.4, np.pi])
def test_damping_has_the_stated_response(w: float) -> None:
    taps = damping(0.3, 0.9)
    response = taps @ np.exp(-1j * w * np.arange(-1, 2))
    assert response == pytest.approx(0.9 * (0.7 + 0.3 * np.cos(w)))


def test_pieces_are_what_they_are_called() -> None:
    rng = np.random.default_rng(0)
    piece = single(50, 0, rng)
    assert piece.name.startswith(pitch_name(50))
    assert pitch_name(50) == "D3"
    assert len({single(50, i, rng).name for i in range(70)}) == 70
    for index, motif in enumerate(MOTIFS):
        notes = phrase(50, index, rng).notes
        assert len(notes) == len(motif)
        assert all(a.start_s < b.start_s for a, b in itertools.pairwise(notes))
