"""What is said at the end of a run, on curves made so that the right answer is known."""

from __future__ import annotations

import numpy as np
import pytest

from wavevae.train.diagnosis import Curve, Finding, judge, line, playing_words, words

TIMES = np.linspace(30, 600, 20)
SLOWER = "--set learning_rate=1e-4"


def noisy(curve: np.ndarray, size: float = 0.005, seed: int = 0) -> np.ndarray:
    return curve * (1 + size * np.random.default_rng(seed).standard_normal(len(curve)))


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("power", [0.1, 0.3])
def test_a_power_law_is_still_falling_by_what_it_promises(power: float, seed: int) -> None:
    finding = judge(Curve(TIMES, noisy(3 * TIMES**-power, seed=seed)))
    assert finding.kind == "falling"
    assert finding.change == pytest.approx(2**-power - 1, abs=0.03)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("size", [0.0, 0.003, 0.01])
def test_a_curve_that_has_come_to_rest_is_flat_however_noisy(size: float, seed: int) -> None:
    finding = judge(Curve(TIMES, noisy(1 + 2 * np.exp(-TIMES / 40), size, seed)))
    assert finding.kind == "flat"
    assert abs(finding.change) < 0.03


def test_noise_alone_does_not_fall() -> None:
    """A slope that might be an accident is not promised."""
    kinds = [judge(Curve(TIMES, noisy(np.ones(20), 0.05, seed))).kind for seed in range(40)]
    assert kinds.count("falling") <= 2


def test_overfitting_is_said_from_the_curve() -> None:
    held = 1 + 2 * np.exp(-TIMES / 60) + 0.4 * np.clip(TIMES / 600 - 0.4, 0, 1)
    finding = judge(Curve(TIMES, noisy(held), learned=0.7, passes=900))
    assert finding.kind == "overfitting"
    assert 150 < finding.best_s < 330
    assert finding.change == pytest.approx(held[-3] / held.min() - 1, abs=0.02)
    said = " ".join(words(finding, "runs/x", "--max-time 20m", SLOWER))
    assert "overfitting: held-out sounds are" in said
    assert "best.ckpt" in said
    assert "heard 900 times: more budget than so little sound deserves" in said
    assert "--resume" not in said


@pytest.mark.parametrize("count", [1, 20])
def test_a_start_that_stayed_the_best_is_said(count: int) -> None:
    """However the curve goes: it ends above what it began with, and best.ckpt is the start."""
    held = 3 * TIMES[:count] ** -0.1
    start = float(held.min()) / 1.05
    finding = judge(Curve(TIMES[:count], held, start=start))
    assert finding.kind == "start"
    first, second = words(finding, "runs/x", "--max-time 20m", SLOWER)
    assert "nothing learned beat the start" in first
    assert "5.0% further off" in first
    assert "--resume --out runs/x --max-time 20m" in second
    assert SLOWER in second
    assert judge(Curve(TIMES[:count], held, start=2 * start)).kind != "start"


def test_one_bad_validation_is_no_overfitting() -> None:
    held = 3 * TIMES**-0.2
    held[-1] *= 1.2
    assert judge(Curve(TIMES, held)).kind != "overfitting"


def test_few_validations_say_so() -> None:
    for count in (0, 1, 3):
        finding = judge(Curve(TIMES[:count], np.ones(count)))
        assert finding.kind == "short"
    assert "too few" in words(finding, "r", "--max-time 2m", SLOWER)[0]
    assert judge(Curve(TIMES, np.full(20, np.nan))).kind == "short"


def test_what_would_help_depends_on_the_gap() -> None:
    flat = np.ones(20)
    narrow, wide = (judge(Curve(TIMES, flat, learned=learned)) for learned in (0.95, 0.6))
    assert narrow.gap == pytest.approx(1 / 0.95 - 1)
    assert "wider" in " ".join(words(narrow, "r", "-", SLOWER))
    said = " ".join(words(wide, "r", "-", SLOWER))
    assert "67% further off than learned ones: more and more various sounds" in said
    assert "at its limit" not in said


def test_falling_names_the_command_that_goes_on() -> None:
    (line_one,) = words(Finding("falling", -0.08, 600.0), "runs/x", "--max-time 20m", SLOWER)
    assert line_one == (
        "still falling: twice the time would bring about 8%; to go on: "
        "wavevae train --resume --out runs/x --max-time 20m"
    )


def test_the_line_is_that_of_least_squares() -> None:
    rng = np.random.default_rng(1)
    x = rng.standard_normal(50)
    y = 2 * x + 1 + 0.1 * rng.standard_normal(50)
    slope, error = line(x, y)
    design = np.stack([x, np.ones(50)], 1)
    (expected, _), (rest,), *_ = np.linalg.lstsq(design, y, rcond=None)
    assert slope == pytest.approx(expected)
    assert error == pytest.approx(np.sqrt(rest / 48 * np.linalg.inv(design.T @ design)[0, 0]))


def test_playing_is_told_in_one_sentence() -> None:
    codec = {"held_pitch_ok": 0.0, "held_pitched_moments": 8, "hop_lock": 0.98, "transfer_moved": 0.05}
    (said,) = playing_words(codec)
    assert said == (
        "playing: a held frame keeps its pitch in 0% of 8 moments, hop lock 0.98 (one waveform repeated: a buzz), "
        "5% of a sung voice comes out as the corpus: this model copies sounds; it holds and transfers none"
    )
    (well,) = playing_words({**codec, "held_pitch_ok": 1.0, "hop_lock": 0.01, "transfer_moved": 0.97})
    assert "copies" not in well
    assert "buzz" not in well
    (unpitched,) = playing_words({"held_pitch_ok": None, "hop_lock": 0.02})
    assert unpitched == "playing: hop lock 0.02"
    assert playing_words({}) == []
