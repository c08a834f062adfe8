"""The whole path at toy size, as typed: sounds -> train -> export -> render."""

from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_run import TINY, tones

from wavevae import audio
from wavevae.bundle import Bundle, read_bundle
from wavevae.checkpoint import find_checkpoint, load_model, read_checkpoint
from wavevae.cli import dispatch


def wavevae(*argv: object) -> None:
    """One command, in this process: another torch takes seconds to import."""
    assert dispatch([str(a) for a in argv]) == 0


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `sounds`, a `run` learned from them and `model.ts`."""
    folder = tmp_path_factory.mktemp("journey")
    tones(folder / "sounds")
    wavevae("train", folder / "sounds", *TINY, "--max-steps", 40, "--out", folder / "run")
    wavevae("export", folder / "run", "-o", folder / "model.ts")
    return folder


@pytest.fixture(scope="module")
def bundle(home: Path) -> Bundle:
    return read_bundle(home / "model.ts")


def test_the_exported_file_is_the_trained_model(home: Path, bundle: Bundle) -> None:
    model = load_model(home / "run")
    x = torch.from_numpy(audio.read_mono(home / "sounds/tone-0.wav", 8000))[None, None]
    with torch.inference_mode():
        late = bundle.module(x)  # a stream gives each hop as soon as it can; the model's own puts it in place
        after = model.config.algorithmic_latency
        torch.testing.assert_close(late[..., after:], model(x)[..., : x.shape[-1] - after], rtol=0, atol=1e-4)
    assert (bundle.info.sample_rate, bundle.info.latent_dim) == (8000, 3)
    assert bundle.info.streaming_error < 1e-4
    assert bundle.info.origin["steps"] == read_checkpoint(find_checkpoint(home / "run")).step


def test_a_resynthesis_is_the_models_own_and_as_long_as_the_sound(home: Path) -> None:
    wavevae("render", home / "model.ts", "--input", home / "sounds/tone-1.wav", "-o", home / "again.wav")
    sound = audio.read_mono(home / "sounds/tone-1.wav", 8000)
    rendered = audio.read_mono(home / "again.wav", 8000)
    assert len(rendered) == len(sound)
    with torch.inference_mode():
        expected = load_model(home / "run")(torch.from_numpy(sound)[None, None])[0, 0].numpy()
    np.testing.assert_allclose(rendered, expected, atol=1e-4)


def test_a_sample_of_a_model_with_fewer_axes(home: Path) -> None:
    wavevae("export", home / "run", "-o", home / "two.ts", "--latents", 2)
    wavevae("render", home / "two.ts", "--sample", "--seconds", 0.5, "-o", home / "new.wav")
    sound = audio.read_mono(home / "new.wav", 8000)
    assert len(sound) == 4000
    assert np.isfinite(sound).all()
