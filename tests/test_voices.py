"""Notes, classes, modes: what a built instrument does with them, block by block."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from toy_bundle import HOP, LATENTS, SAMPLE_RATE, write_conditional, write_toy

from wavevae.controls import MODES, ControlState, Share
from wavevae.errors import UserError
from wavevae.realtime.control.dispatcher import Dispatcher
from wavevae.realtime.engine.engine import PlayableModel
from wavevae.realtime.engine.latent_sources import MODE_FADE_MS
from wavevae.realtime.engine.voices import ModelSettings

BLOCK = 512


class Stage:
    """An instrument and a desk that drives it."""

    def __init__(self, path: Path, **options: object) -> None:
        self.instrument = PlayableModel(path, 7, **options)  # type: ignore[arg-type]
        self.desk = Dispatcher(self.instrument.model)
        self.instrument.begin(self.desk.state)

    def play(self, blocks: int = 1, heard: np.ndarray | None = None) -> np.ndarray:
        """(blocks * BLOCK,); of `heard` a block each time."""
        made = []
        for number in range(blocks):
            block = None if heard is None else heard[number * BLOCK : (number + 1) * BLOCK]
            made.append(self.instrument.engine.process(self.desk.state, BLOCK, block))
        return np.concatenate(made)

    def send(self, address: str, *arguments: object) -> None:
        self.desk.apply(f"/wavevae/{address}", arguments)


@pytest.fixture(scope="module")
def conditional(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("toy") / "conditional.ts"
    write_conditional(path)
    return path


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("toy") / "plain.ts"
    write_toy(path)
    return path


def pitches(audio: np.ndarray) -> set[int]:
    """MIDI numbers of the spectrum's peaks within 20 dB of the highest."""
    spectrum = np.abs(np.fft.rfft(audio * np.hanning(len(audio)), 1 << 17))
    inner = spectrum[1:-1]
    high = (inner > 0.1 * spectrum.max()) & (inner > spectrum[:-2]) & (inner >= spectrum[2:])
    hertz = (1 + np.flatnonzero(high)) * SAMPLE_RATE / (1 << 17)
    return {round(69 + 12 * float(np.log2(f / 440))) for f in hertz}


def test_a_chord_is_played_by_as_many_voices(conditional: Path) -> None:
    stage = Stage(conditional, voices=4)
    for pitch in (57, 64, 73):
        stage.send("note", pitch, 0.5)
    stage.play(10)
    assert pitches(stage.play(40)) == {57, 64, 73}
    stage.send("note", 64, 0)
    stage.play(20)
    assert pitches(stage.play(40)) == {57, 73}


def test_one_voice_plays_the_last_note(conditional: Path) -> None:
    stage = Stage(conditional)
    stage.send("note", 57, 1.0)
    stage.send("note", 60, 1.0)
    stage.play(10)
    assert pitches(stage.play(40)) == {60}


def test_a_note_rises_to_its_velocity_and_falls_without_a_click(conditional: Path) -> None:
    stage = Stage(conditional)
    stage.send("note", 60, 0)  # before any note it drones on
    assert np.abs(stage.play(4)).max() > 0.1
    stage.send("attack", 100)
    stage.send("release", 50)
    stage.send("note", 60, 0.25)
    stage.play(10)
    quiet = np.abs(stage.play(4)).max()
    stage.send("note", 60, 1.0)
    stage.play(10)
    sound = stage.play(4)
    loud = np.abs(sound).max()
    assert loud == pytest.approx(4 * quiet, rel=0.05)
    stage.send("note", 60, 0)
    fall = stage.play(6)
    assert np.abs(np.diff(fall)).max() < 1.05 * np.abs(np.diff(sound)).max()
    assert not fall[BLOCK + round(0.05 * SAMPLE_RATE) + HOP :].any()


def test_a_key_struck_and_lifted_within_a_block_still_sounds(conditional: Path) -> None:
    stage = Stage(conditional)
    stage.send("note", 60, 1.0)
    stage.send("note", 60, 0)
    assert np.abs(stage.play(2)).max() > 0.05
    stage.play(20)
    assert not stage.play(4).any()
    stage.send("drone")
    stage.play(20)
    assert np.abs(stage.play(2)).max() > 0.1


def test_classes_reach_the_model(conditional: Path) -> None:
    made = {}
    for label in ("none", "soft", "hard", "odd"):
        stage = Stage(conditional)
        stage.send("gain", -12)
        stage.send("class", label)
        stage.play(4)
        made[label] = stage.play(8)
    np.testing.assert_array_equal(made["none"], made["soft"])
    np.testing.assert_allclose(made["hard"], 2 * made["soft"], atol=1e-6)
    np.testing.assert_allclose(made["odd"], -made["soft"], atol=1e-6)


