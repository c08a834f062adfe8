"""The prior of an instrument: which notes come, and how notes are played.

    perform     key, velocity of every frame ------------> Performer --> latents
    improvise   Improviser --> key, level of every frame -> Performer --> latents

It has a state, and what it draws follows from the seed and the number of the frame: offline, live and in blocks of any
size it plays the same.

No `from __future__ import annotations` here: TorchScript reads the annotations.
"""

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from .improviser import COLUMNS, Improviser, ImproviserState, Played
from .performer import NoteFeatures, Performer, PerformerState

SOFTEST_DB = -40.0
"""Level of the softest velocity, below the loudest."""


class PriorState(NamedTuple):
    """Of every voice."""

    performer: PerformerState
    improviser: ImproviserState


class Prior(nn.Module):
    """Draws control frames (B, n_latents, F) in the model's own units."""

    def __init__(self, performer: Performer, improviser: Improviser, loudest: float) -> None:
        """`loudest`: level of a note of velocity 1, dB."""
        super().__init__()
        self.performer, self.improviser = performer, improviser
        self.loudest, self.softest = loudest, SOFTEST_DB

    @torch.jit.export
    def initial(self, voices: int, like: Tensor) -> PriorState:
        """Before the first note."""
        return PriorState(self.performer.initial(voices, like), self.improviser.initial(voices, like))

    @torch.jit.export
    def level(self, velocity: Tensor) -> Tensor:
        """Velocity 0 to 1 -> dB: amplitude goes with the square of the velocity (General MIDI 2)."""
        below = 40.0 * torch.log10(velocity.clamp(min=1e-6))
        return self.loudest + below.clamp(self.softest, 0.0)

    @torch.jit.export
    def perform(
        self,
        key: Tensor,
        velocity: Tensor,
        classes: Tensor,
        temperature: float,
        seed: Tensor,
        state: PriorState,
    ) -> tuple[Tensor, PriorState]:
        """key (MIDI) and velocity (0..1; 0: no key is held), both (B, F); weights of the labels (B, n); seed (B,)
        -> (B, n_latents, F) and the state."""
        level, held = self.level(velocity), (velocity > 0.0).to(key.dtype)
        z, performer = self.performer.frames(
            key, level, held, classes, temperature, 1.0, seed, state.performer
        )
        return z, PriorState(performer, state.improviser)

    @torch.jit.export
    def improvise(
        self,
        frames: int,
        classes: Tensor,
        temperature: float,
        density: float,
        lowest: float,
        highest: float,
        seed: Tensor,
        state: PriorState,
    ) -> tuple[Tensor, Tensor, PriorState]:
        """-> latents (B, n_latents, F), what is played (B, 3, F): key, velocity (0 in rests) and class number, and the
        state. `density`, `lowest` and `highest` as in Improviser."""
        notes, improviser = self.notes(frames, temperature, density, lowest, highest, seed, state.improviser)
        z, after = self.perform(notes[:, 0], notes[:, 1], classes, temperature, seed, state)
        return z, notes, PriorState(after.performer, improviser)

    @torch.jit.export
    def notes(
        self,
        frames: int,
        temperature: float,
        density: float,
        lowest: float,
        highest: float,
        seed: Tensor,
        state: ImproviserState,
    ) -> tuple[Tensor, ImproviserState]:
        """What `improvise` plays, without the latents: (B, 3, F) and the improviser's state."""
        found = []
        for _n in range(frames):
            played, state = self.improviser(temperature, density, lowest, highest, seed, state)
            found.append(self.as_row(played))
        return torch.stack(found, 2), state

    def as_row(self, played: Played) -> Tensor:
        """(B, 3): key, velocity, class number."""
        below = (played.level - self.loudest).clamp(self.softest, 0.0)
        velocity = torch.pow(10.0, below / 40.0) * played.held
        return torch.stack([played.key, velocity, played.class_number], 1)

    def description(self) -> dict[str, Any]:
        """Plain figures for MODEL.ts and `wavevae info`."""
        notes = self.improviser.notes
        return {
            "notes": len(notes),
            "lowest": float(notes[:, 0].min()),
            "highest": float(notes[:, 0].max()),
            "timbres": self.performer.features.timbres,
        }

    def to_dict(self) -> dict[str, Any]:
        """Tensors and plain values, for a checkpoint."""
        performer, features = self.performer, self.performer.features
        return {
            "latents": performer.latents,
            "width": performer.width,
            "components": performer.components,
            "pitched": features.pitched,
            "classes": features.classes,
            "timbres": features.timbres,
            "frame_rate": self.improviser.frame_rate,
            "loudest": self.loudest,
            "notes": len(self.improviser.notes),
            "points": len(features.points),
            "note_width": features.width,
            "state": self.state_dict(),
        }

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "Prior":
        """What `to_dict` gave."""
        features = NoteFeatures(values["pitched"], 0.0, 1.0, values["classes"], values["timbres"])
        features.width = values["note_width"]
        performer = Performer(values["latents"], features, values["width"], values["components"])
        improviser = Improviser(torch.zeros(values["notes"], COLUMNS), values["frame_rate"])
        prior = cls(performer, improviser, values["loudest"])
        prior.load_state_dict(values["state"])
        return prior.eval()
