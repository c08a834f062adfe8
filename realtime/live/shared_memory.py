"""The shared memory of `serve`: snapshots, rings of blocks, counters. No process waits for another.

    control process ──controls──> engine process ──ring of blocks──> audio process ─tape──> control process
           ^  └──────meter, counters──────┘  ^                          │
           └───────counters──────────────────┴──────input blocks────────┘

There are two decks (an engine, its controls, its ring, its meter): one plays while the other loads the next model. The
memory is multiprocessing's anonymous kind: it has no name, so nothing is left when all processes have ended. Every
number has exactly one writer. Indices are published after what they point at; x86-64 keeps that order, and elsewhere
the interpreter's own locks lie between the two statements.
"""

from __future__ import annotations

from ctypes import c_byte
from enum import IntEnum
from multiprocessing.context import SpawnContext
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from wavevae.controls import largest_packed

from ..model_info import LARGEST_LATENT_DIM

DEEPEST_RING, LARGEST_BLOCK = 64, 16384
SNAPSHOT_SLOTS = 4
SNAPSHOT_NUMBERS = 1 + largest_packed(LARGEST_LATENT_DIM)
INPUT_BLOCKS = 128
TAPE_SAMPLES = 2**20
"""At least 5 s at any rate up to 192 kHz: what the control process may lag behind."""
LOGGED_BLOCKS = 2**16
LOGGED_NOTES = 1024
DECKS = 2


class SharedArray:
    """A numpy array in shared memory that can be passed to a spawned process."""

    def __init__(self, context: SpawnContext, shape: tuple[int, ...], dtype: Any) -> None:
        self._shape, self._dtype = shape, np.dtype(dtype)
        self._raw: Any = context.RawArray(c_byte, int(np.prod(shape)) * self._dtype.itemsize)
        self._view()

    def _view(self) -> None:
        self.array: NDArray[Any] = np.frombuffer(self._raw, self._dtype).reshape(self._shape)

    def __getstate__(self) -> dict[str, Any]:
        return {"_shape": self._shape, "_dtype": self._dtype, "_raw": self._raw}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._view()


class Snapshot:
    """A vector that one process replaces whole and others read whole.

    The writer goes round through four slots and then publishes the version; a reader's copy is torn only if
    the writer came round while it copied, and then it copies again.
    """

    def __init__(self, context: SpawnContext) -> None:
        self._version = SharedArray(context, (1,), np.int64)
        self._slots = SharedArray(context, (SNAPSHOT_SLOTS, SNAPSHOT_NUMBERS), "f8")

    @property
    def version(self) -> int:
        """How often it was written."""
        return int(self._version.array[0])

    def write(self, values: NDArray[np.float64]) -> None:
        """Replace the vector; its length may change."""
        version = self.version + 1
        slot = self._slots.array[version % SNAPSHOT_SLOTS]
        slot[0] = len(values)
        slot[1 : 1 + len(values)] = values
        self._version.array[0] = version

    def read(self) -> tuple[int, NDArray[np.float64]]:
        """Its version, and a copy of the newest vector; 0 and empty before the first `write`."""
        while True:
            version = self.version
            slot = self._slots.array[version % SNAPSHOT_SLOTS]
            copy = slot[1 : 1 + int(slot[0])].copy()
            if self.version - version < SNAPSHOT_SLOTS - 1:
                return version, copy


class Count(IntEnum):
    """Where each counter or flag of the performance lies, and which process writes it."""

    CALLBACKS = 0  # audio process
    EMPTY = 1  # audio process: callbacks that found the ring empty
    DEVICE_UNDERFLOWS = 2  # audio process: as PortAudio reports them
    MISSING = 3  # audio process: callbacks that never came
    DECK = 4  # audio process: the deck that sounds
    TAPED = 5  # audio process: samples played since the start
    INPUT_BLOCKS = 6  # audio process: input blocks given
    QUIT = 7  # supervisor: every process is to end
    WANTED = 8  # supervisor: the deck that is to sound
    ACCEPTED = 9  # control: messages
    REJECTED = 10  # control: messages
    DEPTH = 11  # supervisor: blocks of a ring
    BLOCK = 12  # supervisor: samples of a block
    CALLBACK_US = 13  # audio process: the 99th percentile of a callback's time, microseconds
    TAPE_LOST = 14  # control: samples that were overwritten before they were recorded
    RECORDED = 15  # control: samples played that are in a recording on the disk


