"""What an exported instrument with a prior has beside the usual methods: it plays notes, and improvises.

    perform   (B, 2, F) key (MIDI) and velocity (0 to 1; 0: no key is held) -> latents (B, latent_dim, F)
    prior     (1, 1, F) temperature -> latents (1, latent_dim, F): the improviser's notes, performed

Latents are those of `decode`. Each row of `perform` is a voice with its own state; `prior` has another. What is random
follows from `prior_seed` and the number of the frame, so that any cut into blocks plays the same.

No `from __future__ import annotations` here: TorchScript reads the annotations.
"""

# mypy: disable-error-code="operator, union-attr, arg-type, misc, attr-defined, call-overload, index, has-type"
# (what a host module has is not known to what is mixed into it)

import copy
import math
from typing import Any

import torch
from torch import Tensor, nn

from wavevae.prior import TEMPERATURE
from wavevae.prior.improviser import ImproviserState
from wavevae.prior.model import PriorState
from wavevae.prior.performer import PerformerState

from .torchscript import FLOAT, INT

TEMPERATURE_RANGE, DENSITY_RANGE = (0.0, 2.0), (0.1, 10.0)
SEED_OF_ROW = 101.0
"""Between the seeds of two voices."""
SEED_LIMIT = 1_000_000


class PriorMethods(nn.Module):
    """Methods `perform` and `prior`, and the attributes of both. A mix-in of an instrument's module."""

    latent_dim: int
    performer_state: PerformerState
    improviser_state: ImproviserState
    improvising: PriorState

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        host: Any = self
        self.plays = copy.deepcopy(arguments[0].prior).eval().requires_grad_(False)
        self.perform_voices = 1
        self.prior_seed, self.prior_temperature, self.prior_density = 0, TEMPERATURE, 1.0
        self.prior_lowest, self.prior_highest = 0.0, 127.0
        self.prior_temperature_range, self.prior_density_range = TEMPERATURE_RANGE, DENSITY_RANGE
        self.seed_of_row, self.seed_limit = SEED_OF_ROW, SEED_LIMIT
        like = torch.zeros(1)
        first = self.plays.initial(1, like)
        self.performer_state, self.improviser_state = first.performer, first.improviser
        self.improvising = self.plays.initial(1, like)
        hop, labels = host.hop_length, host.decode_input_labels
        host.add_method("perform", [2, hop, host.latent_dim, hop], ["key (MIDI)", "velocity (0..1)"], labels)
        host.add_method("prior", [1, hop, host.latent_dim, hop], ["temperature"], labels)
        for name, kind in {
            "prior_seed": INT,
            "prior_temperature": FLOAT,
            "prior_density": FLOAT,
            "prior_lowest": FLOAT,
            "prior_highest": FLOAT,
        }.items():
            host.add_attribute(name, kind)

    def seeds(self, voices: int) -> Tensor:
        """(voices,): one for each row."""
        return float(self.prior_seed) + self.seed_of_row * torch.arange(voices, dtype=torch.float32)

    def class_rows(self, voices: int) -> Tensor:
        """(voices, n_classes): what is played."""
        return self.weights.unsqueeze(0).expand(voices, -1)

    def in_file_units(self, z: Tensor) -> Tensor:
        """Latents (B, n_latents, F) of the model -> those of the file."""
        kept = z[:, : self.latent_dim]
        return (kept - self.offset[: self.latent_dim]) / self.factor[: self.latent_dim]

    @torch.jit.export
    def perform(self, x: Tensor) -> Tensor:
        """(B, 2, F) -> (B, latent_dim, F). Rows beyond the first are other voices; `restart` clears one."""
        x = torch.nan_to_num(x.to(torch.float32), 0.0, 0.0, 0.0)
        voices = x.size(0)
        if voices != self.perform_voices:
            self.perform_voices = voices
            self.start_performer(voices)
        if x.size(2) == 0:
            return x.new_zeros([voices, self.latent_dim, 0])
        key, velocity = x[:, 0].clamp(0.0, 127.0), x[:, 1].clamp(0.0, 1.0)
        z, state = self.plays.perform(
            key,
            velocity,
            self.class_rows(voices),
            self.prior_temperature,
            self.seeds(voices),
            PriorState(self.performer_state, self.improviser_state),
        )
        self.performer_state = state.performer
        return self.in_file_units(z)

    @torch.jit.export
    def prior(self, x: Tensor) -> Tensor:
        """(1, 1, F) temperature of what is drawn -> (1, latent_dim, F)."""
        x = torch.nan_to_num(x.to(torch.float32), 0.0, 0.0, 0.0).clamp(0.0, self.prior_temperature_range[1])
        made = [x.new_zeros([1, self.latent_dim, 0])]
        for n in range(x.size(2)):
            z, _played, self.improvising = self.plays.improvise(
                1,
                self.class_rows(1),
                float(x[0, 0, n]),
                self.prior_density,
                self.prior_lowest,
                self.prior_highest,
                self.seeds(1),
                self.improvising,
            )
            made.append(self.in_file_units(z))
        return torch.cat(made, 2)

    @torch.jit.export
    def improvise(self, frames: int) -> Tensor:
        """(1, 3, frames): key, velocity (0 in rests) and class number of the improviser's notes alone."""
        notes, self.improviser_state = self.plays.notes(
            frames,
            self.prior_temperature,
            self.prior_density,
            self.prior_lowest,
            self.prior_highest,
            self.seeds(1),
            self.improviser_state,
        )
        return notes

    @torch.jit.export
    def restart_prior(self) -> None:
        """What is improvised begins anew."""
        first = self.plays.initial(1, self.offset)
        self.improvising, self.improviser_state = first, first.improviser

    def start_performer(self, voices: int) -> None:
        self.perform_voices = voices
        self.performer_state = self.plays.initial(voices, self.offset).performer

    def restart_performer(self, voice: int) -> None:
        """One row of `perform` forgets its past. Its frames go on counting, or it would play the same again."""
        if 0 <= voice < self.perform_voices:
            self.performer_state = self.plays.performer.restarted(self.performer_state, voice)

    @torch.jit.export
    def set_prior_seed(self, value: int) -> int:
        self.prior_seed = min(max(value, -self.seed_limit), self.seed_limit)
        return 0

    @torch.jit.export
    def get_prior_seed(self) -> tuple[int]:
        return (self.prior_seed,)

    @torch.jit.export
    def set_prior_temperature(self, value: float) -> int:
        if not math.isfinite(value):
            return -1
        low, high = self.prior_temperature_range
        self.prior_temperature = min(max(value, low), high)
        return 0

    @torch.jit.export
    def get_prior_temperature(self) -> tuple[float]:
        return (self.prior_temperature,)

    @torch.jit.export
    def set_prior_density(self, value: float) -> int:
        if not math.isfinite(value):
            return -1
        low, high = self.prior_density_range
        self.prior_density = min(max(value, low), high)
        return 0

    @torch.jit.export
    def get_prior_density(self) -> tuple[float]:
        return (self.prior_density,)

    @torch.jit.export
    def set_prior_lowest(self, value: float) -> int:
        if not math.isfinite(value):
            return -1
        self.prior_lowest = min(max(value, 0.0), 127.0)
        return 0

    @torch.jit.export
    def get_prior_lowest(self) -> tuple[float]:
        return (self.prior_lowest,)

    @torch.jit.export
    def set_prior_highest(self, value: float) -> int:
        if not math.isfinite(value):
            return -1
        self.prior_highest = min(max(value, 0.0), 127.0)
        return 0

    @torch.jit.export
    def get_prior_highest(self) -> tuple[float]:
        return (self.prior_highest,)
