"""A spectrogram model from one command each: trained, resumed, judged, rendered, refused where it cannot go."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_run import workplace

import wavevae
from wavevae import audio
from wavevae.checkpoint import find_checkpoint, read_checkpoint
from wavevae.errors import UserError
from wavevae.evaluation.__main__ import main as evaluate
from wavevae.evaluation.file_under_test import load_model_under_test
from wavevae.export.__main__ import main as export
from wavevae.info import main as info
from wavevae.parts_command import main as parts
from wavevae.realtime.offline.render import main as render
from wavevae.studies.spectrogram_model import SpectrogramModel
from wavevae.studies.study_run import StudyRun, UpperBound
from wavevae.train.__main__ import main as train
from wavevae.train.budget import Budget
from wavevae.train.study_module import PLATEAU_PATIENCE, StudyModule

pytestmark = pytest.mark.usefixtures("drawn_pictures")

RATE = 8000
SMALL = (
    *("--sr", str(RATE), "--latent-dim", "4", "--batch-size", "4", "--chunk", "0.12", "--seed", "3"),
    *("--set", "n_fft=256", "--set", "frame_hop=64", "--set", "window_frames=16", "--set", "n_mels=20"),
    *("--set", "conv_channels=[4, 8]", "--set", "validate_every=10", "--set", "griffin_lim_steps=4"),
)
STFT = ("--sr", str(RATE), "--latent-dim", "4", "--batch-size", "4", "--chunk", "0.12", "--seed", "3")
STFT += ("--set", "n_fft=256", "--set", "frame_hop=60", "--set", "window_frames=16")
STFT += ("--set", "conv_channels=[4, 8]", "--set", "validate_every=10")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with sounds/ of two classes, 0.6 s each, and room for runs."""
    with pytest.MonkeyPatch.context() as patch, workplace(tmp_path_factory.mktemp("place"), patch) as tones:
        sounds = tones.parent / "two"
        for number in range(8):
            t = np.arange(int(1.2 * RATE)) / RATE
            x = 0.3 * np.sin(2 * np.pi * 110 * (number + 2) * t) * np.exp(-2 * t)
            x = x if number < 4 else np.sign(x) * np.abs(x) ** 0.5
            name = f"{'dull' if number < 4 else 'bright'}/{number}.wav"
            audio.write(sounds / name, x.astype(np.float32), RATE)
        yield tones.parent


@pytest.fixture(scope="module")
def run_a(place: Path) -> Path:
    """Study A, tiny: class-conditional AE of log-mel."""
    argv = [
        str(place / "two"),
        "--preset",
        "study-a",
        *SMALL,
        "--max-steps",
        "40",
        "--set",
        "learning_rate=3e-3",
        "--set",
        "warm_up_steps=0",
    ]
    assert train([*argv, "--out", str(place / "a")]) == 0
    return place / "a"


def rows(run: Path) -> list[dict[str, str]]:
    with open(run / "metrics.csv", newline="") as file:
        return list(csv.DictReader(file))


# -- training ---------------------------------------------------------------------------------------------------


def test_it_learns_and_leaves_a_run_folder(run_a: Path) -> None:
    distances = [float(row["val_feature_l1"]) for row in rows(run_a) if row["val_feature_l1"]]
    assert len(distances) == 5  # the start, then every ten steps
    assert distances[-1] < 0.9 * distances[0]
    rates = [float(row["learning_rate"]) for row in rows(run_a) if row["learning_rate"]]
    assert rates[-1] < 0.1 * max(rates)  # cosine
    for name in ("losses.png", "term_losses.png", "config.yaml", "data_report.csv", "checkpoints/best.ckpt"):
        assert (run_a / name).is_file(), name
    assert list((run_a / "validation").glob("100-percent-*.wav"))


def test_it_is_loaded_like_any_model(run_a: Path) -> None:
    model = wavevae.load(run_a)
    assert isinstance(model, SpectrogramModel)
    assert (model.sample_rate, model.hop_length, model.latent_dim) == (RATE, 512, 4)
    assert model.config.classes == ("bright", "dull")
    assert model.spectrum.top_db > 0  # the level of the training set came along
    x = torch.randn(2, 1, 1500) * 0.1
    assert model(x).shape == x.shape


