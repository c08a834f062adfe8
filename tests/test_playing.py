"""Figures of playing come out as physics says for models whose playing is known."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import toy_instrument as toy
from toy_bundle import write_toy

from wavevae import audio
from wavevae.bundle import LatentAxis
from wavevae.evaluation.file_under_test import load_model_under_test
from wavevae.evaluation.playing import (
    KEYS,
    Clouds,
    draws,
    latent_controls,
    measure,
    measure_quickly,
    timbre_moved,
)
from wavevae.evaluation.playing.held import Held, find_moments, held_figures, hold
from wavevae.evaluation.playing.player import FilePlayer, ModulePlayer, Player
from wavevae.evaluation.selection import Clip, everything
from wavevae.evaluation.tracks import median_midi
from wavevae.synthesis.syllables import sung_syllables

RATE, HOP = toy.RATE, toy.HOP
OFF_HARMONICS = (50.4, 53.3, 56.7, 58.2, 61.3)
"""MIDI pitches more than 50 cents from every multiple of the hop's rate."""


@pytest.fixture(scope="module")
def corpus() -> list[Clip]:
    """Bright steady tones, one a file."""
    return [
        Clip(f"{i}.wav", toy.tone(midi, 3.0, tilt=0.6, noise=0.05, level_db=-20 + 2 * i, seed=i))
        for i, midi in enumerate(OFF_HARMONICS)
    ]


@pytest.fixture(scope="module")
def many() -> list[Clip]:
    """Fifteen bright tones over an octave: enough for a judge to learn what they have in common."""
    return [Clip(f"{i}.wav", toy.tone(50 + 0.83 * i, 2.0, tilt=0.2, noise=0.05, seed=i)) for i in range(15)]


@pytest.fixture(scope="module")
def foreign() -> list[Clip]:
    return timbre_moved.built_in_foreign(RATE, 6)


def held_by(model: torch.nn.Module, corpus: list[Clip]) -> list[Held]:
    player = ModulePlayer(model)
    found = [hold(player, moment) for moment in find_moments(corpus, RATE)]
    assert all(h is not None for h in found)
    return [h for h in found if h is not None]


# -- held tones -------------------------------------------------------------------------------------------------


def test_moments_have_the_pitch_that_was_played_and_lie_in_the_sound(corpus: list[Clip]) -> None:
    moments = find_moments(corpus, RATE)
    assert len(moments) == len(OFF_HARMONICS)
    for moment, midi in zip(moments, OFF_HARMONICS, strict=True):
        assert moment.midi == pytest.approx(midi, abs=0.02)
        assert len(moment.around(RATE)) == RATE // 4 * 2


def test_a_glide_has_no_steady_moment() -> None:
    t = torch.arange(3 * RATE) / RATE
    glide = torch.sin(2 * torch.pi * 200 * t * 2 ** (t / 3)) * 0.3  # over an octave in three seconds
    assert find_moments([Clip("glide", glide), Clip("tone", toy.tone(60, 3.0))], RATE)[0].clip.file == "tone"


def test_an_oscillator_bank_holds_its_pitch_and_is_free_of_the_hop(corpus: list[Clip]) -> None:
    figures = held_figures(held_by(toy.Oscillator(), corpus), HOP, RATE)
    assert figures["held_pitch_ok"] == 1.0
    assert figures["held_pitch_cents"] < 1.0  # type: ignore[operator]
    # A tone's autocorrelation at a hop is what its pitch makes it: the model's is that of the real tone.
    assert figures["hop_lock"] == pytest.approx(figures["hop_lock_real"], abs=0.15)


