"""`wavevae explore`: what is stored, what is drawn and sounded, what it says where labels or UMAP are missing."""

import base64
import csv
import io
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch

from wavevae import audio
from wavevae.checkpoint import Checkpoint, write_checkpoint
from wavevae.config import DataConfig, ModelConfig, RunConfig
from wavevae.corpus import build_store
from wavevae.errors import UserError
from wavevae.evaluation.explore import contact_sheet, note_vectors
from wavevae.evaluation.explore.__main__ import main
from wavevae.evaluation.explore.explored_model import ExploredModel, load_explored_model
from wavevae.evaluation.explore.latent_edits import Target, interpolation, transferred, traversals
from wavevae.evaluation.explore.notes import Note, corner_notes, make_note, notes_of
from wavevae.evaluation.selection import Source
from wavevae.latents import LatentStatistics, Plane
from wavevae.nn.model import Autoencoder
from wavevae.realtime.model_info import Axis, LatentMap, ModelInfo
from wavevae.train.checkpointing import latent_statistics
from wavevae.train.training_data import TrainingData

pytestmark = pytest.mark.usefixtures("drawn_pictures")

RATE, HOP = 8000, 64
SHAPE = ModelConfig(
    sample_rate=RATE,
    fold=16,
    ratios=(4,),
    widths=(4, 6),
    dilations=(1,),
    latent_dim=4,
    noise_bands=0,
    partials=4,
)
CLASSES = ("drum", "flute", "horn")


def make_run(path: Path, **changes: Any) -> Path:
    """An untrained checkpoint whose statistics are those of some noise."""
    torch.manual_seed(0)
    config = RunConfig(model=replace(SHAPE, **changes))
    model = Autoencoder(config.model).eval()
    with torch.no_grad():
        condition = model.condition()
        z = model.encode(0.1 * torch.randn(1, 1, 40 * HOP), condition=condition)[0].T.numpy()
    latents = LatentStatistics.fit([z]).to_dict()
    write_checkpoint(path, Checkpoint(config=config, state=model.state_dict(), latents=latents))
    return path


def tone(pitch: float, kind: int, seconds: float = 0.6) -> np.ndarray:
    t = np.arange(round(seconds * RATE)) / RATE
    hz = 440 * 2 ** ((pitch - 69) / 12)
    partials = sum(np.sin(2 * np.pi * k * hz * t) / k**kind for k in range(1, 5))
    return (0.2 * partials * np.exp(-kind * t)).astype(np.float32)


