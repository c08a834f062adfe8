"""Which loss when: the LightningModule schedules, weighs and counts; it does not model."""

from __future__ import annotations

from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor

from wavevae.checkpoint import Checkpoint
from wavevae.config import RunConfig
from wavevae.families import family_of
from wavevae.objectives.schedules import learning_rate
from wavevae.objectives.weighted_sum import weighted_sum

from .adversary import Adversary, anchor, still
from .batches import Batch, conditions, plain
from .budget import Budget
from .guard import StepGuard
from .optimizer import AveragedModel, make_optimizer, may_be_fused, resume
from .ranks import clock_of_first_wish_of_any, rate_factor, world_size
from .validation import Validation

PATIENCE = 20
"""Steps in a row that may be skipped for a loss or gradient that is not finite."""
ASK_EVERY = 10
"""Steps between two questions to a device that would have to finish its work to answer."""


class Diverged(RuntimeError):
    """Training cannot go on; the message is advice for the user."""


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
        self.share = 0.0
        self.elapsed_s = 0.0  # of the budget, at the last step
        self.audio_s = 0.0
        self.guard = StepGuard()
        self.stop_asked = False  # by a signal, on this process
        self.stopping = False  # agreed on by all
        self.scheduled: dict[str, float] = {}  # what held in the last step
        self.terms: dict[str, Tensor] = {}  # raw numbers of the last step
        self.validation: dict[str, float] = {}
        self._validation = self.new_validation()
        self._resumed: Checkpoint | None = None

    @property
    def skipped(self) -> int:
        """Steps that were not finite so far; asks the device."""
        return self.guard.skipped

    def new_validation(self) -> Validation:
        """Sums of one validation, empty."""
        return Validation(self.objectives, self.config.model)

    # -- where it begins, and where it goes on -------------------------------------------------------------

    def initialise(self, material: Any) -> bool:
        """Set the weights from the corpus (train.training_data.Material); False: as a codec's, see `initialization`."""
        return False

    def begun(self) -> None:
        """The model has been set to where training begins: its average begins there too."""
        self.averaged.model.load_state_dict(self.model.state_dict())

    def resume(self, checkpoint: Checkpoint) -> None:
        """Go on from a checkpoint: weights, average, counters now; the optimizer when there is one."""
        self.model.load_state_dict(checkpoint.live)
        self.averaged.model.load_state_dict(checkpoint.state)
        self.step, self.audio_s = checkpoint.step, checkpoint.audio_s
        self.guard.resume(int(checkpoint.origin.get("skipped_steps", 0)))
        if self.adversary is not None and checkpoint.adversary:
            self.adversary.load_state_dict(checkpoint.adversary)
        self._resumed = checkpoint

    def measured(self) -> dict[str, Tensor]:
        """Running means of the objectives, for a checkpoint."""
        return {}

    def configure_optimizers(self) -> torch.optim.Optimizer:
        fused = may_be_fused(self.model, "" if self._trainer is None else str(self.trainer.precision))
        optimizer = make_optimizer(self.model, self.config.train, fused)
        if self._resumed is not None:
            resume(optimizer, self._resumed.optimizer)
        return optimizer

    @property
    def resumed(self) -> bool:
        """Whether it goes on from a checkpoint."""
        return self._resumed is not None

    def on_train_start(self) -> None:
        if self.adversary is not None:
            self.adversary.to(self.device)
        if self.config.train.compile:
            self.model.compile_networks()
        if not self.resumed:
            validate(self.trainer)  # the start: best.ckpt until something is better
        self.budget.start(self._resumed.elapsed_s if self._resumed else 0.0)
        self._agree()

    # -- one step ------------------------------------------------------------------------------------------

    @property
    def rate(self) -> float:
        """The learning rate now."""
        return learning_rate(self.share, self.config.train, self.step)

    @property
    def weights(self) -> dict[str, float]:
        """The effective weight of every raw number now."""
        return self.objectives.weights(self.share)

    @property
    def rate_factor(self) -> float:
        """Of the learning rate, for the batches of all processes."""
        return rate_factor(self.config.train.lr_scaling, world_size())

    @property
    def opposed(self) -> bool:
        """Whether there is a discriminator now."""
        return self.adversary is not None and self.adversary.present(self.share)

    @property
    def frozen(self) -> bool:
        """Whether encoder and latents stay as they are."""
        return self.adversary is not None and self.adversary.freezes(self.share)

    def training_step(self, batch: Tensor | Batch, batch_index: int) -> Tensor:
        """The loss. Spectra and KL are taken in fp32 whatever the precision of the rest."""
        torch.manual_seed(noise_seed(self.config.train.seed, self.step, self.global_rank))
        batch = batch if isinstance(batch, Batch) else plain(batch)
        heard, given = conditions(batch, self.config.model)
        with torch.set_grad_enabled(not self.frozen):
            latents = self.model.posterior(self.model.ahead(batch.heard), heard)
        audio = batch.audio
        estimate = self.model.in_place(latents.z, audio.shape[-1], given)
        with torch.autocast(audio.device.type, enabled=False):
            raw = self.objectives.raw(estimate.float(), audio.float(), latents)
            total = weighted_sum(raw, self.weights) + (anchor(self.model) if self.frozen else 0.0)
        self.terms = {"total": total.detach(), **{k: v.detach() for k, v in raw.items()}}
        self.terms |= {k: v for k, v in latents.metrics.items() if k not in self.terms}
        if self.opposed and self.adversary is not None:
            self.terms |= self.adversary.step(estimate, audio, self.share)
        self.audio_s += len(audio) * audio.shape[-1] / self.config.model.sample_rate * world_size()
        return total

    def optimizer_step(
        self, epoch: int, batch_idx: int, optimizer: Any, optimizer_closure: Any = None
    ) -> None:
        """Schedule, step, average, count: in this order, and nothing of it elsewhere."""
        self.scheduled = {
            "learning_rate": self.rate * self.rate_factor,
            "kl_weight": 0.0,  # a column of every run
            **{f"{name}_weight": w for name, w in self.weights.items() if name in ("kl", "kl_top")},
        }
        if self.adversary is not None:
            weights = self.adversary.weights(self.share)
            self.scheduled |= {f"{name}_weight": weight for name, weight in weights.items()}
        for group in optimizer.param_groups:
            group["lr"] = self.scheduled["learning_rate"] * group["share"]
        super().optimizer_step(epoch, batch_idx, optimizer, optimizer_closure)
        self.step += 1
        if (
            self.device.type != "cpu" or self.guard.in_a_row == 0
        ):  # elsewhere: towards weights that have not moved
            self.averaged.update(self.model, self.step)
        self._agree()

    def configure_gradient_clipping(self, optimizer: Any, *_: Any, **__: Any) -> None:
        """Clip by norm; where loss or gradient is not finite, take the gradients away: the step moves nothing."""
        if self.frozen:
            for parameter in still(self.model):
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
        """Whether a number on the device may be asked for in this step: on a CPU always, else now and then."""
        return self.device.type == "cpu" or self.step % ASK_EVERY == 0

    def _agree(self) -> None:
        """The first process' clock counts for all, and anyone's wish to stop."""
        self.elapsed_s = self.budget.elapsed_s
        share = self.budget.share(self.step)
        self.share, stop = clock_of_first_wish_of_any(share, self.stop_asked, self.device)
        self.stopping = stop and self.share < 1.0
        if self.stopping:
            self.trainer.limit_val_batches = 0  # whoever asks to stop does not want to wait for a validation
        if self.stopping or self.share >= 1.0:
            self.trainer.should_stop = True

    # -- validation: the averaged weights, the posterior's mean, fixed chunks --------------------------------

    def on_validation_epoch_start(self) -> None:
        self._validation.start()

    def validation_step(self, batch: Tensor | Batch, batch_index: int) -> None:
        self._validation.add(self.averaged.model, batch if isinstance(batch, Batch) else plain(batch))

    def on_validation_epoch_end(self) -> None:
        self.validation = self._validation.means()
