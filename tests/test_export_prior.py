"""MODEL.ts of an instrument with a prior: `perform` and `prior` are the trained prior in any cut, and hosts can call
them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
import toy_playable
from nn_host import Host
from test_prior import UNPITCHED, hit, profile_of, scale, silence

from wavevae.bundle import read_bundle
from wavevae.export import model_file, verify
from wavevae.export.instrument import instrument_module
from wavevae.export.model_file import axes_of, export_checkpoint
from wavevae.export.torchscript import script
from wavevae.info import main as info
from wavevae.nn.instrument import Instrument
from wavevae.prior import TEMPERATURE
from wavevae.prior.fitting import prepare
from wavevae.prior.model import Prior


def with_prior(kind: str = "vae", **changes: int) -> tuple[Instrument, Prior]:
    """An untrained performer and the notes of a toy corpus: all that the file must repeat."""
    model = toy_playable.make_of(toy_playable.config(kind, **changes))
    width, classes = model.latent_dim, len(model.config.classes)
    if model.config.has_oscillator_pitch:
        made = [scale(n) for n in range(4)]
        sequences = [np.pad(z, ((0, 0), (0, width - z.shape[1]))) for z in made]
    else:
        made = [np.concatenate([hit(20, -15, b), silence(10, UNPITCHED)]) for b in (-2.0, 2.0) * 8]
        sequences = [np.pad(z, ((0, 0), (0, width - z.shape[1]))) for z in made]
    profile = profile_of(sequences, model.axis_names)
    torch.manual_seed(1)
    prior, _ = prepare(
        sequences, profile, [n % 2 for n in range(len(sequences))] if classes else None, classes
    )
    model.set_prior(prior.eval())
    return model, prior


def scripted(model: Instrument) -> torch.jit.ScriptModule:
    return script(instrument_module(model, axes_of(model, toy_playable.statistics(model))))


def keys(frames: int, rows: int = 1) -> torch.Tensor:
    """(rows, 2, frames): a note, a rest, another note; each row a third higher."""
    x = torch.zeros(rows, 2, frames)
    half = frames // 2
    for row in range(rows):
        x[row, 0, :half], x[row, 0, half:] = 60.0 + 4 * row, 64.5 + 4 * row
        x[row, 1, : half - 6], x[row, 1, half:] = 0.8, 0.5
    return x


@pytest.mark.parametrize("kind", ["vae", "noise", "class"])
def test_performing_in_blocks_is_the_prior_in_one_piece(kind: str) -> None:
    model, prior = with_prior(kind)
    file, axes = scripted(model), axes_of(model, toy_playable.statistics(model))
    x, classes = keys(64), torch.zeros(1, len(model.config.classes))
    with torch.no_grad():
        expected, _ = prior.perform(
            x[:, 0], x[:, 1], classes, TEMPERATURE, torch.zeros(1), prior.initial(1, x)
        )
        for sizes in ([64], [1] * 64, [7] * 9 + [1], [3, 60, 1]):
            file.reset()
            found = torch.cat([file.perform(part) for part in x.split(sizes, 2)], 2)
            assert float((axes.decode(found) - expected).abs().max()) < 1e-3


def test_rows_are_voices_of_their_own_and_one_can_begin_anew() -> None:
    model, _ = with_prior()
    file, x = scripted(model), keys(40, rows=3)
    with torch.no_grad():
        together = file.perform(x)
        alone = scripted(model).perform(x[:1])
        assert float((together[0] - alone[0]).abs().max()) < 1e-4
        assert float((together[0] - together[1]).abs().max()) > 0.1
        file.restart(1)
        after, fresh = file.perform(x[..., :5]), scripted(model)
        fresh.perform(x[..., :1].expand(-1, -1, 40) * 0)  # as many frames of nothing
        fresh.restart(1)
        assert torch.allclose(after[1], fresh.perform(x[..., :5])[1], atol=1e-4)


def test_improvising_follows_its_seed_and_begins_anew() -> None:
    model, _ = with_prior()
    file, x = scripted(model), torch.full((1, 1, 120), 0.8)
    with torch.no_grad():
        whole = file.prior(x)
        notes = file.improvise(120)
        file.restart_prior()
        again = torch.cat([file.prior(part) for part in x.split([1, 19, 100], 2)], 2)
        assert torch.equal(whole, again)
        file.restart_prior()
        assert file.set_prior_seed(5) == 0
        assert not torch.allclose(file.prior(x), whole)
        assert not torch.allclose(file.improvise(120), notes)
        assert file.set_prior_lowest(72.0) == 0
        file.restart_prior()
        assert float(file.improvise(400)[0, 0].min()) >= 72


def test_hosts_play_both_and_the_file_says_what_it_learned(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    shorter = lambda m, a: [{"attributes": {}, **verify.reference(m, a, 24)}]  # noqa: E731
    monkeypatch.setattr(model_file, "references", shorter)
    model, prior = with_prior()
    path = tmp_path / "toy.ts"
    checkpoint = toy_playable.checkpoint(model)
    checkpoint.latents["prior"] = prior.to_dict()
    export_checkpoint(checkpoint, path)
    assert read_bundle(path).info.prior["notes"] == 32
    for method, signals in (("perform", torch.tensor([[60.0], [0.8]])), ("prior", torch.tensor([[0.8]]))):
        host = Host(path, method, 2048)
        latents = host.play(signals.expand(-1, 8192))
        assert not host.failures
        assert latents.shape == (1, model.latent_dim, 8192)
        assert bool(torch.isfinite(latents).all())
    assert info([str(path)]) == 0
    assert "32 notes" in capsys.readouterr().out


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -1e9])
def test_bad_keys_raise_nothing_and_are_forgotten(value: float) -> None:
    model, _ = with_prior()
    file = scripted(model)
    with torch.no_grad():
        assert bool(torch.isfinite(file.perform(torch.full((1, 2, 8), value))).all())
        assert bool(torch.isfinite(file.prior(torch.full((1, 1, 8), value))).all())
        assert bool(torch.isfinite(file.perform(keys(20))).all())
        assert file.perform(torch.zeros(2, 2, 0)).shape == (2, model.latent_dim, 0)
