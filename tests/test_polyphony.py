"""Notes of an instrument: which pitch, how loud, how long; chords, stealing, one voice with glide; nothing clicks."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import toy_playable
from signals import level_db

from wavevae.controls import ControlState, Refused
from wavevae.realtime.control.dispatcher import Dispatcher
from wavevae.realtime.engine.engine import PlayableModel
from wavevae.realtime.engine.polyphony import CHORD_DB, velocity_db

BLOCK, RATE = 256, 22050


class Stage:
    """A built instrument, a desk that drives it, and what was played so far."""

    def __init__(self, path: Path, **options: object) -> None:
        self.instrument = PlayableModel(path, 7, **options)  # type: ignore[arg-type]
        self.desk = Dispatcher(self.instrument.model)
        self.instrument.begin(self.desk.state)
        self.send("life", 0)

    def send(self, address: str, *arguments: object) -> None:
        self.desk.apply(f"/wavevae/{address}", arguments)

    def play(self, seconds: float, heard: np.ndarray | None = None) -> np.ndarray:
        """Whole blocks, about so long."""
        blocks = max(1, round(seconds * RATE / BLOCK))
        made = []
        for number in range(blocks):
            block = None if heard is None else heard[number * BLOCK : (number + 1) * BLOCK]
            made.append(self.instrument.engine.process(self.desk.state, BLOCK, block))
        return np.concatenate(made)


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    model = toy_playable.tones_only(toy_playable.make())
    return toy_playable.write(model, tmp_path_factory.mktemp("toy") / "tones.ts")


@pytest.fixture(scope="module")
def texture(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Without a pitch."""
    return toy_playable.write(toy_playable.make("noise"), tmp_path_factory.mktemp("toy") / "texture.ts")


