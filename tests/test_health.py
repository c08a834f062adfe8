"""What a run says of its own inner life, and what it draws of it."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch

from wavevae.config import ModelConfig, ObjectiveConfig, RunConfig, override
from wavevae.nn.conditioning import FiLM
from wavevae.nn.model import Autoencoder
from wavevae.objectives.losses import Objectives
from wavevae.train import training_plots
from wavevae.train.batches import Batch
from wavevae.train.health import Health, findings
from wavevae.train.journal import MetricsFile
from wavevae.train.run_folder import RunFolder
from wavevae.train.validation import Validation, codebook_figures, histogram

pytestmark = pytest.mark.usefixtures("drawn_pictures")

WELL = {"val_active_dims": 64.0, "val_kl_nats": 300.0, "val_distance": 2.0}
WELL |= {"val_distance_mistold_class": 4.0, "val_distance_mistold_pitch": 4.0}
WELL |= {"val_kl_nats_top": 9.0, "codebook_usage": 0.95}
CONFIG = RunConfig()


def test_a_healthy_run_says_nothing() -> None:
    assert findings(WELL, 1.0, CONFIG) == {}
    assert findings({}, 1.0, CONFIG) == {}


def test_an_hvae_whose_kl_explodes_is_told_what_an_hvae_can_do() -> None:
    config = override(CONFIG, {"bottleneck": "hvae"})
    said = findings(WELL | {"val_kl_nats": 73160.0}, 0.05, config)["explosion"]
    assert "the slow level expects other fast latents than come" in said
    assert "--bottleneck vae" in said


@pytest.mark.parametrize(
    ("values", "kind", "says"),
    [
        ({"val_active_dims": 20.0}, "collapse", "collapsed in 44 of 64 latent dimensions"),
        (
            {"val_kl_nats_top": 1.9},
            "top",
            "the slow level tells 1.9 nats a frame, no more than its free bits (2)",
        ),
        ({"val_kl_nats": 2000.0}, "explosion", "the KL is 2000 nats a frame, 31 a dimension"),
        ({"val_narrow_prior": 0.4}, "narrow", "40% of what the slow level expects is as narrow as it may be"),
        ({"codebook_usage": 0.3}, "codes", "30% of 512 codes are used"),
        (
            {"val_distance_mistold_class": 2.01},
            "labels class",
            "class labels are not listened to: told another's, a sound is +0.5%",
        ),
        (
            {"val_distance_mistold_pitch": 1.98},
            "labels pitch",
            "pitch labels are not listened to: told another's, a sound is -1.0%",
        ),
    ],
)
def test_trouble_is_named_with_what_to_change(values: dict[str, float], kind: str, says: str) -> None:
    found = findings(WELL | values, 0.5, CONFIG)
    assert set(found) == {kind}
    assert says in found[kind]
    assert "try " in found[kind]
    assert "--" in found[kind].partition("try ")[2]


def test_nothing_is_judged_too_early_but_an_explosion() -> None:
    ill = {"val_active_dims": 1.0, "val_kl_nats": 1e4, "codebook_usage": 0.1}
    assert set(findings(ill, 0.05, CONFIG)) == {"explosion"}


def test_a_sentence_is_said_once_and_again_when_it_returns() -> None:
    class Run:
        validation, terms, progress, config, adversary = {}, {}, 0.5, CONFIG, None

    health, run = Health(), Run()
    spoken = []
    for active in (10.0, 9.0, 60.0, 8.0):
        run.validation = {"val_active_dims": active}
        spoken.append(len(health.news(run)))  # type: ignore[arg-type]
    assert spoken == [1, 0, 0, 1]


# -- validation ------------------------------------------------------------------------------------------------


def test_use_of_codes_over_a_whole_set() -> None:
    codes = torch.tensor([[[0, 0, 1, 1], [2, 2, 2, 2]], [[2, 2, 3, 3], [2, 2, 2, 2]]])  # (B=2, n=2, F=4)
    counts = histogram(codes, 8)
    assert counts[0].tolist() == [2, 2, 2, 2, 0, 0, 0, 0]
    assert counts[1].tolist() == [0, 0, 8, 0, 0, 0, 0, 0]
    figures = codebook_figures(counts)
    assert float(figures["codebook_perplexity"]) == pytest.approx((4 + 1) / 2)
    assert float(figures["codebook_usage"]) == pytest.approx((4 / 8 + 1 / 8) / 2)


def told_run(listens: bool) -> dict[str, float]:
    """A validation of a class-conditional model whose FiLM layers do, or do not, anything."""
    torch.manual_seed(0)
    shape = ModelConfig(
        sample_rate=8000, ratios=(4,), widths=(6, 8), dilations=(1,), latent_dim=4, noise_bands=0,
        condition="class", classes=("a", "b"),
    )  # fmt: skip
    model = Autoencoder(shape).eval()
    if listens:
        for module in model.decoder.modules():
            if isinstance(module, FiLM):
                torch.nn.init.normal_(module.affine.weight, std=3.0)
    objectives = Objectives(ObjectiveConfig(n_ffts=(256,), mel_windows=(256,)), 8000)
    validation = Validation(objectives, shape)
    validation.start()
    audio, none = 0.1 * torch.randn(4, 1, 1024), torch.full((4,), math.nan)
    with torch.no_grad():
        validation.add(model, Batch(audio, audio, torch.tensor([0, 1, 0, 1]), none, none))
    return validation.means()


def test_a_validation_tells_whether_labels_matter() -> None:
    deaf, listening = told_run(False), told_run(True)
    assert deaf["val_distance_mistold_class"] == pytest.approx(deaf["val_distance"], rel=1e-5)
    assert abs(listening["val_distance_mistold_class"] / listening["val_distance"] - 1) > 1e-3
    assert "val_distance_mistold_pitch" not in deaf  # it is told classes only
    assert "labels class" in findings(deaf, 1.0, CONFIG)


# -- pictures --------------------------------------------------------------------------------------------------


def test_each_term_s_part_of_the_loss_is_its_weight_times_its_number(tmp_path: Path) -> None:
    file = MetricsFile(tmp_path / "metrics.csv")
    for step, share in ((10, 0.0), (20, 1.0)):
        row = {"step": step, "share": share, "total": 9.0, "mr_stft": 2.0, "kl": 300.0}
        file.append(row)
        file.append({"step": step, "share": share, "val_mr_stft": 1.5})
    config = override(RunConfig(), {"kl": 1e-3, "mr_stft": 0.5, "mr_stft_end": 1.0})
    steps, terms = training_plots.contributions(tmp_path / "metrics.csv", config)
    assert steps.tolist() == [10, 20]
    assert terms["mr_stft"].tolist() == pytest.approx([1.0, 2.0])
    assert terms["kl"].tolist() == pytest.approx([0.0, 0.3])
    assert "log_mel" not in terms


@pytest.mark.parametrize("bottleneck", ["vae", "rvq"])
def test_the_pictures_of_a_run(tmp_path: Path, bottleneck: str) -> None:
    folder = RunFolder(tmp_path)
    config = override(RunConfig(), {"bottleneck": bottleneck, "codebook_size": 16})
    row = {"step": 10, "share": 0.5, "total": 9.0, "mr_stft": 2.0, "kl": 300.0, "kl_weight": 1e-4}
    MetricsFile(folder.metrics).append(row)
    training_plots.draw(folder, config)
    training_plots.draw_codebooks(folder, Autoencoder(config.model))
    there = {path.name for path in tmp_path.glob("*.png")}
    assert there == {"term_losses.png"} | ({"beta_vs_kl.png"} if bottleneck == "vae" else {"codebooks.png"})
    assert all(np.frombuffer(path.read_bytes()[:4], "S4")[0] == b"\x89PNG" for path in tmp_path.glob("*.png"))
