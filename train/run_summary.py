"""What a run says at its start and at its end."""

from __future__ import annotations

from pathlib import Path

import pytorch_lightning as pl

from wavevae.cli import shell_word, shown
from wavevae.config import TrainConfig
from wavevae.units import format_seconds

from .arguments import Plan
from .budget import show_time
from .module import TrainingModule
from .progress import describe_validation, judged_on, say
from .ranks import rate_factor
from .training_data import Material


def greeting(
    plan: Plan, material: Material, module: TrainingModule, trainer: pl.Trainer, threads: int
) -> None:
    """How many files, seconds, chunks, parameters; hop and latency; where and for how long."""
    model = plan.config.model
    parameters = sum(p.numel() for p in module.model.parameters())
    hop = module.model.hop_length
    hop_ms = 1000 * hop / model.sample_rate
    kind = module.family.latency(plan.config)
    machine = trainer.strategy.root_device.type
    if machine == "cpu":
        machine += f", {threads} thread{'s' if threads > 1 else ''}"
    if trainer.world_size > 1:
        machine = f"{trainer.world_size} x {machine}"
    say(f"data    {material.describe()}")
    say(
        f"model   {plan.preset}, {model.bottleneck}: {parameters / 1e6:.2f} M parameters, {model.sample_rate} Hz, "
        f"hop {hop} ({hop_ms:.1f} ms), {kind}, {module.model.latent_dim} latents at {1000 / hop_ms:.1f} frames/s"
    )
    say(f"budget  {module.budget} on {machine}, {trainer.precision}, batch {plan.config.train.batch_size}")
    if trainer.world_size > 1:
        say(f"ranks   {together(plan.config.train, trainer.world_size)}")
    say(f"run     {plan.folder.path}   (Ctrl-C saves)")


def together(train: TrainConfig, ranks: int) -> str:
    """'2 x 4 = 8 chunks a step; learning rate 5e-04 x 1.41 = 7.07e-04 (lr_scaling sqrt)'."""
    factor = rate_factor(train.lr_scaling, ranks)
    return (
        f"{ranks} x {train.batch_size} = {ranks * train.batch_size} chunks a step; learning rate "
        f"{train.learning_rate:g} x {factor:.3g} = {train.learning_rate * factor:.3g} (lr_scaling {train.lr_scaling})"
    )


def farewell(plan: Plan, material: Material, module: TrainingModule) -> None:
    """The figures, where things lie, what to type next."""
    folder, path = plan.folder, plan.folder.path
    elapsed = module.elapsed_s
    waiting = None if material.data.stream is None else material.data.stream.waiting
    say("")
    say(
        f"trained {module.step} steps, {format_seconds(module.audio_s)} of audio in {show_time(elapsed)}: "
        f"{module.audio_s / max(1e-9, elapsed):.1f} audio-seconds a second"
        + (f"; {waiting:.1%} of the time spent waiting for data" if waiting is not None else "")
        + (f"; {module.skipped} steps skipped (not finite)" if module.skipped else "")
    )
    say(f"{judged_on(module)}  {describe_validation(module)}")
    say(f"weights   {folder.best}  (last.ckpt beside it)")
    say(f"listen    {folder.validation}")
    say(
        f"curves    {folder.losses_picture}, {folder.metrics}, tensorboard --logdir {shell_word(folder.tensorboard)}"
    )
    say("next:")
    name = Path(path.resolve().name)
    rendering = ("render", path, "--input", "IN.wav", "-o", "OUT.wav")
    exporting = ("export", path, "-o", name.with_name(f"{name}.ts"))
    say(f"  {shown(*(exporting if module.family.streams else rendering))}")
    report = ("-o", name.with_name(f"{name}-report"))
    if material.held:  # what was learned says little of other sounds
        say(f"  {shown('evaluate', path, '--held-out', *report)}")
    else:
        say(
            "  nothing was held out, so this measures learned sounds; name others to know how it does on those:"
        )
        say(f"  {shown('evaluate', path, *material.inputs, *report)}")
