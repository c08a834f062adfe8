"""Two processes train what one would: the same gradient, the same bits on both, and a killed one is not waited for."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_run import TINY, workplace
from torch import Tensor, multiprocessing, nn

from wavevae.augment import Augmenter
from wavevae.checkpoint import load_model, read_checkpoint
from wavevae.config import DataConfig, ObjectiveConfig, RunConfig, TrainConfig
from wavevae.corpus import Chunks, Item, Store
from wavevae.errors import UserError
from wavevae.model_config import ModelConfig
from wavevae.train.__main__ import main
from wavevae.train.arguments import parse
from wavevae.train.batches import Batch, Batches
from wavevae.train.budget import Budget
from wavevae.train.module import TrainingModule
from wavevae.train.processes import launched, lr_factor

# -- the gradient ----------------------------------------------------------------------------------------------

GLOBAL_BATCH = 8
BOTTLENECKS = ("vae", "rvq", "hvae")
OBJECTIVE = ObjectiveConfig(
    n_ffts=(256,),
    mel_windows=(256,),
    kl=0.1,
    kl_schedule="constant",
    free_bits=0.2,
    kl_top=0.1,
    kl_top_schedule="constant",
    free_bits_top=0.87,
    codebook_entropy_weight=0.1,
    hop_modulation_loss=0.5,
)
"""Free bits lie between the KL of the two halves of the batch: which side one is on depends on who is asked."""
SHAPE = {"sample_rate": 8000, "ratios": (4,), "widths": (4, 6), "dilations": (1,), "latent_dim": 3}


def tones() -> Store:
    """Twenty tones of different loudness, so that no two halves of a batch are alike."""
    t = np.arange(4000) / 8000
    sounds = [np.sin(2 * np.pi * 90 * (n + 2) * t) * 0.02 * (n + 1) for n in range(20)]
    samples = (np.concatenate(sounds) * 32768).astype(np.int16)
    items = [Item(Path(f"{n}.wav"), 4000 * n, 4000, key=str(n)) for n in range(20)]
    return Store(samples, items, 8000, "tones", [])


def module_of(bottleneck: str) -> TrainingModule:
    """The same on every process, its codebooks begun."""
    model = ModelConfig(
        **SHAPE, bottleneck=bottleneck, top_dim=1, noise_bands=2, codebook_size=8, codebook_dropout=0.0
    )
    config = RunConfig(model=model, objective=OBJECTIVE, train=TrainConfig(max_time_s=None, max_steps=5))
    module = TrainingModule(config, Budget(None, 5))
    module.progress = 0.5
    module.model.encoder.outlet.conv.weight.data.mul_(
        20
    )  # loud and soft halves of a batch then differ in their KL
    torch.manual_seed(1)
    module.model.bottleneck.init_from_data(torch.randn(100, model.latent_dim))
    return module.train()


def noise_by_item(first: int) -> Callable[[Tensor], Tensor]:
    """randn_like whose rows belong to the item of the step, wherever it is learned; `first`: this process' first."""
    calls = itertools.count()

    def noise(like: Tensor) -> Tensor:
        call = next(calls)
        seeds = [torch.Generator().manual_seed(1000 * call + first + row) for row in range(len(like))]
        return torch.stack([torch.randn(like.shape[1:], generator=seed) for seed in seeds])

    return noise


class Step(nn.Module):
    """A training step as DDP wants it."""

    def __init__(self, module: TrainingModule) -> None:
        super().__init__()
        self.module = module

    def forward(self, batch: Batch) -> Tensor:
        return self.module.training_step(batch, 0)


def gradient(bottleneck: str, rank: int, ranks: int) -> Tensor:
    """Of one step on this process' share of the global batch, after DDP; flat."""
    module, store = module_of(bottleneck), tones()
    size = GLOBAL_BATCH // ranks
    augmenter = Augmenter(DataConfig(chunk_seconds=0.25, gain_db=6), 8000)
    batch = Batches(Chunks(store, store.items, 2000, 0.5), augmenter, size, 3, rank, ranks).batch(2)
    before, torch.randn_like = torch.randn_like, noise_by_item(rank * size)  # type: ignore[assignment]
    try:
        step: nn.Module = Step(module)
        if ranks > 1:
            step = nn.parallel.DistributedDataParallel(step, broadcast_buffers=False)
        step(batch).backward()
    finally:
        torch.randn_like = before
    return torch.cat([p.grad.flatten() for p in module.model.parameters() if p.grad is not None])


def gradients_of_two(rank: int, folder: str) -> None:
    """Leaves {bottleneck: gradient} in the folder."""
    torch.distributed.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2)
    torch.set_num_threads(1)
    torch.save({name: gradient(name, rank, 2) for name in BOTTLENECKS}, Path(folder) / f"{rank}.pt")
    torch.distributed.destroy_process_group()


