"""Offline playing: the right length, the right samples, the same bytes, in bounded memory, whole or not at all."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from toy_bundle import HOP, LATENTS, SAMPLE_RATE, write_conditional

from wavevae import info
from wavevae.bundle import read_bundle
from wavevae.errors import UserError
from wavevae.realtime.offline import encode, render
from wavevae.realtime.offline.latent_files import latent_writer
from wavevae.realtime.offline.render_sources import mixed

STEP_24_BIT = 2.0**-23


def write_noise(path: Path, samples: int, rate: int = SAMPLE_RATE, seed: int = 0) -> np.ndarray:
    audio = (0.2 * np.random.default_rng(seed).standard_normal(samples)).astype(np.float32)
    soundfile.write(path, audio, rate, subtype="FLOAT")
    return audio


def run(model: Path, *arguments: object) -> None:
    assert render.main([str(model), *map(str, arguments)]) == 0


def forward(model: Path, audio: np.ndarray) -> np.ndarray:
    """What the module itself says, in one call."""
    module = read_bundle(model).module
    padded = np.pad(audio, (0, -len(audio) % HOP))
    with torch.inference_mode():
        return module(torch.from_numpy(padded)[None, None])[0, 0].numpy()[: len(audio)]


@pytest.mark.parametrize("samples", [1, HOP - 1, HOP, HOP + 1, 64 * HOP, 64 * HOP + 1, 22050, 22051])
def test_a_sound_comes_out_as_long_as_it_went_in_and_in_its_place(
    model: Path, tmp_path: Path, samples: int
) -> None:
    audio = write_noise(tmp_path / "in.wav", samples)
    run(model, "--input", tmp_path / "in.wav", "-o", tmp_path / "out.wav")
    made, rate = soundfile.read(tmp_path / "out.wav", dtype="float32")
    assert (len(made), rate) == (samples, SAMPLE_RATE)
    np.testing.assert_allclose(made, forward(model, audio), atol=STEP_24_BIT)


@pytest.mark.parametrize("rate", [48000, 44100, 16000, 11025])
def test_a_foreign_rate_is_converted_and_said(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], rate: int
) -> None:
    write_noise(tmp_path / "in.wav", 30001, rate)
    run(model, "--input", tmp_path / "in.wav", "-o", tmp_path / "out.wav")
    assert soundfile.info(tmp_path / "out.wav").frames == round(30001 * SAMPLE_RATE / rate)
    assert f"{rate} Hz, converted to the model's {SAMPLE_RATE} Hz" in capsys.readouterr().err


def test_latents_kept_encoded_and_played_again_are_the_same(model: Path, tmp_path: Path) -> None:
    write_noise(tmp_path / "in.wav", 40000)
    run(model, "--input", tmp_path / "in.wav", "-o", tmp_path / "a.wav", "--save-latents", tmp_path / "a.npy")
    assert encode.main([str(model), str(tmp_path / "in.wav"), "-o", str(tmp_path / "b.npy")]) == 0
    kept, encoded = np.load(tmp_path / "a.npy"), np.load(tmp_path / "b.npy")
    assert kept.shape == (157, LATENTS)
    assert kept.dtype == np.float32
    np.testing.assert_array_equal(kept, encoded)
    np.savetxt(tmp_path / "c.csv", kept, delimiter=",", header="a,b,c,d", comments="", fmt="%.9g")
    run(model, "--latents", tmp_path / "b.npy", "-o", tmp_path / "b.wav")
    run(model, "--latents", tmp_path / "c.csv", "-o", tmp_path / "c.wav")
    first, again, from_csv = (soundfile.read(tmp_path / f"{n}.wav")[0] for n in "abc")
    assert len(again) == 157 * HOP
    np.testing.assert_array_equal(first, again[:40000])
    np.testing.assert_array_equal(again, from_csv)


def test_a_sample_is_its_seeds_and_its_temperatures(model: Path, tmp_path: Path) -> None:
    def sample(name: str, *more: object) -> tuple[bytes, np.ndarray]:
        keep = tmp_path / f"{name}.npy"
        run(model, "--sample", "--seconds", 3.3, "-o", tmp_path / name, "--save-latents", keep, *more)
        return (tmp_path / name).read_bytes(), np.load(keep)

    first, latents = sample("a.wav", "--seed", 4)
    assert sample("b.wav", "--seed", 4)[0] == first
    assert sample("c.wav", "--seed", 5)[0] != first
    assert soundfile.info(tmp_path / "a.wav").frames == round(3.3 * SAMPLE_RATE)
    assert latents.std() > 0.3
    still = sample("d.wav", "--temperature", 0)[1]
    np.testing.assert_array_equal(still, np.tile(still[:1], (len(still), 1)))


@pytest.mark.parametrize("name", ["a.wav", "a.flac"])
def test_the_same_again_is_the_same_bytes(model: Path, tmp_path: Path, name: str) -> None:
    write_noise(tmp_path / "in.wav", 30000)
    versions = []
    for _ in range(2):
        run(model, "--input", tmp_path / "in.wav", "-o", tmp_path / name, "--temperature", 0.5)
        versions.append((tmp_path / name).read_bytes())
    assert versions[0] == versions[1]
    assert soundfile.info(tmp_path / name).format == name[2:].upper()


def test_interpolation_goes_from_one_to_the_other_and_is_as_long_as_the_longer(
    model: Path, tmp_path: Path
) -> None:
    write_noise(tmp_path / "a.wav", 60000, seed=1)
    write_noise(tmp_path / "b.wav", 45001, seed=2)
    out, keep = tmp_path / "ab.wav", tmp_path / "ab.npy"
    run(model, "--interpolate", tmp_path / "a.wav", tmp_path / "b.wav", "-o", out, "--save-latents", keep)
    assert soundfile.info(out).frames == 60000
    latents = np.load(keep)
    a, b = (_encoded(model, tmp_path / f"{n}.wav") for n in "ab")
    np.testing.assert_allclose(latents[0], a[0], atol=1e-6)
    np.testing.assert_allclose(latents[-1], b[-1], atol=1e-6)
    run(model, "--interpolate", tmp_path / "a.wav", tmp_path / "a.wav", "-o", out, "--save-latents", keep)
    np.testing.assert_allclose(np.load(keep), a, atol=1e-6)


def _encoded(model: Path, sound: Path) -> np.ndarray:
    out = sound.with_suffix(".latents.npy")
    encode.main([str(model), str(sound), "-o", str(out)])
    return np.load(out)


def test_the_way_between_two_lists_does_not_depend_on_the_pieces() -> None:
    a, b = np.arange(6, dtype=np.float32)[:, None], np.zeros((1, 1), np.float32)
    whole = mixed(a, b, 0, 6)
    np.testing.assert_allclose(whole[:, 0], np.arange(6) * (1 - np.arange(6) / 5), atol=1e-6)
    np.testing.assert_array_equal(whole, np.concatenate([mixed(a, b, 0, 2), mixed(a, b, 2, 4)]))


def test_clipping_is_said_with_what_to_do_and_that_helps(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    np.save(tmp_path / "z.npy", np.full((20, LATENTS), 3.0))
    run(model, "--latents", tmp_path / "z.npy", "-o", tmp_path / "a.wav", "--gain", 9)
    said = capsys.readouterr().err
    assert "samples limited" in said
    advice = said.split("--gain ")[1].split()[0]
    run(model, "--latents", tmp_path / "z.npy", "-o", tmp_path / "a.wav", "--gain", advice)
    assert "limited" not in capsys.readouterr().err
    assert np.abs(soundfile.read(tmp_path / "a.wav")[0]).max() > 0.98


def bad_arguments(folder: Path) -> dict[str, tuple[list[object], str]]:
    """Wrong uses, and what must be said about each."""
    write_noise(folder / "in.wav", 1000)
    np.save(folder / "wide.npy", np.zeros((9, LATENTS + 1)))
    np.save(folder / "across.npy", np.zeros((LATENTS, 9)))
    np.save(folder / "flat.npy", np.zeros(9))
    np.save(folder / "none.npy", np.zeros((0, LATENTS)))
    np.save(folder / "words.npy", np.array([["a"] * LATENTS]))
    np.save(folder / "objects.npy", np.array([[{}] * LATENTS]), allow_pickle=True)
    holed = np.zeros((9, LATENTS))
    holed[5, 1] = np.nan
    np.save(folder / "holed.npy", holed)
    np.savetxt(folder / "holed.csv", holed, delimiter=",")
    (folder / "ragged.csv").write_text("1,2,3,4\n1,2,3\n")
    (folder / "empty.csv").write_text("")
    (folder / "text.npy").write_text("not numpy")
    (folder / "text.wav").write_text("not a sound")
    (folder / "file").write_text("")
    out, sound, latents = folder / "out.wav", folder / "in.wav", folder / "wide.npy"
    shape = f"wants frames x {LATENTS}"
    return {
        "no source": (["-o", out], "found none"),
        "two sources": (["--input", sound, "--latents", latents, "-o", out], "found --input and --latents"),
        "sample without length": (["--sample", "-o", out], "--seconds"),
        "length without sample": (["--input", sound, "--seconds", 2, "-o", out], "--seconds"),
        "no length at all": (["--sample", "--seconds", 0, "-o", out], "--seconds 0"),
        "endless": (["--sample", "--seconds", "inf", "-o", out], "--seconds inf"),
        "missing sound": (["--input", folder / "nothing.wav", "-o", out], "no such file"),
        "missing latents": (["--latents", folder / "nothing.npy", "-o", out], "no such file"),
        "missing second": (["--interpolate", sound, folder / "nothing.wav", "-o", out], "no such file"),
        "no sound": (["--input", folder / "text.wav", "-o", out], "not a sound file"),
        "wide": (["--latents", latents, "-o", out], f"9 x {LATENTS + 1}; this model {shape}"),
        "across": (["--latents", folder / "across.npy", "-o", out], "transpose"),
        "flat": (["--latents", folder / "flat.npy", "-o", out], shape),
        "no frames": (["--latents", folder / "none.npy", "-o", out], shape),
        "words": (["--latents", folder / "words.npy", "-o", out], "numbers"),
        "pickle": (["--latents", folder / "objects.npy", "-o", out], "numbers"),
        "no numpy": (["--latents", folder / "text.npy", "-o", out], "numbers"),
        "nan": (["--latents", folder / "holed.npy", "-o", out], "frame 5"),
        "nan in csv": (["--latents", folder / "holed.csv", "-o", out], "frame 5"),
        "ragged": (["--latents", folder / "ragged.csv", "-o", out], "table of numbers"),
        "empty csv": (["--latents", folder / "empty.csv", "-o", out], shape),
        "other latents": (["--latents", sound, "-o", out], ".npy or .csv"),
        "temperature": (["--input", sound, "--temperature", "nan", "-o", out], "--temperature"),
        "gain": (["--input", sound, "--gain", 99, "-o", out], "--gain"),
        "seed": (["--input", sound, "--seed", -1, "-o", out], "--seed"),
        "other extension": (["--input", sound, "-o", folder / "out.mp3"], ".wav or .flac"),
        "onto its input": (["--input", sound, "-o", sound], "another output"),
        "below a file": (["--input", sound, "-o", folder / "file" / "out.wav"], "cannot be written"),
        "latents below a file": (
            ["--input", sound, "-o", out, "--save-latents", folder / "file" / "z.npy"],
            "cannot be written",
        ),
        "latents elsewhere": (["--input", sound, "-o", out, "--save-latents", folder / "z.csv"], ".npy"),
    }


def test_wrong_use_is_one_line_that_says_what_and_leaves_nothing(model: Path, tmp_path: Path) -> None:
    cases = bad_arguments(tmp_path)
    before = sorted(p.name for p in tmp_path.iterdir())
    for name, (arguments, words) in cases.items():
        with pytest.raises(UserError) as error:
            run(model, *arguments)
        assert words in str(error.value), name
        assert sorted(p.name for p in tmp_path.iterdir()) == before, name


@pytest.fixture(scope="module")
def conditional(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("toy") / "conditional.ts"
    write_conditional(path)
    return path


def heard(model: Path, folder: Path, *labels: object) -> list[float]:
    """The first two latents of silence: the toy's encoder adds its class + 1, and its pitch + 1 in hundredths."""
    soundfile.write(folder / "silence.wav", np.zeros(9 * HOP), SAMPLE_RATE)
    command = [model, folder / "silence.wav", "-o", folder / "z.npy", *labels]
    assert encode.main([str(a) for a in command]) == 0
    frames = np.load(folder / "z.npy")
    np.testing.assert_array_equal(frames, frames[:1].repeat(len(frames), 0))
    return frames[0, :2].tolist()


