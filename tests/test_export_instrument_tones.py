"""What an exported instrument plays: pitch, level and silence are what the controls say, for hours and at any pitch."""

import math

import pytest
import torch
import toy_playable
from signals import cents, level_db
from torch import Tensor

from wavevae.export.instrument import InstrumentModule, instrument_module
from wavevae.export.model_file import axes_of

RATE, HOP = 22050, 256
NYQUIST_MIDI = 69 + 12 * math.log2(RATE / 2 / 440)


@pytest.fixture(scope="module")
def pure() -> InstrumentModule:
    """Nearly a sine, without noise: what physics says of it is exact. Not scripted: its state can be set."""
    model = toy_playable.tones_only(toy_playable.make())
    return instrument_module(model, axes_of(model, toy_playable.statistics(model))).eval()


def play(module: InstrumentModule, z: Tensor, frame: int = 0, life: float = 0.0) -> Tensor:
    """From a cleared state, as if `frame` frames had gone by."""
    module.reset()
    module.set_life(life)
    module.decoder.frame = frame
    with torch.inference_mode():
        return module.decode(z)[:, 0]


def test_each_voice_has_a_phase_of_its_own(pure: InstrumentModule) -> None:
    both = torch.cat([toy_playable.controls(100, 60.0), toy_playable.controls(100, 67.0)])
    sound = play(pure, both)
    for voice, midi in enumerate((60.0, 67.0)):
        assert abs(cents(sound[voice], RATE, 440 * 2 ** ((midi - 69) / 12))) < 0.1
        torch.testing.assert_close(sound[voice], play(pure, both[voice : voice + 1])[0], rtol=0, atol=1e-5)


def test_an_hour_later_pitch_and_level_are_the_same(pure: InstrumentModule) -> None:
    z, hz = toy_playable.controls(200), 440 * 2 ** (-9 / 12)
    at_first, late = play(pure, z)[0], play(pure, z, 86 * 3600)[0]
    assert abs(cents(late, RATE, hz) - cents(at_first, RATE, hz)) < 0.1
    assert abs(cents(at_first, RATE, hz)) < 0.1
    assert abs(level_db(late) - level_db(at_first)) < 0.1
    living = play(pure, z, 86 * 3600, 1.0)[0]  # the drift goes on as well, and stays small
    assert abs(level_db(living) - level_db(late)) < 2
    assert level_db(living - late) > level_db(late) - 30


def test_five_minutes_held_end_as_they_began(pure: InstrumentModule) -> None:
    hz, parts = 440 * 2 ** (-9 / 12), []
    play(pure, toy_playable.controls(1))
    with torch.inference_mode():
        for _ in range(13):
            parts.append(pure.decode(toy_playable.controls(2000))[0, 0, -3 * RATE :])
    assert abs(cents(parts[-1], RATE, hz)) < 0.1
    assert abs(level_db(parts[-1]) - level_db(parts[0])) < 0.1


@pytest.mark.parametrize("level", [-40.0, -20.0, -6.0])
def test_the_loudness_is_what_was_asked_for(pure: InstrumentModule, level: float) -> None:
    sound = play(pure, toy_playable.controls(300, 60.0, level))[0, 2 * HOP :]
    assert level_db(sound) == pytest.approx(level, abs=0.1)


def test_the_lowest_loudness_is_silence(pure: InstrumentModule) -> None:
    for level in (-100.0, -1e6):
        assert play(pure, toy_playable.controls(20, 60.0, level)).abs().max() < 1e-7


def test_no_aliasing_up_to_half_the_rate_and_silence_above(pure: InstrumentModule) -> None:
    for midi in (100.0, 112.3, 120.7, 123.9):
        sound = play(pure, toy_playable.controls(240, midi))[0, -8 * 4096 :].double()
        spectrum = torch.fft.rfft(
            sound * torch.kaiser_window(len(sound), False, 14, dtype=torch.float64)
        ).abs()
        hz = torch.arange(len(spectrum)) * RATE / len(sound)
        f0 = 440 * 2 ** ((midi - 69) / 12)
        harmonic = ((hz / f0 - (hz / f0).round().clamp_min(1)).abs() * f0) < 30
        assert spectrum[harmonic].max() > 0
        assert spectrum[~harmonic].max() < 1e-3 * spectrum[harmonic].max(), midi
    assert play(pure, toy_playable.controls(60, NYQUIST_MIDI + 0.2))[0, 2 * HOP :].abs().max() < 1e-4
    assert play(pure, toy_playable.controls(60, 1e5))[0, 2 * HOP :].abs().max() < 1e-4


def test_a_sweep_beyond_half_the_rate_leaves_nothing_below(pure: InstrumentModule) -> None:
    z = toy_playable.controls(400, 118.0)
    z[0, 0] = torch.linspace(118.0, 140.0, 400)
    sound = play(pure, z)[0].double()
    spectrum = torch.fft.rfft(sound * torch.hann_window(len(sound), dtype=torch.float64)).abs()
    hz = torch.arange(len(spectrum)) * RATE / len(sound)
    assert spectrum[hz < 6500].max() < 1e-3 * spectrum.max()
    assert sound[len(sound) // 2 :].abs().max() < 1e-4


@pytest.mark.parametrize("midi", [0.0, -5.0, -1e4])
def test_pitches_at_zero_and_below_play(pure: InstrumentModule, midi: float) -> None:
    sound = play(pure, toy_playable.controls(400, midi))[0]
    assert sound.isfinite().all()
    assert level_db(sound) == pytest.approx(-20.0, abs=3.0)  # few periods are in it


def test_a_jump_of_every_control_does_not_click(pure: InstrumentModule) -> None:
    """Phase goes on and amplitudes move over a hop: no step is larger than the tone's own."""
    z = toy_playable.controls(60)
    z[0, 0, 30:], z[0, 1, 30:] = 72.0, -26.0
    steps = play(pure, z)[0].diff().abs()
    assert steps[30 * HOP - 8 : 31 * HOP + 8].max() < 1.3 * max(
        steps[: 30 * HOP - 8].max(), steps[31 * HOP + 8 :].max()
    )


def test_temperature_shakes_the_learned_latents_only(pure: InstrumentModule) -> None:
    pure.set_temperature(2.0)
    sound = play(pure, toy_playable.controls(200))[0]
    pure.set_temperature(0.0)
    assert abs(cents(sound, RATE, 440 * 2 ** (-9 / 12))) < 0.1
    assert level_db(sound[HOP:]) == pytest.approx(-20.0, abs=0.1)


def test_gain_is_reached_in_a_line_whatever_the_blocks(pure: InstrumentModule) -> None:
    z, glide = toy_playable.controls(60), round(0.02 * RATE)
    whole = play(pure, z)[0]
    found = []
    for block in (1, 6):
        play(pure, z[..., :30])
        pure.set_gain(-20.0)
        with torch.inference_mode():
            found.append(torch.cat([pure.decode(part)[0, 0] for part in z[..., 30:].split(block, 2)]))
        pure.set_gain(0.0)
        pure.reset()
    torch.testing.assert_close(found[0], found[1], rtol=0, atol=1e-6)
    line = torch.linspace(1, 0.1, glide + 1)[1:]
    expected = whole[30 * HOP :] * torch.cat([line, torch.full([30 * HOP - glide], 0.1)])
    torch.testing.assert_close(found[0], expected, rtol=0, atol=1e-5)
