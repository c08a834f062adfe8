"""Sounds decoded under what is not their own: another class, another pitch, another sound's slow level.

Classes are judged by a small classifier that has heard real sounds only: the built-in embedding of each second, one
hidden layer. Its own accuracy on real files stands beside, as the most that can be reached.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from wavevae.corpus.labels import class_of, pitch_of
from wavevae.evaluation import linear, metrics, tracks
from wavevae.evaluation.embeddings import Texture
from wavevae.evaluation.model_under_test import ModelUnderTest, Run
from wavevae.evaluation.selection import Clip, Selection, Source, read_places
from wavevae.nn.bottlenecks.base import bottleneck_class

MOST_FILES = 80
LONGEST_S = 8.0
HIDDEN = 64
TRAINING_FILES = 1200
"""Most real files that the classifier hears."""
STEPS_SEMITONES = (-7, -5, -3, 3, 5, 7)
"""How far a pitch is asked to move."""
TUNED_CENTS = 50.0
"""A file whose heard pitch is further from its label has a label that means something else (organ stops, bells)."""


def some_clips(sources: Sequence[Source], sample_rate: int, most: int) -> list[Clip]:
    """The beginnings, up to LONGEST_S, of some files in a fixed random order; unreadable and silent ones left out."""
    chosen = list(sources)
    random.Random(1).shuffle(chosen)
    found: list[Clip] = []
    for source in chosen:
        if len(found) >= most:
            break
        found += read_places(source, sample_rate, [0.0], LONGEST_S)
    return found


def seconds(audio: Tensor, sample_rate: int) -> Tensor:
    """(T,) -> the whole seconds of it that are heard (n, sample_rate); a shorter sound filled up with zeros."""
    whole = max(1, len(audio) // sample_rate) * sample_rate
    cut = torch.nn.functional.pad(audio, (0, max(0, whole - len(audio))))[:whole].reshape(-1, sample_rate)
    return cut[metrics.audible(cut)]


def embeddings(audio: Tensor, sample_rate: int) -> Tensor:
    """The embeddings of its seconds (n, dims); of silence, that of silence."""
    audible = seconds(audio, sample_rate)
    return Texture()(audible if len(audible) else torch.zeros(1, sample_rate), sample_rate)


def vector(audio: Tensor, sample_rate: int) -> np.ndarray:
    """A sound's place (dims,)."""
    place: np.ndarray = embeddings(audio, sample_rate).mean(0).numpy()
    return place


def timbre(audio: Tensor, sample_rate: int) -> np.ndarray:
    """Mean and spread over its seconds (2 dims,), without its loudness, which says nothing of a class."""
    found = embeddings(audio, sample_rate)
    found[:, 0] = 0.0  # the cepstrum's first: the mean level
    both: np.ndarray = torch.cat([found.mean(0), found.std(0, correction=0)]).numpy()
    return both


def train_classifier(training: Sequence[Clip], sample_rate: int, field: str) -> linear.Classifier | None:
    """A classifier of real sounds; none with fewer than two classes."""
    named = [(h, class_of(h.labels, field)) for h in training]
    known = [(h, name) for h, name in named if name is not None]
    if len({name for _, name in known}) < 2:
        return None
    vectors = np.array([timbre(h.audio, sample_rate) for h, _ in known])
    return linear.fit(vectors, [name for _, name in known], hidden=HIDDEN)


def of_class(
    subject: Run, judged: Sequence[Clip], training: Sequence[Clip], field: str
) -> dict[str, Any] | None:
    """Each file decoded as a class that is not its own, drawn evenly from the model's."""
    rate, classes = subject.facts.sample_rate, subject.facts.classes
    classifier = train_classifier(training, rate, field)
    mine = [h for h in judged if class_of(h.labels, field) in classes]
    usable = [name for name in classes if classifier is not None and name in classifier.names]
    if classifier is None or not mine or len(usable) < 2:
        return None
    rng = random.Random(2)
    own = [str(class_of(h.labels, field)) for h in mine]
    asked = [rng.choice([name for name in usable if name != was]) for was in own]
    made = [
        subject.moved(h.audio, h.labels, {**h.labels, **as_class(name, field)})
        for h, name in zip(mine, asked, strict=True)
    ]
    files = [h.file for h in mine]
    said = classifier(np.array([timbre(m, rate) for m in made]))
    real = classifier(np.array([timbre(h.audio, rate) for h in mine]))
    right, chance = linear.scored(files, said, asked), 1 / len(classifier.names)
    stayed, ceiling = (linear.scored(files, answers, own)["accuracy"] for answers in (said, real))
    return {
        **right,
        "heard_as_before": stayed,
        "classifier_on_real": ceiling,
        "chance": chance,
        "files": len(files),
        "says": f"{right['accuracy']:.0%} of {len(files)} files decoded as another class are heard as that class, "
        f"{stayed:.0%} still as their own (the classifier on real files: {ceiling:.0%}; chance {chance:.0%})",
    }


