"""Training of an instrument: what its corpus needs, its start, and its step, whose decoder has a state."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from wavevae.checkpoint import Checkpoint
from wavevae.config import RunConfig
from wavevae.corpus.pitch_track import PitchTrack
from wavevae.nn.conditioning import Condition, one_hot
from wavevae.nn.instrument import Instrument
from wavevae.nn.instrument_init import init_from_spectra
from wavevae.nn.pitch import PitchTracker
from wavevae.objectives.named_axes import NamedAxes

from .arguments import Plan
from .batches import LEAD_FRAMES, InstrumentBatch
from .budget import Budget
from .module import Reconstruction, TrainingModule
from .processes import say
from .training_data import TrainingData

VOICED = 0.4
"""Share of the loud frames that must have one clear pitch for it to describe the sounds: speech has 0.5, polyphonic
piano 0.24."""
RANGE = (1.0, 99.0)
"""Percentiles of the corpus' controls that bound the input of the decoder's network."""
NOISE_ONLY_DB, FEW_TONES_DB, TONES_HZ = -1.0, -4.0, 1200.0
"""Local flatness above which a corpus without pitch is noise alone, and above which its tones are low ones: carriers
held where there was noise would sound."""
FLATNESS_CHUNKS = 64
START_CHUNKS = 240
"""Chunks that a linear start is fitted to."""
FARTHEST_FRAME = 1_000_000
"""Training begins anywhere in the noise up to here: 3 hours."""


class InstrumentModule(TrainingModule):
    """Controls are measured, timbre is learned; the decoder starts each excerpt at a random phase."""

    def __init__(self, config: RunConfig, budget: Budget) -> None:
        super().__init__(config, budget)
        named = config.objective.named_axes > 0
        self.named_axes = NamedAxes(self.instrument.decoder) if named else None

    @property
    def instrument(self) -> Instrument:
        """The model by its own type."""
        model: Any = self.model
        return model  # type: ignore[no-any-return]

    def initialize_networks(self, data: TrainingData) -> None:
        """Sets the ranges of the controls from the corpus and, with a linear start, the outlets in closed form."""
        assert data.track is not None
        decoder = self.instrument.decoder
        for index, (low, high) in enumerate(control_ranges(data.track, self.config.model.controls)):
            decoder.low[index], decoder.high[index] = low, high
        if self.config.train.init == "linear":
            chunks = data.read(data.spread(START_CHUNKS))
            explained = init_from_spectra(self.instrument, self.whole_hops(chunks))
            say(f"start   {explained:.0%} of the variance of log spectra")

    def measured(self) -> dict[str, Tensor]:
        return {} if self.named_axes is None else dict(self.named_axes.state_dict())

    def resume(self, checkpoint: Checkpoint) -> None:
        super().resume(checkpoint)
        if self.named_axes is not None and checkpoint.objectives:
            self.named_axes.load_state_dict(checkpoint.objectives)

    def reconstruct(self, batch: InstrumentBatch) -> Reconstruction:  # type: ignore[override]
        """Excerpts after their run-up; each starts at a random phase, somewhere in the noise."""
        model, labels = self.instrument, None
        hop, late = model.hop_length, model.algorithmic_latency // model.hop_length
        if self.config.model.condition != "none":
            labels = Condition(one_hot(batch.class_number, len(self.config.model.classes)), batch.pitch)
        with torch.set_grad_enabled(not self.frozen):
            latents = model.bottleneck(model.features(batch.sound, labels, batch.track))
        z = model.decoder.cleaned(latents.z[..., late:])
        frame = model.decoder.frames(z, labels)
        state = model.decoder.synthesis.initial(len(z), z)
        phase = torch.rand_like(state.phase)
        state = state._replace(phase=phase, frame=torch.floor(torch.rand_like(phase) * FARTHEST_FRAME))
        sound, _ = model.decoder.sound(frame, state)
        compared = slice(LEAD_FRAMES * hop, sound.shape[-1])
        estimate, target = sound[..., compared], batch.sound[..., compared]

        def more_terms() -> dict[str, Tensor]:
            if self.named_axes is None:
                return {}
            return {"named_axes": self.named_axes(model.decoder, z, frame)}

        return Reconstruction(estimate, target, latents, target.numel(), more_terms)


def choose_oscillators(plan: Plan, data: TrainingData) -> Plan:
    """The plan with the oscillators that the sounds need, reported in one line; unchanged for a codec or a resumed
    run."""
    model = plan.config.model
    if data.track is None or plan.resumed is not None:
        return plan
    share = data.track.voiced_share
    chosen, top = model.oscillators, model.carriers_highest_hz
    if chosen == "auto":
        flatness = local_flatness_db(data) if share < VOICED else -math.inf
        chosen = "harmonic" if share >= VOICED else "none" if flatness > NOISE_ONLY_DB else "dense"
        if chosen == "dense" and not top and flatness > FEW_TONES_DB:
            top = TONES_HZ
    tracker = PitchTracker(model.sample_rate, model.hop_length)
    limits = f"from {tracker.lowest_hz:.0f} to {tracker.highest_hz:.0f} Hz"
    kinds = {
        "harmonic": "one oscillator bank follows the pitch",
        "dense": f"dense carriers{f' up to {top:g} Hz' if top else ''} and noise, no pitch",
        "none": "noise alone, no pitch",
        "both": "one oscillator bank follows the pitch, dense carriers beside it",
    }
    how = "" if model.oscillators == "auto" else ", as set"
    say(
        f"sounds  {share:.0%} of what is loud has one clear pitch {limits}: {kinds[chosen]}{how} "
        "(--set oscillators=...)"
    )
    model = dataclasses.replace(model, oscillators=chosen, carriers_highest_hz=top)
    return dataclasses.replace(plan, config=dataclasses.replace(plan.config, model=model))


def local_flatness_db(data: TrainingData) -> float:
    """How noise-like the loud seconds are, dB: geometric over arithmetic mean of the power within third octaves,
    weighted by power. Measured: rain and wind -0.3, drums -1.6, piano -11, choir -12, violin -18, saxophone -33."""
    chunks, sample_rate = data.read(data.spread(FLATNESS_CHUNKS)), data.store.sample_rate
    length = 1 << round(math.log2(0.186 * sample_rate))
    sound = F.pad(torch.from_numpy(chunks), (0, max(0, length - chunks.shape[1])))
    window = torch.hann_window(length)
    spectrum = torch.stft(sound, length, length // 4, window=window, center=False, return_complex=True)
    power = spectrum.abs().square().mean(2)  # (chunks, bins)
    power = power[power.sum(1) > 0.01 * power.sum(1).max()] + 1e-9
    hz = torch.arange(power.shape[1]) * sample_rate / length
    total, weight = torch.zeros(len(power)), torch.zeros(len(power))
    for third in range(16):
        centre = 200.0 * 2 ** (third / 3)
        band = power[:, (hz >= centre / 1.12) & (hz < centre * 1.12)]
        if band.shape[1] < 2:
            continue
        total += band.sum(1) * 10 * torch.log10(band.log().mean(1).exp() / band.mean(1))
        weight += band.sum(1)
    return float((total / weight.clamp_min(1e-9)).mean())


def control_ranges(track: PitchTrack, names: tuple[str, ...]) -> list[tuple[float, float]]:
    """Low and high of each control over what is loud; of the pitch over what is voiced."""
    pitch, periodicity, loudness = track.values
    loud = loudness > np.percentile(loudness, 99) - 40.0
    voiced = loud & (periodicity > 0.5)
    frames = {
        "pitch": pitch[voiced] if voiced.any() else pitch,
        "loudness": loudness,
        "periodicity": periodicity,
    }
    return [tuple(float(v) for v in np.percentile(frames[name], RANGE)) for name in names]  # type: ignore[misc]
