"""The other ways of exporting: cached-conv's layers, 16-bit weights, ONNX. Each against the offline model."""

import json
import sys
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import toy_model
import toy_playable

from wavevae.bundle import EXTRA_FILE, BundleInfo, read_bundle
from wavevae.checkpoint import Checkpoint, build_model, write_checkpoint
from wavevae.config import ModelConfig
from wavevae.errors import UserError
from wavevae.export import onnx_files, verify
from wavevae.export.__main__ import main
from wavevae.export.cached import cached_twin_of
from wavevae.export.latent_pca import AxisMap
from wavevae.export.layers import SMALLEST, round_weights
from wavevae.export.model_file import Choices, axes_of, export_checkpoint
from wavevae.export.verify import ExportRefused
from wavevae.export.verify_subprocess import sizes
from wavevae.nn.conditioning import Condition
from wavevae.nn.instrument import Instrument

SMALL = ModelConfig(ratios=(4,), widths=(6, 8), dilations=(1, 3), latent_dim=3, noise_bands=2)
WIDE = ModelConfig(ratios=(8,), widths=(32, 160), dilations=(3,), latent_dim=8, noise_bands=4)
"""Some layers large enough for 16 bits to gain, some not."""


def run_at(folder: Path, checkpoint: Checkpoint) -> Path:
    write_checkpoint(folder / "checkpoints/best.ckpt", checkpoint)
    return folder


# -- cached-conv ------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_the_file_of_cached_conv_is_the_model_and_loads_alone(tmp_path: Path) -> None:
    """`verify_subprocess.py` compares it in a process that knows only torch; the error found is entered."""
    checkpoint = toy_model.checkpoint(SMALL)
    info = export_checkpoint(checkpoint, tmp_path / "peer.ts", None, Choices("cached-conv"))
    assert 0 < info.streaming_error < 2e-5
    assert info.origin["streaming"] == "cached-conv"
    code = b"".join(
        zipfile.ZipFile(tmp_path / "peer.ts").read(n)
        for n in zipfile.ZipFile(tmp_path / "peer.ts").namelist()
        if n.endswith(".py")
    )
    assert b"conv_transpose1d" in code  # its layers, not ours
    module, model = read_bundle(tmp_path / "peer.ts").module, build_model(checkpoint)
    x = toy_model.sound(9 * model.hop_length, 2)
    with torch.inference_mode():
        for _ in range(2):
            found = torch.cat([module(part) for part in x.split(3 * model.hop_length, 2)], 2)
            torch.testing.assert_close(found, model(x), rtol=0, atol=2e-5)
            module.set_reset(1)


def test_without_the_package_it_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cached_conv", None)
    run = run_at(tmp_path / "run", toy_model.checkpoint())
    with pytest.raises(UserError, match=r"needs a package .* pip install cached-conv"):
        main([str(run), "-o", str(tmp_path / "x.ts"), "--streaming", "cached-conv"])
    assert not (tmp_path / "x.ts").exists()


def test_a_layer_that_has_no_twin_is_named() -> None:
    with pytest.raises(TypeError, match="Dropout"):
        cached_twin_of(torch.nn.Dropout())


# -- 16-bit weights ---------------------------------------------------------------------------------------------


def fbgemm() -> bool:
    return "fbgemm" in torch.backends.quantized.supported_engines


@pytest.mark.skipif(not fbgemm(), reason="16-bit weights are for x86-64 with AVX2")
def test_weights_of_16_bits_are_smaller_and_the_rounded_model_to_the_last_digits(tmp_path: Path) -> None:
    checkpoint = toy_model.checkpoint(WIDE)
    full = export_checkpoint(checkpoint, tmp_path / "32.ts")
    half = export_checkpoint(checkpoint, tmp_path / "16.ts", None, Choices(weights="float16"))
    assert full.streaming_error < 5e-5
    assert half.streaming_error < 5e-5  # against the rounded model
    assert (
        0 < half.origin["rounding_error"] < 0.05
    )  # random weights at full level: a trained one is far below
    model = build_model(checkpoint)
    large = sum(w.numel() for w in model.parameters() if w.ndim == 3 and w.numel() >= SMALLEST)
    saved = (tmp_path / "32.ts").stat().st_size - (tmp_path / "16.ts").stat().st_size
    assert saved == pytest.approx(2 * large, rel=0.05)
    module, rounded = read_bundle(tmp_path / "16.ts").module, round_weights(model)
    x = toy_model.sound(9 * model.hop_length, 2)
    with torch.inference_mode():
        torch.testing.assert_close(module(x), rounded(x), rtol=0, atol=5e-5)
        assert not torch.equal(rounded(x), model(x))


def test_rounding_leaves_the_model_alone() -> None:
    model = toy_model.make(WIDE)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    rounded = round_weights(model)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    changed = {name for name, value in rounded.state_dict().items() if not torch.equal(value, before[name])}
    assert changed
    assert all(before[name].numel() >= SMALLEST for name in changed)