@pytest.mark.parametrize(("preset", "more"), [("study-c", SMALL), ("study-d-vae", STFT)])
@pytest.mark.slow
def test_a_resumed_run_is_the_uninterrupted_one(place: Path, preset: str, more: tuple[str, ...]) -> None:
    argv = [str(place / "two"), "--preset", preset, *more, "--set", "condition=none"]
    whole, halves = place / f"{preset}-whole", place / f"{preset}-halves"
    assert train([*argv, "--max-steps", "12", "--set", "kl_schedule=constant", "--out", str(whole)]) == 0
    assert train([*argv, "--max-steps", "6", "--set", "kl_schedule=constant", "--out", str(halves)]) == 0
    assert train(["--resume", "--max-steps", "12", "--out", str(halves)]) == 0
    one, other = (read_checkpoint(find_checkpoint(run, "last")) for run in (whole, halves))
    assert one.step == other.step == 12
    for name, tensor in one.live.items():
        torch.testing.assert_close(other.live[name], tensor, msg=name)
    assert (whole / "beta_vs_kl.png").is_file()


def test_a_plateau_halves_the_rate_and_a_resume_remembers(place: Path) -> None:
    config = read_checkpoint(find_checkpoint(run_d(place))).config
    module = StudyModule(config, Budget(None, 10))
    module.step = 1000  # after the warm-up
    optimizer = module.configure_optimizers()
    group = optimizer.param_groups[0]
    module.optimizers = lambda use_pl_optimizer=True: optimizer  # type: ignore[method-assign,assignment]
    for distance in (1.0, *[2.0] * PLATEAU_PATIENCE):
        assert module.rate == config.train.learning_rate
        module._halve_on_plateau(distance)
    assert module.rate == config.train.learning_rate / 2
    again = module.configure_optimizers()
    again.load_state_dict(optimizer.state_dict())
    assert (again.param_groups[0]["halved"], again.param_groups[0]["best"]) == (0.5, 1.0)
    assert group["waited"] == 0


def run_d(place: Path) -> Path:
    """Study D's autoencoder, tiny; made once."""
    out = place / "d"
    if not out.exists():
        argv = [str(place / "two"), "--preset", "study-d", *STFT, "--max-steps", "20"]
        assert train([*argv, "--set", "learning_rate=1e-2", "--out", str(out)]) == 0
    return out


def test_the_accuracy_of_study_d_is_kept(place: Path) -> None:
    accuracies = [float(row["val_accuracy"]) for row in rows(run_d(place)) if row["val_accuracy"]]
    assert len(accuracies) == 3
    assert 0 <= accuracies[0] < accuracies[-1] <= 100


# -- evaluation -------------------------------------------------------------------------------------------------


def test_it_is_judged_by_sound_beside_its_upper_bound(run_a: Path, place: Path) -> None:
    out = place / "report"
    options = ["--generate", "5", "--probe-files", "0", "--pairs", "2", "--samples", "3"]
    assert evaluate([str(run_a), str(place / "two"), "-o", str(out), *options]) == 0
    report = json.loads((out / "report.json").read_text())
    bound = report["upper_bound"]
    for name in ("mr_stft", "log_mel_l1"):
        assert 0 < bound[name] < report[name]
    assert bound["says"].startswith("upper bound, the sounds' own features inverted: mr_stft")
    assert report["hop_rate_energy_db"] is not None  # at the spectrogram's hop
    assert (report["latent_dim"], report["hop_length"]) == (4, 512)
    assert len(list((out / "pairs").glob("*-upper-bound.wav"))) == 2
    assert "upper-bound" in (out / "report.html").read_text()
    folders = sorted(path.name for path in (out / "samples").iterdir())
    assert len(folders) == 3
    assert {name.split("_class_")[1] for name in folders} == {"bright", "dull"}
    for folder in (out / "samples").iterdir():
        lengths = {name: audio.probe(folder / f"{name}.wav").frames for name in ("gt", "recon", "gen")}
        assert set(lengths.values()) == {int(1.2 * RATE)}
        assert (folder / "spectrograms.png").stat().st_size > 1000


def test_the_upper_bound_of_magnitude_and_phase_is_the_sound(place: Path) -> None:
    subject = load_model_under_test(run_d(place))
    assert isinstance(subject, StudyRun)
    x = (0.1 * np.random.default_rng(0).standard_normal(3000)).astype(np.float32)
    (piece,) = UpperBound(subject).reconstruct([x])
    torch.testing.assert_close(piece.estimate, torch.from_numpy(x), atol=1e-4, rtol=0)


