"""What the learning curve says at the end of a run: still falling, flat or overfitting, and what would help.

The curve is `val_distance`, weighted the same at every moment. A straight line of log distance over log time is fitted
to its second half (a power law, as learning curves follow: Hestness et al. 2017); it gives what twice the time would
bring. The gap is between learned and held-out sounds, measured on the same model at the end. `--overfit N` has a
diagnosis of its own: whether the model can learn N chunks, each epoch of which is validated.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from torch.utils.data import DataLoader

from wavevae import plots
from wavevae.cli import shown
from wavevae.config import TrainConfig
from wavevae.corpus.labels import NO_LABEL, Label
from wavevae.evaluation.playing import measure_quickly
from wavevae.evaluation.playing.player import ModulePlayer
from wavevae.nn.conditioning import Condition

from .arguments import Plan
from .batches import label_condition
from .budget import show_time
from .journal import read_rows
from .module import TrainingModule
from .processes import is_first, say
from .run_folder import RunFolder
from .training_data import TrainingData

PLAYED, PLAYED_S = 8, 5.0
"""Excerpts on which playing is measured at the end of a run, and their length."""
FEWEST = 4
"""Validations in the fitted half; fewer say nothing."""
FIT_FROM = 0.5
"""Share of the time where the fit begins."""
FALLING = 0.02
"""Relative fall by twice the time that is worth it."""
ERRORS, ERRORS_OF_FEW = 2.0, 4.0
"""Standard errors that a slope must be away from zero; so many more, divided by the degrees of freedom: about Student's
one-sided 3 %."""
WORSE = 0.02
"""How far above its best a curve must end, for a part of the time that is no accident, to be overfitting."""
GAP = 0.25
"""Relative distance of held-out above learned sounds from which more data helps more than width."""
MANY_PASSES = 200.0
"""Passes over the corpus from which the budget is large for the data."""
FEWEST_EPOCHS = 5
LEARNED, HARDLY = 0.5, 0.9
"""Of the first distance of an overfitting test: the chunks are learned below one, not learned above the other."""
BUZZ = 0.3
"""Hop lock above which a held tone buzzes."""
COPIES = ": this model copies sounds; it holds and transfers none"
CHANGED = "more and more various sounds, or changes of those there are (--set gain_db=6, --set phase=0.5"
MORE_DATA = {"codec": f"{CHANGED}, --set pitch_semitones=1)", "instrument": f"{CHANGED})"}
LIMIT = "the model is at its limit: a wider one"
WIDER = {
    "codec": f"{LIMIT} (a larger --preset, --set widths=...) or more --latent-dim",
    "instrument": f"{LIMIT} (--set decoder_width=...) or more --latent-dim",
}
"""By the family of the model."""


@dataclass(frozen=True)
class Curve:
    """What a run measured."""

    seconds: Sequence[float] | np.ndarray
    """Wall-clock of each validation."""
    held_out: Sequence[float] | np.ndarray
    """Distance at each of them."""
    learned: float | None = None
    """Distance on learned sounds at the end; none where nothing is held out."""
    passes: float = 0.0
    """Over the corpus."""
    start: float | None = None
    """Distance before the first step, where best.ckpt may be from; none where that is not known."""


@dataclass(frozen=True)
class Finding:
    """What the curve does."""

    kind: str
    """start (nothing learned was better than the model before its first step), short, overfitting, falling or flat."""
    change: float
    """Of the distance by twice the time, -0.1 = a tenth less; since the best moment, where overfitting or where that is
    the start."""
    best_s: float
    """When it was best."""
    gap: float | None = None
    """How much further off held-out sounds are than learned ones, 0.1 = a tenth."""
    passes: float = 0.0


def judge(curve: Curve) -> Finding:
    """Fit the curve."""
    seconds, held = np.asarray(curve.seconds, float), np.asarray(curve.held_out, float)
    there = np.isfinite(held) & (held > 0) & (seconds > 0)
    seconds, held = seconds[there], held[there]
    gap = None if not curve.learned or not len(held) else float(held[-1] / curve.learned - 1)
    best_s = float(seconds[held.argmin()]) if len(held) else 0.0
    if curve.start is not None and len(held) and curve.start <= held.min():
        return Finding("start", float(held[-1] / curve.start - 1), 0.0, gap, curve.passes)
    late = seconds >= FIT_FROM * seconds[-1] if len(held) else there[:0]
    if late.sum() < FEWEST:
        return Finding("short", 0.0, best_s, gap, curve.passes)
    risen = risen_since_best(held)
    if risen > 0:
        return Finding("overfitting", float(risen), best_s, gap, curve.passes)
    slope, error = line(np.log(seconds[late]), np.log(held[late]))
    change = 2.0**slope - 1
    falling = change < -FALLING and slope < -(ERRORS + ERRORS_OF_FEW / (late.sum() - 2)) * error
    return Finding("falling" if falling else "flat", change, best_s, gap, curve.passes)


def risen_since_best(held: np.ndarray) -> float:
    """How far the last three values all lie above the lowest of the running medians of three; 0 where that may be
    the scatter of the values."""
    medians = np.median(np.lib.stride_tricks.sliding_window_view(held, 3), axis=1)
    scatter = float(np.std(np.diff(np.log(held), 2))) / math.sqrt(6.0)  # of second differences of white noise
    risen = float(held[-3:].min() / medians.min() - 1)
    return risen if risen > WORSE + 2 * scatter else 0.0


def line(x: np.ndarray, y: np.ndarray) -> tuple[float, float]:
    """Slope of the least-squares line, and its standard error."""
    centred = x - x.mean()
    square = float(centred @ centred)
    slope = float(centred @ (y - y.mean()) / square)
    rest = y - y.mean() - slope * centred
    return slope, math.sqrt(float(rest @ rest) / max(1, len(x) - 2) / square)


def words(finding: Finding, path: str, double: str, slower: str, family: str = "codec") -> list[str]:
    """Sentences for the user; `path` is the run's folder, `double` twice the budget as an option,
    '--max-time 20m', `slower` a lower learning rate, '--set learning_rate=1e-4'."""
    more, change = f"{shown('train', '--resume', '--out', Path(path))} {double}", finding.change
    often, wide = [], []
    if finding.passes >= MANY_PASSES:
        passes = f"{finding.passes:.0f} times"
        often = [f"every sound has been heard {passes}: more budget than so little sound deserves"]
    if finding.gap is not None and finding.gap > GAP:
        apart = f"held-out sounds are {finding.gap:.0%} further off than learned ones"
        wide = [f"{apart}: {MORE_DATA[family]} would help more than width"]
    match finding.kind:
        case "start":
            return [
                f"nothing learned beat the start, which best.ckpt keeps: the end is {change:.1%} further off",
                f"what may: more time ({more}) or, in a new run, a lower learning rate ({slower})",
            ]
        case "short":
            return [f"too few validations to tell whether more time would help; to go on: {more}"]
        case "overfitting":
            return [
                f"overfitting: held-out sounds are {change:.0%} worse than at {finding.best_s:.0f} s, where "
                "best.ckpt is from; more time will not help",
                f"what would: {MORE_DATA[family]}; or a smaller model",
                *often,
            ]
        case "falling":
            return [f"still falling: twice the time would bring about {-change:.0%}; to go on: {more}", *wide]
    flat = f"flat: twice the time would bring about {max(0.0, -change):.0%} at most"
    learned = "learned sounds are hardly nearer: " if finding.gap is not None else ""
    return [flat, *wide, *often] if wide else [flat, f"{learned}{WIDER[family]}"]


def playing_words(figures: Mapping[str, Any]) -> list[str]:
    """One sentence on held tones and transfer; none without figures."""
    parts = []
    ok, lock, moved = (figures.get(name) for name in ("held_pitch_ok", "hop_lock", "transfer_moved"))
    if ok is not None:
        parts.append(f"a held frame keeps its pitch in {ok:.0%} of {figures['held_pitched_moments']} moments")
    if lock is not None:
        parts.append(f"hop lock {lock:.2f}" + (" (one waveform repeated: a buzz)" if lock > BUZZ else ""))
    if moved is not None:
        parts.append(f"{moved:.0%} of a sung voice comes out as the corpus")
    if not parts:
        return []
    copies = lock is not None and moved is not None and lock > BUZZ and moved < 0.5
    return [f"playing: {', '.join(parts)}" + (COPIES if copies else "")]


class Learned(pl.Callback):
    """At the end of the budget: the averaged model's distance on learned sounds, measured as on those held out."""

    def __init__(self, data: TrainingData) -> None:
        self.data = data
        self.distance: float | None = None

    def on_train_end(self, trainer: pl.Trainer, module: Any) -> None:
        """On every process: they average over each other."""
        if module.progress >= 1.0 and self.data.validation_items:
            with trainer.strategy.precision_plugin.val_step_context():
                self.distance = self.measure(module)

    @torch.no_grad()
    def measure(self, module: TrainingModule) -> float:
        """`val_distance` of as many learned chunks as held-out ones are validated on."""
        chunks = self.data.fixed_chunks(self.data.train_items, len(self.data.validation_chunks))
        validation = module.new_validation()
        for batch in DataLoader(chunks, batch_size=module.config.train.batch_size):
            validation.add(module.averaged.model, batch.to(module.device))
        return validation.means()["val_distance"]


