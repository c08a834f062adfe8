"""The prior of an instrument: after the training of its model, on the latents of its own corpus.

best.ckpt --model--> latents of every recording --> notes --> performer and improviser --> best.ckpt, last.ckpt
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from wavevae import console
from wavevae.checkpoint import Checkpoint, build_model, read_checkpoint, write_checkpoint
from wavevae.corpus import Item
from wavevae.prior.fitting import FEWEST_FRAMES, encode_recording, fit, prepare

from .arguments import Plan
from .budget import show_time
from .run_folder import RunFolder
from .training_data import TrainingData

LONGEST_S = 3600.0
"""Of a larger corpus so much is learned from, whole recordings chosen at random."""


def chosen_items(items: Sequence[Item], sample_rate: int, seed: int) -> list[Item]:
    """All of them, or so many at random that they last LONGEST_S."""
    if sum(item.length for item in items) <= LONGEST_S * sample_rate:
        return list(items)
    kept: list[int] = []
    length = 0
    for number in np.random.default_rng(seed).permutation(len(items)).tolist():
        if length + items[number].length > LONGEST_S * sample_rate and kept:
            break
        kept.append(number)
        length += items[number].length
    return [items[number] for number in sorted(kept)]


def train_prior(plan: Plan, data: TrainingData, stop_asked: Callable[[], bool]) -> None:
    """Adds a prior to the checkpoints of a run, in the plan's time for it, encoding included.

    Nothing changes where the corpus has too little sound. Raises: UserError and Failure as the checkpoints' files;
    KeyboardInterrupt soon after `stop_asked` says so, with the checkpoints as they were.
    """
    budget, show = plan.prior_budget(), console.ConsoleProgress()

    def progress(what: str, share: float, text: str) -> None:
        if stop_asked():
            raise KeyboardInterrupt
        show(what, share, text)

    budget.start()
    checkpoint = read_checkpoint(plan.folder.best)
    model: Any = build_model(checkpoint)
    seed, store = checkpoint.config.train.seed, data.store
    chosen = chosen_items(data.train_items, store.sample_rate, seed)
    sequences, numbers = [], []
    for place, item in enumerate(chosen):
        sound = store.samples[item.start : item.start + item.length].astype(np.float32) / 32768
        z = encode_recording(model, sound)
        if np.isfinite(z).all():
            sequences.append(z)
            numbers.append(-1 if data.labels is None else data.labels.of(item).class_number)
        progress("prior: encoding", min(0.999, place / len(chosen)), f"{place} of {len(chosen)} recordings")
    if model.profile is None or sum(map(len, sequences)) < FEWEST_FRAMES:
        console.say("prior     left out: there is too little sound to learn how it is played")
        return
    prior, parts = prepare(sequences, model.profile, numbers, len(checkpoint.config.model.classes))
    progress("prior: encoding", 1.0, f"{len(prior.improviser.notes)} notes in {len(chosen)} recordings")

    def report(share: float, loss: float) -> None:
        progress("prior: learning", min(0.999, share), f"{loss:.2f} nats a frame")

    steps = fit(prior.performer, parts, model.profile.frame_rate, budget.progress, seed, report)
    progress("prior: learning", 1.0, f"{steps} steps, {show_time(budget.elapsed_s)} with the encoding")
    add_prior(plan.folder, checkpoint, prior.to_dict())


def add_prior(folder: RunFolder, best: Checkpoint, prior: dict[str, Any]) -> None:
    """Writes it into both checkpoints; the newest model's latents are nearly those of the best."""
    write_checkpoint(folder.best, dataclasses.replace(best, latents={**best.latents, "prior": prior}))
    last = read_checkpoint(folder.last)
    write_checkpoint(folder.last, dataclasses.replace(last, latents={**last.latents, "prior": prior}))
