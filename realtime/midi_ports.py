"""MIDI inputs of this machine, through mido and python-rtmidi (ALSA, JACK, CoreMIDI, WinMM)."""

from __future__ import annotations

NO_MIDI = "no MIDI: `pip install 'wavevae[live]'` brings it"


def find_inputs() -> tuple[list[str], str]:
    """The names of all inputs, and why there are none."""
    return [], NO_MIDI