def validated(folder: RunFolder) -> list[dict[str, str]]:
    """Rows of metrics.csv that are validations."""
    return [row for row in read_rows(folder.metrics) if row.get("val_distance")]


def curve_of(plan: Plan, data: TrainingData, module: TrainingModule, learned: float | None) -> Curve:
    """From metrics.csv."""
    rows = validated(plan.folder)
    start = next((float(row["val_distance"]) for row in rows if row["step"] == "0"), None)
    rows = [row for row in rows if row["step"] != "0"]
    corpus_s = sum(item.length for item in data.train_items) / data.store.sample_rate
    return Curve(
        np.array([float(row["elapsed_s"]) for row in rows]),
        np.array([float(row["val_distance"]) for row in rows]),
        learned,
        module.audio_s / max(1e-9, corpus_s),
        None if module.opposed else start,  # with a discriminator the latest checkpoint is kept
    )


def twice(train: TrainConfig) -> str:
    """Twice the budget as options."""
    options = [f"--max-time {show_time(2 * train.max_time_s)}"] if train.max_time_s else []
    return " ".join(options + ([f"--max-steps {2 * train.max_steps}"] if train.max_steps else []))


def playing(data: TrainingData, module: TrainingModule) -> dict[str, Any]:
    """Held tones and transfer on a few held-out sounds, in a few seconds; empty where the model cannot be played."""

    def condition(labels: Mapping[str, Any]) -> Condition | None:
        label = Label(**labels) if labels else NO_LABEL
        return label_condition(module.config.model, [label], torch.device("cpu"))

    player = ModulePlayer(copy.deepcopy(module.averaged.model).cpu(), condition)
    excerpts = data.excerpts(PLAYED, PLAYED_S)
    sounds = [torch.from_numpy(sound) for sound, _ in excerpts]
    return measure_quickly(player, sounds, [label._asdict() for _, label in excerpts])


