"""What is evaluated, behind one interface: it reconstructs a stream of sound. Here: a trained run; a MODEL.ts is in
`file_under_test`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor

from wavevae.accelerator import refuse_float64
from wavevae.audio import followed
from wavevae.checkpoint import build_any, find_checkpoint, read_checkpoint
from wavevae.corpus.labels import class_of, pitch_of
from wavevae.evaluation.metrics import kl_per_frame
from wavevae.families import family_of, located
from wavevae.latents import LatentStatistics, sample_density
from wavevae.names import composed, matching
from wavevae.nn.bottlenecks.base import Statistics, codebook_sizes
from wavevae.nn.conditioning import Condition
from wavevae.nn.conv import pad_to_multiple
from wavevae.nn.noise import TABLE_FRAMES
from wavevae.nn.pitch import StreamingPitchTracker
from wavevae.prior import TEMPERATURE

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
    """run or model, of a codec: codec."""
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


def learned_shift(origin: Mapping[str, Any]) -> float | None:
    """`Facts.name_shift` from where a model comes from."""
    labels = origin.get("labels")
    found = labels.get("name_shift") if isinstance(labels, Mapping) else None
    return float(found) if isinstance(found, (int, float)) else None


def device_of(model: Any) -> torch.device:
    """Where the weights of a network lie; the CPU for one without any."""
    first = next(iter(model.parameters()), None)
    return torch.device("cpu") if first is None else first.device


class Run:
    """A trained autoencoder from its checkpoint: averaged weights, posterior mean, nothing random.

    A long sound is cut into segments that overlap by more than the model remembers, at whole turns of the decoder's
    fixed noise, so that the segments are what the whole would be. (Not exactly so under a pitch label, whose
    oscillators start anew with each segment of half a minute.)
    """

    def __init__(self, model: Any, facts: Facts, statistics: LatentStatistics | None = None) -> None:
        """`model`: an `Autoencoder`, or a model of another family with the same methods."""
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
        turn: int = TABLE_FRAMES * self.model.config.fold
        return turn

    def upper_bound(self) -> ModelUnderTest | None:
        return None

    def condition(self, labels: Labels) -> Condition | None:
        """The labels that the model knows, as its condition; none for an unconditional model."""
        config = self.model.config
        if config.condition == "none":
            return None
        name = class_of(labels, self.facts.class_field)
        known = config.has_class and name is not None and matching(name, config.classes) is not None
        pitch = pitch_of(labels) if config.has_pitch else None
        found: Condition | None = self.model.condition(name if known else None, pitch)
        return None if found is None else found.to(self.device)

    def seen(self, hidden: Tensor) -> Statistics:
        """What there is to see of the encoder's output (1, in_channels, frames), with the KL of any posterior."""
        found: Statistics = self.model.bottleneck.statistics(hidden)
        if found.log_variance is None:
            return found
        learned = found.latents[-len(found.log_variance) :]
        return found._replace(kl=kl_per_frame(learned, found.log_variance))

    def reconstruct(self, blocks: Iterable[np.ndarray], labels: Labels = NONE) -> Iterator[Piece]:
        def late(blocks: Iterable[np.ndarray]) -> Iterator[Piece]:
            return self._reconstruct(blocks, labels)

        return compensate_latency(late, blocks, self.model.algorithmic_latency, self.facts.hop_length)

    @torch.inference_mode()
    def _reconstruct(self, blocks: Iterable[np.ndarray], labels: Labels) -> Iterator[Piece]:
        for piece, z, start in self._segments(blocks, labels):
            whole = len(piece.reference) + start
            decoded = self.model.decode(z, whole, self.condition(labels))[0, 0]
            yield piece._replace(estimate=decoded[start:].cpu())

    @torch.inference_mode()
    def encode(self, blocks: Iterable[np.ndarray], labels: Labels = NONE) -> Iterator[Piece]:
        for piece, _, _ in self._segments(blocks, labels):
            yield piece

    def segment_encoder(self, condition: Condition | None) -> Callable[[Tensor, int], Tensor]:
        """For one sound, segment by segment: (a segment with its past (T,), how much of it is new) -> the encoder's
        output (1, in_channels, frames)."""
        return lambda sound, new: self.model.features(sound[None, None], condition)

    def _segments(self, blocks: Iterable[np.ndarray], labels: Labels) -> Iterator[tuple[Piece, Tensor, int]]:
        """Each block as a piece without reconstruction; z of it and its past; samples of the past."""
        encode_segment, hop = self.segment_encoder(self.condition(labels)), self.facts.hop_length
        past = torch.zeros(0)
        for block in blocks:
            new = torch.from_numpy(np.ascontiguousarray(block))
            sound = torch.cat([past, new])
            seen = self.seen(encode_segment(sound.to(self.device), len(new)))
            parts = (seen.latents, seen.kl, seen.codes)
            frames = [None if part is None else part[..., len(past) // hop :].cpu() for part in parts]
            yield Piece(new, new, *frames), seen.z, len(past)
            past = sound[-self.context :] if len(sound) >= self.context else sound

    @torch.inference_mode()
    def moved(self, sound: Tensor, labels: Labels, target: Labels) -> Tensor:
        """(T,) encoded under its own labels, decoded under others: (T,)."""
        ahead = self.model.pad_for_latency(sound.to(self.device)[None, None])
        z = self.model.encode(ahead, condition=self.condition(labels))
        return self._in_place(z, len(sound), target)

    def _in_place(self, z: Tensor, length: int, labels: Labels) -> Tensor:
        """(1, latent_dim, frames) -> (length,) at the place of what was encoded."""
        sound: Tensor = self.model.compensate_latency(z, length, self.condition(labels))[0, 0]
        return sound.cpu()

    @torch.inference_mode()
    def with_slow_level_of(self, sound: Tensor, other: Tensor) -> Tensor:
        """(T,) with what another sound (T,) has on the slow level of a hierarchical bottleneck: (T,)."""
        model, condition = self.model, self.condition(NONE)
        both = [model.pad_for_latency(s.to(self.device)[None, None]) for s in (sound, other)]
        z = model.bottleneck.with_top_latents_of(*(model.features(s, condition) for s in both))
        return self._in_place(z, len(sound), NONE)

    @torch.inference_mode()
    def sample(self, count: int, frames: int, seed: int, labels: Sequence[Labels] = ()) -> Tensor | None:
        if self.statistics is None:
            return None
        rng = np.random.default_rng(seed)
        axes = np.stack([sample_density(self.statistics.density, frames, rng) for _ in range(count)])
        matrix, offset = self.statistics.from_axes()
        z = torch.from_numpy(axes @ matrix.T + offset).float().transpose(1, 2)
        z = z.to(self.device)  # (count, latent_dim, frames)
        conditions = [self.condition(labels[i % len(labels)]) if labels else None for i in range(count)]
        sounds = [self.model.decode(z[i : i + 1], condition=conditions[i])[0, 0].cpu() for i in range(count)]
        return torch.stack(sounds)


TURN_FRAMES = 256
"""A long sound through an instrument is cut at multiples of this, and of the groups of slow latents."""


class InstrumentRun(Run):
    """A trained instrument: averaged weights, posterior mean, its own `life`.

    Segments overlap by what the encoder's convolutions see; the pitch tracker streams, and the decoder goes on from the
    state (pitch, phase, noise and drift) that the segment before has left.
    """

    @property
    def turn_samples(self) -> int:
        config = self.model.config
        turn: int = max(TURN_FRAMES, config.top_every) * config.hop_length
        return turn

    @torch.inference_mode()
    def _reconstruct(self, blocks: Iterable[np.ndarray], labels: Labels) -> Iterator[Piece]:
        model, condition, state = self.model, self.condition(labels), None
        for piece, z, start in self._segments(blocks, labels):
            sound, state = model.decoder(z[..., start // model.hop_length :], condition, model.life, state)
            yield piece._replace(estimate=sound[0, 0, : len(piece.reference)].cpu())

    def segment_encoder(self, condition: Condition | None) -> Callable[[Tensor, int], Tensor]:
        model = self.model
        if model.encoder.tracker is None:
            return super().segment_encoder(condition)
        tracker = StreamingPitchTracker(model.encoder.tracker).to(self.device)
        kept = torch.zeros(1, 2, 0, device=self.device)

        def encode_segment(sound: Tensor, new: int) -> Tensor:
            nonlocal kept
            fresh = pad_to_multiple(sound[None, None, len(sound) - new :], model.hop_length)[:, 0]
            track = torch.cat([kept, tracker(fresh)], 2)
            kept = track[..., -(self.context // model.hop_length) :]
            hidden: Tensor = model.features(sound[None, None], condition, track)
            return hidden

        return encode_segment

    @torch.inference_mode()
    def sample(self, count: int, frames: int, seed: int, labels: Sequence[Labels] = ()) -> Tensor | None:
        """Improvised, where the instrument has a prior; else drawn from the density of its latents."""
        prior = self.model.prior
        if prior is None:
            return super().sample(count, frames, seed, labels)
        conditions = [self.condition(labels[i % len(labels)]) if labels else None for i in range(count)]
        told = torch.zeros(count, prior.performer.features.classes)
        for row, condition in zip(told, conditions, strict=True):
            if condition is not None and len(row):
                row.copy_(condition.classes[0])
        seeds = seed + torch.arange(count, dtype=torch.float32)
        start = prior.initial(count, torch.zeros(1))
        z = prior.improvise(frames, told, TEMPERATURE, 1.0, 0.0, 127.0, seeds, start)[0].to(self.device)
        sounds = [self.model.decode(z[i : i + 1], condition=conditions[i])[0, 0].cpu() for i in range(count)]
        return torch.stack(sounds)

    @torch.inference_mode()
    def moved(self, sound: Tensor, labels: Labels, target: Labels) -> Tensor:
        """(T,) encoded under its own labels, played under others: a pitch label is the pitch that is played."""
        config = self.model.config
        z = self.model.encode(
            self.model.pad_for_latency(sound.to(self.device)[None, None]), condition=self.condition(labels)
        )
        pitch = pitch_of(target)
        if pitch is not None and config.has_pitch and config.has_oscillator_pitch:
            z[:, 0] = pitch
        return self._in_place(z, len(sound), target)


def load_run(path: Path, which: str, device: torch.device | None = None) -> Run:
    """A run folder or .ckpt, to compute on `device` (none: the CPU). Raises: UserError where it is none."""
    found = find_checkpoint(path, which)
    checkpoint = read_checkpoint(found)
    details = {
        "checkpoint": str(found),
        "step": checkpoint.step,
        "audio_seconds_trained": round(checkpoint.audio_s, 1),
        "trained_with": checkpoint.wavevae_version,
        "commit": checkpoint.origin.get("commit"),
    }
    if device is not None:
        refuse_float64(device, checkpoint.config.model)
    model = build_any(checkpoint).to(device or "cpu")
    details["parameters"] = sum(p.numel() for p in model.parameters())
    shape = model.config
    facts = Facts(
        "run",
        path,
        shape.sample_rate,
        model.hop_length,
        model.latent_dim,
        shape.bottleneck,
        codebook_size=max(codebook_sizes(shape), default=0),
        condition=shape.condition,
        classes=tuple(map(composed, shape.classes)),
        class_field=checkpoint.config.data.class_field,
        name_shift=learned_shift(checkpoint.origin),
        details=details,
    )
    statistics = LatentStatistics.from_dict(checkpoint.latents) if checkpoint.latents else None
    run: Run = located(family_of(checkpoint.config).evaluation)(model, facts, statistics)
    return run
