"""How a performer says its next frame: three heads fitted in equal CPU time, and what they play against the corpus.

    OMP_NUM_THREADS=1 python experiments/performer_heads.py runs/voice recordings/voice --seconds 60 flow energy mixture

mixture  eight Gaussians, the likelihood (Bishop 1994): the performer of wavevae/prior/performer.py
flow     a rectified flow (Liu et al. 2023) from noise to the frame, two Euler steps
energy   one step from noise to the frame, trained by the energy score (Gneiting and Raftery 2007)

Notes of the corpus are played in random order; the figures compare half seconds of mel cepstra. Its noise is not
counted by frames, as that of a prior that ships is.
"""

from __future__ import annotations

import argparse
import math
import time
from pathlib import Path
from typing import cast

import numpy as np
import torch
from torch import Tensor, nn

from wavevae.checkpoint import build_model, read_checkpoint
from wavevae.corpus import build_store
from wavevae.evaluation.frechet import diversity, fad
from wavevae.evaluation.playing.draws import density_and_coverage, kernel_distance
from wavevae.evaluation.playing.timbre_moved import vectors
from wavevae.nn.instrument import Instrument
from wavevae.prior.fitting import fit, prepare
from wavevae.prior.model import Prior
from wavevae.prior.performer import NoteFeatures, Performer
from wavevae.train.prior_training import encode_recording

HIDDEN, STEPS, NOISES = 256, 2, 16
VOICES, PLAYED_S, CLOUD = 16, 15, 400
CERTAIN = -20.0
"""Log scale of the one Gaussian around what a head has drawn."""


