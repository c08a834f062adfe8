"""Notes, classes, modes: what a built instrument does with them, block by block."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from toy_bundle import HOP, LATENTS, SAMPLE_RATE, write_conditional, write_toy
from wavevae.realtime.build import Instrument
from wavevae.realtime.desk import Desk
from wavevae.realtime.modes import MODE_FADE_MS

from wavevae.controls import MODES, ControlState
from wavevae.errors import UserError

BLOCK = 512


class Stage:
    """An instrument and a desk that drives it."""

    def __init__(self, path: Path, **options: object) -> None:
        self.instrument = Instrument(path, 7, **options)  # type: ignore[arg-type]
        self.desk = Desk(self.instrument.about)
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


def test_voices_are_refused_where_there_is_no_pitch(plain: Path) -> None:
    with pytest.raises(UserError, match="no pitch"):
        Instrument(plain, 0, voices=2)


def test_a_mode_change_is_a_cross_fade_of_latents(plain: Path) -> None:
    stage = Stage(plain, hears=True)
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
        stage = Stage(plain, hears=True)
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
