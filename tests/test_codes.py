"""Codes of exported quantizers: methods in the file, `encode --codes`, `render --codes`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import toy_model
import toy_playable
from nn_host import Host
from small_instrument import melody, small
from torch import Tensor
from toy_bundle import write_toy

from wavevae import audio
from wavevae.errors import UserError
from wavevae.export.codec import codec_module
from wavevae.export.instrument import instrument_module
from wavevae.export.latent_pca import axis_map
from wavevae.export.model_file import axes_of, export_checkpoint
from wavevae.export.torchscript import script
from wavevae.nn.bottlenecks.residual_vq import ResidualVQ
from wavevae.realtime.offline.encode import main as encode
from wavevae.realtime.offline.render import main as render

BOOKS = {"vq": 1, "rvq": 3}
SIZE = 16


def codec(bottleneck: str, **changes: Any) -> Any:
    config = replace(
        toy_model.SHAPES["plain"],
        bottleneck=bottleneck,
        codebook_size=SIZE,
        n_codebooks=3,
        code_dim=4,
        top_dim=2,
        **changes,
    )
    model = toy_model.make(config)
    return model, script(codec_module(config)(model, axis_map(toy_model.statistics(model))))


def sure(model: Any, x: Tensor) -> Tensor:
    """(B, 1, F) frames in which rounding does not choose another code."""
    quantizer: ResidualVQ = model.bottleneck.learned_part()
    h = model.features(x)[:, model.bottleneck.controls :]
    return (quantizer.margin(h) > 1e-4)[:, None]


@pytest.mark.parametrize("bottleneck", BOOKS)
@torch.inference_mode()
def test_codes_are_the_models_own_in_blocks_of_any_size_and_voices(bottleneck: str) -> None:
    model, module = codec(bottleneck)
    hop = model.hop_length
    x = toy_model.sound(40 * hop, voices=2)
    expected = model.posterior(x).codes
    assert expected.shape == (2, BOOKS[bottleneck], 40)
    for block in (1, 3, 40):
        module.reset()
        made = torch.cat([module.encode_codes(part) for part in x.split(block * hop, 2)], 2)
        assert made.dtype == torch.float32
        here = sure(model, x).expand_as(made)
        assert torch.equal(made[here], expected.float()[here])
        assert here.float().mean() > 0.9


@pytest.mark.parametrize("bottleneck", BOOKS)
@torch.inference_mode()
def test_a_round_trip_is_forward_to_the_last_bit_and_codes_come_back(bottleneck: str) -> None:
    model, module = codec(bottleneck)
    hop = model.hop_length
    x = toy_model.sound(24 * hop)
    module.reset()
    whole = torch.cat([module(part) for part in x.split(4 * hop, 2)], 2)
    module.reset()
    codes = torch.cat([module.encode_codes(part) for part in x.split(4 * hop, 2)], 2)
    module.reset()
    assert torch.equal(torch.cat([module.decode_codes(part) for part in codes.split(4, 2)], 2), whole)
    module.reset()
    wild = torch.where(
        codes == codes.max(), torch.tensor(1e30), codes + 0.4
    )  # rounded and cut, nothing raised
    assert torch.isfinite(module.decode_codes(wild)).all()
    module.reset()
    off = torch.cat([module.decode_codes(part) for part in (codes + 0.4).split(4, 2)], 2)
    assert torch.equal(off, whole)


@torch.inference_mode()
def test_hosts_find_the_methods(tmp_path: Path) -> None:
    model, module = codec("rvq", condition="class+pitch", classes=("a", "b"), partials=4)
    hop = model.hop_length
    assert module.get_methods() == ["encode", "decode", "forward", "encode_codes", "decode_codes"]
    assert module.encode_codes_params.tolist() == [1, 1, 3, hop]
    assert module.decode_codes_params.tolist() == [3, hop, 1, 1]
    assert module.encode_codes_output_labels == [f"code {n} (0 to 15)" for n in (1, 2, 3)]
    assert module.decode_codes_input_labels == module.encode_codes_output_labels
    assert len(module.encode_codes_input_labels) == len(module.decode_codes_output_labels) == 1
    assert module.set_class(1) == 0
    torch.jit.save(module, str(tmp_path / "m.ts"))
    x = toy_model.sound(4 * 4096)[0]
    encoder, decoder, both = (
        Host(tmp_path / "m.ts", m, 4096) for m in ("encode_codes", "decode_codes", "forward")
    )
    codes = encoder.play(x)
    assert not encoder.failures
    assert torch.equal(codes, codes.round())
    torch.testing.assert_close(decoder.play(codes[0]), both.play(x), rtol=0, atol=0)


@pytest.mark.parametrize("bottleneck", ["ae", "vae", "hvae"])
def test_a_file_without_codes_has_no_such_methods(bottleneck: str) -> None:
    _, module = codec(bottleneck)
    assert module.get_methods() == ["encode", "decode", "forward"]
    assert not hasattr(module, "encode_codes")


@pytest.mark.parametrize("condition", ["none", "class"])
@torch.inference_mode()
def test_an_instruments_controls_go_before_its_codes(condition: str) -> None:
    classes = ("a", "b") if condition == "class" else ()
    model = small(
        bottleneck="rvq", codebook_size=SIZE, n_codebooks=2, code_dim=3, condition=condition, classes=classes
    )
    module = script(instrument_module(model, axes_of(model, toy_playable.statistics(model))))
    hop, controls = model.hop_length, len(model.config.controls)
    assert module.encode_codes_params.tolist() == [1, 1, controls + 2, hop]
    assert module.encode_codes_output_labels[0] == "pitch (MIDI)"
    x = melody(24)
    module.reset()
    latents = module.encode(x)
    module.reset()
    codes = module.encode_codes(x)
    assert torch.equal(codes[:, :controls], latents[:, :controls])
    assert torch.equal(codes[:, controls:], codes[:, controls:].round())
    module.reset()
    whole = module(x)
    module.reset()
    assert torch.equal(module.decode_codes(codes), whole)


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Exported, and verified, as the command does."""
    config = replace(
        toy_model.SHAPES["plain"], bottleneck="rvq", codebook_size=SIZE, n_codebooks=2, code_dim=4
    )
    path = tmp_path_factory.mktemp("codes") / "tokens.ts"
    export_checkpoint(toy_model.checkpoint(config), path)
    return path


