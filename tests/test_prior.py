"""The prior: notes found in control sequences, how they are performed, what is improvised."""

from __future__ import annotations

import io
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from wavevae.corpus_profile import CorpusProfile, corpus_profile
from wavevae.prior import fitting
from wavevae.prior.fitting import fit, prepare
from wavevae.prior.model import Prior
from wavevae.prior.notes import find_notes, velocity_of

RATE = 86.1328125
AXES = ("pitch", "loudness", "periodicity", "brightness", "noisiness", "timbre 1")
UNPITCHED = ("loudness", "brightness", "noisiness", "timbre 1")


def silence(frames: int, axes: tuple[str, ...] = AXES) -> np.ndarray:
    z = np.zeros((frames, len(axes)), np.float32)
    z[:, axes.index("loudness")] = -95.0
    if "pitch" in axes:
        z[:, 0] = 60.0
    return z


def tone(pitch: float, frames: int, level: float = -20.0, bright: float = 0.0) -> np.ndarray:
    """A note with an attack of three frames."""
    z = silence(frames)
    z[:, 0], z[:, 1], z[:, 2], z[:, 3] = pitch, level, 0.98, bright
    z[:3, 1] = level - np.array([18.0, 8.0, 3.0])
    return z


def profile_of(sequences: list[np.ndarray], axes: tuple[str, ...] = AXES) -> CorpusProfile:
    config: Any = SimpleNamespace(axis_names=axes, sample_rate=22050, frame_rate=RATE)
    return corpus_profile(sequences, config)


def hit(frames: int, level: float, bright: float) -> np.ndarray:
    z = silence(frames, UNPITCHED)
    z[:, 0] = level - 1.5 * np.arange(frames)
    z[:, 1] = bright
    return z


def scale(seed: int) -> np.ndarray:
    random = np.random.default_rng(seed)
    parts = [silence(20)]
    for pitch in random.permutation([60, 62, 64, 65, 67, 69, 71, 72]):
        z = tone(float(pitch), int(random.integers(30, 60)), float(random.uniform(-26, -16)))
        z[:, 0] += 0.1 * np.sin(np.arange(len(z)) * 0.4)  # vibrato
        z[:, 3:] += random.normal(0, 0.3, (1, 3))
        parts += [z, silence(int(random.integers(8, 25)))]
    return np.concatenate(parts)


@pytest.fixture(scope="module")
def fitted() -> tuple[Prior, CorpusProfile]:
    sequences = [scale(n) for n in range(24)]
    profile = profile_of(sequences)
    return trained(sequences, profile, 120), profile


def trained(sequences: list[np.ndarray], profile: CorpusProfile, steps: int) -> Prior:
    """In small steps."""
    torch.manual_seed(0)
    prior, parts = prepare(sequences, profile)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fitting, "EXCERPT", 64)
        patch.setattr(fitting, "BATCH", 8)
        fit(prior.performer, parts, RATE, lambda done: done / steps, 0, lambda share, loss: None)
    return prior.eval()


# -- notes ----------------------------------------------------------------------------------------------------


def test_notes_of_a_scale_have_their_onsets_pitches_and_releases() -> None:
    z = np.concatenate([silence(30), tone(60, 40), silence(20), tone(64, 50, -14), tone(67, 45), silence(10)])
    found = find_notes(z, profile_of([z]))
    assert [round(n.pitch) for n in found] == [60, 64, 67]
    assert [n.onset for n in found] == pytest.approx([30, 90, 140], abs=1)
    assert [n.release for n in found] == pytest.approx([70, 140, 185], abs=2)
    assert [n.level for n in found] == pytest.approx([-20, -14, -20], abs=0.5)


def test_the_same_pitch_struck_again_is_two_notes_and_a_tremolo_is_one() -> None:
    again = tone(60, 80)
    again[38:41, 1] = [-26, -45, -30]
    again[38:41, 2] = 0.3
    assert len(find_notes(again, profile_of([again]))) == 2
    trembling = tone(60, 120)
    trembling[:, 1] += 4 * np.sin(np.arange(120) * 2 * np.pi * 5 / RATE)
    assert len(find_notes(trembling, profile_of([trembling]))) == 1


def test_vibrato_and_a_trackers_stray_octave_do_not_cut_a_note() -> None:
    z = tone(60, 150)
    z[:, 0] += 0.5 * np.sin(np.arange(150) * 2 * np.pi * 5.5 / RATE)
    z[70:76, 0] += 12
    assert len(find_notes(z, profile_of([z]))) == 1


def test_silence_has_no_notes_and_velocity_is_the_square_root_of_amplitude() -> None:
    z = np.concatenate([tone(60, 40), silence(40)])
    assert find_notes(silence(50), profile_of([z])) == []
    assert find_notes(z[:0], profile_of([z])) == []
    assert velocity_of(-20.0, -20.0) == 1.0
    assert velocity_of(-20.0 - 20 * np.log10(4), -20.0) == pytest.approx(0.5, abs=1e-3)


def test_recordings_strung_together_have_no_onsets_but_those_of_their_notes() -> None:
    sequences = [scale(n) for n in range(6)]
    profile = profile_of(sequences)
    prior, parts = prepare(sequences, profile)
    stream = fitting.splice(prior.performer, parts, RATE, 0)
    notes = sum(len(find_notes(z, profile)) for z in sequences)
    assert int((stream.features[:, 5] == 1.0).sum()) == notes  # the fading features begin at 1
    assert int((stream.fresh[:, 5] == 1.0).sum()) == notes
    assert float(stream.fresh[stream.begins, 2].min()) == 1.0  # nothing was played before


# -- performing -----------------------------------------------------------------------------------------------


