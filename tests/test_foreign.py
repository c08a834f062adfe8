"""Files of other programs that keep nn~'s contract are rendered, encoded, described and played like ours."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from foreign_model import LATENTS, RATE, RATIO, write_foreign

from wavevae.bundle import read_bundle
from wavevae.errors import UserError
from wavevae.realtime.control.dispatcher import Dispatcher
from wavevae.realtime.engine.engine import PlayableModel
from wavevae.realtime.offline import encode, render

BLOCK = 512


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("foreign") / "theirs.ts"
    write_foreign(path)
    return path


def test_it_says_what_it_is_when_its_rate_is_given(model: Path) -> None:
    with pytest.raises(UserError, match="--sr"):
        read_bundle(model)
    bundle = read_bundle(model, RATE)
    info = bundle.info
    assert bundle.foreign
    assert (info.sample_rate, info.hop_length, info.latent_dim, info.channels) == (RATE, RATIO, LATENTS, 2)


def test_its_rate_is_taken_from_the_file_where_that_says_it(tmp_path: Path) -> None:
    from foreign_model import Foreign

    says = Foreign().eval()
    says.register_buffer("sampling_rate", torch.tensor(44100))
    with torch.no_grad():
        says(torch.zeros(1, 1, 4 * RATIO))  # its caches come with the first call
    torch.jit.save(torch.jit.script(says), str(tmp_path / "says.ts"))
    assert read_bundle(tmp_path / "says.ts").info.sample_rate == 44100


def test_a_script_that_is_no_instrument_is_refused(tmp_path: Path) -> None:
    torch.jit.save(torch.jit.script(torch.nn.Linear(2, 2)), str(tmp_path / "linear.ts"))
    with pytest.raises(UserError, match="cannot be played"):
        read_bundle(tmp_path / "linear.ts", 44100)


def quiet_noise(path: Path, samples: int) -> np.ndarray:
    audio = (0.2 * np.random.default_rng(0).standard_normal(samples)).astype(np.float32)
    soundfile.write(path, audio, RATE, subtype="FLOAT")
    return audio


def test_it_is_rendered_as_its_own_forward_says_and_is_the_same_bytes_again(
    model: Path, tmp_path: Path
) -> None:
    audio = quiet_noise(tmp_path / "in.wav", 100 * RATIO)
    options = [str(model), "--sr", str(RATE), "--input", str(tmp_path / "in.wav")]
    for name in ("a.wav", "b.wav"):
        assert render.main([*options, "-o", str(tmp_path / name)]) == 0
    assert (tmp_path / "a.wav").read_bytes() == (tmp_path / "b.wav").read_bytes()
    made = soundfile.read(tmp_path / "a.wav", dtype="float32")[0]
    module = read_bundle(model, RATE).module
    module.set_noise(0.0)
    with torch.inference_mode():
        expected = module(torch.from_numpy(audio)[None, None])[0].mean(0).numpy()
    assert len(made) == len(audio)
    assert np.abs(made - expected).max() <= 0.051  # half of the file's own noise
    assert np.abs(expected).max() > 0.05


def test_its_latents_are_in_its_own_units(model: Path, tmp_path: Path) -> None:
    audio = quiet_noise(tmp_path / "in.wav", 50 * RATIO)
    encode.main([str(model), str(tmp_path / "in.wav"), "-o", str(tmp_path / "z.npy"), "--sr", str(RATE)])
    module = read_bundle(model, RATE).module
    with torch.inference_mode():
        expected = module.encode(torch.from_numpy(audio)[None, None])[0].T.numpy()
    np.testing.assert_allclose(np.load(tmp_path / "z.npy"), expected, atol=1e-5)


def test_begun_again_it_is_as_it_was_loaded_though_it_has_no_reset(model: Path) -> None:
    instrument = PlayableModel(model, 3, sample_rate=RATE)
    desk = Dispatcher(instrument.model)
    desk.apply("/wavevae/latents", (1.0, -1.0, 2.0))
    made = []
    for _ in range(2):
        instrument.begin(desk.state)
        made.append(np.concatenate([instrument.engine.process(desk.state, BLOCK) for _ in range(20)]))
    assert np.abs(made[0]).max() > 0.05
    np.testing.assert_array_equal(made[0], made[1])


def test_its_attributes_are_addresses_with_their_types(model: Path) -> None:
    instrument = PlayableModel(model, 0, sample_rate=RATE)
    desk = Dispatcher(instrument.model)
    names = [row.path for row in desk.rows() if "/attribute/" in row.path]
    assert names == [f"/wavevae/attribute/{n}" for n in ("noise", "steps", "loud")]  # text is no knob
    assert desk.state.attributes == pytest.approx((0.1, 2.0, 0.0))
    desk.apply("/wavevae/attribute/noise", (0.0,))
    desk.apply("/wavevae/attribute/steps", (5,))
    desk.apply("/wavevae/attribute/loud", (1,))
    instrument.engine.process(desk.state, BLOCK)
    module = instrument._cores[0].module
    assert (module.get_noise(), module.get_steps(), module.get_loud()) == (0.0, [5], (True,))
