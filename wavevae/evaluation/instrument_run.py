"""An instrument as evaluation sees it: pitch, phase, noise and drift go on from one segment to the next."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import numpy as np
import torch
from torch import Tensor

from wavevae.corpus.labels import pitch_of
from wavevae.evaluation.model_under_test import Labels, Piece, Run
from wavevae.nn.conditioning import Condition
from wavevae.nn.conv import pad_to_multiple
from wavevae.nn.instrument import Instrument
from wavevae.nn.pitch import StreamingPitchTracker

TURN_FRAMES = 256
"""A long sound is cut at multiples of this, and of the groups of slow latents."""


class InstrumentRun(Run):
    """A trained instrument: averaged weights, posterior mean, its own `life`.

    Segments overlap by what the encoder's convolutions see; the pitch tracker streams, and the decoder goes on from the
    state that the segment before has left.
    """

    @property
    def instrument(self) -> Instrument:
        """The model by its own type."""
        assert isinstance(self.model, Instrument)
        return self.model

    @property
    def turn_samples(self) -> int:
        config = self.model.config
        return max(TURN_FRAMES, config.top_every) * config.hop_length

    @torch.inference_mode()
    def _reconstruct(self, blocks: Iterable[np.ndarray], labels: Labels) -> Iterator[Piece]:
        model, condition, state = self.instrument, self.condition(labels), None
        for piece, seen, start in self._segments(blocks, labels):
            z = seen.z[..., start // model.hop_length :]
            sound, state = model.decoder(z, condition, model.life, state)
            yield piece._replace(estimate=sound[0, 0, : len(piece.reference)].cpu())

    def listener(self, condition: Condition | None) -> Callable[[Tensor, int], Tensor]:
        model = self.instrument
        if model.encoder.tracker is None:
            return super().listener(condition)
        tracker = StreamingPitchTracker(model.encoder.tracker).to(self.device)
        kept = torch.zeros(1, 2, 0, device=self.device)

        def listen(sound: Tensor, new: int) -> Tensor:
            nonlocal kept
            fresh = pad_to_multiple(sound[None, None, len(sound) - new :], model.hop_length)[:, 0]
            track = torch.cat([kept, tracker(fresh)], 2)
            kept = track[..., -(self.context // model.hop_length) :]
            return model.features(sound[None, None], condition, track)

        return listen

    @torch.inference_mode()
    def moved(self, sound: Tensor, labels: Labels, target: Labels) -> Tensor:
        """(T,) encoded under its own labels, played under others: a pitch label is the pitch that is played."""
        model = self.instrument
        z = model.encode(
            model.pad_for_latency(sound.to(self.device)[None, None]), condition=self.condition(labels)
        )
        pitch = pitch_of(target)
        if pitch is not None and model.config.has_pitch and model.config.has_oscillator_pitch:
            z[:, 0] = pitch
        return model.compensate_latency(z, len(sound), self.condition(target))[0, 0].cpu()
