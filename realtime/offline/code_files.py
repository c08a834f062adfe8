"""The codes of a quantizer in files: `encode --codes` writes them, `render --codes` plays them.

They are whole numbers (frames, codebooks); for an instrument (frames, controls + codebooks), the controls in their own
units.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from wavevae.bundle import Bundle
from wavevae.errors import UserError
from wavevae.files import printable

from ..engine.latent_sources import FrameList
from ..engine.streaming_model import Audio, Frames, StreamingModel, Units
from .latent_files import CHECKED_AT_ONCE, open_latents, read_frames
from .render_sources import Take, cut


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
        with torch.inference_mode():
            codes = self.module.encode_codes(torch.tensor(audio)[None, None])
            return np.ascontiguousarray(codes[0].numpy().T)

    def decode(self, frames: Frames) -> Audio:
        """(F, latent_dim) -> (F * hop_length,)."""
        with torch.inference_mode():
            codes = torch.from_numpy(np.ascontiguousarray(frames.T)[None])
            audio: Audio = self.module.decode_codes(codes)[0, 0].contiguous().numpy()
            return audio


def from_codes(core: CodesModel, path: Path) -> Take:
    """Codes from a file: frames x hop_length samples. Raises: UserError for numbers that are no codes."""
    codes = open_latents(path, core.latent_dim)
    for start in range(0, len(codes), CHECKED_AT_ONCE):
        refuse_others(codes[start : start + CHECKED_AT_ONCE], core, path, start)
    source = FrameList(lambda start, count: read_frames(codes, start, count))
    return Take(source, cut(len(codes) * core.hop_length, core.hop_length), len(codes) * core.hop_length)


def refuse_others(codes: NDArray, core: CodesModel, path: Path, first: int) -> None:
    """Raises: UserError for what is no whole number of its codebook."""
    coded = codes[:, core.uncoded :]
    fine = (coded >= 0) & (coded < np.array(core.sizes)) & (coded == np.rint(coded))
    if not fine.all():
        frame, book = (int(n[0]) for n in np.nonzero(~fine))
        raise UserError(
            f"{printable(path)}: frame {first + frame} has {coded[frame, book]:g} for code {book + 1}; codes are whole "
            f"numbers from 0 to {core.sizes[book] - 1}"
        )
