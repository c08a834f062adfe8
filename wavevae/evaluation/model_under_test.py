"""What is evaluated, behind one interface: it reconstructs a stream of sound. `loading` makes one from a path."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor

from wavevae.audio import followed
from wavevae.corpus.labels import class_of, pitch_of
from wavevae.evaluation import bottleneck_stats
from wavevae.latents import LatentStatistics, sample_density
from wavevae.names import matching

if TYPE_CHECKING:
    from wavevae.nn.conditioning import Condition
    from wavevae.nn.model import Autoencoder


Labels = Mapping[str, Any]
"""What is known of a file: NSynth's fields, or `class`."""
NONE: Labels = {}


class Piece(NamedTuple):
    """A stretch of a sound, its reconstruction, and the latents between them."""

    reference: Tensor
    """(samples,)"""
    estimate: Tensor
    """(samples,)"""
    latents: Tensor | None = None
    """(latent_dim, frames): the deterministic latents, in standard deviations of the prior or of the training data."""
    kl: Tensor | None = None
    """(frames,) KL of the posterior to its prior, nats a frame, where there is a posterior to be seen."""
    codes: Tensor | None = None
    """(n_codebooks, frames) of a quantizer, where they can be seen."""


def compensate_latency(
    reconstruct: Callable[[Iterable[np.ndarray]], Iterator[Piece]],
    blocks: Iterable[np.ndarray],
    late: int,
    hop_length: int,
) -> Iterator[Piece]:
    """The pieces of a model whose output is `late` samples late, each beside the input that it belongs to."""
    before: Piece | None = None
    for piece in reconstruct(followed(blocks, late)):
        if before is not None:
            yield before._replace(estimate=torch.cat([before.estimate[late:], piece.estimate[:late]]))
        before = piece
    if before is None:
        return
    samples = len(before.reference) - late
    frames = -(-samples // hop_length)
    shown = (None if part is None else part[..., :frames] for part in before[2:])
    yield Piece(before.reference[:samples], before.estimate[late:], *shown)


@dataclass(frozen=True)
class Facts:
    """What the report says of the model."""

    kind: str
    """run or model."""
    path: Path
    sample_rate: int
    hop_length: int
    latent_dim: int
    bottleneck: str
    codebook_size: int = 0
    """Of a quantizer whose codes can be seen, else 0."""
    condition: str = "none"
    """Labels of a conditional model: none, class, pitch, class+pitch."""
    classes: tuple[str, ...] = ()
    class_field: str = ""
    """The label that was its class in training; none: the folder, or NSynth's family."""
    name_shift: float | None = None
    """Semitones by which the sounds of training were higher than their names; none where that is not known."""
    frame_hop: int = 0
    """Of a spectrogram model's frames, samples: where it may click; 0 where hop_length is that."""
    details: dict[str, Any] = field(default_factory=dict)
    """Checkpoint or file, steps, commit, the version that wrote it."""


class ModelUnderTest(Protocol):
    """Anything that reconstructs."""

    facts: Facts
    block_samples: int
    """How much sound `reconstruct` takes at once: a multiple of hop_length."""

    def reconstruct(self, blocks: Iterable[np.ndarray], labels: Labels = NONE) -> Iterator[Piece]:
        """One sound as blocks of `block_samples` (the last may be shorter) -> its pieces, in bounded memory;
        the same samples as the whole sound in one go would give. `labels` are told to a conditional model."""

    def encode(self, blocks: Iterable[np.ndarray], labels: Labels = NONE) -> Iterator[Piece]:
        """Pieces with their latents, and the sound itself in place of a reconstruction."""

    def sample(self, count: int, frames: int, seed: int, labels: Sequence[Labels] = ()) -> Tensor | None:
        """Sounds (count, frames * hop_length) drawn from its prior, a conditional model's under these labels in turn;
        none where it has no prior."""

    def upper_bound(self) -> ModelUnderTest | None:
        """What inverts the sounds' own features, where the model works on features; else none."""


def device_of(model: Any) -> torch.device:
    """Where the weights of a network lie; the CPU for one without any."""
    first = next(iter(model.parameters()), None)
    return torch.device("cpu") if first is None else first.device


class Run:
    """A trained autoencoder from its checkpoint, averaged weights, posterior mean, nothing random.

    A long sound is cut into segments that overlap by more than the model remembers, at whole turns of the decoder's
    fixed noise, so that the segments are what the whole would be. (Not exactly so under a pitch label, whose
    oscillators start anew with each segment of half a minute.)
    """

    def __init__(self, model: Autoencoder, facts: Facts, statistics: LatentStatistics | None = None) -> None:
        self.model, self.facts, self.statistics = model, facts, statistics
        turn = self.turn_samples
        self.context = turn * -(-model.receptive_field // turn)
        self.block_samples = turn * max(1, 600_000 // turn)

    @property
    def device(self) -> torch.device:
        """Where it computes; what goes in and comes out is on the CPU."""
        return device_of(self.model)

    @property
    def turn_samples(self) -> int:
        """A long sound may be cut at multiples of this: those of the noise table."""
        from wavevae.nn.noise import TABLE_FRAMES

        return TABLE_FRAMES * self.model.config.fold

    def upper_bound(self) -> ModelUnderTest | None:
        return None

    def condition(self, labels: Labels) -> Condition | None:
        """The labels that the model knows, as its condition; none for an unconditional model."""
        config, facts = self.model.config, self.facts
        if config.condition == "none":
            return None
        name = class_of(labels, facts.class_field)
        known = config.has_class and name is not None and matching(name, config.classes) is not None
        pitch = pitch_of(labels) if config.has_pitch else None
        found = self.model.condition(name if known else None, pitch)
        return None if found is None else found.to(self.device)

    def reconstruct(self, blocks: Iterable[np.ndarray], labels: Labels = NONE) -> Iterator[Piece]:
        def late(blocks: Iterable[np.ndarray]) -> Iterator[Piece]:
            return self._reconstruct(blocks, labels)

        return compensate_latency(late, blocks, self.model.algorithmic_latency, self.facts.hop_length)

    @torch.inference_mode()
    def _reconstruct(self, blocks: Iterable[np.ndarray], labels: Labels) -> Iterator[Piece]:
        for piece, seen, start in self._segments(blocks, labels):
            whole = len(piece.reference) + start
            decoded = self.model.decode(seen.z, whole, self.condition(labels))[0, 0]
            yield piece._replace(estimate=decoded[start:].cpu())

    @torch.inference_mode()
    def encode(self, blocks: Iterable[np.ndarray], labels: Labels = NONE) -> Iterator[Piece]:
        for piece, _, _ in self._segments(blocks, labels):
            yield piece

    def listener(self, condition: Condition | None) -> Callable[[Tensor, int], Tensor]:
        """For one sound, segment by segment: (a segment with its past (T,), how much of it is new) -> what the encoder
        makes of it (1, in_channels, frames)."""
        return lambda sound, new: self.model.features(sound[None, None], condition)

    def _segments(
        self, blocks: Iterable[np.ndarray], labels: Labels
    ) -> Iterator[tuple[Piece, bottleneck_stats.Seen, int]]:
        """Each block as a piece without reconstruction; what is seen of it and its past; samples of the past."""
        listen, hop = self.listener(self.condition(labels)), self.facts.hop_length
        past = torch.zeros(0)
        for block in blocks:
            new = torch.from_numpy(np.ascontiguousarray(block))
            sound = torch.cat([past, new])
            seen = bottleneck_stats.look(self.model.bottleneck, listen(sound.to(self.device), len(new)))
            frames = [None if part is None else part[..., len(past) // hop :].cpu() for part in seen[1:]]
            yield Piece(new, new, *frames), seen, len(past)
            past = sound[-self.context :] if len(sound) >= self.context else sound

    @torch.inference_mode()
    def moved(self, sound: Tensor, labels: Labels, target: Labels) -> Tensor:
        """(T,) encoded under its own labels, decoded under others: (T,)."""
        ahead = self.model.pad_for_latency(sound.to(self.device)[None, None])
        z = self.model.bottleneck.mean(self.model.features(ahead, self.condition(labels)))
        return self.model.compensate_latency(z, len(sound), self.condition(target))[0, 0].cpu()

    @torch.inference_mode()
    def with_slow_level_of(self, sound: Tensor, other: Tensor) -> Tensor:
        """(T,) with what another sound (T,) has on the slow level of a hierarchical bottleneck: (T,)."""
        model, none = self.model, self.condition(NONE)
        both = [model.pad_for_latency(s.to(self.device)[None, None]) for s in (sound, other)]
        z = bottleneck_stats.with_other_top(model.bottleneck, *(model.features(s, none) for s in both))
        return model.compensate_latency(z, len(sound), none)[0, 0].cpu()

    @torch.inference_mode()
    def sample(self, count: int, frames: int, seed: int, labels: Sequence[Labels] = ()) -> Tensor | None:
        if self.statistics is None:
            return None
        rng = np.random.default_rng(seed)
        axes = np.stack([sample_density(self.statistics.density, frames, rng) for _ in range(count)])
        matrix, offset = self.statistics.from_axes()
        z = torch.from_numpy(axes @ matrix.T + offset).float().transpose(1, 2)
        z = z.to(self.device)  # (count, latent_dim, frames)
        told = [self.condition(labels[i % len(labels)]) if labels else None for i in range(count)]
        sounds = [self.model.decode(z[i : i + 1], condition=told[i])[0, 0].cpu() for i in range(count)]
        return torch.stack(sounds)


def learned_shift(origin: Mapping[str, Any]) -> float | None:
    """`Facts.name_shift` from where a model comes from."""
    labels = origin.get("labels")
    found = labels.get("name_shift") if isinstance(labels, Mapping) else None
    return float(found) if isinstance(found, (int, float)) else None
