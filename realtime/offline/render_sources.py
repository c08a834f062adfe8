"""The sources that `render` plays: a sound, a list of latents, an interpolation between two sounds, a draw from the
density.

A `Take` is a source of latents, the blocks that the engine computes, and the length in samples.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from wavevae.audio import printable
from wavevae.bundle import Bundle
from wavevae.console import say
from wavevae.controls import NO_LABEL
from wavevae.corpus_profile import CorpusProfile, known_pitch
from wavevae.errors import UserError
from wavevae.latents import DensitySampler
from wavevae.transfer import chosen_fit, fit_latents, transposition
from wavevae.units import frames_to_samples, seconds_to_samples

from ..engine.latent_sources import DensitySource, EncodedInput, FrameList, FrameSource, NoisySource
from ..engine.streaming_model import Frames, StreamingModel, Units
from .label_options import End
from .latent_files import open_latents, read_frames
from .pipeline import BLOCK_FRAMES, blocks_of, length_at

Block = tuple[int, NDArray[np.float32] | None]
"""Samples to render, and the input to hear if there is any."""


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
"""An input whose middle loudness is so far from the corpus' is told of --fit."""


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
        heard = self.profile.measure(frames)
        semitones = transposition(heard, self.profile, self.transpose)
        if self.profile.pitch and heard.frames and not heard.pitch:
            say(f"{name}: no pitch was found in it; the tracker's resting pitch is played")
        elif semitones and self.transpose == "auto":
            say(f"{name}: transposed by {semitones:+g} semitones into the corpus' range (--transpose 0: not)")
        if self.fit == "auto" and chosen_fit(self.fit, heard, self.profile):
            say(f"{name}: foreign to the corpus, its loudness and timbre are fitted to it (--fit 0: not)")
        if not self.fit and abs(heard.louder_than(self.profile)) > FAR_DB:
            how = "louder" if heard.louder_than(self.profile) > 0 else "quieter"
            say(
                f"{name}: {abs(heard.louder_than(self.profile)):.0f} dB {how} than the corpus; "
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
        heard = NoisySource(EncodedInput(core.encode, info.hop_length), seed, info.frame_rate)
        return Take(heard, blocks_of(sound, info.sample_rate, info.hop_length, late), samples, late)
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
    told = ends != (End(), End())
    whole = samples + late
    blocks = told_on_the_way(core, bundle, ends, whole) if told else cut(whole, info.hop_length)
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


def told_on_the_way(
    core: StreamingModel, bundle: Bundle, ends: tuple[End, End], samples: int
) -> Iterator[Block]:
    """Blocks before each of which the model is told the labels of that place: shares of the classes, or the nearer
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
