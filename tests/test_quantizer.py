"""Codebooks: nearest codes, averages by their formula, dead codes that come back, and a peer to agree with."""

import math
from pathlib import Path

import pytest
import torch
import torch.multiprocessing as multiprocessing
from torch import Tensor

from wavevae.config import ModelConfig, ObjectiveConfig, TrainConfig
from wavevae.nn.bottlenecks.base import Latents, make_bottleneck
from wavevae.nn.bottlenecks.codebook import KMEANS_ROUNDS, Codebook, entropy_of, unit
from wavevae.nn.bottlenecks.residual_vq import LONGEST, LOUDNESS, VQ, ResidualVQ, mulaw_decode, mulaw_encode
from wavevae.nn.model import Autoencoder
from wavevae.objectives.losses import Objectives
from wavevae.train.optimizer import make_optimizer


def directions(count: int, dim: int = 4, seed: int = 0) -> Tensor:
    """(count, dim) of length 1."""
    return unit(torch.randn(count, dim, generator=torch.Generator().manual_seed(seed)))


def residual(books: int = 3, size: int = 16, dim: int = 6, code_dim: int = 4, **options: float) -> ResidualVQ:
    torch.manual_seed(1)
    return ResidualVQ(dim, [Codebook(size, code_dim) for _ in range(books)], 100.0, **options)


def speech(count: int, dim: int = 6, seed: int = 2) -> Tensor:
    """Latents (count, dim) with a few strong axes, as an encoder's are."""
    return torch.randn(count, dim, generator=torch.Generator().manual_seed(seed)) * 2.0 ** -torch.arange(dim)


# -- one codebook ----------------------------------------------------------------------------------------------


def test_the_nearest_code_is_the_one_with_the_largest_cosine() -> None:
    book, x = Codebook(32, 4), directions(200, seed=3)
    assert torch.equal(book(x), (x @ book.codes.T).argmax(1))
    assert torch.equal(book(book.codes), torch.arange(32))


def test_averages_are_the_formula() -> None:
    """Two steps by hand: n <- g n + (1 - g) hits / N, m <- g m + (1 - g) sum / N, c = m / |m|."""
    book, decay = Codebook(3, 4, decay=0.8, dead=0.0), 0.8
    weight, sums = book.weight.clone(), book.sums.clone()
    for step in range(2):
        x = directions(50, seed=step)
        index = book(x)
        book.ema_update(x, index, torch.ones(50))
        hits = torch.stack([(index == k).float().mean() for k in range(3)])
        means = torch.stack([(x * (index == k)[:, None]).mean(0) for k in range(3)])
        weight, sums = decay * weight + (1 - decay) * hits, decay * sums + (1 - decay) * means
        torch.testing.assert_close(book.weight, weight)
        torch.testing.assert_close(book.sums, sums)
        torch.testing.assert_close(book.codes, unit(sums))
    assert float(book.weight.sum()) == pytest.approx(1.0)


def test_masked_rows_and_broken_steps_change_nothing() -> None:
    one, other = Codebook(5, 4), Codebook(5, 4)
    other.load_state_dict(one.state_dict())
    x = directions(40)
    mask = (torch.arange(40) < 25).float()
    one.ema_update(x, one(x), mask)
    other.ema_update(x[:25], other(x[:25]), torch.ones(25))
    torch.testing.assert_close(one.codes, other.codes)
    before = {name: value.clone() for name, value in one.state_dict().items()}
    broken = x.clone()
    broken[3, 1] = torch.nan
    one.ema_update(broken, one(x), torch.ones(40))
    one.ema_update(x, one(x), torch.zeros(40))
    assert all(torch.equal(value, before[name]) for name, value in one.state_dict().items())


def test_a_codebook_is_used_once_it_has_learned() -> None:
    torch.manual_seed(0)
    book = Codebook(64, 4, decay=0.9)
    for step in range(60):
        x = directions(256, seed=step)
        book.ema_update(x, book(x), torch.ones(256))
    assert float(book.usage()) == 1.0
    assert float(book.entropy().exp()) > 0.8 * 64