class DeckCount(IntEnum):
    """The same, of one deck."""

    WRITTEN = 0  # engine: blocks put into the ring
    TAKEN = 1  # audio process: blocks taken out of it
    STOP = 2  # supervisor: the engine is to fade out
    SILENT = 3  # engine: it has faded out
    LIMITED = 4  # engine: samples beyond full scale
    BROKEN = 5  # engine: samples that were not finite
    INPUT_USED = 6  # engine: input blocks used or passed over
    NOTES = 7  # engine: changes of what the prior makes up


class Ring:
    """Blocks (block_size,) from one writer to one reader, oldest first. `layout` holds how many, of which size."""

    def __init__(self, context: SpawnContext, layout: SharedArray, counts: SharedArray) -> None:
        self._samples = SharedArray(context, (DEEPEST_RING * LARGEST_BLOCK,), np.float32)
        self._layout, self._counts = layout, counts

    @property
    def depth(self) -> int:
        return int(self._layout.array[Count.DEPTH])

    @property
    def block_size(self) -> int:
        return int(self._layout.array[Count.BLOCK])

    @property
    def filled(self) -> int:
        counts = self._counts.array
        return int(counts[DeckCount.WRITTEN] - counts[DeckCount.TAKEN])

    @property
    def full(self) -> bool:
        return self.filled >= self.depth

    def _block(self, number: int) -> NDArray[np.float32]:
        size = self.block_size
        start = number % self.depth * size
        return self._samples.array[start : start + size]

    def put(self, block: NDArray[np.float32]) -> None:
        """Writer only, and only when not `full`."""
        written = int(self._counts.array[DeckCount.WRITTEN])
        self._block(written)[:] = block
        self._counts.array[DeckCount.WRITTEN] = written + 1

    def front(self) -> NDArray[np.float32]:
        """Reader only, and only when `filled`: the oldest block, in place."""
        return self._block(int(self._counts.array[DeckCount.TAKEN]))

    def drop(self) -> None:
        """Reader only: done with `front`."""
        self._counts.array[DeckCount.TAKEN] += 1

    def touch(self) -> None:
        """Map what the reader will read."""
        self._samples.array[: self.depth * self.block_size].sum()

    def clear(self) -> None:
        """When neither writer nor reader is at it."""
        self._counts.array[:] = 0


class Meter:
    """Level, speed and latents of the engine, after every block."""

    FIELDS = ("level_db", "real_time_factor", "worst_block_ms", "confidence")

    def __init__(self, context: SpawnContext) -> None:
        self._snapshot = Snapshot(context)

    def write(
        self,
        level_db: float,
        real_time_factor: float,
        worst_block_ms: float,
        latents: NDArray[np.float32] | None,
        confidence: float = 0.0,
    ) -> None:
        scalars = (level_db, real_time_factor, worst_block_ms, confidence)
        self._snapshot.write(np.array((*scalars, *(() if latents is None else latents)), np.float64))

    def read(self) -> tuple[dict[str, float], list[float]]:
        """The fields by name (empty before the first block) and the latents decoded last."""
        values = self._snapshot.read()[1].tolist()
        return dict(zip(self.FIELDS, values, strict=False)), values[len(self.FIELDS) :]


class PriorNote(NamedTuple):
    """A change of what the prior makes up."""

    block: int
    """Of its deck, and samples from the beginning of that block."""
    sample: int
    key: float
    """MIDI."""
    velocity: float
    """0 to 1; 0: a rest begins."""


class PriorNotes:
    """The last changes of what the prior makes up, in order; `counts` says how many there were. Readers that lag by
    more than LOGGED_NOTES miss some."""

    def __init__(self, context: SpawnContext, counts: SharedArray) -> None:
        self._rows, self._counts = SharedArray(context, (LOGGED_NOTES, len(PriorNote._fields)), "f8"), counts

    @property
    def written(self) -> int:
        return int(self._counts.array[DeckCount.NOTES])

    def write(self, note: PriorNote) -> None:
        """Writer only: the engine."""
        self._rows.array[self.written % LOGGED_NOTES] = note
        self._counts.array[DeckCount.NOTES] += 1

    def read(self, number: int) -> PriorNote:
        """One that was written."""
        block, sample, key, velocity = self._rows.array[number % LOGGED_NOTES].tolist()
        return PriorNote(int(block), int(sample), key, velocity)


