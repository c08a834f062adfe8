"""The prior of an instrument: after the training of its model, on the latents of its own corpus.

best.ckpt --model--> latents of every recording --> notes --> performer and improviser --> best.ckpt, last.ckpt
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from wavevae import console
from wavevae.checkpoint import Checkpoint, build_model, read_checkpoint, write_checkpoint
from wavevae.corpus import Item, Store
from wavevae.corpus.labels import Labels
from wavevae.nn.instrument import Instrument
from wavevae.prior.fitting import FEWEST_FRAMES, fit, prepare
from wavevae.units import format_seconds

from .run_folder import RunFolder

LONGEST_S = 3600.0
"""Of a larger corpus so much is learned from, whole recordings chosen at random."""
PIECE_FRAMES, LEAD_FRAMES = 2048, 128
"""Long recordings are encoded in pieces, each with some of what came before it."""
STEPS_A_SECOND = 1000
"""More than any machine makes: the time is the limit, where there is one."""
WITHOUT_A_TIME = 300
"""Steps where the run's budget is in steps alone."""


@torch.no_grad()
def encode_recording(model: Instrument, sound: np.ndarray) -> np.ndarray:
    """Latents (frames, n_latents) of float32 (samples,), at the place of what they describe."""
    hop, late = model.hop_length, model.algorithmic_latency // model.hop_length
    x = torch.from_numpy(sound)[None, None]
    frames, made = -(-len(sound) // hop), []
    x = torch.nn.functional.pad(x, (0, (frames + late) * hop - len(sound)))
    for first in range(0, frames, PIECE_FRAMES):
        begin, last = max(0, first - LEAD_FRAMES), min(frames, first + PIECE_FRAMES)
        z = model.encode(x[..., begin * hop : (last + late) * hop])[0]
        made.append(z[:, first - begin + late : last - begin + late].T)
    return torch.cat(made).numpy()


def chosen_items(items: Sequence[Item], sample_rate: int, seed: int) -> list[Item]:
    """All of them, or so many at random that they last LONGEST_S."""
    if sum(item.length for item in items) <= LONGEST_S * sample_rate:
        return list(items)
    order, kept, length = np.random.default_rng(seed).permutation(len(items)), [], 0
    for number in order:
        if length + items[number].length > LONGEST_S * sample_rate and kept:
            break
        kept.append(number)
        length += items[number].length
    return [items[number] for number in sorted(kept)]


def train_prior(
    folder: RunFolder, store: Store, items: Sequence[Item], labels: Labels | None, max_s: float | None
) -> None:
    """Adds a prior to the checkpoints of a run. `max_s`: encoding included; None: a fixed number of steps.

    Nothing changes where the corpus has too little sound. Raises: UserError and Failure as the checkpoints' files.
    """
    began, progress = time.monotonic(), console.ConsoleProgress()
    checkpoint = read_checkpoint(folder.best)
    model: Any = build_model(checkpoint)
    seed = checkpoint.config.train.seed
    sequences, numbers = [], []
    chosen = chosen_items(items, store.sample_rate, seed)
    for place, item in enumerate(chosen):
        sound = store.samples[item.start : item.start + item.length].astype(np.float32) / 32768
        z = encode_recording(model, sound)
        if np.isfinite(z).all():
            sequences.append(z)
            numbers.append(-1 if labels is None else labels.of(item).class_number)
        progress("prior: encoding", min(0.999, place / len(chosen)), f"{place} of {len(chosen)} recordings")
    if model.profile is None or sum(map(len, sequences)) < FEWEST_FRAMES:
        console.say("prior     left out: there is too little sound to learn how it is played")
        return
    prior, parts = prepare(sequences, model.profile, numbers, len(checkpoint.config.model.classes))
    progress("prior: encoding", 1.0, f"{len(prior.improviser.notes)} notes in {len(chosen)} recordings")
    steps = WITHOUT_A_TIME if max_s is None else round(max_s * STEPS_A_SECOND)
    limit = float("inf") if max_s is None else max(1.0, max_s - (time.monotonic() - began))
    rate = model.profile.frame_rate

    def report(share: float, loss: float) -> None:
        progress("prior: learning", min(0.999, share), f"{loss:.2f} nats a frame")

    done = fit(prior.performer, parts, rate, limit, steps, seed, report)
    progress("prior: learning", 1.0, f"{done} steps in {format_seconds(time.monotonic() - began)}")
    add_prior(folder, checkpoint, prior.to_dict())


def add_prior(folder: RunFolder, best: Checkpoint, prior: dict[str, Any]) -> None:
    """Writes it into both checkpoints; the newest model's latents are nearly those of the best."""
    write_checkpoint(folder.best, dataclasses.replace(best, latents={**best.latents, "prior": prior}))
    last = read_checkpoint(folder.last)
    write_checkpoint(folder.last, dataclasses.replace(last, latents={**last.latents, "prior": prior}))


def has_prior(folder: RunFolder) -> bool:
    return folder.best.is_file() and bool(read_checkpoint(folder.best).latents.get("prior"))