def test_two_batches_of_four_give_the_gradient_of_one_of_eight(tmp_path: Path) -> None:
    """Augmented, with free bits, spectral convergence, codebooks: also what is no mean over items."""
    multiprocessing.spawn(gradients_of_two, (str(tmp_path),), nprocs=2)
    two = [torch.load(tmp_path / f"{rank}.pt", weights_only=True) for rank in (0, 1)]
    for name in BOTTLENECKS:
        one = gradient(name, 0, 1)
        assert torch.equal(two[0][name], two[1][name]), name
        difference = (two[0][name] - one).abs().max() / one.abs().max()
        assert difference < 1e-5, (name, float(difference))


# -- whole runs ------------------------------------------------------------------------------------------------

PROGRAM = """
import os, sys, torch
from wavevae.train import __main__, module

rank, step, how, report = sys.argv[1].split(",")
inner = module.TrainingModule.optimizer_step

def optimizer_step(self, *args, **kwargs):
    inner(self, *args, **kwargs)
    if self.step == int(step):
        leave(self)
        torch.distributed.barrier()  # nobody dies before all have written
        if self.global_rank == int(rank):
            os.kill(os.getpid(), int(how))

def leave(self):
    batches = self.trainer.datamodule.batches()
    heard = [[index for index, _ in batches.places(s)] for s in range(self.step)]
    state = {**self.model.state_dict(), **{"average." + k: v for k, v in self.averaged.state_dict().items()}}
    torch.save({"heard": heard, "state": state}, f"{report}-{self.global_rank}.pt")

module.TrainingModule.optimizer_step, module.TrainingModule.on_train_end = optimizer_step, leave
sys.exit(__main__.main(sys.argv[2:]))
"""
"""`wavevae train` whose one process sends itself a signal after a step; all leave their state then and at the end."""
CODES = ("--bottleneck", "rvq", "--set", "codebook_size=8", "--set", "n_codebooks=2")
OPTIONS = (*TINY, *CODES, "--set", "validate_every=5", "--rank-timeout", "20m", "--out", "run")
NEVER = "9,-1,0"
PATIENCE_S = 1500
"""For a whole run on a machine that does ten other things."""


@pytest.fixture
def sounds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Tones in a folder; the test runs in an empty folder beside it, where the program is."""
    with workplace(tmp_path, monkeypatch) as folder:
        Path("program.py").write_text(PROGRAM)
        yield folder


def two(who: str, *arguments: object, by: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
    """The program in two processes, started by Lightning or `by` another; `who` dies when (see PROGRAM)."""
    own = () if by else ("--devices", 2)
    command = [*(by or (sys.executable,)), "program.py", f"{who},report", *map(str, (*arguments, *own))]
    return subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S)


def assert_same_and_apart(step: int) -> None:
    """Both processes left the same bits, having heard different chunks."""
    one, other = (torch.load(f"report-{rank}.pt", weights_only=True) for rank in (0, 1))
    names = set(one["state"])
    assert any("codebook" in name for name in names)
    assert any(name.startswith("average.") for name in names)
    for name in names:
        assert torch.equal(one["state"][name], other["state"][name]), name
    assert len(one["heard"]) == len(other["heard"]) == step
    chunks = one["heard"][0] + other["heard"][0]
    assert len(set(chunks)) == len(chunks)


def test_a_killed_process_ends_the_run_and_another_number_goes_on(sounds: Path) -> None:
    """Killed after 13 steps, with the same bits on both until then; resumed by one process from the 10th."""
    killed = two("1,13,9", sounds, *OPTIONS, "--max-steps", 18)
    assert killed.returncode not in (0, 2), killed.stderr
    assert (
        "ranks   2 x 2 = 4 chunks a step; learning rate 0.0005 x 1.41 = 0.000707 (lr_scaling sqrt)"
        in killed.stderr
    )
    assert read_checkpoint("run/checkpoints/last.ckpt").step == 10
    assert_same_and_apart(13)
    assert main(["--resume", "--out", "run", "--max-steps", "12"]) == 0
    checkpoint = read_checkpoint("run/checkpoints/last.ckpt")
    assert (checkpoint.step, checkpoint.audio_s) == (12, pytest.approx((10 * 4 + 2 * 2) * 0.25))
    assert load_model("run")(torch.zeros(1, 1, 500)).shape == (1, 1, 500)


TORCHRUN = (sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "--standalone")


@pytest.mark.slow
@pytest.mark.parametrize("who", ["0,13,9", "1,13,9", "1,13,19"])
def test_under_torchrun_too(sounds: Path, who: str) -> None:
    """Whichever is killed, or stopped so that it does not answer (signal 19)."""
    ended = two(who, sounds, *OPTIONS, "--rank-timeout", "2m", "--max-steps", 18, by=TORCHRUN)
    assert ended.returncode not in (0, 2), ended.stderr
    resumed = two(NEVER, "--resume", "--out", "run", by=TORCHRUN)
    assert resumed.returncode == 0, resumed.stderr
    assert resumed.stderr.count("held out, step 15") == 1
    assert_same_and_apart(18)


@pytest.mark.slow
def test_a_signal_to_any_process_stops_all_saved(sounds: Path) -> None:
    ended = two("1,13,15", sounds, *OPTIONS, "--max-steps", 18)
    assert ended.returncode == 128 + 15, ended.stderr
    assert "saved; resume with: wavevae train --resume --out run" in ended.stderr
    assert read_checkpoint("run/checkpoints/last.ckpt").step in (13, 14)


@pytest.mark.slow
def test_the_same_command_under_slurm(sounds: Path) -> None:
    """As srun starts it: two processes that know of each other by SLURM's variables only."""
    tasks = []
    for rank in (0, 1):
        told = {
            "JOB_ID": 12,
            "JOB_NAME": "train",
            "NTASKS": 2,
            "NNODES": 1,
            "NTASKS_PER_NODE": 2,
            "PROCID": rank,
        }
        told |= {"LOCALID": rank, "NODEID": 0, "NODELIST": "127.0.0.1"}
        environment = {**os.environ, **{f"SLURM_{name}": str(value) for name, value in told.items()}}
        command = [sys.executable, "program.py", f"{NEVER},report", str(sounds), *OPTIONS, "--max-steps", "6"]
        tasks.append(subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True))
    said = [task.communicate(timeout=PATIENCE_S)[1] for task in tasks]
    assert [task.returncode for task in tasks] == [0, 0], said
    assert "ranks   2 x 2 = 4 chunks a step" in said[0]
    assert "held out" not in said[1]
    assert_same_and_apart(6)


