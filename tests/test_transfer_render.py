"""`wavevae render` of an instrument: foreign sound fitted to the corpus, glides, what is refused; `info` of it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
import toy_playable as toy
from toy_bundle import write_conditional, write_toy

from wavevae import info
from wavevae.bundle import read_bundle, write_bundle
from wavevae.errors import UserError
from wavevae.export.instrument import instrument_module
from wavevae.export.model_file import describe, read_model
from wavevae.export.torchscript import script
from wavevae.nn.instrument import Instrument
from wavevae.nn.pitch import Loudness, PitchTracker
from wavevae.realtime.offline import render
from wavevae.transfer import CorpusProfile, corpus_profile

RATE, HOP = 22050, 256
LOW, HIGH = 45.0, 69.0
"""Pitches of the corpus, MIDI."""


@pytest.fixture(scope="module")
def trained() -> Instrument:
    """It has heard tones from LOW to HIGH of -25 to -15 dB; nothing drifts."""
    model = toy.make()
    with torch.no_grad():
        model.decoder.life.spread.zero_()
        tones = [
            model.encode(toy.tone(RATE, 40 * HOP, midi, level))[0, :, 8:].T.numpy()
            for midi, level in zip(np.arange(LOW, HIGH + 1), np.linspace(-25, -15, 25), strict=True)
        ]
    model.profile = corpus_profile(tones, model.config)
    return model


@pytest.fixture(scope="module")
def model(trained: Instrument, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("instrument") / "mine.ts"
    checkpoint = toy.checkpoint(trained)
    assert trained.profile is not None
    checkpoint.latents["profile"] = trained.profile.to_dict()
    loaded, axes = read_model(checkpoint)
    assert isinstance(loaded, Instrument)
    write_bundle(path, script(instrument_module(loaded, axes)), describe(loaded, axes, {}))
    return path


def write(path: Path, *tones: torch.Tensor) -> Path:
    soundfile.write(path, torch.cat([t.flatten() for t in tones]).numpy(), RATE, subtype="FLOAT")
    return path


def heard(path: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Pitch, periodicity and loudness of a file a frame."""
    audio = torch.from_numpy(soundfile.read(path, dtype="float32")[0])
    x = audio[: len(audio) // HOP * HOP][None, None]
    tracker = PitchTracker(RATE, HOP)
    pitch, periodicity = tracker(x)[0].numpy()
    return pitch, periodicity, Loudness(HOP, tracker.latency_samples)(x)[0, 0].numpy()


def run(model: Path, *arguments: object) -> None:
    assert render.main([str(model), *map(str, arguments)]) == 0


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "out.wav"


# -- an input -------------------------------------------------------------------------------------------------


def test_the_file_knows_its_corpus_in_its_own_units(model: Path, trained: Instrument) -> None:
    bundle = read_bundle(model)
    profile, own = CorpusProfile.from_dict(bundle.info.profile), trained.profile
    assert own is not None
    assert profile.pitch == own.pitch
    assert profile.loudness == own.loudness
    x = toy.tone(RATE, 40 * HOP, 57.0, -20.0)
    with torch.inference_mode():
        bundle.module.reset()
        of_file = profile.measure(bundle.module.encode(x)[0, :, 8:].T.numpy())
        of_model = own.measure(trained.encode(x)[0, :, 8:].T.numpy())
    distances = [
        (np.array(x.mean[3:]) - np.array(p.mean[3:])) / np.array(p.std[3:])
        for x, p in ((of_file, profile), (of_model, own))
    ]
    np.testing.assert_allclose(*distances, atol=0.02)


def test_a_foreign_tone_comes_into_the_range_and_as_long_as_it_was(
    model: Path, tmp_path: Path, out: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    low = write(tmp_path / "low.wav", toy.tone(RATE, 30001, 35.3, -50.0))
    run(model, "--input", low, "-o", out, "--fit", 1)
    assert soundfile.info(out).frames == 30001
    pitch, _, loudness = heard(out)
    assert np.median(pitch[30:90]) == pytest.approx(47.3, abs=0.05)
    assert np.median(loudness[30:90]) == pytest.approx(-20, abs=1.5)
    assert "transposed by +12 semitones" in capsys.readouterr().err
    run(model, "--input", low, "-o", out)
    assert "foreign to the corpus, its loudness and timbre are fitted" in capsys.readouterr().err
    assert np.median(heard(out)[2][30:90]) == pytest.approx(-20, abs=1.5)
    run(model, "--input", low, "-o", out, "--transpose", 0, "--fit", 0)
    pitch, _, loudness = heard(out)
    assert np.median(pitch[30:90]) == pytest.approx(35.3, abs=0.05)
    assert np.median(loudness[30:90]) == pytest.approx(-50, abs=1.5)
    assert "30 dB quieter than the corpus; --fit 1" in capsys.readouterr().err
    run(model, "--input", low, "-o", out, "--transpose", 20.5)
    assert np.median(heard(out)[0][30:90]) == pytest.approx(55.8, abs=0.05)


def test_a_melody_stays_in_its_place_and_its_intervals(model: Path, tmp_path: Path, out: Path) -> None:
    pitches = (80.0, 84.5, 82.1)
    tones = [toy.tone(RATE, RATE // 2, pitch, -30.0) for pitch in pitches]
    run(model, "--input", write(tmp_path / "in.wav", *tones), "-o", out, "--fit", 1)
    pitch = heard(out)[0]
    at = [round((n + 0.6) * RATE / 2 / HOP) for n in range(3)]
    np.testing.assert_allclose(pitch[at], np.array(pitches) - 24, atol=0.05)


def test_a_sound_of_the_corpus_is_rendered_as_the_file_itself_would(
    model: Path, tmp_path: Path, out: Path
) -> None:
    x = toy.tone(RATE, 100 * HOP, 45.0, -20.0)
    run(model, "--input", write(tmp_path / "in.wav", x), "-o", out)
    bundle = read_bundle(model)
    late = bundle.info.algorithmic_latency_samples
    with torch.inference_mode():
        bundle.module.reset()
        whole = bundle.module(torch.nn.functional.pad(x, (0, late)))[0, 0, late:].numpy()
    np.testing.assert_allclose(soundfile.read(out)[0], whole, atol=1e-4)


def test_silence_comes_out_silent_and_noise_is_said_to_have_no_pitch(
    model: Path, tmp_path: Path, out: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run(model, "--input", write(tmp_path / "in.wav", torch.zeros(RATE)), "-o", out, "--fit", 1)
    assert np.abs(soundfile.read(out)[0]).max() < 1e-4
    assert "no pitch" not in capsys.readouterr().err
    noise = 0.1 * torch.randn(RATE, generator=torch.Generator().manual_seed(0))
    run(model, "--input", write(tmp_path / "in.wav", noise), "-o", out)
    assert capsys.readouterr().err.count("no pitch was found") == 1
    assert np.isfinite(soundfile.read(out)[0]).all()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--transpose", "up"), "transpose is up; give semitones"),
        (("--transpose", "nan"), "transpose is nan"),
        (("--transpose", "90"), "use -84 to 64 semitones"),
        (("--fit", "2"), "fit is 2; use 0"),
        (("--fit", "much"), "fit is much; use 0"),
        (("--pitch-a", "60"), "--pitch-a goes with --interpolate"),
        (("--class", "reed"), "is not told a class"),
    ],
)
def test_wrong_use_is_said_in_one_line(
    model: Path, tmp_path: Path, out: Path, options: tuple[str, str], said: str
) -> None:
    sound = write(tmp_path / "in.wav", toy.tone(RATE, 20000, 60.3))
    with pytest.raises(UserError, match=said) as refused:
        run(model, "--input", sound, "-o", out, *options)
    assert "\n" not in str(refused.value)
    assert not out.exists()


def test_a_codec_has_no_corpus_to_fit_to(tmp_path: Path, out: Path) -> None:
    write_toy(tmp_path / "codec.ts")
    sound = write(tmp_path / "in.wav", toy.tone(RATE, 5000))
    with pytest.raises(UserError, match=r"--fit 0\.5: codec\.ts is no instrument"):
        run(tmp_path / "codec.ts", "--input", sound, "-o", out, "--fit", 0.5)
    with pytest.raises(UserError, match="--transpose goes with --input or --interpolate"):
        run(tmp_path / "codec.ts", "--sample", "--seconds", 1, "-o", out, "--transpose", "auto")
    run(tmp_path / "codec.ts", "--input", sound, "-o", out)


# -- from one sound to another --------------------------------------------------------------------------------


def test_half_way_it_sounds_half_way(model: Path, tmp_path: Path, out: Path) -> None:
    a = write(tmp_path / "a.wav", toy.tone(RATE, 120 * HOP, 50.0, -30.0))
    b = write(tmp_path / "b.wav", toy.tone(RATE, 60 * HOP, 62.0, -10.0))
    run(model, "--interpolate", a, b, "-o", out)
    assert soundfile.info(out).frames == 120 * HOP
    pitch, periodicity, loudness = heard(out)
    middle = slice(60, 66)  # frame n is heard at n + 1 - look-back (3)
    assert np.median(pitch[middle]) == pytest.approx(56, abs=0.25)
    assert np.median(loudness[middle]) == pytest.approx(-20, abs=1.5)
    assert periodicity[middle].min() > 0.8
    glide = np.polyfit(np.arange(20, 110), pitch[20:110], 1)
    assert glide[0] == pytest.approx(12 / 120, rel=0.05), "a straight line in semitones"


def test_each_end_may_be_given_a_pitch(model: Path, tmp_path: Path, out: Path) -> None:
    a = write(tmp_path / "a.wav", toy.tone(RATE, 100 * HOP, 50.0, -20.0))
    noise = 0.1 * torch.randn(100 * HOP, generator=torch.Generator().manual_seed(0))
    b = write(tmp_path / "b.wav", noise)
    keep = tmp_path / "z.npy"
    run(model, "--interpolate", a, b, "-o", out, "--save-latents", keep)
    np.testing.assert_allclose(np.load(keep)[:, 0], 50.0, atol=0.05)  # noise does not drag the pitch
    run(model, "--interpolate", a, b, "-o", out, "--save-latents", keep, "--pitch-a", 57, "--pitch-b", 69)
    np.testing.assert_allclose(np.load(keep)[:, 0], np.linspace(57, 69, 100), atol=1e-3)


def test_each_end_may_be_given_a_class(tmp_path: Path, out: Path) -> None:
    write_conditional(tmp_path / "told.ts")
    sound = write(tmp_path / "in.wav", torch.zeros(200 * HOP))
    arguments = ("--interpolate", sound, sound, "-o", out, "--input-class", "soft")
    run(tmp_path / "told.ts", *arguments, "--class-a", "soft", "--class-b", "soft")
    soft = soundfile.read(out)[0]
    run(tmp_path / "told.ts", *arguments, "--class-a", "soft", "--class-b", "hard", "--gain", -6)
    mixed = soundfile.read(out)[0] * 10 ** (6 / 20)
    places = [(n + 0.5) * len(soft) / 10 for n in range(10)]
    ratio = [
        np.linalg.norm(mixed[int(p) - 2000 : int(p) + 2000])
        / np.linalg.norm(soft[int(p) - 2000 : int(p) + 2000])
        for p in places
    ]
    np.testing.assert_allclose(ratio, 1 + np.array(places) / len(soft), atol=0.05)
    with pytest.raises(UserError, match="--class-b loud: no such class"):
        run(tmp_path / "told.ts", *arguments, "--class-b", "loud")
    with pytest.raises(UserError, match="--pitch-a 200: use a MIDI pitch"):
        run(tmp_path / "told.ts", *arguments, "--pitch-a", "200")
    run(tmp_path / "told.ts", *arguments, "--pitch-a", "50", "--pitch-b", "62")


# -- what it says of itself -----------------------------------------------------------------------------------


def test_info_says_what_playing_and_transforming_cost(
    model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert info.main([str(model)]) == 0
    text = capsys.readouterr().out
    for words in ("11.6 ms: one hop", "46.4 ms: one hop and", "MIDI 45", "to 69.0", "brightness", "dB"):
        assert words in text
    assert info.main([str(model), "--json"]) == 0
    values = json.loads(capsys.readouterr().out)
    assert [axis["name"] for axis in values["latents"]][:4] == [
        "pitch",
        "loudness",
        "periodicity",
        "brightness",
    ]
