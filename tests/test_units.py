"""Conversions by name."""

import math

import pytest

from wavevae import units


def test_seconds_and_samples() -> None:
    assert units.seconds_to_samples(1.0, 22050) == 22050
    assert units.seconds_to_samples(0.3, 10) == 3


@pytest.mark.parametrize(("samples", "frames"), [(1, 1), (255, 1), (256, 1), (257, 2), (512, 2)])
def test_frames_cover_the_samples(samples: int, frames: int) -> None:
    assert units.samples_to_frames(samples, 256) == frames
    assert units.frames_to_samples(frames, 256) >= samples


def test_decibels_and_semitones() -> None:
    assert units.db_to_amplitude(-20) == pytest.approx(0.1)
    assert units.amplitude_to_db(units.db_to_amplitude(-7.5)) == pytest.approx(-7.5)
    assert units.amplitude_to_db(0.0) == -math.inf
    assert units.amplitude_to_db(0.0, floor_db=-80) == -80
    assert units.semitones_to_ratio(12) == pytest.approx(2)
    assert units.semitones_to_ratio(-7) * units.semitones_to_ratio(7) == pytest.approx(1)


def test_resampled_length_is_the_nearest() -> None:
    assert units.resampled_length(44100, 44100, 22050) == 22050
    assert units.resampled_length(7, 48000, 48000) == 7
    assert units.resampled_length(100, 44100, 48000) == round(100 * 48000 / 44100)


@pytest.mark.parametrize(("seconds", "text"), [(1.25, "1.2 s"), (754, "12.6 min"), (36000, "10.0 h")])
def test_durations_read_well(seconds: float, text: str) -> None:
    assert units.format_seconds(seconds) == text
