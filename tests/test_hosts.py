"""MODEL.ts in the hosts' hands, in processes that know only torch: this one's, and those that nn~ ships.

`make test-hosts` sets up the old ones (torch 2.5.1 of nn~ 1.6, 2.0.1 of nn~ 1.5.6) beside the checkout's own.
"""

import dataclasses
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import nn_host
import pytest
import torch
import toy_model
import toy_playable

from wavevae.bundle import write_bundle
from wavevae.config import ModelConfig
from wavevae.export.instrument import instrument_module
from wavevae.export.latent_pca import axis_map
from wavevae.export.model_file import Choices, axes_of, describe, export_model, exporter_of
from wavevae.export.torchscript import script
from wavevae.export.verify import reference
from wavevae.nn.model import Autoencoder

ROOT = Path(__file__).parent.parent
OLD = {version: ROOT / f".venv-torch-{version}" / "bin/python" for version in ("2.5.1", "2.0.1")}
SMALL = ModelConfig(fold=16, ratios=(4,), widths=(8, 12), dilations=(9,), latent_dim=3, noise_bands=2)
"""Hop 64: every buffer of the hosts can be asked for."""
WIDE = ModelConfig(fold=16, ratios=(8,), widths=(8, 160), dilations=(1,), latent_dim=3, noise_bands=0)
KINDS = {
    "rvq": dataclasses.replace(SMALL, bottleneck="rvq", codebook_size=16, n_codebooks=2, code_dim=3),
    "hvae": dataclasses.replace(SMALL, bottleneck="hvae", top_dim=1, top_every=4),
    "told": dataclasses.replace(SMALL, condition="class+pitch", classes=("reed", "brass"), partials=9),
}
"""Bottlenecks and labels, which only our layers do."""
INSTRUMENTS = {
    "instrument": toy_playable.config("both", frames_per_second=344.0),
    "instrument, classes": toy_playable.config("class", frames_per_second=344.0),
}
CHOICES = {
    "rows": Choices(),
    "8 bits, deflated": Choices(weights="bfloat16"),
    "16 bits": Choices(weights="float16"),
    "cached-conv": Choices("cached-conv"),
}
SAMPLES = 2 * nn_host.BUFFERS[-1]


def make(folder: Path, config: ModelConfig, choices: Choices) -> list[str]:
    """A model file, and the reference to compare it with: what the process is given."""
    if config.is_instrument:
        return make_instrument(folder, config)
    model: Autoencoder = toy_model.make(config)
    axes = axis_map(toy_model.statistics(model))
    export_model(model, axes, folder / "toy.ts", {}, choices)
    if choices.weights != "float32":
        model = exporter_of(model).rounded(model, choices.weights)
    frames, voices = SAMPLES // model.hop_length, max(nn_host.BATCHES)
    attributes, condition = {}, None
    if config.condition != "none":
        attributes = {"class": 1, "pitch": 57.25}
        condition = model.condition("brass", 57.25, voices)
    expected = reference(model, axes, frames, voices, condition)
    torch.save({**expected, "attributes": attributes}, folder / "reference.pt")
    return [str(folder / "toy.ts"), str(folder / "reference.pt")]


def make_instrument(folder: Path, config: ModelConfig) -> list[str]:
    """The same of an instrument."""
    model = toy_playable.make_of(config)
    model.profile = toy_playable.profile(model)
    axes = axes_of(model, toy_playable.statistics(model))
    write_bundle(folder / "toy.ts", script(instrument_module(model, axes)), describe(model, axes, {}))
    frames, voices = SAMPLES // model.hop_length, max(nn_host.BATCHES)
    attributes, condition = {}, None
    if config.has_class:
        attributes, condition = {"class": 1}, model.condition("string", None, voices)
    expected = reference(model, axes, frames, voices, condition)
    torch.save({**expected, "attributes": attributes}, folder / "reference.pt")
    return [str(folder / "toy.ts"), str(folder / "reference.pt")]


def played_by(python: Path | str, files: list[str]) -> dict[str, Any]:
    command = [str(python), "-I", "-W", "ignore", nn_host.__file__, *files]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    return dict(json.loads(done.stdout.splitlines()[-1]))


def check(told: dict[str, Any], hop: int) -> None:
    errors = told["errors"]
    buffers = [b for b in nn_host.BUFFERS if b >= hop]
    assert len(errors) == 3 * len(buffers) * len(nn_host.BATCHES)
    assert max(errors.values()) < 2e-5, max(errors.items(), key=lambda item: item[1])
    attributes = told["attributes"]
    assert (attributes["gain"], attributes["temperature"], attributes["reset"]) == ([-20.0], [0.0], [0.0])
    assert attributes["gain_applied"][0] < 1e-6
    assert attributes["shaken"][0] > 0.01