def test_a_dead_code_comes_back_and_stays() -> None:
    """It stands far from all sounds; it restarts at a frame of the step, and the next step does not undo it."""
    torch.manual_seed(0)
    book = Codebook(8, 4, decay=0.5, dead=0.1)
    x = directions(200)
    x[:, 0] = x[:, 0].abs()
    x = unit(x)
    away = torch.tensor([-1.0, 0.0, 0.0, 0.0])
    book.codes[3], book.sums[3], book.weight[3] = away, away / 8, 1 / 8
    for _ in range(4):  # 1/8, then halved until below a tenth of an even use
        book.ema_update(x, book(x), torch.ones(200))
    assert float((x @ book.codes[3]).max()) == pytest.approx(1.0, abs=1e-5)
    assert float(book.weight[3]) == pytest.approx(1 / 8)
    torch.testing.assert_close(book.sums[3], book.codes[3] / 8)
    for _ in range(6):
        book.ema_update(x, book(x), torch.ones(200))
    assert (book(x) == 3).any()


def test_a_restart_never_lands_on_a_code_that_fits_already() -> None:
    """Half of the frames are silence, which has its code: new codes go elsewhere."""
    torch.manual_seed(0)
    book = Codebook(16, 4, decay=0.5, dead=0.9)
    silence = directions(1, seed=9)
    x = torch.cat([silence.expand(300, 4), directions(300, seed=5)])
    book.codes[0], book.sums[0] = silence[0], silence[0] / 16
    for _ in range(30):
        book.ema_update(x, book(x), torch.ones(600))
    near = (book.codes @ silence[0]) > 1 - 1e-6
    assert int(near.sum()) <= 1  # no copies of the code that silence has
    assert float((book.codes @ silence[0]).max()) > 0.98


def test_kmeans_finds_clusters_and_leaves_spare_codes_dead() -> None:
    torch.manual_seed(0)
    centres = directions(6, seed=4)
    x = unit(centres.repeat_interleave(30, 0) + 0.01 * torch.randn(180, 4))
    book = Codebook(24, 4)
    book.init_from_data(x)
    found = (book.codes @ centres.T).amax(0)
    assert float(found.min()) > 0.999
    assert float((x - book.vectors(book(x))).square().sum(1).mean()) < 3 * 0.01**2
    assert float(book.weight.sum()) == pytest.approx(1.0)
    few = Codebook(8, 4)
    few.init_from_data(directions(3))
    assert (few.weight > 0).sum() == 3
    few.ema_update(x, few(x), torch.ones(180))
    assert (few.weight > 0.01).all()  # the five that were left over have restarted


def test_entropy_and_unevenness() -> None:
    assert float(entropy_of(torch.ones(8))) == pytest.approx(math.log(8))
    assert float(entropy_of(torch.eye(8)[0])) == pytest.approx(0.0, abs=1e-6)
    book = Codebook(8, 4)
    even, one = book.codes.repeat(5, 1), book.codes[:1].repeat(40, 1).requires_grad_()
    uneven = book.unevenness(one)
    assert 0 <= float(book.unevenness(even)) < uneven.item()
    uneven.backward()
    assert one.grad is not None
    assert float(one.grad.abs().max()) > 0


def test_shape_and_loudness_there_and_back() -> None:
    """Full length is 1, 60 dB below it a tenth, silence 0; there and back is nothing, over 80 dB."""
    full = torch.tensor(2.0)
    h = torch.randn(3, 6, 50) * 10.0 ** torch.linspace(-4, 0, 50)
    shape = mulaw_encode(h, full)
    assert shape.shape == (3, 7, 50)
    torch.testing.assert_close(shape[:, :-1].norm(dim=1), shape[:, -1])
    sizes = torch.tensor([2.0, 2e-3, 0.0]) * torch.eye(6)[0][:, None]  # (6, 3)
    assert mulaw_encode(sizes[None], full)[0, -1].tolist() == pytest.approx([1.0, 0.1003, 0.0], abs=1e-4)
    torch.testing.assert_close(mulaw_decode(shape, full), h, rtol=1e-3, atol=1e-7)
    assert float(mulaw_decode(100 * shape, full).norm(dim=1).max()) < 2.01 * 1001**LONGEST / 1000


