"""A live input: options, what is said of its delay, silence, confidence, devices of one and of two channels."""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import toy_playable
from osc_desk import toy_about
from signals import level_db

from wavevae.controls import TRANSFORM, ControlState
from wavevae.errors import UserError
from wavevae.realtime.control.dispatcher import Dispatcher
from wavevae.realtime.engine.engine import PlayableModel
from wavevae.realtime.live import devices
from wavevae.realtime.live.control_process import _natural
from wavevae.realtime.live.devices import Device
from wavevae.realtime.live.processes import Opened
from wavevae.realtime.model_info import Attribute, Axis, ModelInfo
from wavevae.realtime.options import build_parser
from wavevae.realtime.serve import _check, describe_input_delay, first_messages

RATE, HOP = 22050, 256
NAMES = ("pitch", "loudness", "periodicity", "brightness")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return toy_playable.write(
        toy_playable.tones_only(toy_playable.make()), tmp_path_factory.mktemp("toy") / "toy.ts"
    )


@pytest.fixture(scope="module")
def instrument(model: Path) -> PlayableModel:
    return PlayableModel(model, seed=0, live_input=True)


def playable(**changes: Any) -> ModelInfo:
    axes = tuple(Axis(name, -2.0, 2.0, 0.1, 10.0, 2.0) for name in NAMES)
    own = tuple(Attribute(n, (k,), (v,)) for n, k, v in (("life", 2, 1.0), ("transpose", 2, 0.0)))
    fitting = (Attribute("fit", (2,), (0.0,)), Attribute("transpose_auto", (1,), (0.0,)))
    known = {"axes": axes, "n_controls": 3, "typical": (0.0,) * 4, "plays_pitch": True, "live_input": True}
    return toy_about(**{**known, "attributes": own + fitting, **changes})


def options(model: Path, *more: str) -> argparse.Namespace:
    arguments = build_parser().parse_args([str(model), *more])
    _check(arguments)
    return arguments


def test_transpose_and_fit_are_set_before_the_first_sound(model: Path) -> None:
    for words, state in (
        (("--transpose", "auto", "--fit", "0.5"), {"transpose_auto": 1.0, "fit": 0.5}),
        (("--transpose", "-12"), {"transpose": -12.0}),
        ((), {}),
    ):
        desk = Dispatcher(playable())
        for path, arguments in first_messages(options(model, "--input", "mic", *words), desk.model):
            desk.apply(path, arguments)
        found = dict(zip((a.name for a in desk.model.attributes), desk.state.attributes, strict=True))
        assert found == {"life": 1.0, "transpose": 0.0, "fit": 0.0, "transpose_auto": 0.0, **state}


