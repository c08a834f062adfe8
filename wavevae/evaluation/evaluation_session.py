"""One evaluation from the sounds chosen to the report written; several models share the sounds and the embedding."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from wavevae.accelerator import choose_device
from wavevae.console import ConsoleProgress, say
from wavevae.corpus.labels import class_of, pitch_of
from wavevae.evaluation import anchors, codec, glossary, probes, report
from wavevae.evaluation.embeddings import Embedding, load_embedding
from wavevae.evaluation.excerpts import Excerpt, Sample, take_samples
from wavevae.evaluation.file_under_test import load_model_under_test
from wavevae.evaluation.measure import Figures, Measurement, measure_model, of_clouds, of_rows, summarise
from wavevae.evaluation.model_under_test import ModelUnderTest
from wavevae.evaluation.playing import Clouds, Playing
from wavevae.evaluation.playing import measure as measure_playing
from wavevae.evaluation.playing.draws import Generated, generate
from wavevae.evaluation.playing.performing import excerpt_notes
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
    fell_back = wanted == "best" and facts.path.suffix != ".ckpt" and found.endswith("last.ckpt")
    remark = f"{facts.path} has no best.ckpt, as it was never validated: last.ckpt was judged"
    return [remark] if facts.kind == "run" and fell_back else []


def labelled_selection(subject: ModelUnderTest, selection: Selection) -> tuple[Selection, list[str]]:
    """The files with every label that the model is told, and a remark on those that lack one."""
    facts, remarks = subject.facts, list[str]()
    if "pitch" in facts.condition:
        selection, remarks = with_pitches(selection, facts.sample_rate, facts.name_shift)
        remarks += unlabelled(selection, "pitch", [pitch_of(s.labels) for s in selection.sources])
    if "class" in facts.condition:
        names = [class_of(s.labels, facts.class_field) for s in selection.sources]
        known = [name if name in facts.classes else None for name in names]
        remarks += unlabelled(selection, f"class that it knows ({', '.join(facts.classes)})", known)
    delay = [str(facts.details["delay"])] if "delay" in facts.details else []
    return selection, delay + remarks


def learned_remark(subject: ModelUnderTest, selection: Selection) -> list[str]:
    """A remark where a run is judged on sounds that it learned from."""
    if subject.facts.kind != "run":
        return []
    learned = learned_files(subject.facts.path)
    known = [s for s in selection.sources if absolute(s.path) in learned and not s.start_s]
    remark = (
        f"{len(known)} of {len(selection.sources)} files are among those that the run learned from: on others it will "
        "do worse; --held-out judges what it has not learned"
    )
    return [remark] if known else []


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
    foreign: tuple[Source, ...] = ()
    """Sounds unlike the corpus, of --transfer."""
    device: torch.device | None = None
    """Where runs compute."""

    @classmethod
    def open(cls, args: argparse.Namespace, selection: Selection) -> Session:
        """Raises: UserError for weights of an embedding that are not there, or --transfer without sounds."""
        device = choose_device(args.accelerator)
        foreign = everything(args.transfer, None).sources if args.transfer else ()
        return cls(args, selection, load_embedding(args.embedding), foreign, device)

    def evaluate(self, path: Path, place: Path) -> dict[str, Any]:
        """Judge one model, write its report, tell the figures. Raises: UserError."""
        subject = load_model_under_test(path, self.args.checkpoint, self.args.sr, self.device)
        self.selection, said = labelled_selection(subject, self.selection)
        chosen = self.selection
        say(f"evaluating {path} on {len(chosen.sources)} files, {chosen.seconds:.0f} s ({chosen.how})")
        measurement = measure_model(subject, chosen, self.args.pairs, self.embedding)
        measurement.measure.require_rows()
        generated = self.generated(subject)
        figures, intervals = summarise(measurement.measure, generated)
        more, remarks = self.more(subject, measurement, figures)
        remarks += said + learned_remark(subject, chosen)
        bounds = self.bound(subject, more)
        samples = self.samples(subject, remarks)
        playing = self.playing(subject, measurement, generated)
        found = report.Findings(
            *(subject.facts, chosen, measurement, figures, intervals, generated, more, tuple(remarks)),
            bounds=bounds,
            samples=samples,
            playing=playing,
            notes=excerpt_notes(subject, measurement.excerpts) if playing else (),
        )
        result = report.compose(found)
        report.write(place, result, found)
        for line in (glossary.table(result), *result["remarks"], f"open {place / 'report.html'}"):
            say(line)
        return result

    def generated(self, subject: ModelUnderTest) -> Generated | None:
        """What it says by itself, under the labels of the judged files where it is told any."""
        if not self.args.generate:
            return None
        labels = [source.labels for source in self.selection.sources]
        return generate(subject, self.args.generate, self.embedding, labels)

    def playing(
        self, subject: ModelUnderTest, measurement: Measurement, generated: Generated | None
    ) -> Playing | None:
        if self.args.no_playing:
            return None
        say("playing: held tones, controls, transfer, performances (--no-playing leaves them out)")
        clouds = Clouds(measurement.measure.files, np.array(measurement.measure.real), generated)
        return measure_playing(subject, self.selection.sources, clouds, self.foreign)

    def more(
        self, subject: ModelUnderTest, measurement: Measurement, figures: Figures
    ) -> tuple[dict[str, Any], list[str]]:
        """Anchors and probes, and what could not be had of them."""
        found: dict[str, Any] = {}
        remarks = without_best(subject, self.args.checkpoint)
        if self.args.anchors and codec.coder() is None:
            remarks.append(NO_CODEC)
        elif self.args.anchors:
            found |= self.anchors(measurement, figures)
        if self.args.probe_files:
            say(
                f"probes: encoding up to {self.args.probe_files} labelled files that are not judged "
                "(--probe-files 0 leaves them out)"
            )
            wanted = probes.Wanted(self.args.data, self.args.probe_files, self.args.class_field)
            more, said = probes.run(subject, self.selection, measurement.collected, wanted)
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
        made = take_samples(subject, self.selection.sources, self.args.samples)
        if any(one.generated is None for one in made):
            remarks.append("--samples: the model has no density to draw from, so there is no gen.wav")
        return made

    def anchors(self, measurement: Measurement, figures: Figures) -> dict[str, Any]:
        measure, progress = measurement.measure, ConsoleProgress()

        def tell(share: float, text: str) -> None:
            progress("anchors", share, text)

        rungs = anchors.judge(
            self.selection.sources, measure.sample_rate, self.embedding, np.array(measure.real), tell
        )
        return dict(anchors.describe(rungs, figures))
