"""How notes are played: a causal, autoregressive model of the control sequence, given the notes.

    key, level, held --> features of the note (B, features) --+
    the frame before (B, D), noisy in training ---------------+--> GRU --> mixture of Gaussians --> the next frame

A frame says how far pitch and loudness are from what the note asks for, and all other latents as they are, so that
what is played is in tune and as loud as asked. The mixture density head is that of Bishop 1994 (as in Graves 2013).

No `from __future__ import annotations` here: TorchScript reads the annotations.
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn

from wavevae.nn.noise import random_turns

ONSET_FRAMES = (1.5, 6.0, 24.0, 96.0)
"""Time constants of the fading features that say how long ago the note began."""
RELEASE_FRAMES = (1.5, 6.0, 24.0)
PITCH_POINTS = 16
"""Gaussian bumps over the corpus' range of pitch."""
MEANWHILE_FRAMES = 1e4
"""What lies farther back is forgotten."""
LEGATO_FRAMES = 3.0
SETTLED_FRAMES, DRIFT_FRAMES = 3.0, 5.0
"""A tuned note is led back to its key once its attack is over, with this time constant."""
HELD_AGES = 32
RAREST = 0.005
"""A part of the mixture with less weight is not drawn: at 86 draws a second rare accidents would be frequent ones."""
SMALLEST_LOG_SCALE, LARGEST_LOG_SCALE = -5.0, 1.0


class NoteState(NamedTuple):
    """The note that a voice plays, each (B,)."""

    key: Tensor
    level: Tensor
    held: Tensor
    since_onset: Tensor
    """Frames; MEANWHILE_FRAMES before the first note."""
    since_release: Tensor
    interval: Tensor
    """Semitones from the note before; 0 for the first."""
    legato: Tensor
    """1: it followed the note before without a break."""


class PerformerState(NamedTuple):
    """What a voice remembers from frame to frame."""

    note: NoteState
    hidden: Tensor
    """(B, width)"""
    last: Tensor
    """(B, D): the frame before, scaled."""
    drift: Tensor
    """(B,) semitones: where the pitch of the note has been lately, from its key."""
    frame: Tensor
    """(B,) float64, number of the next frame: with the seed it decides what is drawn."""


class NoteFeatures(nn.Module):
    """What a frame knows of its note. `classes`: labels of the corpus; `timbres`: kinds of sounds that keys stand for
    in a corpus without a pitch."""

    points: Tensor
    level_range: Tensor
    timbre_of_key: Tensor
    onsets: Tensor
    releases: Tensor

    def __init__(
        self, pitched: bool, lowest: float, highest: float, classes: int = 0, timbres: int = 0
    ) -> None:
        super().__init__()
        self.pitched, self.classes, self.timbres = pitched, classes, timbres
        self.register_buffer("timbre_of_key", torch.zeros(128, dtype=torch.long))
        self.meanwhile, self.legato_frames = MEANWHILE_FRAMES, LEGATO_FRAMES
        points = torch.linspace(lowest, highest, PITCH_POINTS) if pitched else torch.zeros(0)
        self.width = max(1.0, (highest - lowest) / (PITCH_POINTS - 1))
        self.register_buffer("points", points)
        self.register_buffer("onsets", torch.tensor(ONSET_FRAMES))
        self.register_buffer("releases", torch.tensor(RELEASE_FRAMES))
        self.register_buffer("level_range", torch.tensor([-40.0, 0.0]))
        """dB: levels of the corpus' notes; beyond, the nearest is played at another loudness."""
        self.count = len(points) + 5 + len(ONSET_FRAMES) + len(RELEASE_FRAMES) + classes + timbres

    @torch.jit.export
    def initial(self, voices: int, like: Tensor) -> NoteState:
        none = torch.zeros(voices, device=like.device)
        return NoteState(none, none, none, none + self.meanwhile, none + self.meanwhile, none, none)

    def forward(
        self, key: Tensor, level: Tensor, held: Tensor, classes: Tensor, state: NoteState
    ) -> tuple[Tensor, NoteState]:
        """One frame of key (MIDI), level (dB) and held (0 or 1), each (B,), and weights (B, classes) -> features
        (B, count) and the state. A note begins where `held` goes to 1 or the key moves by half a semitone."""
        moved = (key - state.key).abs() >= 0.5
        begins = (held > 0.5) & ((state.held < 0.5) | moved)
        first = state.since_onset >= self.meanwhile
        ends = (held < 0.5) & (state.held > 0.5)
        interval = torch.where(
            begins, torch.where(first, torch.zeros_like(key), key - state.key), state.interval
        )
        tied = (state.held > 0.5) | (state.since_release < self.legato_frames)
        legato = torch.where(begins, (tied & ~first).to(key.dtype), state.legato)
        since_onset = torch.where(begins, torch.zeros_like(key), state.since_onset + 1.0).clamp(
            max=self.meanwhile
        )
        since_release = torch.where(ends, torch.zeros_like(key), state.since_release + 1.0)
        since_release = since_release.clamp(max=self.meanwhile)
        playing = held > 0.5
        key, level = torch.where(playing, key, state.key), torch.where(playing, level, state.level)
        after = NoteState(key, level, held, since_onset, since_release, interval, legato)
        return self.described(after, classes), after

    def described(self, note: NoteState, classes: Tensor) -> Tensor:
        """The features (B, count) of notes as they stand, each (B,), and of weights (B, classes)."""
        fresh = torch.exp(-note.since_onset.unsqueeze(1) / self.onsets)
        gone = (1.0 - note.held).unsqueeze(1) * torch.exp(-note.since_release.unsqueeze(1) / self.releases)
        low, high = self.level_range[0], self.level_range[1]
        span = (high - low).clamp(min=3.0)
        height = (torch.minimum(torch.maximum(note.level, low), high) - 0.5 * (low + high)) / span * 2.0
        recent = fresh[:, 2]
        none_yet = (note.since_onset >= self.meanwhile).to(note.key.dtype)
        leap = note.interval.clamp(-24.0, 24.0) / 12.0 * recent
        parts = [
            torch.stack([note.held, height, none_yet, leap, note.legato * recent], 1),
            fresh,
            gone,
            classes,
        ]
        if self.pitched:
            near = (note.key.unsqueeze(1) - self.points) / self.width
            parts.append(torch.exp(-0.5 * near.square()))
        if self.timbres > 0:
            timbre = self.timbre_of_key[note.key.round().long().clamp(0, 127)]
            parts.append(torch.nn.functional.one_hot(timbre, self.timbres).to(note.key.dtype))
        return torch.cat(parts, 1)


