"""Where study D's regular clicks come from: spectra damaged as a network damages them, turned back in several ways.

    python experiments/stft_clicks.py notes/test/audio -o docs/pictures/stft_clicks.png

A network that learns magnitude and phase by their mean square error answers what it cannot know by the mean: a phase
near 0. A spectrum of phase 0 is a pulse at the first sample of its frame. So one pulse comes every hop; what becomes
of it is decided by the window that the frames are added under.

Prints a table of `hop_rate_energy_db` (wavevae/evaluation/metrics.py) against the untouched sound: 0 = as much at the
hop rate as there, 3 and more = clicks. No model, no training: seconds.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from wavevae.audio import read_mono
from wavevae.evaluation.metrics import hop_rate_energy_db

RATE, SECONDS = 16000, 2.0
N_FFT = 4000
"""Study D's best: 4000 / 300."""
HOPS = (100, 200, 300, 400, 600)
AUDIBLE = 1e-3
"""RMS of a sound that is judged."""


class Way(NamedTuple):
    """How spectra are taken and turned back."""

    name: str
    analysis: Callable[..., Tensor]
    synthesis: Callable[..., Tensor]
    normalised: bool
    """Divided by what the windows add up to at every sample, or by its mean."""


WAYS = (
    Way("Hann, Hann, divided", torch.hann_window, torch.hann_window, True),
    Way("Hann, Hann, not divided", torch.hann_window, torch.hann_window, False),
    Way("Hann, none, divided", torch.hann_window, torch.ones, True),
    Way("none, none, divided", torch.ones, torch.ones, True),
    Way("none, none, not divided", torch.ones, torch.ones, False),
)
"""Window of the analysis, of the synthesis, and the sum."""


def nothing(magnitude: Tensor, phase: Tensor) -> tuple[Tensor, Tensor]:
    return magnitude, phase


def smoother(magnitude: Tensor, phase: Tensor) -> tuple[Tensor, Tensor]:
    """Magnitude averaged over 9 bins."""
    return F.avg_pool2d(magnitude[:, None], (9, 1), 1, (4, 0), count_include_pad=False)[:, 0], phase


def shrunk(share: float) -> Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]:
    return lambda magnitude, phase: (magnitude, share * phase)


def shaken(magnitude: Tensor, phase: Tensor) -> tuple[Tensor, Tensor]:
    """Each phase by up to half a turn either way."""
    chance = torch.Generator().manual_seed(0)
    return magnitude, phase + math.pi * (2 * torch.rand(phase.shape, generator=chance) - 1)


DAMAGE: dict[str, Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]] = {
    "none": nothing,
    "magnitude smoothed": smoother,
    "phase at random": shaken,
    "phase x 0.8": shrunk(0.8),
    "phase x 0.5": shrunk(0.5),
    "phase 0": shrunk(0.0),
}


