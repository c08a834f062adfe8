"""Figures of performing and improvising come out as physics says for notes that are known."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
import toy_playable
from test_export_prior import with_prior
from toy_instrument import HOP, RATE, tone

from wavevae.evaluation.file_under_test import load_model_under_test
from wavevae.evaluation.playing import draws, note_measures, performing
from wavevae.evaluation.playing.note_measures import Edges, Sounding, edges, soundings, wasserstein
from wavevae.evaluation.playing.player import ModulePlayer, make_player
from wavevae.evaluation.selection import Clip
from wavevae.prior.notes import FoundNote


def sounding(levels: np.ndarray, midi: np.ndarray, key: float = 69.0) -> Sounding:
    return Sounding(levels, midi, key, Edges(None, None))


def test_a_note_is_heard_from_20_db_below_its_level_and_until_it_is_so_far_below_again() -> None:
    levels = np.full(600, -90.0)
    levels[100:130] = np.linspace(-60, -20, 30)  # it rises for 30 ms
    levels[130:400] = -20
    levels[400:500] = np.linspace(-20, -70, 100)  # and fades by 50 dB in 100 ms
    found = edges(levels, 100, 400, 600)
    assert found.onset_ms == pytest.approx(15, abs=4)
    assert found.release_ms == pytest.approx(40, abs=4)
    assert edges(levels, 200, 300, 400) == Edges(None, None)  # neither silence before nor a fade


def test_the_distance_of_two_distributions_is_how_far_one_is_moved() -> None:
    x = np.random.default_rng(0).normal(size=400)
    assert wasserstein(x, x) == 0
    assert wasserstein(x, x + 3) == pytest.approx(3)
    assert wasserstein(x, 2 * x) == pytest.approx(np.abs(x).mean(), rel=0.05)


def test_levels_are_compared_moment_by_moment() -> None:
    steady = [sounding(np.zeros(60), np.zeros(0)) for _ in range(10)]
    softer = [sounding(np.full(60, -6.0), np.zeros(0)) for _ in range(10)]
    assert note_measures.curve_distance_db(steady, steady) == 0
    assert note_measures.curve_distance_db(steady, softer) == pytest.approx(6)
    assert note_measures.curve_distance_db(steady, softer[:3]) is None


@pytest.mark.parametrize(("hertz", "cents"), [(4.5, 20), (6.5, 60)])
def test_vibrato_has_its_rate_and_depth(hertz: float, cents: float) -> None:
    t = np.arange(100) * 0.02
    shaking = sounding(np.zeros(200), 69 + 0.1 * t + cents / 100 * np.sin(2 * np.pi * hertz * t))
    found = note_measures.vibratos([shaking])
    np.testing.assert_allclose(found[:, 0], hertz, atol=0.5)
    np.testing.assert_allclose(found[:, 1], cents, rtol=0.15)
    assert note_measures.vibratos([sounding(np.zeros(200), 69 + 0.1 * t)])[:, 1].max() < 1
    assert len(note_measures.vibratos([sounding(np.zeros(20), t[:20])])) == 0  # too short


def test_notes_are_measured_where_they_are() -> None:
    """A tone 30 cents sharp of its key, out of silence."""
    begin, end = 40, 120
    sound = torch.zeros(160 * HOP)
    sound[begin * HOP : end * HOP] = tone(60.3, 1.5)[: (end - begin) * HOP]
    (note,) = soundings(sound, [FoundNote(begin, end, 60.3, -15.0)], RATE, HOP, True)
    assert note_measures.pitch_errors([(note.key, note.midi)]) == pytest.approx([30], abs=1)
    assert note.edges.onset_ms is not None
    assert note.edges.onset_ms < 6
    assert note.edges.release_ms is not None
    assert note.edges.release_ms < 10
    assert len(note.levels) == pytest.approx((end - begin) * HOP / RATE * 100, abs=2)


# -- a model with a prior ---------------------------------------------------------------------------------------


def recordings(rate: int) -> list[Clip]:
    """Ten notes with rests, of two kinds."""
    rest = torch.zeros(rate // 8)
    notes = [toy_playable.tone(rate, rate // 4, 52.0 + 2 * n, -24.0 + n)[0, 0] for n in range(10)]
    return [
        Clip(f"{kind}.wav", torch.cat([part for x in half for part in (rest, x)] + [rest]), {"class": kind})
        for kind, half in (("reed", notes[:5]), ("string", notes[5:]))
    ]


@pytest.mark.parametrize(
    "kind", ["vae", *(pytest.param(kind, marks=pytest.mark.slow) for kind in ("noise", "class"))]
)
def test_a_run_and_its_file_perform_alike(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pitched, unpitched, with classes; figures that there cannot be are none and say why."""
    monkeypatch.setattr(performing, "PROBE_KEYS", 2)
    monkeypatch.setattr(performing, "PROBE_VELOCITIES", 3)
    model, _ = with_prior(kind)
    path = toy_playable.write(toy_playable.tones_only(model) if kind == "vae" else model, tmp_path / "toy.ts")
    model.profile = toy_playable.profile(model)
    classes = model.config.classes

    def condition(labels: Any) -> Any:
        return model.condition(labels.get("class"), None) if classes else None

    clips = recordings(model.sample_rate)
    of_run = performing.measure_performing(ModulePlayer(model, condition), clips)
    of_file = performing.measure_performing(make_player(load_model_under_test(path)), clips)
    assert of_run.figures["performed_notes"] >= 10
    assert of_run.figures.keys() == of_file.figures.keys()
    for name, value in of_run.figures.items():
        if value is None:
            assert of_file.figures[name] is None, name
        else:
            assert of_file.figures[name] == pytest.approx(value, rel=0.05, abs=1.0), name
    assert ("performed_pitch" in of_run.why) == (kind == "noise")
    assert of_run.figures["performed_frechet_resynthesis"] > 0
    assert [len(p.performed) for p in of_run.performances] == [len(c.audio) for c in clips]
    assert performing.measure_performing(ModulePlayer(toy_playable.make()), clips).why.keys() == {
        *("performed", "velocity_loudness")
    }


