"""The settings of the studies: a section of a run's configuration."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Literal

from wavevae.errors import UserError
from wavevae.settings import Count, Section, number


@dataclass(frozen=True)
class StudyConfig(Section):
    """A model of spectrogram windows, one latent vector a window.

    Sample rate, latent_dim, bottleneck (ae or vae) and condition are those of the model's section.
    """

    spectrogram: Literal["none", "log-mel", "stft"] = "none"
    """none (a waveform model), log-mel, or stft (magnitude and phase)."""
    n_fft: Annotated[int, number("samples", ge=16, le=65536)] = 1024
    """Length of the transform and of its window."""
    frame_hop: Annotated[int, number("samples", ge=1)] = 256
    """Distance of spectrogram frames, up to half of n_fft."""
    stft_window: Literal["hann", "rectangular"] = "hann"
    """Window of the transform."""
    n_mels: Count = 80
    """log-mel: bands."""
    window_frames: Annotated[
        int, number(words="an even number of frames, 4 or more", ge=4, multiple_of=2)
    ] = 128
    """Frames a window holds; windows overlap by half."""
    network: Literal["plain", "residual"] = "plain"
    """plain (strided convolutions) or residual (two convolutions and a bypass a stage)."""
    conv_channels: Annotated[tuple[Count, ...], number(min_length=1)] = (16, 32, 64)
    """Channels after each stage; a stage halves bands and frames."""
    normalisation: Literal["none", "batch"] = "none"
    """Normalisation after every convolution."""
    head: Literal["tanh", "linear"] = "tanh"
    """Last layer of the decoder."""
    label_dim: Count = 16
    """Size of the learned embedding of a label, class and pitch separately."""
    labels_to: Literal["decoder", "both"] = "decoder"
    """Which networks are given the labels."""
    feature_distance: Literal["l1", "mse"] = "mse"
    """Distance of spectrograms, mean over a window."""
    decoder_sigma: Annotated[float, number(ge=0)] = 0.0
    """Above 0: the distance weighs D / (2 sigma^2), D numbers a window (a Gaussian decoder); 0: it weighs 1."""
    kl_over: Literal["mean", "sum"] = "sum"
    """sum or mean of the KL over the latent dimensions."""
    optimizer: Literal["adamw", "adam"] = "adam"
    """adamw or adam, betas 0.9 and 0.999."""
    lr_schedule: Literal["cosine", "constant", "plateau"] = "constant"
    """cosine, constant, or plateau (halved after 3 validations without a gain)."""
    griffin_lim_steps: Annotated[int, number(ge=0)] = 32
    """log-mel: rounds of Griffin-Lim that find the phase."""

    def check(self) -> None:
        if self.frame_hop > self.n_fft // 2:
            raise UserError(
                f"frame_hop is {self.frame_hop}; use 1 up to half of n_fft ({self.n_fft // 2}), or frames would leave "
                "gaps"
            )
        bins = self.n_fft // 2 + 1
        if self.n_mels > bins:
            raise UserError(f"n_mels is {self.n_mels}; use 1 up to the {bins} bins of n_fft")

    def check_run(self, run: Any) -> None:
        if not self.in_use:
            return
        if run.model.bottleneck not in ("ae", "vae"):
            raise UserError(
                f"bottleneck {run.model.bottleneck}: a spectrogram model of the studies has ae or vae"
            )
        if run.train.init != "random":
            raise UserError(
                f"init {run.train.init}: a spectrogram model starts at random; use --set init=random"
            )

    @property
    def in_use(self) -> bool:
        """Whether the run is of a spectrogram model at all."""
        return self.spectrogram != "none"

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