def test_wrong_uses_are_one_line(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(UserError, match="--transpose is of a live input; add --input"):
        options(model, "--transpose", "auto")
    with pytest.raises(UserError, match="--fit is of a live input"):
        options(model, "--fit", "0")
    for words, said in (
        (("--fit", "1.5"), "fit is 1.5; use 0 to 1"),
        (("--fit", "nan"), "fit is nan"),
        (("--transpose", "up"), "transpose is up; use auto, or -48 to 48 semitones"),
        (("--transpose", "99"), "transpose is 99"),
    ):
        with pytest.raises((SystemExit, UserError)) as error:
            options(model, "--input", "mic", *words)
        assert said in str(error.value) + capsys.readouterr().err
    moved = options(model, "--input", "mic", "--transpose", "auto")
    fitted = options(model, "--input", "mic", "--fit", "1")
    with pytest.raises(UserError, match=r"--transpose auto: toy.ts has no such attribute, it is a codec"):
        first_messages(moved, toy_about(live_input=True))
    unpitched = playable(plays_pitch=False, attributes=playable().attributes[2:3])
    with pytest.raises(UserError, match="it has no pitch"):
        first_messages(moved, unpitched)
    assert first_messages(fitted, unpitched) == (("/wavevae/fit", (1.0,)),)
    with pytest.raises(UserError, match="knows nothing of its corpus"):
        first_messages(fitted, playable(attributes=playable().attributes[:2]))


def test_another_model_is_transposed_and_fitted_as_the_one_before() -> None:
    desk = Dispatcher(playable())
    desk.apply("/wavevae/transpose_auto", (1,))
    desk.apply("/wavevae/fit", (0.7,))
    fewer = playable().attributes
    desk.change(playable(attributes=(fewer[3], fewer[2])))
    assert desk.state.attributes == (1.0, 0.7)


def test_what_sounds_is_told_in_natural_units() -> None:
    assert _natural(playable(), [0.0, 1.0, -1.0, 3.0]) == {
        "pitch": 10.0,
        "loudness": 12.0,
        "periodicity": 8.0,
    }
    assert _natural(playable(), []) == _natural(toy_about(), [0.0] * 4) == {}


def hearing(instrument: PlayableModel, fit: float = 1.0) -> ControlState:
    values = {"fit": fit, "transpose_auto": float(fit > 0)}
    names = [a.name for a in instrument.model.attributes]
    before = dict(zip(names, instrument.model.attribute_values, strict=True))
    return replace(instrument.controls, mode=TRANSFORM, attributes=tuple({**before, **values}.values()))


def through(instrument: PlayableModel, controls: ControlState, sound: np.ndarray, block: int) -> np.ndarray:
    instrument.begin(controls)
    sound = sound.astype(np.float32)[: len(sound) // block * block]
    return np.concatenate([instrument.engine.process(controls, block, x) for x in sound.reshape(-1, block)])


def tone(seconds: float, midi: float = 57.0, level: float = -20.0) -> np.ndarray:
    return toy_playable.tone(RATE, round(seconds * RATE), midi, level)[0, 0].numpy()


@pytest.mark.parametrize("fit", [0.0, 1.0])
def test_silence_in_gives_silence_out(instrument: PlayableModel, fit: float) -> None:
    controls, rng = hearing(instrument, fit), np.random.default_rng(0)
    assert level_db(through(instrument, controls, np.zeros(2 * RATE), 512)) < -110
    noise = 10 ** (-90 / 20) * rng.standard_normal(2 * RATE)
    assert level_db(through(instrument, controls, noise, 512)) < -80
    after = through(instrument, controls, np.concatenate([tone(2.0), np.zeros(RATE)]), 512)
    assert level_db(after[:RATE]) > -40
    assert level_db(after[-RATE // 2 :]) < -110


@pytest.mark.parametrize("bad", [1e6, math.nan, math.inf])
def test_an_input_that_is_no_sound_leaves_no_trace(instrument: PlayableModel, bad: float) -> None:
    controls = hearing(instrument)
    sound = np.concatenate([np.full(RATE // 2, bad), np.zeros(RATE), tone(1.0)])
    made = through(instrument, controls, sound, 512)
    assert np.isfinite(made).all()
    assert abs(made).max() <= 1
    assert level_db(made[-RATE // 2 :]) > -45
    assert instrument.engine.sounding is not None
    pitch = instrument.model.axes[0].natural(float(instrument.engine.sounding[0]))
    assert (pitch - 57) % 12 == pytest.approx(0, abs=0.1)


def test_the_confidence_is_that_of_the_input_whatever_is_made_of_it(instrument: PlayableModel) -> None:
    rng = np.random.default_rng(1)
    for fit in (0.0, 1.0):
        controls = hearing(instrument, fit)
        through(instrument, controls, tone(1.0), 512)
        assert instrument.confidence(controls) > 0.95
        through(instrument, controls, 0.1 * rng.standard_normal(RATE), 512)
        assert instrument.confidence(controls) < 0.5
        through(instrument, controls, np.zeros(RATE), 512)
        assert instrument.confidence(controls) == 0.0
    assert instrument.confidence(instrument.controls) == 0.0  # nothing is listened to


def rise_s(sound: np.ndarray) -> float:
    """When a sound that is silent at first comes half way to the level in which it ends."""
    power = np.convolve(sound.astype(float) ** 2, np.hanning(441) / np.hanning(441).sum(), "same")
    return float(np.flatnonzero(power > 0.5 * np.median(power[-RATE // 2 :]))[0]) / RATE


@pytest.mark.parametrize("block", [256, 512, 1024, 128, 480])
def test_an_input_is_as_late_as_is_said(instrument: PlayableModel, block: int) -> None:
    sound = np.concatenate([np.zeros(RATE // 2), tone(1.5)])
    made = through(instrument, hearing(instrument, 0.0), sound, block)
    said = describe_input_delay(instrument.model, block, 0, Opened(0.0))
    words = said.split()
    assert 1000 * (rise_s(made) - rise_s(sound)) == pytest.approx(float(words[3]), abs=4.0), said


def test_what_the_delay_is_made_of() -> None:
    about = toy_about(sample_rate=RATE, hop_length=HOP, input_latency_samples=3 * HOP)
    said = describe_input_delay(about, 128, 4, Opened(0.030, None, 0.005, 128 / RATE))
    assert said == (
        "heard to sound 69.7 ms = 23.2 ring + 5.8 rest of a hop + 34.8 model + 5.8 cutting periods into blocks, "
        "and the device's 5.0 in and 24.2 out"
    )


class FakePortAudio:
    """Opens anything and calls back with as many frames as it is told to."""

    PortAudioError = OSError

    def __init__(self) -> None:
        self.kept: dict[str, Any] = {}
        self.calls: Callable[..., None] = lambda *_: None

    def Stream(self, **settings: Any) -> SimpleNamespace:
        self.kept, self.calls = settings, settings["callback"]
        return SimpleNamespace(latency=(0.01, 0.02))


@pytest.mark.parametrize("channels", [1, 2, 18])
def test_any_input_is_heard_and_a_server_that_changes_its_blocks_is_opened_again(
    monkeypatch: pytest.MonkeyPatch, channels: int
) -> None:
    fake, heard = FakePortAudio(), []
    monkeypatch.setattr(devices, "import_sounddevice", lambda: fake)
    jack = Device(0, "system", "JACK Audio Connection Kit", 2, RATE, 20.0, input_channels=channels)

    def callback(out: np.ndarray, frames: int, when: object, status: object, given: np.ndarray) -> None:
        heard.append(given.shape)
        out[:] = 1.0

    exact = devices.CardStream(jack, jack, RATE, 512, callback, 512)  # type: ignore[arg-type]
    assert (fake.kept["blocksize"], exact.rebuffered_s) == (0, 0.0)
    assert fake.kept["channels"] == (min(channels, 2), 2)
    out = np.zeros((512, 2))
    fake.calls(np.zeros((512, min(channels, 2))), out, 512, None, None)
    assert (out.min(), exact.changed, heard) == (1.0, False, [(512, min(channels, 2))])
    fake.calls(np.zeros((256, 1)), out[:256], 256, None, None)
    assert (out[:256].max(), exact.changed, len(heard)) == (0.0, True, 1)
    other = devices.CardStream(jack, jack, RATE, 512, callback, 256)  # type: ignore[arg-type]
    assert (fake.kept["blocksize"], other.rebuffered_s) == (512, 512 / RATE)
