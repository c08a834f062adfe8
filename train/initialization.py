"""Where a new run begins: in closed form from the sounds, as far as the model allows."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from wavevae.config import RunConfig
from wavevae.corpus.labels import NO_LABEL, Label
from wavevae.families import family_of, located
from wavevae.nn.conv import pad_to_multiple
from wavevae.nn.linear_init import linear_start
from wavevae.nn.model import Autoencoder
from wavevae.nn.partials_init import partials_start

from .batches import labelled
from .budget import Budget
from .module import TrainingModule
from .progress import say
from .training_data import Material

CHUNKS_AT_ONCE = 16


def make_module(config: RunConfig, budget: Budget) -> TrainingModule:
    """The training module of the family of the model that the configuration describes."""
    module: TrainingModule = located(family_of(config).training)(config, budget)
    return module


def begin(module: TrainingModule, material: Material) -> None:
    """Set the model, then its average. Raises: UserError for codebooks larger than the frames there are."""
    model, config = module.model, module.config
    if not module.initialise(material) and config.train.init == "linear":
        say(f"start   {start_networks(model, material):.0%} of the energy at equal loudness")
    bottleneck = model.bottleneck.learned_part()
    if bottleneck.init_frames():
        torch.manual_seed(config.train.seed)
        bottleneck.init_from_data(encoder_frames(model, material, bottleneck.init_frames()))
    module.begun()


def start_networks(model: Autoencoder, material: Material) -> float:
    """As the best linear codec of the corpus: of its hops, or of its partials where pitches are told."""
    if not model.config.has_pitch:
        return linear_start(model, material.hops(model.hop_length))
    audio, labels = heard(model, material, material.spread())
    return partials_start(model, audio, torch.tensor([label.pitch for label in labels]))


def encoder_frames(model: Autoencoder, material: Material, count: int) -> Tensor:
    """At least `count` frames of the encoder's output for its bottleneck, (n, in_channels), where there are as many."""
    frames_a_chunk = max(1, material.chunks.chunk_samples // model.hop_length)
    picked = material.spread(-(-count // frames_a_chunk))
    rows: list[Tensor] = []
    with torch.no_grad():
        for first in range(0, len(picked), CHUNKS_AT_ONCE):
            audio, labels = heard(model, material, picked[first : first + CHUNKS_AT_ONCE])
            condition = labelled(model.config, labels, torch.device("cpu"))
            features = model.features(audio, condition)[:, model.bottleneck.controls :]
            rows.append(features.transpose(1, 2).flatten(0, 1))
    return torch.cat(rows)


def heard(model: Autoencoder, material: Material, numbers: np.ndarray) -> tuple[Tensor, list[Label]]:
    """Chunks (n, 1, a whole number of hops), zeros at their end, and their labels."""
    chunks, labels = material.chunks, material.data.labels
    audio = torch.from_numpy(np.stack([chunks.read(int(n)) for n in numbers])[:, None])
    items = [chunks.item(int(n)) for n in numbers]
    told = [NO_LABEL if labels is None else labels.of(item) for item in items]
    return pad_to_multiple(audio, model.hop_length), told