def gains(quiet: np.ndarray, sound: np.ndarray) -> np.ndarray:
    """By how much each hop is louder: the toy's classes are factors."""
    return (sound.reshape(-1, HOP) * quiet.reshape(-1, HOP)).sum(1) / (quiet.reshape(-1, HOP) ** 2).sum(1)


def test_a_mix_of_classes_is_their_weighted_mean_and_glides(conditional: Path) -> None:
    stages = [Stage(conditional) for _ in range(2)]
    for stage in stages:
        stage.send("gain", -12)
        stage.send("smoothing", 200)
        stage.play(4)
    stages[1].send("class", "hard", 0.5, "odd", 0.25)
    plainly, mixed = (stage.play(20) for stage in stages)
    wanted = 1 + 0.5 * 1 + 0.25 * -2  # what is missing to 1 is no class: plain
    path = gains(plainly, mixed)
    np.testing.assert_allclose(path[20:], wanted, atol=1e-4)
    assert wanted == 1.0
    stages[1].send("class", "hard")
    plainly, mixed = (stage.play(20) for stage in stages)
    path = gains(plainly, mixed)
    steps = np.diff(np.concatenate([[1.0], path]))
    assert steps.max() < 0.15  # 200 ms are 17 frames, two a block: no jump
    assert path[-1] == pytest.approx(2.0, abs=1e-4)
    stages[1].send("preset/store", "loud")
    stages[1].send("class", "none")
    stages[1].play(40)
    stages[0].play(40)
    stages[1].send("preset/recall", "loud", 0.5)
    plainly, mixed = (stage.play(40) for stage in stages)
    path = gains(plainly, mixed)
    assert path[21] == pytest.approx(1.5, abs=0.1)
    assert path[-1] == pytest.approx(2.0, abs=1e-4)


def test_a_file_that_takes_one_class_gets_the_one(conditional: Path) -> None:
    stage = Stage(conditional)
    about = replace(stage.instrument.model, can_mix=False)
    core = stage.instrument._cores[0]
    tuned = ModelSettings(core, about)
    state = replace(stage.desk.state, mix=(Share(2, 1.0),))
    tuned.follow(1, state)
    assert core.module.get_class() == (2,)
    tuned.follow(1, stage.desk.state)
    assert core.module.get_class() == (-1,)


def test_a_bend_moves_every_note_at_once_and_without_a_click(conditional: Path) -> None:
    stage = Stage(conditional, voices=2)
    stage.send("gain", -12)
    for pitch in (57, 64):
        stage.send("note", pitch, 1.0)
    stage.play(20)
    before = stage.play(40)
    stage.send("bend", 2)
    after = stage.play(40)
    assert pitches(before) == {57, 64}
    assert pitches(after) == {59, 66}
    steepest = np.abs(np.diff(after)).max()
    assert abs(after[0] - before[-1]) <= 1.01 * steepest
    second = np.abs(np.diff(np.concatenate([before[-50:], after]), 2))
    assert second.max() <= 1.3 * second[500:].max()  # the wave goes on where it was
    stage.send("bend", -0.5)
    stage.play(10)
    hertz = 440 * 2 ** ((56.5 - 69) / 12)
    spectrum = np.abs(np.fft.rfft(stage.play(80) * np.hanning(80 * BLOCK), 1 << 18))
    peak = spectrum[: int(250 * (1 << 18) / SAMPLE_RATE) + 1].argmax() * SAMPLE_RATE / (1 << 18)
    assert peak == pytest.approx(hertz, rel=1e-3)
    stage.send("drone")
    stage.play(30)
    assert stage.instrument._cores[0].module.get_pitch() == (-1.0,)  # no pitch is not bent


def test_the_encoder_is_told_apart_from_what_sounds(conditional: Path) -> None:
    """The toy's encoder adds its class + 1 to the first latent, its pitch + 1 to the second, in hundredths."""

    def heard(*messages: tuple) -> list[float]:
        stage = Stage(conditional, live_input=True)
        stage.send("mode", "transform")
        for message in messages:
            stage.send(*message)
        stage.play(30, np.zeros(30 * BLOCK, np.float32))
        return stage.instrument.engine.latents[:2].tolist()  # type: ignore[index,union-attr]

    assert heard() == [0.0, 0.0]
    assert heard(("input_class", "odd"), ("input_pitch", 59)) == pytest.approx([3.0, 0.6])
    assert heard(("note", 49, 1.0), ("bend", 0.5)) == pytest.approx([0.0, 0.505])
    assert heard(("note", 49, 1.0), ("input_pitch", -1), ("class", "soft")) == [0.0, 0.0]


