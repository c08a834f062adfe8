"""The studies' spectrogram models as a model family, and `wavevae render RUN` of them.

They do not stream, so there is no MODEL.ts: the run itself is rendered, window by window: a sound through it, a way
between two, or sounds drawn anew. Torch and the rest are imported where they are used.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from wavevae.cli import Parser, shown
from wavevae.console import say
from wavevae.errors import UserError
from wavevae.families import ModelFamily, located
from wavevae.studies.study_config import StudyConfig
from wavevae.units import db_to_amplitude, format_seconds

if TYPE_CHECKING:
    import numpy as np

    from wavevae.config import RunConfig
    from wavevae.studies.study_run import StudyRun

WAVEFORM_SECTIONS: Mapping[str, tuple[str, ...]] = {
    "model": ("sample_rate", "latent_dim", "bottleneck", "condition", "classes"),
    "objective": ("kl", "kl_schedule", "kl_warm_up", "kl_cycles", "kl_baseline", "free_bits"),
    "adversarial": (),
}
"""Sections of waveform models, and which of their settings a spectrogram model uses."""


class Study(ModelFamily):
    """A model of spectrogram windows. It does not stream: a run is rendered as it is."""

    name = "study"
    title = "a spectrogram model"
    own_settings = ("study",)
    model = "wavevae.studies.spectrogram_model:SpectrogramModel"
    training = "wavevae.train.study_module:StudyModule"
    evaluation = "wavevae.studies.study_run:StudyRun"
    streams = False
    renders_runs = True

    def claims(self, run: RunConfig) -> bool:
        return self.settings(run).in_use

    def settings(self, run: RunConfig) -> StudyConfig:
        """The family's own section."""
        settings: StudyConfig = run.study
        return settings

    def build(self, run: RunConfig) -> Any:
        return located(self.model)(run)  # needs torchaudio

    def objectives(self, run: RunConfig) -> Any:
        from wavevae.studies.features import make_objectives

        return make_objectives(run)

    def uses(self, key: str) -> bool:
        section, name = key.split(".")
        return section not in WAVEFORM_SECTIONS or name in WAVEFORM_SECTIONS[section]

    def refuse_streaming(self, run: RunConfig) -> None:
        raise UserError(
            f"this is a spectrogram model ({self.settings(run).spectrogram}): it neither streams nor exports; hear it "
            "with `wavevae render RUN --input IN.wav -o OUT.wav`"
        )

    def latency(self, run: RunConfig) -> str:
        return f"{self.settings(run).spectrogram} windows, does not stream"

    def algorithmic_latency(self, run: RunConfig) -> int | None:
        return None

    def count_parameters(self, model: Any, state: Mapping[str, Any]) -> int:
        """Parameters of the model; most of its state are the fixed matrices of its features."""
        return sum(parameter.numel() for parameter in model.parameters())

    def info(self, run: RunConfig) -> dict[str, Any]:
        return {"spectrogram_model": self.settings(run).spectrogram}

    def render(self, argv: list[str]) -> int:
        return render(argv)


EXAMPLE = """\
  wavevae render runs/c --input note.wav --pitch 60 -o resynthesis.wav
  wavevae render runs/c --input note.wav --pitch 67 --input-pitch 60 -o a-fifth-higher.wav
  wavevae render runs/a --input oboe.wav --class flute -o as-a-flute.wav
  wavevae render runs/a --sample --seconds 8 --class flute -o new.wav
  wavevae render runs/b --interpolate low.wav high.wav -o between.wav
  wavevae render runs/c --input note.wav --upper-bound -o features-inverted.wav
"""


