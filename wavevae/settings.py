"""How settings are declared: a section is a frozen dataclass whose fields have a type, bounds, a unit and a docstring.

msgspec converts and checks the values; error lines and `wavevae train --help-settings` come from the same declarations.
"""

from __future__ import annotations

import ast
import inspect
import sys
from argparse import ArgumentTypeError
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from typing import Annotated, Any, get_args, get_type_hints

import msgspec
from msgspec.inspect import (
    FloatType,
    IntType,
    LiteralType,
    Metadata,
    StrType,
    UnionType,
    VarTupleType,
    type_info,
)

from wavevae.errors import UserError, nearest


def number(unit: str = "", words: str = "", parse: Any = None, **limits: Any) -> msgspec.Meta:
    """Limits of a number (`ge`, `gt`, `le`, `lt`, `multiple_of`) or of a list (`min_length`), the unit, `words` to
    describe it instead of the limits, and a function that reads it as it is typed."""
    return msgspec.Meta(extra={"unit": unit, "words": words, "parse": parse}, **limits)


Weight = Annotated[float, number(ge=0)]
Positive = Annotated[float, number(gt=0)]
Fraction = Annotated[float, number(ge=0, le=1)]
"""A probability, or a part of the budget or of a set."""
Count = Annotated[int, number(ge=1)]
PowerOfTwo = Annotated[int, number(words="a power of two: hosts play no others", ge=1)]
Lengths = tuple[Annotated[int, number("samples", ge=1)], ...]


@dataclass(frozen=True)
class Section:
    """Base of the sections: converts every field to its declared type. Raises: UserError for what does not fit."""

    def __post_init__(self) -> None:
        section: Any = type(self)
        for name, kind in types_of(section).items():
            object.__setattr__(self, name, converted(name, getattr(self, name), kind))
        self.check()

    def check(self) -> None:
        """Raises: UserError for values that do not go together."""

    def check_run(self, run: Any) -> None:
        """Raises: UserError for what this section does not allow in the other sections of a RunConfig."""


@cache
def types_of(section: type) -> dict[str, Any]:
    """The declared types of a section's fields, with their limits."""
    return get_type_hints(section, include_extras=True)


@cache
def docs_of(section: type) -> dict[str, str]:
    """The docstrings under a section's fields, each on one line."""
    module = ast.parse(inspect.getsource(sys.modules[section.__module__]))
    (definition,) = (
        part for part in module.body if isinstance(part, ast.ClassDef) and part.name == section.__name__
    )
    return {
        field.target.id: " ".join(str(doc.value.value).split())
        for field, doc in pairwise(definition.body)
        if isinstance(field, ast.AnnAssign)
        and isinstance(field.target, ast.Name)
        and isinstance(doc, ast.Expr)
        and isinstance(doc.value, ast.Constant)
    }


def converted(name: str, value: Any, kind: Any) -> Any:
    """A value as it is typed or stands in YAML, as the declared type. Raises: UserError where it does not fit."""
    form, extra = _form(kind)
    try:
        if extra.get("parse"):
            return msgspec.convert(extra["parse"](str(value)), kind)
        return msgspec.convert(_unquoted(value, form), kind, strict=False)
    except ArgumentTypeError as error:
        raise UserError(f"{name}: {error}") from None
    except (msgspec.ValidationError, TypeError):
        if isinstance(form, LiteralType) and isinstance(value, str):
            raise UserError(f"unknown {name} '{value}'; {nearest(value, map(str, form.values))}") from None
        raise UserError(f"{name} is {shown(value)}; use {described(kind)}") from None


def _form(kind: Any) -> tuple[Any, Mapping[str, Any]]:
    """msgspec's description of a type, and what `number` adds to it."""
    form = type_info(kind)
    return (form.type, form.extra or {}) if isinstance(form, Metadata) else (form, {})


