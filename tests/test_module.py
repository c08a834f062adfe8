"""The training module: what each term weighs, what a bad step does, and that a step is a function of its number."""

from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
from torch import Tensor

from wavevae.config import ModelConfig, ObjectiveConfig, RunConfig, TrainConfig
from wavevae.objectives.schedules import learning_rate
from wavevae.train.batches import Batch, unlabelled_batch
from wavevae.train.budget import Budget
from wavevae.train.module import PATIENCE, Diverged, TrainingModule, noise_seed
from wavevae.train.optimizer import AveragedModel

TINY = ModelConfig(sample_rate=8000, ratios=(4,), widths=(4, 6), dilations=(1,), latent_dim=3, noise_bands=2)


def tiny(objective: ObjectiveConfig | None = None, **train: Any) -> TrainingModule:
    """A module that trains in milliseconds."""
    train = {"max_time_s": None, "max_steps": 4, "batch_size": 2, **train}
    objective = objective or ObjectiveConfig(n_ffts=(256,), mel_windows=(256,))
    config = RunConfig(model=TINY, objective=objective, train=TrainConfig(**train))
    return TrainingModule(config, Budget(config.train.max_time_s, config.train.max_steps))


class Sounds(torch.utils.data.IterableDataset):
    """Batches by step number; some of them broken on purpose."""

    def __init__(self, broken: set[int] | None = None) -> None:
        self.broken = broken or set()

    def __iter__(self) -> Any:
        for step in range(1000):
            sound = torch.randn(2, 1, 2048, generator=torch.Generator().manual_seed(step)) * 0.1
            yield unlabelled_batch(sound * float("nan") if step in self.broken else sound)


def fit(module: TrainingModule, folder: Path, broken: set[int] | None = None, **options: Any) -> pl.Trainer:
    trainer = pl.Trainer(
        max_epochs=-1,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        limit_val_batches=2,
        val_check_interval=1000,
        check_val_every_n_epoch=None,
        default_root_dir=folder,
        **options,
    )
    loaders = [torch.utils.data.DataLoader(Sounds(b), batch_size=None) for b in (broken, None)]
    trainer.fit(module, *loaders)
    return trainer


def gradient(module: TrainingModule, batch: Batch, share: float = 1.0) -> Tensor:
    """Gradient of the loss of step 0 with respect to all weights, flat."""
    module.progress = share
    module.zero_grad()
    module.training_step(batch, 0).backward()
    return torch.cat(
        [(torch.zeros_like(p) if p.grad is None else p.grad).flatten() for p in module.model.parameters()]
    )


@pytest.mark.parametrize("name", ["mr_stft", "log_mel", "waveform_l1", "kl"])
def test_effective_weight_of_each_term(name: str) -> None:
    """Doubling a configured weight adds exactly weight x raw to the loss and weight x its gradient once."""
    weights = {"mr_stft": 1.0, "log_mel": 2.0, "waveform_l1": 3.0, "kl": 0.5}
    spectra: dict[str, Any] = {"n_ffts": (256,), "mel_windows": (256,), "kl_schedule": "constant"}
    batch = unlabelled_batch(torch.randn(2, 1, 1024, generator=torch.Generator().manual_seed(1)) * 0.1)

    def weighed(**changed: float) -> TrainingModule:
        values = {**weights, **changed}
        ends = {f"{name}_end": values[name] for name in ("mr_stft", "log_mel", "waveform_l1")}
        return tiny(ObjectiveConfig(**spectra, **values, **ends))

    base, more = weighed(), weighed(**{name: 2 * weights[name]})
    alone = weighed(**{**dict.fromkeys(weights, 1e-12), name: 1.0})  # not 0: two spectral terms share spectra
    gradients = [gradient(m, batch) for m in (base, more, alone)]
    assert base.terms["total"].item() == pytest.approx(
        sum(weights[k] * base.terms[k].item() for k in weights), rel=1e-5
    )
    difference = more.terms["total"].item() - base.terms["total"].item()
    assert difference == pytest.approx(weights[name] * base.terms[name].item(), rel=1e-3, abs=2e-6)
    torch.testing.assert_close(
        gradients[1] - gradients[0], weights[name] * gradients[2], rtol=1e-3, atol=1e-5
    )


