"""What a user did wrong, in one line; anything else that goes wrong is a bug and may show its traceback."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class UserError(ValueError):
    """Wrong use or unusable input: *what, which value, what to do*. The command exits with status 2."""


class Failure(RuntimeError):
    """It failed for a reason that is neither wrong use nor a bug (a full disk): one line, exit status 1."""


def nearest(name: str, known: Iterable[str]) -> str:
    """'; did you mean X?' or the list of known names, to end an "unknown ..." message with."""
    known = sorted(known)
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    return f"did you mean '{close[0]}'?" if close else f"known: {', '.join(known)}"
