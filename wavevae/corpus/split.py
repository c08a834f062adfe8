"""Which files are learned from and which are held out."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable, Sequence

from wavevae.corpus.store import Item, ReportRow, Store
from wavevae.errors import UserError
from wavevae.files import printable

Parts = tuple[list[Item], list[Item]]
"""Learned from, held out."""
INSTRUMENT_FIELDS = ("instrument_str", "instrument")


def _rank(name: str, seed: int) -> bytes:
    """A fixed random place of a content: whatever the folder's name, the order, or which files are beside it."""
    return hashlib.blake2b(f"{seed} {name}".encode(), digest_size=16).digest()


def _by_share(items: Sequence[Item], share: float, seed: int) -> Parts:
    """Hold out round(share * files), at least one; of a single file its end."""
    if share <= 0 or not items:
        return list(items), []
    if len(items) == 1:
        (only,) = items
        kept = only.length - round(only.length * share)
        if not 0 < kept < only.length:
            return [only], []
        end = dataclasses.replace(only, start=only.start + kept, length=only.length - kept)
        return [dataclasses.replace(only, length=kept)], [end]
    return _by_group(items, share, seed, lambda item: item.key)


def _by_group(items: Sequence[Item], share: float, seed: int, group: Callable[[Item], str]) -> Parts:
    """Hold out round(share * groups), at least one and never all; a group stays together."""
    groups = sorted({group(item) for item in items}, key=lambda name: _rank(name, seed))
    held = set(groups[: min(len(groups) - 1, max(1, round(share * len(groups))))])
    return [i for i in items if group(i) not in held], [i for i in items if group(i) in held]


def note_of(item: Item) -> str:
    """'guitar_acoustic_003 60': an instrument's note, however loud it is played. Raises: UserError without labels."""
    name = next((item.labels[field] for field in INSTRUMENT_FIELDS if field in item.labels), None)
    pitch = item.labels.get("pitch")
    if name is None or pitch is None:
        raise UserError(
            f"--set split=note: {item.path} has no instrument and pitch; give a set in NSynth's layout "
            "(examples.json), or --set split=file"
        )
    return f"{name} {pitch}"


def split(store: Store, validation_share: float, seed: int, by: str = "own") -> Parts:
    """(train, validation); the same for the same sounds and seed, on any machine.

    `own`: by file; but a corpus in NSynth's layout keeps its own splits: train on train, validate on valid, leave
    test alone; where it has one of them only, that one is split by share as a plain folder is. NSynth's own splits
    have different instruments.
    `file`: by file, whatever the layout. `note`: known instruments, unknown notes: of all the set's folders a share
    of the pairs (instrument, pitch) is held out, each with all its velocities.
    Raises: UserError for `note` without labels.
    """
    if by == "note" and validation_share > 0:
        return _by_group(store.items, validation_share, seed, note_of)
    if by != "own":
        return _by_share(store.items, validation_share, seed)
    own = {name: [i for i in store.items if i.split == name] for name in ("train", "valid", "test", "")}
    learn = own["train"]
    hold = own["valid"] if learn else []
    free = own[""] if learn else own[""] or own["valid"] or own["test"]
    if learn and not hold:
        free, learn = free + learn, []
    more, held = _by_share(free, validation_share, seed)
    return learn + more, hold + held


def training_report(store: Store, train: Sequence[Item], validation: Sequence[Item]) -> list[ReportRow]:
    """The store's rows as one training run uses them: held-out files named, unused ones (a test split) skipped."""
    roles: dict[str, set[str]] = {}
    for role, items in (("", train), ("validation", validation)):
        for item in items:
            roles.setdefault(printable(item.path), set()).add(role)
    splits = {printable(item.path): item.split for item in store.items}
    rows = []
    for row in store.report:
        part = roles.get(row.path)
        if row.status == "used" and row.path in splits:
            if part is None:
                named = splits[row.path]
                row = ReportRow(
                    row.path, "skipped", 0.0, f"left alone: the {named} split" if named else "left alone"
                )
            elif "validation" in part:
                said = "validation" if len(part) == 1 else "its end held out for validation"
                row = row._replace(reason="; ".join(filter(None, (said, row.reason))))
        rows.append(row)
    return rows
