"""What a model can do, as the control side needs it, and the map of its latents. Imports no torch: the engine sends it
to other processes."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from wavevae.controls import MOST_ATTRIBUTES, NATURAL, ControlState
from wavevae.latents import Plane

if TYPE_CHECKING:
    from wavevae.bundle import Bundle, LatentAxis

OWN = frozenset(("gain", "temperature", "reset", "class", "pitch", "input_class", "input_pitch"))
"""Attributes that `serve` has addresses of its own for."""
LARGEST_LATENT_DIM = 256
"""Shared memory is laid out for as many, before the model is known."""
USUAL_VOICES = 8
"""Of an instrument; a codec has one."""
TEXT = 3
"""nn~'s id of an attribute that is text: it cannot be set here."""


@dataclass(frozen=True)
class Axis:
    """One latent axis."""

    name: str
    low: float
    """Where the training data begins (1st percentile), in standard deviations."""
    high: float
    share: float
    mean: float = 0.0
    """Of the training data, in the axis' own unit; and its standard deviation."""
    std: float = 1.0
    unit: str = ""

    def natural(self, deviations: float) -> float:
        """In its own unit."""
        return self.mean + self.std * deviations

    def standard(self, value: float) -> float:
        """The reverse."""
        return (value - self.mean) / self.std


@dataclass(frozen=True)
class Attribute:
    """One of the file's own: `/wavevae/attribute/<name>`."""

    name: str
    kinds: tuple[int, ...]
    """nn~'s ids: 0 bool, 1 int, 2 float."""
    values: tuple[float, ...]
    """As the file was loaded."""


@dataclass(frozen=True)
class ModelInfo:
    """A model's axes, labels, attributes and abilities."""

    path: str
    name: str
    sample_rate: int
    hop_length: int
    axes: tuple[Axis, ...]
    algorithmic_latency_samples: int = 0
    """From a latent to its sound."""
    input_latency_samples: int = 0
    """From a live input to its sound: what the model itself takes."""
    classes: tuple[str, ...] = ()
    """Labels, in the order of their numbers."""
    has_class: bool = False
    has_pitch: bool = False
    can_mix: bool = False
    """Takes several classes at once."""
    has_input_class: bool = False
    has_input_pitch: bool = False
    """Its encoder takes labels of a live input."""
    attributes: tuple[Attribute, ...] = ()
    can_sample: bool = False
    points: tuple[tuple[float, ...], ...] = ()
    """Some training latents, (latent_dim,) each: the map of `/wavevae/xy`."""
    point_labels: tuple[str, ...] = ()
    plays_pitch: bool = False
    """Pitch is one of its latents."""
    n_controls: int = 0
    """Of an instrument: how many axes come before the learned ones."""
    typical: tuple[float, ...] = ()
    """Of an instrument: a sound in the middle of its corpus, (latent_dim,) in standard deviations."""
    loudest_db: float = 0.0
    """Of an instrument: what its corpus hardly exceeds."""
    performs: bool = False
    """It holds a prior: notes are played the way its recordings are, and it improvises."""
    restarts: bool = True
    """A voice can begin anew; files of before could not."""
    voices: int = 1
    live_input: bool = False
    """There is a live input."""

    @property
    def latent_dim(self) -> int:
        return len(self.axes)

    @property
    def is_instrument(self) -> bool:
        return self.n_controls > 0

    @property
    def plays_notes(self) -> bool:
        """Whether keys do anything."""
        return self.is_instrument or self.has_pitch

    def axis(self, name: str) -> int:
        """Its number. Raises: ValueError where there is none."""
        return [axis.name for axis in self.axes].index(name)

    def initial(self) -> ControlState:
        """The controls at the start."""
        return ControlState.initial(
            self.latent_dim, self.attribute_values, self.typical, idle=self.is_instrument
        )

    @property
    def attribute_values(self) -> tuple[float, ...]:
        """Of all attributes, in a row."""
        return tuple(v for attribute in self.attributes for v in attribute.values)


def largest_remainder(hop_length: int, block_size: int) -> int:
    """Samples of a decoded hop that may wait for the next block, at most (0: blocks are whole hops)."""
    return hop_length - math.gcd(hop_length, block_size)


