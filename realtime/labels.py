"""`--class`, `--pitch`, `--input-class`, `--input-pitch`: what a conditional model is told offline."""

from __future__ import annotations

import argparse
import math
from typing import TYPE_CHECKING

from wavevae.controls import HIGHEST_PITCH, NO_LABEL, NO_PITCH
from wavevae.errors import UserError, nearest

if TYPE_CHECKING:
    from .about import About
    from .core import Core

NONE = "none"
OUTPUT, INPUT = ("class", "pitch"), ("input_class", "input_pitch")


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


def option(name: str) -> str:
    """As the user typed it."""
    return f"--{name.replace('_', '-')}"


def given(arguments: argparse.Namespace, names: tuple[str, ...] = (*OUTPUT, *INPUT)) -> list[str]:
    """Options that were used."""
    return [option(name) for name in names if getattr(arguments, name) is not None]


def tell(core: Core, about: About, arguments: argparse.Namespace) -> None:
    """Set them. What comes in is told as what is to sound, unless it is said apart.

    Raises: UserError for a label that the model does not know or is not told.
    """
    for name in (*OUTPUT, *INPUT):
        text = getattr(arguments, name)
        if text is None:
            continue
        if not getattr(about, f"has_{name}"):
            kind = name.removeprefix("input_")
            raise UserError(
                f"{option(name)} {text}: {about.name} is not told a {kind}; leave it out, or train with "
                f"`--condition {kind}`"
            )
        value = _class(text, name, about) if name.endswith("class") else _pitch(text, name)
        core.set(name, value)


def _class(text: str, name: str, about: About) -> int:
    """Its number: by name, else as a number."""
    if text in about.classes:
        return about.classes.index(text)
    if text == NONE:
        return NO_LABEL
    if text.isdecimal() and int(text) < len(about.classes):
        return int(text)
    raise UserError(f"{option(name)} {text}: no such class; {nearest(text, about.classes)}")


def _pitch(text: str, name: str) -> float:
    try:
        pitch = float(NO_PITCH if text == NONE else text)
    except ValueError:
        pitch = math.nan
    if text != NONE and not 0 <= pitch <= HIGHEST_PITCH:
        raise UserError(
            f"{option(name)} {text}: use a MIDI pitch, 0 to {HIGHEST_PITCH} (69 is 440 Hz), or '{NONE}'"
        )
    return pitch
