"""Training of the prior: control sequences and their notes -> a fitted performer."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from wavevae.corpus_profile import CorpusProfile

from .improviser import Improviser
from .model import Prior
from .notes import FoundNote, deviations, find_notes, note_frames
from .performer import HELD_AGES, NoteFeatures, Performer

SPLICINGS = 6
"""Recordings are strung together in another order so many times."""
TIED_SHARE, LONGEST_REST_S = 0.25, 0.5
"""Between two recordings: nothing, or a rest of silence."""
SILENCE_BELOW_DB = 60.0

QUIET, FEWEST_HELD, FADE_DB = 0.02, 20, 5.0
"""Quantile of the loudness of notes that held ones are kept above, and frames that it needs; fade a frame of rests that
the recordings do not show."""
TIMBRES, FEWEST_OF_TIMBRE, WORTH_A_TIMBRE = 8, 6, 0.04
"""At most so many groups of timbres, each of so many notes on average; one more is worth it if it explains this share
of the variance."""
DRUMS_DARK_TO_BRIGHT = (
    36,
    35,
    41,
    43,
    45,
    47,
    48,
    50,
    38,
    40,
    37,
    39,
    56,
    53,
    51,
    42,
    44,
    46,
    54,
    49,
    57,
    55,
)
"""General MIDI percussion: kicks, toms, snares, claps, bells, hats, cymbals."""


PIECE_FRAMES, LEAD_FRAMES = 2048, 128
"""Long recordings are encoded in pieces, each with some of what came before it."""


class Part(NamedTuple):
    """One recording as the performer learns from it."""

    rows: NDArray[np.float32]
    """(F, 3): key, level, held."""
    frames: NDArray[np.float32]
    """(F, D), scaled deviations."""
    known: NDArray[np.float32]
    """(F, D): 1 where a value means something."""
    label: int


class Stream(NamedTuple):
    """Recordings one after the other."""

    features: Tensor
    """(F, count)"""
    fresh: Tensor
    """(F, count): features where a recording of `begins` is the first that is played."""
    frames: Tensor
    """(F, D)"""
    known: Tensor
    """(F, D)"""
    begins: Tensor
    """First frames of recordings, at least EXCERPT frames from each other."""


@torch.no_grad()
def encode_recording(model: Any, sound: np.ndarray) -> np.ndarray:
    """Latents of an instrument (frames, n_latents) of float32 (samples,), at the place of what they describe."""
    hop, late = model.hop_length, model.algorithmic_latency // model.hop_length
    x = torch.from_numpy(sound)[None, None]
    frames, made = -(-len(sound) // hop), []
    x = torch.nn.functional.pad(x, (0, (frames + late) * hop - len(sound)))
    for first in range(0, frames, PIECE_FRAMES):
        begin, last = max(0, first - LEAD_FRAMES), min(frames, first + PIECE_FRAMES)
        z = model.encode(x[..., begin * hop : (last + late) * hop])[0]
        made.append(z[:, first - begin + late : last - begin + late].T)
    return torch.cat(made).numpy()


def prepare(
    sequences: Sequence[NDArray[Any]],
    profile: CorpusProfile,
    classes: Sequence[int] | None = None,
    n_classes: int = 0,
) -> tuple[Prior, list[Part]]:
    """A prior with an untrained performer, and what the performer learns from.

    `sequences`: latents of recordings, each (frames, n_latents); `classes`: the label of each, -1 for none.
    """
    notes = [find_notes(z, profile) for z in sequences]
    labels = [-1] * len(notes) if classes is None else list(classes)
    timbre_of_key = None
    if not profile.has_pitch:
        notes, timbre_of_key = _sorted_by_timbre(sequences, notes, profile)
    levels = [n.level for q in notes for n in q] or [-20.0]
    low, high = (0.0, 1.0)
    if profile.has_pitch:
        low, high = np.quantile([n.pitch for q in notes for n in q] or [60.0], [0.01, 0.99])
    timbres = 0 if timbre_of_key is None else int(timbre_of_key.max()) + 1
    features = NoteFeatures(profile.has_pitch, float(low), float(high), n_classes, timbres)
    if timbre_of_key is not None:
        features.timbre_of_key.copy_(torch.from_numpy(timbre_of_key))
    features.level_range.copy_(torch.tensor(np.quantile(levels, [0.02, 0.98])))
    performer = Performer(len(profile.axis_names), features)
    rows = [note_frames(q, len(z)) for z, q in zip(sequences, notes, strict=True)]
    made, known = zip(*(deviations(z, r, profile) for z, r in zip(sequences, rows, strict=True)), strict=True)
    frames, means_something = np.concatenate(made), np.concatenate(known)
    weight = means_something.sum(0).clip(1)
    offset = (frames * means_something).sum(0) / weight
    scale = np.sqrt((np.square(frames - offset) * means_something).sum(0) / weight).clip(0.02)
    performer.offset.copy_(torch.from_numpy(offset))
    performer.scale.copy_(torch.from_numpy(scale))
    parts = [
        Part(r, (((m - offset) / scale) * k).clip(-12, 12).astype(np.float32), k, label)
        for r, m, k, label in zip(rows, made, known, labels, strict=True)
    ]
    lowest, highest = _limits(notes, made, performer.loudness_at)
    performer.lowest_held.copy_(torch.from_numpy(lowest))
    performer.highest_rest.copy_(torch.from_numpy(highest))
    loudest = profile.loudness[-1] if profile.loudness else -12.0
    return Prior(performer, Improviser(_note_table(notes, labels), profile.frame_rate), loudest), parts


def _limits(
    notes: Sequence[Sequence[FoundNote]], made: Sequence[NDArray[Any]], loudness: int
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Loudness from the level, dB, each (HELD_AGES,): the QUIET quantile of notes by frames since the onset, and the
    quantile as far from the other end of rests by frames since the release; where there are no rests, a fade."""
    held: list[list[float]] = [[] for _ in range(HELD_AGES)]
    rests: list[list[float]] = [[] for _ in range(HELD_AGES)]
    for recording, frames in zip(notes, made, strict=True):
        next_onsets = [note.onset for note in recording[1:]] + [len(frames)]
        for note, following in zip(recording, next_onsets, strict=True):
            for ages, values in (
                (held, frames[note.onset : note.release, loudness]),
                (rests, frames[note.release : following, loudness]),
            ):
                for age, value in enumerate(values[: HELD_AGES - 1]):
                    ages[age].append(float(value))
                ages[-1].extend(values[HELD_AGES - 1 :].tolist())
    lowest = [float(np.quantile(a, QUIET)) if len(a) >= FEWEST_HELD else -1e4 for a in held]
    highest = [
        float(np.quantile(a, 1 - QUIET)) if len(a) >= FEWEST_HELD else -FADE_DB * (age + 1)
        for age, a in enumerate(rests)
    ]
    return np.array(lowest, np.float32), np.array(highest, np.float32)


