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
FREE, FIRST_PLACE = 1e6, 1000.0
"""Beyond every scaled frame; and the first place of the performer's random numbers."""
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
        """Key (MIDI), level (dB) and held (0 or 1), each (B, F), and weights (B, F, classes) -> features (B, F, count)
        and the notes of all frames, each (B, F). A note begins where `held` goes to 1 or the key moves by half a
        semitone."""
        playing = held > 0.5
        held_before = before(state.held, held)
        struck = latest(playing)
        sounding, level = latched(struck, key, state.key), latched(struck, level, state.level)
        key_before = before(state.key, sounding)
        begins = playing & ((held_before < 0.5) | ((key - key_before).abs() >= 0.5))
        ends = (held < 0.5) & (held_before > 0.5)
        begun = latest(begins)
        since_onset = age(begun, state.since_onset, self.meanwhile)
        since_release = age(latest(ends), state.since_release, self.meanwhile)
        first = before(state.since_onset, since_onset) >= self.meanwhile
        tied = (held_before > 0.5) | (before(state.since_release, since_release) < self.legato_frames)
        leap = torch.where(first, torch.zeros_like(key), key - key_before)
        interval = latched(begun, leap, state.interval)
        legato = latched(begun, (tied & ~first).to(key.dtype), state.legato)
        notes = NoteState(sounding, level, held, since_onset, since_release, interval, legato)
        return self.of_notes(notes, classes), notes

    def of_notes(self, note: NoteState, classes: Tensor) -> Tensor:
        """Notes of frames, each (B, F) -> (B, F, count)."""
        fresh = torch.exp(-note.since_onset.unsqueeze(2) / self.onsets)
        gone = (1.0 - note.held).unsqueeze(2) * torch.exp(-note.since_release.unsqueeze(2) / self.releases)
        low, high = self.level_range[0], self.level_range[1]
        span = (high - low).clamp(min=3.0)
        height = (torch.minimum(torch.maximum(note.level, low), high) - 0.5 * (low + high)) / span * 2.0
        recent = fresh[:, :, 2]
        none_yet = (note.since_onset >= self.meanwhile).to(height.dtype)
        leap = note.interval.clamp(-24.0, 24.0) / 12.0 * recent
        parts = [
            torch.stack([note.held, height, none_yet, leap, note.legato * recent], 2),
            fresh,
            gone,
            classes,
        ]
        if self.pitched:
            near = (note.key.unsqueeze(2) - self.points) / self.width
            parts.append(torch.exp(-0.5 * near.square()))
        if self.timbres > 0:
            timbre = self.timbre_of_key[note.key.round().long().clamp(0, 127)]
            parts.append(torch.nn.functional.one_hot(timbre, self.timbres).to(height.dtype))
        return torch.cat(parts, 2)


def before(first: Tensor, values: Tensor) -> Tensor:
    """The value of the frame before: (B,) of the one before the first, (B, F) -> (B, F)."""
    if values.size(1) == 1:
        return first.unsqueeze(1)
    return torch.cat([first.unsqueeze(1), values[:, :-1]], 1)


def latest(events: Tensor) -> Tensor:
    """(B, F) of events -> at each frame the number of the last frame with one, from 1; 0 before the first."""
    if events.size(1) == 1:
        return events.long()
    numbers = torch.arange(1, events.size(1) + 1, device=events.device)
    return torch.cummax(events.to(numbers.dtype) * numbers, 1)[0]


def latched(place: Tensor, values: Tensor, first: Tensor) -> Tensor:
    """The values (B, F) at the places that `latest` gave; (B,) of before the first frame."""
    if values.size(1) == 1:
        return torch.where(place > 0, values, first.unsqueeze(1))
    return torch.cat([first.unsqueeze(1), values], 1).gather(1, place)


def age(place: Tensor, first: Tensor, oldest: float) -> Tensor:
    """Frames since the places that `latest` gave; `first` (B,): the age before the first frame."""
    numbers = torch.arange(1, place.size(1) + 1, device=place.device)
    since = torch.where(place > 0, (numbers - place).to(first.dtype), first.unsqueeze(1) + numbers)
    return since.clamp(max=oldest)


def last_of(notes: NoteState) -> NoteState:
    """Notes of frames, each (B, F) -> those of the last, each (B,)."""
    return NoteState(
        notes.key[:, -1],
        notes.level[:, -1],
        notes.held[:, -1],
        notes.since_onset[:, -1],
        notes.since_release[:, -1],
        notes.interval[:, -1],
        notes.legato[:, -1],
    )


