"""Foreign sound through the model: does it come out as the corpus, with the melody and the dynamics that went in?

The judge is linear: it knows the corpus from foreign sound by twelve mel cepstra of half a second. It learns from two
thirds of the corpus' files and half of the foreign ones; what it says of the rest is its ceiling and its floor.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from wavevae.evaluation import linear
from wavevae.evaluation.embeddings import dct_matrix
from wavevae.evaluation.playing.held import mean_or_none
from wavevae.evaluation.playing.player import Player
from wavevae.evaluation.selection import Clip
from wavevae.evaluation.tracks import level_track, mel_frames, pitch_track
from wavevae.synthesis.syllables import sung_syllables
from wavevae.units import seconds_to_samples

CEPSTRA = 12
CEPSTRAL_BANDS = 40
LOUD_DB = 20.0
"""Frames of a half second that are further below its loudest say nothing of its timbre."""
FLOOR_DB = 50.0
"""Bands further below the loudest count as so far below: a judge of timbre must not listen to the noise of the room."""
QUIET_DB = 30.0
"""Half seconds that are further below the loudest of their clip are left out."""
LAG_S = 0.05
IN_TUNE_CENTS = 50.0
FEWEST = 6
"""Half seconds of each kind that a judge learns from at least."""
NO_JUDGE = f"the judge needs {FEWEST} audible half seconds of the corpus and of foreign sound"
BUILT_IN = "built-in sung syllables"
BUILT_IN_EXCERPTS = 20


@dataclass(frozen=True)
class Transfer:
    """A foreign sound and what the model makes of it, (T,) each."""

    clip: Clip
    output: Tensor
    transposed: float
    """Semitones."""


def built_in_foreign(sample_rate: int, count: int = BUILT_IN_EXCERPTS) -> list[Clip]:
    """Syllables sung by a small formant synthesiser, so that there is always foreign sound."""
    return [
        Clip(f"{BUILT_IN} {i + 1}", torch.from_numpy(sung_syllables(4.0, sample_rate, seed=i)))
        for i in range(count)
    ]


# -- the judge ------------------------------------------------------------------------------------------------


def half_seconds(x: Tensor, sample_rate: int) -> Tensor:
    """(T,) -> (n, sample_rate / 2), whole ones."""
    length = sample_rate // 2
    return x[: len(x) // length * length].reshape(-1, length)


def audible_halves(x: Tensor, sample_rate: int) -> Tensor:
    """Which half seconds of a sound are loud enough to be judged, (n,)."""
    halves = half_seconds(x, sample_rate)
    levels = (
        torch.stack([level_track(half, len(half))[0] for half in halves]) if len(halves) else torch.zeros(0)
    )
    return levels > max(float(levels.max()) - QUIET_DB, -60.0) if len(levels) else levels > 0


def cepstra(half: Tensor, sample_rate: int) -> np.ndarray:
    """Means of the mel cepstra 1 to 12 (the level, 0, left out) over the loud frames of half a second: (12,)."""
    power = mel_frames(half, sample_rate, CEPSTRAL_BANDS)
    frame_db = 10 * torch.log10(power.sum(-1) + 1e-12)
    loud = power[frame_db > frame_db.max() - LOUD_DB]
    decibels = 10 * torch.log10(loud.clamp_min(float(loud.max()) * 10 ** (-FLOOR_DB / 10) + 1e-12))
    found: np.ndarray = (decibels @ dct_matrix(CEPSTRAL_BANDS).T)[:, 1 : CEPSTRA + 1].mean(0).double().numpy()
    return found


def vectors(sounds: Sequence[Tensor], sample_rate: int) -> np.ndarray:
    """Of every audible half second: (n, 12)."""
    found = [
        cepstra(half, sample_rate)
        for x in sounds
        for half in half_seconds(x, sample_rate)[audible_halves(x, sample_rate)]
    ]
    return np.array(found) if found else np.zeros((0, CEPSTRA))


def split_by_file(clips: Sequence[Clip], share: float) -> tuple[list[Clip], list[Clip]]:
    """About `share` of the files (at least one on either side) in a fixed random order, and the others. A single file
    is split in time."""
    names = sorted({e.file for e in clips})
    if len(names) < 2:
        cut = [round(share * len(e.audio)) for e in clips]
        first = [Clip(e.file, e.audio[:c], e.labels) for e, c in zip(clips, cut, strict=True)]
        return first, [Clip(e.file, e.audio[c:], e.labels) for e, c in zip(clips, cut, strict=True)]
    np.random.default_rng(0).shuffle(names)
    chosen = set(names[: min(len(names) - 1, max(1, round(share * len(names))))])
    return [e for e in clips if e.file in chosen], [e for e in clips if e.file not in chosen]


@dataclass(frozen=True)
class TimbreClassifier:
    """Takes half seconds for the corpus or for foreign."""

    classifier: linear.Classifier
    sample_rate: int

    def share_of_corpus(self, sounds: Sequence[Tensor]) -> tuple[float | None, int]:
        """Of the audible half seconds, the share taken for the corpus, and how many there are."""
        names = self.classifier(vectors(sounds, self.sample_rate))
        return (names.count("corpus") / len(names) if names else None), len(names)


def train_classifier(
    corpus: Sequence[Clip], foreign: Sequence[Clip], sample_rate: int
) -> TimbreClassifier | None:
    """Of as many half seconds of one as of the other; none where either has too few."""
    a, b = (vectors([e.audio for e in part], sample_rate) for part in (corpus, foreign))
    count = min(len(a), len(b))
    if count < FEWEST:
        return None
    rng = np.random.default_rng(0)
    a, b = (x[rng.permutation(len(x))[:count]] for x in (a, b))
    names = ["corpus"] * count + ["foreign"] * count
    return TimbreClassifier(linear.fit(np.concatenate([a, b]), names), sample_rate)


# -- what went in against what came out -----------------------------------------------------------------------


def pitch_kept(given: Tensor, made: Tensor, sample_rate: int) -> tuple[int, int]:
    """Frames pitched in the input, and those of them whose output is within 50 cents, octaves folded."""
    a, b = pitch_track(given, sample_rate)[0], pitch_track(made, sample_rate)[0]
    voiced = torch.isfinite(a)
    off = 100 * (b - a)
    folded = (off - 1200 * (off / 1200).round()).abs()
    return int(voiced.sum()), int((voiced & (folded <= IN_TUNE_CENTS)).sum())  # NaN is not kept


def loudness_correlation(given: Tensor, made: Tensor, sample_rate: int) -> float | None:
    """Of the levels of 40 ms in dB every 10 ms, at the best lag up to 50 ms; 60 dB below the loudest is the floor. None
    where one does not move."""
    hop = round(0.01 * sample_rate)
    a, b = (level_track(x, hop, 4 * hop).double() for x in (given, made))
    a, b = (x.clamp_min(float(x.max()) - 60) for x in (a, b))
    reach = round(LAG_S / 0.01)
    found = []
    for lag in range(-reach, reach + 1):
        x, y = a[max(0, -lag) : len(a) - max(0, lag)], b[max(0, lag) : len(b) - max(0, -lag)]
        if len(x) > 2 and float(x.std()) > 1e-6 and float(y.std()) > 1e-6:
            found.append(float(torch.corrcoef(torch.stack([x, y]))[0, 1]))
    return max(found) if found else None


def copy_si_sdr_db(given: Tensor, made: Tensor, sample_rate: int) -> float:
    """SI-SDR of the output against its own input, best over lags up to 50 ms; within +-100 dB.

    From the correlation coefficient r of what overlaps at a lag: 10 log10(r^2 / (1 - r^2)).
    """
    reach = min(seconds_to_samples(LAG_S, sample_rate), len(given) - 1)
    a, b = given.double() - given.double().mean(), made.double() - made.double().mean()
    size = 2 ** (2 * len(a)).bit_length()
    cross = torch.fft.irfft(torch.fft.rfft(b, size) * torch.fft.rfft(a, size).conj(), size)
    a2, b2 = (torch.nn.functional.pad(x.square().cumsum(0), (1, 0)) for x in (a, b))
    lags = torch.arange(-reach, reach + 1)  # the output is so much later than the input
    late, early = lags.clamp_min(0), (-lags).clamp_min(0)
    energy_in = a2[len(a) - late] - a2[early]
    energy_out = b2[len(a) - early] - b2[late]
    products = (energy_in * energy_out).clamp_min(1e-30)
    r2 = float((cross[lags % size].square() / products).max().clamp(1e-10, 1 - 1e-10))
    return 10 * float(np.log10(r2 / (1 - r2)))


def whole_octaves(given: Tensor, corpus_midi: float | None, sample_rate: int) -> float:
    """Semitones that bring the median pitch of a sound nearest to the corpus', for a model that does not say; 0 where
    there is none."""
    midi = pitch_track(given, sample_rate)[0]
    there = midi[torch.isfinite(midi)]
    if corpus_midi is None or not len(there):
        return 0.0
    return 12.0 * round((corpus_midi - float(there.median())) / 12)


def transfers(player: Player, foreign: Sequence[Clip], corpus_midi: float | None) -> list[Transfer]:
    """Each sound through the model; those that come out as NaN are left out."""
    made = []
    for clip in foreign:
        own = player.octaves(clip.audio) if player.can_fit else None
        shift = own if own is not None else 0.0
        if own is None and player.can_fit:
            shift = whole_octaves(clip.audio, corpus_midi, player.sample_rate)
        output = player.transfer(clip.audio, shift if own is None else "auto")
        if bool(torch.isfinite(output).all()):
            made.append(Transfer(clip, output, shift))
    return made


def moved(judge: TimbreClassifier, made: Sequence[Transfer]) -> tuple[float | None, int]:
    """Share of the half seconds audible in the input whose output is taken for the corpus; silence is not."""
    rate = judge.sample_rate
    taken = count = 0
    for one in made:
        given = audible_halves(one.clip.audio, rate)
        halves = half_seconds(one.output, rate)[given]
        count += len(halves)
        loud = [half for half in halves if float(level_track(half, len(half))[0]) > -60]
        taken += judge.classifier(np.array([cepstra(half, rate) for half in loud])).count("corpus")
    return (taken / count if count else None), count


@dataclass(frozen=True)
class Transferred:
    """What was measured of transfers."""

    figures: dict[str, Any]
    transfers: list[Transfer]
    judge: TimbreClassifier | None = None
    why: str = ""
    """Why there is no judge, or nothing at all."""


def measure_transfer(
    player: Player, corpus: Sequence[Clip], foreign: Sequence[Clip], corpus_midi: float | None
) -> Transferred:
    """The judge, and what it says of foreign sounds through the model."""
    rate = player.sample_rate
    learned, rest = split_by_file(corpus, 2 / 3)
    known, unknown = split_by_file(foreign, 1 / 2)
    judge = train_classifier(learned, known, rate)
    made = transfers(player, unknown, corpus_midi)
    if not made:
        return Transferred({}, [], judge, "nothing finite came out")
    frames = np.array([pitch_kept(t.clip.audio, t.output, rate) for t in made]).sum(0)
    figures: dict[str, Any] = {
        "transfer_pitch_kept": float(frames[1] / frames[0]) if frames[0] else None,
        "transfer_loudness_r": mean_or_none(
            [loudness_correlation(t.clip.audio, t.output, rate) for t in made]
        ),
        "transfer_copy_si_sdr_db": mean_or_none([copy_si_sdr_db(t.clip.audio, t.output, rate) for t in made]),
        "transfer_sounds": len(made),
        "transfer_fitted": player.can_fit,
    }
    if judge is None:
        return Transferred(figures, made, None, NO_JUDGE)
    figures["transfer_moved"], figures["transfer_half_seconds"] = moved(judge, made)
    figures["transfer_moved_ceiling"], _ = judge.share_of_corpus([e.audio for e in rest])
    figures["transfer_moved_floor"], _ = judge.share_of_corpus([e.audio for e in unknown])
    return Transferred(figures, made, judge)
