"""Training of an instrument: sound and pitch track stay together, batches are a function of the step, names mean what
they say, and a corpus gets the oscillators that it needs."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from small_instrument import HOP, RATE, SHAPE, controls, melody, small

from wavevae.augment import Augmenter
from wavevae.config import RunConfig, override
from wavevae.corpus import Chunks, Item, Store
from wavevae.corpus.pitch_track import PitchTrack, pitch_track
from wavevae.objectives.losses import MultiResolutionSTFT, MultiScaleLogMel, SharedSpectra
from wavevae.objectives.named_axes import NamedAxes
from wavevae.train.arguments import Plan
from wavevae.train.batches import LEAD_FRAMES, InstrumentBatch, InstrumentBatches
from wavevae.train.budget import Budget
from wavevae.train.instrument_module import InstrumentModule, choose_oscillators, control_ranges
from wavevae.train.run_folder import RunFolder

LATE = small().algorithmic_latency


def config(**changes: Any) -> RunConfig:
    """A run of a small instrument."""
    train = {"n_ffts": (256,), "mel_windows": (256,), "max_time_s": None, "max_steps": 4, "init": "random"}
    return override(RunConfig(), {**SHAPE, **train, "chunk_seconds": 0.5, "batch_size": 3, **changes})


def glide(seconds: float, low_hz: float, octaves: float) -> np.ndarray:
    """A tone of eight partials, `octaves` higher at its end."""
    t = np.arange(round(seconds * RATE)) / RATE
    phase = np.cumsum(low_hz * 2 ** (octaves * t / seconds)) / RATE
    return 0.3 * sum(np.sin(2 * np.pi * k * phase) / k for k in range(1, 9))


def store_of(*sounds: np.ndarray) -> Store:
    """Decoded, one after the other."""
    samples = np.round(np.concatenate(sounds) * 32767 * 0.5).astype(np.int16)
    ends = np.cumsum([len(s) for s in sounds])
    items = [
        Item(Path(f"{n}.wav"), int(end - len(s)), len(s), key=str(n))
        for n, (s, end) in enumerate(zip(sounds, ends, strict=True))
    ]
    return Store(samples, items, RATE, "toy", [])


@pytest.fixture(scope="module")
def gliding(tmp_path_factory: pytest.TempPathFactory) -> tuple[Store, PitchTrack]:
    """Two glides and what the tracker finds in them."""
    store = store_of(glide(2.0, 150, 1.5), glide(1.7, 500, -1.2))
    return store, pitch_track(store, HOP, tmp_path_factory.mktemp("cache"), lambda *_: None)


def batches(store: Store, track: PitchTrack | None, **changes: Any) -> InstrumentBatches:
    of = config(**changes)
    chunks = Chunks(store, store.items, round(of.data.chunk_seconds * RATE), 0.5)
    return InstrumentBatches(of.model, track, store, chunks, Augmenter(of.data, RATE), 3, 1)


def test_track_and_sound_of_an_excerpt_belong_together(gliding: tuple[Store, PitchTrack]) -> None:
    made = batches(*gliding, polarity=0.0)
    model, compared = small(), 0
    for step in range(4):
        batch = made.batch(step)
        assert batch.sound.shape[2] == batch.track.shape[2] * HOP
        heard = model.encoder.tracker(batch.sound)
        warm = slice(LATE // HOP + 6, None)  # the tracker begins in the middle of a sound here
        sure = (heard[:, 1] > 0.8) & (batch.track[:, 1] > 0.8)
        apart = (heard[:, 0] - batch.track[:, 0]).abs()[:, warm][sure[:, warm]]
        compared += len(apart)
        assert float(apart.median()) < 0.02  # a frame is 0.14 semitones of the glide
        assert float(apart.quantile(0.9)) < 0.07
    assert compared > 200


def test_beyond_the_ends_of_a_sound_is_silence_that_is_not_periodic(
    gliding: tuple[Store, PitchTrack],
) -> None:
    store, track = gliding
    made = batches(store, track)
    known = track.item(0).shape[1]
    found = made._track(0, -4, known + 8)
    assert (found[1, :4] == 0).all()
    assert (found[1, -4:] == 0).all()
    assert (found[0, :4] == track.item(0)[0, 0]).all()
    np.testing.assert_array_equal(found[:, 4:-4], track.item(0))


def test_a_batch_depends_on_its_step_only(gliding: tuple[Store, PitchTrack]) -> None:
    first, second = batches(*gliding, gain_db=6.0), batches(*gliding, gain_db=6.0)
    for step in (5, 0, 5):
        for a, b in zip(first.batch(step), second.batch(step), strict=True):
            torch.testing.assert_close(a, b, rtol=0, atol=0, equal_nan=True)
    assert not torch.equal(first.batch(5).sound, first.batch(6).sound)


# -- what a corpus needs ------------------------------------------------------------------------------------


def track_of(periodicity: np.ndarray, loudness: np.ndarray | None = None) -> PitchTrack:
    """Of one item."""
    frames = len(periodicity)
    pitch = np.linspace(50, 70, frames)
    loud = np.full(frames, -20.0) if loudness is None else loudness
    values = np.stack([pitch, periodicity, loud]).astype(np.float32)
    return PitchTrack(values, np.array([0]), np.array([frames]), HOP)


def chosen(track: PitchTrack, sound: np.ndarray | None = None, **changes: Any) -> str:
    """The oscillators of a run on such a corpus, whose every second is `sound`."""
    plan = Plan(config(**{"oscillators": "auto"} | changes), RunFolder(Path("x")), (), "instrument", True)
    store = SimpleNamespace(sample_rate=RATE)
    read = lambda chosen: np.stack([sound for _ in chosen])  # noqa: E731
    data: Any = SimpleNamespace(track=track, store=store, spread=range, read=read)
    return choose_oscillators(plan, data).config.model.oscillators


def test_pitched_sounds_get_a_pitch_and_noise_gets_none(capsys: pytest.CaptureFixture[str]) -> None:
    assert chosen(track_of(np.full(100, 0.9))) == "harmonic"
    assert "100%" in capsys.readouterr().err
    noise = np.random.default_rng(0).normal(size=RATE).astype(np.float32)
    chord = sum(np.sin(2 * np.pi * hz * np.arange(RATE) / RATE) for hz in (261.0, 331.0, 392.0, 495.0))
    unvoiced = track_of(np.full(100, 0.1))
    assert chosen(unvoiced, noise) == "none"
    assert "noise alone, no pitch" in capsys.readouterr().err
    assert chosen(unvoiced, (chord + 0.01 * noise).astype(np.float32)) == "dense"
    assert "dense carriers" in capsys.readouterr().err


def test_what_was_asked_for_is_kept() -> None:
    assert chosen(track_of(np.full(100, 0.1)), oscillators="harmonic") == "harmonic"
    assert chosen(track_of(np.full(100, 0.9)), oscillators="both") == "both"


def test_silence_between_pitched_sounds_does_not_count() -> None:
    periodicity = np.where(np.arange(100) < 30, 0.9, 0.0)
    loudness = np.where(np.arange(100) < 30, -20.0, -90.0)
    assert chosen(track_of(periodicity, loudness)) == "harmonic"


def test_the_decoder_hears_pitches_within_the_range_of_what_is_voiced() -> None:
    track = track_of(np.where(np.arange(1000) < 500, 0.9, 0.1))
    (low, high), loudness, periodicity = control_ranges(track, ("pitch", "loudness", "periodicity"))
    assert low == pytest.approx(50.1, abs=0.1)
    assert high == pytest.approx(59.9, abs=0.1)
    assert loudness == (-20.0, -20.0)
    assert periodicity == pytest.approx((0.1, 0.9))


# -- objectives ---------------------------------------------------------------------------------------------


def test_shared_spectra_are_the_two_distances_away_from_the_edges() -> None:
    x, y = melody(60, 0), 0.7 * melody(60, 1)
    x[..., : 8 * HOP] = x[..., -8 * HOP :] = y[..., : 8 * HOP] = y[..., -8 * HOP :] = 0.0
    ffts = (256, 512, 1024)
    stft, mel = SharedSpectra(ffts, RATE)(x, y)
    assert float(stft) == pytest.approx(float(MultiResolutionSTFT(ffts)(x, y)), rel=1e-5)
    assert float(mel) == pytest.approx(float(MultiScaleLogMel(ffts, RATE)(x, y)), rel=1e-5)


def test_the_weights_of_the_loss_are_those_of_the_configuration() -> None:
    of = config(mr_stft=2.0, mr_stft_end=2.0, log_mel=3.0, log_mel_end=3.0, kl=1e-3, kl_schedule="constant")
    module = InstrumentModule(of, Budget(None, 4))
    terms = loss_and_terms(module)
    weights = {"mr_stft": 2.0, "log_mel": 3.0, "waveform_l1": 3.0, "kl": 1e-3, "named_axes": 0.1}
    expected = sum(weight * float(terms[name]) for name, weight in weights.items())
    assert float(terms["total"]) == pytest.approx(expected, rel=1e-5)


def loss_and_terms(module: InstrumentModule) -> dict[str, torch.Tensor]:
    """Of one step."""
    frames = LEAD_FRAMES + 20 + LATE // HOP
    sound = torch.cat([melody(frames, n) for n in range(3)])
    track = torch.stack([torch.full((3, frames), 60.0), torch.ones(3, frames)], 1)
    batch = InstrumentBatch(sound, track, torch.full((3,), -1), torch.full((3,), torch.nan))
    module.training_step(batch, 0)
    return module.terms


# -- named latents ------------------------------------------------------------------------------------------


def test_named_latents_are_free_of_pitch_and_loudness() -> None:
    model = small()
    names = NamedAxes(model.decoder)
    generator = torch.Generator().manual_seed(0)
    z = torch.zeros(4, model.latent_dim, 500)
    z[:, 0] = 50 + 20 * torch.rand(4, 500, generator=generator)
    z[:, 1] = -40 + 20 * torch.rand(4, 500, generator=generator)
    own = torch.randn(4, 2, 500, generator=generator)
    explaining = names.explaining(model.decoder, z)
    found = 3.0 + 0.2 * (z[:, :1] - 60) - 0.1 * z[:, 1:2] + 0.5 * own
    names.observe(explaining, found, torch.ones(4, 500))
    free = names.free(explaining, found).transpose(0, 1).flatten(1)
    pitch, loudness = z[:, 0].flatten(), z[:, 1].flatten()
    for attribute, truth in zip(free, own.transpose(0, 1).flatten(1), strict=True):
        corner = torch.corrcoef(torch.stack([attribute, pitch, loudness, truth]))[0]
        assert float(corner[1:3].abs().max()) < 0.05  # pitch alone would give 0.9
        assert float(corner[3]) > 0.99
        assert float(attribute.std()) == pytest.approx(1.0, abs=0.05)


def test_the_leakage_term_drives_pitch_out_of_a_latent_and_leaves_a_free_one() -> None:
    model = small()
    names = NamedAxes(model.decoder)
    generator = torch.Generator().manual_seed(0)
    learned = model.latent_dim - model.decoder.n_controls
    slope = torch.zeros(learned, requires_grad=True)
    with torch.no_grad():
        slope[0] = 1.0
    optimizer = torch.optim.SGD([slope], 0.05)
    values = []
    for _ in range(400):
        z = torch.zeros(4, model.latent_dim, 50)
        z[:, 0] = 60 + 6 * torch.randn(4, 50, generator=generator)
        z[:, 1] = -40 + 6 * torch.randn(4, 50, generator=generator)
        own = torch.randn(4, learned, 50, generator=generator)
        explaining = names.explaining(model.decoder, z)
        names.observe(explaining, torch.zeros(4, 2, 50), torch.ones(4, 50))
        leaking = own + slope[:, None] * (z[:, :1] - 60) / 6
        loss = names.leakage(explaining, leaking, torch.ones(4, 50))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        values.append(float(loss.detach()))
    assert abs(float(slope[0].detach())) < 0.2  # it began at a correlation of 0.7
    assert float(slope[1:].detach().abs().max()) < 0.2
    assert values[-1] < 0.2 * max(values)


def test_attributes_say_how_bright_and_how_noisy_a_frame_is() -> None:
    model = small()
    shares, outlet = model.decoder.shares, model.decoder.outlet.conv
    first = shares.partials + shares.envelope

    def of(tilt: float, noise: float) -> tuple[float, float]:
        with torch.no_grad():
            outlet.weight.zero_()
            outlet.bias.zero_()
            outlet.bias[: shares.partials] = tilt * torch.arange(shares.partials)
            outlet.bias[first:] = noise
            frame = model.decoder.frames(controls(model, 1))
        brightness, noisiness = model.decoder.attributes(frame)[0, :, 0]
        return float(brightness), float(noisiness)

    dull, bright, noisy = of(-2.0, -20.0), of(-0.1, -20.0), of(-2.0, 0.0)
    assert bright[0] > dull[0] + 1.0  # an octave
    assert 2 ** dull[0] - 20 == pytest.approx(
        sum(k * np.exp(-2.0 * (k - 1)) for k in range(1, 25))
        * (1 - np.exp(-2.0))
        * 440
        * 2 ** ((57.3 - 69) / 12),
        rel=0.02,
    )
    assert noisy[1] > dull[1] + 10


def test_training_brings_the_named_latents_to_their_attributes() -> None:
    module = InstrumentModule(config(), Budget(None, 60))
    optimizer = torch.optim.Adam(module.model.parameters(), 3e-3)
    frames = LEAD_FRAMES + 20 + LATE // HOP
    sound = torch.cat([melody(frames, n) * 0.5**n for n in range(4)])
    track = module.instrument.encoder.tracker(sound)
    batch = InstrumentBatch(sound, track, torch.full((4,), -1), torch.full((4,), torch.nan))
    losses = []
    for _ in range(40):
        optimizer.zero_grad()
        module.training_step(batch, 0).backward()
        optimizer.step()
        losses.append({k: float(v) for k, v in module.terms.items()})
    assert losses[-1]["total"] < 0.8 * losses[0]["total"]
    assert losses[-1]["named_axes"] < losses[0]["named_axes"]
