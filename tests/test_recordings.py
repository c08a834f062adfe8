"""What `serve` records cannot be made again: it is on the disk as it comes, and no take replaces another."""

import json
import os
import signal
import subprocess
from pathlib import Path

import numpy as np
import pytest
import soundfile
from live import Live, live
from toy_bundle import SAMPLE_RATE

from wavevae import audio
from wavevae.errors import UserError
from wavevae.realtime.live import recording_files
from wavevae.realtime.live.recording_files import ScoreFile, WavFile, open_recordings
from wavevae.realtime.offline import render
from wavevae.realtime.offline.score import read_score

DEEP = ("--device", "none", "--ring-depth", "16")
needs_proc = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs Linux's /proc")


def noise(samples: int) -> np.ndarray:
    return (0.5 * np.random.default_rng(samples).standard_normal(samples)).astype(np.float32)


# the files


@pytest.mark.parametrize("samples", [0, 1, 2, 1001])
def test_a_wav_is_readable_after_every_piece(tmp_path: Path, samples: int) -> None:
    sound = noise(3 * samples)
    file = WavFile(tmp_path / "take.wav", 8000)
    for number in range(3):
        file.write(sound[number * samples :][:samples])
        read, rate = soundfile.read(tmp_path / "take.wav", dtype="float32")
        assert rate == 8000
        np.testing.assert_allclose(read, np.clip(sound[: (number + 1) * samples], -1, 1), atol=2**-22)
    file.close()
    assert soundfile.info(tmp_path / "take.wav").frames == 3 * samples


def test_its_samples_are_those_of_the_files_that_render_writes(tmp_path: Path) -> None:
    sound = np.concatenate([noise(500), np.float32([1, -1, 2, -2, 0, 1e-9])])
    file = WavFile(tmp_path / "live.wav", 8000)
    file.write(sound)
    file.close()
    audio.write(tmp_path / "rendered.wav", sound, 8000)
    live, rendered = (soundfile.read(tmp_path / f"{n}.wav", dtype="int32")[0] for n in ("live", "rendered"))
    np.testing.assert_array_equal(live, rendered)


def test_past_the_size_of_a_wav_it_is_an_rf64(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recording_files, "WAV_DATA_LIMIT_BYTES", 3000)
    sound, file = np.clip(noise(2001), -1, 1), WavFile(tmp_path / "long.wav", 8000)
    file.write(sound[:1000])
    assert soundfile.info(tmp_path / "long.wav").format == "WAV"
    file.write(sound[1000:])
    assert (tmp_path / "long.wav").read_bytes()[:4] == b"RF64"
    read, _ = soundfile.read(tmp_path / "long.wav", dtype="float32")
    np.testing.assert_allclose(read, sound, atol=2**-22)
    np.testing.assert_allclose(audio.read_mono(tmp_path / "long.wav", 8000), sound, atol=2**-22)
    file.close()


def test_takes_get_the_first_number_that_is_free_for_both(tmp_path: Path) -> None:
    score, sound = tmp_path / "take.jsonl", tmp_path / "take.wav"
    audio.write(sound, noise(16000), 8000)
    before = sound.read_bytes()
    (tmp_path / "take-2.jsonl").write_text("{}\n")
    lines, wav, remarks = open_recordings(score, sound, 8000)
    assert lines is not None
    assert wav is not None
    assert (lines.path.name, wav.path.name) == ("take-3.jsonl", "take-3.wav")
    assert sound.read_bytes() == before
    assert any("take.wav is there already (2.0 s) and stays" in r for r in remarks)
    again = open_recordings(score, sound, 8000)[0]
    assert again is not None
    assert again.path.name == "take-4.jsonl"


def test_what_an_earlier_version_left_is_named_and_offered(tmp_path: Path) -> None:
    gone = subprocess.Popen(["true"])
    gone.wait()
    part = tmp_path / f".my take.wav.{gone.pid}.part"
    file = WavFile(part, 8000)
    file.write(noise(4000))
    _, _, remarks = open_recordings(None, tmp_path / "my take.wav", 8000)
    line = next(r for r in remarks if "unfinished" in r)
    assert "0.5 s" in line
    assert part.exists()
    subprocess.run(line.split("keep it: ")[1], shell=True, check=True)
    assert soundfile.info(tmp_path / f"my take-recovered-{gone.pid}.wav").frames == 4000


def test_a_line_that_finds_no_room_leaves_whole_lines(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    resource = pytest.importorskip("resource")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    file, sound = ScoreFile(tmp_path / "a.jsonl"), WavFile(tmp_path / "a.wav", 8000)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))
        for _ in range(70):
            file.write('{"time": 0.0}\n')
        with pytest.raises(OSError, match="too large"):
            file.write('{"time": 0.0}\n' * 10)
        sound.write(noise(300))
        with pytest.raises(OSError, match="too large"):
            sound.write(noise(50))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert all(json.loads(line) for line in (tmp_path / "a.jsonl").read_text().splitlines())
    assert soundfile.info(tmp_path / "a.wav").frames == 300