def describe(bundle: Bundle, voices: int | None = None, live_input: bool = False) -> ModelInfo:
    """The facts of a loaded file; `voices` None: as many as are usual for its kind."""
    info, names = bundle.info, _attribute_names(bundle.module)
    density = info.density
    return ModelInfo(
        path=str(bundle.path),
        name=bundle.path.name,
        sample_rate=info.sample_rate,
        hop_length=info.hop_length,
        axes=tuple(_in_deviations(axis) for axis in info.axes),
        algorithmic_latency_samples=0 if info.is_instrument else info.algorithmic_latency_samples,
        input_latency_samples=info.algorithmic_latency_samples,
        classes=tuple(info.labels.get("class", ())),
        has_class="class" in names,
        has_pitch="pitch" in names,
        can_mix="class" in names and hasattr(bundle.module, "mix_classes"),
        has_input_class="input_class" in names,
        has_input_pitch="input_pitch" in names,
        attributes=_attributes(bundle.module, [n for n in names if bundle.foreign or n not in OWN]),
        can_sample=density.get("kind") == "copula-autoregression",
        points=tuple(tuple(p) for p in density.get("points", ())),
        point_labels=tuple(density.get("point_labels", ())),
        plays_pitch=info.is_instrument and info.axes[0].name == "pitch",
        n_controls=sum(axis.name in NATURAL for axis in info.axes) if info.is_instrument else 0,
        typical=info.typical() if info.is_instrument else (),
        loudest_db=info.loudest_db if info.is_instrument else 0.0,
        performs=hasattr(bundle.module, "perform"),
        restarts=hasattr(bundle.module, "restart"),
        voices=voices or (USUAL_VOICES if info.is_instrument else 1),
        live_input=live_input,
    )


def _in_deviations(axis: LatentAxis) -> Axis:
    low, high = (axis.low - axis.mean) / axis.std, (axis.high - axis.mean) / axis.std
    unit = NATURAL[axis.name].unit if axis.name in NATURAL else ""
    return Axis(axis.name, low, high, axis.share, axis.mean, axis.std, unit)


def _attribute_names(module: Any) -> list[str]:
    return list(module.get_attributes()) if hasattr(module, "get_attributes") else []


def _attributes(module: Any, names: list[str]) -> tuple[Attribute, ...]:
    """The numeric ones."""
    found: list[Attribute] = []
    for name in names:
        kinds = tuple(int(k) for k in getattr(module, f"{name}_params"))
        values = getattr(module, f"get_{name}")()
        values = tuple(values) if isinstance(values, (tuple, list)) else (values,)
        room = MOST_ATTRIBUTES - sum(len(a.values) for a in found)
        if TEXT not in kinds and len(values) == len(kinds) <= room:
            found.append(Attribute(name, kinds, tuple(float(v) for v in values)))
    return tuple(found)


NEIGHBOURS = 8
CLOSEST = 1e-4
"""Of the map's width: nearer than this counts as this near."""


class LatentMap:
    """The map of `/wavevae/xy`: the first two learned axes of some training latents, from 0 to 1.

    A codec's axes are principal ones, so this is the plane in which the training sounds differ most. An instrument's
    are brightness and noisiness: its pitch, loudness and periodicity come before them and are left alone.
    """

    def __init__(self, model: ModelInfo) -> None:
        self._first = model.n_controls
        """The first learned axis."""
        axes = model.axes[self._first : self._first + 2]
        points = np.array(model.points, np.float64).reshape(-1, model.latent_dim)
        self.points: NDArray[np.float64] = points[:, self._first :]
        """Learned latents of the training data: (points, learned axes)."""
        self.labels = model.point_labels
        self.names = tuple(axis.name for axis in axes)
        """Of its axes: two, or as many as there are."""
        low, high = ([getattr(axis, end) for axis in axes] for end in ("low", "high"))
        plane = Plane.of(self.points) if len(self.points) else Plane.between(np.array(low), np.array(high))
        self._low, self._high = plane
        self.places: NDArray[np.float64] = plane.places(self.points)
        """Of the points on the map: (points, 2)."""

    def bounds(self) -> list[list[float]]:
        """Lowest and highest value of each of its axes."""
        return np.stack([self._low, self._high], 1).tolist()

    def at(self, x: float, y: float, present: tuple[float, ...]) -> tuple[float, ...]:
        """The latent at a place: the first two learned axes are the place itself, the others a mean of the nearest
        points', the nearer the heavier (inverse distances; Shepard 1968). Control axes stay as they are at `present`;
        without points the further axes do too."""
        width = len(self.names)
        place = np.array((x, y))[:width]
        learned = np.array(present[self._first :])
        if len(self.points):
            distances = ((self.places[:, :width] - place) ** 2).sum(1)
            nearest = np.argsort(distances, kind="stable")[:NEIGHBOURS]
            weights = 1 / (distances[nearest] + CLOSEST)
            learned = weights @ self.points[nearest] / weights.sum()
        learned[:width] = self._low + place * (self._high - self._low)
        return (*present[: self._first], *np.clip(learned, -10, 10).tolist())
