"""The sources that `render` plays: a sound, a list of latents or codes, the way between two sounds, draws from the
density; and what `render` and `encode` share: loading the model, sounds in whole hops, the closing report.

A `Take` is a source of latents, the blocks that the engine computes, and the length in samples.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from wavevae.audio import followed, probe, stream_mono
from wavevae.bundle import Bundle, read_bundle, use_one_thread
from wavevae.console import say
from wavevae.controls import NO_LABEL
from wavevae.corpus_profile import CorpusProfile, known_pitch
from wavevae.errors import UserError
from wavevae.files import printable
from wavevae.instruments import model_file
from wavevae.latents import DensitySampler
from wavevae.transfer import chosen_fit, fit_latents, transposition
from wavevae.units import (
    amplitude_to_db,
    format_seconds,
    frames_to_samples,
    resampled_length,
    seconds_to_samples,
)

from ..engine.engine import Engine, Limiter
from ..engine.latent_sources import DensitySource, EncodedInput, FrameList, FrameSource, NoisySource
from ..engine.streaming_model import CodesModel, Frames, StreamingModel, Units
from .label_options import End
from .latent_files import CHECKED_AT_ONCE, open_latents, read_frames

BLOCK_FRAMES = 64
"""Latent frames a call, always: the same cut gives the same bytes."""


def load_offline(path: Path, sample_rate: int | None = None) -> Bundle:
    """The model, on one thread: the same sums in the same order. Raises: UserError."""
    path = model_file(path)
    use_one_thread()
    bundle = read_bundle(path, sample_rate)
    if sample_rate not in (None, bundle.info.sample_rate):
        raise UserError(
            f"--sr {sample_rate}: {path} is a model of {bundle.info.sample_rate} Hz; leave --sr out"
        )
    return bundle


def length_at(path: Path, sample_rate: int) -> int:
    """Samples of a sound file at the model's rate; says so when that is not its own. Raises: UserError."""
    found = probe(path)
    if found.sample_rate != sample_rate:
        say(f"{printable(path)}: {found.sample_rate} Hz, converted to the model's {sample_rate} Hz")
    return resampled_length(found.frames, found.sample_rate, sample_rate)


def blocks_of(
    path: Path, sample_rate: int, hop_length: int, more: int = 0
) -> Iterator[tuple[int, NDArray[np.float32]]]:
    """A sound and `more` silence in blocks: how many samples are its own, and these with silence up to a whole hop."""
    for block in followed(stream_mono(path, sample_rate, BLOCK_FRAMES * hop_length), more):
        yield len(block), np.pad(block, (0, -len(block) % hop_length))


def encode_file(core: StreamingModel, path: Path) -> Iterator[tuple[int, Frames]]:
    """A sound's latents, piece by piece, from a cleared state: (samples encoded, (F, latent_dim))."""
    core.reset()
    for samples, block in blocks_of(path, core.sample_rate, core.hop_length):
        yield samples, core.encode(block)


def report(
    arguments: argparse.Namespace, engine: Engine, samples: int, speed: float, limiter: Limiter | None = None
) -> str:
    """The last line, and what went wrong; `limiter`: of a mix, instead of the engine's."""
    lines = []
    limiter = limiter or engine.limiter
    if limiter.limited:
        over = amplitude_to_db(limiter.peak)
        lines.append(
            f"{limiter.limited} samples limited (up to {over:.1f} dB over full scale): "
            f"render again with --gain {arguments.gain - over - 0.05:.1f}"
        )
    if engine.broken:
        lines.append(f"{engine.broken} samples were not finite and are silent: these latents break the model")
    length = format_seconds(samples / engine.sample_rate)
    lines.append(
        f"wrote {arguments.out}: {length} ({samples} samples) at {engine.sample_rate} Hz, {speed:.0f}x real time"
    )
    return "\n".join(lines)


Block = tuple[int, NDArray[np.float32] | None]
"""Samples to render, and the input block if there is any."""


@dataclass(frozen=True)
class Take:
    """Something to render."""

    source: FrameSource
    blocks: Iterator[Block]
    samples: int
    """In all (a damaged file may end before)."""
    late: int = 0
    """Samples rendered before that are not wanted: those by which the model is late."""


def cut(samples: int, hop_length: int) -> Iterator[Block]:
    """Blocks without input, of BLOCK_FRAMES each but the last."""
    size = frames_to_samples(BLOCK_FRAMES, hop_length)
    for start in range(0, samples, size):
        yield min(size, samples - start), None


FAR_DB = 10.0
"""An input whose middle loudness is so far from the corpus' prompts a hint at --fit."""