def test_kl_weight_follows_the_share() -> None:
    module = tiny(ObjectiveConfig(kl=0.1, kl_warm_up=0.5, n_ffts=(256,), mel_windows=(256,)))
    weights = []
    for share in (0.0, 0.25, 0.5, 1.0):
        module.progress = share
        weights.append(module.weights["kl"])
    assert weights == pytest.approx([0.0, 0.05, 0.1, 0.1])


def test_a_step_is_a_function_of_its_number() -> None:
    batch = unlabelled_batch(torch.randn(2, 1, 1024) * 0.1)
    module = tiny()
    torch.manual_seed(123)
    first = module.training_step(batch, 0).item()
    torch.manual_seed(321)
    assert module.training_step(batch, 0).item() == first
    module.step += 1
    assert module.training_step(batch, 0).item() != first
    assert len({noise_seed(s, t, r) for s in range(3) for t in range(50) for r in range(4)}) == 600
    torch.manual_seed(noise_seed(2**60, 2**40, 7))  # whatever the user types


def test_it_stops_at_the_budget_annealed_and_validated(tmp_path: Path) -> None:
    module = tiny(max_steps=5)
    trainer = fit(module, tmp_path)
    assert (module.step, module.progress) == (5, 1.0)
    assert module.audio_s == pytest.approx(5 * 2 * 2048 / 8000)
    for group in trainer.optimizers[0].param_groups:
        rate = group["share"] * learning_rate(0.8, module.config.train, 4)  # of the fifth step
        assert group["lr"] == pytest.approx(rate)
    assert {"val_mr_stft", "val_log_mel", "val_kl", "val_distance"} <= set(module.validation)
    weighed = {"mr_stft": 1.0, "log_mel": 8.0, "waveform_l1": 1.0}
    distance = sum(weight * module.validation[f"val_{name}"] for name, weight in weighed.items())
    assert module.validation["val_distance"] == pytest.approx(distance, rel=1e-5)  # the KL picks no best


def test_a_broken_batch_is_skipped_and_counted(tmp_path: Path) -> None:
    """Step 2 of 3 is not a number: weights are those of a run in which it moved nothing."""
    module = tiny(max_steps=3)
    seen: list[Tensor] = []

    class Watch(pl.Callback):
        def on_train_batch_end(self, trainer: pl.Trainer, watched: Any, *_: Any) -> None:
            seen.append(torch.nn.utils.parameters_to_vector(watched.model.parameters()).detach().clone())

    fit(module, tmp_path, broken={1}, callbacks=[Watch()])
    assert (module.step, module.guard.skipped, module.guard.in_a_row) == (3, 1, 0)
    assert torch.equal(seen[0], seen[1])
    assert not torch.equal(seen[1], seen[2])
    assert torch.isfinite(seen[2]).all()
    assert all(torch.isfinite(p).all() for p in module.averaged.parameters())


def test_many_broken_batches_stop_with_advice(tmp_path: Path) -> None:
    module = tiny(max_steps=100)
    with pytest.raises(Diverged, match=r"20 steps in a row.*learning_rate"):
        fit(module, tmp_path, broken=set(range(2, 100)))
    assert module.guard.skipped == PATIENCE


def test_gradients_are_clipped() -> None:
    module = tiny(gradient_clip=0.01)
    batch = unlabelled_batch(torch.randn(2, 1, 1024) * 0.1)
    gradient(module, batch)
    module.configure_gradient_clipping(None)
    clipped = torch.cat([p.grad.flatten() for p in module.model.parameters() if p.grad is not None])
    assert clipped.norm().item() == pytest.approx(0.01, rel=1e-3)
    assert module.terms["grad_norm"].item() > 0.01


def test_averaged_weights_are_the_moving_mean() -> None:
    model = torch.nn.Linear(2, 1)
    torch.nn.init.zeros_(model.weight)
    averaged = AveragedModel(model, decay=0.9)
    torch.nn.init.ones_(model.weight)
    averaged.update(model, step=1)
    assert averaged.model.weight.flatten().tolist() == pytest.approx([9 / 11] * 2)  # decay 2/11 at first
    averaged.update(model, step=10_000)
    assert averaged.model.weight.flatten().tolist() == pytest.approx([1 - 0.9 * 2 / 11] * 2)
    assert not averaged.train().model.training
    assert not any(p.requires_grad for p in averaged.parameters())
