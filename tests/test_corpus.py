"""The corpus: every file accounted for, nothing decoded twice, nothing half written used."""

import csv
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
from sound_folder import RATE, bad_folder, noise, reasons, sounds

from wavevae import console, corpus
from wavevae.audio import write
from wavevae.console import silent
from wavevae.corpus import build_store, find_files, split

# ---------------------------------------------------------------- what is in the store


def test_the_store_holds_the_sounds_themselves(tmp_path: Path, build) -> None:
    paths = sounds(tmp_path / "in")
    store = build(tmp_path / "in")
    assert store.samples.dtype == np.int16
    assert isinstance(store.samples, np.memmap)
    assert [item.path for item in store.items] == paths
    for item in store.items:
        there, _ = soundfile.read(item.path, dtype="int16")
        np.testing.assert_array_equal(store.samples[item.start : item.start + item.length], there)
    assert store.seconds == 3.0


def test_long_and_short_sounds_arrive_alike(tmp_path: Path, build) -> None:
    """Short ones come through a pipe, long ones through a file."""
    from wavevae.corpus.worker import INLINE_SAMPLES

    for number, length in enumerate((INLINE_SAMPLES - 1, INLINE_SAMPLES, INLINE_SAMPLES + 1, 1)):
        sounds(tmp_path / "in", 1, samples=length, first=number)
    store = build(tmp_path / "in")
    for item in store.items:
        there, _ = soundfile.read(item.path, dtype="int16")
        np.testing.assert_array_equal(store.samples[item.start : item.start + item.length], there)


def test_it_is_resampled_and_mixed(tmp_path: Path, build) -> None:
    time_s = np.arange(2 * 44100) / 44100
    left = 0.4 * np.sin(2 * np.pi * 440 * time_s)
    soundfile.write(tmp_path / "a.wav", np.stack([left, 0 * left], 1), 44100, subtype="FLOAT")
    store = build(tmp_path / "a.wav")
    (item,) = store.items
    assert item.length == 2 * RATE
    sine = 0.2 * np.sin(2 * np.pi * 440 * np.arange(2 * RATE) / RATE)
    assert np.abs(store.samples[item.start :][: item.length] / 32768 - sine)[500:-500].max() < 1e-3


def test_loudness_is_left_alone_unless_asked(tmp_path: Path, build) -> None:
    soundfile.write(tmp_path / "quiet.wav", noise(RATE) / 100, RATE, subtype="FLOAT")
    peaks = {}
    for loudness in ("keep", "peak"):
        store = build(tmp_path / "quiet.wav", loudness=loudness)
        (item,) = store.items
        peaks[loudness] = np.abs(store.samples[item.start :][: item.length].astype(int)).max() / 32768
    assert peaks["keep"] == pytest.approx(0.005, rel=0.02)
    assert peaks["peak"] == pytest.approx(10 ** (-1 / 20), rel=1e-3)


def test_a_sound_beyond_full_scale_is_scaled_down_and_said(tmp_path: Path, build) -> None:
    loud = noise(RATE) * 8  # peak about 4
    soundfile.write(tmp_path / "loud.wav", loud, RATE, subtype="FLOAT")
    store = build(tmp_path / "loud.wav")
    (item,) = store.items
    samples = store.samples[item.start :][: item.length] / 32768
    np.testing.assert_allclose(samples, loud / np.abs(loud).max(), atol=1e-4)  # nothing is clipped
    assert reasons(store)["loud.wav"][1].endswith("scaled down to full scale")


# ---------------------------------------------------------------- keyed by content


def test_a_second_start_decodes_nothing(tmp_path: Path, build, decoded: list[str]) -> None:
    sounds(tmp_path / "in")
    first = build(tmp_path / "in")
    assert len(decoded) == 3
    again = build(tmp_path / "in")
    assert len(decoded) == 3
    assert again.content_hash == first.content_hash
    assert again.items == first.items


def test_moved_renamed_touched_and_added_files_cost_only_what_is_new(
    tmp_path: Path, build, decoded: list[str]
) -> None:
    sounds(tmp_path / "in")
    first = build(tmp_path / "in")
    (tmp_path / "in").rename(tmp_path / "moved")
    (tmp_path / "moved/000.wav").rename(tmp_path / "moved/renamed.wav")
    os.utime(tmp_path / "moved/001.wav", (1, 1))
    decoded.clear()
    assert build(tmp_path / "moved").content_hash == first.content_hash
    assert decoded == []
    sounds(tmp_path / "moved", 1, first=7)
    added = build(tmp_path / "moved")
    assert decoded == ["007.wav"]
    assert added.content_hash != first.content_hash


