"""Held tones: a model is brought to a steady moment of a sound, then its last frame is held.

    sound    ......................|moment  + latency|
    latents  z1 z2 z3 ......... zn |zn zn zn zn zn zn zn ...   2 s
    judged                         |  0.5 s  | one second |

Only sound up to the moment (and the model's latency) is encoded. A decoder without state must repeat one waveform
every hop; an oscillator goes on.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from wavevae.evaluation import tracks
from wavevae.evaluation.playing.player import Player
from wavevae.evaluation.selection import Clip
from wavevae.evaluation.tracks import floored_db, level_track, median_midi, mel_frames, pitch_track

STEADY_CENTS = 30.0
"""How far the pitch of a steady moment may be from its median."""
STEADY_S, STEADIER_S = 0.25, 0.5
"""The pitch holds at least so long around a moment; moments in the middle of half a steady second come first."""
LOUD_DB = 20.0
"""A moment lies no further below the loudest 50 ms of its clip."""
CONTEXT_S = 2.0
"""At most so much sound before the moment is encoded."""
HOLD_S, SKIP_S, JUDGED_S = 2.0, 0.5, 1.0
IN_TUNE_CENTS = 50.0
LOCK_REACH = 32
"""Samples on either side of the hop among which the autocorrelation has its median."""
LONGEST_HOP_S = 0.25
"""A model whose frames are longer has no frame to hold."""


@dataclass(frozen=True)
class Moment:
    """A steady moment of a clip."""

    clip: Clip
    sample: int
    midi: float | None
    """Its pitch; none among sounds without one."""

    def around(self, sample_rate: int) -> Tensor:
        """The half second around it."""
        half = sample_rate // 4
        return self.clip.audio[max(0, self.sample - half) : self.sample + half]


@dataclass(frozen=True)
class Held:
    """What became of a moment."""

    moment: Moment
    latents: Tensor
    """(latent_dim, frames) up to the moment; the last one is held."""
    sound: Tensor
    """The real frames decoded, then the held one, (T,)."""
    start: int
    """Sample at which holding begins."""

    def judged(self, sample_rate: int) -> Tensor:
        """The second from half a second on."""
        start = self.start + round(SKIP_S * sample_rate)
        return self.sound[start : start + round(JUDGED_S * sample_rate)]


# -- moments --------------------------------------------------------------------------------------------------


def frame_levels(audio: Tensor, centres: Tensor, sample_rate: int) -> Tensor:
    """RMS in dBFS of the 40 ms around each centre."""
    half = round(0.02 * sample_rate)
    padded = torch.nn.functional.pad(audio.double(), (half, half + 1)).square().cumsum(0)
    ends = centres.clamp(0, len(audio) - 1)
    power = (padded[ends + 2 * half] - padded[ends]) / (2 * half)
    return (10 * torch.log10(power.clamp_min(1e-12))).float()


def steady_windows(midi: Tensor, loud: Tensor, frames: int) -> list[int]:
    """Middles of all stretches of so many frames that are loud and within STEADY_CENTS of their median pitch."""
    if len(midi) < frames:
        return []
    windows, all_loud = midi.unfold(0, frames, 1), loud.unfold(0, frames, 1).all(-1)
    off = 100 * (windows - windows.median(-1, keepdim=True).values).abs().amax(
        -1
    )  # NaN where a frame has no pitch
    return (torch.nonzero((off <= STEADY_CENTS) & all_loud)[:, 0] + frames // 2).tolist()


def pitched_moment(clip: Clip, sample_rate: int) -> Moment | None:
    """The middle one of the steadily pitched moments of a clip that have a quarter second on either side."""
    midi, centres = pitch_track(clip.audio, sample_rate)
    levels = frame_levels(clip.audio, centres, sample_rate)
    loud = levels > levels.max() - LOUD_DB
    for seconds in (STEADIER_S, STEADY_S):
        frames = round(seconds / tracks.HOP_S) + 1
        found = [
            i for i in steady_windows(midi, loud, frames) if has_room(clip, int(centres[i]), sample_rate)
        ]
        if found:
            middle = found[len(found) // 2]
            near = midi[max(0, middle - frames // 2) : middle + frames // 2 + 1]
            return Moment(clip, int(centres[middle]), float(near[torch.isfinite(near)].median()))
    return None


def has_room(clip: Clip, sample: int, sample_rate: int) -> bool:
    return sample_rate // 4 <= sample <= len(clip.audio) - sample_rate // 4


def loud_moment(clip: Clip, sample_rate: int) -> Moment | None:
    """The loud moment around which the level of 20 ms frames changes least over a quarter of a second."""
    hop = round(tracks.HOP_S * sample_rate)
    levels = level_track(clip.audio, hop)
    frames = round(STEADY_S / tracks.HOP_S)
    if len(levels) < frames:
        return None
    windows = levels.unfold(0, frames, 1)
    spread = windows.std(-1)
    middles = torch.arange(len(windows)) * hop + frames * hop // 2
    room = torch.tensor([has_room(clip, int(m), sample_rate) for m in middles])
    usable = room & (windows.mean(-1) > levels.max() - LOUD_DB)
    if not usable.any():
        return None
    best = int(torch.where(usable, spread, torch.inf).argmin())
    return Moment(clip, int(middles[best]), None)


def find_moments(clips: Sequence[Clip], sample_rate: int) -> list[Moment]:
    """Pitched moments, at most one of each clip; where fewer than a fifth of the clips have one, loud steady
    moments without regard to pitch."""
    pitched = [m for e in clips if (m := pitched_moment(e, sample_rate)) is not None]
    if pitched and 5 * len(pitched) >= len(clips):
        return pitched
    return [m for e in clips if (m := loud_moment(e, sample_rate)) is not None]


# -- holding --------------------------------------------------------------------------------------------------


def latents_up_to(player: Player, moment: Moment) -> Tensor | None:
    """(latent_dim, frames) of at most CONTEXT_S that end with the moment, causally; none where the clip ends or
    the model gives no finite latents."""
    stop = min(moment.sample + player.latency_samples, len(moment.clip.audio))
    frames = min(stop, round(CONTEXT_S * player.sample_rate)) // player.hop_length
    if frames < 1:
        return None
    before = moment.clip.audio[stop - frames * player.hop_length : stop]
    latents = player.encode(before, moment.clip.labels)
    return latents if bool(torch.isfinite(latents).all()) else None


def hold(player: Player, moment: Moment, seconds: float = HOLD_S) -> Held | None:
    """Encode up to the moment, then hold its frame; none where that cannot be heard (NaN, no frame)."""
    latents = latents_up_to(player, moment)
    if latents is None:
        return None
    frames = -(-round(seconds * player.sample_rate) // player.hop_length)
    held = torch.cat([latents, latents[:, -1:].expand(-1, frames)], 1)
    sound = player.decode(held, moment.clip.labels)
    if not bool(torch.isfinite(sound).all()):
        return None
    return Held(moment, latents, sound, latents.shape[1] * player.hop_length)


def hold_moments(player: Player, clips: Sequence[Clip]) -> list[Held]:
    """Of every moment that can be held."""
    found = [hold(player, moment) for moment in find_moments(clips, player.sample_rate)]
    return [held for held in found if held is not None]


# -- figures --------------------------------------------------------------------------------------------------


def pitch_error_cents(held: Held, sample_rate: int) -> float | None:
    """How far the held second is from the moment's pitch; none where it has no pitch."""
    midi = median_midi(held.judged(sample_rate), sample_rate)
    return None if midi is None or held.moment.midi is None else 100 * abs(midi - held.moment.midi)


