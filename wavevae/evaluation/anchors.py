"""Opus at a ladder of bit rates on the same seconds, so that every score reads "equals Opus N kbit/s here".

A rung is judged exactly as a model is: files whole, then cut, then measured. Its figures are kept in the cache, by the
content of the file and of everything that measures: a second evaluation on the same sounds codes nothing.
"""

from __future__ import annotations

import contextlib
import hashlib
import math
import zipfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from wavevae.corpus.cache import content_key, default_cache
from wavevae.errors import Failure, UserError
from wavevae.evaluation import codec, frechet, glossary
from wavevae.evaluation.embeddings import Embedding
from wavevae.evaluation.excerpts import cut_chunks
from wavevae.evaluation.measure import MEDIANS, Measure
from wavevae.evaluation.model_under_test import NONE, Facts, Labels, Piece
from wavevae.evaluation.selection import Source, sound
from wavevae.files import replacing

KBPS = (6.0, 8.0, 12.0, 16.0, 24.0, 32.0, 48.0, 64.0, 96.0)
BLOCK_S = 60.0
"""Longer sounds are coded in stretches of this."""
YARDSTICK = ("metrics", "tracks", "excerpts", "measure", "codec", "embeddings", "selection", "anchors")
"""The modules on which a kept figure depends."""


class Opus:
    """The codec as a subject of evaluation."""

    def __init__(self, which: str, sample_rate: int, kbps: float) -> None:
        self.which, self.kbps = which, kbps
        name = f"opus-{kbps:g}"
        self.facts = Facts("codec", Path(name), sample_rate, sample_rate, 1, "none")
        self.block_samples = round(BLOCK_S * sample_rate)
        self.size_bytes = 0
        """Of what was coded so far."""

    def reconstruct(self, blocks: Iterable[np.ndarray], labels: Labels = NONE) -> Iterator[Piece]:
        for block in blocks:
            coded = codec.round_trip(block, self.facts.sample_rate, self.kbps, self.which)
            self.size_bytes += coded.size_bytes
            yield Piece(torch.from_numpy(np.ascontiguousarray(block)), torch.from_numpy(coded.audio))


@dataclass(frozen=True)
class Judged:
    """One file at one bit rate."""

    figures: dict[str, np.ndarray]
    """{name: (seconds that are heard,)}"""
    embeddings: np.ndarray
    """(seconds that are heard, dims)"""
    size_bytes: int
    seconds: float


def yardstick() -> str:
    """Hash of the source of everything that measures."""
    digest = hashlib.blake2b(digest_size=16)
    for name in YARDSTICK:
        digest.update((Path(__file__).parent / f"{name}.py").read_bytes())
    return digest.hexdigest()


def cache_place(source: Source, content: str, sample_rate: int, kbps: float, by: str) -> Path:
    """Where a file's figures at a bit rate are kept; `by` names codec, embedding and yardstick."""
    what = f"{content} {source.start_s!r} {source.seconds!r} {source.cut} {sample_rate} {kbps!r} {by}"
    key = hashlib.blake2b(what.encode(), digest_size=20).hexdigest()
    return default_cache() / "anchors" / key[:2] / f"{key}.npz"


def recall(place: Path) -> Judged | None:
    """What was kept; none where nothing was, or it is damaged."""
    try:
        with np.load(place, allow_pickle=False) as kept:
            names = [str(name) for name in kept["names"]]
            columns = dict(zip(names, kept["figures"], strict=True))
            return Judged(columns, kept["embeddings"], int(kept["size_bytes"]), float(kept["seconds"]))
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return None


def remember(place: Path, judged: Judged) -> None:
    """Keep it, whole or not at all; a cache that cannot be written is no reason to stop."""
    with contextlib.suppress(Failure, UserError), replacing(place) as part, open(part, "wb") as file:
        np.savez(
            file,
            names=np.array(list(judged.figures)),
            figures=np.array(list(judged.figures.values())),
            embeddings=judged.embeddings,
            size_bytes=judged.size_bytes,
            seconds=judged.seconds,
        )


def judge_file(source: Source, which: str, sample_rate: int, kbps: float, embedding: Embedding) -> Judged:
    """Code and measure one file. A damaged file is judged as far as it goes, as with a model."""
    opus = Opus(which, sample_rate, kbps)
    measure = Measure(sample_rate, None, 1, embedding=embedding)
    heard = 0
    with contextlib.suppress(UserError):
        pieces = opus.reconstruct(sound(source, sample_rate, opus.block_samples))
        for chunk in cut_chunks(pieces, sample_rate, sample_rate):
            measure.add(source.name, chunk)
            heard = chunk.start + sample_rate
    measure.flush()
    figures = {name: measure.column(name) for name in (measure.rows[0].figures if measure.rows else {})}
    return Judged(figures, np.array(measure.made), opus.size_bytes, heard / sample_rate)