def test_the_encoder_is_told_what_comes_in_and_else_what_is_to_sound(
    conditional: Path, tmp_path: Path
) -> None:
    assert heard(conditional, tmp_path) == [0.0, 0.0]
    both = ("--class", "odd", "--pitch", 59)
    assert heard(conditional, tmp_path, *both) == pytest.approx([3.0, 0.6])
    for more, latents in (
        (("--input-class", "hard"), [2.0, 0.6]),
        (("--input-class", "0", "--input-pitch", 49.5), [1.0, 0.505]),
        (("--input-class", "none", "--input-pitch", "none"), [0.0, 0.0]),
    ):
        assert heard(conditional, tmp_path, *both, *more) == pytest.approx(latents)


def test_labels_reach_the_first_frame_of_what_is_rendered(conditional: Path, tmp_path: Path) -> None:
    np.save(tmp_path / "z.npy", np.zeros((40, LATENTS)))
    latents = ("--latents", tmp_path / "z.npy", "--gain", -12, "-o", tmp_path / "a.wav")

    def sound(*more: object) -> np.ndarray:
        run(conditional, *latents, *more)
        return soundfile.read(tmp_path / "a.wav")[0]

    plain = sound()
    np.testing.assert_allclose(sound("--class", "hard"), 2 * plain, atol=1e-6)
    np.testing.assert_allclose(sound("--class", "2"), -plain, atol=1e-6)
    tuned = sound("--pitch", 69.5)
    hertz = np.abs(np.fft.rfft(tuned * np.hanning(len(tuned)), 1 << 18)).argmax() * SAMPLE_RATE / (1 << 18)
    assert hertz == pytest.approx(440 * 2 ** (0.5 / 12), rel=1e-3)
    write_noise(tmp_path / "in.wav", 20 * HOP)
    kept = ("--save-latents", tmp_path / "kept.npy", "-o", tmp_path / "b.wav")
    run(conditional, "--input", tmp_path / "in.wav", "--class", "odd", *kept)
    first = np.load(tmp_path / "kept.npy")
    run(conditional, "--input", tmp_path / "in.wav", "--class", "hard", "--input-class", "soft", *kept)
    np.testing.assert_allclose(np.load(tmp_path / "kept.npy")[:, 0], first[:, 0] - 2, atol=1e-6)
    other = ("--interpolate", tmp_path / "in.wav", tmp_path / "in.wav", "--input-class", "odd")
    run(conditional, *other, *kept)
    np.testing.assert_allclose(np.load(tmp_path / "kept.npy"), first, atol=1e-5)


