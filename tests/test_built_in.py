"""The built-in instruments: files and code are in step, each plays in tune, a name stands wherever a MODEL.ts does."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import numpy as np
import pytest
import toy_playable
from test_export_prior import scripted, with_prior

from wavevae import instruments
from wavevae.bundle import FORMAT_VERSION, read_bundle
from wavevae.controls import NATURAL
from wavevae.errors import UserError
from wavevae.instruments import FOLDER, NAMES, PRESETS, companion, main, model_file, story
from wavevae.realtime.control.dispatcher import Dispatcher
from wavevae.realtime.control.presets import presets_of, write_preset
from wavevae.realtime.engine.engine import PlayableModel
from wavevae.units import midi_to_hz

BLOCK = 512
LARGEST_MB = 12


@pytest.fixture(scope="module", params=NAMES)
def played(request: pytest.FixtureRequest) -> PlayableModel:
    return PlayableModel(model_file(Path(request.param)), 0)


# -- in step with the code -------------------------------------------------------------------------------------


def test_the_folder_holds_what_the_list_names() -> None:
    kinds = (".ts", PRESETS, ".json")
    there = {path.name for path in FOLDER.iterdir() if path.suffix in (".ts", ".json")}
    assert there == {f"{name}{kind}" for name in NAMES for kind in kinds}
    assert sum(instruments.size(name) for name in NAMES) < 1e6 * LARGEST_MB


def test_a_file_has_the_format_and_the_controls_that_an_export_has_today(played: PlayableModel) -> None:
    model, _ = with_prior()
    model.profile = toy_playable.profile(model)
    fresh = scripted(model)
    bundle = read_bundle(played.model.path)
    assert bundle.info.format_version == FORMAT_VERSION, "make instruments"
    names = [axis.name for axis in bundle.info.axes]
    assert names[: len(NATURAL) + 2] == [*NATURAL, "brightness", "noisiness"]
    missing = "an export has more: make instruments"
    assert set(bundle.module.get_methods()) >= set(fresh.get_methods()), missing
    assert list(bundle.module.get_attributes()) == list(fresh.get_attributes()), missing
    functions = {name for name in dir(fresh) if not name.startswith("_")}
    assert not {name for name in functions if not hasattr(bundle.module, name)}, missing
    assert bundle.info.origin["weights"] == "bfloat16"
    assert "wavevae/extra/onnx.json" in zipfile.ZipFile(bundle.path).namelist()  # it plays without torch


@pytest.mark.parametrize("name", NAMES)
def test_a_story_tells_all(name: str) -> None:
    told, info = story(name), read_bundle(name).info
    low, high = told["range_midi"]
    assert info.axes[0].low - 2 < low < high
    assert told["corpus"]["minutes"] > 5
    assert told["corpus"]["licence"] in ("CC0 1.0", "MIT")
    assert told["training"]["commit"] == info.origin["commit"]
    assert 0 < told["figures"]["mr_stft"] < 1.5
    assert len(told["presets"]) >= 3
    assert {f"{name}.ts", f"{name}{PRESETS}"} == set(told["sha256"])


def test_every_preset_is_recalled_and_no_two_are_the_same(played: PlayableModel) -> None:
    presets, _ = presets_of(Path(played.model.path))
    assert list(presets.named) == list(story(Path(played.model.path).stem)["presets"])
    states = []
    for name in presets.named:
        dispatcher = Dispatcher(played.model, presets=presets)
        dispatcher.apply("/wavevae/preset/recall", (name,))
        states.append(dispatcher.state)
    assert all(one != other for i, one in enumerate(states) for other in states[:i])


# -- sound -------------------------------------------------------------------------------------------------------


def sound(instrument: PlayableModel, dispatcher: Dispatcher, seconds: float) -> np.ndarray:
    blocks = round(seconds * instrument.model.sample_rate / BLOCK)
    return np.concatenate([instrument.engine.process(dispatcher.state, BLOCK) for _ in range(blocks)])


def pitch_hz(x: np.ndarray, sample_rate: int, near_hz: float) -> float:
    """By the highest peak of the autocorrelation within a third of `near_hz`, refined by a parabola."""
    power = np.abs(np.fft.rfft(x * np.hanning(len(x)), 2 * len(x))) ** 2
    correlation = np.fft.irfft(power)
    first, last = round(sample_rate / (1.2 * near_hz)), round(sample_rate / (0.8 * near_hz))
    at = first + int(np.argmax(correlation[first:last]))
    before, here, after = correlation[at - 1 : at + 2]
    return float(sample_rate / (at + 0.5 * (before - after) / (before - 2 * here + after)))


def test_it_is_silent_until_a_key_and_plays_it_in_tune(played: PlayableModel) -> None:
    played.begin(played.controls)
    dispatcher = Dispatcher(played.model)
    assert not sound(played, dispatcher, 0.3).any()
    low, high = story(Path(played.model.path).stem)["range_midi"]
    key = (low + high) // 2
    dispatcher.apply("/wavevae/perform", (0.0,))  # a voice's own notes glide as speech does
    dispatcher.apply("/wavevae/note", (key, 0.8))
    note = sound(played, dispatcher, 0.8)[played.model.sample_rate // 4 :]
    assert 0.01 < np.abs(note).max() < 0.9
    found = pitch_hz(note, played.model.sample_rate, midi_to_hz(key))
    assert abs(1200 * np.log2(found / midi_to_hz(key))) < 25
    dispatcher.apply("/wavevae/note", (key, 0.0))
    sound(played, dispatcher, 1.0)
    assert not sound(played, dispatcher, 0.1).any()


# -- names -------------------------------------------------------------------------------------------------------


def test_a_file_of_that_name_stands_before_the_instrument(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert model_file(Path("sax")) == FOLDER / "sax.ts"
    (tmp_path / "sax").mkdir()
    assert model_file(Path("sax")) == FOLDER / "sax.ts"
    assert model_file(Path("sax"), runs=True) == Path("sax")
    (tmp_path / "sax").rmdir()
    (tmp_path / "sax").touch()
    assert model_file(Path("sax")) == Path("sax")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("saxx", "saxx is neither a file nor a built-in instrument; did you mean 'sax'?"),
        ("zither", "known: "),
        ("sax.ts", "no model file at sax.ts; sax is built in"),
        ("runs/sax", "no model file at runs/sax; make one with `wavevae export RUN -o sax`"),
    ],
)
def test_a_name_that_is_neither_gets_the_nearest(
    name: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError) as refused:
        model_file(Path(name))
    assert message in str(refused.value)


def test_names_stand_in_every_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from wavevae.evaluation.file_under_test import load_model_under_test
    from wavevae.export.__main__ import main as export
    from wavevae.info import main as info
    from wavevae.realtime.bench import load as load_for_bench
    from wavevae.realtime.offline.encode import main as encode
    from wavevae.realtime.offline.render import main as render
    from wavevae.realtime.options import build_parser

    monkeypatch.chdir(tmp_path)
    assert info(["voice", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["model_file"].endswith("voice.ts")
    assert render(["sax", "--sample", "--seconds", "0.2", "-o", "a.wav"]) == 0
    assert encode(["sax", "a.wav", "-o", "z.npy"]) == 0
    piece = instruments.FOLDER.parent / "piece.mid"
    with pytest.raises(UserError, match="did you mean 'strings'"):
        render(["sax", "--midi", str(piece), "--track", "2=string", "-o", "b.wav"])
    assert export(["bells", "--format", "web"]) == 0
    assert (tmp_path / "bells-web" / "index.html").is_file()
    assert load_for_bench(Path("sax"), None).sample_rate == 22050
    assert load_model_under_test(Path("strings")).facts.path == FOLDER / "strings.ts"
    assert build_parser().parse_args([]).model == Path(NAMES[0])  # serve without a file


def test_the_command_lists_them_and_tells_of_one(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 0
    rows = capsys.readouterr().out.splitlines()
    assert [row.split()[0] for row in rows[1:]] == list(NAMES)
    assert main(["sax"]) == 0
    assert "wavevae serve sax" in capsys.readouterr().out
    assert main(["--json"]) == 0
    assert [one["name"] for one in json.loads(capsys.readouterr().out)] == list(NAMES)
    with pytest.raises(UserError, match="did you mean 'voice'"):
        main(["voise"])


# -- damage, and folders that may not be written ---------------------------------------------------------------


@pytest.fixture
def copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of instruments, another one, with the files of the first."""
    for path in FOLDER.glob(f"{NAMES[0]}.*"):
        (tmp_path / path.name).write_bytes(path.read_bytes())
    monkeypatch.setattr(instruments, "FOLDER", tmp_path)
    story.cache_clear()
    yield tmp_path
    story.cache_clear()


