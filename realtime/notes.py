"""Which voice plays which note: the longest silent one first, then the oldest is taken over."""

from __future__ import annotations

from wavevae.controls import Note


def press(notes: tuple[Note, ...], voices: int, pitch: int, velocity: float, serial: int) -> tuple[Note, ...]:
    """A key goes down: `serial` counts the notes of the performance."""
    new = Note(pitch, velocity, True, serial)
    if len(notes) < voices and not any(n.pitch == pitch for n in notes):
        return (*notes, new)
    place = min(range(len(notes)), key=lambda i: _cost(notes[i], pitch))
    return (*notes[:place], new, *notes[place + 1 :])


def _cost(note: Note, pitch: int) -> tuple[bool, bool, int]:
    """The same pitch first, then what is released, then what is oldest."""
    return (note.pitch != pitch, note.held, note.serial)


def lift(notes: tuple[Note, ...], pitch: int) -> tuple[Note, ...]:
    """A key goes up: every voice that holds its pitch lets go."""
    return tuple(n._replace(held=False) if n.pitch == pitch else n for n in notes)


def lift_all(notes: tuple[Note, ...]) -> tuple[Note, ...]:
    return tuple(n._replace(held=False) for n in notes)