def test_a_quiet_frame_is_told_as_well_as_a_loud_one() -> None:
    torch.manual_seed(0)
    h = speech(6000) * 10.0 ** torch.linspace(-2, 0, 6000)[torch.randperm(6000), None]
    bottleneck = residual(3, size=64).eval()
    bottleneck.init_from_data(h)
    z = bottleneck.mean(h.T[None])[0].T.detach()
    error = (h - z).square().sum(1) / h.square().sum(1)
    quiet = h.norm(dim=1) < h.norm(dim=1).quantile(0.3)
    assert float(error[quiet].median()) < 3 * float(error[~quiet].median())


# -- quantizers ------------------------------------------------------------------------------------------------


def test_each_codebook_takes_what_the_others_left_over() -> None:
    h = speech(4000)
    errors = []
    for books in (1, 2, 3):
        bottleneck = residual(books).eval()
        bottleneck.init_from_data(h)
        z = bottleneck.mean(h.T[None])[0].T.detach()
        errors.append(float((h - z).square().mean() / h.var(0).mean()))
    assert errors[0] < 0.35
    assert errors[1] < 0.7 * errors[0]
    assert errors[2] < 0.8 * errors[1]


def test_importance_decides_which_numbers_are_told() -> None:
    h = torch.randn(4000, 6, generator=torch.Generator().manual_seed(0))  # all alike in size

    def told(importance: Tensor) -> Tensor:
        bottleneck = residual(1, size=64).eval()
        bottleneck.init_from_data(h, importance)
        z = bottleneck.mean(h.T[None])[0].T.detach()
        return 1 - (h - z).square().mean(0)

    weighed = told(torch.tensor([1.0, 0.1, 0.1, 1.0, 0.1, 1.0]))
    assert float(weighed[[0, 3, 5]].min()) > 0.3
    assert float(weighed[[1, 2, 4]].max()) < 0.1


def test_a_first_step_without_a_start_starts_by_itself() -> None:
    bottleneck = residual(2, size=8).train()
    latents = bottleneck(speech(4 * 50).T.reshape(6, 4, 50).transpose(0, 1))
    assert all(bool(stage.codebook.started) for stage in bottleneck.stages)
    assert torch.isfinite(latents.z).all()


def test_gradients_pass_the_codes_straight_through() -> None:
    torch.manual_seed(0)
    bottleneck = VQ(6, Codebook(16, 4), 100.0).eval()
    h = torch.randn(2, 6, 9, requires_grad=True)
    latents = bottleneck(h)
    latents.z.sum().backward()
    assert h.grad is not None
    through = h.grad.clone()
    h.grad = None
    stage = bottleneck.stages[0]
    shape = mulaw_encode(h, bottleneck.full)
    e, index = stage.encodings(shape), stage(shape)  # type: ignore[operator]
    code = stage.codebook.vectors(index).transpose(1, 2)  # type: ignore[operator,union-attr]
    mulaw_decode(stage.out_proj(e + (code - e).detach()), bottleneck.full).sum().backward()  # type: ignore[operator]
    torch.testing.assert_close(through, h.grad)


def test_z_is_what_the_codes_stand_for() -> None:
    bottleneck = residual().eval()
    h = torch.randn(2, 6, 11)
    latents = bottleneck(h)
    assert latents.codes is not None
    assert latents.codes.shape == (2, 3, 11)
    torch.testing.assert_close(bottleneck.decode_codes(latents.codes), latents.z)
    torch.testing.assert_close(bottleneck.mean(h), latents.z)
    alone = torch.cat([bottleneck.mean(h[..., n : n + 1]) for n in range(11)], -1)
    torch.testing.assert_close(alone, bottleneck.mean(h))


def test_dropout_learns_with_the_first_codebooks_only() -> None:
    torch.manual_seed(0)
    bottleneck = residual(4, dropout=0.5).train()
    kept = bottleneck.n_active(torch.zeros(8000, 1, 1)).bincount(minlength=5) / 8000
    assert kept[1:].tolist() == pytest.approx([0.125, 0.125, 0.125, 0.625], abs=0.02)
    assert (bottleneck.eval().n_active(torch.zeros(50, 1, 1)) == 4).all()


def test_scripted_equals_eager() -> None:
    bottleneck = residual().eval()
    h = torch.randn(2, 6, 11)
    scripted = torch.jit.script(bottleneck)
    assert torch.equal(scripted.mean(h), bottleneck.mean(h))
    codes = bottleneck.encode(h)[1]
    assert torch.equal(scripted.decode_codes(codes), bottleneck.decode_codes(codes))


