"""`wavevae notes`: the notes of recordings as a MIDI file, and a picture of them over the spectrogram.

    recordings --decoded, pitch track--> pitch, periodicity, loudness --find_notes--> notes --> MIDI, piano roll

Pitch and loudness are an instrument's controls, so that no model is needed; a RUN says which recordings, at which rate
and hop. Without a pitch every note is a hit of the percussion channel, on the key by which the run's prior plays its
timbre.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from wavevae.cli import Parser, parse_sample_rate
from wavevae.console import say
from wavevae.errors import UserError
from wavevae.files import printable, replacing

if TYPE_CHECKING:
    from wavevae.corpus import Item, Store
    from wavevae.corpus_profile import CorpusProfile

    from .notes import FoundNote

EXAMPLE = """\
  wavevae notes recordings/ -o notes.mid                 all in a row, a second between them
  wavevae notes runs/mine -o notes.mid --bend --tracks   those of a run, one track each, with their pitch curves
  wavevae render mine.ts --midi notes.mid -o again.wav
"""
USUAL_RATE, USUAL_FRAMES_A_SECOND = 22050, 86.0
PITCHED_SHARE = 0.4
"""Share of the loud frames with one clear pitch, below which notes are hits."""
GAP_S = 1.0
TICKS_A_QUARTER, MICROSECONDS_A_QUARTER = 480, 500_000
TICKS_A_SECOND = TICKS_A_QUARTER * 1_000_000 / MICROSECONDS_A_QUARTER
HIT_KEY, PERCUSSION = 38, 9
BEND_SEMITONES, BEND_STEPS, BEND_APART = 2.0, 8192, 40
"""Range and steps of the wheel; changes smaller than a cent are not written."""
PICTURED, PICTURED_S = 4, 12.0


class Recording(NamedTuple):
    """A sound and what was found in it."""

    item: Item
    z: NDArray[np.float32]
    """(frames, 3): pitch, loudness, periodicity; without a pitch (frames, 1)."""
    notes: list[FoundNote]


def build_parser() -> Parser:
    parser = Parser("notes", "Find the notes in recordings and write them as a MIDI file.", EXAMPLE)
    add = parser.add_argument
    add("data", nargs="+", metavar="RUN|DATA", type=Path, help="a run folder, or folders and files of sounds")
    add("-o", "--out", type=Path, required=True, metavar="NOTES.mid", help="and a picture, NOTES.png")
    add("--bend", action="store_true", help="also the course of the pitch within each note, as pitch bend")
    add("--tracks", action="store_true", help="a track for each recording, instead of all in a row")
    add(
        "--sr",
        type=parse_sample_rate,
        metavar="HZ",
        help="rate at which sounds are looked at [the run's, else 22050]",
    )
    add("--cache", metavar="DIR", help="where decoded sounds are kept [WAVEVAE_CACHE, else ~/.cache/wavevae]")
    return parser


def main(argv: list[str]) -> int:
    """Entry point. Raises: UserError."""
    arguments = build_parser().parse_args(argv)
    out: Path = arguments.out
    if out.suffix.lower() not in (".mid", ".midi"):
        raise UserError(f"{printable(out)}: notes are written as .mid; name one")
    for place in arguments.data:
        if place.suffix == ".ts":
            raise UserError(
                f"{printable(place)}: a model file has no recordings; give its run, or the folder of sounds"
            )
    inputs, rate, hop = sounds_of(arguments.data, arguments.sr)

    from wavevae.corpus import build_store
    from wavevae.corpus.pitch_track import pitch_track

    store = build_store(inputs, rate, cache=arguments.cache)
    track = pitch_track(store, hop, arguments.cache)
    profile = profile_of(track.values, track.voiced_share >= PITCHED_SHARE, rate, hop)
    recordings = [
        find(item, track.values[:, first : first + count], profile)
        for item, first, count in zip(store.items, track.starts, track.counts, strict=True)
    ]
    count = sum(len(recording.notes) for recording in recordings)
    if not count:
        raise UserError(
            f"{', '.join(map(printable, arguments.data))}: no notes are found; they are silent or too short"
        )
    written, kind = recordings, ""
    if not profile.has_pitch:
        written = keyed_hits(arguments.data[0], recordings, store)
        keys = sorted({key_of(note) for recording in written for note in recording.notes})
        kind = f" (no clear pitch: hits, channel 10, keys {', '.join(map(str, keys))})"
    write_midi(out, written, profile, arguments.bend and profile.has_pitch, arguments.tracks)
    say(
        f"wrote {out}: {counted(count, 'note')}{kind} in {counted(len(recordings), 'recording')}, {store.seconds:.1f} s"
    )
    try:
        draw(out.with_suffix(".png"), recordings, store, profile)
        say(f"wrote {out.with_suffix('.png')}")
    except UserError as why:  # no matplotlib: the notes are written
        say(str(why))
    return 0


def sounds_of(places: Sequence[Path], sample_rate: int | None) -> tuple[list[Path], int, int]:
    """Folders and files of sounds, rate, hop length. Raises: UserError for a run of another kind or without its
    sounds."""
    from wavevae.model_config import ModelConfig

    rate = sample_rate or USUAL_RATE
    config = ModelConfig(family="instrument", sample_rate=rate, frames_per_second=USUAL_FRAMES_A_SECOND)
    first = places[0].parent.parent if places[0].suffix == ".ckpt" else places[0]
    if not (first / "config.yaml").is_file():
        return list(places), rate, config.hop_length
    if len(places) > 1:
        raise UserError(f"{printable(places[1])}: a run is looked at alone; leave one out")
    import yaml

    from wavevae.config import from_tree

    try:
        tree = yaml.safe_load((first / "config.yaml").read_text(encoding="utf-8"))
        model, inputs = from_tree(tree).model, [Path(place) for place in tree["run"]["inputs"]]
    except (OSError, KeyError, TypeError, ValueError, yaml.YAMLError) as error:
        raise UserError(f"{first / 'config.yaml'} cannot be read ({type(error).__name__})") from None
    if not inputs:
        raise UserError(f"{printable(first)} learned from the built-in demo corpus; give a folder of sounds")
    hop = model.hop_length if sample_rate is None and model.family == "instrument" else config.hop_length
    return inputs, sample_rate or model.sample_rate, hop


def profile_of(track: NDArray[Any], pitched: bool, rate: int, hop: int) -> CorpusProfile:
    """Of the controls alone; `track`: (3, frames) pitch, periodicity, loudness."""
    from wavevae.corpus_profile import CorpusProfile

    names = ("pitch", "loudness", "periodicity") if pitched else ("loudness",)
    return CorpusProfile(names, rate, rate / hop, 0).measure(controls(track, pitched))


def controls(track: NDArray[Any], pitched: bool) -> NDArray[np.float32]:
    """(3, frames) of a track -> (frames, controls) in the order of an instrument's latents."""
    return np.asarray(track[[0, 2, 1]] if pitched else track[2:], np.float32).T