def test_choices_that_do_not_go_together() -> None:
    with pytest.raises(UserError, match="--weights float16 goes with --streaming rows"):
        Choices("cached-conv", "float16")


# -- ONNX -------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def onnx_pair(tmp_path_factory: pytest.TempPathFactory) -> tuple[BundleInfo, list[Path]]:
    pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    folder = tmp_path_factory.mktemp("onnx")
    return onnx_files.export_onnx(toy_model.checkpoint(), folder / "mine.onnx", 4)


def test_onnxruntime_gets_what_the_model_does(
    onnx_pair: tuple[BundleInfo, list[Path]], tmp_path: Path
) -> None:
    """Three voices, calls of changing length, state handed on; and what MODEL.ts of the same run gives."""
    info, (encoder, decoder) = onnx_pair
    assert info.streaming_error < 2e-5
    export_checkpoint(toy_model.checkpoint(), tmp_path / "mine.ts", 4)
    module = read_bundle(tmp_path / "mine.ts").module
    x = toy_model.sound(20 * info.hop_length, 3)
    calls = [1, 7, 2, 9, 1]
    latents = onnx_files.Session(encoder.read_bytes()).stream(x, [n * info.hop_length for n in calls])
    sound = onnx_files.Session(decoder.read_bytes()).stream(latents, calls)
    with torch.inference_mode():
        torch.testing.assert_close(latents, module.encode(x), rtol=0, atol=1e-3)
        torch.testing.assert_close(sound, module.decode(latents), rtol=0, atol=2e-5)
    assert sound.shape == x.shape


def test_the_files_say_what_they_are_and_nothing_of_the_machine(
    onnx_pair: tuple[BundleInfo, list[Path]],
) -> None:
    import onnx

    info, paths = onnx_pair
    assert [path.name for path in paths] == ["mine.encode.onnx", "mine.decode.onnx"]
    for path in paths:
        said = {entry.key: entry.value for entry in onnx.load(str(path)).metadata_props}
        assert BundleInfo.from_json(said[EXTRA_FILE]) == info
        for trace in (b"/home/", b"site-packages", b".py", str(path.parent).encode()):
            assert trace not in path.read_bytes()


def test_onnx_that_is_not_the_model_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("onnxruntime")
    right = onnx_files.references

    def wrong(*args: Any) -> list[dict[str, Any]]:
        return [{**case, "sound": case["sound"] * 1.01} for case in right(*args)]

    monkeypatch.setattr(onnx_files, "references", wrong)
    with pytest.raises(
        ExportRefused, match=r"onnxruntime's decode in blocks of \w+ frames differs .* by 0\.0"
    ):
        onnx_files.export_onnx(toy_model.checkpoint(), tmp_path / "mine.onnx")
    assert not list(tmp_path.iterdir())


def instrument_sessions(kind: str) -> tuple[Instrument, AxisMap, onnx_files.Session, onnx_files.Session]:
    pytest.importorskip("onnxruntime")
    model = toy_playable.make(kind)
    axes = axes_of(model, toy_playable.statistics(model))
    files = [onnx_files.to_onnx(step) for step in onnx_files.steps_of(model, axes).values()]
    encoder, decoder = (onnx_files.Session(content) for content in files)
    return model, axes, encoder, decoder


@pytest.mark.parametrize("kind", ["vae", "both", "noise", "44.1 kHz"])
def test_onnxruntime_plays_an_instrument_as_the_model_does(kind: str) -> None:
    """Two voices, blocks of several sizes, the state handed on; the second half is a held tone, which drifts."""
    model, axes, encoder, decoder = instrument_sessions(kind)
    expected = verify.reference(model, axes, 24)
    z = torch.cat([expected["latents"], expected["latents"][..., -1:].repeat(1, 1, 24)], 2)
    with torch.inference_mode():
        sound = model.decode(axes.decode(z))
        model.life = 0.0
        still = model.decode(axes.decode(z))
    assert (sound - still).abs().max() > 1e-3
    for block in ("1", "7", "mixed"):
        found = encoder.stream(expected["audio"], [n * model.hop_length for n in sizes(block, 24)])
        assert ((found - expected["latents"]) * expected["scale"][:, None]).abs().max() < 1e-5
        torch.testing.assert_close(decoder.stream(z, sizes(block, 48)), sound, rtol=0, atol=1e-5)
    decoder.settings["life"] = np.zeros(1, np.float32)
    torch.testing.assert_close(decoder.stream(z, [7] * 6 + [6]), still, rtol=0, atol=1e-5)


