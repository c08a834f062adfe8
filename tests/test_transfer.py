"""Foreign sound fitted to a corpus: what is kept to the cent, what moves, what stays silent; glides between sounds."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from wavevae.config import ModelConfig
from wavevae.errors import UserError
from wavevae.nn.instrument import Instrument
from wavevae.realtime.offline.render_sources import mixed, voiced
from wavevae.transfer import CorpusProfile, corpus_profile, fit_latents

CONFIG = ModelConfig(
    family="instrument",
    oscillators="harmonic",
    latent_dim=4,
    decoder_width=16,
    encoder_width=16,
    decoder_dilations=(1, 2),
    mel_bands=20,
    envelope_bands=16,
    noise_bands=16,
    partials=24,
)
RATE = CONFIG.frame_rate
PITCH, LOUDNESS, PERIODICITY, LEARNED = 0, 1, 2, slice(3, 7)
SILENT_DB = -100.0


def notes(
    pitches: list[float], loudness: float, spread_db: float = 6.0, learned: float = 0.0, seed: int = 0
) -> np.ndarray:
    """Latents of held notes of half a second with pauses of silence between them, (frames, 7)."""
    rng = np.random.default_rng(seed)
    parts = []
    for pitch in pitches:
        part = np.empty((round(0.6 * RATE), 7))
        part[:, PITCH] = pitch + rng.normal(0, 0.02, len(part))
        part[:, LOUDNESS] = loudness + spread_db * rng.normal(0, 0.5)
        part[:, PERIODICITY] = 0.98
        part[:, LEARNED] = learned + rng.normal(0, 1, 4) + rng.normal(0, 0.1, (len(part), 4))
        part[-round(0.1 * RATE) :, LOUDNESS] = SILENT_DB
        part[-round(0.1 * RATE) :, PERIODICITY] = 0.0
        parts.append(part)
    return np.concatenate(parts)


SCALE = [float(p) for p in range(50, 80)]


@pytest.fixture(scope="module")
def corpus() -> list[np.ndarray]:
    return [notes(SCALE, -20.0, learned=1.0, seed=n) for n in range(4)]


@pytest.fixture(scope="module")
def profile(corpus: list[np.ndarray]) -> CorpusProfile:
    return corpus_profile(corpus, CONFIG)


# -- what a corpus is like ------------------------------------------------------------------------------------


def test_a_profile_says_what_went_in_and_travels_as_json(profile: CorpusProfile) -> None:
    low, middle, high = profile.pitch
    assert (low, middle, high) == pytest.approx((50, 64.5, 79), abs=0.6)
    assert profile.loudness[16] == pytest.approx(-20, abs=1.0)
    assert np.mean(profile.mean[LEARNED]) == pytest.approx(1.0, abs=0.25)
    assert CorpusProfile.from_dict(json.loads(json.dumps(profile.to_dict()))) == profile
    with pytest.raises(UserError, match="export the model again"):
        CorpusProfile.from_dict({"axis_names": ["pitch"]})


def test_the_life_of_a_tone_is_its_slow_movement_and_neither_its_drift_nor_its_roughness() -> None:
    time = np.arange(round(1.5 * RATE)) / RATE
    still = np.tile([60.0, -20.0, 0.98, 0, 0, 0, 0], (len(time), 1))
    moving = still.copy()
    moving[:, 3] += np.sqrt(2) * 0.5 * np.sin(2 * np.pi * 3 * time)  # 3 Hz: life
    moving[:, 4] += 3.0 * time  # a way: none
    moving[:, 5] += np.sqrt(2) * 0.5 * np.sin(2 * np.pi * 30 * time)  # roughness: none
    moving[:, PITCH] += np.sqrt(2) * 0.1 * np.sin(2 * np.pi * 5 * time)  # vibrato
    spread = corpus_profile([moving] * 3, CONFIG).life_spread
    assert spread[3] == pytest.approx(0.5, rel=0.25)
    assert spread[PITCH] == pytest.approx(0.1, rel=0.5)
    assert max(spread[4], spread[5], spread[6]) < 0.03
    assert max(corpus_profile([still] * 3, CONFIG).life_spread) < 1e-6


def test_the_ranges_are_those_of_the_whole_corpus_where_it_was_tracked(
    corpus: list[np.ndarray], profile: CorpusProfile
) -> None:
    track = np.concatenate(corpus)[:, [PITCH, PERIODICITY, LOUDNESS]].T
    few = [part[: round(3 * RATE)] for part in corpus]
    known = corpus_profile(few, CONFIG, track)
    assert corpus_profile(few, CONFIG).pitch[-1] < 60
    assert (known.pitch, known.loudness, known.low[:3]) == (profile.pitch, profile.loudness, profile.low[:3])
    assert known.mean[LEARNED] == corpus_profile(few, CONFIG).mean[LEARNED]


@pytest.mark.parametrize("frames", [0, 1, 3])
def test_a_few_frames_or_none_are_enough(frames: int) -> None:
    profile = corpus_profile([notes([60.0], -20.0)[:frames]], CONFIG)
    z = notes([62.0], -30.0)
    fitted = fit_latents(z, profile)
    assert np.isfinite(fitted).all()
    assert np.isfinite(profile.life_spread).all()
    silent = corpus_profile([np.full((50, 7), SILENT_DB)], CONFIG)
    np.testing.assert_allclose(fit_latents(z, silent), z, atol=1e-4)


def test_units_of_a_file_give_the_same_fit(profile: CorpusProfile) -> None:
    offset = np.array([0, 0, 0, 0.7, -0.3, 0.2, 1.0])
    scale = np.array([1, 1, 1, 0.5, 2.0, 0.8, 3.0])
    z = notes([40.0, 43.0, 47.0], -35.0, learned=-2.0)
    natural = fit_latents(z, profile)
    in_file = fit_latents((z - offset) / scale, profile.in_units(offset, scale))
    np.testing.assert_allclose(in_file * scale + offset, natural, atol=2e-3)
    with pytest.raises(ValueError, match="natural units"):
        profile.in_units(np.ones(7), np.ones(7))
    assert profile.in_units(offset[:5], scale[:5]).axis_names == CONFIG.axis_names[:5]


# -- fitting --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("pitches", "semitones"),
    [
        ([60.0, 62.0, 64.0], 0),
        ([50.0, 50.5, 51.0], 0),
        ([40.0, 43.0, 45.0], 12),
        ([30.0, 33.0], 24),
        ([100.0, 95.0], -24),
    ],
)
def test_a_melody_moves_by_whole_octaves_only_into_the_range(
    profile: CorpusProfile, pitches: list[float], semitones: int
) -> None:
    z = notes(pitches, -30.0)
    fitted = fit_latents(z, profile)
    np.testing.assert_allclose(fitted[:, PITCH] - z[:, PITCH], semitones, atol=0.001)


def test_a_stray_pitch_far_beyond_the_range_is_brought_back_by_octaves(profile: CorpusProfile) -> None:
    z = notes([60.0, 62.0, 64.0, 65.0], -30.0)
    z[7, PITCH], z[9, PITCH], z[11, PITCH] = 31.25, 97.5, 81.5
    fitted = fit_latents(z, profile)
    np.testing.assert_allclose(fitted[[7, 9, 11], PITCH], [55.25, 73.5, 81.5], atol=1e-3)  # 81.5: near enough
    z[5, PITCH], z[5, PERIODICITY] = 90.0, 0.1
    assert fit_latents(z, profile)[5, PITCH] == pytest.approx(60, abs=0.2)  # hiss: as its voiced neighbours
    z[5] = z[4]
    fitted = fit_latents(z, profile)
    moved = (fitted[:, PITCH] - z[:, PITCH]) / 12
    np.testing.assert_allclose(moved, np.round(moved), atol=1e-4)
    exact = fit_latents(z, profile, transpose=12.0)
    np.testing.assert_allclose(exact[:, PITCH] - z[:, PITCH], 12.0, atol=1e-3)


def test_a_corpus_of_one_pitch_keeps_octaves_too() -> None:
    one = corpus_profile([notes([60.0] * 4, -20.0)], CONFIG)
    fitted = fit_latents(notes([50.0], -20.0), one)
    assert np.median(fitted[:, PITCH]) == pytest.approx(62, abs=0.1)


def test_loudness_becomes_the_corpus_in_its_old_order(profile: CorpusProfile) -> None:
    z = notes([60.0] * 40, -45.0, spread_db=8.0)
    fitted = fit_latents(z, profile)
    loud = z[:, LOUDNESS] > -80
    assert np.median(fitted[loud, LOUDNESS]) == pytest.approx(profile.loudness[16], abs=0.5)
    order = np.argsort(z[:, LOUDNESS], kind="stable")
    assert (np.diff(fitted[order, LOUDNESS]) >= -1e-4).all()


@pytest.mark.parametrize("level", [-10.0, -30.0, -55.0])
def test_silence_stays_silent_and_the_noise_floor_stays_as_far_below(
    profile: CorpusProfile, level: float
) -> None:
    z = notes([60.0] * 10, level)
    floor = z[:, LOUDNESS] == SILENT_DB
    noise = np.flatnonzero(floor)[::2]
    loudest = z[:, LOUDNESS].max()
    z[noise, LOUDNESS] = loudest - 45.0
    fitted = fit_latents(z, profile)
    still = floor & (z[:, LOUDNESS] == SILENT_DB)
    np.testing.assert_allclose(fitted[still, LOUDNESS], SILENT_DB, atol=1e-3)
    assert (fitted[:, LOUDNESS].max() - fitted[noise, LOUDNESS]).min() >= 45.0 - 0.1


def test_timbre_gets_the_mean_of_the_corpus_and_stays_within_its_range(profile: CorpusProfile) -> None:
    z = notes([60.0] * 60, -20.0, learned=-3.0)
    fitted = fit_latents(z, profile)
    loud = z[:, LOUDNESS] > -80
    np.testing.assert_allclose(fitted[loud, LEARNED].mean(0), profile.mean[LEARNED], atol=0.15)
    assert (fitted[:, LEARNED] >= np.array(profile.low[LEARNED]) - 1e-4).all()
    assert (fitted[:, LEARNED] <= np.array(profile.high[LEARNED]) + 1e-4).all()
    held = z.copy()
    held[:, LEARNED] = -3.0 + 0.01 * np.sin(np.arange(len(z)))[:, None]
    assert fit_latents(held, profile)[loud, LEARNED].std(0).max() < 0.02, "a still timbre is not blown up"


def test_fit_zero_is_the_identity_and_between_lies_a_line(profile: CorpusProfile) -> None:
    z = notes([60.0, 64.0], -40.0, learned=-2.0).astype(np.float32)
    np.testing.assert_array_equal(fit_latents(z, profile, fit=0.0), z)
    half, whole = (fit_latents(z, profile, fit=fit) for fit in (0.5, 1.0))
    np.testing.assert_allclose(half, (z + whole) / 2, atol=1e-4)


def test_a_long_sound_of_the_corpus_changes_little(corpus: list[np.ndarray], profile: CorpusProfile) -> None:
    z = notes(SCALE, -20.0, learned=1.0, seed=99)
    fitted = fit_latents(z, profile)
    loud = z[:, LOUDNESS] > -80
    assert np.abs(fitted - z)[loud, LOUDNESS].mean() < 1.5
    assert np.abs(fitted - z)[loud, LEARNED].mean() < 0.3 * z[loud, LEARNED].std()
    assert np.array_equal(fitted[:, PITCH], z[:, PITCH].astype(np.float32))


def test_what_cannot_be_is_refused_with_the_numbers(profile: CorpusProfile) -> None:
    z = notes([96.0], -20.0)
    with pytest.raises(UserError, match=r"transpose is 40: .* MIDI 96 to 96, .* use -119 to 28 semitones"):
        fit_latents(z, profile, transpose=40.0)
    assert fit_latents(z, profile, transpose=28.0)[0, PITCH] == pytest.approx(z[0, PITCH] + 28, abs=1e-3)
    for bad in ("up", float("nan"), float("inf")):
        with pytest.raises(UserError, match=f"transpose is {bad}"):
            fit_latents(z, profile, transpose=bad)
    for bad in (-0.1, 1.5, float("nan")):
        with pytest.raises(UserError, match=r"fit is .*; use 0"):
            fit_latents(z, profile, fit=bad)


def test_a_corpus_without_pitch_is_fitted_in_loudness_and_timbre() -> None:
    config = replace(CONFIG, oscillators="dense")
    rng = np.random.default_rng(0)
    texture = np.concatenate([rng.normal(-20, 1, (300, 1)), rng.normal(1, 1, (300, 4))], 1)
    profile = corpus_profile([texture], config)
    assert profile.pitch == ()
    assert min(profile.life_spread) > 0
    z = np.concatenate([rng.normal(-50, 1, (300, 1)), rng.normal(-2, 1, (300, 4))], 1)
    fitted = fit_latents(z, profile)
    assert np.median(fitted[:, 0]) == pytest.approx(-20, abs=0.5)
    np.testing.assert_allclose(fitted[:, 1:].mean(0), profile.mean[1:], atol=0.2)


# -- a model with a profile -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def model(profile: CorpusProfile) -> Instrument:
    torch.manual_seed(0)
    made = Instrument(CONFIG).eval()
    made.profile, made.life = profile, 0.0
    return made


def tone(hz: float, seconds: float, level_db: float = -30.0) -> torch.Tensor:
    time = torch.arange(round(seconds * CONFIG.sample_rate)) / CONFIG.sample_rate
    x = sum(torch.sin(2 * np.pi * k * hz * time) / k for k in range(1, 6))
    assert isinstance(x, torch.Tensor)
    return (x / x.square().mean().sqrt() * 10 ** (level_db / 20))[None, None]


@torch.no_grad()
def test_a_low_tone_sounds_an_octave_up_and_as_loud_as_the_corpus(model: Instrument) -> None:
    x = tone(440 * 2 ** ((42 - 69) / 12), 1.0)
    z = model.encode(model.pad_for_latency(x))
    sound = model.compensate_latency(model.fit_latents(z), x.shape[-1])
    heard = model.encode(sound)[0, :, 30:70]
    assert heard[PITCH].median().item() == pytest.approx(54, abs=0.1)
    assert heard[LOUDNESS].median().item() == pytest.approx(-20, abs=1.5)


@torch.no_grad()
def test_silence_goes_in_and_silence_comes_out(model: Instrument) -> None:
    z = model.encode(torch.zeros(2, 1, CONFIG.sample_rate // 2))
    fitted = model.fit_latents(z)
    torch.testing.assert_close(fitted, z)
    assert model.decode(fitted).abs().max() < 1e-4


def test_without_a_profile_there_is_nothing_to_fit_to() -> None:
    with pytest.raises(UserError, match="no profile of its corpus"):
        Instrument(CONFIG).fit_latents(torch.zeros(1, 7, 4))


# -- glides ---------------------------------------------------------------------------------------------------


def test_half_way_lies_the_pitch_half_way_whatever_the_lengths() -> None:
    a, b = notes([50.0], -30.0)[:40].astype(np.float32), notes([62.0], -10.0)[:15].astype(np.float32)
    a[:, PITCH], b[:, PITCH] = 50.0, 62.0
    way = mixed(*voiced(a, b), 0, 40)
    np.testing.assert_allclose(way[:, PITCH], np.linspace(50, 62, 40), atol=1e-4)
    assert way[0, LOUDNESS] == pytest.approx(a[0, LOUDNESS])
    assert way[-1, LOUDNESS] == pytest.approx(b[-1, LOUDNESS])
    np.testing.assert_allclose(way[20, LEARNED], (a[20, LEARNED] + b[7, LEARNED]) / 2, atol=0.2)


def test_where_there_is_no_pitch_the_voiced_neighbour_has_it() -> None:
    a, b = (notes([p], -20.0).astype(np.float32) for p in (50.0, 62.0))
    a[:, PITCH], b[:, PITCH] = 50.0, 62.0
    hiss = a[:, PERIODICITY] < 0.5
    a[hiss, PITCH] = 90.0  # what a tracker says of noise
    a[:5, PITCH], a[:5, PERIODICITY] = 20.0, 0.1
    way = mixed(*voiced(a, b), 0, len(a))
    np.testing.assert_allclose(way[:, PITCH], np.linspace(50, 62, len(a)), atol=1e-3)
    noise = b.copy()
    noise[:, PERIODICITY] = 0.0
    way = mixed(*voiced(a, noise), 0, len(a))
    np.testing.assert_allclose(way[:, PITCH], 50.0, atol=1e-3)
