"""Writes a MIDI file, wavevae/piece.mid unless another is named: eight bars for two saxophones.

They were written for this project; `wavevae demo` plays them.

    python examples/piece.py piece.mid && wavevae render sax.ts --midi piece.mid -o piece.wav

A voice is a line of notes, each KEY:BEATS or KEY:BEATS:VELOCITY; r is a rest.
"""

import sys
from pathlib import Path

import mido

TEMPO, TICKS = 96, 480
MELODY = """
    r:1 62:.5 65:.5 69:1.5:96 67:.5   65:.5 64:.5 62:1 60:.5 62:1.5
    r:.5 65:.5 69:.5 72:.5 74:1.5:104 72:.5   70:1 69:.5 67:.5 69:2:84
    r:.5 69:.5 70:.5 72:.5 77:1.5:112 76:.5   74:.5 72:.5 70:.5 69:.5 67:1.5:90 65:.5
    64:.75 65:.25 67:1 70:.5 69:.5 67:.5 64:.5   62:3:88 r:1
"""
BASS = """
    50:2:80 57:1 53:1   55:1.5 53:.5 52:1 50:1
    53:2 50:1 57:1   55:1.5:84 58:.5 57:2
    50:1 53:1 58:2:88   55:1.5 57:.5 58:1 60:1
    57:2:92 52:1 57:1   50:3:76 r:1
"""
SHORTENED = 0.92
"""Of the length a note is held."""


def voice(name: str, channel: int, text: str, usual: int) -> mido.MidiTrack:
    """One track."""
    track = mido.MidiTrack([mido.MetaMessage("track_name", name=name)])
    waited = 0
    for word in text.split():
        key, beats, *strength = word.split(":")
        length = round(float(beats) * TICKS)
        if key == "r":
            waited += length
            continue
        held = round(SHORTENED * length)
        note = {"channel": channel, "note": int(key)}
        track.append(
            mido.Message("note_on", **note, velocity=int(strength[0]) if strength else usual, time=waited)
        )
        track.append(mido.Message("note_off", **note, time=held))
        waited = length - held
    track.append(mido.MetaMessage("end_of_track", time=waited))
    return track


def main() -> None:
    song = mido.MidiFile(ticks_per_beat=TICKS)
    song.tracks.append(mido.MidiTrack([mido.MetaMessage("set_tempo", tempo=mido.bpm2tempo(TEMPO))]))
    song.tracks.append(voice("melody", 0, MELODY, 78))
    song.tracks.append(voice("second", 1, BASS, 70))
    usual = Path(__file__).parents[1] / "wavevae" / "piece.mid"
    song.save(sys.argv[1] if len(sys.argv) > 1 else usual)


if __name__ == "__main__":
    main()
