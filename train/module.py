"""The LightningModule of codecs, and what all families train alike: schedule, weigh, skip, count; it does not model."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pytorch_lightning as pl
import torch
from torch import Tensor

from wavevae.checkpoint import Checkpoint
from wavevae.config import RunConfig
from wavevae.families import family_of, located
from wavevae.nn.bottlenecks.base import Latents
from wavevae.nn.conv import pad_to_multiple
from wavevae.nn.distributed import ranks
from wavevae.nn.linear_init import init_from_linear, init_from_partials
from wavevae.objectives.losses import weighted_sum
from wavevae.objectives.schedules import learning_rate

from .adversary import Adversary, anchor, frozen_parameters
from .batches import Batch, conditions, label_condition
from .budget import Budget
from .optimizer import AveragedModel, StepGuard, make_optimizer, may_be_fused, resume
from .processes import lr_factor, say, sync_progress_and_stop
from .training_data import TrainingData
from .validation import Validation

PATIENCE = 20
"""Steps in a row that may be skipped for a loss or gradient that is not finite."""
ASK_EVERY = 10
"""Steps between two readings of a number from a device, which has to finish its work first."""
START_CHUNKS = 512
"""Chunks that a linear start is fitted to."""
CHUNKS_AT_ONCE = 16


class Diverged(RuntimeError):
    """Training cannot go on; the message is advice for the user."""


class Reconstruction(NamedTuple):
    """What the loss of a step is taken of."""

    estimate: Tensor
    target: Tensor
    latents: Latents
    samples: int
    """Of sound, all rows together."""
    more_terms: Callable[[], dict[str, Tensor]] = dict
    """Raw terms that only one family has."""


def make_module(config: RunConfig, budget: Budget) -> TrainingModule:
    """The training module of the model family that the configuration describes."""
    module: TrainingModule = located(family_of(config).training)(config, budget)
    return module


def noise_seed(seed: int, step: int, rank: int) -> int:
    """Seed of everything random in a step, so that a resumed run draws what the uninterrupted one drew."""
    return ((seed * 1_000_003 + step) * 4096 + rank) % 2**63


def validate(trainer: pl.Trainer) -> None:
    """One validation now, as Lightning does it between two training steps."""
    trainer.validating = True
    trainer.fit_loop.epoch_loop.val_loop.run()
    trainer.training = True


class TrainingModule(pl.LightningModule):
    """The model, its averaged copy, the objectives, and how far the run is."""

    def __init__(self, config: RunConfig, budget: Budget) -> None:
        super().__init__()
        torch.manual_seed(config.train.seed)
        self.config, self.budget = config, budget
        self.family = family_of(config)
        self.model: Any = self.family.build(config)
        self.averaged = AveragedModel(self.model, config.train.ema_decay)
        self.objectives: Any = self.family.objectives(config)
        self.adversary = Adversary(config) if config.adversarial.on else None
        self.step = 0  # Lightning's global_step counts optimisers and forgets on resume
        self.progress = 0.0  # share of the budget that is used, 0 to 1
        self.elapsed_s = 0.0  # of the budget, at the last step
        self.audio_s = 0.0
        self.guard = StepGuard()
        self.stop_asked = False  # by a signal, on this process
        self.stopping = False  # agreed on by all
        self.scheduled: dict[str, float] = {}  # what held in the last step
        self.terms: dict[str, Tensor] = {}  # raw numbers of the last step
        self.validation: dict[str, float] = {}
        self._validation = self.new_validation()
        self.resumed: Checkpoint | None = None

    def new_validation(self) -> Validation:
        return Validation(self.objectives, self.config.model)

    # -- where it begins, and where it goes on -------------------------------------------------------------

    def initialize(self, data: TrainingData) -> None:
        """Set the model, then its average, to where a new run begins: in closed form from the sounds, as far as the
        model allows. Raises: UserError for codebooks larger than the frames there are."""
        self.initialize_networks(data)
        bottleneck = self.model.bottleneck.learned_part()
        if bottleneck.init_frames():
            torch.manual_seed(self.config.train.seed)
            bottleneck.init_from_data(self.encoder_frames(data, bottleneck.init_frames()))
        self.averaged.model.load_state_dict(self.model.state_dict())

    def initialize_networks(self, data: TrainingData) -> None:
        """As the best linear codec of the corpus: of its hops, or of its partials where pitches are labelled."""
        if self.config.train.init != "linear":
            return
        chosen, hop = data.spread(START_CHUNKS), self.model.hop_length
        if self.model.config.has_pitch:
            pitches = torch.tensor([label.pitch for label in data.chunk_labels(chosen)])
            explained = init_from_partials(self.model, self.whole_hops(data.read(chosen)), pitches)
        else:
            frames = data.train_chunks.chunk_samples // hop
            hops = data.read(chosen)[:, : frames * hop].reshape(len(chosen), frames, hop)
            explained = init_from_linear(self.model, hops)
        say(f"start   {explained:.0%} of the energy at equal loudness")

    def whole_hops(self, chunks: np.ndarray) -> Tensor:
        """(n, samples) -> (n, 1, a whole number of hops), zeros at the end."""
        return pad_to_multiple(torch.from_numpy(chunks[:, None]), self.model.hop_length)

    @torch.no_grad()
    def encoder_frames(self, data: TrainingData, count: int) -> Tensor:
        """At least `count` frames of the encoder's output for its bottleneck, (n, in_channels), where there are as
        many."""
        frames_a_chunk = max(1, data.train_chunks.chunk_samples // self.model.hop_length)
        chosen = data.spread(-(-count // frames_a_chunk))
        rows: list[Tensor] = []
        for first in range(0, len(chosen), CHUNKS_AT_ONCE):
            some = chosen[first : first + CHUNKS_AT_ONCE]
            condition = label_condition(self.model.config, data.chunk_labels(some), torch.device("cpu"))
            features = self.model.features(self.whole_hops(data.read(some)), condition)
            rows.append(features[:, self.model.bottleneck.controls :].transpose(1, 2).flatten(0, 1))
        return torch.cat(rows)

    def resume(self, checkpoint: Checkpoint) -> None:
        """Go on from a checkpoint: weights, average, counters now; the optimizer when there is one."""
        self.model.load_state_dict(checkpoint.live)
        self.averaged.model.load_state_dict(checkpoint.state)
        self.step, self.audio_s = checkpoint.step, checkpoint.audio_s
        self.guard.resume(int(checkpoint.origin.get("skipped_steps", 0)))
        if self.adversary is not None and checkpoint.adversary:
            self.adversary.load_state_dict(checkpoint.adversary)
        self.resumed = checkpoint

    def measured(self) -> dict[str, Tensor]:
        """Running means of the objectives, for a checkpoint."""
        return {}

    def configure_optimizers(self) -> torch.optim.Optimizer:
        fused = may_be_fused(self.model, "" if self._trainer is None else str(self.trainer.precision))
        optimizer = make_optimizer(self.model, self.config.train, fused)
        if self.resumed is not None:
            resume(optimizer, self.resumed.optimizer)
        return optimizer

    def on_train_start(self) -> None:
        if self.adversary is not None:
            self.adversary.to(self.device)
        if self.config.train.compile:
            self.model.compile_networks()
        if not self.resumed:
            validate(self.trainer)  # the start: best.ckpt until something is better
        self.budget.start(self.resumed.elapsed_s if self.resumed else 0.0)
        self._sync()

    # -- one step ------------------------------------------------------------------------------------------

    @property
    def rate(self) -> float:
        """The learning rate now, for one process."""
        return learning_rate(self.progress, self.config.train, self.step)

    @property
    def weights(self) -> dict[str, float]:
        """The weight of every raw term now."""
        return self.objectives.weights(self.progress)

    @property
    def opposed(self) -> bool:
        """Whether a discriminator is active now."""
        return self.adversary is not None and self.adversary.active(self.progress)

    @property
    def frozen(self) -> bool:
        """Whether encoder and bottleneck are left as they are."""
        return self.adversary is not None and self.adversary.freezes(self.progress)

    def training_step(self, batch: Any, batch_index: int) -> Tensor:
        """The loss. Spectra and KL are taken in fp32 whatever the precision of the rest."""
        torch.manual_seed(noise_seed(self.config.train.seed, self.step, self.global_rank))
        made = self.reconstruct(batch)
        with torch.autocast(made.target.device.type, enabled=False):
            raw = self.objectives.raw(made.estimate.float(), made.target.float(), made.latents)
            raw |= made.more_terms()
            total = weighted_sum(raw, self.weights) + (anchor(self.model) if self.frozen else 0.0)
        self.terms = {"total": total.detach(), **{k: v.detach() for k, v in raw.items()}}
        self.terms |= {k: v for k, v in made.latents.metrics.items() if k not in self.terms}
        if self.opposed and self.adversary is not None:
            self.terms |= self.adversary.step(made.estimate, made.target, self.progress)
        self.audio_s += made.samples / self.config.model.sample_rate * ranks()
        return total

    def reconstruct(self, batch: Batch) -> Reconstruction:
        """Sound (B, 1, T) through the model."""
        encoder_labels, decoder_labels = conditions(batch, self.config.model)
        with torch.set_grad_enabled(not self.frozen):
            latents = self.model.posterior(self.model.pad_for_latency(batch.encoder_audio), encoder_labels)
        estimate = self.model.compensate_latency(latents.z, batch.audio.shape[-1], decoder_labels)
        return Reconstruction(estimate, batch.audio, latents, batch.audio.numel())

    def optimizer_step(
        self, epoch: int, batch_idx: int, optimizer: Any, optimizer_closure: Any = None
    ) -> None:
        """Schedule, step, average, count, in this order."""
        factor = lr_factor(self.config.train.lr_scaling, ranks())
        self.scheduled = {
            "learning_rate": self.rate * factor,
            "kl_weight": 0.0,  # a column of every run
            **{f"{name}_weight": w for name, w in self.weights.items() if name in ("kl", "kl_top")},
        }
        adversarial = {} if self.adversary is None else self.adversary.weights(self.progress)
        self.scheduled |= {f"{name}_weight": weight for name, weight in adversarial.items()}
        for group in optimizer.param_groups:
            group["lr"] = self.scheduled["learning_rate"] * group["share"]
        super().optimizer_step(epoch, batch_idx, optimizer, optimizer_closure)
        self.step += 1
        skipped = (
            self.device.type == "cpu" and self.guard.in_a_row > 0
        )  # elsewhere the weights have not moved
        if not skipped:
            self.averaged.update(self.model, self.step)
        self._sync()

    def configure_gradient_clipping(self, optimizer: Any, *_: Any, **__: Any) -> None:
        """Clip by norm; where loss or gradient is not finite, skip the step."""
        if self.frozen:
            for parameter in frozen_parameters(self.model):
                parameter.grad = None
        norm = torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.config.train.gradient_clip)
        self.terms["grad_norm"] = norm
        finite = torch.isfinite(norm + self.terms["total"])
        self.guard.check(finite, optimizer, self.model.parameters())
        if self.asks_device and self.guard.in_a_row >= PATIENCE:
            raise Diverged(
                f"the loss was not finite for {PATIENCE} steps in a row, up to step {self.step}; "
                f"try --set learning_rate={self.config.train.learning_rate / 4:g} or --precision 32-true"
            )

    @property
    def asks_device(self) -> bool:
        """Whether a number is read from the device in this step: on a CPU always, else now and then."""
        return self.device.type == "cpu" or self.step % ASK_EVERY == 0

    def _sync(self) -> None:
        """All processes take the first one's progress, and stop if any is to stop."""
        self.elapsed_s = self.budget.elapsed_s
        own = self.budget.progress(self.step)
        self.progress, stop = sync_progress_and_stop(own, self.stop_asked, self.device)
        self.stopping = stop and self.progress < 1.0
        if self.stopping:
            self.trainer.limit_val_batches = 0  # no validation before the end
        if self.stopping or self.progress >= 1.0:
            self.trainer.should_stop = True

    # -- validation: the averaged weights, the posterior's mean, fixed chunks --------------------------------

    def on_validation_epoch_start(self) -> None:
        self._validation.start()

    def validation_step(self, batch: Batch, batch_index: int) -> None:
        self._validation.add(self.averaged.model, batch)

    def on_validation_epoch_end(self) -> None:
        self.validation = self._validation.means()
