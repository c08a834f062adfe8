"""A MIDI file as parts: what one channel of one track plays, every message at its time in seconds.

    tracks (ticks) --tempo map of the whole file--> seconds --by track and channel--> parts, numbered from 1

Formats 0 and 1, ticks a quarter or SMPTE; running status and the like are mido's.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from wavevae.audio import require_regular
from wavevae.errors import UserError
from wavevae.files import printable

USUAL_TEMPO = 500_000
"""Microseconds a quarter, where a file says none."""
MOST_BYTES, MOST_PARTS, LATEST_S = 64 << 20, 64, 1e6
PERCUSSION = 9
"""Channel 10, counted from 0."""
SUSTAIN, PRESSED = 64, 64


class Timed(NamedTuple):
    """A channel message and when it is due, s."""

    time: float
    message: Any


@dataclass
class Part:
    """One channel of one track."""

    number: int
    """From 1, in the order of tracks and channels: `--track` names it so."""
    track: str
    """Its name, or its number."""
    channel: int
    """0 to 15."""
    messages: list[Timed] = field(default_factory=list)

    @property
    def percussion(self) -> bool:
        return self.channel == PERCUSSION

    @property
    def keys(self) -> list[int]:
        """Of its notes, in turn."""
        return [m.note for _, m in self.messages if struck(m)]

    def at_once(self) -> int:
        """The most notes that are held at a time, the sustain pedal included."""
        held: set[int] = set()
        kept: set[int] = set()
        pedal, most = False, 1
        for _, message in self.messages:
            if struck(message):
                held.add(message.note)
                kept.discard(message.note)
            elif message.type in ("note_on", "note_off"):
                (kept.add if pedal and message.note in held else held.discard)(message.note)
            elif message.type == "control_change" and message.control == SUSTAIN:
                pedal = message.value >= PRESSED
                if not pedal:
                    held -= kept
                    kept.clear()
            most = max(most, len(held))
        return most


@dataclass(frozen=True)
class Song:
    """A file's parts that hold notes, and its length."""

    path: Path
    parts: list[Part]
    seconds: float


def struck(message: Any) -> bool:
    """Whether it begins a note."""
    return message.type == "note_on" and message.velocity > 0


def read_song(path: Path) -> Song:
    """Raises: UserError for what is no MIDI file, for format 2, and where no notes are in it."""
    file = _opened(path)
    seconds = _clock(file, path)
    timed: list[tuple[float, int, Any]] = []
    names: list[str] = []
    end = 0.0
    for number, track in enumerate(file.tracks):
        tick = 0
        names.append(" ".join(track.name.split())[:40] or f"track {number + 1}")
        for message in track:
            tick += message.time
            if hasattr(message, "channel"):
                timed.append((seconds(tick), number, message))
        end = max(end, seconds(tick))
    if end > LATEST_S:
        raise UserError(f"{printable(path)}: it lasts {end:.3g} s; cut it to {LATEST_S:g} s")
    timed.sort(key=lambda entry: entry[0])  # stable: the order of the tracks
    return Song(path, _parts(timed, names, path), end)


def _opened(path: Path) -> Any:
    """A `mido.MidiFile`. Raises: UserError."""
    require_regular(path)
    try:
        import mido
    except ImportError:
        raise UserError("MIDI files are read by mido, which is not installed; pip install mido") from None
    if path.stat().st_size > MOST_BYTES:
        raise UserError(f"{printable(path)}: larger than a MIDI file is ({MOST_BYTES >> 20} MB)")
    try:
        file = mido.MidiFile(path, clip=True)
    except OSError as error:
        why = error.strerror or str(error)
        raise UserError(f"{printable(path)}: not a MIDI file that can be read ({why})") from None
    except (EOFError, ValueError, KeyError, IndexError, TypeError, mido.KeySignatureError) as error:
        why = " ".join(str(error).split()) or "it breaks off"
        raise UserError(f"{printable(path)}: not a MIDI file that can be read ({why})") from None
    if file.type not in (0, 1):
        raise UserError(
            f"{printable(path)}: MIDI format {file.type}, whose tracks are songs of their own; save it as format 1"
        )
    return file


