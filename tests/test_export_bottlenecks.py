"""Every bottleneck with every condition: exported, compared in a process that knows only torch, described."""

import dataclasses
from pathlib import Path

import pytest
import torch
import toy_model

from wavevae.bundle import read_bundle
from wavevae.config import ModelConfig
from wavevae.export.bottlenecks import StreamingHierarchy, StreamingQuantizer, twin_of_bottleneck
from wavevae.export.latent_pca import axis_map
from wavevae.export.layers import from_rows, to_rows
from wavevae.export.model_file import export_checkpoint
from wavevae.export.verify import CLOSE, references, sure_hops
from wavevae.nn.bottlenecks.hierarchical import Hierarchical
from wavevae.nn.bottlenecks.residual_vq import ResidualVQ

BASE = dataclasses.replace(
    toy_model.SHAPES["plain"],
    codebook_size=16,
    n_codebooks=3,
    code_dim=4,
    top_dim=2,
    top_every=4,
    partials=10,
)


def shaped(bottleneck: str, condition: str = "none") -> ModelConfig:
    classes = ("reed", "brass") if "class" in condition else ()
    return dataclasses.replace(BASE, bottleneck=bottleneck, condition=condition, classes=classes)


@pytest.mark.parametrize(
    ("bottleneck", "condition"),
    [("vq", "none"), ("rvq", "class"), ("hvae", "pitch"), ("ae", "class+pitch"), ("hvae", "none")],
)
def test_a_file_is_its_model_and_says_what_it_is(tmp_path: Path, bottleneck: str, condition: str) -> None:
    check_file(tmp_path / "toy.ts", bottleneck, condition)


@pytest.mark.slow
@pytest.mark.parametrize("condition", ["none", "class", "pitch", "class+pitch"])
@pytest.mark.parametrize("bottleneck", ["ae", "vae", "vq", "rvq", "hvae"])
def test_so_is_every_pair(tmp_path: Path, bottleneck: str, condition: str) -> None:
    check_file(tmp_path / "toy.ts", bottleneck, condition)


def check_file(path: Path, bottleneck: str, condition: str) -> None:
    config = shaped(bottleneck, condition)
    info = export_checkpoint(toy_model.checkpoint(config), path)
    assert 0 < info.streaming_error < 1e-4
    assert info.bottleneck == bottleneck
    assert info.codebook_sizes == {"vq": (16,), "rvq": (16, 16, 16)}.get(bottleneck, ())
    assert list(info.labels) == [name for name in ("class", "pitch") if name in condition]
    module = read_bundle(path).module
    assert hasattr(module, "set_class") == ("class" in condition)
    assert module.encode_params.tolist() == [1, 1, config.latent_dim, config.hop_length]


@pytest.mark.parametrize("voices", [1, 3])
@pytest.mark.parametrize("block", [1, 3, 4, 7, 50])
def test_the_slow_level_waits_for_its_groups(block: int, voices: int) -> None:
    """Whatever the blocks: groups of four frames, begun and ended anywhere in a call."""
    torch.manual_seed(0)
    model = toy_model.make(shaped("hvae"))
    offline = model.bottleneck
    assert isinstance(offline, Hierarchical)
    h = torch.randn(voices, offline.in_channels, 50)
    twin = twin_of_bottleneck(offline)
    assert isinstance(twin, StreamingHierarchy)
    scripted = torch.jit.script(twin)
    with torch.inference_mode():
        for _ in range(2):  # and again after a new start
            scripted.start(voices)
            parts = [from_rows(scripted(to_rows(p)), voices) for p in h.transpose(1, 2).split(block, 1)]
            found = torch.cat(parts, 1).transpose(1, 2)
            torch.testing.assert_close(found, offline.mean(h), rtol=0, atol=2e-6)


def test_a_quantizer_streams_frame_by_frame() -> None:
    model = toy_model.make(shaped("rvq"))
    offline = model.bottleneck
    assert isinstance(offline, ResidualVQ)
    twin = twin_of_bottleneck(offline)
    assert isinstance(twin, StreamingQuantizer)
    h = torch.randn(2, offline.in_channels, 30)
    with torch.inference_mode():
        rows = torch.cat([twin(part) for part in to_rows(h.transpose(1, 2)).split(2)])
        torch.testing.assert_close(from_rows(rows, 2).transpose(1, 2), offline.mean(h), rtol=0, atol=1e-5)


def test_frames_that_the_last_digits_decide_are_known() -> None:
    """A frame half-way between two codes has no margin; one at a code has all there is."""
    model = toy_model.make(shaped("vq"))
    book = model.bottleneck.stages[0].codebook
    e = torch.stack([book.codes[0], book.codes[0] + book.codes[1]])  # each (code_dim,)
    model.bottleneck.stages[0].encodings = lambda h: torch.nn.functional.normalize(e, dim=1).t()[None]
    margin = model.bottleneck.margin(torch.randn(1, BASE.latent_dim, 2))[0]
    assert margin[0] > CLOSE
    nearest = torch.cdist(torch.nn.functional.normalize(e[1:], dim=1), book.codes)[0].topk(2, largest=False)
    assert margin[1] == pytest.approx(float(nearest.values[1] - nearest.values[0]), abs=1e-5)
    if set(nearest.indices.tolist()) == {0, 1}:
        assert margin[1] < CLOSE


def test_a_hop_that_hears_an_unsure_frame_is_not_compared() -> None:
    model = toy_model.make(shaped("vq"))
    sure = torch.ones(1, 1, 400)
    sure[..., 100] = 0
    with torch.inference_mode():
        z = torch.randn(1, BASE.latent_dim, 400)
        other = z.clone()
        other[..., 100] += 1.0
        changed = (model.decode(z) != model.decode(other)).view(400, -1).any(1)
    alike = sure_hops(model, sure)[0, 0].bool()
    assert not (changed & alike).any()
    assert alike[:100].all()
    assert alike[200:].all()


def test_few_frames_are_left_out_of_the_comparison() -> None:
    model = toy_model.make(shaped("rvq"))
    for case in references(model, axis_map(toy_model.statistics(model))):
        assert case["sure_latents"].mean() > 0.95
