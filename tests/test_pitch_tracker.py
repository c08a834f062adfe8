"""The pitch tracker and the loudness: in tune, steady, causal, and the same block by block."""

import io
import itertools
import math

import pytest
import torch
from torch import Tensor

from wavevae.errors import UserError
from wavevae.nn.pitch import (
    NEUTRAL_PITCH,
    Loudness,
    PitchTracker,
    StreamingLoudness,
    StreamingPitchTracker,
    loudness_db,
)

RATE, HOP = 22050, 256
FRAME_S = HOP / RATE


def harmonic(pitch: Tensor, amplitudes: list[float], rate: int = RATE) -> Tensor:
    """Pitch in MIDI of every sample (T,) -> a tone of these partials, peak about 0.3, phases scattered: (T,)."""
    hz = 440.0 * 2.0 ** ((pitch.double() - 69.0) / 12.0)
    phase = 2 * math.pi * torch.cumsum(hz, 0) / rate
    tone = torch.zeros_like(phase)
    for number, amplitude in enumerate(amplitudes, 1):
        tone += amplitude * torch.sin(number * phase + number * number) * (number * hz < 0.45 * rate)
    return (0.3 * tone / tone.abs().max()).float()


def steady(pitch: float, seconds: float, amplitudes: list[float], rate: int = RATE) -> Tensor:
    return harmonic(torch.full((round(seconds * rate),), pitch), amplitudes, rate)


