"""What is known of a file: its class (NSynth's family, or the folder) and its MIDI pitch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from wavevae.names import composed

CLASS_FIELDS = ("class", "instrument_family_str", "instrument_family")
"""In this order, where no field is named."""


def class_of(labels: Mapping[str, Any], field: str = "") -> str | None:
    """The class by name; none where it is not known. `instrument_family` gives the family's name where it has one."""
    fields = (f"{field}_str", field) if field else CLASS_FIELDS
    for name in fields:
        value = labels.get(name)
        if value is not None and str(value):
            return composed(str(value))
    return None


def exact_pitch_of(labels: Mapping[str, Any]) -> float | None:
    """The MIDI pitch as the file has it, which is what a model is told; none where there is no sane one."""
    value = labels.get("pitch")
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= 127:
        return None
    return float(value)


def pitch_of(labels: Mapping[str, Any]) -> int | None:
    """The nearest MIDI note number, to sort files by; none where there is no sane pitch."""
    pitch = exact_pitch_of(labels)
    return None if pitch is None else round(pitch)