def test_a_host_hears_the_offline_model_whatever_its_buffer_and_channels(tmp_path: Path) -> None:
    """Each method, buffers 64 to 8192, one, two and four channels; attributes by message; a fresh process."""
    told = played_by(sys.executable, make(tmp_path, SMALL, CHOICES["rows"]))
    assert "encode 64 4" in told["errors"]
    check(told, 64)


@pytest.mark.parametrize("kind", KINDS)
def test_so_it_is_with_every_bottleneck_and_with_labels(tmp_path: Path, kind: str) -> None:
    told = played_by(sys.executable, make(tmp_path, KINDS[kind], Choices()))
    check(told, 64)
    if kind == "told":
        assert told["attributes"]["class"] == [1.0]
        assert told["attributes"]["pitch"] == [57.25]
        assert told["attributes"]["input_pitch"] == [-2.0]


@pytest.mark.parametrize("kind", INSTRUMENTS)
def test_so_it_is_with_instruments(tmp_path: Path, kind: str) -> None:
    config = INSTRUMENTS[kind]
    told = played_by(sys.executable, make(tmp_path, config, Choices()))
    check(told, config.hop_length)
    assert told["attributes"]["life"] == [1.0]


@pytest.mark.slow
@pytest.mark.parametrize("version", OLD)
@pytest.mark.parametrize("kind", [*CHOICES, *KINDS, *INSTRUMENTS])
def test_it_loads_and_is_equal_in_the_libtorch_of_nn(tmp_path: Path, version: str, kind: str) -> None:
    if not OLD[version].exists():
        pytest.skip(f"no torch {version} in {OLD[version].parent.parent.name}; `make test-hosts` sets it up")
    config = WIDE if kind == "16 bits" else {**KINDS, **INSTRUMENTS}.get(kind, SMALL)
    told = played_by(OLD[version], make(tmp_path, config, CHOICES.get(kind, Choices())))
    assert told["torch"].split("+")[0] == version
    check(told, config.hop_length)


@pytest.mark.slow
@pytest.mark.parametrize("version", OLD)
@pytest.mark.parametrize("path", toy_model.PRESETS, ids=lambda p: p.stem)
def test_every_preset_is_equal_there(tmp_path: Path, version: str, path: Path) -> None:
    if not OLD[version].exists():
        pytest.skip(f"no torch {version} in {OLD[version].parent.parent.name}; `make test-hosts` sets it up")
    config = toy_model.preset(path)
    torch.manual_seed(0)
    model = Autoencoder(config).eval()
    axes = axis_map(toy_model.statistics(model))
    export_model(model, axes, tmp_path / "preset.ts", {}, Choices())
    expected = reference(model, axes, 4096 // model.hop_length, max(nn_host.BATCHES))  # buffers up to 2048
    torch.save(expected, tmp_path / "reference.pt")
    told = played_by(OLD[version], [str(tmp_path / "preset.ts"), str(tmp_path / "reference.pt")])
    assert max(told["errors"].values()) < 2e-5


# -- the emulator itself ----------------------------------------------------------------------------------------


class Counter(torch.nn.Module):
    """Two channels in at a quarter of the rate, one out at half of it; raises at a negative input."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("forward_params", torch.tensor([2, 4, 1, 2]))

    @torch.jit.export
    def get_methods(self) -> list[str]:
        return ["forward"]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if bool((x < 0).any()):
            raise RuntimeError("a fault")
        first = x[:, :1] + 100 * x[:, 1:]
        return torch.cat([first, first], 2)


def test_the_emulator_keeps_the_last_of_a_group_and_repeats_what_comes_out(tmp_path: Path) -> None:
    torch.jit.save(torch.jit.script(Counter()), str(tmp_path / "counter.ts"))
    host = nn_host.Host(tmp_path / "counter.ts", "forward", 8)
    ramp = torch.arange(8.0)
    out = host.play(torch.stack([ramp, ramp]))
    assert out.tolist() == [[[303.0, 303.0, 707.0, 707.0, 303.0, 303.0, 707.0, 707.0]]]
    assert torch.equal(host.play(torch.stack([-ramp, ramp])), out)  # after an exception: the last good block
    assert host.failures == ["builtins.RuntimeError: a fault"]
    two = host.play(
        torch.stack([ramp, ramp + 10, ramp, ramp + 10]), voices=2
    )  # inlet by inlet, voice by voice
    assert two[:, 0, 0].tolist() == [303.0, 1313.0]
