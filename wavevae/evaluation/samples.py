"""Per-sample folders, as study A left them: sample_{id}_class_{label}/{gt.wav, recon.wav, gen.wav, spectrograms.png}.

gt.wav is the beginning of a file as the model hears it, recon.wav what the model makes of it, gen.wav a draw from the
density of the training latents under the file's own labels, as long as gt.wav.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from wavevae import audio, plots
from wavevae.corpus.labels import class_of
from wavevae.errors import UserError
from wavevae.evaluation.excerpts import WHOLE_S
from wavevae.evaluation.model_under_test import ModelUnderTest
from wavevae.evaluation.selection import Source, between, sound
from wavevae.units import samples_to_frames, seconds_to_samples


@dataclass(frozen=True)
class Sample:
    """One file, (samples,) each."""

    name: str
    label: str
    truth: np.ndarray
    reconstruction: np.ndarray
    generated: np.ndarray | None
    """None where the model has no density to draw from."""


def take(subject: ModelUnderTest, sources: Sequence[Source], count: int) -> list[Sample]:
    """At most `count` files, spread evenly over all; files that cannot be read are left out."""
    spread = np.linspace(0, len(sources) - 1, min(count, len(sources))).round().astype(int)
    made = [of_file(subject, sources[int(place)], number) for number, place in enumerate(spread)]
    return [one for one in made if one is not None]


def of_file(subject: ModelUnderTest, source: Source, seed: int) -> Sample | None:
    """The first WHOLE_S of a file; none for one that cannot be read, or is empty."""
    facts = subject.facts
    most = seconds_to_samples(WHOLE_S, facts.sample_rate)
    blocks = sound(source, facts.sample_rate, subject.block_samples)
    try:
        pieces = list(subject.reconstruct(between(blocks, 0, most), source.labels))
    except UserError:
        return None
    if not pieces:
        return None
    truth = np.concatenate([piece.reference.numpy() for piece in pieces])
    frames = samples_to_frames(len(truth), facts.hop_length)
    drawn = subject.sample(1, frames, seed, [source.labels])
    generated = None if drawn is None else drawn[0, : len(truth)].numpy()
    made = np.concatenate([piece.estimate.numpy() for piece in pieces])
    return Sample(source.name, class_of(source.labels, facts.class_field) or "none", truth, made, generated)


def write(folder: Path, samples: Sequence[Sample], sample_rate: int) -> None:
    """A folder each; nothing where there are none."""
    for number, sample in enumerate(samples):
        label = re.sub(r"[^A-Za-z0-9._-]+", "-", sample.label)
        place = folder / f"sample_{number}_class_{label}"
        sounds = {"gt": sample.truth, "recon": sample.reconstruction, "gen": sample.generated}
        there = {name: heard for name, heard in sounds.items() if heard is not None}
        for name, heard in there.items():
            audio.write(place / f"{name}.wav", heard, sample_rate)
        plots.spectrogram_stack(there, sample_rate, place / "spectrograms.png", sample.name)