def as_class(name: str, field: str) -> dict[str, Any]:
    """Labels that say so wherever it is looked up."""
    return {"class": name} | ({field: name, f"{field}_str": name} if field else {})


def of_pitch(subject: Run, judged: Sequence[Clip]) -> dict[str, Any] | None:
    """Each tuned file decoded at its own pitch and at another; cents from the pitch asked for."""
    rate = subject.facts.sample_rate
    own: list[float | None] = []
    moved: list[float | None] = []
    left_out = 0
    rng = random.Random(3)
    for clip in judged:
        label = pitch_of(clip.labels)
        hz = tracks.median_hz(clip.audio, rate)
        if label is None:
            continue
        if hz is None or abs(cents(hz, label)) > TUNED_CENTS:
            left_out += 1
            continue
        own.append(off_by(subject, clip, label))
        moved.append(off_by(subject, clip, label + rng.choice(STEPS_SEMITONES)))
    return tuning(own, moved, left_out)


def off_by(subject: Run, clip: Clip, target: float) -> float | None:
    """Decoded at a MIDI pitch: cents from it; none where no pitch is heard."""
    labels = clip.labels
    made = subject.moved(clip.audio, labels, {**labels, "pitch": target})
    hz = tracks.median_hz(made, subject.facts.sample_rate)
    return None if hz is None else abs(cents(hz, target))


def tuning(
    own: Sequence[float | None], moved: Sequence[float | None], left_out: int
) -> dict[str, Any] | None:
    """Medians over the decodes that have a pitch; none where none has."""
    at_home = [x for x in own if x is not None]
    away = [x for x in moved if x is not None]
    if not at_home or not away:
        return None
    lost = len(own) + len(moved) - len(at_home) - len(away)
    home_cents, away_cents = float(np.median(at_home)), float(np.median(away))
    return {
        "own_pitch_cents": home_cents,
        "asked_pitch_cents": away_cents,
        "within_50_cents": sum(x <= TUNED_CENTS for x in away) / len(moved),
        "without_pitch": lost,
        "not_tuned_to_their_label": left_out,
        "files": len(moved),
        "says": f"decoded 3 to 7 semitones away, {len(moved)} files lie {away_cents:.0f} cents (median) from the "
        f"pitch asked for; at their own {home_cents:.0f}; {lost} decodes have no pitch, {left_out} files are not tuned "
        "to their label",
    }


def cents(hz: float, midi: float) -> float:
    """From the MIDI pitch."""
    return float(1200 * np.log2(hz / tracks.midi_hz(midi)))


def of_slow_level(subject: Run, judged: Sequence[Clip]) -> dict[str, Any] | None:
    """Pairs of files: one with the other's slow level, against both as they are resynthesised.

    0 = nothing changes, 1 = as far from the first as the second is; `towards` is the part in the second's direction.
    """
    rate = subject.facts.sample_rate
    moved: list[float] = []
    towards: list[float] = []
    for first, second in zip(judged[::2], judged[1::2], strict=False):
        length = min(len(first.audio), len(second.audio))
        a, b = first.audio[:length], second.audio[:length]
        places = [vector(subject.with_slow_level_of(x, top), rate) for x, top in ((a, a), (b, b), (a, b))]
        way, step = places[1] - places[0], places[2] - places[0]
        apart = float(np.linalg.norm(way))
        if apart > 1e-6:
            moved.append(float(np.linalg.norm(step)) / apart)
            towards.append(float(step @ way) / apart**2)
    if not moved:
        return None
    far, along = float(np.median(moved)), float(np.median(towards))
    return {
        "moved": far,
        "towards_the_other": along,
        "pairs": len(moved),
        "says": f"given another sound's slow level, {len(moved)} sounds move {far:.2f} of the way's length (median), "
        f"{along:.2f} of it towards the other (0: the slow level carries nothing)",
    }


def run(
    subject: ModelUnderTest, selection: Selection, training: Sequence[Source], field: str
) -> Mapping[str, Any]:
    """{class, pitch, slow_level: ...}, what of it the model has; nothing for a MODEL.ts."""
    facts = subject.facts
    if not isinstance(subject, Run):
        return {}
    levels = bottleneck_class(facts.bottleneck).has_top_level
    if facts.condition == "none" and not levels:
        return {}
    judged = some_clips(selection.sources, facts.sample_rate, MOST_FILES)
    found: dict[str, Any] = {}
    if "class" in facts.condition:
        real = some_clips(training or selection.sources, facts.sample_rate, TRAINING_FILES)
        found["class"] = of_class(subject, judged, real, field)
    if "pitch" in facts.condition:
        found["pitch"] = of_pitch(subject, judged)
    if levels:
        found["slow_level"] = of_slow_level(subject, judged)
    return {name: part for name, part in found.items() if part is not None}