def test_rate_is_the_entropy_of_the_codes() -> None:
    bottleneck = residual(3, size=16)
    for stage in bottleneck.stages:
        stage.codebook.share.fill_(1 / 16)
    metrics = bottleneck.metrics()
    assert float(metrics["codebook_perplexity"]) == pytest.approx(16, rel=1e-4)
    assert float(metrics["kbit_s"]) == pytest.approx(3 * 4 * 100 / 1000, rel=1e-4)
    assert float(metrics["codebook_usage"]) == 1.0


@pytest.mark.parametrize(("rule", "expected"), [("fixed", 0.02), ("variance", 0.25)])
def test_commitment_follows_its_rule(rule: str, expected: float) -> None:
    config = ObjectiveConfig(commitment_rule=rule, commitment=0.5, n_ffts=(256,), mel_windows=(256,))
    losses = {"commitment": torch.tensor(0.02), "encoding_variance": torch.tensor(0.08)}
    objectives = Objectives(config, 8000, bottleneck="rvq")
    raw = objectives.raw(
        torch.zeros(1, 1, 512), torch.zeros(1, 1, 512), Latents(torch.zeros(1), None, losses, {})
    )
    assert float(raw["commitment"]) == pytest.approx(expected)
    assert objectives.weights(0.3)["commitment"] == 0.5


# -- a peer ----------------------------------------------------------------------------------------------------


def test_what_is_in_front_of_the_codes_moves_slowest() -> None:
    """Encoder and `into` at pre_quantizer_lr_scale, layers that the linear initialisation has set at
    linear_init_lr_scale too; nothing left out, nothing twice."""
    config = ModelConfig(widths=(6, 8, 8), latent_dim=6, bottleneck="rvq", codebook_size=8, code_dim=4)
    model = Autoencoder(config)
    optimizer = make_optimizer(model, TrainConfig(linear_init_lr_scale=0.5, pre_quantizer_lr_scale=0.1))
    shares = {id(p): group["share"] for group in optimizer.param_groups for p in group["params"]}
    assert sorted(shares) == sorted(id(p) for p in model.parameters())
    stage = model.bottleneck.stages[0]
    for parameter, share in (
        (model.encoder.outlet.conv.weight, 0.05),
        (model.encoder.core[0].dilated.conv.weight, 0.1),
        (stage.in_proj.weight, 0.05),
        (stage.out_proj.weight, 0.5),
        (model.decoder.outlet.conv.weight, 0.5),
        (model.decoder.core[0].dilated.conv.weight, 1.0),
    ):
        assert shares[id(parameter)] == share
    unstarted = make_optimizer(
        model, TrainConfig(init="random", linear_init_lr_scale=0.5, pre_quantizer_lr_scale=0.1)
    )
    shares = {id(p): group["share"] for group in unstarted.param_groups for p in group["params"]}
    assert shares[id(model.encoder.outlet.conv.weight)] == 1.0


def test_where_the_sphere_is_flat_codes_are_shared_out_as_distances_are() -> None:
    """The start is as good as plain k-means on the same frames to 1 %; with codes half-way round it is 2 % worse."""
    frames = speech(6000, dim=10)
    book = Codebook(64, 11)
    torch.manual_seed(0)
    vq = VQ(10, book, 100.0)
    vq.init_from_data(frames)
    vq.eval()
    y = mulaw_encode(frames.T[None], vq.full)[0].T  # (N, 11): what is quantised
    told = vq.stages[0].decode(vq.stages[0](y.T[None]))[0].T
    torch.manual_seed(0)
    weights = torch.tensor([1.0] * 10 + [LOUDNESS])
    centres = plain_kmeans(y * weights, 64)
    nearest = centres[torch.cdist(y * weights, centres).argmin(1)] / weights
    error, floor = (((x - y) * weights).square().sum(1).mean().item() for x in (told, nearest))
    assert error < 1.01 * floor


def plain_kmeans(x: Tensor, count: int) -> Tensor:
    centres = x[torch.randperm(len(x))[:count]].clone()
    for _ in range(KMEANS_ROUNDS):
        index = torch.cdist(x, centres).argmin(1)
        hits = torch.bincount(index, minlength=count).clamp_min(1)
        centres = torch.zeros_like(centres).index_add_(0, index, x) / hits[:, None]
    return centres