def _note_table(notes: Sequence[Sequence[FoundNote]], labels: Sequence[int]) -> Tensor:
    """(N, COLUMNS) for the improviser."""
    rows = []
    for recording, label in zip(notes, labels, strict=True):
        for n, note in enumerate(recording):
            before = recording[n - 1] if n else note
            earlier = recording[n - 2] if n > 1 else before
            last = n == len(recording) - 1
            rest = 0 if last else recording[n + 1].onset - note.release
            length = math.log(max(1, before.release - before.onset))
            key = round(note.pitch)
            leap = round(before.pitch) - round(earlier.pitch)
            held = note.release - note.onset
            rows.append([key, note.level, held, rest, n == 0, last, label, round(before.pitch), leap, length])
    return torch.tensor(rows or [[60, -20, 43, 20, 1, 1, -1, 60, 0, 3]], dtype=torch.float32)


def _sorted_by_timbre(
    sequences: Sequence[NDArray[Any]], notes: list[list[FoundNote]], profile: CorpusProfile
) -> tuple[list[list[FoundNote]], NDArray[np.int64]]:
    """Gives notes without a pitch keys: their timbres in up to TIMBRES groups (k-means of the latents after the onset),
    from dark to bright, and which group each of the 128 keys plays."""
    if not any(notes):
        return notes, np.zeros(128, np.int64)
    groups = timbre_groups(sequences, notes, profile)
    timbre_of_key = _timbre_of_key(int(groups.max()) + 1)
    return keyed(notes, groups, timbre_of_key), timbre_of_key