@dataclass(frozen=True)
class Fitting:
    """How far a sound that comes in is fitted to an instrument's corpus; see wavevae.transfer."""

    profile: CorpusProfile
    transpose: float | str
    """Semitones, or "auto"."""
    fit: float | str
    """0 to 1, or "auto"."""

    def apply(self, frames: Frames, name: str) -> Frames:
        """(F, latent_dim) of a whole sound, fitted; `name` is for what is said of it."""
        measured = self.profile.measure(frames)
        semitones = transposition(measured, self.profile, self.transpose)
        if self.profile.pitch and measured.frames and not measured.pitch:
            say(f"{name}: no pitch was found in it; the tracker's resting pitch is played")
        elif semitones and self.transpose == "auto":
            say(f"{name}: transposed by {semitones:+g} semitones into the corpus' range (--transpose 0: not)")
        if self.fit == "auto" and chosen_fit(self.fit, measured, self.profile):
            say(f"{name}: foreign to the corpus, its loudness and timbre are fitted to it (--fit 0: not)")
        if not self.fit and abs(measured.louder_than(self.profile)) > FAR_DB:
            how = "louder" if measured.louder_than(self.profile) > 0 else "quieter"
            say(
                f"{name}: {abs(measured.louder_than(self.profile)):.0f} dB {how} than the corpus; "
                "--fit 1 brings loudness and timbre there"
            )
        return fit_latents(frames, self.profile, self.transpose, self.fit)


def transfer(
    core: StreamingModel, bundle: Bundle, sound: Path, seed: int, fitting: Fitting | None = None
) -> Take:
    """The model's own version of a sound: as long, and aligned with it; fitted, it is encoded as a whole before."""
    info = bundle.info
    samples = length_at(sound, info.sample_rate)
    late = info.algorithmic_latency_samples
    if fitting is None:
        measured = NoisySource(EncodedInput(core.encode, info.hop_length), seed, info.frame_rate)
        return Take(measured, blocks_of(sound, info.sample_rate, info.hop_length, late), samples, late)
    frames = fitting.apply(encode_whole(core, sound, late), printable(sound))
    source = NoisySource(listed(core, partial(read_frames, frames)), seed, info.frame_rate)
    return Take(source, cut(samples + late, info.hop_length), samples, late)


def encode_whole(core: StreamingModel, sound: Path, more: int = 0) -> Frames:
    """The latents of a sound followed by `more` samples of silence, (F, latent_dim) in the file's units."""
    core.reset()
    blocks = blocks_of(sound, core.sample_rate, core.hop_length, more)
    return core.units.of_file(np.concatenate([core.encode(block) for _, block in blocks]))


def listed(core: StreamingModel, read: Callable[[int, int], Frames]) -> FrameList:
    """Frames in the file's units, `read(start, count)`, for the engine."""
    return FrameList(lambda start, count: core.units.standard(read(start, count)))


def from_list(bundle: Bundle, path: Path, seed: int) -> Take:
    """Latents from a file, in the units of the model's own: frames x hop_length samples. Raises: UserError."""
    latents, units = open_latents(path, bundle.info.latent_dim), Units(bundle.info)
    samples = frames_to_samples(len(latents), bundle.info.hop_length)
    source = NoisySource(
        FrameList(lambda start, count: units.standard(read_frames(latents, start, count))),
        seed,
        bundle.info.frame_rate,
    )
    return Take(source, cut(samples, bundle.info.hop_length), samples)


def from_codes(core: CodesModel, path: Path) -> Take:
    """Codes from a file: frames x hop_length samples. Raises: UserError for numbers that are no codes."""
    codes = open_latents(path, core.latent_dim)
    for start in range(0, len(codes), CHECKED_AT_ONCE):
        refuse_others(codes[start : start + CHECKED_AT_ONCE], core, path, start)
    source = FrameList(lambda start, count: read_frames(codes, start, count))
    return Take(source, cut(len(codes) * core.hop_length, core.hop_length), len(codes) * core.hop_length)


def refuse_others(codes: NDArray, core: CodesModel, path: Path, first: int) -> None:
    """Raises: UserError for what is no whole number of its codebook."""
    coded = codes[:, core.uncoded :]
    fine = (coded >= 0) & (coded < np.array(core.sizes)) & (coded == np.rint(coded))
    if not fine.all():
        frame, book = (int(n[0]) for n in np.nonzero(~fine))
        raise UserError(
            f"{printable(path)}: frame {first + frame} has {coded[frame, book]:g} for code {book + 1}; codes are whole "
            f"numbers from 0 to {core.sizes[book] - 1}"
        )


def draw(bundle: Bundle, seconds: float, seed: int) -> Take:
    """Latents drawn from the density of the training latents. Raises: UserError where the model has none."""
    samples = seconds_to_samples(seconds, bundle.info.sample_rate)
    if samples < 1:
        raise UserError(f"--seconds {seconds}: less than one sample; use more")
    try:
        sampler = DensitySampler(bundle.info.density, np.random.default_rng(seed))
    except (ValueError, KeyError) as error:
        raise UserError(
            f"{printable(bundle.path)} holds no density to sample from ({error}); export it again"
        ) from None
    return Take(DensitySource(sampler, bundle.info.frame_rate), cut(samples, bundle.info.hop_length), samples)