def frames_of(x: Tensor, hop: int, window: Tensor) -> Tensor:
    """(N, T) -> (N, frames, n_fft), windowed; half a transform of silence at both ends."""
    return F.pad(x, (len(window) // 2, len(window) // 2)).unfold(-1, len(window), hop) * window


def add_up(frames: Tensor, hop: int) -> Tensor:
    """(N, frames, n_fft) -> (N, samples)."""
    count, n_fft = frames.shape[-2:]
    samples = (count - 1) * hop + n_fft
    return F.fold(frames.transpose(1, 2), (1, samples), (1, n_fft), stride=(1, hop))[:, 0, 0]


def there_and_back(
    x: Tensor, way: Way, hop: int, damage: Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]
) -> Tensor:
    """(N, T) -> the same through its spectra."""
    analysis, synthesis = (make(N_FFT) for make in (way.analysis, way.synthesis))
    spectrum = torch.fft.rfft(frames_of(x, hop, analysis)).transpose(1, 2)  # (N, bins, frames)
    magnitude, phase = damage(spectrum.abs(), spectrum.angle())
    frames = torch.fft.irfft(torch.polar(magnitude, phase).transpose(1, 2), N_FFT) * synthesis
    weight = add_up((analysis * synthesis).expand(1, *frames.shape[1:]), hop)
    inside = slice(N_FFT, -N_FFT)  # where all frames are there
    weight = weight.clamp_min(1e-6) if way.normalised else weight[:, inside].mean()
    sound = add_up(frames, hop) / weight
    return F.pad(sound[:, N_FFT // 2 :], (0, x.shape[-1]))[:, : x.shape[-1]]


def read(folders: list[Path], count: int) -> Iterator[Tensor]:
    """(T,) each: the first seconds of sounds that can be heard."""
    files = sorted(
        p for f in folders for p in ([f] if f.is_file() else f.rglob("*")) if p.suffix in (".flac", ".wav")
    )
    for path in files:
        sound = torch.from_numpy(read_mono(path, RATE))[: round(RATE * SECONDS)]
        if len(sound) == round(RATE * SECONDS) and sound.square().mean().sqrt() > AUDIBLE:
            yield sound
            count -= 1
            if not count:
                return


def clicks_db(sound: Tensor, x: Tensor, hop: int) -> float:
    """Median over the sounds, their first and last tenth of a second left out."""
    middle = slice(N_FFT // 2, x.shape[-1] - N_FFT // 2)
    return float(hop_rate_energy_db(sound[:, middle], x[:, middle], hop).median())


def picture(x: Tensor, hop: int, path: Path) -> None:
    """The loudest sound, its phase halved: samples and their second differences under two windows."""
    from matplotlib.figure import Figure

    loudest = x[x.square().mean(-1).argmax()][None]
    start = loudest.shape[-1] // 2 // hop * hop
    shown = slice(start, start + 4 * hop)
    time = np.arange(4 * hop) / RATE * 1000
    figure = Figure((10, 5.4), layout="constrained")
    rows = figure.subplots(3, 2, sharex=True, sharey="col")
    ways = (("the sound", None), ("Hann window", WAYS[0]), ("no window, torch.stft's default", WAYS[3]))
    for (left, right), (name, way) in zip(rows, ways, strict=True):
        sound = (loudest if way is None else there_and_back(loudest, way, hop, shrunk(0.5)))[0]
        left.plot(time, sound[shown], linewidth=0.8)
        right.plot(time, F.pad(sound.diff(n=2), (1, 1))[shown], linewidth=0.8)
        for axes in (left, right):
            for side, style in ((-N_FFT // 2, "-"), (N_FFT // 2, ":")):
                for edge in range(side % hop, 4 * hop, hop):
                    axes.axvline(1000 * edge / RATE, color="0.75", linewidth=0.8, linestyle=style, zorder=0)
        left.set_title(name if way is None else f"every phase halved, {name}", loc="left", fontsize=9)
        right.set_title("second difference: what is heard as a click", loc="left", fontsize=9)
    figure.supxlabel(
        f"ms; grey: a frame begins (line), a frame ends (dots); hop {hop}, n_fft {N_FFT}", fontsize=9
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=100)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path, nargs="+", help="folders or files")
    parser.add_argument("--count", type=int, default=32, help="sounds [32]")
    parser.add_argument("-o", "--picture", type=Path, help="PNG to write")
    options = parser.parse_args()
    x = torch.stack(list(read(options.data, options.count)))
    print(f"{len(x)} sounds; n_fft {N_FFT}; hop_rate_energy_db, median\n")
    print("| damage | window of analysis, of synthesis, sum | " + " | ".join(f"hop {h}" for h in HOPS) + " |")
    print("|---|---|" + "---|" * len(HOPS))
    for damage, do in DAMAGE.items():
        for way in WAYS:
            found = [clicks_db(there_and_back(x, way, hop, do), x, hop) for hop in HOPS]
            print(f"| {damage} | {way.name} | " + " | ".join(f"{v:+.1f}" for v in found) + " |", flush=True)
    if options.picture:
        picture(x, 300, options.picture)


if __name__ == "__main__":
    main()
