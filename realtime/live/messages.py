"""Every message between the processes of a performance.

The supervisor sends a `Load` to an engine process, `DeviceChoice` and `Open` to the audio process, `ControlSetup` and
`Begin` to the control process; the others are their answers.
"""

from __future__ import annotations

import socket
from dataclasses import dataclass, field
from pathlib import Path

from ..control.ports import WebSetup
from ..model_info import ModelInfo
from .devices import Device, channels_of

DEFAULT_BLOCK = 512
SMALLEST_DEFAULT, LARGEST_DEFAULT = 128, 2048


GO = "go"
FADE_OUT, LEAVE = 1, 2
"""What DeckCount.STOP asks for: silence; or to end, since another deck plays."""


# engine process


@dataclass(frozen=True)
class Load:
    """What a player is to play."""

    path: str
    seed: int = 0
    voices: int | None = None
    """None: as many as are usual."""
    hears: bool = False
    sample_rate: int | None = None
    """What it must be, if that is known."""
    while_playing: bool = False
    """Another engine sounds: take nothing from it while this one is made ready."""


@dataclass(frozen=True)
class Failed:
    """It could not be loaded; `status` as the command's."""

    message: str
    status: int


@dataclass(frozen=True)
class Ready:
    """A warmed engine, with its measured speed."""

    about: ModelInfo
    block_ms: float
    """Median time a block takes."""
    worst_block_ms: float
    real_time_factor: float
    priority: str
    enough: int | None = None
    """The smallest block size that leaves headroom, where the present one does not (0: none does)."""


# audio process


@dataclass(frozen=True)
class DeviceChoice:
    """Which devices, in the user's words."""

    output: str | None = None
    input: str | None = None
    """Only when `listens`; none: the default."""
    listens: bool = False


@dataclass(frozen=True)
class Found:
    """Before anything is opened."""

    device: Device | None
    """None: a clock, no sound."""
    listens: Device | None
    period: int = 0
    """Of a JACK server; 0: not known."""

    @property
    def good_block(self) -> int:
        """A block size that suits the device: its own latency, as a power of two."""
        if self.device is None:
            return DEFAULT_BLOCK
        wanted = self.period or self.device.low_latency_ms / 1000 * self.device.sample_rate
        size = SMALLEST_DEFAULT
        while size < min(wanted, LARGEST_DEFAULT) * 0.99:
            size *= 2
        return size

    def __str__(self) -> str:
        if self.device is None:
            return "none: a clock, no sound"
        text = f"{self.device}, {channels_of(self.device)} channels"
        return text + (f", input {self.listens}" if self.listens else "")


@dataclass(frozen=True)
class Open:
    """Open the devices; the layout of the shared memory is made."""

    sample_rate: int
    load: Load | None = None
    """Compute the sound within the callback: no engine process, no ring."""


@dataclass(frozen=True)
class Opened:
    """Ready to start."""

    latency_s: float
    engine: Ready | None = None
    input_latency_s: float = 0.0
    rebuffered_s: float = 0.0
    """As `Stream` has them."""


# control process


@dataclass(frozen=True)
class RecordSetup:
    """Where a session is kept, and what a rendering must know of it."""

    score: Path | None = None
    audio: Path | None = None
    seed: int = 0
    version: str = ""


@dataclass(frozen=True)
class MidiSetup:
    """A port by name, and where its map lies."""

    port: str
    map_file: Path


@dataclass(frozen=True)
class ControlSetup:
    """What the control process is to do."""

    udp: socket.socket
    osc_host: str
    osc_port: int
    web: WebSetup | None = None
    midi: MidiSetup | None = None
    record: RecordSetup = field(default_factory=RecordSetup)
    announce: bool = False


@dataclass(frozen=True)
class Begin:
    """A model is about to play on a deck; `resumed`: the controls go on as they are in the shared memory."""

    about: ModelInfo
    deck: int
    resumed: bool
    first: tuple[tuple[str, tuple[object, ...]], ...] = ()
    """Messages that count as sent before the first sound."""


@dataclass(frozen=True)
class Listening:
    """Messages are heard; `lines` says what else is there."""

    lines: tuple[str, ...]


@dataclass(frozen=True)
class Problem:
    """Something to say."""

    message: str


@dataclass(frozen=True)
class RecordingLost(Problem):
    """A recording ended before the performance did."""


@dataclass(frozen=True)
class WantModel:
    """Somebody asks for another model."""

    path: str
