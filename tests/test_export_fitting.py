"""What an instrument's MODEL.ts does with a live input: it is transposed, and fitted to the corpus."""

import math

import pytest
import torch
import toy_playable
from torch import Tensor

from wavevae.export.instrument import instrument_module
from wavevae.export.latent_pca import AxisMap
from wavevae.export.model_file import axes_of
from wavevae.export.torchscript import script
from wavevae.nn.instrument import Instrument
from wavevae.transfer import corpus_profile, fit_latents

RATE, HOP = 22050, 256


def module_of(model: Instrument) -> tuple[torch.jit.ScriptModule, AxisMap]:
    axes = axes_of(model, toy_playable.statistics(model))
    return script(instrument_module(model, axes)), axes


def test_transpose_moves_the_pitch_and_nothing_else() -> None:
    model = toy_playable.make()
    module, _ = module_of(model)
    x = toy_playable.tone(RATE, 40 * HOP)
    with torch.inference_mode():
        plain = module.encode(x)
        module.reset()
        module.set_transpose(7.5)
        moved = module.encode(x)
        torch.testing.assert_close(moved[:, 0], plain[:, 0] + 7.5)
        assert torch.equal(moved[:, 1:], plain[:, 1:])
        z = model.encode(x)
        z[:, 0] += 7.5
        module.reset()
        torch.testing.assert_close(module(x), model.decode(z), rtol=0, atol=1e-5)


def melody(lowest: float, level_db: float, notes: int) -> Tensor:
    """Decaying notes up an octave and again, 0 to 18 dB under `level_db`."""
    fade = 10 ** (torch.linspace(0, -18, 40 * HOP) / 20)
    parts = [toy_playable.tone(RATE, 40 * HOP, lowest + 5 * n % 12, level_db) * fade for n in range(notes)]
    return torch.cat(parts, 2)


@pytest.fixture(scope="module")
def corpus() -> Instrument:
    """A model that knows its corpus: MIDI 60 to 71, -30 to -12 dB."""
    model = toy_playable.make()
    with torch.inference_mode():
        z = model.encode(melody(60.0, -12.0, 24))[0].T.numpy()
    model.profile = corpus_profile([z], model.config)
    return model


def test_a_low_and_quiet_input_comes_to_the_corpus_in_time(corpus: Instrument) -> None:
    module, axes = module_of(corpus)
    assert module.get_attributes()[-2:] == ["fit", "transpose_auto"]
    x = melody(36.0, -34.0, 48)
    with torch.inference_mode():
        plain = module.encode(x)[0]
        module.set_transpose_auto(1)
        module.set_fit(1.0)
        module.reset()
        fitted = module.encode(x)[0]
        module.reset()
        cut = torch.cat([module.encode(part) for part in x[..., : 7 * 30 * HOP].split(7 * HOP, 2)], 2)[0]
    torch.testing.assert_close(cut, fitted[:, :210], rtol=0, atol=1e-3)
    shift = fitted[0] - plain[0]
    assert (
        (fitted[0, 4:] > 56.9) & (fitted[0, 4:] < 74.1)
    ).all()  # by octaves one by one, until all go together
    assert shift[-800:].sub(24.0).abs().max() < 1e-4
    assert corpus.profile is not None
    known = corpus.profile.in_units(axes.from_offset, axes.from_matrix.diagonal())
    offline = torch.from_numpy(fit_latents(plain.T.numpy(), known)).T
    late = slice(-800, None)
    assert (fitted[1, late] - offline[1, late]).abs().mean() < 3
    assert (offline[1, late] - plain[1, late]).abs().mean() > 15
    assert (fitted[3:, late] - offline[3:, late]).abs().mean() < 0.3


GLIDES = {
    "through all octaves": (lambda s: 40 + 46 * s, 3),
    "through them in a second, eight times": (lambda s: 50 + 30 * (8 * s % 1), 24),
    "vibrato at the low end": (lambda s: 57 + 0.7 * torch.sin(2 * math.pi * 40 * s), 0),
    "vibrato at the high end": (lambda s: 74 + 0.7 * torch.sin(2 * math.pi * 40 * s), 0),
    "to and fro over the low end": (lambda s: 57 + 3 * torch.sin(2 * math.pi * 2 * s), 0),
    "to and fro over the high end": (lambda s: 74 + 3 * torch.sin(2 * math.pi * 2 * s), 0),
}
"""Pitch over the share of 8 s; and in how many places it may go to another octave at most."""


@pytest.mark.parametrize("name", GLIDES)
def test_a_glide_does_not_jump_to_and_fro_between_octaves(corpus: Instrument, name: str) -> None:
    pitch_of, most = GLIDES[name]
    module, _ = module_of(corpus)
    module.set_transpose_auto(1)
    module.set_fit(1.0)
    samples = 8 * RATE // HOP * HOP
    midi = pitch_of(torch.arange(samples, dtype=torch.float64) / samples)
    phase = torch.cumsum(440 * 2 ** ((midi - 69) / 12) / RATE, 0)
    x = sum(torch.sin(2 * math.pi * k * phase) / k for k in range(1, 6)) * 0.05
    with torch.inference_mode():
        z = module.encode(x.float()[None, None])[0, 0, 8:]
    wanted = midi[5 * HOP :: HOP][: len(z)]
    octave = ((z[: len(wanted)] - wanted) / 12).round()
    assert int((octave.diff() != 0).sum()) <= most


def test_a_sound_of_the_corpus_is_left_alone(corpus: Instrument) -> None:
    module, _ = module_of(corpus)
    x = melody(60.0, -12.0, 24)
    with torch.inference_mode():
        plain = module.encode(x)
        module.set_transpose_auto(1)
        module.reset()
        assert torch.equal(module.encode(x), plain)
        module.set_fit(1.0)
        module.reset()
        assert (module.encode(x)[0, 1] - plain[0, 1]).abs().mean() < 1
