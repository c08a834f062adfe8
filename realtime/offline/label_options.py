"""The options for labels of a conditional model: `--class` and `--pitch` for the decoder, `--input-class` and
`--input-pitch` for the encoder, `--class-a` and so on for the ends of an interpolation."""

from __future__ import annotations

import argparse
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from wavevae.console import say
from wavevae.controls import HIGHEST_PITCH, NO_LABEL, NO_PITCH
from wavevae.errors import UserError, nearest
from wavevae.names import class_number

if TYPE_CHECKING:
    from ..engine.streaming_model import StreamingModel
    from ..model_info import ModelInfo

NONE = "none"
OUTPUT, INPUT = ("class", "pitch"), ("input_class", "input_pitch")
ENDS = ("class_a", "class_b", "pitch_a", "pitch_b")


@dataclass(frozen=True)
class End:
    """Labels at one end of an interpolation, where there are any."""

    label: int | None = None
    pitch: float | None = None
    """MIDI."""


def add_label_options(parser: argparse.ArgumentParser) -> None:
    """Kept as texts until the model is known."""
    add = parser.add_argument_group("labels, of a model trained with --condition").add_argument
    add(
        "--class",
        metavar="NAME",
        help="class that is to sound, by its name or number (`wavevae info`) [none]",
    )
    add(
        "--pitch",
        metavar="MIDI",
        help="pitch that is to sound: 69 is 440 Hz, fractions are cents / 100 [none]",
    )
    add("--input-class", metavar="NAME", help=f"class of what comes in, '{NONE}' if unknown [as --class]")
    add("--input-pitch", metavar="MIDI", help=f"pitch of what comes in, '{NONE}' if unknown [as --pitch]")


def add_end_options(parser: argparse.ArgumentParser) -> None:
    """For --interpolate. Kept as texts until the model is known."""
    add = parser.add_argument_group("ends of --interpolate").add_argument
    for end, sound in (("a", "A.wav"), ("b", "B.wav")):
        add(
            f"--pitch-{end}",
            metavar="MIDI",
            help=f"pitch at which {sound} is to sound, of an instrument or a model that is told pitches [its own]",
        )
        add(f"--class-{end}", metavar="NAME", help=f"class of {sound} [as --class]")


def read_ends(model: ModelInfo, arguments: argparse.Namespace) -> tuple[End, End]:
    """The labels of both ends. Raises: UserError for a label that the model does not know or does not take."""
    labels: list[int | None] = [None, None]
    pitches: list[float | None] = [None, None]
    for place, letter in enumerate("ab"):
        label, pitch = (getattr(arguments, f"{kind}_{letter}") for kind in ("class", "pitch"))
        if label is not None:
            if not model.has_class:
                raise refusal(f"class_{letter}", label, model, "class")
            labels[place] = _class(label, f"class_{letter}", model)
        if pitch is not None:
            if not (model.has_pitch or model.plays_pitch):
                raise refusal(f"pitch_{letter}", pitch, model, "pitch")
            pitches[place] = _pitch(pitch, f"pitch_{letter}", none=False)
    if labels != [None, None]:
        whole = (
            NO_LABEL
            if getattr(arguments, "class") is None
            else _class(getattr(arguments, "class"), "class", model)
        )
        labels = [whole if label is None else label for label in labels]
    if pitches != [None, None] and not model.plays_pitch:  # an instrument tracks a pitch that is not given
        known = [pitch for pitch in pitches if pitch is not None]
        pitches = [known[0] if pitch is None else pitch for pitch in pitches]
    return End(labels[0], pitches[0]), End(labels[1], pitches[1])


def refusal(name: str, text: str, model: ModelInfo, kind: str) -> UserError:
    """For a label that the model does not take."""
    return UserError(
        f"{option(name)} {text}: {model.name} is not told a {kind}; leave it out, or train with "
        f"`--condition {kind}`"
    )


def option(name: str) -> str:
    """As the user typed it."""
    return f"--{name.replace('_', '-')}"


def given(arguments: argparse.Namespace, names: tuple[str, ...] = (*OUTPUT, *INPUT)) -> list[str]:
    """Options that were used."""
    return [option(name) for name in names if getattr(arguments, name) is not None]


def set_labels(core: StreamingModel, model: ModelInfo, arguments: argparse.Namespace) -> None:
    """Set the labels. Those of the input are those of the output, unless they are given apart.

    Raises: UserError for a label that the model does not know or does not take.
    """
    for name in (*OUTPUT, *INPUT):
        text = getattr(arguments, name)
        if text is None:
            continue
        if not getattr(model, f"has_{name}"):
            raise refusal(name, text, model, name.removeprefix("input_"))
        value = _class(text, name, model) if name.endswith("class") else _pitch(text, name)
        core.set(name, value)


def warn_unlabelled(model: ModelInfo, arguments: argparse.Namespace) -> None:
    """Warn where a conditional model encodes a sound without labels: the result may be faint."""
    kinds = [kind for kind in ("class", "pitch") if getattr(model, f"has_{kind}")]
    if kinds and not given(arguments):
        options = " or ".join(f"--{kind}" for kind in kinds)
        say(f"{model.name} was trained with labels and is told none: it may be faint or dull; see {options}")


def _class(text: str, name: str, model: ModelInfo) -> int:
    """Its number: by name, else as a number."""
    number = class_number(text, model.classes)
    if number is not None:
        return number
    if text == NONE:
        return NO_LABEL
    raise UserError(f"{option(name)} {text}: no such class; {nearest(text, model.classes)}")


def _pitch(text: str, name: str, none: bool = True) -> float:
    """`none`: whether it may be none."""
    if none and text == NONE:
        return NO_PITCH
    try:
        pitch = float(text)
    except ValueError:
        pitch = math.nan
    if not 0 <= pitch <= HIGHEST_PITCH:
        or_none = f", or '{NONE}'" if none else ""
        raise UserError(
            f"{option(name)} {text}: use a MIDI pitch, 0 to {HIGHEST_PITCH} (69 is 440 Hz){or_none}"
        )
    return pitch
