"""CLAP (Wu et al. 2023) as an embedding, from a folder that `transformers` can read; nothing is downloaded."""

from __future__ import annotations

from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from wavevae.errors import UserError
from wavevae.evaluation.embeddings import resampled


class Clap:
    """The projected audio features of a ClapModel checkpoint (`config.json`, weights, `preprocessor_config.json`)."""

    def __init__(self, folder: Path) -> None:
        try:
            from transformers import ClapFeatureExtractor, ClapModel
        except ImportError:
            raise UserError(
                "--embedding clap needs the package transformers, which is not installed; pip install transformers"
            ) from None
        try:
            self.extractor = ClapFeatureExtractor.from_pretrained(folder, local_files_only=True)
            self.model = ClapModel.from_pretrained(folder, local_files_only=True).eval()
        except (OSError, ValueError, RuntimeError, KeyError) as error:
            why = " ".join(str(error).split())[:120]
            raise UserError(
                f"--embedding clap={folder}: not a CLAP checkpoint folder of transformers ({why})"
            ) from None
        self.rate = int(self.extractor.sampling_rate)
        self.name = f"clap {folder.name}"
        self.dims = int(self.model.config.projection_dim)

    @torch.inference_mode()
    def __call__(self, sounds: Tensor, sample_rate: int) -> Tensor:
        heard = resampled(sounds.float(), sample_rate, self.rate)
        inputs = self.extractor(list(heard.numpy()), sampling_rate=self.rate, return_tensors="pt")
        found = self.model.get_audio_features(**inputs)
        if not isinstance(found, Tensor):  # newer versions give it with names
            found = found.pooler_output
        return F.normalize(found.float(), dim=-1)
