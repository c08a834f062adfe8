"""Pitches of files that no label file tells: from names as people write them, checked by ear, else from the tracker."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tiny_run import TINY, workplace

from wavevae import audio
from wavevae.checkpoint import read_checkpoint
from wavevae.console import silent
from wavevae.corpus import build_store
from wavevae.corpus.labels import pitch_of_name, with_pitches
from wavevae.errors import UserError
from wavevae.evaluation.file_under_test import load_model_under_test
from wavevae.evaluation.selection import everything
from wavevae.evaluation.selection import with_pitches as selected_with_pitches
from wavevae.train.__main__ import main as train
from wavevae.units import semitones_to_ratio

RATE = 8000


@pytest.mark.parametrize(
    ("name", "midi"),
    [
        ("A3-p", 57),
        ("sax_c4_f", 60),
        ("Bb2", 46),
        ("C#5", 73),
        ("C♯5", 73),
        ("D♭4 loud", 61),
        ("Cello.arco.ff.Fsharp2", 42),
        ("horn_Gs3_15_forte", 56),
        ("C4_again_C4", 60),
        ("A4 440Hz", 69),
        ("midi60", 60),
        ("Note 072 v100", 72),
        ("bass_acoustic_000-024-075", 24),
    ],
)
def test_a_name_tells_its_note(name: str, midi: int) -> None:
    assert pitch_of_name(name) == midi


@pytest.mark.parametrize(
    "name",
    [
        *("60", "take 12", "arctic_a0001", "kick", "E", "B2B", "abc4", "G10"),
        *("A3-B4", "C5 to C6", "Db3B3"),  # two notes
        *("Es4", "As3"),  # German, or not
        "C-4",  # octave 4, or minus 4
        "90 bpm",
    ],
)
def test_what_may_mean_something_else_tells_nothing(name: str) -> None:
    assert pitch_of_name(name) is None


def tone(midi: float, seconds: float = 0.8) -> np.ndarray:
    t = np.arange(round(seconds * RATE)) / RATE
    phase = 2 * np.pi * 440 * semitones_to_ratio(midi - 69) * t
    return (0.2 * sum(np.sin(k * phase) / k for k in range(1, 6))).astype(np.float32)


def folder(place: Path, sounds: dict[str, np.ndarray]) -> Path:
    place.mkdir()
    for name, sound in sounds.items():
        audio.write(place / f"{name}.wav", sound, RATE)
    return place


def labelled(place: Path, tmp_path: Path) -> tuple[dict[str, float | None], list[str]]:
    store = build_store([place], RATE, cache=tmp_path / "cache", progress=silent)
    told, remarks = with_pitches(store, silent)
    return {item.path.stem: item.labels.get("pitch") for item in told.items}, remarks


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WAVEVAE_CACHE", str(tmp_path / "cache"))


def test_names_first_then_the_tracker_and_a_melody_has_no_one_pitch(tmp_path: Path) -> None:
    melody = np.concatenate([tone(midi, 0.4) for midi in (50, 55, 60, 64)])
    noise = (0.1 * np.random.default_rng(0).standard_normal(6000)).astype(np.float32)
    sounds = {
        "A3-p": tone(57),
        "B3": tone(59),
        "C4": tone(60),
        "odd": tone(62.5),
        "song": melody,
        "hiss": noise,
    }
    found, remarks = labelled(folder(tmp_path / "sounds", sounds), tmp_path)
    assert (found["A3-p"], found["B3"], found["C4"]) == (57.0, 59.0, 60.0)
    assert found["odd"] == pytest.approx(62.5, abs=0.15)
    assert (found["song"], found["hiss"], remarks) == (None, None, [])


@pytest.mark.parametrize("shift", [12, -12, -9])
def test_other_countings_of_octaves_and_transposing_instruments_are_labelled_as_they_sound(
    tmp_path: Path, shift: int
) -> None:
    names = {"C4": 60, "E4": 64, "G4": 67, "A4": 69}
    found, remarks = labelled(
        folder(tmp_path / "sounds", {name: tone(midi + shift) for name, midi in names.items()}), tmp_path
    )
    assert found == {name: midi + shift for name, midi in names.items()}
    assert len(remarks) == 1
    assert f"sound {abs(shift)} semitones" in remarks[0]


def test_names_that_only_look_like_notes_are_not_believed(tmp_path: Path) -> None:
    sounds = {f"take_{name}": tone(midi) for name, midi in {"a1": 70, "a2": 58, "b1": 66, "b2": 61}.items()}
    found, remarks = labelled(folder(tmp_path / "sounds", sounds), tmp_path)
    assert found["take_b2"] == pytest.approx(61, abs=0.15)
    assert "4 file names look like notes, but only" in remarks[0]


def test_a_label_file_is_not_overruled(tmp_path: Path) -> None:
    place = tmp_path / "set" / "train"
    (place / "audio").mkdir(parents=True)
    audio.write(place / "audio" / "A3.wav", tone(57), RATE)
    (place / "examples.json").write_text('{"A3": {"pitch": 40}}')
    assert labelled(place, tmp_path)[0] == {"A3": 40}


def test_a_plain_folder_is_trained_on_its_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with workplace(tmp_path, monkeypatch):
        notes = {"C4-p": 60, "E4-p": 64, "G4_f": 67, "no name": 71, "C5": 72}
        place = folder(tmp_path / "notes", {name: tone(midi) for name, midi in notes.items()})
        options = ("--condition", "pitch", "--max-steps", "2", "--set", "validation_share=0", "--out", "run")
        assert train([str(place), *TINY, "--set", "partials=8", *options]) == 0
    assert "(4 from file names, 1 by the pitch tracker)" in capsys.readouterr().err
    origin = read_checkpoint(tmp_path / "here/run/checkpoints/last.ckpt").origin
    assert origin["labels"]["pitch_range"] == pytest.approx([60, 72], abs=0.1)


def test_sounds_without_any_pitch_are_refused_with_what_would_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    noise = np.random.default_rng(0).standard_normal((2, 6000)).astype(np.float32) * 0.1
    with workplace(tmp_path, monkeypatch):
        place = folder(tmp_path / "rain", {"one": noise[0], "two": noise[1]})
        with pytest.raises(UserError, match=r"no file has a pitch: none in its name \(A3-p.flac"):
            train([str(place), *TINY, "--condition", "pitch", "--max-steps", "2", "--out", "run"])


def test_what_training_found_of_names_holds_for_a_single_file_that_is_judged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One file cannot tell that the whole set counts octaves in another way; the checkpoint does."""
    with workplace(tmp_path, monkeypatch):
        names = {"C4": 60, "E4": 64, "G4": 67, "A4": 69}
        place = folder(tmp_path / "notes", {name: tone(midi + 12) for name, midi in names.items()})
        options = ("--condition", "pitch", "--max-steps", "2", "--set", "validation_share=0", "--out", "run")
        assert train([str(place), *TINY, "--set", "partials=8", *options]) == 0
        facts = load_model_under_test(Path("run")).facts
    assert facts.name_shift == 12
    told, _ = selected_with_pitches(everything([place / "E4.wav"], None), RATE, facts.name_shift)
    assert told.sources[0].labels["pitch"] == 76