def test_hop_lock_of_a_decoder_without_state_is_one_and_of_noise_nothing(corpus: list[Clip]) -> None:
    figures = held_figures(held_by(toy.Repeater(), corpus), HOP, RATE)
    assert figures["held_pitch_ok"] == 0.0
    assert figures["hop_lock"] > 0.8  # type: ignore[operator]
    assert figures["liveliness"] < 0.05  # type: ignore[operator]
    noises = [
        Clip(str(i), 0.1 * torch.randn(3 * RATE, generator=torch.Generator().manual_seed(i)))
        for i in range(4)
    ]
    locked = held_figures(held_by(toy.Repeater(), noises), HOP, RATE)
    assert locked["held_pitch_ok"] is None
    assert locked["hop_lock"] == pytest.approx(1.0, abs=0.1)
    assert locked["hop_lock_real"] == pytest.approx(0.0, abs=0.05)


def test_a_real_sound_held_by_itself_is_as_lively_and_as_near_as_it_is(corpus: list[Clip]) -> None:
    """Where the held second is the sound going on, the spectrum differs by its noise alone and movement is natural."""
    moments = find_moments(corpus, RATE)
    going_on = [Held(m, torch.zeros(1, 1), m.clip.audio, m.sample - RATE) for m in moments]
    figures = held_figures(going_on, HOP, RATE)
    assert figures["liveliness"] == pytest.approx(1.0, abs=0.1)
    assert figures["held_spectrum_db"] < 0.5  # type: ignore[operator]
    assert figures["held_pitch_cents"] < 1.0  # type: ignore[operator]


def test_spectra_are_compared_at_equal_power(corpus: list[Clip]) -> None:
    from wavevae.evaluation.playing.held import spectrum_difference_db

    x = corpus[0].audio[:RATE]
    assert spectrum_difference_db(0.1 * x, x, RATE) < 1e-3
    dull = toy.tone(OFF_HARMONICS[0], 1.0, tilt=1.5, noise=0.05)
    assert spectrum_difference_db(dull, x, RATE) > 5


# -- knobs ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def swept(corpus: list[Clip]) -> dict[str, object]:
    player = ModulePlayer(toy.Oscillator())
    _, every = latent_controls.voiced_frames(player, corpus)
    ranges = latent_controls.control_ranges(player.axis_names, every)
    return latent_controls.knob_figures(player, held_by(toy.Oscillator(), corpus[:3]), ranges)


def test_knobs_wired_to_what_they_name_are_monotonic(swept: dict[str, object]) -> None:
    assert set(swept["knob_monotonic"]) == set(latent_controls.ATTRIBUTES)  # type: ignore[call-overload]
    assert swept["knob_monotonic_least"] > 0.9  # type: ignore[operator]


def test_crosstalk_is_what_a_knob_moves_beside_its_own(swept: dict[str, object]) -> None:
    """Tilt moves neither pitch nor loudness; white noise brightens whatever it is added to."""
    table = swept["knobs"]
    for other in ("pitch", "loudness"):
        assert abs(table["brightness"][other]["within"]) < 0.3  # type: ignore[index]
        assert abs(table["brightness"][other]["pooled"]) < 0.1  # type: ignore[index]
    assert table["noisiness"]["brightness"]["pooled"] > 0.5  # type: ignore[index]
    assert swept["knob_crosstalk"] == pytest.approx(table["noisiness"]["brightness"]["pooled"])  # type: ignore[index]


def test_a_knob_wired_the_wrong_way_round_and_one_not_wired_at_all(corpus: list[Clip]) -> None:
    class Wrong(toy.Oscillator):
        def decode(self, z: torch.Tensor, length: int | None = None) -> torch.Tensor:
            z = z.clone()
            z[:, 2] = 1 - z[:, 2]
            z[:, 3] = 0.01
            return super().decode(z)

    player = ModulePlayer(Wrong())
    _, every = latent_controls.voiced_frames(player, corpus[:2])
    ranges = [
        r
        for r in latent_controls.control_ranges(player.axis_names, every)
        if r.name in latent_controls.TIMBRE
    ]
    figures = latent_controls.knob_figures(player, held_by(Wrong(), corpus[:2]), ranges)
    assert figures["knob_monotonic"]["brightness"] < -0.9
    assert abs(figures["knob_monotonic"]["noisiness"]) < 0.3


