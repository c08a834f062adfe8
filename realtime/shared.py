"""What the processes of `serve` share: snapshots, a ring of blocks, counters. Nobody ever waits for anybody.

    control process ──controls──> engine process ──ring of blocks──> audio shell
           ^  └──────meter, counters──────┘  └────────counters────────────┘

The memory is multiprocessing's anonymous kind: it has no name, so nothing is left when every process is gone,
however they went. Every number has exactly one writer. Indices are published after what they point at; x86-64
keeps that order, and elsewhere the interpreter's own locks lie between the two statements.
"""

from __future__ import annotations

from ctypes import c_byte
from enum import IntEnum
from multiprocessing.context import SpawnContext
from typing import Any

import numpy as np
from numpy.typing import NDArray

LARGEST_LATENT_DIM = 256
"""Room is made before the model is known."""
SNAPSHOT_SCALARS = 16
SNAPSHOT_SLOTS = 4


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
        self._slots = SharedArray(context, (SNAPSHOT_SLOTS, 1 + SNAPSHOT_SCALARS + LARGEST_LATENT_DIM), "f8")

    def write(self, values: NDArray[np.float64]) -> None:
        """Replace the vector; its length may change."""
        version = int(self._version.array[0]) + 1
        slot = self._slots.array[version % SNAPSHOT_SLOTS]
        slot[0] = len(values)
        slot[1 : 1 + len(values)] = values
        self._version.array[0] = version

    def read(self) -> NDArray[np.float64]:
        """A copy of the newest vector; empty before the first `write`."""
        while True:
            version = int(self._version.array[0])
            slot = self._slots.array[version % SNAPSHOT_SLOTS]
            copy = slot[1 : 1 + int(slot[0])].copy()
            if int(self._version.array[0]) - version < SNAPSHOT_SLOTS - 1:
                return copy


class Count(IntEnum):
    """Where each counter or flag lies, and which process writes it."""

    WRITTEN = 0  # engine: blocks put into the ring
    TAKEN = 1  # shell: blocks taken out of it
    CALLBACKS = 2  # shell
    EMPTY = 3  # shell: callbacks that found the ring empty
    DEVICE_UNDERFLOWS = 4  # shell: as PortAudio reports them
    MISSING = 5  # shell: callbacks that never came
    STOP = 6  # shell: the engine is to fade out
    QUIT = 7  # shell: every process is to end
    SILENT = 8  # engine: it has faded out
    CLIPPED = 9  # engine: samples beyond full scale
    BROKEN = 10  # engine: samples that were not finite
    ACCEPTED = 11  # control: messages
    REJECTED = 12  # control: messages


class Ring:
    """Blocks (block_size,) from one writer to one reader, oldest first."""

    def __init__(self, context: SpawnContext, depth: int, block_size: int, counts: SharedArray) -> None:
        self.depth, self.block_size = depth, block_size
        self._blocks = SharedArray(context, (depth, block_size), np.float32)
        self._counts = counts

    @property
    def filled(self) -> int:
        counts = self._counts.array
        return int(counts[Count.WRITTEN] - counts[Count.TAKEN])

    @property
    def full(self) -> bool:
        return self.filled >= self.depth

    def put(self, block: NDArray[np.float32]) -> None:
        """Writer only, and only when not `full`."""
        written = int(self._counts.array[Count.WRITTEN])
        self._blocks.array[written % self.depth] = block
        self._counts.array[Count.WRITTEN] = written + 1

    def front(self) -> NDArray[np.float32]:
        """Reader only, and only when `filled`: the oldest block, in place."""
        return self._blocks.array[int(self._counts.array[Count.TAKEN]) % self.depth]

    def drop(self) -> None:
        """Reader only: done with `front`."""
        self._counts.array[Count.TAKEN] += 1


class Meter:
    """What the engine says of itself after every block."""

    FIELDS = ("level_db", "real_time_factor", "worst_block_ms")

    def __init__(self, context: SpawnContext) -> None:
        self._snapshot = Snapshot(context)

    def write(
        self,
        level_db: float,
        real_time_factor: float,
        worst_block_ms: float,
        latents: NDArray[np.float32] | None,
    ) -> None:
        scalars = (level_db, real_time_factor, worst_block_ms)
        self._snapshot.write(np.array((*scalars, *(() if latents is None else latents)), np.float64))

    def read(self) -> tuple[dict[str, float], list[float]]:
        """The fields by name (empty before the first block) and the latents heard last."""
        values = self._snapshot.read().tolist()
        return dict(zip(self.FIELDS, values, strict=False)), values[len(self.FIELDS) :]


class Shared:
    """All of it."""

    def __init__(self, context: SpawnContext, ring_depth: int, block_size: int) -> None:
        self._counts = SharedArray(context, (len(Count),), np.int64)
        self.ring = Ring(context, ring_depth, block_size, self._counts)
        self.controls = Snapshot(context)
        self.meter = Meter(context)

    @property
    def counts(self) -> NDArray[np.int64]:
        """Indexed by `Count`."""
        return self._counts.array