# -- minutes of improvising -------------------------------------------------------------------------------------

Minutes = Callable[[int], torch.Tensor]


def improvising(sound: Minutes) -> Any:
    """A player whose frames are samples, and whose improvisation number n is `sound(n)`."""
    rate = 16000
    prior = SimpleNamespace(improvise=lambda count, *_: torch.stack([sound(n)[None] for n in range(count)]))
    return SimpleNamespace(sample_rate=rate, hop_length=1, prior=prior, decode=lambda z, labels: z[0])


@pytest.mark.parametrize("what", ["steady", "fades", "falls silent", "becomes noise"])
def test_an_improvisation_that_changes_drifts(what: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(draws, "IMPROVISATIONS", 4)
    monkeypatch.setattr(draws, "MINUTE_S", 3.0)
    rate, length = 16000, 15 * 16000

    def sound(number: int) -> torch.Tensor:
        random = np.random.default_rng(number)
        pitches = np.repeat(np.roll(np.tile([220, 262, 247, 294, 330], 12), number), rate // 4)
        x = 0.1 * np.sign(np.sin(2 * np.pi * np.cumsum(pitches) / rate))
        place = np.arange(length) / length
        if what == "fades":
            x *= 10 ** (-place * 12 / 20)
        elif what == "falls silent":
            x *= (place < 0.8) | (np.arange(length) % rate > 0.3 * rate)
        elif what == "becomes noise":
            x = (1 - place) * x + place * 0.1 * random.normal(size=length)
        return torch.from_numpy(x).float()

    found = draws.drift_figures(improvising(sound))
    assert found["sample_drift_ceiling"] < 0.2
    assert (found["sample_drift"] < 0.2) == (what == "steady")
    first, last = found["sample_drift_parts"]["level_db"]
    assert first - last == pytest.approx(
        9.6 if what == "fades" else 0, abs=1.0 if what != "becomes noise" else 9
    )