def notes_of(prior: Prior, rows: list[tuple[float, float, int]], **more: Any) -> torch.Tensor:
    """Performed latents (n_latents, F) of (key, velocity, frames)."""
    key = torch.tensor([k for k, _, n in rows for _ in range(n)])[None]
    velocity = torch.tensor([v for _, v, n in rows for _ in range(n)])[None]
    none, seed = torch.zeros(1, 0), torch.full((1,), float(more.get("seed", 1)))
    with torch.no_grad():
        return prior.perform(key, velocity, none, 0.8, seed, prior.initial(1, none))[0][0]


def test_performed_notes_are_in_tune_and_louder_with_velocity(fitted: tuple[Prior, CorpusProfile]) -> None:
    prior, _ = fitted
    middles: list[float] = []
    levels: list[float] = []
    for pitch, velocity in [(60.0, 0.3), (64.0, 0.5), (67.0, 0.7), (72.0, 0.9)]:
        z = notes_of(prior, [(pitch, velocity, 80)])
        middles.append(float(z[0, 15:].median()) - pitch)
        levels.append(float(z[1, 15:].median()))
    assert np.abs(middles).max() < 0.05  # 5 cents
    assert levels == sorted(levels)
    assert levels[-1] - levels[0] > 10


def test_a_note_that_is_let_go_falls_silent(fitted: tuple[Prior, CorpusProfile]) -> None:
    z = notes_of(fitted[0], [(60.0, 0.8, 60), (60.0, 0.0, 60)])
    assert float(z[1, 90:].median()) < float(z[1, 20:55].median()) - 15


def test_any_cut_into_blocks_plays_the_same_and_another_seed_does_not(
    fitted: tuple[Prior, CorpusProfile],
) -> None:
    prior, _ = fitted
    none, seed = torch.zeros(1, 0), torch.ones(1)
    with torch.no_grad():
        whole, notes, _ = prior.improvise(200, none, 0.8, 1.0, 0.0, 127.0, seed, prior.initial(1, none))
        state, pieces = prior.initial(1, none), []
        for frames in (1, 3, 60, 36, 100):
            z, _, state = prior.improvise(frames, none, 0.8, 1.0, 0.0, 127.0, seed, state)
            pieces.append(z)
        other = prior.improvise(200, none, 0.8, 1.0, 0.0, 127.0, seed + 1, prior.initial(1, none))[0]
    assert torch.equal(torch.cat(pieces, 2), whole)
    assert not torch.allclose(other, whole)
    assert torch.isfinite(whole).all()
    assert notes.shape == (1, 3, 200)


def test_scripted_and_saved_it_plays_the_same(fitted: tuple[Prior, CorpusProfile]) -> None:
    prior, _ = fitted
    buffer = io.BytesIO()
    torch.save(prior.to_dict(), buffer)
    buffer.seek(0)
    again = Prior.from_dict(torch.load(buffer, weights_only=True))
    scripted = torch.jit.script(again)
    none, seed = torch.zeros(2, 0), torch.tensor([1.0, 2.0])
    with torch.no_grad():
        expected = prior.improvise(50, none, 0.8, 1.0, 0.0, 127.0, seed, prior.initial(2, none))[0]
        found = scripted.improvise(50, none, 0.8, 1.0, 0.0, 127.0, seed, scripted.initial(2, none))[0]
    assert torch.allclose(found, expected, atol=1e-5)


# -- improvising ----------------------------------------------------------------------------------------------


def improvised(prior: Prior, frames: int, density: float = 1.0, low: float = 0.0, high: float = 127.0) -> Any:
    """Keys of the notes begun, and how many frames sound."""
    none = torch.zeros(1, 0)
    with torch.no_grad():
        notes = prior.improvise(frames, none, 0.8, density, low, high, torch.ones(1), prior.initial(1, none))[
            1
        ][0].numpy()
    held = notes[1] > 0
    begun = held & np.concatenate([[True], ~held[:-1] | (notes[0][1:] != notes[0][:-1])])
    return notes[0][begun], held.sum()


def test_improvised_notes_are_those_of_the_corpus_and_follow_range_and_density(
    fitted: tuple[Prior, CorpusProfile],
) -> None:
    prior, _ = fitted
    keys, sounding = improvised(prior, 1500)
    assert set(keys) <= {60, 62, 64, 65, 67, 69, 71, 72}
    assert len(set(keys)) >= 6
    assert 0.4 < sounding / 1500 < 0.95
    low, _ = improvised(prior, 800, low=48, high=59)
    assert low.min() >= 48
    assert low.max() <= 59
    many, _ = improvised(prior, 1500, density=2.0)
    assert 1.5 < len(many) / len(keys) < 2.6


def test_a_corpus_without_pitch_is_played_by_its_timbres() -> None:
    """Dark hits answer the kick, bright ones the cymbal, and its improvisation asks for both."""
    random = np.random.default_rng(0)
    sequences = []
    for _ in range(12):
        parts = []
        for _ in range(8):
            bright = float(random.choice([-2.0, 2.0])) + random.normal(0, 0.1)
            parts += [hit(20, -15 + random.normal(0, 2), bright), silence(10, UNPITCHED)]
        sequences.append(np.concatenate(parts))
    profile = profile_of(sequences, UNPITCHED)
    prior = trained(sequences, profile, 300)
    kick = notes_of(prior, [(36.0, 0.9, 10)])
    cymbal = notes_of(prior, [(49.0, 0.9, 10)])
    assert float(cymbal[1, 1:6].mean() - kick[1, 1:6].mean()) > 1.0
    keys, _ = improvised(prior, 900)
    assert len(set(keys)) >= 2
