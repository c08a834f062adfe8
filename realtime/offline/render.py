"""`wavevae render`: plays a model into a file of any length, with the engine that also plays live."""

from __future__ import annotations

import argparse
import contextlib
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from wavevae.cli import Parser, parse_sample_rate
from wavevae.controls import GAIN, MOST_VOICES, TEMPERATURE, Control, ControlState, Refused
from wavevae.errors import UserError
from wavevae.families import is_run, render_run

from .label_options import (
    ENDS,
    INPUT,
    add_end_options,
    add_label_options,
    given,
    read_ends,
    set_labels,
    warn_unlabelled,
)

if TYPE_CHECKING:
    from wavevae.bundle import Bundle

    from ..engine.streaming_model import StreamingModel
    from ..model_info import ModelInfo
    from .render_sources import Fitting, Take

SOURCES = ("input", "latents", "codes", "interpolate", "sample", "midi", "score")

NORMAL_PEAK_DB, NORMALIZED_AT_ONCE = -3.0, 1 << 16

DEFAULT_FIT = "auto"
"""Measured with a saxophone learned in ten minutes: a voice is taken for the saxophone in 86 % of half seconds at fit 0
and in 98 % at fit 1; a held-out note of the saxophone itself would lose its own dynamic at fit 1."""

EXAMPLE = """\
  wavevae render mine.ts --input voice.wav -o voice-as-mine.wav
  wavevae render mine.ts --input voice.wav --transpose 12 --fit 1 -o an-octave-up.wav
  wavevae render mine.ts --interpolate low.wav high.wav -o from-low-to-high.wav
  wavevae render mine.ts --interpolate a.wav b.wav --pitch-a 57 --pitch-b 69 -o up-an-octave.wav
  wavevae render mine.ts --sample --seconds 20 --seed 7 -o new.wav --save-latents new.npy
  wavevae render mine.ts --midi song.mid --track 2=bass.ts -o song.wav
  wavevae render mine.ts --score piece.jsonl -o piece.wav
  wavevae render mine.ts --input flute.wav --class bell --input-class flute -o as-a-bell.wav

--interpolate lasts as long as the longer sound; the latents of the shorter are stretched in time (its pitch
stays), so both begin and end together, and the mix goes in a straight line from all first to all second. An
instrument glides: its pitch in semitones, its loudness in dB; where a sound has no pitch it takes that of the
voiced sound next to it.
--transpose and --fit, of an instrument: what comes in is moved towards the sounds it learned from. auto moves the
whole by the octaves after which least of it lies beyond the corpus' range, and then what is still more than 3
semitones beyond by itself (hiss takes the pitch beside it); sounds of the corpus stay. Semitones move everything
alike. --fit 1 gives loudness and timbre the corpus' means and spreads, within this one input: right for a phrase of
another sound, wrong for a single note of the corpus, whose dynamic it would replace by the average one. --fit auto does
it where the middle loudness or the timbre of the input lies outside of the corpus.
--sample improvises: notes in the manner of the recordings, played as theirs are; --prompt goes on from a recording. A
codec, or a file without a prior, draws from a density of the training latents instead: no phrases.
--midi plays every channel of every track by an instance of the instrument (`--track 2=bass.ts`: by another), with
pedal, bend (RPN 0), pressure, CC 1, 7, 11 and the controllers of live playing; a program chooses a class.
--score plays timed OSC messages, one JSON object a line: {"time": 0.5, "address": "/wavevae/latent/0", "args": [1]},
and {"time": 9, "end": true}. What `wavevae serve --record` kept is rendered again as it was played.
"""