def test_one_codebook_agrees_with_vector_quantize_pytorch() -> None:
    """Same codes, vectors and averages over ten steps; its counts are ours times the frames of a step."""
    peers = pytest.importorskip("vector_quantize_pytorch")
    book = Codebook(12, 4, decay=0.9, dead=0.0)
    peer = peers.VectorQuantize(
        4, 12, decay=0.9, use_cosine_sim=True, threshold_ema_dead_code=0, rotation_trick=False, eps=1e-12
    )
    frames = 80
    peer._codebook.embed.data.copy_(book.codes[None])
    peer._codebook.embed_avg.data.copy_(frames * book.sums[None])
    peer._codebook.cluster_size.data.copy_(frames * book.weight[None])
    peer.train()
    for step in range(10):
        x = directions(frames, seed=step)
        index = book(x)
        quantized, peer_index, _ = peer(x[None])
        assert torch.equal(index, peer_index[0])
        torch.testing.assert_close(book.vectors(index), quantized[0].detach(), rtol=1e-4, atol=1e-5)
        book.ema_update(x, index, torch.ones(frames))
        torch.testing.assert_close(book.codes, peer._codebook.embed[0], rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(book.weight * frames, peer._codebook.cluster_size[0], rtol=1e-4, atol=1e-4)


def test_residual_codebooks_agree_with_vector_quantize_pytorch() -> None:
    """Without projections, stage by stage: the same codes and the same sum."""
    peers = pytest.importorskip("vector_quantize_pytorch")
    ours = ResidualVQ(4, [Codebook(12, 5) for _ in range(3)], 100.0).eval()
    peer = peers.ResidualVQ(
        dim=5, codebook_size=12, num_quantizers=3, use_cosine_sim=True, rotation_trick=False
    )
    for stage, other in zip(ours.stages, peer.layers, strict=True):
        for layer in (stage.in_proj, stage.out_proj):
            torch.nn.init.eye_(layer.weight[..., 0])  # type: ignore[index,arg-type]
            torch.nn.init.zeros_(layer.bias)  # type: ignore[arg-type]
        other._codebook.embed.data.copy_(stage.codebook.codes[None])
        other._codebook.initted.fill_(True)
    h = 0.3 * torch.randn(2, 4, 30)
    quantized, codes, _ = peer.eval()(mulaw_encode(h, ours.full).transpose(1, 2))
    z, own = ours.encode(h)
    assert torch.equal(own.transpose(1, 2), codes)
    torch.testing.assert_close(z, mulaw_decode(quantized.transpose(1, 2), ours.full), rtol=1e-3, atol=1e-4)


# -- two processes ---------------------------------------------------------------------------------------------


def learn_together(rank: int, folder: str) -> None:
    """Twenty steps on frames of this rank's own, with restarts; the codebook is left in the folder."""
    torch.distributed.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2)
    torch.set_num_threads(1)
    torch.manual_seed(5)  # the model starts alike, as Lightning sees to; the draws do not
    bottleneck = make_bottleneck(ModelConfig(bottleneck="rvq", latent_dim=6, codebook_size=32, n_codebooks=2))
    bottleneck.train()
    restarts = 0
    for step in range(20):
        torch.manual_seed(100 * step + rank)
        before = [s.codebook.weight.clone() for s in bottleneck.stages]  # type: ignore[union-attr]
        bottleneck(torch.randn(3, 6, 20) * (1 + rank))
        after = [s.codebook.weight for s in bottleneck.stages]  # type: ignore[union-attr]
        restarts += sum(int((a > b + 0.02).sum()) for a, b in zip(after, before, strict=True))
    state = {name: value for name, value in bottleneck.state_dict().items() if "codebook" in name}
    torch.save({"state": state, "restarts": restarts}, Path(folder) / f"{rank}.pt")
    torch.distributed.destroy_process_group()


def test_two_processes_hold_the_same_codebooks_to_the_bit(tmp_path: Path) -> None:
    multiprocessing.spawn(learn_together, (str(tmp_path),), nprocs=2)
    one, other = (torch.load(tmp_path / f"{rank}.pt", weights_only=True) for rank in (0, 1))
    assert one["restarts"] > 0
    assert len(one["state"]) == 10
    for name, value in one["state"].items():
        assert torch.equal(value, other["state"][name]), name