def timbre_groups(
    sequences: Sequence[NDArray[Any]],
    notes: Sequence[Sequence[FoundNote]],
    profile: CorpusProfile,
    count: int | None = None,
) -> NDArray[np.int64]:
    """The group of each note's timbre, in turn, from dark to bright; `count`: how many groups, where that is known."""
    places = [(i, n) for i, q in enumerate(notes) for n in q]
    after = max(1, round(0.06 * profile.frame_rate))
    loudness = profile.axis_names.index("loudness")
    sounds = np.stack(
        [np.asarray(sequences[i][n.onset : n.onset + after], np.float64).mean(0) for i, n in places]
    )
    sounds = np.delete(sounds, loudness, 1) / np.maximum(np.delete(np.array(profile.std), loudness), 1e-3)
    bright = profile.axis_names.index("brightness") - 1
    groups = _groups(sounds) if count is None else _k_means(sounds, min(count, len(sounds)))
    order = np.argsort([sounds[groups == g, bright].mean() for g in range(groups.max() + 1)])
    ranked: NDArray[np.int64] = np.argsort(order)[groups]
    return ranked


def keyed(
    notes: Sequence[Sequence[FoundNote]], groups: NDArray[np.int64], timbre_of_key: NDArray[np.int64]
) -> list[list[FoundNote]]:
    """Notes whose pitch is the first drum that plays their group of timbres."""
    first_key = [
        next(k for k in DRUMS_DARK_TO_BRIGHT if timbre_of_key[k] == g) for g in range(groups.max() + 1)
    ]
    given = iter(groups)
    return [[replace(n, pitch=float(first_key[next(given)])) for n in q] for q in notes]