def test_ranks_of_equal_values_are_shared() -> None:
    assert latent_controls.ranks(np.array([3.0, 1.0, 3.0, 7.0])).tolist() == [2.5, 1.0, 2.5, 4.0]
    assert latent_controls.spearman([1, 2, 3, 4], [10, 20, 21, 1000]) == pytest.approx(1.0)
    assert latent_controls.spearman([1, 2, 3], [5, 5, 5]) == 0.0


def test_noise_is_what_lies_apart_from_the_harmonics() -> None:
    heard = [latent_controls.noisiness(toy.tone(57, 0.5, noise=n), RATE, 57.0) for n in (0.01, 0.1, 1.0)]
    assert heard[1] - heard[0] == pytest.approx(20, abs=2)  # ten times the noise: 20 dB
    assert heard[2] > heard[1]


# -- transfer ---------------------------------------------------------------------------------------------------


def transferred(model: torch.nn.Module, many: list[Clip], foreign: list[Clip]) -> dict[str, float]:
    found = timbre_moved.measure_transfer(ModulePlayer(model), many, foreign, 57.0)
    assert found.transfers
    assert not found.why
    assert found.figures["transfer_moved_ceiling"] > 0.9
    assert found.figures["transfer_moved_floor"] < 0.1
    return found.figures


def test_a_wire_transfers_nothing(many: list[Clip], foreign: list[Clip]) -> None:
    figures = transferred(toy.Repeater(), many, foreign)
    assert figures["transfer_moved"] < 0.1
    assert figures["transfer_copy_si_sdr_db"] > 50
    assert figures["transfer_pitch_kept"] == 1.0
    assert figures["transfer_loudness_r"] == pytest.approx(1.0, abs=1e-6)


def test_what_sounds_like_the_corpus_and_hears_nothing_moves_and_keeps_nothing(
    many: list[Clip], foreign: list[Clip]
) -> None:
    figures = transferred(toy.Drone(many[3].audio), many, foreign)
    assert figures["transfer_moved"] > 0.9
    assert figures["transfer_pitch_kept"] < 0.4  # octaves folded, one note in twelve is right by chance
    assert figures["transfer_loudness_r"] < 0.5
    assert figures["transfer_copy_si_sdr_db"] < -10


def test_an_instrument_keeps_melody_and_dynamics_without_copying(
    many: list[Clip], foreign: list[Clip]
) -> None:
    figures = transferred(toy.Oscillator(), many, foreign)
    assert figures["transfer_pitch_kept"] > 0.7  # the toy's tracker looks back over a whole window
    assert figures["transfer_loudness_r"] > 0.9
    assert figures["transfer_copy_si_sdr_db"] < 0  # both are near a sine of one pitch, at phases of their own


def test_si_sdr_is_found_at_its_lag_and_is_that_of_the_noise_added() -> None:
    x = torch.from_numpy(sung_syllables(2.0, RATE))
    noise = torch.randn(len(x), generator=torch.Generator().manual_seed(1))
    noisy = x + noise * x.std() / noise.std() * 10 ** (-12 / 20)
    late = torch.nn.functional.pad(noisy, (500, 0))[: len(x)]
    assert timbre_moved.copy_si_sdr_db(x, noisy, RATE) == pytest.approx(12, abs=0.2)
    assert timbre_moved.copy_si_sdr_db(x, -late, RATE) == pytest.approx(12, abs=0.5)


def test_octaves_are_folded_when_pitch_is_compared() -> None:
    for midi, kept in ((57.0, 1.0), (69.0, 1.0), (45.0, 1.0), (57.4, 1.0), (58.0, 0.0)):
        voiced, right = timbre_moved.pitch_kept(toy.tone(57, 1.0), toy.tone(midi, 1.0), RATE)
        assert voiced > 40
        assert right / voiced == kept


