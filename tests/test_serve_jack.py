"""With a real sound server: what is recorded at the sound card is the decoder's output, without a gap."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from steady import without_underflow
from toy_bundle import LATENTS, SAMPLE_RATE, write_toy

from wavevae.bundle import read_bundle

pytestmark = [
    pytest.mark.jack,
    pytest.mark.skipif(shutil.which("jackd") is None, reason="no jackd here; install jackd2"),
    pytest.mark.skipif(shutil.which("jack_rec") is None, reason="no jack_rec here; install jackd2"),
]
HERE = Path(__file__).parent
SECONDS = 20


def beside_jack(command: list[str], rate: int = SAMPLE_RATE) -> subprocess.CompletedProcess:
    environment = {**os.environ, "SR": str(rate), "PERIOD": "512"}
    script = str(HERE / "with_jack.sh")
    return subprocess.run(
        ["bash", script, *command], env=environment, capture_output=True, text=True, timeout=900
    )


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    try:
        import sounddevice  # noqa: F401
    except OSError:
        pytest.skip("no PortAudio here; install libportaudio2")
    path = tmp_path_factory.mktemp("toy") / "toy.ts"
    write_toy(path)
    return path


CLEAN = "0 ring empty, 0 reported by the device"


def decoded(model: Path, seconds: float) -> np.ndarray:
    """What the decoder says at the mean of the latents, from its start."""
    module = read_bundle(model).module
    frames = round(seconds * SAMPLE_RATE / 256)
    with torch.inference_mode():
        return module.decode(torch.zeros(1, LATENTS, frames))[0, 0].numpy()


def find_offset(recorded: np.ndarray, reference: np.ndarray, probe_samples: int = 8192) -> int:
    """Where in the reference the recording begins, by its first samples."""
    probe = recorded[:probe_samples]
    size = 1 << (len(reference) + probe_samples).bit_length()
    spectrum = np.fft.rfft(reference, size) * np.conj(np.fft.rfft(probe, size))
    correlation = np.fft.irfft(spectrum, size)[: len(reference) - probe_samples]
    energy = np.convolve(reference.astype(float) ** 2, np.ones(probe_samples), "valid")[: len(correlation)]
    return int((energy - 2 * correlation).argmin())


@pytest.mark.slow
def test_what_is_heard_is_the_decoders_output(model: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.wav"
    take = [
        sys.executable,
        str(HERE / "jack_take.py"),
        str(model),
        str(out),
        str(SECONDS),
        "--device",
        "jack",
    ]
    reference = decoded(model, SECONDS + 30)

    def play() -> str:
        done = beside_jack(take)
        assert done.returncode == 0, done.stderr
        result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
        said = result["said"]
        if CLEAN in said and "overrun" not in result["recorder"]:
            recorded, rate = soundfile.read(out, dtype="float32")
            assert rate == SAMPLE_RATE
            assert len(recorded) >= (SECONDS - 0.2) * SAMPLE_RATE, result["recorder"]
            same = reference[find_offset(recorded, reference) :][: len(recorded)]
            np.testing.assert_allclose(recorded, same, atol=2.0**-22, err_msg=said)
        assert result["silent"]
        assert result["status"] == 0
        assert "system" in said
        refused = re.search(r"(\d+) refused", said)
        assert refused
        assert int(refused[1]) > 1000
        return str(said)

    without_underflow(play, CLEAN)


def test_a_server_at_another_rate_is_refused_with_both_rates(model: Path) -> None:
    code = "import sys; from wavevae.cli import main; sys.exit(main())"
    done = beside_jack([sys.executable, "-c", code, "serve", str(model), "--osc-port", "0"], 44100)
    assert done.returncode == 2, done.stderr
    error = done.stderr.splitlines()[-1]
    assert "22050 Hz" in error
    assert "44100 Hz" in error


def script(name: str, *arguments: object) -> dict[str, Any]:
    """What one of the scripts beside this file found out."""
    done = beside_jack([sys.executable, str(HERE / name), *map(str, arguments)])
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_it_comes_back_by_itself_when_the_server_was_gone(model: Path) -> None:
    found = script("jack_lost.py", model)
    assert found["lost"], found["said"]
    assert found["back"], found["said"]
    assert found["sounds"]
    assert found["targets"][0] == 1.5
    assert found["status"] == 0


@pytest.fixture(scope="module")
def instrument(model: Path) -> Path:
    import toy_playable

    return toy_playable.write(toy_playable.tones_only(toy_playable.make()), model.parent / "instrument.ts")


@pytest.mark.parametrize("period", [pytest.param((), marks=pytest.mark.slow), (256,)])
def test_an_input_is_heard_again_when_the_server_was_gone(instrument: Path, period: tuple[int, ...]) -> None:
    found = script("jack_input_lost.py", instrument, *period)
    assert found["lost"], found["said"]
    assert found["back"], found["said"]
    assert found["heard"], found["said"]
    assert (found["transpose"], found["status"]) == (2.0, 0)


@pytest.mark.parametrize("block", [512, pytest.param(480, marks=pytest.mark.slow)])
def test_an_input_is_as_late_as_serve_says(instrument: Path, block: int) -> None:
    found = script(str(HERE.parent / "benchmarks" / "transform.py"), instrument, "--block-size", block)
    if found["underflows"] == 0:
        assert found["measured_ms"] == pytest.approx(found["said_ms"], abs=2.0)
    assert found["loudness_r"] > 0.9
    assert found["octave_jumps"] == 0


def test_it_hears_what_is_connected_to_it(model: Path) -> None:
    found = script("jack_input.py", model)
    assert (found["mode"], found["status"]) == ("transform", 0)
    assert not any(found["silence"])
    assert any(abs(v) > 0.01 for v in found["sound"])
    assert not any(found["generated"])


@pytest.mark.skipif(importlib.util.find_spec("rtmidi") is None, reason="no python-rtmidi here")
def test_midi_events_through_a_real_port_arrive_all_and_in_order(model: Path, tmp_path: Path) -> None:
    from jack_midi import value_of

    found = script("jack_midi.py", model, tmp_path, 2000)
    wanted = [-3 + 6 * value_of(n) / 127 for n in range(2000)]
    assert found["values"] == pytest.approx(wanted), found["said"]


@pytest.mark.slow
def test_under_fire_nothing_is_lost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The short form of benchmarks/soak.py."""
    for number in (0, 1):
        write_toy(tmp_path / f"toy{number}.ts", latent_dim=4 + number)
    monkeypatch.setenv("SECONDS", "9")
    monkeypatch.setenv("CHANGE_EVERY_S", "3")
    study = str(HERE.parent / "benchmarks" / "soak_studies.py")

    def play() -> str:
        done = beside_jack([sys.executable, study, "fire", str(tmp_path), "toy"])
        assert done.returncode == 0, done.stderr
        found = json.loads(done.stdout.splitlines()[-1])
        assert found["models_changed"] >= 1
        assert found["taken"] > 1000
        return json.dumps(found)

    without_underflow(play, '"underflows": 0,')
