"""What a run prints: at its start, on the way (a bar on a terminal, a line every ten seconds elsewhere), at its end."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

import pytorch_lightning as pl

from wavevae.cli import shell_word, shown
from wavevae.units import format_seconds

from .arguments import Plan
from .budget import show_time
from .module import TrainingModule
from .processes import lr_factor, say
from .training_data import TrainingData

LINE_EVERY_S = 10.0
REDRAW_EVERY_S = 0.25
SHOWN = ("mr_stft", "log_mel", "waveform_l1", "feature_l1", "feature_mse", "kl")


def print_start(
    plan: Plan, data: TrainingData, module: TrainingModule, trainer: pl.Trainer, threads: int
) -> None:
    """How many files, seconds, chunks, parameters; hop and latency; where and for how long."""
    model, train, ranks = plan.config.model, plan.config.train, trainer.world_size
    parameters = sum(p.numel() for p in module.model.parameters())
    hop = module.model.hop_length
    hop_ms = 1000 * hop / model.sample_rate
    machine = trainer.strategy.root_device.type
    if machine == "cpu":
        machine += f", {threads} thread{'s' if threads > 1 else ''}"
    if ranks > 1:
        machine = f"{ranks} x {machine}"
    say(f"data    {data.describe()}")
    say(
        f"model   {plan.preset}, {model.bottleneck}: {parameters / 1e6:.2f} M parameters, {model.sample_rate} Hz, "
        f"hop {hop} ({hop_ms:.1f} ms), {module.family.latency(plan.config)}, {module.model.latent_dim} latents at "
        f"{1000 / hop_ms:.1f} frames/s"
    )
    say(f"budget  {module.budget} on {machine}, {trainer.precision}, batch {train.batch_size}")
    if ranks > 1:
        factor = lr_factor(train.lr_scaling, ranks)
        rate = f"{train.learning_rate:g} x {factor:.3g} = {train.learning_rate * factor:.3g}"
        say(
            f"ranks   {ranks} x {train.batch_size} = {ranks * train.batch_size} chunks a step; learning rate {rate} "
            f"(lr_scaling {train.lr_scaling})"
        )
    say(f"run     {plan.folder.path}   (Ctrl-C saves)")


def print_end(plan: Plan, data: TrainingData, module: TrainingModule) -> None:
    """The figures, where things are, what to type next."""
    folder, path, elapsed = plan.folder, plan.folder.path, module.elapsed_s
    say("")
    if plan.model_is_done:
        say(f"the prior was what was left: the model has its {module.step} steps")
    else:
        say(
            f"trained {module.step} steps, {format_seconds(module.audio_s)} of audio in {show_time(elapsed)}: "
            f"{module.audio_s / max(1e-9, elapsed):.1f} audio-seconds a second"
            + (f"; {data.stream.waiting:.1%} of the time spent waiting for data" if data.stream else "")
            + (f"; {module.guard.skipped} steps skipped (not finite)" if module.guard.skipped else "")
        )
        say(f"{validated_on(module)}  {describe_validation(module)}")
    say(f"weights   {folder.best}  (last.ckpt beside it)")
    say(f"listen    {folder.validation}")
    say(
        f"curves    {folder.losses_picture}, {folder.metrics}, tensorboard --logdir {shell_word(folder.tensorboard)}"
    )
    say("next:")
    name = Path(path.resolve().name)
    rendering = ("render", path, "--input", "IN.wav", "-o", "OUT.wav")
    exporting = ("export", path, "-o", name.with_name(f"{name}.ts"))
    say(f"  {shown(*(exporting if module.family.streams else rendering))}")
    report = ("-o", name.with_name(f"{name}-report"))
    if data.validation_items:
        say(f"  {shown('evaluate', path, '--held-out', *report)}")
    else:
        say(
            "  nothing was held out, so this measures learned sounds; name others to know how it does on those:"
        )
        say(f"  {shown('evaluate', path, *data.inputs, *report)}")


def describe(module: TrainingModule, pace: float) -> str:
    """'mr_stft 1.702  log_mel 0.212  kl 14.1 x 0.001  lr 1.9e-03  31.2 audio-s/s'."""
    terms = []
    for name in SHOWN:
        if name in module.terms:
            weight = f" x {module.weights['kl']:.1g}" if name == "kl" else ""
            terms.append(f"{name} {float(module.terms[name]):.4g}{weight}")
    skipped = [f"{module.guard.skipped} steps skipped"] if module.guard.skipped else []
    return "  ".join([*terms, f"{pace:.1f} audio-s/s", *skipped])


def validated_on(module: TrainingModule) -> str:
    return "by heart" if module.config.data.overfit else "held out"


def describe_validation(module: TrainingModule) -> str:
    """'mr_stft 1.602  log_mel 0.172  kl 14.1', of the last validation."""
    values = {name: module.validation.get(f"val_{name}") for name in SHOWN}
    return "  ".join(f"{name} {value:.4g}" for name, value in values.items() if value is not None)


class Progress(pl.Callback):
    """Progress, minutes left, the raw loss terms, audio-seconds trained per wall second."""

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
            "", total=1.0, completed=module.progress, left="...", step=module.step, text=""
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
        then, audio_before = self.marks
        pace = (audio_s - audio_before) / max(1e-9, now - then)
        if now - then >= LINE_EVERY_S:
            self.marks = (now, audio_s)
        return pace

    def _show(self, module: TrainingModule, pace: float) -> None:
        left = show_time(module.budget.left_s(module.progress))
        text = describe(module, pace)
        if self.bar is None:
            say(f"{100 * module.progress:3.0f} %  {left:>6} left  step {module.step:<6} {text}")
        else:
            self.bar.update(self.task, completed=module.progress, left=left, step=module.step, text=text)
            self.bar.refresh()

    def on_validation_end(self, trainer: pl.Trainer, module: Any) -> None:
        if not trainer.is_global_zero or not module.validation:
            return
        line = f"{validated_on(module)}, step {module.step}: {describe_validation(module)}"
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
