"""Allocates voices to notes.

A new note takes, in this order: the voice that already plays its pitch, an unused voice, the oldest released voice, the
oldest voice.
"""

from __future__ import annotations

from dataclasses import replace

from wavevae.controls import MOST_VOICES, ControlState, Note, Refused, put


def strike(state: ControlState, voices: int, pitch: int, velocity: float) -> ControlState:
    """A key goes down. With one voice sounding at a time every key that is held is kept, to go back to."""
    serial = 1 + max((n.serial for n in state.notes), default=0)
    notes = press(state.notes, MOST_VOICES if state.mono else voices, pitch, velocity, serial)
    return replace(state, keyed=True, idle=False, notes=notes)


def press(notes: tuple[Note, ...], voices: int, pitch: int, velocity: float, serial: int) -> tuple[Note, ...]:
    """`serial` counts the notes of the performance."""
    new = Note(pitch, velocity, True, serial)
    if len(notes) < voices and not any(n.pitch == pitch for n in notes):
        return (*notes, new)
    place = min(range(len(notes)), key=lambda i: _cost(notes[i], pitch))
    return (*notes[:place], new, *notes[place + 1 :])


def _cost(note: Note, pitch: int) -> tuple[bool, bool, int]:
    return (note.pitch != pitch, note.held, note.serial)


def lift(state: ControlState, pitch: int) -> ControlState:
    """A key goes up: every voice that holds its pitch lets go, or the pedal keeps it."""
    return replace(
        state,
        notes=tuple(
            n._replace(down=False, held=n.held and state.pedal) if n.pitch == pitch and n.down else n
            for n in state.notes
        ),
    )


def lift_all(notes: tuple[Note, ...]) -> tuple[Note, ...]:
    return tuple(n._replace(held=False, down=False) for n in notes)


def press_pedal(state: ControlState, down: bool) -> ControlState:
    """Up: what only the pedal kept lets go."""
    notes = state.notes if down else tuple(n._replace(held=n.held and n.down) for n in state.notes)
    return replace(state, pedal=down, notes=notes)


def set_mono(state: ControlState, mono: bool, voices: int) -> ControlState:
    """Of many held keys the newest stay when several may sound again, as far as there are voices."""
    notes = state.notes
    if not mono and len(notes) > voices:
        newest = sorted(notes, key=lambda n: (n.held, n.serial))[-voices:]
        notes = tuple(n for n in notes if n in newest)
    return replace(state, mono=mono, notes=notes)


def change(state: ControlState, pitch: int, **values: object) -> ControlState:
    """Something of the note that sounds at a pitch, the newest of them. Raises: Refused where none does."""
    found = [i for i, n in enumerate(state.notes) if n.pitch == pitch and n.held]
    if not found:
        raise Refused(f"no note {pitch} sounds; strike it first with /wavevae/note")
    place = max(found, key=lambda i: state.notes[i].serial)
    note = state.notes[place]._replace(**values)  # type: ignore[arg-type]
    return replace(state, notes=(*state.notes[:place], note, *state.notes[place + 1 :]))


def set_offset(state: ControlState, pitch: int, axis: int, value: float) -> ControlState:
    """Of one latent of one note, standard deviations. Raises: Refused."""
    sounding = [n for n in state.notes if n.pitch == pitch and n.held]
    newest = max(sounding, key=lambda n: n.serial, default=None)
    offsets = newest.offsets if newest and newest.offsets else (0.0,) * len(state.latents)
    return change(state, pitch, offsets=put(offsets, axis, value))
