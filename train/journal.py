"""metrics.csv and TensorBoard; no row is written twice after a resume."""

from __future__ import annotations

import contextlib
import csv
import io
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch

from wavevae.errors import Failure
from wavevae.files import write_errors, write_whole

from .module import TrainingModule
from .processes import say
from .run_folder import RunFolder

EVERY = 10
"""Steps averaged into a row."""
NEW_RUN = -1
"""In place of the resumed step: a new run keeps no row, not even one of step 0."""

Row = dict[str, str]


def read_rows(path: Path) -> list[Row]:
    """Every whole row of a metrics.csv; a last line that a kill cut short is left out."""
    if not path.is_file():
        return []
    text = path.read_text(encoding="utf-8")
    whole = text[: text.rfind("\n") + 1]
    return [row for row in csv.DictReader(io.StringIO(whole)) if None not in row and None not in row.values()]


class MetricsFile:
    """Appends rows; a new column rewrites the file with a wider header, whole or not at all."""

    def __init__(self, path: Path, resumed_step: int = NEW_RUN) -> None:
        self.path = path
        self.rows = [row for row in read_rows(path) if int(row["step"]) <= resumed_step]
        self.columns = list(self.rows[0]) if self.rows else []
        if self.rows or path.exists():
            self._rewrite()

    def append(self, row: Mapping[str, float]) -> None:
        text = {
            name: f"{value:.6g}" if isinstance(value, float) else str(value) for name, value in row.items()
        }
        self.rows.append(text)
        new = [name for name in text if name not in self.columns]
        if new:
            self.columns += new
            self._rewrite()
            return
        line = self._lines([text]).encode()
        before = self.path.stat().st_size if self.path.exists() else 0
        try:
            with write_errors(self.path, len(line)), self.path.open("ab") as file:
                file.write(line)
        except Failure:
            os.truncate(self.path, before)  # no partial row
            raise

    def _lines(self, rows: list[Row]) -> str:
        out = io.StringIO()
        csv.DictWriter(out, self.columns, restval="", lineterminator="\n").writerows(rows)
        return out.getvalue()

    def _rewrite(self) -> None:
        write_whole(self.path, ",".join(self.columns) + "\n" + self._lines(self.rows))


class Board:
    """The same for TensorBoard. If its writer fails (a full disk, a name that is no UTF-8) the run goes on without."""

    def __init__(self, folder: Path, purge_step: int | None) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self.writer: Any = None
        try:
            self.writer = SummaryWriter(str(folder), purge_step=purge_step)
        except (OSError, ValueError) as error:
            self._give_up(error)

    def add(self, values: Mapping[str, float], step: int) -> None:
        try:
            for name, value in values.items() if self.writer is not None else ():
                self.writer.add_scalar(board_name(name), value, step)
        except (OSError, ValueError) as error:
            self._give_up(error)

    def _give_up(self, error: Exception) -> None:
        self.writer = None
        say(
            f"no curves for TensorBoard ({getattr(error, 'strerror', None) or error}); metrics.csv has them all"
        )

    def close(self) -> None:
        if self.writer is not None:
            with contextlib.suppress(OSError, ValueError):
                self.writer.close()


class Journal(pl.Callback):
    """Writes what the module measured: training rows are means over `EVERY` steps, validation rows are val_*."""

    def __init__(self, folder: RunFolder) -> None:
        self.folder = folder
        self.sums: dict[str, torch.Tensor] = {}
        self.count = torch.zeros(())

    def on_train_start(self, trainer: pl.Trainer, module: Any) -> None:
        if trainer.is_global_zero:
            self.file = MetricsFile(self.folder.metrics, module.step if module.resumed else NEW_RUN)
            self.board = Board(self.folder.tensorboard, module.step + 1 if module.step else None)

    def on_train_batch_end(self, trainer: pl.Trainer, module: Any, *_: Any) -> None:
        if not trainer.is_global_zero:
            return
        kept = 1.0 - module.guard.bad
        for name, value in module.terms.items():
            finite = torch.where(kept > 0, value.float(), 0.0)
            self.sums[name] = self.sums.get(name, torch.zeros_like(finite)) + finite
        self.count = self.count + kept
        if module.step % EVERY == 0 or trainer.should_stop:
            self._training_row(module)

    def _training_row(self, module: TrainingModule) -> None:
        count = float(self.count)
        means = {name: float(value) / count for name, value in self.sums.items() if count}
        self.sums, self.count = {}, torch.zeros(())
        stream = getattr(getattr(module.trainer, "datamodule", None), "stream", None)
        measured = {
            "skipped": module.guard.skipped,
            "audio_s_per_s": round(module.audio_s / max(1e-9, module.budget.elapsed_s), 2),
            "waiting": 0.0 if stream is None else round(stream.waiting, 4),
        }
        self._write(module, {**module.scheduled, **measured, **means})

    def on_validation_end(self, trainer: pl.Trainer, module: Any) -> None:
        if trainer.is_global_zero and module.validation:
            self._write(module, module.validation)

    def _write(self, module: TrainingModule, values: Mapping[str, float]) -> None:
        now = {
            "step": module.step,
            "elapsed_s": round(module.budget.elapsed_s, 2),
            "share": round(module.progress, 5),
        }
        self.file.append({**now, "audio_s": round(module.audio_s, 1), **values})
        self.board.add(values, module.step)

    def on_train_end(self, trainer: pl.Trainer, module: Any) -> None:
        if trainer.is_global_zero:
            self.board.close()


def board_name(name: str) -> str:
    """TensorBoard groups by the part before the slash."""
    return f"validation/{name.removeprefix('val_')}" if name.startswith("val_") else f"training/{name}"
