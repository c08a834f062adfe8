"""Encodes and decodes with a loaded model file: latents (frames, latent_dim), mono samples.

Elsewhere in realtime/ latents are in standard deviations of the training data, 0 being their mean. This module converts
to the file's own units (MIDI for an instrument's pitch) and back.

It plays every file that keeps the contract of nn~: several output channels are mixed to one, a file without `reset()`
is reset by restoring its buffers, attributes are set by name.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wavevae.bundle import Bundle, BundleInfo
from wavevae.errors import UserError
from wavevae.files import printable

Audio = NDArray[np.float32]
Frames = NDArray[np.float32]


class Units:
    """Between standard deviations and the units of a file, by mean and std of its axes; (F, latent_dim) each."""

    def __init__(self, info: BundleInfo) -> None:
        self._mean = np.array([axis.mean for axis in info.axes])
        self._std = np.array([axis.std for axis in info.axes])
        self._same = not self._mean.any() and bool((self._std == 1.0).all())

    def of_file(self, frames: Frames) -> Frames:
        """From standard deviations."""
        return frames if self._same else (frames * self._std + self._mean).astype(np.float32)

    def standard(self, frames: Frames) -> Frames:
        """The reverse."""
        return frames if self._same else ((frames - self._mean) / self._std).astype(np.float32)


class StreamingModel:
    """One instance of a model, with one state."""

    def __init__(self, bundle: Bundle) -> None:
        self.module, self.call = bundle.module, bundle.call
        self.hop_length, self.latent_dim = bundle.info.hop_length, bundle.info.latent_dim
        self.sample_rate, self.units = bundle.info.sample_rate, Units(bundle.info)
        self._inputs = int(self.module.encode_params[0]) if hasattr(self.module, "encode_params") else 1
        self._fresh = None if hasattr(self.module, "reset") else self._copies()
        self._set: dict[str, tuple[float, ...]] = {}

    def _copies(self) -> dict[str, Any]:
        return {name: buffer.clone() for name, buffer in self.module.named_buffers()}

    def decode(self, frames: Frames) -> Audio:
        """(F, latent_dim) in standard deviations -> (F * hop_length,)."""
        latents = np.ascontiguousarray(self.units.of_file(frames).T)[None]  # (1, latent_dim, F)
        audio: Audio = self.call("decode", latents)[0]  # (channels, F * hop_length)
        return audio[0] if len(audio) == 1 else audio.mean(0)

    def decode_voices(self, latents: NDArray[np.float32]) -> NDArray[np.float32]:
        """(voices, F, latent_dim) in the file's own units -> (voices, F * hop_length)."""
        audio: Audio = self.call("decode", np.ascontiguousarray(latents.transpose(0, 2, 1)))[:, 0]
        return audio

    def perform(self, asked: NDArray[np.float32]) -> NDArray[np.float32]:
        """(voices, 2, F) key and velocity -> (voices, F, latent_dim) in the file's own units; needs a prior."""
        performed: NDArray[np.float32] = self.call("perform", asked).transpose(0, 2, 1)
        return performed

    def improvise(self, frames: int) -> NDArray[np.float32]:
        """(2, frames) key and velocity (0 in rests) of what the file's prior makes up; it goes on from call to call."""
        notes: NDArray[np.float32] = self.call("improvise", frames)[0, :2]
        return notes

    def restart_prior(self) -> None:
        """What is made up begins anew."""
        self.call("restart_prior")

    def restart(self, voice: int) -> None:
        """Of those decoded together, one begins anew. A file of an older wavevae cannot: there it goes on."""
        if hasattr(self.module, "restart"):
            self.call("restart", voice)

    def restart_performer(self, voice: int) -> None:
        """Of those performed together, one forgets the note that it played; its sound goes on."""
        self.call("restart_performer", voice)

    def encode(self, audio: Audio) -> Frames:
        """(F * hop_length,) -> (F, latent_dim) in standard deviations."""
        block = np.tile(np.asarray(audio, np.float32), (1, self._inputs, 1))
        return self.units.standard(np.ascontiguousarray(self.call("encode", block)[0].T))

    def confidence(self) -> float:
        """Periodicity of the last input, 0..1, before it was fitted; 0 where the file does not keep it."""
        return float(self.module.heard[0, -1]) if hasattr(self.module, "heard") else 0.0

    def reset(self) -> None:
        """Forget the past."""
        if self._fresh is None:
            self.call("reset")
            if hasattr(self.module, "perform"):  # the next call may have another number of rows
                self.call("perform", np.zeros((1, 2, 0), np.float32))
            return
        import torch

        with torch.inference_mode():
            for name, buffer in self.module.named_buffers():
                if buffer.shape == self._fresh[name].shape:
                    buffer.copy_(self._fresh[name])

    def set(self, name: str, *values: float) -> None:
        """Set an attribute, unless it already has these values."""
        if self._set.get(name) == values:
            return
        self._set[name] = values
        if name == "class":
            self._set.pop(MIX, None)
        casts = [CASTS[int(kind)] for kind in getattr(self.module, f"{name}_params")]
        self.call(f"set_{name}", *(cast(v) for cast, v in zip(casts, values, strict=True)))

    def mix(self, weights: NDArray[np.float64]) -> None:
        """Set the weights of several classes, (number of classes,), 1 in all at most; unless they are set already."""
        wanted = tuple(weights.tolist())
        if self._set.get(MIX) == wanted:
            return
        self._set[MIX] = wanted
        self._set.pop("class", None)
        self.call("mix_classes", weights.astype(np.float32))


CASTS: dict[int, Any] = {0: bool, 1: round, 2: float}
"""nn~: 0 bool, 1 int, 2 float (3, text, cannot be set here)."""
MIX = "mix of classes"


class CodesModel(StreamingModel):
    """A model whose frames are codes, which controls do not move. Raises: UserError for a model without codes."""

    def __init__(self, bundle: Bundle) -> None:
        super().__init__(bundle)
        if not hasattr(self.module, "encode_codes"):
            older = " (exported by an older wavevae: export it again)" if bundle.info.codebook_sizes else ""
            raise UserError(
                f"--codes: {printable(bundle.path)} has bottleneck {bundle.info.bottleneck} and no codes{older}; "
                "codes are of models trained with --bottleneck vq or rvq"
            )
        self.latent_dim = int(self.module.encode_codes_params[2])
        self.sizes = bundle.info.codebook_sizes
        self.units = Units(replace(bundle.info, axes=()))

    @property
    def uncoded(self) -> int:
        """How many controls go before the codes."""
        return self.latent_dim - len(self.sizes)

    @property
    def kind(self) -> str:
        """Of the numbers in a file: whole where all are codes."""
        return "<f4" if self.uncoded else "<i4"

    def encode(self, audio: Audio) -> Frames:
        """(F * hop_length,) -> (F, latent_dim)."""
        codes = self.call("encode_codes", np.asarray(audio, np.float32)[None, None])
        return np.ascontiguousarray(codes[0].T)

    def decode(self, frames: Frames) -> Audio:
        """(F, latent_dim) -> (F * hop_length,)."""
        audio: Audio = self.call("decode_codes", np.ascontiguousarray(frames.T)[None])[0, 0]
        return audio
