"""Checkpoints: nothing lost on the way, never half a file, and one line for whatever is not one."""

import errno
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import toy_model

import wavevae.checkpoint as store
from wavevae.checkpoint import (
    Checkpoint,
    build_any,
    find_checkpoint,
    load_model,
    read_checkpoint,
    write_checkpoint,
)
from wavevae.config import ModelConfig, RunConfig, TrainConfig
from wavevae.errors import Failure, UserError


def example(step: int = 7) -> Checkpoint:
    """A small checkpoint with everything in it, the optimizer's state included."""
    model = torch.nn.Linear(3, 2)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, betas=(0.8, 0.99))
    model(torch.ones(1, 3)).sum().backward()
    optimizer.step()
    return Checkpoint(
        config=RunConfig(model=ModelConfig(latent_dim=5), train=TrainConfig(max_steps=12, max_time_s=None)),
        state=model.state_dict(),
        live=model.state_dict(),
        optimizer=optimizer.state_dict(),
        step=step,
        elapsed_s=1.5,
        audio_s=24.0,
        best_score=0.25,
        latents={"mean": np.arange(3, dtype=np.float32), "frames": np.int64(4), "names": ("a", "b")},
        origin={"data": "abc", "commit": None, "torch": torch.__version__},
    )


def test_what_goes_in_comes_out(tmp_path: Path) -> None:
    path = tmp_path / "checkpoints" / "last.ckpt"
    written = example()
    write_checkpoint(path, written)
    read = read_checkpoint(path)
    for name in ("config", "step", "elapsed_s", "audio_s", "best_score", "origin"):
        assert getattr(read, name) == getattr(written, name), name
    assert torch.equal(read.state["weight"], written.state["weight"])
    assert torch.equal(read.latents["mean"], torch.arange(3.0))
    assert read.latents["names"] == ["a", "b"]
    assert read.latents["frames"] == 4
    assert read.wavevae_version
    torch.optim.AdamW(torch.nn.Linear(3, 2).parameters()).load_state_dict(read.optimizer)


def test_it_holds_tensors_and_plain_values_only(tmp_path: Path) -> None:
    path = tmp_path / "x.ckpt"
    write_checkpoint(path, example())
    assert torch.load(path, weights_only=True)["format_version"] == store.FORMAT_VERSION
    with pytest.raises(TypeError, match="Path"):
        write_checkpoint(path, Checkpoint(RunConfig(), {}, origin={"where": tmp_path}))


@pytest.mark.parametrize("at", ["save", "fsync", "replace"])
def test_a_failed_write_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at: str) -> None:
    path = tmp_path / "last.ckpt"
    write_checkpoint(path, example(step=1))

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(torch if at == "save" else os, at, full)
    with pytest.raises((OSError, Failure), match="No space"):
        write_checkpoint(path, example(step=2))
    monkeypatch.undo()
    assert read_checkpoint(path).step == 1
    assert [p.name for p in tmp_path.iterdir()] == ["last.ckpt"]


def test_another_format_version_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "old.ckpt"
    monkeypatch.setattr(store, "FORMAT_VERSION", 99)
    write_checkpoint(path, example())
    monkeypatch.undo()
    with pytest.raises(UserError, match=r"old\.ckpt has checkpoint format 99"):
        read_checkpoint(path)


def test_what_is_no_checkpoint_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no checkpoint at"):
        read_checkpoint(tmp_path)
    whole = tmp_path / "whole.ckpt"
    write_checkpoint(whole, example())
    strangers = {"empty": b"", "text": b"not one", "cut": whole.read_bytes()[:500]}
    for name, content in strangers.items():
        path = tmp_path / name
        path.write_bytes(content)
        with pytest.raises(UserError, match="not a wavevae checkpoint"):
            read_checkpoint(path)
    torch.save({"state_dict": {}}, tmp_path / "lightning.ckpt")
    with pytest.raises(UserError, match="not a wavevae checkpoint"):
        read_checkpoint(tmp_path / "lightning.ckpt")


def test_reading_runs_no_code(tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return (os.mkdir, (str(tmp_path / "sprung"),))

    torch.save({"format_version": 1, "state": Trap()}, tmp_path / "trap.ckpt")
    with pytest.raises(UserError):
        read_checkpoint(tmp_path / "trap.ckpt")
    assert not (tmp_path / "sprung").exists()


def test_finding_the_file_meant(tmp_path: Path) -> None:
    run = tmp_path / "run"
    with pytest.raises(UserError, match="no run or checkpoint"):
        find_checkpoint(run)
    run.mkdir()
    with pytest.raises(UserError, match=r"no best\.ckpt"):
        find_checkpoint(run)
    last, best = run / "checkpoints/last.ckpt", run / "checkpoints/best.ckpt"
    write_checkpoint(last, example())
    assert find_checkpoint(run) == last  # before the first validation
    write_checkpoint(best, example())
    assert find_checkpoint(run) == best
    assert find_checkpoint(run, "last") == last
    assert find_checkpoint(best) == best
    assert find_checkpoint(run, str(last)) == last


OLD_KEYS = {
    "rvq": ((".in_proj.", ".into."), (".out_proj.", ".out.")),
    "hvae": (
        (".top_encoder.downsample.", ".slow.gather."),
        (".top_encoder.", ".slow."),
        (".top_prior.", ".expected."),
    ),
}


@pytest.mark.parametrize("bottleneck", OLD_KEYS)
def test_weights_under_the_keys_of_an_earlier_version_load(bottleneck: str, tmp_path: Path) -> None:
    written = toy_model.checkpoint(replace(toy_model.SHAPES["plain"], bottleneck=bottleneck, top_dim=2))
    old = {}
    for key, tensor in written.state.items():
        for new, before in OLD_KEYS[bottleneck]:
            key = key.replace(new, before)
        old[key] = tensor
    assert old.keys() != written.state.keys()
    write_checkpoint(tmp_path / "old.ckpt", replace(written, state=old, live=old))
    found = read_checkpoint(tmp_path / "old.ckpt")
    assert list(found.live) == list(written.state)
    x = toy_model.sound(3000)
    assert torch.equal(load_model(tmp_path / "old.ckpt").encode(x), build_any(written).encode(x))