def build_parser() -> Parser:
    """The command line of `wavevae render`."""
    parser = Parser("render", "Render MODEL.ts to a WAV or FLAC file. Exactly one source:", EXAMPLE)
    add = parser.add_argument
    add("model", metavar="MODEL.ts", type=Path, help="of `wavevae export`, or any file that nn~ plays")
    add(
        "--input", type=Path, metavar="IN.wav", help="a sound: resynthesis, timbre transfer; as long as it is"
    )
    add("--latents", type=Path, metavar="Z.npy|Z.csv", help="frames x latent_dim, as `encode` writes them")
    add("--codes", type=Path, metavar="C.npy", help="frames x codebooks, as `encode --codes` writes them")
    add("--interpolate", type=Path, nargs=2, metavar=("A.wav", "B.wav"), help="from one sound to another")
    add(
        "--sample",
        action="store_true",
        help="it improvises; without a prior: drawn from a density; with --seconds",
    )
    add(
        "--midi",
        type=Path,
        metavar="SONG.mid",
        help="a MIDI file of format 0 or 1, each channel of a track a part",
    )
    add(
        "--track",
        action="append",
        metavar="N=OTHER.ts",
        help="--midi: who plays part N; may be given several times",
    )
    add("--map", type=Path, metavar="MAP.yaml", help="--midi: which controller turns what, as for serve")
    add("--dry", action="store_true", help="--midi: the plain envelope instead of the performer")
    add("--strict", action="store_true", help="--midi: refuse notes beyond the instrument's range")
    add("--score", type=Path, metavar="SCORE.jsonl", help="timed OSC messages, as if played live")
    add("--score-input", type=Path, metavar="IN.wav", help="what a --score hears in mode transform")
    add("--seconds", type=float, metavar="S", help="length of a --sample")
    add("--prompt", type=Path, metavar="IN.wav", help="--sample: a recording that it goes on from")
    add("-o", "--out", type=Path, required=True, metavar="OUT.wav", help=".wav or .flac, 24 bit")
    add("--seed", type=int, metavar="N", help="of everything random [0]; same seed, same bytes")
    add(
        "--voices",
        type=int,
        metavar="N",
        help="--score: notes at a time [as recorded, else 8]; --midi: of a part [as many as it needs, up to 8]",
    )
    add(
        "--temperature",
        type=float,
        metavar="T",
        help="of the prior [1]; without one, --sample: spread of the draws [1], else: noise on the latents [0]",
    )
    add("--sr", type=parse_sample_rate, metavar="HZ", help="rate of a file that does not say its own")
    add(
        "--transpose",
        metavar="auto|SEMITONES",
        help="--input, --interpolate with an instrument: what comes in is moved by so much [auto: whole octaves, "
        "into the corpus' range]",
    )
    add(
        "--fit",
        metavar="0..1|auto",
        help="how far its loudness and timbre are moved towards the corpus' [--input: auto, 1 where foreign to it]",
    )
    add("--gain", type=float, default=0.0, metavar="DB", help="level of the output [0]")
    add("--normalize", action="store_true", help=f"bring the peak of the output to {NORMAL_PEAK_DB:g} dBFS")
    add(
        "--save-latents",
        type=Path,
        metavar="Z.npy",
        help="also write the latents that were played, as `encode` does",
    )
    add_label_options(parser)
    add_end_options(parser)
    return parser


def _set(control: Control, option: str, value: float) -> float:
    try:
        return control.check(value)
    except Refused as reason:
        raise UserError(f"{option}: {reason}") from None


def _check(arguments: argparse.Namespace) -> None:
    """What can be said before the model is loaded. Raises: UserError."""
    chosen = [name for name in SOURCES if getattr(arguments, name)]
    if len(chosen) != 1:
        found = " and ".join(f"--{name}" for name in chosen) or "none"
        raise UserError(f"render takes exactly one of --{', --'.join(SOURCES)}; found {found}")
    if arguments.sample != (arguments.seconds is not None):
        raise UserError("--sample and --seconds go together; give both or neither")
    if arguments.prompt and not arguments.sample:
        raise UserError("--prompt goes with --sample")
    if arguments.seconds is not None and not 0 < arguments.seconds <= 1e6:
        raise UserError(f"--seconds {arguments.seconds:g}; use a time above 0, up to 1000000 s")
    if arguments.seed is not None and arguments.seed < 0:
        raise UserError(f"--seed {arguments.seed}; use 0 or more")
    _check_played(arguments)
    if arguments.normalize and arguments.gain:
        raise UserError(f"--gain {arguments.gain:g}: --normalize chooses the gain; leave one of them out")
    if arguments.score and arguments.temperature is not None:
        raise UserError("--temperature: a score sets its own; send /wavevae/temperature")
    if arguments.codes and (arguments.temperature is not None or arguments.save_latents):
        option = "--temperature" if arguments.temperature is not None else "--save-latents"
        raise UserError(f"{option}: codes are played as they are; leave it out, or use --latents")
    _check_labels(arguments)
    _check_fitting(arguments)
    if arguments.voices is not None and not 1 <= arguments.voices <= MOST_VOICES:
        raise UserError(f"--voices {arguments.voices}; use 1 to {MOST_VOICES}")
    inputs = (
        *(getattr(arguments, n) for n in ("input", "latents", "codes", "midi", "score", "score_input")),
    )
    read = [*inputs, *(arguments.interpolate or ())]
    for out in (arguments.out, arguments.save_latents):
        for path in read:
            if out and path and out.exists() and path.exists() and out.samefile(path):
                raise UserError(f"{out} is also what is read; name another output")


