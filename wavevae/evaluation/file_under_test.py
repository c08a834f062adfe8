"""A MODEL.ts under evaluation, ours or another program's: streamed as a host would, with its labels; and what is
evaluated from its path, a run or a file."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from wavevae.bundle import Bundle, read_bundle
from wavevae.corpus.labels import class_of, pitch_of
from wavevae.evaluation.model_under_test import (
    NONE,
    Facts,
    Labels,
    ModelUnderTest,
    Piece,
    Run,
    compensate_latency,
    learned_shift,
    load_run,
)
from wavevae.instruments import model_file
from wavevae.latents import sample_density
from wavevae.prior import TEMPERATURE

NO_LABEL, NO_PITCH, AS_PLAYED = -1, -1.0, -2
"""What the attributes of a conditional file take; AS_PLAYED: what comes in has the labels of what goes out."""


class FilePlayback:
    """The scripted module of a file: one channel in and out, its state cleared, its labels set."""

    def __init__(self, bundle: Bundle, class_field: str = "") -> None:
        self.module: Any = bundle.module
        self.foreign, self.class_field = bundle.foreign, class_field
        self.classes = tuple(bundle.info.labels.get("class", ()))
        self.has_pitch = "pitch" in bundle.info.labels
        self.inputs = int(self.module.encode_params[0]) if hasattr(self.module, "encode_params") else 1
        has_reset = hasattr(self.module, "reset")
        self.loaded = {} if has_reset else {name: b.clone() for name, b in self.module.named_buffers()}

    def reset(self, labels: Labels = NONE) -> None:
        """Forget the past; from now on these labels hold, as in training: what is not known is not told."""
        self.set_labels(labels)
        if not self.loaded:
            self.module.reset()
        for name, buffer in self.module.named_buffers():
            if name in self.loaded and buffer.shape == self.loaded[name].shape:
                buffer.copy_(self.loaded[name])
        if self.foreign:
            torch.manual_seed(0)  # its decoder may draw noise: the same sound, the same figures

    def set_labels(self, labels: Labels) -> None:
        if self.classes:
            name = class_of(labels, self.class_field)
            self.module.set_class(self.classes.index(name) if name in self.classes else NO_LABEL)
            self.module.set_input_class(AS_PLAYED)
        if self.has_pitch:
            pitch = pitch_of(labels)
            self.module.set_pitch(NO_PITCH if pitch is None else pitch)
            self.module.set_input_pitch(float(AS_PLAYED))

    def encode(self, sound: Tensor) -> Tensor:
        """(1, 1, a whole number of hops) -> (1, latent_dim, frames)."""
        return self.module.encode(sound.expand(1, self.inputs, -1).contiguous()).float()  # type: ignore[no-any-return]

    def decode(self, latents: Tensor) -> Tensor:
        """(1, latent_dim, frames) -> (1, 1, samples), several channels mixed."""
        made: Tensor = self.module.decode(latents)
        return made.mean(1, keepdim=True).float() if made.shape[1] > 1 else made.float()

    @torch.inference_mode()
    def delay_samples(self, sample_rate: int, hop_length: int) -> int | None:
        """By how much decode(encode(x)) of a file that does not say it lags, from the loudness of bursts of noise;
        none where the output does not follow them."""
        rng = np.random.default_rng(0)
        slot = round(BURST_S * sample_rate)
        gates = np.repeat(rng.random(round(PROBE_S / BURST_S)) < 0.4, slot)
        bursts = 0.3 * gates * rng.standard_normal(len(gates))
        probe = np.concatenate([bursts, np.zeros(round(LONGEST_DELAY_S * sample_rate))]).astype(np.float32)
        probe = np.pad(probe, (0, -len(probe) % hop_length))
        self.reset()
        made = self.decode(self.encode(torch.from_numpy(probe)[None, None]))[0, 0].numpy()
        loud, heard = envelope(probe), envelope(made[: len(probe)])
        lags = np.arange(round(LONGEST_DELAY_S * sample_rate) // ENVELOPE_SAMPLES)
        kept = len(loud) - len(lags)
        alike = [np.corrcoef(loud[:kept], heard[lag : lag + kept])[0, 1] for lag in lags]
        best = int(np.nan_to_num(alike, nan=-1.0).argmax())
        return best * ENVELOPE_SAMPLES if alike[best] > FOLLOWS else None


BURST_S, PROBE_S, LONGEST_DELAY_S = 0.06, 6.0, 1.0
ENVELOPE_SAMPLES = 32
FOLLOWS = 0.5
"""Correlation of the levels from which a file's output is taken to follow its input."""