def spectrum_difference_db(made: Tensor, real: Tensor, sample_rate: int) -> float:
    """Mean |dB| between the long-term mel spectra of two sounds of equal power; bands that are RANGE_DB below the
    loudest of their sound count as that."""
    spectra = [mel_frames(x, sample_rate).mean(0) for x in (made, real)]
    a, b = (floored_db(s / s.sum().clamp_min(1e-20)) for s in spectra)
    return float((a - b).abs().mean())


def autocorrelation(x: Tensor, first: int, last: int) -> Tensor:
    """Normalised, at lags first..last: sum x(n) x(n + t) over the root of the two energies."""
    x = x.double() - x.double().mean()
    values = []
    for lag in range(first, last + 1):
        a, b = x[: len(x) - lag], x[lag:]
        values.append((a @ b) / (a.square().sum() * b.square().sum()).sqrt().clamp_min(1e-20))
    return torch.stack(values)


def divides_hop(midi: float | None, hop: int, sample_rate: int) -> bool:
    """Whether a whole number of periods is a hop, within a sample."""
    if midi is None:
        return False
    period = sample_rate / tracks.midi_hz(midi)
    return abs(hop - max(1, round(hop / period)) * period) < 1


def hop_lock(x: Tensor, hop: int) -> float:
    """r(H) less the median of r around it: 0 is free of the hop, 1 is one waveform repeated every hop."""
    reach = min(LOCK_REACH, hop - 1)
    r = autocorrelation(x, hop - reach, hop + reach)
    return float(r[reach] - r.median())


def movement_db(x: Tensor, sample_rate: int) -> float:
    """Mean absolute change of the log-mel spectrum from frame to frame."""
    return float(floored_db(mel_frames(x, sample_rate)).diff(dim=0).abs().mean())


def mean_or_none(values: Sequence[float | None]) -> float | None:
    there = [v for v in values if v is not None]
    return float(np.mean(there)) if there else None


def held_figures(held: Sequence[Held], hop: int, sample_rate: int) -> dict[str, float | int | None]:
    """The figures of PLAYING section 6 on held tones, each with how many moments it speaks of."""
    pitched = [h for h in held if h.moment.midi is not None]
    errors = [pitch_error_cents(h, sample_rate) for h in pitched]
    found = [e for e in errors if e is not None]
    judged = [h.judged(sample_rate) for h in held]
    real = [h.moment.around(sample_rate) for h in held]
    spectra = [spectrum_difference_db(a, b, sample_rate) for a, b in zip(judged, real, strict=True)]
    free = [i for i, h in enumerate(held) if not divides_hop(h.moment.midi, hop, sample_rate)]
    still = mean_or_none([movement_db(x, sample_rate) for x in real])
    moving = mean_or_none([movement_db(x, sample_rate) for x in judged])
    return {
        "held_moments": len(held),
        "held_pitched_moments": len(pitched),
        "held_pitch_ok": sum(e <= IN_TUNE_CENTS for e in found) / len(errors) if errors else None,
        "held_pitch_cents": float(np.median(found)) if found else None,
        "held_spectrum_db": mean_or_none(spectra),
        "hop_lock": mean_or_none([hop_lock(judged[i], hop) for i in free]),
        "hop_lock_real": mean_or_none([hop_lock(real[i], hop) for i in free]),
        "hop_lock_moments": len(free),
        "liveliness": moving / still if still and moving is not None else None,
    }
