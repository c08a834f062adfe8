"""What is going wrong in a model, with what to change; reported once, and again if it returns."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

import pytorch_lightning as pl

from wavevae.config import RunConfig
from wavevae.nn.bottlenecks.base import bottleneck_class
from wavevae.objectives.adversarial import CHANCE

from .module import TrainingModule
from .processes import say
from .validation import WRONG_LABEL

FEW_ACTIVE = 0.5
"""Share of the latent dimensions that must move."""
MANY_NATS = 15.0
"""A dimension and frame: three million values told apart, more than 16 bits of sound have."""
FEW_CODES = 0.5
"""Share of the codes that must be used."""
NARROW_SHARE = 0.1
"""Share of the priors set by the slow latents that may be at the lower bound of their variance."""
SMALLEST_GAIN = 0.01
"""Least relative rise of the distance under another's label."""
NEVER_WRONG, AT_A_LOSS = 0.1, 0.95
"""Hinge loss of a discriminator, as a share of chance, below and above which the model learns nothing from it."""
SETTLED = 0.2
"""Progress before which only an explosion is reported."""

Values = Mapping[str, float]
Findings = Iterator[tuple[str, str]]
"""(kind of trouble, sentence)"""


def findings(values: Values, progress: float, config: RunConfig) -> dict[str, str]:
    """Kind of trouble -> sentence, from the means of a validation (val_*)."""
    found: dict[str, str] = {}
    if progress >= SETTLED:
        for check in (posterior_findings, code_findings, label_findings, discriminator_findings):
            found.update(check(values, config))
    return found | dict(explosion(values, config))


def posterior_findings(values: Values, config: RunConfig) -> Findings:
    """A posterior that equals its prior in most dimensions (Lucas et al. 2019); a slow level that is not used, or whose
    priors are at the lower bound of their variance: where they are wrong the KL is largest."""
    objective, dims = config.objective, config.model.latent_dim
    active = values.get("val_active_dims", math.inf)
    if active <= FEW_ACTIVE * dims:
        yield (
            "collapse",
            f"the posterior has collapsed in {dims - active:.0f} of {dims} latent dimensions: the decoder does "
            f"not need them or the KL forbids them; try --set kl={objective.kl / 4:g}, --set "
            f"free_bits={2 * objective.free_bits or 0.25:g} or a smaller --latent-dim",
        )
    nats, free = values.get("val_kl_nats_top", math.inf), objective.free_bits_top * config.model.top_dim
    if nats <= free:
        yield (
            "top",
            f"the slow level tells {nats:.2g} nats a frame, no more than its free bits ({free:.2g}): the fast level "
            f"does without it; try --set kl_top={objective.kl_top / 4:g} or --set kl={4 * objective.kl:g}",
        )
    narrow = values.get("val_narrow_prior", 0.0)
    if narrow > NARROW_SHARE:
        yield (
            "narrow",
            f"{narrow:.0%} of what the slow level expects is as narrow as it may be (26 dB below the corpus): "
            f"sounds that are not as expected cost a KL that says little; try --set kl_top={objective.kl_top / 4:g} or "
            "more various sounds (--set gain_db=6)",
        )


def explosion(values: Values, config: RunConfig) -> Findings:
    """A KL that no sound needs."""
    nats, dims, objective = values.get("val_kl_nats", 0.0), config.model.latent_dim, config.objective
    if nats <= MANY_NATS * dims:
        return
    why = (
        f"latents run away from their prior; try --set kl={4 * objective.kl:g}, --set kl_baseline=0.1 or a smaller "
        "--set learning_rate"
    )
    if bottleneck_class(config.model.bottleneck).has_top_level:
        why = (
            f"the slow level expects other fast latents than come; try --set kl={4 * objective.kl:g}, --set top_every="
            f"{max(1, config.model.top_every // 2)} or --bottleneck vae"
        )
    yield "explosion", f"the KL is {nats:.0f} nats a frame, {nats / dims:.0f} a dimension: {why}"


def code_findings(values: Values, config: RunConfig) -> Findings:
    """Codebooks of which few codes are used, over the last hundred steps or so."""
    usage, size = values.get("codebook_usage", 1.0), config.model.codebook_size
    if usage < FEW_CODES:
        yield (
            "codes",
            f"{usage:.0%} of {size} codes are used: the codebook is dying; try --set codebook_entropy_weight=0.1, "
            f"--set codebook_dead={min(0.5, 2 * config.model.codebook_dead or 0.1):g} or "
            f"--set codebook_size={size // 2}",
        )


def label_findings(values: Values, config: RunConfig) -> Findings:
    """Labels that make no difference when they are swapped, each kind by itself."""
    own = values.get("val_distance", math.nan)
    for kind, advice in (("class", ""), ("pitch", ", or --set encoder_pitch_shift=4")):
        other = values.get(f"val_{WRONG_LABEL}_{kind}", math.inf)
        if other <= (1 + SMALLEST_GAIN) * own:
            yield (
                f"labels {kind}",
                f"{kind} labels are not listened to: told another's, a sound is {other / own - 1:+.1%} further off; "
                f"latents carry what they say: try a smaller --latent-dim or more KL{advice}",
            )


def discriminator_findings(values: Values, config: RunConfig) -> Findings:
    """A discriminator that is never wrong, or one that cannot tell."""
    loss, adversarial = values.get("discriminator", math.nan), config.adversarial
    rate, channels = adversarial.discriminator_learning_rate, adversarial.discriminator_channels
    if loss < NEVER_WRONG * CHANCE:
        yield (
            "discriminator wins",
            f"the discriminator is hardly ever wrong (hinge loss {loss:.2g}; {CHANCE:g} is chance): it no longer says "
            f"what would be better; try --set discriminator_learning_rate={rate / 4:g}, fewer "
            "discriminator_channels or a later --set adversarial_start",
        )
    if loss > AT_A_LOSS * CHANCE:
        yield (
            "discriminator lost",
            f"the discriminator cannot tell output from original (hinge loss {loss:.2g}; {CHANCE:g} is chance): the "
            f"model learns nothing from it; try --set discriminator_learning_rate={2 * rate:g} or --set "
            f"discriminator_channels={2 * channels}",
        )


class Health(pl.Callback):
    """Checks every validation but the first, which is of the start."""

    def __init__(self) -> None:
        self.reported: set[str] = set()

    def on_validation_end(self, trainer: pl.Trainer, module: Any) -> None:
        if module.validation and module.step > 0:
            for sentence in self.news(module):
                say(f"health: {sentence}")

    def news(self, module: TrainingModule) -> list[str]:
        """Sentences that did not hold the last time."""
        values = dict(module.validation)
        values |= {k: float(v) for k, v in module.terms.items() if k == "codebook_usage"}
        values |= {} if module.adversary is None else module.adversary.mean_loss(module.progress)
        found = findings(values, module.progress, module.config)
        fresh = [sentence for kind, sentence in found.items() if kind not in self.reported]
        self.reported = set(found)
        return fresh
