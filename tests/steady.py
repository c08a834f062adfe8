"""Whether the machine let its processes keep time: without that, an underflow says nothing of ours.

with steady() as machine:
    ...                        # play
machine.late_ms                # how late a process that wants 3 ms of every 10 was at worst
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

TOO_LATE_MS = 20.0
"""About a block of 512 samples at 22 050 Hz."""

WATCH = """
import select, sys, time
worst, due = 0.0, time.monotonic()
while not select.select([sys.stdin], [], [], max(0.0, due - time.monotonic()))[0]:
    busy = time.process_time() + 0.003
    while time.process_time() < busy:
        pass
    worst = max(worst, time.monotonic() - due - 0.003)
    due = max(due + 0.010, time.monotonic())
print(1000 * worst)
"""


class Machine:
    late_ms = 0.0


@contextmanager
def steady() -> Iterator[Machine]:
    """Watch the machine meanwhile; `late_ms` is known after it."""
    machine = Machine()
    with subprocess.Popen([sys.executable, "-c", WATCH], stdin=-1, stdout=-1, text=True) as watch:
        try:
            yield machine
        finally:
            machine.late_ms = float(watch.communicate("over\n")[0])


def lost_nothing(said: str, machine: Machine, clean: str = "(0 ring empty") -> bool:
    """Whether no block was lost. Where some were, the machine must have stalled a bystander as well: otherwise the
    test fails."""
    if clean in said:
        return True
    assert machine.late_ms > TOO_LATE_MS, said
    return False


def without_underflow(play: Callable[[], str], clean: str, takes: int = 3) -> None:
    """`play` until what it says holds `clean`; where it never does, the test fails, or is skipped if the machine
    stalled processes that have nothing to do with us in every take."""
    said, late = "", []
    for _ in range(takes):
        with steady() as machine:
            said = play()
        if clean in said:
            return
        late.append(machine.late_ms)
    if min(late) > TOO_LATE_MS:
        pytest.skip(f"the machine is too busy to judge underflows: a bystander was {min(late):.0f} ms late")
    raise AssertionError(f"{takes} takes, all without {clean!r}: {said}")
