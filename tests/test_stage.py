"""A MODEL.ts plays without torch, from the same file: the same sound, the same notes, the same controls."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import mido
import numpy as np
import pytest
import soundfile
import toy_model
import toy_playable
from foreign_model import write_foreign
from live import live
from test_export_prior import keys, with_prior

from wavevae import bundle as bundle_file
from wavevae.bundle import read_bundle
from wavevae.cli import main as wavevae
from wavevae.errors import UserError
from wavevae.export import archive_graphs
from wavevae.export.model_file import export_checkpoint
from wavevae.export.verify import ExportRefused
from wavevae.onnx_module import OnnxModule
from wavevae.realtime.engine.streaming_model import StreamingModel

pytestmark = pytest.mark.skipif(not archive_graphs.packages_are_here(), reason="needs onnx and onnxruntime")
HERE = archive_graphs.packages_are_here
BLOCKED = "import sys\nfor name in ('torch', 'onnx'):\n    sys.modules[name] = None\n"
"""As sitecustomize.py: importing them raises, in this process and its children."""


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file with classes and a prior, its graphs made and compared as users' are."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(archive_graphs, "packages_are_here", HERE)
        return toy_playable.write(with_prior("class")[0], tmp_path_factory.mktemp("stage") / "toy.ts")


def loaded(path: Path, runtime: str) -> StreamingModel:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(bundle_file.VARIABLE, runtime)
        return StreamingModel(read_bundle(path))


@pytest.fixture
def pair(model: Path) -> tuple[StreamingModel, StreamingModel]:
    """The same file in torch and in onnxruntime."""
    torch_one, onnx_one = loaded(model, "torch"), loaded(model, "onnx")
    assert isinstance(onnx_one.module, OnnxModule)
    return torch_one, onnx_one


def same(made: list[Any], tolerance: float = 1e-4) -> None:
    assert np.isfinite(made[0]).all()
    assert np.abs(made[0]).max() > 1e-3
    np.testing.assert_allclose(made[1], made[0], rtol=0, atol=tolerance)


def test_a_weight_is_in_the_file_once(model: Path) -> None:
    with zipfile.ZipFile(model) as archive:
        graphs = [entry for entry in archive.infolist() if entry.filename.endswith(".onnx")]
        records = [entry for entry in archive.infolist() if "/data/" in entry.filename]
    assert {Path(entry.filename).stem for entry in graphs} == {
        *("encode", "decode", "fit", "perform", "improvise")
    }
    assert sum(entry.compress_size for entry in graphs) < 200_000
    stored = {
        name for weights in json.loads(read(model, "onnx.json"))["weights"].values() for name in weights
    }
    assert {"module.decoder.outlet.product.weight", "module.encoder.inlet.product.weight"} <= stored
    assert len(records) > 100


def frames(core: StreamingModel, count: int) -> Any:
    """(count, latent_dim) in the file's units."""
    return toy_playable.controls(count, learned=core.latent_dim - 3)[0].T.numpy()


def read(path: Path, name: str) -> bytes:
    with zipfile.ZipFile(path) as archive:
        return archive.read(f"wavevae/extra/{name}")


def test_voices_sound_alike_also_after_one_begins_anew(pair: Any) -> None:
    z = frames(pair[0], 30)
    batch = np.stack([z, z + np.float32([4, -3, *[0] * (z.shape[1] - 2)])])
    made = []
    for core in pair:
        parts = []
        for n, part in enumerate(np.split(batch, [1, 2, 9, 10], 1)):
            core.set("life", 0.5 * n)
            if n == 3:
                core.restart(1)
            if n == 4:
                core.restart(0)
            parts.append(core.decode_voices(part))
        made.append(np.concatenate(parts, 1))
    same(made)


def test_what_nobody_sings_sounds_alike(pair: Any) -> None:
    """Every partial above half the rate; below all hearing; at once."""
    z = np.zeros((9, pair[0].latent_dim), np.float32)
    z[:3], z[3:6, :2], z[6:] = 1e5, -1e5, [1e5, *[-1e5] * (z.shape[1] - 1)]
    made = [core.decode(z) for core in pair]
    same([np.concatenate([[1.0], sound]) for sound in made])


