"""The data of the control page: the model once, then levels and a spectrum thirty times a second."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wavevae.controls import CONTROLS, MODES, NATURAL

from ..model_info import Axis
from .addresses import Address, Range, Value
from .dispatcher import Dispatcher
from .midi_mapper import MidiMapper

WINDOW = 2048
"""Samples of the spectrum."""
BANDS, LOWEST_HZ, FLOOR_DB = 96, 40.0, -96.0
SCOPE_POINTS = 256
DIGITS = 3
DECLARED = {control.name: control for control in CONTROLS}
PER_AXIS = ("latent", "scale", "bias")


def axis_of(axis: Axis) -> dict[str, Any]:
    """As the page takes it: `low` and `high` in standard deviations, `mean` and `std` in natural units. `limits` of an
    axis in natural units: what it may be at all."""
    known = NATURAL.get(axis.name)
    limits = [known.low, known.high] if known else None
    return {
        **{name: getattr(axis, name) for name in ("name", "low", "high", "mean", "std", "unit")},
        "limits": limits,
    }


def control_of(row: Address) -> dict[str, Any]:
    """The range, the unit and the meaning of an address of one number, and where it is on the page."""
    limits = row.ranges[0] if row.ranges else Range()
    whole = row.tags == "i"
    declared = DECLARED.get(row.name)
    return {
        **{"low": limits.low, "high": limits.high, "unit": row.unit, "doc": row.doc, "whole": whole},
        "fader": declared.fader if declared else None,
        "group": declared.group if declared else "",
    }


def number_of(row: Address) -> Any:
    """The present value of an address of one number."""
    value = row.value() if row.value else None
    return rounded(value[0] if isinstance(value, list) else value)


def rounded(value: Value | None) -> Any:
    """For JSON: short numbers."""
    if isinstance(value, list):
        return [rounded(v) for v in value]
    return round(float(value), DIGITS) if isinstance(value, (int, float)) else value


class PageView:
    """Collects the data."""

    def __init__(
        self,
        dispatcher: Dispatcher,
        played: Callable[[int], NDArray[np.float32]],
        look_up: Callable[[], dict[str, Value]],
        midi: MidiMapper | None,
    ) -> None:
        """`played` returns so many samples, the last that sounded."""
        self._dispatcher, self._played, self._look_up, self._midi = dispatcher, played, look_up, midi
        self._window = np.hanning(WINDOW).astype(np.float32)

    def head(self) -> dict[str, Any]:
        """What changes seldom: the model, its axes, classes and map, the controls with their ranges, presets, what
        MIDI turns."""
        about, dispatcher = self._dispatcher.about, self._dispatcher
        labels = sorted(set(dispatcher.map.labels))
        return {
            "about": {
                "name": about.name,
                "sample_rate": about.sample_rate,
                "axes": [axis_of(a) for a in about.axes],
                "n_controls": about.n_controls,
                "classes": list(about.classes) if about.has_class else [],
                "plays_notes": about.plays_notes,
                "plays_pitch": about.plays_pitch or about.has_pitch,
                "hears": about.hears,
                "has_input_class": about.hears and about.has_input_class,
                "has_input_pitch": about.hears and about.has_input_pitch,
                "modes": [m for m in MODES if self._plays(m)],
                "bounds": dispatcher.map.bounds(),
                "map": np.round(dispatcher.map.places, DIGITS).tolist(),
                "map_axes": list(dispatcher.map.names),
                "map_labels": [labels.index(name) for name in dispatcher.map.labels],
                "map_names": labels,
            },
            "controls": {row.name: control_of(row) for row in self._numbers()},
            "presets": list(dispatcher.presets.named),
            "midi": self._midi is not None,
            "bindings": self._midi.bindings() if self._midi else {},
        }

    def _plays(self, mode: str) -> bool:
        about = self._dispatcher.about
        return {"transform": about.hears, "sample": about.can_sample}.get(mode, True)

    def _numbers(self) -> list[Address]:
        """Addresses of one number that can be set and asked for; those of the axes go as lists."""
        rows = self._dispatcher.table.values()
        return [r for r in rows if r.tags in ("f", "i") and r.value and r.name.split("/")[0] not in PER_AXIS]

    def frame(self) -> dict[str, Any]:
        """What moves."""
        state, known = self._dispatcher.state, self._look_up()
        recent = self._played(WINDOW)
        return {
            "values": {row.name: number_of(row) for row in self._numbers()},
            "targets": rounded(list(state.latents)),
            "bias": rounded(list(state.bias)),
            "heard": rounded(known["latents"]),
            "mode": MODES[state.mode],
            "mix": [[label, round(weight, DIGITS)] for label, weight in state.mix],
            "input_class": state.input_label,
            "input_pitch": state.input_pitch,
            "muted": state.muted,
            "idle": state.idle,
            "keyed": state.keyed,
            "held": [n.pitch for n in sorted(state.notes, key=lambda n: n.serial) if n.held],
            "level": rounded(known["level"]),
            "confidence": rounded(known.get("confidence", 0.0)),
            "real_time_factor": known["real_time_factor"],
            "underflows": known["underflows"],
            "limited": known["limited"],
            "learning": known["learning"],
            "port": known["midi"],
            "scope": self._scope(recent),
            "spectrum": self._spectrum(recent),
        }

    def _scope(self, sound: NDArray[np.float32]) -> list[int]:
        """SCOPE_POINTS numbers, -100 to 100, from a rising zero crossing on: it stands still for a tone."""
        half = sound[: WINDOW // 2]
        rising = np.flatnonzero((half[:-1] < 0) & (half[1:] >= 0))
        start = int(rising[0]) if len(rising) else 0
        step = WINDOW // 2 // SCOPE_POINTS
        points: list[int] = np.rint(100 * sound[start : start + WINDOW // 2 : step]).astype(int).tolist()
        return points

    def _spectrum(self, sound: NDArray[np.float32]) -> list[int]:
        """BANDS levels in dB below full scale, evenly spaced in pitch: the highest bin of each."""
        levels = np.abs(np.fft.rfft(sound * self._window)) * (4 / WINDOW)
        rate = self._dispatcher.about.sample_rate
        edges = np.geomspace(LOWEST_HZ, rate / 2, BANDS + 1) * WINDOW / rate
        low = np.minimum(edges[:-1].astype(int), len(levels) - 1)
        high = np.maximum(low + 1, np.ceil(edges[1:]).astype(int))
        peaks = np.array([levels[a:b].max() for a, b in zip(low, high, strict=True)])
        bands: list[int] = (
            np.rint(20 * np.log10(np.maximum(peaks, 10 ** (FLOOR_DB / 20)))).astype(int).tolist()
        )
        return bands
