"""Fréchet distance, diversity and the embeddings behind them, against closed forms and independent voices."""

import math
from pathlib import Path

import numpy as np
import pytest
import scipy.linalg
import scipy.spatial.distance
import torch
from torch import nn

from wavevae.errors import UserError
from wavevae.evaluation import embeddings
from wavevae.evaluation.embeddings import Texture, load_embedding, vggish_log_mel
from wavevae.evaluation.frechet import diversity, fad, frechet_distance, gaussian

RATE = 16000


def cloud(n: int, dims: int, seed: int = 0, scale: float = 1.0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return scale * rng.standard_normal((n, dims)) @ rng.standard_normal((dims, dims))


def test_frechet_distance_in_one_dimension_is_the_closed_form() -> None:
    found = frechet_distance(np.array([1.0]), np.array([[4.0]]), np.array([3.0]), np.array([[0.25]]))
    assert found == pytest.approx((1 - 3) ** 2 + (2 - 0.5) ** 2)


@pytest.mark.parametrize("members", [200, 5])  # 5 members in 8 dimensions: singular covariances
def test_frechet_distance_against_scipys_matrix_root(members: int) -> None:
    a, b = cloud(members, 8), cloud(members, 8, seed=1) + 0.5
    (m1, s1), (m2, s2) = (a.mean(0), np.cov(a.T)), (b.mean(0), np.cov(b.T))
    root = scipy.linalg.sqrtm(s1 @ s2).real
    wanted = np.square(m1 - m2).sum() + np.trace(s1 + s2 - 2 * root)
    assert fad(a, b) == pytest.approx(wanted, rel=1e-3)
    assert fad(a, a) == pytest.approx(0.0, abs=1e-6 * np.trace(s1))
    assert fad(a[:1], b) is None


def test_weights_count_members_as_often_as_they_say() -> None:
    a, counts = cloud(6, 3), np.array([0, 1, 2, 1, 0, 2])
    repeated = np.repeat(a, counts, axis=0)
    mean, covariance = gaussian(a, counts.astype(float))
    assert mean == pytest.approx(repeated.mean(0))
    assert covariance == pytest.approx(np.cov(repeated.T))


def test_diversity_is_the_mean_distance_of_pairs() -> None:
    x = cloud(40, 5)
    assert diversity(x) == pytest.approx(scipy.spatial.distance.pdist(x).mean())
    assert diversity(x[:1]) is None
    assert diversity(np.repeat(x[:1], 10, axis=0)) == pytest.approx(0.0, abs=1e-6)
    normal = np.random.default_rng(0).standard_normal((4000, 64))  # E|x - y| of a normal cloud is known
    wanted = 2 * math.gamma(32.5) / math.gamma(32)
    assert diversity(normal) == pytest.approx(wanted, rel=0.01)


# -- the built-in embedding ---------------------------------------------------------------------------------


def notes(count: int, seed: int = 0) -> torch.Tensor:
    """Seconds of decaying harmonic tones: (count, RATE)."""
    rng = np.random.default_rng(seed)
    t = np.arange(RATE) / RATE
    sounds = []
    for _ in range(count):
        hz, decay = 110 * 2 ** rng.uniform(0, 3), rng.uniform(0.5, 4)
        tone = sum(np.sin(2 * np.pi * k * hz * t + rng.uniform(0, 6)) / k for k in range(1, 8))
        sounds.append(rng.uniform(0.05, 0.3) * tone * np.exp(-decay * t))
    return torch.from_numpy(np.array(sounds, np.float32))


def test_each_part_of_the_builtin_embedding_says_what_it_is_for() -> None:
    texture = Texture()
    t = torch.arange(RATE) / RATE
    tone = 0.2 * torch.sin(2 * math.pi * 440 * t)[None]
    noise = 0.2 * torch.randn(1, RATE, generator=torch.Generator().manual_seed(0))
    assert texture(torch.cat([tone, noise]), RATE).shape == (2, texture.dims)
    louder = texture(tone * 10**0.5, RATE) - texture(tone, RATE)  # 10 dB: one unit in each of 64 bands
    assert 0 < float(louder[0, 0]) <= math.sqrt(64) + 1e-3
    assert float(louder[0, 20:40].abs().max()) < 0.05  # nothing moves
    assert float(texture(noise, RATE)[0, 40:52].min()) > -1.0  # noise is flat: -0.577 in the mean
    assert float(texture(noise, RATE)[0, 47:52].mean()) == pytest.approx(-0.5772, abs=0.06)
    trembling = tone * (1 + 0.5 * torch.sin(2 * math.pi * 6 * t))
    moved = (texture(trembling, RATE) - texture(tone, RATE))[0, 52:]  # by band: 2-8, 8-20, 20-50 Hz
    assert float(moved[0::3].max()) > 1.0
    assert float(moved[0::3].max()) > float(moved[2::3].max()) + 0.5


def test_silence_has_a_place_and_shorter_sounds_have_one() -> None:
    found = Texture()(torch.zeros(2, RATE), RATE)
    assert bool(torch.isfinite(found).all())
    assert bool(torch.isfinite(Texture()(torch.zeros(1, 100), 8000)).all())


def test_fad_grows_with_what_is_done_to_the_sounds() -> None:
    texture, x = Texture(), notes(60)
    real = texture(x, RATE).numpy()

    def distance(changed: torch.Tensor) -> float:
        found = fad(real, texture(changed, RATE).numpy())
        assert found is not None
        return found

    generator = torch.Generator().manual_seed(1)
    hiss = torch.randn(x.shape, generator=generator) * x.square().mean(1, keepdim=True).sqrt()
    by_noise = [distance(x + level * hiss) for level in (0.003, 0.03, 0.3)]
    assert by_noise[0] < by_noise[1] < by_noise[2]
    spectrum = torch.fft.rfft(x)
    by_cut = []
    for hz in (4000, 2000, 1000):
        kept = spectrum.clone()
        kept[:, hz:] = 0
        by_cut.append(distance(torch.fft.irfft(kept, RATE)))
    assert by_cut[0] < by_cut[1] < by_cut[2]
    others = distance(notes(60, seed=5))  # other notes of the same kind are near
    assert others < by_noise[1]


# -- weights that a user brings -----------------------------------------------------------------------------


def vggish_state(dense: int = 12, dims: int = 7) -> dict[str, torch.Tensor]:
    """VGGish's names and convolutions, its dense layers narrow."""
    generator = torch.Generator().manual_seed(0)
    wide = {0: (8, 1), 3: (8, 8), 6: (8, 8), 8: (8, 8), 11: (8, 8), 13: (8, 8)}
    state = {f"features.{place}.weight": torch.randn(*shape, 3, 3) for place, shape in wide.items()}
    state |= {f"features.{place}.bias": torch.randn(shape[0]) for place, shape in wide.items()}
    for place, (out, into) in {0: (dense, 24 * 8), 2: (dense, dense), 4: (dims, dense)}.items():
        state[f"embeddings.{place}.weight"] = torch.randn(out, into, generator=generator)
        state[f"embeddings.{place}.bias"] = torch.randn(out, generator=generator)
    return state


def test_vggish_spectrum_is_the_released_one() -> None:
    """The released front, written again in numpy: framing, periodic Hann, magnitudes, HTK mel, log(x + 0.01)."""
    x = notes(1)[0].double().numpy()
    window = 0.5 - 0.5 * np.cos(2 * np.pi / 400 * np.arange(400))
    frames = np.stack([x[160 * i : 160 * i + 400] for i in range(96)]) * window
    spectrum = np.abs(np.fft.rfft(frames, 512))
    hz = np.linspace(0, 8000, 257)
    edges = np.linspace(1127 * np.log(1 + 125 / 700), 1127 * np.log(1 + 7500 / 700), 66)
    at = 1127 * np.log(1 + hz / 700)
    matrix = np.zeros((257, 64))
    for i in range(64):
        low, centre, high = edges[i : i + 3]
        rising, falling = (at - low) / (centre - low), (high - at) / (high - centre)
        matrix[:, i] = np.maximum(0, np.minimum(rising, falling))
    matrix[0] = 0
    wanted = np.log(spectrum @ matrix + 0.01)
    found = vggish_log_mel(torch.from_numpy(x)[None].float())
    assert found.shape == (1, 1, 96, 64)
    assert np.abs(found[0, 0].numpy() - wanted).max() < 1e-3


def test_vggish_from_a_file_is_the_published_network(tmp_path: Path) -> None:
    state = vggish_state()
    torch.save(state, tmp_path / "vggish.pth")
    embedding = load_embedding(f"vggish={tmp_path / 'vggish.pth'}")
    assert embedding.dims == 7

    def conv(place: int) -> nn.Conv2d:
        layer = nn.Conv2d(*state[f"features.{place}.weight"].shape[1::-1], 3, padding=1)
        layer.load_state_dict({n: state[f"features.{place}.{n}"] for n in ("weight", "bias")})
        return layer

    pool, act = nn.MaxPool2d(2, 2), nn.ReLU()
    features = nn.Sequential(
        *(conv(0), act, pool, conv(3), act, pool, conv(6), act, conv(8), act, pool, conv(11), act),
        *(conv(13), act, pool),
    )
    x = notes(2)
    h = features(vggish_log_mel(x)).transpose(1, 3).transpose(1, 2).contiguous().flatten(1)
    for place in (0, 2, 4):
        h = h @ state[f"embeddings.{place}.weight"].T + state[f"embeddings.{place}.bias"]
        h = act(h) if place < 4 else h
    assert torch.allclose(embedding(x, RATE), h, rtol=1e-3, atol=1e-3)


class Loudness(nn.Module):
    """An embedding of one's own."""

    sample_rate: int

    def __init__(self) -> None:
        super().__init__()
        self.sample_rate = 8000

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.stack([x.square().mean(-1), x.abs().amax(-1), torch.ones(x.shape[0]) * x.shape[1]], -1)


def test_a_torchscript_embedding_hears_its_own_rate(tmp_path: Path) -> None:
    torch.jit.script(Loudness()).save(str(tmp_path / "loudness.pt"))
    embedding = load_embedding(f"torchscript={tmp_path / 'loudness.pt'}")
    assert (embedding.dims, embedding.name) == (3, "torchscript loudness.pt")
    found = embedding(notes(2), RATE)
    assert found.shape == (2, 3)
    assert found[:, 2].tolist() == [8000.0, 8000.0]


def test_missing_weights_are_one_clear_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "other.pth").write_bytes(b"no weights")
    torch.save({"a": torch.zeros(1)}, tmp_path / "strange.pth")
    torch.jit.script(nn.Flatten(0)).save(str(tmp_path / "flat.pt"))
    wrong = [
        ("vgish=x", "did you mean|unknown"),
        ("vggish", "needs its weights"),
        (f"vggish={tmp_path / 'gone'}", "nothing at"),
        (f"vggish={tmp_path / 'other.pth'}", "not VGGish's weights"),
        (f"vggish={tmp_path / 'strange.pth'}", "not VGGish's weights"),
        (f"torchscript={tmp_path / 'other.pth'}", "not a TorchScript"),
        (f"torchscript={tmp_path / 'flat.pt'}", r"\(N, dims\)"),
    ]
    for spec, message in wrong:
        with pytest.raises(UserError, match=message):
            load_embedding(spec)
    monkeypatch.setitem(__import__("sys").modules, "transformers", None)
    with pytest.raises(UserError, match="pip install transformers"):
        load_embedding(f"clap={tmp_path / 'empty'}")


