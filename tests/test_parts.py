"""Encoder and decoder apart give what the whole gives."""

from pathlib import Path

import pytest
import torch
import toy_model
from small_instrument import melody, small

from wavevae.checkpoint import Checkpoint, write_checkpoint
from wavevae.config import ModelConfig, RunConfig
from wavevae.errors import UserError
from wavevae.model_config import BOTTLENECKS
from wavevae.parts import load_decoder, load_encoder, save_parts
from wavevae.parts_command import main


def shape(bottleneck: str, condition: str = "none") -> ModelConfig:
    classes = ("low", "high") if "class" in condition else ()
    return ModelConfig(
        widths=(8, 12, 16), latent_dim=6, noise_bands=2, dilations=(1,), bottleneck=bottleneck, top_dim=2,
        codebook_size=8, n_codebooks=2, condition=condition, classes=classes, partials=6,
    )  # fmt: skip


def checkpoint(config: ModelConfig) -> Checkpoint:
    return Checkpoint(config=RunConfig(model=config), state=toy_model.make(config).state_dict())


@pytest.mark.parametrize("bottleneck", BOTTLENECKS)
@pytest.mark.parametrize("condition", ["none", "class+pitch"])
def test_the_halves_make_the_whole(tmp_path: Path, bottleneck: str, condition: str) -> None:
    config = shape(bottleneck, condition)
    model = toy_model.make(config)
    paths = save_parts(Checkpoint(config=RunConfig(model=config), state=model.state_dict()), tmp_path)
    assert [path.name for path in paths] == ["encoder.pt", "decoder.pt"]
    encoder, decoder = load_encoder(paths[0]), load_decoder(paths[1])
    assert encoder.config == decoder.config == config
    x = toy_model.sound(2000)
    labels = ("high", 57.0) if condition != "none" else (None, None)
    told = model.condition(*labels)
    with torch.inference_mode():
        z = encoder(x, encoder.condition(*labels))
        assert torch.equal(z, model.encode(x, condition=told))
        assert torch.equal(decoder(z, 2000, decoder.condition(*labels)), model(x, told))


@pytest.mark.parametrize("bottleneck", BOTTLENECKS)
@pytest.mark.parametrize("condition", ["none", "class+pitch"])
def test_the_halves_of_an_instrument_make_the_whole(tmp_path: Path, bottleneck: str, condition: str) -> None:
    classes = ("low", "high") if condition != "none" else ()
    model = small(
        bottleneck=bottleneck, condition=condition, classes=classes, top_dim=2, codebook_size=8, n_codebooks=2
    )
    saved = Checkpoint(config=RunConfig(model=model.config), state=model.state_dict())
    encoder_path, decoder_path = save_parts(saved, tmp_path)
    encoder, decoder = load_encoder(encoder_path), load_decoder(decoder_path)
    x, labels = melody(10), ("high", 57.0) if condition != "none" else (None, None)
    told = model.condition(*labels)
    with torch.inference_mode():
        z = encoder(x, told)
        assert torch.equal(z, model.encode(x, condition=told))
        assert torch.equal(decoder(z, 2000, told), model.decode(z, 2000, told))
        if bottleneck in ("vq", "rvq"):
            timbre = decoder.latents(encoder.codes(x, told))
            assert torch.allclose(timbre, z[:, model.bottleneck.controls :], atol=1e-6)


def test_codes_travel_from_one_half_to_the_other(tmp_path: Path) -> None:
    encoder_path, decoder_path = save_parts(checkpoint(shape("rvq")), tmp_path)
    encoder, decoder = load_encoder(encoder_path), load_decoder(decoder_path)
    x = toy_model.sound(2048)
    with torch.inference_mode():
        codes = encoder.codes(x)
        assert codes.shape == (1, 2, 8)
        torch.testing.assert_close(decoder.latents(codes), encoder(x))


def test_a_half_does_without_the_other(tmp_path: Path) -> None:
    save_parts(checkpoint(shape("vae")), tmp_path)
    assert not [n for n, _ in load_encoder(tmp_path / "encoder.pt").named_parameters() if "decoder" in n]
    assert not [n for n, _ in load_decoder(tmp_path / "decoder.pt").named_parameters() if "encoder." in n]


def test_the_wrong_file_is_one_line(tmp_path: Path) -> None:
    encoder, _ = save_parts(checkpoint(shape("vae")), tmp_path)
    write_checkpoint(tmp_path / "run.ckpt", checkpoint(shape("vae")))
    with pytest.raises(UserError, match=r"is the encoder of a model; give the decoder\.pt"):
        load_decoder(encoder)
    with pytest.raises(UserError, match="is no part of a model"):
        load_encoder(tmp_path / "run.ckpt")
    with pytest.raises(UserError, match="no checkpoint at"):
        load_encoder(tmp_path / "nothing.pt")
    with pytest.raises(UserError, match="bottleneck vae has no codes"):
        load_encoder(encoder).codes(toy_model.sound(256))


def test_the_command_writes_both(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_checkpoint(tmp_path / "run.ckpt", checkpoint(shape("vae")))
    assert main([str(tmp_path / "run.ckpt"), "-o", str(tmp_path / "parts")]) == 0
    paths = capsys.readouterr().out.split()
    assert [Path(p).name for p in paths] == ["encoder.pt", "decoder.pt"]
    assert all(Path(p).is_file() for p in paths)
