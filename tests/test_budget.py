"""The budget: what a share is, by time, by steps, by both, and over several sittings."""

import pytest

from wavevae.errors import UserError
from wavevae.train.budget import Budget, parse_time, show_time


class Clock:
    """A clock that is turned by hand."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("10m", 600),
        ("90s", 90),
        ("90", 90),
        ("1h30m", 5400),
        ("1.5h", 5400),
        ("2 h 5 min", 7500),
        ("1d", 86400),
    ],
)
def test_times_people_write(text: str, seconds: float) -> None:
    assert parse_time(text) == seconds


@pytest.mark.parametrize("text", ["", "soon", "10x", "-5m", "0", "m", "10m!"])
def test_times_that_are_none(text: str) -> None:
    with pytest.raises(UserError, match="like 10m, 90s or 1h30m"):
        parse_time(text)


def test_times_read_back() -> None:
    shown = [show_time(s) for s in (12.4, 75, 600, 5400, 7200, 0)]
    assert shown == ["12s", "1m15s", "10m", "1h30m", "2h", "0s"]


def test_share_by_time_counts_earlier_sittings() -> None:
    clock = Clock()
    budget = Budget(100.0, None, clock)
    assert budget.progress(0) == 0.0
    budget.start(used_s=25.0)
    assert budget.progress(0) == 0.25
    clock.now += 25
    assert (budget.elapsed_s, budget.progress(99)) == (50.0, 0.5)
    assert budget.left_s(0.5) == 50.0
    clock.now += 1000
    assert budget.progress(0) == 1.0


def test_share_by_steps_does_not_look_at_the_clock() -> None:
    clock = Clock()
    budget = Budget(None, 8, clock)
    budget.start()
    clock.now += 12
    assert [budget.progress(s) for s in (0, 2, 8, 9)] == [0.0, 0.25, 1.0, 1.0]
    assert budget.left_s(0.25) == pytest.approx(36.0)


def test_with_both_the_nearer_end_counts() -> None:
    clock = Clock()
    budget = Budget(100.0, 10, clock)
    budget.start()
    clock.now += 30
    assert budget.progress(1) == 0.3
    assert budget.progress(5) == 0.5
    assert str(budget) == "1m40s or 10 steps"
    assert str(Budget(600.0, None)) == "10m"
    assert str(Budget(None, 10)) == "10 steps"
