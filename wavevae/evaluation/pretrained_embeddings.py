"""Embeddings whose weights the user has: `vggish=FILE`, `clap=FOLDER`, `torchscript=FILE`. Nothing is downloaded."""

from __future__ import annotations

import pickle
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from wavevae.cli import expanded
from wavevae.errors import UserError, nearest
from wavevae.evaluation.embeddings import Embedding, Texture, band_matrix, resampled

KINDS = ("builtin", "vggish", "clap", "torchscript")
VGGISH_HZ = 16000
FRAMES, BANDS = 96, 64
"""An example: 0.96 s in steps of 10 ms, 64 mel bands from 125 to 7500 Hz."""
CONVOLUTIONS = (0, 3, 6, 8, 11, 13)
"""Places of the convolutions in `features`; between them ReLU and, after 0, 3, 8 and 13, pooling by two."""
POOLED = (0, 3, 8, 13)
DENSE = (0, 2, 4)
"""Places of the dense layers in `embeddings`."""


def vggish_log_mel(sounds: Tensor) -> Tensor:
    """(N, T) at 16 kHz -> (N, 1, 96, 64): log(mel magnitude + 0.01), periodic Hann 25 ms, hop 10 ms, FFT 512.

    Shorter sounds are filled up with zeros, longer ones cut.
    """
    needed = 400 + (FRAMES - 1) * 160
    sounds = F.pad(sounds, (0, max(0, needed - sounds.shape[-1])))[:, :needed]
    frames = sounds.unfold(-1, 400, 160) * torch.hann_window(400)  # (N, 96, 400)
    magnitude = torch.fft.rfft(frames, n=512).abs()  # (N, 96, 257)
    bands = band_matrix(257, VGGISH_HZ, BANDS, 125.0, 7500.0)
    bands[:, 0] = 0.0  # the bin at 0 Hz carries nothing
    return torch.log(magnitude @ bands.T + 0.01)[:, None]


def _vggish_network(state: dict[str, Tensor]) -> nn.Module:
    """The layers, in the sizes of the state_dict. Raises: KeyError, RuntimeError where the names do not fit."""
    layers: dict[str, nn.Module] = {}
    for place in CONVOLUTIONS:
        wide, narrow = state[f"features.{place}.weight"].shape[:2]
        layers[f"features_{place}"] = nn.Conv2d(narrow, wide, 3, padding=1)
    for place in DENSE:
        wide, narrow = state[f"embeddings.{place}.weight"].shape
        layers[f"embeddings_{place}"] = nn.Linear(narrow, wide)
    network = nn.ModuleDict(layers)
    known = {name.replace(".", "_", 1): value for name, value in state.items()}
    network.load_state_dict({name: known[name] for name in network.state_dict()})
    return network.eval()


class VGGish:
    """VGGish (Hershey et al. 2017), the embedding of most published Fréchet audio distances.

    It reads `vggish-10086976.pth`, the PyTorch port of the released model, or a state_dict of the same names; layer
    sizes come from the file. It gives one vector a second, before the last activation and without PCA.
    """

    def __init__(self, path: Path) -> None:
        try:
            state = torch.load(path, map_location="cpu", weights_only=True)
            self.network = _vggish_network(state)
        except (
            pickle.UnpicklingError,
            RuntimeError,
            KeyError,
            ValueError,
            TypeError,
            AttributeError,
            OSError,
        ):
            raise UserError(
                f"--embedding vggish={path}: not VGGish's weights; give vggish-10086976.pth or a state_dict like it"
            ) from None
        self.name = f"vggish {path.name}"
        self.dims = int(state[f"embeddings.{DENSE[-1]}.weight"].shape[0])

    @torch.inference_mode()
    def __call__(self, sounds: Tensor, sample_rate: int) -> Tensor:
        x = vggish_log_mel(resampled(sounds.float(), sample_rate, VGGISH_HZ))
        for place in CONVOLUTIONS:
            x = F.relu(self.network[f"features_{place}"](x))  # type: ignore[index]
            if place in POOLED:
                x = F.max_pool2d(x, 2)
        x = x.permute(0, 2, 3, 1).flatten(1)  # (N, 6, 4, C) -> (N, 24 C), in TensorFlow's order
        for place in DENSE[:-1]:
            x = F.relu(self.network[f"embeddings_{place}"](x))  # type: ignore[index]
        embedded: Tensor = self.network[f"embeddings_{DENSE[-1]}"](x)  # type: ignore[index]
        return embedded


class Clap:
    """CLAP (Wu et al. 2023): the projected audio features of a ClapModel checkpoint
    (`config.json`, weights, `preprocessor_config.json`)."""

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


class Scripted:
    """Any TorchScript module that turns (N, T) into (N, dims); its attribute `sample_rate` says at which rate it
    listens (without one: the model's own)."""

    def __init__(self, path: Path) -> None:
        try:
            self.module = torch.jit.load(str(path), map_location="cpu").eval()
        except (RuntimeError, ValueError, OSError) as error:
            raise UserError(f"--embedding torchscript={path}: not a TorchScript file") from error
        self.rate = int(getattr(self.module, "sample_rate", 0))
        self.name = f"torchscript {path.name}"
        self.dims = self._ask(torch.zeros(1, self.rate or 16000), path).shape[-1]

    def _ask(self, sounds: Tensor, path: Path | None = None) -> Tensor:
        try:
            found = self.module(sounds)
        except RuntimeError as error:
            raise UserError(f"--embedding torchscript={path}: it does not take sounds (N, T)") from error
        if not isinstance(found, Tensor) or found.shape[:-1] != sounds.shape[:1]:
            raise UserError(f"--embedding torchscript={path}: it must give (N, dims) for (N, T)")
        return found

    @torch.inference_mode()
    def __call__(self, sounds: Tensor, sample_rate: int) -> Tensor:
        return self._ask(resampled(sounds, sample_rate, self.rate or sample_rate)).float()


def load_embedding(spec: str) -> Embedding:
    """`builtin`, or KIND=PATH. Raises: UserError, one line, for a kind, path or package that is not there."""
    kind, _, place = spec.partition("=")
    if kind not in KINDS:
        raise UserError(f"--embedding {spec}: unknown; {nearest(kind, KINDS)}")
    if kind == "builtin":
        return Texture()
    if not place:
        raise UserError(f"--embedding {kind} needs its weights; write --embedding {kind}=PATH")
    path = expanded(place)
    if not path.exists():
        raise UserError(f"--embedding {spec}: nothing at {path}; give the path of the weights")
    if kind == "vggish":
        return VGGish(path)
    if kind == "clap":
        return Clap(path)
    return Scripted(path)