def test_wrong_labels_are_one_line(model: Path, conditional: Path, tmp_path: Path) -> None:
    write_noise(tmp_path / "in.wav", 1000)
    score = tmp_path / "score.jsonl"
    score.write_text('{"time": 0, "address": "/wavevae/gain", "args": [0]}')
    sound, out = ("--input", tmp_path / "in.wav"), ("-o", tmp_path / "out.wav")
    drawn = ("--sample", "--seconds", 1)
    for file, arguments, words in (
        (conditional, (*sound, "--class", "hart"), "--class hart: no such class; did you mean 'hard'?"),
        (conditional, (*sound, "--class", "3"), "no such class; known: hard, odd, soft"),
        (conditional, (*sound, "--input-class", "xyz"), "--input-class xyz: no such class"),
        (conditional, (*sound, "--pitch", "128"), "--pitch 128: use a MIDI pitch"),
        (conditional, (*sound, "--input-pitch", "nan"), "--input-pitch nan: use a MIDI pitch"),
        (conditional, (*drawn, "--input-class", "hard"), "--input-class goes with --input"),
        (conditional, ("--score", score, "--class", "hard"), "a score sets its own; send /wavevae/class"),
        (model, (*sound, "--class", "hard"), "--class hard: toy.ts is not told a class"),
        (model, (*sound, "--input-pitch", "60"), "--input-pitch 60: toy.ts is not told a pitch"),
    ):
        with pytest.raises(UserError) as error:
            run(file, *arguments, *out)
        assert words in str(error.value)
        assert "\n" not in str(error.value)
        assert not (tmp_path / "out.wav").exists()
    with pytest.raises(UserError, match="not told a pitch"):
        encode.main([str(model), str(tmp_path / "in.wav"), "--pitch", "60", "-o", str(tmp_path / "z.npy")])


