"""How well notes are found in recordings: on labelled single notes, and on phrases of a score that is rendered here.

    python experiments/note_finding.py --notes notes/test notes/valid      # NSynth's layout: a note a file, from 0 s on
    python experiments/note_finding.py                                     # the score alone: four synthesised families

Notes are found as `wavevae notes` finds them. A note is right where its onset lies within 50 ms of one that was
played, one for one (as in MIREX); its pitch, where it is within half a semitone. Prints a row for each family and set:
notes played and found, precision, recall, F1 (also within 100 ms: a bow or a reed takes 50 ms to be heard), the share
of right pitches among the onsets found, and their median error.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections import defaultdict
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from wavevae import audio
from wavevae.corpus import build_store
from wavevae.corpus.pitch_track import pitch_track
from wavevae.prior.notes_command import USUAL_FRAMES_A_SECOND, find, profile_of
from wavevae.synthesis.corpus import FAMILIES, MOTIFS, phrase
from wavevae.synthesis.corpus import perform as render
from wavevae.synthesis.instruments import RATE

TOLERANCE_S, WIDE_S, TOLERANCE_SEMITONES = 0.05, 0.1, 0.5
Played = list[tuple[float, float]]
"""Onset in seconds and MIDI pitch."""


class Count(NamedTuple):
    """Of a family."""

    played: int = 0
    found: int = 0
    right: int = 0
    in_tune: int = 0
    nearly: int = 0
    """Onsets within WIDE_S."""
    errors: tuple[float, ...] = ()
    """ms, of the onsets that are right."""

    def __add__(self, other: Count) -> Count:  # type: ignore[override]
        return Count(*(a + b for a, b in zip(self, other, strict=True)))

    def row(self) -> dict[str, Any]:
        precision, recall = self.right / max(1, self.found), self.right / max(1, self.played)
        return {
            "played": self.played,
            "found": self.found,
            "precision": round(precision, 3),
            "recall": round(recall, 3),
            "f1": round(2 * self.right / max(1, self.played + self.found), 3),
            "f1_100_ms": round(2 * self.nearly / max(1, self.played + self.found), 3),
            "pitch_right": round(self.in_tune / max(1, self.right), 3),
            "onset_error_ms": round(float(np.median(self.errors)), 1) if self.errors else None,
        }


def matched(played: Played, found: Played, tolerance_s: float) -> list[tuple[float, bool]]:
    """Error in ms, and whether the pitch is right, of each found note that is near a played one that is free."""
    free, pairs = list(played), []
    for onset, pitch in found:
        near = [n for n in free if abs(n[0] - onset) <= tolerance_s]
        if near:
            best = min(near, key=lambda n: (abs(n[1] - pitch) > TOLERANCE_SEMITONES, abs(n[0] - onset)))
            free.remove(best)
            pairs.append((1000 * abs(best[0] - onset), abs(best[1] - pitch) <= TOLERANCE_SEMITONES))
    return pairs


def compared(played: Played, found: Played) -> Count:
    pairs = matched(played, found, TOLERANCE_S)
    in_tune, errors = sum(right for _, right in pairs), tuple(error for error, _ in pairs)
    nearly = len(matched(played, found, WIDE_S))
    return Count(len(played), len(found), len(pairs), in_tune, nearly, errors)


def judge(folders: list[Path], played: dict[str, tuple[str, Played]], rate: int) -> dict[str, Count]:
    """`played`: {name of a file without its ending: its family and its notes} -> {family: its count}."""
    store = build_store(folders, rate)
    hop = 2 ** round(np.log2(rate / USUAL_FRAMES_A_SECOND))
    track = pitch_track(store, hop)
    profile = profile_of(track.values, True, rate, hop)
    counts: dict[str, Count] = defaultdict(Count)
    for item, first, count in zip(store.items, track.starts, track.counts, strict=True):
        notes = find(item, track.values[:, first : first + count], profile).notes
        family, truth = played[item.path.stem]
        found = [((n.onset + 1) / profile.frame_rate, n.pitch) for n in notes]
        counts[family] += compared(truth, found)
    return counts


def labelled(folders: list[Path]) -> dict[str, tuple[str, Played]]:
    """Of examples.json."""
    every = [json.loads((folder / "examples.json").read_text()) for folder in folders]
    return {
        name: (fields["instrument_family_str"], [(0.0, float(fields["pitch"]))])
        for examples in every
        for name, fields in examples.items()
    }


def rendered(folder: Path) -> dict[str, tuple[str, Played]]:
    """Every motif twice by every family of the demo's corpus, written into a folder."""
    played = {}
    for family, (_, tonic) in FAMILIES.items():
        rng = np.random.default_rng(0)
        for number in range(2 * len(MOTIFS)):
            piece = phrase(tonic, number, rng)
            name = f"{family}-{piece.name}"
            audio.write(folder / f"{name}.wav", render(piece, family, 1).astype(np.float32), RATE)
            played[name] = (family, [(note.start_s, float(note.pitch)) for note in piece.notes])
    return played


def tell(title: str, counts: dict[str, Count]) -> None:
    total = Count()
    for family, count in sorted(counts.items()):
        print(json.dumps({"set": title, "family": family, **count.row()}))
        total += count
    print(json.dumps({"set": title, "family": "all", **total.row()}), flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--notes", nargs="+", type=Path, default=[], metavar="FOLDER", help="with examples.json"
    )
    parser.add_argument("--sr", type=int, default=16000, help="rate at which those are looked at [16000]")
    options = parser.parse_args()
    if options.notes:
        tell("notes", judge(options.notes, labelled(options.notes), options.sr))
    with tempfile.TemporaryDirectory() as place:
        played = rendered(Path(place))
        tell("score", judge([Path(place)], played, 22050))
    return 0


if __name__ == "__main__":
    sys.exit(main())
