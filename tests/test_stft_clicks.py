"""The cause of study D's clicks, as benchmarks/stft_clicks.py shows it."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch

sys.path.insert(0, str(Path(__file__).parent.parent / "benchmarks"))

from stft_clicks import RATE, WAYS, clicks_db, nothing, shrunk, there_and_back

HANN, RECTANGULAR, RECTANGULAR_SUM = WAYS[0], WAYS[3], WAYS[4]


@pytest.fixture(scope="module")
def notes() -> torch.Tensor:
    """Four harmonic tones whose partials fade, 2 s."""
    time = torch.arange(2 * RATE) / RATE
    return torch.stack(
        [
            sum(0.2 / k * torch.sin(6.2832 * k * f * time + k) for k in range(1, 9))
            for f in (130, 196, 262, 330)
        ]
    )


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.name)
def test_untouched_spectra_are_the_sound(notes: torch.Tensor, way) -> None:
    sound = there_and_back(notes, way, 400, nothing)  # 400 divides the frame: sums are even
    middle = slice(4000, -4000)
    torch.testing.assert_close(sound[:, middle], notes[:, middle], atol=1e-4, rtol=0)


def test_a_phase_nearer_to_zero_clicks_without_a_window_only(notes: torch.Tensor) -> None:
    def found(way, hop: int = 300) -> float:
        return clicks_db(there_and_back(notes, way, hop, shrunk(0.5)), notes, hop)

    assert found(RECTANGULAR) > 10
    assert found(HANN) < 3


def test_frames_that_end_between_two_hops_click_where_the_sum_is_not_divided(notes: torch.Tensor) -> None:
    assert clicks_db(there_and_back(notes, RECTANGULAR_SUM, 300, nothing), notes, 300) > 6
    assert abs(clicks_db(there_and_back(notes, RECTANGULAR_SUM, 400, nothing), notes, 400)) < 1