def test_labels_are_shown_with_their_numbers(conditional: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert info.main([str(conditional)]) == 0
    assert "0 soft, 1 hard, 2 odd" in capsys.readouterr().out


def test_what_is_no_model_is_said(tmp_path: Path) -> None:
    (tmp_path / "no.ts").write_text("no model")
    for name, words in (("no.ts", "not a TorchScript"), ("nothing.ts", "no model file")):
        with pytest.raises(UserError, match=words):
            run(tmp_path / name, "--sample", "--seconds", 1, "-o", tmp_path / "out.wav")


def test_a_file_damaged_in_the_middle_leaves_no_output(model: Path, tmp_path: Path) -> None:
    write_noise(tmp_path / "in.wav", 100_000)
    audio, rate = soundfile.read(tmp_path / "in.wav")
    audio[70_000] = np.nan
    soundfile.write(tmp_path / "in.wav", audio, rate, subtype="FLOAT")
    with pytest.raises(UserError, match="NaN"):
        run(
            model,
            "--input",
            tmp_path / "in.wav",
            "-o",
            tmp_path / "o.wav",
            "--save-latents",
            tmp_path / "z.npy",
        )
    assert [p.name for p in tmp_path.iterdir()] == ["in.wav"]


RENDER = "import sys; from wavevae.realtime.offline.render import main; sys.exit(main(sys.argv[1:]))"


@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGKILL])
def test_stopped_half_way_there_is_no_half_file(model: Path, tmp_path: Path, ending: signal.Signals) -> None:
    arguments = ["--sample", "--seconds", "900000", "-o", str(tmp_path / "out.flac")]
    process = subprocess.Popen(
        [sys.executable, "-c", RENDER, str(model), *arguments], stderr=subprocess.DEVNULL
    )
    deadline = time.monotonic() + 60
    while not any(p.stat().st_size > 10_000 for p in tmp_path.iterdir()) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert list(tmp_path.iterdir())
    process.send_signal(ending)
    process.wait()
    assert not (tmp_path / "out.flac").exists()
    if ending == signal.SIGINT:
        assert list(tmp_path.iterdir()) == []


