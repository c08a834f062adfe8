"""An instrument's MODEL.ts: the stream is the offline model, and what is played is what the controls say."""

import math
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import toy_model
import toy_playable
from nn_host import Host
from signals import cents, level_db

from wavevae import audio
from wavevae.bundle import read_bundle
from wavevae.errors import Failure, UserError
from wavevae.export import model_file, verify
from wavevae.export.instrument import instrument_module
from wavevae.export.latent_pca import AxisMap
from wavevae.export.layers import SMALLEST_STORED
from wavevae.export.model_file import Choices, axes_of, export_checkpoint, export_model
from wavevae.export.torchscript import script
from wavevae.export.verify_subprocess import BLOCKS, sizes, stream
from wavevae.nn.instrument import Instrument
from wavevae.realtime.engine.streaming_model import StreamingModel
from wavevae.realtime.offline.encode import main as encode
from wavevae.realtime.offline.render import main as render

RATE, HOP, LATENTS = 22050, 256, 7


def module_of(model: Instrument, keep: int | None = None) -> tuple[torch.jit.ScriptModule, AxisMap]:
    axes = axes_of(model, toy_playable.statistics(model), keep)
    return script(instrument_module(model, axes)), axes


@pytest.fixture(scope="module")
def model() -> Instrument:
    return toy_playable.make()