def test_an_input_is_heard_transposed_and_fitted_alike(pair: Any) -> None:
    sound = toy_playable.tone(pair[0].sample_rate, 40 * pair[0].hop_length).numpy()[0, 0]
    for fit, octaves, transpose in ((0.0, 0, 0.0), (0.7, 0, -5.0), (0.0, 1, 2.0), (1.0, 1, 0.0)):
        made = []
        for core in pair:
            core.reset()
            core.set("fit", fit)
            core.set("transpose_auto", octaves)
            core.set("transpose", transpose)
            made.append(np.concatenate([core.encode(part) for part in np.split(sound, [256, 1024, 5120])]))
        same(made, 1e-3)  # of dB and semitones
        assert abs(pair[0].confidence() - pair[1].confidence()) < 1e-4


def test_classes_and_mixes_of_them_sound_alike(pair: Any) -> None:
    z = pair[0].units.standard(frames(pair[0], 6))
    sounds = []
    for core in pair:
        parts = [core.decode(z)]
        core.set("class", 1)
        parts += [core.decode(z), core.encode(parts[0]).ravel()]
        core.set("input_class", 0)
        parts += [core.encode(parts[0]).ravel()]
        core.mix(np.array([0.25, 0.5]))
        parts += [core.decode(z), core.perform(keys(6).numpy()).ravel()]
        core.set("class", -1)
        sounds.append(np.concatenate([*parts, core.decode(z)]))
    same(sounds, 1e-3)


def test_notes_are_performed_and_made_up_alike(pair: Any) -> None:
    settings = {"prior_seed": 7, "prior_temperature": 0.6, "prior_density": 2.0, "prior_lowest": 55.0}
    performed, notes = [], []
    for core in pair:
        for name, value in settings.items():
            core.set(name, value)
        asked = keys(40, 3).numpy()
        parts = [core.perform(asked[..., :9])]
        core.restart_performer(2)
        performed.append(np.concatenate([*parts, core.perform(asked[..., 9:])], 1))
        first = core.improvise(50)
        notes.append(np.concatenate([first, core.improvise(300)], 1))
        core.restart_prior()
        np.testing.assert_array_equal(core.improvise(50), first)
    same(performed, 1e-3)
    same(notes, 0.0)


@pytest.fixture(scope="module")
def without_torch(tmp_path_factory: pytest.TempPathFactory) -> str:
    """PYTHONPATH of a machine that has no torch."""
    folder = tmp_path_factory.mktemp("blocked")
    (folder / "sitecustomize.py").write_text(BLOCKED)
    return str(folder)


SCORE = [
    {"time": 0, "address": "/wavevae/class", "args": ["reed"]},
    {"time": 0, "address": "/wavevae/note", "args": [60, 0.8]},
    {"time": 0.1, "address": "/wavevae/note", "args": [64, 0.6]},
    {"time": 0.2, "address": "/wavevae/note", "args": [60, 0.0]},
    {"time": 0.3, "address": "/wavevae/prior/seed", "args": [4]},
    {"time": 0.3, "address": "/wavevae/mode", "args": ["sample"]},
    {"time": 0.6, "end": True},
]
HEARD = [
    {"time": 0, "address": "/wavevae/mode", "args": ["transform"]},
    {"time": 0.1, "address": "/wavevae/fit", "args": [0.8]},
    {"time": 0.2, "address": "/wavevae/transpose", "args": [3]},
    {"time": 0.4, "end": True},
]


