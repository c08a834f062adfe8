"""`render --sample` of an instrument with a prior: it improvises, from nothing or going on from a recording.

prompt --encoder--> latents --> notes --> the improviser's context: the last notes
                                     \\--> the performer's state: the prompt's frames, one after the other
"""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from wavevae.bundle import TORCH_HINT, Bundle
from wavevae.console import say
from wavevae.controls import ControlState
from wavevae.corpus_profile import CorpusProfile
from wavevae.errors import UserError
from wavevae.files import printable
from wavevae.onnx_module import OnnxModule
from wavevae.prior import TEMPERATURE
from wavevae.prior.notes import FoundNote, deviations, find_notes, note_frames
from wavevae.units import seconds_to_samples

from ..engine.latent_sources import NoInput
from ..engine.streaming_model import Frames, StreamingModel
from .render_sources import Take, cut, encode_whole, length_at

LONGEST_PROMPT_S = 30.0
"""Of a longer prompt the end counts."""
USUAL_TEMPERATURE = TEMPERATURE


class Improvisation(NoInput):
    """The file's method `prior` as a source of frames."""

    def __init__(self, core: StreamingModel, temperature: float, go_on: Callable[[], None] | None) -> None:
        """`go_on`: called on a cleared state, before the first frame."""
        self._core, self._temperature, self._go_on = core, temperature, go_on

    def restart(self, controls: ControlState) -> None:
        if self._go_on is not None:
            self._go_on()

    def frames(self, count: int, controls: ControlState) -> Frames:
        made = self._core.call("prior", np.full((1, 1, count), self._temperature, np.float32))
        return self._core.units.standard(np.ascontiguousarray(made[0].T))


def improvise(
    core: StreamingModel, bundle: Bundle, seconds: float, seed: int, temperature: float, prompt: Path | None
) -> Take:
    """Raises: UserError for too short a time, a file without a prior, and a prompt in which no note is found."""
    samples = seconds_to_samples(seconds, bundle.info.sample_rate)
    if samples < 1:
        raise UserError(f"--seconds {seconds}: less than one sample; use more")
    core.set("prior_seed", seed)
    go_on = None if prompt is None else after(core, bundle, prompt)
    return Take(Improvisation(core, temperature, go_on), cut(samples, bundle.info.hop_length), samples)


def after(core: StreamingModel, bundle: Bundle, prompt: Path) -> Callable[[], None]:
    """What sets a cleared state to follow a recording, the decoder's too. Raises: UserError."""
    info, module = bundle.info, core.module
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
            core.decode(core.units.standard(z))
            performer = _follow(core, z, notes, profile)
            module.improvising = (performer, _context(module.improvising[1], notes))

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
    """The performer's state after frames (F, latent_dim), told each of them instead of its own."""
    import torch

    module, performer = core.module, core.module.plays.performer
    own = np.zeros((len(z), len(module.offset)), np.float32)
    own[:, : z.shape[1]] = z
    own = own * module.factor[:, 0].numpy() + module.offset[:, 0].numpy()  # latents of the model
    rows = note_frames(notes, len(z))
    made, known = deviations(own, rows, profile)
    scaled = (torch.from_numpy(made) - performer.offset) / performer.scale * torch.from_numpy(known)
    told, classes = torch.from_numpy(rows), module.weights.unsqueeze(0)
    state, seed = module.improvising[0], torch.zeros(1)
    for n in range(len(z)):
        key, level, held = (told[n : n + 1, i] for i in range(3))
        _, state = performer(key, level, held, classes, 0.0, 0.0, seed, state)
        state = state._replace(last=scaled[n : n + 1].clamp(-12.0, 12.0).float())
    return state
