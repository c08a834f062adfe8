"""`wavevae notes`: what was played comes out as MIDI, with its time, pitch and strength, and a picture beside it."""

from __future__ import annotations

from pathlib import Path

import mido
import numpy as np
import pytest
import soundfile
import toy_playable
import yaml
from test_export_prior import with_prior
from test_prior import profile_of

from wavevae.checkpoint import write_checkpoint
from wavevae.config import to_tree
from wavevae.errors import UserError
from wavevae.prior.notes_command import main as notes

RATE = 22050
Played = tuple[float, float, float, float]
"""Begin and end, s; MIDI pitch; amplitude."""
SCALE: list[Played] = [(0.3, 0.8, 60, 0.3), (1.0, 1.5, 64, 0.05), (1.7, 2.4, 67, 0.3)]


def write(path: Path, played: list[Played], seconds: float = 3.0) -> Path:
    """Harmonic tones in silence."""
    sound, time = np.zeros(round(seconds * RATE)), np.arange(round(seconds * RATE)) / RATE
    for begin, end, key, amplitude in played:
        phase = 2 * np.pi * 440 * 2 ** ((key - 69) / 12) * time
        edge = np.clip(np.minimum(time - begin, end - time) / 0.01, 0, 1)
        sound += amplitude * edge * sum(np.sin(k * phase) / k for k in range(1, 6))
    path.parent.mkdir(exist_ok=True)
    soundfile.write(path, sound, RATE)
    return path


def found(tmp_path: Path, data: Path, *options: str) -> mido.MidiFile:
    out = tmp_path / "notes.mid"
    notes([str(data), "-o", str(out), "--cache", str(tmp_path / "cache"), *options])
    return mido.MidiFile(out)


def timed(messages: mido.MidiTrack) -> list[tuple[float, mido.Message]]:
    """Seconds at 120 quarters a minute."""
    ticks = np.cumsum([m.time for m in messages])
    return [(tick / 960, m) for tick, m in zip(ticks.tolist(), messages, strict=True)]


def struck(messages: mido.MidiTrack) -> list[tuple[float, mido.Message]]:
    return [(t, m) for t, m in timed(messages) if m.type == "note_on" and m.velocity > 0]


def test_notes_come_with_their_time_pitch_and_strength(tmp_path: Path) -> None:
    file = found(tmp_path, write(tmp_path / "data/a.wav", SCALE))
    heard = struck(file.tracks[1])
    assert [m.note for _, m in heard] == [60, 64, 67]
    np.testing.assert_allclose([t for t, _ in heard], [0.3, 1.0, 1.7], atol=0.03)
    ends = [t for t, m in timed(file.tracks[1]) if m.type == "note_off"]
    np.testing.assert_allclose(ends, [0.8, 1.5, 2.4], atol=0.06)
    soft = [m.velocity for _, m in heard]
    assert soft[1] / soft[0] == pytest.approx(np.sqrt(0.05 / 0.3), abs=0.08)
    assert (tmp_path / "notes.png").is_file()


def test_recordings_go_in_a_row_or_on_tracks_of_their_own(tmp_path: Path) -> None:
    for name in "ab":
        write(tmp_path / f"data/{name}.wav", [(0.5, 1.5, 60 + (name == "b"), 0.3)], 2.0)
    row = found(tmp_path, tmp_path / "data").tracks[1]
    np.testing.assert_allclose([t for t, _ in struck(row)], [0.5, 3.5], atol=0.05)
    assert [m.text for _, m in timed(row) if m.type == "marker"] == ["a", "b"]
    tracks = found(tmp_path, tmp_path / "data", "--tracks").tracks[1:]
    assert [(t.name, *(m.note for _, m in struck(t))) for t in tracks] == [("a", 60), ("b", 61)]


def test_bend_keeps_the_pitch_between_two_keys(tmp_path: Path) -> None:
    track = found(tmp_path, write(tmp_path / "data/a.wav", [(0.5, 1.5, 60.3, 0.3)]), "--bend").tracks[1]
    middle = [m.pitch for t, m in timed(track) if m.type == "pitchwheel" and t < 1.2]
    assert middle[-1] / 8192 * 2 == pytest.approx(0.3, abs=0.03)


def test_without_a_pitch_notes_are_hits_of_the_percussion_channel(tmp_path: Path) -> None:
    noise = np.zeros(3 * RATE)
    for begin in (0.5, 1.2, 2.0):
        length = round(0.2 * RATE)
        decay = np.exp(-np.arange(length) / (0.03 * RATE))
        first = round(begin * RATE)
        noise[first : first + length] = 0.3 * decay * np.random.default_rng(0).standard_normal(length)
    (tmp_path / "data").mkdir()
    soundfile.write(tmp_path / "data/a.wav", noise.clip(-1, 1), RATE)
    heard = struck(found(tmp_path, tmp_path / "data").tracks[1])
    assert {(m.note, m.channel) for _, m in heard} == {(38, 9)}
    np.testing.assert_allclose([t for t, _ in heard], [0.5, 1.2, 2.0], atol=0.03)


def test_what_has_no_notes_is_refused_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="silent"):
        found(tmp_path, write(tmp_path / "data/a.wav", []))
    for arguments, said in ((["mine.ts", "-o", "a.mid"], "model file"), (["data", "-o", "a.wav"], "as .mid")):
        with pytest.raises(UserError, match=said):
            notes(arguments)


def test_hits_of_a_run_with_a_prior_are_on_the_keys_that_play_their_timbre(tmp_path: Path) -> None:
    """Kicks and ticks in turn: two keys in turn, of two of the prior's timbres."""
    random, length = np.random.default_rng(0), round(0.15 * RATE)
    fade = np.exp(-np.arange(length) / (0.04 * RATE))
    noise = random.standard_normal((8, length))
    low = np.stack([np.convolve(one, np.ones(12), "same") for one in noise])
    sounds = [
        s / np.abs(s).max() * fade for pair in zip(low, np.diff(noise, append=0), strict=True) for s in pair
    ]
    sound = np.concatenate([np.pad(0.5 * s, (0, round(0.3 * RATE))) for s in sounds])
    (tmp_path / "data").mkdir()
    soundfile.write(tmp_path / "data/a.wav", sound, RATE)
    model, prior = with_prior("noise")
    checkpoint = toy_playable.checkpoint(model)
    checkpoint.latents["prior"] = prior.to_dict()
    hits_of_the_corpus = np.tile(np.float32([-20.0, *range(model.latent_dim - 1)]), (100, 1))
    checkpoint.latents["profile"] = profile_of([hits_of_the_corpus], model.axis_names).to_dict()
    run = tmp_path / "run"
    (run / "checkpoints").mkdir(parents=True)
    write_checkpoint(run / "checkpoints/best.ckpt", checkpoint)
    tree = {**to_tree(checkpoint.config), "run": {"inputs": [str(tmp_path / "data")]}}
    (run / "config.yaml").write_text(yaml.safe_dump(tree))
    hits = struck(found(tmp_path, run).tracks[1])
    keys = [m.note for _, m in hits]
    assert len(keys) == 16
    assert len(set(keys[::2])) == len(set(keys[1::2])) == 1
    assert all(m.channel == 9 for _, m in hits)
    table = prior.performer.features.timbre_of_key
    assert {int(table[keys[0]]), int(table[keys[1]])} == {0, 1}
