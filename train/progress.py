"""How far it is, at a glance: a bar on a terminal, a line every ten seconds elsewhere."""

from __future__ import annotations

import sys
import time
from typing import Any

import pytorch_lightning as pl

from wavevae import console

from .budget import show_time
from .launch import is_first
from .module import TrainingModule

LINE_EVERY_S = 10.0
REDRAW_EVERY_S = 0.25
SHOWN = ("mr_stft", "log_mel", "waveform_l1", "feature_l1", "feature_mse", "kl")


def describe(module: TrainingModule, pace: float) -> str:
    """'mr_stft 1.702  log_mel 0.212  kl 14.1 x 0.001  lr 1.9e-03  31.2 audio-s/s'."""
    terms = []
    for name in SHOWN:
        if name in module.terms:
            weight = f" x {module.weights['kl']:.1g}" if name == "kl" else ""
            terms.append(f"{name} {float(module.terms[name]):.4g}{weight}")
    skipped = [f"{module.skipped} steps skipped"] if module.skipped else []
    return "  ".join([*terms, f"{pace:.1f} audio-s/s", *skipped])


def judged_on(module: TrainingModule) -> str:
    """What a validation is of."""
    return "by heart" if module.config.data.overfit else "held out"


def describe_validation(module: TrainingModule) -> str:
    """'mr_stft 1.602  log_mel 0.172  kl 14.1', of the last validation."""
    values = {name: module.validation.get(f"val_{name}") for name in SHOWN}
    return "  ".join(f"{name} {value:.4g}" for name, value in values.items() if value is not None)


class Progress(pl.Callback):
    """Shares of the budget, minutes left, the raw loss terms, audio-seconds trained per wall second."""

    def __init__(self, terminal: bool | None = None) -> None:
        self.terminal = sys.stderr.isatty() if terminal is None else terminal
        self.bar: Any = None
        self.shown_at = 0.0
        self.marks = (0.0, 0.0)  # time and audio seconds at the last look

    def on_train_start(self, trainer: pl.Trainer, module: Any) -> None:
        self.marks = (time.monotonic(), module.audio_s)
        self.shown_at = time.monotonic()
        if trainer.is_global_zero and self.terminal:
            self._open_bar(module)

    def _open_bar(self, module: TrainingModule) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, TextColumn
        from rich.progress import Progress as RichProgress
        from rich.table import Column

        rest = Column(ratio=1, no_wrap=True, overflow="ellipsis")  # on a narrow terminal only this is cut
        columns = (
            BarColumn(bar_width=16, table_column=Column(width=16)),
            TextColumn(
                "{task.percentage:>3.0f} % {task.fields[left]:>6} left", table_column=Column(width=17)
            ),
            TextColumn("[dim]step {task.fields[step]}  {task.fields[text]}", table_column=rest),
        )
        self.bar = RichProgress(*columns, console=Console(stderr=True), auto_refresh=False, expand=True)
        self.task = self.bar.add_task(
            "", total=1.0, completed=module.share, left="...", step=module.step, text=""
        )
        self.bar.start()

    def on_train_batch_end(self, trainer: pl.Trainer, module: Any, *_: Any) -> None:
        now = time.monotonic()
        every = REDRAW_EVERY_S if self.bar is not None else LINE_EVERY_S
        if trainer.is_global_zero and (now - self.shown_at >= every or trainer.should_stop):
            self.shown_at = now
            self._show(module, self._pace(now, module.audio_s))

    def _pace(self, now: float, audio_s: float) -> float:
        """Audio seconds trained per wall second since the last mark; marks are ten seconds apart at least."""
        then, heard = self.marks
        pace = (audio_s - heard) / max(1e-9, now - then)
        if now - then >= LINE_EVERY_S:
            self.marks = (now, audio_s)
        return pace

    def _show(self, module: TrainingModule, pace: float) -> None:
        left = show_time(module.budget.left_s(module.share))
        text = describe(module, pace)
        if self.bar is None:
            say(f"{100 * module.share:3.0f} %  {left:>6} left  step {module.step:<6} {text}")
        else:
            self.bar.update(self.task, completed=module.share, left=left, step=module.step, text=text)
            self.bar.refresh()

    def on_validation_end(self, trainer: pl.Trainer, module: Any) -> None:
        if not trainer.is_global_zero or not module.validation:
            return
        line = f"{judged_on(module)}, step {module.step}: {describe_validation(module)}"
        if self.bar is None:
            say(line)
        else:
            self.bar.console.print(line, highlight=False)

    def on_train_end(self, trainer: pl.Trainer, module: Any) -> None:
        self._close()

    def on_exception(self, trainer: pl.Trainer, module: Any, exception: BaseException) -> None:
        self._close()

    def _close(self) -> None:
        if self.bar is not None:
            self.bar.stop()
            self.bar = None


def say(line: str) -> None:
    """Human text goes to standard error, at once, from the first process only."""
    if is_first():
        console.say(line)