@pytest.mark.parametrize("file", [f"{NAMES[0]}.ts", f"{NAMES[0]}{PRESETS}", f"{NAMES[0]}.json"])
def test_a_damaged_file_is_refused_in_one_line(copied: Path, file: str) -> None:
    assert model_file(Path(NAMES[0])) == copied / f"{NAMES[0]}.ts"
    story.cache_clear()
    content = bytearray((copied / file).read_bytes())
    content[len(content) // 2] ^= 1
    (copied / file).write_bytes(content[: len(content) // 2] if file.endswith("x.json") else content)
    with pytest.raises(UserError, match=r"'sax' is damaged.*install wavevae again"):
        model_file(Path(NAMES[0]))
    (copied / file).unlink()
    story.cache_clear()
    with pytest.raises(UserError, match="'sax' is damaged"):
        model_file(Path(NAMES[0]))


def test_presets_of_an_instrument_are_kept_in_the_users_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WAVEVAE_DATA", str(tmp_path / "data"))
    shipped = (FOLDER / f"sax{PRESETS}").read_bytes()
    presets, path = presets_of(FOLDER / "sax.ts")
    assert path == tmp_path / "data" / f"sax{PRESETS}"
    given, name = dict(presets.named), next(iter(presets.named))
    presets.save = lambda name, preset: write_preset(path, name, preset)
    presets.store("mine", given[name])
    presets.store(name, {**given[name], "gain_db": -6.0})
    again, _ = presets_of(FOLDER / "sax.ts")
    assert set(again.named) == {*given, "mine"}
    assert again.named[name]["gain_db"] == -6.0
    again.save = presets.save
    again.delete("mine")
    again.delete(name)
    assert again.named == given == presets_of(FOLDER / "sax.ts")[0].named
    with pytest.raises(ValueError, match="came with the instrument"):
        again.delete(name)
    assert (FOLDER / f"sax{PRESETS}").read_bytes() == shipped


def test_a_folder_that_may_not_be_written_keeps_its_presets_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WAVEVAE_DATA", str(tmp_path / "data"))
    folder = tmp_path / "shared"
    folder.mkdir()
    model = folder / "mine.ts"
    assert companion(model, PRESETS) == folder / f"mine{PRESETS}"
    write_preset(companion(model, PRESETS), "of the house", {"mode": "generate"})
    folder.chmod(0o555)
    try:
        if instruments.os.access(folder, instruments.os.W_OK):  # root may write everywhere
            monkeypatch.setattr(instruments.os, "access", lambda path, mode: Path(path) != folder)
        presets, path = presets_of(model)
        assert path.parent == tmp_path / "data"
        assert list(presets.named) == ["of the house"]
        write_preset(path, "own", {"mode": "sample"})
        assert list(presets_of(model)[0].named) == ["of the house", "own"]
        assert companion(tmp_path / "other" / "mine.ts", PRESETS) != path
    finally:
        folder.chmod(0o755)


def test_the_data_folder_follows_the_system(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("WAVEVAE_DATA", raising=False)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    assert instruments.data_folder() == tmp_path / "wavevae"
    monkeypatch.delenv("XDG_DATA_HOME")
    monkeypatch.setattr(Path, "home", lambda: tmp_path)
    assert instruments.data_folder() == tmp_path / ".local" / "share" / "wavevae"