def test_an_instrument_in_onnxruntime_plays_what_the_controls_say() -> None:
    """Pitch and level of two held tones of ten seconds, a frame a call; neither is reset by a call's end."""
    model, axes, encoder, decoder = instrument_sessions("vae")
    asked = torch.tensor([[52.0, -20.0], [67.25, -32.0]])
    z = toy_playable.controls(860).repeat(2, 1, 1)
    z[:, :2] = asked[..., None]
    sound = decoder.stream(z, [1] * 860)
    heard = encoder.stream(sound, [model.hop_length] * 860)[:, :2, 10:].median(2).values
    torch.testing.assert_close(heard[:, 0], asked[:, 0], rtol=0, atol=0.1)
    torch.testing.assert_close(heard[:, 1], asked[:, 1], rtol=0, atol=1.0)
    with torch.inference_mode():
        torch.testing.assert_close(sound, model.decode(axes.decode(z)), rtol=0, atol=1e-5)


def test_an_instrument_in_onnxruntime_is_told_a_class_or_a_mix_of_them() -> None:
    model, axes, encoder, decoder = instrument_sessions("class")
    x = toy_playable.tone(model.sample_rate, 12 * model.hop_length).repeat(2, 1, 1)
    for shares in ([[0.0, 0.0]], [[0.0, 1.0]], [[0.25, 0.75]], [[1.0, 0.0], [0.0, 0.5]]):
        rows = torch.tensor(shares).expand(2, 2)
        condition = Condition(rows, torch.full((2,), float("nan")))
        encoder.settings["classes"] = decoder.settings["classes"] = torch.tensor(shares).numpy()
        with torch.inference_mode():
            latents = axes.encode(model.encode(x, condition=condition))
            sound = model.decode(axes.decode(latents), condition=condition)
        found = encoder.stream(x, [3 * model.hop_length] * 4)
        torch.testing.assert_close(found, latents, rtol=0, atol=1e-4)  # in dB and standard deviations
        torch.testing.assert_close(decoder.stream(latents, [5, 7]), sound, rtol=0, atol=1e-5)


def test_an_instrument_is_written_as_two_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    onnx = pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    model = toy_playable.make()
    short = {
        "attributes": {},
        **verify.reference(model, axes_of(model, toy_playable.statistics(model), 5), 24),
    }
    monkeypatch.setattr(onnx_files, "references", lambda m, a: [short])
    info, paths = onnx_files.export_onnx(toy_playable.checkpoint(model), tmp_path / "toy.onnx", 5)
    assert 0 < info.streaming_error < 1e-5
    assert [path.name for path in paths] == ["toy.encode.onnx", "toy.decode.onnx"]
    for path in paths:
        said = {entry.key: entry.value for entry in onnx.load(str(path)).metadata_props}
        assert BundleInfo.from_json(said[EXTRA_FILE]) == info
        for trace in (b"/home/", b"site-packages", b".py", str(tmp_path).encode()):
            assert trace not in path.read_bytes()
    assert [axis.name for axis in info.axes] == list(model.axis_names[:5])


def test_the_command_writes_both(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("onnxruntime")
    run = run_at(tmp_path / "run", toy_model.checkpoint(SMALL))
    assert main([str(run), "-o", str(tmp_path / "m.onnx"), "--format", "onnx", "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["paths"] == [str(tmp_path / f"m.{name}.onnx") for name in ("encode", "decode")]
    assert said["bytes"] == sum(Path(name).stat().st_size for name in said["paths"])


@pytest.mark.parametrize(
    ("argv", "says"),
    [
        (["--format", "onnx", "-o", "{tmp}/m.ts"], r"end in \.onnx"),
        (["--format", "onnx", "--weights", "float16"], "no --streaming and no --weights"),
        (["--format", "neutone"], "--format"),
    ],
)
def test_wrong_use(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, argv: list[str], says: str) -> None:
    monkeypatch.chdir(tmp_path)
    run = run_at(tmp_path / "run", toy_model.checkpoint())
    with pytest.raises(UserError, match=says):
        main([str(run), *(word.format(tmp=tmp_path) for word in argv)])
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


def test_onnx_without_its_packages_says_which(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onnx_files, "PACKAGES", ("onnx_is_not_here",))
    with pytest.raises(UserError, match=r"onnx_is_not_here.*pip install 'wavevae\[onnx\]'"):
        onnx_files.export_onnx(toy_model.checkpoint(), tmp_path / "m.onnx")


@pytest.mark.parametrize(
    "changes",
    [{"bottleneck": "rvq"}, {"condition": "pitch"}, {"condition": "class", "classes": ("reed", "string")}],
)
@pytest.mark.parametrize("form", ["--format onnx", "--streaming cached-conv"])
def test_what_only_our_layers_do_is_refused_in_one_line(
    tmp_path: Path, changes: dict[str, object], form: str
) -> None:
    config = ModelConfig(widths=(4, 4, 4), latent_dim=2, codebook_size=8, code_dim=2, **changes)  # type: ignore[arg-type]
    run = run_at(tmp_path / "run", toy_model.checkpoint(config))
    out = tmp_path / ("x.onnx" if "onnx" in form else "x.ts")
    with pytest.raises(UserError, match=f"{form} is for bottlenecks ae, vae without condition: leave it out"):
        main([str(run), "-o", str(out), *form.split()])
    assert not out.exists()
