"""`wavevae bench`: the work it counts, what it reports of any nn~ file, what it refuses. No time is asserted."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from toy_bundle import HOP, LATENTS, ToyModel, write_toy

from wavevae.errors import UserError
from wavevae.realtime import bench, block_timing
from wavevae.realtime.block_timing import Times, work_of

QUICK = ["--blocks", "64", "512", "--rounds", "1"]


class Effect(torch.nn.Module):
    """A file of another program: audio in, audio out, one method, no wavevae.json."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("forward_params", torch.tensor([1, 1, 1, 1]))
        self.weight = torch.nn.Parameter(torch.ones(1, 1, 3), requires_grad=False)

    @torch.jit.export
    def get_methods(self) -> list[str]:
        return ["forward"]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return F.conv1d(x, self.weight, padding=1)


class NnTilde(ToyModel):
    """The toy instrument with what nn~ reads."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("encode_params", torch.tensor([1, 1, LATENTS, HOP]))
        self.register_buffer("decode_params", torch.tensor([LATENTS, HOP, 1, 1]))
        self.register_buffer("forward_params", torch.tensor([1, 1, 1, 1]))

    @torch.jit.export
    def get_methods(self) -> list[str]:
        return ["encode", "decode", "forward"]


def foreign(path: Path, module: torch.nn.Module) -> Path:
    torch.jit.save(torch.jit.script(module.eval()), str(path))
    return path


@pytest.fixture(autouse=True)
def a_small_square(monkeypatch: pytest.MonkeyPatch) -> None:
    """The peak's matrix product is not what is tested."""
    monkeypatch.setattr(block_timing, "SQUARE", 64)


@pytest.mark.parametrize(
    ("call", "operations"),
    [
        (lambda: torch.mm(torch.ones(3, 5), torch.ones(5, 7)), 2 * 3 * 5 * 7),
        (lambda: torch.ones(3, 7).addmm_(torch.ones(3, 5), torch.ones(5, 7)), 2 * 3 * 5 * 7),
        (lambda: F.linear(torch.ones(3, 5), torch.ones(7, 5), torch.ones(7)), 2 * 3 * 5 * 7),
        (lambda: F.conv1d(torch.ones(2, 4, 12), torch.ones(6, 4, 3)), 2 * 2 * 10 * 6 * 4 * 3),
        (lambda: F.conv1d(torch.ones(1, 4, 12), torch.ones(6, 2, 4), stride=4, groups=2), 2 * 3 * 6 * 2 * 4),
        (lambda: F.conv_transpose1d(torch.ones(1, 4, 5), torch.ones(4, 6, 8), stride=4), 2 * 5 * 4 * 6 * 8),
        (lambda: torch.ones(9).add(1), 0),
    ],
)
def test_work_is_what_the_arithmetic_says(call: object, operations: int) -> None:
    assert work_of(call) == operations  # type: ignore[arg-type]


def test_work_inside_a_scripted_module_counts(tmp_path: Path) -> None:
    module = torch.jit.load(str(foreign(tmp_path / "effect.ts", Effect())))
    for _ in range(3):  # compiled or not
        assert work_of(lambda: module(torch.ones(1, 1, 100))) == 2 * 100 * 3


def test_ratio_is_pair_by_pair() -> None:
    ours, theirs = Times(bursts=[1.0, 2.0, 4.0]), Times(bursts=[3.0, 6.0, 20.0])
    assert block_timing.ratio(ours, theirs) == 3.0


def test_bursts_are_taken_in_turns_after_a_warm_up() -> None:
    order: list[str] = []
    times = block_timing.in_turns([lambda: order.append("a"), lambda: order.append("b")], rounds=2)
    whole = block_timing.SETTLE + block_timing.BURST
    warm = "a" * block_timing.WARM_UP + "b" * block_timing.WARM_UP
    assert "".join(order) == warm + 2 * ("a" * whole + "b" * whole)
    assert [len(t.wall) for t in times] == [len(t.cpu) for t in times] == [2 * block_timing.BURST] * 2