def test_changed_content_another_rate_and_loudness_are_decoded_anew(
    tmp_path: Path, build, decoded: list[str]
) -> None:
    (path,) = sounds(tmp_path / "in", 1)
    hashes = {build(path).content_hash}
    soundfile.write(path, noise(RATE, seed=9), RATE)
    hashes.add(build(path).content_hash)
    hashes.add(build(path, sample_rate=16000).content_hash)
    hashes.add(build(path, loudness="peak").content_hash)
    assert len(hashes) == 4
    assert len(decoded) == 4


def test_a_file_that_failed_is_not_tried_again(tmp_path: Path, build, decoded: list[str]) -> None:
    sounds(tmp_path / "in", 1)
    (tmp_path / "in/text.wav").write_text("no sound" * 100)
    build(tmp_path / "in")
    decoded.clear()
    assert reasons(build(tmp_path / "in"))["text.wav"][0] == "skipped"
    assert decoded == []


def test_a_lost_or_cut_arena_is_decoded_again(tmp_path: Path, build, decoded: list[str]) -> None:
    sounds(tmp_path / "in")
    whole = build(tmp_path / "in")
    there = np.array(whole.samples)
    (arena,) = (tmp_path / "cache").rglob("*.i16")
    for damage in (lambda: os.truncate(arena, RATE * 2 + 1), arena.unlink):
        decoded.clear()
        damage()
        again = build(tmp_path / "in")
        assert decoded
        for old, new in zip(whole.items, again.items, strict=True):
            np.testing.assert_array_equal(
                there[old.start :][: old.length], again.samples[new.start :][: new.length]
            )


BUILDER = """
import os, signal, sys
from wavevae.corpus import build_store, store
store.COMMIT_EVERY_S = 0.0
store.WORTH_A_WORKER_BYTES = 1 << 16
dies_after = int(sys.argv[3])
def progress(stage, share, words):
    if stage == "decoding" and words.startswith(f"{dies_after} of "):
        os.kill(os.getpid(), signal.SIGKILL)
store = build_store([sys.argv[1]], 8000, cache=sys.argv[2], progress=progress)
print(store.content_hash, len(store.items))
"""