def pitch(audio: np.ndarray) -> float:
    """MIDI of a steady tone whose strongest partial is its first, to a tenth of a cent."""
    size = len(audio)
    window = np.hanning(size // 2)
    first, second = (np.fft.rfft(part * window) for part in (audio[: size // 2], audio[size // 2 :]))
    peak = int(np.argmax(np.abs(first)))
    turns = float(np.angle(second[peak] / first[peak])) / (2 * math.pi)  # a whole number of them is the bin's
    hertz = (round(peak - turns) + turns) / (size // 2) * RATE
    return 69 + 12 * math.log2(hertz / 440)


def pitches(audio: np.ndarray) -> set[int]:
    """MIDI numbers of the spectrum's peaks within 10 dB of the highest."""
    spectrum = np.abs(np.fft.rfft(audio * np.hanning(len(audio)), 1 << 17))
    inner = spectrum[1:-1]
    high = (inner > 0.3 * spectrum.max()) & (inner > spectrum[:-2]) & (inner >= spectrum[2:])
    hertz = (1 + np.flatnonzero(high)) * RATE / (1 << 17)
    return {round(69 + 12 * float(np.log2(f / 440))) for f in hertz}


def roughness(audio: np.ndarray) -> float:
    """The largest step of the second difference: what a click raises."""
    return float(np.abs(np.diff(audio, 2)).max())


# -- at once --------------------------------------------------------------------------------------------------


def test_it_is_silent_until_a_key_and_then_sounds_with_the_next_block(path: Path) -> None:
    stage = Stage(path)
    assert not stage.play(0.5).any()
    stage.send("note", 60, 0.8)
    first = stage.play(0.001)
    assert level_db(first) > level_db(stage.play(0.2)) - 8


def test_it_sounds_when_a_control_is_moved(path: Path) -> None:
    for address, *arguments in (("latent/3", 0.5), ("pitch", 62.0), ("loudness", -20)):
        stage = Stage(path)
        stage.send("gain", -3)
        assert not stage.play(0.2).any()
        stage.send(address, *arguments)
        assert level_db(stage.play(0.5)) > -40


def test_controls_are_in_natural_units_and_the_same_as_their_latents(path: Path) -> None:
    stage = Stage(path)
    stage.send("pitch", 66.5)
    stage.send("loudness", -23)
    stage.send("smoothing", 0)
    stage.play(0.3)
    sound = stage.play(0.8)
    assert pitch(sound) == pytest.approx(66.5, abs=0.003)
    assert level_db(sound) == pytest.approx(-23, abs=0.1)
    axis = stage.instrument.model.axes[0]
    assert stage.desk.state.latents[0] == pytest.approx((66.5 - axis.mean) / axis.std)
    stage.send("latent/0", 0.25)
    assert stage.desk.table["/wavevae/pitch"].value() == pytest.approx(axis.mean + 0.25 * axis.std)
    for bad in (math.nan, math.inf, 128, -1, "C4"):
        with pytest.raises(Refused):
            stage.send("pitch", bad)


def test_the_drone_is_a_button_that_ends_it_as_well(path: Path) -> None:
    stage = Stage(path)
    for _ in range(2):
        stage.send("drone")
        assert level_db(stage.play(0.5)) > -40
        stage.send("drone")
        stage.play(0.4)
        assert not stage.play(0.2).any()
    stage.send("drone")
    stage.send("note", 60, 0.5)
    stage.send("note", 60, 0)
    stage.play(0.6)
    assert not stage.play(0.2).any()  # a key ends it


# -- pitch and level ------------------------------------------------------------------------------------------


def test_every_key_of_a_piano_is_in_tune(path: Path) -> None:
    stage = Stage(path, voices=1)
    stage.send("release", 0)
    errors = []
    for key in range(21, 109, 3):
        stage.send("note", key, 0.8)
        stage.play(0.05)
        errors.append(100 * abs(pitch(stage.play(0.4)) - key))
        stage.send("note", key, 0)
        stage.play(0.05)
    assert np.median(errors) < 0.2
    assert max(errors) < 1


def test_notes_are_as_loud_as_they_are_struck_whatever_the_sliders_say(path: Path) -> None:
    stage = Stage(path)
    stage.send("pitch", 40)
    stage.send("loudness", -70)
    loudest = stage.instrument.model.loudest_db + CHORD_DB
    for velocity in (1.0, 0.5, 0.2):
        stage.send("note", 60, velocity)
        stage.play(0.2)
        sound = stage.play(0.5)
        assert level_db(sound) == pytest.approx(loudest + velocity_db(velocity), abs=0.3)
        assert pitch(sound) == pytest.approx(60, abs=0.01)
        stage.send("note", 60, 0)
        stage.play(0.5)


def test_bend_pressure_slide_and_offsets_are_of_one_note(path: Path) -> None:
    stage = Stage(path)
    stage.send("note", 57, 0.5)
    stage.send("note", 69, 0.5)
    stage.send("note/bend", 57, 2.0)
    stage.play(0.2)
    assert pitches(stage.play(0.8)) == {59, 69}
    stage.send("bend", -1.0)
    stage.play(0.1)
    assert pitches(stage.play(0.8)) == {58, 68}
    before = level_db(stage.play(0.2))
    stage.send("note/pressure", 69, 1.0)
    stage.play(0.1)
    assert level_db(stage.play(0.2)) > before + 6
    for address, *arguments in (("note/slide", 69, 1.0), ("note/latent", 57, 4, -1.5)):
        stage.send(address, *arguments)
    struck = {n.pitch: n for n in stage.desk.state.notes}
    assert (struck[69].slide, struck[57].slide, struck[57].offsets[4], struck[69].offsets) == (
        1.0,
        0.5,
        -1.5,
        (),
    )
    assert ControlState.unpack(stage.desk.state.pack().tolist()) == stage.desk.state
    with pytest.raises(Refused, match="no note 64"):
        stage.send("note/bend", 64, 1.0)


def test_offsets_and_slide_change_the_timbre_of_their_note_alone(path: Path) -> None:
    stage = Stage(path, voices=2)
    voices = stage.instrument.engine.decoder._voices  # type: ignore[attr-defined]
    stage.send("note", 57, 0.5)
    stage.send("note", 69, 0.5)
    stage.send("note/slide", 57, 1.0)
    stage.send("note/latent", 69, 5, 1.25)
    stage.play(0.1)
    base, listening = np.zeros((1, stage.instrument.model.latent_dim), np.float32), np.zeros(1, np.float32)
    frames = {v.note.pitch: v.frames(base, listening, stage.desk.state)[0] for v in voices if v.note}
    assert frames[57][3:] == pytest.approx([2.0, 0.0, 0.0, 0.0])
    assert frames[69][3:] == pytest.approx([0.0, 0.0, 1.25, 0.0])


# -- how long ---------------------------------------------------------------------------------------------------


def test_attack_decay_sustain_and_release_take_the_time_that_is_set(path: Path) -> None:
    stage = Stage(path)
    for name, value in (("attack", 200), ("decay", 600), ("sustain", 0.1), ("release", 300)):
        stage.send(name, value)
    stage.send("note", 69, 1.0)
    rise = stage.play(0.3)
    loudest = stage.instrument.model.loudest_db + CHORD_DB
    at = lambda sound, seconds: level_db(sound[int(seconds * RATE) - 256 : int(seconds * RATE) + 256])  # noqa: E731
    assert at(rise, 0.1) == pytest.approx(loudest - 6, abs=1)  # half way up, half the amplitude
    assert at(rise, 0.2) == pytest.approx(loudest, abs=1.5)
    stage.play(0.3)
    assert level_db(stage.play(0.3)) == pytest.approx(loudest - 20, abs=0.2)
    stage.send("note", 69, 0)
    fall = stage.play(0.5)
    assert at(fall, 0.1) == pytest.approx(loudest - 40, abs=2)  # 20 dB in each tenth of a second
    assert not stage.play(0.1).any()


def test_a_sustain_of_nothing_is_a_plucked_note(path: Path) -> None:
    stage = Stage(path)
    stage.send("sustain", 0)
    stage.send("note", 69, 1.0)
    assert level_db(stage.play(0.1)) > -40
    stage.play(0.4)
    assert not stage.play(0.2).any()


def test_a_key_struck_and_lifted_within_a_block_still_sounds(path: Path) -> None:
    stage = Stage(path)
    stage.play(0.01)
    stage.send("note", 60, 1.0)
    stage.send("note", 60, 0)
    assert level_db(stage.play(0.05)) > -40
    stage.play(0.4)
    assert not stage.play(0.1).any()


def test_the_pedal_keeps_what_was_let_go(path: Path) -> None:
    stage = Stage(path)
    stage.send("note", 57, 0.8)
    stage.send("pedal", 1)
    stage.send("note", 69, 0.8)
    for key in (57, 69):
        stage.send("note", key, 0)
    stage.play(0.5)
    assert pitches(stage.play(0.5)) == {57, 69}
    stage.send("note", 69, 0.8)  # down again: it stays when the pedal goes
    stage.send("pedal", 0)
    stage.play(0.6)
    assert pitches(stage.play(0.5)) == {69}


# -- many, and one ----------------------------------------------------------------------------------------------


def test_eight_notes_sound_and_the_ninth_takes_the_oldest(path: Path) -> None:
    stage = Stage(path)
    keys = [45, 50, 55, 60, 65, 70, 75, 80]
    for key in keys:
        stage.send("note", key, 0.6)
        stage.play(0.05)
    assert pitches(stage.play(1.0)) == set(keys)
    stage.send("note", 83, 0.6)
    stage.play(0.2)
    assert pitches(stage.play(1.0)) == {*keys[1:], 83}
    stage.send("note", 50, 0)  # what is released goes before what is held
    stage.send("note", 87, 0.6)
    stage.play(0.4)
    assert pitches(stage.play(1.0)) == {*keys[2:], 83, 87}


def test_chords_come_and_go_without_clicks(path: Path) -> None:
    stage = Stage(path, voices=2)
    stage.send("attack", 30)
    stage.send("note", 60, 0.7)
    stage.send("note", 64, 0.7)
    stage.play(0.2)
    steady = roughness(stage.play(0.5))
    random = np.random.default_rng(0)
    played = []
    for _ in range(40):  # notes taken over, repeated, let go
        key = int(random.choice([60, 62, 64, 65]))
        stage.send("note", key, float(random.choice([0.0, 0.7])))
        played.append(stage.play(float(random.choice([0.012, 0.024, 0.05]))))
    assert roughness(np.concatenate(played)) < 2.5 * steady


def test_one_voice_glides_from_key_to_key_and_back(path: Path) -> None:
    stage = Stage(path)
    stage.send("mono", 1)
    stage.send("glide", 100)
    stage.send("note", 57, 0.8)
    stage.play(0.3)
    steady = level_db(stage.play(0.3))
    stage.send("note", 69, 0.8)
    way = stage.play(0.12)
    assert level_db(way) == pytest.approx(steady, abs=0.5)  # no new attack
    assert 58 < pitch(way[:1024]) < 64 < pitch(way[1280:2304]) < 69
    assert pitches(stage.play(0.5)) == {69}
    stage.send("note", 69, 0)
    stage.play(0.2)
    assert pitches(stage.play(0.5)) == {57}
    stage.send("note", 57, 0)
    stage.play(0.5)
    assert not stage.play(0.1).any()
    stage.send("note", 64, 0.8)  # after a rest it is struck, not glided to
    stage.play(0.02)
    assert pitch(stage.play(0.2)) == pytest.approx(64, abs=0.05)


def test_stray_messages_change_nothing(path: Path) -> None:
    stage = Stage(path)
    stage.send("note", 60, 0)  # never struck
    stage.send("bend", 2)
    stage.send("bend", 0)
    stage.send("pedal", 0)
    assert not stage.play(0.2).any()
    for _ in range(1000):  # as a keyboard's may send in a second
        stage.send("note", 60, 0.5)
        stage.send("note", 61, 0.5)
        stage.send("note", 61, 0)
    sound = stage.play(0.5)
    assert pitches(sound[len(sound) // 2 :]) == {60}
    stage.send("panic")
    stage.play(0.1)
    assert not stage.play(0.1).any()
    stage.send("reset")
    assert not stage.play(0.3).any()


def test_keys_play_an_instrument_without_a_pitch_by_its_brightness(texture: Path) -> None:
    stage = Stage(texture)
    assert not stage.play(0.2).any()
    stage.send("note", 60, 1.0)
    stage.play(0.2)
    low = stage.instrument.engine.sounding
    assert level_db(stage.play(0.5)) == pytest.approx(stage.instrument.model.loudest_db + CHORD_DB, abs=1.5)
    stage.send("note", 60, 0)
    stage.send("note", 84, 1.0)
    stage.play(0.1)
    high = stage.instrument.engine.sounding
    assert low is not None
    assert high is not None
    assert high[1] - low[1] == pytest.approx(2.0)


# -- turned while it is held ------------------------------------------------------------------------------------


def test_a_morph_between_presets_leaves_the_phase_of_a_held_note(path: Path) -> None:
    """The tone goes on as the same sine: it is compared with one that was left alone."""
    stages = [Stage(path), Stage(path)]
    for stage in stages:
        stage.send("preset/store", "first")
        stage.send("latent/4", 1.5)
        stage.send("preset/store", "second")
        stage.send("note", 69, 0.8)
        stage.play(0.3)
    left_alone = stages[0].play(1.0)
    stages[1].send("preset/recall", "first")
    moved = stages[1].play(1.0)
    assert np.abs(moved - left_alone).max() < 0.01 * np.abs(left_alone).max()


def test_a_preset_of_a_far_pitch_comes_back(path: Path) -> None:
    stage = Stage(path)
    stage.send("pitch", 127)
    stage.send("preset/store", "high")
    stage.send("pitch", 60)
    stage.send("preset/recall", "high")
    assert stage.desk.table["/wavevae/pitch"].value() == pytest.approx(127)


def test_nothing_jumps_when_every_control_does(path: Path) -> None:
    stage = Stage(path)
    stage.send("note", 69, 1.0)
    stage.send("pressure", 1)
    stage.play(0.3)
    steady = roughness(stage.play(0.3))
    random = np.random.default_rng(1)
    played = []
    for _ in range(60):
        for axis in range(stage.instrument.model.latent_dim):
            stage.send(f"latent/{axis}", float(random.uniform(-10, 10)))
        stage.send("periodicity", float(random.uniform(0, 1)))
        stage.send("pressure", float(random.uniform(0, 1)))
        played.append(stage.play(0.012))
    assert roughness(np.concatenate(played)) < 2.5 * steady


def test_temperature_leaves_pitch_and_loudness(path: Path) -> None:
    stage = Stage(path)
    stage.send("temperature", 2)
    stage.send("drone")
    seen = []
    for _ in range(20):
        stage.play(0.012)
        seen.append(stage.instrument.engine.latents)
    spread = np.std(np.array(seen), 0)
    assert spread[:3] == pytest.approx([0, 0, 0], abs=1e-5)
    assert spread[3:].min() > 1


# -- a live input -----------------------------------------------------------------------------------------------


def test_a_live_input_is_heard_without_keys_and_silence_stays_silence(path: Path) -> None:
    stage = Stage(path, live_input=True)
    stage.send("mode", "transform")
    tone = toy_playable.tone(RATE, 2 * RATE, 57.0, -20.0)[0, 0].numpy()
    stage.play(1.0, tone)
    sound = stage.play(0.8, tone[RATE:])
    assert pitch(sound) == pytest.approx(57, abs=0.1)
    assert level_db(sound) == pytest.approx(-20, abs=1)
    quiet = 1e-5 * np.random.default_rng(0).standard_normal(2 * RATE).astype(np.float32)
    for nothing in (quiet, np.zeros_like(quiet)):
        stage.play(0.5, nothing)
        assert level_db(stage.play(1.0, nothing[RATE // 2 :])) < -80


def test_keys_give_a_live_input_their_pitches_and_it_gives_them_its_loudness(path: Path) -> None:
    stage = Stage(path, live_input=True)
    stage.send("mode", "transform")
    tone = toy_playable.tone(RATE, 2 * RATE, 50.0, -20.0)[0, 0].numpy()
    stage.play(0.3, tone)
    stage.send("note", 64, 1.0)
    stage.send("note", 76, 1.0)
    stage.play(0.5, tone[RATE // 2 :])
    sound = stage.play(0.8, tone[RATE:])
    assert pitches(sound) == {64, 76}
    assert level_db(sound) == pytest.approx(-17, abs=1)  # two tones, each as loud as the input
    stage.play(0.3, np.zeros(RATE, np.float32))
    assert level_db(stage.play(0.5, np.zeros(RATE, np.float32))) < -80
