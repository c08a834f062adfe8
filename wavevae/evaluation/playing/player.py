"""One way to play any model: sound to latents, latents to sound, and sound through the model, fitted to its corpus."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from wavevae.evaluation.file_under_test import FilePlayback, Model
from wavevae.evaluation.model_under_test import NONE, Labels, ModelUnderTest, Run, device_of
from wavevae.prior import TEMPERATURE
from wavevae.prior.model import Prior
from wavevae.transfer import CorpusProfile, fit_latents, transposition

MEASURED_AXES = ("pitch", "loudness", "periodicity")
"""Latents of an instrument that are measured from the sound; all others are learned."""


@dataclass(frozen=True)
class PriorPlayer:
    """The prior of a model: it improvises, and performs notes."""

    module: Any
    """A scripted `Prior`."""
    profile: CorpusProfile
    classes: Callable[[Labels], Tensor]
    """Labels -> weights of the classes (n,)."""
    in_units: Callable[[Tensor], Tensor] = lambda z: z
    """Latents (B, n, F) of the model -> those that the player decodes."""

    @torch.inference_mode()
    def perform(self, key: Tensor, velocity: Tensor, seed: int, labels: Labels = NONE) -> Tensor:
        """key (MIDI) and velocity (0 to 1; 0: no key is held), (B, F) each -> (B, latent_dim, F)."""
        start, seeds = self.module.initial(len(key), torch.zeros(1)), self.seeds(len(key), seed)
        classes = self.classes(labels).expand(len(key), -1)
        return self.in_units(self.module.perform(key, velocity, classes, TEMPERATURE, seeds, start)[0])

    @torch.inference_mode()
    def improvise(self, count: int, frames: int, seed: int, labels: Labels = NONE) -> Tensor:
        """(count, latent_dim, frames), a seed each."""
        start, seeds = self.module.initial(count, torch.zeros(1)), self.seeds(count, seed)
        classes = self.classes(labels).expand(count, -1)
        made = self.module.improvise(frames, classes, TEMPERATURE, 1.0, 0.0, 127.0, seeds, start)[0]
        return self.in_units(made)

    def seeds(self, count: int, seed: int) -> Tensor:
        return seed + torch.arange(count, dtype=torch.float32)


class Player(Protocol):
    """Encodes and decodes one sound at a time, in one go, from a cleared state."""

    sample_rate: int
    hop_length: int
    latency_samples: int
    """`decode(encode(x))` is this much behind x."""
    axis_names: tuple[str, ...]

    def encode(self, sound: Tensor, labels: Labels = NONE) -> Tensor:
        """(T,) -> (latent_dim, ceil(T / hop_length)) in the units that `decode` takes."""

    def decode(self, latents: Tensor, labels: Labels = NONE) -> Tensor:
        """(latent_dim, frames) -> (frames * hop_length,)."""

    @property
    def prior(self) -> PriorPlayer | None:
        """None where the model plays and improvises no notes by itself."""

    @property
    def can_fit(self) -> bool:
        """Whether the model fits foreign sound to its corpus."""

    def octaves(self, sound: Tensor) -> float | None:
        """Semitones by which the model itself transposes a sound into its corpus' range; none where it does not know
        its corpus."""

    def transfer(self, sound: Tensor, transpose: float | str = 0.0) -> Tensor:
        """(T,) through the model, latency compensated: (T,). Where the model can, it is fitted to the corpus:
        transposed by so many semitones (or "auto", where `octaves` gives any), and with `fit` at 1."""


def octaves_into(profile: CorpusProfile | None, latents: Tensor) -> float | None:
    """Semitones for latents (latent_dim, frames); none without a profile."""
    if profile is None:
        return None
    return transposition(profile.measure(latents.T.numpy()), profile, "auto")


def generic_names(count: int) -> tuple[str, ...]:
    return tuple(f"latent {i + 1}" for i in range(count))


def learned_axes(names: tuple[str, ...]) -> list[int]:
    """Numbers of the latents that are not told to the decoder in natural units."""
    return [i for i, name in enumerate(names) if name not in MEASURED_AXES]


class ModulePlayer:
    """Plays an autoencoder in memory.

    `condition` turns labels into its condition (none for an unconditional one).
    """

    def __init__(self, model: nn.Module, condition: Callable[[Labels], Any] | None = None) -> None:
        face: Any = model
        self.model, self.condition = face, condition
        self.sample_rate, self.hop_length = int(face.sample_rate), int(face.hop_length)
        self.latency_samples = int(getattr(face, "algorithmic_latency", 0))
        names = getattr(face, "axis_names", None)
        self.axis_names = tuple(names) if names else generic_names(face.latent_dim)

    @functools.cached_property
    def prior(self) -> PriorPlayer | None:
        prior, profile = getattr(self.model, "prior", None), getattr(self.model, "profile", None)
        if not isinstance(prior, Prior) or profile is None:
            return None

        def classes(labels: Labels) -> Tensor:
            condition = self.condition(labels) if self.condition is not None else None
            count = prior.performer.features.classes
            return torch.zeros(count) if condition is None or not count else condition.classes[0].cpu()

        return PriorPlayer(torch.jit.script(prior), profile, classes)

    @property
    def device(self) -> torch.device:
        """Where it computes; sounds and latents go in and come out on the CPU."""
        return device_of(self.model)

    def conditioned(self, labels: Labels) -> Mapping[str, Any]:
        condition = self.condition(labels) if self.condition is not None else None
        return {} if condition is None else {"condition": condition.to(self.device)}

    @torch.inference_mode()
    def encode(self, sound: Tensor, labels: Labels = NONE) -> Tensor:
        latents: Tensor = self.model.encode(sound.to(self.device)[None, None], **self.conditioned(labels))
        return latents[0].float().cpu()

    @torch.inference_mode()
    def decode(self, latents: Tensor, labels: Labels = NONE) -> Tensor:
        return self.decoded(latents, latents.shape[1] * self.hop_length, labels)

    def decoded(self, latents: Tensor, samples: int, labels: Labels = NONE) -> Tensor:
        """(samples,); a spectrogram model's frames may be fewer than the hops of what they describe."""
        sound: Tensor = self.model.decode(latents.to(self.device)[None], samples, **self.conditioned(labels))
        return sound[0, 0, :samples].float().cpu()

    @property
    def can_fit(self) -> bool:
        return hasattr(self.model, "fit_latents") and getattr(self.model, "profile", True) is not None

    def octaves(self, sound: Tensor) -> float | None:
        return octaves_into(getattr(self.model, "profile", None), self.encode(sound))

    @torch.inference_mode()
    def transfer(self, sound: Tensor, transpose: float | str = 0.0) -> Tensor:
        latents = self.encode(F.pad(sound, (0, self.latency_samples)))
        if self.can_fit:
            latents = self.model.fit_latents(latents[None], transpose=transpose, fit=1.0)[0]
        return self.decoded(latents, self.latency_samples + len(sound))[self.latency_samples :]