def test_sounds_longer_than_a_section_have_no_seam_in_length(run_a: Path) -> None:
    subject = load_model_under_test(run_a)
    assert isinstance(subject, StudyRun)
    subject.block_samples = 4 * subject.facts.hop_length
    x = (0.1 * np.random.default_rng(0).standard_normal(9000)).astype(np.float32)
    pieces = list(subject.reconstruct(np.split(x, range(subject.block_samples, 9000, subject.block_samples))))
    assert torch.equal(torch.cat([p.reference for p in pieces]), torch.from_numpy(x))
    assert sum(len(p.estimate) for p in pieces) == 9000


def test_a_waveform_model_has_sample_folders_too(place: Path, tmp_path: Path) -> None:
    from tiny_run import TINY

    assert train([str(place / "two"), *TINY, "--max-steps", "20", "--out", str(tmp_path / "w")]) == 0
    options = ["--generate", "0", "--probe-files", "0", "--pairs", "1", "--samples", "2"]
    assert evaluate([str(tmp_path / "w"), str(place / "two"), "-o", str(tmp_path / "r"), *options]) == 0
    for folder in (tmp_path / "r" / "samples").iterdir():
        assert {p.name for p in folder.iterdir()} == {"gt.wav", "recon.wav", "gen.wav", "spectrograms.png"}
    assert "upper_bound" not in json.loads((tmp_path / "r" / "report.json").read_text())


# -- render -------------------------------------------------------------------------------------------------------


def test_it_is_rendered_from_one_command(run_a: Path, place: Path, tmp_path: Path) -> None:
    one, two = (str(place / "two" / name) for name in ("dull/0.wav", "bright/5.wav"))
    for name, argv in {
        "as-it-is": ["--input", one, "--class", "dull"],
        "as-bright": ["--input", one, "--class", "bright", "--input-class", "dull"],
        "bound": ["--input", one, "--upper-bound"],
        "between": ["--interpolate", one, two],
        "new": ["--sample", "--seconds", "1.2", "--class", "dull", "--seed", "5"],
    }.items():
        assert render([str(run_a), *argv, "-o", str(tmp_path / f"{name}.wav")]) == 0
        assert audio.probe(tmp_path / f"{name}.wav").frames == int(1.2 * RATE)
    made = {path.stem: audio.read_mono(path, RATE) for path in tmp_path.glob("*.wav")}
    assert not np.array_equal(made["as-it-is"], made["as-bright"])
    assert all(np.isfinite(x).all() and np.abs(x).max() > 1e-3 for x in made.values())
    again = ["--sample", "--seconds", "1.2", "--class", "dull", "--seed", "5"]
    assert render([str(run_a / "checkpoints" / "best.ckpt"), *again, "-o", str(tmp_path / "again.wav")]) == 0
    assert (tmp_path / "again.wav").read_bytes() == (tmp_path / "new.wav").read_bytes()


@pytest.mark.parametrize(
    ("argv", "says"),
    [
        (["--input", "nowhere.wav"], "nowhere.wav: no such file"),
        (["--input", "x.wav", "--class", "brigth"], "unknown class 'brigth'; did you mean 'bright'"),
        (["--input", "x.wav", "--pitch", "60"], "the model is not told pitches"),
        (["--sample"], "--sample and --seconds go together"),
        (["--sample", "--seconds", "0"], "--seconds 0; use a time above 0"),
        (["--sample", "--seconds", "1", "--seed", "-1"], "--seed -1; use 0 or more"),
        (["--sample", "--seconds", "1", "--upper-bound"], "--upper-bound goes with --input"),
        ([], "one of the arguments --input --interpolate --sample is required"),
        (["--score", "x.jsonl"], "required"),
    ],
)
def test_wrong_use_of_render_is_one_line(run_a: Path, argv: list[str], says: str, tmp_path: Path) -> None:
    with pytest.raises(UserError) as caught:
        render([str(run_a), *argv, "-o", str(tmp_path / "out.wav")])
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_it_neither_exports_nor_comes_apart(run_a: Path, tmp_path: Path) -> None:
    for command in (export, parts):
        with pytest.raises(UserError, match=r"spectrogram model \(log-mel\): it neither streams nor exports"):
            command([str(run_a), "-o", str(tmp_path / "out.ts")])


def test_info_says_what_it_is(run_a: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert info([str(run_a), "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert (said["spectrogram_model"], said["hop_length"], said["latent_dim"]) == ("log-mel", 512, 4)
    model = wavevae.load(run_a)
    assert said["parameters"] == sum(p.numel() for p in model.parameters())
