"""The whole instrument as one module: encoder, bottleneck, decoder."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from wavevae.config import ModelConfig
from wavevae.nn.bottlenecks.base import Latents
from wavevae.nn.bottlenecks.registry import make_bottleneck
from wavevae.nn.conditioning import Condition, make_condition
from wavevae.nn.conv import pad_to_multiple
from wavevae.nn.networks import Decoder, Encoder
from wavevae.nn.receptive_field import receptive_field_samples


class Autoencoder(nn.Module):
    """Causal raw-audio autoencoder. Audio is float32 (B, 1, T), latents are (B, latent_dim, frames).

    Any T >= 1 goes in and the same T comes out: zeros fill the last hop on the right and are cropped after.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.bottleneck = make_bottleneck(config)
        self.encoder = Encoder(config, self.bottleneck.in_channels)
        self.decoder = Decoder(config)

    @property
    def sample_rate(self) -> int:
        return self.config.sample_rate

    @property
    def hop_length(self) -> int:
        return self.config.hop_length

    @property
    def latent_dim(self) -> int:
        return self.config.latent_dim

    @property
    def algorithmic_latency(self) -> int:
        """Samples by which `decode` is behind what was encoded: hops that overlap end later."""
        return self.config.algorithmic_latency

    def ahead(self, x: Tensor) -> Tensor:
        """Audio as `encode` must hear it for `decode` to give all of it: zeros follow."""
        return F.pad(x, (0, self.algorithmic_latency))

    @property
    def receptive_field(self) -> int:
        """Samples that a resynthesised hop depends on, counted back from its own end."""
        return receptive_field_samples(self.encoder, self.bottleneck, self.decoder, self.hop_length)

    def compile_networks(self) -> None:
        """Encoder and decoder by torch.compile, in place, from the next call on; names and weights stay."""
        self.encoder.compile()
        self.decoder.compile()

    def condition(
        self,
        class_name: str | None = None,
        pitch: float | None = None,
        batch: int = 1,
    ) -> Condition | None:
        """Labels for `batch` items; none for an unconditional model.

        Raises: UserError for an unknown class, a pitch that is no MIDI pitch, or a label the model is not told.
        """
        return make_condition(self.config, class_name, pitch, batch)

    def features(self, x: Tensor, condition: Condition | None = None) -> Tensor:
        """What the encoder gives the bottleneck. Raises: ValueError for what is no sound."""
        if x.ndim != 3 or x.shape[1] != 1 or x.shape[2] < 1:
            raise ValueError(f"audio has shape {tuple(x.shape)}; it must be (batch, 1, samples >= 1)")
        return self.encoder(pad_to_multiple(x, self.hop_length), condition)

    def posterior(self, x: Tensor, condition: Condition | None = None) -> Latents:
        """Encode (B, 1, T), keeping what the bottleneck says of it; random where the method is."""
        return self.bottleneck(self.features(x, condition))

    def encode(self, x: Tensor, sample: bool = False, condition: Condition | None = None) -> Tensor:
        """(B, 1, T) -> (B, latent_dim, ceil(T / hop_length)): the posterior's mean, or a draw from it."""
        if sample:
            return self.posterior(x, condition).z
        return self.bottleneck.mean(self.features(x, condition))

    def decode(self, z: Tensor, length: int | None = None, condition: Condition | None = None) -> Tensor:
        """(B, latent_dim, frames) -> (B, 1, length); length defaults to frames x hop_length."""
        y = self.decoder(z, condition)
        return y if length is None else y[..., :length]

    def forward(self, x: Tensor, condition: Condition | None = None) -> Tensor:
        """(B, 1, T) -> (B, 1, T): resynthesis from the posterior's mean, at the place of the original."""
        z = self.encode(self.ahead(x), condition=condition)
        return self.in_place(z, x.shape[-1], condition)

    def in_place(self, z: Tensor, length: int, condition: Condition | None = None) -> Tensor:
        """`decode`, (B, 1, length) at the place of what was encoded with `ahead`."""
        late = self.algorithmic_latency
        return self.decode(z, condition=condition)[..., late : late + length]

    def reconstruct(self, x: Tensor, condition: Condition | None = None) -> tuple[Tensor, Latents]:
        """Resynthesis as training sees it: through a draw from the posterior."""
        latents = self.posterior(self.ahead(x), condition)
        return self.in_place(latents.z, x.shape[-1], condition), latents