def morph(
    core: StreamingModel,
    bundle: Bundle,
    sounds: Sequence[Path],
    seed: int,
    ends: tuple[End, End] = (End(), End()),
    fitting: Fitting | None = None,
) -> Take:
    """From one sound to another, as long as the longer.

    The latents of the shorter are stretched in time (its pitch stays) so that both begin and end together; the
    mix goes straight from all first to all second. Between two latents, in time or in the mix, lies a line: an
    instrument's pitch glides in semitones, its loudness in dB.
    """
    info = bundle.info
    samples = max(length_at(path, info.sample_rate) for path in sounds)
    a, b = (end_frames(core, bundle, *one, fitting) for one in zip(sounds, ends, strict=True))
    if info.is_instrument and info.axes[0].name == "pitch":
        a, b = voiced(a, b)
        for frames, end in zip((a, b), ends, strict=True):
            if end.pitch is not None:
                frames[:, 0] = end.pitch
    source = NoisySource(listed(core, partial(mixed, a, b)), seed, info.frame_rate)
    late = 0 if info.is_instrument else info.algorithmic_latency_samples
    labelled = ends != (End(), End())
    whole = samples + late
    blocks = labelled_blocks(core, bundle, ends, whole) if labelled else cut(whole, info.hop_length)
    return Take(source, blocks, samples, late)


def end_frames(
    core: StreamingModel, bundle: Bundle, sound: Path, end: End, fitting: Fitting | None
) -> Frames:
    """Latents of one end (F, latent_dim), encoded under its own labels; an instrument's begin where the sound does, a
    codec's go on until all of the sound has come out."""
    info = bundle.info
    if end.label is not None:
        core.set("class", end.label)
    if end.pitch is not None and not info.is_instrument:
        core.set("pitch", end.pitch)
    late = info.algorithmic_latency_samples
    if not info.is_instrument:
        return encode_whole(core, sound, late)
    frames = encode_whole(core, sound, late)[late // info.hop_length :]
    if fitting is None:
        return frames
    own_pitch = fitting if end.pitch is None else replace(fitting, transpose=0.0)
    return own_pitch.apply(frames, printable(sound))


def voiced(a: Frames, b: Frames) -> tuple[Frames, Frames]:
    """Latents of two sounds whose pitch, where there is none, is that of the nearest voiced frames; of a sound
    without any, the other's mean."""
    pitches = [known_pitch(frames) for frames in (a, b)]
    means = [None if pitch is None else float(pitch.mean()) for pitch in pitches]
    filled = []
    for frames, pitch, other in zip((a, b), pitches, means[::-1], strict=True):
        copy = frames.copy()
        if pitch is not None:
            copy[:, 0] = pitch
        elif other is not None:
            copy[:, 0] = other
        filled.append(copy)
    return filled[0], filled[1]


GLIDE_FRAMES = 4
"""Latent frames between two steps of labels on the way from one sound to another."""


def labelled_blocks(
    core: StreamingModel, bundle: Bundle, ends: tuple[End, End], samples: int
) -> Iterator[Block]:
    """Blocks before each of which the labels of that place are set: shares of the classes, or the nearer
    end's where it takes only one; pitch on a line, unless it is a latent."""
    info = bundle.info
    size = frames_to_samples(GLIDE_FRAMES, info.hop_length)
    first, last = ends
    for start in range(0, samples, size):
        count = min(size, samples - start)
        share = (start + count / 2) / samples
        if first.label is not None and last.label is not None:
            if first.label != last.label and hasattr(core.module, "mix_classes"):
                weights = np.zeros(len(info.labels["class"]))
                for label, weight in ((first.label, 1 - share), (last.label, share)):
                    weights[label] += weight if label != NO_LABEL else 0.0
                core.mix(weights)
            else:
                core.set("class", first.label if share < 0.5 else last.label)
        if first.pitch is not None and last.pitch is not None and not info.is_instrument:
            core.set("pitch", (1 - share) * first.pitch + share * last.pitch)
        yield count, None


def mixed(a: Frames, b: Frames, start: int, count: int) -> Frames:
    """Frames start to start + count of the way from `a` (Fa, D) to `b` (Fb, D), which has max(Fa, Fb) frames."""
    place = (start + np.arange(count)) / max(len(a) - 1, len(b) - 1, 1)  # 0 first frame, 1 last
    share = place[:, None]
    return ((1 - share) * stretched(a, place) + share * stretched(b, place)).astype(np.float32)


def stretched(frames: Frames, place: NDArray[np.float64]) -> NDArray[np.float64]:
    """(F, D) read at places 0 (its first frame) to 1 (its last), on lines between frames: (len(place), D)."""
    at = np.clip(place, 0, 1) * (len(frames) - 1)
    before = np.floor(at).astype(np.int64)
    after = np.minimum(before + 1, len(frames) - 1)
    share = (at - before)[:, None]
    return (1 - share) * frames[before] + share * frames[after]
