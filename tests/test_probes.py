"""What is read from latents is there, what is not there is at chance; swaps are heard as what they are."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from wavevae import audio
from wavevae.config import ModelConfig
from wavevae.corpus import Item
from wavevae.corpus.labels import class_of, find_labels, pitch_of
from wavevae.evaluation import disentanglement, linear, probes
from wavevae.evaluation.judged_latents import LatentCollector
from wavevae.evaluation.model_under_test import NONE, Facts, Labels, Piece, Run
from wavevae.evaluation.probes import Labelled, Wanted
from wavevae.evaluation.selection import Selection, Source
from wavevae.evaluation.tracks import midi_hz

RATE, HOP = 8000, 200


def clouds(count: int, apart: float, seed: int = 0) -> tuple[np.ndarray, list[str]]:
    """Two classes along the first of six axes."""
    rng = np.random.default_rng(seed)
    names = ["low", "high"] * (count // 2)
    vectors = rng.standard_normal((count, 6))
    vectors[:, 0] += [apart * (1 if name == "high" else -1) for name in names]
    return vectors, names


def test_a_linear_probe_finds_the_bayes_rate() -> None:
    vectors, names = clouds(400, 1.0)
    other, wanted = clouds(4000, 1.0, seed=1)
    said = linear.fit(vectors, names)(other)
    rate = np.mean([a == b for a, b in zip(said, wanted, strict=True)])
    assert rate == pytest.approx(
        0.5 * (1 + math.erf(1 / 2**0.5)), abs=0.02
    )  # two unit Gaussians 2 apart: 84 %


def test_a_linear_probe_against_its_optimum() -> None:
    """The weights are where the gradient of penalised cross-entropy vanishes."""
    vectors, names = clouds(60, 0.7)
    fitted = linear.fit(vectors, names)
    layer = fitted.network
    assert isinstance(layer, torch.nn.Linear)
    x = ((vectors - vectors.mean(0)) / vectors.std(0)).astype(float)
    weight, bias = layer.weight.detach().numpy(), layer.bias.detach().numpy()
    logits = x @ weight.T + bias
    share = np.exp(logits - logits.max(1, keepdims=True))
    share /= share.sum(1, keepdims=True)
    hot = np.array([[name == known for known in fitted.names] for name in names], float)
    gradient = (share - hot).T @ x / len(x) + 2 * linear.PENALTY * weight
    assert np.abs(gradient).max() < 1e-4


def test_a_hidden_layer_learns_what_a_line_cannot() -> None:
    vectors, _ = clouds(400, 0.0)
    names = ["same" if a * b > 0 else "different" for a, b in vectors[:, :2]]  # exclusive or
    other, _ = clouds(400, 0.0, seed=1)
    wanted = ["same" if a * b > 0 else "different" for a, b in other[:, :2]]

    def rate(hidden: int) -> float:
        said = linear.fit(vectors, names, hidden, penalty=1e-3)(other)
        return float(np.mean([a == b for a, b in zip(said, wanted, strict=True)]))

    assert rate(0) < 0.6
    assert rate(16) > 0.85


def test_probes_tell_what_is_there_from_what_is_not() -> None:
    vectors, names = clouds(100, 3.0)
    files = [str(i) for i in range(100)]
    nothing = Labelled([], np.zeros((0, 6)), [])
    there = probes.read(Labelled(files, vectors, names), nothing)
    assert there is not None
    assert there["accuracy"] > 0.95
    assert (there["chance"], there["files"], there["labels"]) == (0.5, 100, 2)
    shuffled = list(np.random.default_rng(0).permutation(names))
    absent = probes.read(Labelled(files, vectors, shuffled), nothing)
    assert absent is not None
    assert absent["interval"][0] < 0.55
    training = clouds(60, 3.0, seed=5)
    other = probes.read(Labelled(files, vectors, names), Labelled(files[:60], *training))
    assert other is not None
    assert other["accuracy"] > 0.95
    assert other["trained_on"] == "60 other files"
    assert probes.read(Labelled(files[:10], vectors[:10], names[:10]), nothing) is None
    assert probes.read(Labelled(files, vectors, ["one"] * 100), nothing) is None


def test_labels_are_read_whatever_set_they_are_of() -> None:
    nsynth = {"instrument_family": 0, "instrument_family_str": "bass", "pitch": 45}
    assert class_of(nsynth) == "bass"
    assert class_of(nsynth, "instrument_family") == "bass"
    assert class_of({"class": "sax"}) == "sax"
    assert class_of({"class": "sax"}, "instrument_family") is None
    assert [pitch_of(x) for x in ({}, {"pitch": "45"}, {"pitch": 200}, {"pitch": True})] == [None] * 4
    assert [pitch_of(x) for x in (nsynth, {"pitch": 60.5})] == [45, 60.5]


def test_a_pitch_between_two_notes_is_learned_as_it_is() -> None:
    model = ModelConfig(family="codec", condition="pitch")
    items = [Item(Path("a.wav"), 0, 100, {"pitch": 60.5}), Item(Path("b.wav"), 0, 100, {"pitch": 61})]
    found = find_labels(items, model)
    assert found is not None
    assert [found.of(item).pitch for item in items] == [60.5, 61.0]
    assert found.summary(items)["pitch_range"] == [60.5, 61.0]


def test_summaries_are_means_and_spreads_over_all_that_is_heard() -> None:
    gathered = LatentCollector(2)
    x = torch.randn(2, 3000, generator=torch.Generator().manual_seed(0)) * torch.tensor([[1.0], [3.0]]) + 2
    for part in x.split(700, dim=-1):
        gathered.add("a", part)
    found = gathered.summaries()["a"]
    wanted = [*x.mean(-1).tolist(), *torch.log(x.std(-1, correction=0) + 1e-3).tolist()]
    assert found == pytest.approx(wanted, abs=1e-4)
    assert len(gathered.kept) == len(gathered.owners) == gathered.seen


# -- swaps, with a model that does what it is told ----------------------------------------------------------


def note(pitch: float, bright: bool, seconds: float = 1.0) -> np.ndarray:
    """All partials alike, or the first alone with little else."""
    t = np.arange(round(seconds * RATE)) / RATE
    sound = sum(
        (1.0 if bright else 0.1**k) * np.sin(2 * np.pi * k * midi_hz(pitch) * t)
        for k in range(1, 9)
        if k * midi_hz(pitch) < 3600
    )
    return (0.05 * sound).astype(np.float32)


class Obedient(Run):
    """Plays a new note as it is told; `deaf` ignores what it is told."""

    def __init__(self, deaf: bool = False, bottleneck: str = "vae") -> None:
        self.deaf = deaf
        self.facts = Facts(
            "run", Path("toy"), RATE, HOP, 2, bottleneck, condition="class+pitch", classes=("bright", "dull")
        )
        self.block_samples = 40 * HOP

    def moved(self, sound: torch.Tensor, labels: Labels, target: Labels) -> torch.Tensor:
        told = labels if self.deaf else target
        name, pitch = class_of(told), pitch_of(told)
        assert pitch is not None
        return torch.from_numpy(note(pitch + 0.07, name == "bright", len(sound) / RATE))

    def with_slow_level_of(self, sound: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
        return sound if self.deaf else other

    def encode(self, blocks: Iterable[np.ndarray], labels: Labels = NONE) -> Iterator[Piece]:
        for block in blocks:
            x = torch.from_numpy(block)
            frames = torch.nn.functional.pad(x, (0, -len(x) % HOP)).reshape(-1, HOP)
            latents = torch.stack([frames.square().mean(1), frames.diff().square().mean(1)]).log()
            yield Piece(x, x, latents)


@pytest.fixture(scope="module")
def set_of_notes(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Selection]:
    """48 notes of two kinds; 24 of them are judged. One lies: its label is not its pitch."""
    folder = tmp_path_factory.mktemp("notes")
    sources = []
    for number in range(48):
        kind, pitch = ("bright", "dull")[number % 2], 50 + number % 13
        path = folder / kind / f"{number}.wav"
        audio.write(path, note(pitch + (6 if number == 0 else 0), kind == "bright"), RATE)
        labels: dict[str, Any] = {"class": kind, "pitch": pitch}
        sources.append(Source(path, path.name, 1.0, labels=labels))
    return folder, Selection("all", tuple(sources[:24]), ())


def test_swaps_are_heard_as_what_was_asked_for(set_of_notes: tuple[Path, Selection]) -> None:
    folder, selection = set_of_notes
    training = probes.others(Obedient(), selection, Wanted([folder], 100), 100)
    assert len(training) == 24
    assert not {s.path for s in training} & {s.path for s in selection.sources}
    found = disentanglement.run(Obedient(), selection, training, "")
    assert found["class"]["accuracy"] > 0.9
    assert found["class"]["classifier_on_real"] > 0.9
    assert found["class"]["heard_as_before"] < 0.1
    assert found["pitch"]["asked_pitch_cents"] == pytest.approx(7.0, abs=1.0)
    assert found["pitch"]["own_pitch_cents"] == pytest.approx(7.0, abs=1.0)
    assert found["pitch"]["not_tuned_to_their_label"] == 1
    assert found["pitch"]["within_50_cents"] == 1.0


def test_a_model_that_ignores_its_labels_is_found_out(set_of_notes: tuple[Path, Selection]) -> None:
    folder, selection = set_of_notes
    training = probes.others(Obedient(), selection, Wanted([folder], 100), 100)
    found = disentanglement.run(Obedient(deaf=True), selection, training, "")
    assert found["class"]["accuracy"] < 0.1
    assert found["class"]["heard_as_before"] > 0.9
    assert found["pitch"]["asked_pitch_cents"] > 250
    assert found["pitch"]["within_50_cents"] == 0.0


def test_what_the_slow_level_carries_is_measured(set_of_notes: tuple[Path, Selection]) -> None:
    heard = disentanglement.some_clips(set_of_notes[1].sources, RATE, 20)
    all_of_it = disentanglement.of_slow_level(Obedient(bottleneck="hvae"), heard)
    none_of_it = disentanglement.of_slow_level(Obedient(deaf=True, bottleneck="hvae"), heard)
    assert all_of_it is not None
    assert none_of_it is not None
    assert (all_of_it["moved"], all_of_it["towards_the_other"]) == (pytest.approx(1.0), pytest.approx(1.0))
    assert (none_of_it["moved"], none_of_it["towards_the_other"]) == (0.0, 0.0)


def test_probes_of_a_set_with_labels(set_of_notes: tuple[Path, Selection]) -> None:
    folder, selection = set_of_notes
    subject, gathered = Obedient(), LatentCollector(2)
    for source in selection.sources:
        for piece in subject.encode([audio.read_mono(source.path, RATE)], source.labels):
            assert piece.latents is not None
            gathered.add(source.name, piece.latents)
    found, _ = probes.run(subject, selection, gathered, Wanted([folder], 100))
    assert found["probes"]["class"]["accuracy"] > 0.9  # loudness and brightness tell it
    assert found["probes"]["class"]["trained_on"] == "24 other files"
    assert set(found["swaps"]) == {"class", "pitch"}
    assert found["probes"]["pitch"]["trained_on"] == "24 other files"  # the tracker hears their pitches