def test_the_commands_write_whole_numbers_and_play_them(file: Path, tmp_path: Path) -> None:
    hop, samples = 256, 10_000
    audio.write(tmp_path / "in.wav", 0.2 * toy_model.sound(samples)[0, 0].numpy(), 22050)
    assert encode([str(file), str(tmp_path / "in.wav"), "--codes", "-o", str(tmp_path / "c.npy")]) == 0
    codes = np.load(tmp_path / "c.npy")
    assert codes.shape == (-(-samples // hop), 2)
    assert codes.dtype == np.int32
    assert codes.min() >= 0
    assert codes.max() < SIZE
    render([str(file), "--codes", str(tmp_path / "c.npy"), "-o", str(tmp_path / "coded.wav")])
    render([str(file), "--input", str(tmp_path / "in.wav"), "-o", str(tmp_path / "whole.wav")])
    coded, whole = (audio.read_mono(tmp_path / f"{n}.wav", 22050) for n in ("coded", "whole"))
    assert len(coded) == len(codes) * hop
    np.testing.assert_array_equal(coded[:samples], whole)


@pytest.mark.parametrize(
    ("codes", "says"),
    [
        (np.full((4, 2), SIZE), r"frame 0 has 16 for code 1; codes are whole numbers from 0 to 15"),
        (np.array([[0, 1], [2, -1]]), "frame 1 has -1 for code 2"),
        (np.array([[0, 1.5]]), r"frame 0 has 1.5 for code 2"),
        (np.zeros((4, 3)), "wants frames x 2"),
    ],
)
def test_what_are_no_codes_is_one_line(file: Path, tmp_path: Path, codes: np.ndarray, says: str) -> None:
    np.save(tmp_path / "c.npy", codes)
    with pytest.raises(UserError, match=says):
        render([str(file), "--codes", str(tmp_path / "c.npy"), "-o", str(tmp_path / "x.wav")])


def test_codes_go_with_a_quantizer_and_with_nothing_that_moves_latents(file: Path, tmp_path: Path) -> None:
    write_toy(tmp_path / "plain.ts")
    audio.write(tmp_path / "in.wav", np.zeros(4096, np.float32), 22050)
    np.save(tmp_path / "c.npy", np.zeros((4, 2)))
    with pytest.raises(UserError, match="no codes; codes are of models trained with --bottleneck vq or rvq"):
        encode(
            [str(tmp_path / "plain.ts"), str(tmp_path / "in.wav"), "--codes", "-o", str(tmp_path / "z.npy")]
        )
    for option in (["--temperature", "1"], ["--save-latents", str(tmp_path / "z.npy")]):
        with pytest.raises(UserError, match=f"{option[0]}: codes are played as they are"):
            render([str(file), "--codes", str(tmp_path / "c.npy"), *option, "-o", str(tmp_path / "x.wav")])
