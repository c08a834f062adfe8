"""The adversarial stage, as plain values that refuse nonsense. `wavevae.config` offers it beside the rest."""

from __future__ import annotations

from dataclasses import dataclass

from wavevae.checks import require, require_known

TRAINS = ("all", "decoder")
SHORTEST = 32
"""Of the discriminators' transforms, samples."""


@dataclass(frozen=True)
class AdversarialConfig:
    """A discriminator that learns to tell output from original, and what the model makes of its opinion.

    The two weights are shares: 0.1 means that at the waveform the term pulls a tenth as hard as all distances together.
    """

    adversarial: float = 0.0
    """Weight of the discriminator's opinion against all distances; 0, and no feature_matching: no discriminator."""
    feature_matching: float = 0.0
    """Weight of the difference that its layers see, against all distances."""
    adversarial_from: float = 0.5
    """Share of the budget from which on there is a discriminator."""
    adversarial_warm_up: float = 0.1
    """Share of the budget, from there on, over which both weights rise: a new discriminator knows nothing yet."""
    adversarial_trains: str = "all"
    """all, or decoder: from adversarial_from on the encoder and the latents stay as they are."""
    discriminator_n_ffts: tuple[int, ...] = (256, 512, 1024)
    """Transform lengths of its spectra, samples; one discriminator each."""
    discriminator_channels: int = 8
    """Channels of its layers."""
    discriminator_seconds: float = 0.5
    """How much of each chunk it hears a step, at a random place, s; the whole chunk where that is shorter."""
    discriminator_rate: float = 5e-3
    """Its learning rate, from its first step to its last."""

    @property
    def on(self) -> bool:
        """Whether a discriminator is asked for at all."""
        return self.adversarial > 0 or self.feature_matching > 0

    def __post_init__(self) -> None:
        for name in ("adversarial", "feature_matching"):
            require(getattr(self, name) >= 0, name, getattr(self, name), "use 0 or more")
        for name in ("adversarial_from", "adversarial_warm_up"):
            require(0 <= getattr(self, name) <= 1, name, getattr(self, name), "use a share, 0 to 1")
        require_known("adversarial_trains", self.adversarial_trains, TRAINS)
        n_ffts, lengths = "discriminator_n_ffts", self.discriminator_n_ffts
        fits = bool(lengths) and all(n >= SHORTEST and n % 4 == 0 for n in lengths)
        require(fits, n_ffts, list(lengths), f"use multiples of 4, {SHORTEST} or more")
        channels, seconds = self.discriminator_channels, self.discriminator_seconds
        require(channels > 0, "discriminator_channels", channels, "use 1 or more")
        require(seconds > 0, "discriminator_seconds", seconds, "use a time above 0")
        rate = self.discriminator_rate
        require(rate > 0, "discriminator_rate", rate, "use a number above 0, e.g. 5e-3")