def test_clap_from_a_folder(tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    tower = {
        "num_mel_bins": 64,
        "spec_size": 64,
        "patch_embeds_hidden_size": 8,
        "depths": [1, 1],
        "hidden_size": 16,
    }
    tower |= {"num_attention_heads": [1, 1], "window_size": 4, "num_hidden_layers": 2}
    text = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1, "intermediate_size": 8}
    config = transformers.ClapConfig(
        text_config={**text, "vocab_size": 20}, audio_config=tower, projection_dim=6
    )
    transformers.ClapModel(config).save_pretrained(tmp_path / "clap")
    transformers.ClapFeatureExtractor(feature_size=64).save_pretrained(tmp_path / "clap")
    embedding = load_embedding(f"clap={tmp_path / 'clap'}")
    found = embedding(notes(2), RATE)
    assert found.shape == (2, embedding.dims) == (2, 6)
    assert found.norm(dim=-1).tolist() == pytest.approx([1.0, 1.0])


def test_sounds_are_resampled_along_time() -> None:
    x = torch.stack([torch.sin(2 * math.pi * hz * torch.arange(RATE) / RATE) for hz in (100.0, 300.0)])
    y = embeddings.resampled(x, RATE, 8000)
    assert y.shape == (2, 8000)
    wanted = torch.sin(2 * math.pi * 300 * torch.arange(8000) / 8000)
    assert float((y[1] - wanted)[500:-500].abs().max()) < 1e-3
