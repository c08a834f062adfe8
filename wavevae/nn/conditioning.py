"""Labels of encoder and decoder, a class and a pitch, and how they reach the layers.

    class weights ---table----\\
                               + -> label vector -> FiLM: h * (1 + scale) + shift, before each block
    MIDI pitch --curves, table-/

"No label" is a label: an item's class weights may all be 0, its pitch NaN. Layers start as the identity.

No `from __future__ import annotations` here: TorchScript reads the annotations of what the streaming twins share.
"""

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from wavevae.config import ModelConfig
from wavevae.errors import UserError, nearest
from wavevae.names import matching

LABEL_DIM = 64
SMALL = 0.01
"""-40 dBFS."""
PITCHES = 128
"""MIDI pitches that have a row of their own; between two of them the rows are mixed."""
SHORTEST_PERIOD, PERIODS = 3.0, 7
"""Of the smooth curves of pitch: 3, 6, ... 192 semitones; 12 is the octave's, what is alike at 440 and 880 Hz."""


class Condition(NamedTuple):
    """Labels of a batch. A kind that the model does not use is ignored."""

    classes: Tensor
    """(B, number of classes) float, 0 or more: one 1 for a class, shares for a mix, all 0 for no label."""
    pitch: Tensor
    """(B,) float, MIDI (69 = 440 Hz; fractions are cents / 100), NaN for no label."""

    def to(self, device: torch.device | str) -> "Condition":
        return Condition(self.classes.to(device), self.pitch.to(device))


def unlabelled(batch: int, config: ModelConfig, device: torch.device | str = "cpu") -> Condition:
    """No label on anything."""
    classes = torch.zeros(batch, len(config.classes), device=device)
    return Condition(classes, torch.full((batch,), torch.nan, device=device))


def make_condition(
    config: ModelConfig, class_name: str | None, pitch: float | None, batch: int
) -> Condition | None:
    """Labels as a user gives them; none for an unconditional model.

    Raises: UserError for an unknown class, a pitch that is no MIDI pitch, or a kind of label the model does not use.
    """
    if class_name is not None and not config.has_class:
        raise UserError(f"class '{class_name}' given, but the model is not told classes; leave the class out")
    if pitch is not None and not config.has_pitch:
        raise UserError(f"pitch {pitch:g} given, but the model is not told pitches; leave the pitch out")
    if config.condition == "none":
        return None
    condition = unlabelled(batch, config)
    if class_name is not None:
        known = matching(class_name, config.classes)
        if known is None:
            raise UserError(f"unknown class '{class_name}'; {nearest(class_name, config.classes)}")
        condition.classes[:, config.classes.index(known)] = 1.0
    if pitch is not None:
        if not 0 <= pitch < PITCHES:
            raise UserError(f"pitch is {pitch:g}; use a MIDI pitch from 0 to {PITCHES - 1} (69 is 440 Hz)")
        condition.pitch.fill_(pitch)
    return condition


def one_hot(index: Tensor, count: int) -> Tensor:
    """(B,) class numbers, -1 for none -> class weights (B, count)."""
    return F.one_hot(index + 1, count + 1)[:, 1:].float()


def with_rest(classes: Tensor) -> Tensor:
    """(B, n) class weights -> (B, n + 1): the weight of no class, what is missing to 1, as the last."""
    return torch.cat([classes, (1.0 - classes.sum(1, keepdim=True)).clamp_min(0.0)], 1)


def curves(pitch: Tensor, shortest: float = SHORTEST_PERIOD, periods: int = PERIODS) -> Tensor:
    """(B,) MIDI -> (B, 1 + 2 x periods): the pitch, and sines and cosines of it."""
    period = shortest * torch.exp2(torch.arange(periods, device=pitch.device))
    turns = 2 * math.pi * pitch[:, None] / period
    return torch.cat([(pitch[:, None] - 60.0) / 36.0, turns.sin(), turns.cos()], 1)


class PitchEmbedding(nn.Module):
    """Smooth curves of pitch (random-access Fourier features, Tancik et al. 2020, eq. 5), and a table for what is
    particular to a note; a vector of its own for no pitch."""

    def __init__(self) -> None:
        super().__init__()
        self.smooth = nn.Linear(1 + 2 * PERIODS, LABEL_DIM)
        self.table = nn.Parameter(torch.zeros(PITCHES, LABEL_DIM))
        self.none = nn.Parameter(torch.zeros(LABEL_DIM))

    def forward(self, pitch: Tensor) -> Tensor:
        """(B,) MIDI, NaN for none -> (B, LABEL_DIM)."""
        known = ~pitch.isnan()
        at = pitch.nan_to_num(60.0).clamp(0, PITCHES - 1)
        low = at.floor().clamp_max(PITCHES - 2)
        part = (at - low)[:, None]
        rows = low.long()
        particular = torch.lerp(self.table[rows], self.table[rows + 1], part)
        return torch.where(known[:, None], self.smooth(curves(at)) + particular, self.none)


class LabelEmbedding(nn.Module):
    """Condition -> (B, LABEL_DIM)."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        count = len(config.classes)
        self.classes = nn.Parameter(torch.randn(count + 1, LABEL_DIM)) if config.has_class else None
        """A row a class, and the last for no class."""
        self.pitch = PitchEmbedding() if config.has_pitch else None

    def forward(self, condition: Condition) -> Tensor:
        label = condition.pitch.new_zeros(len(condition.pitch), LABEL_DIM)
        if self.classes is not None:
            label = label + with_rest(condition.classes) @ self.classes
        if self.pitch is not None:
            label = label + self.pitch(condition.pitch)
        return label


class FiLM(nn.Module):
    """Feature-wise linear modulation (Perez et al. 2018, eq. 2), the identity at first: (B, C, T) -> same.

    Features are in units of sound and a quiet one is small: a shift of 1 stands for SMALL, or silence would hum.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.affine = nn.Linear(LABEL_DIM, 2 * channels)
        nn.init.zeros_(self.affine.weight)
        nn.init.zeros_(self.affine.bias)

    def forward(self, h: Tensor, label: Tensor) -> Tensor:
        scale, shift = self.affine(label / math.sqrt(LABEL_DIM))[..., None].chunk(2, dim=1)  # (B, C, 1) each
        return h * (1 + scale) + SMALL * shift


class Conditioning(nn.Module):
    """A network's own label embedding and the FiLM before each of its blocks."""

    def __init__(self, config: ModelConfig, channels: tuple[int, ...]) -> None:
        super().__init__()
        self.config = config
        self.embedding = LabelEmbedding(config)
        self.films = nn.ModuleList(FiLM(width) for width in channels)

    def label(self, condition: Condition | None, h: Tensor) -> Tensor:
        """(B, LABEL_DIM) for a batch of features h (B, ...)."""
        return self.embedding(condition or unlabelled(len(h), self.config, h.device))

    def forward(self, place: int, h: Tensor, label: Tensor) -> Tensor:
        """The input of block `place`."""
        return self.films[place](h, label)


def conditioned(conditioning: Conditioning | None, place: int, h: Tensor, label: Tensor | None) -> Tensor:
    """The input of block `place`: h modulated by the label, or h itself in an unconditional network."""
    return h if conditioning is None or label is None else conditioning(place, h, label)


def make_conditioning(config: ModelConfig, channels: tuple[int, ...]) -> Conditioning | None:
    """None for an unconditional model, which then costs nothing extra."""
    return None if config.condition == "none" else Conditioning(config, channels)