@dataclass(frozen=True)
class Rung:
    """Opus at one bit rate over all files."""

    kbps: float
    coded_kbps: float
    """What it spent, Ogg's pages and headers included."""
    figures: dict[str, float]


def rung(kbps: float, judged: Sequence[Judged], real: np.ndarray) -> Rung:
    """Means over all seconds, as `summary` takes them of a model."""
    heard = [one for one in judged if one.figures]
    figures = {}
    for name in heard[0].figures:
        values = np.concatenate([one.figures[name] for one in heard])
        values = values[np.isfinite(values)]
        if len(values):
            figures[name] = float(np.median(values) if name in MEDIANS else values.mean())
    distance = frechet.fad(real, np.concatenate([one.embeddings for one in heard]))
    if distance is not None:
        figures["fad"] = distance
    seconds = sum(one.seconds for one in judged)
    return Rung(kbps, sum(one.size_bytes for one in judged) * 8e-3 / seconds, figures)


def judge(
    sources: Sequence[Source],
    sample_rate: int,
    embedding: Embedding,
    real: np.ndarray,
    progress: Callable[[float, str], None],
    kbps: Sequence[float] = KBPS,
) -> list[Rung]:
    """The ladder on these files; `real` are the embeddings of the seconds as they are. Needs `codec.coder()`."""
    which = codec.coder()
    assert which is not None
    by = f"{codec.version(which)} {embedding.name} {yardstick()}"
    rows: dict[float, list[Judged]] = {rate: [] for rate in kbps}
    for number, source in enumerate(sources):
        content = content_key(source.path)
        for rate in kbps:
            place = cache_place(source, content, sample_rate, rate, by)
            judged = recall(place)
            if judged is None:
                judged = judge_file(source, which, sample_rate, rate, embedding)
                remember(place, judged)
            rows[rate].append(judged)
        progress((number + 1) / len(sources), f"{number + 1} of {len(sources)} files")
    return [rung(rate, judged, real) for rate, judged in rows.items()]


def describe(rungs: Sequence[Rung], figures: dict[str, float | int | None]) -> dict[str, object]:
    """What report.json says of the anchors: the ladder, and where each figure of the model stands on it."""
    which = codec.coder()
    assert which is not None
    stands = {}
    for name, higher_is_better in glossary.HIGHER_IS_BETTER.items():
        value = figures.get(name)
        steps = [(r.kbps, r.figures[name]) for r in rungs if name in r.figures]
        if value is not None and len(steps) == len(rungs):
            stands[name] = stand(float(value), steps, higher_is_better)
    steps_out = [{"kbps": r.kbps, "coded_kbps": round(r.coded_kbps, 2), **r.figures} for r in rungs]
    mr_stft = stands.get("mr_stft")
    return {
        "equals_opus_kbps": mr_stft.kbps if mr_stft else None,
        "equals_opus": {name: at.words for name, at in stands.items()},
        "anchors": {"codec": codec.version(which), "rungs": steps_out},
    }


class Standing(NamedTuple):
    """A place on the ladder."""

    kbps: float | None
    """None beyond its ends."""
    words: str
    """'14.2', 'under 6', 'over 96'."""


def monotone(values: Sequence[float]) -> list[float]:
    """The non-decreasing sequence nearest in squares (pool adjacent violators: Ayer et al. 1955)."""
    pools: list[list[float]] = []  # mean, count
    for value in values:
        pools.append([value, 1.0])
        while len(pools) > 1 and pools[-2][0] > pools[-1][0]:
            (mean_a, count_a), (mean_b, count_b) = pools[-2:]
            count = count_a + count_b
            pools[-2:] = [[(mean_a * count_a + mean_b * count_b) / count, count]]
    return [mean for mean, count in pools for _ in range(int(count))]


def stand(value: float, rungs: Sequence[tuple[float, float]], higher_is_better: bool) -> Standing:
    """The bit rate with this value, between rungs (kbps, value) by straight lines over the logarithm of the rate.

    More bits may score worse by chance; such rungs are levelled first. Of several rates with the same value the
    lowest is told.
    """
    sign = 1.0 if higher_is_better else -1.0
    rates = [rate for rate, _ in rungs]
    good = monotone([sign * score for _, score in rungs])
    wanted = sign * value
    if wanted < good[0]:
        return Standing(None, f"under {rates[0]:g}")
    if wanted > good[-1]:
        return Standing(None, f"over {rates[-1]:g}")
    for low, high in zip(range(len(rates) - 1), range(1, len(rates)), strict=True):
        if wanted <= good[low]:
            return Standing(rates[low], f"{rates[low]:.3g}")
        if wanted <= good[high]:
            share = (wanted - good[low]) / (good[high] - good[low])
            rate = math.exp((1 - share) * math.log(rates[low]) + share * math.log(rates[high]))
            return Standing(rate, f"{rate:.3g}")
    return Standing(rates[-1], f"{rates[-1]:.3g}")
