"""Diagnosis at the end of a run: still falling, flat or overfitting, and what would help; from its curve.

The curve is `val_distance`, weighed the same at every moment. A straight line of log distance over log time is fitted
to its second half (a power law, as learning curves follow: Hestness et al. 2017); what a doubling of the time would
bring is read off it. The gap is between sounds learned and held out, measured on the same model at the end.
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

from wavevae.cli import shown
from wavevae.config import TrainConfig
from wavevae.corpus import Chunks
from wavevae.corpus.labels import NO_LABEL, Label
from wavevae.evaluation.playing import measure_quickly
from wavevae.evaluation.playing.player import ModulePlayer
from wavevae.nn.conditioning import Condition

from .arguments import Plan
from .batches import Batch, labelled, plain
from .budget import show_time
from .journal import read_rows
from .launch import is_first
from .module import TrainingModule
from .training_data import AudibleChunks, Material

PLAYED, PLAYED_S = 8, 5.0
"""Excerpts that the playing at the end of a run is judged by, and their length."""
FEWEST = 4
"""Validations in the fitted half; fewer say nothing."""
FROM_SHARE = 0.5
"""Of the time: where the fit begins."""
FALLING = 0.02
"""Fall by a doubling of the time that is worth it."""
SURE, SURER = 2.0, 4.0
"""Standard errors that a slope must be away from zero; so many more, shared by the points to spare: about Student's
one-sided 3 %."""
WORSE = 0.02
"""How far above its best a curve must end, for a part of the time that is no accident, to be overfitting."""
GAP = 0.25
"""Held-out sounds so much further off than learned ones: the model knows its sounds better than their kind."""
MANY_PASSES = 200.0
"""Times the corpus has been heard: more than that is a lot of budget for the data."""

BUZZ = 0.3
"""Hop lock above which a held tone buzzes."""
COPIES = ": this model copies sounds; it holds and transfers none"


@dataclass(frozen=True)
class Curve:
    """What a run measured."""

    seconds: Sequence[float] | np.ndarray
    """Wall-clock of each validation."""
    held_out: Sequence[float] | np.ndarray
    """Distance at each of them."""
    learned: float | None = None
    """Distance on learned sounds at the end, by the same yardstick; none where nothing is held out."""
    passes: float = 0.0
    """Times the corpus has been heard."""
    start: float | None = None
    """Distance before the first step, where best.ckpt may be from; none where that is not known."""


@dataclass(frozen=True)
class Finding:
    """What the curve does."""

    kind: str
    """start (nothing learned was better than the model before its first step), short, overfitting, falling or flat."""
    change: float
    """Of the distance by a doubling of the time, -0.1 = a tenth less; since the best moment, where overfitting or
    where that is the start."""
    best_s: float
    """When it was best."""
    gap: float | None = None
    """How much further off held-out sounds are than learned ones, 0.1 = a tenth."""
    passes: float = 0.0


def judge(curve: Curve) -> Finding:
    """The fit, and what it means."""
    seconds, held = np.asarray(curve.seconds, float), np.asarray(curve.held_out, float)
    there = np.isfinite(held) & (held > 0) & (seconds > 0)
    seconds, held = seconds[there], held[there]
    gap = None if not curve.learned or not len(held) else float(held[-1] / curve.learned - 1)
    best_s = float(seconds[held.argmin()]) if len(held) else 0.0
    if curve.start is not None and len(held) and curve.start <= held.min():
        return Finding("start", float(held[-1] / curve.start - 1), 0.0, gap, curve.passes)
    late = seconds >= FROM_SHARE * seconds[-1] if len(held) else there[:0]
    if late.sum() < FEWEST:
        return Finding("short", 0.0, best_s, gap, curve.passes)
    risen = risen_since_best(held)
    if risen > 0:
        return Finding("overfitting", float(risen), best_s, gap, curve.passes)
    slope, error = line(np.log(seconds[late]), np.log(held[late]))
    change = 2.0**slope - 1
    falling = change < -FALLING and slope < -(SURE + SURER / (late.sum() - 2)) * error
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
    more = f"{shown('train', '--resume', '--out', Path(path))} {double}"
    if finding.kind == "start":
        return [
            f"nothing learned beat the start, which best.ckpt keeps: the end is {finding.change:.1%} further off",
            f"what may: more time ({more}) or, in a new run, a lower learning rate ({slower})",
        ]
    if finding.kind == "short":
        return [f"too few validations to tell whether more time would help; to go on: {more}"]
    if finding.kind == "overfitting":
        return [
            f"overfitting: held-out sounds are {finding.change:.0%} worse than at {finding.best_s:.0f} s, where "
            "best.ckpt is from; more time will not help",
            f"what would: {MORE_DATA[family]}; or a smaller model",
            *often(finding),
        ]
    if finding.kind == "falling":
        said = [f"still falling: twice the time would bring about {-finding.change:.0%}; to go on: {more}"]
        return said + ([wide(finding, family)] if is_wide(finding) else [])
    said = [f"flat: twice the time would bring about {max(0.0, -finding.change):.0%} at most"]
    if is_wide(finding):
        return [*said, wide(finding, family), *often(finding)]
    learned = "learned sounds are hardly nearer: " if finding.gap is not None else ""
    return [*said, f"{learned}{WIDER[family]}"]


CHANGED = "more and more various sounds, or changes of those there are (--set gain_db=6, --set phase=0.5"
MORE_DATA = {"codec": f"{CHANGED}, --set pitch_semitones=1)", "instrument": f"{CHANGED})"}
LIMIT = "the model is at its limit: a wider one"
WIDER = {
    "codec": f"{LIMIT} (a larger --preset, --set widths=...) or more --latent-dim",
    "instrument": f"{LIMIT} (--set decoder_width=...) or more --latent-dim",
}
"""By the family of the model."""


def is_wide(finding: Finding) -> bool:
    return finding.gap is not None and finding.gap > GAP


def wide(finding: Finding, family: str) -> str:
    """Of the gap."""
    apart = f"held-out sounds are {finding.gap:.0%} further off than learned ones"
    return f"{apart}: {MORE_DATA[family]} would help more than width"


def often(finding: Finding) -> list[str]:
    """Of more budget than the data deserves."""
    if finding.passes < MANY_PASSES:
        return []
    return [
        f"every sound has been heard {finding.passes:.0f} times: more budget than so little sound deserves"
    ]


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

    def __init__(self, material: Material) -> None:
        self.material = material
        self.distance: float | None = None

    def on_train_end(self, trainer: pl.Trainer, module: Any) -> None:
        """On every process: they average over each other."""
        if module.share >= 1.0 and self.material.held:
            with trainer.strategy.precision_plugin.val_step_context():
                self.distance = distance_on_learned(module, self.material)


@torch.no_grad()
def distance_on_learned(module: TrainingModule, material: Material) -> float:
    """`val_distance` of as many learned chunks as held-out ones are validated on."""
    chunks, labels = material.chunks, material.data.labels
    whole = Chunks(material.store, material.learned, chunks.chunk_samples, 0.0)
    picked = AudibleChunks(whole, len(material.data.validation_chunks), labels)
    found = module.new_validation()
    for batch in DataLoader(picked, batch_size=module.config.train.batch_size):
        moved = (
            Batch(*(part.to(module.device) for part in batch))
            if isinstance(batch, (Batch, list, tuple))
            else plain(batch.to(module.device))
        )
        found.add(module.averaged.model, moved)
    return found.means()["val_distance"]


def curve_of(plan: Plan, material: Material, module: TrainingModule, learned: float | None) -> Curve:
    """From metrics.csv."""
    rows = [row for row in read_rows(plan.folder.metrics) if row.get("val_distance")]
    start = next((float(row["val_distance"]) for row in rows if row["step"] == "0"), None)
    rows = [row for row in rows if row["step"] != "0"]
    heard_s = sum(item.length for item in material.learned) / material.store.sample_rate
    return Curve(
        np.array([float(row["elapsed_s"]) for row in rows]),
        np.array([float(row["val_distance"]) for row in rows]),
        learned,
        module.audio_s / max(1e-9, heard_s),
        None if module.opposed else start,  # beside a discriminator the newest is kept, not the nearest
    )


def twice(train: TrainConfig) -> str:
    """Twice the budget as options."""
    options = [f"--max-time {show_time(2 * train.max_time_s)}"] if train.max_time_s else []
    return " ".join(options + ([f"--max-steps {2 * train.max_steps}"] if train.max_steps else []))


def playing(material: Material, module: TrainingModule) -> dict[str, Any]:
    """Held tones and transfer on a few held-out sounds, in a few seconds; empty where the model cannot be played."""
    model = copy.deepcopy(module.averaged.model).cpu()
    known = [label._asdict() for label in material.labels_of(PLAYED)]

    def condition(labels: Mapping[str, Any]) -> Condition | None:
        return labelled(module.config.model, [Label(**labels) if labels else NO_LABEL], torch.device("cpu"))

    player = ModulePlayer(model, condition)
    sounds = [torch.from_numpy(sound) for sound in material.excerpts(PLAYED, PLAYED_S)]
    return measure_quickly(player, sounds, known)


def outlook(plan: Plan, material: Material, module: TrainingModule, learned: float | None) -> list[str]:
    """Sentences: what the curve does, what would help, how the model plays. None on processes but the first."""
    if not is_first():
        return []
    finding = judge(curve_of(plan, material, module, learned))
    train = plan.config.train
    slower = f"--set learning_rate={train.learning_rate / 4:g}"
    said = words(finding, str(plan.folder.path), twice(train), slower, plan.config.model.family)
    return said + playing_words(playing(material, module))