def test_a_model_that_offers_a_fit_is_transposed_by_whole_octaves(foreign: list[Clip]) -> None:
    class Fitting(toy.Oscillator):
        asked: list[tuple[float, float]] = []  # noqa: RUF012

        def fit_latents(self, z: torch.Tensor, transpose: float, fit: float) -> torch.Tensor:
            self.asked.append((transpose, fit))
            return z + torch.tensor([transpose, 0.0, 0.0, 0.0])[None, :, None]

    made = timbre_moved.transfers(ModulePlayer(Fitting()), [Clip("low", toy.tone(45, 2.0))], 70.0)
    assert Fitting.asked == [(24.0, 1.0)]
    assert median_midi(made[0].output[RATE:], RATE) == pytest.approx(69, abs=0.05)


# -- latents as controls ----------------------------------------------------------------------------------------


class Told(toy.Repeater):
    """Its learned latents are the pitch of the sound and noise."""

    latent_dim = 2

    def __init__(self, tells: bool) -> None:
        super().__init__()
        self.tells = tells

    def encode(self, x: torch.Tensor) -> torch.Tensor:
        z = toy.Oscillator().encode(x)
        generator = torch.Generator().manual_seed(int(1000 * float(x.abs().sum())))
        noise = torch.randn(1, 2, z.shape[-1], generator=generator)
        return torch.cat([z[:, :1] + noise[:, :1], noise[:, 1:]], 1) if self.tells else noise


@pytest.mark.parametrize("tells", [True, False])
def test_leakage_is_what_a_linear_reader_finds_on_other_files(corpus: list[Clip], tells: bool) -> None:
    frames, _ = latent_controls.voiced_frames(ModulePlayer(Told(tells)), corpus)
    figures = latent_controls.leakage_figures(frames)
    assert (figures["leakage_pitch"] > 0.85) if tells else (figures["leakage_pitch"] < 0.05)  # type: ignore[operator]


def test_told_latents_do_not_count_as_leakage(corpus: list[Clip]) -> None:
    frames, _ = latent_controls.voiced_frames(ModulePlayer(toy.Oscillator()), corpus)
    assert frames[0].latents.shape[1] == 2
    assert latent_controls.leakage_figures(frames)["leakage_pitch"] < 0.1  # type: ignore[operator]


def test_a_linear_code_is_told_by_sums_and_cross_fades(corpus: list[Clip]) -> None:
    linear = latent_controls.linearity_figures(ModulePlayer(toy.Repeater()), corpus)
    assert linear["linear_sum_db"] > 100  # type: ignore[operator]
    assert linear["crossfade_db"] > 40  # type: ignore[operator]
    played = latent_controls.linearity_figures(ModulePlayer(toy.Oscillator()), corpus)
    assert played["crossfade_db"] < 5  # type: ignore[operator]


# -- draws ------------------------------------------------------------------------------------------------------


def cloud(seed: int, shift: float = 0.0, scale: float = 1.0) -> np.ndarray:
    return shift + scale * np.random.default_rng(seed).standard_normal((150, 6))


def test_draws_of_the_same_distribution_are_as_good_as_the_other_half() -> None:
    files = [str(i) for i in range(150)]
    found, why = draws.draw_figures(files, cloud(0), cloud(1), draws.frechet.diversity(cloud(0)))
    assert not why
    for name in ("sample_kad", "sample_density", "sample_coverage", "sample_diversity"):
        assert found[name] == pytest.approx(found[f"{name}_ceiling"], abs=0.2)
    assert abs(found["sample_kad"]) < 0.03


def test_draws_that_are_elsewhere_or_all_alike_are_told() -> None:
    files = [str(i) for i in range(150)]
    away, _ = draws.draw_figures(files, cloud(0), cloud(1, shift=8.0), 1.0)
    assert away["sample_coverage"] == away["sample_density"] == 0.0
    assert away["sample_kad"] > 0.5
    alike, _ = draws.draw_figures(files, cloud(0), cloud(1, scale=0.01), draws.frechet.diversity(cloud(0)))
    assert alike["sample_density"] > alike["sample_density_ceiling"]
    assert alike["sample_coverage"] < 0.5 * alike["sample_coverage_ceiling"]
    assert alike["sample_diversity"] == pytest.approx(0.01, rel=0.2)