class Deck:
    """Everything between one engine and the others."""

    def __init__(self, context: SpawnContext, layout: SharedArray) -> None:
        self._counts = SharedArray(context, (len(DeckCount),), np.int64)
        self.ring = Ring(context, layout, self._counts)
        self.controls = Snapshot(context)
        self.meter = Meter(context)
        self.notes = PriorNotes(context, self._counts)
        self._log = SharedArray(context, (LOGGED_BLOCKS,), np.int64)

    @property
    def counts(self) -> NDArray[np.int64]:
        """Indexed by `DeckCount`."""
        return self._counts.array

    @property
    def log(self) -> NDArray[np.int64]:
        """Which version of the controls block n was made from, at n % LOGGED_BLOCKS; -1: it fades out. Writer:
        engine."""
        return self._log.array


class SoundingNotes:
    """Gives what the prior makes up as it sounds: a change is due when the audio process has taken its block."""

    def __init__(self, deck: Deck, sample_rate: int) -> None:
        self._deck, self._rate = deck, sample_rate
        self._next = max(0, deck.notes.written - 1)  # the note that sounds now
        self._block, self._taken_at = -1, 0.0

    def due(self, now: float) -> list[PriorNote]:
        """What has begun since the last call; `now`: seconds of a clock."""
        notes, found = self._deck.notes, []
        written = notes.written
        self._next = min(max(self._next, written - LOGGED_NOTES), written)
        while self._next < written:
            note = notes.read(self._next)
            if note.block >= self._deck.counts[DeckCount.TAKEN]:
                break
            if note.block != self._block:
                self._block, self._taken_at = note.block, now
            if now < self._taken_at + note.sample / self._rate:
                break
            found.append(note)
            self._next += 1
        return found


class Shared:
    """All of it."""

    def __init__(self, context: SpawnContext, ring_depth: int = 1, block_size: int = 512) -> None:
        self._counts = SharedArray(context, (len(Count),), np.int64)
        self.decks = tuple(Deck(context, self._counts) for _ in range(DECKS))
        self._tape = SharedArray(context, (TAPE_SAMPLES,), np.float32)
        self._input = SharedArray(context, (INPUT_BLOCKS, LARGEST_BLOCK), np.float32)
        self.lay_out(ring_depth, block_size)

    def lay_out(self, ring_depth: int, block_size: int) -> None:
        """Before anything plays."""
        self.counts[Count.DEPTH], self.counts[Count.BLOCK] = ring_depth, block_size

    def touch(self) -> None:
        """Map every page that a callback will come to: a page fault in it takes longer than its work."""
        self.tape[:] = self.tape
        for deck in self.decks:
            deck.ring.touch()
        for number in range(INPUT_BLOCKS):
            self.input_block(number)[:] = 0.0

    @property
    def counts(self) -> NDArray[np.int64]:
        """Indexed by `Count`."""
        return self._counts.array

    @property
    def deck(self) -> Deck:
        """The one that sounds."""
        return self.decks[int(self.counts[Count.DECK])]

    @property
    def lost(self) -> int:
        """Blocks lost: ring empty, device underflow or missing callback."""
        return int(self.counts[[Count.EMPTY, Count.DEVICE_UNDERFLOWS, Count.MISSING]].sum())

    @property
    def tape(self) -> NDArray[np.float32]:
        """What was played: sample n at n % TAPE_SAMPLES. Writer: audio process."""
        return self._tape.array

    def played(self, count: int) -> NDArray[np.float32]:
        """The last `count` samples that were played."""
        end = int(self.counts[Count.TAPED])
        return self.tape[np.arange(end - count, end) % TAPE_SAMPLES]

    def input_block(self, number: int) -> NDArray[np.float32]:
        """Where input block `number` lies. Writer: audio process."""
        return self._input.array[number % INPUT_BLOCKS, : int(self.counts[Count.BLOCK])]