def _check_played(arguments: argparse.Namespace) -> None:
    """Raises: UserError for options of a score or a MIDI file without one."""
    if arguments.score_input is not None and not arguments.score:
        raise UserError("--score-input goes with --score")
    if arguments.voices is not None and not (arguments.score or arguments.midi):
        raise UserError("--voices goes with --score or --midi")
    used = [name for name in ("track", "map", "dry", "strict") if getattr(arguments, name)]
    if used and not arguments.midi:
        raise UserError(f"--{used[0]} goes with --midi")
    if arguments.midi and arguments.pitch is not None:
        raise UserError(f"--pitch {arguments.pitch}: a MIDI file has its own; leave it out")
    if arguments.midi and arguments.save_latents:
        raise UserError("--save-latents: of a MIDI file every voice has latents of its own; leave it out")


def _check_labels(arguments: argparse.Namespace) -> None:
    """Raises: UserError for labels that the source has no use for."""
    labels, incoming = given(arguments), given(arguments, INPUT)
    ends = given(arguments, ENDS)
    if ends and not arguments.interpolate:
        raise UserError(f"{ends[0]} goes with --interpolate; leave it out")
    if arguments.score and labels:
        raise UserError(f"{labels[0]}: a score sets its own; send /wavevae/{labels[0][2:].replace('-', '_')}")
    if incoming and not (arguments.input or arguments.interpolate):
        raise UserError(f"{incoming[0]} goes with --input or --interpolate; nothing else comes in")


def _check_fitting(arguments: argparse.Namespace) -> None:
    """Texts become numbers. Raises: UserError for values that no instrument takes, and without an input."""
    used = [f"--{name}" for name in ("transpose", "fit") if getattr(arguments, name) is not None]
    if not used:
        return
    from wavevae.transfer import check_fit, check_transpose

    if not (arguments.input or arguments.interpolate):
        raise UserError(f"{used[0]} goes with --input or --interpolate; nothing else comes in")
    if arguments.transpose is not None:
        arguments.transpose = check_transpose(arguments.transpose)
    if arguments.fit is not None:
        arguments.fit = check_fit(arguments.fit)


def choose_fitting(arguments: argparse.Namespace, bundle: Bundle) -> Fitting | None:
    """How what comes in is fitted: not at all by a model that knows nothing of its corpus.

    Raises: UserError where that was asked for.
    """
    from wavevae.transfer import CorpusProfile

    from .render_sources import Fitting

    if bundle.info.profile:
        usual = DEFAULT_FIT if arguments.input else 0.0  # the ends of a glide are as they are
        fit = usual if arguments.fit is None else arguments.fit
        transpose = "auto" if arguments.transpose is None else arguments.transpose
        profile = CorpusProfile.from_dict(bundle.info.profile)
        if not profile.has_pitch and transpose != "auto":
            raise UserError(f"--transpose {transpose:g}: {bundle.path.name} plays no pitch; leave it out")
        return Fitting(profile, transpose, fit)
    for name in ("transpose", "fit"):
        if getattr(arguments, name) is not None:
            why = "does not say how its corpus sounds (export it again)"
            if not bundle.info.is_instrument:
                why = "is no instrument: it copies what comes in"
            raise UserError(f"--{name} {getattr(arguments, name)}: {bundle.path.name} {why}; leave it out")
    return None


def choose_take(
    arguments: argparse.Namespace, core: StreamingModel, bundle: Bundle, model: ModelInfo
) -> Take:
    """The one source asked for. Raises: UserError where it cannot be had."""
    from ..engine.streaming_model import CodesModel
    from . import render_sources

    fitting = choose_fitting(arguments, bundle)
    if arguments.input:
        return render_sources.transfer(core, bundle, arguments.input, arguments.seed, fitting)
    if arguments.latents:
        return render_sources.from_list(bundle, arguments.latents, arguments.seed)
    if isinstance(core, CodesModel):
        return render_sources.from_codes(core, arguments.codes)
    if arguments.interpolate:
        ends = read_ends(model, arguments)
        return render_sources.morph(core, bundle, arguments.interpolate, arguments.seed, ends, fitting)
    if arguments.prompt:
        raise UserError(
            f"--prompt {arguments.prompt}: {bundle.path.name} has no prior to go on with; leave it out"
        )
    return render_sources.draw(bundle, arguments.seconds, arguments.seed)


