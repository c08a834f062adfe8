"""What cannot be used is a row of the report with its reason; the rest is learned from, and nothing is lost."""

import csv
import os
import shutil
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile
from sound_folder import RATE, bad_folder, noise, reasons, sounds
from test_audio import claim

from wavevae import corpus
from wavevae.audio import MADE, Writer
from wavevae.corpus import store as store_module
from wavevae.corpus.files import OWN
from wavevae.errors import UserError


def test_everything_bad_is_a_row_with_its_reason(tmp_path: Path, build) -> None:
    expected = bad_folder(tmp_path / "in")
    store = build(tmp_path / "in")
    rows = reasons(store)
    assert rows.pop("000.wav") == ("used", "")
    assert rows.keys() == expected.keys()
    for name, (status, reason) in rows.items():
        assert status == "skipped", name
        assert expected[name] in reason, (name, reason)
        assert str(tmp_path / "in" / name) not in reason, "the row names the file already"


@pytest.mark.parametrize("name", ["a.wav", "a.flac", "a.mp3", "a.aiff"])
def test_the_head_of_a_truncated_file_is_used_and_said(tmp_path: Path, build, name: str) -> None:
    soundfile.write(tmp_path / name, noise(RATE * 20), RATE)
    os.truncate(tmp_path / name, (tmp_path / name).stat().st_size // 2)
    store = build(tmp_path / name)
    assert reasons(store)[name][0] == "used"
    assert "used" in reasons(store)[name][1]
    assert 6 < store.seconds < 12


@pytest.mark.parametrize("name", ["a.flac", "a.mp3"])
def test_the_head_of_a_corrupt_file_is_used_and_said(tmp_path: Path, build, name: str) -> None:
    soundfile.write(tmp_path / name, noise(RATE * 20), RATE)
    data = bytearray((tmp_path / name).read_bytes())
    data[len(data) // 2 :][:4000] = bytes(4000)
    data[len(data) // 2 : len(data) // 2 + 4000] = bytes(4000)
    (tmp_path / name).write_bytes(data)
    store = build(tmp_path / name)
    status, reason = reasons(store)[name]
    assert status == "used"
    assert reason.startswith("damaged at ")
    assert reason.endswith("; the part before is used")
    assert 5 < store.seconds < 12


@pytest.mark.parametrize(("samples", "claims"), [(0, "0.00 s"), (RATE * 5, "5.00 s")])
def test_sound_that_the_header_does_not_claim_is_used_and_said(
    tmp_path: Path, build, samples: int, claims: str
) -> None:
    soundfile.write(tmp_path / "a.wav", noise(RATE * 20), RATE)
    claim(tmp_path / "a.wav", samples)
    store = build(tmp_path / "a.wav")
    said = f"its header claims {claims} (a recorder that crashed?), 20.00 s are there and used"
    assert reasons(store) == {"a.wav": ("used", said)}
    assert store.seconds == 20


def test_stereo_that_cancels_is_heard_and_said(tmp_path: Path, build) -> None:
    (tmp_path / "in").mkdir()
    left = noise(RATE * 2)
    soundfile.write(tmp_path / "in/wide.wav", np.stack([left, -left], 1), RATE)
    store = build(tmp_path / "in")
    status, reason = reasons(store)["wide.wav"]
    assert status == "used"
    assert reason.startswith("its channels cancel when they are mixed")
    heard = store.samples[store.items[0].start :][: store.items[0].length] / 32768
    np.testing.assert_allclose(heard, left, atol=1e-4)


def test_silence_is_neither_content_nor_held_out(tmp_path: Path, build) -> None:
    """Zeros, and a dither of one step of sixteen bits; a corpus of them alone is refused."""
    silence = {"zeros.wav": np.zeros(RATE), "dither.wav": np.sign(noise(RATE)) / 32768}
    for folder in ("mixed", "silent"):
        (tmp_path / folder).mkdir()
        for name, audio in silence.items():
            soundfile.write(tmp_path / folder / name, audio, RATE)
    sounds(tmp_path / "mixed", 2)
    store = build(tmp_path / "mixed")
    found = reasons(store)
    assert found["zeros.wav"] == ("skipped", "silent")
    assert found["dither.wav"] == ("skipped", "silent: its peak is -90 dBFS")
    assert store.seconds == 2
    learned, held = corpus.split(store, 0.5, 0)
    assert {item.path.name for item in learned + held} == {"000.wav", "001.wav"}
    with pytest.raises(UserError, match=r"no sound that can be used among 2 files .*silent") as told:
        build(tmp_path / "silent")
    assert "\n" not in str(told.value)


def test_what_wavevae_wrote_is_left_out_and_said(tmp_path: Path, build) -> None:
    """Runs, reports and explorations below the folder of sounds; a folder that only looks alike is learned from."""
    sounds(tmp_path / "in", 2)
    for number, name in enumerate(("run/validation", "report/pairs", "explored/moved", "set/own")):
        sounds(tmp_path / "in/deep" / name, 1, first=10 + number)
    deep = tmp_path / "in/deep"
    (deep / "run/config.yaml").touch()
    (deep / "run/checkpoints").mkdir()
    (deep / "report/report.json").write_text('{"chunks_used": 3}')
    (deep / "explored/explore.json").write_text('{"notes": 3}')
    (deep / "set/report.json").write_text('{"weather": "fine"}')
    store = build(tmp_path / "in")
    assert reasons(store) == {
        "000.wav": ("used", ""),
        "001.wav": ("used", ""),
        "013.wav": ("used", ""),
        "report.json": ("skipped", "not a sound file ('.json')"),
        "run": ("skipped", "written by wavevae: a run"),
        "report": ("skipped", "written by wavevae: a report"),
        "explored": ("skipped", "written by wavevae: an exploration"),
    }
    assert {item.path.name for item in build(deep / "run/validation").items} == {"010.wav"}


def test_odd_names_are_used_and_written_as_text(tmp_path: Path, build) -> None:
    folder = os.fsencode(tmp_path / "in")
    os.mkdir(folder)
    names = [b"with space.wav", "é ü 音.wav".encode(), b"not\xffutf8.wav", b'new\nline,"quote".wav']
    for number, name in enumerate(names):
        with open(os.path.join(folder, name), "wb") as file:
            soundfile.write(file, noise(RATE, number), RATE, format="WAV")
    store = build(tmp_path / "in")
    assert len(store.items) == 4
    assert build(tmp_path / "in").items == store.items
    corpus.write_report(tmp_path / "r.csv", store.report)
    with open(tmp_path / "r.csv", newline="", encoding="utf-8") as file:
        assert {Path(row["path"]).name for row in csv.DictReader(file)} == {
            "with space.wav",
            "é ü 音.wav",
            "not\\xffutf8.wav",
            'new\nline,"quote".wav',
        }


@pytest.fixture
def only_nobody_looks(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder anyone may write. Root may read everything: so it is nobody until the decoders start."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o777)
    real, user = store_module.run_tasks, os.geteuid()

    def run_tasks(tasks, workers):
        os.seteuid(user)
        return real(tasks, workers)

    monkeypatch.setattr(store_module, "run_tasks", run_tasks)
    if user == 0:
        os.seteuid(65534)
    yield folder
    os.seteuid(user)
    for path in folder.rglob("locked"):
        path.chmod(0o700)
    shutil.rmtree(folder)


def test_unreadable_files_and_folders_are_rows(build, only_nobody_looks: Path) -> None:
    folder = only_nobody_looks
    sounds(folder / "in", 2)
    sounds(folder / "in/locked", 1, first=5)
    (folder / "in/001.wav").chmod(0)
    (folder / "in/locked").chmod(0)
    sounds(folder / "in/to look at only", 1, first=6)
    (folder / "in/to look at only").chmod(0o444)
    store = build(folder / "in", cache=folder / "cache")
    assert reasons(store) == {
        "000.wav": ("used", ""),
        "001.wav": ("skipped", "cannot be read (Permission denied)"),
        "006.wav": ("skipped", "Permission denied"),
        "locked": ("skipped", "folder cannot be read (Permission denied)"),
    }


def test_nothing_left_is_one_line(tmp_path: Path, build) -> None:
    (tmp_path / "in").mkdir()
    with pytest.raises(UserError, match="an empty folder"):
        build(tmp_path / "in")
    with pytest.raises(UserError, match="no such file or folder"):
        build(tmp_path / "missing")
    with pytest.raises(UserError, match="no sounds given"):
        build()
    (tmp_path / "in/a.txt").write_text("x")
    (tmp_path / "in/b.wav").write_text("x")
    with pytest.raises(UserError, match="no sound that can be used among 2 files") as told:
        build(tmp_path / "in")
    assert "\n" not in str(told.value)


def test_a_cache_that_cannot_be_used_is_one_line(tmp_path: Path, build) -> None:
    sounds(tmp_path / "in", 1)
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="WAVEVAE_CACHE"):
        build(tmp_path / "in", cache=tmp_path / "file")
    (tmp_path / "cache/v2").mkdir(parents=True)
    (tmp_path / "cache/v2/index.sqlite").write_text("no database" * 1000)
    with pytest.raises(UserError, match=r"not a database.*remove it"):
        build(tmp_path / "in")


def test_a_file_that_changes_while_it_is_read_is_left_for_the_next_time(tmp_path: Path) -> None:
    from wavevae.corpus.worker import run_task

    (path,) = sounds(tmp_path / "in", 1)
    task = {"path": str(path), "part": str(tmp_path / "p"), "sample_rate": RATE, "loudness": "keep"}
    assert "changed" in run_task(task | {"size": 1, "mtime_ns": 2})[0]["passing"]
    status = path.stat()
    result, samples = run_task(task | {"size": status.st_size, "mtime_ns": status.st_mtime_ns})
    assert result["length"] == RATE == len(samples) // 2


def test_ctrl_c_keeps_what_is_decoded(tmp_path: Path, build, decoded: list[str]) -> None:
    sounds(tmp_path / "in", 60)

    def stop(what: str, share: float, text: str) -> None:
        if share > 0.3:
            raise KeyboardInterrupt

    threads = threading.active_count()
    with pytest.raises(KeyboardInterrupt, match="decoded and kept"):
        build(tmp_path / "in", progress=stop)
    assert threading.active_count() == threads
    decoded.clear()
    assert len(build(tmp_path / "in").items) == 60
    assert 0 < len(decoded) < 60


def test_a_constant_is_silence_at_any_rate_and_a_tone_upon_it_is_not(tmp_path: Path, build) -> None:
    t = np.arange(30_000)
    for rate in (22050, 44100):
        soundfile.write(tmp_path / f"constant-{rate}.wav", 0.25 + 0 * t, rate)
        soundfile.write(tmp_path / f"tone-{rate}.wav", 0.25 + 0.1 * np.sin(0.1 * t), rate)
    reasons = {Path(row.path).stem: (row.status, row.reason) for row in build(tmp_path).report}
    for rate in (22050, 44100):
        assert reasons[f"constant-{rate}"] == ("skipped", "silent: a constant of 0.25")
        assert reasons[f"tone-{rate}"][0] == "used"


def test_what_a_model_made_is_left_out_of_a_folder_and_taken_by_name(tmp_path: Path, build) -> None:
    sound = (0.1 * np.random.default_rng(0).standard_normal(20_000)).astype(np.float32)
    soundfile.write(tmp_path / "played.wav", sound[::-1], 22050)
    for name in ("made.wav", "made.flac"):
        with Writer(tmp_path / name, 22050, comment=MADE) as out:
            out.write(sound if name == "made.wav" else sound[:15_000])
    store = build(tmp_path)
    assert [item.path.name for item in store.items] == ["played.wav"]
    assert sum(row.reason.startswith(OWN) for row in store.report) == 2
    assert len(build(tmp_path / "made.wav").items) == 1


def test_a_run_that_was_stopped_before_its_first_checkpoint_is_a_run(tmp_path: Path, build) -> None:
    sound = 0.1 * np.random.default_rng(0).standard_normal((2, 20_000))
    (tmp_path / "young" / "validation").mkdir(parents=True)
    (tmp_path / "young" / "config.yaml").write_text(
        "# Everything resolved. Give this file to `wavevae train --config` to repeat the run.\nmodel: {}\n"
    )
    soundfile.write(tmp_path / "young" / "validation" / "000-percent-1.wav", sound[0], 22050)
    soundfile.write(tmp_path / "mine.wav", sound[1], 22050)
    assert [item.path.name for item in build(tmp_path).items] == ["mine.wav"]