def find(item: Item, track: NDArray[Any], profile: CorpusProfile) -> Recording:
    """The notes of one recording."""
    from .notes import find_notes

    z = controls(track, profile.has_pitch)
    return Recording(item, z, find_notes(z, profile))


def keyed_hits(place: Path, recordings: list[Recording], store: Store) -> list[Recording]:
    """Hits whose pitch is the key by which the prior of a run plays their timbre; without a prior as they are."""
    if not (place.suffix == ".ckpt" or (place / "config.yaml").is_file()):
        return recordings
    from wavevae.checkpoint import load_model

    from .fitting import encode_recording, keyed, timbre_groups

    model = load_model(place)
    prior = getattr(model, "prior", None)
    if prior is None or model.profile is None or model.sample_rate != store.sample_rate:
        return recordings
    features, notes = prior.performer.features, [recording.notes for recording in recordings]
    if not features.timbres:
        return recordings
    items = [recording.item for recording in recordings]
    sounds = [store.samples[i.start : i.start + i.length].astype(np.float32) / 32768 for i in items]
    sequences = [encode_recording(model, sound) for sound in sounds]
    groups = timbre_groups(sequences, notes, model.profile, features.timbres)
    named = keyed(notes, groups, features.timbre_of_key.numpy())
    return [recording._replace(notes=own) for recording, own in zip(recordings, named, strict=True)]


def key_of(note: FoundNote) -> int:
    """MIDI."""
    return HIT_KEY if np.isnan(note.pitch) else int(np.clip(round(note.pitch), 0, 127))


# -- MIDI ---------------------------------------------------------------------------------------------------------