def _render(arguments: argparse.Namespace, bundle: Bundle, controls: ControlState) -> None:
    """From the source to the file, block by block."""
    from wavevae.audio import MADE, Writer
    from wavevae.bundle import seed_noise
    from wavevae.console import SoundProgress

    from ..engine.engine import Engine
    from ..engine.latent_sources import RecordingSource
    from ..engine.streaming_model import CodesModel, StreamingModel
    from ..engine.voices import SingleVoice
    from ..model_info import describe
    from .latent_files import latent_writer
    from .render_sources import report

    seed_noise(arguments.seed)
    info, core = bundle.info, CodesModel(bundle) if arguments.codes else StreamingModel(bundle)
    model = describe(bundle)
    set_labels(core, model, arguments)
    if arguments.input or (arguments.interpolate and not given(arguments, ENDS)):
        warn_unlabelled(model, arguments)
    take = choose_take(arguments, core, bundle, model)
    engine = Engine(SingleVoice(core), info.sample_rate, info.hop_length, take.source, fade_in=False)
    engine.reset(controls)
    progress = SoundProgress("rendering", take.samples, info.sample_rate)
    with contextlib.ExitStack() as files:
        out = files.enter_context(Writer(arguments.out, info.sample_rate, samples=take.samples, comment=MADE))
        if arguments.save_latents:
            kept = files.enter_context(latent_writer(arguments.save_latents, info.latent_dim))
            engine.source = RecordingSource(
                take.source, lambda frames: kept.write(core.units.of_file(frames))
            )
        unwanted = take.late
        for samples, input_block in take.blocks:
            sound = engine.process(controls, samples, input_block)[unwanted:]
            unwanted = max(0, unwanted - samples)
            out.write(sound)
            progress.add(len(sound))
    progress.end(report(arguments, engine, out.samples, progress.speed))


def main(argv: list[str]) -> int:
    """Entry point of `wavevae render`."""
    if any(is_run(argument) for argument in argv):
        return render_run(argv)  # of a family that does not stream
    arguments = build_parser().parse_args(argv)
    _check(arguments)
    _play(arguments)
    if arguments.normalize:
        normalize(arguments.out)
    return 0


def normalize(path: Path) -> None:
    """Bring the peak of a file that was just written to NORMAL_PEAK_DB."""
    import numpy as np
    import soundfile

    from wavevae.audio import MADE, Writer
    from wavevae.console import say
    from wavevae.units import amplitude_to_db, db_to_amplitude

    info = soundfile.info(path)
    peak = max(float(np.abs(block).max()) for block in soundfile.blocks(path, NORMALIZED_AT_ONCE))
    gain_db = NORMAL_PEAK_DB - amplitude_to_db(peak) if peak > 0 else 0.0
    with Writer(path, info.samplerate, samples=info.frames, comment=MADE) as out:
        for block in soundfile.blocks(path, NORMALIZED_AT_ONCE, dtype="float32"):
            out.write(block * np.float32(db_to_amplitude(gain_db)))
    say(f"{path}: {gain_db:+.1f} dB, so that its peak is {NORMAL_PEAK_DB:g} dBFS")


def _play(arguments: argparse.Namespace) -> int:
    """From the source that is asked for to the file."""
    if arguments.score:
        from .score import render_score

        return render_score(arguments, _set(GAIN, "--gain", arguments.gain))
    if arguments.midi:
        if arguments.temperature is not None:
            _set(TEMPERATURE, "--temperature", arguments.temperature)
        from .midi_render import render_midi

        return render_midi(arguments, _set(GAIN, "--gain", arguments.gain))
    arguments.seed = arguments.seed or 0
    usual = 1.0 if arguments.sample else 0.0
    asked = usual if arguments.temperature is None else arguments.temperature
    temperature = _set(TEMPERATURE, "--temperature", asked)
    gain = _set(GAIN, "--gain", arguments.gain)

    from .render_sources import load_offline

    bundle = load_offline(arguments.model, arguments.sr)
    if arguments.sample and bundle.info.prior:
        from .improvisation import render_improvisation

        return render_improvisation(arguments, gain)
    controls = ControlState.initial(bundle.info.latent_dim)
    spread, noise = (temperature, 0.0) if arguments.sample else (controls.spread, temperature)
    _render(arguments, bundle, replace(controls, gain_db=gain, spread=spread, temperature=noise))
    return 0
