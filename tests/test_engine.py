"""Controls and a block in, a block out: exact, continuous, without clicks."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from toy_bundle import HOP, LATENTS, SAMPLE_RATE, write_toy

from wavevae.bundle import Bundle, read_bundle
from wavevae.controls import GAIN, LATENT, ControlState, Note, Refused, Share, largest_packed
from wavevae.realtime.engine.engine import Engine, Limiter
from wavevae.realtime.engine.latent_sources import (
    ControlSource,
    EncodedInput,
    FrameSource,
    NoisySource,
    Ramp,
    largest_remainder,
)
from wavevae.realtime.engine.streaming_model import StreamingModel
from wavevae.realtime.engine.voices import SingleVoice

FRAME_RATE = SAMPLE_RATE / HOP
NEUTRAL = ControlState.initial(LATENTS)


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    path = tmp_path_factory.mktemp("toy") / "toy.ts"
    write_toy(path)
    torch.set_num_threads(1)
    return read_bundle(path)


@pytest.fixture
def bundle(toy: Bundle) -> Bundle:
    toy.module.reset()
    return toy


def make_engine(bundle: Bundle, fade_in: bool = False, **changes: object) -> Engine:
    source = ControlSource(replace(NEUTRAL, **changes), FRAME_RATE)  # type: ignore[arg-type]
    return play(bundle, source, fade_in)


def play(bundle: Bundle, source: FrameSource, fade_in: bool = False) -> Engine:
    return Engine(SingleVoice(StreamingModel(bundle)), SAMPLE_RATE, HOP, source, fade_in)


def decoded(bundle: Bundle, frames: np.ndarray) -> np.ndarray:
    """What the module itself makes of (F, latent_dim), in one call."""
    bundle.module.reset()
    with torch.inference_mode():
        audio = bundle.module.decode(torch.from_numpy(frames.T.copy())[None].float())[0, 0].numpy()
    bundle.module.reset()
    return audio


def steepest(audio: np.ndarray) -> float:
    """Largest step between neighbouring samples."""
    return float(np.abs(np.diff(audio)).max())


@pytest.mark.parametrize("block", [512, 128, 64, 480, 256, 1000, 7])
def test_any_block_size_plays_the_decoders_own_samples(bundle: Bundle, block: int) -> None:
    frames = math.ceil(6000 / HOP) + 4
    expected = decoded(bundle, np.zeros((frames, LATENTS)))
    engine = make_engine(bundle)
    heard = np.concatenate([engine.process(NEUTRAL, block) for _ in range(6000 // block)])
    np.testing.assert_array_equal(heard, expected[: len(heard)])
    assert len(engine._ready) <= largest_remainder(HOP, block)


def test_random_block_sizes_play_the_same(bundle: Bundle) -> None:
    expected = decoded(bundle, np.zeros((80, LATENTS)))
    sizes = np.random.default_rng(0).integers(1, 700, 40)
    engine = make_engine(bundle)
    heard = np.concatenate([engine.process(NEUTRAL, int(n)) for n in sizes])
    np.testing.assert_array_equal(heard, expected[: len(heard)])


def test_warm_up_leaves_no_trace(bundle: Bundle) -> None:
    expected = decoded(bundle, np.zeros((4, LATENTS)))
    engine = make_engine(bundle)
    engine.warm_up(480, NEUTRAL)
    np.testing.assert_array_equal(engine.process(NEUTRAL, 480), expected[:480])


def test_latents_glide_in_a_line_and_arrive_exactly() -> None:
    knobs = ControlSource(NEUTRAL, frame_rate=100.0)
    aimed = replace(NEUTRAL, smoothing_ms=100.0).with_latents((1.0, 0.0, -2.0, 0.0))
    path = np.concatenate([knobs.frames(n, aimed) for n in (1, 4, 3, 6)])
    np.testing.assert_allclose(path[:10, 0], np.arange(1, 11) / 10, rtol=1e-6)
    assert (path[9:, 0] == 1.0).all()
    assert (path[9:, 2] == -2.0).all()
    assert not path[:, 1].any()


def test_a_new_target_for_one_axis_leaves_the_glide_of_another_alone() -> None:
    ramp = Ramp([0.0, 0.0])
    ramp.aim([1.0, 0.0], 10)
    ramp.advance(5)
    ramp.aim([1.0, 1.0], 10)
    path = ramp.advance(10)
    assert path[4, 0] == 1.0
    assert path[4, 1] == pytest.approx(0.5)
    assert path[9, 1] == 1.0


def test_without_smoothing_the_next_frame_is_there() -> None:
    knobs = ControlSource(NEUTRAL, FRAME_RATE)
    assert (knobs.frames(1, NEUTRAL.with_latents((3.0,) * LATENTS, glide_ms=0.0)) == 3.0).all()


def test_start_gain_change_and_panic_do_not_click(bundle: Bundle) -> None:
    free = decoded(bundle, np.zeros((40, LATENTS)))
    engine = make_engine(bundle, fade_in=True)
    louder, panic = replace(NEUTRAL, gain_db=6.0), replace(NEUTRAL, gain_db=6.0, muted=True, resets=1)
    states = [NEUTRAL] * 4 + [louder] * 4 + [panic] * 4 + [replace(louder, resets=1)] * 4
    audio = np.concatenate([engine.process(state, 512) for state in states])
    assert abs(audio[0]) < 1e-3
    assert steepest(audio) < 2.2 * steepest(free)  # twice as loud, twice as steep
    settled = audio[6 * 512 : 8 * 512]
    np.testing.assert_allclose(settled, free[6 * 512 : 8 * 512] * 10 ** (6 / 20), atol=1e-6)


def test_panic_is_silence_within_its_fade_until_gain_or_reset(bundle: Bundle) -> None:
    engine = make_engine(bundle)
    engine.process(NEUTRAL, 512)
    muted = replace(NEUTRAL, muted=True, resets=1)
    fade = engine.process(muted, 512)
    assert np.abs(fade[:100]).max() > 0.01
    assert not fade[round(0.010 * SAMPLE_RATE) :].any()
    moved = replace(muted, latents=(2.0,) * LATENTS)
    assert not any(engine.process(moved, 512).any() for _ in range(5))
    after = np.concatenate([engine.process(replace(moved, muted=False), 512) for _ in range(2)])
    assert np.abs(after).max() > 0.1


def test_reset_starts_the_model_afresh_after_a_dip(bundle: Bundle) -> None:
    expected = decoded(bundle, np.zeros((8, LATENTS)))
    engine = make_engine(bundle)
    engine.process(NEUTRAL, 5 * 512)
    again = replace(NEUTRAL, resets=1)
    engine.process(again, 512)  # fades out
    assert not engine.process(again, 512).any()  # is cleared
    audio = np.concatenate([engine.process(again, 512) for _ in range(3)])
    np.testing.assert_array_equal(audio[512:], expected[512 : len(audio)])


def test_freeze_holds_whatever_moves(bundle: Bundle) -> None:
    engine = play(bundle, NoisySource(ControlSource(NEUTRAL, FRAME_RATE), 1, FRAME_RATE))
    shaking = replace(NEUTRAL, temperature=1.0, latents=(1.0,) * LATENTS)
    engine.process(shaking, 512)
    held = engine.latents
    assert held is not None
    engine.process(replace(shaking, frozen=True, latents=(-4.0,) * LATENTS), 1024)
    np.testing.assert_array_equal(engine.latents, held)
    engine.process(shaking, 512)
    assert (engine.latents != held).all()


def test_noise_is_the_seeds_and_as_wide_as_the_temperature() -> None:
    hot = replace(NEUTRAL, temperature=0.5)
    whole = NoisySource(ControlSource(NEUTRAL, FRAME_RATE), 3, FRAME_RATE).frames(4000, hot)
    parts = NoisySource(ControlSource(NEUTRAL, FRAME_RATE), 3, FRAME_RATE)
    np.testing.assert_array_equal(whole, np.concatenate([parts.frames(n, hot) for n in (1, 999, 3000)]))
    assert whole.std() == pytest.approx(0.5, rel=0.02)
    assert not NoisySource(ControlSource(NEUTRAL, FRAME_RATE), 3, FRAME_RATE).frames(9, NEUTRAL).any()


def test_output_stays_within_full_scale_and_says_how_much_did_not(bundle: Bundle) -> None:
    loud = replace(NEUTRAL, gain_db=24.0)
    engine = make_engine(bundle, gain_db=24.0)
    free = decoded(bundle, np.zeros((8, LATENTS))) * 10 ** (24 / 20)
    audio = engine.process(loud, 2048)
    assert 0.99 < np.abs(audio).max() <= 1.0
    assert engine.limiter.limited == np.count_nonzero(np.abs(free) > 1)
    assert engine.limiter.peak == pytest.approx(np.abs(free).max(), rel=1e-5)


def test_the_limiter_turns_down_what_follows_a_peak_and_lets_the_quiet_alone() -> None:
    time = np.arange(SAMPLE_RATE) / SAMPLE_RATE
    wave = np.sin(2 * np.pi * 220 * time).astype(np.float32)
    loud = 3 * wave
    limiter = Limiter(SAMPLE_RATE)
    out = np.concatenate([limiter.process(part) for part in np.split(loud, 50)])
    whole = Limiter(SAMPLE_RATE).process(loud)
    np.testing.assert_allclose(out, whole, atol=1e-6)  # however it is cut
    assert np.abs(out).max() <= 1.0
    settled = out[2000:]
    spectrum = np.abs(np.fft.rfft(settled * np.hanning(len(settled))))
    peak = spectrum.argmax()
    rest = np.delete(spectrum, np.arange(peak - 3, peak + 4))
    assert rest.max() < 0.1 * spectrum[peak]  # hard clipping at 3 gives 0.28
    quiet = (0.9 * wave[:441]).astype(np.float32)
    for _ in range(100):
        after = limiter.process(quiet)
    np.testing.assert_array_equal(after, quiet)


def test_a_model_that_says_nan_is_silent_then_plays_on(bundle: Bundle) -> None:
    engine = make_engine(bundle)
    broken = replace(NEUTRAL, latents=(math.nan,) * LATENTS)
    engine.source = ControlSource(broken, FRAME_RATE)
    wild = engine.process(broken, 512)
    assert np.isfinite(wild).all()
    assert engine.broken > 0
    engine.source = ControlSource(NEUTRAL, FRAME_RATE)
    expected = decoded(bundle, np.zeros((2, LATENTS)))
    np.testing.assert_array_equal(engine.process(NEUTRAL, 512), expected)


def test_fade_out_ends_in_silence_for_good(bundle: Bundle) -> None:
    engine = make_engine(bundle)
    engine.process(NEUTRAL, 512)
    engine.fade_out()
    assert not engine.silent
    engine.process(NEUTRAL, 512)
    assert engine.silent
    assert not engine.process(NEUTRAL, 512).any()


@pytest.mark.parametrize("block", [512, 64, 100])
def test_a_heard_sound_comes_out_as_the_model_says_it(bundle: Bundle, block: int) -> None:
    """Blocks that are not whole hops delay it by less than a hop; nothing else changes."""
    late = largest_remainder(HOP, block)
    sound = np.random.default_rng(0).normal(size=8192 - late).astype(np.float32) * 0.3
    delayed = torch.from_numpy(np.concatenate([np.zeros(late, np.float32), sound]))
    with torch.inference_mode():
        expected = bundle.module.forward(delayed[None, None])[0, 0]
    bundle.module.reset()
    engine = play(bundle, EncodedInput(StreamingModel(bundle).encode, HOP))
    pieces = [sound[i : i + block] for i in range(0, 7000 // block * block, block)]
    audio = np.concatenate([engine.process(NEUTRAL, block, piece) for piece in pieces])
    np.testing.assert_allclose(audio, expected[: len(audio)], atol=1e-6)


def test_controls_refuse_what_is_out_of_range_and_survive_packing() -> None:
    for value in (math.nan, math.inf, 1e9, "1", None, True):
        with pytest.raises(Refused):
            LATENT.check(value)
    assert GAIN.check(-3) == -3.0
    notes = (Note(60, 0.5, True, 3), Note(64, 1.0, False, 4))
    state = replace(
        ControlState.initial(2, (0.25, 3.0)), latents=(0.5, -1.0), gain_db=-6.0, temperature=0.3, frozen=True,
        muted=True, resets=7, mode=2, keyed=True, notes=notes, bend=0.5,
        mix=(Share(3, 0.5), Share(0, 0.25)), input_label=-1, input_pitch=60.5,
    )  # fmt: skip
    assert ControlState.unpack(state.pack().tolist()) == state
    assert len(state.pack()) <= largest_packed(2)
