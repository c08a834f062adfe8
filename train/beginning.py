"""Where a new run begins: in closed form from the sounds, as far as the model allows."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from wavevae.config import RunConfig
from wavevae.corpus.labels import NO_LABEL, Label
from wavevae.errors import UserError
from wavevae.families import family_of, located
from wavevae.nn.conv import pad_to_multiple
from wavevae.nn.linear_start import linear_start
from wavevae.nn.model import Autoencoder
from wavevae.nn.partials_start import partials_start
from wavevae.nn.quantizer import ResidualVQ

from .batch import labelled
from .budget import Budget
from .material import Material
from .module import TrainingModule
from .progress import say

FRAMES_A_CODE = 32
"""Heard for the start of a codebook, where there are as many."""
CHUNKS_AT_ONCE = 16


def make_module(config: RunConfig, budget: Budget) -> TrainingModule:
    """The training module of the family of the model that the configuration describes."""
    module: TrainingModule = located(family_of(config).training)(config, budget)
    return module


def begin(module: TrainingModule, material: Material) -> None:
    """Set the model, then its average. Raises: UserError for codebooks larger than the frames there are."""
    model, config = module.model, module.config
    if not module.initialise(material) and config.train.start == "linear":
        say(f"start   {start_networks(model, material):.0%} of the energy at equal loudness")
    if isinstance(model.bottleneck.learned_part(), ResidualVQ):
        torch.manual_seed(config.train.seed)
        start_codebooks(model, material)
    module.begun()


def start_networks(model: Autoencoder, material: Material) -> float:
    """As the best linear codec of the corpus: of its hops, or of its partials where pitches are told."""
    if not model.config.has_pitch:
        return linear_start(model, material.hops(model.hop_length))
    audio, labels = heard(model, material, material.spread())
    return partials_start(model, audio, torch.tensor([label.pitch for label in labels]))


def start_codebooks(model: Autoencoder, material: Material) -> None:
    """Projections and codes from frames of the corpus. Raises: UserError where there are fewer than codes."""
    size = model.config.codebook_size
    frames_a_chunk = max(1, material.chunks.chunk_samples // model.hop_length)
    picked = material.spread(-(-FRAMES_A_CODE * size // frames_a_chunk))
    rows: list[Tensor] = []
    with torch.no_grad():
        for first in range(0, len(picked), CHUNKS_AT_ONCE):
            audio, labels = heard(model, material, picked[first : first + CHUNKS_AT_ONCE])
            condition = labelled(model.config, labels, torch.device("cpu"))
            features = model.features(audio, condition)[:, model.bottleneck.controls :]
            rows.append(features.transpose(1, 2).flatten(0, 1))  # (n, in_channels)
    frames = torch.cat(rows)
    if len(frames) < size:
        raise UserError(
            f"codebook_size is {size}, but the sounds have {len(frames)} frames only; give more sound, or "
            f"--set codebook_size={max(2, len(frames) // FRAMES_A_CODE)}"
        )
    model.bottleneck.learned_part().start(frames)


def heard(model: Autoencoder, material: Material, numbers: np.ndarray) -> tuple[Tensor, list[Label]]:
    """Chunks (n, 1, a whole number of hops), zeros at their end, and their labels."""
    chunks, labels = material.chunks, material.data.labels
    audio = torch.from_numpy(np.stack([chunks.read(int(n)) for n in numbers])[:, None])
    items = [chunks.item(int(n)) for n in numbers]
    told = [NO_LABEL if labels is None else labels.of(item) for item in items]
    return pad_to_multiple(audio, model.hop_length), told
