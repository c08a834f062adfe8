"""How a model plays, for the section `playing` of report.json: held tones, knobs, transfer, latents as controls, draws,
performances.

Everything goes through one `Player`, so that a run, a checkpoint and a MODEL.ts of any family are measured alike. A
figure that a model or its sounds cannot have is None, and `why` says why.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from wavevae.evaluation import metrics
from wavevae.evaluation.glossary import longest_prefix
from wavevae.evaluation.model_under_test import NONE, Labels, ModelUnderTest
from wavevae.evaluation.playing import draws, latent_controls, performing, timbre_moved
from wavevae.evaluation.playing.held import LONGEST_HOP_S, Held, held_figures, hold_moments
from wavevae.evaluation.playing.player import Player, make_player
from wavevae.evaluation.selection import Clip, Source, evenly, read_clips
from wavevae.plots import Notes

__all__ = ["KEYS", "Clouds", "Demonstration", "Player", "Playing", "measure", "measure_quickly"]

KEYS = (
    *("held_pitch_ok", "held_pitch_cents", "held_spectrum_db", "hop_lock", "liveliness"),
    *("knob_monotonic", "knob_monotonic_least", "knob_crosstalk"),
    *("transfer_moved", "transfer_pitch_kept", "transfer_loudness_r", "transfer_copy_si_sdr_db"),
    *("leakage_pitch", "leakage_loudness", "linear_sum_db", "crossfade_db"),
    *("sample_judged", "sample_kad", "sample_density", "sample_coverage", "sample_diversity", "sample_drift"),
    *("performed_pitch_cents", "performed_onset_ms", "performed_release_ms", "velocity_loudness_r"),
    *("performed_frechet", "performed_diversity", "performed_loudness_db"),
    *("performed_vibrato_hz", "performed_vibrato_cents"),
)
"""Every one of these is in the section, None where it cannot be had."""
QUICK_EXCERPTS, QUICK_FOREIGN = 8, 6
HELD_SHOWN, TRANSFERS_SHOWN, PERFORMED_SHOWN = 4, 3, 3
BEFORE_S = 1.0
"""Heard before a held tone or a sweep begins."""
SWEEP_S = 3.0
NO_FRAMES = f"a frame of this model is longer than {LONGEST_HOP_S:g} s: there is no frame to hold"
NO_MOMENTS = "no steady, loud moment with a quarter of a second on either side in the judged sounds"
NO_PITCH = "fewer than a fifth of the excerpts have a steadily pitched moment"
NO_NAMES = "the model's latents have no names (pitch, loudness, brightness, noisiness)"


@dataclass(frozen=True)
class Demonstration:
    """Sounds of the report's page that belong together."""

    kind: str
    """held, sweep, transfer or performed."""
    title: str
    sounds: Mapping[str, np.ndarray]
    """{caption: (samples,)}"""
    notes: Notes | None = None
    """Found in its first sound."""


@dataclass(frozen=True)
class Playing:
    """What was measured, ready for report.json, and what can be heard of it."""

    figures: dict[str, Any]
    demonstrations: list[Demonstration] = field(default_factory=list)


@dataclass(frozen=True)
class Clouds:
    """Embeddings that the evaluation has made anyway."""

    files: Sequence[str]
    real: np.ndarray
    """(N, dims), one a second of the judged sounds, with its file."""
    generated: draws.Generated | None
    """Draws; none where the model has no density, or none were asked for."""


def measure(
    subject: ModelUnderTest, sources: Sequence[Source], clouds: Clouds, foreign: Sequence[Source] = ()
) -> Playing:
    """Every figure; `foreign` are sounds that are not of the corpus' kind (none: built-in sung syllables)."""
    player = make_player(subject)
    corpus = read_clips(sources, player.sample_rate)
    others = read_clips(foreign, player.sample_rate) or timbre_moved.built_in_foreign(player.sample_rate)
    figures: dict[str, Any] = dict.fromkeys(KEYS)
    why: dict[str, str] = {}
    shown: list[Demonstration] = []
    frames, every = latent_controls.voiced_frames(player, corpus)
    if player.hop_length > LONGEST_HOP_S * player.sample_rate:
        why |= dict.fromkeys(("held", "knob", "leakage"), NO_FRAMES)
    else:
        figures |= latent_controls.leakage_figures(frames)
        shown += add_held(player, corpus, every, figures, why)
    figures |= latent_controls.linearity_figures(player, corpus)
    judge, transferred = add_transfers(player, (corpus, others), median_pitch(frames), figures, why)
    add_draws(player, clouds, judge, sources[0].labels, figures, why)
    performances = add_performances(
        player, read_clips(sources, player.sample_rate, seconds=performing.CLIP_S), figures, why
    )
    shown += [*transferred, *performances]
    figures["foreign"] = (
        timbre_moved.BUILT_IN if not foreign else f"{len({e.file for e in others})} files given"
    )
    figures["why"] = reasons(figures, why)
    return Playing(figures, shown)


def add_held(
    player: Player, corpus: Sequence[Clip], every: Tensor, figures: dict[str, Any], why: dict[str, str]
) -> list[Demonstration]:
    """Held tones and knobs, into the figures."""
    held = hold_moments(player, corpus)
    if not held:
        why["held"] = why["knob"] = NO_MOMENTS
        return []
    figures |= held_figures(held, player.hop_length, player.sample_rate)
    if not figures["held_pitched_moments"]:
        why["held_pitch"] = NO_PITCH
    ranges = latent_controls.control_ranges(player.axis_names, every)
    if ranges:
        figures |= latent_controls.knob_figures(player, held, ranges)
    else:
        why["knob"] = NO_NAMES
    return [*held_demonstrations(player, held), *sweep_demonstrations(player, held, ranges)]