def outlook(plan: Plan, data: TrainingData, module: TrainingModule, learned: float | None) -> list[str]:
    """Sentences: what the curve does, what would help, how the model plays. None on processes but the first."""
    if not is_first():
        return []
    finding = judge(curve_of(plan, data, module, learned))
    train = plan.config.train
    slower = f"--set learning_rate={train.learning_rate / 4:g}"
    said = words(finding, str(plan.folder.path), twice(train), slower, plan.config.model.family)
    return said + playing_words(playing(data, module))


# -- --overfit ----------------------------------------------------------------------------------------------


class Overfit(pl.Callback):
    """At the end: overfit.png, and in one line whether the chunks were learned."""

    def __init__(self, folder: RunFolder, chunks: int) -> None:
        self.folder, self.chunks = folder, chunks

    def on_train_end(self, trainer: pl.Trainer, module: Any) -> None:
        rows = validated(self.folder) if trainer.is_global_zero else []
        if not rows:
            return
        epochs = np.array([int(row["step"]) for row in rows]) * module.config.train.batch_size / self.chunks
        distances = np.array([float(row["val_distance"]) for row in rows])
        draw_overfit(epochs, distances, self.chunks, self.folder.overfit_picture)
        say(overfit_words(epochs, distances, self.chunks))
        say(f"curve   {self.folder.overfit_picture}")


def overfit_words(epochs: np.ndarray, distances: np.ndarray, chunks: int) -> str:
    """What the curve of an overfitting test shows."""
    learned = int((epochs > 0).sum())  # the first validation is of the start
    if learned < FEWEST_EPOCHS:
        return f"overfit: {learned} epochs say nothing yet; give more --max-steps or --max-time"
    first, last = float(distances[0]), float(distances[-1])
    said = "it does not learn even these: look at the loss, the model or --set learning_rate"
    if last <= LEARNED * first:
        said = "the model can learn them by heart; of unheard sounds this says nothing"
    elif last <= HARDLY * first:
        said = "it is learning them, but has not done yet: give more --max-steps"
    fall = f"distance {first:.4g} -> {last:.4g} in {epochs[-1]:.0f} epochs of the {chunks} chunks learned"
    return f"overfit: {fall}: {said}"


def draw_overfit(epochs: np.ndarray, distances: np.ndarray, chunks: int, path: Path) -> None:
    """Distance by epoch."""
    figure = plots.new_figure(7, 4.2)
    axes = figure.subplots()
    axes.plot(epochs, distances, "o-", ms=3.5, lw=1.4)
    axes.set_yscale("log")
    axes.set_xlabel("epoch")
    axes.set_ylabel("distance on the chunks learned")
    axes.set_title(f"{chunks} chunks learned by heart", fontsize=11)
    axes.grid(alpha=0.25, which="both")
    plots.save(figure, path)
