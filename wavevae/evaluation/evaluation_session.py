"""One evaluation from the sounds chosen to the report written; several models share the sounds and the embedding."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from wavevae.accelerator import choose_device
from wavevae.console import ConsoleProgress
from wavevae.corpus.labels import class_of, pitch_of
from wavevae.evaluation import anchors, codec, glossary, probes, report, samples
from wavevae.evaluation.embeddings import Embedding, load_embedding
from wavevae.evaluation.excerpts import Excerpt
from wavevae.evaluation.file_under_test import load_model_under_test
from wavevae.evaluation.measure import Figures, Measurement, measure_model, of_clouds, of_rows, summarise
from wavevae.evaluation.model_under_test import ModelUnderTest
from wavevae.evaluation.playing import Clouds, Playing
from wavevae.evaluation.playing import measure as measure_playing
from wavevae.evaluation.playing.draws import Generated, generate
from wavevae.evaluation.samples import Sample
from wavevae.evaluation.selection import Selection, Source, absolute, everything, learned_files, with_pitches

NO_CODEC = (
    "--anchors: neither libsndfile nor ffmpeg here can write Opus, so there are no anchors; install ffmpeg"
)

BOUND_SHOWN = ("mr_stft", "log_mel_l1", "si_sdr_db", "accuracy_stft", "fad")
"""Figures of an upper bound that its line in the report names."""


def without_best(subject: ModelUnderTest, wanted: str) -> list[str]:
    """A remark where a run has not come to its first validation: its last.ckpt was judged."""
    facts = subject.facts
    found = str(facts.details.get("checkpoint", ""))
    if (
        wanted != "best"
        or facts.kind != "run"
        or facts.path.suffix == ".ckpt"
        or not found.endswith("last.ckpt")
    ):
        return []
    return [f"{facts.path} has no best.ckpt, as it was never validated: last.ckpt was judged"]


def told_selection(subject: ModelUnderTest, selection: Selection) -> tuple[Selection, list[str]]:
    """The files with every label that the model is told, and a remark on those that lack one."""
    facts, remarks = subject.facts, list[str]()
    said = [str(facts.details["delay"])] if "delay" in facts.details else []
    if "pitch" in facts.condition:
        selection, remarks = with_pitches(selection, facts.sample_rate, facts.name_shift)
        remarks += unlabelled(selection, "pitch", [pitch_of(s.labels) for s in selection.sources])
    if "class" in facts.condition:
        names = [class_of(s.labels, facts.class_field) for s in selection.sources]
        known = [name if name in facts.classes else None for name in names]
        remarks += unlabelled(selection, f"class that it knows ({', '.join(facts.classes)})", known)
    return selection, said + remarks


def learned_remark(subject: ModelUnderTest, selection: Selection) -> list[str]:
    """A remark where a run is judged on sounds that it learned from."""
    if subject.facts.kind != "run":
        return []
    learned = learned_files(subject.facts.path)
    known = [s for s in selection.sources if absolute(s.path) in learned and not s.start_s]
    if not known:
        return []
    return [
        f"{len(known)} of {len(selection.sources)} files are among those that the run learned from: on others it will "
        "do worse; --held-out judges what it has not learned"
    ]


def unlabelled(selection: Selection, kind: str, labels: Sequence[object]) -> list[str]:
    """A remark on files that a conditional model is told nothing of."""
    bare = [s.name for s, label in zip(selection.sources, labels, strict=True) if label is None]
    if not bare:
        return []
    count = f"{len(bare)} of {len(labels)} files have no {kind}"
    return [
        f"the model is told labels, but {count}: they are judged without, which may be far worse; the first: {bare[0]}"
    ]


@dataclass
class Session:
    """What the models of one command have in common."""

    args: argparse.Namespace
    selection: Selection
    embedding: Embedding
    say: Callable[[str], None]
    foreign: tuple[Source, ...] = ()
    """Sounds unlike the corpus, of --transfer."""
    device: torch.device | None = None
    """Where runs compute."""

    @classmethod
    def open(cls, args: argparse.Namespace, selection: Selection, say: Callable[[str], None]) -> Session:
        """Raises: UserError for weights of an embedding that are not there, or --transfer without sounds."""
        device = choose_device(args.accelerator)
        foreign = everything(args.transfer, None).sources if args.transfer else ()
        return cls(args, selection, load_embedding(args.embedding), say, foreign, device)

    def evaluate(self, path: Path, place: Path) -> dict[str, Any]:
        """Judge one model, write its report, tell the figures. Raises: UserError."""
        subject = load_model_under_test(path, self.args.checkpoint, self.args.sr, self.device)
        self.selection, untold = told_selection(subject, self.selection)
        chosen = self.selection
        self.say(f"evaluating {path} on {len(chosen.sources)} files, {chosen.seconds:.0f} s ({chosen.how})")
        verdict = measure_model(subject, chosen, self.args.pairs, self.embedding)
        verdict.measure.require_rows()
        generated = self.generated(subject)
        figures, intervals = summarise(verdict.measure, generated)
        more, remarks = self.more(subject, verdict, figures)
        remarks += untold + learned_remark(subject, chosen)
        bounds = self.bound(subject, more)
        samples = self.samples(subject, remarks)
        playing = self.playing(subject, verdict, generated)
        found = report.Findings(
            *(subject.facts, chosen, verdict, figures, intervals, generated, more, tuple(remarks)),
            bounds=bounds,
            samples=samples,
            playing=playing,
        )
        result = report.compose(found)
        report.write(place, result, found)
        self.tell(result, place)
        return result

    def generated(self, subject: ModelUnderTest) -> Generated | None:
        """What it says by itself, under the labels of the judged files where it is told any."""
        if not self.args.generate:
            return None
        labels = [source.labels for source in self.selection.sources]
        return generate(subject, self.args.generate, self.embedding, labels)

    def playing(
        self, subject: ModelUnderTest, verdict: Measurement, generated: Generated | None
    ) -> Playing | None:
        """None with --no-playing."""
        if self.args.no_playing:
            return None
        self.say("playing: held tones, controls, transfer (--no-playing leaves them out)")
        drawn = None if generated is None else generated.embeddings
        clouds = Clouds(verdict.measure.files, np.array(verdict.measure.real), drawn)
        return measure_playing(subject, self.selection.sources, clouds, self.foreign)

    def more(
        self, subject: ModelUnderTest, verdict: Measurement, figures: Figures
    ) -> tuple[dict[str, Any], list[str]]:
        """Anchors and probes, and what could not be had of them."""
        found: dict[str, Any] = {}
        remarks = without_best(subject, self.args.checkpoint)
        if self.args.anchors and codec.coder() is None:
            remarks.append(NO_CODEC)
        elif self.args.anchors:
            found |= self.anchors(verdict, figures)
        if self.args.probe_files:
            self.say(
                f"probes: encoding up to {self.args.probe_files} labelled files that are not judged "
                "(--probe-files 0 leaves them out)"
            )
            wanted = probes.Wanted(self.args.data, self.args.probe_files, self.args.class_field)
            more, said = probes.run(subject, self.selection, verdict.collected, wanted)
            found |= more
            remarks += said
        return found, remarks

    def bound(self, subject: ModelUnderTest, more: dict[str, Any]) -> tuple[Excerpt, ...]:
        """The best that any model of the same features could reach, on the same seconds: figures into `more`, excerpts
        returned; nothing for a model that has no such bound."""
        best = subject.upper_bound()
        if best is None:
            return ()
        found = measure_model(best, self.selection, self.args.pairs, self.embedding)
        found.measure.require_rows()
        figures: dict[str, Any] = {**of_rows(found.measure)[0], **of_clouds(found.measure)[0]}
        listed = ", ".join(f"{name} {figures[name]:.4g}" for name in BOUND_SHOWN if figures[name] is not None)
        figures["says"] = f"upper bound, the sounds' own features inverted: {listed}"
        more["upper_bound"] = figures
        return found.excerpts

    def samples(self, subject: ModelUnderTest, remarks: list[str]) -> list[Sample]:
        """As many files as asked for, each as it is, resynthesised, and drawn anew."""
        if not self.args.samples:
            return []
        made = samples.take(subject, self.selection.sources, self.args.samples)
        if any(one.generated is None for one in made):
            remarks.append("--samples: the model has no density to draw from, so there is no gen.wav")
        return made

    def anchors(self, verdict: Measurement, figures: Figures) -> dict[str, Any]:
        measure, progress = verdict.measure, ConsoleProgress()
        real = np.array(measure.real)
        rungs = anchors.judge(
            self.selection.sources,
            measure.sample_rate,
            self.embedding,
            real,
            lambda share, text: progress("anchors", share, text),
        )
        return dict(anchors.describe(rungs, figures))

    def tell(self, result: dict[str, Any], place: Path) -> None:
        self.say(glossary.table(result))
        for remark in result["remarks"]:
            self.say(remark)
        self.say(f"open {place / 'report.html'}")