def _timbre_of_key(groups: int) -> NDArray[np.int64]:
    """(128,): drums by their brightness, other keys in turn."""
    table = np.arange(128) % groups
    count = len(DRUMS_DARK_TO_BRIGHT)
    for place, key in enumerate(DRUMS_DARK_TO_BRIGHT):
        table[key] = min(groups - 1, place * groups // count)
    return table.astype(np.int64)


def _groups(x: NDArray[Any]) -> NDArray[np.int64]:
    """Group numbers (N,): another group as long as it takes a good part of the variance away."""
    found = np.zeros(len(x), np.int64)
    spread = total = float(np.square(x - x.mean(0)).sum())
    for count in range(2, min(TIMBRES, len(x) // FEWEST_OF_TIMBRE) + 1):
        more = _k_means(x, count)
        left = sum(float(np.square(x[more == g] - x[more == g].mean(0)).sum()) for g in range(more.max() + 1))
        if spread - left < WORTH_A_TIMBRE * total:
            break
        found, spread = more, left
    return found


def _k_means(x: NDArray[Any], groups: int, rounds: int = 30) -> NDArray[np.int64]:
    """Group numbers (N,) without empty groups (Lloyd 1982), begun at far points."""
    centres = [x[np.argmin(np.square(x - x.mean(0)).sum(1))]]
    while len(centres) < groups:
        distance = np.min([np.square(x - c).sum(1) for c in centres], 0)
        centres.append(x[np.argmax(distance)])
    middle = np.stack(centres)
    for _ in range(rounds):
        found = np.square(x[:, None] - middle[None]).sum(2).argmin(1)
        middle = np.stack([x[found == g].mean(0) if (found == g).any() else middle[g] for g in range(groups)])
    return np.unique(found, return_inverse=True)[1].astype(np.int64)


def _rest(after: Part, frames: int, loudness: int, floor: float) -> Part:
    """Silence, of which nothing but the loudness is known."""
    rows = np.repeat(after.rows[-1:], frames, 0)
    rows[:, 2] = 0.0
    silent = np.zeros((frames, after.frames.shape[1]), np.float32)
    known = np.zeros_like(silent)
    silent[:, loudness], known[:, loudness] = floor, 1.0
    return Part(rows, silent, known, after.label)


def splice(performer: Performer, parts: Sequence[Part], frame_rate: float, seed: int) -> Stream:
    """All recordings in a random order, with rests between them."""
    random = np.random.default_rng(seed)
    loudness = performer.loudness_at
    floor = (-SILENCE_BELOW_DB - float(performer.offset[loudness])) / float(performer.scale[loudness])
    floor = max(-12.0, floor)
    pieces: list[Part] = []
    begins, length = [0], 0
    for number in random.permutation(len(parts)):
        part = parts[number]
        tied = random.random() < TIED_SHARE
        rest = 0 if tied else int(random.integers(3, round(LONGEST_REST_S * frame_rate)))
        pieces += [part, _rest(part, rest, loudness, floor)]
        if length - begins[-1] >= EXCERPT:
            begins.append(length)
        length += len(part.rows) + rest
    rows = torch.from_numpy(np.concatenate([piece.rows for piece in pieces]))
    labels = np.concatenate([np.full(len(piece.rows), piece.label) for piece in pieces])
    n_classes = performer.features.classes
    shares = torch.eye(n_classes + 1)[torch.from_numpy(labels)][:, :n_classes]  # -1, none, is the last row
    nothing_yet = performer.features.initial(1, rows)

    def features(first: int, last: int) -> Tensor:
        """Of frames before which nothing was played."""
        cut = rows[None, first:last].unbind(2)
        found: Tensor = performer.features(*cut, shares[None, first:last], nothing_yet)[0][0]
        return found

    return Stream(
        features(0, length),
        torch.cat([features(*ends) for ends in zip(begins, [*begins[1:], length], strict=True)]),
        torch.from_numpy(np.concatenate([piece.frames for piece in pieces])),
        torch.from_numpy(np.concatenate([piece.known for piece in pieces])),
        torch.tensor([n for n in begins if n + EXCERPT <= length] or [0]),
    )


EXCERPT, BATCH = 192, 24
"""Frames, and excerpts, of a step."""
LEARNING_RATE, INPUT_NOISE = 3e-3, 0.15
"""The noise on the frames before, in standard deviations, teaches the performer to return from its own errors."""
FROM_THE_START = 0.12
"""Share of the excerpts that begin with a recording that is the first."""
FEWEST_FRAMES = 200
"""Less is too little to learn from."""


def fit(
    performer: Performer,
    parts: Sequence[Part],
    frame_rate: float,
    used: Callable[[int], float],
    seed: int,
    report: Callable[[float, float], None],
) -> int:
    """Trains the performer until `used`, the share of the budget used after so many steps, is 1; returns the steps.

    `report`: gets the progress, 0 to 1, and the mean loss (nats a frame) after every step.
    """
    generator = torch.Generator().manual_seed(seed)
    optimizer = torch.optim.AdamW(performer.parameters(), LEARNING_RATE, weight_decay=0.01)
    mean, splicing, steps = math.nan, 0, 0
    stream = splice(performer, parts, frame_rate, seed)
    performer.train()
    while (progress := used(steps)) < 1.0:
        if int(progress * SPLICINGS) != splicing:
            splicing = int(progress * SPLICINGS)
            stream = splice(performer, parts, frame_rate, seed + splicing)
        for group in optimizer.param_groups:
            warm = min(1.0, (steps + 1) / 30)
            group["lr"] = LEARNING_RATE * warm * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * progress)))
        loss = performer.loss(*excerpts(stream, generator))
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(performer.parameters(), 1.0)
        optimizer.step()
        value, steps = float(loss.detach()), steps + 1
        mean = value if math.isnan(mean) else mean + 0.05 * (value - mean)
        report(progress, mean)
    performer.eval()
    return steps


def excerpts(stream: Stream, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """What `Performer.loss` takes: features, frames, the frames before with noise, and what is known."""
    total = len(stream.frames)
    length = min(EXCERPT, total)
    anywhere = torch.randint(total - length + 1, (BATCH, 1), generator=generator)
    begin = stream.begins[torch.randint(len(stream.begins), (BATCH, 1), generator=generator)]
    first = torch.rand(BATCH, 1, generator=generator) < FROM_THE_START
    at = torch.where(first, begin, anywhere) + torch.arange(length)
    features = torch.where(first[..., None], stream.fresh[at], stream.features[at])
    before = stream.frames[(at - 1).clamp(min=0)]
    before[:, 0] *= ~first
    width = INPUT_NOISE * torch.rand(BATCH, 1, 1, generator=generator)
    noisy = before + width * torch.randn(before.shape, generator=generator)
    return features, stream.frames[at], noisy, stream.known[at]
