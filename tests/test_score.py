"""A score is rendered by the live engine: the same bytes each time, each message at its sample, errors by line."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile
from toy_bundle import LATENTS, SAMPLE_RATE, write_conditional

from wavevae.errors import UserError
from wavevae.realtime.offline import render
from wavevae.realtime.offline.score import read_score


def write_score(path: Path, *lines: object) -> Path:
    path.write_text("\n".join(line if isinstance(line, str) else json.dumps(line) for line in lines) + "\n")
    return path


def event(time: float, address: str, *arguments: object) -> dict:
    return {"time": time, "address": f"/wavevae/{address}", "args": list(arguments)}


def play(model: Path, score: Path, out: Path, *more: object) -> np.ndarray:
    assert render.main([str(model), "--score", str(score), "-o", str(out), *map(str, more)]) == 0
    return soundfile.read(out, dtype="float32")[0]


def test_a_score_is_the_same_bytes_and_its_messages_come_at_their_block(model: Path, tmp_path: Path) -> None:
    score = write_score(
        tmp_path / "a.jsonl",
        event(0, "temperature", 0.3),
        event(0.5, "gain", -20),
        "",
        event(1.0, "mode", "sample"),
        event(1.2, "preset/store", "here"),
        event(1.5, "preset/recall", "here", 0.3),
        {"time": 2.0, "end": True},
    )
    first = play(model, score, tmp_path / "a.wav", "--save-latents", tmp_path / "a.npy")
    assert play(model, score, tmp_path / "b.wav").tobytes() == first.tobytes()
    assert (tmp_path / "a.wav").read_bytes() == (tmp_path / "b.wav").read_bytes()
    assert 2.0 <= len(first) / SAMPLE_RATE <= 2.1
    change = -(-round(0.5 * SAMPLE_RATE) // 512) * 512
    assert np.abs(first[change - 2000 : change]).max() > 0.1
    assert np.abs(first[change + 1000 : change + 5000]).max() < 0.09
    assert abs(first[-1]) < 1e-3
    assert np.load(tmp_path / "a.npy").shape[1] == LATENTS
    assert play(model, score, tmp_path / "c.wav", "--seed", 1).tobytes() != first.tobytes()


def test_the_example_is_a_score(model: Path, tmp_path: Path) -> None:
    example = Path(__file__).parent.parent / "examples" / "live" / "piece.jsonl"
    assert len(play(model, example, tmp_path / "a.wav")) / SAMPLE_RATE == pytest.approx(8.5, abs=0.1)


def test_the_example_of_notes_and_classes_is_a_score(tmp_path: Path) -> None:
    write_conditional(tmp_path / "c.ts")
    example = Path(__file__).parent.parent / "examples/live/notes.jsonl"
    made = play(tmp_path / "c.ts", example, tmp_path / "out.wav", "--voices", 2, "--gain", -12)
    assert np.abs(made).max() > 0.05
    assert not made[-100:].any()


def test_a_score_without_an_end_rings_for_a_second(model: Path, tmp_path: Path) -> None:
    score = write_score(tmp_path / "a.jsonl", event(0.5, "latent/0", 1))
    assert 1.5 <= len(play(model, score, tmp_path / "a.wav")) / SAMPLE_RATE <= 1.6


def test_a_score_hears_its_input(model: Path, tmp_path: Path) -> None:
    sound = (0.3 * np.random.default_rng(0).standard_normal(SAMPLE_RATE)).astype(np.float32)
    soundfile.write(tmp_path / "in.wav", sound, SAMPLE_RATE, subtype="FLOAT")
    score = write_score(tmp_path / "a.jsonl", event(0, "mode", "transform"), {"time": 1, "end": True})
    with pytest.raises(UserError, match=r"line 1: .*no live input"):
        play(model, score, tmp_path / "a.wav")
    made = tmp_path / "a.npy"
    play(model, score, tmp_path / "a.wav", "--score-input", tmp_path / "in.wav", "--save-latents", made)
    assert np.load(made).std() > 0.2


def test_notes_of_a_score_are_played_by_its_voices(tmp_path: Path) -> None:
    write_conditional(tmp_path / "c.ts")
    lines = [event(0, "note", 60, 1.0), event(0, "note", 67, 1.0), event(0.5, "note", 60, 0)]
    score = write_score(tmp_path / "a.jsonl", *lines, {"time": 1, "end": True})
    one = play(tmp_path / "c.ts", score, tmp_path / "a.wav")
    two = play(tmp_path / "c.ts", score, tmp_path / "b.wav", "--voices", 2)
    assert np.abs(one[:8000] - two[:8000]).max() > 0.1


GOOD = event(0.5, "latent/0", 1)
WRONG = {
    "line 2: not JSON": [GOOD, "{time: 1}"],
    "line 2: not an object": [GOOD, "[1, 2]"],
    "line 2: time is '1'": [GOOD, {**GOOD, "time": "1"}],
    "line 2: time is nan": [GOOD, '{"time": NaN, "address": "/wavevae/gain", "args": [1]}'],
    "line 2: time is -1": [GOOD, event(-1, "gain", 0)],
    "line 3: time is 0.1, before 0.5 of line 2": [event(0.2, "gain", 0), GOOD, event(0.1, "gain", 0)],
    "line 2: unknown key 'adress'": [GOOD, {"time": 1, "adress": "/wavevae/gain", "args": []}],
    "line 2: address is a string": [GOOD, {"time": 1, "address": 3, "args": []}],
    "line 2: it ended above": [{"time": 0, "end": True}, GOOD],
    "line 1: session": [
        {"session": {"block_size": 0, "seed": 0, "voices": 1, "hears": False, "presets": {}}}
    ],
    "line 1: 'seed'": [{"session": {"block_size": 512}}],
    "line 2: /wavevae/gain: gain is 99": [GOOD, event(1, "gain", 99)],
    "line 2: /wavevae/latent/9: no such": [GOOD, event(1, "latent/9", 0)],
    "line 2: /wavevae/model: a score is rendered with one": [GOOD, event(1, "model", "x.ts")],
    "line 2: /wavevae/note: toy.ts has no pitch": [GOOD, event(1, "note", 60, 1.0)],
    "no message in it": [""],
}


@pytest.mark.parametrize("words", WRONG)
def test_a_wrong_score_is_said_by_line_and_nothing_is_written(
    model: Path, tmp_path: Path, words: str
) -> None:
    score = write_score(tmp_path / "a.jsonl", *WRONG[words])
    with pytest.raises(UserError) as error:
        play(model, score, tmp_path / "out.wav")
    assert words in str(error.value)
    assert "a.jsonl" in str(error.value)
    assert not list(tmp_path.glob("*.wav")) + list(tmp_path.glob(".*.part"))


def test_options_that_do_not_go_together_are_refused(model: Path, tmp_path: Path) -> None:
    score = write_score(tmp_path / "a.jsonl", GOOD)
    for more in (("--voices", 2), ("--temperature", 1), ("--score-input", tmp_path / "no.wav")):
        with pytest.raises(UserError):
            play(model, score, tmp_path / "a.wav", *more)
    with pytest.raises(UserError, match="goes with --score"):
        render.main(
            [str(model), "--sample", "--seconds", "1", "--voices", "2", "-o", str(tmp_path / "a.wav")]
        )
    score.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UserError, match="UTF-8"):
        read_score(score)