class FilePlayer:
    """Plays a MODEL.ts; its state is cleared before every sound."""

    def __init__(self, model: Model) -> None:
        info = model.bundle.info
        self.playback = FilePlayback(model.bundle, model.facts.class_field)
        self.module: Any = model.bundle.module
        self.sample_rate, self.hop_length = info.sample_rate, info.hop_length
        self.latency_samples = model.late
        self.axis_names = tuple(axis.name for axis in info.axes)
        self.profile = CorpusProfile.from_dict(info.profile) if info.profile else None
        self.prior: PriorPlayer | None = None
        if info.prior and self.profile is not None:
            self.prior = PriorPlayer(self.module.plays, self.profile, self.classes, self.module.in_file_units)

    def classes(self, labels: Labels) -> Tensor:
        """Weights of the file's classes, (n,)."""
        self.playback.reset(labels)
        weights: Tensor = self.module.class_rows(1)[0]
        return weights.clone()

    def in_hops(self, sound: Tensor) -> Tensor:
        """(T,) -> (1, 1, a whole number of hops), zeros on the right."""
        return F.pad(sound, (0, -len(sound) % self.hop_length))[None, None]

    @torch.inference_mode()
    def encode(self, sound: Tensor, labels: Labels = NONE) -> Tensor:
        self.playback.reset(labels)
        return self.playback.encode(self.in_hops(sound))[0]

    @torch.inference_mode()
    def decode(self, latents: Tensor, labels: Labels = NONE) -> Tensor:
        self.playback.reset(labels)
        return self.playback.decode(latents[None].contiguous())[0, 0]

    @property
    def can_fit(self) -> bool:
        live = hasattr(self.module, "set_fit") and hasattr(self.module, "set_transpose")
        return self.profile is not None or live

    def octaves(self, sound: Tensor) -> float | None:
        return octaves_into(self.profile, self.encode(sound))

    def transfer(self, sound: Tensor, transpose: float | str = 0.0) -> Tensor:
        """Fitted as a whole, as `wavevae render` does it, where the file knows its corpus; else by its attributes."""
        if self.profile is None:
            return self.transfer_live(sound, float(transpose))
        latents = self.encode(F.pad(sound, (0, self.latency_samples)))
        fitted = fit_latents(latents.T.numpy(), self.profile, transpose, 1.0)
        return self.decode(torch.from_numpy(fitted).T)[self.latency_samples :][: len(sound)]

    @torch.inference_mode()
    def transfer_live(self, sound: Tensor, transpose: float) -> Tensor:
        """By the file's own attributes, where it has them, as in a host."""
        before = {}
        if self.can_fit:
            before = {name: getattr(self.module, f"get_{name}")()[0] for name in ("transpose", "fit")}
            self.module.set_transpose(float(transpose))
            self.module.set_fit(1.0)
        self.playback.reset()
        made = self.playback.decode(
            self.playback.encode(self.in_hops(F.pad(sound, (0, self.latency_samples))))
        )
        for name, value in before.items():
            getattr(self.module, f"set_{name}")(value)
        return made[0, 0, self.latency_samples :][: len(sound)]


def make_player(subject: ModelUnderTest) -> Player:
    if isinstance(subject, Run):
        return ModulePlayer(subject.model, subject.condition)
    assert isinstance(subject, Model)
    return FilePlayer(subject)
