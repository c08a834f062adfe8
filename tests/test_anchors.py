"""Opus on the same seconds: the ladder, where a figure stands on it, what is kept in the cache."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from wavevae import audio
from wavevae.evaluation import anchors, codec
from wavevae.evaluation.anchors import monotone, stand
from wavevae.evaluation.embeddings import Texture
from wavevae.evaluation.selection import Source

RATE = 8000
needs_opus = pytest.mark.skipif(codec.coder() is None, reason="no Opus in libsndfile, no ffmpeg")


@pytest.fixture
def sources(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Source]:
    """Two melodies and a silence, with a cache of their own."""
    monkeypatch.setenv("WAVEVAE_CACHE", str(tmp_path / "cache"))
    t = np.arange(2 * RATE) / RATE
    found = []
    for number in range(3):
        phase = 2 * np.pi * np.cumsum(150 + 50 * number + 30 * t) / RATE
        sound = 0.1 * sum(np.sin(k * phase) / k for k in range(1, 9)) * (number < 2)
        path = tmp_path / f"{number}.wav"
        audio.write(path, sound.astype(np.float32), RATE)
        found.append(Source(path, path.name, 2.0))
    return found


def test_places_between_rungs_are_straight_in_the_logarithm() -> None:
    rungs = [(6.0, 3.0), (12.0, 2.0), (24.0, 1.0), (96.0, 0.5)]
    assert stand(2.0, rungs, False).kbps == pytest.approx(12.0)
    assert stand(1.5, rungs, False).kbps == pytest.approx(12 * 2**0.5)
    assert stand(0.75, rungs, False).kbps == pytest.approx(48.0)
    assert stand(3.5, rungs, False) == (None, "under 6")
    assert stand(0.4, rungs, False) == (None, "over 96")
    rising = [(rate, -value) for rate, value in rungs]
    assert stand(-1.5, rising, True).words == "17"
    assert stand(-3.5, rising, True).words == "under 6"


def test_rungs_out_of_order_are_levelled_first() -> None:
    assert monotone([1.0, 3.0, 2.0, 4.0]) == [1.0, 2.5, 2.5, 4.0]
    assert monotone([3.0, 2.0, 1.0]) == [2.0, 2.0, 2.0]
    assert monotone([]) == []
    levelled = [(6.0, 3.0), (12.0, 1.0), (24.0, 2.0), (48.0, 0.5)]  # 12 and 24 both count as 1.5
    assert stand(1.5, levelled, False).kbps == pytest.approx(12.0)
    assert stand(2.25, levelled, False).kbps == pytest.approx((6 * 12) ** 0.5)


@needs_opus
def test_the_ladder_rises_and_a_rung_equals_itself(sources: list[Source]) -> None:
    told: list[str] = []
    texture = Texture()
    real = np.concatenate(
        [anchors.judge_file(s, codec.coder() or "", RATE, 96.0, texture).embeddings for s in sources[:2]]
    )
    rungs = anchors.judge(sources, RATE, texture, real, lambda _, text: told.append(text), (6.0, 16.0, 48.0))
    assert [r.kbps for r in rungs] == [6.0, 16.0, 48.0]
    scores = [r.figures["mr_stft"] for r in rungs]
    assert scores[0] > scores[1] > scores[2] > 0
    assert rungs[0].coded_kbps < rungs[1].coded_kbps < rungs[2].coded_kbps
    assert told[-1] == "3 of 3 files"
    said = anchors.describe(rungs, {"mr_stft": scores[1], "log_mel_l1": 9.0, "fad": None})
    assert said["equals_opus_kbps"] == pytest.approx(16.0)
    assert said["equals_opus"] == {"mr_stft": "16", "log_mel_l1": "under 6"}
    assert len(said["anchors"]["rungs"]) == 3  # type: ignore[index]


@needs_opus
def test_what_was_judged_once_is_not_judged_again(
    sources: list[Source], monkeypatch: pytest.MonkeyPatch
) -> None:
    texture, real = Texture(), np.random.default_rng(0).standard_normal((5, 64))

    def judged() -> list[anchors.Rung]:
        return anchors.judge(sources[:1], RATE, texture, real, lambda *_: None, (16.0,))

    first = judged()

    def never(*_: object) -> anchors.Judged:
        raise AssertionError("coded again")

    monkeypatch.setattr(anchors, "judge_file", never)
    assert judged() == first
    name = sources[0].path.with_name("the same sound elsewhere.wav")
    name.write_bytes(sources[0].path.read_bytes())
    moved = Source(name, name.name, 2.0)
    assert anchors.judge([moved], RATE, texture, real, lambda *_: None, (16.0,)) == first
    with pytest.raises(AssertionError, match="coded again"):  # another part of it is another sound
        anchors.judge([Source(name, name.name, 1.0, cut=True)], RATE, texture, real, lambda *_: None, (16.0,))
    monkeypatch.setattr(
        anchors, "yardstick", lambda: "another"
    )  # other metrics: nothing that was kept counts
    with pytest.raises(AssertionError, match="coded again"):
        judged()


def test_a_damaged_cache_is_as_none(tmp_path: Path) -> None:
    place = tmp_path / "a" / "b.npz"
    assert anchors.recall(place) is None
    judged = anchors.Judged({"mse": np.array([1.0, np.nan])}, np.ones((2, 3)), 77, 2.0)
    anchors.remember(place, judged)
    kept = anchors.recall(place)
    assert kept is not None
    assert (kept.size_bytes, kept.seconds, list(kept.figures)) == (77, 2.0, ["mse"])
    assert np.array_equal(kept.figures["mse"], judged.figures["mse"], equal_nan=True)
    place.write_bytes(place.read_bytes()[:50])
    assert anchors.recall(place) is None
    (tmp_path / "file").write_text("a")
    anchors.remember(tmp_path / "file" / "c.npz", judged)  # cannot be written: no error


def test_every_figure_on_the_ladder_is_one_that_is_measured() -> None:
    from wavevae.evaluation.glossary import ABOUT, BETTER, HIGHER_IS_BETTER

    assert set(HIGHER_IS_BETTER) <= set(BETTER) <= set(ABOUT)
