"""VGGish (Hershey et al. 2017), the embedding that most published Fréchet audio distances are taken in.

Its weights are the user's to bring: `vggish-10086976.pth`, the PyTorch port of the released model, or any file of
a state_dict with the same names. Sizes are read from it.
"""

from __future__ import annotations

import pickle
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from wavevae.errors import UserError
from wavevae.evaluation.embeddings import band_matrix, resampled

RATE = 16000
FRAMES, BANDS = 96, 64
"""An example: 0.96 s in steps of 10 ms, 64 mel bands from 125 to 7500 Hz."""
CONVOLUTIONS = (0, 3, 6, 8, 11, 13)
"""Places of the convolutions in `features`; between them ReLU and, after 0, 3, 8 and 13, pooling by two."""
POOLED = (0, 3, 8, 13)
DENSE = (0, 2, 4)
"""Places of the dense layers in `embeddings`."""


def log_mel(sounds: Tensor) -> Tensor:
    """(N, T) at 16 kHz -> (N, 1, 96, 64): log(mel magnitude + 0.01), periodic Hann 25 ms, hop 10 ms, FFT 512.

    Shorter sounds are filled up with zeros, longer ones cut.
    """
    needed = 400 + (FRAMES - 1) * 160
    sounds = F.pad(sounds, (0, max(0, needed - sounds.shape[-1])))[:, :needed]
    frames = sounds.unfold(-1, 400, 160) * torch.hann_window(400)  # (N, 96, 400)
    magnitude = torch.fft.rfft(frames, n=512).abs()  # (N, 96, 257)
    bands = band_matrix(257, RATE, BANDS, 125.0, 7500.0)
    bands[:, 0] = 0.0  # the bin at 0 Hz carries nothing
    return torch.log(magnitude @ bands.T + 0.01)[:, None]


def _network(state: dict[str, Tensor]) -> nn.Module:
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
    """One vector a second, before the last activation and without PCA, as the Fréchet audio distance takes it."""

    def __init__(self, path: Path) -> None:
        try:
            state = torch.load(path, map_location="cpu", weights_only=True)
            self.network = _network(state)
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
        x = log_mel(resampled(sounds.float(), sample_rate, RATE))
        for place in CONVOLUTIONS:
            x = F.relu(self.network[f"features_{place}"](x))  # type: ignore[index]
            if place in POOLED:
                x = F.max_pool2d(x, 2)
        x = x.permute(0, 2, 3, 1).flatten(1)  # (N, 6, 4, C) -> (N, 24 C), in TensorFlow's order
        for place in DENSE[:-1]:
            x = F.relu(self.network[f"embeddings_{place}"](x))  # type: ignore[index]
        embedded: Tensor = self.network[f"embeddings_{DENSE[-1]}"](x)  # type: ignore[index]
        return embedded
