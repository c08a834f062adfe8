"""What the control side knows of the model that plays. No torch: it travels from the engine to other processes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from wavevae.controls import MOST_ATTRIBUTES

if TYPE_CHECKING:
    from wavevae.bundle import Bundle, LatentAxis

OWN = frozenset(("gain", "temperature", "reset", "class", "pitch", "input_class", "input_pitch"))
"""Attributes that `serve` has addresses of its own for."""
TEXT = 3
"""nn~'s id of an attribute that is text: no knob."""


@dataclass(frozen=True)
class Axis:
    """One slider."""

    name: str
    low: float
    """Where the training data begins (1st percentile), in standard deviations."""
    high: float
    share: float
    mean: float = 0.0
    std: float = 1.0
    """Value in natural units = mean + std * value in standard deviations."""
    unit: str = ""


@dataclass(frozen=True)
class Attribute:
    """One of the file's own: `/wavevae/attribute/<name>`."""

    name: str
    kinds: tuple[int, ...]
    """nn~'s ids: 0 bool, 1 int, 2 float."""
    values: tuple[float, ...]
    """As the file was loaded."""


@dataclass(frozen=True)
class About:
    """The model, as far as it can be controlled."""

    path: str
    name: str
    sample_rate: int
    hop_length: int
    axes: tuple[Axis, ...]
    algorithmic_latency_samples: int = 0
    classes: tuple[str, ...] = ()
    """Labels, in the order of their numbers."""
    has_class: bool = False
    has_pitch: bool = False
    can_mix: bool = False
    """Takes several classes at once."""
    has_input_class: bool = False
    has_input_pitch: bool = False
    """Its encoder is told of a live input."""
    attributes: tuple[Attribute, ...] = ()
    can_sample: bool = False
    points: tuple[tuple[float, ...], ...] = ()
    """Some training latents, (latent_dim,) each: the map of `/wavevae/xy`."""
    point_labels: tuple[str, ...] = ()
    foreign: bool = False
    """Not exported by wavevae: latents are in its own units."""
    n_controls: int = 0
    """Leading axes in natural units: pitch, loudness and periodicity, or loudness alone."""
    plays_notes: bool = False
    """Keys do something."""
    plays_pitch: bool = False
    """Keys choose the pitch."""
    voices: int = 1
    hears: bool = False
    """There is a live input."""

    @property
    def latent_dim(self) -> int:
        return len(self.axes)

    @property
    def attribute_values(self) -> tuple[float, ...]:
        """Of all attributes, in a row."""
        return tuple(v for attribute in self.attributes for v in attribute.values)


def describe(bundle: Bundle, voices: int = 1, hears: bool = False) -> About:
    """What a loaded file says of itself."""
    info, names = bundle.info, _attribute_names(bundle.module)
    played = info.is_instrument and not hears  # what an instrument hears is late, what it is told is not
    density = info.density
    return About(
        path=str(bundle.path),
        name=bundle.path.name,
        sample_rate=info.sample_rate,
        hop_length=info.hop_length,
        axes=tuple(_in_deviations(axis) for axis in info.axes),
        algorithmic_latency_samples=0 if played else info.algorithmic_latency_samples,
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
        foreign=bundle.foreign,
        n_controls=(3 if info.axes[0].name == "pitch" else 1) if info.is_instrument else 0,
        plays_notes=info.is_instrument or "pitch" in names,
        plays_pitch=(info.is_instrument and info.axes[0].name == "pitch") or "pitch" in names,
        voices=voices,
        hears=hears,
    )


def _in_deviations(axis: LatentAxis) -> Axis:
    low, high = ((end - axis.mean) / axis.std for end in (axis.low, axis.high))
    return Axis(axis.name, low, high, axis.share, axis.mean, axis.std)


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