class Drawing(Performer):
    """A performer whose head draws with a network of its own: a mixture of one part around what was drawn."""

    def __init__(self, latents: int, features: NoteFeatures, given: int) -> None:
        super().__init__(latents, features, components=1)
        self.outlet = nn.Linear(1, 1)  # in the place of the mixture's, without a use
        silu = nn.SiLU()
        shape = (nn.Linear(self.width + given, HIDDEN), silu, nn.Linear(HIDDEN, HIDDEN), silu)
        self.network = nn.Sequential(*shape, nn.Linear(HIDDEN, latents))

    def mixture(self, hidden: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        drawn = self.drawn(hidden).unsqueeze(-2)
        return torch.zeros(*hidden.shape[:-1], 1), drawn, torch.full_like(drawn, CERTAIN)

    def drawn(self, hidden: Tensor) -> Tensor:
        raise NotImplementedError


class Flow(Drawing):
    def __init__(self, latents: int, features: NoteFeatures) -> None:
        super().__init__(latents, features, latents + 8)

    def velocity(self, x: Tensor, t: Tensor, hidden: Tensor) -> Tensor:
        turns = t * torch.tensor([1.0, 2.0, 4.0, 8.0]) * math.pi / 2
        found: Tensor = self.network(torch.cat([hidden, x, turns.sin(), turns.cos()], -1))
        return found

    def loss(self, features: Tensor, frames: Tensor, before: Tensor, known: Tensor) -> Tensor:
        hidden = self.cell(torch.cat([features, before], 2))[0]
        noise, t = torch.randn(2, *frames.shape), torch.rand(2, *frames.shape[:2], 1)
        wide = hidden.expand(2, *hidden.shape)
        error = self.velocity((1 - t) * noise + t * frames, t, wide) - (frames - noise)
        return (error.square() * known).sum(-1).mean()

    def drawn(self, hidden: Tensor) -> Tensor:
        x = torch.randn(*hidden.shape[:-1], self.latents)
        for n in range(STEPS):
            x = x + self.velocity(x, torch.full((*x.shape[:-1], 1), n / STEPS), hidden) / STEPS
        return x


class Energy(Drawing):
    def __init__(self, latents: int, features: NoteFeatures) -> None:
        super().__init__(latents, features, NOISES)

    def drawn(self, hidden: Tensor) -> Tensor:
        found: Tensor = self.network(torch.cat([hidden, torch.randn(*hidden.shape[:-1], NOISES)], -1))
        return found

    def loss(self, features: Tensor, frames: Tensor, before: Tensor, known: Tensor) -> Tensor:
        hidden = self.cell(torch.cat([features, before], 2))[0]
        one, other = self.drawn(hidden.expand(2, *hidden.shape))

        def apart(a: Tensor, b: Tensor) -> Tensor:
            return (((a - b).square() * known).sum(-1) + 1e-6).sqrt()

        return (0.5 * (apart(one, frames) + apart(other, frames)) - 0.5 * apart(one, other)).mean()


def random_notes(prior: Prior, seed: int = 1) -> tuple[Tensor, Tensor]:
    """Keys and velocities (VOICES, F) of notes of the corpus, of at most 3 s, each with the rest after it."""
    rate, random, table = prior.improviser.frame_rate, np.random.default_rng(seed), prior.improviser.notes
    frames = round(PLAYED_S * rate)
    key, velocity = torch.zeros(2, VOICES, frames)
    for row in range(VOICES):
        n = 0
        while n < frames:
            note = table[int(random.integers(len(table)))]
            end = n + min(max(6, int(note[2])), round(3 * rate))
            rest = max(3, int(note[3]))
            key[row, n : end + rest] = note[0]
            velocity[row, n:end] = 10 ** (min(0.0, float(note[1]) - prior.loudest) / 40)
            n = end + rest
    return key, velocity


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("run", type=Path)
    parser.add_argument("recordings", type=Path)
    parser.add_argument("heads", nargs="+", choices=("mixture", "flow", "energy"))
    parser.add_argument("--seconds", type=float, default=60.0, help="CPU time of each fit")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    torch.set_num_threads(1)
    model = cast(Instrument, build_model(read_checkpoint(args.run / "checkpoints" / "best.ckpt")))
    profile = model.profile
    if profile is None:
        raise SystemExit(f"{args.run} is no instrument")
    store = build_store([args.recordings], model.sample_rate)
    sounds = [store.samples[i.start : i.start + i.length].astype(np.float32) / 32768 for i in store.items]
    sequences = [encode_recording(model, sound) for sound in sounds]
    real = vectors([torch.from_numpy(sound) for sound in sounds], model.sample_rate)
    for head in args.heads:
        torch.manual_seed(args.seed)
        prior, parts = prepare(sequences, profile)
        if head != "mixture":
            plain = prior.performer
            prior.performer = {"flow": Flow, "energy": Energy}[head](plain.latents, plain.features)
            for name in ("offset", "scale", "lowest_held", "highest_rest"):
                getattr(prior.performer, name).copy_(getattr(plain, name))
        begun = time.process_time()

        def used(_done: int, begun: float = begun) -> float:
            return (time.process_time() - begun) / args.seconds

        rate = profile.frame_rate
        steps = fit(prior.performer, parts, rate, used, args.seed, lambda _share, _loss: None)
        key, velocity = random_notes(prior.eval())
        with torch.no_grad():
            seeds, none = torch.arange(VOICES).float(), torch.zeros(VOICES, 0)
            played = model.decode(
                prior.perform(key, velocity, none, 1.0, seeds, prior.initial(VOICES, none))[0]
            )
        made = vectors(list(played[:, 0]), model.sample_rate)
        random = np.random.default_rng(0)
        a, b = (x[random.permutation(len(x))[: min(CLOUD, len(real), len(made))]] for x in (real, made))
        density, coverage = density_and_coverage(a, b)
        varied = (diversity(made) or math.nan) / (diversity(real) or math.nan)
        print(f"{head:8} {steps} steps  Frechet {fad(real, made):.0f}  diversity {varied:.2f}", end="  ")
        print(f"kernel distance {kernel_distance(a, b):.4f}", end="  ")
        print(f"density {density:.2f}  coverage {coverage:.2f}", flush=True)


if __name__ == "__main__":
    main()
