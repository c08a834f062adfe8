"""`wavevae render --score`: a score played offline by the engine that plays live."""

from __future__ import annotations

import argparse
import contextlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from wavevae.audio import MADE, Writer, stream_mono
from wavevae.errors import UserError
from wavevae.units import db_to_amplitude, seconds_to_samples

from ..console import Progress, say
from ..engine.latent_sources import Recorded
from ..engine.playable_model import Instrument
from .latent_files import LatentWriter
from .score import Conductor, Score, perform, read_score


def render_score(arguments: argparse.Namespace, gain_db: float) -> int:
    """The whole command. Raises: UserError."""
    from .render import report

    score = read_score(arguments.score)
    instrument = _instrument(arguments, score)
    about = instrument.about
    conductor = Conductor(score, about)
    conductor.rehearse(about)
    conductor.until(0)
    instrument.warm_up(score.block_size)
    instrument.begin(conductor.desk.state)
    progress = Progress("rendered", seconds_to_samples(score.seconds, about.sample_rate), about.sample_rate)
    gain = np.float32(db_to_amplitude(gain_db))
    with contextlib.ExitStack() as files:
        out = files.enter_context(Writer(arguments.out, about.sample_rate, comment=MADE))
        if arguments.save_latents:
            kept = files.enter_context(LatentWriter(arguments.save_latents, about.latent_dim))
            instrument.engine.source = Recorded(instrument.engine.source, kept.write)
        sound = _sound(arguments.score_input, about.sample_rate, score.block_size)
        for block in perform(score, conductor, instrument.engine, sound):
            out.write(block if gain_db == 0 else np.clip(block * gain, -1, 1))
            progress.add(len(block))
    progress.end(report(arguments, instrument.engine, out.samples, progress.speed))
    return 0


def _instrument(arguments: argparse.Namespace, score: Score) -> Instrument:
    """Raises: UserError for a model that cannot play the score."""
    if not arguments.model.is_file():
        raise UserError(f"no model file at {arguments.model}; make one with `wavevae export RUN -o MODEL.ts`")
    if score.hears and arguments.score_input is None:
        say("this session heard a live input: give its recording with --score-input, or it hears silence")
    seed = arguments.seed if arguments.seed is not None else score.seed or 0
    voices = arguments.voices or score.voices
    hears = score.hears or arguments.score_input is not None
    return Instrument(arguments.model, seed, voices, hears, arguments.sr)


def _sound(path: Path | None, sample_rate: int, block_size: int) -> Iterator[NDArray[np.float32]] | None:
    """Input blocks, the last filled with silence."""
    if path is None:
        return None
    return (
        np.pad(block, (0, block_size - len(block))) for block in stream_mono(path, sample_rate, block_size)
    )