SBATCH = Path(__file__).parent.parent / "examples/slurm/train.sbatch"


def test_the_slurm_script_starts_and_resumes(tmp_path: Path) -> None:
    """With an srun that says what it was given."""
    srun = tmp_path / "bin" / "srun"
    srun.parent.mkdir()
    srun.write_text('#!/bin/sh\necho "$@"\n')
    srun.chmod(0o755)
    run = tmp_path / "runs" / "mine"
    environment = {"PATH": f"{srun.parent}:{os.environ['PATH']}", "SLURM_CPUS_PER_TASK": "2"}

    def submitted() -> list[str]:
        command = ["bash", str(SBATCH), "sounds", str(run), "12h"]
        return subprocess.run(
            command, env=environment, capture_output=True, text=True, check=True
        ).stdout.split()

    first = submitted()
    assert first[:3] == ["--kill-on-bad-exit=1", "wavevae", "train"]
    assert parse(first[3:]).data == [Path("sounds")]
    run.mkdir(parents=True)
    (run / "config.yaml").write_text("")
    again = parse(submitted()[3:])
    assert (again.resume, again.out, again.max_time) == (True, run, "12h")


# -- who started it --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("variables", "found"),
    [
        ({}, None),
        ({"TORCHELASTIC_RUN_ID": "x", "LOCAL_WORLD_SIZE": "4", "GROUP_WORLD_SIZE": "2"}, ("torchrun", 4, 2)),
        ({"SLURM_PROCID": "3", "SLURM_NTASKS": "8", "SLURM_NNODES": "2"}, ("SLURM", 4, 2)),
        ({"SLURM_PROCID": "0", "SLURM_NTASKS": "1", "SLURM_NNODES": "1"}, None),
        ({"SLURM_PROCID": "0", "SLURM_NTASKS": "2", "SLURM_JOB_NAME": "bash"}, None),
    ],
)
def test_who_started_the_processes(
    variables: dict[str, str], found: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [
        n for n in os.environ if n.startswith(("SLURM_", "TORCHELASTIC_")) or n.endswith("WORLD_SIZE")
    ]:
        monkeypatch.delenv(name)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert launched() == found


def test_the_learning_rate_grows_by_the_rule() -> None:
    assert [lr_factor(rule, 4) for rule in ("none", "sqrt", "linear")] == [1.0, 2.0, 4.0]
    assert {lr_factor(rule, 1) for rule in ("none", "sqrt", "linear")} == {1.0}
    with pytest.raises(UserError, match="did you mean 'sqrt'"):
        TrainConfig(lr_scaling="sqr")


def test_a_waiting_time_that_is_none_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match="--rank-timeout is 'soon'"):
        main(["--rank-timeout", "soon", "--devices", "2"])
