"""One worker: takes a trial, runs it, reports it; until all are done. Any number of them share a storage.

A trial is Optuna's RUNNING until its result is reported, and its worker holds its claim meanwhile. RUNNING with a free
claim therefore means that the worker died: the next worker continues the same trial in the same run folder. So none is
lost and none is doubled, wherever a worker is killed.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from optuna.study import Study
from optuna.trial import Trial, TrialState

from wavevae.cli import ending_signals
from wavevae.errors import UserError

from ..processes import cores
from .search import make_sampler
from .space import Space
from .storage import Claim, Claims
from .trial import DONE, FAILED, PRUNED, STOPPED, Outcome

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial

POLL_S = 2.0
MOST_DEATHS = 3
"""Workers that may die over a trial at the same step before it counts as failed: it would take them all."""
TOO_MANY_FAILURES = 2
STATES = {DONE: TrialState.COMPLETE, PRUNED: TrialState.PRUNED, FAILED: TrialState.FAIL}

RunTrial = Callable[[Trial, Mapping[str, Any], Path], Outcome]
"""(trial, settings in full keys, run folder) -> how it ended"""


class Work(NamedTuple):
    """A trial that this worker holds."""

    trial: Trial
    claim: Claim
    again: bool
    """An earlier worker has begun it."""


class Stopped(Exception):
    """The trial was stopped by a signal, saved; the next start continues it."""


def folder_name(number: int) -> str:
    return f"trial-{number:03d}"


@dataclass
class Worker:
    """Runs trials in a loop."""

    study: Study
    space: Space
    claims: Claims
    runs: Path
    wanted: int
    """Trials in all, those of other workers and earlier starts included."""
    run_trial: RunTrial
    say: Callable[[str], None]
    step_of: Callable[[Path], int] = lambda folder: 0
    """How far a run folder is, steps."""
    poll_s: float = POLL_S

    def work(self) -> None:
        """Until all trials are done, here or elsewhere. Raises: Stopped; UserError where all fail."""
        waiting = False
        while True:
            work = self.next()
            if work is not None:
                waiting = False
                self.do(work)
                continue
            running = [t for t in self.study.get_trials(deepcopy=False) if not t.state.is_finished()]
            if not running:
                return
            if not waiting:
                self.say(f"sweep   waiting for {len(running)} trials of other workers")
            waiting = True
            time.sleep(self.poll_s)

    def next(self) -> Work | None:
        """A trial whose worker died, else a new one; none where there is nothing to begin now."""
        with self.claims.turn:
            trials = self.study.get_trials(deepcopy=False)
            for found in trials:
                if not found.state.is_finished() and (work := self._left(found)):
                    return work
            if len(trials) >= self.wanted:
                return None
            self.study.sampler = make_sampler(self.space, len(trials))
            trial = self.study.ask()
            claim = self.claims.take(trial.number)
            if claim is None:
                raise UserError(f"{self.claims.folder} holds claims of another sweep; name another --storage")
            return Work(trial, claim, False)

    def _left(self, found: FrozenTrial) -> Work | None:
        """A trial without a worker that is still not finished once this worker holds it."""
        claim = self.claims.take(found.number)
        if claim is None:
            return None
        if self.study._storage.get_trial(found._trial_id).state.is_finished():
            claim.release()
            return None
        self.study.sampler = make_sampler(self.space, found.number)
        return Work(Trial(self.study, found._trial_id), claim, True)

    def do(self, work: Work) -> None:
        """Run it and report it. Raises: Stopped; UserError where all fail."""
        trial = work.trial
        try:
            labels, settings = self.point(trial)
            shown = ", ".join(f"{name} {value}" for name, value in labels.items())
            self.say(f"sweep   trial {trial.number}{' again' if work.again else ''}: {shown}")
            folder = self.runs / folder_name(trial.number)
            outcome = self.deaths(trial, folder) or self.run_trial(trial, settings, folder)
            if outcome.state == STOPPED:
                raise Stopped
            self.tell(trial, outcome)
        finally:
            work.claim.release()

    def point(self, trial: Trial) -> tuple[dict[str, Any], dict[str, Any]]:
        """Labels and settings; what was suggested before stays as it was."""
        for axis in self.space.axes:
            axis.suggest(trial)
        labels = {axis.name: trial.params[axis.name] for axis in self.space.axes}
        return labels, self.space.settings(labels)

    def deaths(self, trial: Trial, folder: Path) -> Outcome | None:
        """Failed, for a trial over which workers died at the same step; else none."""
        step = self.step_of(folder)
        begun = [*trial.user_attrs.get("begun_at", []), step]
        trial.set_user_attr("begun_at", begun)
        if begun.count(step) <= MOST_DEATHS:
            return None
        return Outcome(FAILED, reason=f"{MOST_DEATHS} workers died over it at step {step}")

    def tell(self, trial: Trial, outcome: Outcome) -> None:
        """Raises: UserError where nothing has succeeded yet and two have failed: all would."""
        self._finish(trial, outcome)
        states = [t.state for t in self.study.get_trials(deepcopy=False)]
        good = TrialState.COMPLETE in states or TrialState.PRUNED in states
        if outcome.state == FAILED and not good and states.count(TrialState.FAIL) >= TOO_MANY_FAILURES:
            raise UserError(f"the first trials all failed; trial {trial.number}: {outcome.reason}")

    def _finish(self, trial: Trial, outcome: Outcome) -> None:
        for name, value in (("figures", dict(outcome.figures)), ("reason", outcome.reason)):
            if value:
                trial.set_user_attr(name, value)
        result = outcome.value if outcome.state == DONE else None
        self.study.tell(trial, result, state=STATES[outcome.state])
        value = (
            f" {self.space.objective} {result:.4g}" if result is not None else f" {outcome.reason}".rstrip()
        )
        self.say(f"sweep   trial {trial.number} {outcome.state}{value}")


def finished(study: Study) -> int:
    return sum(t.state.is_finished() for t in study.get_trials(deepcopy=False))


def run_workers(argv: Sequence[str], workers: int) -> int:
    """Several workers on this machine: the same command once more for each, sharing its cores; then wait.

    Returns the first exit status that is not 0. A signal to this process reaches them all.
    """
    words = [*without_workers(argv), "--workers", "1"]
    threads = str(max(1, cores() // workers))
    command = [sys.executable, "-c", "import sys; from wavevae.cli import main; sys.exit(main())", "sweep"]
    env = {**os.environ, "OMP_NUM_THREADS": threads}
    crew = [subprocess.Popen([*command, *words], env=env, stdout=subprocess.DEVNULL) for _ in range(workers)]

    def pass_on(number: int, frame: object) -> None:
        for worker in crew:
            worker.send_signal(number)

    before = {number: signal.signal(number, pass_on) for number in ending_signals()}
    try:
        statuses = [worker.wait() for worker in crew]
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    return next((abs(status) for status in statuses if status), 0)


def without_workers(argv: Sequence[str]) -> list[str]:
    """The command line without --workers."""
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("--workers")
    return parser.parse_known_args(list(argv))[1]
