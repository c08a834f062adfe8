"""Embeddings, in which Fréchet distance and diversity are computed: one vector for each second of sound.

The built-in one needs no weights; the others (`vggish=FILE`, `clap=FOLDER`, `torchscript=FILE`) take weights that the
user has. Nothing is downloaded.
"""

from __future__ import annotations

import math
import pickle
from pathlib import Path
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from wavevae.cli import expanded
from wavevae.errors import UserError, nearest


class Embedding(Protocol):
    """Sound -> vectors. `name` goes into the report: figures of different names do not compare."""

    name: str
    dims: int

    def __call__(self, sounds: Tensor, sample_rate: int) -> Tensor:
        """(N, T), a second each -> (N, dims) float32."""


class Texture:
    """The built-in embedding: 64 numbers on how a second sounds, all in units of 10 dB or nepers; no training.

        20  mean over time of the cepstrum (DCT-II of 64 log-mel bands): loudness, brightness, formants
        20  its standard deviation over time: attack, decay, tremor
        12  spectral flatness in 12 bands: tone against noise (haze between partials, hiss)
        12  modulation of 4 broad bands at 2-8, 8-20 and 20-50 Hz: vibrato, roughness, buzz

    Window 40 ms, hop 10 ms whatever the rate; bands from 40 Hz to Nyquist, so that figures compare at one sample
    rate only. Levels below -90 dBFS count as -90: silence has a place and none is infinitely far.
    """

    dims = 64
    name = "wavevae-texture-1"
    BANDS, CEPSTRA, FLATNESS_BANDS, BROAD_BANDS = 64, 20, 12, 4
    MODULATIONS_HZ = ((2.0, 8.0), (8.0, 20.0), (20.0, 50.0))
    FLOOR = 1e-9

    def __call__(self, sounds: Tensor, sample_rate: int) -> Tensor:
        power = self._power(sounds.float(), sample_rate)  # (N, bins, frames)
        bands = band_matrix(power.shape[1], sample_rate, self.BANDS, 40.0, sample_rate / 2)
        level = torch.log10((bands @ power) + self.FLOOR)  # (N, 64, frames), 10 dB
        cepstrum = dct_matrix(self.BANDS)[: self.CEPSTRA] @ level
        parts = [
            cepstrum.mean(-1),
            cepstrum.std(-1, correction=0),
            self._flatness(power),
            self._modulation(level),
        ]
        return torch.cat(parts, dim=-1)

    def _power(self, sounds: Tensor, sample_rate: int) -> Tensor:
        """Mean power of a window's samples by frequency: a full-scale sine sums to about 0.5."""
        length, hop = round(0.04 * sample_rate), round(0.01 * sample_rate)
        n_fft = 2 ** math.ceil(math.log2(length))
        window = torch.hann_window(length)
        missing = max(0, n_fft + 9 * hop - sounds.shape[-1])  # ten frames at least
        spectrum = torch.stft(
            F.pad(sounds, (0, missing)), n_fft, hop, length, window, center=False, return_complex=True
        )
        scale = 2 / (n_fft * float(window.square().sum()))
        return spectrum.abs().square() * scale

    def _flatness(self, power: Tensor) -> Tensor:
        """Log of the geometric over the arithmetic mean of the power in bands, mean over time: (N, 12)."""
        edges = torch.logspace(math.log10(4), math.log10(power.shape[1]), self.FLATNESS_BANDS + 1).round()
        floored = power + 1e-12
        ratios = []
        for low, high in zip(edges[:-1].int().tolist(), edges[1:].int().tolist(), strict=True):
            band = floored[:, low : max(low + 2, high)]
            ratios.append((band.log().mean(1) - band.mean(1).log()).mean(-1))
        return torch.stack(ratios, dim=-1)

    def _modulation(self, level: Tensor) -> Tensor:
        """Log of the strength at which broad bands' levels move, by rate: (N, 12)."""
        broad = level.unflatten(1, (self.BROAD_BANDS, -1)).mean(2)  # (N, 4, frames)
        frames = broad.shape[-1]
        window = torch.hann_window(frames)
        moving = (broad - broad.mean(-1, keepdim=True)) * window
        power = torch.fft.rfft(moving, dim=-1).abs().square() * 2 / (window.square().sum() * frames)
        rates_hz = torch.fft.rfftfreq(frames, 0.01)
        found = []
        for low, high in self.MODULATIONS_HZ:
            chosen = (rates_hz >= low) & (rates_hz < high)
            found.append(torch.log10(power[..., chosen].sum(-1) + 1e-4))
        return torch.stack(found, dim=-1).flatten(1)


def dct_matrix(size: int) -> Tensor:
    """Orthonormal DCT-II, (size, size): row k is the k-th cosine."""
    n = torch.arange(size, dtype=torch.float64)
    matrix = torch.cos(math.pi / size * (n + 0.5) * n[:, None]) * math.sqrt(2 / size)
    matrix[0] /= math.sqrt(2)
    return matrix.float()


def band_matrix(bins: int, sample_rate: int, bands: int, low_hz: float, high_hz: float) -> Tensor:
    """Triangles equally wide on the mel scale (1127 ln(1 + f / 700)), linear in mel: (bands, bins)."""

    def mel(hz: Tensor) -> Tensor:
        return 1127.0 * torch.log1p(hz / 700.0)

    ends = mel(torch.tensor([low_hz, high_hz], dtype=torch.float64))
    corners = torch.linspace(float(ends[0]), float(ends[1]), bands + 2, dtype=torch.float64)[:, None]
    at = mel(torch.linspace(0.0, sample_rate / 2, bins, dtype=torch.float64))
    rising = (at - corners[:-2]) / (corners[1:-1] - corners[:-2])
    falling = (corners[2:] - at) / (corners[2:] - corners[1:-1])
    return torch.minimum(rising, falling).clamp_min(0).float()


def resampled(sounds: Tensor, sample_rate: int, wanted: int) -> Tensor:
    """(N, T) -> (N, T') at another rate (soxr HQ)."""
    if sample_rate == wanted:
        return sounds
    import soxr

    moved = soxr.resample(sounds.numpy().T, sample_rate, wanted)  # frames first
    return torch.from_numpy(moved.T.copy())


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
        at_its_rate = resampled(sounds.float(), sample_rate, self.rate)
        inputs = self.extractor(list(at_its_rate.numpy()), sampling_rate=self.rate, return_tensors="pt")
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
