"""Facts about what training minimises: zero on itself, growing with the error, weighed once."""

import math

import auraloss
import pytest
import torch

from wavevae.config import ObjectiveConfig
from wavevae.nn.bottlenecks.base import Latents
from wavevae.objectives.losses import (
    MultiResolutionSTFT,
    MultiScaleLogMel,
    Objectives,
    relative_l1,
    weighted_sum,
)

RATE = 16000


def tone(hz: float = 440.0, level: float = 0.3, seconds: float = 0.5) -> torch.Tensor:
    t = torch.arange(int(RATE * seconds)) / RATE
    return (level * torch.sin(2 * math.pi * hz * t))[None, None]


DISTANCES = {
    "mr_stft": MultiResolutionSTFT((256, 512)),
    "log_mel": MultiScaleLogMel((256, 1024), RATE),
    "waveform_l1": relative_l1,
}


@pytest.mark.parametrize("name", DISTANCES)
def test_a_distance_is_zero_on_itself_and_grows_with_the_error(name: str) -> None:
    distance, x = DISTANCES[name], tone()
    noise = torch.randn(x.shape, generator=torch.Generator().manual_seed(0))
    errors = [
        float(distance(x + level * noise, x)) for level in (0.0, 0.001, 0.01, 0.1)
    ]  # -60, -40, -20 dBFS
    assert errors[0] == pytest.approx(0.0, abs=1e-6)
    assert errors == sorted(errors)
    assert errors[-1] > 2 * errors[1]


def test_mr_stft_is_auraloss_own_number_above_the_floor() -> None:
    loud, other = (0.3 * torch.randn(2, 1, RATE, generator=torch.Generator().manual_seed(s)) for s in (0, 1))
    theirs = auraloss.freq.MultiResolutionSTFTLoss([256, 1024], [64, 256], [256, 1024])(loud, other)
    assert float(MultiResolutionSTFT((256, 1024))(loud, other)) == pytest.approx(float(theirs), rel=1e-4)


def test_what_is_below_the_floor_is_not_heard() -> None:
    whisper = 1e-6 * torch.randn(1, 1, RATE, generator=torch.Generator().manual_seed(0))
    assert float(MultiResolutionSTFT((512,))(whisper, torch.zeros_like(whisper))) == pytest.approx(
        0.0, abs=1e-6
    )


def test_log_mel_reads_a_level_change_in_bels_of_power() -> None:
    noise = 0.1 * torch.randn(1, 1, RATE, generator=torch.Generator().manual_seed(0))
    assert float(MultiScaleLogMel((512,), RATE)(noise * 10**0.5, noise)) == pytest.approx(1.0, abs=0.01)


def test_relative_l1_is_one_for_silence_at_any_level_and_finite_on_silence() -> None:
    for level in (0.5, 0.05):
        assert float(relative_l1(torch.zeros_like(tone()), tone(level=level))) == pytest.approx(1.0, abs=0.05)
    assert float(relative_l1(tone(level=1e-3), torch.zeros_like(tone()))) < 1.0


def test_bank_covers_every_frequency_above_the_lowest_bands() -> None:
    """A tone anywhere is seen: no band of the filterbank is empty where it matters."""
    mel = MultiScaleLogMel((2048,), RATE)
    silence = torch.zeros_like(tone())
    for hz in (110.0, 441.0, 1203.0, 5001.0, 7503.0):
        assert float(mel(tone(hz), silence)) > 0.1


def test_free_bits_cost_nothing_and_the_sum_weighs_once() -> None:
    config = ObjectiveConfig(
        mr_stft=0.0,
        mr_stft_end=0.0,
        log_mel=0.0,
        log_mel_end=0.0,
        waveform_l1=4.0,
        waveform_l1_end=2.0,
        kl=0.25,
        free_bits=0.5,
    )
    objectives = Objectives(config, RATE)
    latents = Latents(torch.zeros(1, 3, 4), None, {"kl": torch.tensor([0.1, 0.5, 2.0])}, {})
    raw = objectives.raw(torch.zeros_like(tone()), tone(), latents)
    assert set(raw) == {"waveform_l1", "kl"}  # terms of weight 0 are not even computed
    assert float(raw["kl"]) == pytest.approx(0.5 + 0.5 + 2.0)
    total = weighted_sum(raw, objectives.weights(share=1.0))
    assert float(total) == pytest.approx(2.0 * float(raw["waveform_l1"]) + 0.25 * 3.0)