@pytest.mark.slow
def test_two_files_as_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    mine, other = foreign(tmp_path / "a.ts", NnTilde()), foreign(tmp_path / "b.ts", NnTilde())
    assert bench.main([str(mine), "--against", str(other), *QUICK, "--sr", "22050", "--json"]) == 0
    printed = capsys.readouterr()
    said = json.loads(printed.out)
    assert (said["threads"], said["rate"]) == (1, 22050)
    for file in said["files"]:
        assert file["methods"]["decode"] == [LATENTS, HOP, 1, 1]
        assert [(r["method"], r["block"], r["samples_a_call"]) for r in file["rows"]] == [
            ("decode", 64, HOP), ("decode", 512, 512), ("forward", 64, HOP), ("forward", 512, 512),
        ]  # fmt: skip
        for row in file["rows"]:
            assert 0 < row["median_ms"] <= row["p99_ms"] <= row["max_ms"]
            assert row["real_time_factor"] == pytest.approx(row["block"] / 22.050 / row["median_ms"])
            assert np.isfinite(row["share_of_peak"])
        start = file["start"]
        assert start["load_and_first_sound_s"] >= start["load_s"] > 0
        assert len(start["first_calls_ms"]) == 6
    assert all("faster_than_other" in row for row in said["files"][0]["rows"])
    assert "a hop is longer" in printed.err


def test_a_file_of_ours_says_its_rate_and_another_is_told_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    effect = foreign(tmp_path / "effect.ts", Effect())
    assert bench.main([str(effect), "--blocks", "64", "--rounds", "1", "--sr", "48000"]) == 0
    printed = capsys.readouterr()
    assert printed.out.split()[:2] == ["forward", "64"]
    assert "48000 Hz" in printed.err
    says = Effect()
    says.register_buffer("sampling_rate", torch.tensor(16000))  # as RAVE's exports do
    assert bench.load(foreign(tmp_path / "says.ts", says), None).sample_rate == 16000
    with pytest.raises(UserError, match=r"effect\.ts does not say its sample rate; give it with --sr"):
        bench.main([str(effect)])


def test_two_objects_of_a_patch_are_one_call(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The value of a hop is held on the wire, and the last of the hop goes into decode."""
    path = foreign(tmp_path / "toy.ts", NnTilde())
    assert bench.main([str(path), "--methods", bench.CHAIN, "--sr", "16000", *QUICK]) == 0
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == 2 * [bench.CHAIN]
    player = bench.load(path, 16000)
    x = torch.randn(1, 1, 4 * HOP)
    chained = player._chained(x)
    player.module.reset()
    torch.testing.assert_close(chained, player.module.decode(player.module.encode(x)))


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["{tmp}/none.ts"], "no model file at"),
        (["{tmp}/noise.ts", "--sr", "44100"], "no file that nn~ plays"),
        (["{tmp}/bare.ts", "--sr", "44100"], "no file that nn~ plays"),
        (["{tmp}/effect.ts", "--sr", "44100", "--methods", "decode"], "these files have forward"),
        (["{tmp}/effect.ts", "--blocks", "100"], "--blocks has 100; hosts call with powers of two"),
        (["{tmp}/effect.ts", "--rounds", "0"], "--rounds is 0"),
        (["{tmp}/effect.ts", "--sr", "1"], "--sr is 1; use 1000"),
    ],
)
def test_wrong_use_is_one_line(tmp_path: Path, arguments: list[str], says: str) -> None:
    (tmp_path / "noise.ts").write_bytes(b"\x00" * 100)
    foreign(tmp_path / "effect.ts", Effect())
    write_toy(tmp_path / "bare.ts")  # plays in `serve`, but has nothing that nn~ reads
    with pytest.raises(UserError, match=says):
        bench.main([word.format(tmp=tmp_path) for word in arguments])
