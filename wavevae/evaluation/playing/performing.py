"""How an instrument performs: recordings become notes, the notes are played, and both are compared as they sound.

    recording --encode--> latents --find_notes--> notes --performer--> latents --decode--> performance
                              \\--decode--> resynthesis, which is as good as a performance may get

What is not a matter of style is measured on single notes: keys of the corpus at many velocities, each by a voice that
has not played before, as `serve` and `render --midi` strike one. All is measured on the sound, not on the latents.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from wavevae.evaluation import frechet
from wavevae.evaluation.excerpts import Excerpt
from wavevae.evaluation.model_under_test import Labels, ModelUnderTest
from wavevae.evaluation.playing.latent_controls import spearman
from wavevae.evaluation.playing.note_measures import (
    FEWEST,
    FINE_S,
    VIBRATO_S,
    Edges,
    Sounding,
    curve_distance_db,
    edges,
    fine_levels,
    pitch_errors,
    settled,
    soundings,
    vibrato_distances,
    vibratos,
)
from wavevae.evaluation.playing.player import Player, PriorPlayer, make_player
from wavevae.evaluation.playing.timbre_moved import vectors
from wavevae.evaluation.selection import Clip
from wavevae.evaluation.tracks import pitch_track
from wavevae.plots import Notes
from wavevae.prior.fitting import note_frames
from wavevae.prior.notes import FoundNote, find_notes, velocity_of

Array = NDArray[np.float64]

CLIP_S = 10.0
"""Of each recording; a long note is there from its attack to its release."""
SEED = 0
PROBE_KEYS, PROBE_VELOCITIES = 8, 12
SOFTEST_VELOCITY = 0.2
"""-28 dB."""
PROBE_HELD_S, PROBE_AFTER_S = 0.5, 0.6


@dataclass(frozen=True)
class Performance:
    """A recording, its notes, and the same notes played; sounds (T,) of one length."""

    clip: Clip
    notes: list[FoundNote]
    resynthesis: Tensor
    performed: Tensor


def notes_in(
    player: Player, prior: PriorPlayer, sound: Tensor, labels: Labels
) -> tuple[Tensor, list[FoundNote]]:
    """Latents (latent_dim, frames) of a sound (T,), and the notes found in them; no notes where they are not finite."""
    late = player.latency_samples // player.hop_length
    z = player.encode(F.pad(sound, (0, player.latency_samples)), labels)[:, late:]
    return z, find_notes(z.T.numpy(), prior.profile) if bool(torch.isfinite(z).all()) else []


def excerpt_notes(subject: ModelUnderTest, excerpts: Sequence[Excerpt]) -> list[Notes]:
    """To be marked in pictures; nothing for a model without a prior."""
    player = make_player(subject)
    prior = player.prior
    if prior is None:
        return []
    sounds = [(torch.from_numpy(one.reference), one.source.labels) for one in excerpts]
    return [Notes(notes_in(player, prior, *one)[1], prior.profile) for one in sounds]


def perform(player: Player, prior: PriorPlayer, clips: Sequence[Clip]) -> list[Performance]:
    """Of every clip in which notes are found."""
    found: list[Found] = []
    for clip in clips:
        z, notes = notes_in(player, prior, clip.audio, clip.labels)
        if notes:
            found.append((clip, z, notes))
    if found and not prior.profile.has_pitch:
        heard = keys_by_timbre(prior)
        found = [(clip, z, [keyed(note, z, heard, prior) for note in notes]) for clip, z, notes in found]
    made = []
    for group in by_classes(found, prior):
        scores = [score(notes, z.shape[1], prior) for _, z, notes in group]
        key, velocity = (torch.from_numpy(padded([s[k] for s in scores])) for k in (0, 1))
        played = prior.perform(key, velocity, SEED, group[0][0].labels)
        for (clip, z, notes), latents in zip(group, played, strict=True):
            length, first = len(clip.audio), notes[0].onset
            performed = player.decode(latents[:, : z.shape[1] - first].contiguous(), clip.labels)
            performed = F.pad(performed, (first * player.hop_length, 0))[:length]
            again = player.decode(z, clip.labels)[player.latency_samples % player.hop_length :][:length]
            sounds = (F.pad(x, (0, length - len(x))) for x in (again, performed))
            made.append(Performance(clip, notes, *sounds))
    return [one for one in made if bool(torch.isfinite(one.performed).all())]


Found = tuple[Clip, Tensor, list[FoundNote]]


def by_classes(found: Sequence[Found], prior: PriorPlayer) -> list[list[Found]]:
    """Those that are told the same classes can be performed side by side."""
    groups: dict[tuple[float, ...], list[Found]] = {}
    for one in found:
        groups.setdefault(tuple(prior.classes(one[0].labels).tolist()), []).append(one)
    return list(groups.values())


def score(notes: Sequence[FoundNote], frames: int, prior: PriorPlayer) -> tuple[Any, Any]:
    """Keys and velocities from the first note on, as a keyboard says them: whole semitones, a key struck again is let
    go for a frame."""
    rows = note_frames(notes, frames)
    velocity = rows[:, 2] * [velocity_of(float(level), prior.module.loudest) for level in rows[:, 1]]
    for note in notes[1:]:
        velocity[note.onset - 1] *= rows[note.onset - 1, 0].round() != rows[note.onset, 0].round()
    return rows[notes[0].onset :, 0].round(), velocity[notes[0].onset :]


def padded(rows: Sequence[NDArray[Any]]) -> NDArray[np.float32]:
    """(N, the longest), zeros on the right."""
    longest = max(map(len, rows))
    return np.stack([np.pad(row, (0, longest - len(row))) for row in rows]).astype(np.float32)


def keys_by_timbre(prior: PriorPlayer) -> dict[int, Array]:
    """Where notes without a pitch are: {a key for each timbre: the latents after its onset, (latent_dim,)}."""
    timbres = prior.module.performer.features.timbre_of_key
    keys = [int((timbres == t).nonzero()[0]) for t in range(int(timbres.max()) + 1)]
    frames = after_onset(prior)
    key = torch.tensor(keys, dtype=torch.float32)[:, None].expand(-1, frames)
    played = prior.perform(key, torch.full(key.shape, 0.8), SEED).mean(2).double().numpy()
    return dict(zip(keys, played, strict=True))


def after_onset(prior: PriorPlayer) -> int:
    """Frames by which a timbre is known, as in training."""
    return max(1, round(0.06 * prior.profile.frame_rate))


def keyed(note: FoundNote, z: Tensor, heard: dict[int, Array], prior: PriorPlayer) -> FoundNote:
    """With the key whose timbre is nearest; the loudness does not count."""
    sound = z[:, note.onset : note.onset + after_onset(prior)].mean(1).double().numpy()
    spread = np.maximum(np.array(prior.profile.std), 1e-3)
    spread[prior.profile.axis_names.index("loudness")] = np.inf
    return replace(note, pitch=float(min(heard, key=lambda k: np.square((heard[k] - sound) / spread).sum())))


# -- single notes -----------------------------------------------------------------------------------------------


class Probe(NamedTuple):
    """A single note of a voice that has not played before."""

    key: float
    velocity: float
    level: float
    """dB: mean power while it is held."""
    edges: Edges
    midi: Array
    """Pitch every 20 ms once it has settled, NaN where there is none."""


def probe(player: Player, prior: PriorPlayer) -> list[Probe]:
    """Keys where most of the corpus' pitch lies, each at many velocities."""
    held, after = (round(s * prior.profile.frame_rate) for s in (PROBE_HELD_S, PROBE_AFTER_S))
    if prior.profile.has_pitch:
        low, high = prior.profile.pitch_body
        keys = np.linspace(low, high, PROBE_KEYS).round()
    else:
        keys = np.array(list(keys_by_timbre(prior)))
    velocities = np.linspace(SOFTEST_VELOCITY, 1.0, PROBE_VELOCITIES)
    notes = [(float(k), float(v)) for k in np.unique(keys) for v in velocities]
    key = torch.tensor([[k] * (held + after) for k, _ in notes])
    velocity = torch.zeros_like(key)
    velocity[:, :held] = torch.tensor([[v] for _, v in notes])
    end, fine = held * player.hop_length, max(1, round(FINE_S * player.sample_rate))
    found = []
    for (k, v), latents in zip(notes, prior.perform(key, velocity, SEED), strict=True):
        sound = player.decode(latents)
        levels = fine_levels(sound, player.sample_rate)
        level = 10 * math.log10(float(sound[:end].double().square().mean()) + 1e-12)
        midi = (
            settled(pitch_track(sound, player.sample_rate), 0, end, player.sample_rate)
            if prior.profile.has_pitch
            else np.zeros(0)
        )
        found.append(Probe(k, v, level, edges(levels, 0, end // fine, len(levels)), midi))
    return found


def single_figures(notes: Sequence[Probe]) -> dict[str, Any]:
    """Pitch, onset, release and dynamics of single notes."""
    ranked = []
    for key in sorted({n.key for n in notes}):
        of_key = [n for n in notes if n.key == key]
        ranked.append(spearman([n.velocity for n in of_key], [n.level for n in of_key]))
    off = [n.level - 40 * math.log10(n.velocity) for n in notes]
    return {
        "performed_pitch_cents_single": percentile(pitch_errors((n.key, n.midi) for n in notes), 50),
        "performed_onset_ms": percentile([n.edges.onset_ms for n in notes], 50),
        "performed_onset_ms_p90": percentile([n.edges.onset_ms for n in notes], 90),
        "performed_release_ms": percentile([n.edges.release_ms for n in notes], 50),
        "performed_single_notes": len(notes),
        "velocity_loudness_r": float(np.mean(ranked)),
        "velocity_loudness_spread_db": float(np.std(off)),
    }


def percentile(values: Iterable[float | None], share: float) -> float | None:
    there = [v for v in values if v is not None]
    return float(np.percentile(there, share)) if there else None


# -- the figures ------------------------------------------------------------------------------------------------

NO_PRIOR = "the model has no prior: it plays no notes by itself"
NO_NOTES = "no notes are found in the judged sounds"
NO_VIBRATO = (
    f"needs {FEWEST} stretches of {VIBRATO_S:g} s with a pitch; for its rate, with an audible vibrato"
)
FEW_NOTES = f"needs {FEWEST} notes; fewer are found"
UNPITCHED = "the corpus has no pitch"


@dataclass(frozen=True)
class Performing:
    """What was measured of a model's performer."""

    figures: dict[str, Any]
    why: dict[str, str]
    """Reasons of what is none, by the beginning of the names."""
    performances: list[Performance]


def measure_performing(player: Player, clips: Sequence[Clip]) -> Performing:
    """`clips`: recordings of the corpus' kind, CLIP_S each."""
    prior = player.prior
    if prior is None:
        return Performing({}, dict.fromkeys(("performed", "velocity_loudness"), NO_PRIOR), [])
    figures = single_figures(probe(player, prior))
    made = perform(player, prior, clips)
    if not made:
        return Performing(figures, {"performed": NO_NOTES}, [])
    pitched, rate, hop = prior.profile.has_pitch, player.sample_rate, player.hop_length
    sounds = {
        "real": [one.clip.audio for one in made],
        "resynthesis": [one.resynthesis for one in made],
        "performed": [one.performed for one in made],
    }
    notes = {
        kind: [
            n for x, one in zip(every, made, strict=True) for n in soundings(x, one.notes, rate, hop, pitched)
        ]
        for kind, every in sounds.items()
    }
    figures["performed_notes"] = len(notes["performed"])
    figures |= cloud_figures([one.clip.file for one in made], sounds, rate)
    figures |= manner_figures(notes)
    why = {"performed_vibrato": NO_VIBRATO, "performed_loudness": FEW_NOTES}
    if not pitched:
        why |= dict.fromkeys(("performed_pitch", "performed_vibrato"), UNPITCHED)
    return Performing(figures, why, made)


def cloud_figures(files: Sequence[str], sounds: dict[str, list[Tensor]], rate: int) -> dict[str, Any]:
    """Distances and diversity of half seconds, by the twelve mel cepstra of the judge of transfers."""
    clouds = {kind: vectors(some, rate) for kind, some in sounds.items()}
    names = sorted(set(files))
    np.random.default_rng(0).shuffle(names)
    first = set(names[: len(names) // 2])
    halves = [
        vectors([x for x, file in zip(sounds["real"], files, strict=True) if (file in first) == side], rate)
        for side in (True, False)
    ]
    spread = {kind: frechet.diversity(cloud) for kind, cloud in clouds.items()}
    real = spread["real"]
    over = {kind: x / real if real and x is not None else None for kind, x in spread.items()}
    return {
        "performed_half_seconds": len(clouds["performed"]),
        "performed_frechet": frechet.fad(clouds["real"], clouds["performed"]),
        "performed_frechet_resynthesis": frechet.fad(clouds["real"], clouds["resynthesis"]),
        "performed_frechet_real": frechet.fad(*halves),
        "performed_diversity": over["performed"],
        "performed_diversity_resynthesis": over["resynthesis"],
    }


def manner_figures(notes: dict[str, list[Sounding]]) -> dict[str, Any]:
    """How notes are in tune, swell, shake and end, against those of the recordings."""
    errors = pitch_errors((n.key, n.midi) for n in notes["performed"])
    figures: dict[str, Any] = {"performed_pitch_cents": percentile(errors, 50)}
    shaken = {kind: vibratos(some) for kind, some in notes.items()}
    for kind, end in (("performed", ""), ("resynthesis", "_resynthesis")):
        figures[f"performed_loudness_db{end}"] = curve_distance_db(notes["real"], notes[kind])
        rate, depth = vibrato_distances(shaken["real"], shaken[kind])
        figures[f"performed_vibrato_hz{end}"], figures[f"performed_vibrato_cents{end}"] = rate, depth
    figures["performed_onset_ms_real"] = percentile([n.edges.onset_ms for n in notes["real"]], 50)
    figures["performed_release_ms_real"] = percentile([n.edges.release_ms for n in notes["real"]], 50)
    return figures