def test_density_and_coverage_by_counting() -> None:
    real = np.array([[0.0], [1.0], [2.0], [10.0]])
    made = np.array([[0.5], [1.5]])  # k = 1: balls [-1, 1], [0, 2], [1, 3], [2, 18]
    assert draws.density_and_coverage(real, made, 1) == (4 / 2, 3 / 4)


# -- the section ------------------------------------------------------------------------------------------------


def test_every_key_is_there_with_a_figure_or_a_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a MODEL.ts with named latents, on sounds with pitch; all of it goes through JSON."""
    monkeypatch.setattr(timbre_moved, "BUILT_IN_EXCERPTS", 8)
    axes = tuple(LatentAxis(name, -2.0, 2.0) for name in ("loudness", "brightness", "noisiness", "latent 4"))
    write_toy(tmp_path / "toy.ts", sample_rate=RATE, hop_length=HOP, axes=axes)
    for i in range(3):
        audio.write(tmp_path / "sounds" / f"{i}.wav", toy.tone(50 + 5 * i, 2.0, seed=i).numpy(), RATE)
    sources = everything([tmp_path / "sounds"], None).sources
    found = measure(
        load_model_under_test(tmp_path / "toy.ts"), sources, Clouds(["a"], np.zeros((1, 4)), None)
    )
    figures = json.loads(json.dumps(found.figures, allow_nan=False))
    for name in KEYS:
        assert (figures[name] is not None) != (name in figures["why"]), name
    assert set(figures["knob_monotonic"]) == {"loudness", "brightness", "noisiness"}
    assert figures["held_pitched_moments"] == 3
    kinds = [d.kind for d in found.demonstrations]
    assert kinds == ["held"] * 3 + ["sweep"] * 3 + ["transfer"] * 3
    assert len(next(iter(found.demonstrations[3].sounds.values()))) > 3 * RATE


def test_a_file_is_played_as_its_module_is(tmp_path: Path) -> None:
    """From a cleared state every time, latency and whole hops taken care of."""
    write_toy(tmp_path / "toy.ts", sample_rate=RATE, hop_length=HOP)
    subject = load_model_under_test(tmp_path / "toy.ts")
    player: Player = FilePlayer(subject)  # type: ignore[arg-type]
    x = toy.tone(57, 0.5)[:10_000]
    first, again = player.transfer(x), player.transfer(x)
    assert len(first) == len(x)
    torch.testing.assert_close(first, again)
    torch.testing.assert_close(player.decode(player.encode(x))[: len(x)], first)


def test_the_quick_figures_at_the_end_of_training(corpus: list[Clip]) -> None:
    quick = measure_quickly(ModulePlayer(toy.Repeater()), [e.audio for e in corpus])
    assert quick["hop_lock"] > 0.8
    assert quick["transfer_moved"] < 0.1
    assert measure_quickly(ModulePlayer(toy.Repeater()), [torch.zeros(RATE)]) == {}
    slow = SimpleNamespace(sample_rate=RATE, hop_length=RATE, latent_dim=1)
    assert measure_quickly(ModulePlayer(slow), [e.audio for e in corpus]) == {}  # type: ignore[arg-type]


def test_syllables_are_the_same_every_time_and_have_a_melody() -> None:
    x = sung_syllables(5.0, RATE, 3)
    np.testing.assert_array_equal(x, sung_syllables(5.0, RATE, 3))
    assert len(x) == 5 * RATE
    midi, _ = timbre_moved.pitch_track(torch.from_numpy(x), RATE)
    voiced = midi[torch.isfinite(midi)]
    assert len(voiced) > 0.5 * len(midi)
    assert float(voiced.quantile(0.9) - voiced.quantile(0.1)) > 2
