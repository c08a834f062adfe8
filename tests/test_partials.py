"""The bank of partials: what it hears of known sines, what it plays, and that the pitch is the label's."""

import math

import numpy as np
import pytest
import torch
import toy_model
from signals import frequency_hz
from torch import Tensor

from wavevae.config import ModelConfig
from wavevae.nn.linear_init import init_from_partials
from wavevae.nn.model import Autoencoder
from wavevae.nn.oscillators import PartialAnalysis, PartialSynthesis, cycles_per_sample

RATE, HOP, COUNT = 16000, 256, 24
SHAPE = ModelConfig(
    sample_rate=RATE,
    widths=(8, 12, 48),
    latent_dim=40,
    noise_bands=2,
    dilations=(1,),
    condition="pitch",
    partials=24,
)


def hz(pitch: float) -> float:
    return 440.0 * 2 ** ((pitch - 69) / 12)


def note(pitch: float, partials: dict[int, complex], samples: int = 8192) -> Tensor:
    """(1, 1, samples): a sum of partials of complex amplitude."""
    t = torch.arange(samples, dtype=torch.float64) / RATE
    waves = [abs(a) * torch.cos(2 * math.pi * k * hz(pitch) * t + np.angle(a)) for k, a in partials.items()]
    return torch.stack(waves).sum(0).float()[None, None]


def analysis() -> PartialAnalysis:
    return PartialAnalysis(COUNT, 8, HOP, RATE)


@pytest.mark.parametrize("pitch", [45.0, 57.3, 69.0, 80.5])
def test_a_partial_s_amplitude_and_phase_are_heard(pitch: float) -> None:
    wanted = {1: 0.5 * np.exp(1.0j), 3: 0.2 * np.exp(-0.5j)}
    heard = analysis().amplitudes(note(pitch, wanted), torch.tensor([pitch]))[0, :, 8]
    heard = torch.complex(heard[:COUNT], heard[COUNT:]).numpy()
    for k in range(1, 6):
        assert abs(heard[k - 1] - wanted.get(k, 0.0)) < 0.01


def test_what_is_heard_knows_no_pitch() -> None:
    """The same partials at two pitches: the same features."""
    wanted = {1: 0.4 + 0.1j, 2: 0.2j, 5: -0.1 + 0j}
    low, high = (analysis().amplitudes(note(p, wanted), torch.tensor([p]))[..., 4:20] for p in (52.0, 61.7))
    torch.testing.assert_close(low, high, rtol=0, atol=0.01)


def test_what_is_played_is_what_was_heard() -> None:
    pitch, x = torch.tensor([57.0]), note(57.0, {1: 0.3 + 0.2j, 2: 0.1j, 7: 0.05 + 0j})
    y = PartialSynthesis(COUNT, 8, HOP, RATE).play(analysis().amplitudes(x, pitch), pitch)
    assert float((y - x)[..., 1024:].abs().max()) < 0.01


def test_without_a_pitch_nothing_is_heard_or_played() -> None:
    pitch = torch.tensor([torch.nan])
    amplitudes = analysis().amplitudes(note(60.0, {1: 0.5 + 0j}), pitch)
    assert float(amplitudes.abs().max()) == 0.0
    assert float(PartialSynthesis(COUNT, 8, HOP, RATE).play(torch.ones(1, 48, 9), pitch).abs().max()) == 0.0
    assert float(cycles_per_sample(pitch, RATE)) == 0.0


def test_no_partial_is_played_above_the_limit() -> None:
    """Partials of a high note beyond 0.45 of the rate are left out, not folded back."""
    y = PartialSynthesis(COUNT, 8, HOP, RATE).play(torch.ones(1, 48, 40), torch.tensor([90.3]))
    spectrum = np.abs(np.fft.rfft(y.flatten().numpy() * np.hanning(y.shape[-1])))
    bins = np.fft.rfftfreq(y.shape[-1], 1 / RATE) / hz(90.3)
    between = (np.abs(bins - bins.round()) > 0.1) | (bins > 0.46 * RATE / hz(90.3))
    assert spectrum[between].max() < 0.01 * spectrum.max()


def test_phases_are_exact_after_ten_minutes() -> None:
    frames = 600 * RATE // HOP
    synthesis, pitch = PartialSynthesis(1, 8, HOP, RATE), torch.tensor([69.0])
    late = torch.zeros(1, 2, frames)
    late[:, 0, -9:] = 1.0
    y = synthesis.play(late, pitch)[0, 0, -8 * HOP :].double()
    t = torch.arange(frames * HOP - 8 * HOP, frames * HOP, dtype=torch.float64) / RATE
    torch.testing.assert_close(y, torch.cos(2 * math.pi * 440 * t), rtol=0, atol=1e-4)


def started() -> tuple[Autoencoder, Tensor, Tensor]:
    """A model started from notes of many pitches and partials, the notes, their pitches."""
    rng = np.random.default_rng(0)
    pitches = rng.uniform(45, 75, 40)
    notes = [
        note(p, {k: 0.3 / k * np.exp(1j * rng.uniform(-3, 3)) for k in range(1, 9)}, 4096) for p in pitches
    ]
    torch.manual_seed(0)
    model = Autoencoder(SHAPE).eval()
    audio, pitch = torch.cat(notes), torch.tensor(pitches, dtype=torch.float32)
    assert init_from_partials(model, audio, pitch) > 0.95
    return model, audio, pitch


def test_a_start_from_partials_is_a_codec_already() -> None:
    model, audio, pitch = started()
    condition = model.condition(batch=len(audio))
    assert condition is not None
    condition.pitch.copy_(pitch)
    with torch.inference_mode():
        y = model(audio, condition)
    error = (y - audio)[..., 1024:].square().mean() / audio[..., 1024:].square().mean()
    assert float(error) < 0.02


@pytest.mark.parametrize("pitch", [48.0, 55.25, 64.0, 71.0])
def test_one_latent_under_a_pitch_is_a_sound_at_it(pitch: float) -> None:
    """Latents of a note at 57 decoded under another pitch: within two cents of it."""
    model, _, _ = started()
    with torch.inference_mode():
        x = note(57.0, {1: 0.5 + 0.1j, 2: 0.1j, 3: 0.05 + 0j})
        z = model.encode(x, condition=model.condition(pitch=57.0))
        y = model.decode(z, condition=model.condition(pitch=pitch))[..., 1024:]
    assert abs(1200 * math.log2(frequency_hz(y, RATE) / hz(pitch))) < 2


def test_a_pitched_model_is_causal_and_hears_as_far_back_as_it_says() -> None:
    model = toy_model.make(SHAPE)
    condition, reach = model.condition(pitch=60.0), model.receptive_field
    x = toy_model.sound(12 * HOP)
    with torch.inference_mode():
        later = x.clone()
        later[..., 5 * HOP :] = 0.5
        assert torch.equal(model(later, condition)[..., : 5 * HOP], model(x, condition)[..., : 5 * HOP])
        end = (reach // HOP + 3) * HOP
        for back, reached in ((reach, True), (reach + 1, False)):
            x = torch.zeros(1, 1, end)
            x[..., end - back] = torch.nan
            assert model(x, condition)[..., end - HOP].isnan().item() is reached