def write_midi(
    path: Path, recordings: Sequence[Recording], profile: CorpusProfile, bend: bool, tracks: bool
) -> None:
    """Format 1, whole or not at all: tempo, then all recordings in a row with markers, or a track each.

    Raises: UserError where mido is missing.
    """
    try:
        import mido
    except ImportError:
        raise UserError("MIDI files are written by mido, which is not installed; pip install mido") from None
    file = mido.MidiFile(type=1, ticks_per_beat=TICKS_A_QUARTER)
    tempo = mido.MetaMessage("set_tempo", tempo=MICROSECONDS_A_QUARTER)
    file.add_track("wavevae notes").append(tempo)
    start, row = 0.0, []
    for recording in recordings:
        events = list(events_of(recording, profile, bend, start))
        if tracks:
            add_track(file, recording.item.path.stem, events)
            continue
        marker = mido.MetaMessage("marker", text=latin(recording.item.path.stem))
        row += [(start, marker), *events]
        start += len(recording.z) / profile.frame_rate + GAP_S
    if not tracks:
        add_track(file, "notes", row)
    with replacing(path) as part, open(part, "wb") as out:
        file.save(file=out)


def latin(text: str) -> str:
    """As a MIDI file keeps texts."""
    return text.encode("latin-1", "replace").decode("latin-1")


def add_track(file: Any, name: str, events: Iterable[tuple[float, Any]]) -> None:
    """Messages at seconds, in order."""
    track, last = file.add_track(latin(name)), 0
    for seconds, message in events:
        tick = round(seconds * TICKS_A_SECOND)
        track.append(message.copy(time=max(0, tick - last)))
        last = max(last, tick)


def events_of(
    recording: Recording, profile: CorpusProfile, bend: bool, start: float
) -> Iterator[tuple[float, Any]]:
    """Time in seconds and message, for every note of a recording that begins at `start`."""
    import mido

    from .notes import velocity_of

    channel = 0 if profile.has_pitch else PERCUSSION
    if bend:
        for control, value in ((101, 0), (100, 0), (6, int(BEND_SEMITONES)), (38, 0)):
            yield start, mido.Message("control_change", channel=channel, control=control, value=value)
    rate = profile.frame_rate
    start += 1 / rate  # frame k describes sample (k + 1) x hop
    for note in recording.notes:
        key = key_of(note)
        strength = max(1, round(127 * velocity_of(note.level, profile.loudness[-1])))
        if bend:
            curve = wheel(recording.z[note.onset : note.release], key)
            yield start + note.onset / rate, mido.Message("pitchwheel", pitch=curve[0])
        on, off = ({"channel": channel, "note": key, "velocity": v} for v in (strength, 0))
        yield start + note.onset / rate, mido.Message("note_on", **on)
        if bend:
            for n in range(1, len(curve)):
                if curve[n] != curve[n - 1]:
                    yield start + (note.onset + n) / rate, mido.Message("pitchwheel", pitch=curve[n])
        yield start + note.release / rate, mido.Message("note_off", **off)


def wheel(z: NDArray[Any], key: int) -> list[int]:
    """The pitch of a note's frames above its key, as steps of the wheel; unvoiced frames keep the one before."""
    from .notes import VOICED

    said, last = [], 0
    for pitch, _, periodicity in z.tolist():
        if periodicity >= VOICED and abs(pitch - key) < BEND_SEMITONES:
            step = int(
                np.clip(round((pitch - key) / BEND_SEMITONES * BEND_STEPS), -BEND_STEPS, BEND_STEPS - 1)
            )
            if abs(step - last) >= BEND_APART:
                last = step
        said.append(last)
    return said


# -- the picture ----------------------------------------------------------------------------------------------------


def draw(path: Path, recordings: Sequence[Recording], store: Store, profile: CorpusProfile) -> None:
    """The first recordings with notes: a piano roll over the spectrogram. Raises: UserError without matplotlib."""
    from wavevae import plots

    shown = [recording for recording in recordings if recording.notes][:PICTURED]
    figure = plots.new_figure(10, 2.8 * len(shown) + 0.4)
    panels = figure.subplots(len(shown), 1, squeeze=False)[:, 0]
    for axes, recording in zip(panels, shown, strict=True):
        item = recording.item
        length = min(item.length, round(PICTURED_S * store.sample_rate))
        sound = store.samples[item.start : item.start + length].astype(np.float32) / 32768
        plots.show_by_pitch(axes, sound, store.sample_rate)
        plots.mark_notes(axes, plots.Notes(recording.notes, profile), over_pitch=True)
        axes.set_title(f"{item.path.name}: {counted(len(recording.notes), 'note')}", loc="left", fontsize=9)
    panels[-1].set_xlabel("seconds")
    plots.save(figure, path)


def counted(number: int, what: str) -> str:
    """'1 note', '2 notes'."""
    return f"{number} {what}{'s' * (number != 1)}"