def test_commands_need_no_torch_and_render_the_same_sound(
    model: Path, without_torch: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """info, and every source of render that plays an instrument."""
    sound = toy_playable.tone(22050, 9000).numpy()[0, 0]
    soundfile.write(tmp_path / "in.wav", sound, 22050)
    for name, rows in (("score", SCORE), ("heard", HEARD)):
        (tmp_path / f"{name}.jsonl").write_text("\n".join(map(json.dumps, rows)))
    song = mido.MidiFile(tracks=[mido.MidiTrack()])
    for kind, note, ticks in (
        ("note_on", 62, 0),
        ("note_on", 67, 200),
        ("note_off", 62, 200),
        ("note_off", 67, 50),
    ):
        song.tracks[0].append(mido.Message(kind, note=note, velocity=90, time=ticks))
    song.save(tmp_path / "song.mid")
    sources = {
        "midi": ["--midi", tmp_path / "song.mid", "--gain", -3],
        "score": ["--score", tmp_path / "score.jsonl"],
        "heard": ["--score", tmp_path / "heard.jsonl", "--score-input", tmp_path / "in.wav"],
        "input": ["--input", tmp_path / "in.wav", "--class", "string"],
        "sample": ["--sample", "--seconds", 0.5, "--seed", 2],
    }
    calls = [["info", str(model)]]
    calls += [["render", model, *more, "-o", tmp_path / f"{n}-onnx.wav"] for n, more in sources.items()]
    code = (
        "import json, sys; from wavevae.cli import main\n"
        "for words in json.loads(sys.argv[1]):\n"
        "    assert main(words) == 0, words\n"
    )
    words = json.dumps([[str(word) for word in call] for call in calls])
    done = subprocess.run(
        [sys.executable, "-c", code, words],
        env={"PYTHONPATH": without_torch, "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert wavevae(["info", str(model)]) == 0
    assert capsys.readouterr().out == done.stdout
    for name, more in sources.items():
        assert wavevae(["render", *map(str, [model, *more, "-o", tmp_path / f"{name}-torch.wav"])]) == 0
        made = [soundfile.read(tmp_path / f"{name}-{runtime}.wav")[0] for runtime in ("torch", "onnx")]
        assert np.abs(made[0]).max() > 1e-3, name
        np.testing.assert_allclose(made[1], made[0], rtol=0, atol=1e-4, err_msg=name)


def test_what_needs_torch_says_what_to_install(model: Path, without_torch: str) -> None:
    code = "import sys; from wavevae.cli import main; sys.exit(main(['bench', sys.argv[1]]))"
    command = [sys.executable, "-c", code, str(model)]
    done = subprocess.run(command, env={"PYTHONPATH": without_torch}, capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr == (
        "wavevae: error: this needs torch, which is not installed; pip install 'wavevae[train]'\n"
    )


def test_serve_plays_without_torch(model: Path, without_torch: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", without_torch)
    with live(model, "--device", "none", "--voices", 2) as player:
        player.send("/wavevae/note", 60, 0.9)
        player.query("level")
        player.end()
    assert "0 refused" in player.said


@pytest.mark.parametrize(
    ("runtime", "what"),
    [("tensor", "use torch or onnx"), ("onnx", r"is a codec, which needs torch; pip inst")],
)
def test_a_runtime_that_cannot_play_it_says_so(
    runtime: str, what: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    export_checkpoint(toy_model.checkpoint(), tmp_path / "codec.ts")
    monkeypatch.setenv(bundle_file.VARIABLE, runtime)
    with pytest.raises(UserError, match=what):
        read_bundle(tmp_path / "codec.ts")


def test_one_of_the_two_onnx_files_is_refused_with_what_plays(tmp_path: Path) -> None:
    (tmp_path / "mine.decode.onnx").touch()
    with pytest.raises(
        UserError, match=r"mine\.decode\.onnx is for programs of your own; give the MODEL\.ts"
    ):
        read_bundle(tmp_path / "mine.decode.onnx")


def test_files_of_other_programs_and_no_files_say_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    foreign, broken = tmp_path / "rave.ts", tmp_path / "broken.ts"
    write_foreign(foreign)
    broken.write_bytes(b"no archive")
    monkeypatch.setenv(bundle_file.VARIABLE, "onnx")
    with pytest.raises(UserError, match="other programs need torch"):
        read_bundle(foreign, 22050)
    with pytest.raises(UserError, match="not a TorchScript model file"):
        read_bundle(broken)


def test_with_neither_it_says_what_to_install(
    model: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    found = importlib.util.find_spec
    hidden = lambda name: None if name in bundle_file.RUNTIMES.values() else found(name)  # noqa: E731
    monkeypatch.setattr(importlib.util, "find_spec", hidden)
    for words in (["info", str(model)], ["serve", str(model), "--device", "none"]):
        assert wavevae(words) == 2
        assert "needs torch or onnxruntime; pip install 'wavevae[stage]'" in capsys.readouterr().err


def test_graphs_that_are_not_the_model_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive_graphs, "packages_are_here", HERE)
    monkeypatch.setattr(archive_graphs, "archive_steps", archive_graphs.steps_of)
    monkeypatch.setattr(archive_graphs, "_compare_frames", lambda *_: {})
    right = OnnxModule.decode
    monkeypatch.setattr(OnnxModule, "decode", lambda self, z: 1.01 * right(self, z))
    with pytest.raises(ExportRefused, match=r"onnxruntime's decode in blocks of \w+ frames differs"):
        toy_playable.write(toy_playable.make(), tmp_path / "toy.ts")
    assert not list(tmp_path.iterdir())
