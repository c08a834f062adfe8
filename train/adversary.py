"""Adversarial training: when the discriminator is active, how it learns, what gradient it gives the model."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from wavevae.config import AdversarialConfig, RunConfig
from wavevae.nn.distributed import ranks, sum_over_ranks
from wavevae.nn.model import Autoencoder
from wavevae.objectives.adversarial import (
    CHANCE,
    MultiScaleDiscriminator,
    adversarial,
    discriminator_hinge,
    feature_matching,
    gradients,
    join,
    mean_score,
)
from wavevae.objectives.schedules import rise
from wavevae.units import seconds_to_samples

from .optimizer import StepGuard, may_be_fused, resume

QUIET = 1e-3
"""RMS (-60 dBFS) at and below which sounds are not normalized for the discriminator."""
BETAS = (0.5, 0.9)
"""Of its AdamW (EnCodec, sec. 4.1): its loss changes with the model, so averages are short."""
MEMORY = 0.98
"""Decay a step of the mean `loss`: about fifty steps."""
FEWEST = 200
"""Steps of the discriminator before its mean loss is reported."""


def frozen_parameters(model: Autoencoder) -> list[nn.Parameter]:
    """The parameters that are left as they are where only the decoder is trained."""
    return [*model.encoder.parameters(), *model.bottleneck.parameters()]


def anchor(model: Autoencoder) -> Tensor:
    """Zero, with a gradient of zero for frozen parameters: DDP waits for one from each."""
    return 0.0 * torch.stack([parameter.sum() for parameter in frozen_parameters(model)]).sum()


class Adversary:
    """Discriminators and their optimizer; no submodule, so that neither DDP nor the model's optimizer includes them.

    They are the same on every process: they start from the run's seed and take gradients averaged over processes.
    """

    def __init__(self, config: RunConfig) -> None:
        self.config: AdversarialConfig = config.adversarial
        self.run = config
        self.discriminator = MultiScaleDiscriminator(
            self.config.discriminator_n_ffts, self.config.discriminator_channels
        )
        self.optimizer = self._new_optimizer()
        self.guard = StepGuard()
        self.loss: Tensor | None = None
        """Running mean of the hinge loss, on the device; none before its first step."""
        self.steps = 0

    def _new_optimizer(self) -> torch.optim.Optimizer:
        rate = self.config.discriminator_learning_rate
        fused = may_be_fused(self.discriminator, "")
        return torch.optim.AdamW(
            self.discriminator.parameters(), rate, BETAS, weight_decay=0.0, fused=fused or None
        )

    def to(self, device: torch.device) -> None:
        """Where the model is."""
        state = self.optimizer.state_dict()
        self.discriminator.to(device)
        self.optimizer = self._new_optimizer()
        resume(self.optimizer, state)  # moves its moments along

    def state_dict(self) -> dict[str, Any]:
        """Tensors and plain values: all that a resumed run needs."""
        return {
            "discriminator": self.discriminator.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "loss": None if self.loss is None else float(self.loss),
            "steps": self.steps,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.discriminator.load_state_dict(state["discriminator"])
        resume(self.optimizer, state["optimizer"])
        self.loss = None if state["loss"] is None else torch.tensor(float(state["loss"]))
        self.steps = state["steps"]

    # -- when ----------------------------------------------------------------------------------------------

    def active(self, progress: float) -> bool:
        """Whether it is trained at this share of the budget."""
        return progress >= self.config.adversarial_start

    def mean_loss(self, progress: float) -> dict[str, float]:
        """The running hinge loss, while it is trained and once enough steps are in it."""
        if self.loss is None or self.steps < FEWEST or not self.active(progress):
            return {}
        return {"discriminator": float(self.loss)}

    def freezes(self, progress: float) -> bool:
        """Whether encoder and bottleneck are left as they are."""
        return self.active(progress) and self.config.adversarial_trains == "decoder"

    def weights(self, progress: float) -> dict[str, float]:
        """Of each of its terms now, relative to all distances."""
        if not self.active(progress):
            return {"adversarial": 0.0, "feature_matching": 0.0}
        risen = rise(progress - self.config.adversarial_start, self.config.adversarial_warm_up)
        return {
            "adversarial": risen * self.config.adversarial,
            "feature_matching": risen * self.config.feature_matching,
        }

    # -- one step ------------------------------------------------------------------------------------------

    def step(self, estimate: Tensor, audio: Tensor, progress: float) -> dict[str, Tensor]:
        """One step of the discriminator on sounds (B, 1, T); the model's part is joined to the gradient of `estimate`.

        Returns the raw terms.
        """
        detached = estimate.detach().requires_grad_()
        with torch.enable_grad(), self._precision(audio.device.type):
            real, made = self.excerpts(audio, detached)
            of_real, of_made = self.discriminator(real), self.discriminator(made)
            raw = {
                "adversarial": adversarial(of_made),
                "feature_matching": feature_matching(of_real, of_made),
            }
            loss = discriminator_hinge(of_real, of_made)
        weights = {name: weight for name, weight in self.weights(progress).items() if weight > 0}
        if weights:
            join(estimate, gradients({name: raw[name] for name in weights}, detached), weights)
        self.update(loss)
        scores = {"score_real": mean_score(of_real), "score_made": mean_score(of_made)}
        return {name: term.detach() for name, term in {**raw, "discriminator": loss, **scores}.items()}

    def _precision(self, device: str) -> torch.autocast:
        """The run's, but fp32 for fp16: its small gradients would need a scale of their own."""
        half = torch.is_autocast_enabled(device) and torch.get_autocast_dtype(device) != torch.float16
        return torch.autocast(device, enabled=half)

    def excerpts(self, audio: Tensor, estimate: Tensor) -> tuple[Tensor, Tensor]:
        """The same random stretch of both, scaled by the RMS of the original."""
        length = seconds_to_samples(self.config.discriminator_seconds, self.run.model.sample_rate)
        length = min(audio.shape[-1], max(length, *self.config.discriminator_n_ffts))
        start = int(torch.randint(0, audio.shape[-1] - length + 1, ()))
        real, made = (x[..., start : start + length].float() for x in (audio, estimate))
        size = real.square().mean(dim=(1, 2), keepdim=True).sqrt() + QUIET
        return real / size, made / size

    def update(self, loss: Tensor) -> None:
        """One step of its optimizer, at a constant rate; skipped on all processes where loss or gradient is not
        finite on any."""
        parameters = list(self.discriminator.parameters())
        for parameter, gradient in zip(parameters, torch.autograd.grad(loss, parameters), strict=True):
            parameter.grad = gradient
        self._average_gradients()
        norm = torch.nn.utils.clip_grad_norm_(parameters, self.run.train.gradient_clip)
        self.guard.check(torch.isfinite(norm + loss), self.optimizer, parameters)
        self.optimizer.step()
        self.steps += 1
        now = loss.detach().float().nan_to_num(CHANCE)
        before = now if self.loss is None else self.loss.to(now.device, non_blocking=True)
        self.loss = torch.lerp(now, before, MEMORY + (1 - MEMORY) * self.guard.bad)

    def _average_gradients(self) -> None:
        """Over processes, in one message."""
        if ranks() == 1:
            return
        parameters = list(self.discriminator.parameters())
        flat = torch.cat([p.grad.flatten() for p in parameters if p.grad is not None])
        sum_over_ranks(flat).div_(ranks())
        for parameter, part in zip(parameters, flat.split([p.numel() for p in parameters]), strict=True):
            parameter.grad = part.view_as(parameter)