class Performer(nn.Module):
    """Notes -> control frames (B, D), D latents of the instrument, frame by frame."""

    scale: Tensor
    offset: Tensor
    lowest_held: Tensor
    highest_rest: Tensor
    free: Tensor
    place: Tensor

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
        free = torch.full((latents,), FREE)
        free[self.loudness_at] = 0.0
        self.register_buffer("free", free, persistent=False)
        place = torch.arange(components + 2 * latents) + FIRST_PLACE
        self.register_buffer("place", place, persistent=False)
        self.smallest, self.largest = SMALLEST_LOG_SCALE, LARGEST_LOG_SCALE
        self.rarest = math.log(RAREST)
        self.far = FREE
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
        """One frame: as `frames`, without the axis of frames."""
        one = (key.unsqueeze(1), level.unsqueeze(1), held.unsqueeze(1))
        z, state = self.frames(one[0], one[1], one[2], classes, temperature, tuned, seed, state)
        return z[:, :, 0], state

    @torch.jit.export
    def frames(
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
        """Key, level, held, each (B, F), seed (B,), weights of classes (B, n) -> latents (B, D, F) and the state.

        `tuned`: 1 keeps the middle of every note on its key; 0 lets it go where the corpus' notes go. All that does not
        depend on the frame before is computed for all frames at once.
        """
        count = key.size(1)
        told = classes.unsqueeze(1).expand(-1, count, -1)
        features, notes = self.features(key, level, held, told, state.note)
        gumbel, normal = self.randomness(seed, state.frame, count, temperature)
        lowest, highest = self.limits(notes)
        cell, hidden, last = self.cell, state.hidden, state.last
        made = []
        for n in range(count):
            hidden = torch.gru_cell(  # a frame of `cell`, in a quarter of its time
                torch.cat([features[:, n], last], 1),
                hidden,
                cell.weight_ih_l0,  # type: ignore[arg-type]
                cell.weight_hh_l0,  # type: ignore[arg-type]
                cell.bias_ih_l0,  # type: ignore[arg-type]
                cell.bias_hh_l0,  # type: ignore[arg-type]
            )
            last = self.draw(hidden, gumbel[:, n], normal[:, n])
            last = torch.minimum(torch.maximum(last, lowest[:, n]), highest[:, n])
            made.append(last)
        z, drift = self.in_units(torch.stack(made, 1), notes, tuned, state.drift)
        frame = state.frame + float(count)
        return z.transpose(1, 2), PerformerState(last_of(notes), hidden, last, drift, frame)

    def randomness(
        self, seed: Tensor, frame: Tensor, count: int, temperature: float
    ) -> tuple[Tensor, Tensor]:
        """What is random of the next `count` frames, by seed and frame: for the choice of a component (B, F, K) and for
        its value (B, F, D), both times the temperature."""
        numbers = torch.arange(count, device=frame.device) + frame.unsqueeze(1)
        voice = seed.to(torch.float64)[:, None, None]
        turns = random_turns(numbers.unsqueeze(2), voice, self.place).clamp(1e-7, 1.0 - 1e-7)
        gumbel = -torch.log(-torch.log(turns[:, :, : self.components]))
        first = turns[:, :, self.components : self.components + self.latents]
        second = turns[:, :, self.components + self.latents :]
        normal = torch.sqrt(-2.0 * torch.log(first)) * torch.cos(2.0 * math.pi * second)
        return (temperature * gumbel).to(seed.dtype), (temperature * normal).to(seed.dtype)

    def limits(self, notes: NoteState) -> tuple[Tensor, Tensor]:
        """Scaled frames between which the next ones lie, (B, F, D) each: the loudness is not below `lowest_held` while
        a key is held, nor above `highest_rest`."""
        at, oldest = self.loudness_at, float(self.lowest_held.size(0) - 1)
        held = notes.held > 0.5
        age = torch.where(held, notes.since_onset, notes.since_release).clamp(max=oldest).long()
        limit = torch.where(held, self.lowest_held[age], self.highest_rest[age])
        limit = (limit - self.offset[at]) / self.scale[at]
        lowest = torch.where(held, limit, torch.full_like(limit, -self.far))
        highest = torch.where(held, torch.full_like(limit, self.far), limit)
        return lowest.unsqueeze(2) - self.free, highest.unsqueeze(2) + self.free

    def draw(self, hidden: Tensor, gumbel: Tensor, normal: Tensor) -> Tensor:
        """One value of the mixture, (B, D): hidden (B, width), and a frame of what `randomness` gave."""
        weights, means, scales = self.mixture(hidden)
        likely = torch.where(weights < self.rarest, weights - 1e4, weights)
        chosen = (likely + gumbel).argmax(1)
        index = chosen[:, None, None].expand(-1, 1, self.latents)
        return means.gather(1, index)[:, 0] + torch.exp(scales.gather(1, index)[:, 0]) * normal

    def in_units(
        self, scaled: Tensor, notes: NoteState, tuned: float, drift: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Scaled frames (B, F, D) -> latents of the instrument, and the drift (B,) after them."""
        z = scaled * self.scale + self.offset
        if not self.pitched:
            return torch.cat([z[:, :, :1] + notes.level.unsqueeze(2), z[:, :, 1:]], 2), drift
        steady = (notes.since_onset >= self.settled) & (z[:, :, 2] >= 0.5)
        rate = self.drift_rate * steady.to(z.dtype)
        kept = (1.0 - rate) * (notes.since_onset >= 0.5).to(z.dtype)
        moved = rate * z[:, :, 0]
        drifts = []
        for n in range(z.size(1)):
            drift = kept[:, n] * drift + moved[:, n]
            drifts.append(drift)
        pitch = z[:, :, 0] + notes.key - tuned * torch.stack(drifts, 1)
        loudness = z[:, :, 1] + notes.level
        first = torch.stack([pitch, loudness, z[:, :, 2].clamp(0.0, 1.0)], 2)
        return torch.cat([first, z[:, :, 3:]], 2), drift