def test_every_voice_is_warm_before_it_may_sound(conditional: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    instrument = PlayableModel(conditional, 0, voices=3, live_input=True)
    calls: list[tuple[str, int, int]] = []
    for number, core in enumerate(instrument._cores):
        decode, encode = core.decode, core.encode
        monkeypatch.setattr(
            core, "decode", lambda z, n=number, d=decode: calls.append(("decode", n, len(z))) or d(z)
        )
        monkeypatch.setattr(
            core, "encode", lambda x, n=number, e=encode: calls.append(("encode", n, len(x))) or e(x)
        )
    instrument.warm_up(384)
    assert {(n, f) for what, n, f in calls if what == "decode"} == {(n, f) for n in range(3) for f in (1, 2)}
    assert {f for what, _, f in calls if what == "encode"} == {HOP, 2 * HOP}
    assert min(calls.count(call) for call in calls) >= 3
    instrument.begin(instrument.busiest())
    calls.clear()
    engine = instrument.engine
    engine.process(instrument.busiest(), BLOCK, np.zeros(BLOCK, np.float32))
    assert len(calls) == 4  # three voices and the input: what the time is taken of
    instrument.begin(instrument.controls)
    calls.clear()
    engine.process(instrument.controls, BLOCK)
    assert [what for what, *_ in calls] == ["decode"]  # as new: the notes are forgotten


def test_voices_are_refused_where_there_is_no_pitch(plain: Path) -> None:
    with pytest.raises(UserError, match="no pitch"):
        PlayableModel(plain, 0, voices=2)


def test_a_mode_change_is_a_cross_fade_of_latents(plain: Path) -> None:
    stage = Stage(plain, live_input=True)
    noise = (0.5 * np.random.default_rng(0).standard_normal(200 * BLOCK)).astype(np.float32)
    seen = []
    for mode, blocks in (("generate", 20), ("transform", 60), ("sample", 60), ("generate", 40)):
        stage.send("mode", mode)
        for _ in range(blocks):
            stage.play(1, noise[len(seen) * BLOCK :])
            seen.append(stage.instrument.engine.latents)
    path = np.array(seen)
    assert not path[:20].any()
    assert path[30:80].std() > 0.3
    assert path[90:140].std() > 0.3
    fade = round(MODE_FADE_MS / 1000 * SAMPLE_RATE / BLOCK) + 1
    assert not path[140 + fade :].any()


def test_transform_scales_and_moves_what_it_hears(plain: Path) -> None:
    noise = (0.5 * np.random.default_rng(0).standard_normal(100 * BLOCK)).astype(np.float32)

    def heard(scale: float, bias: float) -> np.ndarray:
        stage = Stage(plain, live_input=True)
        stage.send("mode", "transform")
        for axis in range(LATENTS):
            stage.send(f"scale/{axis}", scale)
            stage.send(f"bias/{axis}", bias)
        frames = []
        for start in range(0, len(noise), BLOCK):
            stage.play(1, noise[start:])
            frames.append(stage.instrument.engine.latents)
        return np.array(frames)[20:]

    plainly = heard(1, 0)
    assert plainly.std() > 0.3
    np.testing.assert_allclose(heard(0.5, 2), 0.5 * plainly + 2, atol=1e-5)


def test_sampling_is_the_seeds_and_moved_by_the_targets(plain: Path) -> None:
    def drawn(**options: float) -> np.ndarray:
        stage = Stage(plain)
        stage.send("mode", "sample")
        for name, value in options.items():
            stage.send(name, value)
        stage.play(10)
        return np.array([(stage.play(1), stage.instrument.engine.latents)[1] for _ in range(200)])

    first = drawn()
    np.testing.assert_array_equal(first, drawn())
    assert first.std() > 0.3
    moved = Stage(plain)
    moved.send("mode", "sample")
    moved.send("latents", *[2.0] * LATENTS)
    moved.play(10)
    again = np.array([(moved.play(1), moved.instrument.engine.latents)[1] for _ in range(200)])
    np.testing.assert_allclose(again, first + 2, atol=1e-5)
    still = drawn(spread=0)
    np.testing.assert_allclose(still[20:], np.broadcast_to(still[-1], still[20:].shape), atol=1e-6)


def test_a_mode_that_cannot_be_played_here_plays_the_targets(plain: Path) -> None:
    stage = Stage(plain)
    state = replace(ControlState.initial(LATENTS), mode=MODES.index("transform"))
    stage.instrument.begin(state)
    stage.instrument.engine.process(state, BLOCK)
    assert not stage.instrument.engine.latents.any()  # type: ignore[union-attr]
