"""Export: what is in the file, that a wrong one is never put in place, and what it says to a user."""

import dataclasses
import json
import os
import signal
import subprocess
import sys
import time
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import toy_model

from wavevae.bundle import BundleInfo, read_bundle
from wavevae.checkpoint import Checkpoint, build_model, write_checkpoint
from wavevae.config import ModelConfig
from wavevae.errors import Failure, UserError
from wavevae.export import model_file, verify, verify_subprocess
from wavevae.export.__main__ import choose_output, main, parser
from wavevae.export.latent_pca import autocovariances, axis_map, marginal_density
from wavevae.export.model_file import export_checkpoint, without_path
from wavevae.export.verify import ExportRefused, Verdict
from wavevae.latents import LatentStatistics, fit_density, sample_density

ROOT = Path(__file__).parent.parent


COMPARE = verify.compare


@pytest.fixture(autouse=True)
def verified_as_users_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verify, "compare", COMPARE)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "mine"
    write_checkpoint(folder / "checkpoints/last.ckpt", toy_model.checkpoint())
    return folder


@pytest.fixture(scope="module")
def exported(run: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """MODEL.ts as the command makes it, and what it printed with --json."""
    out = tmp_path_factory.mktemp("models") / "mine.ts"
    done = subprocess.run(
        [sys.executable, "-m", "wavevae.export", str(run), "-o", str(out), "--json"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert "wavevae render" in done.stderr
    assert "wavevae serve" in done.stderr
    assert "22050 Hz" in done.stderr
    return out, done.stdout


@pytest.fixture
def unverified(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave the fresh process out where a test is about something else."""
    monkeypatch.setattr(model_file, "verify", lambda path, expected: 1e-7)


# -- what is in the file ----------------------------------------------------------------------------------------


def test_the_file_is_the_model(exported: tuple[Path, str]) -> None:
    bundle = read_bundle(exported[0])
    checkpoint = toy_model.checkpoint()
    model = build_model(checkpoint)
    x = toy_model.sound(12 * model.hop_length)
    with torch.inference_mode():
        torch.testing.assert_close(bundle.module(x), model(x), rtol=0, atol=1e-5)


def test_wavevae_json_says_what_it_is(exported: tuple[Path, str]) -> None:
    info = read_bundle(exported[0]).info
    config = toy_model.SHAPES["plain"]
    assert (info.sample_rate, info.hop_length, info.latent_dim) == (
        22050,
        config.hop_length,
        config.latent_dim,
    )
    assert (info.channels, info.bottleneck, info.algorithmic_latency_samples) == (1, "vae", 0)
    assert [axis.name for axis in info.axes] == [f"axis {i}" for i in range(1, config.latent_dim + 1)]
    assert all(axis.low < 0 < axis.high for axis in info.axes)
    assert sum(axis.share for axis in info.axes) == pytest.approx(1)
    assert sorted((axis.share for axis in info.axes), reverse=True) == [axis.share for axis in info.axes]
    assert 0 < info.streaming_error < 1e-5
    assert info.receptive_field_samples > info.hop_length
    assert (info.origin["data"], info.origin["commit"], info.origin["steps"]) == ("abc123", "def456", 12)
    assert info.origin["torch_version"] == torch.__version__
    assert info.density["kind"]
    assert json.loads(exported[1])["streaming_error"] == info.streaming_error


def test_nothing_in_it_tells_of_the_machine(exported: tuple[Path, str]) -> None:
    with zipfile.ZipFile(exported[0]) as archive:
        assert not [n for n in archive.namelist() if n.endswith("debug_pkl")]
        assert {n.split("/")[0] for n in archive.namelist()} == {"wavevae"}
        assert {entry.date_time[0] for entry in archive.infolist()} == {1980}
        text = b"".join(archive.read(n) for n in archive.namelist() if "/data/" not in n)
    for trace in (
        str(ROOT),
        str(exported[0].parent),
        sys.prefix,
        "/home/",
        "site-packages",
        str(Path.home()) + "/",
    ):
        assert trace.encode() not in text, trace


OPERATORS = """
Float add add_ addmm addmm_ append arange cat chunk clamp contiguous dim div eq flatten floordiv gt
index_select isfinite le leaky_relu leaky_relu_ lt max min mul mul_ nan_to_num narrow ne neg new_zeros numel
pad permute pow randn_like remainder repeat reshape sigmoid sigmoid_ size slice sub tanh to transpose
unsqueeze view
"""


def test_no_operator_crept_in(exported: tuple[Path, str]) -> None:
    """Hosts ship old libtorch, where some operators do not load (torch.stft, rms_norm, ...): each new one is a choice.

    This does not stand for loading the file in an old libtorch; it tells when that has to be done again.
    """
    names = torch.jit.export_opnames(read_bundle(exported[0]).module)
    used = {name.split("::")[1].split(".")[0] for name in names}
    assert used <= {*OPERATORS.split()}


def test_latents_keeps_exactly_n(run: Path, tmp_path: Path, unverified: None) -> None:
    checkpoint, keep = toy_model.checkpoint(), 3
    info = export_checkpoint(checkpoint, tmp_path / "three.ts", keep)
    model, module = build_model(checkpoint), read_bundle(tmp_path / "three.ts").module
    statistics = LatentStatistics.from_dict(checkpoint.latents)
    assert (info.latent_dim, len(info.axes), info.origin["latent_dim_trained"]) == (3, 3, 6)
    x = toy_model.sound(12 * model.hop_length)
    matrix, offset = (torch.tensor(a).float() for a in statistics.to_axes())
    back, mean = (torch.tensor(a).float() for a in statistics.from_axes())
    with torch.inference_mode():
        axes = matrix @ model.encode(x) + offset[:, None]
        torch.testing.assert_close(module.encode(x), axes[:, :keep], rtol=0, atol=1e-3)
        axes[:, keep:] = 0
        module.reset()
        expected = model.decode(back @ axes + mean[:, None])
        torch.testing.assert_close(module(x), expected, rtol=0, atol=1e-5)
    drawn = sample_density(info.density, 50, np.random.default_rng(0))
    assert drawn.shape == (50, keep)


@pytest.mark.parametrize("keep", [0, 7, -1])
def test_a_number_of_axes_it_does_not_have(tmp_path: Path, keep: int) -> None:
    with pytest.raises(UserError, match=f"--latents is {keep}; this model has 6 latent axes: use 1 to 6"):
        export_checkpoint(toy_model.checkpoint(), tmp_path / "x.ts", keep)
    assert not list(tmp_path.iterdir())


def test_the_density_of_some_axes_is_a_fit_to_them() -> None:
    rng = np.random.default_rng(3)
    mix = rng.standard_normal((5, 5))
    raw = np.stack([np.convolve(rng.standard_normal(4000), np.ones(4), "same") for _ in range(5)], 1) @ mix
    whole = LatentStatistics.fit([raw])
    axes = (raw - whole.mean) @ whole.components.T / whole.std
    cut, fitted = marginal_density(whole.density, 2), fit_density([axes[:, :2]])
    np.testing.assert_allclose(cut["coefficients"], fitted["coefficients"], atol=2e-3)
    covariances = [
        autocovariances(np.array(d["coefficients"]), np.array(d["innovation"])) for d in (cut, fitted)
    ]
    np.testing.assert_allclose(*covariances, atol=2e-3)
    assert marginal_density(whole.density, 5) == whole.density


def test_axes_there_and_back() -> None:
    checkpoint = toy_model.checkpoint()
    axes = axis_map(LatentStatistics.from_dict(checkpoint.latents))
    z = torch.randn(2, 6, 9)
    torch.testing.assert_close(axes.decode(axes.encode(z)), z, rtol=0, atol=1e-5)


# -- never a wrong or half file ----------------------------------------------------------------------------------


def test_a_file_that_is_not_the_model_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The reference is changed by 1 %, so the comparison, in its own process, has to find it."""
    out = tmp_path / "mine.ts"
    out.write_bytes(b"the old one")
    right = model_file.references

    def wrong(*args: object) -> list[dict[str, Any]]:
        return [{**case, "sound": case["sound"] * 1.01} for case in right(*args)]

    monkeypatch.setattr(model_file, "references", wrong)
    with pytest.raises(ExportRefused, match=r"streaming decode in blocks of \w+ frames differs .* by 0\.0"):
        export_checkpoint(toy_model.checkpoint(), out)
    assert out.read_bytes() == b"the old one"
    assert [p.name for p in tmp_path.iterdir()] == ["mine.ts"]


def test_a_file_that_does_not_load_is_refused(tmp_path: Path) -> None:
    (tmp_path / "bad.ts").write_bytes(b"PK not really")
    model = toy_model.make(toy_model.SHAPES["short hop"])
    expected = verify.references(model, axis_map(toy_model.statistics(model)))
    with pytest.raises(ExportRefused, match="does not play in a fresh process"):
        verify.compare(tmp_path / "bad.ts", expected)


def test_an_error_that_is_no_number_is_the_worst() -> None:
    assert Verdict({"encode": {"1": 0.5}, "decode": {"7": float("nan")}}).worst[1:] == ("decode", "7")


@pytest.mark.parametrize("at", ["verify", "replace"])
def test_a_failed_write_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, unverified: None, at: str
) -> None:
    out = tmp_path / "mine.ts"
    out.write_bytes(b"the old one")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(model_file if at == "verify" else os, at, full)
    with pytest.raises((Failure, OSError), match="No space left on device"):
        export_checkpoint(toy_model.checkpoint(), out)
    assert out.read_bytes() == b"the old one"
    assert [p.name for p in tmp_path.iterdir()] == ["mine.ts"]


@pytest.mark.slow
@pytest.mark.parametrize("after_s", [1.0, 3.0, 4.0, 5.0, 6.0])
def test_a_kill_at_any_moment_leaves_a_whole_file_or_none(run: Path, tmp_path: Path, after_s: float) -> None:
    out = tmp_path / "mine.ts"
    process = subprocess.Popen(
        [sys.executable, "-m", "wavevae.export", str(run), "-o", str(out)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    time.sleep(after_s)
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    if out.exists():
        assert read_bundle(out).info.latent_dim == 6


# -- what cannot be exported is one line --------------------------------------------------------------------------


def replaced(**changes: Any) -> Checkpoint:
    return dataclasses.replace(toy_model.checkpoint(), **changes)


def test_a_hop_that_hosts_do_not_play(tmp_path: Path) -> None:
    config = ModelConfig(fold=16, ratios=(2,), widths=(8, 8), latent_dim=2, noise_bands=0)
    with pytest.raises(UserError, match="hop_length is 32 samples; hosts play powers of two from 64 on"):
        export_checkpoint(toy_model.checkpoint(config), tmp_path / "x.ts")


def test_a_checkpoint_from_before_the_first_latents(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no latent statistics"):
        export_checkpoint(replaced(latents={}), tmp_path / "x.ts")


def test_weights_that_are_no_numbers(tmp_path: Path) -> None:
    state = toy_model.checkpoint().state
    state["encoder.inlet.conv.weight"][0, 0, 0] = torch.nan
    with pytest.raises(UserError, match=r"encoder\.inlet\.conv\.weight is not finite"):
        export_checkpoint(replaced(state=state), tmp_path / "x.ts")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("argv", "says"),
    [
        (["{tmp}/nothing"], "no run or checkpoint at"),
        (["{tmp}/empty"], r"no best\.ckpt in"),
        (["{tmp}/young"], r"young has no checkpoint yet: .*wavevae train --resume --out \S*young"),
        (["{tmp}/broken.ckpt"], "not a wavevae checkpoint"),
        (["{run}", "--checkpoint", "{tmp}/none.ckpt"], "no run or checkpoint at"),
        (["{run}", "-o", "{tmp}/model.pt"], r"end in \.ts"),
        (["{run}", "-o", "{tmp}/folder.ts"], "is a folder"),
        (["{run}", "--latents", "99"], "--latents is 99"),
        (["{run}", "--latents", "many"], "--latents"),
        ([], "required: RUN"),
    ],
)
def test_wrong_use_is_one_line(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, argv: list[str], says: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    (tmp_path / "young").mkdir()
    (tmp_path / "young" / "config.yaml").touch()
    (tmp_path / "folder.ts").mkdir()
    (tmp_path / "broken.ckpt").write_bytes(b"\x00" * 100)
    before = sorted(p.name for p in tmp_path.iterdir())
    with pytest.raises(UserError, match=says):
        main([a.format(tmp=tmp_path, run=run) for a in argv])
    assert sorted(p.name for p in tmp_path.iterdir()) == before


def test_the_name_when_none_is_given(run: Path) -> None:
    for given in (run, run / "checkpoints/last.ckpt"):
        assert choose_output(parser().parse_args([str(given)])) == Path("mine.ts")


def test_paths_do_not_travel() -> None:
    assert without_path({"a": "/home/me/sounds", "b": ["/x/y", "plain"], "c": 3}) == {
        "a": "sounds",
        "b": ["y", "plain"],
        "c": 3,
    }


def test_the_calls_of_the_comparison_cover_every_frame() -> None:
    for block in verify_subprocess.BLOCKS:
        for frames in (1, 64, 100, verify.FRAMES):
            calls = verify_subprocess.sizes(block, frames)
            assert sum(calls) == frames
            assert min(calls) >= 1


def test_bundle_info_of_a_later_version_is_read_as_far_as_known() -> None:
    info = BundleInfo(22050, 256, 0, (), 1000, "vae")
    text = json.dumps({**json.loads(info.to_json()), "something new": 1})
    assert BundleInfo.from_json(text) == info
