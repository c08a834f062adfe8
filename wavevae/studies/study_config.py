"""What a study chose, as plain values that refuse nonsense: a section of a run's configuration."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from wavevae.checks import require, require_known
from wavevae.errors import UserError

SPECTROGRAMS = ("none", "log-mel", "stft")
NETWORKS = ("plain", "residual")
NORMALISATIONS = ("none", "batch")
HEADS = ("tanh", "linear")
STFT_WINDOWS = ("hann", "rectangular")
TOLD = ("decoder", "both")
DISTANCES = ("l1", "mse")
SUMS = ("mean", "sum")
OPTIMIZERS = ("adamw", "adam")
RATE_SCHEDULES = ("cosine", "constant", "plateau")
LEAST_STRIDE = 2
"""Frames between two windows, at least."""


@dataclass(frozen=True)
class StudyConfig:
    """A model of spectrogram windows, one latent vector a window. Sample rate, latent_dim, bottleneck (ae or vae) and
    condition are those of the model's section."""

    spectrogram: str = "none"
    """none (a waveform model), log-mel, or stft (magnitude and phase)."""
    n_fft: int = 1024
    """Length of the transform and of its window, samples."""
    frame_hop: int = 256
    """Samples from one spectrogram frame to the next."""
    stft_window: str = "hann"
    """hann or rectangular."""
    n_mels: int = 80
    """log-mel: bands."""
    window_frames: int = 128
    """Frames a window holds; windows overlap by half."""
    network: str = "plain"
    """plain (strided convolutions) or residual (two convolutions and a bypass a stage)."""
    conv_channels: tuple[int, ...] = (16, 32, 64)
    """Channels after each stage; a stage halves bands and frames."""
    normalisation: str = "none"
    """none or batch, after every convolution."""
    head: str = "tanh"
    """tanh or linear: what the decoder ends with."""
    label_dim: int = 16
    """Numbers that a label is learned as, class and pitch apart."""
    told: str = "decoder"
    """decoder or both: who is told the labels."""
    feature_distance: str = "mse"
    """l1 or mse, mean over a window."""
    decoder_sigma: float = 0.0
    """Above 0: the distance weighs D / (2 sigma^2), D numbers a window (a Gaussian decoder); 0: it weighs 1."""
    kl_over: str = "sum"
    """sum or mean of the KL over the latent dimensions."""
    optimizer: str = "adam"
    """adamw or adam, betas 0.9 and 0.999."""
    rate_schedule: str = "constant"
    """cosine, constant, or plateau (halved after 3 validations without a gain)."""
    griffin_lim_steps: int = 32
    """log-mel: rounds of Griffin-Lim that find the phase."""

    def __post_init__(self) -> None:
        for name, known in (
            ("spectrogram", SPECTROGRAMS),
            ("stft_window", STFT_WINDOWS),
            ("network", NETWORKS),
            ("normalisation", NORMALISATIONS),
            ("head", HEADS),
            ("told", TOLD),
            ("feature_distance", DISTANCES),
            ("kl_over", SUMS),
            ("optimizer", OPTIMIZERS),
            ("rate_schedule", RATE_SCHEDULES),
        ):
            require_known(name, getattr(self, name), known)
        require(16 <= self.n_fft <= 65536, "n_fft", self.n_fft, "use 16 to 65536 samples")
        advice = f"use 1 up to half of n_fft ({self.n_fft // 2}), or frames would leave gaps"
        require(1 <= self.frame_hop <= self.n_fft // 2, "frame_hop", self.frame_hop, advice)
        bins = self.n_fft // 2 + 1
        require(1 <= self.n_mels <= bins, "n_mels", self.n_mels, f"use 1 up to the {bins} bins of n_fft")
        even = self.window_frames % 2 == 0 and self.window_frames >= 2 * LEAST_STRIDE
        require(even, "window_frames", self.window_frames, "use an even number from 4")
        widths = bool(self.conv_channels) and all(c >= 1 for c in self.conv_channels)
        require(widths, "conv_channels", self.conv_channels, "give 1 or more channels for each stage")
        require(self.label_dim >= 1, "label_dim", self.label_dim, "use 1 or more")
        require(self.decoder_sigma >= 0, "decoder_sigma", self.decoder_sigma, "use 0 or more")
        require(self.griffin_lim_steps >= 0, "griffin_lim_steps", self.griffin_lim_steps, "use 0 or more")

    @property
    def in_use(self) -> bool:
        """Whether the run is of a spectrogram model at all."""
        return self.spectrogram != "none"

    def check(self, sections: Mapping[str, Any]) -> None:
        """Raises: UserError for what a spectrogram model cannot be given in the other sections."""
        if not self.in_use:
            return
        bottleneck, start = sections["model"].bottleneck, sections["train"].start
        if bottleneck not in ("ae", "vae"):
            raise UserError(f"bottleneck {bottleneck}: a spectrogram model of the studies has ae or vae")
        if start != "random":
            raise UserError(f"start {start}: a spectrogram model starts at random; use --set start=random")

    @property
    def stride(self) -> int:
        """Frames from one window to the next: half a window."""
        return self.window_frames // 2

    @property
    def hop_length(self) -> int:
        """Samples from one latent vector to the next."""
        return self.stride * self.frame_hop

    @property
    def window_samples(self) -> int:
        """The longest sound that one window holds."""
        return (self.window_frames - 1) * self.frame_hop


HEEDED: Mapping[str, tuple[str, ...]] = {
    "model": ("sample_rate", "latent_dim", "bottleneck", "condition", "classes"),
    "objective": ("kl", "kl_schedule", "kl_warm_up", "kl_cycles", "kl_baseline", "free_bits"),
    "adversarial": (),
}
"""What a spectrogram model takes from these sections; the rest belongs to waveform models."""


def check_typed(keys: Iterable[str]) -> None:
    """Raises: UserError where a setting that was typed, 'section.field', would do nothing to a spectrogram model.

    Only what is typed: a configuration written by another version may hold other defaults, and does no harm.
    """
    for key in keys:
        section, name = key.split(".")
        if section in HEEDED and name not in HEEDED[section]:
            raise UserError(f"{name} says nothing to a spectrogram model; leave it out")
