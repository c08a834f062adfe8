"""Presets: snapshots of the controls, kept in MODEL.presets.json beside the model, or in the user's data folder where
none may be written there; then those beside it are given."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from wavevae.controls import (
    BIAS,
    GAIN_GLIDE_MS,
    LATENT,
    MODES,
    MOST_MIXED,
    NUMBERS,
    SCALE,
    WEIGHT,
    Control,
    ControlState,
    Refused,
    Share,
)
from wavevae.errors import UserError
from wavevae.files import locked, write_whole
from wavevae.instruments import PRESETS, companion
from wavevae.names import composed, matching

from ..model_info import ModelInfo

FORMAT = 1
LONGEST_NAME, MOST_PRESETS = 64, 999
KEPT = {control.field: control for control in NUMBERS}
ALWAYS_KEPT = ("gain_db", "smoothing_ms", "temperature", "spread")
"""In presets of every version; a control that an older preset lacks stays as it is."""
ANYWHERE = Control("latent", "", -1e6, 1e6, 0, "")
"""A pitch may be far from a corpus of one note."""
VECTORS = {"latents": LATENT, "scale": SCALE, "bias": BIAS}

Preset = dict[str, Any]


def preset_of(state: ControlState, model: ModelInfo) -> Preset:
    """What is worth keeping, as plain values."""
    return {
        **{name: getattr(state, name) for name in KEPT},
        **{name: list(getattr(state, name)) for name in VECTORS},
        "mode": MODES[state.mode],
        "class": {model.classes[label]: weight for label, weight in state.mix},
        "attributes": list(state.attributes),
    }


def recalled(preset: Preset, state: ControlState, model: ModelInfo, seconds: float | None) -> ControlState:
    """The state that leads to a preset, in the present smoothing or in so many seconds.

    Raises: Refused for a preset of another model or one that was damaged. A mode that cannot be played here
    stays as it is.
    """
    try:
        numbers = {
            name: control.check(preset[name])
            for name, control in KEPT.items()
            if name in preset or name in ALWAYS_KEPT
        }
        vectors = {n: tuple(c.check(v) for v in preset[n]) for n, c in VECTORS.items() if n != "latents"}
        vectors["latents"] = _latents(preset["latents"], model)
        mode, attributes = MODES.index(preset["mode"]), tuple(float(v) for v in preset["attributes"])
        mix = _mix(preset["class"], model)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise Refused(f"that preset does not fit this model ({error})") from None
    of_prior = sum(len(a.kinds) for a in model.attributes if a.name.startswith("prior_"))
    if (
        len(attributes) == len(state.attributes) - of_prior
    ):  # stored before the file had a prior, whose are the last
        attributes += state.attributes[len(attributes) :]
    if {len(v) for v in vectors.values()} != {model.latent_dim} or len(attributes) != len(state.attributes):
        raise Refused(f"that preset is of a model with {len(vectors['latents'])} latents")
    playable = model.live_input if mode == 1 else (model.can_sample or model.performs) if mode == 2 else True
    glide_ms = state.smoothing_ms if seconds is None else 1000 * seconds
    moved = replace(state, **numbers, **vectors).with_latents(vectors["latents"], glide_ms)  # type: ignore[arg-type]
    return replace(
        moved,
        mode=mode if playable else state.mode,
        mix=mix if model.has_class else (),
        attributes=attributes,
        settle_ms=glide_ms,
        gain_glide_ms=max(GAIN_GLIDE_MS, glide_ms if seconds is not None else 0.0),
    )


def _latents(kept: Any, model: ModelInfo) -> tuple[float, ...]:
    """Raises: Refused, TypeError."""
    return tuple((LATENT if i >= model.n_controls else ANYWHERE).check(v) for i, v in enumerate(kept))


def _mix(kept: Any, model: ModelInfo) -> tuple[Share, ...]:
    """Names and weights, or one name, or nothing. Raises: ValueError for a class that is not here."""
    named = {kept: 1.0} if isinstance(kept, str) else kept or {}
    known = {name: matching(name, model.classes) or name for name in named}
    mix = tuple(Share(model.classes.index(known[n]), WEIGHT.check(weight)) for n, weight in named.items())
    if len(mix) > MOST_MIXED:
        raise ValueError(f"{len(mix)} classes at once")
    return mix


@dataclass
class Presets:
    """By name. `save` is called with each that is stored, and with none for one that is deleted."""

    named: dict[str, Preset] = field(default_factory=dict)
    save: Callable[[str, Preset | None], None] = lambda name, preset: None
    reload: Callable[[], dict[str, Preset]] = dict
    """Those in the file, where it has changed since it was read; asked for a preset that is not here."""
    problem: str = ""
    """Why the file could not be read: then nothing is stored, so that it is not overwritten."""
    given: dict[str, Preset] = field(default_factory=dict)
    """Those that came with the model and stay: what is stored under such a name hides it until it is deleted."""

    def store(self, name: str, preset: Preset) -> None:
        """Raises: Refused for a name that is none, or when there is no room."""
        if self.problem:
            raise Refused(self.problem)
        name = matching(name, self.named) or composed(name)
        if not 0 < len(name) <= LONGEST_NAME or not name.isprintable() or name.strip() != name:
            raise Refused(f"a preset's name has 1 to {LONGEST_NAME} printable characters")
        if name not in self.named and len(self.named) >= MOST_PRESETS:
            raise Refused(f"{MOST_PRESETS} presets already; delete some")
        self.named = {**self.named, name: preset}
        self.save(name, preset)

    def get(self, name: str) -> Preset:
        """Raises: Refused where there is none."""
        name = matching(name, self.named) or name
        if name not in self.named:  # another program may have stored it meanwhile
            self.named = {**self.reload(), **self.named}
            name = matching(name, self.named) or name
        if name not in self.named:
            known = "`/wavevae/query presets` lists them" if self.named else "none is stored yet"
            raise Refused(self.problem or f"no preset '{name[:LONGEST_NAME]}'; {known}")
        return self.named[name]

    def delete(self, name: str) -> None:
        """Raises: Refused where there is none, or where it came with the model."""
        preset = self.get(name)
        name = matching(name, self.named) or name
        if preset is self.given.get(name):
            raise Refused(f"preset '{name}' came with the instrument; store another under its name")
        self.named = {n: p for n, p in self.named.items() if n != name}
        if name in self.given:
            self.named[name] = self.given[name]
        self.save(name, None)


def presets_of(model: Path) -> tuple[Presets, Path]:
    """Those of a model, and the file to keep them in."""
    beside, path = model.absolute().with_suffix(PRESETS), companion(model, PRESETS)
    if path == beside:
        return read_presets(path), path
    given, own = read_presets(beside), read_presets(path)
    named = {**given.named, **own.named}
    return Presets(named, problem=own.problem or given.problem, given=given.named), path


def read_presets(path: Path) -> Presets:
    """What the file holds; nothing where there is none."""
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        named = values["presets"]
        if values["format"] != FORMAT or not all(isinstance(p, dict) for p in named.values()):
            raise ValueError("another format")
    except FileNotFoundError:
        return Presets()
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        return Presets(
            problem=f"{path.name} cannot be read ({type(error).__name__}); repair it or move it away"
        )
    return Presets(named)


def write_preset(path: Path, name: str, preset: Preset | None) -> None:
    """Store one, or delete it where it is None; what other programs have stored meanwhile stays.

    Raises: Failure for a full disk; UserError for a file that cannot be written or was damaged meanwhile.
    """
    with locked(path):
        there = read_presets(path)
        if there.problem:
            raise UserError(there.problem)
        named = {n: p for n, p in there.named.items() if n != name}
        if preset is not None:
            named[name] = preset
        write_whole(path, json.dumps({"format": FORMAT, "presets": named}, indent=1))


class PresetsFile:
    """The file beside a model, watched for what other programs store there."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._seen = self._stamp()

    def _stamp(self) -> tuple[int, int] | None:
        try:
            found = self.path.stat()
        except OSError:
            return None
        return found.st_mtime_ns, found.st_ino

    def reload(self) -> dict[str, Preset]:
        """All of them, or nothing where the file is as it was."""
        stamp = self._stamp()
        if stamp == self._seen:
            return {}
        self._seen = stamp
        return read_presets(self.path).named
