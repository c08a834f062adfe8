"""What is going wrong inside a model, in plain sentences, with what to change; said once, and again if it returns."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytorch_lightning as pl

from wavevae.config import RunConfig
from wavevae.nn.bottlenecks.registry import bottleneck_class
from wavevae.objectives.adversarial import CHANCE

from .module import TrainingModule
from .progress import say
from .validation import MISTOLD

FEW_ACTIVE = 0.5
"""Share of the latent dimensions that must move."""
MANY_NATS = 15.0
"""A dimension and frame: three million values told apart, more than 16 bits of sound have."""
FEW_CODES = 0.5
"""Share of the codes that must be used."""
NARROW_SHARE = 0.1
"""Share of the priors that the slow latents set, up to which they may be as narrow as they can be."""
SMALLEST_GAIN = 0.01
"""How much further off a sound must be under another's label."""
NEVER_WRONG, AT_A_LOSS = 0.1, 0.95
"""Hinge loss of a discriminator, as a share of chance, below and above which it teaches nothing."""
SETTLED = 0.2
"""Share of the budget before which nothing is judged."""


def findings(values: Mapping[str, float], share: float, config: RunConfig) -> dict[str, str]:
    """Kind of trouble -> sentence, from the means of a validation (val_*) at a share of the budget."""
    found = {}
    if share >= SETTLED:
        for check in (collapsed, silent_top, narrow_prior, unheard_codes, ignored_labels, one_sided):
            found.update(check(values, config))
    return found | exploded(values, config)


def collapsed(values: Mapping[str, float], config: RunConfig) -> dict[str, str]:
    """A posterior that equals its prior in most dimensions (Lucas et al. 2019)."""
    active, dims = values.get("val_active_dims"), config.model.latent_dim
    if active is None or active > FEW_ACTIVE * dims:
        return {}
    objective = config.objective
    return {
        "collapse": f"the posterior has collapsed in {dims - active:.0f} of {dims} latent dimensions: the decoder does "
        f"not need them or the KL forbids them; try --set kl={objective.kl / 4:g}, --set "
        f"free_bits={2 * objective.free_bits or 0.25:g} or a smaller --latent-dim"
    }


def silent_top(values: Mapping[str, float], config: RunConfig) -> dict[str, str]:
    """Slow latents whose KL is no more than their free bits."""
    nats, objective = values.get("val_kl_nats_top"), config.objective
    free = objective.free_bits_top * config.model.top_dim
    if nats is None or nats > free:
        return {}
    return {
        "top": f"the slow level tells {nats:.2g} nats a frame, no more than its free bits ({free:.2g}): the fast level "
        f"does without it; try --set kl_top={objective.kl_top / 4:g} or --set kl={4 * objective.kl:g}"
    }


def exploded(values: Mapping[str, float], config: RunConfig) -> dict[str, str]:
    """A KL that no sound needs."""
    nats, dims = values.get("val_kl_nats"), config.model.latent_dim
    if nats is None or nats <= MANY_NATS * dims:
        return {}
    objective = config.objective
    if bottleneck_class(config.model.bottleneck).has_top_level:
        return {
            "explosion": f"the KL is {nats:.0f} nats a frame, {nats / dims:.0f} a dimension: the slow level expects "
            f"other fast latents than come; try --set kl={4 * objective.kl:g}, --set top_every="
            f"{max(1, config.model.top_every // 2)} or --bottleneck vae"
        }
    return {
        "explosion": f"the KL is {nats:.0f} nats a frame, {nats / dims:.0f} a dimension: latents run away from their "
        f"prior; try --set kl={4 * objective.kl:g}, --set kl_baseline=0.1 or a smaller --set learning_rate"
    }


def narrow_prior(values: Mapping[str, float], config: RunConfig) -> dict[str, str]:
    """Priors set by slow latents at the lower bound of their variance: where they are wrong the KL is largest."""
    share = values.get("val_narrow_prior")
    if share is None or share <= NARROW_SHARE:
        return {}
    objective = config.objective
    return {
        "narrow": f"{share:.0%} of what the slow level expects is as narrow as it may be (26 dB below the corpus): "
        f"sounds that are not as expected cost a KL that says little; try --set kl_top={objective.kl_top / 4:g} or "
        "more various sounds (--set gain_db=6)"
    }


def unheard_codes(values: Mapping[str, float], config: RunConfig) -> dict[str, str]:
    """Codebooks of which few codes are used, over the last hundred steps or so."""
    usage = values.get("codebook_usage")
    if usage is None or usage >= FEW_CODES:
        return {}
    size = config.model.codebook_size
    return {
        "codes": f"{usage:.0%} of {size} codes are used: the codebook is dying; try --set "
        "codebook_entropy_weight=0.1, --set "
        f"codebook_dead={min(0.5, 2 * config.model.codebook_dead or 0.1):g} or --set codebook_size={size // 2}"
    }


def ignored_labels(values: Mapping[str, float], config: RunConfig) -> dict[str, str]:
    """Labels that make no difference when they are swapped, each kind by itself."""
    told, found = values.get("val_distance"), {}
    for kind, advice in (("class", ""), ("pitch", ", or --set encoder_pitch_shift=4")):
        mistold = values.get(f"val_{MISTOLD}_{kind}")
        if told is None or mistold is None or mistold > (1 + SMALLEST_GAIN) * told:
            continue
        found[f"labels {kind}"] = (
            f"{kind} labels are not listened to: told another's, a sound is {mistold / told - 1:+.1%} further off; "
            f"latents carry what they say: try a smaller --latent-dim or more KL{advice}"
        )
    return found


def one_sided(values: Mapping[str, float], config: RunConfig) -> dict[str, str]:
    """A discriminator that is never wrong, or one that cannot tell."""
    loss, adversarial = values.get("discriminator"), config.adversarial
    rate, channels = adversarial.discriminator_learning_rate, adversarial.discriminator_channels
    if loss is None or NEVER_WRONG * CHANCE <= loss <= AT_A_LOSS * CHANCE:
        return {}
    if loss < NEVER_WRONG * CHANCE:
        return {
            "discriminator wins": f"the discriminator is hardly ever wrong (hinge loss {loss:.2g}; {CHANCE:g} "
            f"is chance): it no longer says what would be better; try --set discriminator_learning_rate={rate / 4:g}, "
            "fewer discriminator_channels or a later --set adversarial_start"
        }
    return {
        "discriminator lost": f"the discriminator cannot tell output from original (hinge loss {loss:.2g}; "
        f"{CHANCE:g} is chance): the model learns nothing from it; try --set discriminator_learning_rate={2 * rate:g} "
        f"or --set discriminator_channels={2 * channels}"
    }


class Health(pl.Callback):
    """Looks at every validation."""

    def __init__(self) -> None:
        self.said: set[str] = set()

    def on_validation_end(self, trainer: pl.Trainer, module: Any) -> None:
        if not module.validation or module.step == 0:  # nothing has been learned that could have gone wrong
            return
        for sentence in self.news(module):
            say(f"health: {sentence}")

    def news(self, module: TrainingModule) -> list[str]:
        """Sentences that did not hold the last time."""
        codes = {k: float(v) for k, v in module.terms.items() if k == "codebook_usage"}
        opposed = {} if module.adversary is None else module.adversary.record(module.share)
        found = findings({**module.validation, **codes, **opposed}, module.share, module.config)
        fresh = [sentence for kind, sentence in found.items() if kind not in self.said]
        self.said = set(found)
        return fresh
