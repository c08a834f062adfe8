"""What a step is given: sounds, and their labels where the model is told any."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from wavevae.config import ModelConfig
from wavevae.corpus.labels import Label
from wavevae.nn.conditioning import Condition, one_hot


class Batch(NamedTuple):
    """Sounds with labels. What the encoder hears may be another version of what the decoder is to give."""

    audio: Tensor
    """(B, 1, T) what the decoder gives."""
    heard: Tensor
    """(B, 1, T) what the encoder hears: `audio`, or it at another pitch or gain."""
    class_number: Tensor
    """(B,) int64, -1 for none."""
    pitch: Tensor
    """(B,) float32 MIDI of `audio`, NaN for none."""
    heard_pitch: Tensor
    """(B,) the same of `heard`."""


def plain(audio: Tensor) -> Batch:
    """(B, 1, T) without labels."""
    none = torch.full((len(audio),), torch.nan, device=audio.device)
    number = torch.full((len(audio),), -1, dtype=torch.int64, device=audio.device)
    return Batch(audio, audio, number, none, none)


def conditions(batch: Batch, config: ModelConfig) -> tuple[Condition | None, Condition | None]:
    """What the encoder is told, what the decoder is told; none for an unconditional model."""
    if config.condition == "none":
        return None, None
    classes = one_hot(batch.class_number, len(config.classes))
    return Condition(classes, batch.heard_pitch), Condition(classes, batch.pitch)


def labelled(config: ModelConfig, labels: Sequence[Label], device: torch.device) -> Condition | None:
    """Labels of files as a model is told them; none for an unconditional model."""
    if config.condition == "none":
        return None
    numbers = torch.tensor([label.class_number for label in labels])
    pitches = torch.tensor([label.pitch for label in labels], dtype=torch.float32)
    return Condition(one_hot(numbers, len(config.classes)), pitches).to(device)
