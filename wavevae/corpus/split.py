"""Which files are learned from and which are held out."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Sequence

from wavevae.corpus.store import Item, Store


def _rank(item: Item, seed: int) -> bytes:
    """A fixed random place of a content: whatever the folder's name, the order, or which files are beside it."""
    return hashlib.blake2b(f"{seed} {item.key}".encode(), digest_size=16).digest()


def _by_share(items: Sequence[Item], share: float, seed: int) -> tuple[list[Item], list[Item]]:
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
    count = min(len(items) - 1, max(1, round(share * len(items))))
    held = {item.key for item in sorted(items, key=lambda item: _rank(item, seed))[:count]}
    return [i for i in items if i.key not in held], [i for i in items if i.key in held]


def split(store: Store, validation_share: float, seed: int) -> tuple[list[Item], list[Item]]:
    """(train, validation) by file; the same for the same sounds and seed, on any machine.

    A corpus in NSynth's layout keeps its own splits: train on train, validate on valid, leave test alone; where
    it has one of them only, that one is split by share as a plain folder is.
    """
    own = {name: [i for i in store.items if i.split == name] for name in ("train", "valid", "test", "")}
    learn = own["train"]
    hold = own["valid"] if learn else []
    free = own[""] if learn else own[""] or own["valid"] or own["test"]
    if learn and not hold:
        free, learn = free + learn, []
    more, held = _by_share(free, validation_share, seed)
    return learn + more, hold + held