def _unquoted(value: Any, form: Any) -> Any:
    """Lists as they are typed (4,4), single items of lists, numbers as words, `none`, YAML's on and off as words."""
    if isinstance(form, VarTupleType):
        if isinstance(value, str):
            value = [item.strip() for item in value.strip("()[]").split(",") if item.strip()]
        items = value if isinstance(value, (list, tuple)) else [value]
        return [str(item) for item in items] if isinstance(form.item_type, StrType) else items
    if isinstance(form, LiteralType) and isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(form, UnionType) and value == "none":
        return None
    return str(value) if isinstance(form, StrType) and value is not None else value


def described(kind: Any) -> str:
    """What fits: 'a whole number, 1 or more', 'a number, 0 to 60 dB', 'keep or peak'."""
    form, extra = _form(kind)
    if isinstance(form, LiteralType):
        *others, last = map(str, form.values)
        return f"{', '.join(others)} or {last}"
    if isinstance(form, VarTupleType):
        example, (item, _) = "a, b" if isinstance(form.item_type, StrType) else "4,4", get_args(_bare(kind))
        return f"{'1 or more' if form.min_length else 'a list'} like {example}, each {described(item)}"
    if isinstance(form, UnionType):
        return f"{described(get_args(kind)[0])}, or none"
    if isinstance(form, (IntType, FloatType)):
        what = "a whole number" if isinstance(form, IntType) else "a number"
        limits = _limits(form, extra.get("unit", ""))
        joint = " " if limits.startswith("above") else ", " * bool(limits)
        return extra.get("words") or f"{what}{joint}{limits}"
    return "text" if isinstance(form, StrType) else "true or false"


def _bare(kind: Any) -> Any:
    """A type without what `Annotated` adds."""
    return get_args(kind)[0] if hasattr(kind, "__metadata__") else kind


def _limits(form: IntType | FloatType, unit: str) -> str:
    """'0 to 1', 'above 0', '0 up to (not including) 1', '32 or more, a multiple of 4'."""
    low = f"above {form.gt:g}" if form.gt is not None else "" if form.ge is None else f"{form.ge:g}"
    if form.lt is not None:
        text = f"{low} up to (not including) {form.lt:g}"
    elif form.le is not None:
        text = f"{low}, up to {form.le:g}" if form.ge is None else f"{low} to {form.le:g}"
    else:
        text = f"{low} or more" if form.ge is not None else low
    return f"{text} {unit}".strip() + (f", a multiple of {form.multiple_of}" if form.multiple_of else "")


def is_whole_number(kind: Any) -> bool:
    """Whether a setting is a whole number, or several, or none."""
    form, _ = _form(kind)
    parts = form.types if isinstance(form, UnionType) else (getattr(form, "item_type", form),)
    return any(isinstance(getattr(part, "type", part), IntType) for part in parts)


def shown(value: Any) -> str:
    """A value as it is typed after `--set KEY=`."""
    if isinstance(value, (list, tuple)):
        return ",".join(map(shown, value)) or "()"
    if value is None or isinstance(value, bool):
        return {None: "none", True: "true", False: "false"}[value]
    return f"{value:g}" if isinstance(value, float) else str(value)


def settings_help(sections: Mapping[str, Any], part: str = "") -> str:
    """Every setting whose 'section.name' contains `part`: value, type, limits, unit, doc. Raises: UserError."""
    blocks: list[str] = []
    known: list[str] = []
    for section, values in sections.items():
        kind: Any = type(values)
        known += [word for name in types_of(kind) for word in name.split("_")]
        rows = [
            f"  {name} = {shown(getattr(values, name))}  ({described(declared)})\n      {docs_of(kind)[name]}"
            for name, declared in types_of(kind).items()
            if part in f"{section}.{name}"
        ]
        if rows:
            blocks.append("\n".join([f"{section}: {(inspect.getdoc(kind) or '').splitlines()[0]}", *rows]))
    if not blocks:
        raise UserError(f"no setting's name contains '{part}'; {nearest(part, set(known))}")
    return "\n\n".join(blocks)
