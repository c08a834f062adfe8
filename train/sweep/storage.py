"""The file that all workers of a sweep share: Optuna's journal, one line an event, appended whole or not at all."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from wavevae.errors import UserError

from .locks import Claims, Turn
from .space import Space

if TYPE_CHECKING:
    from optuna.study import Study

IDENTITY = "wavevae_space"
"""Attribute of the study: the sweep that the file is of."""


def import_optuna() -> Any:
    """Optuna, quiet. Raises: UserError, saying how to get it."""
    try:
        import optuna
    except ImportError:
        raise UserError("sweep needs optuna, which is not installed; pip install 'wavevae[sweep]'") from None
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    return optuna


def folder_of(storage: Path) -> Path:
    """Where the runs of a sweep lie: beside its file, under its name."""
    return storage.with_suffix("") if storage.suffix else storage.with_name(storage.name + "-runs")


def open_study(storage: Path, space: Space) -> tuple[Study, Claims]:
    """The study in a file, made where there is none. Raises: UserError where the file is of something else."""
    optuna = import_optuna()
    if storage.is_dir():
        raise UserError(
            f"--storage {storage} is a folder; name a file in it, like {storage / 'sweep.journal'}"
        )
    try:
        storage.parent.mkdir(parents=True, exist_ok=True)
        claims = Claims(folder_of(storage) / "claims")
        with claims.turn:
            mend(storage)
            study = _open(optuna, storage, space, claims)
    except OSError as error:
        raise UserError(f"--storage {storage}: {error.strerror}; name another place") from None
    return study, claims


def _open(optuna: Any, storage: Path, space: Space, claims: Claims) -> Study:
    """Raises: UserError."""
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    lock: Any = Turn(claims.folder / "journal")
    try:
        journal = JournalStorage(JournalFileBackend(str(storage), lock_obj=lock))
        names = [study.study_name for study in journal.get_all_studies()]
    except (ValueError, KeyError, TypeError, AttributeError):
        raise UserError(f"--storage {storage} is no sweep's file; name a new one") from None
    if names and names != [space.name]:
        raise UserError(
            f"--storage {storage} holds the sweep '{names[0]}', not '{space.name}'; name another --storage"
        )
    study: Study = optuna.create_study(
        storage=journal, study_name=space.name, direction=space.direction, load_if_exists=True
    )
    identity = json.loads(json.dumps(space.identity()))
    if IDENTITY not in study.user_attrs:
        study.set_user_attr(IDENTITY, identity)
    elif study.user_attrs[IDENTITY] != identity:
        what = difference(study.user_attrs[IDENTITY], identity)
        raise UserError(
            f"--storage {storage} holds another sweep '{space.name}': {what}; name another --storage"
        )
    return study


def difference(there: Mapping[str, Any], here: Mapping[str, Any], above: str = "") -> str:
    """'fixed.batch_size is 8 there, 4 here': the first that differs."""
    for key in [*there, *(k for k in here if k not in there)]:
        old, new = there.get(key), here.get(key)
        if old == new:
            continue
        if isinstance(old, Mapping) and isinstance(new, Mapping):
            return difference(old, new, f"{above}{key}.")
        return f"{above}{key} is {json.dumps(old)} there, {json.dumps(new)} here"
    return "its keys stand in another order"


def mend(storage: Path) -> None:
    """Cut off a last line that was never finished (a full disk, a power cut): its event did not happen.

    To be called in turn: nobody else may be writing. Raises: UserError for a file that is no journal, left as it is.
    """
    if not storage.is_file() or not storage.stat().st_size:
        return
    with open(storage, "r+b") as file:
        text = file.read()
        whole = text.rfind(b"\n") + 1
        if not is_event(text.split(b"\n", 1)[0]):
            raise UserError(f"--storage {storage} is no sweep's file; name a new one")
        if whole < len(text):
            file.truncate(whole)
            file.flush()
            os.fsync(file.fileno())


def is_event(line: bytes) -> bool:
    """Whether a line is one of the journal's, whole or begun."""
    try:
        return "op_code" in json.loads(line)
    except (ValueError, TypeError):
        return line.startswith(b'{"op_code":')
