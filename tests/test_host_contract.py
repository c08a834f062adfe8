"""MODEL.ts under the hands of a host: nn~'s calls, attributes set while it plays, bad signals, many voices."""

import dataclasses
import math
import resource
from pathlib import Path

import pytest
import torch
import toy_model
from nn_host import Host
from torch import Tensor

from wavevae.export.codec import CodecModule
from wavevae.export.latent_pca import AxisMap, axis_map
from wavevae.export.torchscript import script
from wavevae.nn.model import Autoencoder

CONFIG = toy_model.SHAPES["plain"]
HOP, DIM = CONFIG.hop_length, CONFIG.latent_dim


@pytest.fixture(scope="module")
def model() -> Autoencoder:
    return toy_model.make(CONFIG)


@pytest.fixture(scope="module")
def axes(model: Autoencoder) -> AxisMap:
    return axis_map(toy_model.statistics(model))


@pytest.fixture(scope="module")
def path(model: Autoencoder, axes: AxisMap, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("contract") / "toy.ts"
    torch.jit.save(script(CodecModule(model, axes)), str(path))
    return path


@pytest.fixture
def module(path: Path) -> torch.jit.ScriptModule:
    return torch.jit.load(str(path)).eval()


def offline(model: Autoencoder, x: Tensor) -> Tensor:
    with torch.inference_mode():
        return model(x)


def close(found: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(found, expected, rtol=0, atol=2e-5)


# -- what a host reads -----------------------------------------------------------------------------------------


def test_methods_and_ratios(module: torch.jit.ScriptModule) -> None:
    assert module.get_methods() == ["encode", "decode", "forward"]
    for name, params in {
        "encode": [1, 1, DIM, HOP],
        "decode": [DIM, HOP, 1, 1],
        "forward": [1, 1, 1, 1],
    }.items():
        found = getattr(module, f"{name}_params")
        assert found.dtype == torch.int64
        assert found.tolist() == params
        assert len(getattr(module, f"{name}_input_labels")) == params[0]
        assert len(getattr(module, f"{name}_output_labels")) == params[2]
    assert "22050 Hz" in module.forward_input_labels[0]
    assert module.sampling_rate.item() == 22050
    assert module.decode_input_labels[0].startswith("axis 1 (")


def test_attributes_have_types_setters_and_getters(module: torch.jit.ScriptModule) -> None:
    assert module.get_attributes() == ["gain", "temperature", "reset"]
    for name, kind, value in (("gain", 2, -6.0), ("temperature", 2, 0.5), ("reset", 1, 1)):
        assert getattr(module, f"{name}_params").tolist() == [kind]
        assert getattr(module, f"set_{name}")(value) == 0
        assert len(getattr(module, f"get_{name}")()) == 1
    assert (module.get_gain(), module.get_temperature()) == ((-6.0,), (0.5,))


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_attributes_refuse_what_is_no_number(module: torch.jit.ScriptModule, value: float) -> None:
    for name in ("gain", "temperature"):
        assert getattr(module, f"set_{name}")(value) != 0
        assert getattr(module, f"get_{name}")() == (0.0,)


def test_attributes_stay_within_their_range(module: torch.jit.ScriptModule) -> None:
    module.set_gain(1e9)
    module.set_temperature(-1.0)
    assert (module.get_gain(), module.get_temperature()) == ((24.0,), (0.0,))


def test_nothing_asks_for_a_gradient_and_the_state_is_zero(module: torch.jit.ScriptModule) -> None:
    assert not any(p.requires_grad for p in module.parameters())
    pasts = [b for name, b in module.named_buffers() if name.endswith("past")]
    assert len(pasts) > 10
    assert not any(b.any() for b in pasts)


# -- what a host hears -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("buffer", [HOP, 2 * HOP, 4096])
def test_a_host_hears_the_offline_model(path: Path, model: Autoencoder, axes: AxisMap, buffer: int) -> None:
    x = toy_model.sound(3 * 4096)
    close(Host(path, "forward", buffer).play(x[0]), offline(model, x))
    latents = Host(path, "encode", buffer).play(x[0])
    with torch.inference_mode():
        expected = axes.encode(model.encode(x))
    torch.testing.assert_close(latents[..., ::HOP], expected, rtol=0, atol=1e-3)
    assert torch.equal(latents[..., ::HOP], latents[..., HOP - 1 :: HOP])  # held for a hop
    close(Host(path, "decode", buffer).play(latents[0]), offline(model, x))


def test_voices_of_a_multichannel_object(path: Path, model: Autoencoder) -> None:
    x = toy_model.sound(4 * 4096, voices=3)
    close(Host(path, "forward", 4096).play(x[:, 0], voices=3), offline(model, x))


def test_objects_do_not_share_their_state(path: Path, model: Autoencoder) -> None:
    one, other = Host(path, "forward", 1024), Host(path, "forward", 1024)
    x, y = toy_model.sound(4096, seed=1), toy_model.sound(4096, seed=2)
    parts = [
        (one.play(a[0]), other.play(b[0])) for a, b in zip(x.split(1024, 2), y.split(1024, 2), strict=True)
    ]
    close(torch.cat([a for a, _ in parts], -1), offline(model, x))
    close(torch.cat([b for _, b in parts], -1), offline(model, y))


def test_the_number_of_voices_may_change(module: torch.jit.ScriptModule, model: Autoencoder) -> None:
    with torch.inference_mode():
        for voices in (1, 4, 2, 1):
            x = toy_model.sound(5 * HOP, voices)
            close(module(x), offline(model, x))  # a change of voices starts afresh
            module.reset()


def test_reset_sounds_as_just_loaded(module: torch.jit.ScriptModule) -> None:
    x, z = toy_model.sound(9 * HOP), torch.randn(1, DIM, 9)
    with torch.inference_mode():
        first, first_sound = module(x), module.decode(z)
        assert not torch.equal(module(x), first)
    module.set_reset(1)  # outside inference mode, as setters are called
    with torch.inference_mode():
        assert torch.equal(module(x), first)
        module.set_reset(0)
        assert not torch.equal(module(x), first)
        module.reset()
        module(x)
    with torch.no_grad():  # and the other way round; decode goes on from where forward left the decoder
        assert torch.equal(module.decode(z), first_sound)
        assert not torch.equal(module.decode(z), first_sound)
        module.reset()
        assert torch.equal(module(x), first)


def test_gain_and_temperature(module: torch.jit.ScriptModule, model: Autoencoder) -> None:
    x = toy_model.sound(9 * HOP)
    module.set_gain(-20.0)
    close(module(x), 0.1 * offline(model, x))
    module.set_gain(0.0)
    module.set_temperature(0.5)
    module.reset()
    torch.manual_seed(1)
    shaken = module(x)
    module.reset()
    assert not torch.equal(module(x), shaken)
    module.reset()
    torch.manual_seed(1)
    assert torch.equal(module(x), shaken)
    module.set_temperature(0.0)
    module.reset()
    close(module(x), offline(model, x))


def test_latents_far_from_the_training_data_are_not_cut(model: Autoencoder, axes: AxisMap) -> None:
    """An axis that hardly moved in training gives hundreds of standard deviations for another sound."""
    weak = dataclasses.replace(axes, from_matrix=axes.from_matrix / 500, to_matrix=axes.to_matrix * 500)
    module = script(CodecModule(model, weak))
    x = toy_model.sound(9 * HOP)
    with torch.inference_mode():
        latents = module.encode(x)
        assert latents.abs().max() > 300
        close(module.decode(latents), model.decode(weak.decode(latents)))


# -- what a host should not send --------------------------------------------------------------------------------


@pytest.mark.parametrize("bad", [math.nan, -math.inf, 3e38])
def test_bad_numbers_stay_finite_and_are_forgotten(
    module: torch.jit.ScriptModule, model: Autoencoder, axes: AxisMap, bad: float
) -> None:
    hops = model.receptive_field // HOP + 1
    x = toy_model.sound((hops + 20) * HOP)
    z = torch.randn(1, DIM, hops + 20)
    broken, torn = x.clone(), z.clone()
    broken[..., 5 * HOP + 3 : 6 * HOP] = bad
    torn[:, 1, 5] = bad
    with torch.inference_mode():
        for method, good, wrong in ((module, x, broken), (module.decode, z, torn)):
            step = 5 * good.shape[-1] // (hops + 20)
            module.reset()
            clean = torch.cat([method(p) for p in good.split(step, 2)], -1)
            module.reset()
            found = torch.cat([method(p) for p in wrong.split(step, 2)], -1)
            assert found.isfinite().all()
            recovered = (5 + hops) * HOP
            close(found[..., recovered:], clean[..., recovered:])
        assert module.encode(broken).isfinite().all()


@pytest.mark.parametrize(
    "shape", [(0,), (5,), (2, 300), (1, 2, 300), (1, 1, 0), (3, 1, HOP + 1), (1, 1, 1, HOP)]
)
def test_odd_shapes_never_raise(module: torch.jit.ScriptModule, shape: tuple[int, ...]) -> None:
    voices, samples = (shape[0] if len(shape) > 2 else 1), shape[-1]
    x = torch.zeros(shape)
    with torch.inference_mode():
        assert module(x).shape == (voices, 1, samples)
        assert module.encode(x).shape == (voices, DIM, -(-samples // HOP))
        assert module.decode(x).shape == (voices, 1, samples * HOP)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.int64])
def test_other_types_are_converted(module: torch.jit.ScriptModule, dtype: torch.dtype) -> None:
    assert module(torch.zeros(1, 1, HOP, dtype=dtype)).dtype == torch.float32


def test_memory_need_not_be_contiguous(module: torch.jit.ScriptModule, model: Autoencoder) -> None:
    x = toy_model.sound(8 * HOP)
    strided = torch.zeros(1, 8 * HOP, 2)
    strided[..., 1] = x[:, 0]
    with torch.inference_mode():
        close(module(strided[..., 1].unsqueeze(1)), offline(model, x))
        z = torch.randn(1, 9, DIM)
        module.reset()
        first = module.decode(z.transpose(1, 2))
        module.reset()
        close(module.decode(z.transpose(1, 2).contiguous()), first)


# -- length -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("samples", [1, HOP - 1, HOP, HOP + 1, 22050, 22051])
def test_the_length_is_exact(module: torch.jit.ScriptModule, model: Autoencoder, samples: int) -> None:
    x = toy_model.sound(samples)
    with torch.inference_mode():
        close(module(x), offline(model, x))


@pytest.mark.slow
def test_an_hour_streams_in_bounded_memory(module: torch.jit.ScriptModule) -> None:
    total, block, done = 3600 * 22050, 64 * HOP, 0
    x = toy_model.sound(block)
    with torch.inference_mode():
        for _ in range(20):
            module(x)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        while done < total:
            done += module(x[..., : min(block, total - done)]).shape[-1]
    assert done == total
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 64 * 1024  # KiB


# -- delay ------------------------------------------------------------------------------------------------------


def test_a_control_is_heard_from_the_first_sample_of_its_hop() -> None:
    """`codec-low-latency`: one hop of 128 samples from control to sound, no delay of the model's own."""
    config = toy_model.preset(next(p for p in toy_model.PRESETS if p.stem == "codec-low-latency"))
    assert config.hop_length == 128
    model = toy_model.make(dataclasses.replace(config, widths=(4, 6, 8)))
    module = script(CodecModule(model, axis_map(toy_model.statistics(model))))
    z = torch.randn(1, config.latent_dim, 12)
    turned = z.clone()
    turned[:, 0, 7] += 2.0
    with torch.inference_mode():
        before = module.decode(z)
        module.reset()
        changed = (module.decode(turned) != before)[0, 0].nonzero()[:, 0]
    assert 7 * 128 <= changed[0] < 7 * 128 + config.fold