@pytest.fixture(scope="module")
def path(model: Instrument, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Exported as the command does, compared with a shorter sound."""
    path = tmp_path_factory.mktemp("instrument") / "toy.ts"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            model_file, "references", lambda m, a: [{"attributes": {}, **verify.reference(m, a, 24)}]
        )
        info = export_checkpoint(toy_playable.checkpoint(model), path)
    assert 0 < info.streaming_error < 1e-5
    return path


@pytest.mark.parametrize("name", ["instrument", "instrument-low-latency"])
@pytest.mark.parametrize("rate", [22050, 48000])
def test_every_preset_streams_at_every_rate(name: str, rate: int) -> None:
    path = next(path for path in toy_model.PRESETS if path.stem == name)
    shape = replace(toy_model.preset(path), sample_rate=rate, oscillators="harmonic")
    model = toy_playable.make_of(shape)
    twin = instrument_module(model, axes_of(model, toy_playable.statistics(model))).eval()
    z = torch.zeros(1, model.latent_dim, 12)
    z[:, 0], z[:, 1], z[:, 2] = 60.0, torch.linspace(-60.0, -20.0, 12), 1.0
    with torch.inference_mode():
        expected = model.decode(axes_of(model, toy_playable.statistics(model)).decode(z))
        found = torch.cat([twin.decode(part) for part in z.split([1, 2, 9], 2)], 2)
    assert float((found - expected).abs().max()) < 1e-5
    assert abs(shape.frame_rate / (172 if "low" in name else 86) - 1) < 0.1


def test_a_full_disk_is_one_line_and_leaves_nothing(model: Instrument, tmp_path: Path) -> None:
    resource = pytest.importorskip("resource")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    axes = axes_of(model, toy_playable.statistics(model))
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, before[1]))  # stands for the end of the disk
        with pytest.raises(
            Failure, match=r"full\.ts: cannot be written \(File too large, \d+ bytes wanted\)"
        ):
            export_model(model, axes, tmp_path / "full.ts", {}, Choices())
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert not list(tmp_path.iterdir())


@pytest.fixture
def module(path: Path) -> torch.jit.ScriptModule:
    return torch.jit.load(str(path)).eval()


# -- the stream is the offline model -------------------------------------------------------------------------


@pytest.mark.parametrize("kind", toy_playable.KINDS)
def test_streaming_is_the_offline_model(kind: str) -> None:
    model = toy_playable.make(kind)
    module, axes = module_of(model)
    expected = verify.reference(model, axes, 40)
    hop = model.hop_length
    latents, scale = expected["latents"], expected["scale"][:, None] * expected["sure_latents"]
    with torch.inference_mode():
        for block in BLOCKS if kind in ("vae", "both") else ("1", "mixed"):
            calls = sizes(block, 40)
            for method, x, step, wanted, weight in (
                (module.encode, expected["audio"], hop, latents, scale),
                (module.decode, latents, 1, expected["sound"], torch.ones(())),
                (module, expected["audio"], hop, expected["resynthesis"], expected["sure_sound"]),
            ):
                module.reset()
                found = stream(method, x, calls, step)
                assert ((found - wanted) * weight).abs().max() < 1e-5, (block, method)


def test_a_class_is_told_and_what_comes_in_may_be_another() -> None:
    model = toy_playable.make("class")
    module, _ = module_of(model)
    x = toy_playable.tone(RATE, 20 * HOP)
    reed, string = (model.condition(name, None) for name in ("reed", "string"))
    with torch.inference_mode():
        assert (module.set_class(1), module.set_input_class(0)) == (0, 0)
        expected = model.decode(model.encode(x, condition=reed), condition=string)
        torch.testing.assert_close(module(x), expected, rtol=0, atol=1e-5)
        module.reset()
        module.set_input_class(-2)
        torch.testing.assert_close(
            module(x), model.decode(model.encode(x, condition=string), condition=string)
        )
        assert not torch.allclose(expected, model.decode(model.encode(x)), atol=1e-3)
    assert module.set_class(2) == -1


def test_a_host_hears_it(path: Path, model: Instrument) -> None:
    x = toy_playable.tone(RATE, 2 * 4096)
    with torch.inference_mode():
        expected = model.decode(model.encode(x))
    for buffer in (HOP, 4096):
        heard = Host(path, "forward", buffer).play(x[0])
        torch.testing.assert_close(heard, expected, rtol=0, atol=1e-5)
    both = Host(path, "forward", 4096).play(x[0].repeat(3, 1), voices=3)
    assert both.shape == (3, 1, 2 * 4096)


# -- voices --------------------------------------------------------------------------------------------------


def test_voices_have_the_same_pitch_and_level_and_noises_of_their_own(module: torch.jit.ScriptModule) -> None:
    z = toy_playable.controls(200)
    module.set_life(0.0)
    with torch.inference_mode():
        single = module.decode(z)[0, 0]
        module.reset()
        first, second = module.decode(z.repeat(2, 1, 1))[:, 0]
        torch.testing.assert_close(first, single, rtol=0, atol=1e-6)
        assert level_db(second) == pytest.approx(level_db(first), abs=0.3)
        assert level_db(second - first) < level_db(first) - 1  # the tone is the same
        assert level_db(second - first) > level_db(first) - 40  # the noise is not


def test_one_voice_begins_anew_and_the_others_go_on(module: torch.jit.ScriptModule) -> None:
    """The first voice, whose noise a single one has too, plays another tone; the second one plays on."""
    tones = [toy_playable.controls(40, 60.0).repeat(2, 1, 1), toy_playable.controls(40, 67.0)]
    module.set_life(0.0)
    after = torch.cat([tones[1], tones[0][1:]])
    with torch.inference_mode():
        module.decode(tones[0])
        undisturbed = module.decode(tones[0])[1, 0]
        module.reset()
        module.decode(tones[0])
        module.restart(0)
        first, second = module.decode(after)[:, 0]
        module.reset()
        module.decode(tones[0][:1])
        module.restart(0)
        alone = module.decode(tones[1])[0, 0]
    torch.testing.assert_close(second, undisturbed, rtol=0, atol=1e-6)
    torch.testing.assert_close(first, alone, rtol=0, atol=1e-6)
    with torch.inference_mode():
        module.reset()
        new = module.decode(tones[1])[0, 0]  # other frame numbers: another noise, the same tone
    assert level_db(first - new) < level_db(new) - 1
    assert abs(cents(first, RATE, 440 * 2 ** (-2 / 12)) - cents(new, RATE, 440 * 2 ** (-2 / 12))) < 1


# -- bad signals ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf, 1e30])
def test_a_bad_control_is_forgotten(module: torch.jit.ScriptModule, bad: float) -> None:
    """Pitch and level come back with the next hop, timbre with the look-back of the convolutions."""
    module.set_life(0.0)
    for latent in range(LATENTS):
        z = toy_playable.controls(60)
        torn = z.clone()
        torn[0, latent, 20] = bad
        with torch.inference_mode():
            module.reset()
            clean = module.decode(z)[0, 0]
            module.reset()
            found = torch.cat([module.decode(part) for part in torn.split(1, 2)], 2)[0, 0]
        assert found.isfinite().all()
        after = slice(40 * HOP, None)
        assert level_db(found[after]) == pytest.approx(level_db(clean[after]), abs=0.5)
        soon = slice(22 * HOP, 26 * HOP)
        assert level_db(found[soon]) == pytest.approx(level_db(clean[soon]), abs=3)


@pytest.mark.parametrize("bad", [math.nan, math.inf, 3e38])
def test_bad_sound_is_forgotten(module: torch.jit.ScriptModule, bad: float) -> None:
    x = toy_playable.tone(RATE, 80 * HOP)
    x[..., 20 * HOP : 20 * HOP + 9] = bad
    with torch.inference_mode():
        z = torch.cat([module.encode(part) for part in x.split(HOP, 2)], 2)
    assert z.isfinite().all()
    assert z[0, 0, -1] == pytest.approx(57.0, abs=0.05)
    assert z[0, 1, -1] == pytest.approx(-20.0, abs=0.2)


@pytest.mark.parametrize(
    "shape", [(0,), (5,), (2, 300), (1, 2, 300), (1, 1, 0), (3, 1, HOP + 1), (1, 1, 1, HOP)]
)
def test_odd_shapes_never_raise(module: torch.jit.ScriptModule, shape: tuple[int, ...]) -> None:
    voices, samples = (shape[0] if len(shape) > 2 else 1), shape[-1]
    x = torch.zeros(shape)
    with torch.inference_mode():
        assert module(x).shape == (voices, 1, samples)
        assert module.encode(x).shape == (voices, LATENTS, -(-samples // HOP))
        assert module.decode(x).shape == (voices, 1, samples * HOP)


# -- attributes ----------------------------------------------------------------------------------------------


def test_what_a_host_reads(module: torch.jit.ScriptModule) -> None:
    assert module.get_attributes() == ["gain", "temperature", "reset", "life", "transpose"]
    names = [
        "pitch (MIDI)",
        "loudness (dB)",
        "periodicity (0..1)",
        "brightness",
        "noisiness",
        "timbre 1",
        "timbre 2",
    ]
    assert module.encode_output_labels == module.decode_input_labels == names
    for name, wanted, kept in (("life", 9.0, 2.0), ("transpose", -99.0, -48.0)):
        assert getattr(module, f"{name}_params").tolist() == [2]
        assert getattr(module, f"set_{name}")(wanted) == 0
        assert getattr(module, f"get_{name}")() == (kept,)
        assert getattr(module, f"set_{name}")(math.nan) == -1
        assert getattr(module, f"get_{name}")() == (kept,)


def test_a_model_without_a_pitch_has_no_transpose() -> None:
    module, _ = module_of(toy_playable.make("dense"))
    assert module.get_attributes() == ["gain", "temperature", "reset", "life"]
    assert module.encode_output_labels[0] == "loudness (dB)"


def test_temperature_is_heard(module: torch.jit.ScriptModule) -> None:
    z = toy_playable.controls(50)
    with torch.inference_mode():
        still = module.decode(z)
        module.reset()
        module.set_temperature(1.0)
        assert level_db(module.decode(z) - still) > level_db(still) - 40


def test_reset_sounds_as_just_loaded(module: torch.jit.ScriptModule) -> None:
    x = toy_playable.tone(RATE, 20 * HOP)
    with torch.inference_mode():
        first = module(x)
        assert not torch.equal(module(x), first)
    module.set_reset(1)  # outside inference mode, as setters are called
    with torch.no_grad():
        assert torch.equal(module(x), first)


# -- files ---------------------------------------------------------------------------------------------------


def test_what_the_file_says(path: Path, model: Instrument) -> None:
    info = read_bundle(path).info
    assert (info.family, info.oscillators, info.latent_dim) == ("instrument", "harmonic", LATENTS)
    assert info.algorithmic_latency_samples == model.algorithmic_latency == 3 * HOP
    statistics = toy_playable.statistics(model)
    for i, axis in enumerate(info.axes):
        natural = i < 3
        assert axis.name == model.axis_names[i]
        assert axis.mean == pytest.approx(statistics.mean[i] if natural else 0.0)
        assert axis.std == pytest.approx(statistics.std[i] if natural else 1.0)
    assert 40 < info.axes[0].low < 46 < 68 < info.axes[0].high < 72


OPERATORS = """
Bool Float Int IntImplicit TupleUnpack __and__ __getitem__ __or__ abs add add_ addcmul addmm addmm_ all amax any
append arange argmin bitwise_and cat clamp clamp_ clamp_max clamp_min clamp_min_ clone contiguous conv1d copy_ cos
cummax cumsum div eq equal exp exp2 expand expand_as fft_irfft fft_rfft fill_ flatten floor floordiv frac frac_ full
gather ge gt index index_select isfinite isnan le leaky_relu leaky_relu_ lerp log log10 log2 log_sigmoid logical_not lt
masked_fill_ matmul max maximum min minimum mm mul mul_ mv nan_to_num narrow ne neg new_full new_zeros numel
ones_like pad permute polar pow randn_like reciprocal remainder repeat reshape round scatter_add searchsorted
select sin size slice softmax sqrt square stack sub sum t tanh tensor to topk transpose unfold unsqueeze view
view_as view_as_real where zeros zeros_like
"""
"""All are in libtorch 2.0."""


def test_no_operator_crept_in() -> None:
    both = toy_playable.make("both")
    both.profile = toy_playable.profile(both)
    for module, _ in (module_of(both), module_of(toy_playable.make("class"))):
        used = {name.split("::")[1].split(".")[0] for name in torch.jit.export_opnames(module)}
        assert used <= {*OPERATORS.split()}, used - {*OPERATORS.split()}


def test_a_model_told_classes_and_pitches_says_only_classes() -> None:
    model = toy_playable.make("class and pitch")
    axes = axes_of(model, toy_playable.statistics(model))
    assert model_file.describe(model, axes, {}).labels == {"class": ["reed", "string"]}


def test_fewer_latents_hold_the_rest_at_their_mean(model: Instrument) -> None:
    module, axes = module_of(model, 5)
    z = toy_playable.controls(30, learned=2)
    with torch.inference_mode():
        expected = model.decode(axes.decode(z))
        torch.testing.assert_close(module.decode(z), expected, rtol=0, atol=1e-5)
    with pytest.raises(UserError, match=r"--latents is 3.*use 4 to 7"):
        module_of(model, 3)


def test_other_forms_are_refused(model: Instrument, tmp_path: Path) -> None:
    axes = axes_of(model, toy_playable.statistics(model))
    for choices, option in ((Choices("cached-conv"), "cached-conv"), (Choices(weights="float16"), "float16")):
        with pytest.raises(UserError, match=f"{option} is for models of the family codec"):
            export_model(model, axes, tmp_path / "x.ts", {}, choices)
    assert not list(tmp_path.iterdir())


def test_weights_of_8_bits_are_float32_and_the_rounded_model(tmp_path: Path) -> None:
    """torch and zipfile read the deflated records; the file is compared with the rounded model when it is written."""
    model = toy_playable.make_of(toy_playable.config(decoder_width=96, encoder_width=64))
    before = {name: value.clone() for name, value in model.state_dict().items()}
    bundle = read_bundle(toy_playable.write(model, tmp_path / "8.ts", Choices(weights="bfloat16")))
    assert bundle.info.streaming_error < 5e-5
    assert 0 < bundle.info.origin["rounding_error"] < 0.05
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    weights = [
        w
        for name, w in bundle.module.state_dict().items()
        if name.endswith("product.weight") and w.numel() >= SMALLEST_STORED
    ]
    assert weights
    assert all(w.dtype == torch.float32 and torch.equal(w, w.bfloat16().float()) for w in weights)
    with zipfile.ZipFile(bundle.path) as archive:
        assert archive.testzip() is None
        records = {archive.read(name) for name in archive.namelist()}
        whole = sum(entry.file_size for entry in archive.infolist())
    assert all(w.numpy().tobytes() in records for w in weights)
    assert bundle.path.stat().st_size < 0.6 * whole


# -- playing -------------------------------------------------------------------------------------------------


def test_knobs_at_zero_sound_as_the_corpus_does(path: Path) -> None:
    """serve and render think in standard deviations; 0 is the corpus' mean pitch and loudness."""
    bundle = read_bundle(path)
    core, axes = StreamingModel(bundle), bundle.info.axes
    sound = torch.from_numpy(core.decode(np.zeros((100, LATENTS), np.float32)))[2 * HOP :]
    assert level_db(sound) == pytest.approx(axes[1].mean, abs=1.5)
    frames = core.encode(toy_playable.tone(RATE, 40 * HOP, axes[0].mean, axes[1].mean)[0, 0].numpy())
    assert np.abs(frames[-1, :2]).max() < 0.05


def test_latent_files_are_in_natural_units(
    path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    audio.write(tmp_path / "in.wav", toy_playable.tone(RATE, 60 * HOP, 57.0, -20.0)[0, 0].numpy(), RATE)
    assert encode([str(path), str(tmp_path / "in.wav"), "-o", str(tmp_path / "z.npy")]) == 0
    z = np.load(tmp_path / "z.npy")
    assert z[-1, 0] == pytest.approx(57.0, abs=0.05)
    assert z[-1, 1] == pytest.approx(-20.0, abs=0.2)
    again = ["--latents", str(tmp_path / "z.npy"), "--save-latents", str(tmp_path / "y.npy")]
    assert render([str(path), *again, "-o", str(tmp_path / "out.wav")]) == 0
    np.testing.assert_allclose(np.load(tmp_path / "y.npy"), z, atol=1e-4)
    sound = audio.read_mono(tmp_path / "out.wav", RATE)
    assert level_db(torch.from_numpy(sound)[-20 * HOP :]) == pytest.approx(-20.0, abs=1.0)
