"""Files that several programs read, change and write: what one stores is not lost by another."""

import json
import multiprocessing
import os
import time
from pathlib import Path

import pytest

from wavevae.errors import Failure, UserError
from wavevae.files import locked, part_folder, replacing, write_whole
from wavevae.realtime.control.midi_map import USUAL_MAP, Row, read_map, write_learnt
from wavevae.realtime.control.presets import Presets, PresetsFile, read_presets, write_preset


def store_many(path: Path, who: int) -> None:
    for number in range(20):
        write_preset(path, f"{who}-{number}", {"latents": [number]})


def learn_many(path: Path, who: int) -> None:
    rows: tuple[Row, ...] = USUAL_MAP
    for number in range(8):
        before, rows = rows, (*rows, Row("note", 10 * who + number, f"/wavevae/latent/{who}"))
        write_learnt(path, before, rows)


def together(work, path: Path) -> None:  # type: ignore[no-untyped-def]
    """Three processes at once."""
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=work, args=(path, who)) for who in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(120)
        assert process.exitcode == 0


def test_presets_that_several_programs_store_are_all_there(tmp_path: Path) -> None:
    path = tmp_path / "mine.presets.json"
    together(store_many, path)
    assert set(read_presets(path).named) == {f"{who}-{n}" for who in range(3) for n in range(20)}
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


def test_controls_that_several_programs_learn_are_all_there(tmp_path: Path) -> None:
    path = tmp_path / "mine.midi.yaml"
    together(learn_many, path)
    rows = read_map(path)
    assert {row.number for row in rows if row.source == "note"} >= {
        10 * w + n for w in range(3) for n in range(8)
    }
    assert set(USUAL_MAP) <= set(rows)


def test_a_control_that_is_learnt_twice_turns_what_was_learnt_last(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    for address in ("/wavevae/gain", "/wavevae/latent/0"):
        write_learnt(path, (), (Row("cc", 5, address),))
    assert [row.address for row in read_map(path)] == ["/wavevae/latent/0"]


def test_a_preset_deleted_here_stays_deleted_and_others_stay(tmp_path: Path) -> None:
    path = tmp_path / "a.presets.json"
    for name in ("a", "b"):
        write_preset(path, name, {})
    write_preset(path, "a", None)
    write_preset(path, "c", {})
    assert list(read_presets(path).named) == ["b", "c"]


def test_what_another_program_stored_can_be_recalled(tmp_path: Path) -> None:
    path = tmp_path / "a.presets.json"
    write_preset(path, "early", {})
    file, presets = PresetsFile(path), read_presets(path)
    presets.reload = file.reload
    write_preset(path, "late", {"latents": [1.0]})
    assert presets.get("late") == {"latents": [1.0]}
    assert "early" in presets.named


def test_a_damaged_file_is_not_written_over(tmp_path: Path) -> None:
    path = tmp_path / "a.presets.json"
    path.write_text("{")
    with pytest.raises(UserError, match="repair it"):
        write_preset(path, "a", {})
    assert path.read_text() == "{"


def hold(path: Path, seconds: float) -> None:
    with locked(path):
        (path.parent / "held").touch()
        time.sleep(seconds)


def test_one_process_waits_for_another(tmp_path: Path) -> None:
    process = multiprocessing.get_context("spawn").Process(target=hold, args=(tmp_path / "a", 0.5))
    process.start()
    while not (tmp_path / "held").exists():
        time.sleep(0.01)
    begun = time.monotonic()
    with locked(tmp_path / "b"):
        assert time.monotonic() - begun > 0.2
    process.join()


def test_a_full_disk_leaves_the_old_file_whole(tmp_path: Path) -> None:
    resource = pytest.importorskip("resource")
    path = tmp_path / "a.presets.json"
    write_preset(path, "a", {})
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (500, before[1]))
        with pytest.raises(
            Failure, match=r"a\.presets\.json: cannot be written \(File too large, \d+ bytes wanted\)"
        ):
            write_preset(path, "b", {"latents": [0.0] * 1000})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert json.loads(path.read_text())["presets"] == {"a": {}}
    assert os.listdir(tmp_path) == [path.name]


def test_parts_of_killed_writers_are_removed_and_others_stay(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    process = multiprocessing.get_context("spawn").Process(target=hold, args=(tmp_path / "a", 0.0))
    process.start()
    process.join()
    dead, alive = (tmp_path / f".a.txt.{pid}.part" for pid in (process.pid, os.getppid()))
    for part in (dead, alive):
        part.touch()
    write_whole(path, "text")
    assert not dead.exists()
    assert alive.exists()
    assert path.read_text() == "text"


def fail_halfway(path: Path) -> None:
    with replacing(path) as part:
        part.write_text("new")
        raise ZeroDivisionError


def test_what_fails_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    write_whole(path, "old")
    with pytest.raises(ZeroDivisionError):
        fail_halfway(path)
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["a.txt"]


def test_two_that_write_a_report_leave_each_other_alone(tmp_path: Path) -> None:
    dead = multiprocessing.get_context("spawn").Process(target=print)
    dead.start()
    dead.join()
    left = tmp_path / f".report.{dead.pid}.abc.part"
    left.mkdir()
    with part_folder(tmp_path, "report") as one, part_folder(tmp_path, "report") as other:
        assert one.is_dir()
        assert other.is_dir()
        assert not left.exists()
    assert not list(tmp_path.iterdir())


def test_presets_say_what_they_save() -> None:
    saved: list = []
    presets = Presets(save=lambda *change: saved.append(change))
    presets.store("a", {"mode": "generate"})
    presets.delete("a")
    assert saved == [("a", {"mode": "generate"}), ("a", None)]