def _clock(file: Any, path: Path) -> Callable[[int], float]:
    """Ticks -> seconds. Raises: UserError for a file without a unit of time."""
    per_quarter = file.ticks_per_beat
    if per_quarter == 0:
        raise UserError(f"{printable(path)}: its header says 0 ticks a quarter; save it again")
    if per_quarter < 0:  # SMPTE: frames a second, ticks a frame
        rate, per_frame = -(per_quarter >> 8), per_quarter & 0xFF
        ticks_a_second = (30 / 1.001 if rate == 29 else rate) * max(1, per_frame)
        return lambda tick: tick / ticks_a_second
    changes = []
    for track in file.tracks:
        tick = 0
        for message in track:
            tick += message.time
            if message.type == "set_tempo":
                changes.append((tick, message.tempo))
    ticks, starts, tempos = [0], [0.0], [USUAL_TEMPO]
    for tick, tempo in sorted(changes, key=lambda change: change[0]):
        starts.append(starts[-1] + (tick - ticks[-1]) * tempos[-1] / per_quarter / 1e6)
        ticks.append(tick)
        tempos.append(tempo)

    def seconds(tick: int) -> float:
        place = bisect_right(ticks, tick) - 1
        return starts[place] + (tick - ticks[place]) * tempos[place] / per_quarter / 1e6

    return seconds


def _parts(timed: list[tuple[float, int, Any]], names: list[str], path: Path) -> list[Part]:
    """What moves a channel (pedals, wheels) goes to the part of its own track, else to all parts of the channel."""
    places = sorted({(track, message.channel) for _, track, message in timed if struck(message)})
    if not places:
        raise UserError(f"{printable(path)}: no notes in it")
    if len(places) > MOST_PARTS:
        raise UserError(f"{printable(path)}: {len(places)} parts; cut it to {MOST_PARTS}")
    parts = {place: Part(number, names[place[0]], place[1]) for number, place in enumerate(places, 1)}
    for time, track, message in timed:
        own = parts.get((track, message.channel))
        others = [part for part in parts.values() if part.channel == message.channel]
        for part in [own] if own else others:
            part.messages.append(Timed(time, message))
    return list(parts.values())


def parse_tracks(texts: list[str]) -> dict[int, Path]:
    """`N=OTHER.ts` -> part number and file. Raises: UserError."""
    found: dict[int, Path] = {}
    for text in texts:
        number, _, path = text.partition("=")
        if not number.isdecimal() or not path:
            raise UserError(f"--track {text}: use N=MODEL.ts, such as 2=bass.ts")
        if int(number) in found:
            raise UserError(f"--track {text}: part {number} has a model already; name it once")
        found[int(number)] = Path(path).expanduser()
    return found


# -- into an instrument's range --------------------------------------------------------------------------------


def fitted_keys(keys: list[int], lowest: float, highest: float) -> dict[int, int]:
    """Key of the file -> key that is played: the whole by the octaves after which fewest notes lie outside of the
    range, then those by themselves."""

    def outside(shift: int) -> int:
        return sum(not lowest <= key + shift <= highest for key in keys)

    shift = 0
    if outside(0):
        shift = min(range(-96, 97, 12), key=lambda octaves: (outside(octaves), abs(octaves), octaves))
    return {key: _nearest(key + shift, lowest, highest) for key in set(keys)}


def _nearest(key: int, lowest: float, highest: float) -> int:
    """By whole octaves, as near to the range as they bring it."""
    octaves = [key + 12 * n for n in range(-10, 11) if 0 <= key + 12 * n <= 127]
    return min(octaves, key=lambda k: (max(lowest - k, k - highest, 0.0), abs(k - key)))