def add_transfers(
    player: Player,
    sounds: tuple[Sequence[Clip], Sequence[Clip]],
    corpus_midi: float | None,
    figures: dict[str, Any],
    why: dict[str, str],
) -> tuple[timbre_moved.TimbreClassifier | None, list[Demonstration]]:
    """Transfer, into the figures, and its judge; `sounds` are the corpus' and the foreign ones."""
    found = timbre_moved.measure_transfer(player, *sounds, corpus_midi)
    figures |= found.figures
    if found.why:
        why["transfer"] = found.why
    return found.judge, [
        Demonstration(
            "transfer",
            t.clip.file + (f", transposed by {t.transposed:+.0f} semitones" if t.transposed else ""),
            {"input": t.clip.audio.numpy(), "output": t.output.numpy()},
        )
        for t in found.transfers[:TRANSFERS_SHOWN]
    ]


def add_draws(
    player: Player,
    clouds: Clouds,
    judge: timbre_moved.TimbreClassifier | None,
    labels: Labels,
    figures: dict[str, Any],
    why: dict[str, str],
) -> None:
    """Draws and minutes of improvising, into the figures."""
    generated = clouds.generated
    places = None if generated is None else generated.embeddings
    real = draws.frechet.diversity(clouds.real)
    found, reason = draws.draw_figures(clouds.files, clouds.real, places, real)
    figures |= found
    if reason:
        why["sample"] = reason
    if generated is None:
        return
    if judge is None:
        why["sample_judged"] = timbre_moved.NO_JUDGE
    else:
        figures["sample_judged"], _ = judge.share_of_corpus(list(torch.from_numpy(generated.sounds)))
        figures["sample_judged_ceiling"] = figures.get("transfer_moved_ceiling")
    why["sample_drift"] = performing.NO_PRIOR
    figures |= draws.drift_figures(player, labels)


def add_performances(
    player: Player, clips: Sequence[Clip], figures: dict[str, Any], why: dict[str, str]
) -> list[Demonstration]:
    """Performing, into the figures."""
    found = performing.measure_performing(player, clips)
    figures |= found.figures
    why |= found.why
    if player.prior is None:
        return []
    return [
        Demonstration(
            "performed",
            one.clip.file,
            {"recording": one.clip.audio.numpy(), "performed": one.performed.numpy()},
            Notes(one.notes, player.prior.profile),
        )
        for one in evenly(found.performances, PERFORMED_SHOWN)
    ]


def median_pitch(frames: Sequence[latent_controls.Frames]) -> float | None:
    """Of the corpus, MIDI."""
    every = np.concatenate([f.pitch for f in frames]) if frames else np.zeros(0)
    return float(np.median(every)) if len(every) else None


def reasons(figures: Mapping[str, Any], why: Mapping[str, str]) -> dict[str, str]:
    """{figure that is None: the reason}; a reason's name is the beginning of the names that it explains."""
    nothing = "the sounds do not have what it is measured on"
    return {name: why.get(longest_prefix(name, why), nothing) for name in KEYS if figures[name] is None}


def held_demonstrations(player: Player, held: Sequence[Held]) -> list[Demonstration]:
    """A real moment, and the model's version of it with the last frame held."""
    rate, shown = player.sample_rate, []
    for one in evenly(held, HELD_SHOWN):
        moment = one.moment
        before = round(BEFORE_S * rate)
        real = moment.clip.audio[max(0, moment.sample - before) : moment.sample + 2 * before]
        pitch = f", MIDI {moment.midi:.2f}" if moment.midi is not None else ""
        title = f"{moment.clip.file} at {moment.sample / rate:.2f} s{pitch}"
        made = one.sound[max(0, one.start - before) :]
        shown.append(Demonstration("held", title, {"real": real.numpy(), "held": made.numpy()}))
    return shown


def sweep_demonstrations(
    player: Player, held: Sequence[Held], ranges: Sequence[latent_controls.ControlRange]
) -> list[Demonstration]:
    """One held tone while a control goes through its range."""
    one = held[len(held) // 2]
    steps = max(2, round(SWEEP_S * player.sample_rate / player.hop_length))
    shown = []
    for control in ranges:
        sound, start = latent_controls.sweep(player, one, control, SWEEP_S / steps, steps)
        if bool(torch.isfinite(sound).all()):
            title = f"{control.name} from {control.low:.3g} to {control.high:.3g}"
            shown_part = sound[max(0, start - round(BEFORE_S * player.sample_rate) // 2) :]
            shown.append(Demonstration("sweep", title, {control.name: shown_part.numpy()}))
    return shown


def measure_quickly(
    player: Player, sounds: Sequence[Tensor], labels: Sequence[Labels] = ()
) -> dict[str, Any]:
    """Held tones and transfer on a few sounds (T,) in a few seconds, each under its labels, for the end of training;
    empty where the model has no frame to hold or the sounds no steady moment."""
    if player.hop_length > LONGEST_HOP_S * player.sample_rate:
        return {}
    known = list(labels) or [NONE] * len(sounds)
    audible = [s for s in zip(sounds, known, strict=True) if bool(metrics.audible(s[0][None])[0])]
    corpus = [Clip(str(i), *each) for i, each in enumerate(audible[:QUICK_EXCERPTS])]
    held = hold_moments(player, corpus)
    if not held:
        return {}
    figures: dict[str, Any] = dict(held_figures(held, player.hop_length, player.sample_rate))
    foreign = timbre_moved.built_in_foreign(player.sample_rate, QUICK_FOREIGN)
    frames, _ = latent_controls.voiced_frames(player, corpus)
    return figures | timbre_moved.measure_transfer(player, corpus, foreign, median_pitch(frames)).figures