def start_builder(folder: Path, cache: Path, dies_after: int = -1) -> subprocess.Popen[str]:
    """A process that builds the store; with `dies_after`, killed once it has decoded and kept so many files."""
    command = [sys.executable, "-c", BUILDER, folder, cache, str(dies_after)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def test_after_kill_9_in_decoding_it_goes_on(tmp_path: Path, build, decoded: list[str]) -> None:
    paths = sounds(tmp_path / "in", 100, samples=RATE * 10)
    process = start_builder(tmp_path / "in", tmp_path / "cache", dies_after=10)
    assert process.wait() == -signal.SIGKILL
    arena = tmp_path / "cache/v2/8000-keep.i16"
    with open(arena, "ab") as file:  # as if it had been killed in the middle of an append
        file.write(b"half a sound")
    store = build(tmp_path / "in")
    assert len(decoded) == 90
    assert len(store.items) == 100
    for item in (store.items[0], store.items[50], store.items[-1]):
        there, _ = soundfile.read(item.path, dtype="int16")
        np.testing.assert_array_equal(store.samples[item.start :][: item.length], there)
    assert [item.path for item in store.items] == paths
    assert not any((tmp_path / "cache/v2/parts").iterdir())  # the killed one's parts are swept


def test_two_processes_at_once_agree(tmp_path: Path, build) -> None:
    """Two on the same folder take turns; one on an overlapping folder decodes beside them."""
    sounds(tmp_path / "all/in", 40)
    sounds(tmp_path / "all/more", 5, first=70)
    folders = [tmp_path / "all/in", tmp_path / "all/in", tmp_path / "all"]
    builders = [start_builder(folder, tmp_path / "cache") for folder in folders]
    outputs = [process.communicate()[0] for process in builders]
    store = build(tmp_path / "all")
    small = build(tmp_path / "all/in")
    assert outputs == [f"{small.content_hash} 40\n"] * 2 + [f"{store.content_hash} 45\n"]
    places = sorted((item.start, item.length) for item in store.items)
    assert places == [(i * RATE, RATE) for i in range(45)]  # each content once, none over another
    for item in store.items:
        there, _ = soundfile.read(item.path, dtype="int16")
        np.testing.assert_array_equal(store.samples[item.start :][: item.length], there)


def test_a_decoder_that_dies_costs_one_file(tmp_path: Path, build, monkeypatch: pytest.MonkeyPatch) -> None:
    sounds(tmp_path / "in", 4)
    (tmp_path / "site").mkdir()
    (tmp_path / "site/sitecustomize.py").write_text(
        "import os, sys\n"
        "if 'wavevae.corpus.worker' in ' '.join(sys.orig_argv):\n"
        "    import soundfile\n"
        "    real = soundfile.SoundFile.__init__\n"
        "    def init(self, file, *args, **kwargs):\n"
        "        if b'002' in os.fsencode(file): os._exit(139)\n"
        "        real(self, file, *args, **kwargs)\n"
        "    soundfile.SoundFile.__init__ = init\n"
    )
    monkeypatch.syspath_prepend(tmp_path / "site")
    store = build(tmp_path / "in")
    assert len(store.items) == 3
    assert "crashed" in reasons(store)["002.wav"][1]
    monkeypatch.undo()
    assert len(build(tmp_path / "in").items) == 4  # a crash is not held against the file for ever


def test_workers_import_nothing_heavy() -> None:
    code = "import sys, wavevae.corpus.worker; print(sorted(m for m in sys.modules if '.' not in m))"
    modules = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    for heavy in ("torch", "pytorch_lightning", "scipy", "matplotlib"):
        assert f"'{heavy}'" not in modules


# ---------------------------------------------------------------- labels


def nsynth(folder: Path, splits: tuple[str, ...] = ("train", "valid", "test")) -> Path:
    """NSynth's layout with two notes a split."""
    import json

    for number, name in enumerate(splits):
        notes = sounds(folder / name / "audio", 2, first=10 * number)
        fields = {p.stem: {"pitch": 60 + int(p.stem), "instrument_family_str": "brass"} for p in notes}
        (folder / name / "examples.json").write_text(json.dumps(fields))
    return folder


def test_nsynth_keeps_its_labels_and_splits(tmp_path: Path, build) -> None:
    store = build(nsynth(tmp_path / "in"))
    assert len(store.items) == 6
    for item in store.items:
        assert item.labels == {"pitch": 60 + int(item.path.stem), "instrument_family_str": "brass"}
    train, validation = split(store, 0.5, seed=0)
    assert {item.path.parent.parent.name for item in train} == {"train"}
    assert {item.path.parent.parent.name for item in validation} == {"valid"}
    assert (len(train), len(validation)) == (2, 2)
    rows = {
        Path(row.path).parent.parent.name: row.reason
        for row in corpus.training_report(store, train, validation)
        if row.path.endswith(".wav")
    }
    assert rows == {"train": "", "valid": "validation", "test": "left alone: the test split"}


@pytest.mark.parametrize("name", ["train", "valid", "nsynth-train"])
def test_a_single_split_of_nsynth_is_labelled_and_split_by_share(tmp_path: Path, build, name: str) -> None:
    store = build(nsynth(tmp_path, (name,)) / name)
    assert {item.split for item in store.items} == {name.removeprefix("nsynth-")}
    assert all("pitch" in item.labels for item in store.items)
    train, validation = split(store, 0.5, seed=0)
    assert (len(train), len(validation)) == (1, 1)


def test_broken_labels_cost_the_labels_only(tmp_path: Path, build) -> None:
    nsynth(tmp_path / "in")
    (tmp_path / "in/train/examples.json").write_text("{")
    store = build(tmp_path / "in")
    assert len(store.items) == 6
    assert "labels cannot be read" in reasons(store)["examples.json"][1] or any(
        "labels cannot be read" in row.reason for row in store.report
    )


def test_plain_folders_give_the_class(tmp_path: Path, build) -> None:
    sounds(tmp_path / "in/flute/low", 1, first=1)
    sounds(tmp_path / "in/oboe", 1, first=2)
    sounds(tmp_path / "in", 1, first=3)
    store = build(tmp_path / "in")
    assert {item.path.stem: item.labels for item in store.items} == {
        "001": {"class": "flute"},
        "002": {"class": "oboe"},
        "003": {},
    }
    several = build(tmp_path / "in/flute", tmp_path / "in/oboe")
    assert {item.path.stem: item.labels for item in several.items} == {
        "001": {"class": "low"},
        "002": {"class": "oboe"},
    }


def test_nested_and_repeated_inputs_are_taken_once(tmp_path: Path) -> None:
    sounds(tmp_path / "in/a", 2)
    found = find_files([tmp_path / "in", tmp_path / "in/a/000.wav", tmp_path / "in/a"])
    assert [f.path.name for f in found if not f.reason] == ["000.wav", "001.wav"]
    assert [f.reason for f in found if f.reason] == ["a folder already read (link or loop)"]


# ---------------------------------------------------------------- split


def test_the_split_is_by_file_reproducible_and_whole(tmp_path: Path, build) -> None:
    sounds(tmp_path / "in", 20, samples=100)
    store = build(tmp_path / "in")
    train, validation = split(store, 0.2, seed=1)
    assert len(validation) == 4
    assert sorted(i.path for i in train + validation) == [i.path for i in store.items]
    assert split(store, 0.2, seed=1) == (train, validation)
    assert split(store, 0.2, seed=2)[1] != validation
    (tmp_path / "in").rename(tmp_path / "moved")
    assert {i.key for i in split(build(tmp_path / "moved"), 0.2, seed=1)[1]} == {i.key for i in validation}
    assert split(store, 0.0, seed=1) == (store.items, [])


def test_something_is_left_to_learn_from_and_to_hold_out(tmp_path: Path, build) -> None:
    sounds(tmp_path / "in", 2, samples=100)
    store = build(tmp_path / "in")
    for share in (0.01, 0.99):
        train, validation = split(store, share, seed=0)
        assert (len(train), len(validation)) == (1, 1)


def test_of_a_single_file_the_end_is_held_out(tmp_path: Path, build) -> None:
    sounds(tmp_path / "in", 1, samples=1000)
    store = build(tmp_path / "in")
    (train,), (validation,) = split(store, 0.1, seed=0)
    assert (train.length, validation.length) == (900, 100)
    assert validation.start == train.start + 900
    (row,) = corpus.training_report(store, [train], [validation])
    assert row.reason == "its end held out for validation"


# ---------------------------------------------------------------- report and progress


def test_the_report_accounts_for_every_second(tmp_path: Path, build) -> None:
    bad_folder(tmp_path / "in")
    sounds(tmp_path / "in", 3, samples=1234, first=20)
    store = build(tmp_path / "in")
    corpus.write_report(tmp_path / "data_report.csv", store.report)
    with open(tmp_path / "data_report.csv", newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["path", "status", "seconds", "reason"]
    assert sum(float(row["seconds"]) for row in rows) == pytest.approx(store.seconds, abs=1e-5)
    assert {row["status"] for row in rows} == {"used", "skipped"}
    assert all(float(row["seconds"]) == 0 and row["reason"] for row in rows if row["status"] == "skipped")
    assert not list(tmp_path.glob(".data_report*"))


def test_progress_is_lines_without_a_terminal_and_a_bar_on_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sounds(tmp_path / "in")
    build_store([tmp_path / "in"], RATE, cache=tmp_path / "cache")
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("decoding: 100%, 3 of 3 files, 3.0 s, ")
    assert "\r" not in captured.err
    terminal = console.ConsoleProgress()
    terminal.stream.isatty = lambda: True  # type: ignore[method-assign]
    terminal.last = 0.0
    terminal("decoding", 0.5, "1 of 2 files")
    assert "\r" in capsys.readouterr().err


def test_the_default_cache_is_set_by_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WAVEVAE_CACHE", str(tmp_path / "elsewhere"))
    write(tmp_path / "a.wav", noise(100), RATE)
    build_store([tmp_path / "a.wav"], RATE, progress=silent)
    assert (tmp_path / "elsewhere/v2/index.sqlite").exists()