class Performer(nn.Module):
    """Notes -> control frames (B, D), D latents of the instrument, frame by frame."""

    scale: Tensor
    offset: Tensor
    lowest_held: Tensor
    highest_rest: Tensor

    def __init__(self, latents: int, features: NoteFeatures, width: int = 192, components: int = 8) -> None:
        super().__init__()
        self.latents, self.width, self.components = latents, width, components
        self.pitched = features.pitched
        self.loudness_at = 1 if features.pitched else 0
        self.features = features
        self.cell = nn.GRU(features.count + latents, width, batch_first=True)
        self.outlet = nn.Linear(width, components * (2 * latents + 1))
        self.register_buffer("offset", torch.zeros(latents))
        self.register_buffer("scale", torch.ones(latents))
        """What a scaled frame of 0 and 1 means: semitones from the key, dB from the level, latents."""
        self.register_buffer("lowest_held", torch.full((HELD_AGES,), -1e4))
        """dB from the level: the quietest that the corpus' notes are, by frames since their onset; the last place for
        all later ones. A held note does not fall silent where the corpus' notes do not."""
        self.register_buffer("highest_rest", torch.full((HELD_AGES,), 1e4))
        """The same of rests: the loudest that they are, by frames since the release."""
        self.smallest, self.largest = SMALLEST_LOG_SCALE, LARGEST_LOG_SCALE
        self.rarest = math.log(RAREST)
        self.settled, self.drift_rate = SETTLED_FRAMES, 1.0 / DRIFT_FRAMES

    def mixture(self, hidden: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(..., width) -> log weights (..., K), means and log scales (..., K, D)."""
        out = self.outlet(hidden)
        weights = torch.log_softmax(out[..., : self.components], -1)
        shape = out.shape[:-1] + (self.components, self.latents)  # noqa: RUF005 - TorchScript
        size = self.components * self.latents
        means = out[..., self.components : self.components + size].reshape(shape)
        scales = out[..., self.components + size :].reshape(shape)
        middle, half = 0.5 * (self.smallest + self.largest), 0.5 * (self.largest - self.smallest)
        return weights, means, middle + half * torch.tanh((scales - 0.5 * middle) / half)

    def loss(self, features: Tensor, frames: Tensor, before: Tensor, known: Tensor) -> Tensor:
        """Negative log likelihood a frame, nats: features (B, F, count), scaled frames (B, F, D), the frames before,
        with noise (B, F, D), and which values are known (B, F, D)."""
        hidden = self.cell(torch.cat([features, before], 2))[0]
        weights, means, scales = self.mixture(hidden)
        z = (frames.unsqueeze(2) - means) * torch.exp(-scales)
        log = (-0.5 * z.square() - scales - 0.5 * math.log(2 * math.pi)) * known.unsqueeze(2)
        return -torch.logsumexp(weights + log.sum(3), 2).mean()

    @torch.jit.export
    def initial(self, voices: int, like: Tensor) -> PerformerState:
        zeros = torch.zeros(voices, self.width, device=like.device)
        last = torch.zeros(voices, self.latents, device=like.device)
        frame = torch.zeros(voices, dtype=torch.float64, device=like.device)
        none = torch.zeros(voices, device=like.device)
        return PerformerState(self.features.initial(voices, like), zeros, last, none, frame)

    @torch.jit.export
    def restarted(self, state: PerformerState, voice: int) -> PerformerState:
        """The state after one voice has forgotten its past; the number of its next frame stays."""
        count = state.frame.size(0)
        row = torch.arange(count, device=state.hidden.device) == voice
        first, wide, note = self.initial(count, state.hidden), row.unsqueeze(1), state.note
        return PerformerState(
            NoteState(
                torch.where(row, first.note.key, note.key),
                torch.where(row, first.note.level, note.level),
                torch.where(row, first.note.held, note.held),
                torch.where(row, first.note.since_onset, note.since_onset),
                torch.where(row, first.note.since_release, note.since_release),
                torch.where(row, first.note.interval, note.interval),
                torch.where(row, first.note.legato, note.legato),
            ),
            torch.where(wide, first.hidden, state.hidden),
            torch.where(wide, first.last, state.last),
            torch.where(row, first.drift, state.drift),
            state.frame,
        )

    def forward(
        self,
        key: Tensor,
        level: Tensor,
        held: Tensor,
        classes: Tensor,
        temperature: float,
        tuned: float,
        seed: Tensor,
        state: PerformerState,
    ) -> tuple[Tensor, PerformerState]:
        """One frame: key, level, held, seed (B,), classes (B, n) -> latents (B, D) and the state.

        `tuned`: 1 keeps the middle of every note on its key; 0 lets it go where the corpus' notes go.
        """
        features, note = self.features(key, level, held, classes, state.note)
        cell = self.cell
        hidden = torch.gru_cell(  # a frame of `cell`, in a quarter of its time
            torch.cat([features, state.last], 1),
            state.hidden,
            cell.weight_ih_l0,  # type: ignore[arg-type]
            cell.weight_hh_l0,  # type: ignore[arg-type]
            cell.bias_ih_l0,  # type: ignore[arg-type]
            cell.bias_hh_l0,  # type: ignore[arg-type]
        )
        weights, means, scales = self.mixture(hidden)
        last = self._draw(weights, means, scales, temperature, seed, state.frame)
        last = self._audible(last, note)
        z = last * self.scale + self.offset
        drift = state.drift
        if self.pitched:
            begun = note.since_onset < 0.5
            steady = (note.since_onset >= self.settled) & (z[:, 2] >= 0.5)
            moved = drift + self.drift_rate * (z[:, 0] - drift)
            drift = torch.where(begun, torch.zeros_like(drift), torch.where(steady, moved, drift))
            pitch = z[:, :1] + (note.key - tuned * drift).unsqueeze(1)
            loudness = z[:, 1:2] + note.level.unsqueeze(1)
            z = torch.cat([pitch, loudness, z[:, 2:3].clamp(0.0, 1.0), z[:, 3:]], 1)
        else:
            z = torch.cat([z[:, :1] + note.level.unsqueeze(1), z[:, 1:]], 1)
        return z, PerformerState(note, hidden, last, drift, state.frame + 1.0)

    def _audible(self, last: Tensor, note: NoteState) -> Tensor:
        """Scaled frames whose loudness is not below `lowest_held` while a key is held, nor above `highest_rest`."""
        at, oldest = self.loudness_at, float(self.lowest_held.size(0) - 1)
        held = note.held > 0.5
        age = torch.where(held, note.since_onset, note.since_release).clamp(0.0, oldest).long()
        lowest = (self.lowest_held[age] - self.offset[at]) / self.scale[at]
        highest = (self.highest_rest[age] - self.offset[at]) / self.scale[at]
        loudness = last[:, at]
        loudness = torch.where(held, torch.maximum(loudness, lowest), torch.minimum(loudness, highest))
        return torch.cat([last[:, :at], loudness.unsqueeze(1), last[:, at + 1 :]], 1)

    def _draw(
        self, weights: Tensor, means: Tensor, scales: Tensor, temperature: float, seed: Tensor, frame: Tensor
    ) -> Tensor:
        """One value of the mixture; what is random follows from seed and frame."""
        at, voice = frame.unsqueeze(1), seed.unsqueeze(1).to(torch.float64)
        place = torch.arange(self.components + 2 * self.latents, device=weights.device).unsqueeze(0)
        turns = random_turns(at, voice, place + 1000.0).clamp(1e-7, 1.0 - 1e-7)
        gumbel = -torch.log(-torch.log(turns[:, : self.components])).to(weights.dtype)
        likely = torch.where(weights < self.rarest, weights - 1e4, weights)
        chosen = (likely + temperature * gumbel).argmax(1)
        index = chosen[:, None, None].expand(-1, 1, self.latents)
        mean, scale = means.gather(1, index)[:, 0], torch.exp(scales.gather(1, index)[:, 0])
        first = turns[:, self.components : self.components + self.latents]
        second = turns[:, self.components + self.latents :]
        normal = torch.sqrt(-2.0 * torch.log(first)) * torch.cos(2.0 * math.pi * second)
        return mean + temperature * scale * normal.to(mean.dtype)
