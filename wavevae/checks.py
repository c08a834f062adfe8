"""Refusals of settings in the words the user typed."""

from __future__ import annotations

from wavevae.errors import UserError, nearest


def require(ok: bool, name: str, value: object, advice: str) -> None:
    """Raises: UserError unless it is so."""
    if not ok:
        raise UserError(f"{name} is {value}; {advice}")


def require_known(name: str, value: str, known: tuple[str, ...]) -> None:
    """Raises: UserError for a name that is not among the known ones."""
    if value not in known:
        raise UserError(f"unknown {name} '{value}'; {nearest(value, known)}")


def is_power_of_two(n: int) -> bool:
    return n >= 1 and n & (n - 1) == 0