@pytest.fixture(scope="module")
def nsynth(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three families at four pitches, in NSynth's layout."""
    folder = tmp_path_factory.mktemp("nsynth") / "test"
    labels = {}
    for kind, family in enumerate(CLASSES, 1):
        for pitch in (50, 55, 62, 67):
            name = f"{family}_acoustic_000-{pitch:03d}-100"
            audio.write(folder / "audio" / f"{name}.wav", tone(pitch, kind), RATE)
            labels[name] = {
                "note_str": name,
                "pitch": pitch,
                "instrument_family_str": family,
                "instrument_family": kind,
            }
    (folder / "examples.json").write_text(json.dumps(labels))
    return folder.parent


@pytest.fixture(scope="module")
def explored(nsynth: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that is told classes and pitches, explored by the command."""
    folder = tmp_path_factory.mktemp("explored")
    run = make_run(folder / "run.ckpt", condition="class+pitch", classes=CLASSES)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "umap", None)
        assert main([str(run), str(nsynth), "-o", str(folder / "out")]) == 0
    return folder / "out"


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> ExploredModel:
    return load_explored_model(make_run(tmp_path_factory.mktemp("plain") / "run.ckpt"), "best")


def notes_from(
    instrument: ExploredModel, sounds: Sequence[np.ndarray], labels: Sequence[dict[str, Any]]
) -> list[Note]:
    made = []
    for n, (sound, said) in enumerate(zip(sounds, labels, strict=True)):
        source = Source(Path(f"{n}.wav"), f"{n}.wav", len(sound) / RATE, labels=said)
        made.append(make_note(source, "", 0.0, sound, instrument.look(sound, said), HOP))
    return made


# -- what is stored ------------------------------------------------------------------------------------------


def test_latents_are_stored_with_what_is_known(explored: Path, nsynth: Path) -> None:
    kept = np.load(explored / "latents.npz")
    assert {"mu", "std", "logvar", "vector", "pitch", "family", "keys", "paths"} <= set(kept)
    assert kept["mu"].shape == kept["std"].shape == kept["logvar"].shape == (12, 4)
    assert sorted(set(kept["family"])) == list(CLASSES)
    assert sorted(set(kept["pitch"])) == [50, 55, 62, 67]
    frames = np.load(explored / "frames.npz")
    assert frames["mu"].shape == frames["logvar"].shape == (kept["frames"].sum(), 4)

    row = list(kept["keys"]).index("flute_acoustic_000-055-100")
    model = load_explored_model(explored.parent / "run.ckpt", "best").model
    x = torch.from_numpy(audio.read_mono(Path(str(kept["paths"][row])), RATE))[None, None]
    condition = model.condition("flute", 55)
    with torch.no_grad():
        mean = model.encode(x, condition=condition)[0].T.numpy()
        _, log_variance = model.bottleneck.split(model.features(x, condition))  # type: ignore[operator]
    heard = frames["sounding"][frames["note"] == row]
    np.testing.assert_allclose(kept["mu"][row], mean[heard].mean(0), atol=1e-5)
    np.testing.assert_allclose(kept["logvar"][row], log_variance[0].T.numpy()[heard].mean(0), atol=1e-5)
    np.testing.assert_allclose(frames["mu"][frames["note"] == row], mean, atol=2e-3)


def test_everything_promised_is_there(explored: Path) -> None:
    found = json.loads((explored / "explore.json").read_text())
    assert found["families"] == {"drum": 4, "flute": 4, "horn": 4}
    assert found["grids"] == ["moved", "scaled", "between", "drawn", "transfer", "neighbours"]
    assert found["maps"] == ["pca.png", "frames.png"]
    for name in found["grids"]:
        assert (explored / name / "sheet.png").read_bytes()[:4] == b"\x89PNG"
        assert list((explored / name).glob("*.wav"))
        assert not (explored / name / ".thumbs").exists()
    assert len(list((explored / "moved").glob("*.wav"))) == 4 * 5
    assert len(list((explored / "between").glob("*.wav"))) == 25
    for path in explored.glob("*/*.wav"):
        sound, rate = soundfile.read(path)
        assert rate == RATE
        assert np.isfinite(sound).all()
        assert np.abs(sound).max() < 1.0
    rows = list(csv.DictReader((explored / "neighbours.csv").open()))
    assert len(rows) == 12 * 5
    assert all(row["note"] != row["neighbour"] for row in rows)


def test_without_umap_it_is_said_how_to_get_it(explored: Path) -> None:
    remarks = json.loads((explored / "explore.json").read_text())["remarks"]
    assert remarks == ["no UMAP picture: umap-learn is not installed; pip install 'wavevae[explore]'"]


def test_umap_is_called_as_in_study_c(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: dict[str, Any] = {}

    class Fake:
        def __init__(self, **settings: Any) -> None:
            asked.update(settings)

        def fit_transform(self, x: np.ndarray) -> np.ndarray:
            return x[:, :2]

    monkeypatch.setitem(sys.modules, "umap", type(sys)("umap"))
    monkeypatch.setattr(sys.modules["umap"], "UMAP", Fake, raising=False)
    x = np.random.default_rng(0).standard_normal((40, 6))
    places, why = note_vectors.umap_plane(x)
    assert places is not None
    assert places.shape == (40, 2)
    assert (asked["n_neighbors"], asked["min_dist"], why) == (30, 0.1, "")
    assert note_vectors.umap_plane(x[:3])[0] is None


# -- the page ------------------------------------------------------------------------------------------------


def test_the_page_needs_nothing_beside_it_and_holds_the_sounds(explored: Path) -> None:
    raw = (explored / "explore.html").read_text()
    assert not re.search(r"""(src|href)=["'](?!data:)""", raw)
    assert not re.search(r"https?://|url\(|@import|fetch\(", raw)
    players = re.findall(r'<audio preload="none" src="data:audio/flac;base64,([^"]*)"', raw)
    wavs = list(explored.glob("*/*.wav"))
    assert len(players) == len(wavs)
    inside = [soundfile.read(io.BytesIO(base64.b64decode(data)), dtype="float32")[0] for data in players]
    for path in wavs[::7]:
        wanted = audio.read_mono(path, RATE)
        assert any(len(x) == len(wanted) and np.abs(x - wanted).max() < 1e-4 for x in inside), path


@pytest.mark.skipif(shutil.which("chromium") is None, reason="no chromium")
def test_a_browser_shows_it_and_a_press_plays(explored: Path, tmp_path: Path) -> None:
    probe = (
        "addEventListener('load', () => { const cell = document.querySelector('button.cell'); let played = 0;"
        "cell.querySelector('audio').play = () => { played += 1; }; cell.click();"
        "document.body.dataset.shown = [...document.images].every((i) => i.naturalWidth > 50) + ' ' + played + ' ' + "
        "getComputedStyle(document.querySelector('.grid')).display; });"
    )
    page = tmp_path / "page.html"
    page.write_text(
        (explored / "explore.html").read_text().replace("</body>", f"<script>{probe}</script></body>")
    )
    options = ["--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path / 'profile'}"]
    done = subprocess.run(
        ["chromium", *options, "--dump-dom", page.as_uri()], capture_output=True, text=True, timeout=300
    )
    found = re.search(r'data-shown="([^"]*)"', done.stdout)
    assert found is not None, done.stderr[-500:]
    assert found[1] == "true 1 grid"


# -- what is done with latents -------------------------------------------------------------------------------


def test_a_stretch_is_encoded_as_in_the_flow(plain: ExploredModel, tmp_path: Path) -> None:
    """A long file is several notes; each knows what led up to it."""
    sound = 0.1 * np.random.default_rng(0).standard_normal(round(9.5 * RATE)).astype(np.float32)
    audio.write(tmp_path / "long.wav", sound, RATE)
    source = Source(tmp_path / "long.wav", "long.wav", 9.5)
    made = list(notes_of(plain, source, ""))
    assert [note.key for note in made] == ["long.wav", "long.wav @ 4 s", "long.wav @ 8 s"]
    whole = plain.encode(audio.read_mono(tmp_path / "long.wav", RATE), {})
    np.testing.assert_allclose(np.concatenate([note.means for note in made]), whole, atol=1e-5)


def test_what_a_late_model_decodes_is_in_the_place_of_what_was_encoded(tmp_path: Path) -> None:
    """But for its last frame, which ends beyond the last latents."""
    late = load_explored_model(make_run(tmp_path / "late.ckpt", hop_overlap=2), "best")
    sound = tone(60, 1)[: 20 * HOP]
    with torch.inference_mode():
        expected = late.model(torch.from_numpy(sound)[None, None])[0, 0].numpy()
    found = late.decode(late.encode(sound, {}), None)
    assert found.shape == sound.shape
    np.testing.assert_allclose(found[: 19 * HOP], expected[: 19 * HOP], atol=1e-6)


def test_what_is_silent_says_nothing(plain: ExploredModel) -> None:
    sound = tone(60, 1)
    sound[: 20 * HOP] = 0.0
    (note,) = notes_from(plain, [sound], [{}])
    assert not note.sounding[:20].any()
    assert note.sounding[25]
    (silent,) = notes_from(plain, [np.zeros(500, np.float32)], [{}])
    assert silent.sounding.all()


def test_one_axis_moves_alone(plain: ExploredModel) -> None:
    (note,) = notes_from(plain, [tone(60, 1)], [{}])
    moved, scaled = traversals(plain, note, 1200)
    assert (len(moved.rows), moved.columns) == (4, 5)
    again = plain.decode(note.means[: -(-1200 // HOP)], None)[:1200]
    for grid, column in ((moved, 2), (scaled, 2)):  # +0 sd and x 1
        for row in grid.rows:
            cell = row[column]
            assert cell is not None
            np.testing.assert_allclose(cell.sound, again, atol=1e-4)
    axes = plain.axes(note.means[: -(-1200 // HOP)])
    axes[:, 1] += 2.0
    cell = moved.rows[1][4]
    assert cell is not None
    np.testing.assert_allclose(cell.sound, plain.decode(plain.raw(axes), None)[:1200], atol=1e-5)


def test_corners_of_a_grid_are_the_notes(plain: ExploredModel) -> None:
    notes = notes_from(plain, [tone(p, k) for p, k in ((50, 1), (62, 1), (50, 3), (62, 3))], [{}] * 4)
    grid = interpolation(plain, notes, 1024)
    for note, (r, c) in zip(notes, ((0, 0), (0, 4), (4, 0), (4, 4)), strict=True):
        cell = grid.rows[r][c]
        assert cell is not None
        np.testing.assert_allclose(cell.sound, plain.decode(note.means[:16], None), atol=1e-5)
    middle = grid.rows[2][2]
    assert middle is not None
    mixed = np.mean([note.means[:16] for note in notes], 0)
    np.testing.assert_allclose(middle.sound, plain.decode(mixed, None), atol=1e-5)


def test_labels_are_mixed_with_the_latents(explored: Path) -> None:
    told = load_explored_model(explored.parent / "run.ckpt", "best")
    low, high = ({"pitch": p, "instrument_family_str": f} for p, f in ((50, "drum"), (62, "horn")))
    mixed = told.mixed([low, high], [0.25, 0.75])
    assert mixed is not None
    assert mixed.classes.tolist() == [[0.25, 0.0, 0.75]]
    assert mixed.pitch.tolist() == [59.0]
    assert torch.isnan(told.mixed([low, {}], [0.5, 0.5]).pitch).all()  # type: ignore[union-attr]


def test_transfer_takes_the_statistics_or_the_class(plain: ExploredModel, explored: Path) -> None:
    sounds = [tone(50, 1), tone(62, 3)]
    labels = [{"class": "drum", "pitch": 50}, {"class": "horn", "pitch": 62}]
    source, other = notes_from(plain, sounds, labels)
    target = Target(plain, other, [other])
    axes = target.statistics_onto(plain.axes(source.means), source.sounding)[source.sounding]
    wanted = plain.axes(other.sounding_means)
    np.testing.assert_allclose(axes.mean(0), wanted.mean(0), atol=1e-6)
    assert (axes.std(0) <= wanted.std(0) + 1e-6).all()
    told = load_explored_model(explored.parent / "run.ckpt", "best")
    source, other = notes_from(told, sounds, labels)
    heard = transferred(told, source, Target(told, other, [other]), 1024)
    np.testing.assert_allclose(
        heard, told.decode(source.means[:16], told.model.condition("horn", 50)), atol=1e-6
    )


def test_neighbours_are_the_nearest_of_other_files(plain: ExploredModel) -> None:
    notes = notes_from(plain, [tone(60, 1)] * 5, [{"class": c} for c in "aabbb"])
    notes[1] = replace(notes[1], path=notes[0].path)
    places = np.array([[0.0], [0.1], [1.0], [1.5], [10.0]])
    found = note_vectors.nearest(notes, places, 2)
    assert found.near.tolist() == [[2, 3], [2, 3], [3, 1], [2, 1], [3, 2]]
    np.testing.assert_allclose(found.distance[0], [1.0, 1.5], atol=1e-6)
    alike = note_vectors.likeness(notes, found)
    assert alike["same_family"] == pytest.approx(4 / 10)
    assert alike["same_family_by_chance"] == pytest.approx((2 + 6) / 20)


def test_corners_are_two_classes_at_two_pitches(plain: ExploredModel) -> None:
    labels = [{"class": f"c{k}", "pitch": p} for k in (1, 2, 3) for p in (50, 55, 62, 67)]
    notes = notes_from(plain, [tone(60, 1)] * 12, labels)
    places = np.repeat([[0.0], [1.0], [5.0]], 4, axis=0)
    picked = [notes[i] for i in corner_notes(notes, places)]
    assert [note.family for note in picked] == ["c1", "c1", "c3", "c3"]
    assert picked[0].pitch < picked[1].pitch
    assert picked[2].pitch < picked[3].pitch


def test_the_plane_is_that_of_the_xy_pad() -> None:
    points = np.array([[-1.0, 4.0, 9.0], [3.0, 8.0, 9.0]])
    plane = Plane.of(points)
    np.testing.assert_allclose(
        plane.places(np.array([[-1.0, 8.0, 0.0], [1.0, 6.0, 0.0]])), [[0, 1], [0.5, 0.5]]
    )
    np.testing.assert_allclose(Plane.of(points[:, :1]).places(points[:, :1]), [[0, 0.5], [1, 0.5]])


def test_serve_shows_the_points_in_that_plane() -> None:
    points = np.random.default_rng(0).standard_normal((20, 3))
    axes = tuple(Axis(str(i), -2.0, 2.0, 0.5) for i in range(3))
    about = ModelInfo("m.ts", "m", RATE, HOP, axes, points=tuple(tuple(p) for p in points.tolist()))
    np.testing.assert_allclose(LatentMap(about).places, Plane.of(points).places(points))
    bare = LatentMap(replace(about, points=()))
    assert bare.bounds() == [[-2.0, 2.0], [-2.0, 2.0]]


def test_training_notes_whose_the_points_of_the_map_are(tmp_path: Path) -> None:
    """Also for a model that is told no class."""
    for kind, family in enumerate(("drum", "horn"), 1):
        for pitch in (50, 62, 70):
            audio.write(tmp_path / "s" / family / f"{pitch}.wav", tone(pitch, kind), RATE)
    config = RunConfig(model=SHAPE, data=DataConfig(chunk_seconds=0.3, validation_share=0.0))
    data = TrainingData(build_store([tmp_path / "s"], RATE, "keep"), config)
    density = latent_statistics(Autoencoder(SHAPE), data, 6)["density"]
    assert len(density["point_labels"]) == len(density["points"])
    assert set(density["point_labels"]) == {"drum", "horn"}


def test_a_sheet_keeps_the_loudest_and_no_sound_clips() -> None:
    picture = np.full((7, 300), -80.0)
    picture[0, 299] = 0.0
    small = contact_sheet.fitted(picture, (5, 20))
    assert small.shape == (5, 20)
    assert small[-1, -1] == 0.0  # low frequencies below, late to the right
    assert np.abs(contact_sheet.tame(np.array([3.0, -4.0, np.nan], np.float32))).max() <= 0.99


# -- what is missing -----------------------------------------------------------------------------------------


def explore(
    tmp_path: Path, sounds: dict[str, np.ndarray], capsys: pytest.CaptureFixture[str], **shape: Any
) -> Any:
    for name, sound in sounds.items():
        audio.write(tmp_path / "sounds" / name, sound, RATE)
    run = make_run(tmp_path / "run.ckpt", **shape)
    assert main([str(run), str(tmp_path / "sounds"), "-o", str(tmp_path / "out"), "--no-umap", "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_without_labels_maps_are_uncoloured_and_it_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = explore(tmp_path, {f"{n}.wav": tone(50 + n, 1 + n % 3) for n in range(4)}, capsys)
    assert found["families"] == {}
    assert any("maps are uncoloured" in remark for remark in found["remarks"])
    assert any("no file has a pitch" in remark for remark in found["remarks"])
    assert found["maps"] == ["pca.png", "frames.png"]
    assert "between" in found["grids"]


def test_one_class_of_one_frame_each(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sounds = {f"only/{n}.wav": tone(50 + 5 * n, 1)[:HOP] for n in range(3)}
    found = explore(tmp_path, sounds, capsys, bottleneck="ae")
    assert found["frames"] == 3
    assert any("one class only (only)" in remark for remark in found["remarks"])
    assert any("one latent frame" in remark for remark in found["remarks"])
    assert "logvar" not in np.load(tmp_path / "out" / "latents.npz")  # an ae has none


def test_one_sound_is_not_a_map(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = explore(tmp_path, {"a.wav": tone(60, 1)}, capsys)
    assert found["maps"] == []
    assert found["grids"] == ["moved", "scaled", "drawn"]
    assert any("no maps of 1 notes" in remark for remark in found["remarks"])


def test_what_cannot_be_explored_is_refused(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run.ckpt")
    audio.write(tmp_path / "a.wav", tone(60, 1), RATE)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "maps").mkdir()
    with pytest.raises(UserError, match="holds 'maps' from elsewhere"):
        main([str(run), str(tmp_path / "a.wav"), "-o", str(tmp_path / "out")])
    with pytest.raises(UserError, match="give 0 or more"):
        main([str(run), str(tmp_path / "a.wav"), "-o", str(tmp_path / "new"), "--max-seconds", "-1"])
    bare = tmp_path / "bare.ckpt"
    config = RunConfig(model=SHAPE)
    write_checkpoint(bare, Checkpoint(config=config, state=Autoencoder(SHAPE).state_dict()))
    with pytest.raises(UserError, match="no statistics"):
        main([str(bare), str(tmp_path / "a.wav"), "-o", str(tmp_path / "new")])
    assert not (tmp_path / "new").exists()
