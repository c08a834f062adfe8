"""An instrument with a prior, played: notes at once and over after their release, the same in every cut; without a
prior the plain envelope."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import toy_playable
from signals import level_db
from test_export_prior import with_prior
from test_polyphony import BLOCK, RATE, Stage

from wavevae.controls import Refused
from wavevae.errors import UserError
from wavevae.realtime.offline.render import main as render


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    model, _ = with_prior()
    return toy_playable.write(model, tmp_path_factory.mktemp("toy") / "performs.ts")


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return toy_playable.write(toy_playable.make(), tmp_path_factory.mktemp("toy") / "plain.ts")


class Player(Stage):
    """In blocks of any size."""

    def frames(self, count: int, hops: int = 1) -> np.ndarray:
        size = BLOCK * hops
        return np.concatenate(
            [self.instrument.engine.process(self.desk.state, size) for _ in range(count // hops)]
        )


def test_a_note_sounds_with_its_first_hop_and_ends_with_its_release(path: Path) -> None:
    player = Player(path)
    assert not player.frames(20).any()
    player.send("release", 100)
    player.send("note", 60, 0.8)
    assert level_db(player.frames(1)) > -60
    assert level_db(player.frames(80)) > -60
    player.send("note", 60, 0)
    player.frames(12)
    assert not player.frames(4).any()


@pytest.mark.parametrize("mono", [0, 1])
def test_a_performance_is_the_same_in_every_cut(path: Path, mono: int) -> None:
    def play(hops: int) -> np.ndarray:
        player = Player(path)
        player.send("mono", mono)
        made = [player.frames(8, hops)]
        for pitch, velocity in ((60, 0.8), (64, 0.5), (60, 0), (67, 0.3), (64, 0), (67, 0)):
            player.send("note", pitch, velocity)
            made.append(player.frames(16, hops))
        return np.concatenate([*made, player.frames(32, hops)])

    once = play(1)
    assert once.any()
    for hops in (2, 8):
        assert np.abs(play(hops) - once).max() < 1e-4


def test_the_plain_envelope_is_a_switch_away(path: Path, plain: Path) -> None:
    player = Player(path)
    made = []
    for value in (1, 0):
        player.send("perform", value)
        player.send("note", 60, 0.8)
        made.append(player.frames(40))
        player.send("note", 60, 0)
        player.frames(60)
    assert np.abs(made[0] - made[1]).max() > 1e-3
    without = Player(plain)
    with pytest.raises(Refused, match="no prior"):
        without.send("perform", 1)
    without.send("note", 60, 0.8)
    assert without.frames(20).any()


def test_bend_pressure_slide_and_sliders_move_what_is_performed(path: Path) -> None:
    def latents(*sent: tuple[object, ...]) -> np.ndarray:
        player = Player(path)
        player.send("smoothing", 0)
        player.send("note", 60, 0.3)
        for address, *arguments in sent:
            player.send(str(address), *arguments)
        player.frames(40)
        axes = player.instrument.model.axes
        return np.array([a.natural(v) for a, v in zip(axes, player.instrument.engine.sounding, strict=True)])

    usual = latents()
    assert latents(("note/bend", 60, 7.0))[0] - usual[0] == pytest.approx(7, abs=0.01)
    assert latents(("bend", -2.0))[0] - usual[0] == pytest.approx(-2, abs=0.01)
    assert latents(("note/pressure", 60, 1.0))[1] > usual[1] + 10
    assert latents(("note/slide", 60, 1.0))[3] > usual[3]
    player = Player(path)
    rest = player.desk.state.latents[3]
    moved = latents(("latent/3", rest + 1.0))
    assert moved[3] - usual[3] == pytest.approx(player.instrument.model.axes[3].std, rel=1e-3)
    assert moved[0] == pytest.approx(usual[0], abs=1e-3)


def test_improvising_follows_seed_range_and_reset_in_every_cut(path: Path) -> None:
    def play(seed: int, hops: int) -> np.ndarray:
        player = Player(path)
        player.send("prior/seed", seed)
        player.send("mode", "sample")
        return player.frames(256, hops)

    once = play(3, 1)
    assert level_db(once) > -60
    assert np.abs(play(3, 4) - once).max() < 1e-4
    assert np.abs(play(4, 1) - once).max() > 1e-3
    player = Player(path)
    player.send("prior/range", 70.0, 90.0)
    player.send("mode", "sample")
    keys = []
    for _ in range(400):
        player.frames(1)
        keys.append(player.instrument.engine.decoder.played[:, 0].tolist())
    assert all(70 <= key <= 90 for key, velocity in keys if velocity > 0)
    player.send("prior/reset")
    player.frames(1)
    assert player.instrument.engine.decoder.played[:, 0].tolist() == keys[0]
    with pytest.raises(Refused, match="lower end first"):
        player.send("prior/range", 80.0, 60.0)
    player.send("mode", "generate")
    player.frames(40)
    assert not player.frames(4).any()


@pytest.mark.parametrize(("voices", "size"), [(1, 100), (8, 256), (8, 1500)])
def test_a_seed_is_the_same_live_and_in_a_file_in_blocks_of_any_size(
    path: Path, tmp_path: Path, voices: int, size: int
) -> None:
    kept = tmp_path / "z.npy"
    options = ("--sample", "--seconds", 2, "--seed", 5, "--save-latents", kept, "-o", tmp_path / "a.wav")
    render([str(a) for a in (path, *options)])
    expected = np.load(kept)
    live = Stage(path, voices=voices)
    live.send("life", 1)
    live.send("prior/seed", 5)
    live.send("mode", "sample")
    decoder, found = live.instrument.engine.decoder, []
    for _ in range(2 * RATE // size):
        before = decoder.decoded
        live.instrument.engine.process(live.desk.state, size)
        if decoder.decoded is not before:
            found.append(decoder.decoded)
    frames = np.concatenate(found)[: len(expected)]
    assert len(frames) > 0.95 * len(expected)
    np.testing.assert_allclose(frames, expected[: len(frames)], atol=1e-3)
    assert not np.allclose(expected[:80], expected[80:160])


@pytest.mark.parametrize(
    ("option", "value"), [("--seed", 2_000_000), ("--temperature", 2.5), ("--pitch", 60)]
)
def test_an_improvisation_refuses_what_the_instrument_does(
    path: Path, tmp_path: Path, option: str, value: float
) -> None:
    with pytest.raises(UserError, match=f"{option} {value}: "):
        render([str(a) for a in (path, "--sample", "--seconds", 1, option, value, "-o", tmp_path / "a.wav")])


@pytest.mark.parametrize("mono", [0, 1])
def test_a_key_struck_again_attacks_again_though_no_voice_is_free(path: Path, mono: int) -> None:
    """Up and down again within 50 ms of its attack, while every row sounds."""
    stage = Stage(path, voices=2)
    stage.send("mono", mono)
    stage.send("release", 5000)
    stage.send("note", 60, 0.7)
    for key in () if mono else (64, 65, 67):
        stage.send("note", key, 0.7)
        stage.play(0.012)
        stage.send("note", key, 0)
        stage.play(0.012)
    attacks = []
    for _ in range(3):
        stage.send("note", 60, 0)
        stage.send("note", 60, 0.7)
        stage.play(0.012)
        attacks.append(stage.instrument.core.module.performer_state.note.since_onset.min().item())
        stage.play(0.024)
    assert attacks == [0.0] * 3


def test_a_preset_from_before_the_file_had_a_prior_is_recalled(path: Path) -> None:
    player = Player(path)
    player.send("latent/3", 1.5)
    player.send("preset/store", "old")
    presets = player.desk.presets
    kept = presets.named["old"]
    of_prior = sum(a.name.startswith("prior_") for a in player.instrument.model.attributes)
    assert of_prior == 5
    presets.named["old"] = {**kept, "attributes": list(kept["attributes"])[:-of_prior]}
    player.send("latent/3", 0.0)
    player.send("prior/density", 2.0)
    before = player.desk.state.attributes
    player.send("preset/recall", "old")
    assert player.desk.state.latents[3] == 1.5
    assert player.desk.state.attributes == before
    presets.named["old"] = {**kept, "attributes": list(kept["attributes"])[:-1]}
    with pytest.raises(Refused):
        player.send("preset/recall", "old")
