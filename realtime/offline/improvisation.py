"""`render --sample` of an instrument with a prior: it improvises as live in mode sample, from nothing or from where a
recording ends.

prompt --encoder--> latents --> notes --> the improviser's context: the last notes
                                     \\--> the performer's state: the prompt's frames, one after the other
"""

from __future__ import annotations

import argparse
import contextlib
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from wavevae.audio import MADE, Writer
from wavevae.bundle import TORCH_HINT
from wavevae.console import SoundProgress, say
from wavevae.controls import MODES, SAMPLE, ControlState, Refused
from wavevae.corpus_profile import CorpusProfile
from wavevae.errors import UserError
from wavevae.files import printable
from wavevae.onnx_module import OnnxModule
from wavevae.prior.notes import FoundNote, deviations, find_notes, note_frames
from wavevae.units import seconds_to_samples

from ..control.addresses import ROOT
from ..control.dispatcher import Dispatcher
from ..engine.engine import PlayableModel
from ..engine.polyphony import SPARE_ROWS, Polyphony
from ..engine.streaming_model import Frames, StreamingModel
from .label_options import refusal
from .latent_files import latent_writer
from .render_sources import cut, encode_whole, length_at, report

LONGEST_PROMPT_S = 30.0
"""Of a longer prompt the end counts."""


def render_improvisation(arguments: argparse.Namespace, gain_db: float) -> int:
    """The whole command. Raises: UserError for too short a time, a label or a seed that the file does not take, and a
    prompt in which no note is found."""
    instrument = PlayableModel(arguments.model, arguments.seed, voices=1, sample_rate=arguments.sr)
    engine, rate = instrument.engine, instrument.model.sample_rate
    samples = seconds_to_samples(arguments.seconds, rate)
    if samples < 1:
        raise UserError(f"--seconds {arguments.seconds}: less than one sample; use more")
    controls = replace(asked(arguments, instrument), gain_db=gain_db)
    go_on = None if arguments.prompt is None else after(instrument, arguments.prompt)
    instrument.begin(controls)
    if go_on is not None:
        engine.decoder.follow(1, controls)  # the voice begins
        go_on()
    progress = SoundProgress("rendering", samples, rate)
    with contextlib.ExitStack() as files:
        out = files.enter_context(Writer(arguments.out, rate, samples=samples, comment=MADE))
        keep: Callable[[Frames], None] = lambda frames: None  # noqa: E731
        if arguments.save_latents:
            keep = files.enter_context(
                latent_writer(arguments.save_latents, instrument.model.latent_dim)
            ).write
        for count, _ in cut(samples, engine.hop_length):
            out.write(engine.process(controls, count))
            keep(played_frames(engine.decoder))
            progress.add(count)
    progress.end(report(arguments, engine, out.samples, progress.speed))
    return 0


def played_frames(decoder: Any) -> Frames:
    """The latents of the last block, (F, latent_dim)."""
    assert isinstance(decoder, Polyphony)
    assert decoder.decoded is not None
    return decoder.decoded


def asked(arguments: argparse.Namespace, instrument: PlayableModel) -> ControlState:
    """The controls of mode sample, as the options say. Raises: UserError."""
    model = instrument.model
    if arguments.pitch is not None:
        raise refusal("pitch", arguments.pitch, model, "pitch")
    dispatcher = Dispatcher(model)
    wanted = {
        "mode": MODES[SAMPLE],
        "prior/seed": arguments.seed,
        "prior/temperature": arguments.temperature,
        "class": getattr(arguments, "class"),
    }
    for name, value in wanted.items():
        if value is not None:
            try:
                dispatcher.apply(f"{ROOT}/{name}", (value,))
            except Refused as reason:
                raise UserError(f"--{name.split('/')[-1]} {value}: {reason}") from None
    return dispatcher.state


def after(instrument: PlayableModel, prompt: Path) -> Callable[[], None]:
    """What sets the begun voice to follow a recording, the decoder too. Raises: UserError."""
    core, info, rows = instrument.core, instrument.info, instrument.model.voices + SPARE_ROWS
    module = core.module
    if isinstance(module, OnnxModule):
        raise UserError(f"--prompt {printable(prompt)}: going on from a recording needs torch; {TORCH_HINT}")
    profile = CorpusProfile.from_dict(info.profile)
    late = info.algorithmic_latency_samples
    most = round(LONGEST_PROMPT_S * info.frame_rate)
    length_at(prompt, info.sample_rate)
    z = encode_whole(core, prompt, late)[late // info.hop_length :][-most:]
    notes = find_notes(z, profile)
    if not notes:
        raise UserError(f"--prompt {printable(prompt)}: no note is found in it; give a sound with notes")
    keys = ", ".join(f"{note.pitch:.0f}" for note in notes[-3:] if profile.has_pitch)
    say(
        f"{printable(prompt)}: {len(notes)} note{'s' * (len(notes) != 1)}; goes on{' from ' * bool(keys)}{keys}"
    )

    def go_on() -> None:
        import torch

        with torch.inference_mode():
            core.decode_voices(np.tile(z, (rows, 1, 1)))
            core.perform(np.zeros((rows, 2, 0), np.float32))  # makes room for as many voices
            module.performer_state = _follow(core, z, notes, profile)
            module.improviser_state = _context(module.improviser_state, notes)

    return go_on


def _context(state: Any, notes: list[FoundNote]) -> Any:
    """The improviser's state after these notes: the next one is due."""
    import torch

    last, before = notes[-1], notes[-2] if len(notes) > 1 else notes[-1]
    key, leap = (0.0 if math.isnan(p) else float(round(p)) for p in (last.pitch, last.pitch - before.pitch))
    values = {
        "key": key,
        "leap": leap,
        "level": last.level,
        "length": math.log(max(1, last.release - last.onset)),
        "again": 0.0,
        "held": 0.0,
        "rest": 0.0,
    }
    return state._replace(**{name: torch.tensor([value]) for name, value in values.items()})


def _follow(core: StreamingModel, z: Frames, notes: list[FoundNote], profile: CorpusProfile) -> Any:
    """The performer's state after frames (F, latent_dim), told each of them instead of its own; alike in all rows."""
    import torch

    module, performer = core.module, core.module.plays.performer
    own = np.zeros((len(z), len(module.offset)), np.float32)
    own[:, : z.shape[1]] = z
    own = own * module.factor[:, 0].numpy() + module.offset[:, 0].numpy()  # latents of the model
    rows = note_frames(notes, len(z))
    made, known = deviations(own, rows, profile)
    scaled = (torch.from_numpy(made) - performer.offset) / performer.scale * torch.from_numpy(known)
    state = module.performer_state
    voices = len(state.frame)
    told, classes = torch.from_numpy(rows), module.weights.unsqueeze(0).expand(voices, -1)
    for n in range(len(z)):
        key, level, held = told[n].unsqueeze(1).expand(3, voices)
        _, state = performer(key, level, held, classes, 0.0, 0.0, torch.zeros(voices), state)
        state = state._replace(last=scaled[n].clamp(-12.0, 12.0).float().expand(voices, -1))
    return state
