"""Which notes come next: notes of the corpus, drawn by how well what led to them fits what was just played.

    corpus     note 1 -> note 2 -> note 3 | note 1 -> note 2 | ...      recordings, each from its first note to its last
    drawing    what was played last --distance--> weight of every note of the corpus --draw--> the next note

A kernel estimate of p(next note | notes before) (Nadaraya 1964, Watson 1964): it needs no training, knows only notes
that the corpus has, and works with a hundred of them. Temperature is the width of the kernel: at 0 a recording's own
order is kept, at 2 nearly any note may follow any other.

No `from __future__ import annotations` here: TorchScript reads the annotations.
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn

from wavevae.nn.noise import random_turns

COLUMNS = 10
"""Of a note: MIDI pitch, dB, frames held, frames of rest after it, whether it begins or ends its recording,
class; and of its past: key of the note before, interval to the note before that, natural log of the last one's
length."""
KEY_WIDTH, LEAP_WIDTH, LENGTH_WIDTH = 1.0, 3.0, 0.7
"""Of the kernel at temperature 1: semitones, semitones, natural log."""
NARROWEST = 0.05
LEVEL_JITTER_DB, LENGTH_JITTER = 1.0, 0.15
NEXT_RECORDING_S = (0.2, 0.8)
"""Rest between the last note of a recording and the first of the next."""


class ImproviserState(NamedTuple):
    """Of every voice, each (B,)."""

    key: Tensor
    level: Tensor
    held: Tensor
    """Frames that the note still sounds."""
    rest: Tensor
    """Frames of rest after it."""
    again: Tensor
    """1: the next note is a recording's first."""
    leap: Tensor
    length: Tensor
    class_number: Tensor
    drawn: Tensor
    """(B,) float64: notes drawn; with the seed it decides what is drawn."""


class Played(NamedTuple):
    """What a frame plays, each (B,)."""

    key: Tensor
    level: Tensor
    held: Tensor
    class_number: Tensor


class Improviser(nn.Module):
    """Draws notes frame by frame: (B,) voices, each with a seed."""

    notes: Tensor

    def __init__(self, notes: Tensor, frame_rate: float) -> None:
        """`notes`: (N, COLUMNS)."""
        super().__init__()
        self.register_buffer("notes", notes)
        self.frame_rate = frame_rate
        self.shortest_rest, self.longest_rest = (s * frame_rate for s in NEXT_RECORDING_S)
        self.key_width, self.leap_width, self.length_width = KEY_WIDTH, LEAP_WIDTH, LENGTH_WIDTH
        self.narrowest, self.level_jitter, self.length_jitter = NARROWEST, LEVEL_JITTER_DB, LENGTH_JITTER

    @torch.jit.export
    def initial(self, voices: int, like: Tensor) -> ImproviserState:
        zeros = torch.zeros(voices, device=like.device)
        count = torch.zeros(voices, dtype=torch.float64, device=like.device)
        return ImproviserState(zeros, zeros, zeros, zeros, zeros + 1.0, zeros, zeros, zeros, count)

    def kernel_width(self, temperature: float) -> float:
        return max(temperature, self.narrowest)

    def pace(self, density: float) -> float:
        return max(density, 1e-3)

    def forward(
        self,
        temperature: float,
        density: float,
        lowest: float,
        highest: float,
        seed: Tensor,
        state: ImproviserState,
    ) -> tuple[Played, ImproviserState]:
        """One frame. `density`: 2 plays notes half as long and twice as many; keys beyond `lowest` and `highest`
        (MIDI) are moved by octaves; seed (B,)."""
        due = (state.held <= 0.5) & (state.rest <= 0.5)
        if bool(due.any()):
            state = self._next(temperature, density, lowest, highest, seed, state, due)
        held = state.held > 0.5
        after = ImproviserState(
            state.key,
            state.level,
            torch.where(held, state.held - 1.0, state.held),
            torch.where(held, state.rest, (state.rest - 1.0).clamp(min=0.0)),
            state.again,
            state.leap,
            state.length,
            state.class_number,
            state.drawn,
        )
        return Played(state.key, state.level, held.to(state.held.dtype), state.class_number), after

    def _next(
        self,
        temperature: float,
        density: float,
        lowest: float,
        highest: float,
        seed: Tensor,
        state: ImproviserState,
        due: Tensor,
    ) -> ImproviserState:
        notes, width = self.notes, self.kernel_width(temperature)
        again = state.again.unsqueeze(1) > 0.5
        far = ((notes[:, 7] - state.key.unsqueeze(1)) / self.key_width).square()
        far = far + ((notes[:, 8] - state.leap.unsqueeze(1)) / self.leap_width).square()
        far = far + ((notes[:, 9] - state.length.unsqueeze(1)) / self.length_width).square()
        first = notes[:, 4].unsqueeze(0) > 0.5
        log = torch.where(again, torch.zeros_like(far), -0.5 * far / (width * width))
        log = torch.where(again == first, log, log - 60.0)
        outside = ((notes[:, 0] < lowest) | (notes[:, 0] > highest)).to(log.dtype)
        log = log - 200.0 * outside
        at, voice = state.drawn.unsqueeze(1), seed.unsqueeze(1).to(torch.float64)
        place = torch.arange(int(notes.size(0)), device=notes.device).unsqueeze(0)
        turns = random_turns(at, voice, place + 5000.0).clamp(1e-9, 1.0 - 1e-9)
        chosen = (log - torch.log(-torch.log(turns)).to(log.dtype)).argmax(1)
        note = notes[chosen]  # (B, COLUMNS)
        other = random_turns(at, voice, torch.arange(6, device=notes.device).unsqueeze(0)).clamp(1e-9, 1.0)
        normal = torch.sqrt(-2.0 * torch.log(other[:, :2])) * torch.cos(2.0 * math.pi * other[:, 2:4])
        normal = temperature * normal.to(log.dtype)
        stretch = torch.exp(self.length_jitter * normal[:, 0]) / self.pace(density)
        key = note[:, 0]
        below, above = (
            ((lowest - key) / 12.0).ceil().clamp(min=0.0),
            ((key - highest) / 12.0).ceil().clamp(min=0.0),
        )
        moved = key + 12.0 * (below - above)
        rest = self.shortest_rest + (self.longest_rest - self.shortest_rest) * other[:, 4].to(log.dtype)
        rest = torch.where(note[:, 5] > 0.5, rest, note[:, 3])
        held = (note[:, 2] * stretch).round().clamp(min=2.0)
        new = ImproviserState(
            moved,
            note[:, 1] + self.level_jitter * normal[:, 1],
            held,
            (rest * stretch).round(),
            note[:, 5],
            key - state.key,
            torch.log(note[:, 2].clamp(min=1.0)),
            note[:, 6],
            state.drawn + 1.0,
        )
        return ImproviserState(
            torch.where(due, new.key, state.key),
            torch.where(due, new.level, state.level),
            torch.where(due, new.held, state.held),
            torch.where(due, new.rest, state.rest),
            torch.where(due, new.again, state.again),
            torch.where(due, new.leap, state.leap),
            torch.where(due, new.length, state.length),
            torch.where(due, new.class_number, state.class_number),
            torch.where(due, new.drawn, state.drawn),
        )
