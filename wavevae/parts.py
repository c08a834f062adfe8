"""Encoder and decoder apart: each in a file of its own with its configuration, used without the other.

wavevae parts runs/mine -o parts            parts/encoder.pt, parts/decoder.pt
z = load_encoder("parts/encoder.pt")(x)     latents of a sound, on one machine
y = load_decoder("parts/decoder.pt")(z)     the sound of latents, on another
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from torch import Tensor, nn

from wavevae.checkpoint import Checkpoint, read_payload, write_payload
from wavevae.config import ModelConfig, from_tree, to_tree
from wavevae.errors import UserError
from wavevae.families import family_of
from wavevae.nn.bottlenecks.base import Bottleneck, make_bottleneck
from wavevae.nn.conditioning import Condition, make_condition
from wavevae.nn.conv import pad_to_multiple
from wavevae.nn.instrument import ControlledBottleneck, InstrumentDecoder, InstrumentEncoder
from wavevae.nn.model import Decoder, Encoder

FORMAT_VERSION = 1


class Part(nn.Module):
    """Half of an autoencoder. Its weights have the names that they have in the whole."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        learned = make_bottleneck(config)
        controls = len(config.controls)
        self.bottleneck: Bottleneck = ControlledBottleneck(controls, learned) if controls else learned

    def condition(
        self, class_name: str | None = None, pitch: float | None = None, batch: int = 1
    ) -> Condition | None:
        """Labels for `batch` items; none for an unconditional model. Raises: UserError as the model's own."""
        return make_condition(self.config, class_name, pitch, batch)


class EncoderPart(Part):
    """(B, 1, T) -> the latents that `encode` gives, (B, latent_dim, ceil(T / hop_length))."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__(config)
        kind = InstrumentEncoder if config.is_instrument else Encoder
        self.encoder: nn.Module = kind(config, self.bottleneck.in_channels)

    def forward(self, x: Tensor, condition: Condition | None = None) -> Tensor:
        return self.bottleneck.mean(self._features(x, condition))

    def codes(self, x: Tensor, condition: Condition | None = None) -> Tensor:
        """(B, n_codebooks, frames) of a quantizer, which say nothing of an instrument's pitch and loudness.

        Raises: UserError for a model without codebooks.
        """
        codes = quantizer_of(self).encode(self._features(x, condition)[:, self.bottleneck.controls :])[1]
        assert codes is not None
        return codes

    def _features(self, x: Tensor, condition: Condition | None) -> Tensor:
        features: Tensor = self.encoder(pad_to_multiple(x, self.config.hop_length), condition)
        return features


class DecoderPart(Part):
    """(B, latent_dim, frames) -> (B, 1, length); length defaults to frames x hop_length."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__(config)
        kind = InstrumentDecoder if config.is_instrument else Decoder
        self.decoder: nn.Module = kind(config)

    def forward(self, z: Tensor, length: int | None = None, condition: Condition | None = None) -> Tensor:
        y = self.decoder(z, condition)
        y = y[0] if self.config.is_instrument else y  # the rest is the state
        return y if length is None else y[..., :length]

    def latents(self, codes: Tensor) -> Tensor:
        """Codes (B, n_codebooks, frames) -> what `forward` takes; of an instrument what follows the controls.

        Raises: UserError without codebooks.
        """
        return quantizer_of(self).decode_codes(codes)


PARTS: dict[str, type[Part]] = {"encoder": EncoderPart, "decoder": DecoderPart}


def quantizer_of(part: Part) -> Bottleneck:
    """Raises: UserError for a model without codebooks."""
    quantizer = part.bottleneck.learned_part()
    if not quantizer.codebooks():
        raise UserError(f"a model with the bottleneck {part.config.bottleneck} has no codes; use its latents")
    return quantizer


def save_parts(checkpoint: Checkpoint, folder: Path) -> list[Path]:
    """Write encoder.pt and decoder.pt, each with its configuration and the latents' statistics.

    Raises: UserError for a family that does not stream.
    """
    family_of(checkpoint.config).refuse_streaming(checkpoint.config)
    paths = []
    for name, kind in PARTS.items():
        wanted = kind(checkpoint.config.model).state_dict()
        payload: dict[str, Any] = {
            "part": name,
            "part_version": FORMAT_VERSION,
            "config": to_tree(checkpoint.config),
            "state": {key: checkpoint.state[key] for key in wanted},
            "latents": checkpoint.latents,
            "origin": checkpoint.origin,
        }
        paths.append(folder / f"{name}.pt")
        write_payload(paths[-1], payload)
    return paths


def load_part(path: str | Path, name: str) -> Part:
    """Raises: UserError for a file that is missing, damaged, or the other part."""
    payload = read_payload(Path(path))
    found = payload.get("part")
    if found != name or payload.get("part_version") != FORMAT_VERSION:
        what = f"the {found} of a model" if found else "no part of a model"
        raise UserError(f"{path} is {what}; give the {name}.pt that `wavevae parts` wrote")
    part = PARTS[name](from_tree(payload["config"]).model)
    part.load_state_dict(payload["state"])
    return part.eval()


def load_encoder(path: str | Path) -> EncoderPart:
    """An encoder.pt, in eval mode. Raises: UserError."""
    part = load_part(path, "encoder")
    assert isinstance(part, EncoderPart)
    return part


def load_decoder(path: str | Path) -> DecoderPart:
    """A decoder.pt, in eval mode. Raises: UserError."""
    part = load_part(path, "decoder")
    assert isinstance(part, DecoderPart)
    return part