def envelope(sound: np.ndarray) -> np.ndarray:
    """(samples,) -> the RMS of every ENVELOPE_SAMPLES, smoothed over a burst's rise."""
    frames = sound[: len(sound) // ENVELOPE_SAMPLES * ENVELOPE_SAMPLES].reshape(-1, ENVELOPE_SAMPLES)
    level: np.ndarray = np.convolve(np.sqrt((frames**2).mean(1)), np.ones(5) / 5, "same")
    return level


class Model:
    """A MODEL.ts as a subject: its state carries over from block to block."""

    def __init__(self, bundle: Bundle, facts: Facts) -> None:
        self.bundle, self.facts = bundle, facts
        self.playback = FilePlayback(bundle, facts.class_field)
        self.late = bundle.info.algorithmic_latency_samples
        """Samples by which an answer is behind its question."""
        self.block_samples = facts.hop_length * max(1, 65_536 // facts.hop_length)

    def reconstruct(self, blocks: Iterable[np.ndarray], labels: Labels = NONE) -> Iterator[Piece]:
        def late(blocks: Iterable[np.ndarray]) -> Iterator[Piece]:
            return self._pieces(blocks, labels, decode=True)

        return compensate_latency(late, blocks, self.late, self.facts.hop_length)

    def encode(self, blocks: Iterable[np.ndarray], labels: Labels = NONE) -> Iterator[Piece]:
        return self._pieces(blocks, labels, decode=False)

    @torch.inference_mode()
    def _pieces(self, blocks: Iterable[np.ndarray], labels: Labels, decode: bool) -> Iterator[Piece]:
        self.playback.reset(labels)
        for block in blocks:
            new = torch.from_numpy(np.ascontiguousarray(block))
            padded = torch.nn.functional.pad(new, (0, -len(new) % self.facts.hop_length))
            latents = self.playback.encode(padded[None, None])  # encode, then decode, is forward
            made = self.playback.decode(latents)[0, 0, : len(new)] if decode else new
            yield Piece(new, made, latents[0])

    def upper_bound(self) -> ModelUnderTest | None:
        return None

    @torch.inference_mode()
    def sample(self, count: int, frames: int, seed: int, labels: Sequence[Labels] = ()) -> Tensor | None:
        module: Any = self.bundle.module
        if hasattr(module, "set_prior_seed"):
            return self.improvised(module, count, frames, seed, labels)
        if not self.bundle.info.density:
            return None
        rng, sounds = np.random.default_rng(seed), []
        for number in range(count):
            axes = sample_density(self.bundle.info.density, frames, rng)
            self.playback.reset(labels[number % len(labels)] if labels else NONE)
            sounds.append(self.playback.decode(torch.from_numpy(axes.T.copy())[None])[0, 0])
        return torch.stack(sounds)

    def improvised(self, module: Any, count: int, frames: int, seed: int, labels: Sequence[Labels]) -> Tensor:
        """By the method `prior` of the file, one seed a sound: (count, samples)."""
        before, sounds = module.get_prior_seed()[0], []
        for number in range(count):
            module.set_prior_seed(seed + number)
            self.playback.reset(labels[number % len(labels)] if labels else NONE)
            latents = module.prior(torch.full((1, 1, frames), TEMPERATURE))
            sounds.append(self.playback.decode(latents)[0, 0])
        module.set_prior_seed(before)
        return torch.stack(sounds)


def load_file(path: Path, sample_rate: int | None = None) -> Model:
    """A MODEL.ts; `sample_rate` is for one of another program, which may not say it. Raises: UserError."""
    bundle = read_bundle(path, sample_rate)
    info = bundle.info
    told = [kind for kind in ("class", "pitch") if kind in info.labels]
    learned = info.origin.get("labels")
    facts = Facts(
        "model",
        path,
        info.sample_rate,
        info.hop_length,
        info.latent_dim,
        info.bottleneck,
        condition="+".join(told) or "none",
        classes=tuple(info.labels.get("class", ())),
        class_field=str(learned.get("field", "")) if isinstance(learned, dict) else "",
        name_shift=learned_shift(info.origin),
        details={"streaming_error": info.streaming_error, **info.origin},
    )
    model = Model(bundle, facts)
    if bundle.foreign:
        found = model.playback.delay_samples(info.sample_rate, info.hop_length)
        model.late = found or 0
        words = "and none could be measured: 0 is taken" if found is None else f"measured: {found} samples"
        facts.details["delay"] = f"a file of another program does not say its delay, {words}"
    return model


def load_model_under_test(
    path: Path, which: str = "best", sample_rate: int | None = None, device: torch.device | None = None
) -> Run | Model:
    """RUN, a .ckpt, or MODEL.ts; `sample_rate` of a file that does not say its own. A file computes on the CPU, where
    it is played, a run on `device`. Raises: UserError."""
    path = model_file(path, runs=True)
    if path.is_dir() or path.suffix == ".ckpt":
        return load_run(path, which, device)
    return load_file(path, sample_rate)