def parser() -> Parser:
    found = Parser("render", "Render a run of a spectrogram model to a WAV or FLAC file.", EXAMPLE)
    add = found.add_argument
    add("run", metavar="RUN", type=Path, help="run folder or .ckpt of a study preset")
    source = found.add_mutually_exclusive_group(required=True)
    source.add_argument("--input", type=Path, metavar="IN.wav", help="a sound: resynthesis, timbre transfer")
    source.add_argument(
        "--interpolate",
        type=Path,
        nargs=2,
        metavar=("A.wav", "B.wav"),
        help="from one sound's latents to another's, as long as the longer",
    )
    source.add_argument(
        "--sample", action="store_true", help="drawn from the training latents; with --seconds"
    )
    add("--upper-bound", action="store_true", help="--input: its features inverted, without the model")
    add("--seconds", type=float, metavar="S", help="length of a --sample")
    add("-o", "--out", type=Path, required=True, metavar="OUT.wav", help=".wav or .flac, 24 bit")
    add("--seed", type=int, default=0, metavar="N", help="of a --sample [0]")
    add("--gain", type=float, default=0.0, metavar="DB", help="level of the output [0]")
    add("--class", dest="class_name", metavar="NAME", help="class that is to sound [none]")
    add("--pitch", type=float, metavar="MIDI", help="pitch that is to sound, 69 is 440 Hz [none]")
    add("--input-class", metavar="NAME", help="class of what comes in [as --class]")
    add("--input-pitch", type=float, metavar="MIDI", help="pitch of what comes in [as --pitch]")
    add("--checkpoint", default="best", metavar="best|last", help="of a run (default: best)")
    return found


def parse(argv: list[str]) -> argparse.Namespace:
    """Raises: UserError for what does not go together."""
    args = parser().parse_args(argv)
    if args.sample != (args.seconds is not None):
        raise UserError("--sample and --seconds go together; give both or neither")
    if args.seconds is not None and not 0 < args.seconds <= 3600:
        raise UserError(f"--seconds {args.seconds:g}; use a time above 0, up to 3600 s")
    if args.upper_bound and not args.input:
        raise UserError("--upper-bound goes with --input")
    if args.seed < 0:
        raise UserError(f"--seed {args.seed}; use 0 or more")
    for path in filter(None, (args.input, *(args.interpolate or ()))):
        if args.out.exists() and path.exists() and args.out.samefile(path):
            raise UserError(f"{args.out} is also what is read; name another output")
    return args


def sounds(args: argparse.Namespace, run: StudyRun) -> Iterator[np.ndarray]:
    """The output, piece by piece (samples,). Raises: UserError for a sound or label that cannot be used."""
    from wavevae.audio import stream_mono
    from wavevae.studies.study_run import UpperBound, drawn, morph

    target = run.reference.condition(args.class_name, args.pitch)
    pitch = args.pitch if args.input_pitch is None else args.input_pitch
    source = run.reference.condition(args.input_class or args.class_name, pitch)
    if args.sample:
        yield from drawn(run, args.seconds, args.seed, target)
    elif args.interpolate:
        yield morph(run, args.interpolate, source, target)
    else:
        blocks = stream_mono(args.input, run.facts.sample_rate, run.block_samples)
        bound = args.upper_bound
        pieces = UpperBound(run).reconstruct(blocks) if bound else run.transferred(blocks, source, target)
        yield from (piece.estimate.numpy() for piece in pieces)


def render(argv: list[str]) -> int:
    """Entry point, where `wavevae render` is given a run. Raises: UserError."""
    args = parse(argv)
    from wavevae.audio import MADE, Writer
    from wavevae.evaluation.model_under_test import load_run
    from wavevae.studies.study_run import StudyRun

    run = load_run(args.run, args.checkpoint)
    if not isinstance(run, StudyRun):
        raise UserError(
            f"{args.run} is a waveform model: `{shown('export', args.run, '-o', 'MODEL.ts')}`, then render MODEL.ts"
        )
    gain = db_to_amplitude(args.gain)
    with Writer(args.out, run.facts.sample_rate, comment=MADE) as out:
        for part in sounds(args, run):
            out.write(gain * part)
    clipped = f"; {out.clipped} samples clipped, use --gain" if out.clipped else ""
    length = format_seconds(out.samples / run.facts.sample_rate)
    say(f"wrote {args.out}: {length} at {run.facts.sample_rate} Hz{clipped}")
    return 0