def tracked(x: Tensor, rate: int = RATE, hop: int = HOP) -> Tensor:
    """(T,) -> pitch and periodicity (2, F), frame n at sample (n + 1) * hop of x: the latency taken out."""
    tracker = PitchTracker(rate, hop)
    late = tracker.latency_samples // hop
    x = x[: len(x) // hop * hop]
    return tracker(torch.nn.functional.pad(x, (0, late * hop))[None, None])[0, :, late:]


def white(samples: int, seed: int = 0) -> Tensor:
    return torch.randn(samples, generator=torch.Generator().manual_seed(seed))


SINE = [1.0]
BRIGHT = [1 / k for k in range(1, 40)]
BUZZ = [1.0] * 40


# ---------------------------------------------------------------- in tune


@pytest.mark.parametrize("amplitudes", [SINE, BRIGHT, BUZZ], ids=["sine", "bright", "buzz"])
@pytest.mark.parametrize("rate", [16000, 22050, 44100, 48000])
def test_steady_tones_are_in_tune(rate: int, amplitudes: list[float]) -> None:
    hop = 256 if rate < 32000 else 512
    # Of a buzz at 2 kHz, sampled at 16 kHz, there is a peak of half a sample: no lag comes near enough.
    top = 88.0 if amplitudes is BUZZ else 96.3
    for pitch in (28.3, 36.0, 45.7, 52.0, 60.5, 69.0, 78.2, top):
        found = tracked(steady(pitch, 0.4, amplitudes, rate), rate, hop)[:, 4:-4]
        assert (found[0] - pitch).abs().max() < 0.02, pitch
        assert found[1].min() > 0.9, pitch


@pytest.mark.parametrize("hop", [64, 128, 1024])
def test_other_hops_hear_the_same(hop: int) -> None:
    for pitch in (33.0, 57.3, 90.0):
        found = tracked(steady(pitch, 0.8, BRIGHT), RATE, hop)
        middle = found[:, found.shape[1] // 3 : -found.shape[1] // 3]
        assert (middle[0] - pitch).abs().max() < 0.02
        assert middle[1].min() > 0.9


def test_a_missing_fundamental_is_heard() -> None:
    for pitch in (40.0, 50.0, 62.0):
        found = tracked(steady(pitch, 0.5, [0, 0, 1, 1, 1, 0.5, 0.5]))[:, 5:-5]
        assert (found[0] - pitch).abs().max() < 0.05


def test_a_note_keeps_its_octave_when_the_second_partial_dominates() -> None:
    for pitch in (40.0, 52.0, 64.0, 76.0):
        found = tracked(steady(pitch, 0.6, [0.25, 1, 0.1, 0.5, 0.05, 0.3]))[:, 6:-5]
        assert (found[0] - pitch).abs().max() < 0.05


def test_a_glide_is_followed_without_delay() -> None:
    """Two octaves in a second; a frame of delay would be 28 cents."""
    pitch = torch.linspace(48, 72, RATE)
    found = tracked(harmonic(pitch, BRIGHT))
    frames = torch.arange(5, found.shape[1] - 5)
    assert (found[0, frames] - pitch[(frames + 1) * HOP]).abs().max() < 0.08


def test_vibrato_is_followed() -> None:
    time_s = torch.arange(2 * RATE) / RATE
    pitch = 62 + 0.5 * torch.sin(2 * math.pi * 5.5 * time_s)
    found = tracked(harmonic(pitch, BRIGHT))
    frames = torch.arange(5, found.shape[1] - 5)
    assert (found[0, frames] - pitch[(frames + 1) * HOP]).abs().max() < 0.2
    depth = (found[0, 5:-5].max() - found[0, 5:-5].min()) / 2
    assert 0.35 < depth < 0.55


# ---------------------------------------------------------------- octaves


def sequence(pitches: list[float], seconds: float, decay: float, tail_s: float = 0.0) -> Tensor:
    """Notes one after the other, each ringing on under the next for `tail_s`."""
    step = round(seconds * RATE)
    total = torch.zeros(step * len(pitches) + round(tail_s * RATE))
    for number, pitch in enumerate(pitches):
        tone = steady(pitch, seconds + tail_s, BRIGHT)
        time_s = torch.arange(len(tone)) / RATE
        tone = tone * torch.exp(-decay * time_s) * (200 * time_s).clamp(max=1)
        total[number * step :][: len(tone)] += tone
    return total


@pytest.mark.parametrize("low", [40, 52, 64, 76])
@pytest.mark.parametrize(
    ("seconds", "decay", "tail_s"), [(0.3, 0, 0), (0.3, 6, 0), (0.3, 12, 0.3), (0.15, 3, 0)]
)
def test_octaves_are_told_apart_and_followed(low: float, seconds: float, decay: float, tail_s: float) -> None:
    """A leap by an octave, up or down, is followed within five frames (60 ms), and then it stays."""
    pitches = [low, low + 12.0] * 4
    found = tracked(sequence(pitches, seconds, decay, tail_s))[0]
    for number, pitch in enumerate(pitches):
        begin, end = (round(edge * seconds / FRAME_S) for edge in (number, number + 1))
        assert (found[begin + 5 : end - 3] - pitch).abs().max() < 0.5, (number, pitch)


def test_a_breath_does_not_throw_the_pitch() -> None:
    note, breath = steady(57.0, 0.5, BRIGHT), 0.02 * white(RATE // 2)
    found = tracked(torch.cat([note, breath, note]))
    assert (found[0, 5:] - 57.0).abs().max() < 0.3
    assert found[1, 50:80].max() < 0.3


# ---------------------------------------------------------------- what has no pitch


def test_noise_and_silence_are_not_periodic() -> None:
    noise = tracked(0.1 * white(4 * RATE))
    assert noise[1].mean() < 0.02
    assert noise[1].max() < 0.3
    silence = tracked(torch.zeros(RATE))
    assert (silence[1] == 0).all()
    assert (silence[0] == NEUTRAL_PITCH).all()
    assert (tracked(torch.full((RATE,), 0.5))[1, 10:-4] < 1e-6).all(), "an offset is silence"


def test_periodicity_falls_as_noise_grows() -> None:
    tone, noise = steady(57.0, 1.0, BRIGHT), white(RATE)
    tone = tone / tone.square().mean().sqrt()
    means = [
        tracked(0.1 * (tone + 10 ** (-snr / 20) * noise))[1, 5:-5].mean() for snr in (40, 20, 10, 0, -10)
    ]
    assert means[0] > 0.98
    assert all(more > less + 1e-3 for more, less in itertools.pairwise(means))


def test_level_offset_and_clipping_change_nothing() -> None:
    tone = steady(50.0, 0.4, BRIGHT)
    for bent in (0.003 * tone, tone + 0.4, (20 * tone).clamp(-1, 1), -tone):
        found = tracked(bent)[:, 5:-5]
        assert (found[0] - 50.0).abs().max() < 0.02
        assert found[1].min() > 0.97


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf, 1e30])
def test_bad_samples_are_forgotten_after_the_window(bad: float) -> None:
    tone = steady(50.0, 1.0, BRIGHT)[: RATE // HOP * HOP]
    hurt = tone.clone()
    hurt[8000:8100] = bad
    tracker = PitchTracker(RATE, HOP)
    both = tracker(torch.stack([tone, hurt])[:, None])
    assert torch.isfinite(both).all()
    after = (8100 + 2 * tracker.latency_samples) // HOP + 1
    assert (both[0, 1, after:] - both[1, 1, after:]).abs().max() < 1e-6
    assert (both[0, 0, after:] - both[1, 0, after:]).abs().max() < 1e-4
    loudness = loudness_db(hurt[None, None], HOP, tracker.latency_samples)
    assert torch.isfinite(loudness).all()


# ---------------------------------------------------------------- streaming


def lively(rate: int, hop: int, frames: int = 200) -> Tensor:
    """Two voices (2, frames * hop): a sweep under noise; a note that comes and goes."""
    time_s = torch.arange(frames * hop) / rate
    sweep = harmonic(55 + 15 * torch.sin(3 * time_s), BRIGHT, rate)
    note = harmonic(torch.full_like(time_s, 47.0), BRIGHT, rate) * (3 * time_s % 1 > 0.3)
    return torch.stack([sweep, note]) + 0.02 * white(2 * len(time_s)).view(2, -1)


def blocks(x: Tensor, hops: list[int], hop: int) -> list[Tensor]:
    sizes = itertools.cycle(hops)
    parts, place = [], 0
    while place < x.shape[1]:
        size = next(sizes) * hop
        parts.append(x[:, place : place + size])
        place += size
    return parts


def reloaded(module: torch.nn.Module) -> torch.jit.ScriptModule:
    file = io.BytesIO()
    torch.jit.save(torch.jit.script(module), file)
    file.seek(0)
    return torch.jit.load(file)


@pytest.mark.parametrize(("rate", "hop"), [(22050, 256), (48000, 64), (44100, 512), (16000, 1024)])
def test_streaming_equals_offline_at_every_block_size(rate: int, hop: int) -> None:
    x = lively(rate, hop)
    tracker = PitchTracker(rate, hop)
    loudness = Loudness(hop, tracker.latency_samples)
    offline, level = tracker(x[:, None]), loudness(x[:, None])
    streaming, streaming_level = (
        reloaded(StreamingPitchTracker(tracker)),
        reloaded(StreamingLoudness(loudness)),
    )
    for hops in ([1], [2], [3], [7], [64], [5, 1, 40, 2]):
        streaming.start(2)
        streaming_level.start(2)
        parts = blocks(x, hops, hop)
        found = torch.cat([streaming(part) for part in parts], 2)
        assert (found - offline).abs().max() < 1e-6
        assert (torch.cat([streaming_level(part) for part in parts], 2) - level).abs().max() < 1e-4
    streaming.start(1)
    alone = torch.cat([streaming(part) for part in blocks(x[1:], [1], hop)], 2)
    assert (alone - offline[1:]).abs().max() < 1e-6


def test_the_future_never_changes_the_past() -> None:
    x = lively(RATE, HOP, 100)
    other = x.clone()
    other[:, 60 * HOP :] = white(2 * 40 * HOP).view(2, -1)
    tracker = PitchTracker(RATE, HOP)
    assert torch.equal(tracker(x[:, None])[..., :60], tracker(other[:, None])[..., :60])
    loudness = Loudness(HOP, tracker.latency_samples)
    assert torch.equal(loudness(x[:, None])[..., :60], loudness(other[:, None])[..., :60])
    assert not torch.equal(tracker(x[:, None])[..., 60:], tracker(other[:, None])[..., 60:])


# ---------------------------------------------------------------- loudness, bounds


def test_loudness_is_the_rms_of_the_moment() -> None:
    latency = PitchTracker(RATE, HOP).latency_samples
    late = latency // HOP
    x = math.sqrt(2) * 0.1 * torch.sin(2 * math.pi * 500 * torch.arange(100 * HOP) / RATE)
    x[50 * HOP :] = 0
    level = loudness_db(x[None, None], HOP, latency)[0, 0]
    assert (level[late + 2 : 50] + 20).abs().max() < 0.02
    assert (level[: late - 2] == -100).all()
    assert (level[52 + late :] == -100).all()
    # Frame 49 + late describes sample 50 * hop: half of its window is silent.
    assert level[49 + late] == pytest.approx(-20 - 3.01, abs=0.1)


@pytest.mark.parametrize(
    ("rate", "hop"), [(rate, hop) for rate in (16000, 22050, 32000, 48000) for hop in (64, 256, 1024)]
)
def test_latency_is_whole_hops_and_the_range_is_said(rate: int, hop: int) -> None:
    tracker = PitchTracker(rate, hop)
    assert tracker.latency_samples % hop == 0
    assert 0.02 < tracker.latency_samples / rate < max(0.045, 1.01 * hop / rate)
    assert tracker.lowest_hz < 45
    assert tracker.highest_hz >= 2100


def test_wrong_lengths_and_rates_are_refused() -> None:
    with pytest.raises(UserError, match="multiple of 256"):
        PitchTracker(RATE, HOP)(torch.zeros(1, 1, 1000))
    with pytest.raises(UserError, match="at least 8000 Hz"):
        PitchTracker(100, HOP)


def test_autocast_rounds_nothing() -> None:
    x = lively(RATE, HOP, 40)[:, None]
    tracker = PitchTracker(RATE, HOP)
    plain, level = tracker(x), loudness_db(x, HOP, tracker.latency_samples)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(tracker(x), plain)
        assert torch.equal(loudness_db(x, HOP, tracker.latency_samples), level)
