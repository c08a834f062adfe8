"""One worker: takes a trial, runs it, tells; until all are done. Any number of them share a storage.

A trial is Optuna's RUNNING from the moment it is asked for until it is told. Its worker holds its claim meanwhile.
RUNNING with a free claim therefore means that the worker died: the same trial is gone on with, in the same run
folder, by whoever looks next. So none is lost and none is doubled, wherever a worker is killed.
"""

from __future__ import annotations

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
from .locks import Claim, Claims
from .samplers import make_sampler
from .space import Space
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
    """A worker before has begun it."""


class Interrupted(Exception):
    """The trial in hand was stopped gently: it is gone on with by the next start."""


def folder_name(number: int) -> str:
    return f"trial-{number:03d}"


@dataclass
class Worker:
    """The loop."""

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
        """Until all trials are done, here or elsewhere. Raises: Interrupted; UserError where all fail."""
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
        """A trial that nobody holds and that is still not told once this worker holds it."""
        claim = self.claims.take(found.number)
        if claim is None:
            return None
        if self.study._storage.get_trial(found._trial_id).state.is_finished():
            claim.release()
            return None
        self.study.sampler = make_sampler(self.space, found.number)
        return Work(Trial(self.study, found._trial_id), claim, True)

    def do(self, work: Work) -> None:
        """Run it and tell. Raises: Interrupted; UserError where all fail."""
        trial = work.trial
        try:
            labels, settings = self.point(trial)
            shown = ", ".join(f"{name} {value}" for name, value in labels.items())
            self.say(f"sweep   trial {trial.number}{' again' if work.again else ''}: {shown}")
            folder = self.runs / folder_name(trial.number)
            outcome = self.deaths(trial, folder) or self.run_trial(trial, settings, folder)
            if outcome.state == STOPPED:
                raise Interrupted
            self.tell(trial, outcome)
        finally:
            work.claim.release()

    def point(self, trial: Trial) -> tuple[dict[str, Any], dict[str, Any]]:
        """Where it lies in the space: what it suggested already stays as it was. -> labels, settings"""
        for axis in self.space.axes:
            axis.suggest(trial)
        labels = {axis.name: trial.params[axis.name] for axis in self.space.axes}
        return labels, self.space.settings(labels)

    def deaths(self, trial: Trial, folder: Path) -> Outcome | None:
        """A trial over which workers die at the same step is failed, not begun for ever."""
        step = self.step_of(folder)
        begun = [*trial.user_attrs.get("begun_at", []), step]
        trial.set_user_attr("begun_at", begun)
        if begun.count(step) <= MOST_DEATHS:
            return None
        return Outcome(FAILED, reason=f"{MOST_DEATHS} workers died over it at step {step}")

    def tell(self, trial: Trial, outcome: Outcome) -> None:
        """For good. Raises: UserError where nothing has succeeded yet and two have failed: it is likely everyone's."""
        self._finish(trial, outcome)
        states = [t.state for t in self.study.get_trials(deepcopy=False)]
        good = TrialState.COMPLETE in states or TrialState.PRUNED in states
        if outcome.state == FAILED and not good and states.count(TrialState.FAIL) >= TOO_MANY_FAILURES:
            raise UserError(f"the first trials all failed; trial {trial.number}: {outcome.reason}")

    def _finish(self, trial: Trial, outcome: Outcome) -> None:
        for name, value in (("figures", dict(outcome.figures)), ("reason", outcome.reason)):
            if value:
                trial.set_user_attr(name, value)
        told = outcome.value if outcome.state == DONE else None
        self.study.tell(trial, told, state=STATES[outcome.state])
        value = f" {self.space.objective} {told:.4g}" if told is not None else f" {outcome.reason}".rstrip()
        self.say(f"sweep   trial {trial.number} {outcome.state}{value}")


def finished(study: Study) -> int:
    """Trials that are told."""
    return sum(t.state.is_finished() for t in study.get_trials(deepcopy=False))


def employ(argv: Sequence[str], workers: int) -> int:
    """Several workers on this machine: the same command once more for each, sharing its cores; then wait.

    Returns the first exit status that is not 0. A signal to this process reaches them all.
    """
    words = [*_without_workers(argv), "--workers", "1"]
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


def _without_workers(argv: Sequence[str]) -> list[str]:
    """The command line without --workers."""
    kept, skip = [], False
    for word in argv:
        if skip:
            skip = False
        elif word == "--workers":
            skip = True
        elif not word.startswith("--workers="):
            kept.append(word)
    return kept