def test_other_kinds_of_sound_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"\.wav or \.flac"):
        open_recordings(tmp_path / "a.jsonl", tmp_path / "take.mp3", 8000)
    with pytest.raises(UserError, match=r"nowhere.*cannot be written"):
        open_recordings(tmp_path / "a.jsonl", tmp_path / "nowhere" / "take.wav", 8000)
    assert not list(tmp_path.iterdir())


# a performance


def seconds(path: Path) -> float:
    return soundfile.info(path).duration if path.exists() else 0.0


@needs_proc
def test_a_killed_performance_is_kept_and_the_next_take_is_another(model: Path, tmp_path: Path) -> None:
    score, sound = tmp_path / "take.jsonl", tmp_path / "take.wav"
    record = ("--record", score, "--record-audio", sound)
    with live(model, *DEEP, *record) as player:
        player.send("/wavevae/latent/0", 2.0)
        assert player.query("targets")[0] == 2.0
        assert player.soon(lambda: seconds(sound) > 0.3)
        os.killpg(player.process.pid, signal.SIGKILL)
        player.process.wait()
    kept, lines = soundfile.read(sound)[0], score.read_text()
    assert np.abs(kept).max() > 0.01
    assert '"/wavevae/latent/0"' in lines
    player = Live(model, *DEEP, *record, "--seconds", 0.3)
    assert player.finish() == 0
    assert f"{sound} is there already" in player.said
    assert "recorded" in player.said
    np.testing.assert_array_equal(soundfile.read(sound)[0], kept)
    assert score.read_text() == lines
    assert seconds(tmp_path / "take-2.wav") > 0.2
    assert (
        render.main([str(model), "--score", str(tmp_path / "take-2.jsonl"), "-o", str(tmp_path / "r.wav")])
        == 0
    )


@needs_proc
@pytest.mark.slow
def test_a_control_process_that_dies_goes_on_recording_in_a_second_file(model: Path, tmp_path: Path) -> None:
    """Both files together are the performance, without a gap."""
    first, second = tmp_path / "take.wav", tmp_path / "take-2.wav"
    with live(model, *DEEP, "--record", tmp_path / "take.jsonl", "--record-audio", first) as player:
        player.send("/wavevae/latent/0", 2.0)
        player.send("/wavevae/latent/1", -1.0)
        assert player.soon(lambda: seconds(first) > 0.3)
        os.kill(player.child("control"), signal.SIGKILL)
        assert player.says("the recording goes on in")
        player.send("/wavevae/latent/0", -2.0)
        assert player.query("targets")[0] == -2.0
        assert player.soon(lambda: '"/wavevae/latent/0"' in second.with_suffix(".jsonl").read_text())
        assert player.end() == 0
    played = float(player.said.split("played ")[1].split(" s")[0])
    assert abs(seconds(first) + seconds(second) - played) < 0.3
    joint = np.concatenate([soundfile.read(path)[0] for path in (first, second)])
    at = soundfile.info(first).frames
    step = np.abs(np.diff(joint[at - SAMPLE_RATE // 10 : at + SAMPLE_RATE // 10]))
    assert step[SAMPLE_RATE // 10 - 3 : SAMPLE_RATE // 10 + 3].max() <= 1.5 * step.max()
    out = tmp_path / "again.wav"
    assert render.main([str(model), "--score", str(tmp_path / "take-2.jsonl"), "-o", str(out)]) == 0
    head, recall, *rest = (json.loads(line) for line in (tmp_path / "take-2.jsonl").read_text().splitlines())
    assert head["session"]["presets"][recall["args"][0]]["latents"][:2] == [2.0, -1.0]
    assert any(line.get("address") == "/wavevae/latent/0" for line in rest), rest


@needs_proc
@pytest.mark.slow
def test_a_full_disk_ends_the_recording_and_not_the_sound(model: Path, tmp_path: Path) -> None:
    resource = pytest.importorskip("resource")
    sound = tmp_path / "take.wav"
    with live(model, *DEEP, "--record-audio", sound) as player:
        limit = (100_000, resource.RLIM_INFINITY)  # stands for the end of the disk
        resource.prlimit(player.child("control"), resource.RLIMIT_FSIZE, limit)
        assert player.says("no longer recording")
        assert player.level_above(-30)
        assert player.end() == 1
    assert player.said.count("no longer recording") == 1
    assert 20_000 < soundfile.info(sound).frames < 34_000
    assert [p.name for p in tmp_path.iterdir()] == ["take.wav"]


def test_presets_that_come_later_are_those_of_the_rendering(tmp_path: Path) -> None:
    """Another program stored them meanwhile: the recorder writes its first line again."""
    head = {"block_size": 512, "seed": 0, "voices": 1, "hears": False}
    lines = [
        {"session": {**head, "presets": {"a": {}}}},
        {"time": 1.0, "address": "/wavevae/preset/recall", "args": ["a"]},
        {"session": {**head, "presets": {"a": {}, "b": {}}}},
        {"time": 2.0, "address": "/wavevae/preset/recall", "args": ["b"]},
    ]
    path = tmp_path / "a.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    score = read_score(path)
    assert set(score.presets) == {"a", "b"}
    assert len(score.events) == 2