def peak_memory_mb(model: Path, folder: Path, seconds: float) -> float:
    """Of a process that renders a sound so long."""
    sound = folder / f"{seconds:.0f}.flac"
    block = (0.1 * np.random.default_rng(0).standard_normal(SAMPLE_RATE * 10)).astype(np.float32)
    with soundfile.SoundFile(sound, "w", SAMPLE_RATE, 1) as file:
        for _ in range(round(seconds / 10)):
            file.write(block)
    arguments = ["--input", str(sound), "-o", str(sound) + ".wav", "--save-latents", str(sound) + ".npy"]
    process = subprocess.Popen(
        [sys.executable, "-c", RENDER, str(model), *arguments], stderr=subprocess.DEVNULL
    )
    _, status, usage = os.wait4(process.pid, 0)
    assert status == 0
    assert soundfile.info(str(sound) + ".wav").frames == round(seconds) * SAMPLE_RATE
    assert isinstance(usage, resource.struct_rusage)
    return usage.ru_maxrss / 1024


def test_memory_does_not_grow_with_length(model: Path, tmp_path: Path) -> None:
    """Five minutes more are 53 MB as float32 samples; none of it may stay."""
    assert peak_memory_mb(model, tmp_path, 310) - peak_memory_mb(model, tmp_path, 10) < 15


@pytest.mark.slow
def test_memory_of_an_hour(model: Path, tmp_path: Path) -> None:
    """An hour is 635 MB as float64 samples."""
    assert peak_memory_mb(model, tmp_path, 3600) - peak_memory_mb(model, tmp_path, 10) < 30


def test_a_list_of_latents_appears_only_when_whole(tmp_path: Path) -> None:
    with latent_writer(tmp_path / "z.npy", 3) as out:
        for n in (1, 100, 1000):
            out.write(np.full((n, 3), n, np.float32))
        assert not (tmp_path / "z.npy").exists()
    assert np.load(tmp_path / "z.npy").shape == (1101, 3)
