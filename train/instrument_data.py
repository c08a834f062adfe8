"""Batches for an instrument: excerpts on the grid of the pitch track, with what lies before and after them.

       |<- lead ->|<------ chunk ------>|<- latency ->|
sound  |----------|---------------------|-------------|      starts on a hop of its file
frames  the decoder's run-up, then what is compared, then what only the encoder hears
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from wavevae.augment import Augmenter
from wavevae.config import ModelConfig
from wavevae.corpus import Chunks, Store
from wavevae.corpus.labels import NO_LABEL
from wavevae.corpus.pitch_track import PitchTrack
from wavevae.units import frames_to_samples

from .batches import Batches, Labeller

LEAD_FRAMES = 8
"""Before what is compared: the decoder's convolutions have a past by then."""


class InstrumentBatch(NamedTuple):
    """Excerpts with their surroundings, and what is known of them."""

    sound: Tensor
    """(B, 1, (lead + chunk + latency) frames)"""
    track: Tensor
    """(B, 2, as many frames): pitch and periodicity, frame n of sample (n + 1) x hop - latency of `sound`."""
    class_number: Tensor
    """(B,) int64, -1 for none."""
    pitch: Tensor
    """(B,) float32 MIDI label, NaN for none."""


class InstrumentBatches(Batches):
    """Training batches by step number, as their base class draws them, moved to the grid of the pitch track."""

    def __init__(
        self,
        chunks: Chunks,
        augmenter: Augmenter,
        batch_size: int,
        seed: int,
        rank: int,
        world_size: int,
        labeller: Labeller | None,
        model: ModelConfig,
        track: PitchTrack | None,
        store: Store,
    ) -> None:
        super().__init__(chunks, augmenter, batch_size, seed, rank, world_size, labeller)
        self.hop, self.latency = model.hop_length, model.algorithmic_latency
        self.frames = max(1, chunks.chunk_samples // self.hop)
        self.track = track
        numbers = {(item.start, item.length): n for n, item in enumerate(store.items)}
        self.item_numbers = [numbers[item.start, item.length] for item in chunks.items]

    def batch(self, step: int) -> InstrumentBatch:  # type: ignore[override]
        """The batch of this rank's step."""
        rows = [self._row(index, position) for index, position in self.places(step)]
        sounds, tracks, numbers, pitches = zip(*rows, strict=True)
        return InstrumentBatch(
            torch.from_numpy(np.stack(sounds)[:, None]),
            torch.from_numpy(np.stack(tracks)),
            torch.tensor(numbers),
            torch.tensor(pitches, dtype=torch.float32),
        )

    def _row(self, index: int, position: int) -> tuple[np.ndarray, np.ndarray, int, float]:
        """Sound, track, class and pitch label of one excerpt."""
        drawn = self.draws(index, position)
        item, start, low, _ = self.chunks.place(index, drawn.jitter)
        first_frame = (start - low) // self.hop - LEAD_FRAMES  # of the excerpt, counted in its file
        late = self.latency // self.hop
        frames = LEAD_FRAMES + self.frames + late
        begin = low + frames_to_samples(first_frame, self.hop)

        def read(before: int, samples: int) -> np.ndarray:
            return self.chunks.span(item, begin - before, before + samples)

        sound = self.augmenter.apply(drawn.augment, read, frames_to_samples(frames, self.hop))
        label = NO_LABEL if self.labeller is None else drawn.told.label
        track = self._track(self.item_numbers[item], first_frame - late, frames)
        return sound, track, label.class_number, label.pitch

    def _track(self, item: int, first: int, frames: int) -> np.ndarray:
        """(2, frames) from frame `first` of a file on; beyond its ends the pitch holds and nothing is periodic."""
        if self.track is None:
            return np.zeros((2, frames), np.float32)
        known = self.track.item(item)
        at = np.arange(first, first + frames)
        inside = (at >= 0) & (at < known.shape[1])
        found = known[:, at.clip(0, known.shape[1] - 1)]
        return np.stack([found[0], found[1] * inside]).astype(np.float32)
